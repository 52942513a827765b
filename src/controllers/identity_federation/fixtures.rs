use serde_json::json;

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
