//! The whole journey with exactly what is documented, once in the management account and once in that of the delegated
//! administrator.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway::clients::aws::actions::{self, Part};
use causeway::clients::entra::permissions;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use sandbox::journey::{self, api};
use sandbox::world::StoreGroup;
use serde_json::{Value, json};

use super::{DELEGATED, restrict};
use crate::faults::journey as everything;
use crate::support::run;
use crate::support::world::TestWorld;

/// Beside the journey that calls everything: accounts by organizational unit, a group that exists in AWS alone, and the
/// management account.
const MORE: &str = r#"
apiVersion: causeway.dev/v1alpha1
kind: PermissionSetBinding
metadata: {name: operators, namespace: identity}
spec:
  federationRef: {name: acme}
  permissionSet: {name: Shop-Operators, managedPolicies: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}
  principals: [{group: {displayName: shop-operators}}]
  accounts: {include: [{ids: ["333344445555"]}]}
"#;
const RULES: &str = r#"
- accounts:
    include:
    - organizationalUnit: {path: /Workloads}
    - ids: ["100000000001"]
"#;
const MANAGEMENT: &str = "100000000001";

async fn world(prefix: &str, delegated: bool) -> TestWorld {
    let mut world = TestWorld::changed(prefix, |world, _| {
        restrict(world, delegated);
        let group = StoreGroup { display_name: "shop-operators".into(), ..StoreGroup::default() };
        world.identity_center.groups.push(group);
    })
    .await;
    let timing = &mut world.settings.timing;
    timing.resync = Duration::from_secs(5);
    timing.backoff.1 = Duration::from_millis(500);
    timing.poll = Duration::from_millis(300);
    timing.job_poll = Duration::from_millis(500);
    world.look_every = Duration::from_millis(200);
    world.settings.test_clock = Some(world.sandbox.descriptor().control.parse().expect("a URL"));
    world
}

async fn merge(world: &TestWorld, kind: &str, name: &str, patch: &Value) {
    let resources = api(&world.client, &world.namespace, kind);
    resources.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("it is taken");
}

async fn status(world: &TestWorld, kind: &str, name: &str) -> Value {
    world.get(kind, name).await.expect("it exists").data["status"].clone()
}

/// Everything is made: the usual resources with a certificate that ends soon, and what stands above.
async fn make(world: &TestWorld, delegated: bool) {
    let rules: Value = serde_yaml_ng::from_str(RULES).unwrap();
    let mut all = journey::parse(&everything::manifest(world, false), Some(&world.namespace)).unwrap();
    all.extend(journey::parse(MORE, Some(&world.namespace)).unwrap());
    for object in &mut all {
        let spec = &mut object.data["spec"];
        if spec.get("entra").is_some() {
            spec["entra"]["signingCertificate"] = json!({"lifetime": "2400h"});
        }
        if spec["permissionSet"]["name"] == "Shop-Operators" && !delegated {
            spec["accounts"]["include"][0]["ids"] = json!(["333344445555", MANAGEMENT]);
        }
    }
    journey::apply(&world.client, &all).await.unwrap();
    let rails = json!({"spec": {"bindings": {"managementAccount": "Allow", "rules": rules}}});
    merge(world, "IdentityFederation", "acme", &rails).await;
    world.until_ready(&everything::RESOURCES).await;
    world.until_ready(&[("PermissionSetBinding", "operators")]).await;
}

/// The certificate is due; a person imports its successor and says so.
async fn rotate_certificate(world: &TestWorld) {
    world.advance(SignedDuration::from_hours(2_300));
    let wanted = async || {
        let status = status(world, "IdentityFederation", "acme").await;
        let pending = status["handoff"]["pending"].as_array().cloned().unwrap_or_default();
        pending.into_iter().find(|s| s["step"] == "ImportIdpCertificate")
    };
    world.until("the successor is asked for", async || wanted().await.is_some()).await;
    let next = wanted().await.unwrap()["value"].as_str().unwrap().to_owned();
    let maps = Api::<ConfigMap>::namespaced(world.client.clone(), &world.namespace);
    let pem = maps.get("acme-idp-metadata").await.unwrap().data.unwrap()["next-certificate.pem"].clone();
    world.sandbox.aws.import_idp_certificate(&pem).unwrap();
    let say = json!({"metadata": {"annotations": {"causeway.dev/acknowledge": next}}});
    merge(world, "IdentityFederation", "acme", &say).await;
    world
        .until("Entra signs with the successor", async || {
            let status = status(world, "IdentityFederation", "acme").await;
            let all = status["entra"]["signingCertificates"].as_array().cloned().unwrap_or_default();
            all.iter().any(|c| c["active"] == true && c["sha256"] == next.as_str())
        })
        .await;
}

