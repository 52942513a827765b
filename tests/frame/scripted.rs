//! Reconcilers that do what a test says, and an operator around them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::api::v1alpha1::{
    IdentityFederation, PermissionSetBinding, ScimConnection, ScimConnectionStatus,
};
use causeway::app::{self, Reconcilers};
use causeway::clients::{Call, CallObserver};
use causeway::controllers::context::Context;
use causeway::controllers::{Cleanup, Managed, Outcome, Reconciler};
use causeway::problem::Class;
use causeway::settings::Settings;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support;

/// Long enough for anything on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

type Script = Box<dyn Fn(ScimConnection) -> Outcome<ScimConnectionStatus> + Send + Sync>;
type Ending = Box<dyn Fn(ScimConnection) -> Cleanup<ScimConnectionStatus> + Send + Sync>;

/// A reconciler for ScimConnection.
pub struct Scripted {
    pub reconcile: Script,
    pub cleanup: Ending,
    /// Called when a pass begins.
    pub before: Box<dyn Fn() + Send + Sync>,
    /// A pass takes this long.
    pub takes: Duration,
    /// A ConfigMap that each pass brings to `k: v`.
    pub writes_map: Option<String>,
}

impl Scripted {
    pub fn new(
        reconcile: impl Fn(ScimConnection) -> Outcome<ScimConnectionStatus> + Send + Sync + 'static,
    ) -> Self {
        Self {
            reconcile: Box::new(reconcile),
            cleanup: Box::new(|_| Cleanup::Done),
            before: Box::new(|| ()),
            takes: Duration::ZERO,
            writes_map: None,
        }
    }
}

#[async_trait::async_trait]
impl Reconciler for Scripted {
    type Kind = ScimConnection;

    async fn reconcile(&self, object: &ScimConnection, context: &Context) -> Outcome<ScimConnectionStatus> {
        (self.before)();
        tokio::time::sleep(self.takes).await;
        if let Some(name) = &self.writes_map {
            let data: BTreeMap<String, String> = [("k".to_owned(), "v".to_owned())].into();
            // That of a predecessor is collected in the background, perhaps between its reading and its writing.
            while let Err(problem) = context.apply_config_map(object, name, BTreeMap::clone(&data)).await {
                assert_eq!(problem.class, Class::Conflict, "{problem}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        (self.reconcile)(object.clone())
    }

    async fn cleanup(&self, object: &ScimConnection, _: &Context) -> Cleanup<ScimConnectionStatus> {
        (self.cleanup)(object.clone())
    }
}

/// Leaves everything as it is.
pub struct Still<K>(std::marker::PhantomData<fn() -> K>);

impl<K> Still<K> {
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

#[async_trait::async_trait]
impl<K: Managed> Reconciler for Still<K> {
    type Kind = K;

    async fn reconcile(&self, object: &K, _: &Context) -> Outcome<K::Status> {
        Outcome::settled(object.status().cloned().unwrap_or_default())
    }

    async fn cleanup(&self, _: &K, _: &Context) -> Cleanup<K::Status> {
        Cleanup::Done
    }
}

/// Writes down every call.
#[derive(Debug, Default)]
pub struct Calls(Mutex<Vec<(String, u16)>>);

impl Calls {
    /// The writes so far.
    pub fn writes(&self) -> Vec<String> {
        let calls = self.0.lock().unwrap();
        let reads = ["GET ", "LIST ", "WATCH "];
        calls.iter().map(|c| c.0.clone()).filter(|c| !reads.iter().any(|r| c.starts_with(r))).collect()
    }
}

#[async_trait::async_trait]
impl CallObserver for Calls {
    async fn before(&self, _: &Call) {}

    async fn after(&self, call: &Call, status: u16, _: Duration) {
        self.0.lock().unwrap().push((call.operation.clone(), status));
    }
}

/// An operator in this process.
pub struct Running {
    pub calls: Arc<Calls>,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), app::Error>>,
}

impl Running {
    pub async fn start(settings: Settings, connections: impl Reconciler<Kind = ScimConnection>) -> Self {
        Self::start_on(config().await, settings, connections)
    }

    pub fn start_on(
        config: Config,
        settings: Settings,
        connections: impl Reconciler<Kind = ScimConnection>,
    ) -> Self {
        super::logs();
        let (calls, stop) = (Arc::new(Calls::default()), CancellationToken::new());
        let reconcilers = Reconcilers {
            federations: Still::<IdentityFederation>::new(),
            connections,
            bindings: Still::<PermissionSetBinding>::new(),
        };
        let operator = app::run_with(settings, Some(calls.clone()), stop.clone(), Some(config), reconcilers);
        Self { calls, task: tokio::spawn(operator), stop }
    }

    /// Asks it to stop and waits for it.
    pub async fn stop(self) -> Result<(), app::Error> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

pub async fn config() -> Config {
    let kubeconfig = Kubeconfig::read_from(support::cluster().await.kubeconfig()).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

/// Settings for one namespace.
pub fn settings(namespace: &str) -> Settings {
    let mut settings = Settings::for_tests("frame");
    settings.namespaces = [namespace.to_owned()].into();
    settings.operator_namespace = namespace.to_owned();
    settings.timing.resync = Duration::from_millis(300);
    settings
}

pub async fn create_connection(client: &Client, namespace: &str, name: &str) -> ScimConnection {
    let object: ScimConnection = serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "scim"}},
    }))
    .unwrap();
    connections(client, namespace).create(&Default::default(), &object).await.unwrap()
}

pub fn connections(client: &Client, namespace: &str) -> Api<ScimConnection> {
    Api::namespaced(client.clone(), namespace)
}

/// Waits until the object is as expected.
pub async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(Option<&K>) -> bool)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut last = None;
    let waiting = async {
        loop {
            last = api.get_opt(name).await.unwrap();
            if holds(last.as_ref()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
    assert!(done, "{what}: did not happen; {name} is {:#?}", last.map(|o| (o.meta().clone(), o)));
}

/// Whether our finalizer is on it.
pub fn is_held(object: &ScimConnection) -> bool {
    object.finalizers().iter().any(|f| f == "causeway.dev/cleanup")
}

/// Waits until something has happened.
pub async fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what} did not happen");
}
