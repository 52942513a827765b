//! Stated removals go first and are held up by nothing else that fails.

use std::time::{Duration, Instant};

use causeway::api::v1alpha1::PermissionSetBindingStatus;
use causeway::controllers::Outcome;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};
use sandbox::core::FaultKind;
use serde_json::{Value, json};

use super::harness::*;
use crate::support::run;

type Seen = Outcome<PermissionSetBindingStatus>;

fn groups(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"group": {"displayName": name}})).collect()
}

/// A binding of these groups on these accounts, at rest.
async fn settled(twin: &Twin, principals: &[&str], accounts: &[&str]) {
    let operator = twin.operator().await;
    let mut spec = plain("Readers");
    spec["principals"] = groups(principals);
    spec["accounts"] = json!({"include": [{"ids": accounts}]});
    twin.create("readers", &spec).await;
    let status = twin.settle(&operator, "readers").await.unwrap();
    assert_eq!(ready(&status).0, "True", "{status:#?}");
}

#[test]
fn who_comes_second_to_a_set_without_a_mark_still_removes_what_the_first_does_not_hold_on_to() {
    run(async {
        let twin = Twin::start(world()).await;
        settled(&twin, &["aws-engineers", "aws-admins", "aws-auditors"], &[SHOP]).await;
        let operator = twin.operator().await;
        let ledger = twin.ledger("readers").await.unwrap();
        let arn = ledger.data.as_ref().unwrap()["permissionSetArn"].clone();
        twin.delete("readers").await;
        twin.patch("readers", &json!({"metadata": {"finalizers": null}})).await;
        // A set that lost its mark, and two that say that it is theirs; the first has the auditors too.
        let instance = twin.sandbox.aws.facts().instance_arn.unwrap();
        let untag = twin.aws.ssoadmin.untag_resource().instance_arn(instance).resource_arn(arn);
        patiently(|| untag.clone().tag_keys("causeway.dev/owner").send()).await;
        let mut spec = plain("Readers");
        spec["principals"] = groups(&["aws-engineers", "aws-admins", "aws-auditors"]);
        twin.create("a-first", &plain("Readers")).await;
        twin.create("second", &spec).await;
        let auditors = format!("group.{}", group_id(&twin, "aws-auditors").await.unwrap());
        let maps = Api::<ConfigMap>::namespaced(twin.client.clone(), &twin.namespace);
        for name in ["a-first", "second"] {
            let mut theirs = ledger.clone();
            if name == "a-first" {
                let data = theirs.data.as_mut().unwrap();
                data.retain(|k, _| !k.starts_with("group.") || *k == auditors);
            }
            theirs.metadata = ObjectMeta {
                name: Some(format!("{name}-ledger")),
                labels: theirs.metadata.labels,
                ..ObjectMeta::default()
            };
            maps.create(&PostParams::default(), &theirs).await.unwrap();
        }

        let before = twin.sandbox.core.journal.last();
        let change = json!({"spec": {
            "permissionSet": {"sessionDuration": "2h", "adopt": true},
            "accounts": {"include": [{"ids": [SHOP, DEV]}]}, "principals": groups(&["aws-engineers"])}});
        twin.patch("second", &change).await;
        let left = [format!("Readers {SHOP} aws-auditors"), format!("Readers {SHOP} aws-engineers")];
        let status = twin.until(&operator, "second", |_| twin.assignments() == left).await.unwrap();
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        assert!(said(&status, "Ready").2.contains("a-first"));
        for _ in 0..3 {
            twin.pass(&operator, "second").await.unwrap();
        }
        let done: Vec<String> = twin.mutations(before).into_iter().map(|e| e.operation).collect();
        assert_eq!(done, ["DeleteAccountAssignment"], "nothing else is written");

        twin.delete("a-first").await;
        twin.patch("a-first", &json!({"metadata": {"finalizers": null}})).await;
        let status = twin.settle(&operator, "second").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");
    });
}

