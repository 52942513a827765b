//! Deletion: what is stated is carried out, what only is not seen is not believed at once.

use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use sandbox::core::{FaultKind, FaultRule};
use serde_json::json;

use super::desk::{Cut, Desk, NAME, is, message};
use crate::support::logs::{Logs, told};
use crate::support::run;

const JOBS: &str = "/servicePrincipals/{id}/synchronization/jobs";

fn fault(method: &str, kind: FaultKind, times: u64) -> FaultRule {
    FaultRule {
        service: "graph".into(),
        operation: Some(format!("{method} {JOBS}")),
        nth: Some(1),
        probability: None,
        kind,
        status: (kind == FaultKind::Error).then_some(404),
        code: None,
        times: Some(times),
        retry_after: None,
    }
}

#[test]
fn a_suspended_connection_is_deleted_all_the_same_and_its_records_name_the_plan() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        desk.patch(&json!({"spec": {"suspend": true}})).await;
        operator.until(&desk, "paused", |s| s.state.as_deref() == Some("Paused")).await;
        let logs = Logs::capture();
        desk.delete().await;
        operator.until_gone(&desk).await;
        assert!(desk.jobs().is_empty());
        assert_eq!(told(&logs.audit()[0]), format!("DELETE {JOBS}/{{id}} ok"));
    });
}

#[test]
fn a_job_that_was_driven_is_not_forgotten_by_who_only_observes() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        let mark = desk.mark();
        desk.patch(&json!({"spec": {"mode": "Observe"}})).await;
        desk.patch_federation(&json!({"mode": "Observe"})).await;
        desk.delete().await;
        for (whose, set) in [
            ("spec.mode is Observe".to_owned(), json!({"mode": "Enforce"})),
            (format!("spec.mode of IdentityFederation {}/acme is Observe", desk.namespace), json!({})),
        ] {
            let held = operator.until(&desk, "held back", |s| message(s, "Ready").contains(&whose)).await;
            assert!(is(&held, "Ready", "False", "DeletionBlocked"), "{held:#?}");
            desk.patch(&json!({"spec": set})).await;
        }
        assert_eq!(desk.writes(mark), Vec::<String>::new());
        desk.patch_federation(&json!({"mode": "Enforce"})).await;
        operator.until_gone(&desk).await;
        assert!(desk.jobs().is_empty());
    });
}

#[test]
fn a_job_that_was_begun_and_is_not_shown_yet_is_waited_for_and_deleted() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        // Lists are as of before the creation, whose answer is lost.
        desk.sandbox.core.faults.add(fault("GET", FaultKind::Stale, 0));
        desk.sandbox.core.faults.add(fault("POST", FaultKind::CutAfterEffect, 1));
        operator.until(&desk, "begun", |s| s.pending_job_since.is_some() && desk.jobs().len() == 1).await;
        desk.delete().await;
        for _ in 0..3 {
            assert!(operator.pass(&desk, NAME).await.is_some(), "let go of a job that may come to light");
        }
        let status = desk.status().await;
        assert!(is(&status, "Ready", "False", "Deleting"), "{status:#?}");
        assert!(message(&status, "Ready").contains("comes to light"), "{}", message(&status, "Ready"));
        desk.sandbox.core.faults.clear();
        operator.until_gone(&desk).await;
        assert!(desk.jobs().is_empty());
    });
}

#[test]
fn a_job_that_never_came_to_light_holds_nothing_up_for_long() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let since = desk.clock.now().checked_sub(SignedDuration::from_secs(100)).unwrap();
        let status = json!({"status": {"pendingJobSince": since.to_string()}});
        desk.connections().patch_status(NAME, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        desk.delete().await;
        let operator = desk.operator(Cut::never());
        operator.until(&desk, "waiting", |s| message(s, "Ready").contains("comes to light")).await;
        desk.advance(SignedDuration::from_secs(90));
        operator.until(&desk, "looking", |s| message(s, "Ready").contains("looking again")).await;
        desk.advance(SignedDuration::from_secs(61));
        assert_eq!(operator.pass(&desk, NAME).await, None);
        assert_eq!(desk.writes(0), Vec::<String>::new());
    });
}

#[test]
fn an_application_that_the_service_does_not_know_is_gone_only_when_the_directory_says_so() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        desk.delete().await;
        desk.sandbox.core.faults.add(fault("GET", FaultKind::Error, 0));
        for young in [true, false] {
            for _ in 0..2 {
                assert!(operator.pass(&desk, NAME).await.is_some(), "let go; young: {young}");
            }
            desk.advance(SignedDuration::from_mins(11));
        }
        assert_eq!(desk.jobs().len(), 1);

        let template = "21ed01d2-ec13-4e9e-86c1-cd546719ebc4";
        let application = desk.admin.applications_of_template(template).await.unwrap().remove(0);
        desk.admin.delete_application(&application.id).await.unwrap();
        operator.until_gone(&desk).await;
    });
}
