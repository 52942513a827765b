//! organizations (contract aws 6).

mod model;
mod reads;

pub(crate) use model::{Org, STATES};
pub(super) use reads::OPERATIONS;

use super::dispatch::Cx;
use super::errors::ApiError;
use super::paging::BadToken;

/// All but DescribeOrganization: only the management account or a delegated administrator (contract aws 6).
fn gate(cx: &Cx<'_>) -> Result<(), ApiError> {
    if cx.state.organization.administers(&cx.caller.account_id) {
        return Ok(());
    }
    Err(ApiError::denied("You don't have permissions to access this resource."))
}

/// Organizations has a code of its own for a bad token (contract aws 14).
fn bad_token(_: BadToken) -> ApiError {
    invalid(
        "INVALID_NEXT_TOKEN",
        "You specified an invalid value for nextToken. You must get the value from the response to a previous call to the API.",
    )
}

/// Organizations answers its own InvalidInputException where other services answer a ValidationException.
fn invalid(reason: &str, message: &str) -> ApiError {
    ApiError::new("InvalidInputException", message).with("Reason", reason)
}
