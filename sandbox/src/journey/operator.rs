use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

use crate::Sandbox;

/// The operator as its own process. Killed when dropped.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    /// Builds the operator, with the same features as the tests do so that they rebuild little, and answers where it
    /// is: beside the running program.
    ///
    /// # Errors
    /// When the build fails.
    pub async fn build() -> anyhow::Result<PathBuf> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the sandbox lies in the workspace")?;
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--features", "causeway/test-clock", "--bin", "causeway"])
            .current_dir(root)
            .stdin(Stdio::null())
            .status()
            .await
            .context("run cargo")?;
        if !status.success() {
            bail!("the operator does not build");
        }
        let here = std::env::current_exe().context("where this program is")?;
        Ok(here.with_file_name(format!("causeway{}", std::env::consts::EXE_SUFFIX)))
    }

    /// Starts `causeway run` against a sandbox, with a kubeconfig of its own. `more` are further arguments; what it
    /// says is appended to `log`.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start(
        binary: &Path,
        sandbox: &Sandbox,
        kubeconfig: &Path,
        log: PathBuf,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_with(binary, sandbox, kubeconfig, log, more, &[])
    }

    /// Starts it with further environment variables.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        binary: &Path,
        sandbox: &Sandbox,
        kubeconfig: &Path,
        log: PathBuf,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let descriptor = sandbox.descriptor();
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .context("open the operator's log")?;
        let child = Command::new(binary)
            .arg("run")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--graph-url", &descriptor.entra.graph, "--authority-url", &descriptor.entra.authority])
            .args(["--aws-endpoint-url", &descriptor.aws.endpoint])
            .args(["--scim-hosts", descriptor.aws.endpoint.trim_start_matches("https://")])
            .arg("--ca-file")
            .arg(&descriptor.ca_file)
            .args(more)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("start the operator")?;
        Ok(Self { child, log })
    }

    /// Starts it with these arguments and this environment, and nothing of this process's own: as a container would be.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_as<A: AsRef<std::ffi::OsStr>>(
        binary: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &std::collections::BTreeMap<String, String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .context("open the operator's log")?;
        let child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("start the operator")?;
        Ok(Self { child, log })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// How it ended and what it said last, when it has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{status}\n{}", self.tail()))
    }

    /// The end of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Kills it without a warning, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill the operator")
    }

    /// Asks it to stop as Kubernetes does, and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().await.context("send SIGTERM")?;
        // Its own limit, and what a machine takes that does much else.
        tokio::time::timeout(Duration::from_secs(120), self.child.wait())
            .await
            .context("the operator did not stop within 120 s")?
            .context("wait for the operator")
    }
}

impl Drop for Operator {
    /// A failed test says how its operator ended or what it said last: its log goes with the test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.ended().unwrap_or_else(|| format!("still running\n{}", self.tail()));
            eprintln!("the operator: {last}");
        }
    }
}
