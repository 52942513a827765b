//! Programs written in Go that are built once into the cache, from a module whose `go.mod` names them as tools.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// What the network refuses now it may grant then.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Whether Go failed because it could not fetch something. Whoever is stopped by a person says nothing of the kind.
fn is_of_the_network(said: &str) -> bool {
    const WORDS: [&str; 8] = [
        "dial tcp",
        "i/o timeout",
        "TLS handshake timeout",
        "unexpected EOF",
        "connection reset",
        "proxyconnect",
        "502 Bad Gateway",
        "503 Service",
    ];
    WORDS.iter().any(|words| said.contains(words))
}

/// A module and what comes of it.
#[derive(Debug, Clone)]
pub struct GoModule<'a> {
    /// What it is called in messages, and its folder in the cache.
    pub name: &'a str,
    /// The version of the programs: each has a folder of its own in the cache. Another one whenever the module changes.
    pub version: &'a str,
    /// The module's `go.mod`, with `tool` directives.
    pub go_mod: &'a str,
    /// Its `go.sum`.
    pub go_sum: &'a str,
    /// Its own source files, by path: mostly none.
    pub sources: &'a [(&'a str, &'a str)],
    /// For the linker, beside `-s -w`: mostly `-X` with versions.
    pub ldflags: &'a str,
    /// What each program is called when built, and in the cache.
    pub programs: &'a [(&'a str, &'a str)],
    /// How one does without the build, the end of a sentence.
    pub instead: &'a str,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No Go to build it with.
    #[error(
        "{name} is not there, and there is no `go` to build it with: install Go 1.26 or newer (https://go.dev/dl), or {instead}"
    )]
    NoGo {
        /// What should have been built.
        name: String,
        /// How one does without.
        instead: String,
    },
    /// `go install` failed.
    #[error("building {name} with `go install` failed ({status}); its last words:\n{output}")]
    Build {
        /// What should have been built.
        name: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// The cache folder cannot be used.
    #[error("the cache {path}: {source}")]
    Cache {
        /// Which path.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

/// `$CAUSEWAY_CACHE`, `$XDG_CACHE_HOME/causeway` or `~/.cache/causeway`: what is fetched or built once is kept there.
#[must_use]
pub fn cache_root() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CAUSEWAY_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("causeway")))
        .or_else(|| Some(set("HOME")?.join(".cache/causeway")))
        .unwrap_or_else(|| std::env::temp_dir().join("causeway-cache"))
}

/// Whether a file is there that can be run.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The first program of that name on `PATH`.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_program(path))
}

impl GoModule<'_> {
    /// Where its programs are, once they are built: one folder for each version.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        cache_root().join(self.name.replace(' ', "-")).join(self.version)
    }

    /// Whether all programs are there.
    #[must_use]
    pub fn is_built(&self) -> bool {
        let folder = self.folder();
        self.programs.iter().all(|(_, name)| is_program(&folder.join(name)))
    }

    /// The folder with the programs. Builds them first where they are missing, once for all processes of this user,
    /// with progress on stderr: of several processes one builds and the others wait for it. Blocks for minutes then.
    ///
    /// # Errors
    /// When they are missing and cannot be built.
    pub fn build(&self) -> Result<PathBuf, BuildError> {
        let cache = self.folder();
        if self.is_built() {
            return Ok(cache);
        }
        let at = |path: &Path| {
            let path = path.display().to_string();
            move |source| BuildError::Cache { path, source }
        };
        let parent = cache.parent().unwrap_or(&cache);
        fs::create_dir_all(parent).map_err(at(parent))?;
        let lock_path = parent.join(format!("{}.lock", self.version));
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("{}: another process is building it; waiting", self.name);
                lock.lock().map_err(at(&lock_path))?;
            }
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        // Whoever held the lock before may have built it; the lock ends with this function.
        if self.is_built() {
            return Ok(cache);
        }
        if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(BuildError::NoGo { name: self.name.to_owned(), instead: self.instead.to_owned() });
        }

        // A fixed name: under the lock, whatever is there is left over from a build that was cut off.
        let staging = parent.join(format!("{}.building", self.version));
        let _ = fs::remove_dir_all(&staging);
        let bin = staging.join("bin");
        fs::create_dir_all(&bin).map_err(at(&bin))?;
        fs::write(staging.join("go.mod"), self.go_mod).map_err(at(&staging))?;
        fs::write(staging.join("go.sum"), self.go_sum).map_err(at(&staging))?;
        for (path, text) in self.sources {
            let path = staging.join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(at(&path))?;
            fs::write(&path, text).map_err(at(&path))?;
        }
        for again in [true, true, false] {
            match self.install(&staging, &bin) {
                // What was fetched stays in Go's own cache, so that another try goes on where this one ended.
                Err(error) if again && is_of_the_network(&error.to_string()) => {
                    eprintln!("{error}\n{}: trying again", self.name);
                    std::thread::sleep(AGAIN_AFTER);
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        for (built, wanted) in self.programs.iter().filter(|(built, wanted)| built != wanted) {
            fs::rename(bin.join(built), bin.join(wanted)).map_err(at(&bin))?;
        }
        let _ = fs::remove_dir_all(&cache);
        fs::rename(&bin, &cache).map_err(at(&cache))?;
        let _ = fs::remove_dir_all(&staging);
        if self.is_built() {
            return Ok(cache);
        }
        Err(self.failed("reported success".into(), format!("but {} lacks a program", cache.display())))
    }

    fn failed(&self, status: String, output: String) -> BuildError {
        BuildError::Build { name: self.name.to_owned(), status, output }
    }

    fn install(&self, module: &Path, bin: &Path) -> Result<(), BuildError> {
        let started = Instant::now();
        let Self { name, version, instead, .. } = self;
        let programs: Vec<&str> = self.programs.iter().map(|(_, wanted)| *wanted).collect();
        eprintln!("{name}: building {} {version} with Go.", programs.join(", "));
        eprintln!("{name}: this happens once and takes a few minutes; to do without, {instead}.");
        let mut go = Command::new("go")
            .args(["install", "-v", "-trimpath", "-buildvcs=false", "-ldflags"])
            .arg(format!("-s -w {}", self.ldflags))
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
            .map_err(|error| self.failed("not started".into(), error.to_string()))?;

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
                    "{name}: {seconds:>4} s, {downloaded} modules downloaded, {compiled} packages compiled"
                );
            }
        }
        let _ = reader.join();
        let status = go.wait().map_err(|error| self.failed("lost".into(), error.to_string()))?;
        if !status.success() {
            return Err(self.failed(status.to_string(), Vec::from(tail).join("\n")));
        }
        eprintln!("{name}: built in {} s", started.elapsed().as_secs());
        Ok(())
    }
}

#[test]
fn only_what_the_network_refused_is_tried_again() {
    for (output, again) in [
        ("go: downloading a v1\nGet \"https://x/a.zip\": dial tcp 127.0.0.1:443: i/o timeout", true),
        ("go: a@v1: unexpected EOF", true),
        ("./main.go:3:1: syntax error", false),
        ("", false),
    ] {
        let failed =
            BuildError::Build { name: "x".into(), status: "exit status: 1".into(), output: output.into() };
        assert_eq!(is_of_the_network(&failed.to_string()), again, "{output}");
    }
}
