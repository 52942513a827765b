//! Application registrations (1.4, 2.1, 4.4, 9).

use serde_json::Value;

use super::directory::target;
use super::{Answer, Call, Outcome, types};
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, Object, State, list, text, texts};

pub(super) fn patch(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::Application)?;
    let app_id = state.live(Kind::Application, &id).map(|o| o.text("appId").to_owned()).unwrap_or_default();
    call.target = format!("application {app_id}");
    let mut fields = types::writable(call.body.as_ref(), Kind::Application.properties(), "application")?;
    check_notes(&fields)?;
    if fields.contains_key("identifierUris") {
        check_identifiers(call, state, &id, &app_id, &texts(&fields, "identifierUris"))?;
    }
    if fields.contains_key("appRoles") {
        let seen = state.live(Kind::Application, &id).and_then(|o| o.read(call.view));
        let limit = call.entra.behaviours.app_role_value_limit;
        check_roles(seen.map_or(&[], |f| list(f, "appRoles")), list(&fields, "appRoles"), limit)?;
    }
    let core = &call.entra.core;
    let now = core.clock.now();
    let lag = core.ids.draw(core.profile.entra_update_lag);
    let application = state.live_mut(Kind::Application, &id).ok_or_else(|| GraphError::not_found(&id))?;
    if !call.entra.behaviours.complex_patch_replaces {
        merge_complex(application.truth(), &mut fields);
    }
    application.change(now, lag, |all| all.extend(fields.clone()));
    let mirror = mirrored(&app_id, application.truth(), &fields);
    let twin = state.by_app_id(Kind::ServicePrincipal, &app_id).map(|o| o.id.clone());
    if let Some(twin) = twin
        && !mirror.is_empty()
        && let Some(service_principal) = state.live_mut(Kind::ServicePrincipal, &twin)
    {
        let lag = core.ids.draw(core.profile.entra_update_lag);
        service_principal.change(now, lag, |all| all.extend(mirror));
    }
    Ok(Answer::no_content())
}

/// Members of complex properties that are not sent stay as they are.
pub(super) fn merge_complex(before: &Fields, fields: &mut Fields) {
    for (name, value) in fields.iter_mut() {
        if let (Value::Object(new), Some(Value::Object(old))) = (&mut *value, before.get(name)) {
            let mut merged = old.clone();
            merged.extend(std::mem::take(new));
            *new = merged;
        }
    }
}

/// What the service principal shows of its application (1.4).
fn mirrored(app_id: &str, application: &Fields, changed: &Fields) -> Fields {
    let mut mirror = Fields::new();
    for name in ["displayName", "appRoles", "tags"] {
        if let Some(value) = changed.get(name) {
            mirror.insert(name.into(), value.clone());
        }
    }
    if let Some(name) = changed.get("displayName") {
        mirror.insert("appDisplayName".into(), name.clone());
    }
    if changed.contains_key("identifierUris") {
        let names = std::iter::once(app_id).chain(texts(application, "identifierUris"));
        mirror.insert("servicePrincipalNames".into(), names.map(Value::from).collect());
    }
    if let Some(web) = changed.get("web") {
        for (from, to) in
            [("redirectUris", "replyUrls"), ("homePageUrl", "homepage"), ("logoutUrl", "logoutUrl")]
        {
            if let Some(value) = web.get(from) {
                mirror.insert(to.into(), value.clone());
            }
        }
    }
    mirror
}

pub(super) fn check_notes(fields: &Fields) -> Result<(), GraphError> {
    if text(fields, "notes").chars().count() > 1024 {
        return Err(GraphError::bad(
            "Property notes is invalid: the value exceeds the maximum length of 1024.",
        ));
    }
    Ok(())
}

