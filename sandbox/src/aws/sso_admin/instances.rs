//! Discovery of the instance and its Regions (contract aws 1.1, 13.3), and reading ABAC (1.12).

use serde_json::{Map, Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::{ApiError, epoch};
use super::super::paging::page;
use super::super::state::Center;
use super::super::validate::{Input, REGION};
use super::{gate, instance_arn, paging};

pub(super) const OPERATIONS: Table<Handler> = &[
    ("ListInstances", list_instances),
    ("DescribeInstance", describe_instance),
    ("ListRegions", list_regions),
    ("DescribeRegion", describe_region),
    ("DescribeInstanceAccessControlAttributeConfiguration", describe_abac),
];

fn metadata(center: &Center, region: &str) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("InstanceArn".into(), center.instance_arn().into());
    out.insert("IdentityStoreId".into(), center.store.id.clone().into());
    out.insert("IdentityStoreArn".into(), center.identity_store_arn().into());
    out.insert("OwnerAccountId".into(), center.owner.clone().into());
    out.insert("CreatedDate".into(), epoch(center.created));
    out.insert("Status".into(), "ACTIVE".into());
    out.insert("PrimaryRegion".into(), region.into());
    out.insert("Regions".into(), json!([region_metadata(center, region)]));
    out
}

fn region_metadata(center: &Center, region: &str) -> Value {
    json!({"RegionName": region, "Status": "ACTIVE", "AddedDate": epoch(center.created), "IsPrimaryRegion": true})
}

fn list_instances(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let scope = input.choice("RegionScope", &["CURRENT_REGION", "ALL_REGIONS"]);
    let (max, token) = paging(input);
    input.check()?;
    // At most ten instances a page; an organization has one.
    let here = cx.region == cx.state.region || scope.as_deref() == Some("ALL_REGIONS");
    let found = cx.state.center.iter().filter(|_| here).map(|c| (c.instance_arn(), c));
    let (items, next) = page("ListInstances", found, max.min(10), token.as_deref())?;
    let instances: Vec<Value> = items.into_iter().map(|c| metadata(c, &cx.state.region).into()).collect();
    Ok(with_token(json!({"Instances": instances}), next.filter(|_| max == 1)))
}

fn describe_instance(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let arn = instance_arn(input);
    input.check()?;
    // The model knows no ResourceNotFoundException here; a deleted instance is denied too (contract aws 1.1).
    let center = cx
        .state
        .center
        .as_ref()
        .filter(|c| c.instance_arn() == arn && cx.region == cx.state.region)
        .ok_or_else(|| {
            ApiError::denied(format!(
                "User: {} is not authorized to perform: sso:DescribeInstance on resource: {arn}",
                cx.caller.arn
            ))
        })?;
    let mut out = metadata(center, &cx.state.region);
    out.insert(
        "EncryptionConfigurationDetails".into(),
        json!({"KeyType": "AWS_OWNED_KMS_KEY", "EncryptionStatus": "ENABLED"}),
    );
    out.insert("PermissionSetsEnabled".into(), true.into());
    Ok(out.into())
}

fn list_regions(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let arn = instance_arn(input);
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &arn).map_err(no_such_member)?;
    let found =
        cx.state.center.iter().map(|c| (cx.state.region.clone(), region_metadata(c, &cx.state.region)));
    let (items, next) = page("ListRegions", found, max, token.as_deref())?;
    Ok(with_token(json!({"Regions": items}), next))
}

/// ListRegions has no ResourceNotFoundException in its model.
fn no_such_member(error: ApiError) -> ApiError {
    if error.code == "ResourceNotFoundException" { ApiError::denied(error.message) } else { error }
}

fn describe_region(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let arn = instance_arn(input);
    let name = input.required("RegionName", &REGION);
    input.check()?;
    gate(cx, &arn)?;
    let center = super::center(cx.state)?;
    if name != cx.state.region {
        return Err(ApiError::not_found(format!("The Region {name} is not enabled for this instance.")));
    }
    Ok(region_metadata(center, &name))
}

/// Never created here: what a Describe answers then is UNCONFIRMED (contract aws 13.4), expected to be this.
fn describe_abac(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let arn = instance_arn(input);
    input.check()?;
    gate(cx, &arn)?;
    Err(ApiError::not_found("Attributes for access control are not configured for this instance."))
}

/// Adds `NextToken` when there is one.
pub(super) fn with_token(mut value: Value, next: Option<String>) -> Value {
    if let (Some(map), Some(next)) = (value.as_object_mut(), next) {
        map.insert("NextToken".into(), next.into());
    }
    value
}
