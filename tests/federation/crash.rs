use futures::{StreamExt as _, stream};
use sandbox::core::{FaultKind, FaultRule, Profile};
use sandbox::world::World;
use serde_json::json;

use super::bench::{Bench, Stop};
use crate::support;

/// The part of the journey that needs no person: as far as it goes without one.
async fn bench() -> Bench {
    prepared(World::load("company").unwrap(), Profile::fast()).await
}

async fn prepared(world: World, profile: Profile) -> Bench {
    let bench = Bench::of(world, profile).await;
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
        let (calls, writes) = (operator.calls(), operator.writes());
        assert!(calls > 20 && writes >= 8, "{calls} {writes}");
        // At every write; of the reads, which every pass repeats, some.
        let at_writes = (1..=writes).flat_map(|n| [Stop::BeforeWrite(n), Stop::AfterWrite(n)]);
        let at_reads = (1..=calls).step_by(7).map(Stop::BeforeCall);
        let lives = at_writes.chain(at_reads).map(|stop| async move {
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

#[test]
fn reads_that_lag_behind_lead_to_no_second_object() {
    support::run(async {
        for seed in [1, 2, 3] {
            let bench = bench().await;
            let stale = FaultRule {
                nth: None,
                probability: Some(0.1 * f64::from(seed)),
                ..fault("", FaultKind::Stale, None, 0)
            };
            bench.sandbox.core.faults.add(stale);
            bench.operator().settle(&bench).await;
            bench.sandbox.core.faults.clear();
            bench.operator().settle(&bench).await;
            judge(&bench, &format!("seed {seed}")).await;
        }
    });
}

#[test]
fn real_clouds_take_their_time() {
    support::run(async {
        let bench = prepared(World::load("company").unwrap(), Profile::realistic()).await;
        bench.operator().settle(&bench).await;
        judge(&bench, "realistic").await;
    });
}

#[test]
fn however_entra_behaves_where_nobody_says() {
    support::run(async {
        let mut lives = Vec::new();
        for (lies, active, listed) in [(true, false, true), (false, true, true), (true, true, false)] {
            let mut world = World::load("company").unwrap();
            let entra = &mut world.tenant.behaviours;
            entra.instantiate_answers404 = lies;
            entra.first_certificate_active = active;
            entra.inactive_certificates_in_metadata = listed;
            lives.push(async move {
                let bench = prepared(world, Profile::fast()).await;
                bench.operator().settle(&bench).await;
                let said = if lies { "Request_ResourceNotFound" } else { "ok" };
                let made = bench.writes_after(0);
                let made =
                    made.iter().filter(|w| w.starts_with("POST /applicationTemplates")).collect::<Vec<_>>();
                assert_eq!(made, [&format!("POST /applicationTemplates/{{id}}/instantiate {said}")]);
                assert_eq!(bench.condition("SamlConfigured").await.0, "True");
                assert_eq!(bench.steps().await, ["ImportIdpMetadata"]);
                assert_eq!(created(&bench, "POST /servicePrincipals/{id}/addTokenSigningCertificate"), 1);
            });
        }
        side_by_side(lives.into_iter()).await;
    });
}

#[test]
fn identifiers_that_entra_never_takes_are_told_after_a_few_tries() {
    support::run(async {
        let bench = bench().await;
        let operator = bench.operator();
        operator.settle(&bench).await;

        let mut refused = fault("PATCH /applications/{id}", FaultKind::Error, Some(400), 0);
        refused.code = Some("HostNameNotOnVerifiedDomain".into());
        bench.sandbox.core.faults.add(refused);
        bench.change_service_provider().await;
        operator.settle(&bench).await;
        let (status, reason, message) = bench.condition("SamlConfigured").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "IdentifierUriRejected"), "{message}");
        bench.sandbox.core.faults.clear();
        operator.settle(&bench).await;
        assert_eq!(bench.condition("SamlConfigured").await.0, "True");
    });
}
