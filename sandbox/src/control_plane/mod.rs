//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, with RBAC on.
//! There is no node, so Pods stay pending; everything that happens in the API server is real.

mod binaries;
mod build;
mod pki;
mod process;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rand::RngExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use binaries::{Binaries, BinariesError, KUBERNETES};
use pki::{Credential, Pki};
pub use process::Process;

/// The issuer of service account tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// How long a start may take before it counts as failed; it takes about four seconds.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STARTS: usize = 5;

/// A running control plane. Its processes end when it is dropped, and also when this process is killed.
///
/// It belongs to no tokio runtime: one of a test run may be shared by tests with a runtime each.
#[derive(Debug)]
pub struct ControlPlane {
    dir: PathBuf,
    binaries: Binaries,
    pki: Pki,
    ports: Ports,
    kubeconfig: PathBuf,
    audited: bool,
    running: Mutex<Running>,
}

/// Every finished request of a service account, without bodies.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [\"system:serviceaccounts\"]
- level: None
";

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
}

/// Dropped in this order, so that nobody logs a lost connection.
#[derive(Debug, Default)]
struct Running {
    controller_manager: Option<Process>,
    apiserver: Option<Process>,
    etcd: Option<Process>,
}

impl ControlPlane {
    /// Starts a control plane that keeps its data, certificates and logs in `dir`, and waits until it serves and the
    /// service account of namespace `default` exists. Builds the programs first where none are found.
    ///
    /// # Errors
    /// [`BinariesError`] when there is nothing to start; else when a program ends or is not ready in two minutes, with
    /// the last lines of its log.
    pub async fn start(dir: impl Into<PathBuf>) -> anyhow::Result<Self> {
        Self::start_with(dir.into(), false).await
    }

