//! A lost ledger: what exists is the evidence.

use sandbox::world::{ExistingAssignment, ExistingPermissionSet, World};
use serde_json::{Value, json};

use super::harness::*;
use crate::support::run;

/// An unmarked set, of which the auditors have something that nobody here gave them.
fn with_a_stranger() -> World {
    let mut world = world();
    let admins = group("aws-admins", "11111111-2222-3333-4444-555555555555");
    world.identity_center.groups.retain(|g| g.display_name != "aws-admins");
    world.identity_center.groups.push(admins);
    world.identity_center.permission_sets =
        vec![ExistingPermissionSet { name: "Readers".into(), ..Default::default() }];
    world.identity_center.assignments = vec![ExistingAssignment {
        account: DEV.into(),
        permission_set: "Readers".into(),
        group: Some("aws-auditors".into()),
        user: None,
    }];
    world
}

fn adopting() -> Value {
    let mut spec = plain("Readers");
    spec["permissionSet"]["adopt"] = json!(true);
    spec
}

#[test]
fn a_name_that_was_taken_over_while_the_ledger_was_lost_gets_nothing_by_its_name_alone() {
    run(async {
        for on_recreate in ["RequireApproval", "Rebind"] {
            let twin = Twin::start(world()).await;
            let mut spec = plain("Readers");
            spec["principals"][0]["onRecreate"] = json!(on_recreate);
            twin.create("readers", &spec).await;
            twin.settle(&twin.operator().await, "readers").await.unwrap();
            let old = group_id(&twin, "aws-engineers").await.unwrap();
            delete_group(&twin, "aws-engineers").await;
            let new = create_group(&twin, "aws-engineers").await;
            twin.lose_ledger("readers").await;
            let before = twin.sandbox.core.journal.last();
            let operator = twin.operator().await;
            if on_recreate == "Rebind" {
                let status = twin.settle(&operator, "readers").await.unwrap();
                assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
                assert_eq!(twin.mutations(before)[0].operation, "CreateAccountAssignment");
                continue;
            }
            // The first pass writes a new ledger; that does not make the name any better, nor does a restart.
            for operator in [&operator, &operator, &twin.operator().await] {
                let status = twin.pass(operator, "readers").await.unwrap().status;
                assert_eq!(
                    ready(&status),
                    ("False".into(), "PrincipalIdentityChanged".into()),
                    "{status:#?}"
                );
                let (_, _, message) = said(&status, "Stalled");
                assert!(message.contains(&old) && message.contains(SHOP), "what to compare: {message}");
                assert!(message.ends_with(&format!("causeway.dev/approve-principal={new}")), "{message}");
            }
            assert_eq!(twin.mutations(before).len(), 0);
            assert_eq!(twin.recorded("readers", "unproven").await.len(), 1);
            let approve = json!({"metadata": {"annotations": {"causeway.dev/approve-principal": new}}});
            twin.patch("readers", &approve).await;
            let status = twin.settle(&operator, "readers").await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
            assert!(twin.recorded("readers", "unproven").await.is_empty());
            // What is approved stays approved; what the old object had is a stranger's.
            twin.patch("readers", &json!({"metadata": {"annotations": null}})).await;
            let status = twin.settle(&operator, "readers").await.unwrap();
            assert_eq!(ready(&status).0, "True");
            let done: Vec<String> = twin.mutations(before).into_iter().map(|e| e.operation).collect();
            assert_eq!(done, ["CreateAccountAssignment"]);
        }
    });
}

#[test]
fn a_name_that_nobody_had_when_the_ledger_was_lost_needs_approval_when_somebody_takes_it() {
    run(async {
        let twin = Twin::start(world()).await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&twin.operator().await, "readers").await.unwrap();
        delete_group(&twin, "aws-engineers").await;
        twin.lose_ledger("readers").await;
        let before = twin.sandbox.core.journal.last();
        let operator = twin.operator().await;
        let status = twin.until(&operator, "readers", |o| !o.status.waiting.is_empty()).await.unwrap();
        assert_eq!(status.waiting[0].reason, "NotInProvisioningScope", "{status:#?}");
        let new = create_group(&twin, "aws-engineers").await;
        let changed = |o: &causeway::controllers::Outcome<_>| is_changed(&o.status);
        let status = twin.until(&operator, "readers", changed).await.unwrap();
        assert!(said(&status, "Stalled").2.ends_with(&new), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0);
    });
}

fn is_changed(status: &causeway::api::v1alpha1::PermissionSetBindingStatus) -> bool {
    ready(status).1 == "PrincipalIdentityChanged"
}

#[test]
fn who_has_something_is_who_was_meant_whatever_strangers_there_are() {
    run(async {
        let twin = Twin::start(with_a_stranger()).await;
        twin.create("readers", &adopting()).await;
        let status = twin.settle(&twin.operator().await, "readers").await.unwrap();
        assert_eq!(ready(&status).0, "True", "a first binding needs no evidence: {status:#?}");
        let ledger = twin.ledger("readers").await.unwrap();
        twin.lose_ledger("readers").await;
        let before = twin.sandbox.core.journal.last();
        let operator = twin.operator().await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0);
        assert_eq!(twin.ledger("readers").await.unwrap().data, ledger.data);

        // Lost again, and somebody is new: by name he needs a person's word, by object id he does not.
        twin.lose_ledger("readers").await;
        let by_id = json!({"group": {"entraObjectId": "11111111-2222-3333-4444-555555555555"}});
        for (admins, reason, current) in [
            (json!({"group": {"displayName": "aws-admins"}}), "PrincipalIdentityChanged", 1),
            (by_id, "Succeeded", 2),
        ] {
            let principals = json!([{"group": {"displayName": "aws-engineers"}}, admins]);
            twin.patch("readers", &json!({"spec": {"principals": principals}})).await;
            let operator = twin.operator().await;
            let there = |o: &causeway::controllers::Outcome<
                causeway::api::v1alpha1::PermissionSetBindingStatus,
            >| ready(&o.status).1 == reason;
            let status = twin.until(&operator, "readers", there).await.unwrap();
            assert_eq!(status.current, current, "{status:#?}");
        }
    });
}

/// The ledger comes before the mark, so that an adoption that was cut off does not look like a lost ledger.
#[test]
fn an_adoption_that_is_cut_off_anywhere_needs_no_person() {
    run(async {
        const AT_ONCE: usize = 12;
        let cut_at = |n: usize| async move {
            let twin = Twin::start(with_a_stranger()).await;
            twin.create("readers", &adopting()).await;
            let cut = twin.settle_or_cut(&twin.operator_cut_at(n).await, "readers").await;
            let status = twin.settle(&twin.operator().await, "readers").await.unwrap();
            assert_eq!(
                (ready(&status).0.as_str(), status.current),
                ("True", 1),
                "cut before {n}: {status:#?}"
            );
            twin.assert_nothing_twice();
            cut
        };
        for batch in 0.. {
            let all = (1..=AT_ONCE).map(|i| cut_at(batch * AT_ONCE + i));
            if futures::future::join_all(all).await.contains(&false) {
                assert!(batch > 0);
                break;
            }
        }
    });
}
