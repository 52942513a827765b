//! When to look at an object again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Next;
use crate::problem::Class;
use crate::settings::Timing;

/// A server may ask for this much patience, no less and no more.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// What is missing is looked for this often at most: Secrets, for one, are not watched.
pub(super) const BLOCKED: Duration = Duration::from_secs(30);
/// Grants take minutes to spread: this many times the first delay.
const DENIED_FACTOR: u32 = 30;

/// Counts the failures in a row of each object, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<(String, String), u32>>);

impl Attempts {
    /// Takes note of one more pass and says how many failed in a row, this one included; 0 when it did not fail.
    pub fn note(&self, namespace: &str, name: &str, class: Option<Class>) -> u32 {
        let key = (namespace.to_owned(), name.to_owned());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if class.is_some_and(counts_as_failure) {
            let count = counts.entry(key).or_default();
            *count = count.saturating_add(1);
            *count
        } else {
            counts.remove(&key);
            0
        }
    }

    /// Failures in a row so far.
    pub fn so_far(&self, namespace: &str, name: &str) -> u32 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(namespace.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Waiting for a person or for another object is no failure that grows.
const fn counts_as_failure(class: Class) -> bool {
    matches!(class, Class::Denied | Class::Throttled | Class::Transient | Class::Conflict)
}

/// The delay before the next pass. `failures` counts this one; `luck` is uniform in 0..1.
pub(super) fn delay(
    timing: &Timing,
    class: Option<Class>,
    next: Next,
    retry_after: Option<Duration>,
    failures: u32,
    luck: f64,
) -> Duration {
    let (first, longest) = timing.backoff;
    let own = match (class, next) {
        // Objects that were created together must not be looked at together for ever.
        (None, Next::Resync) | (Some(Class::Invalid | Class::Guarded), _) => {
            timing.resync.mul_f64(0.9 + 0.2 * luck)
        }
        (None, Next::After(after)) => after.min(timing.resync),
        (Some(Class::Pending), _) => timing.poll,
        // Whoever knows what is waited for may look sooner.
        (Some(Class::Blocked), Next::After(after)) if after > Duration::ZERO => after.min(BLOCKED),
        (Some(Class::Blocked), _) => BLOCKED.min(longest).mul_f64(0.8 + 0.2 * luck),
        (Some(Class::Conflict), _) => jittered(first.mul_f64(0.1), longest, failures, luck),
        (Some(Class::Throttled | Class::Transient), _) => jittered(first, longest, failures, luck),
        (Some(Class::Denied), _) => jittered(first.saturating_mul(DENIED_FACTOR), longest, failures, luck),
    };
    match retry_after {
        Some(asked) => own.max(asked.clamp(RETRY_AFTER.0, RETRY_AFTER.1).mul_f64(1.0 + 0.1 * luck)),
        None => own,
    }
}

/// Doubles with each failure up to `longest`; anywhere in the upper nine tenths of that, so that what failed
/// together does not come back together.
fn jittered(first: Duration, longest: Duration, failures: u32, luck: f64) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(30)));
    doubled.min(longest).mul_f64(0.1 + 0.9 * luck)
}

/// Uniform in 0..1; nothing secret depends on it.
pub(super) fn luck() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128();
    // The lowest 32 bits of a version 4 UUID are all random.
    f64::from(u32::try_from(bits & u128::from(u32::MAX)).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing() -> Timing {
        Timing {
            resync: Duration::from_secs(600),
            poll: Duration::from_secs(3),
            job_poll: Duration::from_secs(60),
            handoff: Duration::from_secs(15),
            creation_grace: Duration::from_secs(1200),
            reconcile: Duration::from_secs(120),
            backoff: (Duration::from_secs(1), Duration::from_secs(300)),
        }
    }

    /// Shortest and longest delay, in milliseconds.
    fn range(class: Option<Class>, next: Next, retry_after: Option<u64>, failures: u32) -> (u128, u128) {
        let at = |luck| {
            delay(&timing(), class, next, retry_after.map(Duration::from_secs), failures, luck).as_millis()
        };
        (at(0.0), at(1.0))
    }

    #[test]
    fn each_class_has_its_delay() {
        use Class::*;
        let s = 1000;
        let table = [
            (None, Next::Resync, None, 0, (540 * s, 660 * s)),
            (None, Next::After(Duration::ZERO), None, 0, (0, 0)),
            (None, Next::After(Duration::from_secs(7)), None, 0, (7 * s, 7 * s)),
            (None, Next::After(Duration::from_secs(7000)), None, 0, (600 * s, 600 * s)),
            (Some(Invalid), Next::Resync, None, 0, (540 * s, 660 * s)),
            (Some(Guarded), Next::After(Duration::ZERO), None, 0, (540 * s, 660 * s)),
            (Some(Blocked), Next::Resync, None, 0, (24 * s, 30 * s)),
            (Some(Blocked), Next::After(Duration::ZERO), None, 0, (24 * s, 30 * s)),
            (Some(Blocked), Next::After(Duration::from_secs(15)), None, 0, (15 * s, 15 * s)),
            (Some(Blocked), Next::After(Duration::from_secs(60)), None, 0, (30 * s, 30 * s)),
            (Some(Denied), Next::Resync, None, 1, (3 * s, 30 * s)),
            (Some(Denied), Next::Resync, None, 9, (30 * s, 300 * s)),
            (Some(Throttled), Next::Resync, None, 1, (100, s)),
            (Some(Throttled), Next::Resync, Some(17), 1, (17 * s, 18_700)),
            (Some(Throttled), Next::Resync, Some(0), 1, (s, 1100)),
            (Some(Throttled), Next::Resync, Some(90_000), 1, (3600 * s, 3960 * s)),
            (Some(Transient), Next::Resync, None, 1, (100, s)),
            (Some(Transient), Next::Resync, None, 4, (800, 8 * s)),
            (Some(Transient), Next::Resync, None, u32::MAX, (30 * s, 300 * s)),
            (Some(Pending), Next::Resync, None, 0, (3 * s, 3 * s)),
            (Some(Conflict), Next::Resync, None, 1, (10, 100)),
        ];
        for (class, next, retry_after, failures, expected) in table {
            let seen = range(class, next, retry_after, failures);
            assert_eq!(seen, expected, "{class:?} {next:?} {retry_after:?} {failures}");
        }
    }

    #[test]
    fn failures_are_counted_per_object_and_forgotten_on_success() {
        let attempts = Attempts::default();
        assert_eq!(attempts.note("a", "x", Some(Class::Transient)), 1);
        assert_eq!(attempts.note("a", "x", Some(Class::Throttled)), 2);
        assert_eq!(attempts.note("b", "x", Some(Class::Transient)), 1);
        assert_eq!(attempts.so_far("a", "x"), 2);
        assert_eq!(attempts.note("a", "x", None), 0);
        assert_eq!(attempts.note("a", "x", Some(Class::Denied)), 1);
        assert_eq!(attempts.note("a", "x", Some(Class::Invalid)), 0);
        assert_eq!(attempts.note("a", "x", Some(Class::Conflict)), 1);
        attempts.forget("a", "x");
        assert_eq!(attempts.so_far("a", "x"), 0);
    }

    #[test]
    fn luck_is_a_fraction() {
        assert!((0..100).map(|_| luck()).all(|l| (0.0..1.0).contains(&l)));
    }
}