/// A second token takes the place of the first.
async fn rotate_token(world: &TestWorld) {
    world.delete_spare_scim_token();
    let made = world.sandbox.aws.create_scim_token().expect("a second token");
    let now = world.sandbox.core.clock.now().to_string();
    let data = json!({"stringData": {"token": made["token"], "issuedAt": now}});
    let secrets = Api::<Secret>::namespaced(world.client.clone(), &world.namespace);
    let before = world.sandbox.core.journal.last();
    secrets.patch("aws-scim", &PatchParams::default(), &Patch::Merge(&data)).await.unwrap();
    let ask = json!({"metadata": {"annotations": {"causeway.dev/reconcile": "token"}}});
    merge(world, "ScimConnection", "acme", &ask).await;
    world
        .until("Entra has the new token", async || {
            world
                .mutations(before)
                .iter()
                .any(|e| e.operation.starts_with("PUT") && e.operation.ends_with("/secrets"))
        })
        .await;
    world.until_ready(&everything::RESOURCES).await;
}

async fn delete(world: &TestWorld) {
    let bindings = api(&world.client, &world.namespace, "PermissionSetBinding");
    bindings.delete("operators", &DeleteParams::default()).await.unwrap();
    everything::delete(world).await;
    world
        .until("the other binding is gone", async || {
            world.get("PermissionSetBinding", "operators").await.is_none()
        })
        .await;
}

/// The names of AWS operations that were called, as actions, and the Graph operations.
fn called(world: &TestWorld) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut aws, mut graph) = (BTreeSet::new(), BTreeSet::new());
    for operation in everything::calls(world).keys() {
        match operation.service.as_str() {
            "graph" => {
                graph.insert(operation.name.clone());
            }
            "sso-admin" => {
                aws.insert(format!("sso:{}", operation.name));
            }
            service => {
                aws.insert(format!("{service}:{}", operation.name));
            }
        }
    }
    (aws, graph)
}

/// What a cloud denied the operator.
fn denied(world: &TestWorld) -> Vec<String> {
    let all = world.sandbox.core.counters.all().into_iter();
    all.filter(|c| c.outcome.contains("Denied") || c.outcome == "Forbidden")
        .map(|c| format!("{} {}: {}", c.service, c.operation, c.outcome))
        .collect()
}

async fn travel(prefix: &str, delegated: bool) -> TestWorld {
    let world = world(prefix, delegated).await;
    let operator = world.operator();
    make(&world, delegated).await;
    rotate_certificate(&world).await;
    rotate_token(&world).await;
    everything::change(&world, &everything::manifest(&world, true)).await;
    delete(&world).await;
    operator.stop().await;
    let left = world.sandbox.world();
    assert_eq!(left.identity_center.permission_sets, []);
    assert_eq!(left.tenant.applications, []);
    world
}

#[test]
fn the_whole_journey_ends_with_exactly_the_documented_rights_and_uses_them_all() {
    run(async {
        let world = travel("privilege", false).await;
        assert_eq!(denied(&world), Vec::<String>::new());
        let (aws, graph) = called(&world);
        // What AWS does with the caller's rights in the management account is no call of the operator's.
        let idle: Vec<&str> = actions::ALL
            .iter()
            .filter(|a| a.part != Part::ManagementAccount && a.seldom.is_none() && !aws.contains(a.name))
            .map(|a| a.name)
            .collect();
        assert_eq!(idle, Vec::<&str>::new(), "granted, and never called");
        for need in &permissions::ALL {
            let used = graph.iter().any(|o| permissions::needs(o).iter().any(|n| n.name == need.name));
            assert!(used, "{} is granted, and nothing called needs it", need.name);
        }
    });
}

#[test]
fn a_delegated_administrator_needs_no_more_for_the_other_accounts() {
    run(async {
        let world = travel("delegated", true).await;
        let denied: BTreeSet<String> = denied(&world).into_iter().collect();
        let expected = "sso-admin ListAccountAssignmentsForPrincipal: AccessDeniedException";
        assert_eq!(denied.iter().map(String::as_str).collect::<Vec<_>>(), [expected]);
        let account = format!("::{DELEGATED}:");
        let callers = world.mutations(0).into_iter().filter(|e| e.service == "sso-admin").map(|e| e.caller);
        assert!(callers.into_iter().all(|caller| caller.contains(&account)));
    });
}
