//! A Git repository on this machine, as a platform team has one on a server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::tools::said;

/// A repository with one branch, `main`.
#[derive(Debug)]
pub struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// An empty one.
    ///
    /// # Errors
    /// When git is missing.
    pub fn create(dir: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let repository = Self { dir };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// What an Application calls it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.dir.display())
    }

    /// Copies a folder of ours into it, under that path.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn take(&self, folder: &Path, path: &str) -> anyhow::Result<()> {
        copy(folder, &self.dir.join(path)).with_context(|| format!("copy {}", folder.display()))
    }

    /// Changes one file.
    ///
    /// # Errors
    /// When the change changes nothing, or the file cannot be read or written.
    pub fn edit(&self, path: &str, change: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
        let file = self.dir.join(path);
        let before = std::fs::read_to_string(&file).with_context(|| format!("read {path}"))?;
        let after = change(&before);
        if after == before {
            bail!("the change of {path} finds nothing to change");
        }
        std::fs::write(&file, after).with_context(|| format!("write {path}"))
    }

    /// Commits everything, and answers the revision.
    ///
    /// # Errors
    /// When git refuses.
    pub fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "-c", "commit.gpgsign=false"]);
        // Whatever this machine's user has set must not matter.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        git.args(arguments).current_dir(&self.dir);
        said(&mut git)
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
