//! One federation between two simulated clouds, on a real API server, reconciled pass by pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway::api::v1alpha1::{IdentityFederation, IdentityFederationStatus};
use causeway::clients::entra::{ClientSecret, Graph, GraphOptions};
use causeway::clients::http::{HttpOptions, client};
use causeway::clients::{Call, CallObserver, Service};
use causeway::clock::Clock;
use causeway::controllers::context::Context;
use causeway::controllers::identity_federation::IdentityFederationReconciler;
use causeway::controllers::{Cleanup, Clouds, Next, Outcome, Reconciler as _};
use causeway::observers::Chain;
use causeway::problem::Class;
use causeway::secret::Sensitive;
use causeway::settings::Settings;
use causeway::status::condition;
use causeway::telemetry::Metrics;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use sandbox::core::Profile;
use sandbox::world::World;
use sandbox::{Cluster, Options, Sandbox};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support;

/// Passes that anything takes at most.
const PASSES: usize = 150;
/// How long anything that needs the clouds to do something may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Bench {
    pub sandbox: Sandbox,
    pub client: Client,
    pub namespace: String,
    pub settings: Settings,
    pub clock: Clock,
    _dir: tempfile::TempDir,
}

/// Where an operator stops for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Never,
    /// Before the nth call to a cloud.
    BeforeCall(usize),
    /// Before the nth writing call.
    BeforeWrite(usize),
    /// After it: the effect is there, the answer is lost.
    AfterWrite(usize),
}

/// Counts calls to the clouds, and stops the caller for good at one of them.
#[derive(Debug)]
pub struct Guillotine {
    stop: Stop,
    calls: AtomicUsize,
    writes: AtomicUsize,
    fallen: Notify,
}

impl Guillotine {
    async fn fall(&self) {
        self.fallen.notify_one();
        std::future::pending::<()>().await;
    }
}

#[async_trait::async_trait]
impl CallObserver for Guillotine {
    async fn before(&self, call: &Call) {
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        // Buying a token is no write that anybody could see.
        let write = call.write && call.service == Service::Graph;
        let writes = self.writes.fetch_add(usize::from(write), Ordering::SeqCst) + usize::from(write);
        if self.stop == Stop::BeforeCall(calls) || (write && self.stop == Stop::BeforeWrite(writes)) {
            self.fall().await;
        }
    }

    async fn after(&self, call: &Call, _: u16, _: Duration) {
        let write = call.write && call.service == Service::Graph;
        if write && self.stop == Stop::AfterWrite(self.writes.load(Ordering::SeqCst)) {
            self.fall().await;
        }
    }
}

/// An operator's life: its memory ends with it.
pub struct Operator {
    reconciler: IdentityFederationReconciler,
    context: Context,
    guillotine: Arc<Guillotine>,
}

impl Bench {
    pub async fn new(world: &str, profile: Profile) -> Self {
        Self::of(World::load(world).unwrap(), profile).await
    }

    pub async fn of(world: World, profile: Profile) -> Self {
        let (client, namespace) = support::namespace("federation").await;
        let dir = tempfile::tempdir().unwrap();
        let options = Options { world, profile, seed: 7, dir: dir.path().to_owned(), cluster: Cluster::None };
        let sandbox = Sandbox::start(options).await.unwrap();
        let found = sandbox.descriptor();
        let mut settings = Settings::for_tests("test");
        settings.endpoints.graph = found.entra.graph.parse().unwrap();
        settings.endpoints.authority = found.entra.authority.parse().unwrap();
        settings.endpoints.aws = Some(found.aws.endpoint.parse().unwrap());
        settings.endpoints.ca_pem = Some(sandbox.ca_pem().to_owned());
        settings.timing.creation_grace = Duration::from_secs(300);
        // Other tests have federations of the same tenant and applications.
        settings.namespaces = [namespace.clone()].into();
        let bench = Self { sandbox, client, namespace, settings, clock: Clock::system(), _dir: dir };
        let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let secrets = bench.api::<Secret>();
        for secret in [
            secret("entra", json!({"clientSecret": found.entra.client_secret})),
            secret(
                "aws",
                json!({"accessKeyId": found.aws.access_key_id, "secretAccessKey": found.aws.secret_access_key}),
            ),
        ] {
            secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        }
        bench
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The federation `acme`; `spec` is merged into a plain one.
    pub async fn create(&self, spec: Value) {
        self.create_named("acme", spec).await;
    }

    /// A federation of another name.
    pub async fn create_named(&self, name: &str, spec: Value) {
        let found = self.sandbox.descriptor();
        let mut object = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation", "metadata": {"name": name},
            "spec": {
                "entra": {
                    "tenantId": found.entra.tenant_id,
                    "credentials": {"clientSecret": {
                        "clientId": found.entra.client_id, "secretRef": {"name": "entra", "key": "clientSecret"}}},
                    "application": {"assignments": [
                        {"group": {"displayName": "aws-engineers"}}, {"user": {"userPrincipalName": "greta@acme.example"}}]}
                },
                "aws": {
                    "region": "eu-west-1",
                    "credentials": {"secretRef": {"name": "aws"}},
                    "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "aws-sp-metadata", "key": "metadata.xml"}}}
                }
            }
        });
        merge(&mut object["spec"], spec);
        let object: IdentityFederation = serde_json::from_value(object).unwrap();
        self.api::<IdentityFederation>().create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn patch(&self, body: Value) {
        self.api::<IdentityFederation>()
            .patch("acme", &PatchParams::default(), &Patch::Merge(body))
            .await
            .unwrap();
    }

