//! The tenant before anything happens, from the world file.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::graph::templates;
use super::state::{Fields, Kind, Object, State, iso};
use crate::core::Core;
use crate::world::Tenant;

/// Builds the state; everything in it is visible at once.
pub(super) fn state(core: &Core, tenant: &Tenant) -> State {
    let mut state = State::default();
    // Old enough that nothing about it is still spreading.
    let now = core.clock.now().checked_sub(SignedDuration::from_hours(24)).unwrap_or(jiff::Timestamp::MIN);
    let add = |state: &mut State, kind: Kind, fields: Fields| {
        state.insert(Object::new(kind, fields, now, SignedDuration::ZERO, false));
    };
    let created = iso(now);
    let mut users = BTreeMap::new();
    let explicit = tenant.users.iter().map(|u| &u.id).chain(tenant.groups.iter().map(|g| &g.id)).flatten();
    let explicit: BTreeSet<String> = explicit.map(|id| id.to_lowercase()).collect();
    let fresh = || {
        let mut drawn = std::iter::repeat_with(|| core.ids.uuid());
        drawn.find(|id| !explicit.contains(id)).expect("the draws never end")
    };
    for user in &tenant.users {
        let id = user.id.as_ref().map_or_else(fresh, |id| id.to_lowercase());
        users.insert(user.user_principal_name.to_lowercase(), id.clone());
        let nickname = user.user_principal_name.split('@').next().unwrap_or_default();
        let fields = json!({
            "id": id, "userPrincipalName": user.user_principal_name, "displayName": user.display_name,
            "givenName": user.given_name, "surname": user.surname, "mail": user.mail,
            "department": user.department, "accountEnabled": user.account_enabled.unwrap_or(true),
            "mailNickname": nickname, "createdDateTime": created,
            "userType": if user.user_principal_name.contains("#EXT#") { "Guest" } else { "Member" },
        });
        add(&mut state, Kind::User, object(fields));
    }
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    let mut ids = Vec::new();
    for group in &tenant.groups {
        let id = group.id.as_ref().map_or_else(fresh, |id| id.to_lowercase());
        groups.entry(group.display_name.clone()).or_insert_with(|| id.clone());
        let nickname: String = group.display_name.chars().filter(char::is_ascii_alphanumeric).collect();
        let fields = json!({
            "id": id, "displayName": group.display_name, "description": null, "groupTypes": [], "mail": null,
            "mailEnabled": false, "mailNickname": nickname, "createdDateTime": created,
            "securityEnabled": group.security_enabled.unwrap_or(true), "visibility": null,
        });
        add(&mut state, Kind::Group, object(fields));
        ids.push(id);
    }
    for (group, id) in tenant.groups.iter().zip(ids) {
        let member = |name: &String| users.get(&name.to_lowercase()).or_else(|| groups.get(name)).cloned();
        let members: BTreeSet<String> = group.members.iter().filter_map(member).collect();
        state.members.insert(id, members);
    }
    let domain = tenant.domains.first().map_or("", String::as_str);
    let home = (domain, tenant.id.as_str());
    for application in &tenant.applications {
        let (application, service_principal) = templates::existing(core, &state, home, application);
        add(&mut state, Kind::Application, application);
        add(&mut state, Kind::ServicePrincipal, service_principal);
    }
    for client in &tenant.clients {
        let (application, service_principal) = templates::of_client(core, &state, home, &client.client_id);
        add(&mut state, Kind::Application, application);
        add(&mut state, Kind::ServicePrincipal, service_principal);
    }
    state
}

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
