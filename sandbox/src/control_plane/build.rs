use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::binaries::{Binaries, BinariesError, KUBERNETES};

const GO_MOD: &str = include_str!("../../control_plane/go.mod");
const GO_SUM: &str = include_str!("../../control_plane/go.sum");
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Builds the programs with Go into `cache`. Of several processes one builds and the others wait for it.
pub(super) fn build(cache: &Path) -> Result<Binaries, BinariesError> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |source| BinariesError::Cache { path, source }
    };
    let parent = cache.parent().unwrap_or(cache);
    fs::create_dir_all(parent).map_err(at(parent))?;
    let lock_path = parent.join(format!("{KUBERNETES}.lock"));
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("control plane: another process is building it; waiting");
            lock.lock().map_err(at(&lock_path))?;
        }
        Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
    }
    // Whoever held the lock before may have built it; the lock ends with this function.
    if let Some(found) = Binaries::inside(cache) {
        return Ok(found);
    }
    if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Err(BinariesError::NoGo { cache: cache.display().to_string() });
    }

    // A fixed name: under the lock, whatever is there is left over from a build that was cut off.
    let staging = parent.join(format!("{KUBERNETES}.building"));
    let _ = fs::remove_dir_all(&staging);
    let bin = staging.join("bin");
    fs::create_dir_all(&bin).map_err(at(&bin))?;
    fs::write(staging.join("go.mod"), GO_MOD).map_err(at(&staging))?;
    fs::write(staging.join("go.sum"), GO_SUM).map_err(at(&staging))?;
    install(&staging, &bin)?;
    // The etcd server's package is called `server`, and so is its program.
    fs::rename(bin.join("server"), bin.join("etcd")).map_err(at(&bin))?;
    let _ = fs::remove_dir_all(cache);
    fs::rename(&bin, cache).map_err(at(cache))?;
    let _ = fs::remove_dir_all(&staging);
    Binaries::inside(cache).ok_or_else(|| BinariesError::Build {
        status: "reported success".into(),
        output: format!("but {} lacks a program", cache.display()),
    })
}

fn install(module: &Path, bin: &Path) -> Result<(), BinariesError> {
    let started = Instant::now();
    eprintln!(
        "control plane: building etcd, kube-apiserver, kube-controller-manager and kubectl {KUBERNETES} with Go."
    );
    eprintln!(
        "control plane: this happens once and takes a few minutes; set KUBEBUILDER_ASSETS to bring your own."
    );
    let version = "k8s.io/component-base/version";
    let failed = |status: String, output: String| BinariesError::Build { status, output };
    let mut go = Command::new("go")
        .args(["install", "-v", "-trimpath", "-buildvcs=false", "-ldflags"])
        .arg(format!(
            // Without it clients see v0.0.0-master, and whoever gates on versions misbehaves.
            "-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor=36"
        ))
        .arg("tool")
        .current_dir(module)
        .env("GOBIN", bin)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        // Whatever the user sets for his own modules must not reach this one.
        .env("GOFLAGS", "")
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("not started".into(), error.to_string()))?;

    let (lines, output) = mpsc::channel();
    let reader = go.stderr.take().map(BufReader::new);
    // A thread of its own, since linking says nothing for half a minute, and people want to see that it goes on.
    let reader = std::thread::spawn(move || {
        for line in reader.into_iter().flat_map(|reader| reader.lines().map_while(Result::ok)) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let mut said = started;
    let (mut downloaded, mut compiled) = (0, 0);
    let mut tail = VecDeque::new();
    loop {
        match output.recv_timeout(PROGRESS_EVERY.saturating_sub(said.elapsed())) {
            Ok(line) if line.starts_with("go: downloading ") => downloaded += 1,
            Ok(line) if line.contains('/') && !line.contains(' ') => compiled += 1,
            Ok(line) => {
                tail.push_back(line);
                if tail.len() > 20 {
                    tail.pop_front();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            let seconds = started.elapsed().as_secs();
            eprintln!(
                "control plane: {seconds:>4} s, {downloaded} modules downloaded, {compiled} packages compiled"
            );
        }
    }
    let _ = reader.join();
    let status = go.wait().map_err(|error| failed("lost".into(), error.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string(), Vec::from(tail).join("\n")));
    }
    eprintln!("control plane: built in {} s", started.elapsed().as_secs());
    Ok(())
}
