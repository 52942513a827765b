//! Groups (contract aws 2.1, 2.2).

use serde_json::{Map, Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::validate::{ATTRIBUTE_PATH, Input, REVISION, SENSITIVE};
use super::{
    Alternate, Group, Stamp, alternate, arn, center, center_mut, duplicate, external_ids, filter, gate,
    not_found, outdated, paging, resource, stamps, with_token,
};

/// Groups in a store (contract aws 1.8).
const MAX_GROUPS: usize = 100_000;

pub(super) const OPERATIONS: Table<Handler> = &[
    ("ListGroups", list),
    ("DescribeGroup", describe),
    ("GetGroupId", get_id),
    ("CreateGroup", create),
    ("UpdateGroup", update),
    ("DeleteGroup", delete),
];

fn render(store: &str, group: &Group) -> Value {
    let mut out = Map::new();
    out.insert("IdentityStoreId".into(), store.into());
    out.insert("GroupId".into(), group.id.clone().into());
    out.insert("GroupArn".into(), arn("group", &group.id).into());
    out.insert("Revision".into(), group.stamp.revision.to_string().into());
    out.insert("DisplayName".into(), group.display_name.clone().into());
    external_ids(&mut out, group.external.as_ref());
    if let Some(description) = &group.description {
        out.insert("Description".into(), description.clone().into());
    }
    stamps(&mut out, &group.stamp);
    Value::Object(out)
}

fn list(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let name = filter(input, "DisplayName")?;
    gate(cx, input)?;
    let at = cx.at;
    let store = &center(cx.state)?.store;
    let found = store
        .groups
        .values()
        .filter_map(|g| g.seen(at))
        .filter(|g| name.as_ref().is_none_or(|n| *n == g.display_name))
        .map(|g| (g.id.clone(), g));
    let scope = format!("ListGroups {}", name.as_deref().unwrap_or_default());
    let (items, next) = page(&scope, found, max, token.as_deref())?;
    let groups: Vec<Value> = items.into_iter().map(|g| render(&store.id, g)).collect();
    Ok(with_token(json!({"Groups": groups}), next))
}

fn describe(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "GroupId");
    gate(cx, input)?;
    let store = &center(cx.state)?.store;
    match store.groups.get(&id).and_then(|g| g.seen(cx.at)) {
        Some(group) => Ok(render(&store.id, group)),
        None => Err(not_found(cx, "GROUP", &id)),
    }
}

fn get_id(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let wanted = alternate(input)?;
    gate(cx, input)?;
    let store = &center(cx.state)?.store;
    let mut seen = store.groups.values().filter_map(|g| g.seen(cx.at));
    let found = match &wanted {
        Some(Alternate::External(external)) => seen.find(|g| g.external.as_ref() == Some(external)),
        Some(Alternate::Unique(path, value)) if path.eq_ignore_ascii_case("displayName") => {
            seen.find(|g| g.display_name == *value)
        }
        Some(Alternate::Unique(path, _)) => {
            return Err(ApiError::validation(format!("The attribute {path} is not a unique attribute")));
        }
        None => None,
    };
    match found {
        Some(g) => Ok(json!({"IdentityStoreId": store.id, "GroupId": g.id, "GroupArn": arn("group", &g.id)})),
        None => Err(not_found(cx, "GROUP", "")),
    }
}

fn reference(store: &str, group: &Group) -> Value {
    json!({
        "IdentityStoreId": store, "GroupId": group.id, "GroupArn": arn("group", &group.id),
        "Revision": group.stamp.revision.to_string(),
    })
}

fn create(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let name = input.required("DisplayName", &SENSITIVE);
    let description = input.text("Description", &SENSITIVE);
    cx.target = format!("group {name}");
    gate(cx, input)?;
    let (at, from, uuid, by) = (cx.at, cx.visible(), cx.core.ids.uuid(), cx.caller.arn.clone());
    let store = &center(cx.state)?.store;
    if store.group_named(&name).is_some() {
        return Err(duplicate(cx, "Duplicate GroupDisplayName"));
    }
    if store.all_groups().count() >= MAX_GROUPS {
        return Err(ApiError::quota(format!(
            "Groups in the identity store exceed the limit of {MAX_GROUPS}"
        )));
    }
    let store = &mut center_mut(cx.state)?.store;
    let group = Group {
        id: store.new_id(&uuid),
        display_name: name,
        description,
        external: None,
        stamp: Stamp::new(at, &by),
    };
    let answer = reference(&store.id, &group);
    store.put_group(group, at, from);
    Ok(answer)
}

fn update(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "GroupId");
    let revision = input.text("Revision", &REVISION);
    let operations = input.structures("Operations", 1, 100, |o| {
        (o.required("AttributePath", &ATTRIBUTE_PATH), o.document("AttributeValue").cloned())
    });
    if operations.is_none() {
        input.missing("Operations");
    }
    cx.target = format!("group {id}");
    gate(cx, input)?;
    let (at, from, by) = (cx.at, cx.visible(), cx.caller.arn.clone());
    let Some(mut group) = center(cx.state)?.store.group(&id).cloned() else {
        return Err(not_found(cx, "GROUP", &id));
    };
    if revision.is_some_and(|r| r != group.stamp.revision.to_string()) {
        return Err(outdated(cx));
    }
    for (path, value) in operations.unwrap_or_default() {
        let text = value.as_ref().and_then(Value::as_str).map(ToOwned::to_owned);
        match (path.to_ascii_lowercase().as_str(), text) {
            ("displayname", Some(name)) => group.display_name = name,
            ("description", text) => group.description = text,
            _ => {
                return Err(ApiError::validation(format!(
                    "The attribute {path} cannot be updated to this value"
                )));
            }
        }
    }
    let store = &center(cx.state)?.store;
    if store.group_named(&group.display_name).is_some_and(|g| g.id != id) {
        return Err(duplicate(cx, "Duplicate GroupDisplayName"));
    }
    group.stamp.touch(at, &by);
    let store = &mut center_mut(cx.state)?.store;
    let answer = reference(&store.id, &group);
    store.put_group(group, at, from);
    Ok(answer)
}

fn delete(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "GroupId");
    let revision = input.text("Revision", &REVISION);
    cx.target = format!("group {id}");
    gate(cx, input)?;
    let (at, from) = (cx.at, cx.visible());
    let present = center(cx.state)?.store.group(&id).map(|g| g.stamp.revision.to_string());
    if let (Some(present), Some(wanted)) = (&present, &revision)
        && present != wanted
    {
        return Err(outdated(cx));
    }
    // Idempotent (contract aws 2.2).
    if present.is_some() {
        center_mut(cx.state)?.store.delete_group(&id, at, from);
    }
    Ok(json!({}))
}
