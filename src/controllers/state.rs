//! What all resources together say about themselves, for metrics.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::Managed;
use super::stores::{Lane, Stores, known};
use crate::status::{Reason, condition};
use crate::telemetry::{Assignments, Credential, ResourceState, Standing};

/// A federation, by namespace and name.
type Federation = (String, String);

impl Stores {
    /// This operator leads from now on.
    pub fn lead(&self, now: Timestamp) {
        self.times.leads(now);
    }

    /// What the resources say at this moment.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> ResourceState {
        let began = self.times.began().unwrap_or(now);
        let mut state = ResourceState::default();
        // By federation: since when anything of it is behind, and whether anything waits for people.
        let mut all: BTreeMap<Federation, Vec<Lag>> = BTreeMap::new();
        self.add(&self.federations, (began, now), &mut state, &mut all, |f| (namespace(f), f.name_any()));
        self.add(&self.connections, (began, now), &mut state, &mut all, |c| {
            (namespace(c), c.spec.federation_ref.name.clone())
        });
        self.add(&self.bindings, (began, now), &mut state, &mut all, |b| {
            let federation = &b.spec.federation_ref;
            (federation.namespace.clone().unwrap_or_else(|| namespace(b)), federation.name.clone())
        });
        for lags in all.values() {
            *state.federations.entry(standing(lags)).or_default() += 1;
            for lag in lags {
                if let Lag::Behind(since) = lag {
                    state.behind_seconds = state.behind_seconds.max(seconds(*since, now));
                }
            }
        }
        let certificates = known(&self.federations).flat_map(|f| {
            let entra = f.status.as_ref().and_then(|s| s.entra.clone()).unwrap_or_default();
            entra
                .signing_certificates
                .into_iter()
                .filter(|c| c.active)
                .filter_map(|c| c.not_after.parse().ok())
        });
        // Of those that nobody looks at for now nothing is known to be late.
        let driven = || {
            known(&self.connections).filter(|c| {
                let ready = c.status.as_ref().and_then(|s| condition(&s.conditions, "Ready"));
                !ready.is_some_and(|r| {
                    r.reason == Reason::Suspended.as_str() || r.reason == Reason::ClaimedTwice.as_str()
                })
            })
        };
        let tokens = driven().filter_map(|c| c.status.as_ref()?.token_expires_at.as_ref()?.parse().ok());
        let ends =
            [(Credential::ScimToken, tokens.min()), (Credential::SigningCertificate, certificates.min())];
        state.expiries = ends.into_iter().filter_map(|(credential, end)| Some((credential, end?))).collect();
        state.cycle = driven()
            .filter_map(|c| c.status.as_ref()?.last_cycle.as_ref()?.ended_at.as_ref()?.parse().ok())
            .min();
        for binding in known(&self.bindings) {
            let Some(status) = &binding.status else { continue };
            let Assignments { desired, current, pending, failed } = &mut state.assignments;
            *desired += status.desired;
            *current += status.current;
            *pending += status.pending;
            *failed += status.failed;
        }
        state
    }

    fn add<K: Managed>(
        &self,
        lanes: &[Lane<K>],
        (began, now): (Timestamp, Timestamp),
        state: &mut ResourceState,
        all: &mut BTreeMap<Federation, Vec<Lag>>,
        federation: impl Fn(&K) -> Federation,
    ) {
        for object in known(lanes) {
            let ready = object.status().and_then(|s| condition(K::conditions(s), "Ready"));
            // A label must come from a closed list, whatever stands in a status.
            let reason =
                ready.and_then(|r| Reason::ALL.iter().find(|known| known.as_str() == r.reason)).copied();
            let created = object.creation_timestamp().map_or(began, |at| at.0);
            let since = match ready {
                Some(ready) if ready.status == "True" => None,
                Some(ready) => Some(ready.last_transition_time.0),
                None => Some(created),
            };
            *state.counts.entry((K::KIND, reason)).or_default() += 1;
            if let Some(since) = since {
                let oldest = state.not_ready_since.entry((K::KIND, reason)).or_insert(since);
                *oldest = since.min(*oldest);
            }
            all.entry(federation(&object)).or_default().push(lag(since, reason));

            let times = self.times.of(K::KIND, &namespace(&*object), &object.name_any());
            let checked = times.checked.unwrap_or_else(|| created.max(began));
            let oldest = state.full_checks.entry(K::KIND).or_insert(checked);
            *oldest = checked.min(*oldest);
            let overdue = times.due.map_or(0.0, |due| seconds(due, now));
            let latest = state.overdue_seconds.entry(K::KIND).or_default();
            *latest = latest.max(overdue);
        }
    }
}

fn namespace<K: Managed>(object: &K) -> String {
    object.namespace().unwrap_or_default()
}

/// Whether a resource is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lag {
    No,
    ForPeople,
    Behind(Timestamp),
}

/// What is not Ready for the sake of its federation says no more than that one does.
fn lag(since: Option<Timestamp>, reason: Option<Reason>) -> Lag {
    match (since, reason) {
        (None, _) => Lag::No,
        (
            Some(_),
            Some(
                Reason::AwaitingHandoff
                | Reason::Suspended
                | Reason::PlanNotApplied
                | Reason::FederationNotReady,
            ),
        ) => Lag::ForPeople,
        (Some(since), _) => Lag::Behind(since),
    }
}

