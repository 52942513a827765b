//! The programs: Argo CD, built once into the cache, and a Redis.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use sandbox::go_module::{GoModule, on_path};
use serde_json::Value;

use super::super::tools::said;

/// The Argo CD that the cache is built from.
const ARGOCD: GoModule<'static> = GoModule {
    name: "argocd",
    version: "v3.2.6",
    go_mod: include_str!("../../../platform/argocd/go.mod"),
    go_sum: include_str!("../../../platform/argocd/go.sum"),
    sources: &[("redis/main.go", include_str!("../../../platform/argocd/redis/main.go"))],
    ldflags: "-X github.com/argoproj/argo-cd/v3/common.version=3.2.6",
    // Its package is called `cmd`, and so is its program.
    programs: &[("cmd", "argocd"), ("redis", "redis")],
    instead: "name the other suites",
};
const MODULE: &str = "github.com/argoproj/argo-cd/v3";
/// Its own resource definitions, in the module's folder `manifests/crds`.
const CRDS: [&str; 3] = ["application-crd.yaml", "applicationset-crd.yaml", "appproject-crd.yaml"];

/// What an Argo CD is made of.
#[derive(Debug, Clone)]
pub struct Tools {
    /// One program, whose role `ARGOCD_BINARY_NAME` chooses.
    pub argocd: PathBuf,
    /// `redis-server` of this machine, else what stands in for it.
    pub redis: Redis,
    /// The helm that renders charts.
    pub helm: PathBuf,
    /// Its resource definitions, YAML.
    pub crds: Vec<String>,
}

/// A Redis.
#[derive(Debug, Clone)]
pub enum Redis {
    /// The real one.
    Server(PathBuf),
    /// The one in memory, from the same module.
    Memory(PathBuf),
}

impl Tools {
    /// Finds or builds all; minutes the first time.
    ///
    /// # Errors
    /// When something is missing and cannot be built.
    pub fn find() -> anyhow::Result<Self> {
        let helm = super::super::tools::helm()?;
        let folder = ARGOCD.build()?;
        let redis = ["redis-server", "valkey-server"].into_iter().find_map(on_path);
        let redis = redis.map_or_else(|| Redis::Memory(folder.join("redis")), Redis::Server);
        Ok(Self { argocd: folder.join("argocd"), redis, helm, crds: crds(&folder)? })
    }

    /// The program in one of its roles.
    #[must_use]
    pub fn argocd(&self) -> Command {
        let mut command = Command::new(&self.argocd);
        command.env("ARGOCD_BINARY_NAME", "argocd");
        command
    }

    /// Its version.
    #[must_use]
    pub const fn version() -> &'static str {
        ARGOCD.version
    }
}

/// The definitions, kept beside the program: the module's folder may be cleared away.
fn crds(folder: &Path) -> anyhow::Result<Vec<String>> {
    let kept = folder.join("crds");
    if !CRDS.iter().all(|name| kept.join(name).is_file()) {
        let module = tempfile::tempdir().context("make a folder")?;
        std::fs::write(module.path().join("go.mod"), ARGOCD.go_mod)?;
        std::fs::write(module.path().join("go.sum"), ARGOCD.go_sum)?;
        let mut go = Command::new("go");
        go.args(["mod", "download", "-json", MODULE]).current_dir(module.path());
        go.env("GOWORK", "off").env("GOFLAGS", "");
        let answer: Value = serde_json::from_str(&said(&mut go)?).context("read what go answers")?;
        let source = answer["Dir"].as_str().map(Path::new).context("go names no folder of the module")?;
        std::fs::create_dir_all(&kept)?;
        for name in CRDS {
            let text = std::fs::read(source.join("manifests/crds").join(name))?;
            // Another process may be doing the same: a reader sees the whole file or none.
            let mut file = tempfile::NamedTempFile::new_in(&kept)?;
            std::io::Write::write_all(&mut file, &text)?;
            file.persist(kept.join(name))?;
        }
    }
    let read = |name| std::fs::read_to_string(kept.join(name)).with_context(|| format!("read {name}"));
    CRDS.into_iter().map(read).collect()
}
