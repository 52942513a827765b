//! What the runner writes: finalizer, status, Events.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::context::FIELD_MANAGER;
use super::{Managed, Notice};
use crate::problem::{Class, Problem};
use crate::status::{ConditionSet, Reason, Verdict, condition};

/// Holds deletion up until the clouds are clean.
pub(super) const FINALIZER: &str = "causeway.dev/cleanup";
/// What the remote work of a pass found out must not get lost in a hiccup of the API server.
const STATUS_TRIES: u32 = 3;
const STATUS_PAUSE: Duration = Duration::from_millis(200);
/// The API server takes a note of at most 1 kB.
const MAX_NOTE: usize = 1024;
/// Events of one pass; a pass that has more to say has it in its status.
const MAX_NOTICES: usize = 20;
/// After this many passes in a row that were too slow, nothing is known any more.
const SLOW_PASSES: u32 = 3;

/// Whether our finalizer is on the object.
pub(super) fn is_held(meta: &ObjectMeta) -> bool {
    meta.finalizers.iter().flatten().any(|f| f == FINALIZER)
}

/// Puts our finalizer on the object and returns it as it is then; none when it is gone.
pub(super) async fn hold<K: Managed>(
    api: &Api<DeserializeGuard<K>>,
    meta: &ObjectMeta,
) -> Result<Option<K>, Problem> {
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    finalizers.push(FINALIZER.to_owned());
    let name = meta.name.as_deref().unwrap_or_default();
    match api.patch(name, &PatchParams::default(), &finalizer_patch(meta, &finalizers)).await {
        Ok(object) => Ok(object.0.ok()),
        Err(kube::Error::Api(s)) if s.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes our finalizer off the object, so that it can go.
pub(super) async fn release<K: Managed>(
    api: &Api<DeserializeGuard<K>>,
    meta: &ObjectMeta,
) -> Result<(), Problem> {
    let kept = meta.finalizers.iter().flatten().filter(|f| *f != FINALIZER).cloned().collect::<Vec<_>>();
    let name = meta.name.as_deref().unwrap_or_default();
    match api.patch_metadata(name, &PatchParams::default(), &finalizer_patch(meta, &kept)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The resource version makes it a lock: others may be changing their finalizers at the same time.
fn finalizer_patch(meta: &ObjectMeta, finalizers: &[String]) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": finalizers}}))
}

/// Brings the stored status to exactly `status`; a field that is no longer there goes. Returns the object as it is
/// then; none when it is gone, or another one of that name.
pub(super) async fn write_status<K: Managed>(
    api: &Api<DeserializeGuard<K>>,
    object: &K,
    status: &K::Status,
) -> Result<Option<K>, Problem> {
    let payload = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::KIND,
        "metadata": {"name": object.name_any(), "uid": object.uid()},
        "status": stored(status),
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let mut pause = STATUS_PAUSE;
    for left in (0..STATUS_TRIES).rev() {
        match api.patch_status(&object.name_any(), &params, &Patch::Apply(&payload)).await {
            Ok(object) => return Ok(object.0.ok()),
            Err(kube::Error::Api(s)) if s.is_not_found() => return Ok(None),
            Err(error) => {
                let problem = Problem::from(error);
                if left == 0 || problem.class != Class::Transient {
                    return Err(problem);
                }
                problem.log();
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    Ok(None)
}

/// Whether the status holds anything new.
pub(super) fn differs<K: Managed>(object: &K, status: &K::Status) -> bool {
    let old = object.status().cloned().unwrap_or_default();
    old != *status && stored(&old) != stored(status)
}

/// A status as it is stored: without empty objects. Server-side apply makes `null` of an object that was not empty
/// before, and the schema refuses that.
fn stored<S: Serialize>(status: &S) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    drop_empty(&mut value);
    value
}

fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(drop_empty);
            map.retain(|_, v| !v.is_null() && v.as_object().is_none_or(|o| !o.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

/// The conditions of a resource that has not been looked at: without any, tools would call it ready.
#[must_use]
pub fn conditions_of_a_first_visit(generation: i64, now: jiff::Timestamp) -> Vec<Condition> {
    let mut set = ConditionSet::new(generation, now);
    set.set("Ready", Verdict::Unknown, Reason::Progressing, "the resource has not been looked at yet");
    set.set("Reconciling", Verdict::True, Reason::Progressing, "the resource has not been looked at yet");
    set.finish(&[])
}

/// The status after a pass that did not end in time: whatever the pass found out is lost.
pub(super) fn too_slow<K: Managed>(
    object: &K,
    limit: Duration,
    failures: u32,
    now: jiff::Timestamp,
) -> K::Status {
    let status = object.status().cloned().unwrap_or_default();
    let generation = object.meta().generation.unwrap_or_default();
    let message = format!("the clouds took longer than {} s to answer; trying again", limit.as_secs());
    let mut set = ConditionSet::new(generation, now);
    set.set("Reconciling", Verdict::True, Reason::ProgressingWithRetry, &message);
    if failures >= SLOW_PASSES || condition(K::conditions(&status), "Ready").is_none() {
        set.set("Ready", Verdict::Unknown, Reason::CloudUnavailable, &message);
    }
    // This generation was not really processed.
    let seen = K::observed_generation(&status);
    with::<K>(set, status, seen)
}

/// The status after a pass that only had to wait for its turn with a cloud. Who has been told nothing yet about what is
/// asked for now is told that; what was said before holds, of the generation that it was said of.
pub(super) fn waits_for_its_turn<K: Managed>(
    object: &K,
    mut status: K::Status,
    rate: u32,
    now: jiff::Timestamp,
) -> K::Status {
    let (generation, seen) = (object.meta().generation.unwrap_or_default(), K::observed_generation(&status));
    if seen == Some(generation) {
        return status;
    }
    let message = format!(
        "waits for its turn: the clouds take so many calls a second and no more (AWS {rate} from this operator), and other resources are being read"
    );
    let mut set = ConditionSet::new(generation, now);
    set.set("Reconciling", Verdict::True, Reason::Progressing, &message);
    if seen.is_none() {
        set.set("Ready", Verdict::Unknown, Reason::Progressing, &message);
    }
    // Whether only a person can mend what is asked for now, nobody knows yet.
    let mut known = K::conditions(&status).to_vec();
    known.retain(|c| c.type_ != "Stalled");
    K::set_conditions(&mut status, seen, known);
    with::<K>(set, status, seen)
}

/// A status with these conditions in place of those of the same type.
fn with<K: Managed>(set: ConditionSet, mut status: K::Status, seen: Option<i64>) -> K::Status {
    let old = K::conditions(&status).to_vec();
    let mut conditions = set.finish(&old);
    let said: Vec<_> = conditions.iter().map(|c| c.type_.clone()).collect();
    conditions.extend(old.into_iter().filter(|c| !said.contains(&c.type_)));
    conditions.sort_by(|a, b| (a.type_ != "Ready", &a.type_).cmp(&(b.type_ != "Ready", &b.type_)));
    K::set_conditions(&mut status, seen, conditions);
    status
}

/// Publishes Events, as far as that works.
pub(super) async fn publish<K: Managed>(recorder: &Recorder, object: &K, notices: &[Notice]) {
    if notices.len() > MAX_NOTICES {
        tracing::debug!(count = notices.len(), "too many Events for one pass; the rest is left out");
    }
    for notice in notices.iter().take(MAX_NOTICES) {
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.clone(),
            note: Some(bounded(&notice.note)),
            action: notice.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
            tracing::info!(%error, reason = notice.reason, "an Event could not be published");
        }
    }
}

fn bounded(note: &str) -> String {
    note[..note.floor_char_boundary(MAX_NOTE)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{ScimConnection, ScimConnectionStatus};

    fn connection(ready: Option<&str>) -> ScimConnection {
        let conditions: Vec<_> = ready
            .map(|status| {
                json!({"type": "Ready", "status": status, "reason": "Succeeded", "message": "",
                       "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
            })
            .into_iter()
            .chain([json!({"type": "TokenFresh", "status": "True", "reason": "Succeeded", "message": "",
                           "lastTransitionTime": "2026-01-01T00:00:00Z"})])
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "x", "namespace": "a", "uid": "1", "generation": 2},
            "spec": {"federationRef": {"name": "f"}, "secretRef": {"name": "s"}},
            "status": {"observedGeneration": 1, "jobId": "j", "conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    fn a_slow_pass_keeps_what_is_known_until_it_happens_again_and_again() {
        let object = connection(Some("True"));
        let status = too_slow(&object, Duration::from_secs(120), 1, jiff::Timestamp::UNIX_EPOCH);
        let kinds: Vec<_> = status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
        assert_eq!(kinds, [("Ready", "True"), ("Reconciling", "True"), ("TokenFresh", "True")]);
        assert_eq!((status.observed_generation, status.job_id.as_deref()), (Some(1), Some("j")));

        let status = too_slow(&object, Duration::from_secs(120), 3, jiff::Timestamp::UNIX_EPOCH);
        let ready = condition(&status.conditions, "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("Unknown", "CloudUnavailable"));
    }

    #[test]
    fn a_slow_first_pass_is_no_verdict() {
        let status = too_slow(&connection(None), Duration::from_secs(1), 1, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(condition(&status.conditions, "Ready").unwrap().status, "Unknown");
    }

    #[test]
    fn who_only_waits_for_its_turn_says_so_once_and_keeps_what_is_known() {
        let (first, later) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
        let told = |object: &ScimConnection, now| {
            waits_for_its_turn(object, object.status.clone().unwrap_or_default(), 8, now)
        };
        let kinds = |object: &ScimConnection| -> Vec<(String, String)> {
            let conditions = &object.status.as_ref().unwrap().conditions;
            conditions.iter().map(|c| (c.type_.clone(), c.status.clone())).collect()
        };
        let pair = |kind: &str, status: &str| (kind.to_owned(), status.to_owned());

        let mut new = connection(None);
        new.status = None;
        new.status = Some(told(&new, first));
        assert_eq!(kinds(&new), [pair("Ready", "Unknown"), pair("Reconciling", "True")]);
        assert_eq!(new.status.as_ref().unwrap().observed_generation, None);
        assert!(!differs(&new, &told(&new, later)), "once");

        // Its first visit has left conditions, and so does its first turn.
        let visited = conditions_of_a_first_visit(2, first);
        new.status = Some(ScimConnectionStatus { conditions: visited, ..Default::default() });
        let status = told(&new, later);
        assert!(condition(&status.conditions, "Ready").unwrap().message.starts_with("waits for its turn"));

        let mut changed = connection(Some("True"));
        changed.status = Some(told(&changed, first));
        let told_of = [pair("Ready", "True"), pair("Reconciling", "True"), pair("TokenFresh", "True")];
        assert_eq!(kinds(&changed), told_of);
        let status = changed.status.clone().unwrap();
        assert_eq!(status.observed_generation, Some(1), "the generation that this is said of");
        assert!(!differs(&changed, &told(&changed, later)));

        changed.metadata.generation = Some(1);
        changed.status = connection(Some("True")).status;
        assert_eq!(Some(told(&changed, first)), changed.status, "it is as it was");
    }

    #[test]
    fn an_empty_object_is_as_good_as_none() {
        let mut object = connection(Some("True"));
        let mut status = object.status.clone().unwrap();
        status.plan = Some(crate::api::PlanSummary::default());
        assert!(stored(&status).get("plan").is_none());
        assert!(!differs(&object, &status));
        object.status.as_mut().unwrap().plan =
            Some(crate::api::PlanSummary { hash: Some("1".into()), ..Default::default() });
        assert!(differs(&object, &status));
    }

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(bounded(&"ö".repeat(600)).len(), 1024);
        assert_eq!(bounded(&format!("a{}", "ö".repeat(600))).len(), 1023);
        assert_eq!(bounded("short"), "short");
    }
}
