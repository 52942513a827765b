//! A cluster, two clouds, and the chart in a namespace that enforces Pod Security `restricted`. No container runs here: the
//! operator is started as its Pod says, with the token of the Pod's ServiceAccount and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use sandbox::control_plane::ControlPlane;
use sandbox::core::Profile;
use sandbox::demo;
use sandbox::journey::{Operator, Person};
use sandbox::world::World;
use sandbox::{Cluster, Options, Sandbox};
use serde_json::json;
use tempfile::TempDir;

use super::helm::Helm;
use super::{chart, until};

/// The release's namespace.
pub const HOME: &str = "causeway-system";
/// The release.
pub const RELEASE: &str = "causeway";
/// The user that the API server sees.
pub const USER: &str = "system:serviceaccount:causeway-system:causeway";
/// Where the examples are.
pub const IDENTITY: &str = "identity";

/// How long any one thing may take.
pub const PATIENCE: Duration = Duration::from_secs(180);
const REVISION: &str = "deployment.kubernetes.io/revision";

/// See the module.
pub struct Stage {
    /// The cluster.
    pub plane: Arc<ControlPlane>,
    /// The clouds.
    pub sandbox: Sandbox,
    /// May do everything.
    pub client: Client,
    /// Speaks to the cluster.
    pub helm: Helm,
    /// The program that is started as a Pod's.
    pub binary: PathBuf,
    dir: TempDir,
}

