//! Keeps a release as it was handed out, so that later states can be installed over it and rolled back to it
//! (`cargo xtask platform upgrade`).

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::hex;
use crate::platform::tools;

const FOLDER: &str = "xtask/fixtures";
const PROGRAM: &str = "causeway.gz";
const MANIFESTS: &str = "full.yaml";
const IN_USE: &str = "in-use.yaml";
const SUMS: &str = "SHA256SUMS";
/// The manifests that use every field of a kind, in the order in which they are applied.
const FULL: [&str; 3] = ["identityfederation", "scimconnection", "permissionsetbinding"];

/// A release that was kept.
#[derive(Debug)]
pub struct Frozen {
    /// Of the release.
    pub version: String,
    /// The packed chart.
    pub chart: PathBuf,
    /// Resources that use every field that the release knows.
    pub manifests: PathBuf,
    /// Resources that work beside the examples, and use what those do not.
    pub in_use: PathBuf,
    program: PathBuf,
}

impl Frozen {
    fn of(folder: &Path, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            chart: folder.join(format!("causeway-{version}.tgz")),
            manifests: folder.join(MANIFESTS),
            in_use: folder.join(IN_USE),
            program: folder.join(PROGRAM),
        }
    }

    /// The newest release, whose files are what they were.
    ///
    /// # Errors
    /// When there is none, or one of its files is missing or differs from its checksum.
    pub fn newest(root: &Path) -> anyhow::Result<Self> {
        let mut versions = Vec::new();
        for entry in std::fs::read_dir(root.join(FOLDER))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let numbers: Option<Vec<u64>> = name.split('.').map(|n| n.parse().ok()).collect();
            versions.extend(numbers.map(|numbers| (numbers, name)));
        }
        let (_, version) = versions.into_iter().max().context("no release was kept")?;
        let frozen = Self::of(&root.join(FOLDER).join(&version), &version);
        let sums =
            std::fs::read_to_string(frozen.program.with_file_name(SUMS)).context("read the checksums")?;
        ensure!(sums == frozen.sums()?, "the files of release {version} are not those that were kept");
        Ok(frozen)
    }

    /// Writes the program where it can be started.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn unpack(&self, to: &Path) -> anyhow::Result<PathBuf> {
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(&self.program)?).read_to_end(&mut bytes).context("unpack the program")?;
        let path = to.join("causeway");
        std::fs::write(&path, bytes)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn sums(&self) -> anyhow::Result<String> {
        let mut sums = String::new();
        for path in [&self.program, &self.chart, &self.manifests, &self.in_use] {
            let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            sums += &format!("{}  {name}\n", hex(&bytes));
        }
        Ok(sums)
    }
}

/// Keeps a release: its program, its chart, and manifests that use every field.
///
/// # Errors
/// When it was kept before, or something cannot be read, packed or written.
pub fn freeze(root: &Path, version: &str, program: &[u8]) -> anyhow::Result<()> {
    let kept = root.join(FOLDER).join(version);
    ensure!(!kept.exists(), "release {version} was kept before, and stays as it is");
    // What is cut short is begun anew.
    let folder = &kept.with_extension("partial");
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let frozen = Frozen::of(folder, version);
    let mut packed = GzEncoder::new(File::create(&frozen.program)?, Compression::best());
    packed.write_all(program)?;
    packed.finish()?;
    let chart = root.join("charts/causeway");
    tools::said(Command::new(tools::helm()?).arg("package").arg(chart).arg("--destination").arg(folder))?;
    let mut manifests = Vec::new();
    for kind in FULL {
        manifests.push(std::fs::read_to_string(root.join(format!("tests/schema/{kind}.yaml")))?);
    }
    std::fs::write(&frozen.manifests, manifests.join("---\n"))?;
    std::fs::copy(root.join("xtask/platform/upgrade").join(IN_USE), &frozen.in_use)?;
    std::fs::write(folder.join(SUMS), frozen.sums()?)?;
    std::fs::rename(folder, &kept)?;
    println!("kept: {FOLDER}/{version}");
    Ok(())
}