    pub async fn acknowledge(&self, sha256: &str) {
        self.patch(json!({"metadata": {"annotations": {"causeway.dev/acknowledge": sha256}}})).await;
    }

    pub async fn get(&self) -> IdentityFederation {
        self.named("acme").await
    }

    pub async fn named(&self, name: &str) -> IdentityFederation {
        self.api::<IdentityFederation>().get(name).await.unwrap()
    }

    pub async fn status(&self) -> IdentityFederationStatus {
        self.get().await.status.unwrap_or_default()
    }

    /// Graph, as a person's tools use it.
    pub fn graph(&self) -> Graph {
        let entra = self.sandbox.descriptor().entra;
        let total = Duration::from_secs(20);
        let endpoints = &self.settings.endpoints;
        let options =
            GraphOptions { graph: endpoints.graph.clone(), authority: endpoints.authority.clone(), total };
        let identity = ClientSecret {
            tenant_id: entra.tenant_id,
            client_id: entra.client_id,
            secret: Sensitive::new(entra.client_secret),
        };
        let http = client(&HttpOptions::within(total, endpoints.ca_pem.clone())).unwrap();
        Graph::new(options, identity, http, Chain::of([])).unwrap()
    }

    /// A person changes the application, as soon as all replicas let them.
    pub async fn change_application(&self, body: &Value) {
        let id = self.status().await.entra.unwrap().application_object_id.unwrap();
        let graph = self.graph();
        eventually("the application is changed", async || graph.patch_application(&id, body).await.is_ok())
            .await;
    }

    /// A person leaves only the roles of these names usable. Their ids by name.
    pub async fn leave_usable(&self, names: &[&str]) -> BTreeMap<String, String> {
        let id = self.status().await.entra.unwrap().application_object_id.unwrap();
        let state = self.entra();
        let application = state["applications"]
            .as_array()
            .unwrap()
            .iter()
            .find(|a| a["id"] == id.as_str())
            .unwrap()
            .clone();
        let mut roles = application["appRoles"].clone();
        for role in roles.as_array_mut().unwrap() {
            role["isEnabled"] = json!(names.iter().any(|name| role["displayName"] == *name));
        }
        self.change_application(&json!({"appRoles": roles})).await;
        let text = |role: &Value, field: &str| role[field].as_str().unwrap().to_owned();
        roles.as_array().unwrap().iter().map(|r| (text(r, "displayName"), text(r, "id"))).collect()
    }

    pub async fn assign_in_spec(&self, groups: &[&str]) {
        let groups: Vec<_> = groups.iter().map(|n| json!({"group": {"displayName": n}})).collect();
        self.patch(json!({"spec": {"entra": {"application": {"assignments": groups}}}})).await;
    }

    /// AWS's console offers a file; a person puts it into a ConfigMap.
    pub async fn provide_metadata(&self) {
        let xml = self.sandbox.aws.service_provider_metadata().unwrap();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-sp-metadata"}, "data": {"metadata.xml": xml}});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        self.api::<ConfigMap>().create(&PostParams::default(), &map).await.unwrap();
    }

