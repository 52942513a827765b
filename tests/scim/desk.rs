//! One federation whose application exists, one connection, and a hand that turns the reconciler's crank.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway::api::v1alpha1::{IdentityFederation, ScimConnection, ScimConnectionStatus};
use causeway::clients::entra::{ClientSecret, Graph, GraphOptions};
use causeway::clients::http::{HttpOptions, client};
use causeway::clients::{Call, CallObserver};
use causeway::clock::Clock;
use causeway::controllers::context::Context;
use causeway::controllers::scim_connection::ScimConnectionReconciler;
use causeway::controllers::{Cleanup, Clouds, Next, Notice, Outcome, Reconciler as _};
use causeway::secret::Sensitive;
use causeway::settings::Settings;
use causeway::status::condition;
use causeway::telemetry::Metrics;
use http::Method;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use sandbox::Sandbox;
use sandbox::core::Profile;
use sandbox::world::World;
use serde_json::{Value, json};

use crate::support::namespace;

/// How long anything may take, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(90);
const TEMPLATE: &str = "21ed01d2-ec13-4e9e-86c1-cd546719ebc4";
pub const NAME: &str = "acme";
pub const SECRET: &str = "aws-scim";

/// Stops the caller for good at the nth moment, where each call has two: before and after it.
#[derive(Debug)]
pub struct Cut {
    moments: AtomicUsize,
    at: usize,
    reached: tokio::sync::Notify,
    /// The call at which it was cut.
    pub place: Mutex<Option<String>>,
}

impl Cut {
    pub fn at(moment: usize) -> Arc<Self> {
        Arc::new(Self {
            moments: AtomicUsize::new(0),
            at: moment,
            reached: tokio::sync::Notify::new(),
            place: Mutex::default(),
        })
    }

    pub fn never() -> Arc<Self> {
        Self::at(usize::MAX)
    }

    async fn moment(&self, when: &str, what: &str) {
        if self.moments.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{when} {what}"));
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait::async_trait]
impl CallObserver for Cut {
    async fn before(&self, call: &Call) {
        self.moment("before", &call.operation).await;
    }

    async fn after(&self, call: &Call, _: u16, _: Duration) {
        self.moment("after", &call.operation).await;
    }
}

/// One operator's life.
pub struct Operator {
    context: Context,
    reconciler: ScimConnectionReconciler,
    cut: Arc<Cut>,
}

/// The world of one test.
pub struct Desk {
    pub sandbox: Sandbox,
    pub kube: kube::Client,
    pub namespace: String,
    pub clock: Clock,
    pub admin: Graph,
    pub service_principal: String,
    pub notices: Mutex<Vec<Notice>>,
    pub status_writes: AtomicUsize,
    _dir: tempfile::TempDir,
}

impl Desk {
    /// The application exists, two groups are assigned, AWS is ready for provisioning; no Secret, no connection yet.
    pub async fn new(prefix: &str) -> Self {
        let (kube, namespace) = namespace(prefix).await;
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(sandbox::Options {
            world: World::load("company-enabled").unwrap(),
            profile: Profile::fast(),
            seed: 7,
            dir: dir.path().to_owned(),
            cluster: sandbox::Cluster::None,
        })
        .await
        .unwrap();
        let entra = sandbox.descriptor().entra;
        let options = GraphOptions {
            graph: entra.graph.parse().unwrap(),
            authority: entra.authority.parse().unwrap(),
            total: Duration::from_secs(60),
        };
        let identity = ClientSecret {
            tenant_id: entra.tenant_id.clone(),
            client_id: entra.client_id.clone(),
            secret: Sensitive::new(entra.client_secret.clone()),
        };
        let http = HttpOptions::within(Duration::from_secs(60), Some(sandbox.ca_pem().to_owned()));
        let admin = Graph::new(options, identity, client(&http).unwrap(), Cut::never()).unwrap();
        let mut desk = Self {
            sandbox,
            kube,
            namespace,
            clock: Clock::system(),
            admin,
            service_principal: String::new(),
            notices: Mutex::default(),
            status_writes: AtomicUsize::new(0),
            _dir: dir,
        };
        desk.instantiate().await;
        desk.federation(&entra).await;
        desk
    }

    /// Like the federation's controller, without waiting for the provisioning service to warm up.
    async fn instantiate(&mut self) {
        let body = json!({"displayName": "AWS"});
        let made = self.post(&format!("/applicationTemplates/{TEMPLATE}/instantiate"), &body).await;
        self.service_principal = made["servicePrincipal"]["id"].as_str().unwrap().to_owned();
        let path = format!("/servicePrincipals/{}", self.service_principal);
        let principal = self.eventually(&path).await;
        let roles = principal["appRoles"].as_array().unwrap();
        let role = roles.iter().find(|r| r["displayName"] == "User").unwrap()["id"].clone();
        for group in ["aws-engineers", "aws-auditors"] {
            let id = self.group(group).await;
            let body = json!({"principalId": id, "resourceId": self.service_principal, "appRoleId": role});
            self.post(&format!("{path}/appRoleAssignedTo"), &body).await;
        }
    }

