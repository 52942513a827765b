//! What to do about a lease: no I/O.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use tokio::time::Instant;

use super::micro;
use crate::settings::Leader;

/// The lease as it was when it last changed, by this machine's clock.
#[derive(Debug, Default)]
pub(super) struct Seen {
    last: Option<(Option<String>, Instant)>,
    /// The term of somebody else who holds it.
    term: Option<Duration>,
}

impl Seen {
    /// For how long the lease has not changed.
    fn unchanged_for(&mut self, version: Option<&String>, now: Instant) -> Duration {
        match &self.last {
            Some((known, since)) if known.as_ref() == version => now.duration_since(*since),
            _ => {
                self.last = Some((version.cloned(), now));
                Duration::ZERO
            }
        }
    }

    /// By which term to go on: whoever waits for a shorter one than his own looks as often as that one takes.
    pub fn rhythm(&self, own: Duration) -> Duration {
        self.term.map_or(own, |term| term.clamp(Duration::from_secs(1), own.max(Duration::from_secs(1))))
    }
}

/// What to do about it.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// There is none: ours.
    Create(Lease),
    /// It is ours, free or expired: keep or take it.
    Replace(Lease),
    /// Somebody else holds it.
    Wait,
}

pub(super) fn decide(
    lease: Option<Lease>,
    settings: &Leader,
    seen: &mut Seen,
    now: Instant,
    wall: Timestamp,
) -> Step {
    seen.term = None;
    let wall = MicroTime(micro(wall));
    let Some(mut lease) = lease else {
        return Step::Create(Lease {
            metadata: ObjectMeta { name: Some(settings.lease_name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(settings.identity.clone()),
                lease_duration_seconds: Some(seconds(settings.lease_duration)),
                acquire_time: Some(wall.clone()),
                renew_time: Some(wall),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        });
    };
    let unchanged = seen.unchanged_for(lease.metadata.resource_version.as_ref(), now);
    let mut spec = lease.spec.take().unwrap_or_default();
    let holder = spec.holder_identity.clone().filter(|h| !h.is_empty());
    let ours = holder.as_ref() == Some(&settings.identity);
    if !ours {
        let life = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map_or(
            // A lease without a term: somebody's mistake, outlived by our own.
            settings.lease_duration,
            Duration::from_secs,
        );
        if holder.is_some() && unchanged <= life {
            seen.term = Some(life);
            return Step::Wait;
        }
        spec.holder_identity = Some(settings.identity.clone());
        spec.acquire_time = Some(wall.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
    }
    spec.lease_duration_seconds = Some(seconds(settings.lease_duration));
    spec.renew_time = Some(wall);
    lease.spec = Some(spec);
    Step::Replace(lease)
}

/// The lease without a holder; none when it is not ours any more.
pub(super) fn given_back(mut lease: Lease, identity: &str, wall: Timestamp) -> Option<Lease> {
    let mut spec = lease.spec.take()?;
    if spec.holder_identity.as_deref() != Some(identity) {
        return None;
    }
    spec.holder_identity = None;
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(micro(wall)));
    lease.spec = Some(spec);
    Some(lease)
}

/// Whole seconds, rounded up: others must never think it shorter than we do.
fn seconds(life: Duration) -> i32 {
    i32::try_from(life.as_secs() + u64::from(life.subsec_nanos() > 0)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Leader {
        Leader {
            elect: true,
            lease_name: "causeway".into(),
            lease_duration: Duration::from_millis(14_500),
            identity: "me".into(),
        }
    }

    fn lease(holder: Option<&str>, version: &str) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.into()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(Into::into),
                lease_duration_seconds: Some(10),
                lease_transitions: Some(4),
                ..LeaseSpec::default()
            }),
        }
    }

    fn spec(step: Step) -> LeaseSpec {
        match step {
            Step::Create(lease) | Step::Replace(lease) => lease.spec.unwrap(),
            Step::Wait => panic!("waits"),
        }
    }

    fn step(lease: Option<Lease>, seen: &mut Seen, at: Instant) -> Step {
        decide(lease, &settings(), seen, at, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_lease_that_is_not_there_is_created_and_its_term_is_rounded_up() {
        let step = step(None, &mut Seen::default(), Instant::now());
        assert!(matches!(step, Step::Create(_)));
        assert_eq!(spec(step).lease_duration_seconds, Some(15));
    }

    #[test]
    fn a_free_lease_and_our_own_are_taken() {
        let start = Instant::now();
        for (holder, transitions) in [(None, 5), (Some(""), 5), (Some("me"), 4)] {
            let spec = spec(step(Some(lease(holder, "1")), &mut Seen::default(), start));
            assert_eq!(
                (spec.holder_identity.as_deref(), spec.lease_transitions),
                (Some("me"), Some(transitions))
            );
        }
    }

    #[test]
    fn somebody_elses_lease_is_taken_only_after_it_has_not_changed_for_its_term() {
        let (start, mut seen) = (Instant::now(), Seen::default());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(step(Some(lease(Some("you"), "1")), &mut seen, at(0)), Step::Wait);
        assert_eq!(step(Some(lease(Some("you"), "1")), &mut seen, at(9)), Step::Wait);
        // Renewed: the term begins anew, whatever its clock says.
        assert_eq!(step(Some(lease(Some("you"), "2")), &mut seen, at(9)), Step::Wait);
        assert_eq!(step(Some(lease(Some("you"), "2")), &mut seen, at(19)), Step::Wait);
        // It lasts ten seconds, so nobody waits for longer than that takes, with whatever term of his own.
        let ten = Duration::from_secs(10);
        assert_eq!((seen.rhythm(300 * ten), seen.rhythm(ten / 2)), (ten, ten / 2));
        let taken = spec(step(Some(lease(Some("you"), "2")), &mut seen, at(20)));
        assert_eq!(seen.rhythm(300 * ten), 300 * ten);
        assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some("me"), Some(5)));
    }

    #[test]
    fn only_our_own_lease_is_given_back() {
        assert_eq!(given_back(lease(Some("you"), "1"), "me", Timestamp::UNIX_EPOCH), None);
        let back = given_back(lease(Some("me"), "1"), "me", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(back.metadata.resource_version.as_deref(), Some("1"));
        assert_eq!(back.spec.unwrap().holder_identity, None);
    }
}