    /// AWS moved: another reply URL stands in the file.
    pub async fn change_service_provider(&self) {
        let maps = self.api::<ConfigMap>();
        let mut map = maps.get("aws-sp-metadata").await.unwrap();
        let xml = map.data.as_mut().unwrap().get_mut("metadata.xml").unwrap();
        *xml = xml.replace("/platform/saml/acs/", "/platform/saml/acs/moved-");
        maps.replace("aws-sp-metadata", &PostParams::default(), &map).await.unwrap();
    }

    /// A person brings Entra's metadata to AWS and says so.
    pub async fn import_metadata(&self) {
        let map = self.api::<ConfigMap>().get("acme-idp-metadata").await.unwrap();
        let xml = &map.data.unwrap()["federation-metadata.xml"];
        self.sandbox.aws.set_external_identity_provider(xml).unwrap();
        let step = self.step("ImportIdpMetadata").await.unwrap();
        self.acknowledge(&step.value.unwrap()).await;
    }

    pub async fn step(&self, name: &str) -> Option<causeway::api::HandoffStep> {
        self.status().await.handoff?.pending.into_iter().find(|s| s.step == name)
    }

    pub async fn steps(&self) -> Vec<String> {
        self.status()
            .await
            .handoff
            .map(|h| h.pending.into_iter().map(|s| s.step).collect())
            .unwrap_or_default()
    }

    /// Status, reason and message of a condition.
    pub async fn condition(&self, kind: &str) -> (String, String, String) {
        self.condition_of("acme", kind).await
    }

    /// Likewise, of another federation.
    pub async fn condition_of(&self, name: &str, kind: &str) -> (String, String, String) {
        let status = self.named(name).await.status.unwrap_or_default();
        let found =
            condition(&status.conditions, kind).unwrap_or_else(|| panic!("no condition {kind}")).clone();
        (found.status, found.reason, found.message)
    }

    pub fn operator(&self) -> Operator {
        self.mortal(Stop::Never)
    }

    pub fn mortal(&self, stop: Stop) -> Operator {
        let guillotine = Arc::new(Guillotine {
            stop,
            calls: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            fallen: Notify::new(),
        });
        let settings = Arc::new(self.settings.clone());
        let clouds = Clouds::new(settings.clone(), guillotine.clone()).unwrap();
        let context = Context::new(
            self.client.clone(),
            settings,
            self.clock.clone(),
            clouds,
            guillotine.clone(),
            Arc::new(Metrics::new()),
        );
        Operator { reconciler: IdentityFederationReconciler::default(), context, guillotine }
    }

    /// Moves the clouds' clock and the operator's alike.
    pub fn advance(&self, by: SignedDuration) {
        self.sandbox.core.clock.advance(by);
        let seconds = self.sandbox.core.clock.offset_seconds();
        self.clock.shift(SignedDuration::try_from_secs_f64(seconds).unwrap());
    }

    /// What was written to Entra since, by the operator.
    pub fn writes_after(&self, seq: u64) -> Vec<String> {
        let client = self.sandbox.descriptor().entra.client_id;
        let journal = self.sandbox.core.journal.after(seq);
        let own = journal.into_iter().filter(|e| e.service == "graph" && e.caller == client);
        own.map(|e| format!("{} {}", e.operation, e.outcome)).collect()
    }

    pub fn last_write(&self) -> u64 {
        self.sandbox.core.journal.last()
    }

    pub fn entra(&self) -> Value {
        self.sandbox.entra.state()
    }

