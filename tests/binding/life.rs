use serde_json::json;

use super::harness::*;
use crate::support::run;

#[test]
fn a_binding_converges_and_then_rests() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!(ready(&status), ("True".into(), "Succeeded".into()), "{status:#?}");
        assert_eq!((status.desired, status.current, status.pending, status.failed), (9, 9, 0, 0));
        assert_eq!(twin.assignments().len(), 9);
        let sets = twin.sandbox.world().identity_center.permission_sets;
        let set = sets.iter().find(|s| s.name == "Engineers").unwrap();
        assert_eq!(set.session_duration.as_deref(), Some("PT8H"));
        assert_eq!(set.managed_policies, ["arn:aws:iam::aws:policy/PowerUserAccess"]);
        assert_eq!(set.tags["causeway.dev/owner"], format!("test/{}/engineers", twin.namespace));
        assert_eq!(set.tags["team"], "platform");
        twin.assert_nothing_twice();

        // Three resyncs and a restart: nothing is written anywhere.
        let before = twin.sandbox.core.journal.last();
        let stored = twin.bindings().get("engineers").await.unwrap();
        let ledger = twin.ledger("engineers").await.unwrap();
        for _ in 0..3 {
            let outcome = twin.pass(&operator, "engineers").await.unwrap();
            assert!(outcome.notices.is_empty(), "{:?}", outcome.notices);
        }
        let restarted = twin.operator().await;
        let outcome = twin.pass(&restarted, "engineers").await.unwrap();
        assert!(outcome.notices.is_empty() && outcome.class.is_none());
        assert_eq!(twin.mutations(before).len(), 0);
        assert_eq!(
            twin.bindings().get("engineers").await.unwrap().metadata.resource_version,
            stored.metadata.resource_version
        );
        assert_eq!(
            twin.ledger("engineers").await.unwrap().metadata.resource_version,
            ledger.metadata.resource_version
        );
    });
}

#[test]
fn a_changed_set_is_edited_once_and_brought_to_exactly_the_stale_accounts() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        twin.settle(&operator, "engineers").await.unwrap();
        let before = twin.sandbox.core.journal.last();
        twin.patch(
            "engineers",
            &json!({"spec": {"permissionSet": {
            "relayState": null, "sessionDuration": "90m", "customerManagedPolicies": [],
            "managedPolicies": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}}}),
        )
        .await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        let mut done: Vec<String> = twin.mutations(before).into_iter().map(|e| e.operation).collect();
        done.sort();
        assert_eq!(
            done,
            [
                "AttachManagedPolicyToPermissionSet",
                "DetachCustomerManagedPolicyReferenceFromPermissionSet",
                "DetachManagedPolicyFromPermissionSet",
                "ProvisionPermissionSet",
                "ProvisionPermissionSet",
                "ProvisionPermissionSet",
                "UpdatePermissionSet",
            ]
        );
        assert_eq!(status.stale_accounts, 0);
        // Somebody turns a knob by hand, to where it never was: it is turned back, and all three accounts get it.
        let arn = status.permission_set_arn.unwrap();
        let facts = twin.sandbox.aws.facts();
        let call = twin.aws.ssoadmin.put_inline_policy_to_permission_set();
        let call = call.instance_arn(facts.instance_arn.unwrap()).permission_set_arn(&arn);
        let call = call.inline_policy(r#"{"Version": "2012-10-17", "Statement": []}"#);
        patiently(|| call.clone().send()).await;
        let before = twin.sandbox.core.journal.last();
        // AWS shows it a moment later, and what was read before serves a moment longer.
        twin.until(&operator, "engineers", |_| !twin.mutations(before).is_empty()).await.unwrap();
        twin.settle(&operator, "engineers").await.unwrap();
        let done: Vec<String> = twin.mutations(before).into_iter().map(|e| e.operation).collect();
        assert_eq!(done[0], "PutInlinePolicyToPermissionSet");
        assert_eq!(done.len(), 4, "{:#?}", twin.mutations(before));
    });
}

