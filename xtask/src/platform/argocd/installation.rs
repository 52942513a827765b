//! A running Argo CD: Redis, repo server and application controller, on a control plane of the sandbox.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::Client;
use sandbox::control_plane::{ControlPlane, Process};
use sandbox::journey;
use serde_json::json;

use super::super::tools::said;
use super::tools::{Redis, Tools};
use super::{NAMESPACE, PATIENCE, TICK, config};

/// Its processes; they end with it.
#[derive(Debug)]
pub struct Installation {
    controller: Process,
    repo_server: Process,
    redis: Process,
}

struct Ports {
    redis: u16,
    repo: u16,
    repo_metrics: u16,
    controller: u16,
}

impl Installation {
    /// Installs Argo CD's own resources, with the health scripts of `examples/argocd/`, and starts its programs, with their
    /// logs in `dir`.
    ///
    /// # Errors
    /// When the API server refuses something, or a program does not come up.
    pub async fn start(
        tools: &Tools,
        cluster: &ControlPlane,
        client: &Client,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        for name in ["tls", "ssh", "gnupg", "tmp"] {
            std::fs::create_dir_all(dir.join(name))?;
        }
        std::fs::write(dir.join("ssh/ssh_known_hosts"), "")?;
        resources(tools, client).await?;
        let kubeconfig = kubeconfig(cluster, dir)?;

        let ports = Ports::pick()?;
        let redis_address = format!("127.0.0.1:{}", ports.redis);
        let redis = match &tools.redis {
            Redis::Memory(program) => {
                Process::start(program, [redis_address.as_str()], dir.join("redis.log"))?
            }
            Redis::Server(program) => {
                let port = ports.redis.to_string();
                let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
                Process::start(program, arguments, dir.join("redis.log"))?
            }
        };
        let repo_address = format!("127.0.0.1:{}", ports.repo);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = tools.helm.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(folders)?.to_string_lossy().into_owned();
        let at = |name: &str| dir.join(name).display().to_string();
        let environment = [
            format!("PATH={path}"),
            format!("HOME={}", dir.display()),
            format!("TMPDIR={}", at("tmp")),
            format!("KUBECONFIG={}", kubeconfig.display()),
            format!("REDIS_SERVER={redis_address}"),
            format!("ARGOCD_TLS_DATA_PATH={}", at("tls")),
            format!("ARGOCD_SSH_DATA_PATH={}", at("ssh")),
            format!("ARGOCD_GNUPGHOME={}", at("gnupg")),
            "ARGOCD_GPG_ENABLED=false".to_owned(),
            "ARGOCD_FAKE_IN_CLUSTER=true".to_owned(),
        ];
        // `env` becomes the program: the process is the same.
        let launch = |role: &str, arguments: &[&str]| {
            let words = environment
                .iter()
                .cloned()
                .chain([format!("ARGOCD_BINARY_NAME={role}"), tools.argocd.display().to_string()])
                .chain(arguments.iter().map(|&word| word.to_owned()));
            Process::start(Path::new("env"), words, dir.join(format!("{role}.log")))
        };
        let repo_server = launch(
            "argocd-repo-server",
            &[
                "--port",
                &ports.repo.to_string(),
                "--metrics-port",
                &ports.repo_metrics.to_string(),
                "--address",
                "127.0.0.1",
                "--metrics-address",
                "127.0.0.1",
                "--redis",
                &redis_address,
                "--disable-tls",
                // A commit is seen at the next look, without a webhook.
                "--revision-cache-expiration",
                "1s",
            ],
        )?;
        let kubeconfig = kubeconfig.display().to_string();
        let controller = launch(
            "argocd-application-controller",
            &[
                "--kubeconfig",
                &kubeconfig,
                "--namespace",
                NAMESPACE,
                "--metrics-port",
                &ports.controller.to_string(),
                "--redis",
                &redis_address,
                "--repo-server",
                &repo_address,
                "--repo-server-plaintext",
                "--app-resync",
                "3",
                "--app-resync-jitter",
                "0",
                // What is said of each resource then stands in the Application.
                "--persist-resource-health",
            ],
        )?;
        let mut installation = Self { controller, repo_server, redis };
        for port in [ports.redis, ports.repo, ports.controller] {
            installation.listens(port).await?;
        }
        Ok(installation)
    }

    /// Which program has ended by itself, with its last words.
    pub fn ended(&mut self) -> Option<String> {
        [&mut self.redis, &mut self.repo_server, &mut self.controller].into_iter().find_map(|process| {
            let status = process.ended()?;
            Some(format!("{} ended ({status}):\n{}", process.log().display(), process.last_words()))
        })
    }

    async fn listens(&mut self, port: u16) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1)).is_err() {
            if let Some(words) = self.ended() {
                bail!("{words}");
            }
            if Instant::now() > end {
                bail!("nothing of Argo CD listens on port {port}:\n{}", self.controller.last_words());
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }
}

/// What an installation of Argo CD consists of in the cluster, as far as these two programs need it.
async fn resources(tools: &Tools, client: &Client) -> anyhow::Result<()> {
    for yaml in &tools.crds {
        journey::apply(client, &journey::parse(yaml, None)?).await?;
    }
    let labels = json!({"app.kubernetes.io/part-of": "argocd"});
    let named = |name: &str| json!({"name": name, "namespace": NAMESPACE, "labels": labels});
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {"sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}});
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        config()?,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named("argocd-rbac-cm")}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": named("argocd-secret"),
            "stringData": {"server.secretkey": "of-a-test"}}),
        project,
    ];
    for object in objects {
        let object = journey::parse(&object.to_string(), None)?;
        let end = Instant::now() + PATIENCE;
        // A definition is served a moment after it was made.
        while let Err(error) = journey::apply(client, &object).await {
            if Instant::now() > end {
                return Err(error);
            }
            tokio::time::sleep(TICK).await;
        }
    }
    Ok(())
}

/// Argo CD looks for its own resources in the namespace that the context names.
fn kubeconfig(cluster: &ControlPlane, dir: &Path) -> anyhow::Result<PathBuf> {
    let path = dir.join("kubeconfig");
    std::fs::copy(cluster.kubeconfig(), &path).context("copy the kubeconfig")?;
    let mut kubectl = Command::new(cluster.kubectl());
    kubectl.arg("--kubeconfig").arg(&path);
    kubectl.args(["config", "set-context", "--current", "--namespace", NAMESPACE]);
    said(&mut kubectl)?;
    Ok(path)
}

impl Ports {
    /// Free ports below the range that the system gives to outgoing connections.
    fn pick() -> anyhow::Result<Self> {
        let first = 20_000 + u16::try_from(std::process::id() % 10_000)?;
        let mut held = Vec::new();
        for port in (first..32_000).chain(20_000..first) {
            held.extend(TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (port, listener)));
            if let [(redis, _), (repo, _), (repo_metrics, _), (controller, _)] = held[..] {
                return Ok(Self { redis, repo, repo_metrics, controller });
            }
        }
        bail!("no four free ports on 127.0.0.1 between 20000 and 32000")
    }
}
