//! What the binary takes: size, time until it is ready, memory when it has nothing to do. On this machine, with a real API
//! server on it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sandbox::control_plane::ControlPlane;
use sandbox::journey;

/// So often it is started.
const TIMES: usize = 5;
/// So long it may do nothing before its memory is looked at.
const IDLE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed when it is not needed any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The figures, as a line for people.
pub fn of(binary: &Path, size: usize, root: &Path) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let plane = runtime.block_on(async {
        let plane = ControlPlane::start(dir.path()).await?;
        let client = plane.client().await?;
        for entry in std::fs::read_dir(root.join("crds"))? {
            let yaml = std::fs::read_to_string(entry?.path())?;
            journey::apply(&client, &journey::parse(&yaml, None)?).await?;
        }
        anyhow::Ok(plane)
    })?;
    // The first start waits until the API server serves the kinds, and reads the binary from disk.
    drop(start(binary, plane.kubeconfig())?);
    let mut times = Vec::new();
    for _ in 1..TIMES {
        times.push(start(binary, plane.kubeconfig())?.1);
    }
    times.sort();
    let (running, last) = start(binary, plane.kubeconfig())?;
    times.push(last);
    times.sort();
    std::thread::sleep(IDLE);
    let (now, most) = (memory(running.0.id(), "VmRSS")?, memory(running.0.id(), "VmHWM")?);
    drop(running);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(format!(
        "measured: {:.1} MB; ready after {} ms (median of {TIMES}); {:.0} MB of memory at rest ({:.0} MB at most) with \
         no resources; on {}",
        megabytes(size),
        median.as_millis(),
        now / 1024.0,
        most / 1024.0,
        machine()
    ))
}

#[allow(clippy::cast_precision_loss, reason = "a size for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// Starts it, and waits until it says that it is ready.
fn start(binary: &Path, kubeconfig: &Path) -> anyhow::Result<(Running, Duration)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let begun = Instant::now();
    let child = Command::new(binary)
        .args(["run", "--installation-id=release", "--operator-namespace=default", "--log-level=warn"])
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| name.starts_with("SSL_CERT_")))
        .stdin(Stdio::null())
        .spawn()
        .context("start it")?;
    let mut running = Running(child);
    while !ready(port) {
        if let Some(status) = running.0.try_wait()? {
            bail!("it ended: {status}");
        }
        if begun.elapsed() > PATIENCE {
            bail!("it was not ready within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((running, begun.elapsed()))
}

fn ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.lines().next().is_some_and(|line| line.contains(" 200 ")))
}

/// A line of `/proc/<id>/status`, in KiB.
fn memory(id: u32, line: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let number = found.and_then(|l| l.split_whitespace().next()).context("no such line")?;
    Ok(number.parse()?)
}

/// What kind of machine this is.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {}", model.map_or("an unknown processor", |(_, name)| name))
}
