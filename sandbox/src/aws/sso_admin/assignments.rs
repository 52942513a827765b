//! Account assignments (contract aws 1.6).

use serde_json::{Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::state::Assignment;
use super::super::validate::{ACCOUNT_ID, Input, PRINCIPAL_ID, REQUEST_ID};
use super::instances::with_token;
use super::requests::{Kind, Status};
use super::work::submit;
use super::{center, gate, instance_arn, management_only, no_set, paging, seen_set, set_arn};

/// Outstanding asynchronous creations (contract aws 1.9).
const MAX_CREATIONS: usize = 15;
/// Sets provisioned in one account (contract aws 1.8).
const MAX_PROVISIONED: usize = 500;

pub(super) const OPERATIONS: Table<Handler> = &[
    ("CreateAccountAssignment", create),
    ("DeleteAccountAssignment", delete),
    ("DescribeAccountAssignmentCreationStatus", describe_creation),
    ("DescribeAccountAssignmentDeletionStatus", describe_deletion),
    ("ListAccountAssignmentCreationStatus", list_creations),
    ("ListAccountAssignmentDeletionStatus", list_deletions),
    ("ListAccountAssignments", list),
    ("ListAccountAssignmentsForPrincipal", list_for_principal),
];

/// Reads and gates the six-part key.
fn key(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Assignment, ApiError> {
    let instance = instance_arn(input);
    let account = input.required("TargetId", &ACCOUNT_ID);
    input.required_choice("TargetType", &["AWS_ACCOUNT"]);
    let set = set_arn(input);
    let principal_type = input.required_choice("PrincipalType", &["USER", "GROUP"]);
    let principal_id = input.required("PrincipalId", &PRINCIPAL_ID);
    let tail = set.rsplit_once(":permissionSet/").map_or(set.as_str(), |(_, t)| t);
    cx.target = format!("assignment {tail}/{account}/{principal_type}/{principal_id}");
    input.check()?;
    gate(cx, &instance)?;
    if center(cx.state)?.set(&set).is_none() {
        return Err(no_set(&set));
    }
    if cx.state.organization.account(&account).is_none() {
        return Err(ApiError::not_found(format!("Account {account} is not part of the organization")));
    }
    if account == cx.state.organization.management_account_id && cx.caller.account_id != account {
        return Err(management_only(cx));
    }
    Ok(Assignment { set, account, principal_type, principal_id })
}

/// Whether a request for the same tuple is still under way.
fn under_way(cx: &Cx<'_>, key: &Assignment, kind: Kind) -> Result<bool, ApiError> {
    let center = center(cx.state)?;
    Ok(center.pending.values().filter(|s| s.set == key.set && s.account == key.account).any(|s| {
        center.requests.get(&s.request).is_some_and(|r| {
            r.kind == kind
                && r.principal
                    .as_ref()
                    .is_some_and(|(t, id)| *t == key.principal_type && *id == key.principal_id)
        })
    }))
}

fn racing() -> ApiError {
    ApiError::conflict("There is a conflicting operation in process.")
}

fn create(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let key = key(cx, input)?;
    // A grant that races with a revoke of the same tuple (contract aws 1.6).
    if under_way(cx, &key, Kind::Deletion)? {
        return Err(racing());
    }
    let center = center(cx.state)?;
    if center.outstanding(Kind::Creation) >= MAX_CREATIONS {
        let code = cx.state.behaviours.sixteenth_creation.clone();
        return Err(ApiError::new(code, "There are too many requests processing. Please try again later."));
    }
    if center.provision(&key.set, &key.account).is_none()
        && center.provisioned_in(&key.account) >= MAX_PROVISIONED
    {
        return Err(ApiError::quota(format!(
            "You have exceeded AWS SSO limits. Account {} cannot have more than {MAX_PROVISIONED} provisioned permission sets",
            key.account
        )));
    }
    // A tuple that exists already is accepted all the same (contract aws 1.6).
    let id = submit(
        cx,
        Kind::Creation,
        &key.set,
        Some(key.account.clone()),
        Some((key.principal_type, key.principal_id)),
    )?;
    answer(cx, &id, "AccountAssignmentCreationStatus")
}

fn delete(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let key = key(cx, input)?;
    if under_way(cx, &key, Kind::Creation)? || under_way(cx, &key, Kind::Deletion)? {
        return Err(racing());
    }
    if !center(cx.state)?.has_assignment(&key) && !cx.state.behaviours.missing_deletion_fails_later {
        return Err(ApiError::not_found("Assignment not found"));
    }
    let id = submit(
        cx,
        Kind::Deletion,
        &key.set,
        Some(key.account.clone()),
        Some((key.principal_type, key.principal_id)),
    )?;
    answer(cx, &id, "AccountAssignmentDeletionStatus")
}

pub(super) fn answer(cx: &Cx<'_>, id: &str, member: &str) -> Result<Value, ApiError> {
    let request = center(cx.state)?.requests.get(id).map(super::Request::describe);
    Ok(json!({ member: request.unwrap_or_default() }))
}

/// The state of one request; the only place that tells a failure's reason.
pub(super) fn describe(
    cx: &Cx<'_>,
    input: &mut Input<'_>,
    kind: Kind,
    id_member: &str,
    member: &str,
) -> Result<Value, ApiError> {
    let instance = instance_arn(input);
    let id = input.required(id_member, &REQUEST_ID);
    input.check()?;
    gate(cx, &instance)?;
    let kept = cx.state.behaviours.request_retention_seconds;
    match center(cx.state)?.requests.get(&id).filter(|r| r.kind == kind && r.is_kept(cx.at, kept)) {
        Some(request) => Ok(json!({ member: request.describe() })),
        None => Err(ApiError::not_found(format!("Request {id} not found"))),
    }
}

/// All requests of a kind, newest first; each only with its three short members.
pub(super) fn list_status(
    cx: &Cx<'_>,
    input: &mut Input<'_>,
    kind: Kind,
    member: &str,
) -> Result<Value, ApiError> {
    let instance = instance_arn(input);
    let status = input.structure("Filter", |f| f.choice("Status", &Status::ALL)).flatten();
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    let kept = cx.state.behaviours.request_retention_seconds;
    let mut found: Vec<_> = center(cx.state)?
        .requests
        .values()
        .filter(|r| r.kind == kind && r.is_kept(cx.at, kept))
        .filter(|r| status.as_deref().is_none_or(|s| s == r.status.as_str()))
        .map(|r| (format!("{:020}", u64::MAX - r.seq), r))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let scope = format!("{member} {}", status.unwrap_or_default());
    let (items, next) = page(&scope, found.into_iter(), max, token.as_deref())?;
    let items: Vec<Value> = items.into_iter().map(super::Request::summary).collect();
    Ok(with_token(json!({ member: items }), next))
}

fn describe_creation(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = "AccountAssignmentCreationRequestId";
    describe(cx, input, Kind::Creation, id, "AccountAssignmentCreationStatus")
}

fn describe_deletion(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = "AccountAssignmentDeletionRequestId";
    describe(cx, input, Kind::Deletion, id, "AccountAssignmentDeletionStatus")
}

fn list_creations(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    list_status(cx, input, Kind::Creation, "AccountAssignmentsCreationStatus")
}

fn list_deletions(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    list_status(cx, input, Kind::Deletion, "AccountAssignmentsDeletionStatus")
}

fn render(a: &Assignment) -> Value {
    json!({
        "AccountId": a.account, "PermissionSetArn": a.set,
        "PrincipalType": a.principal_type, "PrincipalId": a.principal_id,
    })
}

fn list(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let instance = instance_arn(input);
    let account = input.required("AccountId", &ACCOUNT_ID);
    let set = set_arn(input);
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    seen_set(cx, &set)?;
    let found = center(cx.state)?
        .seen_pair(&set, &account, cx.at)
        .map(|a| (format!("{} {}", a.principal_type, a.principal_id), render(a)));
    let (items, next) =
        page(&format!("ListAccountAssignments {set} {account}"), found, max, token.as_deref())?;
    Ok(with_token(json!({"AccountAssignments": items}), next))
}

fn list_for_principal(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let instance = instance_arn(input);
    let id = input.required("PrincipalId", &PRINCIPAL_ID);
    let kind = input.required_choice("PrincipalType", &["USER", "GROUP"]);
    let account = input.structure("Filter", |f| f.text("AccountId", &ACCOUNT_ID)).flatten();
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    // UNCONFIRMED whether a delegated administrator may (contract aws 1.6).
    if cx.state.behaviours.by_principal_management_only
        && cx.caller.account_id != cx.state.organization.management_account_id
    {
        return Err(management_only(cx));
    }
    let at = cx.at;
    let center = center(cx.state)?;
    let mut found: Vec<_> = center
        .assignments
        .iter()
        .filter(|(a, seen)| {
            seen.seen(at).is_some()
                && account.as_ref().is_none_or(|wanted| *wanted == a.account)
                && a.principal_type == kind
                && a.principal_id == id
        })
        .map(|(a, _)| (format!("{} {} {} {}", a.account, a.set, a.principal_type, a.principal_id), render(a)))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    // Pages may be short while there is more (contract aws 1.6): one item less than asked for, when possible.
    let size = if max > 1 { max - 1 } else { max };
    let scope = format!("ListAccountAssignmentsForPrincipal {id} {}", account.unwrap_or_default());
    let (items, next) = page(&scope, found.into_iter(), size, token.as_deref())?;
    Ok(with_token(json!({"AccountAssignments": items}), next))
}