    /// Object id of a group.
    pub fn group(&self, name: &str) -> String {
        let state = self.entra();
        let groups = state["groups"].as_array().unwrap();
        groups.iter().find(|g| g["displayName"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Names of who is assigned to anything, sorted.
    pub fn assigned(&self) -> Vec<String> {
        let state = self.entra();
        let names = state["appRoleAssignments"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            names.map(|a| a["principalDisplayName"].as_str().unwrap_or_default().to_owned()).collect();
        names.sort();
        names
    }

    /// Names of who is assigned, and under which role (its id).
    pub fn assigned_roles(&self) -> BTreeSet<(String, String)> {
        let state = self.entra();
        let text = |a: &Value, field: &str| a[field].as_str().unwrap_or_default().to_owned();
        let all = state["appRoleAssignments"].as_array().unwrap();
        all.iter().map(|a| (text(a, "principalDisplayName"), text(a, "appRoleId"))).collect()
    }

    /// Applications that the operator made, deleted ones left out.
    pub fn applications(&self) -> Vec<Value> {
        let ours = |a: &&Value| {
            let of = |field: &str| a[field].as_str().unwrap_or_default().to_owned();
            of("notes").contains("Managed by Causeway") || of("displayName").starts_with("causeway-")
        };
        self.entra()["applications"].as_array().unwrap().iter().filter(ours).cloned().collect()
    }

    /// The world without the cluster's memory: same YAML, new uid, no status.
    pub async fn rebuild(&self) {
        let old = self.get().await;
        let params = DeleteParams::default();
        self.api::<IdentityFederation>().delete("acme", &params).await.unwrap();
        for name in ["acme-idp-metadata", "acme-assignments"] {
            let _ = self.api::<ConfigMap>().delete(name, &params).await;
        }
        let mut new = IdentityFederation::new("acme", old.spec.clone());
        new.metadata.annotations = old.metadata.annotations.clone();
        self.api::<IdentityFederation>().create(&PostParams::default(), &new).await.unwrap();
    }
}

impl Operator {
    /// One pass, and its status written as the runner does; none when it was stopped for good.
    pub async fn pass(&self, bench: &Bench) -> Option<Outcome<IdentityFederationStatus>> {
        self.pass_of(bench, "acme").await
    }

    /// Likewise, of another federation.
    pub async fn pass_of(&self, bench: &Bench, name: &str) -> Option<Outcome<IdentityFederationStatus>> {
        let object = bench.named(name).await;
        let outcome = tokio::select! {
            biased;
            () = self.guillotine.fallen.notified() => return None,
            outcome = self.reconciler.reconcile(&object, &self.context) => outcome,
        };
        if object.status.as_ref() != Some(&outcome.status) {
            let mut next = object;
            next.status = Some(outcome.status.clone());
            bench.api().replace_status(name, &PostParams::default(), &next).await.unwrap();
        }
        Some(outcome)
    }

    /// Passes until there is nothing to do but wait for a person; false when it was stopped for good.
    pub async fn settle(&self, bench: &Bench) -> bool {
        let mut last = None;
        for pass in 0..PASSES {
            let Some(outcome) = self.pass(bench).await else { return false };
            match (outcome.class, outcome.next) {
                (None, Next::Resync)
                | (Some(Class::Blocked | Class::Invalid | Class::Guarded | Class::Denied), _) => return true,
                (None, _) => {}
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            if pass > 30 {
                // Something is being waited for that takes long.
                bench.advance(SignedDuration::from_mins(1));
            }
            last = Some(outcome);
        }
        panic!("does not settle: {last:#?}");
    }

    /// Passes until something holds.
    pub async fn until(&self, bench: &Bench, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.pass(bench).await.unwrap();
            if holds().await {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {:#?}", bench.status().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One pass of letting go.
    pub async fn cleanup_pass(&self, bench: &Bench) -> Cleanup<IdentityFederationStatus> {
        self.reconciler.cleanup(&bench.get().await, &self.context).await
    }

    /// Passes of letting go until something else than time is needed.
    pub async fn cleanup(&self, bench: &Bench) -> Cleanup<IdentityFederationStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.cleanup_pass(bench).await {
                Cleanup::Waiting(outcome)
                    if matches!(outcome.class, Some(Class::Pending | Class::Transient)) =>
                {
                    assert!(Instant::now() < deadline, "cleaning up does not end: {outcome:#?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                ended => return ended,
            }
        }
    }

    pub fn calls(&self) -> usize {
        self.guillotine.calls.load(Ordering::SeqCst)
    }

    pub fn writes(&self) -> usize {
        self.guillotine.writes.load(Ordering::SeqCst)
    }
}

/// Waits until something holds that needs no pass.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The name of a ConfigMap's owner.
pub fn owner(map: &ConfigMap) -> Option<String> {
    map.owner_references().first().map(|o| format!("{} {}", o.kind, o.name))
}
