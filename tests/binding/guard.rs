//! Guard rails: `spec.bindings.rules` (docs/guard-rails.md).

use causeway::api::v1alpha1::PermissionSetBindingStatus;
use causeway::controllers::Outcome;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use sandbox::world::{ExistingPermissionSet, World};
use serde_json::{Value, json};

use super::harness::*;
use crate::schema::unused_fields;
use crate::support::{leaf_paths, run};

const FEDERATION: &str = include_str!("../../examples/guard-rails/10-federation.yaml");
pub const BINDINGS: &str = include_str!("../../examples/guard-rails/20-bindings.yaml");
const READ: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// The `spec` of the objects in YAML.
pub fn specs(yaml: &str) -> Vec<Value> {
    let objects = sandbox::journey::parse(yaml, None).unwrap();
    objects.into_iter().map(|o| o.data["spec"].clone()).collect()
}

pub fn existing(name: &str) -> ExistingPermissionSet {
    ExistingPermissionSet {
        name: name.into(),
        managed_policies: vec![READ.into()],
        ..ExistingPermissionSet::default()
    }
}

pub fn company() -> World {
    let mut world = world();
    world.identity_center.groups.push(group("aws-payments-engineers", "e-payments"));
    world.identity_center.groups.push(group("aws-payments-support", "e-support"));
    world.identity_center.permission_sets = vec![existing("payments-support"), existing("payments-old")];
    world
}

