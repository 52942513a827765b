//! The clouds, the cluster and the operator of the suite, and the person who does what no API can do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject};
use kube::{Client, ResourceExt as _};
use sandbox::control_plane::ControlPlane;
use sandbox::core::Profile;
use sandbox::journey::{self, Operator, Person};
use sandbox::world::World as Start;
use sandbox::{Cluster, Options, Sandbox};
use serde_json::{Value, json};

use super::{PATIENCE, TICK, kinds};

/// The namespace of the resources.
pub const IDENTITY: &str = "identity";
const SYSTEM: &str = "causeway-system";

/// The operator looks often: the clouds of this suite take a hundredth of their time.
const OPERATOR: [&str; 20] = [
    "--installation-id",
    "acme",
    "--operator-namespace",
    SYSTEM,
    "--listen",
    "127.0.0.1:0",
    "--log-format",
    "json",
    "--log-level",
    "info",
    "--resync",
    "2s",
    "--poll",
    "200ms",
    "--job-poll",
    "500ms",
    "--creation-grace",
    "30s",
    "--lease-duration",
    "60s",
];

/// Everything but Argo CD.
pub struct World {
    sandbox: Sandbox,
    /// The control plane.
    pub cluster: Arc<ControlPlane>,
    /// A client with all rights.
    pub client: Client,
    /// The administrator.
    pub person: Person,
    operator: Option<Operator>,
}

impl World {
    /// An empty tenant, an empty organization, and a cluster.
    ///
    /// # Errors
    /// When the sandbox does not start.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let sandbox = Sandbox::start(Options {
            world: Start::load("company")?,
            profile: Profile::fast(),
            seed: 1,
            dir: dir.join("sandbox"),
            cluster: Cluster::Own,
        })
        .await?;
        let cluster = sandbox.cluster().context("a cluster")?.clone();
        let client = cluster.client().await?;
        let person = Person::new(&sandbox, client.clone(), IDENTITY);
        Ok(Self { sandbox, cluster, client, person, operator: None })
    }

    /// Starts the operator, with the identity and the rights that the chart gives it.
    ///
    /// # Errors
    /// When its ServiceAccount is not there, or it cannot be started.
    pub async fn start_operator(&mut self, binary: &Path, dir: &Path) -> anyhow::Result<()> {
        let kubeconfig = self.cluster.service_account_kubeconfig(SYSTEM, "causeway", dir).await?;
        let log = dir.join("operator.log");
        self.operator = Some(Operator::start(binary, &self.sandbox, &kubeconfig, log, &OPERATOR)?);
        Ok(())
    }

    /// The end of the operator's log.
    #[must_use]
    pub fn operator_tail(&self) -> String {
        let tail = self.operator.as_ref().map(Operator::tail).unwrap_or_default();
        let brief = |line: &str| match serde_json::from_str::<Value>(line) {
            Ok(said) => {
                let of = &said["span"];
                format!(
                    "{} {} {}: {} {}",
                    said["level"], of["kind"], of["name"], said["reason"], said["message"]
                )
            }
            Err(_) => line.to_owned(),
        };
        tail.lines().map(brief).collect::<Vec<_>>().join("\n")
    }

    /// One of our resources.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn resource(&self, kind: &str, name: &str) -> anyhow::Result<Option<DynamicObject>> {
        Ok(journey::api(&self.client, IDENTITY, kind).get_opt(name).await?)
    }

    /// Names and generations of all our resources.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn generations(&self) -> anyhow::Result<Vec<(String, Option<i64>)>> {
        let mut found = Vec::new();
        for kind in kinds() {
            let all = journey::api(&self.client, IDENTITY, kind).list(&Default::default()).await?;
            found.extend(all.iter().map(|o| (format!("{kind} {}", o.name_any()), o.metadata.generation)));
        }
        Ok(found)
    }

    /// What a resource asks a person for first: step and value.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn asked(&self, kind: &str, name: &str) -> anyhow::Result<Option<(String, String)>> {
        let object = self.resource(kind, name).await?;
        let step = object.as_ref().and_then(|o| o.data.pointer("/status/handoff/pending/0"));
        let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        Ok(step.map(|step| (text(step, "step"), text(step, "value"))))
    }

    /// Waits until a resource asks for that step, and answers the value that goes with it.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_asked(&self, kind: &str, name: &str, step: &str) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let asked = self.asked(kind, name).await?;
            match asked {
                Some((found, value)) if found == step => return Ok(value),
                asked if Instant::now() > end => {
                    bail!("{kind} {name} does not ask for {step} but for {asked:?}\n{}", self.operator_tail())
                }
                _ => tokio::time::sleep(TICK).await,
            }
        }
    }

    /// The person imports into AWS what the federation published. What says so in the cluster is left to Git.
    ///
    /// # Errors
    /// When nothing is published, or AWS refuses it.
    pub async fn import_metadata(&self, federation: &str) -> anyhow::Result<()> {
        let object = self.resource("IdentityFederation", federation).await?.context("a federation")?;
        let reference = &object.data["status"]["handoff"]["idpMetadata"]["configMapKeyRef"];
        let (name, key) =
            (reference["name"].as_str().context("a ConfigMap")?, reference["key"].as_str().context("a key")?);
        let map = Api::<ConfigMap>::namespaced(self.client.clone(), IDENTITY).get(name).await?;
        let metadata = map.data.and_then(|mut data| data.remove(key)).context("metadata")?;
        let refused =
            |e: sandbox::aws::ConsoleError| anyhow::anyhow!("AWS refuses it: {} {}", e.status, e.message);
        self.sandbox.aws.set_external_identity_provider(&metadata).map_err(refused)?;
        Ok(())
    }

    /// Which groups and people have a permission set anywhere, as AWS knows it; none: there is no such set.
    #[must_use]
    pub fn holders(&self, set: &str) -> Option<BTreeSet<String>> {
        let (_, aws, _) = self.sandbox.aws.world();
        aws.permission_sets.iter().any(|p| p.name == set).then(|| {
            let of_it = aws.assignments.iter().filter(|a| a.permission_set == set);
            of_it.filter_map(|a| a.group.clone().or_else(|| a.user.clone())).collect()
        })
    }

    /// All permission sets in AWS.
    #[must_use]
    pub fn permission_sets(&self) -> Vec<String> {
        self.sandbox.aws.world().1.permission_sets.into_iter().map(|p| p.name).collect()
    }

    /// People are disabled in Entra, and some time passes there, so that the next provisioning cycle is due.
    ///
    /// # Errors
    /// When there is nobody of that name.
    pub fn disable_people(&self, names: &[&str]) -> anyhow::Result<()> {
        let users = self.sandbox.world().tenant.users;
        for name in names {
            let found = users.iter().find(|u| u.user_principal_name == *name).and_then(|u| u.id.clone());
            let id = found.with_context(|| format!("{name} has an id"))?;
            let refused = |e| anyhow::anyhow!("Entra refuses it: {e:?}");
            self.sandbox.entra.update_user(&id, &json!({"accountEnabled": false})).map_err(refused)?;
        }
        self.sandbox.core.clock.advance(SignedDuration::from_mins(41));
        Ok(())
    }
}
