//! Deletion: what is stated is carried out, what only is not seen is not believed at once.

use causeway::api::Mode;
use causeway::api::v1alpha1::IdentityFederationStatus;
use causeway::controllers::Cleanup;
use causeway::status::condition;
use jiff::SignedDuration;
use sandbox::core::{FaultKind, FaultRule, Profile};
use sandbox::world::{ExistingApplication, World};
use serde_json::json;

use super::bench::{Bench, Stop, eventually};
use super::journey::ready_bench;
use crate::support;
use crate::support::logs::{Logs, told};

/// Reason and message of what a clean-up waits for.
fn waits(cleanup: Cleanup<IdentityFederationStatus>) -> (String, String) {
    let Cleanup::Waiting(outcome) = cleanup else { panic!("went") };
    let ready = condition(&outcome.status.conditions, "Ready").unwrap();
    (ready.reason.clone(), ready.message.clone())
}

#[test]
fn a_suspended_federation_is_deleted_all_the_same_and_its_record_names_the_plan() {
    support::run(async {
        let bench = ready_bench(json!({"deletionPolicy": "Delete"})).await;
        bench.patch(json!({"spec": {"suspend": true}})).await;
        bench.operator().pass(&bench).await.unwrap();
        assert_eq!(bench.condition("Ready").await.1, "Suspended");
        let logs = Logs::capture();
        assert!(matches!(bench.operator().cleanup(&bench).await, Cleanup::Done));
        assert!(bench.applications().is_empty());
        assert_eq!(told(&logs.audit()[0]), "DELETE /applications/{id} ok");
    });
}

#[test]
fn what_was_made_before_is_not_forgotten_by_who_only_observes() {
    support::run(async {
        let mut bench = ready_bench(json!({"deletionPolicy": "Delete", "mode": "Enforce"})).await;
        let app_id = bench.status().await.entra.unwrap().app_id.unwrap();
        bench.patch(json!({"spec": {"mode": "Observe"}})).await;
        let (reason, message) = waits(bench.operator().cleanup(&bench).await);
        assert_eq!(reason, "DeletionBlocked");
        assert!(message.starts_with("spec.mode is Observe") && message.contains(&app_id), "{message}");

        bench.patch(json!({"spec": {"mode": "Enforce"}})).await;
        bench.settings.mode = Mode::Observe;
        let (reason, message) = waits(bench.operator().cleanup(&bench).await);
        assert_eq!(reason, "DeletionBlocked");
        assert!(message.starts_with("the operator runs in Observe mode"), "{message}");
        assert_eq!(bench.applications().len(), 1);

        bench.settings.mode = Mode::Enforce;
        assert!(matches!(bench.operator().cleanup(&bench).await, Cleanup::Done));
        assert!(bench.applications().is_empty());
    });
}

#[test]
fn who_always_only_observed_lets_go_without_a_word() {
    support::run(async {
        let mut world = World::load("company").unwrap();
        let app_id = "99999999-8888-7777-6666-555555555555";
        world.tenant.applications.push(ExistingApplication {
            display_name: "AWS (old)".into(),
            application_template_id: None,
            app_id: Some(app_id.into()),
            notes: None,
        });
        let bench = Bench::of(world, Profile::fast()).await;
        bench.create(json!({"mode": "Observe", "deletionPolicy": "Delete"})).await;
        bench.operator().settle(&bench).await;
        let operator = bench.operator();
        assert!(matches!(operator.cleanup_pass(&bench).await, Cleanup::Done));
        assert_eq!(operator.calls(), 0, "it found nothing and made nothing");

        bench.patch(json!({"spec": {"entra": {"application": {"adopt": {"appId": app_id}}}}})).await;
        operator.settle(&bench).await;
        assert!(bench.status().await.entra.unwrap().application_object_id.is_some());
        assert!(matches!(operator.cleanup_pass(&bench).await, Cleanup::Done));
        assert_eq!(bench.writes_after(0), [""; 0]);
    });
}

#[test]
fn an_application_that_is_not_shown_for_a_while_is_not_left_behind() {
    support::run(async {
        let bench = ready_bench(json!({"deletionPolicy": "Delete"})).await;
        let notes = bench.applications()[0]["notes"].clone();
        let operator = bench.operator();
        // As replicas that lag far behind show it: not by its id, and not yet marked in the list.
        bench.change_application(&json!({"notes": ""})).await;
        bench.sandbox.core.faults.add(FaultRule {
            service: "graph".into(),
            operation: Some("GET /applications/{id}".into()),
            nth: None,
            probability: Some(1.0),
            kind: FaultKind::Error,
            status: Some(404),
            code: None,
            times: Some(0),
            retry_after: None,
        });
        eventually("nowhere to be seen", async || {
            waits(operator.cleanup_pass(&bench).await).1.contains("just now")
        })
        .await;
        bench.advance(SignedDuration::from_secs(20));
        let (reason, message) = waits(operator.cleanup_pass(&bench).await);
        assert_eq!(reason, "Deleting", "{message}");

        bench.sandbox.core.faults.clear();
        bench.change_application(&json!({"notes": notes})).await;
        eventually("deleted", async || matches!(operator.cleanup_pass(&bench).await, Cleanup::Done)).await;
        assert!(bench.applications().is_empty());
    });
}

#[test]
fn an_application_that_stays_away_or_lies_in_the_recycle_bin_is_gone() {
    support::run(async {
        let bench = ready_bench(json!({"deletionPolicy": "Delete"})).await;
        let operator = bench.operator();
        let id = bench.status().await.entra.unwrap().application_object_id.unwrap();
        // Somebody took the mark away: it is not ours any more.
        bench.change_application(&json!({"notes": "", "displayName": "AWS"})).await;
        eventually("looked for", async || waits(operator.cleanup_pass(&bench).await).1.contains("our mark"))
            .await;
        bench.advance(SignedDuration::from_secs(61));
        assert!(matches!(operator.cleanup_pass(&bench).await, Cleanup::Done));

        let graph = bench.graph();
        eventually("deleted by hand", async || graph.delete_application(&id).await.is_ok()).await;
        let (before, operator) = (bench.last_write(), bench.operator());
        eventually("gone", async || matches!(operator.cleanup_pass(&bench).await, Cleanup::Done)).await;
        assert_eq!(bench.writes_after(before), [""; 0]);
    });
}

#[test]
fn a_pass_that_is_cut_off_in_a_write_leaves_a_record_of_it() {
    support::run(async {
        for stop in [Stop::BeforeWrite(2), Stop::AfterWrite(2)] {
            let bench = Bench::new("company", Profile::fast()).await;
            bench.create(json!({})).await;
            let logs = Logs::capture();
            assert!(!bench.mortal(stop).settle(&bench).await);
            let records = logs.audit();
            let told: Vec<String> = records.iter().map(told).collect();
            assert_eq!(told[0], "POST /applicationTemplates/{id}/instantiate ok");
            assert!(told[1].ends_with(" unknown") && told.len() == 2, "{told:?}");
        }
    });
}
