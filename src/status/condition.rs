use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::Reason;

/// The longest message of a condition; the schema allows 4096 characters.
const MAX_MESSAGE: usize = 1024;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known (yet).
    Unknown,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Whether the list has a condition of that type which is True.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    condition(conditions, kind).is_some_and(|c| c.status == "True")
}

/// The condition of that type.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == kind)
}

/// Builds the conditions of one reconcile. Only what is set ends up in the status: the set is replaced as a
/// whole. Transition times are kept from the old conditions unless `status` changed.
#[derive(Debug, Clone)]
pub struct ConditionSet {
    generation: i64,
    now: Timestamp,
    parts: Vec<(&'static str, Verdict, Reason, String)>,
}

impl ConditionSet {
    /// An empty set, for one generation at one moment.
    #[must_use]
    pub fn new(generation: i64, now: Timestamp) -> Self {
        Self { generation, now, parts: Vec::new() }
    }

    /// Sets a condition; the last word on a type wins.
    pub fn set(&mut self, kind: &'static str, verdict: Verdict, reason: Reason, message: impl Into<String>) {
        let message = message.into();
        self.parts.retain(|p| p.0 != kind);
        self.parts.push((kind, verdict, reason, message));
    }

    /// Whether a condition of that type was set and is True.
    #[must_use]
    pub fn holds(&self, kind: &str) -> bool {
        self.parts.iter().any(|p| p.0 == kind && p.1 == Verdict::True)
    }

    /// The first of the given types that does not hold: its verdict, reason and message.
    #[must_use]
    pub fn first_failing(&self, kinds: &[&str]) -> Option<(Verdict, Reason, String)> {
        kinds.iter().find_map(|kind| {
            self.parts.iter().find(|p| p.0 == *kind && p.1 != Verdict::True).map(|p| (p.1, p.2, p.3.clone()))
        })
    }

    /// What was set for a type, if it was set for that reason.
    #[must_use]
    pub fn told(&self, kind: &str, reason: Reason) -> Option<(Verdict, Reason, String)> {
        self.parts.iter().find(|p| p.0 == kind && p.2 == reason).map(|p| (p.1, p.2, p.3.clone()))
    }

    /// The finished list: Ready first, the others by type; `Reconciling` and `Stalled` only while True.
    #[must_use]
    pub fn finish(mut self, old: &[Condition]) -> Vec<Condition> {
        self.parts.retain(|p| p.1 == Verdict::True || !matches!(p.0, "Reconciling" | "Stalled"));
        self.parts.sort_by_key(|p| (p.0 != "Ready", p.0));
        // The API server keeps whole seconds; comparing finer ones would be an everlasting difference.
        let now = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        self.parts
            .into_iter()
            .map(|(kind, verdict, reason, message)| {
                let since = condition(old, kind)
                    .filter(|c| c.status == verdict.as_str())
                    .map_or(Time(now), |c| c.last_transition_time.clone());
                Condition {
                    type_: kind.to_owned(),
                    status: verdict.as_str().to_owned(),
                    reason: reason.as_str().to_owned(),
                    message: bounded(message),
                    last_transition_time: since,
                    observed_generation: Some(self.generation),
                }
            })
            .collect()
    }
}

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}
