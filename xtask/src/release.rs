//! The release: a static binary, what is in it, checksums, and what it takes.

mod elf;
pub mod freeze;
mod measure;
mod sbom;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

const TARGET: &str = "x86_64-unknown-linux-musl";
/// Where files go that are handed out.
const FOLDER: &str = "dist";
/// What only builds with the feature `test-clock` have in them.
const TEST_CLOCK: &str = "CAUSEWAY_TEST_CLOCK_URL";

/// Builds, checks, writes and measures. With `built`, that binary is taken instead of making one; with `keep`, the release
/// is kept for the tests of upgrades.
pub fn run(built: Option<PathBuf>, keep: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let binary = match built {
        Some(path) => path,
        None => build(root)?,
    };
    let bytes = std::fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    check(&bytes)?;
    let version = version(&binary)?;
    println!("checked: causeway {version}, static, without the clock of tests");

    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    // The image's build takes it under this name.
    let (plain, named) = ("causeway".to_owned(), format!("causeway-{version}-{TARGET}"));
    let bom = format!("causeway-{version}.cdx.json");
    for name in [&plain, &named] {
        let path = folder.join(name);
        if std::fs::canonicalize(&path).ok() != std::fs::canonicalize(&binary).ok() {
            std::fs::copy(&binary, &path).with_context(|| format!("write {}", path.display()))?;
        }
    }
    let list = sbom::of(root, TARGET, &hex(&bytes))?;
    std::fs::write(folder.join(&bom), serde_json::to_string_pretty(&list)? + "\n")?;
    let mut sums = String::new();
    for name in [&named, &bom] {
        sums += &format!("{}  {name}\n", hex(&std::fs::read(folder.join(name))?));
    }
    std::fs::write(folder.join("SHA256SUMS"), &sums)?;
    print!("{sums}");
    let components = list["components"].as_array().map_or(0, Vec::len);
    println!("{FOLDER}/: the binary, {bom} with {components} components, SHA256SUMS");
    println!("{}", measure::of(&folder.join(&named), bytes.len(), root)?);
    if keep {
        freeze::freeze(root, &version, &bytes)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    tools()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--package", "causeway", "--bin", "causeway"]);
    cargo.args(["--target", TARGET]).current_dir(root);
    // Messages of panics name sources, and shall not tell where the release was made.
    if let Some(home) = cargo_home() {
        let flags = [(home.as_path(), "/cargo"), (root, "/causeway")]
            .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    }
    ensure!(cargo.status().context("run cargo")?.success(), "the release does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(TARGET).join("release/causeway"))
}

/// Where cargo keeps the sources of crates.
fn cargo_home() -> Option<PathBuf> {
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(usual)
}

/// What a machine needs beside Rust; all of it is told at once.
fn tools() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    match installed {
        Ok(output) if !String::from_utf8_lossy(&output.stdout).lines().any(|line| line == TARGET) => {
            missing.push(format!("Rust's library for {TARGET}: rustup target add {TARGET}"));
        }
        // Without rustup the compiler may have it all the same; it says so if not.
        _ => {}
    }
    if Command::new("musl-gcc").arg("--version").output().is_err() {
        missing.push(
            "musl-gcc: apt-get install musl-tools (Debian, Ubuntu), or your system's musl package".to_owned(),
        );
    }
    if !missing.is_empty() {
        bail!("this machine lacks\n  {}", missing.join("\n  "));
    }
    Ok(())
}

fn check(bytes: &[u8]) -> anyhow::Result<()> {
    elf::ensure_static(bytes)?;
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    ensure!(!has(TEST_CLOCK), "it was built with the feature test-clock: a release never is");
    ensure!(has("CAUSEWAY_INSTALLATION_ID"), "this is no causeway");
    let home = cargo_home().map(|home| home.display().to_string());
    ensure!(!home.is_some_and(|home| has(&home)), "it tells where the crates were when it was built");
    Ok(())
}

fn version(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary).arg("--version").env_clear().output().context("start it")?;
    ensure!(output.status.success(), "causeway --version failed");
    let text = String::from_utf8(output.stdout)?;
    let version = text.trim().strip_prefix("causeway ").context("an odd answer to --version")?;
    ensure!(version == env!("CARGO_PKG_VERSION"), "it is version {version}");
    Ok(version.to_owned())
}