#[test]
fn access_follows_the_spec_and_is_added_before_it_is_removed() {
    run(async {
        let mut twin = Twin::start(world()).await;
        // What comes first is waited for forty polls long: longer than any machine takes.
        twin.settings.timing.poll = std::time::Duration::from_secs(1);
        let operator = twin.operator().await;
        twin.create("engineers", &plain("Readers")).await;
        twin.settle(&operator, "engineers").await.unwrap();
        let before = twin.sandbox.core.journal.last();
        // Another group on the same account, and a second account.
        twin.patch(
            "engineers",
            &json!({"spec": {
            "principals": [{"group": {"displayName": "aws-auditors"}}],
            "accounts": {"include": [{"ids": [SHOP]}, {"ids": [DEV]}]}}}),
        )
        .await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!((status.desired, status.current), (2, 2));
        assert_eq!(
            twin.assignments(),
            [format!("Readers {SHOP} aws-auditors"), format!("Readers {DEV} aws-auditors")]
        );
        let on_shop: Vec<String> = twin
            .mutations(before)
            .into_iter()
            .filter(|e| e.target.contains(SHOP))
            .map(|e| e.operation)
            .collect();
        assert_eq!(on_shop, ["CreateAccountAssignment", "DeleteAccountAssignment"]);
        // An account goes out of the spec.
        twin.patch("engineers", &json!({"spec": {"accounts": {"include": [{"ids": [DEV]}]}}})).await;
        twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!(twin.assignments(), [format!("Readers {DEV} aws-auditors")]);
        let ledger = twin.ledger("engineers").await.unwrap().data.unwrap();
        let entries: Vec<&String> =
            ledger.iter().filter(|(k, _)| k.starts_with("group.")).map(|(_, v)| v).collect();
        assert_eq!(entries, [DEV]);
        twin.assert_nothing_twice();
    });
}

#[test]
fn what_somebody_took_away_by_hand_comes_back_and_what_a_stranger_gave_stays() {
    run(async {
        let mut world = world();
        world.identity_center.permission_sets = vec![];
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        twin.create("engineers", &plain("Readers")).await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        let facts = twin.sandbox.aws.facts();
        let (instance, arn) = (facts.instance_arn.unwrap(), status.permission_set_arn.unwrap());
        let store = facts.identity_store_id.unwrap();
        let groups =
            twin.aws.identitystore.list_groups().identity_store_id(&store).send().await.unwrap().groups;
        let id = |name: &str| {
            groups.iter().find(|g| g.display_name() == Some(name)).unwrap().group_id().to_owned()
        };
        use aws_sdk_ssoadmin::types::{PrincipalType, TargetType};
        // First the operator has seen with its own eyes what it made: until then it goes by AWS's word.
        let list = twin.aws.ssoadmin.list_account_assignments().instance_arn(&instance);
        let list = list.permission_set_arn(&arn).account_id(SHOP);
        eventually("AWS shows the assignment", async || {
            !patiently(|| list.clone().send()).await.account_assignments().is_empty()
        })
        .await;
        twin.look_anew(&operator, "engineers").await;
        let give =
            twin.aws.ssoadmin.create_account_assignment().instance_arn(&instance).permission_set_arn(&arn);
        let give = give.target_type(TargetType::AwsAccount).principal_type(PrincipalType::Group);
        let give = give.target_id(DEV).principal_id(id("aws-admins"));
        patiently(|| give.clone().send()).await;
        let take =
            twin.aws.ssoadmin.delete_account_assignment().instance_arn(&instance).permission_set_arn(&arn);
        let take = take.target_type(TargetType::AwsAccount).principal_type(PrincipalType::Group);
        let take = take.target_id(SHOP).principal_id(id("aws-engineers"));
        patiently(|| take.clone().send()).await;
        let by_hand = [format!("Readers {DEV} aws-admins")];
        eventually("both are done", async || twin.assignments() == by_hand).await;
        twin.look_anew(&operator, "engineers").await;
        let both = [format!("Readers {SHOP} aws-engineers"), format!("Readers {DEV} aws-admins")];
        twin.until(&operator, "engineers", |_| twin.assignments() == both).await.unwrap();
        twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!(twin.assignments(), both);
        // The set has an assignment that is not ours, so it stays, and the status says so.
        twin.delete("engineers").await;
        let status =
            twin.until(&operator, "engineers", |o| ready(&o.status).1 == "DeletionBlocked").await.unwrap();
        assert!(said(&status, "Ready").2.contains(DEV), "{status:#?}");
        assert_eq!(twin.assignments(), [format!("Readers {DEV} aws-admins")]);
        let take =
            twin.aws.ssoadmin.delete_account_assignment().instance_arn(&instance).permission_set_arn(&arn);
        let take = take.target_type(TargetType::AwsAccount).principal_type(PrincipalType::Group);
        let take = take.target_id(DEV).principal_id(id("aws-admins"));
        patiently(|| take.clone().send()).await;
        assert!(twin.settle(&operator, "engineers").await.is_none());
        assert_eq!(twin.sandbox.world().identity_center.permission_sets, []);
    });
}

