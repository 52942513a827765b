//! Each right alone: what happens without it. Most of it is in `tests/mistakes/`; this is the rest.

use std::collections::{BTreeMap, BTreeSet};

use causeway::clients::aws::actions::{self, Part};
use kube::api::{DeleteParams, Patch, PatchParams};
use sandbox::journey::{self, api};
use sandbox::world::{AccessKey, World};
use serde_json::{Value, json};

use super::{BASE, MANAGEMENT, allowed, restrict};
use crate::mistakes;
use crate::support::run;
use crate::support::world::{TestWorld, condition};

const BINDING: &str = "PermissionSetBinding";
const OPEN: &str = "100000000001";
/// It is missed only when a binding goes.
const DELETE: &str = "sso:DeletePermissionSet";
const MEMBERS: &str = "GroupMember.ReadBasic.All";

/// An action, and what is asked for while it is missing, merged into the binding's spec.
const ASKED: [(&str, &str); 9] = [
    (
        "identitystore:DescribeUser",
        "{principals: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: ben@acme.example}}]}",
    ),
    (
        "sso:ListAccountAssignmentCreationStatus",
        "{accounts: {include: [{ids: ['111122223333', '222233334444']}]}}",
    ),
    ("sso:ListAccountAssignmentDeletionStatus", "{accounts: {include: [{ids: ['111122223333']}]}}"),
    ("sso:DescribeAccountAssignmentDeletionStatus", "{principals: [{group: {displayName: aws-admins}}]}"),
    ("sso:ListPermissionSetProvisioningStatus", "{permissionSet: {sessionDuration: 3h}}"),
    ("sso:DescribePermissionSetProvisioningStatus", "{permissionSet: {sessionDuration: 4h}}"),
    // There is no policy of that name on that account, so the assignment fails.
    (
        "sso:DescribeAccountAssignmentCreationStatus",
        "{permissionSet: {customerManagedPolicies: [{name: engineers-extra}]}, accounts: {include: [{ids: ['111122223333', '666677778888']}]}}",
    ),
    ("organizations:ListRoots", "{}"),
    ("organizations:ListOrganizationalUnitsForParent", "{}"),
];

/// Actions that this module withholds.
fn withheld() -> Vec<&'static str> {
    let management = actions::ALL.iter().filter(|a| a.part == Part::ManagementAccount && a.seldom.is_none());
    ASKED.iter().map(|(action, _)| *action).chain(management.map(|a| a.name)).chain([DELETE]).collect()
}

fn key(nth: usize) -> AccessKey {
    AccessKey {
        access_key_id: format!("AKIASINGLEACTION{nth:04}"),
        secret_access_key: format!("sandbox/only/worthless/single/{nth:03}"),
        ..AccessKey::default()
    }
}

fn keys(world: &mut World) {
    restrict(world, false);
    let all: Vec<String> = allowed(BASE).into_iter().chain(allowed(MANAGEMENT)).collect();
    let without =
        |withheld: &[&str]| all.iter().filter(|a| !withheld.contains(&a.as_str())).cloned().collect();
    for (nth, action) in withheld().into_iter().enumerate() {
        world.organization.access_keys.push(AccessKey { actions: without(&[action]), ..key(nth) });
    }
    // The last one lacks everything that can be done without.
    let dispensable: Vec<&str> =
        actions::ALL.iter().filter(|a| a.without.is_some()).map(|a| a.name).collect();
    world.organization.access_keys.push(AccessKey { actions: without(&dispensable), ..key(999) });
}

async fn sign_in_with(world: &TestWorld, key: AccessKey) {
    let data = BTreeMap::from([
        ("accessKeyId".to_owned(), key.access_key_id),
        ("secretAccessKey".to_owned(), key.secret_access_key),
    ]);
    mistakes::federation::put_secret(world, "aws", &data).await;
}

