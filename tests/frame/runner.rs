use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use causeway::api::PlanSummary;
use causeway::api::v1alpha1::{ScimConnection, ScimConnectionStatus};
use causeway::controllers::{Cleanup, Notice, Outcome};
use causeway::problem::Class;
use causeway::status::{ConditionSet, Reason, Verdict, condition};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::scripted::{
    Running, Scripted, connections, create_connection, is_held, settings, until, wait_for,
};
use crate::support;

/// The status of a connection that is as it should be.
pub fn ready(object: &ScimConnection) -> ScimConnectionStatus {
    let generation = object.metadata.generation.unwrap();
    let old = object.status.clone().unwrap_or_default();
    let mut set = ConditionSet::new(generation, jiff::Timestamp::now());
    set.set("Ready", Verdict::True, Reason::Succeeded, "");
    ScimConnectionStatus {
        observed_generation: Some(generation),
        conditions: set.finish(&old.conditions),
        job_id: Some("job".into()),
        ..Default::default()
    }
}

pub fn is_ready(object: Option<&ScimConnection>) -> bool {
    object.and_then(|o| o.status.as_ref()).is_some_and(|s| causeway::status::is_true(&s.conditions, "Ready"))
}

#[test]
fn a_resource_is_held_judged_and_then_left_alone_for_three_resyncs() {
    support::run(async {
        let (client, ns) = support::namespace("frame-idle").await;
        let passes = Arc::new(AtomicUsize::new(0));
        let counted = passes.clone();
        let first_seen = Arc::new(std::sync::Mutex::new(None));
        let first = first_seen.clone();
        let operator = Running::start(
            settings(&ns),
            Scripted::new(move |object| {
                counted.fetch_add(1, Ordering::SeqCst);
                first.lock().unwrap().get_or_insert_with(|| object.clone());
                let changed = !is_ready(Some(&object));
                let notice = Notice {
                    warning: false,
                    reason: "Provisioned".into(),
                    action: "Provision",
                    note: "all is well".into(),
                };
                Outcome::settled(ready(&object)).with_notices(if changed { vec![notice] } else { vec![] })
            }),
        )
        .await;
        create_connection(&client, &ns, "calm").await;
        let api = connections(&client, &ns);
        until(&api, "calm", "ready", is_ready).await;

        // Before anything was judged, the finalizer was on and Ready was Unknown.
        let first = first_seen.lock().unwrap().clone().unwrap();
        assert!(is_held(&first));
        let conditions = &first.status.as_ref().unwrap().conditions;
        assert_eq!(condition(conditions, "Ready").unwrap().status, "Unknown");
        assert_eq!(condition(conditions, "Reconciling").unwrap().status, "True");
        let done = api.get("calm").await.unwrap();
        assert!(
            condition(&done.status.as_ref().unwrap().conditions, "Reconciling").is_none(),
            "replaced as a whole"
        );

        let expected =
            ["PATCH scimconnections", "PATCH scimconnections/status", "PATCH scimconnections/status"];
        wait_for("the Event", || operator.calls.writes().iter().any(|w| w == "POST events")).await;
        let writes: Vec<_> = operator.calls.writes().into_iter().filter(|w| w != "POST events").collect();
        assert_eq!(writes, expected);
        let before = (operator.calls.writes().len(), passes.load(Ordering::SeqCst));
        wait_for("three resyncs", || passes.load(Ordering::SeqCst) >= before.1 + 3).await;
        assert_eq!(operator.calls.writes().len(), before.0, "{:?}", operator.calls.writes());
        let later = api.get("calm").await.unwrap();
        assert_eq!(later.resource_version(), done.resource_version());

        let events: Api<Event> = Api::namespaced(client.clone(), &ns);
        let events = events.list(&Default::default()).await.unwrap().items;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].reason.as_deref(), Some("Provisioned"));
        operator.stop().await.unwrap();
    });
}

#[test]
fn a_field_that_the_status_no_longer_has_is_gone() {
    support::run(async {
        let (client, ns) = support::namespace("frame-status").await;
        let shown = Arc::new(AtomicBool::new(true));
        let show = shown.clone();
        let operator = Running::start(
            settings(&ns),
            Scripted::new(move |object| {
                let mut status = ready(&object);
                // Emptied, not left out: server-side apply would make `null` of it.
                status.plan = Some(PlanSummary::default());
                if show.load(Ordering::SeqCst) {
                    status.plan =
                        Some(PlanSummary { hash: Some("1".into()), summary: vec!["a step".into()] });
                    status.state = Some("Active".into());
                    let mut set = ConditionSet::new(1, jiff::Timestamp::now());
                    set.set("Provisioning", Verdict::True, Reason::Succeeded, "");
                    status.conditions.extend(set.finish(&[]));
                }
                Outcome::settled(status)
            }),
        )
        .await;
        create_connection(&client, &ns, "x").await;
        let api = connections(&client, &ns);
        let state = |o: Option<&ScimConnection>| o.and_then(|o| o.status.as_ref()?.state.clone());
        until(&api, "x", "Active", |o| state(o).is_some()).await;
        shown.store(false, Ordering::SeqCst);
        until(&api, "x", "gone", |o| is_ready(o) && state(o).is_none()).await;
        let status = api.get("x").await.unwrap().status.unwrap();
        assert_eq!((status.conditions.len(), status.plan), (1, None), "{:?}", status.conditions);
        assert_eq!(status.job_id.as_deref(), Some("job"));
        operator.stop().await.unwrap();
    });
}

