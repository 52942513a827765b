use anyhow::{Context as _, bail};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};
use serde::Deserialize as _;

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
        api.patch(&object.name_any(), &parameters, &Patch::Apply(object))
            .await
            .with_context(|| format!("apply {} {}", types.kind, object.name_any()))?;
    }
    Ok(())
}