fn standing(lags: &[Lag]) -> Standing {
    match lags {
        lags if lags.iter().any(|lag| matches!(lag, Lag::Behind(_))) => Standing::Behind,
        lags if lags.contains(&Lag::ForPeople) => Standing::WaitingForPeople,
        _ => Standing::InStep,
    }
}

/// From one moment to another, at least zero.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::super::Writers;
    use super::*;
    use crate::settings::Settings;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn put<K: Managed>(writer: &mut Writer<DeserializeGuard<K>>, objects: Vec<Value>)
    where
        DeserializeGuard<K>: DeserializeOwned,
    {
        writer.apply_watcher_event(&Event::Init);
        for object in objects {
            writer.apply_watcher_event(&Event::InitApply(serde_json::from_value(object).unwrap()));
        }
        writer.apply_watcher_event(&Event::InitDone);
    }

    fn ready(status: &str, reason: &str, since: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since}])
    }

    fn meta(name: &str) -> Value {
        json!({"name": name, "namespace": "a", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"})
    }

    fn federation(name: &str, conditions: Value, ends: &str) -> Value {
        let certificate = |active, not_after: &str| json!({"sha1": "", "sha256": "", "notAfter": not_after, "active": active});
        json!({
            "metadata": meta(name),
            "spec": {
                "entra": {"tenantId": "t", "credentials": {}, "application": {"displayName": "d"}},
                "aws": {"region": "r", "credentials": {}, "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}}},
            },
            "status": {
                "conditions": conditions,
                "entra": {"signingCertificates": [certificate(true, ends), certificate(false, "2026-01-02T00:00:00Z")]},
            },
        })
    }

    fn connection(name: &str, conditions: Value) -> Value {
        json!({
            "metadata": meta(name),
            "spec": {"federationRef": {"name": "one"}, "secretRef": {"name": "s"}},
            "status": {
                "conditions": conditions,
                "tokenExpiresAt": "2026-06-01T00:00:00Z",
                "lastCycle": {"result": "Succeeded", "endedAt": "2026-03-01T00:00:00Z", "exported": 0, "escrowed": 0},
            },
        })
    }

    #[test]
    fn federations_are_judged_with_all_that_refers_to_them() {
        let (stores, mut writers) = Stores::new(&Settings::for_tests("t"));
        let Writers { federations, connections, .. } = &mut writers;
        put(
            &mut federations[0],
            vec![
                federation("one", ready("True", "Succeeded", "2026-02-01T00:00:00Z"), "2027-01-01T00:00:00Z"),
                federation(
                    "two",
                    ready("False", "AwaitingHandoff", "2026-02-02T00:00:00Z"),
                    "2026-12-01T00:00:00Z",
                ),
                json!({"metadata": meta("broken"), "spec": 7}),
            ],
        );
        put(
            &mut connections[0],
            vec![
                connection("c", ready("False", "Quarantined", "2026-02-28T23:59:00Z")),
                connection("d", ready("Unknown", "Made up", "2026-02-28T23:59:30Z")),
                connection("new", json!([])),
            ],
        );
        let (began, now) = (at("2026-01-15T00:00:00Z"), at("2026-03-01T00:00:00Z"));
        stores.times.ended(
            "ScimConnection",
            "a",
            "c",
            Some(at("2026-02-28T00:00:00Z")),
            at("2026-02-28T23:59:50Z"),
        );
        stores.lead(began);
        let state = stores.state(now);
        assert_eq!(
            state.counts,
            [
                (("IdentityFederation", Some(Reason::Succeeded)), 1),
                (("IdentityFederation", Some(Reason::AwaitingHandoff)), 1),
                (("ScimConnection", Some(Reason::Quarantined)), 1),
                (("ScimConnection", None), 2),
            ]
            .into()
        );
        assert_eq!(
            state.not_ready_since,
            [
                (("IdentityFederation", Some(Reason::AwaitingHandoff)), at("2026-02-02T00:00:00Z")),
                (("ScimConnection", Some(Reason::Quarantined)), at("2026-02-28T23:59:00Z")),
                (("ScimConnection", None), at("2026-01-01T00:00:00Z")),
            ]
            .into()
        );
        assert_eq!(state.federations, [(Standing::Behind, 1), (Standing::WaitingForPeople, 1)].into());
        assert_eq!(state.behind_seconds, 59.0 * 86_400.0, "the new one was never looked at");
        assert_eq!(
            state.expiries,
            [
                (Credential::ScimToken, at("2026-06-01T00:00:00Z")),
                (Credential::SigningCertificate, at("2026-12-01T00:00:00Z")),
            ]
            .into()
        );
        assert_eq!(state.cycle, Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(state.full_checks["ScimConnection"], began, "not checked since the operator began");
        assert_eq!(state.overdue_seconds["ScimConnection"], 10.0);
        assert_eq!(state.overdue_seconds["IdentityFederation"], 0.0);
    }

    #[test]
    fn without_resources_there_is_nothing_to_say() {
        let (stores, _writers) = Stores::new(&Settings::for_tests("t"));
        let state = stores.state(Timestamp::UNIX_EPOCH);
        assert!(state.counts.is_empty() && state.expiries.is_empty() && state.full_checks.is_empty());
        assert_eq!((state.behind_seconds, state.assignments), (0.0, Assignments::default()));
    }

    #[test]
    fn metrics_know_all_kinds() {
        use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};
        let kinds = [IdentityFederation::KIND, ScimConnection::KIND, PermissionSetBinding::KIND];
        assert_eq!(crate::telemetry::KINDS, kinds);
    }
}
