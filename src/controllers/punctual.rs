//! When each resource was checked last, and when it is to be checked again: for metrics, kept in memory only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// What is known of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Its last check in full.
    pub checked: Option<Timestamp>,
    /// Its next pass begins by then; while one runs: ends by then.
    pub due: Option<Timestamp>,
}

type Key = (&'static str, String, String);

#[derive(Debug, Default)]
struct Kept {
    began: Option<Timestamp>,
    times: HashMap<Key, Times>,
}

/// The times of all resources, by kind, namespace and name. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Punctuality(Arc<Mutex<Kept>>);

impl Punctuality {
    /// This operator leads from now on: what it has not checked yet counts from here.
    pub fn leads(&self, now: Timestamp) {
        self.kept().began = Some(now);
    }

    /// Since when this operator leads.
    pub fn began(&self) -> Option<Timestamp> {
        self.kept().began
    }

    /// A pass begins, and is to end by then; how late it begins.
    pub fn begins(
        &self,
        kind: &'static str,
        namespace: &str,
        name: &str,
        now: Timestamp,
        ends: Timestamp,
    ) -> SignedDuration {
        let mut kept = self.kept();
        let times = kept.times.entry((kind, namespace.to_owned(), name.to_owned())).or_default();
        let due = times.due.replace(ends);
        // Whoever is woken begins before it is due.
        due.map_or(SignedDuration::ZERO, |due| now.duration_since(due)).max(SignedDuration::ZERO)
    }

    /// A pass has ended; the next one begins by `due`.
    pub fn ended(
        &self,
        kind: &'static str,
        namespace: &str,
        name: &str,
        checked: Option<Timestamp>,
        due: Timestamp,
    ) {
        let mut kept = self.kept();
        let times = kept.times.entry((kind, namespace.to_owned(), name.to_owned())).or_default();
        *times = Times { checked: checked.or(times.checked), due: Some(due) };
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, kind: &'static str, namespace: &str, name: &str) {
        self.kept().times.remove(&(kind, namespace.to_owned(), name.to_owned()));
    }

    /// What is known of one resource.
    pub fn of(&self, kind: &'static str, namespace: &str, name: &str) -> Times {
        self.kept().times.get(&(kind, namespace.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_pass_is_late_when_it_begins_after_it_was_due() {
        let times = Punctuality::default();
        let begins = |now, ends| times.begins("K", "a", "x", at(now), at(ends)).as_secs();
        assert_eq!(begins(10, 130), 0, "nobody waited for the first one");
        times.ended("K", "a", "x", Some(at(12)), at(100));
        assert_eq!(begins(50, 170), 0, "woken");
        times.ended("K", "a", "x", None, at(100));
        assert_eq!(begins(107, 227), 7);
        assert_eq!(times.of("K", "a", "x"), Times { checked: Some(at(12)), due: Some(at(227)) });
        times.forget("K", "a", "x");
        assert_eq!(times.of("K", "a", "x"), Times::default());
    }
}