#[test]
fn a_federation_in_trouble_gives_nothing_and_still_takes_away() {
    run(async {
        let twin = Twin::start(world()).await;
        settled(&twin, &["aws-engineers", "aws-admins"], &[SHOP, DEV]).await;
        let operator = twin.operator().await;
        twin.instance_ready(false).await;
        let before = twin.sandbox.core.journal.last();
        let change = json!({"spec": {
            "permissionSet": {"sessionDuration": "2h"}, "accounts": {"include": [{"ids": [SHOP, PAYMENTS]}]},
            "principals": groups(&["aws-engineers", "aws-auditors"])}});
        twin.patch("readers", &change).await;
        let left = [format!("Readers {SHOP} aws-engineers")];
        let status = twin.until(&operator, "readers", |_| twin.assignments() == left).await.unwrap();
        assert_eq!(ready(&status), ("False".into(), "FederationNotReady".into()), "{status:#?}");
        let done = twin.mutations(before);
        assert!(done.iter().all(|e| e.operation == "DeleteAccountAssignment"), "{done:#?}");
        assert_eq!(done.len(), 3);
        twin.instance_ready(true).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 4), "{status:#?}");
    });
}

#[test]
fn who_cannot_be_read_loses_what_the_spec_took_back_with_one_request() {
    run(async {
        let twin = Twin::start(world()).await;
        settled(&twin, &["aws-engineers", "aws-admins"], &[SHOP]).await;
        let operator = twin.operator().await;
        let unreadable = refuse("sso-admin", "ListAccountAssignmentsForPrincipal", FaultKind::Error, None);
        twin.sandbox.core.faults.add(unreadable);
        twin.sandbox.core.counters.clear();
        twin.patch("readers", &json!({"spec": {"principals": groups(&["aws-engineers"])}})).await;
        let left = [format!("Readers {SHOP} aws-engineers")];
        twin.until(&operator, "readers", |_| twin.assignments() == left).await.unwrap();
        for _ in 0..5 {
            let outcome = twin.pass(&operator, "readers").await.unwrap();
            assert_eq!(ready(&outcome.status).1, "CloudUnavailable", "{:#?}", outcome.status);
        }
        assert_eq!(twin.calls("DeleteAccountAssignment"), 1, "not asked for again in every pass");
        assert_eq!(twin.calls("CreateAccountAssignment"), 0);
        assert_eq!(twin.recorded("readers", "group.").await.len(), 2, "nothing shows yet that it is gone");
        twin.sandbox.core.faults.clear();
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert_eq!(twin.recorded("readers", "group.").await.len(), 1);
        assert_eq!(twin.calls("DeleteAccountAssignment"), 1);
    });
}

/// The shortest time that a removal waits for what should come before it: forty polls.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn what_should_come_first_and_never_comes_is_waited_for_with_patience_and_not_for_ever() {
    run(async {
        use FaultKind::{Error, Throttle};
        let conflict = Some("ConflictException");
        let each = |(service, operation, kind, code): (
            &'static str,
            &'static str,
            FaultKind,
            Option<&'static str>,
        )| async move {
            let twin = Twin::start(world()).await;
            settled(&twin, &["aws-engineers"], &[SHOP]).await;
            twin.sandbox.core.faults.add(refuse(service, operation, kind, code));
            if operation == "ListAccountAssignmentCreationStatus" {
                let likewise = "ListAccountAssignmentDeletionStatus";
                twin.sandbox.core.faults.add(refuse(service, likewise, kind, code));
            }
            // One that knows nothing of what runs in AWS and must learn it.
            let operator = twin.operator().await;
            let change = json!({"spec": {
                "permissionSet": {"sessionDuration": "2h"}, "principals": groups(&["aws-auditors"])}});
            let began = Instant::now();
            twin.patch("readers", &change).await;
            twin.until(&operator, "readers", |_| twin.assignments().is_empty()).await.unwrap();
            assert!(began.elapsed() >= PATIENCE, "{operation}: add before remove, in the ordinary case");
            twin.sandbox.core.faults.clear();
            let status = twin.settle(&operator, "readers").await.unwrap();
            assert_eq!(ready(&status).0, "True", "{operation}: {status:#?}");
            assert_eq!(twin.assignments(), [format!("Readers {SHOP} aws-auditors")], "{operation}");
        };
        let all = [
            ("sso-admin", "UpdatePermissionSet", Error, None),
            ("sso-admin", "UpdatePermissionSet", Error, conflict),
            ("sso-admin", "DescribePermissionSet", Error, None),
            ("sso-admin", "CreateAccountAssignment", Throttle, None),
            ("sso-admin", "CreateAccountAssignment", Error, conflict),
            ("sso-admin", "ListAccountAssignmentCreationStatus", Error, None),
            ("organizations", "ListAccounts", Error, None),
            ("identitystore", "ListGroups", Error, None),
        ];
        futures::future::join_all(all.map(each)).await;
    });
}