    async fn federation(&self, entra: &sandbox::EntraEndpoint) {
        let federation: IdentityFederation = serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation", "metadata": {"name": NAME},
            "spec": {
                "entra": {"tenantId": entra.tenant_id, "application": {},
                    "credentials": {"clientSecret": {"clientId": entra.client_id, "secretRef": {"name": "entra", "key": "clientSecret"}}}},
                "aws": {"region": "eu-west-1", "credentials": {"ambient": {}},
                    "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}}}}}))
        .unwrap();
        self.put_secret("entra", &[("clientSecret", &entra.client_secret)]).await;
        let api: Api<IdentityFederation> = Api::namespaced(self.kube.clone(), &self.namespace);
        api.create(&PostParams::default(), &federation).await.unwrap();
        self.federation_ready(true).await;
    }

    /// What the federation's controller says about its application.
    pub async fn federation_ready(&self, ready: bool) {
        let api: Api<IdentityFederation> = Api::namespaced(self.kube.clone(), &self.namespace);
        let status = json!({"status": {
            "entra": {"servicePrincipalId": self.service_principal},
            "conditions": [{"type": "EntraApplicationReady", "status": if ready {"True"} else {"False"}, "reason": "Succeeded", "message": "",
                "lastTransitionTime": jiff::Timestamp::now().to_string()}]}});
        api.patch_status(NAME, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.admin.send("POST /test", Method::POST, path, Some(body)).await {
                Ok(reply) => return reply.body,
                // Replication lag.
                Err(error) if matches!(error.status, 400 | 404) && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                Err(error) => panic!("{path}: {error}"),
            }
        }
    }

    async fn eventually(&self, path: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(value) = self.admin.get::<Value>("GET /test", path, &[]).await {
                return value;
            }
            assert!(Instant::now() < deadline, "{path} never appeared");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Changes the federation's spec.
    pub async fn patch_federation(&self, spec: &Value) {
        let api: Api<IdentityFederation> = Api::namespaced(self.kube.clone(), &self.namespace);
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(&json!({"spec": spec}))).await.unwrap();
    }

    /// As the API server has it.
    pub async fn status(&self) -> ScimConnectionStatus {
        self.connections().get(NAME).await.unwrap().status.unwrap_or_default()
    }

    /// Asks for the connection's deletion.
    pub async fn delete(&self) {
        self.connections().delete(NAME, &DeleteParams::default()).await.unwrap();
    }

    pub async fn group(&self, name: &str) -> String {
        self.admin.groups_named(name).await.unwrap().remove(0).id
    }

    pub fn connections(&self) -> Api<ScimConnection> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Creates a connection; `spec` is merged over the smallest one.
    pub async fn connection(&self, name: &str, spec: &Value) {
        let mut merged = json!({"federationRef": {"name": NAME}, "secretRef": {"name": SECRET}});
        merged.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection",
            "metadata": {"name": name, "finalizers": ["causeway.dev/cleanup"]}, "spec": merged});
        let object: ScimConnection = serde_json::from_value(object).unwrap();
        self.connections().create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn patch(&self, patch: &Value) {
        self.connections().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn annotate(&self, name: &str, value: &str) {
        self.patch(&json!({"metadata": {"annotations": {name: value}}})).await;
    }

    /// Creates or replaces a Secret.
    pub async fn put_secret(&self, name: &str, data: &[(&str, &str)]) {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        let _ = api.delete(name, &DeleteParams::default()).await;
        let data: BTreeMap<_, _> = data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let secret = Secret { string_data: Some(data), ..Secret::default() };
        let secret = Secret {
            metadata: kube::core::ObjectMeta { name: Some(name.into()), ..Default::default() },
            ..secret
        };
        api.create(&PostParams::default(), &secret).await.unwrap();
    }

    pub async fn remove_secret(&self, name: &str) {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The person at AWS's console: makes a token and stores it. Answers the token and its id.
    pub async fn hand_over(&self) -> (String, String) {
        let made = self
            .sandbox
            .aws
            .create_scim_token()
            .or_else(|_| self.sandbox.aws.enable_automatic_provisioning())
            .unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let issued = self.sandbox.core.clock.now().to_string();
        let (endpoint, token) = (text("endpoint"), text("token"));
        self.put_secret(SECRET, &[("endpoint", &endpoint), ("token", &token), ("issuedAt", &issued)]).await;
        (token, text("id"))
    }

    /// An operator that starts now.
    pub fn operator(&self, cut: Arc<Cut>) -> Operator {
        let entra = self.sandbox.descriptor().entra;
        let mut settings = Settings::for_tests("test");
        settings.endpoints.graph = entra.graph.parse().unwrap();
        settings.endpoints.authority = entra.authority.parse().unwrap();
        settings.endpoints.ca_pem = Some(self.sandbox.ca_pem().to_owned());
        let scim: url::Url = self.sandbox.descriptor().aws.endpoint.parse().unwrap();
        settings.scim_hosts = [scim.authority().to_owned()].into();
        let settings = Arc::new(settings);
        let clouds = Clouds::new(settings.clone(), cut.clone()).unwrap();
        let context = Context::new(
            self.kube.clone(),
            settings,
            self.clock.clone(),
            clouds,
            cut.clone(),
            Arc::new(Metrics::new()),
        );
        Operator { context, reconciler: ScimConnectionReconciler::default(), cut }
    }

    /// Moves the clouds' clock and ours.
    pub fn advance(&self, by: SignedDuration) {
        self.sandbox.core.clock.advance(by);
        self.clock.shift(SignedDuration::from_secs_f64(self.sandbox.core.clock.offset_seconds()));
    }

    /// Jobs as they are in Entra.
    pub fn jobs(&self) -> Vec<Value> {
        fn find(value: &Value, found: &mut Vec<Value>) {
            match value {
                Value::Object(map) if map.get("jobs").is_some_and(Value::is_array) => {
                    found.extend(map["jobs"].as_array().unwrap().iter().cloned());
                }
                Value::Object(map) => map.values().for_each(|v| find(v, found)),
                Value::Array(all) => all.iter().for_each(|v| find(v, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        find(&self.sandbox.entra.state(), &mut found);
        found
    }

    /// Successful writes of the operator below `/synchronization` after a place in the journal, in order, shortened.
    pub fn writes(&self, after: u64) -> Vec<String> {
        let entries = self.sandbox.core.journal.after(after);
        entries
            .iter()
            .filter(|e| e.service == "graph" && e.outcome == "ok")
            .filter_map(|e| {
                Some(e.operation.replace("/servicePrincipals/{id}/synchronization", ""))
                    .filter(|o| *o != e.operation)
            })
            .collect()
    }

    pub fn mark(&self) -> u64 {
        self.sandbox.core.journal.last()
    }
}

impl Operator {
    /// One pass, its status written when it differs, as the runner does. None: the object is gone. How long to wait.
    pub async fn pass(&self, desk: &Desk, name: &str) -> Option<Duration> {
        let api = desk.connections();
        let object = api.get_opt(name).await.unwrap()?;
        let outcome: Outcome<ScimConnectionStatus> = if object.metadata.deletion_timestamp.is_some() {
            match self.reconciler.cleanup(&object, &self.context).await {
                Cleanup::Done | Cleanup::Left(_) => {
                    let patch = json!({"metadata": {"finalizers": null}});
                    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
                    return None;
                }
                Cleanup::Waiting(outcome) => outcome,
            }
        } else {
            self.reconciler.reconcile(&object, &self.context).await
        };
        desk.notices.lock().unwrap().extend(outcome.notices);
        if object.status.as_ref() != Some(&outcome.status) {
            desk.status_writes.fetch_add(1, Ordering::SeqCst);
            self.cut.moment("before", "the status").await;
            let payload = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection", "metadata": {"name": name}, "status": outcome.status});
            api.patch_status(name, &PatchParams::apply("causeway").force(), &Patch::Apply(&payload))
                .await
                .unwrap();
            self.cut.moment("after", "the status").await;
        }
        Some(match outcome.next {
            Next::After(delay) if outcome.class.is_none() => delay,
            _ => Duration::from_millis(50),
        })
    }

    /// Passes until the status is as wanted.
    pub async fn until(
        &self,
        desk: &Desk,
        what: &str,
        wanted: impl Fn(&ScimConnectionStatus) -> bool,
    ) -> ScimConnectionStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let delay = self.pass(desk, NAME).await.expect("the connection exists");
            let status = desk.status().await;
            if wanted(&status) {
                return status;
            }
            let shown = || serde_json::to_string_pretty(&status).unwrap();
            assert!(Instant::now() < deadline, "never {what}: {}", shown());
            tokio::time::sleep(delay.min(Duration::from_millis(50))).await;
        }
    }

    /// Passes until the connection is gone.
    pub async fn until_gone(&self, desk: &Desk) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(delay) = self.pass(desk, NAME).await {
            let shown = serde_json::to_string_pretty(&desk.status().await).unwrap();
            assert!(Instant::now() < deadline, "never gone: {shown}");
            tokio::time::sleep(delay.min(Duration::from_millis(50))).await;
        }
    }

    pub async fn until_ready(&self, desk: &Desk) -> ScimConnectionStatus {
        self.until(desk, "ready", |s| is(s, "Ready", "True", "Succeeded")).await
    }

    /// Passes until it is cut off, or, when it is not, until ready: then answers false.
    pub async fn until_cut(&self, desk: &Desk) -> bool {
        tokio::select! {
            () = self.cut.reached.notified() => true,
            _ = self.until_ready(desk) => false,
        }
    }
}

/// Whether a condition is exactly so.
pub fn is(status: &ScimConnectionStatus, kind: &str, verdict: &str, reason: &str) -> bool {
    condition(&status.conditions, kind).is_some_and(|c| c.status == verdict && c.reason == reason)
}

/// A condition's message.
pub fn message<'a>(status: &'a ScimConnectionStatus, kind: &str) -> &'a str {
    condition(&status.conditions, kind).map_or("", |c| c.message.as_str())
}
