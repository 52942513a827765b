//! Tags of the instance and of permission sets (contract aws 1.2, 1.3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::validate::{INSTANCE_ARN, Input, TAG_KEY, TAG_VALUE, TAGGABLE_ARN, TOKEN};
use super::instances::with_token;
use super::{center, center_mut, edit_set, gate, seen_set};

/// Tags per resource (contract aws 1.8); the request shape allows 75.
const MAX_TAGS: usize = 50;
/// Tags a page: the operation has no MaxResults. The service's own number is not known.
const PAGE: usize = 25;

pub(super) const OPERATIONS: Table<Handler> =
    &[("TagResource", tag), ("UntagResource", untag), ("ListTagsForResource", list)];

/// Reads a list of tags; None when absent.
pub(super) fn read(input: &mut Input<'_>, member: &str) -> Result<Option<Vec<(String, String)>>, ApiError> {
    Ok(input
        .structures(member, 0, 75, |tag| (tag.required("Key", &TAG_KEY), tag.required("Value", &TAG_VALUE))))
}

/// Adds tags; refuses reserved and duplicate keys and too many.
pub(super) fn merge(
    mut tags: BTreeMap<String, String>,
    more: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut seen = std::collections::BTreeSet::new();
    for (key, value) in more {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::validation(format!(
                "Tag key {key} is reserved: keys must not start with aws:"
            )));
        }
        if !seen.insert(key.clone()) {
            return Err(ApiError::validation(format!("Duplicate tag key {key}")));
        }
        tags.insert(key, value);
    }
    if tags.len() > MAX_TAGS {
        return Err(ApiError::quota(format!("Tags per resource exceed the limit of {MAX_TAGS}")));
    }
    Ok(tags)
}

/// The resource named, after the gate.
fn resource(cx: &Cx<'_>, input: &mut Input<'_>) -> Result<String, ApiError> {
    let instance = input.text("InstanceArn", &INSTANCE_ARN);
    let arn = input.required("ResourceArn", &TAGGABLE_ARN);
    input.check()?;
    let owner = center(cx.state)?.instance_arn();
    gate(cx, &instance.unwrap_or(owner))?;
    Ok(arn)
}

fn tag(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let tags = read(input, "Tags")?;
    if tags.is_none() {
        input.missing("Tags");
    }
    let arn = resource(cx, input)?;
    change(cx, &arn, |old| merge(old, tags.unwrap_or_default()))
}

fn untag(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let keys = input.texts("TagKeys", 1, 75, &TAG_KEY);
    if keys.is_none() {
        input.missing("TagKeys");
    }
    let keys = keys.unwrap_or_default();
    let arn = resource(cx, input)?;
    change(cx, &arn, |mut old| {
        old.retain(|k, _| !keys.contains(k));
        Ok(old)
    })
}

fn change(
    cx: &mut Cx<'_>,
    arn: &str,
    edit: impl FnOnce(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError>,
) -> Result<Value, ApiError> {
    if arn.contains(":::instance/") {
        cx.target = format!("instance {arn}");
        if center(cx.state)?.instance_arn() != arn {
            return Err(ApiError::not_found(format!("Could not find resource {arn}")));
        }
        let center = center_mut(cx.state)?;
        center.tags = edit(center.tags.clone())?;
    } else {
        // Tags are not copied to the roles (contract aws 1.4): nothing to provision.
        edit_set(cx, arn, |set| {
            set.tags = edit(std::mem::take(&mut set.tags))?;
            Ok(false)
        })?;
    }
    Ok(json!({}))
}

fn list(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let token = input.text("NextToken", &TOKEN);
    let arn = resource(cx, input)?;
    let tags = if arn.contains(":::instance/") {
        let center = center(cx.state)?;
        if center.instance_arn() != arn {
            return Err(ApiError::not_found(format!("Could not find resource {arn}")));
        }
        &center.tags
    } else {
        &seen_set(cx, &arn)?.tags
    };
    let all = tags.iter().map(|(k, v)| (k.clone(), json!({"Key": k, "Value": v})));
    let (items, next) = page(&format!("ListTagsForResource {arn}"), all, PAGE, token.as_deref())?;
    Ok(with_token(json!({"Tags": items}), next))
}