#[test]
fn a_cluster_rebuilt_from_git_resumes_without_a_write() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        twin.settle(&operator, "engineers").await.unwrap();
        let ledger = twin.ledger("engineers").await.unwrap();
        // Gone without a clean-up, as etcd would be.
        twin.patch("engineers", &json!({"metadata": {"finalizers": null}})).await;
        twin.delete("engineers").await;
        let maps = kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(
            twin.client.clone(),
            &twin.namespace,
        );
        let _ = maps.delete("engineers-ledger", &kube::api::DeleteParams::default()).await;
        let before = twin.sandbox.core.journal.last();
        twin.create("engineers", &everything()).await;
        let operator = twin.operator().await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!(ready(&status).0, "True");
        assert_eq!(twin.mutations(before).len(), 0, "{:#?}", twin.mutations(before));
        assert_eq!(twin.ledger("engineers").await.unwrap().data, ledger.data);
    });
}

#[test]
fn deletion_takes_everything_with_it_in_order_also_without_a_ledger() {
    run(async {
        for lost in [false, true] {
            let twin = Twin::start(world()).await;
            let operator = twin.operator().await;
            twin.create("engineers", &everything()).await;
            twin.settle(&operator, "engineers").await.unwrap();
            if lost {
                twin.lose_ledger("engineers").await;
            }
            let before = twin.sandbox.core.journal.last();
            twin.delete("engineers").await;
            assert!(twin.settle(&operator, "engineers").await.is_none());
            assert!(twin.assignments().is_empty());
            assert_eq!(twin.sandbox.world().identity_center.permission_sets, []);
            let done = twin.mutations(before);
            assert_eq!(done.len(), 10, "{done:#?}");
            assert_eq!(done[9].operation, "DeletePermissionSet");
            twin.assert_nothing_twice();
        }
    });
}

#[test]
fn a_binding_that_made_something_is_not_forgotten_because_it_observes_now() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        twin.settle(&operator, "engineers").await.unwrap();
        twin.patch("engineers", &json!({"spec": {"mode": "Observe"}})).await;
        let before = twin.sandbox.core.journal.last();
        twin.delete("engineers").await;
        let outcome = twin.pass(&operator, "engineers").await.expect("it is held");
        assert_eq!(ready(&outcome.status), ("False".into(), "DeletionBlocked".into()));
        assert_eq!(twin.mutations(before).len(), 0);
        twin.patch("engineers", &json!({"spec": {"mode": "Enforce"}})).await;
        assert!(twin.settle(&operator, "engineers").await.is_none());
        assert!(twin.assignments().is_empty());
    });
}

#[test]
fn a_binding_goes_where_no_instance_ever_was_and_waits_where_that_is_not_known() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.no_instance_yet("CloudUnavailable").await;
        twin.delete("readers").await;
        let outcome = twin.pass(&operator, "readers").await.unwrap();
        let (_, reason, message) = said(&outcome.status, "Ready");
        assert_eq!(reason, "DeletionBlocked");
        assert!(message.contains("no usable Identity Center instance yet"), "{message}");
        // What was seen with another spec says nothing about this one.
        twin.no_instance_yet("AwaitingHandoff").await;
        twin.patch_federation(&json!({"spec": {"aws": {"region": "eu-north-1"}}})).await;
        assert!(twin.pass(&operator, "readers").await.is_some());
        twin.patch_federation(&json!({"spec": {"aws": {"region": "eu-west-1"}}})).await;
        twin.no_instance_yet("AwaitingHandoff").await;
        assert!(twin.pass(&operator, "readers").await.is_none());
        let told = twin.told.lock().unwrap().join("\n");
        assert!(told.contains("permission set Readers was not looked for"), "{told}");
        assert_eq!(twin.mutations(0).len(), 0);
    });
}

