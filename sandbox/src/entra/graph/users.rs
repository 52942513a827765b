//! Users as directory administrators change them.

use serde_json::Value;

use super::directory::{shown, target};
use super::{Answer, Call, Outcome, types};
use crate::entra::Entra;
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, Object, State, iso, text};

const REQUIRED: [&str; 5] =
    ["accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"];

pub(super) fn create(call: &mut Call, state: &mut State) -> Outcome {
    let fields = types::writable(call.body.as_ref(), Kind::User.properties(), "user")?;
    if let Some(missing) = REQUIRED.iter().find(|name| !fields.contains_key(**name)) {
        return Err(GraphError::bad(format!(
            "A value is required for property '{missing}' of resource 'User'."
        )));
    }
    let fields = add(&call.entra, state, fields)?;
    call.target = format!("user {}", text(&fields, "id"));
    let selection = types::selection(&super::Query::default(), Kind::User.properties(), "user")?;
    Ok(Answer::created(call.entity("users", shown(call, Kind::User, &fields, &selection, false))))
}

pub(super) fn patch(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::User)?;
    call.target = format!("user {id}");
    let fields = types::writable(call.body.as_ref(), Kind::User.properties(), "user")?;
    change(&call.entra, state, &id, fields)?;
    Ok(Answer::no_content())
}

pub(super) fn delete(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::User)?;
    call.target = format!("user {id}");
    remove(&call.entra, state, &id)?;
    Ok(Answer::no_content())
}

/// Adds a user; answers all its properties.
pub(in crate::entra) fn add(entra: &Entra, state: &mut State, given: Fields) -> Result<Fields, GraphError> {
    let upn = text(&given, "userPrincipalName").to_owned();
    check_upn(entra, state, &upn, None)?;
    let core = &entra.core;
    let now = core.clock.now();
    let mut fields = Fields::new();
    fields.insert("id".into(), state.fresh_id(core).into());
    fields.insert("accountEnabled".into(), true.into());
    fields.insert("createdDateTime".into(), iso(now).into());
    fields.insert("mailNickname".into(), upn.split('@').next().unwrap_or_default().into());
    fields.insert("userType".into(), "Member".into());
    fields.extend(given);
    fields.remove("passwordProfile");
    let lag = core.ids.draw(core.profile.entra_create_lag);
    state.insert(Object::new(Kind::User, fields.clone(), now, lag, false));
    Ok(fields)
}

/// Changes a user that exists.
pub(in crate::entra) fn change(
    entra: &Entra,
    state: &mut State,
    id: &str,
    mut given: Fields,
) -> Result<(), GraphError> {
    if let Some(upn) = given.get("userPrincipalName").and_then(Value::as_str) {
        check_upn(entra, state, upn, Some(id))?;
    }
    given.remove("passwordProfile");
    let core = &entra.core;
    let user = state.live_mut(Kind::User, id).ok_or_else(|| GraphError::not_found(id))?;
    let lag = core.ids.draw(core.profile.entra_update_lag);
    user.change(core.clock.now(), lag, |fields| fields.extend(given));
    Ok(())
}

/// Moves a user to the recycle bin; its memberships and assignments stay with it (7.1).
pub(in crate::entra) fn remove(entra: &Entra, state: &mut State, id: &str) -> Result<(), GraphError> {
    let core = &entra.core;
    let user = state.live_mut(Kind::User, id).ok_or_else(|| GraphError::not_found(id))?;
    let lag = core.ids.draw(core.profile.entra_update_lag);
    user.delete(core.clock.now(), lag);
    Ok(())
}

fn check_upn(entra: &Entra, state: &State, upn: &str, own: Option<&str>) -> Result<(), GraphError> {
    let domain = upn.rsplit_once('@').map_or("", |(_, domain)| domain);
    if !entra.domains.iter().any(|d| d.eq_ignore_ascii_case(domain)) {
        return Err(GraphError::bad(
            "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain \
             names in your organization.",
        )
        .detail("InvalidValue", "userPrincipalName"));
    }
    // A soft-deleted user does not hold its name.
    if state.by_upn(upn).is_some_and(|o| Some(o.id.as_str()) != own) {
        return Err(GraphError::bad(
            "Another object with the same value for property userPrincipalName already exists.",
        )
        .detail("ObjectConflict", "userPrincipalName"));
    }
    Ok(())
}

/// The user that a console act names by id or sign-in name.
pub(in crate::entra) fn named(state: &State, name: &str) -> Result<String, GraphError> {
    let by_id = state.live(Kind::User, name);
    by_id.or_else(|| state.by_upn(name)).map(|o| o.id.clone()).ok_or_else(|| GraphError::not_found(name))
}
