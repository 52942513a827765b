//! The pages of this repository, as people read them: links lead somewhere, YAML is taken by the API server, commands have
//! the flags that they are shown with, and what is said of each kind is what its code can say.

mod commands;
mod kinds;
mod links;
mod readme;
mod yaml;

use std::path::{Path, PathBuf};

/// A page.
struct Page {
    /// Below the root of the repository.
    path: String,
    text: String,
}

/// A fenced block.
struct Block<'a> {
    /// The word after the fence.
    language: &'a str,
    /// The line of the page that it begins at.
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown of this repository.
fn pages() -> Vec<Page> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && !name.starts_with("target") && name != "node_modules" {
                    walk(&path, found);
                }
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    let page = |path: PathBuf| Page {
        text: std::fs::read_to_string(&path).expect("text"),
        path: path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned(),
    };
    found.into_iter().map(page).collect()
}

impl Page {
    /// Its fenced blocks.
    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block<'_>, usize)> = None;
        for (nth, line) in self.text.lines().enumerate() {
            let text = line.trim_start();
            match (&mut open, text.strip_prefix("```")) {
                (None, Some(language)) => {
                    let block = Block { language: language.trim(), line: nth + 1, text: String::new() };
                    open = Some((block, line.len() - text.len()));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), None) => {
                    block.text += line.get(*indent..).unwrap_or(text);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.path);
        blocks
    }

    /// Its lines outside of fenced blocks.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut lines = Vec::new();
        for (nth, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                lines.push((nth + 1, line));
            }
        }
        lines
    }
}
