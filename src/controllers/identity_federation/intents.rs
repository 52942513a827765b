//! When something may be created that cannot be created twice.
//!
//! A creation is first recorded in status. Only the process that recorded it, and that has not tried yet, may try
//! it in the pass that is handed the record. Whoever finds a record that it did not make itself cannot know whether
//! the call was made: it looks for the object, and records anew only when the grace period has passed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::v1alpha1::PendingCreation;

/// `what` of the application's creation.
pub const APPLICATION: &str = "Application";
/// `what` of a certificate's creation.
pub const CERTIFICATE: &str = "SigningCertificate";

/// How many passes in a row may fail before a condition says so.
const PATIENCE: u32 = 3;

/// What this process remembers of its objects; losing it costs time, never correctness.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    /// Records made by this process and not tried yet: what, and since when.
    armed: HashMap<&'static str, String>,
    identifier_refusals: u32,
    failures: u32,
}

impl Memory {
    fn with<T>(&self, uid: &str, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry(uid.to_owned()).or_default())
    }

    /// Allows one try under a record that is being made.
    pub fn arm(&self, uid: &str, what: &'static str, since: &str) {
        self.with(uid, |m| m.armed.insert(what, since.to_owned()));
    }

    /// Whether the record is this process's own and not tried yet.
    pub fn is_armed(&self, uid: &str, intent: &PendingCreation) -> bool {
        self.with(uid, |m| m.armed.get(intent.what.as_str()).is_some_and(|since| *since == intent.since))
    }

    /// Takes the permission away: the try begins.
    pub fn disarm(&self, uid: &str, what: &str) {
        self.with(uid, |m| m.armed.remove(what));
    }

    /// Counts one more refusal of the identifiers; true while it may be that the SAML mode is still spreading.
    pub fn refused_identifiers(&self, uid: &str) -> bool {
        self.with(uid, |m| {
            m.identifier_refusals = m.identifier_refusals.saturating_add(1);
            m.identifier_refusals <= PATIENCE
        })
    }

    /// The identifiers were accepted.
    pub fn accepted_identifiers(&self, uid: &str) {
        self.with(uid, |m| m.identifier_refusals = 0);
    }

    /// Takes note of a pass; true while its transient failures are too few to be told.
    pub fn is_patient(&self, uid: &str, failed: bool) -> bool {
        self.with(uid, |m| {
            m.failures = if failed { m.failures.saturating_add(1) } else { 0 };
            m.failures < PATIENCE
        })
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// What to do about something that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Record it, and allow (or do not allow) a try in the next pass.
    Record {
        /// Whether the next pass may try.
        arm: bool,
    },
    /// Create it now.
    Try,
    /// Look for it again later.
    Wait,
}

/// Decides. `known` says that it was there before: then it must stay away for the whole grace period first.
pub fn decide(
    intent: Option<&PendingCreation>,
    armed: bool,
    known: bool,
    now: Timestamp,
    grace: Duration,
) -> Creation {
    let Some(age) = intent.and_then(|i| age(i, now)) else { return Creation::Record { arm: !known } };
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    if age >= grace {
        return Creation::Record { arm: true };
    }
    // A record that lay for long leaves too little of the grace period after the try.
    match (armed && !known, age * 4 <= grace) {
        (true, true) => Creation::Try,
        (true, false) => Creation::Record { arm: true },
        (false, _) => Creation::Wait,
    }
}

/// How old a record is; none for one that cannot be read.
pub fn age(intent: &PendingCreation, now: Timestamp) -> Option<SignedDuration> {
    intent.since.parse::<Timestamp>().ok().map(|since| now.duration_since(since))
}

/// The record of something.
pub fn find<'a>(intents: &'a [PendingCreation], what: &str) -> Option<&'a PendingCreation> {
    intents.iter().find(|i| i.what == what)
}

/// A record that is made now.
pub fn record(what: &str, name: &str, now: Timestamp) -> PendingCreation {
    PendingCreation { what: what.to_owned(), name: name.to_owned(), since: now.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(1200);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_creation_is_tried_once_under_a_record_and_never_under_a_strangers() {
        let intent = record(APPLICATION, "causeway-x", at(0));
        let table = [
            (None, false, false, 0, Creation::Record { arm: true }),
            (None, false, true, 0, Creation::Record { arm: false }),
            (Some(&intent), true, false, 1, Creation::Try),
            (Some(&intent), true, false, 301, Creation::Record { arm: true }),
            (Some(&intent), false, false, 1, Creation::Wait),
            (Some(&intent), false, false, 1199, Creation::Wait),
            (Some(&intent), false, false, 1200, Creation::Record { arm: true }),
            (Some(&intent), true, true, 1, Creation::Wait),
            (Some(&intent), false, true, 1200, Creation::Record { arm: true }),
        ];
        for (intent, armed, known, second, expected) in table {
            assert_eq!(decide(intent, armed, known, at(second), GRACE), expected, "{armed} {known} {second}");
        }
    }

    #[test]
    fn memory_knows_its_own_records_only() {
        let memory = Memory::default();
        let intent = record(APPLICATION, "n", at(0));
        assert!(!memory.is_armed("u", &intent));
        memory.arm("u", APPLICATION, &intent.since);
        assert!(memory.is_armed("u", &intent) && !memory.is_armed("v", &intent));
        assert!(!memory.is_armed("u", &record(APPLICATION, "n", at(1))));
        memory.disarm("u", APPLICATION);
        assert!(!memory.is_armed("u", &intent));
    }

    #[test]
    fn a_few_failures_are_nobodys_business() {
        let memory = Memory::default();
        assert!(
            memory.is_patient("u", true) && memory.is_patient("u", true) && !memory.is_patient("u", true)
        );
        assert!(memory.is_patient("u", false) && memory.is_patient("u", true));
    }
}