    /// As [`start`](Self::start); the API server writes what service accounts do into [`audit_log`](Self::audit_log).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_audited(dir: impl Into<PathBuf>) -> anyhow::Result<Self> {
        Self::start_with(dir.into(), true).await
    }

    async fn start_with(dir: PathBuf, audited: bool) -> anyhow::Result<Self> {
        let binaries = tokio::task::spawn_blocking(Binaries::find).await??;
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        // Keys are made anew, so that the objects of an earlier cluster in this folder could not be used.
        forget(&dir.join("etcd"))?;
        let pki = Pki::generate(&dir.join("pki"))?;
        let kubeconfig = dir.join("kubeconfig");
        let mut plane = Self {
            dir,
            binaries,
            pki,
            ports: Ports::pick()?,
            kubeconfig,
            audited,
            running: Mutex::default(),
        };
        std::fs::write(plane.audit_policy(), AUDIT_POLICY).context("write the audit policy")?;
        for left in (0..STARTS).rev() {
            let Err(error) = plane.launch().await else { return Ok(plane) };
            *plane.running.get_mut() = Running::default();
            // A port that was free a moment ago may be taken by now.
            if left == 0 || !error.to_string().contains("address already in use") {
                return Err(error);
            }
            plane.ports = Ports::pick()?;
        }
        bail!("no free ports for a control plane after {STARTS} attempts")
    }

    /// The kubeconfig of a member of `system:masters`.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.apiserver)
    }

    /// A kubectl of this Kubernetes version.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.binaries.kubectl.clone()
    }

    /// Where the logs are: `etcd.log`, `kube-apiserver.log`, `kube-controller-manager.log`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What service accounts did, one event in each line, when the API server was started to record it.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    fn audit_policy(&self) -> PathBuf {
        self.dir.join("audit-policy.yaml")
    }

    /// A new client with the rights of [`kubeconfig`](Self::kubeconfig), which belongs to the calling runtime.
    ///
    /// # Errors
    /// When the kubeconfig has been damaged.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // Retries would hide a refusal for minutes.
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// The issuer of service account tokens.
    #[must_use]
    pub fn issuer(&self) -> &'static str {
        ISSUER
    }

    /// The public key that service account tokens verify with, PEM (SubjectPublicKeyInfo, RSA).
    ///
    /// # Errors
    /// When the key file has been removed.
    pub fn service_account_public_key(&self) -> anyhow::Result<String> {
        let path = &self.pki.service_accounts.public;
        std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
    }

    /// A token for a service account through the TokenRequest API, as a projected volume would hold; without
    /// `audiences` it is meant for the API server.
    ///
    /// # Errors
    /// When the service account does not exist or the API server refuses.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audiences: &[&str],
        life: Duration,
    ) -> anyhow::Result<String> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec {
            audiences: Some(audiences.iter().map(|&a| a.to_owned()).collect()),
            expiration_seconds: Some(i64::try_from(life.as_secs())?),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &kube::api::PostParams::default(), &request)
            .await
            .with_context(|| format!("request a token for service account {namespace}/{name}"))?;
        answer.status.and_then(|status| status.token).context("the API server answered without a token")
    }

    /// Writes a kubeconfig into `dir` that speaks as a service account, with exactly its rights, for a day.
    ///
    /// # Errors
    /// When the service account does not exist or the file cannot be written.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
        dir: &Path,
    ) -> anyhow::Result<PathBuf> {
        let token = self.service_account_token(namespace, name, &[], Duration::from_hours(24)).await?;
        let text = pki::kubeconfig(&self.url(), &self.pki.ca, name, namespace, &Credential::Token(&token))?;
        let path = dir.join(format!("{namespace}-{name}.kubeconfig"));
        pki::write_private(&path, &text)?;
        Ok(path)
    }

    /// Kills the API server and starts it anew on the same port and data: watches break, nothing is lost.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart_api_server(&self) -> anyhow::Result<()> {
        let mut running = self.running.lock().await;
        running.apiserver = None;
        running.apiserver = Some(self.spawn_apiserver()?);
        self.wait_ready(&mut running).await
    }

    /// Forgets every object, as when a cluster is rebuilt: same ports, certificates and kubeconfig, empty etcd.
    /// Tokens of service accounts are void.
    ///
    /// # Errors
    /// When the new cluster does not come up.
    pub async fn wipe(&self) -> anyhow::Result<()> {
        {
            let mut running = self.running.lock().await;
            *running = Running::default();
            forget(&self.dir.join("etcd"))?;
        }
        self.launch().await
    }

    /// The ids of the processes, for tests that look whether they are gone.
    pub async fn process_ids(&self) -> Vec<u32> {
        let running = self.running.lock().await;
        [&running.etcd, &running.apiserver, &running.controller_manager]
            .into_iter()
            .flatten()
            .map(Process::id)
            .collect()
    }

    async fn launch(&self) -> anyhow::Result<()> {
        let url = self.url();
        let admin = Credential::Certificate(&self.pki.admin);
        let text = pki::kubeconfig(&url, &self.pki.ca, "causeway-admin", "default", &admin)?;
        pki::write_private(&self.kubeconfig, &text)?;
        let own = Credential::Certificate(&self.pki.controller_manager);
        let text = pki::kubeconfig(&url, &self.pki.ca, "system:kube-controller-manager", "default", &own)?;
        pki::write_private(&self.dir.join("controller-manager.kubeconfig"), &text)?;

        let mut running = self.running.lock().await;
        running.etcd = Some(self.spawn_etcd()?);
        running.apiserver = Some(self.spawn_apiserver()?);
        self.wait_ready(&mut running).await?;
        running.controller_manager = Some(self.spawn_controller_manager()?);
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await?, "default");
        wait(&mut running, "the default service account", async || {
            accounts.get_opt("default").await.is_ok_and(|found| found.is_some())
        })
        .await
    }

    async fn wait_ready(&self, running: &mut Running) -> anyhow::Result<()> {
        let client = self.client().await?;
        wait(running, "/readyz of the API server", async || {
            let request =
                http::Request::get("/readyz").body(Vec::new()).expect("a constant path makes a request");
            matches!(client.request_text(request).await, Ok(text) if text == "ok")
        })
        .await
    }

    fn spawn_etcd(&self) -> anyhow::Result<Process> {
        let Ports { etcd, etcd_peer, .. } = self.ports;
        let arguments = [
            format!("--data-dir={}", self.dir.join("etcd").display()),
            format!("--listen-client-urls=http://127.0.0.1:{etcd}"),
            format!("--advertise-client-urls=http://127.0.0.1:{etcd}"),
            format!("--listen-peer-urls=http://127.0.0.1:{etcd_peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{etcd_peer}"),
            format!("--initial-cluster=default=http://127.0.0.1:{etcd_peer}"),
            // The data is thrown away anyway, and tests wait for every write.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        Process::start(&self.binaries.etcd, arguments, self.dir.join("etcd.log"))
    }

    fn spawn_apiserver(&self) -> anyhow::Result<Process> {
        let Pki { ca, serving, service_accounts, .. } = &self.pki;
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.apiserver),
            "--bind-address=127.0.0.1".to_owned(),
            // Nothing runs inside this cluster, so nobody looks for the API server at a service's endpoints.
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={}", self.dir.join("pki").display()),
            format!("--client-ca-file={}", ca.display()),
            format!("--tls-cert-file={}", serving.public.display()),
            format!("--tls-private-key-file={}", serving.private.display()),
            format!("--service-account-key-file={}", service_accounts.public.display()),
            format!("--service-account-signing-key-file={}", service_accounts.private.display()),
            format!("--service-account-issuer={ISSUER}"),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            // Idle connections are no reason to wait when a test stops it.
            "--shutdown-delay-duration=0s".to_owned(),
        ];
        if self.audited {
            arguments.push(format!("--audit-policy-file={}", self.audit_policy().display()));
            arguments.push(format!("--audit-log-path={}", self.audit_log().display()));
        }
        Process::start(&self.binaries.apiserver, arguments, self.dir.join("kube-apiserver.log"))
    }

    fn spawn_controller_manager(&self) -> anyhow::Result<Process> {
        let arguments = [
            format!("--kubeconfig={}", self.dir.join("controller-manager.kubeconfig").display()),
            format!("--service-account-private-key-file={}", self.pki.service_accounts.private.display()),
            format!("--root-ca-file={}", self.pki.ca.display()),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // Many tests delete their namespaces at once.
            "--concurrent-namespace-syncs=20".to_owned(),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ];
        let log = self.dir.join("kube-controller-manager.log");
        Process::start(&self.binaries.controller_manager, arguments, log)
    }
}

