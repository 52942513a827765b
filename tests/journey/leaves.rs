//! No field is there for show: each leaf of each schema, changed, changes the plan or the status, or is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use causeway::clients::entra::{ClientSecret, Graph, GraphOptions};
use causeway::clients::http::{HttpOptions, client};
use causeway::observers::Chain;
use causeway::secret::Sensitive;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use sandbox::journey;
use serde_json::{Value, json};

use crate::schema::unused_fields;
use crate::stories::two_parties::{AWS_FEDERATION, ENTRA_FEDERATION};
use crate::support::credentials::{admit, by_service_account, prepare, role};
use crate::support::run;
use crate::support::world::{ALL, FEDERATION, TestWorld};

/// Leaves whose effect lies elsewhere than in plan and status, and the test that shows it.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    // In this test everything is observed, whatever a resource says.
    ("/spec/mode", include_str!("../binding/life.rs"), "retain_and_observe_write_nothing"),
    (
        "/spec/deletionPolicy",
        include_str!("mod.rs"),
        "deleting_everything_leaves_nothing_of_ours_but_what_is_retained",
    ),
    // One pass for each leaf is enough there: rules leave no trace but what they refuse.
    ("/spec/bindings/rules", include_str!("../binding/guard.rs"), "every_leaf_of_the_rules_decides"),
    (
        "/spec/principals/0/onRecreate",
        include_str!("../binding/refusals.rs"),
        "a_name_that_was_taken_over_is_bound_again_by_itself_only_with_rebind",
    ),
];

/// Fields that have no place in the wide resources, because others exclude them or nothing differs there, and the test
/// that shows the effect of each.
const SHOWN_BY: [(&str, &str, &str); 9] = [
    (
        "spec.aws.external.acknowledgedIdpCertificates",
        include_str!("../stories/leaves.rs"),
        "every_leaf_of_the_other_partys_side_has_an_effect",
    ),
    (
        "spec.entra.credentials.ambient",
        include_str!("../federation/credentials.rs"),
        "refusals_say_what_to_do_and_pass_once_it_is_done",
    ),
    (
        "spec.aws.credentials.ambient",
        include_str!("../federation/credentials.rs"),
        "refusals_say_what_to_do_and_pass_once_it_is_done",
    ),
    (
        "spec.entra.application.adopt",
        include_str!("../federation/journey.rs"),
        "what_is_somebody_elses_is_not_touched",
    ),
    (
        "spec.aws.identityCenter.acknowledgedIdpCertificates",
        include_str!("../stories/leaves.rs"),
        "every_leaf_of_the_other_partys_side_has_an_effect",
    ),
    (
        "spec.aws.identityCenter.instanceArn",
        include_str!("../mistakes/mod.rs"),
        "each_mistake_is_told_where_people_look_and_costs_nothing",
    ),
    (
        "spec.federationRef.namespace",
        include_str!("../binding/tenants.rs"),
        "a_team_gets_what_the_rules_of_another_namespace_allow_and_may_let_go_of_it",
    ),
    ("spec.permissionSet.adopt", include_str!("../binding/refusals.rs"), "what_is_not_ours_is_not_touched"),
    (
        "spec.permissionSet.permissionsBoundary.managedPolicyArn",
        include_str!("../binding/guard.rs"),
        "each_part_that_breaks_the_rules_is_refused_and_named",
    ),
];

/// What must stand beside a leaf for a change of it to show: field of the wide resource of that kind, and its value.
fn beside(path: &str) -> Vec<(&'static str, &'static str, Value)> {
    match path {
        // It is said of a certificate that is to be made: the present one is due.
        "/spec/entra/signingCertificate/lifetime" => {
            vec![("IdentityFederation", "/spec/entra/signingCertificate/rotateBefore", json!("4000h"))]
        }
        // It is about those who name that account.
        "/spec/bindings/managementAccount" => {
            vec![("PermissionSetBinding", "/spec/accounts/include/0/ids", json!(["100000000001"]))]
        }
        _ => Vec::new(),
    }
}

