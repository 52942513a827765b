//! identitystore (contract aws 2).

mod groups;
mod memberships;
mod store;
mod users;

pub(crate) use store::{ExternalId, Group, Stamp, Store, User};

use serde_json::{Map, Value, json};

use super::dispatch::{Cx, Handler, Table};
use super::errors::{ApiError, epoch};
use super::paging::page;
use super::state::{Center, State};
use super::validate::{ATTRIBUTE_PATH, EXTERNAL_ID, Input, RESOURCE_ID, SENSITIVE, STORE_ID, STORE_TOKEN};

/// The operations that this sandbox has.
pub(super) const TABLES: &[Table<Handler>] =
    &[OPERATIONS, groups::OPERATIONS, users::OPERATIONS, memberships::OPERATIONS];

const OPERATIONS: Table<Handler> =
    &[("DescribeIdentityStore", describe_store), ("ListIdentityStores", list_stores)];

/// ResourceNotFoundException with its extra members (contract aws 2.3).
fn not_found(cx: &Cx<'_>, kind: &str, id: &str) -> ApiError {
    let error = ApiError::not_found(format!("{kind} not found.")).with("ResourceType", kind);
    let error = if id.is_empty() { error } else { error.with("ResourceId", id) };
    error.with("RequestId", cx.request_id)
}

/// ConflictException for a second object of the same name.
fn duplicate(cx: &Cx<'_>, message: &str) -> ApiError {
    ApiError::conflict(message)
        .with("Reason", "UNIQUENESS_CONSTRAINT_VIOLATION")
        .with("RequestId", cx.request_id)
}

/// A revision that is not the present one.
fn outdated(cx: &Cx<'_>) -> ApiError {
    ApiError::conflict("The resource was modified concurrently.")
        .with("Reason", "CONCURRENT_MODIFICATION")
        .with("RequestId", cx.request_id)
}

/// Reads and checks `IdentityStoreId` (id or ARN), together with everything read before it.
fn gate(cx: &Cx<'_>, input: &mut Input<'_>) -> Result<(), ApiError> {
    let wanted = input.required("IdentityStoreId", &STORE_ID);
    input.check()?;
    let id = wanted.rsplit('/').next().unwrap_or(&wanted);
    let known = cx.state.center.as_ref().is_some_and(|c| c.store.id == id);
    if !known || cx.region != cx.state.region {
        return Err(not_found(cx, "IDENTITY_STORE", id));
    }
    if !cx.state.organization.administers(&cx.caller.account_id) {
        return Err(ApiError::denied(format!(
            "User: {} is not authorized to access this resource",
            cx.caller.arn
        )));
    }
    Ok(())
}

fn center(state: &State) -> Result<&Center, ApiError> {
    state.center.as_ref().ok_or_else(|| ApiError::not_found("IDENTITY_STORE not found."))
}

fn center_mut(state: &mut State) -> Result<&mut Center, ApiError> {
    state.center.as_mut().ok_or_else(|| ApiError::not_found("IDENTITY_STORE not found."))
}

fn paging(input: &mut Input<'_>) -> (usize, Option<String>) {
    (input.max_results(100), input.text("NextToken", &STORE_TOKEN))
}

/// An object's id: ARNs are accepted too.
fn resource(input: &mut Input<'_>, member: &str) -> String {
    let value = input.required(member, &RESOURCE_ID);
    value.rsplit('/').next().unwrap_or(&value).to_owned()
}

/// `MemberId{UserId}`.
fn member(input: &mut Input<'_>) -> String {
    input.required_structure("MemberId", |m| resource(m, "UserId")).unwrap_or_default()
}

fn arn(kind: &str, id: &str) -> String {
    format!("arn:aws:identitystore:::{kind}/{id}")
}

/// How an object is looked for by another identifier (contract aws 2.1).
enum Alternate {
    External(ExternalId),
    Unique(String, String),
}

fn alternate(input: &mut Input<'_>) -> Result<Option<Alternate>, ApiError> {
    let found = input.required_structure("AlternateIdentifier", |a| {
        let external = a.structure("ExternalId", |e| ExternalId {
            issuer: e.required("Issuer", &EXTERNAL_ID),
            id: e.required("Id", &EXTERNAL_ID),
        });
        let unique = a.structure("UniqueAttribute", |u| {
            let path = u.required("AttributePath", &ATTRIBUTE_PATH);
            let value = u.document("AttributeValue").and_then(Value::as_str).map(ToOwned::to_owned);
            if value.is_none() {
                u.missing("AttributeValue");
            }
            (path, value.unwrap_or_default())
        });
        (external, unique)
    });
    input.check()?;
    match found {
        Some((Some(external), None)) => Ok(Some(Alternate::External(external))),
        Some((None, Some((path, value)))) => Ok(Some(Alternate::Unique(path, value))),
        Some(_) => Err(ApiError::validation("Exactly one member of AlternateIdentifier must be set")),
        None => Ok(None),
    }
}

/// The deprecated `Filters`: at most one, by one attribute.
fn filter(input: &mut Input<'_>, only: &str) -> Result<Option<String>, ApiError> {
    let filters = input.structures("Filters", 0, 1, |f| {
        (f.required("AttributePath", &ATTRIBUTE_PATH), f.required("AttributeValue", &SENSITIVE))
    });
    input.check()?;
    match filters.and_then(|f| f.into_iter().next()) {
        Some((path, value)) if path.eq_ignore_ascii_case(only) => Ok(Some(value)),
        Some((path, _)) => {
            Err(ApiError::validation(format!("The attribute {path} is not supported in a filter")))
        }
        None => Ok(None),
    }
}

fn external_ids(out: &mut Map<String, Value>, external: Option<&ExternalId>) {
    // The list is absent rather than empty: its least length is one (contract aws 2.1).
    if let Some(external) = external {
        out.insert("ExternalIds".into(), json!([{"Issuer": external.issuer, "Id": external.id}]));
    }
}

fn stamps(out: &mut Map<String, Value>, stamp: &Stamp) {
    out.insert("CreatedAt".into(), epoch(stamp.created));
    out.insert("CreatedBy".into(), stamp.created_by.clone().into());
    out.insert("UpdatedAt".into(), epoch(stamp.updated));
    out.insert("UpdatedBy".into(), stamp.updated_by.clone().into());
}

fn describe_store(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    gate(cx, input)?;
    let center = center(cx.state)?;
    Ok(json!({
        "IdentityStoreId": center.store.id,
        "IdentityStoreArn": center.identity_store_arn(),
        "NetworkConfiguration": {"VpceAccessRequired": false},
    }))
}

fn list_stores(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    input.check()?;
    let here = cx.region == cx.state.region && cx.state.organization.administers(&cx.caller.account_id);
    let found = cx.state.center.iter().filter(|_| here).map(|c| {
        (
            c.store.id.clone(),
            json!({"IdentityStoreId": c.store.id, "IdentityStoreArn": c.identity_store_arn()}),
        )
    });
    let (items, next) = page("ListIdentityStores", found, max, token.as_deref())?;
    Ok(with_token(json!({"IdentityStores": items}), next))
}

fn with_token(mut value: Value, next: Option<String>) -> Value {
    if let (Some(map), Some(next)) = (value.as_object_mut(), next) {
        map.insert("NextToken".into(), next.into());
    }
    value
}