impl Ports {
    /// Free ports below the range that the system gives to outgoing connections, so that they are still free when a
    /// server comes back to them.
    fn pick() -> anyhow::Result<Self> {
        let mut rng = rand::rng();
        let mut held = Vec::new();
        for _ in 0..1000 {
            let port = rng.random_range(20_000..32_000);
            if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
                held.push((port, listener));
            }
            if let [(etcd, _), (etcd_peer, _), (apiserver, _)] = held[..] {
                return Ok(Self { etcd, etcd_peer, apiserver });
            }
        }
        bail!("no three free ports on 127.0.0.1 between 20000 and 32000")
    }
}

impl Running {
    fn ended(&mut self) -> Option<String> {
        [&mut self.etcd, &mut self.apiserver, &mut self.controller_manager].into_iter().flatten().find_map(
            |process| {
                let status = process.ended()?;
                Some(format!(
                    "ended ({status}); the end of {}:\n{}",
                    process.log().display(),
                    process.last_words()
                ))
            },
        )
    }
}

fn forget(data: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", data.display()))
        }
        _ => Ok(()),
    }
}

async fn wait(running: &mut Running, what: &str, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(death) = running.ended() {
            bail!("while waiting for {what}, a program of the control plane {death}");
        }
        // A server that accepts and stays silent must not hold up the deadline.
        if tokio::time::timeout(Duration::from_secs(5), ready()).await.unwrap_or(false) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let words = running.apiserver.as_ref().map(Process::last_words).unwrap_or_default();
            bail!(
                "{what} was not there after {} s; the API server's last words:\n{words}",
                READY_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(250));
    }
}
