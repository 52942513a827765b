//! A world of its own for a test: both clouds, a namespace of the shared cluster, a person, and operators to start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway::api::annotations;
use causeway::clients::CallObserver;
use causeway::settings::{Endpoints, Settings};
use jiff::SignedDuration;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use sandbox::core::{Entry, Profile};
use sandbox::journey::{self, Person};
use sandbox::world::World;
use sandbox::{Cluster, Options, Sandbox};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::namespace;

pub const FEDERATION: &str = include_str!("../../examples/identity-center/10-federation.yaml");
pub const CONNECTION: &str = include_str!("../../examples/identity-center/20-connection.yaml");
pub const BINDINGS: &str = include_str!("../../examples/identity-center/30-bindings.yaml");
pub const CHANGE: &str = include_str!("../../examples/identity-center/40-oncall-leaves-production.yaml");

/// The five resources of the example.
pub const ALL: [(&str, &str); 5] = [
    ("IdentityFederation", "acme"),
    ("ScimConnection", "acme"),
    ("PermissionSetBinding", "engineers"),
    ("PermissionSetBinding", "auditors"),
    ("PermissionSetBinding", "production"),
];

/// How long anything may take before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A world.
pub struct TestWorld {
    pub sandbox: Sandbox,
    pub client: Client,
    pub namespace: String,
    pub person: Person,
    pub settings: Settings,
    /// How operators reach the API server.
    pub kubernetes: kube::Config,
    /// How often something that is waited for is looked at.
    pub look_every: Duration,
    _dir: tempfile::TempDir,
}

/// An operator in this process. Ends at once when dropped: no step is finished, no lease is given back.
pub struct RunningOperator {
    task: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl RunningOperator {
    /// Ends it as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, &mut self.task)
            .await
            .expect("stops in time")
            .expect("without a panic");
    }
}

impl Drop for RunningOperator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestWorld {
    /// The small company on the shared cluster, with fast clouds.
    pub async fn company(prefix: &str) -> Self {
        Self::changed(prefix, |_, _| ()).await
    }

    /// The small company, a little different; `change` gets the namespace too. Both clouds know the cluster's issuer.
    pub async fn changed(prefix: &str, change: impl FnOnce(&mut World, &str)) -> Self {
        let (client, namespace) = namespace(prefix).await;
        let plane = super::cluster().await;
        let mut world = World::load("company").expect("the world");
        change(&mut world, &namespace);
        let world = Self::start(world, client, plane.kubeconfig(), &namespace).await;
        let key = plane.service_account_public_key().expect("a key");
        world.sandbox.core.issuers.trust(plane.issuer(), &key);
        world
    }

    /// A world on any cluster.
    pub async fn start(world: World, client: Client, kubeconfig: &std::path::Path, namespace: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options {
            world,
            profile: Profile::fast(),
            seed: 7,
            dir: dir.path().to_owned(),
            cluster: Cluster::None,
        };
        let sandbox = Sandbox::start(options).await.expect("the clouds");
        let descriptor = sandbox.descriptor();
        let url = |text: &str| url::Url::parse(text).expect("a URL");
        let mut settings = Settings::for_tests("test");
        settings.namespaces = BTreeSet::from([namespace.to_owned()]);
        settings.operator_namespace = namespace.to_owned();
        settings.scim_hosts =
            BTreeSet::from([descriptor.aws.endpoint.trim_start_matches("https://").to_owned()]);
        settings.endpoints = Endpoints {
            graph: url(&descriptor.entra.graph),
            authority: url(&descriptor.entra.authority),
            aws: Some(url(&descriptor.aws.endpoint)),
            ca_pem: Some(sandbox.ca_pem().to_owned()),
        };
        settings.timing.resync = Duration::from_secs(1);
        // A record of a creation is good for a quarter of this, and many worlds share the machine.
        settings.timing.creation_grace = Duration::from_secs(10);
        let kubernetes = causeway::cluster::config(Some(kubeconfig)).await.expect("a configuration");
        let person = Person::new(&sandbox, client.clone(), namespace);
        person.make_credentials().await.expect("the Secrets");
        let look_every = Duration::from_millis(40);
        let namespace = namespace.to_owned();
        Self { sandbox, client, namespace, person, settings, kubernetes, look_every, _dir: dir }
    }