#[test]
fn a_directory_that_does_not_answer_leaves_time_to_remove() {
    run(async {
        let mut twin = Twin::start(world()).await;
        settled(&twin, &["aws-engineers", "aws-admins"], &[SHOP]).await;
        twin.settings.timing.reconcile = Duration::from_secs(20);
        let operator = twin.operator().await;
        for operation in ["GET /groups", "GET /users"] {
            twin.sandbox.core.faults.add(refuse("graph", operation, FaultKind::Hang, None));
        }
        let missing = ["aws-engineers", "not-there", "neither", "nor-this-one"];
        twin.patch("readers", &json!({"spec": {"principals": groups(&missing)}})).await;
        let before = twin.sandbox.core.journal.last();
        let pass = tokio::time::timeout(twin.settings.timing.reconcile, twin.pass(&operator, "readers"));
        let outcome = pass.await.expect("the pass ends in time").unwrap();
        let done: Vec<String> = twin.mutations(before).into_iter().map(|e| e.operation).collect();
        assert_eq!(done, ["DeleteAccountAssignment"]);
        assert_eq!(said(&outcome.status, "PrincipalsResolved").1, "CloudUnavailable");
        let left = [format!("Readers {SHOP} aws-engineers")];
        twin.until(&operator, "readers", |_| twin.assignments() == left).await.unwrap();
    });
}

#[test]
fn a_removal_of_something_that_aws_does_not_find_is_tried_again_when_it_is_there_all_the_same() {
    run(async {
        let twin = Twin::start(world()).await;
        settled(&twin, &["aws-engineers", "aws-admins"], &[SHOP]).await;
        let operator = twin.operator().await;
        let mut missing = refuse(
            "sso-admin",
            "DeleteAccountAssignment",
            FaultKind::Error,
            Some("ResourceNotFoundException"),
        );
        missing.times = Some(1);
        twin.sandbox.core.faults.add(missing);
        twin.sandbox.core.counters.clear();
        let began = Instant::now();
        twin.patch("readers", &json!({"spec": {"principals": groups(&["aws-engineers"])}})).await;
        let asked = |_: &Seen| twin.calls("DeleteAccountAssignment") == 1;
        twin.until(&operator, "readers", asked).await.unwrap();
        assert_eq!(twin.recorded("readers", "group.").await.len(), 2, "it is not let go on hearsay");
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(1), "AWS is believed for a moment: twenty polls");
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert_eq!(twin.assignments(), [format!("Readers {SHOP} aws-engineers")]);
        assert_eq!(twin.calls("DeleteAccountAssignment"), 2);
        assert_eq!(twin.recorded("readers", "group.").await.len(), 1);
    });
}

#[test]
fn a_deletion_removes_what_the_ledger_names_whatever_is_wrong_with_the_set() {
    run(async {
        for operation in
            ["DescribePermissionSet", "ListTagsForResource", "ListAccountAssignmentsForPrincipal"]
        {
            let twin = Twin::start(world()).await;
            settled(&twin, &["aws-engineers", "aws-admins"], &[SHOP]).await;
            let operator = twin.operator().await;
            twin.sandbox.core.faults.add(refuse("sso-admin", operation, FaultKind::Error, None));
            twin.delete("readers").await;
            twin.until(&operator, "readers", |_| twin.assignments().is_empty()).await.unwrap();
            let outcome = twin.pass(&operator, "readers").await.expect("the set is still there");
            assert!(
                matches!(ready(&outcome.status).1.as_str(), "DeletionBlocked" | "Deleting"),
                "{operation}"
            );
            twin.sandbox.core.faults.clear();
            assert!(twin.settle(&operator, "readers").await.is_none());
            assert_eq!(twin.sandbox.world().identity_center.permission_sets, [], "{operation}");
            twin.assert_nothing_twice();
        }
    });
}
