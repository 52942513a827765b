//! The project's own sources, for tests that hold code against rules and pages.

use std::path::{Path, PathBuf};

/// All Rust files below a folder of the project, with their text.
pub fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The same without what is compiled for tests alone, which may know and name more.
pub fn code(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = files(folder);
    files.retain(|(path, _)| !is_test(path));
    for (_, text) in &mut files {
        let ends =
            ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(super) mod tests {"].map(|m| text.find(m));
        if let Some(end) = ends.into_iter().flatten().min() {
            text.truncate(end);
        }
    }
    files
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    matches!(stem, "fuzz" | "tests" | "fixtures" | "arbitrary") || stem.ends_with("_tests")
}