#[test]
fn deletion_waits_for_the_clean_up_and_says_why() {
    support::run(async {
        let (client, ns) = support::namespace("frame-delete").await;
        let clean = Arc::new(AtomicBool::new(false));
        let cleaned = clean.clone();
        let mut script = Scripted::new(|object| Outcome::settled(ready(&object)));
        script.cleanup = Box::new(move |object| {
            if cleaned.load(Ordering::SeqCst) {
                return Cleanup::Done;
            }
            let mut status = ready(&object);
            status.state = Some("Waiting".into());
            Cleanup::Waiting(Outcome::after(status, Duration::from_millis(50)))
        });
        let operator = Running::start(settings(&ns), script).await;
        create_connection(&client, &ns, "x").await;
        let api = connections(&client, &ns);
        until(&api, "x", "ready", is_ready).await;
        api.delete("x", &Default::default()).await.unwrap();
        let waits = |o: Option<&ScimConnection>| {
            o.is_some_and(|o| {
                o.status.as_ref().and_then(|s| s.state.as_deref()) == Some("Waiting") && is_held(o)
            })
        };
        until(&api, "x", "waits", waits).await;
        clean.store(true, Ordering::SeqCst);
        until(&api, "x", "gone", |o| o.is_none()).await;
        operator.stop().await.unwrap();
    });
}

#[test]
fn an_abandoned_resource_goes_without_a_clean_up() {
    support::run(async {
        let (client, ns) = support::namespace("frame-abandon").await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let mut script = Scripted::new(|object| Outcome::settled(ready(&object)));
        script.cleanup = Box::new(move |object| {
            counted.fetch_add(1, Ordering::SeqCst);
            Cleanup::Waiting(Outcome { class: Some(Class::Denied), ..Outcome::settled(ready(&object)) })
        });
        let operator = Running::start(settings(&ns), script).await;
        create_connection(&client, &ns, "x").await;
        let api = connections(&client, &ns);
        until(&api, "x", "ready", is_ready).await;
        api.delete("x", &Default::default()).await.unwrap();
        wait_for("a clean-up", || asked.load(Ordering::SeqCst) > 0).await;
        let abandon = json!({"metadata": {"annotations": {"causeway.dev/abandon": "true"}}});
        // It may be gone by the time of the answer.
        let _ = api.patch("x", &PatchParams::default(), &Patch::Merge(&abandon)).await;
        until(&api, "x", "gone", |o| o.is_none()).await;
        operator.stop().await.unwrap();
    });
}

#[test]
fn a_pass_that_never_ends_is_cut_off_and_the_status_says_so() {
    support::run(async {
        let (client, ns) = support::namespace("frame-slow").await;
        let mut settings = settings(&ns);
        settings.timing.reconcile = Duration::from_millis(100);
        let script =
            Scripted { takes: Duration::from_secs(3600), ..Scripted::new(|o| Outcome::settled(ready(&o))) };
        let operator = Running::start(settings, script).await;
        create_connection(&client, &ns, "x").await;
        let api = connections(&client, &ns);
        let reason = |o: Option<&ScimConnection>| {
            let conditions = &o?.status.as_ref()?.conditions;
            Some(condition(conditions, "Ready")?.reason.clone())
        };
        until(&api, "x", "unknown", |o| reason(o).as_deref() == Some("CloudUnavailable")).await;
        operator.stop().await.unwrap();
    });
}

#[test]
fn a_change_of_the_federation_wakes_those_who_refer_to_it() {
    support::run(async {
        let (client, ns) = support::namespace("frame-wake").await;
        let mut settings = settings(&ns);
        settings.timing.resync = Duration::from_secs(3600);
        let passes = Arc::new(AtomicUsize::new(0));
        let counted = passes.clone();
        let operator = Running::start(
            settings,
            Scripted::new(move |object| {
                counted.fetch_add(1, Ordering::SeqCst);
                Outcome::settled(ready(&object))
            }),
        )
        .await;
        create_connection(&client, &ns, "x").await;
        let api = connections(&client, &ns);
        until(&api, "x", "ready", is_ready).await;
        let before = passes.load(Ordering::SeqCst);
        let federation = support_federation(&ns);
        let federations = Api::<causeway::api::v1alpha1::IdentityFederation>::namespaced(client.clone(), &ns);
        federations.create(&Default::default(), &federation).await.unwrap();
        wait_for("a pass", || passes.load(Ordering::SeqCst) > before).await;
        operator.stop().await.unwrap();
    });
}

