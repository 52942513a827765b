use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};
use serde::Deserialize as _;

/// How long an API server may be too busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Our kinds, in the order in which people apply them.
#[must_use]
pub const fn kinds() -> [&'static str; 3] {
    ["IdentityFederation", "ScimConnection", "PermissionSetBinding"]
}

/// The API of one of our kinds in a namespace.
#[must_use]
pub fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("causeway.dev", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&gvk))
}

/// The objects of a YAML text. With `namespace`, those that name one are moved there.
///
/// # Errors
/// When a document is not an object of Kubernetes.
pub fn parse(yaml: &str, namespace: Option<&str>) -> anyhow::Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let mut object = DynamicObject::deserialize(document).context("not an object of Kubernetes")?;
        if let (Some(there), Some(_)) = (namespace, &object.metadata.namespace) {
            object.metadata.namespace = Some(there.to_owned());
        }
        objects.push(object);
    }
    Ok(objects)
}

/// Asks the API server again, for a while, where it is too busy to answer; a refusal is an answer.
///
/// # Errors
/// What it answered at last.
pub async fn answered<T>(ask: impl AsyncFn() -> Result<T, kube::Error>) -> Result<T, kube::Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        let passes = match &answer {
            Ok(_) => false,
            Err(kube::Error::Api(status)) => status.code >= 500 || status.code == 429,
            Err(_) => true,
        };
        if !passes || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Applies objects as `kubectl apply --server-side` does.
///
/// # Errors
/// When the API server refuses one.
pub async fn apply(client: &Client, objects: &[DynamicObject]) -> anyhow::Result<()> {
    for object in objects {
        let Some(types) = &object.types else { bail!("{} has no kind", object.name_any()) };
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let parameters =
            PatchParams { field_manager: Some("person".into()), force: true, ..PatchParams::default() };
        answered(async || api.patch(&object.name_any(), &parameters, &Patch::Apply(object)).await)
            .await
            .with_context(|| format!("apply {} {}", types.kind, object.name_any()))?;
    }
    Ok(())
}
