//! What all tests share: one runtime and one control plane for the whole run, a namespace for each test.

pub mod collector;
pub mod credentials;
pub mod logs;
pub mod sign_in;
pub mod sources;
pub mod world;

use std::future::Future;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway::api::all_crds;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Client, ResourceExt as _};
use sandbox::control_plane::ControlPlane;
use tokio::sync::OnceCell;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));

static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();

/// Runs a test on the shared runtime: the control plane's processes belong to it and outlive each test.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    logs::keep_interest();
    RUNTIME.block_on(test)
}

/// The control plane of this test run, with our CRDs installed. Started at the first call.
pub async fn cluster() -> &'static ControlPlane {
    CLUSTER
        .get_or_init(|| async {
            let dir = tempfile::tempdir().expect("a folder").keep();
            let plane = ControlPlane::start(dir).await.expect("a control plane");
            install_crds(&plane.client().await.expect("a client")).await;
            plane
        })
        .await
}

/// Installs the CRDs as they are generated and waits until the API server serves them.
pub async fn install_crds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in all_crds() {
        let name = crd.name_any();
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&crd))
            .await
            .expect("the CRD is accepted");
        let served = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(std::time::Duration::from_secs(120), served)
            .await
            .expect("in time")
            .expect("established");
    }
}

/// A client and a fresh namespace whose name begins with `prefix`.
pub async fn namespace(prefix: &str) -> (Client, String) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let client = cluster().await.client().await.expect("a client");
    let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.clone());
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .expect("a namespace");
    (client, name)
}

/// The pointers of all leaves of a document.
pub fn leaf_paths(document: &serde_json::Value) -> Vec<String> {
    fn walk(value: &serde_json::Value, path: &str, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(key, inner)| walk(inner, &format!("{path}/{key}"), into));
            }
            serde_json::Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, inner)| walk(inner, &format!("{path}/{at}"), into));
            }
            _ => into.push(path.to_owned()),
        }
    }
    let mut all = Vec::new();
    walk(document, "", &mut all);
    all
}