fn support_federation(namespace: &str) -> causeway::api::v1alpha1::IdentityFederation {
    serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation",
        "metadata": {"name": "acme", "namespace": namespace},
        "spec": {
            "entra": {
                "tenantId": "11111111-2222-3333-4444-555555555555",
                "credentials": {"clientSecret": {
                    "clientId": "11111111-2222-3333-4444-555555555556",
                    "secretRef": {"name": "entra", "key": "clientSecret"},
                }},
                "application": {"displayName": "AWS"},
            },
            "aws": {
                "region": "eu-west-1",
                "credentials": {"ambient": {}},
                "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "sp", "key": "metadata.xml"}}},
            },
        },
    }))
    .unwrap()
}

#[test]
fn a_pass_that_runs_when_the_operator_is_stopped_still_ends_well() {
    support::run(async {
        let (client, ns) = support::namespace("frame-drain").await;
        let begun = Arc::new(AtomicBool::new(false));
        let begin = begun.clone();
        let mut script = Scripted::new(|object| Outcome::settled(ready(&object)));
        script.before = Box::new(move || begin.store(true, Ordering::SeqCst));
        script.takes = Duration::from_secs(1);
        let mut settings = settings(&ns);
        settings.drain = Duration::from_secs(150);
        let operator = Running::start(settings, script).await;
        create_connection(&client, &ns, "x").await;
        wait_for("a pass", || begun.load(Ordering::SeqCst)).await;
        operator.stop().await.unwrap();
        assert!(is_ready(connections(&client, &ns).get_opt("x").await.unwrap().as_ref()));
    });
}

#[test]
fn a_defect_in_a_pass_ends_the_operator() {
    support::run(async {
        let (client, ns) = support::namespace("frame-panic").await;
        let operator = Running::start(settings(&ns), Scripted::new(|_| panic!("a defect on purpose"))).await;
        create_connection(&client, &ns, "x").await;
        let ended = tokio::time::timeout(super::scripted::PATIENCE, operator.task).await.unwrap().unwrap();
        assert!(matches!(ended, Err(causeway::app::Error::Task(_))), "{ended:?}");
    });
}

#[test]
fn who_waits_for_its_turn_is_held_and_says_so_and_does_not_hold_up_the_end() {
    support::run(async {
        let (client, ns) = support::namespace("frame-turn").await;
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = begun.clone();
        let mut script = Scripted::new(|object| Outcome::settled(ready(&object)));
        script.before = Box::new(move || _ = counted.fetch_add(1, Ordering::SeqCst));
        script.takes = Duration::from_secs(3600);
        let mut settings = settings(&ns);
        settings.concurrency = 1;
        settings.timing.reconcile = Duration::from_secs(3600);
        settings.drain = Duration::from_millis(500);
        let operator = Running::start(settings, script).await;
        create_connection(&client, &ns, "slow").await;
        wait_for("the slow pass", || begun.load(Ordering::SeqCst) == 1).await;
        create_connection(&client, &ns, "waits").await;
        let api = connections(&client, &ns);
        until(&api, "waits", "held and told of", |object| {
            object.is_some_and(|o| {
                let conditions = o.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
                is_held(o)
                    && condition(conditions, "Ready").is_some_and(|c| c.status == "Unknown")
                    && causeway::status::is_true(conditions, "Reconciling")
            })
        })
        .await;
        assert_eq!(begun.load(Ordering::SeqCst), 1, "nobody has looked at it");
        operator.stop().await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 1, "who waits begins nothing when it is over");
    });
}

#[test]
fn a_resource_whose_passes_are_only_throttled_says_so_once() {
    support::run(async {
        let (client, ns) = support::namespace("frame-throttled").await;
        let passes = Arc::new(AtomicUsize::new(0));
        let counted = passes.clone();
        let operator = Running::start(
            settings(&ns),
            Scripted::new(move |object| {
                counted.fetch_add(1, Ordering::SeqCst);
                let status = object.status.clone().unwrap_or_default();
                Outcome { class: Some(Class::Throttled), ..Outcome::settled(status) }
            }),
        )
        .await;
        create_connection(&client, &ns, "late").await;
        wait_for("three passes more", || passes.load(Ordering::SeqCst) >= 4).await;
        let object = connections(&client, &ns).get("late").await.unwrap();
        let status = object.status.as_ref().unwrap();
        let said = condition(&status.conditions, "Ready").unwrap();
        assert_eq!((said.status.as_str(), said.reason.as_str()), ("Unknown", "Progressing"));
        assert!(said.message.starts_with("waits for its turn"), "{}", said.message);
        assert_eq!(status.observed_generation, None);
        let expected =
            ["PATCH scimconnections", "PATCH scimconnections/status", "PATCH scimconnections/status"];
        assert_eq!(operator.calls.writes(), expected, "the first visit, and once that it waits");
        operator.stop().await.unwrap();
    });
}