pub async fn label(twin: &Twin, labels: Value) {
    let namespaces = Api::<Namespace>::all(twin.client.clone());
    let patch = json!({"metadata": {"labels": labels}});
    namespaces.patch(&twin.namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

pub async fn rule(twin: &Twin, rules: Value) {
    twin.patch_federation(&json!({"spec": {"bindings": {"rules": rules}}})).await;
}

/// The federation of the example, and the team's namespace.
pub async fn team(world: World) -> Twin {
    let mut twin = Box::pin(Twin::start(world)).await;
    twin.move_to("payments").await;
    label(&twin, json!({"team": "payments"})).await;
    twin.patch_federation(&json!({"spec": {"bindings": specs(FEDERATION)[0]["bindings"]}})).await;
    twin
}

/// The team's first binding of the example, changed.
pub fn readers(name: &str, change: Value) -> Value {
    let mut spec = specs(BINDINGS).remove(0);
    spec.as_object_mut().unwrap().remove("federationRef");
    spec["permissionSet"]["name"] = json!(name);
    merge(&mut spec, &change);
    spec
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => target.clone_from(patch),
    }
}

/// Who holds what where, as far as sets of that name are concerned.
pub fn holders(twin: &Twin, set: &str) -> Vec<String> {
    let all = twin.assignments().into_iter();
    all.filter_map(|line| line.strip_prefix(&format!("{set} ")).map(str::to_owned)).collect()
}

async fn attach(twin: &Twin, set_arn: &str, policy: &str) {
    let instance = twin.sandbox.aws.facts().instance_arn.unwrap();
    let call = twin.aws.ssoadmin.attach_managed_policy_to_permission_set();
    let call = call.instance_arn(instance).permission_set_arn(set_arn).managed_policy_arn(policy);
    patiently(|| call.clone().send()).await;
}

async fn detach(twin: &Twin, set_arn: &str, policy: &str) {
    let instance = twin.sandbox.aws.facts().instance_arn.unwrap();
    let call = twin.aws.ssoadmin.detach_managed_policy_from_permission_set();
    let call = call.instance_arn(instance).permission_set_arn(set_arn).managed_policy_arn(policy);
    patiently(|| call.clone().send()).await;
}

pub fn refused(status: &PermissionSetBindingStatus) -> String {
    assert_eq!(ready(status), ("False".into(), "NotAllowedByRules".into()), "{status:#?}");
    said(status, "Stalled").2
}

#[test]
fn each_part_that_breaks_the_rules_is_refused_and_named() {
    run(async {
        let twin = team(company()).await;
        let operator = twin.operator().await;
        let group = |name: &str| json!([{"group": {"displayName": name}}]);
        let set = |part: Value| json!({"permissionSet": part});
        let table: [(&str, Value, &str); 9] = [
            ("shop-readers", json!({}), "permission set name shop-readers is not in its permissionSetNames"),
            (
                "payments-a",
                json!({"accounts": {"include": [{"ids": [SHOP]}]}}),
                "its accounts do not hold 111122223333",
            ),
            (
                "payments-b",
                set(json!({"managedPolicies": [READ, ADMIN]})),
                "AdministratorAccess is not in its managedPolicies",
            ),
            (
                "payments-c",
                set(json!({"customerManagedPolicies": [{"name": "engineers-extra"}]})),
                "customer managed policy /engineers-extra",
            ),
            (
                "payments-d",
                set(json!({"inlinePolicy": {"Version": "2012-10-17", "Statement": []}})),
                "it allows no inline policy",
            ),
            (
                "payments-e",
                json!({"principals": group("aws-engineers")}),
                "group \"aws-engineers\" is not in its groups",
            ),
            (
                "payments-f",
                json!({"principals": [{"user": {"userPrincipalName": "ada@acme.example"}}]}),
                "user ada@acme.example: it names groups alone",
            ),
            // Nobody is there of that name: it could never be allowed.
            (
                "payments-g",
                json!({"principals": group("all-staff")}),
                "group \"all-staff\" is not in its groups",
            ),
            (
                "payments-h",
                json!({"accounts": {"include": [{"ids": ["444455556666", "999999999999"]}]}}),
                "do not hold 999999999999",
            ),
        ];
        for (name, change, phrase) in table {
            twin.create(name, &readers(name, change)).await;
            let status = twin.pass(&operator, name).await.unwrap().status;
            let message = refused(&status);
            assert!(message.contains(&format!("rule 2: {phrase}")) || message.contains(phrase), "{message}");
            assert!(message.contains(&format!("those who look after namespace {}", twin.home)), "{message}");
            assert_eq!((status.permission_set_arn, status.current), (None, 0));
        }
        // A boundary that is demanded.
        rule(
            &twin,
            json!([{"namespaces": {"names": [twin.namespace]},
            "permissionsBoundaries": [{"managedPolicyArn": READ}]}]),
        )
        .await;
        twin.create("payments-i", &readers("payments-i", json!({}))).await;
        let status = twin.pass(&operator, "payments-i").await.unwrap().status;
        assert!(refused(&status).contains("it asks for one of its permissionsBoundaries ("), "{status:#?}");
        assert_eq!(twin.mutations(0).len(), 0);
        let bounded = json!({"spec": {"permissionSet": {"permissionsBoundary": {"managedPolicyArn": READ}}}});
        twin.patch("payments-i", &bounded).await;
        let status = twin.settle(&operator, "payments-i").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");
        // Refused from the beginning, it made nothing and goes without a trace.
        let before = twin.sandbox.core.journal.last();
        twin.delete("payments-b").await;
        assert!(twin.settle(&operator, "payments-b").await.is_none());
        assert_eq!(twin.mutations(before).len(), 0);
    });
}

#[test]
fn a_set_that_drifts_out_of_the_rules_gives_nothing_new_and_still_lets_go() {
    run(async {
        let twin = team(company()).await;
        let operator = twin.operator().await;
        let mut spec = readers(
            "payments-support",
            json!({"permissionSet": {
            "definition": "Elsewhere", "description": null, "managedPolicies": null}}),
        );
        spec["accounts"] = json!({"include": [{"ids": [PAYMENTS, "444455556666"]}]});
        twin.create("support", &spec).await;
        let status = twin.settle(&operator, "support").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");
        let arn = status.permission_set_arn.unwrap();

        attach(&twin, &arn, ADMIN).await;
        let before = twin.sandbox.core.journal.last();
        twin.patch(
            "support",
            &json!({"spec": {"principals": [
            {"group": {"displayName": "aws-payments-engineers"}},
            {"group": {"displayName": "aws-payments-support"}}]}}),
        )
        .await;
        let status = twin.look_anew(&operator, "support").await.status;
        assert!(refused(&status).contains("AdministratorAccess"), "{status:#?}");
        assert_eq!(status.permission_set_arn.as_ref(), Some(&arn));
        assert_eq!(holders(&twin, "payments-support").len(), 2, "what exists stays");
        assert_eq!(twin.mutations(before).len(), 0);
        // A stated removal goes on.
        twin.patch("support", &json!({"spec": {"accounts": {"include": [{"ids": ["444455556666"]}]}}})).await;
        let gone = |_: &Outcome<PermissionSetBindingStatus>| holders(&twin, "payments-support").len() == 1;
        let status = twin.until(&operator, "support", gone).await.unwrap();
        refused(&status);

        detach(&twin, &arn, ADMIN).await;
        let anew = async || {
            let status = twin.look_anew(&operator, "support").await.status;
            ready(&status).1 != "NotAllowedByRules"
        };
        eventually("the rules allow it again", anew).await;
        let status = twin.settle(&operator, "support").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");
        assert!(twin.mutations(before).iter().all(|e| e.operation.ends_with("AccountAssignment")
            || e.caller == "person"
            || e.operation.contains("ManagedPolicy")));
    });
}

#[test]
fn parts_of_an_own_set_that_are_left_alone_are_judged_as_they_are() {
    run(async {
        let mut world = company();
        world.identity_center.permission_sets[1].managed_policies.push(ADMIN.into());
        let twin = team(world).await;
        let operator = twin.operator().await;
        let spec = readers(
            "payments-old",
            json!({"permissionSet": {
            "adopt": true, "managedPolicies": null, "description": null}}),
        );
        twin.create("old", &spec).await;
        let status = twin.pass(&operator, "old").await.unwrap().status;
        assert!(refused(&status).contains("AdministratorAccess"));
        assert_eq!(twin.mutations(0).len(), 0, "not even the mark");
        // What the binding manages counts as it will be.
        twin.patch("old", &json!({"spec": {"permissionSet": {"managedPolicies": [READ]}}})).await;
        let status = twin.settle(&operator, "old").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");
        let operations: Vec<String> = twin.mutations(0).into_iter().map(|e| e.operation).collect();
        let at = |name: &str| operations.iter().position(|o| o == name).unwrap();
        assert!(at("DetachManagedPolicyFromPermissionSet") < at("CreateAccountAssignment"), "{operations:?}");
    });
}

#[test]
fn an_account_that_is_moved_out_of_the_unit_gives_nothing_new() {
    run(async {
        for paths in [true, false] {
            let mut world = company();
            world.organization.paths = paths;
            let twin = team(world).await;
            let operator = twin.operator().await;
            let unit = |path: &str| json!({"include": [{"organizationalUnit": {"path": path}}]});
            let names = json!({"names": [twin.namespace]});
            rule(&twin, json!([{"namespaces": names, "accounts": unit("/Workloads/Prod")}])).await;
            let one = json!([{"group": {"displayName": "aws-payments-engineers"}}]);
            let spec = readers(
                "payments-m",
                json!({"accounts": {"include": [{"ids": [PAYMENTS]}]}, "principals": one}),
            );
            twin.create("moved", &spec).await;
            let status = twin.settle(&operator, "moved").await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");

            twin.sandbox.aws.update_account(PAYMENTS, &json!({"organizationalUnit": "/Security"})).unwrap();
            twin.patch("moved", &json!({"spec": {"principals": [
                {"group": {"displayName": "aws-payments-engineers"}}, {"group": {"displayName": "aws-admins"}}]}}))
                .await;
            let status = twin.look_anew(&operator, "moved").await.status;
            assert!(refused(&status).contains("its accounts do not hold 222233334444"), "{status:#?}");
            assert_eq!(holders(&twin, "payments-m"), [format!("{PAYMENTS} aws-payments-engineers")]);

            rule(&twin, json!([{"namespaces": names, "accounts": unit("/Nowhere")}])).await;
            let status = twin.look_anew(&operator, "moved").await.status;
            assert!(refused(&status).contains("there is no organizational unit /Nowhere"), "{status:#?}");
            rule(&twin, json!([{"namespaces": names, "accounts": unit("/")}])).await;
            let status = twin.settle(&operator, "moved").await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");
        }
    });
}

#[test]
fn several_bindings_use_one_set_that_something_else_defines() {
    run(async {
        let twin = Twin::start(company()).await;
        let operator = twin.operator().await;
        let uses = |name: &str, group: &str| {
            json!({
                "permissionSet": {"name": name, "definition": "Elsewhere"},
                "principals": [{"group": {"displayName": group}}],
                "accounts": {"include": [{"ids": [SHOP]}]},
            })
        };
        twin.create("one", &uses("payments-support", "aws-engineers")).await;
        twin.create("two", &uses("payments-support", "aws-admins")).await;
        for name in ["one", "two"] {
            let status = twin.settle(&operator, name).await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        }
        let edits = twin.mutations(0);
        assert!(edits.iter().all(|e| e.operation == "CreateAccountAssignment"), "{edits:#?}");
        twin.delete("one").await;
        assert!(twin.settle(&operator, "one").await.is_none());
        assert_eq!(holders(&twin, "payments-support"), [format!("{SHOP} aws-admins")]);
        twin.create("none", &uses("no-such-set", "aws-engineers")).await;
        let status = twin.pass(&operator, "none").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "PermissionSetNotFound".into()), "{status:#?}");
    });
}

