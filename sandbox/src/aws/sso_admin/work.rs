//! The asynchronous part: requests are queued per account and finished when their moment has come
//! (contract aws 1.4 to 1.8, 7.4).
//!
//! No task runs in the background: whatever is due is finished, in order, before the next call looks.

use jiff::Timestamp;

use super::super::dispatch::Cx;
use super::super::errors::ApiError;
use super::super::lag::Lagged;
use super::super::state::{Assignment, Center, PermissionSet, Provision, State};
use super::managed;
use super::policies::{Boundary, PolicyReference};
use super::policy_grammar;
use super::requests::{Kind, Request, Status, Step};
use crate::core::{Core, Span};

/// Managed policies per role, unless raised in the account (contract aws 1.8).
const POLICIES_PER_ROLE: usize = 10;

/// What the caller needs in the management account (contract aws 7.4).
const ROLE_ACTIONS: [&str; 11] = [
    "iam:GetRole",
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
    "iam:AttachRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePolicy",
    "iam:DeleteRolePolicy",
    "iam:ListRolePolicies",
    "iam:ListAttachedRolePolicies",
];

/// Accepts a request and queues one step per account. Answers its id.
pub(super) fn submit(
    cx: &mut Cx<'_>,
    kind: Kind,
    set: &str,
    account: Option<String>,
    principal: Option<(String, String)>,
) -> Result<String, ApiError> {
    let (at, core, caller) = (cx.at, cx.core, cx.caller.clone());
    let span = if kind == Kind::Provisioning { core.profile.provisioning } else { core.profile.assignment };
    let id = core.ids.uuid();
    let center = super::center_mut(cx.state)?;
    let accounts: Vec<String> = match &account {
        Some(account) => vec![account.clone()],
        None => center
            .provisions
            .iter()
            .filter(|((s, _), p)| s == set && p.truth().is_some())
            .map(|((_, a), _)| a.clone())
            .collect(),
    };
    let seq = center.next_seq;
    center.next_seq += 1;
    let status = if accounts.is_empty() { Status::Succeeded } else { Status::InProgress };
    let request = Request {
        kind,
        id: id.clone(),
        seq,
        status,
        created: at,
        set: set.to_owned(),
        account,
        principal,
        failure: None,
        caller,
        open: accounts.len(),
        finished: accounts.is_empty().then_some(at),
    };
    center.requests.insert(id.clone(), request);
    for account in accounts {
        enqueue(center, core, at, span, &id, set, account);
    }
    Ok(id)
}

/// One role of an account is updated at a time: the step starts when the account is free.
fn enqueue(
    center: &mut Center,
    core: &Core,
    at: Timestamp,
    span: Span,
    request: &str,
    set: &str,
    account: String,
) {
    let was_provisioned = center.provision(set, &account).is_some();
    let start = center.busy.get(&account).copied().filter(|b| *b > at).unwrap_or(at);
    let due = start.checked_add(core.ids.draw(span)).unwrap_or(start);
    center.busy.insert(account.clone(), due);
    let seq = center.next_seq;
    center.next_seq += 1;
    let step = Step { request: request.to_owned(), set: set.to_owned(), account, was_provisioned };
    center.pending.insert((due, seq), step);
}

/// Finishes everything that is due at `at`.
pub(crate) fn settle(state: &mut State, core: &Core, at: Timestamp) {
    loop {
        let Some(center) = &mut state.center else { return };
        let Some(entry) = center.pending.first_entry() else { break };
        let (due, _) = *entry.key();
        if due > at {
            break;
        }
        let step = entry.remove();
        let from = due.checked_add(core.ids.draw(core.profile.aws_lag)).unwrap_or(due);
        let suffix = core.ids.hex(16);
        let outcome = finish(state, &step, due, from, suffix);
        let stops = state.behaviours.provisioning_stops_at_failure && outcome.is_err();
        let Some(center) = &mut state.center else { return };
        if let Some(request) = center.requests.get_mut(&step.request) {
            request.open = request.open.saturating_sub(1);
            // Whether the others are still done is UNCONFIRMED (contract aws 1.5).
            if stops && request.kind == Kind::Provisioning {
                center.pending.retain(|_, other| other.request != step.request);
                request.open = 0;
            }
            if let Err(reason) = outcome {
                // One reason only, even when several accounts failed (contract aws 1.5).
                request.failure.get_or_insert(reason);
            }
            if request.open == 0 {
                request.status = if request.failure.is_some() { Status::Failed } else { Status::Succeeded };
                request.finished = Some(due);
            }
        }
    }
    if let Some(center) = &mut state.center {
        center.sweep(at);
    }
}