/// The host must be a verified domain unless the application is seen to be in SAML mode (2.1); an identifier
/// is used once in a tenant.
fn check_identifiers(
    call: &Call,
    state: &State,
    id: &str,
    app_id: &str,
    uris: &[&str],
) -> Result<(), GraphError> {
    for (at, uri) in uris.iter().enumerate() {
        if uri.is_empty() || uris[..at].contains(uri) {
            return Err(GraphError::bad("Property identifierUris contains an invalid or duplicate value."));
        }
        let blocks = |o: &Object| call.entra.behaviours.deleted_identifiers_block || !o.is_deleted();
        let taken = state
            .table(Kind::Application)
            .values()
            .any(|o| o.id != id && blocks(o) && texts(o.truth(), "identifierUris").contains(uri));
        if taken {
            let status = if call.entra.behaviours.duplicate_identifier_answers400 { 400 } else { 409 };
            return Err(GraphError::duplicate("identifierUris").answered(status));
        }
    }
    let mode = state.by_app_id(Kind::ServicePrincipal, app_id).and_then(|o| o.read(call.view));
    if mode.is_some_and(|fields| text(fields, "preferredSingleSignOnMode") == "saml") {
        return Ok(());
    }
    let known =
        state.live(Kind::Application, id).map(|o| texts(o.truth(), "identifierUris")).unwrap_or_default();
    let verified = |uri: &str| {
        let host = uri
            .split_once("://")
            .map_or(uri, |(_, rest)| rest)
            .split(['/', ':', '?'])
            .next()
            .unwrap_or_default();
        let of = |domain: &String| host.eq_ignore_ascii_case(domain) || host.ends_with(&format!(".{domain}"));
        host.eq_ignore_ascii_case(app_id) || call.entra.domains.iter().any(of)
    };
    match uris.iter().find(|uri| !known.contains(uri) && !verified(uri)) {
        None => Ok(()),
        Some(uri) => {
            let text = format!(
                "Values of identifierUris property must use a verified domain of the organization or its subdomain: \
                 '{uri}'"
            );
            const REFUSAL: &str = "HostNameNotOnVerifiedDomain";
            let in_details = call.entra.behaviours.identifier_refusal_in_details;
            let code = if in_details { "Request_BadRequest" } else { REFUSAL };
            Err(GraphError::new(400, code, text).detail(REFUSAL, "identifierUris"))
        }
    }
}

/// The rules for roles (4.4), judged against what a replica shows: the disabled state spreads slowly.
pub(super) fn check_roles(before: &[Value], after: &[Value], longest: usize) -> Result<(), GraphError> {
    for (at, role) in after.iter().enumerate() {
        let id = role["id"].as_str().unwrap_or_default();
        if uuid::Uuid::try_parse(id).is_err() || role["displayName"].as_str().is_none_or(str::is_empty) {
            return Err(GraphError::bad(
                "Property appRoles in the payload has a role without a valid 'id' or 'displayName'.",
            ));
        }
        let types = role["allowedMemberTypes"].as_array().map_or(&[][..], Vec::as_slice);
        if types.is_empty() || !types.iter().all(|t| t == "User" || t == "Application") {
            return Err(GraphError::bad("Property appRoles.allowedMemberTypes is invalid."));
        }
        let value = role["value"].as_str().unwrap_or_default();
        if value.len() > longest
            || value.starts_with('.')
            || value.chars().any(|c| !c.is_ascii_graphic() || "\"\\".contains(c))
        {
            let text = format!(
                "Property value is invalid. It can not contain spaces, start with '.' or exceed {longest} characters."
            );
            return Err(GraphError::bad(text).detail("InvalidValue", "appRoles"));
        }
        let clash = |other: &Value| {
            other["id"] == role["id"] || (!value.is_empty() && other["value"] == role["value"])
        };
        if after[..at].iter().any(clash) {
            return Err(GraphError::bad("It contains duplicate value. Please Provide unique value.")
                .detail("DuplicateValue", "appRoles"));
        }
    }
    let untouched = |old: &Value| {
        let new = after.iter().find(|new| new["id"] == old["id"]);
        // Disabling is the one change that an enabled role allows.
        new.is_some_and(|new| {
            ["displayName", "description", "value"].iter().all(|name| new[*name] == old[*name])
        })
    };
    if before.iter().any(|old| old["isEnabled"] == true && !untouched(old)) {
        let text = "Permission (scope or role) cannot be deleted or updated unless disabled first.";
        return Err(GraphError::new(400, "CannotDeleteOrUpdateEnabledEntitlement", text)
            .detail("CannotDeleteOrUpdateEnabledEntitlement", "appRoles"));
    }
    Ok(())
}

/// Soft-deletes the application and, in its home tenant, its service principal (9).
pub(super) fn delete(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::Application)?;
    let app_id = state.live(Kind::Application, &id).map(|o| o.text("appId").to_owned()).unwrap_or_default();
    call.target = format!("application {app_id}");
    let twin = state.by_app_id(Kind::ServicePrincipal, &app_id).map(|o| o.id.clone());
    let core = &call.entra.core;
    let now = core.clock.now();
    let twin = twin.map(|twin| (Kind::ServicePrincipal, twin));
    for (kind, id) in [Some((Kind::Application, id)), twin].into_iter().flatten() {
        let lag = core.ids.draw(core.profile.entra_update_lag);
        if let Some(object) = state.live_mut(kind, &id) {
            object.delete(now, lag);
        }
        // Restoring does not bring attached policies back (9).
        state.attached.remove(&id);
    }
    Ok(Answer::no_content())
}