/// Another valid value for a leaf. Paths that need a certain value are named; the rest goes by type.
fn other(path: &str, old: &Value) -> Value {
    match (path, old) {
        ("/spec/entra/application/assignmentMode", _) => json!("Exclusive"),
        ("/spec/entra/signingCertificate/rotateBefore", _) => json!("4000h"),
        ("/spec/entra/signingCertificate/lifetime", _) => json!("8760h"),
        ("/spec/aws/region", _) => json!("us-east-1"),
        ("/spec/bindings/managementAccount", _) => json!("Allow"),
        ("/spec/scope", _) => json!("All"),
        (_, Value::String(s)) if s.starts_with("arn:aws:iam::100000000001:role/") => {
            json!(role("causeway-other"))
        }
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

/// What all resources say, without what only tells that they were looked at.
async fn said(world: &TestWorld) -> BTreeMap<String, Value> {
    let mut said = BTreeMap::new();
    for kind in journey::kinds() {
        let api = journey::api(&world.client, &world.namespace, kind);
        for object in api.list(&ListParams::default()).await.unwrap() {
            let mut status = object.data["status"].clone();
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                condition["observedGeneration"] = Value::Null;
                condition["lastTransitionTime"] = Value::Null;
            }
            status["observedGeneration"] = Value::Null;
            status["lastHandledReconcileAt"] = Value::Null;
            said.insert(format!("{kind} {}", object.name_any()), status);
        }
    }
    said
}

/// What all resources say once all were looked at again, each after what it refers to, and nothing changes any more.
async fn rest(world: &TestWorld) -> BTreeMap<String, Value> {
    for kind in journey::kinds() {
        for object in
            journey::api(&world.client, &world.namespace, kind).list(&ListParams::default()).await.unwrap()
        {
            world.look_anew(kind, &object.name_any()).await;
        }
    }
    let mut last = said(world).await;
    let (mut since, began) = (Instant::now(), Instant::now());
    while since.elapsed() < Duration::from_millis(2500) {
        assert!(began.elapsed() < Duration::from_secs(180), "never at rest: {}", world.report().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = said(world).await;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// Whether the changed resource says something else, or others come to say something else and keep saying it.
async fn differs(world: &TestWorld, before: &BTreeMap<String, Value>, changed: &DynamicObject) -> bool {
    let own = format!("{} {}", changed.types.as_ref().unwrap().kind, changed.name_any());
    let now = said(world).await;
    now[&own] != before[&own] || rest(world).await != *before
}

async fn back(world: &TestWorld, before: &BTreeMap<String, Value>, path: &str) {
    let what = format!("{path} put back, all say what they said before: {before:#?}");
    world.until(&what, async || said(world).await == *before).await;
}

/// Somebody else lets a person sign in.
async fn assign_by_hand(world: &TestWorld, user_principal_name: &str) {
    let entra = world.sandbox.descriptor().entra;
    let total = Duration::from_secs(60);
    let options = GraphOptions {
        graph: world.settings.endpoints.graph.clone(),
        authority: world.settings.endpoints.authority.clone(),
        total,
    };
    let identity = ClientSecret {
        tenant_id: entra.tenant_id,
        client_id: entra.client_id,
        secret: Sensitive::new(entra.client_secret),
    };
    let http = client(&HttpOptions::within(total, world.settings.endpoints.ca_pem.clone())).unwrap();
    let graph = Graph::new(options, identity, http, Chain::of([])).unwrap();
    let federation = world.get("IdentityFederation", "acme").await.unwrap();
    let principal = federation.data["status"]["entra"]["servicePrincipalId"].as_str().unwrap();
    let roles = graph.service_principal(principal).await.unwrap().unwrap().app_roles;
    let role = roles.iter().find(|r| r.display_name == "User").unwrap();
    let user = graph.users_named(user_principal_name).await.unwrap().remove(0);
    graph.assign_app_role(principal, &user.id, &role.id).await.unwrap();
}

/// The resources of a converged world with every field of the schema that can be set beside the others; the rest is in
/// [`SHOWN_BY`].
const WIDE: [&str; 3] = [
    include_str!("wide-federation.yaml"),
    include_str!("wide-connection.yaml"),
    include_str!("wide-binding.yaml"),
];

/// The object ids of this world.
fn with_ids(yaml: &str, world: &TestWorld) -> String {
    let tenant = world.sandbox.world().tenant;
    let admins = tenant.groups.iter().find(|g| g.display_name == "aws-admins").and_then(|g| g.id.clone());
    let greta = tenant.users.iter().find(|u| u.user_principal_name == "greta@acme.example");
    let greta = greta.and_then(|u| u.id.clone());
    yaml.replace("ADMINS", &admins.expect("the group")).replace("GRETA", &greta.expect("the person"))
}

#[test]
fn every_field_of_the_schema_is_changed_here_or_shown_by_a_named_test() {
    let mut wide: Vec<DynamicObject> =
        WIDE.iter().flat_map(|yaml| journey::parse(yaml, None).unwrap()).collect();
    let mut other =
        wide.iter().find(|o| o.types.as_ref().unwrap().kind == "IdentityFederation").unwrap().clone();
    other.data["spec"] = by_service_account();
    wide.push(other);
    // These are changed in `stories/leaves.rs`, which looks for each leaf itself.
    for yaml in [ENTRA_FEDERATION, AWS_FEDERATION] {
        wide.extend(journey::parse(yaml, None).unwrap());
    }
    // The rules have a test of their own, whose rule holds every field as well.
    let elsewhere: Vec<String> = SHOWN_BY
        .iter()
        .map(|(path, ..)| (*path).to_owned())
        .chain(["spec.bindings.rules".to_owned()])
        .collect();
    let mut needless: BTreeSet<String> = elsewhere.iter().cloned().collect();
    for kind in journey::kinds() {
        let specs: Vec<&Value> =
            wide.iter().filter(|o| o.types.as_ref().unwrap().kind == kind).map(|o| &o.data["spec"]).collect();
        let mut lacking = unused_fields(kind, &specs);
        lacking.iter().for_each(|path| _ = needless.remove(path));
        lacking.retain(|path| !elsewhere.contains(path));
        assert!(lacking.is_empty(), "{kind}: nothing changes {lacking:?}");
    }
    assert!(needless.is_empty(), "said to be shown elsewhere, and changed here: {needless:?}");
}

#[test]
fn every_leaf_of_every_schema_has_an_effect() {
    run(async {
        let mut world = TestWorld::changed("leaves", prepare).await;
        admit(&mut world).await;
        let operator = world.operator();
        world.apply_example().await;
        // The first certificate ends early, so that a longer rotateBefore makes it due.
        let short = "signingCertificate:\n      lifetime: 2000h";
        world.apply(&FEDERATION.replace("signingCertificate:", short)).await;
        world.until_ready(&ALL).await;
        for yaml in WIDE {
            world.apply(&with_ids(yaml, &world)).await;
        }
        world.until_ready(&ALL).await;
        operator.stop().await;
        assign_by_hand(&world, "jun@acme.example").await;

        // From here on nothing is written to the clouds: what a change would do stands in the plan.
        let mut settings = world.settings.clone();
        settings.mode = causeway::api::Mode::Observe;
        let operator = world.operator_with(settings, None);
        let bases: BTreeMap<String, DynamicObject> = WIDE
            .map(|yaml| journey::parse(&with_ids(yaml, &world), Some(&world.namespace)).unwrap().remove(0))
            .map(|object| (object.types.as_ref().unwrap().kind.clone(), object))
            .into();
        for base in bases.values() {
            settled(&world, base).await;
        }
        let usual = rest(&world).await;
        let mut without = Vec::new();
        for (kind, base) in &bases {
            let mut all = Vec::new();
            leaves(&base.data["spec"], "/spec", &mut all);
            assert!(all.len() > 5, "{kind} has leaves");
            for (path, value) in all {
                if ELSEWHERE.iter().any(|(p, ..)| *p == path) {
                    continue;
                }
                let mut beginning = bases.clone();
                let beside = beside(&path);
                for (kind, field, value) in &beside {
                    let object = beginning.get_mut(*kind).unwrap();
                    *object.data.pointer_mut(field).unwrap() = value.clone();
                    assert!(put(&world, object).await);
                }
                let before = if beside.is_empty() { usual.clone() } else { rest(&world).await };
                let mut changed = beginning[kind].clone();
                *changed.data.pointer_mut(&path).unwrap() = value;
                if put(&world, &changed).await {
                    if !differs(&world, &before, &changed).await {
                        without.push(format!("{kind} {path}"));
                    }
                    assert!(put(&world, &beginning[kind]).await);
                    // So it was the leaf, and the next one begins where this one did.
                    back(&world, &before, &path).await;
                }
                for (kind, ..) in &beside {
                    assert!(put(&world, &bases[*kind]).await);
                }
                back(&world, &usual, &path).await;
            }
        }
        let federation = &bases["IdentityFederation"];
        without.extend(other_credentials_without_effect(&world, federation).await);
        operator.stop().await;
        assert_eq!(without, Vec::<String>::new(), "these fields changed neither plan nor status");
    });
}

/// The leaves of the credentials that exclude those of the wide federation.
async fn other_credentials_without_effect(world: &TestWorld, wide: &DynamicObject) -> Vec<String> {
    let mut base = wide.clone();
    for side in ["entra", "aws"] {
        base.data["spec"][side]["credentials"] = by_service_account()[side]["credentials"].clone();
    }
    assert!(put(world, &base).await);
    let before = rest(world).await;
    let mut all = Vec::new();
    for side in ["entra", "aws"] {
        leaves(&base.data["spec"][side]["credentials"], &format!("/spec/{side}/credentials"), &mut all);
    }
    assert_eq!(all.len(), 6, "{all:?}");
    let mut without = Vec::new();
    for (path, value) in all {
        let mut changed = base.clone();
        *changed.data.pointer_mut(&path).unwrap() = value;
        assert!(put(world, &changed).await, "{path} is refused");
        if !differs(world, &before, &changed).await {
            without.push(path.clone());
        }
        assert!(put(world, &base).await);
        back(world, &before, &path).await;
    }
    without
}

#[test]
fn the_tests_that_show_the_other_leaves_exist() {
    for (path, source, name) in ELSEWHERE.into_iter().chain(SHOWN_BY) {
        assert!(source.contains(&format!("#[test]\nfn {name}()")), "{path}: {name}");
    }
}

/// Applies a resource, and waits until its newest generation was looked at; whether the API server takes it.
async fn put(world: &TestWorld, object: &DynamicObject) -> bool {
    match journey::apply(&world.client, std::slice::from_ref(object)).await {
        Ok(()) => settled(world, object).await,
        Err(error) => match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(refusal)) if refusal.code == 422 => return false,
            _ => panic!("{error:#}"),
        },
    }
    true
}

/// Waits until the newest generation of a resource was looked at.
async fn settled(world: &TestWorld, object: &DynamicObject) {
    let kind = &object.types.as_ref().unwrap().kind;
    world
        .until("the newest generation was looked at", async || {
            let object = world.get(kind, &object.name_any()).await.unwrap();
            object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
        })
        .await;
}
