use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build;
use crate::go_module::{BuildError, is_program};

/// The Kubernetes that the cache is built from.
pub const KUBERNETES: &str = "v1.36.3";

/// Older API servers lack what the CRDs' rules use.
const OLDEST_MINOR: u32 = 34;

/// The programs of a control plane.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub apiserver: PathBuf,
    /// Service accounts, garbage collection, namespace deletion, Deployments.
    pub controller_manager: PathBuf,
    /// The command line.
    pub kubectl: PathBuf,
}

/// Why there is no control plane to start.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// Nothing found, and no Go to build it with.
    #[error(
        "the sandbox needs etcd, kube-apiserver, kube-controller-manager and kubectl, and found neither them nor `go` to build them with.\n\
         Any of these helps:\n  \
         - install Go 1.26 or newer (https://go.dev/dl): the sandbox then builds them once, in about three minutes\n  \
         - set KUBEBUILDER_ASSETS to a folder that holds all four, version 1.{OLDEST_MINOR} or newer\n  \
         - put all four on PATH\n  \
         - copy them to {cache}\n\
         `--no-cluster` starts the clouds alone."
    )]
    NoGo {
        /// The cache folder.
        cache: String,
    },
    /// They could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Binaries {
    /// Finds the programs: `KUBEBUILDER_ASSETS`, `PATH`, the cache; else builds them into the cache, once for all
    /// processes of this user, with progress on stderr. Blocks for minutes when it has to build.
    ///
    /// # Errors
    /// When nothing is found and nothing can be built; the message names the ways out.
    pub fn find() -> Result<Self, BinariesError> {
        let folders = std::env::var_os("KUBEBUILDER_ASSETS")
            .map(PathBuf::from)
            .into_iter()
            .chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths))
            .collect::<Vec<_>>();
        if let Some(found) = Self::among(&folders) {
            return Ok(found);
        }
        match Self::inside(&build::MODULE.folder()) {
            Some(found) => Ok(found),
            None => build::build(),
        }
    }

    /// All programs in one folder, under their usual names.
    pub(super) fn inside(folder: &Path) -> Option<Self> {
        let at = |name: &str| Some(folder.join(name)).filter(|path| is_program(path));
        Some(Self {
            etcd: at("etcd")?,
            apiserver: at("kube-apiserver")?,
            controller_manager: at("kube-controller-manager")?,
            kubectl: at("kubectl")?,
        })
    }

    fn among(folders: &[PathBuf]) -> Option<Self> {
        let first = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path));
        let found = Self {
            apiserver: first("kube-apiserver")?,
            etcd: first("etcd")?,
            controller_manager: first("kube-controller-manager")?,
            kubectl: first("kubectl")?,
        };
        for (program, arguments) in [
            (&found.apiserver, &["--version"][..]),
            (&found.controller_manager, &["--version"]),
            (&found.kubectl, &["version", "--client"]),
        ] {
            let minor = minor_version(program, arguments);
            if minor.is_none_or(|minor| minor < OLDEST_MINOR) {
                eprintln!(
                    "control plane: {} is not version 1.{OLDEST_MINOR} or newer, so it is not used",
                    program.display()
                );
                return None;
            }
        }
        Some(found)
    }
}

fn minor_version(program: &Path, arguments: &[&str]) -> Option<u32> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    minor_in(&String::from_utf8_lossy(&output.stdout))
}

fn minor_in(text: &str) -> Option<u32> {
    let rest = text.split_once("v1.")?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_minor_version_as_the_programs_print_it() {
        assert_eq!(minor_in("Kubernetes v1.36.3\n"), Some(36));
        assert_eq!(minor_in("Client Version: v1.9.11\nKustomize Version: v5.7.1\n"), Some(9));
        assert_eq!(minor_in("Kubernetes v0.0.0-master+$Format:%H$"), None);
    }

    #[test]
    fn a_folder_counts_only_when_it_holds_all_programs() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kube-controller-manager"] {
            std::fs::write(dir.path().join(name), "").unwrap();
            std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(Binaries::inside(dir.path()).is_none());
        std::fs::write(dir.path().join("kubectl"), "").unwrap();
        assert!(Binaries::inside(dir.path()).is_none(), "a file that cannot be run is no program");
        std::fs::set_permissions(dir.path().join("kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Binaries::inside(dir.path()).is_some());
    }
}
