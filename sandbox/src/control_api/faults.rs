use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Problem, Shared, parse};
use crate::core::{FaultKind, FaultRule, Faults};

/// As in the counters; the control API itself has no faults.
const SERVICES: [&str; 8] =
    ["sso-admin", "identitystore", "organizations", "iam", "sts", "scim", "graph", "login"];

#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    Many(Vec<serde_json::Value>),
    One(serde_json::Value),
}

/// Services whose answers come in pages that name the next one.
const PAGING: [&str; 4] = ["sso-admin", "identitystore", "organizations", "graph"];

/// A rule with what came of it.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    rule: FaultRule,
    /// How often it has struck.
    struck: u64,
}

fn shown(faults: &Faults) -> Json<Vec<Shown>> {
    Json(faults.struck().into_iter().map(|(rule, struck)| Shown { rule, struck }).collect())
}

pub(super) async fn list(State(s): Shared) -> Json<Vec<Shown>> {
    shown(&s.core.faults)
}

/// Adds one rule or a list of them: all or none.
pub(super) async fn add(State(s): Shared, body: Bytes) -> Result<(StatusCode, Json<Vec<Shown>>), Problem> {
    // In two steps, because an untagged enum would say only that nothing fits.
    let values = match parse(&body)? {
        Rules::Many(many) => many,
        Rules::One(one) => vec![one],
    };
    let bad = |message: String| Problem(StatusCode::BAD_REQUEST, message);
    let rules: Vec<FaultRule> = values
        .into_iter()
        .map(|value| serde_json::from_value(value).map_err(|error| bad(format!("the rule: {error}"))))
        .collect::<Result<_, _>>()?;
    if let Some(problem) = rules.iter().find_map(problem) {
        return Err(bad(problem));
    }
    for rule in rules {
        s.core.faults.add(rule);
    }
    Ok((StatusCode::CREATED, shown(&s.core.faults)))
}

pub(super) async fn clear(State(s): Shared) -> StatusCode {
    s.core.faults.clear();
    StatusCode::NO_CONTENT
}

fn problem(rule: &FaultRule) -> Option<String> {
    if !SERVICES.contains(&rule.service.as_str()) {
        return Some(format!("service {:?} is none of {}", rule.service, SERVICES.join(", ")));
    }
    if rule.nth.is_some() && rule.probability.is_some() {
        return Some("a rule has nth or probability, not both".into());
    }
    if rule.nth == Some(0) {
        return Some("nth counts from 1".into());
    }
    if rule.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
        return Some("probability is between 0 and 1".into());
    }
    match (rule.kind, rule.status) {
        (FaultKind::Error | FaultKind::ErrorAfterEffect, Some(status)) if !(400..=599).contains(&status) => {
            Some("an error's status is between 400 and 599".into())
        }
        (kind, Some(_))
            if !matches!(kind, FaultKind::Error | FaultKind::ErrorAfterEffect | FaultKind::Throttle) =>
        {
            Some("only errors and throttle have a status".into())
        }
        (FaultKind::LoopingNextLink, _) if !PAGING.contains(&rule.service.as_str()) => {
            Some(format!("{} has no pages with a next link: {} have", rule.service, PAGING.join(", ")))
        }
        _ => None,
    }
}
