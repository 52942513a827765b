use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};

/// The custom resource definitions of all kinds, as they are installed.
#[must_use]
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    [IdentityFederation::crd(), ScimConnection::crd(), PermissionSetBinding::crd()].map(finish_schema).into()
}

/// Drops what the derive emits and the API server should not see: `nullable` on optional fields (an explicit
/// `null` is a mistake), `null` among enum members, and defaults below a list: three-way merges treat lists
/// whole, so such a default would be an everlasting difference in Git. The code has those defaults itself.
#[must_use]
pub fn finish_schema(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(&crd).expect("a CRD is plain data");
    tidy(&mut value, false);
    serde_json::from_value(value).expect("tidying keeps the shape of a CRD")
}

fn tidy(value: &mut Value, below_list: bool) {
    match value {
        Value::Object(map) => {
            // A property may itself be called `nullable` or `default`; ours are not.
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            if below_list {
                map.remove("default");
            }
            if let Some(Value::Array(members)) = map.get_mut("enum") {
                members.retain(|m| !m.is_null());
            }
            for (key, inner) in map.iter_mut() {
                tidy(inner, below_list || key == "items");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| tidy(inner, below_list)),
        _ => {}
    }
}

/// The conditions of a resource: a map by type, bounded.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What is true of the resource. Ready is the summary.",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the resource's state.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "Aspect, such as Ready."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", "description": "Why, one word from the documented list."},
                "message": {"type": "string", "maxLength": 4096, "description": "Why, and what to do next."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When status last changed."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "The generation that this was judged on."}
            }
        }
    })
}

/// A policy document as an object: kept as written, compared semantically.
pub(super) fn policy_document(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "An IAM policy document, written as an object. Compared semantically with what AWS has.",
        "x-kubernetes-preserve-unknown-fields": true
    })
}