#[test]
fn every_leaf_of_the_rules_decides() {
    run(async {
        let twin = Twin::start(company()).await;
        let operator = twin.operator().await;
        // Each account is covered by one entry only.
        for (account, unit) in [("666677778888", "/Vault"), ("777788889999", "/Workloads/Prod/Audit")] {
            twin.sandbox.aws.update_account(account, &json!({"organizationalUnit": unit})).unwrap();
        }
        let roots = twin.aws.organizations.list_roots();
        let root = patiently(|| roots.clone().send()).await.roots()[0].id.clone().unwrap();
        let units = twin.aws.organizations.list_organizational_units_for_parent().parent_id(root);
        let units = patiently(|| units.clone().send()).await;
        let vault = units.organizational_units().iter().find(|u| u.name() == Some("Vault")).unwrap();
        let rule_in_full = json!({
            "namespaces": {"names": [twin.namespace]},
            "accounts": {
                "include": [
                    {"ids": [DEV]},
                    {"organizationalUnit": {"path": "/Workloads/Prod", "recursive": true}},
                    {"organizationalUnit": {"id": vault.id().unwrap(), "recursive": false}},
                ],
                "exclude": [{"ids": ["555566667777"]}],
            },
            "permissionSetNames": ["Engin*"],
            "managedPolicies": ["*/PowerUserAccess"],
            "customerManagedPolicies": ["/engineers-extra"],
            "inlinePolicy": "Allow",
            "permissionsBoundaries": [{"customerManagedPolicy": {"name": "engineers-boundary", "path": "/boundaries/"}}],
            "groups": ["aws-*"],
            "users": ["*@acme.example"],
        });
        let mut spec = everything();
        spec["mode"] = json!("Observe");
        spec["accounts"] = json!({"include": [{"ids": [DEV, "777788889999", "666677778888"]}]});
        rule(&twin, json!([rule_in_full])).await;
        twin.create("engineers", &spec).await;
        let status = twin.pass(&operator, "engineers").await.unwrap().status;
        assert_eq!(ready(&status).1, "PlanNotApplied", "{status:#?}");
        let changes = [
            ("/namespaces/names/0", json!("other")),
            ("/accounts/include/0/ids/0", json!("999999999999")),
            ("/accounts/include/1/organizationalUnit/path", json!("/Security")),
            ("/accounts/include/1/organizationalUnit/recursive", json!(false)),
            ("/accounts/include/2/organizationalUnit/id", json!("ou-abcd-12345678")),
            // Below that unit there is nothing: the value shows with the other unit.
            ("/accounts/include/2/organizationalUnit/recursive", Value::Null),
            ("/accounts/exclude/0/ids/0", json!(DEV)),
            ("/permissionSetNames/0", json!("Engin")),
            ("/managedPolicies/0", json!("*/ReadOnlyAccess")),
            ("/customerManagedPolicies/0", json!("/other/*")),
            ("/inlinePolicy", json!("Deny")),
            ("/permissionsBoundaries/0/customerManagedPolicy/name", json!("other")),
            ("/permissionsBoundaries/0/customerManagedPolicy/path", json!("/")),
            ("/groups/0", json!("aws-a*")),
            ("/users/0", json!("eve@acme.example")),
        ];
        for leaf in leaf_paths(&rule_in_full) {
            assert!(changes.iter().any(|(path, _)| *path == leaf), "no change of {leaf}");
        }
        let more = [
            json!({"accounts": {"include": [{"all": {}}]}}),
            json!({"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": twin.namespace}}}),
            json!({"permissionsBoundaries": [{"managedPolicyArn": READ}]}),
        ];
        let rules = [[rule_in_full.clone()].as_slice(), &more].concat();
        let spec = json!({"bindings": {"rules": rules}});
        let mut lacking = unused_fields("IdentityFederation", &[&spec]);
        // What is excluded is said in the same words as what is included.
        lacking.retain(|path| path.starts_with("spec.bindings.rules") && !path.contains(".exclude[]"));
        assert_eq!(lacking, [""; 0], "no rule here has these");
        for (path, value) in changes.into_iter().filter(|(_, value)| !value.is_null()) {
            let mut changed = rule_in_full.clone();
            *changed.pointer_mut(path).unwrap() = value;
            rule(&twin, json!([changed])).await;
            refused(&twin.pass(&operator, "engineers").await.unwrap().status);
        }
        for (rules, reason) in [
            (json!([]), "NotAllowedByRules"),
            (json!([{"accounts": {"include": [{"all": {}}]}}]), "PlanNotApplied"),
            (
                json!([{"accounts": {"include": [{"all": {}}], "exclude": [{"organizationalUnit": {"path": "/Vault"}}]}}]),
                "NotAllowedByRules",
            ),
            (
                json!([{"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": twin.namespace}}}]),
                "PlanNotApplied",
            ),
            (
                json!([{"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}]),
                "NotAllowedByRules",
            ),
            (json!([{"permissionsBoundaries": [{"managedPolicyArn": READ}]}]), "NotAllowedByRules"),
        ] {
            rule(&twin, rules.clone()).await;
            let status = twin.pass(&operator, "engineers").await.unwrap().status;
            assert_eq!(ready(&status).1, reason, "{rules}");
        }
        assert_eq!(twin.mutations(0).len(), 0);
    });
}
