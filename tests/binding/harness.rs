//! One world, one namespace, and an operator that runs one pass at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::api::v1alpha1::{IdentityFederation, PermissionSetBinding, PermissionSetBindingStatus};
use causeway::clients::aws::{AccessKey, AwsClients, Connection, Rates};
use causeway::clients::http::HttpOptions;
use causeway::clients::{Call, CallObserver};
use causeway::clock::Clock;
use causeway::cluster;
use causeway::controllers::context::Context;
use causeway::controllers::permission_set_binding::PermissionSetBindingReconciler;
use causeway::controllers::{Cleanup, Clouds, Next, Outcome, Reconciler as _};
use causeway::problem::Class;
use causeway::settings::Settings;
use causeway::status::condition;
use causeway::telemetry::Metrics;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use sandbox::core::{Entry, FaultKind, FaultRule, Profile};
use sandbox::world::{StoreGroup, StoreUser, World};
use sandbox::{Cluster, Options, Sandbox};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support;

pub const SHOP: &str = "111122223333";
pub const PAYMENTS: &str = "222233334444";
pub const DEV: &str = "333344445555";
pub const MANAGEMENT: &str = "100000000001";

/// Counts calls, and stops the caller for good before the nth.
#[derive(Debug, Default)]
pub struct Scissors {
    calls: AtomicUsize,
    cut_at: usize,
    cut: Notify,
    log: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl CallObserver for Scissors {
    async fn before(&self, call: &Call) {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.log.lock().unwrap().push(call.operation.clone());
        if n == self.cut_at {
            self.cut.notify_one();
            std::future::pending::<()>().await;
        }
    }

    async fn after(&self, _: &Call, _: u16, _: Duration) {}
}

/// An operator: everything that a restart loses.
pub struct Operator {
    pub context: Context,
    pub scissors: Arc<Scissors>,
}

/// Clouds and a namespace.
pub struct Twin {
    pub sandbox: Sandbox,
    pub client: Client,
    /// Of the bindings.
    pub namespace: String,
    /// Of the federation.
    pub home: String,
    pub aws: AwsClients,
    pub settings: Settings,
    /// Status writes so far.
    pub status_writes: AtomicUsize,
    /// What was said last of bindings that left something behind.
    pub told: Mutex<Vec<String>>,
    /// How often somebody asked to look anew.
    asked: AtomicUsize,
    _dir: tempfile::TempDir,
}

pub fn group(name: &str, external_id: &str) -> StoreGroup {
    StoreGroup { display_name: name.into(), external_id: Some(external_id.into()), members: vec![] }
}

/// Whether AWS said: not now.
pub fn put_off(outcome: &str) -> bool {
    outcome.contains("Throttl") || outcome.contains("Conflict")
}

/// A company with some people and groups in the identity store.
pub fn world() -> World {
    let mut world = World::load("company-enabled").unwrap();
    world.identity_center.groups = vec![
        group("aws-engineers", "e-engineers"),
        group("aws-admins", "e-admins"),
        group("aws-auditors", "e-auditors"),
    ];
    world.identity_center.users = vec![StoreUser {
        user_name: "ada@acme.example".into(),
        display_name: "Ada".into(),
        given_name: Some("Ada".into()),
        family_name: Some("Lindqvist".into()),
        external_id: Some("e-ada".into()),
    }];
    world
}

impl Twin {
    pub async fn start(world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            world,
            profile: Profile::fast(),
            seed: 7,
            dir: dir.path().to_owned(),
            cluster: Cluster::None,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let (client, namespace) = support::namespace("binding").await;
        let descriptor = descriptor(dir.path());
        let (aws, entra) = (&descriptor["aws"], &descriptor["entra"]);
        let mut settings = Settings::for_tests("test");
        // What a pass may take is not what is tested.
        settings.timing.reconcile = Duration::from_secs(120);
        settings.endpoints.ca_pem = Some(sandbox.ca_pem().to_owned());
        settings.endpoints.aws = Some(text(&aws["endpoint"]).parse().unwrap());
        settings.endpoints.graph = text(&entra["graph"]).parse().unwrap();
        settings.endpoints.authority = text(&entra["authority"]).parse().unwrap();

        let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
        for (name, data) in [
            ("aws", json!({"accessKeyId": aws["accessKeyId"], "secretAccessKey": aws["secretAccessKey"]})),
            ("entra", json!({"clientSecret": entra["clientSecret"]})),
        ] {
            let secret = json!({"metadata": {"name": name}, "stringData": data});
            secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        }
        let key = AccessKey {
            id: text(&aws["accessKeyId"]),
            secret: causeway::secret::Sensitive::new(text(&aws["secretAccessKey"])),
            session_token: None,
        };
        let options = HttpOptions::within(Duration::from_secs(60), settings.endpoints.ca_pem.clone());
        let connection = Connection::new(options, Rates::default(), Arc::new(Scissors::default())).unwrap();
        let person = AwsClients::new("eu-west-1", key, settings.endpoints.aws.as_ref(), connection).await;
        let twin = Self {
            sandbox,
            client,
            home: namespace.clone(),
            namespace,
            aws: person,
            settings,
            status_writes: AtomicUsize::new(0),
            told: Mutex::default(),
            asked: AtomicUsize::new(0),
            _dir: dir,
        };
        twin.federate(entra, None).await;
        twin
    }

