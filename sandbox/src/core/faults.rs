use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::journal::lock;

/// What a fault does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Refused as the service throttles.
    Throttle,
    /// Refused with `status` and `code`.
    Error,
    /// Never answered.
    Hang,
    /// Carried out; then the connection is cut instead of an answer.
    CutAfterEffect,
    /// Carried out; then answered with `status` and `code` as if it had not been.
    ErrorAfterEffect,
    /// A read that answers as of before the last change.
    Stale,
}

/// One rule. It matches calls of `service` (and `operation`, when given) and strikes on the nth match,
/// or by probability, at most `times` times.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// As in the counters.
    pub service: String,
    /// As in the counters; absent: every operation of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Strike on the nth matching call, counted from 1, and on the following ones while `times` lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Or strike with this probability, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// What happens.
    pub kind: FaultKind,
    /// HTTP status for `error` and `error-after-effect`; for `throttle`, the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Error code for the two; the service's own default when absent. What follows a `/` is the `Reason` that AWS's
    /// JSON services add, such as `AccessDeniedException/KMS_AccessDeniedException`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How often at most; 1 when absent, 0 means without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Seconds for Retry-After on `throttle`; absent: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}

/// What shall become of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Handle it.
    Proceed {
        /// Answer as of before the last change.
        stale: bool,
        /// Cut the connection after the effect.
        cut: bool,
        /// Answer with this status and code after the effect.
        error: Option<(u16, Option<String>)>,
    },
    /// Throttled; seconds for Retry-After when one is to be sent.
    Throttle(Option<f64>),
    /// Refused with this status and code.
    Error(u16, Option<String>),
    /// Never answered.
    Hang,
}

#[derive(Debug)]
struct Armed {
    rule: FaultRule,
    matched: u64,
    struck: u64,
}

/// The fault table.
#[derive(Debug)]
pub struct Faults(Mutex<(Vec<Armed>, StdRng)>);

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new((Vec::new(), StdRng::seed_from_u64(seed ^ 0xfa17))))
    }

    /// Adds one rule.
    pub fn add(&self, rule: FaultRule) {
        lock(&self.0).0.push(Armed { rule, matched: 0, struck: 0 });
    }

    /// The rules as they were given.
    #[must_use]
    pub fn all(&self) -> Vec<FaultRule> {
        lock(&self.0).0.iter().map(|a| a.rule.clone()).collect()
    }

    /// Removes all rules.
    pub fn clear(&self) {
        lock(&self.0).0.clear();
    }

    /// Whether any stale rule exists: only then do the clouds keep the state before a change.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        lock(&self.0).0.iter().any(|a| a.rule.kind == FaultKind::Stale)
    }

    /// Judges one call; the first rule that strikes wins.
    pub fn judge(&self, service: &str, operation: &str) -> Verdict {
        let mut guard = lock(&self.0);
        let (rules, rng) = &mut *guard;
        for armed in rules.iter_mut() {
            let rule = &armed.rule;
            if rule.service != service || rule.operation.as_deref().is_some_and(|o| o != operation) {
                continue;
            }
            armed.matched += 1;
            let limit = rule.times.unwrap_or(1);
            if limit != 0 && armed.struck >= limit {
                continue;
            }
            let strikes = match (rule.nth, rule.probability) {
                (Some(nth), _) => armed.matched >= nth,
                (None, Some(p)) => rng.random::<f64>() < p,
                (None, None) => true,
            };
            if !strikes {
                continue;
            }
            armed.struck += 1;
            return match rule.kind {
                FaultKind::Throttle => Verdict::Throttle(rule.retry_after),
                FaultKind::Error => Verdict::Error(rule.status.unwrap_or(500), rule.code.clone()),
                FaultKind::Hang => Verdict::Hang,
                FaultKind::CutAfterEffect => Verdict::Proceed { stale: false, cut: true, error: None },
                FaultKind::ErrorAfterEffect => {
                    let error = Some((rule.status.unwrap_or(500), rule.code.clone()));
                    Verdict::Proceed { stale: false, cut: false, error }
                }
                FaultKind::Stale => Verdict::Proceed { stale: true, cut: false, error: None },
            };
        }
        Verdict::Proceed { stale: false, cut: false, error: None }
    }
}