/// Carries out one step. Errors are the texts that become `FailureReason`.
fn finish(
    state: &mut State,
    step: &Step,
    due: Timestamp,
    from: Timestamp,
    suffix: String,
) -> Result<(), String> {
    let center = state.center.as_ref().ok_or("The instance was deleted")?;
    let request = center.requests.get(&step.request).ok_or("The request was lost")?.clone();
    let set = center.set(&step.set).ok_or("Received a 404 status error: PermissionSet not found.")?.clone();
    let present = center.provision(&step.set, &step.account).cloned();
    match request.kind {
        Kind::Deletion => delete(state, step, &request, &set, due, from),
        Kind::Creation => {
            let key = key(step, &request);
            check_principal(center, &key)?;
            check_account(state, &step.account)?;
            check_rights(state, &request, &set, &step.account)?;
            // The set reaches the account with its first assignment; later ones leave the role as it is, so
            // an account that is out of date stays so until it is provisioned (contract aws 1.5).
            if present.is_none() {
                check_policies(state, &set, &step.account)?;
            }
            let Some(center) = &mut state.center else { return Ok(()) };
            if present.is_none() {
                place(center, &set, &step.account, suffix, due, from);
            }
            center
                .assignments
                .entry(key)
                .and_modify(|a| {
                    if a.truth().is_none() {
                        a.set(Some(()), due, from);
                    }
                })
                .or_insert_with(|| Lagged::created((), from));
            Ok(())
        }
        Kind::Provisioning => {
            // A race with the removal of the last assignment (contract aws 1.5).
            if step.was_provisioned && present.is_none() {
                return Err(format!(
                    "Received a 404 status error: Assignment not found for account {} and permission set {}.",
                    step.account, set.name
                ));
            }
            check_account(state, &step.account)?;
            check_rights(state, &request, &set, &step.account)?;
            check_policies(state, &set, &step.account)?;
            if let Some(center) = &mut state.center {
                let suffix = present.map_or(suffix, |p| p.suffix);
                place(center, &set, &step.account, suffix, due, from);
            }
            Ok(())
        }
    }
}

fn key(step: &Step, request: &Request) -> Assignment {
    let (principal_type, principal_id) = request.principal.clone().unwrap_or_default();
    Assignment { set: step.set.clone(), account: step.account.clone(), principal_type, principal_id }
}

fn place(
    center: &mut Center,
    set: &PermissionSet,
    account: &str,
    suffix: String,
    due: Timestamp,
    from: Timestamp,
) {
    let slot = center.provisions.entry((set.arn.clone(), account.to_owned()));
    let created = due;
    let provision = Provision { suffix, version: set.version, content: set.content.clone(), created };
    match slot {
        std::collections::btree_map::Entry::Occupied(mut slot) => {
            let created = slot.get().truth().map_or(created, |p| p.created);
            slot.get_mut().set(Some(Provision { created, ..provision }), due, from);
        }
        std::collections::btree_map::Entry::Vacant(slot) => {
            slot.insert(Lagged::created(provision, from));
        }
    }
}

fn delete(
    state: &mut State,
    step: &Step,
    request: &Request,
    set: &PermissionSet,
    due: Timestamp,
    from: Timestamp,
) -> Result<(), String> {
    check_rights(state, request, set, &step.account)?;
    let Some(center) = &mut state.center else { return Ok(()) };
    let key = key(step, request);
    match center.assignments.get_mut(&key) {
        Some(found) if found.truth().is_some() => found.set(None, due, from),
        _ => return Err("Received a 404 status error: Assignment not found.".into()),
    }
    // The last assignment of a pair takes the role with it (contract aws 0.1, fact 9).
    if !center.assignments_of(&step.set).any(|a| a.account == step.account)
        && let Some(provision) = center.provisions.get_mut(&(step.set.clone(), step.account.clone()))
    {
        provision.set(None, due, from);
    }
    Ok(())
}