    /// A federation that is ready, as its own controller would leave it.
    async fn federate(&self, entra: &Value, service_principal: Option<&str>) {
        let api = Api::<IdentityFederation>::namespaced(self.client.clone(), &self.namespace);
        let federation = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation", "metadata": {"name": "acme"},
            "spec": {
                "entra": {
                    "tenantId": entra["tenantId"],
                    "credentials": {"clientSecret": {
                        "clientId": entra["clientId"], "secretRef": {"name": "entra", "key": "clientSecret"}}},
                    "application": {},
                },
                "aws": {
                    "region": "eu-west-1",
                    "credentials": {"secretRef": {"name": "aws"}},
                    "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "sp", "key": "xml"}}},
                },
            },
        });
        api.create(&PostParams::default(), &serde_json::from_value(federation).unwrap()).await.unwrap();
        let facts = self.sandbox.aws.facts();
        let status = json!({"status": {
            "aws": {
                "instanceArn": facts.instance_arn, "identityStoreId": facts.identity_store_id,
                "managementAccountId": facts.management_account_id,
            },
            "entra": {"servicePrincipalId": service_principal},
            "conditions": [{
                "type": "InstanceReady", "status": "True", "reason": "Succeeded", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        }});
        api.patch_status("acme", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// The bindings from here on are those of another namespace, which the operator watches too.
    pub async fn move_to(&mut self, prefix: &str) {
        let (_, namespace) = support::namespace(prefix).await;
        self.settings.namespaces = [self.home.clone(), namespace.clone()].into();
        self.namespace = namespace;
    }

    pub async fn patch_federation(&self, patch: &Value) {
        let api = Api::<IdentityFederation>::namespaced(self.client.clone(), &self.home);
        api.patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// What the federation's own controller says about the instance.
    pub async fn instance_ready(&self, ready: bool) {
        self.instance_is(ready, "Succeeded").await;
    }

    /// The same, for a reason.
    async fn instance_is(&self, ready: bool, reason: &str) {
        let api = Api::<IdentityFederation>::namespaced(self.client.clone(), &self.home);
        let generation = api.get("acme").await.unwrap().metadata.generation;
        self.patch_federation_status(&json!({"conditions": [{
            "type": "InstanceReady", "status": if ready { "True" } else { "False" }, "reason": reason,
            "message": "the test says so", "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": generation,
        }]}))
        .await;
    }

    /// The federation's own controller has found no instance so far, for a reason.
    pub async fn no_instance_yet(&self, reason: &str) {
        self.patch_federation_status(&json!({"aws": null})).await;
        self.instance_is(false, reason).await;
    }

    async fn patch_federation_status(&self, status: &Value) {
        let api = Api::<IdentityFederation>::namespaced(self.client.clone(), &self.home);
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status("acme", &PatchParams::default(), &patch).await.unwrap();
    }

    /// A fresh operator that is cut off before its nth call; 0 for never.
    pub async fn operator_cut_at(&self, cut_at: usize) -> Operator {
        let settings = Arc::new(self.settings.clone());
        let scissors = Arc::new(Scissors { cut_at, ..Scissors::default() });
        let observer: Arc<dyn CallObserver> = scissors.clone();
        let config = cluster::config(Some(support::cluster().await.kubeconfig())).await.unwrap();
        let kube = cluster::calls(&config, &observer).unwrap();
        let clouds = Clouds::new(settings.clone(), observer.clone()).unwrap();
        let context =
            Context::new(kube, settings, Clock::system(), clouds, observer, Arc::new(Metrics::new()));
        Operator { context, scissors }
    }

    pub async fn operator(&self) -> Operator {
        self.operator_cut_at(0).await
    }

    pub fn bindings(&self) -> Api<PermissionSetBinding> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn ledger(&self, name: &str) -> Option<ConfigMap> {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        maps.get_opt(&format!("{name}-ledger")).await.unwrap()
    }

    /// Loses the ledger of a binding.
    pub async fn lose_ledger(&self, name: &str) {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        maps.delete(&format!("{name}-ledger"), &DeleteParams::default()).await.unwrap();
    }

    /// What the ledger of a binding has under a key, whatever that is called in full.
    pub async fn recorded(&self, name: &str, key: &str) -> Vec<String> {
        let data = self.ledger(name).await.and_then(|map| map.data).unwrap_or_default();
        data.into_iter().filter(|(k, _)| k.starts_with(key)).map(|(_, value)| value).collect()
    }

    /// Creates a binding that holds on to itself until it is clean, as the runner would have it.
    pub async fn create(&self, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        if spec.get("federationRef").is_none() {
            spec["federationRef"] = json!({"name": "acme"});
            if self.namespace != self.home {
                spec["federationRef"]["namespace"] = json!(self.home);
            }
        }
        let binding = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding",
            "metadata": {"name": name, "finalizers": ["causeway.dev/cleanup"]}, "spec": spec,
        });
        let binding = serde_json::from_value(binding).unwrap();
        self.bindings().create(&PostParams::default(), &binding).await.unwrap();
    }

    pub async fn patch(&self, name: &str, patch: &Value) {
        self.bindings().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.bindings().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// One pass over one binding; none when it is gone. A pass that AWS asked to slow down is one half of a pass: the other
    /// half follows, and what both told is told.
    pub async fn pass(&self, operator: &Operator, name: &str) -> Option<Outcome<PermissionSetBindingStatus>> {
        let mut told = Vec::new();
        for _ in 0..400 {
            let mut outcome = self.single_pass(operator, name).await?;
            told.append(&mut outcome.notices);
            if outcome.class != Some(Class::Throttled) {
                return Some(Outcome { notices: told, ..outcome });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing but throttles");
    }

    async fn single_pass(
        &self,
        operator: &Operator,
        name: &str,
    ) -> Option<Outcome<PermissionSetBindingStatus>> {
        let object = self.bindings().get_opt(name).await.unwrap()?;
        let reconciler = PermissionSetBindingReconciler;
        let outcome = if object.metadata.deletion_timestamp.is_some() {
            match reconciler.cleanup(&object, &operator.context).await {
                Cleanup::Done => {
                    self.patch(name, &json!({"metadata": {"finalizers": null}})).await;
                    return None;
                }
                Cleanup::Left(notices) => {
                    self.told.lock().unwrap().extend(notices.into_iter().map(|n| n.note));
                    self.patch(name, &json!({"metadata": {"finalizers": null}})).await;
                    return None;
                }
                Cleanup::Waiting(outcome) => outcome,
            }
        } else {
            reconciler.reconcile(&object, &operator.context).await
        };
        if object.status.as_ref() != Some(&outcome.status) {
            self.status_writes.fetch_add(1, Ordering::SeqCst);
            let next = PermissionSetBinding { status: Some(outcome.status.clone()), ..object };
            self.bindings().replace_status(name, &PostParams::default(), &next).await.unwrap();
        }
        Some(outcome)
    }

    /// A person asks to look anew, and the operator does: one pass for which nothing counts that was read before.
    pub async fn look_anew(&self, operator: &Operator, name: &str) -> Outcome<PermissionSetBindingStatus> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst);
        let asked = format!("asked-{nth}");
        self.patch(name, &json!({"metadata": {"annotations": {"causeway.dev/reconcile": asked}}})).await;
        let outcome = self.pass(operator, name).await.unwrap();
        assert_eq!(outcome.status.last_handled_reconcile_at, Some(asked));
        outcome
    }

    /// Passes until there is nothing to come back for before the resync; none when the binding is gone.
    pub async fn settle(&self, operator: &Operator, name: &str) -> Option<PermissionSetBindingStatus> {
        self.until(operator, name, |outcome| outcome.next == Next::Resync && outcome.class.is_none()).await
    }

    /// Passes until `enough`.
    pub async fn until(
        &self,
        operator: &Operator,
        name: &str,
        enough: impl Fn(&Outcome<PermissionSetBindingStatus>) -> bool,
    ) -> Option<PermissionSetBindingStatus> {
        let mut last = None;
        for _ in 0..400 {
            let outcome = self.single_pass(operator, name).await?;
            if enough(&outcome) {
                return Some(outcome.status);
            }
            last = Some(outcome);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it never came to rest: {last:#?}\n{:#?}", operator.scissors.log.lock().unwrap().len());
    }

    /// Passes until settled or cut off; whether it was cut off.
    pub async fn settle_or_cut(&self, operator: &Operator, name: &str) -> bool {
        tokio::select! {
            biased;
            () = operator.scissors.cut.notified() => true,
            _ = self.settle(operator, name) => false,
        }
    }

    /// Who holds which permission set where, as AWS has it: `set account principal`.
    pub fn assignments(&self) -> Vec<String> {
        let assignments = self.sandbox.world().identity_center.assignments;
        let mut lines: Vec<String> = assignments
            .into_iter()
            .map(|a| format!("{} {} {}", a.permission_set, a.account, a.group.or(a.user).unwrap_or_default()))
            .collect();
        lines.sort();
        lines
    }

    /// Mutations of sso-admin after an entry of the journal, without those that AWS refused or throttled.
    pub fn mutations(&self, after: u64) -> Vec<Entry> {
        let all = self.sandbox.core.journal.after(after);
        all.into_iter().filter(|e| e.service == "sso-admin" && e.outcome == "ok").collect()
    }

    /// So many calls of an operation of sso-admin, however they ended; those that AWS put off are made again, and do not count.
    pub fn calls(&self, operation: &str) -> u64 {
        let all = self.sandbox.core.counters.all();
        all.iter()
            .filter(|c| c.service == "sso-admin" && c.operation == operation && !put_off(&c.outcome))
            .map(|c| c.calls)
            .sum()
    }

    /// No assignment and no permission set was made twice.
    pub fn assert_nothing_twice(&self) {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for entry in self.mutations(0) {
            let made = ["CreatePermissionSet", "CreateAccountAssignment", "DeleteAccountAssignment"];
            if made.contains(&entry.operation.as_str()) {
                *seen.entry((entry.operation, entry.target)).or_default() += 1;
            }
        }
        let twice: Vec<_> = seen.into_iter().filter(|(_, n)| *n > 1).collect();
        assert!(twice.is_empty(), "made twice: {twice:#?}\n{:#?}", self.mutations(0));
    }
}

fn descriptor(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("sandbox.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(120), "it never came about: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a person does: again, until the shared budget has room for it.
pub async fn patiently<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(call: impl Fn() -> F) -> T {
    let mut last = None;
    for _ in 0..50 {
        match call().await {
            Ok(answer) => return answer,
            Err(e) => last = Some(e),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{last:?}")
}

/// Every call of an operation is refused.
pub fn refuse(service: &str, operation: &str, kind: FaultKind, code: Option<&str>) -> FaultRule {
    FaultRule {
        service: service.into(),
        operation: Some(operation.into()),
        nth: None,
        probability: None,
        kind,
        status: (kind == FaultKind::Error).then_some(if code.is_some() { 400 } else { 500 }),
        code: code.map(str::to_owned),
        times: Some(0),
        retry_after: None,
    }
}

/// The id of the group that AWS shows under that name. What the operator has read serves it for a moment longer.
pub async fn group_id(twin: &Twin, name: &str) -> Option<String> {
    let store = twin.sandbox.aws.facts().identity_store_id.unwrap();
    let list = twin.aws.identitystore.list_groups().identity_store_id(&store);
    let groups = patiently(|| list.clone().send()).await.groups;
    groups.into_iter().find(|g| g.display_name() == Some(name)).map(|g| g.group_id)
}

pub async fn delete_group(twin: &Twin, name: &str) {
    let store = twin.sandbox.aws.facts().identity_store_id.unwrap();
    let id = group_id(twin, name).await.unwrap();
    let delete = twin.aws.identitystore.delete_group().identity_store_id(&store).group_id(&id);
    patiently(|| delete.clone().send()).await;
    eventually("the group is gone", async || group_id(twin, name).await.is_none()).await;
}

/// Answers its id.
pub async fn create_group(twin: &Twin, name: &str) -> String {
    let store = twin.sandbox.aws.facts().identity_store_id.unwrap();
    let create = twin.aws.identitystore.create_group().identity_store_id(store).display_name(name);
    let id = patiently(|| create.clone().send()).await.group_id;
    eventually("the group is there", async || group_id(twin, name).await.as_ref() == Some(&id)).await;
    id
}

/// Status, reason and message of a condition.
pub fn said(status: &PermissionSetBindingStatus, kind: &str) -> (String, String, String) {
    let c = condition(&status.conditions, kind).unwrap_or_else(|| panic!("no {kind} in {status:#?}"));
    (c.status.clone(), c.reason.clone(), c.message.clone())
}

pub fn ready(status: &PermissionSetBindingStatus) -> (String, String) {
    let (verdict, reason, _) = said(status, "Ready");
    (verdict, reason)
}

/// A permission set with everything a set can have, for two groups and a person on three accounts.
pub fn everything() -> Value {
    json!({
        "permissionSet": {
            "name": "Engineers",
            "description": "what engineers need",
            "sessionDuration": "8h",
            "relayState": "https://eu-west-1.console.aws.amazon.com/",
            "managedPolicies": ["arn:aws:iam::aws:policy/PowerUserAccess"],
            "customerManagedPolicies": [{"name": "engineers-extra"}],
            "inlinePolicy": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Deny", "Action": ["iam:CreateUser", "iam:CreateAccessKey"], "Resource": "*"}]},
            "permissionsBoundary": {"customerManagedPolicy": {"name": "engineers-boundary", "path": "/boundaries/"}},
            "tags": {"team": "platform"},
        },
        "principals": [
            {"group": {"displayName": "aws-engineers"}},
            {"group": {"displayName": "aws-admins"}},
            {"user": {"userPrincipalName": "ada@acme.example"}},
        ],
        "accounts": {"include": [{"ids": [SHOP, PAYMENTS, DEV]}]},
    })
}

/// A plain set for one group on one account.
pub fn plain(name: &str) -> Value {
    json!({
        "permissionSet": {"name": name, "managedPolicies": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
        "principals": [{"group": {"displayName": "aws-engineers"}}],
        "accounts": {"include": [{"ids": [SHOP]}]},
    })
}
