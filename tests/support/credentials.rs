//! A world in which the examples of `examples/credentials/` work.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use sandbox::control_plane::ISSUER;
use sandbox::world::{FederatedCredential, IamRole, OidcProvider, World};
use serde_json::{Value, json};

use super::world::TestWorld;

pub const BY_ACCOUNT: &str = include_str!("../../examples/credentials/service-account.yaml");
pub const AMBIENT: &str = include_str!("../../examples/credentials/ambient.yaml");
/// The application that the examples sign in as.
pub const CLIENT: &str = "7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001";
/// The subject of the operator's own identity.
pub const OPERATOR: &str = "system:serviceaccount:causeway-system:causeway";
const MANAGEMENT: &str = "100000000001";

/// The ARN of one of the roles: `causeway-entry`, `causeway`, `operator`.
pub fn role(name: &str) -> String {
    format!("arn:aws:iam::{MANAGEMENT}:role/{name}")
}

/// What the operator's settings must list for a namespace.
pub fn allowed(namespace: &str) -> String {
    format!("{namespace}={}", role("causeway*"))
}

/// The operator may assume the roles, and the ServiceAccount `causeway` is there.
pub async fn admit(world: &mut TestWorld) {
    world.settings.allowed_roles.add(&allowed(&world.namespace)).expect("a rule");
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("causeway".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(world.client.clone(), &world.namespace);
    accounts.create(&PostParams::default(), &account).await.expect("the ServiceAccount");
}

/// How both sides sign in with a token of that ServiceAccount; in AWS over two roles.
pub fn by_service_account() -> Value {
    json!({
        "entra": {"credentials": {"serviceAccount": {"name": "causeway", "clientId": CLIENT}}},
        "aws": {"credentials": {
            "serviceAccount": {"name": "causeway", "roleArn": role("causeway-entry")},
            "assumeRole": {"roleArn": role("causeway"), "externalId": "acme-causeway"},
        }},
    })
}

/// Both clouds trust the ServiceAccount `causeway` of a namespace, and the operator.
pub fn prepare(world: &mut World, namespace: &str) {
    let subject = format!("system:serviceaccount:{namespace}:causeway");
    world.tenant.clients[0].federated.push(FederatedCredential {
        issuer: ISSUER.into(),
        subject: subject.clone(),
        audience: None,
    });
    let host = ISSUER.trim_start_matches("https://");
    let policy = |principal: Value, action: &str, condition: Value| {
        let condition = json!({"StringEquals": condition});
        let statement =
            json!({"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition});
        json!({"Version": "2012-10-17", "Statement": [statement]})
    };
    let token_of = |subject: &str| {
        policy(
            json!({"Federated": format!("arn:aws:iam::{MANAGEMENT}:oidc-provider/{host}")}),
            "sts:AssumeRoleWithWebIdentity",
            json!({format!("{host}:sub"): subject, format!("{host}:aud"): "sts.amazonaws.com"}),
        )
    };
    let key = &world.organization.access_keys[0].access_key_id;
    let known =
        json!([role("causeway-entry"), role("operator"), format!("arn:aws:iam::{MANAGEMENT}:user/{key}")]);
    let iam = world.iam.entry(MANAGEMENT.into()).or_default();
    iam.oidc_providers =
        vec![OidcProvider { url: ISSUER.into(), client_ids: vec!["sts.amazonaws.com".into()] }];
    for (name, policy) in [
        ("causeway-entry", token_of(&subject)),
        ("operator", token_of(OPERATOR)),
        (
            "causeway",
            policy(json!({"AWS": known}), "sts:AssumeRole", json!({"sts:ExternalId": "acme-causeway"})),
        ),
    ] {
        iam.roles.push(IamRole { name: name.into(), trust_policy: Some(policy), ..IamRole::default() });
    }
}
