//! What operator and federation say counts for the binding too; and every write names its plan.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing::instrument::WithSubscriber as _;

use super::harness::*;
use crate::support::run;

#[test]
fn a_suspended_federation_suspends_its_bindings_and_a_deletion_is_carried_out_all_the_same() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        twin.patch_federation(&json!({"spec": {"suspend": true}})).await;
        twin.patch("readers", &json!({"spec": {"permissionSet": {"sessionDuration": "2h"}}})).await;
        twin.sandbox.core.counters.clear();
        let status = twin.settle(&operator, "readers").await.unwrap();
        let (verdict, reason, message) = said(&status, "Ready");
        assert_eq!((verdict.as_str(), reason.as_str()), ("False", "Suspended"), "{status:#?}");
        assert!(message.contains("IdentityFederation acme") && message.contains("spec.suspend"), "{message}");
        assert_eq!(twin.sandbox.core.counters.all().len(), 0, "nothing is even read");
        twin.patch_federation(&json!({"spec": {"suspend": false}})).await;
        assert_eq!(ready(&twin.settle(&operator, "readers").await.unwrap()).0, "True");

        twin.patch_federation(&json!({"spec": {"suspend": true}})).await;
        twin.patch("readers", &json!({"spec": {"suspend": true}})).await;
        assert_eq!(ready(&twin.settle(&operator, "readers").await.unwrap()).1, "Suspended");
        twin.delete("readers").await;
        assert!(twin.settle(&operator, "readers").await.is_none());
        assert!(twin.assignments().is_empty());
        assert_eq!(twin.sandbox.world().identity_center.permission_sets, []);
    });
}

#[test]
fn a_federation_that_observes_has_its_bindings_observe() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.patch_federation(&json!({"spec": {"mode": "Observe"}})).await;
        twin.create("readers", &plain("Readers")).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        let (_, reason, message) = said(&status, "Ready");
        assert_eq!(reason, "PlanNotApplied", "{status:#?}");
        assert!(message.contains("set spec.mode of IdentityFederation acme to Enforce"), "{message}");
        assert!(!status.plan.unwrap().summary.is_empty());
        assert_eq!(twin.mutations(0).len(), 0);
        // It has made nothing, and may go.
        twin.delete("readers").await;
        assert!(twin.pass(&operator, "readers").await.is_none());

        twin.patch_federation(&json!({"spec": {"mode": "Enforce"}})).await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        twin.patch_federation(&json!({"spec": {"mode": "Observe"}})).await;
        let before = twin.sandbox.core.journal.last();
        twin.delete("readers").await;
        let outcome = twin.pass(&operator, "readers").await.expect("it is held back");
        let (_, reason, message) = said(&outcome.status, "Ready");
        assert_eq!(reason, "DeletionBlocked");
        assert!(message.contains("set spec.mode of IdentityFederation acme to Enforce"), "{message}");
        assert_eq!(twin.mutations(before).len(), 0);
        twin.patch_federation(&json!({"spec": {"mode": "Enforce"}})).await;
        assert!(twin.settle(&operator, "readers").await.is_none());
        assert!(twin.assignments().is_empty());
    });
}

#[test]
fn an_operator_that_observes_says_so_and_forgets_nothing_that_was_made() {
    run(async {
        let mut twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        twin.settings.mode = causeway::api::Mode::Observe;
        let watching = twin.operator().await;
        twin.patch("readers", &json!({"spec": {"permissionSet": {"sessionDuration": "2h"}}})).await;
        let status = twin.settle(&watching, "readers").await.unwrap();
        assert!(said(&status, "Ready").2.contains("run the operator in Enforce mode"), "{status:#?}");
        // Also when the ledger went before its owner.
        twin.lose_ledger("readers").await;
        twin.delete("readers").await;
        let outcome = twin.pass(&watching, "readers").await.expect("it is held back");
        assert_eq!(ready(&outcome.status).1, "DeletionBlocked");
        assert!(twin.settle(&operator, "readers").await.is_none());
        assert!(twin.assignments().is_empty());
    });
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_write_of_a_whole_life_names_the_plan_that_it_is_a_step_of() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        let life = async {
            twin.create("readers", &plain("Readers")).await;
            twin.settle(&operator, "readers").await.unwrap();
            let change = json!({"spec": {
                "permissionSet": {"sessionDuration": "2h"},
                "principals": [{"group": {"displayName": "aws-admins"}}]}});
            twin.patch("readers", &change).await;
            twin.settle(&operator, "readers").await.unwrap();
            twin.delete("readers").await;
            assert!(twin.settle(&operator, "readers").await.is_none());
        };
        life.with_subscriber(subscriber).await;
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let records: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["target"] == "causeway::audit")
            .map(|line| line["fields"].clone())
            .collect();
        // AWS puts off what comes while it works on the same account.
        let done = |r: &&Value| !r["code"].as_str().is_some_and(put_off);
        let operations: Vec<&str> =
            records.iter().filter(done).filter_map(|r| r["operation"].as_str()).collect();
        assert_eq!(
            operations.iter().filter(|o| **o == "DeleteAccountAssignment").count(),
            2,
            "{operations:?}"
        );
        assert_eq!(operations.last(), Some(&"DeletePermissionSet"));
        for record in records {
            assert_eq!(record["plan"].as_str().map(str::len), Some(64), "{record}");
        }
    });
}