    /// Starts an operator for this world.
    pub fn operator(&self) -> RunningOperator {
        self.operator_with(self.settings.clone(), None)
    }

    /// Starts an operator that an observer watches, or stops.
    pub fn operator_with(
        &self,
        settings: Settings,
        observer: Option<Arc<dyn CallObserver>>,
    ) -> RunningOperator {
        let stop = CancellationToken::new();
        let (token, kubernetes) = (stop.clone(), self.kubernetes.clone());
        let task = tokio::spawn(async move {
            causeway::app::run(settings, observer, token, Some(kubernetes)).await.expect("the operator runs");
        });
        RunningOperator { task, stop }
    }

    /// The person may have made two SCIM tokens on the way, and AWS allows no third one: the older one is of no use.
    pub fn delete_spare_scim_token(&self) {
        let state = self.sandbox.aws.state();
        let mut tokens = find(&state, "tokens").and_then(Value::as_array).cloned().expect("tokens");
        tokens.sort_by_key(|token| token["createdAt"].to_string());
        if let [older, _] = tokens.as_slice() {
            self.sandbox.aws.delete_scim_token(older["id"].as_str().expect("an id")).expect("it is there");
        }
    }

    /// Applies YAML into this world's namespace.
    pub async fn apply(&self, yaml: &str) {
        let objects = journey::parse(yaml, Some(&self.namespace)).expect("YAML");
        journey::apply(&self.client, &objects).await.expect("the API server accepts it");
    }

    /// Applies the whole example.
    pub async fn apply_example(&self) {
        for yaml in [FEDERATION, CONNECTION, BINDINGS] {
            self.apply(yaml).await;
        }
    }

    /// One of our resources.
    pub async fn get(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        let resources = journey::api(&self.client, &self.namespace, kind);
        journey::answered(async || resources.get_opt(name).await).await.expect("the API server answers")
    }

