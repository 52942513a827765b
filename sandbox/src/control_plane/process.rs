use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context as _;

/// Waits for its stdin to close, which happens when this process ends in whatever way, and then kills the
/// process group of its argument. Signals meant for the terminal's foreground job shall not reach it first.
const WATCHDOG: &str = "trap '' HUP INT TERM; read -r _; kill -s KILL -- \"-$1\" 2>/dev/null";

/// A child that never outlives this process: killed on drop, and by a watchdog when this process is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, appending its output to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or a process cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A group of its own: Ctrl-C on the terminal reaches us alone, and we stop things in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut guard = Unguarded(Some(child));
        let pid = guard.0.as_ref().map(Child::id).unwrap_or_default();
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start sh as a watchdog")?;
        let child = guard.0.take().expect("set two statements above");
        Ok(Self { child, watchdog, log })
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[cfg(test)]
    pub fn close_watchdog_pipe(&mut self) {
        self.watchdog.stdin = None;
    }

    /// The last lines of the log, for errors.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog goes first: once the child is reaped, its number may belong to somebody else.
        end(&mut self.watchdog);
        end(&mut self.child);
    }
}

struct Unguarded(Option<Child>);

impl Drop for Unguarded {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // Fails only when the child has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
