//! Why a principal is not in the identity store, and what to do about it, in words. Pure.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::commands;
use super::ledger::Pin;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};
use crate::api::{Group, Principal, User};
use crate::status::{condition, is_true};

/// Entra runs a provisioning cycle this often (contract Graph 5.5).
const CYCLE: SignedDuration = SignedDuration::from_mins(40);
/// Who waits for longer than two cycles is told what to check.
const PATIENCE: SignedDuration = SignedDuration::from_mins(80);

/// Nobody has it.
#[must_use]
pub fn nowhere(principal: &Principal) -> String {
    format!("{principal} exists neither in the identity store nor in Entra: create it, or correct the name")
}

/// Several objects carry the name.
#[must_use]
pub fn ambiguous(principal: &Principal, ids: &[String]) -> String {
    const NAMED: usize = 5;
    let word = if principal.user.is_some() { "user" } else { "group" };
    let lines: Vec<String> =
        ids.iter().take(NAMED).map(|id| format!("`- {word}: {{entraObjectId: {id}}}`")).collect();
    let more = if ids.len() > NAMED { " or another one" } else { "" };
    format!(
        "Entra has {} objects called {principal}: name the one that is meant by its id, in spec.principals: {}{more}",
        ids.len(),
        lines.join(" or ")
    )
}

/// It is there, spelt in another way.
#[must_use]
pub fn misspelt(principal: &Principal, spelt: &[String], place: &str) -> String {
    let field = if principal.user.is_some() { "userPrincipalName" } else { "displayName" };
    let names: Vec<String> = spelt.iter().map(|name| format!("`{field}: {name}`")).collect();
    format!(
        "{principal} is spelt differently in {place}: upper and lower case letters count; write {} in spec.principals",
        names.join(" or ")
    )
}

/// Nobody can sign in with the account (nor is it provisioned: contract Graph 5.9).
#[must_use]
pub fn disabled(principal: &Principal) -> String {
    format!(
        "the account of {principal} is disabled in Entra, and Entra does not provision disabled accounts: enable the account there, or take the principal out of spec.principals"
    )
}

/// The id that a principal had in Entra when it was bound, if it surely was another one than that.
#[must_use]
pub fn predecessor(pinned: Option<&Pin>, id: &str) -> Option<String> {
    let before = &pinned?.external_ids;
    // Which attribute is the external id can be chosen: only ids of Entra's kind can be compared with one.
    let is_object_id = |id: &String| uuid::Uuid::try_parse(id).is_ok();
    if before.is_empty() || !before.iter().all(is_object_id) {
        return None;
    }
    if before.iter().any(|earlier| earlier.eq_ignore_ascii_case(id)) {
        return None;
    }
    before.first().cloned()
}

/// Another object carries the name in Entra. `now_called`: what the earlier one is called now, if it is still there.
#[must_use]
pub fn succeeded(
    object: &PermissionSetBinding,
    principal: &Principal,
    before: &str,
    now: &str,
    now_called: Option<&str>,
) -> String {
    let what = match now_called {
        None => {
            format!("{principal} was deleted in Entra and made anew (object id {before} then, {now} now)")
        }
        Some(name) => format!(
            "the name of {principal} belongs to another object in Entra (object id {before} then, {now} now; the earlier one is called {name} now)"
        ),
    };
    format!(
        "{what}: it gets nothing by its name alone; if it may have the access: {}",
        commands::approve(object, now)
    )
}

/// Nothing assigns the application to it.
#[must_use]
pub fn unassigned(principal: &Principal, id: &str, federation: &IdentityFederation) -> String {
    let name = federation.name_any();
    let line = yaml(principal);
    let named =
        |p: &Principal| yaml(p) == line || object_id(p).is_some_and(|theirs| theirs.eq_ignore_ascii_case(id));
    let is_named = federation.spec.entra.application.assignments.iter().flatten().any(named);
    if !is_named {
        return format!(
            "{principal} is not assigned to the application: add `{line}` to spec.entra.application.assignments of IdentityFederation {name}"
        );
    }
    let conditions = federation.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let why = match condition(conditions, "AssignmentsReady") {
        Some(c) if !is_true(conditions, "AssignmentsReady") => format!("it says: {}", c.message),
        _ => "look at its condition AssignmentsReady".to_owned(),
    };
    format!(
        "{principal} is not assigned to the application yet, although spec.entra.application.assignments of IdentityFederation {name} names it: {why}; if another object carries the name now (its id is {id}), approve it there too: {}",
        commands::approve_in_entra(federation, id)
    )
}

