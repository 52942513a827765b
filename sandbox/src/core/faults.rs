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
    /// Carried out; the answer is a page of HTML with status 200, as middle boxes write it.
    Malformed,
    /// Carried out; the connection breaks in the middle of the answer's body.
    TruncatedPage,
    /// One page of a list whose link or token to the next page leads to that same page again, and so on. Reads that
    /// are no lists are left alone.
    LoopingNextLink,
    /// Refused as the service refuses a credential that has just ended.
    ExpiredCredential,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Throttle,
        Self::Error,
        Self::Hang,
        Self::CutAfterEffect,
        Self::ErrorAfterEffect,
        Self::Stale,
        Self::Malformed,
        Self::TruncatedPage,
        Self::LoopingNextLink,
        Self::ExpiredCredential,
    ];
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

/// How a call is to be handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// Answer as of before the last change.
    pub stale: bool,
    /// Let the next page be this page.
    pub looping: bool,
}

/// What becomes of an answer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The connection is cut before it.
    Cut,
    /// An error with this status and code arrives in its place.
    Error(u16, Option<String>),
    /// Something else arrives.
    Malformed,
    /// Its first half arrives; then the connection is cut.
    Truncated,
}

/// What shall become of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Handle it.
    Proceed {
        /// How.
        manner: Manner,
        /// What becomes of the answer.
        damage: Option<Damage>,
    },
    /// Throttled; seconds for Retry-After when one is to be sent.
    Throttle(Option<f64>),
    /// Refused with this status and code.
    Error(u16, Option<String>),
    /// Refused, since the credential has ended.
    Expired,
    /// Never answered.
    Hang,
}

impl Verdict {
    const fn handled(manner: Manner, damage: Option<Damage>) -> Self {
        Self::Proceed { manner, damage }
    }
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

    /// The rules, and how often each has struck.
    #[must_use]
    pub fn struck(&self) -> Vec<(FaultRule, u64)> {
        lock(&self.0).0.iter().map(|a| (a.rule.clone(), a.struck)).collect()
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
            let as_usual = Manner::default();
            return match rule.kind {
                FaultKind::Throttle => Verdict::Throttle(rule.retry_after),
                FaultKind::Error => Verdict::Error(rule.status.unwrap_or(500), rule.code.clone()),
                FaultKind::Hang => Verdict::Hang,
                FaultKind::ExpiredCredential => Verdict::Expired,
                FaultKind::CutAfterEffect => Verdict::handled(as_usual, Some(Damage::Cut)),
                FaultKind::ErrorAfterEffect => {
                    let error = Damage::Error(rule.status.unwrap_or(500), rule.code.clone());
                    Verdict::handled(as_usual, Some(error))
                }
                FaultKind::Malformed => Verdict::handled(as_usual, Some(Damage::Malformed)),
                FaultKind::TruncatedPage => Verdict::handled(as_usual, Some(Damage::Truncated)),
                FaultKind::Stale => Verdict::handled(Manner { stale: true, looping: false }, None),
                FaultKind::LoopingNextLink => Verdict::handled(Manner { stale: false, looping: true }, None),
            };
        }
        Verdict::handled(Manner::default(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: FaultKind, operation: Option<&str>) -> FaultRule {
        FaultRule {
            service: "graph".into(),
            operation: operation.map(Into::into),
            nth: None,
            probability: None,
            kind,
            status: None,
            code: None,
            times: None,
            retry_after: None,
        }
    }

    #[test]
    fn every_kind_has_a_name_and_strikes_as_it_should() {
        let usual = Manner::default();
        for (name, verdict) in [
            ("throttle", Verdict::Throttle(None)),
            ("error", Verdict::Error(500, None)),
            ("hang", Verdict::Hang),
            ("cut-after-effect", Verdict::handled(usual, Some(Damage::Cut))),
            ("error-after-effect", Verdict::handled(usual, Some(Damage::Error(500, None)))),
            ("stale", Verdict::handled(Manner { stale: true, ..usual }, None)),
            ("malformed", Verdict::handled(usual, Some(Damage::Malformed))),
            ("truncated-page", Verdict::handled(usual, Some(Damage::Truncated))),
            ("looping-next-link", Verdict::handled(Manner { looping: true, ..usual }, None)),
            ("expired-credential", Verdict::Expired),
        ] {
            let kind: FaultKind = serde_json::from_value(name.into()).unwrap();
            assert!(FaultKind::ALL.contains(&kind), "{name}");
            let faults = Faults::new(1);
            faults.add(rule(kind, None));
            assert_eq!(faults.judge("graph", "GET /users"), verdict, "{name}");
            assert_eq!(faults.judge("graph", "GET /users"), Verdict::handled(usual, None), "once only");
        }
    }

    #[test]
    fn a_rule_counts_its_matches_and_says_how_often_it_struck() {
        let faults = Faults::new(1);
        faults.add(FaultRule { nth: Some(2), times: Some(2), ..rule(FaultKind::Hang, Some("GET /users")) });
        let struck: Vec<bool> =
            (0..4).map(|_| faults.judge("graph", "GET /users") == Verdict::Hang).collect();
        assert_eq!(struck, [false, true, true, false]);
        assert_ne!(faults.judge("graph", "GET /groups"), Verdict::Hang);
        assert_ne!(faults.judge("login", "GET /users"), Verdict::Hang);
        assert_eq!(faults.struck().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2]);
    }
}