impl Stage {
    /// Starts everything but the operator. Nothing is installed yet.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn set() -> anyhow::Result<Self> {
        let binary = Operator::build().await?;
        let dir = tempfile::tempdir().context("make a folder")?;
        let plane = Arc::new(ControlPlane::start_audited(dir.path().join("cluster")).await?);
        let sandbox = Sandbox::start(Options {
            world: World::load("company")?,
            profile: Profile::realistic(),
            seed: 1,
            dir: dir.path().join("sandbox"),
            cluster: Cluster::Shared(plane.clone()),
        })
        .await?;
        let client = plane.client().await?;
        let helm = Helm::find(dir.path()).await?.with(plane.kubeconfig());
        let stage = Self { plane, sandbox, client, helm, binary, dir };
        stage.namespace(HOME, json!({"pod-security.kubernetes.io/enforce": "restricted"})).await?;
        let roots = json!({"metadata": {"name": "sandbox-ca"}, "data": {"ca.crt": stage.sandbox.ca_pem()}});
        Api::<ConfigMap>::namespaced(stage.client.clone(), HOME)
            .create(&PostParams::default(), &serde_json::from_value(roots)?)
            .await?;
        let descriptor = stage.sandbox.descriptor();
        // The clouds' clock runs fast here, so the operator looks more often than it would in production.
        let values = json!({
            "installationId": "demo",
            "caBundle": {"configMap": "sandbox-ca"},
            "metrics": {"port": free_port()?},
            "settings": {
                "graphUrl": descriptor.entra.graph,
                "authorityUrl": descriptor.entra.authority,
                "awsEndpointUrl": descriptor.aws.endpoint,
                "scimHosts": [descriptor.aws.endpoint.trim_start_matches("https://")],
                "resync": "20s", "poll": "500ms", "jobPoll": "1s", "creationGrace": "30s",
                // A machine that does much else must not cost an operator its lease.
                "leaseDuration": "60s",
            },
        });
        std::fs::write(stage.values(), values.to_string()).context("write the values")?;
        Ok(stage)
    }

    /// A namespace with labels.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self, name: &str, labels: serde_json::Value) -> anyhow::Result<()> {
        let object = json!({"metadata": {"name": name, "labels": labels}});
        let api = Api::<Namespace>::all(self.client.clone());
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    fn values(&self) -> PathBuf {
        self.dir.path().join("values.yaml")
    }

    /// The person who looks after the examples' namespace.
    pub fn person(&self) -> Person {
        Person::new(&self.sandbox, self.client.clone(), IDENTITY)
    }

    /// Installs the chart, and waits until its kinds are served.
    ///
    /// # Errors
    /// With what helm said.
    pub async fn install(&self, more: &[&str]) -> anyhow::Result<String> {
        self.install_chart(&chart()?, more).await
    }

    /// The same with another chart.
    ///
    /// # Errors
    /// With what helm said.
    pub async fn install_chart(&self, chart: &str, more: &[&str]) -> anyhow::Result<String> {
        let values = self.values().display().to_string();
        let mut arguments = vec!["install", RELEASE, chart, "--namespace", HOME, "--values", &values];
        arguments.extend(more);
        let said = self.helm.does(&arguments)?;
        demo::served(&self.client).await?;
        Ok(said)
    }

    /// Upgrades the release with a chart, keeping its values.
    ///
    /// # Errors
    /// With what helm said.
    pub fn upgrade(&self, chart: &str, more: &[&str]) -> anyhow::Result<String> {
        let mut arguments = vec!["upgrade", RELEASE, chart, "--namespace", HOME, "--reset-then-reuse-values"];
        arguments.extend(more);
        self.helm.does(&arguments)
    }

    /// The Pod of the newest revision, when the API server has admitted it.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn pod(&self) -> anyhow::Result<Pod> {
        self.pods(1).await?.pop().context("there is one")
    }

    /// So many Pods of the newest revision, when the API server has admitted them.
    ///
    /// # Errors
    /// When there are fewer in time.
    pub async fn pods(&self, count: usize) -> anyhow::Result<Vec<Pod>> {
        let of_ours = ListParams::default().labels("app.kubernetes.io/instance=causeway");
        let sets = Api::<ReplicaSet>::namespaced(self.client.clone(), HOME);
        let pods = Api::<Pod>::namespaced(self.client.clone(), HOME);
        let mut found = Vec::new();
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), HOME);
        until("a Pod", PATIENCE, async || {
            // Until then the newest ReplicaSet is that of before.
            let deployment = deployments.get(RELEASE).await?;
            if deployment.status.and_then(|s| s.observed_generation) != deployment.metadata.generation {
                return Ok(Err("the Deployment was not looked at yet".to_owned()));
            }
            let revision = |set: &ReplicaSet| set.annotations().get(REVISION)?.parse::<u64>().ok();
            let newest = sets.list(&of_ours).await?.items.into_iter().max_by_key(revision);
            let Some(newest) = newest else { return Ok(Err("there is no ReplicaSet".to_owned())) };
            let is_its = |pod: &Pod| {
                let owner = pod.owner_references().first().map(|o| &o.uid);
                owner == newest.metadata.uid.as_ref() && pod.metadata.deletion_timestamp.is_none()
            };
            found = pods.list(&of_ours).await?.items.into_iter().filter(is_its).collect();
            if found.len() >= count {
                return Ok(Ok(()));
            }
            Ok(Err(format!("{:?}", newest.status.and_then(|s| s.conditions))))
        })
        .await?;
        Ok(found)
    }

    /// Starts the operator as its Pod says.
    ///
    /// # Errors
    /// When there is no Pod, or it asks for what cannot be given here, or the program does not start.
    pub async fn operator(&self) -> anyhow::Result<Operator> {
        self.start(&self.pod().await?).await
    }

    /// Starts the operator as a Pod says. A second one of this machine cannot have the same port: it gets none.
    ///
    /// # Errors
    /// When the Pod asks for what cannot be given here, or the program does not start.
    pub async fn second(&self, pod: &Pod) -> anyhow::Result<Operator> {
        self.start_at(pod, Some("127.0.0.1:0")).await
    }

    /// Starts the operator as a Pod says.
    ///
    /// # Errors
    /// When the Pod asks for what cannot be given here, or the program does not start.
    pub async fn start(&self, pod: &Pod) -> anyhow::Result<Operator> {
        self.start_at(pod, None).await
    }

    async fn start_at(&self, pod: &Pod, listen: Option<&str>) -> anyhow::Result<Operator> {
        let spec = pod.spec.as_ref().context("a Pod has a spec")?;
        let container = spec.containers.first().context("a Pod has a container")?;
        // What the kubelet mounts.
        let mut mounts = Vec::new();
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), HOME);
        for mount in container.volume_mounts.iter().flatten().filter(|m| m.name == "ca") {
            let volume = spec.volumes.iter().flatten().find(|v| v.name == mount.name);
            let source = volume.and_then(|v| v.config_map.as_ref()).context("it is a ConfigMap")?;
            let folder = self.dir.path().join("mounts").join(&mount.name);
            std::fs::create_dir_all(&folder)?;
            for (key, text) in maps.get(&source.name).await?.data.into_iter().flatten() {
                std::fs::write(folder.join(key), text)?;
            }
            mounts.push((mount.mount_path.clone(), folder.display().to_string()));
        }
        let mut environment = BTreeMap::new();
        for variable in container.env.iter().flatten() {
            let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
            let mut value = match field.map(|f| f.field_path.as_str()) {
                Some("metadata.namespace") => HOME.to_owned(),
                Some("metadata.name") => pod.name_any(),
                Some(other) => anyhow::bail!("the field {other} is not known here"),
                None => variable.value.clone().unwrap_or_default(),
            };
            for (there, here) in &mounts {
                value = value.replace(there, here);
            }
            environment.insert(variable.name.clone(), value);
        }
        if let Some(address) = listen {
            environment.insert("CAUSEWAY_LISTEN".to_owned(), address.to_owned());
        }
        let account = spec.service_account_name.as_deref().context("a Pod has a ServiceAccount")?;
        let kubeconfig = self.plane.service_account_kubeconfig(HOME, account, self.dir.path()).await?;
        let mut arguments = container.args.clone().unwrap_or_default();
        arguments.extend(["--kubeconfig".to_owned(), kubeconfig.display().to_string()]);
        let log = self.dir.path().join(format!("{}.log", pod.name_any()));
        Operator::start_as(&self.binary, arguments, &environment, log)
    }

    /// Who holds the operator's Lease.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn holder(&self) -> anyhow::Result<Option<String>> {
        let lease = Api::<Lease>::namespaced(self.client.clone(), HOME).get_opt("causeway").await?;
        Ok(lease.and_then(|l| l.spec).and_then(|s| s.holder_identity))
    }

    /// What has been changed in the clouds since, but not by people and the provisioning service.
    #[must_use]
    pub fn mutations(&self, since: u64) -> Vec<String> {
        let entries = self.sandbox.core.journal.after(since);
        let by_us = |e: &&sandbox::core::Entry| !matches!(e.service, "console" | "login" | "scim");
        entries.iter().filter(by_us).map(|e| format!("{} {}", e.operation, e.target)).collect()
    }

    /// What kubectl ends with.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(self.plane.kubectl());
        command.args(arguments).env("KUBECONFIG", self.plane.kubeconfig()).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output()).await?.context("run kubectl")
    }

    /// What kubectl prints when it does what it shall.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn said(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.kubectl(arguments).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {errors}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The names of what is there of a kind, in all namespaces or one; nothing where the kind is not served.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub async fn names(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let words = [&["get", "--output=name", "--ignore-not-found"], arguments].concat();
        let text = self.said(&words).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
