//! What the federation's `mode` and `suspend` mean for its connection.

use serde_json::json;

use super::JOURNEY;
use super::desk::{Cut, Desk, NAME, is, message};
use crate::support::run;

#[test]
fn a_federation_that_only_observes_makes_its_connection_plan_only() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.patch_federation(&json!({"mode": "Observe"})).await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        let planned = operator.until(&desk, "planned", |s| is(s, "Ready", "False", "PlanNotApplied")).await;
        let said = format!("spec.mode of IdentityFederation {}/acme is Observe", desk.namespace);
        assert!(message(&planned, "Ready").contains(&said), "{}", message(&planned, "Ready"));
        assert_eq!(desk.writes(0), Vec::<String>::new());

        desk.patch_federation(&json!({"mode": "Enforce"})).await;
        let ready = operator.until_ready(&desk).await;
        assert_eq!(desk.writes(0), JOURNEY);
        // From now on a job is known as this connection's, and only looked at.
        desk.patch_federation(&json!({"mode": "Observe"})).await;
        desk.patch(&json!({"spec": {"scope": "All"}})).await;
        let planned = operator.until(&desk, "planned", |s| is(s, "Ready", "False", "PlanNotApplied")).await;
        assert_eq!(planned.job_id, ready.job_id);
        assert_eq!(desk.writes(0), JOURNEY);
    });
}

#[test]
fn a_connection_that_always_only_observed_lets_go_of_a_job_without_a_word() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        desk.delete().await;
        operator.until_gone(&desk).await;

        let mark = desk.mark();
        desk.connection(NAME, &json!({"mode": "Observe", "deletionPolicy": "Delete"})).await;
        let status = operator.until(&desk, "seen", |s| s.state.as_deref() == Some("Active")).await;
        assert_eq!(status.job_id, None);
        desk.delete().await;
        assert_eq!(operator.pass(&desk, NAME).await, None);
        assert_eq!((desk.writes(mark), desk.jobs().len()), (Vec::new(), 1));
    });
}

#[test]
fn a_suspended_federation_leaves_the_job_as_it_is_and_says_so() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        let ready = operator.until_ready(&desk).await;
        desk.patch_federation(&json!({"suspend": true})).await;
        // Its own suspension would pause the job.
        desk.patch(&json!({"spec": {"suspend": true}})).await;
        desk.sandbox.core.counters.clear();
        for _ in 0..3 {
            operator.pass(&desk, NAME).await;
        }
        let status = desk.status().await;
        assert!(
            is(&status, "Ready", "False", "Suspended") && is(&status, "Provisioning", "True", "Succeeded")
        );
        let said = format!("IdentityFederation {}/acme is suspended", desk.namespace);
        let message = message(&status, "Ready");
        assert!(
            message.starts_with(&said) && message.contains("set spec.suspend of the federation"),
            "{message}"
        );
        assert!(desk.sandbox.core.counters.all().iter().all(|c| c.service != "graph"));
        assert_eq!((status.job_id, desk.jobs().len()), (ready.job_id, 1));

        // A deletion is stated.
        let mark = desk.mark();
        desk.delete().await;
        operator.until_gone(&desk).await;
        assert_eq!(desk.writes(mark), ["POST /jobs/{id}/pause", "DELETE /jobs/{id}"]);
    });
}
