//! Permission sets themselves (contract aws 1.2, 1.3, 1.7).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Span};
use serde_json::{Map, Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::{ApiError, epoch};
use super::super::lag::Lagged;
use super::super::paging::page;
use super::super::state::{Content, PermissionSet};
use super::super::validate::{DESCRIPTION, DURATION, Input, RELAY_STATE, SET_NAME};
use super::instances::with_token;
use super::{
    center, center_mut, edit_set, gate, instance_arn, may_edit, no_set, paging, seen_set, set_arn, tags,
};

/// Permission sets per instance (contract aws 1.8).
const MAX_SETS: usize = 3500;

pub(super) const OPERATIONS: Table<Handler> = &[
    ("CreatePermissionSet", create),
    ("DescribePermissionSet", describe),
    ("UpdatePermissionSet", update),
    ("DeletePermissionSet", delete),
    ("ListPermissionSets", list),
];

fn render(cx: &Cx<'_>, set: &PermissionSet) -> Value {
    let mut out = Map::new();
    out.insert("Name".into(), set.name.clone().into());
    out.insert("PermissionSetArn".into(), set.arn.clone().into());
    if let Some(description) = &set.content.description {
        out.insert("Description".into(), description.clone().into());
    }
    out.insert("CreatedDate".into(), epoch(set.created));
    let duration = &set.content.session_duration;
    let shown =
        if cx.state.behaviours.durations_normalised { normalised(duration) } else { duration.clone() };
    out.insert("SessionDuration".into(), shown.into());
    if let Some(relay_state) = &set.content.relay_state {
        out.insert("RelayState".into(), relay_state.clone().into());
    }
    json!({"PermissionSet": out})
}

fn seconds(duration: &str) -> Option<i64> {
    let span: Span = duration.parse().ok()?;
    let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Some(exact.as_secs())
}

/// `PT60M` as `PT1H`.
fn normalised(duration: &str) -> String {
    let Some(seconds) = seconds(duration) else { return duration.to_owned() };
    let part = |n: i64, unit: char| if n == 0 { String::new() } else { format!("{n}{unit}") };
    format!("PT{}{}{}", part(seconds / 3600, 'H'), part(seconds / 60 % 60, 'M'), part(seconds % 60, 'S'))
}

/// One to twelve hours (contract aws 1.2).
fn check_duration(duration: &str) -> Result<(), ApiError> {
    let (min, max) = (SignedDuration::from_hours(1).as_secs(), SignedDuration::from_hours(12).as_secs());
    if seconds(duration).is_some_and(|s| (min..=max).contains(&s)) {
        return Ok(());
    }
    Err(ApiError::validation(format!("Session duration {duration} must be between 1 hour and 12 hours")))
}

fn create(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let name = input.required("Name", &SET_NAME);
    cx.target = format!("permission-set {name}");
    let description = input.text("Description", &DESCRIPTION);
    let instance = instance_arn(input);
    let duration = input.text("SessionDuration", &DURATION);
    let relay_state = input.text("RelayState", &RELAY_STATE);
    let tags = tags::read(input, "Tags")?.unwrap_or_default();
    input.check()?;
    let session_duration = duration.unwrap_or_else(|| "PT1H".into());
    check_duration(&session_duration)?;
    gate(cx, &instance)?;
    let tags: BTreeMap<_, _> = tags::merge(BTreeMap::new(), tags)?;
    let (at, from) = (cx.at, cx.visible());
    let id = format!("ps-{}", cx.core.ids.hex(16));
    let center = center_mut(cx.state)?;
    if center.set_by_name(&name).is_some() {
        return Err(ApiError::conflict(format!("PermissionSet with name {name} already exists.")));
    }
    if center.sets.values().filter(|s| s.truth().is_some()).count() >= MAX_SETS {
        return Err(ApiError::quota(format!(
            "You have exceeded AWS SSO limits. Cannot create PermissionSet more than {MAX_SETS}"
        )));
    }
    let set = PermissionSet {
        arn: format!("arn:aws:sso:::permissionSet/{}/{id}", center.instance_id),
        name,
        created: at,
        tags,
        content: Content { description, session_duration, relay_state, ..Content::default() },
        version: 0,
    };
    center.sets.insert(set.arn.clone(), Lagged::created(set.clone(), from));
    Ok(render(cx, &set))
}

fn describe(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    input.check()?;
    gate(cx, &instance)?;
    Ok(render(cx, seen_set(cx, &arn)?))
}

/// Close to a PUT of the optional fields: a RelayState that is left out is erased (contract aws 1.2, 1.3).
/// Description and session duration stay as they are when left out; that the real service resets them is
/// not known.
fn update(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let description = input.text("Description", &DESCRIPTION);
    let duration = input.text("SessionDuration", &DURATION);
    let relay_state = input.text("RelayState", &RELAY_STATE);
    input.check()?;
    if let Some(duration) = &duration {
        check_duration(duration)?;
    }
    gate(cx, &instance)?;
    let description_counts = cx.state.behaviours.description_makes_stale;
    edit_set(cx, &arn, |set| {
        let before = set.content.clone();
        set.content.description = description.or_else(|| before.description.clone());
        set.content.session_duration = duration.unwrap_or_else(|| before.session_duration.clone());
        set.content.relay_state = relay_state;
        let settings = set.content.session_duration != before.session_duration
            || set.content.relay_state != before.relay_state;
        Ok(settings || (description_counts && set.content.description != before.description))
    })?;
    Ok(json!({}))
}

fn delete(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    input.check()?;
    gate(cx, &instance)?;
    let (at, from) = (cx.at, cx.visible());
    let name = center(cx.state)?.set(&arn).ok_or_else(|| no_set(&arn))?.name.clone();
    cx.target = format!("permission-set {name}");
    may_edit(cx, &arn)?;
    let center = center_mut(cx.state)?;
    let provisioned = center.provisions.iter().any(|((s, _), p)| *s == arn && p.truth().is_some());
    let under_way = center.pending.values().any(|s| s.set == arn);
    if provisioned || under_way || center.assignments_of(&arn).next().is_some() {
        return Err(ApiError::conflict(
            "Could not delete because PermissionSet has ApplicationProfile associated with it",
        ));
    }
    if let Some(slot) = center.sets.get_mut(&arn) {
        slot.set(None, at, from);
    }
    Ok(json!({}))
}

fn list(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let instance = instance_arn(input);
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    let at = cx.at;
    let found = center(cx.state)?
        .sets
        .iter()
        .filter(|(_, s)| s.seen(at).is_some())
        .map(|(arn, _)| (arn.clone(), arn));
    let (items, next) = page("ListPermissionSets", found, max, token.as_deref())?;
    Ok(with_token(json!({"PermissionSets": items}), next))
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn durations_normalise_to_hours_first() {
        assert_eq!(normalised("PT60M"), "PT1H");
        assert_eq!(normalised("PT3600S"), "PT1H");
        assert_eq!(normalised("PT90M"), "PT1H30M");
    }
}
