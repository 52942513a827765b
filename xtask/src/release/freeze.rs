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

const PROGRAM: &str = "causeway.gz";
const MANIFESTS: &str = "full.yaml";
const IN_USE: &str = "in-use.yaml";
const SUMS: &str = "SHA256SUMS";
/// The manifests that use every field of a kind, in the order in which they are applied.
const FULL: [&str; 3] = ["identityfederation", "scimconnection", "permissionsetbinding"];

/// A release that was kept.
#[derive(Debug)]
pub struct Frozen {
    /// The packed chart.
    pub chart: PathBuf,
    /// Resources that use every field that the release knows.
    pub manifests: PathBuf,
    /// Resources that work beside the examples, and use what those do not.
    pub in_use: PathBuf,
    program: PathBuf,
}

impl Frozen {
    fn of(root: &Path, version: &str) -> Self {
        let folder = root.join("xtask/fixtures").join(version);
        Self {
            chart: folder.join(format!("causeway-{version}.tgz")),
            manifests: folder.join(MANIFESTS),
            in_use: folder.join(IN_USE),
            program: folder.join(PROGRAM),
        }
    }

    /// A release whose files are what they were.
    ///
    /// # Errors
    /// When one of them is missing or differs from its checksum.
    pub fn load(root: &Path, version: &str) -> anyhow::Result<Self> {
        let frozen = Self::of(root, version);
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
    let frozen = Frozen::of(root, version);
    let folder = frozen.program.parent().context("it lies in a folder")?;
    ensure!(!folder.exists(), "release {version} was kept before, and stays as it is");
    std::fs::create_dir_all(folder)?;
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
    println!("kept: {}", folder.strip_prefix(root).unwrap_or(folder).display());
    Ok(())
}
