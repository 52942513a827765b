use sandbox::core::{FaultKind, FaultRule};
use serde_json::json;

use super::harness::*;
use crate::support::run;

/// A small binding: one set, two groups, two accounts.
fn small() -> serde_json::Value {
    let mut spec = plain("Readers");
    spec["principals"] =
        json!([{"group": {"displayName": "aws-engineers"}}, {"group": {"displayName": "aws-admins"}}]);
    spec["accounts"] = json!({"include": [{"ids": [SHOP, DEV]}]});
    spec
}

fn expected() -> Vec<String> {
    let mut lines = vec![
        format!("Readers {SHOP} aws-admins"),
        format!("Readers {SHOP} aws-engineers"),
        format!("Readers {DEV} aws-admins"),
        format!("Readers {DEV} aws-engineers"),
    ];
    lines.sort();
    lines
}

/// Tries every cut, some at a time, until one comes too late to cut anything; says how many there were.
async fn every_cut<F: Future<Output = bool>>(step: usize, attempt: impl Fn(usize) -> F) -> usize {
    const AT_ONCE: usize = 24;
    let mut n = 0;
    loop {
        let batch: Vec<F> = (1..=AT_ONCE).map(|i| attempt((n + i) * step)).collect();
        n += AT_ONCE;
        if futures::future::join_all(batch).await.contains(&false) {
            return n * step;
        }
    }
}

/// Dies before its nth call, for every n; the next one ends in the same place.
#[test]
fn cut_off_before_any_call_it_ends_in_the_same_place_with_nothing_made_twice() {
    run(async {
        let calls = every_cut(1, |n| async move {
            let twin = Twin::start(world()).await;
            twin.create("readers", &small()).await;
            let cut = twin.settle_or_cut(&twin.operator_cut_at(n).await, "readers").await;
            let second = twin.operator().await;
            let status = twin.settle(&second, "readers").await.unwrap();
            assert_eq!(
                (ready(&status).0.as_str(), status.current),
                ("True", 4),
                "cut before call {n}: {status:#?}"
            );
            assert_eq!(twin.assignments(), expected());
            twin.assert_nothing_twice();
            cut
        })
        .await;
        assert!(calls > 24, "it was cut off at {calls} points only");
    });
}

/// The same while it changes everything and deletes everything; every third call, as the others are like these.
#[test]
fn cut_off_while_it_changes_and_deletes_it_ends_in_the_same_place() {
    run(async {
        let calls = every_cut(3, |n| async move {
            let twin = Twin::start(world()).await;
            twin.create("readers", &small()).await;
            let operator = twin.operator().await;
            twin.settle(&operator, "readers").await.unwrap();
            let change = json!({"spec": {
                "permissionSet": {"sessionDuration": "2h"},
                "principals": [{"group": {"displayName": "aws-engineers"}}, {"group": {"displayName": "aws-auditors"}}],
            }});
            twin.patch("readers", &change).await;
            let cut = twin.settle_or_cut(&twin.operator_cut_at(n).await, "readers").await;
            let second = twin.operator().await;
            let status = twin.settle(&second, "readers").await.unwrap();
            assert_eq!(
                (ready(&status).0.as_str(), status.current, status.stale_accounts),
                ("True", 4, 0),
                "cut before call {n}: {status:#?}"
            );
            let mut expected: Vec<String> =
                expected().iter().map(|l| l.replace("aws-admins", "aws-auditors")).collect();
            expected.sort();
            assert_eq!(twin.assignments(), expected);
            twin.delete("readers").await;
            let cut_again = twin.settle_or_cut(&twin.operator_cut_at(n).await, "readers").await;
            assert!(twin.settle(&second, "readers").await.is_none());
            assert!(twin.assignments().is_empty());
            assert_eq!(twin.sandbox.world().identity_center.permission_sets, []);
            twin.assert_nothing_twice();
            cut || cut_again
        })
        .await;
        assert!(calls > 24);
    });
}

fn fault(operation: Option<&str>, kind: FaultKind, probability: Option<f64>, times: u64) -> FaultRule {
    FaultRule {
        service: "sso-admin".into(),
        operation: operation.map(str::to_owned),
        nth: None,
        probability,
        kind,
        status: (kind == FaultKind::Error).then_some(500),
        code: None,
        times: Some(times),
        retry_after: None,
    }
}

#[test]
fn an_answer_that_is_lost_after_the_effect_makes_nothing_twice() {
    run(async {
        for operation in [
            "CreatePermissionSet",
            "CreateAccountAssignment",
            "DeleteAccountAssignment",
            "ProvisionPermissionSet",
        ] {
            let twin = Twin::start(world()).await;
            twin.sandbox.core.faults.add(fault(Some(operation), FaultKind::CutAfterEffect, None, 2));
            let operator = twin.operator().await;
            twin.create("readers", &small()).await;
            let status = twin.settle(&operator, "readers").await.unwrap();
            assert_eq!(status.current, 4, "{operation}");
            twin.patch(
                "readers",
                &json!({"spec": {
                "permissionSet": {"sessionDuration": "2h"}, "accounts": {"include": [{"ids": [SHOP]}]}}}),
            )
            .await;
            let status = twin.settle(&operator, "readers").await.unwrap();
            assert_eq!((status.current, status.stale_accounts), (2, 0), "{operation}");
            twin.assert_nothing_twice();
        }
    });
}

#[test]
fn throttling_errors_and_stale_readings_only_cost_time() {
    run(async {
        for kind in [FaultKind::Throttle, FaultKind::Error, FaultKind::Stale] {
            let twin = Twin::start(world()).await;
            twin.sandbox.core.faults.add(fault(None, kind, Some(0.15), 0));
            let operator = twin.operator().await;
            twin.create("readers", &small()).await;
            let good = |o: &causeway::controllers::Outcome<
                causeway::api::v1alpha1::PermissionSetBindingStatus,
            >| { o.status.current == 4 && ready(&o.status).0 == "True" };
            let status = twin.until(&operator, "readers", good).await.unwrap();
            assert!(status.failures.is_empty());
            assert_eq!(twin.assignments(), expected(), "{kind:?}");
            twin.sandbox.core.faults.clear();
            twin.settle(&operator, "readers").await.unwrap();
            twin.assert_nothing_twice();
        }
    });
}
