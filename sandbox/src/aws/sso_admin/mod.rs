//! sso-admin: permission sets and account assignments (contract aws 1).

mod assignments;
mod instances;
mod managed;
mod permission_sets;
mod policies;
mod policy_grammar;
mod provisioning;
mod requests;
mod tags;
mod work;

pub(crate) use policies::{Boundary, PolicyReference};
pub(crate) use requests::{Kind, Request, Step};
pub(crate) use work::settle;

use super::dispatch::{Cx, Handler, Table};
use super::errors::ApiError;
use super::lag::Lagged;
use super::paging::BadToken;
use super::state::{Center, PermissionSet, State};
use super::validate::{INSTANCE_ARN, Input, SET_ARN, TOKEN};

/// The operations that this sandbox has.
pub(super) const TABLES: &[Table<Handler>] = &[
    instances::OPERATIONS,
    permission_sets::OPERATIONS,
    policies::OPERATIONS,
    provisioning::OPERATIONS,
    assignments::OPERATIONS,
    tags::OPERATIONS,
];

/// Whether an operation edits the permission set it names.
pub(super) fn edits_set(operation: &str) -> bool {
    matches!(operation, "UpdatePermissionSet" | "DeletePermissionSet" | "ProvisionPermissionSet")
        || (["Attach", "Detach", "Put", "Delete"].iter().any(|v| operation.starts_with(v))
            && (operation.ends_with("PermissionSet")))
}

const BAD_TOKEN: &str = "The NextToken is not valid for this request.";

impl From<BadToken> for ApiError {
    /// No exception of its own (contract aws 14).
    fn from(_: BadToken) -> Self {
        Self::validation(BAD_TOKEN)
    }
}

/// `InstanceArn`, required nearly everywhere.
fn instance_arn(input: &mut Input<'_>) -> String {
    input.required("InstanceArn", &INSTANCE_ARN)
}

/// `PermissionSetArn`, required.
fn set_arn(input: &mut Input<'_>) -> String {
    input.required("PermissionSetArn", &SET_ARN)
}

/// `MaxResults` and `NextToken`.
fn paging(input: &mut Input<'_>) -> (usize, Option<String>) {
    (input.max_results(100), input.text("NextToken", &TOKEN))
}

fn no_instance(arn: &str) -> ApiError {
    ApiError::not_found(format!("The instance {arn} does not exist in this Region."))
}

/// Refuses calls for another instance, from another Region, or from an account without any say.
///
/// Everything but the discovery of instances works only in the primary Region (contract aws 1.1, 3.5) and
/// only for the management account and the delegated administrator (1.10).
fn gate(cx: &Cx<'_>, arn: &str) -> Result<(), ApiError> {
    let known = cx.state.center.as_ref().is_some_and(|c| c.instance_arn() == arn);
    // Which of the two is UNCONFIRMED (contract aws 1.1).
    if known && cx.region != cx.state.region && cx.state.behaviours.wrong_region_is_denied {
        return Err(ApiError::denied(format!(
            "User: {} is not authorized to access this resource",
            cx.caller.arn
        )));
    }
    if !known || cx.region != cx.state.region {
        return Err(no_instance(arn));
    }
    if !cx.state.organization.administers(&cx.caller.account_id) {
        return Err(ApiError::denied(format!(
            "User: {} is not authorized to access this resource",
            cx.caller.arn
        )));
    }
    Ok(())
}

/// The instance, after `gate`.
fn center(state: &State) -> Result<&Center, ApiError> {
    state.center.as_ref().ok_or_else(|| ApiError::not_found("The instance does not exist."))
}

fn center_mut(state: &mut State) -> Result<&mut Center, ApiError> {
    state.center.as_mut().ok_or_else(|| ApiError::not_found("The instance does not exist."))
}

fn no_set(arn: &str) -> ApiError {
    ApiError::not_found(format!(
        "Could not find PermissionSet with id {}",
        arn.rsplit('/').next().unwrap_or(arn)
    ))
}

/// A permission set as reads show it.
fn seen_set<'a>(cx: &'a Cx<'_>, arn: &str) -> Result<&'a PermissionSet, ApiError> {
    center(cx.state)?.sets.get(arn).and_then(|s| s.seen(cx.at)).ok_or_else(|| no_set(arn))
}

/// Refuses a delegated administrator who touches a set that is provisioned in the management account
/// (contract aws 1.10).
fn may_edit(cx: &Cx<'_>, arn: &str) -> Result<(), ApiError> {
    let management = &cx.state.organization.management_account_id;
    let center = center(cx.state)?;
    let there = center.provision(arn, management).is_some()
        || center.pending.values().any(|s| s.account == *management && s.set == arn);
    if there && cx.caller.account_id != *management {
        return Err(management_only(cx));
    }
    Ok(())
}

/// The denial that a delegated administrator gets (contract aws 1.10).
fn management_only(cx: &Cx<'_>) -> ApiError {
    ApiError::denied(format!(
        "User: {} is not authorized to perform this action: it can be done only with the privileges of the management account",
        cx.caller.arn
    ))
}

/// Edits a permission set: `edit` works on a copy and says whether accounts have to be provisioned anew.
fn edit_set(
    cx: &mut Cx<'_>,
    arn: &str,
    edit: impl FnOnce(&mut PermissionSet) -> Result<bool, ApiError>,
) -> Result<(), ApiError> {
    let (at, from) = (cx.at, cx.visible());
    let current = center(cx.state)?.set(arn).ok_or_else(|| no_set(arn))?.clone();
    cx.target = format!("permission-set {}", current.name);
    may_edit(cx, arn)?;
    let mut next = current;
    if edit(&mut next)? {
        next.version += 1;
    }
    if let Some(slot) = center_mut(cx.state)?.sets.get_mut(arn) {
        Lagged::set(slot, Some(next), at, from);
    }
    Ok(())
}
