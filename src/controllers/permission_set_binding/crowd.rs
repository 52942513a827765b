//! Where other bindings are looked for: what the watch has told costs no call, and is a moment behind.

use std::sync::Arc;

use kube::Api;
use kube::api::{ApiResource, ListParams, Object};
use kube::core::DeserializeGuard;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::api::v1alpha1::{Definition, FederationRef, PermissionSetBinding};
use crate::controllers::context::Context;
use crate::controllers::stores::watched;
use crate::problem::Problem;

/// How new it must be what is known of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// What the watch has told will do.
    AtHand,
    /// As it is now: what is written next decides whose something is.
    Anew,
}

/// As much of a binding as is needed to know what it claims, whatever is wrong with the rest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Claiming {
    #[serde(deserialize_with = "lax")]
    federation_ref: Option<FederationRef>,
    #[serde(deserialize_with = "lax")]
    permission_set: ClaimedSet,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimedSet {
    #[serde(deserialize_with = "lax")]
    name: String,
    #[serde(deserialize_with = "lax")]
    definition: Definition,
}

/// What fits, and nothing where it does not.
fn lax<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

type Claim = Object<Claiming, Value>;

/// The bindings of a namespace, or of all watched ones, that name a permission set. One that does not fit its schema
/// is there with what it claims and nothing else: it neither blocks the others nor hides.
///
/// # Errors
/// API server trouble.
pub async fn naming(
    set: &str,
    namespace: Option<&str>,
    look: Look,
    context: &Context,
) -> Result<Vec<PermissionSetBinding>, Problem> {
    let at_hand = context.stores().filter(|_| look == Look::AtHand);
    let all = match at_hand {
        Some(stores) => watched(&stores.bindings, namespace),
        None => {
            let mut all = Vec::new();
            for api in apis(namespace, context) {
                all.extend(api.list(&ListParams::default()).await?.items.into_iter().map(Arc::new));
            }
            all
        }
    };
    let readable = all.iter().filter_map(|b| b.0.as_ref().ok());
    let mut found: Vec<_> = readable.filter(|b| b.spec.permission_set.name == set).cloned().collect();
    let resource = ApiResource::erase::<PermissionSetBinding>(&());
    for unreadable in all.iter().filter_map(|b| b.0.as_ref().err()) {
        let Some((name, namespace)) =
            unreadable.metadata.name.as_ref().zip(unreadable.metadata.namespace.as_ref())
        else {
            continue;
        };
        let api = Api::<Claim>::namespaced_with(context.kube.clone(), namespace, &resource);
        let claim = api.get_opt(name).await?;
        found.extend(claim.filter(|c| c.spec.permission_set.name == set).as_ref().and_then(claimed));
    }
    Ok(found)
}

fn apis(namespace: Option<&str>, context: &Context) -> Vec<Api<DeserializeGuard<PermissionSetBinding>>> {
    let client = || context.kube.clone();
    let namespaces = &context.settings.namespaces;
    match namespace {
        Some(namespace) => vec![Api::namespaced(client(), namespace)],
        None if namespaces.is_empty() => vec![Api::all(client())],
        None => namespaces.iter().map(|namespace| Api::namespaced(client(), namespace)).collect(),
    }
}

/// What is left of a binding that cannot be read; none when it does not even say through which federation.
fn claimed(claim: &Claim) -> Option<PermissionSetBinding> {
    let Claiming { federation_ref, permission_set } = &claim.spec;
    let spec = json!({
        "federationRef": federation_ref.as_ref()?,
        "permissionSet": {"name": permission_set.name, "definition": permission_set.definition},
        "principals": [],
        "accounts": {"include": []},
    });
    let mut binding = PermissionSetBinding::new("", serde_json::from_value(spec).ok()?);
    binding.metadata.clone_from(&claim.metadata);
    Some(binding)
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;

    use super::*;

    fn read(spec: &Value) -> Option<PermissionSetBinding> {
        let binding = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding",
            "metadata": {"name": "b", "namespace": "n", "uid": "1"}, "spec": spec, "status": 7,
        });
        let guarded: DeserializeGuard<PermissionSetBinding> =
            serde_json::from_value(binding.clone()).unwrap();
        assert!(guarded.0.is_err(), "it does not fit");
        claimed(&serde_json::from_value(binding).unwrap())
    }

    #[test]
    fn what_does_not_fit_its_schema_claims_a_set_all_the_same() {
        let set = json!({"name": "Readers", "adopt": 5, "managedPolicies": {"no": "list"}});
        let spec = json!({"federationRef": {"name": "acme"}, "permissionSet": set, "principals": "all"});
        let binding = read(&spec).unwrap();
        assert_eq!((binding.name_any(), binding.uid().as_deref()), ("b".to_owned(), Some("1")));
        assert_eq!(binding.spec.permission_set.name, "Readers");
        assert_eq!(binding.spec.permission_set.definition, Definition::Here);
        assert_eq!(binding.spec.federation_ref.name, "acme");

        let unnamed = json!({"federationRef": {"name": "acme"}, "permissionSet": {"name": 7}});
        assert_eq!(read(&unnamed).unwrap().spec.permission_set.name, "", "it names none");
        assert_eq!(read(&json!({"federationRef": 1, "permissionSet": {"name": "Readers"}})), None);
        assert_eq!(read(&json!({})), None);
    }
}