#[test]
fn retain_and_observe_write_nothing() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = everything();
        spec["mode"] = json!("Observe");
        twin.create("engineers", &spec).await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!(ready(&status), ("False".into(), "PlanNotApplied".into()));
        let plan = status.plan.unwrap().summary;
        assert!(plan[0].starts_with("create permission set Engineers"), "{plan:#?}");
        assert!(
            plan.contains(&format!("create assignment of group \"aws-engineers\" on account {SHOP}")),
            "{plan:#?}"
        );
        assert_eq!(twin.mutations(0).len(), 0);
        assert!(twin.ledger("engineers").await.is_none());

        twin.patch("engineers", &json!({"spec": {"mode": "Enforce", "deletionPolicy": "Retain"}})).await;
        twin.settle(&operator, "engineers").await.unwrap();
        let before = twin.sandbox.core.journal.last();
        twin.delete("engineers").await;
        assert!(twin.pass(&operator, "engineers").await.is_none());
        assert_eq!(twin.mutations(before).len(), 0);
        assert_eq!(twin.assignments().len(), 9);
    });
}

#[test]
fn an_assignment_that_fails_does_not_hold_up_the_others() {
    run(async {
        let mut world = world();
        world.iam.remove(PAYMENTS);
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        let status = twin
            .until(&operator, "engineers", |o| o.status.failed > 0 && o.status.current == 6)
            .await
            .unwrap();
        assert_eq!(ready(&status), ("False".into(), "AssignmentFailed".into()), "{status:#?}");
        assert!(
            status.failures.iter().all(|f| f.account_id == PAYMENTS && f.principal.is_some()),
            "{status:#?}"
        );
        // Without the policy that the account lacks, it works.
        twin.patch(
            "engineers",
            &json!({"spec": {"permissionSet": {
            "customerManagedPolicies": [], "permissionsBoundary": null}}}),
        )
        .await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current, status.failed), ("True", 9, 0));
        assert!(status.failures.is_empty());
    });
}

#[test]
fn without_a_ledger_what_an_earlier_spec_has_left_keeps_the_set_and_is_named() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let group = |name: &str| json!({"group": {"displayName": name}});
        let mut spec = plain("Readers");
        spec["principals"] = json!([group("aws-engineers"), group("aws-admins")]);
        twin.create("readers", &spec).await;
        twin.settle(&operator, "readers").await.unwrap();
        let all = twin.assignments();
        // Nobody has looked at the new spec yet when the ledger goes, as it does when a deletion is in the foreground.
        twin.patch("readers", &json!({"spec": {"principals": [group("aws-engineers")]}})).await;
        twin.lose_ledger("readers").await;
        twin.delete("readers").await;
        let left =
            twin.until(&operator, "readers", |o| ready(&o.status).1 == "DeletionBlocked").await.unwrap();
        let rest: Vec<String> = all.into_iter().filter(|a| a.ends_with("aws-admins")).collect();
        assert_eq!(twin.assignments(), rest);
        let (_, _, message) = said(&left, "Ready");
        assert!(
            message.contains("it has assignments that this binding did not make") && message.contains(SHOP),
            "{message}"
        );
    });
}

#[test]
fn many_assignments_take_few_calls() {
    run(async {
        let mut world = sandbox::world::World::load("company-enabled").unwrap();
        world.identity_center.groups = world_groups();
        let accounts: Vec<String> = world
            .organization
            .accounts
            .iter()
            .filter(|a| a.state.is_none())
            .filter_map(|a| a.id.clone())
            .collect();
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["principals"] = json!([{"group": {"displayName": "g1"}}, {"group": {"displayName": "g2"}}]);
        spec["accounts"] = json!({"include": [{"ids": accounts}]});
        twin.create("readers", &spec).await;
        twin.sandbox.core.counters.clear();
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!(status.current, i64::try_from(accounts.len() * 2).unwrap());
        let counters = twin.sandbox.core.counters.all();
        let calls: u64 = counters.iter().filter(|c| c.service == "sso-admin").map(|c| c.calls).sum();
        let each = calls as f64 / (accounts.len() * 2) as f64;
        println!("{} assignments, {calls} calls, {each:.2} each\n{counters:#?}", accounts.len() * 2);
        assert!(each < 4.0, "{each} calls for each assignment: {counters:#?}");
    });
}

fn world_groups() -> Vec<sandbox::world::StoreGroup> {
    vec![group("g1", "e1"), group("g2", "e2")]
}