async fn patch(world: &TestWorld, kind: &str, name: &str, patch: Value) {
    let resources = api(&world.client, &world.namespace, kind);
    resources.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn look(world: &TestWorld, nth: usize) {
    let now = json!({"metadata": {"annotations": {"causeway.dev/reconcile": format!("look-{nth}")}}});
    patch(world, BINDING, "readers", now).await;
}

/// A condition of the binding, or a failure, names the action.
async fn until_named(world: &TestWorld, action: &str) {
    let operation = action.split(':').next_back().unwrap_or_default();
    world
        .until(&format!("{action} is named"), async || {
            let Some(binding) = world.get(BINDING, "readers").await else { return false };
            condition(&binding, "Ready").is_some_and(|ready| {
                ready["status"] != "True" && ready["message"].as_str().unwrap_or_default().contains(operation)
            })
        })
        .await;
}

#[test]
fn every_right_is_withheld_somewhere_or_explained() {
    let told: BTreeSet<&str> = mistakes::actions::ROWS
        .iter()
        .flat_map(|row| row.members.iter().copied())
        .chain(withheld())
        .collect();
    for action in actions::ALL {
        let explained = action.without.is_some() || action.seldom.is_some();
        assert!(told.contains(action.name) || explained, "{}: what happens without it?", action.name);
    }
    let known: BTreeSet<&str> = actions::ALL.iter().map(|a| a.name).collect();
    assert!(told.is_subset(&known), "{:?}", told.difference(&known));
    for permission in super::graph().iter().filter(|p| *p != MEMBERS) {
        let row = mistakes::consent::ROWS.iter().find(|row| row.make == format!("without: [{permission}]"));
        let row = row.or_else(|| {
            mistakes::consent::ROWS
                .iter()
                .find(|row| row.make.starts_with(&format!("{{without: [{permission}],")))
        });
        assert!(row.is_some(), "{permission} is withheld nowhere");
    }
}

#[test]
fn what_is_missing_while_work_is_under_way_is_named_and_what_can_be_done_without_is_not_missed() {
    run(async {
        let mut world = TestWorld::changed("single", |world, _| keys(world)).await;
        world.settings.timing.backoff.1 = std::time::Duration::from_millis(400);
        let operator = world.operator();
        let right = |kind| mistakes::right(kind, &world.namespace);
        let all = ["IdentityFederation", "ScimConnection", BINDING].map(right);
        sign_in_with(&world, key(999)).await;
        journey::apply(&world.client, &all).await.unwrap();
        let ready = [("IdentityFederation", "acme"), ("ScimConnection", "acme"), (BINDING, "readers")];
        world.until_ready(&ready).await;

        for (nth, (action, asked)) in ASKED.into_iter().enumerate() {
            sign_in_with(&world, key(nth)).await;
            if action == "organizations:ListRoots" {
                // What the last one asked for can not be done.
                let accounts = json!([{"ids": ["111122223333"]}]);
                patch(&world, BINDING, "readers", json!({"spec": {"accounts": {"include": accounts}}})).await;
                let rules =
                    json!([{"accounts": {"include": [{"organizationalUnit": {"path": "/Workloads"}}]}}]);
                patch(&world, "IdentityFederation", "acme", json!({"spec": {"bindings": {"rules": rules}}}))
                    .await;
            }
            let asked: Value = serde_yaml_ng::from_str(asked).unwrap();
            patch(&world, BINDING, "readers", json!({"spec": asked})).await;
            look(&world, nth).await;
            until_named(&world, action).await;
            world.person.make_credentials().await.unwrap();
            if action == "sso:DescribeAccountAssignmentCreationStatus" {
                until_named(&world, "engineers-extra").await;
            } else {
                look(&world, 100 + nth).await;
                world.until_ready(&ready).await;
            }
        }

        // No account but that one has the policy.
        let policies = json!({"spec": {"permissionSet": {"customerManagedPolicies": []}}});
        patch(&world, BINDING, "readers", policies).await;
        world.until_ready(&ready).await;
        // The management account: AWS itself acts with the caller's rights, and says later what it lacked.
        let rails = json!({"spec": {"bindings": {"managementAccount": "Allow", "rules": null}}});
        patch(&world, "IdentityFederation", "acme", rails).await;
        let last = withheld().len() - 1;
        for (nth, action) in withheld().into_iter().enumerate().take(last).skip(ASKED.len()) {
            sign_in_with(&world, key(nth)).await;
            let accounts = json!([{"ids": ["111122223333", OPEN]}]);
            patch(&world, BINDING, "readers", json!({"spec": {"accounts": {"include": accounts}}})).await;
            look(&world, nth).await;
            until_named(&world, action).await;
        }
        world.person.make_credentials().await.unwrap();
        look(&world, 999).await;
        world.until_ready(&ready).await;

        sign_in_with(&world, key(last)).await;
        let bindings = api(&world.client, &world.namespace, BINDING);
        bindings.delete("readers", &DeleteParams::default()).await.unwrap();
        until_named(&world, DELETE).await;
        world.person.make_credentials().await.unwrap();
        world.until("the binding is gone", async || world.get(BINDING, "readers").await.is_none()).await;
        operator.stop().await;
    });
}

#[test]
fn who_may_not_read_members_is_told_so_where_a_person_is_missing() {
    run(async {
        let world = TestWorld::changed("members", |world, _| {
            restrict(world, false);
            world.tenant.clients[0].permissions.retain(|p| p != MEMBERS);
        })
        .await;
        let operator = world.operator();
        let mut all = ["IdentityFederation", "ScimConnection", BINDING]
            .map(|kind| mistakes::right(kind, &world.namespace));
        // He is assigned only through a group, if at all.
        all[2].data["spec"]["principals"] = json!([{"user": {"userPrincipalName": "farid@acme.example"}}]);
        journey::apply(&world.client, &all).await.unwrap();
        world.until_ready(&[("IdentityFederation", "acme"), ("ScimConnection", "acme")]).await;
        until_named(&world, MEMBERS).await;
        operator.stop().await;
    });
}
