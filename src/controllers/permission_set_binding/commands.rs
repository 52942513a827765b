//! What a person types, in full. Pure.

use kube::ResourceExt as _;

use crate::api::annotations;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};

/// The time of now, as a shell writes it.
const NOW: &str = "$(date -u +%Y-%m-%dT%H:%M:%SZ)";

/// Lets go of everything in the clouds.
#[must_use]
pub fn abandon(object: &PermissionSetBinding) -> String {
    annotate("psb", object, &format!("{}=true", annotations::ABANDON))
}

/// Lets another object take over the access of its predecessor, beside those that were approved before.
#[must_use]
pub fn approve(object: &PermissionSetBinding, id: &str) -> String {
    let earlier = object.annotations().get(annotations::APPROVE_PRINCIPAL);
    let earlier = earlier.into_iter().flat_map(|ids| ids.split([',', ' '])).filter(|e| !e.is_empty());
    let ids: Vec<&str> = earlier.filter(|e| *e != id).chain([id]).collect();
    annotate("psb", object, &format!("--overwrite {}={}", annotations::APPROVE_PRINCIPAL, ids.join(",")))
}

/// The same for an assignment of the application.
#[must_use]
pub fn approve_in_entra(federation: &IdentityFederation, id: &str) -> String {
    annotate("idf", federation, &format!("--overwrite {}={id}", annotations::APPROVE_PRINCIPAL))
}

/// Has one person provisioned now.
#[must_use]
pub fn provision(connection: &ScimConnection, user_principal_name: &str) -> String {
    let what = annotations::PROVISION_ON_DEMAND;
    annotate("scim", connection, &format!("--overwrite {what}=\"{user_principal_name}@{NOW}\""))
}

/// Has everything provisioned anew, what failed before included.
#[must_use]
pub fn restart(connection: &ScimConnection) -> String {
    annotate("scim", connection, &format!("--overwrite {}=\"Default@{NOW}\"", annotations::RESTART))
}

/// Deletes the binding.
#[must_use]
pub fn delete(object: &PermissionSetBinding) -> String {
    format!("kubectl delete psb {} -n {}", object.name_any(), object.namespace().unwrap_or_default())
}

fn annotate<K: kube::ResourceExt>(kind: &str, object: &K, what: &str) -> String {
    let namespace = object.namespace().unwrap_or_default();
    format!("kubectl annotate {kind} {} -n {namespace} {what}", object.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_can_be_typed_as_they_are() {
        let binding = |approved: Option<&str>| -> PermissionSetBinding {
            let annotations = approved.map(|ids| json!({"causeway.dev/approve-principal": ids}));
            serde_json::from_value(json!({
                "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding",
                "metadata": {"name": "readers", "namespace": "identity", "annotations": annotations},
                "spec": {
                    "federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"},
                    "principals": [], "accounts": {"include": []},
                },
            }))
            .unwrap()
        };
        let connection: ScimConnection = serde_json::from_value(json!({
            "metadata": {"name": "acme", "namespace": "identity"},
            "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "scim"}},
        }))
        .unwrap();
        let of = "kubectl annotate psb readers -n identity";
        assert_eq!(abandon(&binding(None)), format!("{of} causeway.dev/abandon=true"));
        for (earlier, ids) in [(None, "b"), (Some("a, b"), "a,b"), (Some("b"), "b"), (Some("a,"), "a,b")] {
            let command = format!("{of} --overwrite causeway.dev/approve-principal={ids}");
            assert_eq!(approve(&binding(earlier), "b"), command);
        }
        assert_eq!(delete(&binding(None)), "kubectl delete psb readers -n identity");
        assert_eq!(
            provision(&connection, "ada@acme.example"),
            "kubectl annotate scim acme -n identity --overwrite \
             causeway.dev/provision-on-demand=\"ada@acme.example@$(date -u +%Y-%m-%dT%H:%M:%SZ)\""
        );
        assert!(
            restart(&connection).ends_with("causeway.dev/restart=\"Default@$(date -u +%Y-%m-%dT%H:%M:%SZ)\"")
        );
    }
}
