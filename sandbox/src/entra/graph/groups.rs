//! Groups and their members.

use std::collections::BTreeSet;

use serde_json::Value;

use super::directory::{already_there, mixed, reference, resolve, shown, target};
use super::{Answer, Call, Outcome, types};
use crate::entra::Entra;
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, Object, State, iso, text};

const REQUIRED: [&str; 4] = ["displayName", "mailEnabled", "mailNickname", "securityEnabled"];
const BIND: &str = "members@odata.bind";

pub(super) fn create(call: &mut Call, state: &mut State) -> Outcome {
    let members = bound(call.body.as_ref());
    let fields = types::writable(call.body.as_ref(), Kind::Group.properties(), "group")?;
    if let Some(missing) = REQUIRED.iter().find(|name| !fields.contains_key(**name)) {
        return Err(GraphError::bad(format!(
            "A value is required for property '{missing}' of resource 'Group'."
        )));
    }
    let fields = add(&call.entra, state, fields, members)?;
    call.target = format!("group {}", text(&fields, "id"));
    let selection = types::selection(&super::Query::default(), Kind::Group.properties(), "group")?;
    Ok(Answer::created(call.entity("groups", shown(call, Kind::Group, &fields, &selection, false))))
}

/// Ids in `members@odata.bind`.
pub(in crate::entra) fn bound(body: Option<&Value>) -> BTreeSet<String> {
    let links = body.and_then(|b| b[BIND].as_array()).into_iter().flatten();
    links
        .filter_map(Value::as_str)
        .filter_map(|l| l.rsplit('/').next())
        .map(str::to_ascii_lowercase)
        .collect()
}

pub(super) fn patch(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::Group)?;
    call.target = format!("group {id}");
    let members = bound(call.body.as_ref());
    let fields = types::writable(call.body.as_ref(), Kind::Group.properties(), "group")?;
    if members.len() > 20 {
        return Err(GraphError::bad("At most 20 members can be added in one request."));
    }
    change(&call.entra, state, &id, fields)?;
    for member in members {
        join(state, &id, &member)?;
    }
    Ok(Answer::no_content())
}

pub(super) fn delete(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::Group)?;
    call.target = format!("group {id}");
    state.remove(Kind::Group, &id);
    Ok(Answer::no_content())
}

/// Adds a group; answers all its properties.
pub(in crate::entra) fn add(
    entra: &Entra,
    state: &mut State,
    given: Fields,
    members: BTreeSet<String>,
) -> Result<Fields, GraphError> {
    if let Some(missing) = members.iter().find(|m| state.find(m).is_none()) {
        return Err(GraphError::not_found(missing));
    }
    let core = &entra.core;
    let now = core.clock.now();
    let id = state.fresh_id(core);
    let nickname: String = text(&given, "displayName").chars().filter(char::is_ascii_alphanumeric).collect();
    let mut fields = Fields::new();
    fields.insert("id".into(), id.clone().into());
    fields.insert("createdDateTime".into(), iso(now).into());
    fields.insert("groupTypes".into(), Value::Array(Vec::new()));
    fields.insert("mailEnabled".into(), false.into());
    fields.insert("mailNickname".into(), nickname.into());
    fields.insert("securityEnabled".into(), true.into());
    fields.extend(given);
    let lag = core.ids.draw(core.profile.entra_create_lag);
    state.insert(Object::new(Kind::Group, fields.clone(), now, lag, false));
    state.members.insert(id, members);
    Ok(fields)
}

/// Changes a group that exists.
pub(in crate::entra) fn change(
    entra: &Entra,
    state: &mut State,
    id: &str,
    given: Fields,
) -> Result<(), GraphError> {
    let core = &entra.core;
    let group = state.live_mut(Kind::Group, id).ok_or_else(|| GraphError::not_found(id))?;
    let lag = core.ids.draw(core.profile.entra_update_lag);
    group.change(core.clock.now(), lag, |fields| fields.extend(given));
    Ok(())
}

/// Makes an object a member.
pub(in crate::entra) fn join(state: &mut State, group: &str, member: &str) -> Result<(), GraphError> {
    let fits = state.find(member).is_some_and(|o| o.kind != Kind::Application);
    if !fits || state.live(Kind::Group, group).is_none() {
        return Err(GraphError::not_found(if fits { group } else { member }));
    }
    let members = state.members.entry(group.to_owned()).or_default();
    if members.insert(member.to_owned()) { Ok(()) } else { Err(already_there()) }
}

/// Ends a membership.
pub(in crate::entra) fn leave(state: &mut State, group: &str, member: &str) -> Result<(), GraphError> {
    let members = state.members.get_mut(group);
    if members.is_some_and(|m| m.remove(member)) { Ok(()) } else { Err(GraphError::not_found(member)) }
}

/// Direct members, or everyone below. A cast to one type needs the advanced query header (7.2).
pub(super) fn members(call: &Call, state: &State, transitive: bool) -> Outcome {
    call.query.allow(&["select", "top", "skiptoken", "count"])?;
    let cast = call.route.template.ends_with("microsoft.graph.user");
    if (cast || call.query.counts()) && !(call.eventual && call.query.counts()) {
        return Err(GraphError::unsupported_query(
            "Unsupported Query. Advanced query parameters are required.",
        ));
    }
    let group = resolve(call, state, Kind::Group)?.id.clone();
    let mut ids: BTreeSet<&str> = state.members_of(&group).collect();
    if transitive {
        let mut queue: Vec<&str> = ids.iter().copied().collect();
        while let Some(id) = queue.pop() {
            queue.extend(state.members_of(id).filter(|member| ids.insert(member)));
        }
        ids.remove(group.as_str());
    }
    let objects = ids.into_iter().filter_map(|id| state.find(id));
    let all = mixed(call, objects, cast.then_some(Kind::User))?;
    call.collection("directoryObjects", all, 100, 999)
}

pub(super) fn add_member(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::Group)?;
    let member = reference(call)?;
    call.target = format!("member {id}/{member}");
    join(state, &id, &member)?;
    Ok(Answer::no_content())
}

pub(super) fn remove_member(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::Group)?;
    let member = call.id(1).to_owned();
    call.target = format!("member {id}/{member}");
    leave(state, &id, &member)?;
    Ok(Answer::no_content())
}
