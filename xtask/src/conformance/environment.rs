//! The Python environment with the clients: made once for each list of requirements, outside the tree.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use sandbox::go_module::cache_root;
use sha2::{Digest as _, Sha256};

/// What stands in the folder when everything is in place.
const MARKER: &str = "complete";
/// Prints the version, if everything that is needed is there.
const PROBE: &str =
    "import ensurepip, sys, venv; assert sys.version_info >= (3, 11); print(sys.version.split()[0])";

/// Where the clients are.
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Finds the environment, or makes it: minutes, and the package index is asked.
    pub fn prepare(requirements: &Path) -> anyhow::Result<Self> {
        let version = python_version()?;
        let text = fs::read(requirements).with_context(|| format!("read {}", requirements.display()))?;
        let digest =
            hex::encode(Sha256::digest([version.as_bytes(), b"\n".as_slice(), text.as_slice()].concat()));
        let parent = cache_root().join("conformance");
        let folder = parent.join(digest.get(..16).unwrap_or(&digest));
        fs::create_dir_all(&parent).with_context(|| format!("make {}", parent.display()))?;
        // Of several processes one makes it, and the others wait for it; the lock ends with this function.
        let lock = File::create(folder.with_extension("lock")).context("make the lock")?;
        lock.lock().context("wait for the lock")?;
        let environment = Self { folder };
        if !environment.folder.join(MARKER).is_file() {
            environment.make(requirements)?;
        }
        Ok(environment)
    }

    fn make(&self, requirements: &Path) -> anyhow::Result<()> {
        eprintln!("conformance: installing the clients into {}; this happens once.", self.folder.display());
        // Whatever is there is left over from a run that was cut off.
        let _ = fs::remove_dir_all(&self.folder);
        let venv = Command::new("python3").args(["-m", "venv"]).arg(&self.folder).status()?;
        ensure!(venv.success(), "python3 cannot make a virtual environment in {}", self.folder.display());
        let pip = |words: &[&str]| {
            let mut command = self.python();
            command.args(["-m", "pip", "--disable-pip-version-check", "--quiet"]).args(words);
            command
        };
        // Not compiled: of the largest client most is never imported.
        let installed = pip(&["install", "--no-compile", "--requirement"]).arg(requirements).status()?;
        ensure!(
            installed.success(),
            "pip cannot install {}; it needs the package index",
            requirements.display()
        );
        ensure!(pip(&["check"]).status()?.success(), "{} contradicts itself", requirements.display());
        fs::write(self.folder.join(MARKER), "").context("finish the environment")
    }

    /// The environment's Python. It writes nothing into the tree.
    pub fn python(&self) -> Command {
        let mut command = Command::new(self.program());
        command.env("PYTHONPYCACHEPREFIX", self.folder.join("pycache")).env("PYTHONNOUSERSITE", "1");
        command
    }

    /// The environment's Python as a path.
    pub fn program(&self) -> PathBuf {
        self.folder.join("bin/python")
    }
}

fn python_version() -> anyhow::Result<String> {
    const WAYS_OUT: &str = "\n  - install Python 3.11 or newer with its venv module (on Debian and Ubuntu: python3 and python3-venv)\
                            \n  - put another python3 first on PATH\
                            \nEverything but `cargo xtask conformance` works without.";
    let output = Command::new("python3").args(["-c", PROBE]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().last().unwrap_or_default().to_owned();
            bail!("the python3 here is too old or lacks venv ({last}). Either of these helps:{WAYS_OUT}")
        }
        Err(error) => {
            bail!("the clients run on python3, which is not here ({error}). Either of these helps:{WAYS_OUT}")
        }
    }
}
