use futures::{StreamExt as _, stream};
use sandbox::core::{FaultKind, FaultRule, Profile};
use serde_json::json;

use super::bench::{Bench, Stop};
use crate::support;

/// The part of the journey that needs no person: as far as it goes without one.
async fn bench() -> Bench {
    let bench = Bench::new("company", Profile::fast()).await;
    bench.sandbox.aws.enable_identity_center().unwrap();
    bench.provide_metadata().await;
    bench.create(json!({})).await;
    bench
}

fn created(bench: &Bench, operation: &str) -> usize {
    bench.writes_after(0).iter().filter(|w| **w == format!("{operation} ok")).count()
}

async fn judge(bench: &Bench, what: &str) {
    assert_eq!(bench.condition("SamlConfigured").await.0, "True", "{what}: {:#?}", bench.status().await);
    assert_eq!(
        bench.condition("SigningCertificateValid").await.0,
        "True",
        "{what}: {:#?}",
        bench.status().await
    );
    assert_eq!(bench.steps().await, ["ImportIdpMetadata"], "{what}");
    assert_eq!(created(bench, "POST /applicationTemplates/{id}/instantiate"), 1, "{what}");
    assert_eq!(created(bench, "POST /servicePrincipals/{id}/addTokenSigningCertificate"), 1, "{what}");
    assert_eq!(bench.assigned(), ["Greta Vos", "aws-engineers"], "{what}");
    assert_eq!(bench.applications().len(), 1, "{what}");
    let before = bench.last_write();
    bench.operator().settle(bench).await;
    assert_eq!(bench.writes_after(before), [""; 0], "{what}");
}

#[test]
fn stopped_at_any_call_the_next_life_ends_in_the_same_place() {
    support::run(async {
        let whole = bench().await;
        let operator = whole.operator();
        operator.settle(&whole).await;
        judge(&whole, "undisturbed").await;
        let calls = operator.calls();
        assert!(calls > 20, "{calls}");
        // Every other call before and after: a pass repeats the same reads many times.
        let lives = (1..=calls).map(|call| async move {
            let stop = if call % 2 == 0 { Stop::Before(call) } else { Stop::After(call) };
            let bench = bench().await;
            bench.mortal(stop).settle(&bench).await;
            bench.operator().settle(&bench).await;
            judge(&bench, &format!("{stop:?} of {calls}")).await;
        });
        side_by_side(lives).await;
    });
}

/// Many lives at a time: most of each is waiting for the clouds.
async fn side_by_side(lives: impl Iterator<Item = impl Future<Output = ()>>) {
    stream::iter(lives).buffer_unordered(8).collect::<()>().await;
}

fn fault(operation: &str, kind: FaultKind, status: Option<u16>, times: u64) -> FaultRule {
    FaultRule {
        service: "graph".into(),
        operation: (!operation.is_empty()).then(|| operation.into()),
        nth: Some(1),
        probability: None,
        kind,
        status,
        code: None,
        times: Some(times),
        retry_after: None,
    }
}

#[test]
fn answers_that_are_lost_or_lie_lead_to_no_second_object() {
    support::run(async {
        let posts = [
            "POST /applicationTemplates/{id}/instantiate",
            "POST /servicePrincipals/{id}/addTokenSigningCertificate",
            "POST /servicePrincipals/{id}/appRoleAssignedTo",
            "PATCH /applications/{id}",
            "PATCH /servicePrincipals/{id}",
        ];
        let faults = [
            (FaultKind::CutAfterEffect, None),
            (FaultKind::Throttle, None),
            (FaultKind::Error, Some(503)),
            (FaultKind::Error, Some(404)),
        ];
        let lives = posts.into_iter().flat_map(|o| faults.map(|(k, s)| (o, k, s))).map(
            |(operation, kind, status)| async move {
                let bench = bench().await;
                bench.sandbox.core.faults.add(fault(operation, kind, status, 1));
                bench.operator().settle(&bench).await;
                judge(&bench, &format!("{operation} {kind:?} {status:?}")).await;
            },
        );
        side_by_side(lives).await;
    });
}

#[test]
fn throttling_is_no_condition() {
    support::run(async {
        let bench = bench().await;
        let operator = bench.operator();
        operator.settle(&bench).await;
        let before = bench.status().await;
        bench.sandbox.core.faults.add(fault("", FaultKind::Throttle, None, 0));
        let outcome = operator.pass(&bench).await.unwrap();
        assert_eq!(outcome.class, Some(causeway::problem::Class::Throttled));
        assert_eq!(outcome.status, before);
    });
}
