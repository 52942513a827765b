use serde_json::{Value, json};

use crate::api::v1alpha1::IdentityFederation;

/// A small federation as people write it.
pub fn federation() -> IdentityFederation {
    serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1",
        "kind": "IdentityFederation",
        "metadata": {"name": "acme", "namespace": "identity", "uid": "11111111-0000-4000-8000-000000000001", "generation": 1},
        "spec": {
            "entra": {
                "tenantId": "11111111-2222-3333-4444-555555555555",
                "credentials": {"clientSecret": {
                    "clientId": "22222222-2222-3333-4444-555555555555",
                    "secretRef": {"name": "entra", "key": "clientSecret"}
                }},
                "application": {"displayName": "AWS", "assignments": [{"group": {"displayName": "aws-engineers"}}]}
            },
            "aws": {
                "region": "eu-west-1",
                "credentials": {"ambient": {}},
                "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "aws-sp-metadata", "key": "metadata.xml"}}}
            }
        }
    }))
    .unwrap()
}

/// The same, with AWS in other hands.
pub fn entra_only() -> IdentityFederation {
    with(json!({"aws": {"external": document("serviceProviderMetadata", "from-aws")}}))
}

/// The same, with Entra in other hands.
pub fn aws_only() -> IdentityFederation {
    with(json!({"entra": {"external": document("federationMetadata", "from-entra")}}))
}

fn document(field: &str, config_map: &str) -> Value {
    json!({field: {"configMapKeyRef": {"name": config_map, "key": "metadata.xml"}}})
}

fn with(sides: Value) -> IdentityFederation {
    let mut object = serde_json::to_value(federation()).unwrap();
    for (side, content) in sides.as_object().unwrap() {
        object["spec"][side] = content.clone();
    }
    serde_json::from_value(object).unwrap()
}