fn check_principal(center: &Center, key: &Assignment) -> Result<(), String> {
    let known = if key.principal_type == "GROUP" {
        center.store.group(&key.principal_id).is_some()
    } else {
        center.store.user(&key.principal_id).is_some()
    };
    if known {
        Ok(())
    } else {
        Err(format!("Received a 404 status error: {} not found: {}", key.principal_type, key.principal_id))
    }
}

fn check_account(state: &State, account: &str) -> Result<(), String> {
    match state.organization.account(account).map(|a| a.state.as_str()) {
        Some("ACTIVE") => Ok(()),
        Some(other) => Err(format!("Received a 403 status error: Account {account} is {other}.")),
        None => Err(format!("Received a 404 status error: Account {account} not found.")),
    }
}

/// In the management account AWS acts with the caller's own rights (contract aws 7.4).
fn check_rights(state: &State, request: &Request, set: &PermissionSet, account: &str) -> Result<(), String> {
    if account != state.organization.management_account_id {
        return Ok(());
    }
    let caller = &request.caller;
    let denied = |action: &str, resource: String| {
        Err(format!(
            "Received a 403 status error: User: {} is not authorized to perform: {action} on resource: {resource}",
            caller.arn
        ))
    };
    if !caller.allows("iam:GetSAMLProvider") {
        let provider = format!("arn:aws:iam::{account}:saml-provider/AWSSSO_*_DO_NOT_DELETE");
        return denied("iam:GetSAMLProvider", provider);
    }
    for action in ["iam:ListRoles", "iam:ListPolicies"].into_iter().chain(ROLE_ACTIONS) {
        if !caller.allows(action) {
            // Some denials name the role without its path (contract aws 7.4).
            return denied(action, format!("role AWSReservedSSO_{}_*", set.name));
        }
    }
    Ok(())
}

/// Customer managed policies and a customer managed boundary must exist, same name and path, in the target
/// account (contract aws 1.4), and the role must not have too many policies there (1.8). Here too fails what the calls
/// let pass that edited the set (1.3; the texts are IAM's).
fn check_policies(state: &State, set: &PermissionSet, account: &str) -> Result<(), String> {
    let exists = |reference: &PolicyReference| {
        state.iam.get(account).is_some_and(|iam| {
            let path = |p: &crate::world::CustomerPolicy| p.path.clone().unwrap_or_else(|| "/".into());
            iam.policies.iter().any(|p| p.name == reference.name && path(p) == reference.path)
        })
    };
    let content = &set.content;
    let (boundary, managed_boundary) = match &content.boundary {
        Some(Boundary::Customer(reference)) => (Some(reference), None),
        Some(Boundary::Managed(arn)) => (None, Some(arn)),
        None => (None, None),
    };
    if let Some(arn) = content.managed.iter().chain(managed_boundary).find(|p| !managed::exists(state, p)) {
        return Err(format!(
            "Received a 404 status error: Policy {arn} does not exist or is not attachable."
        ));
    }
    if let Some(why) = content.inline.as_deref().and_then(policy_grammar::refusal) {
        return Err(format!("Received a 400 status error: {why}"));
    }
    if let Some(missing) = content.customer.iter().chain(boundary).find(|r| !exists(r)) {
        return Err(format!(
            "Received a 404 status error: Policy arn:aws:iam::{account}:policy{}{} does not exist or is not attachable.",
            missing.path, missing.name
        ));
    }
    if content.managed.len() + content.customer.len() > POLICIES_PER_ROLE {
        return Err(format!(
            "Received a 409 status error: Cannot exceed quota for PoliciesPerRole: {POLICIES_PER_ROLE}"
        ));
    }
    Ok(())
}
