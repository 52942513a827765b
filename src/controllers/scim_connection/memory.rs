//! What a process remembers of its connections; losing it costs time, never correctness. Above all, when a job may
//! be created.
//!
//! Creating is not idempotent and what was created may be invisible for a while, so the intent is in the status
//! before the call, and only the process that wrote it may act on it at once. Everybody else, after a crash or an
//! unclear answer, first looks for the job as long as it may take to show up.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::settings::Timing;

/// How long a job that may have been created is looked for (contract Graph 8.6: over at least two minutes). Shorter
/// than for an application, which Entra may create long after it answered.
#[must_use]
pub fn grace(timing: &Timing) -> Duration {
    timing.creation_grace.min(Duration::from_secs(180))
}

/// Intents that this process wrote and has not acted on: uid and moment.
#[derive(Debug, Default)]
pub struct Intents(Mutex<HashSet<(String, String)>>);

/// How many passes in a row may fail for a reason that passes by itself before a condition says so.
const PATIENCE: u32 = 3;

/// Failed passes in a row, by uid.
#[derive(Debug, Default)]
pub struct Patience(Mutex<HashMap<String, u32>>);

impl Patience {
    /// Takes note of one more pass; true while failures are nobody's business.
    pub fn note(&self, uid: &str, failed: bool) -> bool {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failures.remove(uid);
            return true;
        }
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count < PATIENCE
    }
}

/// When each connection that waits for its Secret was last looked at in full, by uid.
#[derive(Debug, Default)]
pub struct Waits(Mutex<HashMap<String, Timestamp>>);

impl Waits {
    /// Takes note of a full look.
    pub fn note(&self, uid: &str, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), now);
    }

    /// Whether there was one within `span`.
    pub fn is_recent(&self, uid: &str, now: Timestamp, span: Duration) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(uid).is_some_and(|look| *look <= now && now.duration_since(*look).unsigned_abs() < span)
    }

    /// Forgets a connection that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// What to do while no job is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Write this intent, and nothing else.
    Intend(String),
    /// Create the job.
    Create,
    /// A job may have been created: look for it.
    Wait,
}

impl Intents {
    /// Whose turn it is. `pending` is the intent in the status; `existed`: a job was recorded and is not to be seen.
    pub fn turn(
        &self,
        uid: &str,
        pending: Option<&str>,
        existed: bool,
        now: Timestamp,
        grace: Duration,
    ) -> Turn {
        let moment = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
        let since = pending.and_then(|p| p.parse::<Timestamp>().ok());
        let remembered = |text: &str| self.lock().contains(&(uid.to_owned(), text.to_owned()));
        match (pending, since) {
            (Some(text), Some(_)) if remembered(text) => Turn::Create,
            (_, Some(since)) if now.duration_since(since).unsigned_abs() < grace => Turn::Wait,
            (None, _) if existed => Turn::Intend(moment),
            _ => {
                self.lock().insert((uid.to_owned(), moment.clone()));
                Turn::Intend(moment)
            }
        }
    }

    /// The call is about to be made: whatever comes of it, it is not made again on the same intent.
    pub fn spend(&self, uid: &str) {
        self.lock().retain(|(owner, _)| owner != uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(120);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn an_intent_is_written_then_acted_on_once() {
        let intents = Intents::default();
        let Turn::Intend(since) = intents.turn("u", None, false, at(0), GRACE) else { panic!() };
        assert_eq!(intents.turn("u", Some(&since), false, at(1), GRACE), Turn::Create);
        intents.spend("u");
        assert_eq!(intents.turn("u", Some(&since), false, at(2), GRACE), Turn::Wait);
        let Turn::Intend(again) = intents.turn("u", Some(&since), false, at(121), GRACE) else { panic!() };
        assert_eq!(intents.turn("u", Some(&again), false, at(122), GRACE), Turn::Create);
    }

    #[test]
    fn another_process_waits_before_it_acts_on_an_intent() {
        let Turn::Intend(since) = Intents::default().turn("u", None, false, at(0), GRACE) else { panic!() };
        let other = Intents::default();
        assert_eq!(other.turn("u", Some(&since), false, at(119), GRACE), Turn::Wait);
        assert!(matches!(other.turn("u", Some(&since), false, at(120), GRACE), Turn::Intend(_)));
    }

    #[test]
    fn two_failures_are_borne_and_success_starts_anew() {
        let patience = Patience::default();
        let seen = [true, true, true, false, true].map(|failed| patience.note("u", failed));
        assert_eq!(seen, [true, true, false, true, true]);
    }

    #[test]
    fn a_full_look_is_due_again_after_a_while() {
        let (waits, span) = (Waits::default(), Duration::from_secs(60));
        assert!(!waits.is_recent("u", at(0), span));
        waits.note("u", at(0));
        let recent = [0, 59, 60, -1].map(|second| waits.is_recent("u", at(second), span));
        assert_eq!(recent, [true, true, false, false]);
        waits.forget("u");
        assert!(!waits.is_recent("u", at(1), span));
    }

    #[test]
    fn a_job_that_vanished_is_waited_for() {
        let intents = Intents::default();
        let Turn::Intend(since) = intents.turn("u", None, true, at(0), GRACE) else { panic!() };
        assert_eq!(intents.turn("u", Some(&since), true, at(60), GRACE), Turn::Wait);
        let Turn::Intend(again) = intents.turn("u", Some(&since), true, at(130), GRACE) else { panic!() };
        assert_eq!(intents.turn("u", Some(&again), true, at(131), GRACE), Turn::Create);
    }
}