    /// Has the operator look at a resource again; as it is once it has, or none when it is gone.
    pub async fn look_anew(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        static WORD: AtomicUsize = AtomicUsize::new(0);
        let word = format!("again-{}", WORD.fetch_add(1, Ordering::Relaxed));
        let annotate = json!({"metadata": {"annotations": {annotations::RECONCILE: word}}});
        let (resources, annotate) =
            (journey::api(&self.client, &self.namespace, kind), Patch::Merge(annotate));
        match journey::answered(async || resources.patch(name, &PatchParams::default(), &annotate).await)
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => return None,
            patched => _ = patched.expect("it is taken"),
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let object = self.get(kind, name).await?;
            if object.data["status"]["lastHandledReconcileAt"] == word {
                return Some(object);
            }
            assert!(Instant::now() < deadline, "{kind} {name} was not looked at: {}", self.report().await);
            tokio::time::sleep(self.look_every).await;
        }
    }

    /// Waits until the resources are Ready at their newest generation; a person does what they ask for.
    pub async fn until_ready(&self, wanted: &[(&str, &str)]) {
        self.until_ready_or(wanted, || false).await;
    }

    /// The same, or until something else holds.
    pub async fn until_ready_or(&self, wanted: &[(&str, &str)], ends: impl Fn() -> bool) {
        self.until("Ready", async || {
            if ends() {
                return true;
            }
            if let Err(error) = self.person.act().await {
                // A hand-off that was just carried out may still stand in status.
                tracing::debug!(%error, "the person could not act");
            }
            for (kind, name) in wanted {
                if !self.get(kind, name).await.is_some_and(|object| is_ready(&object)) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            if Instant::now() > deadline {
                panic!("not within {} s: {what}\n{}", PATIENCE.as_secs(), self.report().await);
            }
            tokio::time::sleep(self.look_every).await;
        }
    }

    /// What all resources say, for a failed test.
    pub async fn report(&self) -> String {
        let mut lines = Vec::new();
        for kind in journey::kinds() {
            for object in
                journey::api(&self.client, &self.namespace, kind).list(&ListParams::default()).await.unwrap()
            {
                lines.push(format!(
                    "{kind} {}: {}",
                    object.name_any(),
                    serde_json::to_string_pretty(&object.data["status"]).unwrap()
                ));
            }
        }
        let last = self.sandbox.core.journal.last();
        for entry in self.sandbox.core.journal.after(last.saturating_sub(12)) {
            lines.push(format!(
                "{} {} {} {} -> {}",
                entry.seq, entry.service, entry.operation, entry.target, entry.outcome
            ));
        }
        lines.join("\n")
    }

    /// Moves the clouds' clock.
    pub fn advance(&self, by: SignedDuration) {
        self.sandbox.core.clock.advance(by);
    }

    /// The operator's own mutations after a point of the journal: not what people and the provisioning service did.
    pub fn mutations(&self, after: u64) -> Vec<Entry> {
        let entries = self.sandbox.core.journal.after(after).into_iter();
        entries
            .filter(|e| {
                !matches!(e.caller.as_str(), "person" | "provisioning-service") && e.service != "login"
            })
            .collect()
    }

    /// Objects that were created more than once, judged by the journal.
    pub fn created_twice(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for entry in self.mutations(0).into_iter().filter(|e| e.outcome == "ok") {
            let key = match entry.operation.as_str() {
                // The target names the new object, so that any second one is one too many.
                "POST /applicationTemplates/{id}/instantiate"
                | "POST /servicePrincipals/{id}/addTokenSigningCertificate"
                | "POST /servicePrincipals/{id}/synchronization/jobs" => entry.operation,
                "POST /servicePrincipals/{id}/appRoleAssignedTo"
                | "CreatePermissionSet"
                | "CreateAccountAssignment" => {
                    format!("{} {}", entry.operation, entry.target)
                }
                _ => continue,
            };
            *seen.entry(key).or_default() += 1;
        }
        seen.into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(key, times)| format!("{key} × {times}"))
            .collect()
    }

    /// What is in the clouds at the end, without ids: the same however one got there.
    pub fn end_state(&self) -> Value {
        let world = self.sandbox.world();
        let mut assignments: Vec<String> = world
            .identity_center
            .assignments
            .iter()
            .map(|a| format!("{} {} {:?} {:?}", a.account, a.permission_set, a.group, a.user))
            .collect();
        assignments.sort();
        let mut sets = world.identity_center.permission_sets;
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        let mut users: Vec<String> =
            world.identity_center.users.iter().map(|u| u.user_name.clone()).collect();
        users.sort();
        let mut groups: Vec<(String, BTreeSet<String>)> = world
            .identity_center
            .groups
            .iter()
            .map(|g| (g.display_name.clone(), g.members.iter().cloned().collect()))
            .collect();
        groups.sort();
        let applications: Vec<String> = world
            .tenant
            .applications
            .iter()
            .map(|a| {
                format!(
                    "{} {:?}",
                    a.display_name,
                    a.notes.as_deref().map(|n| n.replace(&self.namespace, "NS"))
                )
            })
            .collect();
        for set in &mut sets {
            set.tags.values_mut().for_each(|v| *v = v.replace(&self.namespace, "NS"));
        }
        serde_json::json!({
            "assignments": assignments, "permissionSets": sets, "users": users, "groups": groups, "applications": applications,
        })
    }
}

/// Whether Ready is True for the newest generation.
pub fn is_ready(object: &DynamicObject) -> bool {
    let status = &object.data["status"];
    status["observedGeneration"].as_i64() == object.metadata.generation
        && condition(object, "Ready").is_some_and(|c| c["status"] == "True")
}

/// A condition of a resource.
pub fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// The first value of that name, wherever it stands.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(name).or_else(|| map.values().find_map(|v| find(v, name))),
        Value::Array(all) => all.iter().find_map(|v| find(v, name)),
        _ => None,
    }
}
