//! App role assignments, from the resource's side (4.1, 4.2).

use serde_json::{Value, json};

use super::directory::{resolve, target};
use super::types::{self, ASSIGNMENT};
use super::{Answer, Call, Outcome};
use crate::core::Core;
use crate::entra::errors::GraphError;
use crate::entra::state::{self, Assignment, Fields, Kind, State, after, iso};

/// Small on purpose: whoever does not follow next links finds out.
const PAGE: usize = 20;
/// In total per principal (4.2).
const LIMIT: usize = 1500;
/// The role of resources that declare none.
const DEFAULT_ROLE: &str = "00000000-0000-0000-0000-000000000000";

/// An assignment as Graph shows it.
pub(in crate::entra) fn fields(state: &State, assignment: &Assignment) -> Fields {
    let any = |id: &str| Kind::ALL.into_iter().find_map(|kind| state.table(kind).get(id));
    let principal = any(&assignment.principal_id);
    let value = json!({
        "id": assignment.id,
        "deletedDateTime": null,
        "appRoleId": assignment.app_role_id,
        "createdDateTime": iso(assignment.created),
        "principalDisplayName": principal.map(|o| o.text("displayName")),
        "principalId": assignment.principal_id,
        "principalType": principal.map(|o| o.kind.principal_type()),
        "resourceDisplayName": any(&assignment.resource_id).map(|o| o.text("displayName")),
        "resourceId": assignment.resource_id,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

pub(super) fn list(call: &Call, state: &State) -> Outcome {
    let id = resolve(call, state, Kind::ServicePrincipal)?.id.clone();
    answer(call, state, |a| a.resource_id == id, "appRoleAssignedTo")
}

pub(super) fn of_principal(call: &Call, state: &State, kind: Kind) -> Outcome {
    let id = resolve(call, state, kind)?.id.clone();
    answer(call, state, |a| a.principal_id == id, "appRoleAssignments")
}

fn answer(call: &Call, state: &State, wanted: impl Fn(&Assignment) -> bool, fragment: &str) -> Outcome {
    call.query.allow(&["filter", "select", "top", "skiptoken", "count"])?;
    let filter = types::filter(&call.query, ASSIGNMENT, "appRoleAssignment", call.eventual)?;
    let selection = types::selection(&call.query, ASSIGNMENT, "appRoleAssignment")?;
    let mut all: Vec<(String, Value)> = state
        .assignments
        .iter()
        // Those of principals in the recycle bin come back with them.
        .filter(|a| wanted(a) && a.visible(call.view) && state.find(&a.principal_id).is_some())
        .map(|a| (a.id.clone(), fields(state, a)))
        .filter(|(_, fields)| filter.as_ref().is_none_or(|f| f.matches(fields)))
        .map(|(id, fields)| (id, Value::Object(types::shown(&fields, &selection, ASSIGNMENT))))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    call.collection(fragment, all, PAGE, 999)
}

pub(super) fn get(call: &Call, state: &State) -> Outcome {
    let id = resolve(call, state, Kind::ServicePrincipal)?.id.clone();
    let seen = |a: &&Assignment| a.id == call.id(1) && a.resource_id == id && a.visible(call.view);
    let found = state.assignments.iter().find(seen).ok_or_else(|| GraphError::not_found(call.id(1)))?;
    Ok(Answer::ok(call.entity("appRoleAssignments", fields(state, found))))
}

pub(super) fn create(call: &mut Call, state: &mut State) -> Outcome {
    call.target = format!("appRoleAssignment {}", call.id(0));
    let body = types::writable(call.body.as_ref(), ASSIGNMENT, "appRoleAssignment")?;
    let guid = |name: &str| {
        let value = body.get(name).and_then(Value::as_str).filter(|v| uuid::Uuid::try_parse(v).is_ok());
        value.map(str::to_ascii_lowercase).ok_or_else(|| {
            GraphError::bad(format!(
                "Invalid value specified for property '{name}' of resource 'AppRoleAssignment'."
            ))
        })
    };
    let (principal, resource, role) = (guid("principalId")?, guid("resourceId")?, guid("appRoleId")?);
    call.target = format!("appRoleAssignment {}/{principal}/{role}", call.id(0));
    // While the service principal is young, it is not there (4.1).
    let id = target(call, state, Kind::ServicePrincipal)?;
    call.target = format!("appRoleAssignment {id}/{principal}/{role}");
    if resource != id {
        return Err(GraphError::bad("The 'resourceId' does not match the service principal of the request."));
    }
    let object = state.find(&principal).ok_or_else(|| GraphError::not_found(&principal))?;
    if object.kind == Kind::Application {
        return Err(GraphError::not_found(&principal));
    }
    if object.read(call.view).is_none() {
        return Err(GraphError::bad("Not a valid reference update."));
    }
    let service_principal =
        state.live(Kind::ServicePrincipal, &id).ok_or_else(|| GraphError::not_found(&id))?;
    let roles = state::list(service_principal.truth(), "appRoles");
    let fits = if roles.is_empty() {
        role == DEFAULT_ROLE
    } else {
        roles.iter().any(|r| r["id"] == role.as_str() && r["isEnabled"] == true)
    };
    if !fits {
        let text = format!(
            "Permission being assigned was not found on application '{}'.",
            service_principal.text("appId")
        );
        return Err(GraphError::bad(text).detail("InvalidUpdate", "appRoleId"));
    }
    let mut in_force =
        state.assignments.iter().filter(|a| a.gone_from.is_none() && a.principal_id == principal);
    if in_force.clone().any(|a| a.resource_id == id && a.app_role_id == role) {
        return Err(GraphError::bad("Permission being assigned already exists on the object"));
    }
    if in_force.by_ref().count() >= LIMIT {
        return Err(GraphError::new(
            400,
            "Directory_QuotaExceeded",
            "The principal has too many app role assignments.",
        ));
    }
    let assignment = new(&call.entra.core, principal, id, role);
    let answer = fields(state, &assignment);
    state.assignments.push(assignment);
    Ok(Answer::created(call.entity("appRoleAssignments", answer)))
}

fn new(core: &Core, principal_id: String, resource_id: String, app_role_id: String) -> Assignment {
    let now = core.clock.now();
    Assignment {
        id: core.ids.secret(32),
        principal_id,
        resource_id,
        app_role_id,
        created: now,
        visible_from: after(now, core.ids.draw(core.profile.entra_update_lag)),
        honoured_from: after(now, core.ids.draw(core.profile.assignment_to_provisioning)),
        gone_from: None,
    }
}

pub(super) fn delete(call: &mut Call, state: &mut State) -> Outcome {
    let (id, wanted) = (target(call, state, Kind::ServicePrincipal)?, call.id(1).to_owned());
    call.target = format!("appRoleAssignment {id}/{wanted}");
    let core = &call.entra.core;
    let gone = after(core.clock.now(), core.ids.draw(core.profile.entra_update_lag));
    let found = state
        .assignments
        .iter_mut()
        .find(|a| a.id == wanted && a.resource_id == id && a.gone_from.is_none())
        .ok_or_else(|| GraphError::not_found(&wanted))?;
    call.target = format!("appRoleAssignment {id}/{}/{}", found.principal_id, found.app_role_id);
    found.gone_from = Some(gone);
    Ok(Answer::no_content())
}
