//! Stated removals of app role assignments are held up by nothing else that fails.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use sandbox::core::{FaultKind, FaultRule};
use serde_json::json;

use super::journey::ready_bench;
use crate::support;

const LEDGER: &str = "acme-assignments";

#[test]
fn what_the_spec_takes_away_goes_without_a_usable_role_and_an_old_role_follows_a_new_one() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let operator = bench.operator();
        bench.leave_usable(&[]).await;
        bench.assign_in_spec(&["aws-engineers", "aws-admins"]).await;
        operator
            .until(&bench, "without Greta", async || {
                bench.assigned() == ["aws-engineers"]
                    && bench.condition("AssignmentsReady").await.1 == "AppRoleNotFound"
            })
            .await;

        let roles = bench.leave_usable(&["msiam_access"]).await;
        let other = &roles["msiam_access"];
        let wanted = ["aws-admins", "aws-engineers"].map(|who| (who.to_owned(), other.clone()));
        operator
            .until(&bench, "under the other role alone", async || {
                bench.assigned_roles() == wanted.clone().into() && bench.condition("Ready").await.0 == "True"
            })
            .await;
        let ledger = bench.api::<ConfigMap>().get(LEDGER).await.unwrap().data.unwrap();
        assert!(ledger.len() == 2 && ledger.keys().all(|key| key.ends_with(other)), "{ledger:?}");
    });
}

#[test]
fn a_ledger_that_cannot_be_written_holds_up_no_removal_and_nobody_is_assigned_without_it() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let operator = bench.operator();
        let maps = bench.api::<ConfigMap>();
        let locked = Patch::Merge(json!({"immutable": true}));
        maps.patch(LEDGER, &PatchParams::default(), &locked).await.unwrap();
        bench.assign_in_spec(&["aws-engineers", "aws-admins"]).await;
        operator.until(&bench, "without Greta", async || bench.assigned() == ["aws-engineers"]).await;
        operator.pass(&bench).await.unwrap();
        assert_eq!(bench.assigned(), ["aws-engineers"]);
        maps.delete(LEDGER, &DeleteParams::default()).await.unwrap();
        operator
            .until(&bench, "assigned", async || bench.assigned() == ["aws-admins", "aws-engineers"])
            .await;
    });
}

/// An error of Entra's: once, or always (0).
fn failing(operation: &str, times: u64) -> FaultRule {
    FaultRule {
        service: "graph".into(),
        operation: Some(operation.into()),
        nth: Some(1),
        probability: None,
        kind: FaultKind::Error,
        status: Some(503),
        code: None,
        times: Some(times),
        retry_after: None,
    }
}

#[test]
fn a_removal_that_fails_holds_up_no_other_one() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let operator = bench.operator();
        operator.settle(&bench).await;
        let remove = "DELETE /servicePrincipals/{id}/appRoleAssignedTo/{id}";
        bench.sandbox.core.faults.add(failing(remove, 1));
        bench.assign_in_spec(&[]).await;
        operator.pass(&bench).await.unwrap();
        assert_eq!(bench.assigned().len(), 1);
        operator.until(&bench, "empty", async || bench.assigned().is_empty()).await;
    });
}

#[test]
fn what_cannot_be_read_holds_up_no_removal() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        for operation in ["GET /groups", "GET /servicePrincipals"] {
            bench.sandbox.core.faults.add(failing(operation, 0));
        }
        let aws = json!({"spec": {"aws": {"identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "elsewhere"}}}}}});
        bench.patch(aws).await;
        bench.assign_in_spec(&["aws-engineers"]).await;
        bench.operator().until(&bench, "without Greta", async || bench.assigned() == ["aws-engineers"]).await;
    });
}
