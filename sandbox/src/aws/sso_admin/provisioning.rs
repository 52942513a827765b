//! Provisioning permission sets into accounts (contract aws 1.5).

use serde_json::{Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::validate::{ACCOUNT_ID, Input};
use super::assignments::{answer, describe, list_status};
use super::instances::with_token;
use super::requests::Kind;
use super::work::submit;
use super::{center, gate, instance_arn, management_only, may_edit, no_set, paging, seen_set, set_arn};

/// ProvisionPermissionSet calls at one time (contract aws 1.9).
const MAX_PROVISIONINGS: usize = 3;
/// Accounts that ALL_PROVISIONED_ACCOUNTS covers at most (contract aws 1.8).
const MAX_FAN_OUT: usize = 3500;
const LATEST: &str = "LATEST_PERMISSION_SET_PROVISIONED";
const NOT_LATEST: &str = "LATEST_PERMISSION_SET_NOT_PROVISIONED";

pub(super) const OPERATIONS: Table<Handler> = &[
    ("ProvisionPermissionSet", provision),
    ("DescribePermissionSetProvisioningStatus", describe_status),
    ("ListPermissionSetProvisioningStatus", list_statuses),
    ("ListAccountsForProvisionedPermissionSet", list_accounts),
    ("ListPermissionSetsProvisionedToAccount", list_sets),
];

fn provision(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, set) = (instance_arn(input), set_arn(input));
    let kind = input.required_choice("TargetType", &["AWS_ACCOUNT", "ALL_PROVISIONED_ACCOUNTS"]);
    let account = input.text("TargetId", &ACCOUNT_ID);
    input.check()?;
    match (kind.as_str(), &account) {
        ("AWS_ACCOUNT", None) => {
            return Err(ApiError::validation("TargetId is required when TargetType is AWS_ACCOUNT"));
        }
        ("ALL_PROVISIONED_ACCOUNTS", Some(_)) => {
            return Err(ApiError::validation(
                "TargetId must not be given when TargetType is ALL_PROVISIONED_ACCOUNTS",
            ));
        }
        _ => {}
    }
    gate(cx, &instance)?;
    let center = center(cx.state)?;
    let name = center.set(&set).ok_or_else(|| no_set(&set))?.name.clone();
    cx.target = format!("provisioning {name}/{}", account.as_deref().unwrap_or("*"));
    may_edit(cx, &set)?;
    let organization = &cx.state.organization;
    if let Some(account) = &account {
        if organization.account(account).is_none() {
            return Err(ApiError::not_found(format!("Account {account} is not part of the organization")));
        }
        if *account == organization.management_account_id && cx.caller.account_id != *account {
            return Err(management_only(cx));
        }
    }
    let center = super::center(cx.state)?;
    // Which code the real service gives to the fourth call is UNCONFIRMED (contract aws 14).
    if center.outstanding(Kind::Provisioning) >= MAX_PROVISIONINGS {
        let text = "There are too many requests processing. Please try again later.";
        return Err(ApiError::new(cx.state.behaviours.fourth_provisioning.clone(), text));
    }
    let overlaps = center.pending.values().any(|s| {
        s.set == set
            && account.as_ref().is_none_or(|a| *a == s.account)
            && center.requests.get(&s.request).is_some_and(|r| r.kind == Kind::Provisioning)
    });
    if overlaps {
        return Err(ApiError::conflict("There is a conflicting operation in process."));
    }
    if account.is_none()
        && center.provisions.iter().filter(|((s, _), p)| *s == set && p.truth().is_some()).count()
            > MAX_FAN_OUT
    {
        return Err(ApiError::validation(format!(
            "ALL_PROVISIONED_ACCOUNTS covers at most {MAX_FAN_OUT} accounts"
        )));
    }
    let id = submit(cx, Kind::Provisioning, &set, account, None)?;
    answer(cx, &id, "PermissionSetProvisioningStatus")
}

fn describe_status(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = "ProvisionPermissionSetRequestId";
    describe(cx, input, Kind::Provisioning, id, "PermissionSetProvisioningStatus")
}

fn list_statuses(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    list_status(cx, input, Kind::Provisioning, "PermissionSetsProvisioningStatus")
}

/// Pairs whose role is, or is not, of the set's present version; both kinds when the filter is left out.
fn matches_filter(filter: Option<&str>, up_to_date: bool) -> bool {
    match filter {
        Some(LATEST) => up_to_date,
        Some(_) => !up_to_date,
        None => true,
    }
}

fn list_accounts(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, set) = (instance_arn(input), set_arn(input));
    let filter = input.choice("ProvisioningStatus", &[LATEST, NOT_LATEST]);
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    let version = seen_set(cx, &set)?.version;
    let at = cx.at;
    let found = center(cx.state)?
        .provisions
        .range((set.clone(), String::new())..)
        .take_while(|((s, _), _)| *s == set)
        .filter(|(_, p)| p.seen(at).is_some_and(|p| matches_filter(filter.as_deref(), p.version >= version)))
        .map(|((_, account), _)| (account.clone(), account));
    let scope =
        format!("ListAccountsForProvisionedPermissionSet {set} {}", filter.as_deref().unwrap_or_default());
    let (items, next) = page(&scope, found, max, token.as_deref())?;
    Ok(with_token(json!({"AccountIds": items}), next))
}

fn list_sets(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let instance = instance_arn(input);
    let account = input.required("AccountId", &ACCOUNT_ID);
    let filter = input.choice("ProvisioningStatus", &[LATEST, NOT_LATEST]);
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    let at = cx.at;
    let center = center(cx.state)?;
    let found = center
        .provisions
        .iter()
        .filter(|((set, a), p)| {
            let version = center.sets.get(set).and_then(|s| s.seen(at)).map_or(0, |s| s.version);
            *a == account
                && p.seen(at).is_some_and(|p| matches_filter(filter.as_deref(), p.version >= version))
        })
        .map(|((set, _), _)| (set.clone(), set));
    let scope =
        format!("ListPermissionSetsProvisionedToAccount {account} {}", filter.as_deref().unwrap_or_default());
    let (items, next) = page(&scope, found, max, token.as_deref())?;
    Ok(with_token(json!({"PermissionSets": items}), next))
}