/// It comes with provisioning. `since`: since when it waits for that. `user_principal_name`: of a person.
#[must_use]
pub fn awaited(
    principal: &Principal,
    user_principal_name: Option<&str>,
    connection: Option<&ScimConnection>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> String {
    let Some(connection) = connection else {
        return format!("{principal} is in scope, but no ScimConnection provisions it to AWS: create one");
    };
    let (what, goes_on) = provisioning(principal, connection);
    let Some(since) = since.filter(|since| now.duration_since(*since) > PATIENCE) else {
        return what;
    };
    if !goes_on {
        return what;
    }
    let (subject, act) = match user_principal_name {
        Some(name) => ("the person", commands::provision(connection, name)),
        None => ("the group", commands::restart(connection)),
    };
    format!(
        "{what}. It waits since {since}, longer than two cycles (80 minutes). Check that {subject} is in provisioning scope (Users and groups of the enterprise application) and what Entra's provisioning log says of it (Provisioning > View provisioning logs), then try it now: {act}"
    )
}

/// What the connection does about it, and whether that goes on by itself.
fn provisioning(principal: &Principal, connection: &ScimConnection) -> (String, bool) {
    let name = connection.name_any();
    let status = connection.status.clone().unwrap_or_default();
    if connection.spec.suspend {
        let what = format!(
            "{principal} waits: ScimConnection {name} is suspended; set its spec.suspend to false to go on"
        );
        return (what, false);
    }
    if let Some(quarantine) = &status.quarantine {
        let what = format!(
            "{principal} waits: ScimConnection {name} is in quarantine ({}), and Entra provisions almost nothing until that is mended; its status says what to do",
            quarantine.reason
        );
        return (what, false);
    }
    let cycle = status.last_cycle.as_ref();
    if let Some(cycle) = cycle.filter(|c| c.result == "Failed") {
        let why = cycle.error.as_deref().unwrap_or("Entra gives no reason");
        let what = format!(
            "{principal} waits: the last provisioning cycle of ScimConnection {name} failed ({why}); Entra tries again by itself"
        );
        return (what, true);
    }
    let ended = cycle.and_then(|c| c.ended_at.as_ref()?.parse::<Timestamp>().ok());
    let next = ended
        .and_then(|at| at.checked_add(CYCLE).ok())
        .and_then(|at| Timestamp::from_second(at.as_second()).ok());
    let mut what = match next {
        Some(next) => format!(
            "{principal} comes to AWS with the provisioning cycle around {next} (ScimConnection {name})"
        ),
        None => {
            format!("{principal} comes to AWS with the first provisioning cycle of ScimConnection {name}")
        }
    };
    if let Some(failed) = cycle.map(|c| c.escrowed).filter(|n| *n > 0) {
        what += &format!(
            "; in the last one Entra could not write {failed} object{}, and this may be one of them: Entra's provisioning log says why (Provisioning > View provisioning logs)",
            if failed == 1 { "" } else { "s" }
        );
    }
    (what, true)
}

/// The object id that a principal is named by.
#[must_use]
pub fn object_id(principal: &Principal) -> Option<&str> {
    let group = principal.group.as_ref().and_then(|g| g.entra_object_id.as_deref());
    group.or_else(|| principal.user.as_ref()?.entra_object_id.as_deref())
}

/// The principal as a line of YAML.
fn yaml(principal: &Principal) -> String {
    match principal {
        Principal { group: Some(Group { display_name: Some(name), .. }), .. } => {
            format!("- group: {{displayName: {name}}}")
        }
        Principal { group: Some(Group { entra_object_id: Some(id), .. }), .. } => {
            format!("- group: {{entraObjectId: {id}}}")
        }
        Principal { user: Some(User { user_principal_name: Some(name), .. }), .. } => {
            format!("- user: {{userPrincipalName: {name}}}")
        }
        Principal { user: Some(User { entra_object_id: Some(id), .. }), .. } => {
            format!("- user: {{entraObjectId: {id}}}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "missing_tests.rs"]
mod tests;
