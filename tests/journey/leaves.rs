//! No field is there for show: each leaf of each schema, changed, changes the plan or the status, or is refused.

use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use sandbox::journey;
use serde_json::{Value, json};

use crate::support::run;
use crate::support::world::{ALL, TestWorld};

/// Leaves whose effect lies elsewhere than in plan and status, and the test that shows it.
const ELSEWHERE: [(&str, &str); 2] = [
    ("/spec/deletionPolicy", "journey::deleting_everything_leaves_nothing_of_ours_but_what_is_retained"),
    ("/spec/principals/0/onRecreate", "binding: a recreated group is bound again only with Rebind"),
];

/// Another valid value for a leaf. Paths that need a certain value are named; the rest goes by type.
fn other(path: &str, old: &Value) -> Value {
    match (path, old) {
        ("/spec/mode", _) => json!("Enforce"),
        ("/spec/entra/application/assignmentMode", _) => json!("Exclusive"),
        ("/spec/entra/signingCertificate/rotateBefore", _) => json!("26280h"),
        ("/spec/entra/signingCertificate/lifetime", _) => json!("8760h"),
        ("/spec/aws/region", _) => json!("us-east-1"),
        ("/spec/bindings/managementAccount", _) => json!("Allow"),
        ("/spec/scope", _) => json!("All"),
        ("/spec/permissionSet/sessionDuration", _) => json!("3h"),
        ("/spec/permissionSet/customerManagedPolicies/0/path", _) => json!("/other/"),
        ("/spec/accounts/include/0/ids/0", _) => json!("777788889999"),
        (_, Value::Bool(b)) => json!(!b),
        (_, Value::Number(n)) => json!(n.as_i64().unwrap_or_default() + 1),
        (_, Value::String(s)) if s.contains('@') => json!(format!("other-{s}")),
        (_, Value::String(s)) if s.starts_with("arn:aws:iam") => {
            json!("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess")
        }
        (_, Value::String(s)) if s.len() == 36 && s.matches('-').count() == 4 => {
            json!("deadbeef-0000-4000-8000-000000000000")
        }
        (_, Value::String(s)) if s.len() == 64 && s.chars().all(|c| c.is_ascii_hexdigit()) => {
            json!("f".repeat(64))
        }
        (_, Value::String(s)) => json!(format!("{s}x")),
        (_, other) => panic!("{path} is no leaf: {other}"),
    }
}

fn leaves(value: &Value, path: &str, into: &mut Vec<(String, Value)>) {
    match value {
        // A policy document is one leaf: its effect is that of the whole.
        Value::Object(map) if map.contains_key("Statement") => {
            let mut changed = value.clone();
            changed["Statement"][0]["Effect"] = json!("Deny");
            changed["Statement"][0]["Action"] = json!("s3:DeleteBucket");
            into.push((path.to_owned(), changed));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| leaves(v, &format!("{path}/{k}"), into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| leaves(v, &format!("{path}/{i}"), into))
        }
        leaf => into.push((path.to_owned(), other(path, leaf))),
    }
}

/// What a resource says, without what only tells that it was looked at.
fn said(object: &DynamicObject) -> Value {
    let mut status = object.data["status"].clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = Value::Null;
        condition["lastTransitionTime"] = Value::Null;
    }
    status["observedGeneration"] = Value::Null;
    status
}

/// The resources of a converged world with every field of the schema that can be set beside the others.
const WIDE_FEDERATION: &str = include_str!("wide-federation.yaml");
const WIDE_CONNECTION: &str = include_str!("wide-connection.yaml");
const WIDE_BINDING: &str = include_str!("wide-binding.yaml");

#[test]
fn every_leaf_of_every_schema_has_an_effect() {
    run(async {
        let world = TestWorld::company("leaves").await;
        let operator = world.operator();
        world.apply_example().await;
        world.until_ready(&ALL).await;
        for yaml in [WIDE_FEDERATION, WIDE_CONNECTION, WIDE_BINDING] {
            world.apply(yaml).await;
        }
        world.until_ready(&ALL).await;
        operator.stop().await;

        // From here on nothing is written to the clouds: what a change would do stands in the plan.
        let mut settings = world.settings.clone();
        settings.mode = causeway::api::Mode::Observe;
        let operator = world.operator_with(settings, None);
        let mut without = Vec::new();
        for yaml in [WIDE_FEDERATION, WIDE_CONNECTION, WIDE_BINDING] {
            let base = journey::parse(yaml, Some(&world.namespace)).unwrap().remove(0);
            let kind = base.types.as_ref().unwrap().kind.clone();
            let api = journey::api(&world.client, &world.namespace, &kind);
            let before = settled(&world, &kind, &base.name_any()).await;
            let mut all = Vec::new();
            leaves(&base.data["spec"], "/spec", &mut all);
            assert!(all.len() > 5, "{kind} has leaves");
            for (path, value) in all {
                if ELSEWHERE.iter().any(|(p, _)| *p == path) || path == "/spec/mode" {
                    continue;
                }
                let mut changed = base.clone();
                *changed.data.pointer_mut(&path).unwrap() = value;
                let parameters = PatchParams {
                    field_manager: Some("person".into()),
                    force: true,
                    ..PatchParams::default()
                };
                match api.patch(&base.name_any(), &parameters, &Patch::Apply(&changed)).await {
                    Err(_) => continue,
                    Ok(_) => {
                        let after = settled(&world, &kind, &base.name_any()).await;
                        if said(&after) == said(&before) {
                            without.push(format!("{kind} {path}"));
                        }
                        api.patch(&base.name_any(), &parameters, &Patch::Apply(&base)).await.unwrap();
                        settled(&world, &kind, &base.name_any()).await;
                    }
                }
            }
        }
        operator.stop().await;
        assert_eq!(without, Vec::<String>::new(), "these fields changed neither plan nor status");
    });
}

/// The resource once its newest generation was looked at.
async fn settled(world: &TestWorld, kind: &str, name: &str) -> DynamicObject {
    world
        .until("the newest generation was looked at", async || {
            let object = world.get(kind, name).await.unwrap();
            object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
        })
        .await;
    world.get(kind, name).await.unwrap()
}
