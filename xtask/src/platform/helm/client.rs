//! The real helm, with folders of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::platform::tools;

/// A helm that speaks to one cluster.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// Without a cluster.
    ///
    /// # Errors
    /// When there is none and it cannot be built.
    pub async fn find(home: &Path) -> anyhow::Result<Self> {
        let program = tokio::task::spawn_blocking(tools::helm).await??;
        Ok(Self { program, home: home.to_owned(), kubeconfig: None })
    }

    /// With a cluster.
    #[must_use]
    pub fn with(&self, kubeconfig: &Path) -> Self {
        Self { kubeconfig: Some(kubeconfig.to_owned()), ..self.clone() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null());
        for (name, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(name, self.home.join(folder));
        }
        // A user's own cluster must never be reached by accident.
        let none = self.home.join("none.kubeconfig");
        command.env("KUBECONFIG", self.kubeconfig.as_ref().unwrap_or(&none));
        command
    }

    /// What it says when it does what it shall.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn does(&self, arguments: &[&str]) -> anyhow::Result<String> {
        tools::said(&mut self.command(arguments))
    }

    /// What it says when it refuses.
    ///
    /// # Errors
    /// When it does not.
    pub fn refuses(&self, arguments: &[&str]) -> anyhow::Result<String> {
        // What Helm says of an API server that did not answer at once is not what is asked for.
        const UNREACHED: [&str; 3] = ["unreachable", "handshake timeout", "connection refused"];
        let mut tries = 0;
        loop {
            let output = self.command(arguments).output().context("run helm")?;
            if output.status.success() {
                bail!("helm {} went through", arguments.join(" "));
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            tries += 1;
            if tries == 3 || !UNREACHED.iter().any(|words| said.contains(words)) {
                return Ok(said);
            }
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
    }
}
