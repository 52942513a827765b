//! What the scripts talk to. All of it listens on loopback and ends with the run.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use sandbox::control_plane::Process;

use super::environment::Environment;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The clouds, without Kubernetes.
pub struct Sandbox {
    /// What a client must know.
    pub descriptor: PathBuf,
    _process: Process,
}

impl Sandbox {
    /// Starts one in `dir` and waits until it answers.
    pub fn start(program: &Path, world: &Path, dir: &Path) -> anyhow::Result<Self> {
        let folder = dir.join("sandbox");
        let arguments = [
            OsStr::new("up"),
            OsStr::new("--no-cluster"),
            OsStr::new("--profile"),
            OsStr::new("fast"),
            OsStr::new("--world"),
            world.as_os_str(),
            OsStr::new("--dir"),
            folder.as_os_str(),
        ];
        let mut process = Process::start(program, arguments, dir.join("sandbox.log"))?;
        let descriptor = folder.join("sandbox.json");
        wait("the sandbox", &mut process, || descriptor.is_file())?;
        Ok(Self { descriptor, _process: process })
    }
}

/// moto's server.
pub struct Moto {
    /// Where it answers.
    pub url: String,
    _process: Process,
}

impl Moto {
    /// Starts one and waits until it answers.
    pub fn start(environment: &Environment, dir: &Path) -> anyhow::Result<Self> {
        // It cannot pick a port and say which.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr())?.port();
        let python = environment.program();
        let listen = port.to_string();
        let arguments = [
            OsStr::new("MOTO_IAM_LOAD_MANAGED_POLICIES=true"),
            python.as_os_str(),
            OsStr::new("-m"),
            OsStr::new("moto.server"),
            OsStr::new("--host"),
            OsStr::new("127.0.0.1"),
            OsStr::new("--port"),
            OsStr::new(&listen),
        ];
        let mut process = Process::start(Path::new("env"), arguments, dir.join("moto.log"))?;
        wait("moto", &mut process, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), _process: process })
    }
}

fn wait(what: &str, process: &mut Process, ready: impl Fn() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + READY_WITHIN;
    while !ready() {
        if let Some(status) = process.ended() {
            bail!("{what} ended with {status}; its last words:\n{}", process.last_words());
        }
        if Instant::now() > end {
            bail!(
                "{what} is not up after {} s; its last words:\n{}",
                READY_WITHIN.as_secs(),
                process.last_words()
            );
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}
