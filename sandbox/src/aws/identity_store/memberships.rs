//! Group memberships (contract aws 2.1, 2.2).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::validate::{Input, RESOURCE_ID};
use super::store::Membership;
use super::{
    Stamp, arn, center, center_mut, duplicate, gate, member, not_found, paging, resource, stamps, with_token,
};

pub(super) const OPERATIONS: Table<Handler> = &[
    ("ListGroupMemberships", list),
    ("ListGroupMembershipsForMember", list_for_member),
    ("IsMemberInGroups", is_member),
    ("GetGroupMembershipId", get_id),
    ("DescribeGroupMembership", describe),
    ("CreateGroupMembership", create),
    ("DeleteGroupMembership", delete),
];

fn render(store: &str, m: &Membership) -> Value {
    let mut out = Map::new();
    out.insert("IdentityStoreId".into(), store.into());
    out.insert("MembershipId".into(), m.id.clone().into());
    out.insert("MembershipArn".into(), arn("membership", &m.id).into());
    out.insert("GroupId".into(), m.group.clone().into());
    out.insert("MemberId".into(), json!({"UserId": m.user}));
    stamps(&mut out, &m.stamp);
    Value::Object(out)
}

fn paged(
    cx: &Cx<'_>,
    scope: &str,
    max: usize,
    token: Option<&str>,
    keep: impl Fn(&Membership) -> bool,
) -> Result<Value, ApiError> {
    let store = &center(cx.state)?.store;
    let found = store
        .memberships
        .values()
        .filter_map(|m| m.seen(cx.at))
        .filter(|m| keep(m))
        .map(|m| (m.id.clone(), m));
    let (items, next) = page(scope, found, max, token)?;
    let items: Vec<Value> = items.into_iter().map(|m| render(&store.id, m)).collect();
    Ok(with_token(json!({"GroupMemberships": items}), next))
}

fn seen_group(cx: &Cx<'_>, id: &str) -> Result<(), ApiError> {
    let store = &center(cx.state)?.store;
    store.groups.get(id).and_then(|g| g.seen(cx.at)).map(|_| ()).ok_or_else(|| not_found(cx, "GROUP", id))
}

fn seen_user(cx: &Cx<'_>, id: &str) -> Result<(), ApiError> {
    let store = &center(cx.state)?.store;
    store.users.get(id).and_then(|u| u.seen(cx.at)).map(|_| ()).ok_or_else(|| not_found(cx, "USER", id))
}

fn list(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let group = resource(input, "GroupId");
    let (max, token) = paging(input);
    gate(cx, input)?;
    seen_group(cx, &group)?;
    paged(cx, &format!("ListGroupMemberships {group}"), max, token.as_deref(), |m| m.group == group)
}

fn list_for_member(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let user = member(input);
    let (max, token) = paging(input);
    gate(cx, input)?;
    seen_user(cx, &user)?;
    paged(cx, &format!("ListGroupMembershipsForMember {user}"), max, token.as_deref(), |m| m.user == user)
}

fn is_member(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let user = member(input);
    let groups = input.texts("GroupIds", 1, 100, &RESOURCE_ID);
    if groups.is_none() {
        input.missing("GroupIds");
    }
    gate(cx, input)?;
    seen_user(cx, &user)?;
    let store = &center(cx.state)?.store;
    let seen = store.memberships.values().filter_map(|m| m.seen(cx.at));
    let theirs: BTreeSet<&str> = seen.filter(|m| m.user == user).map(|m| m.group.as_str()).collect();
    let mut results = Vec::new();
    for group in groups.unwrap_or_default() {
        let id = group.rsplit('/').next().unwrap_or(&group);
        seen_group(cx, id)?;
        let exists = theirs.contains(id);
        results.push(json!({"GroupId": id, "MemberId": {"UserId": user}, "MembershipExists": exists}));
    }
    Ok(json!({"Results": results}))
}

fn get_id(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (group, user) = (resource(input, "GroupId"), member(input));
    gate(cx, input)?;
    let store = &center(cx.state)?.store;
    let mut seen = store.memberships.values().filter_map(|m| m.seen(cx.at));
    match seen.find(|m| m.group == group && m.user == user) {
        Some(m) => Ok(json!({
            "IdentityStoreId": store.id, "MembershipId": m.id, "MembershipArn": arn("membership", &m.id),
        })),
        None => Err(not_found(cx, "GROUP_MEMBERSHIP", "")),
    }
}

fn describe(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "MembershipId");
    gate(cx, input)?;
    let store = &center(cx.state)?.store;
    match store.memberships.get(&id).and_then(|m| m.seen(cx.at)) {
        Some(m) => Ok(render(&store.id, m)),
        None => Err(not_found(cx, "GROUP_MEMBERSHIP", &id)),
    }
}

fn create(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (group, user) = (resource(input, "GroupId"), member(input));
    cx.target = format!("membership {group}/{user}");
    gate(cx, input)?;
    let (at, from, uuid, by) = (cx.at, cx.visible(), cx.core.ids.uuid(), cx.caller.arn.clone());
    let store = &center(cx.state)?.store;
    if store.group(&group).is_none() {
        return Err(not_found(cx, "GROUP", &group));
    }
    if store.user(&user).is_none() {
        return Err(not_found(cx, "USER", &user));
    }
    let store = &mut center_mut(cx.state)?.store;
    let id = store.new_id(&uuid);
    if !store.join(id.clone(), &group, &user, Stamp::new(at, &by), from) {
        return Err(duplicate(cx, "Member and Group relationship already exists."));
    }
    let store = &center(cx.state)?.store;
    Ok(json!({"IdentityStoreId": store.id, "MembershipId": id, "MembershipArn": arn("membership", &id)}))
}

fn delete(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "MembershipId");
    cx.target = format!("membership {id}");
    gate(cx, input)?;
    let (at, from) = (cx.at, cx.visible());
    let store = &mut center_mut(cx.state)?.store;
    // Idempotent (contract aws 2.2).
    if let Some(m) = store.memberships.get(&id).and_then(|m| m.truth()).cloned() {
        cx.target = format!("membership {}/{}", m.group, m.user);
        store.leave(&m.group, &m.user, at, from);
    }
    Ok(json!({}))
}
