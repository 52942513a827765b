//! Whether something that was there before is gone. Reads go to replicas: one that does not show it proves little
//! (contract Graph 8.6), and whoever lets go too early leaves it in the cloud for ever.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long something must not be seen before it is gone.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// Since when what a resource that is being deleted has in the clouds is not seen, by the resource's uid. Losing it
/// costs time, never correctness.
#[derive(Debug, Default)]
pub(super) struct Absences(Mutex<HashMap<String, Absence>>);

#[derive(Clone, Copy, Debug)]
enum Absence {
    /// It was not expected.
    Since(Timestamp),
    /// It was deleted by this very process, and the cloud said so.
    Deleted,
}

impl Absences {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Absence>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It is not seen: whether it is gone. `grace`: nothing needs longer than this to be seen.
    pub fn is_gone(&self, uid: &str, now: Timestamp, grace: Duration) -> bool {
        let long_enough = SignedDuration::try_from(LONG_ENOUGH.min(grace)).unwrap_or(SignedDuration::MAX);
        match self.with(|all| *all.entry(uid.to_owned()).or_insert(Absence::Since(now))) {
            Absence::Deleted => true,
            Absence::Since(since) => now.duration_since(since) >= long_enough,
        }
    }

    /// It was deleted: the next look that does not see it is believed.
    pub fn deleted(&self, uid: &str) {
        self.with(|all| all.insert(uid.to_owned(), Absence::Deleted));
    }

    /// Whether this process deleted it.
    pub fn was_deleted(&self, uid: &str) -> bool {
        self.with(|all| matches!(all.get(uid), Some(Absence::Deleted)))
    }

    /// It is seen (still): absent it is only from when it is not. That it was deleted stays true.
    pub fn seen(&self, uid: &str) {
        self.with(|all| {
            if matches!(all.get(uid), Some(Absence::Since(_))) {
                all.remove(uid);
            }
        });
    }

    /// Nobody asks any more.
    pub fn forget(&self, uid: &str) {
        self.with(|all| all.remove(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_away_or_was_deleted_is_gone() {
        let absences = Absences::default();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let gone = |uid: &str, second: i64| absences.is_gone(uid, at(second), Duration::from_secs(1200));
        assert!(!gone("a", 0) && !gone("a", 59) && gone("a", 60) && !gone("b", 60));
        absences.seen("a");
        assert!(!gone("a", 61) && !gone("a", 120));
        absences.deleted("a");
        absences.seen("a");
        assert!(gone("a", 121) && absences.was_deleted("a") && !absences.was_deleted("b"));
        absences.forget("a");
        assert!(!gone("a", 122));
        assert!(!absences.is_gone("c", at(0), Duration::from_secs(5)));
        assert!(absences.is_gone("c", at(5), Duration::from_secs(5)));
    }
}
