//! Service principals: what the portal calls enterprise applications (1.4, 2).

use serde_json::Value;

use super::applications::{check_notes, check_roles, merge_complex};
use super::directory::target;
use super::{Answer, Call, Outcome, certificates, types};
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, State, list, text, texts};

const MODES: [&str; 4] = ["saml", "password", "notSupported", "oidc"];

pub(super) fn patch(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::ServicePrincipal)?;
    call.target = format!("servicePrincipal {id}");
    let mut fields =
        types::writable(call.body.as_ref(), Kind::ServicePrincipal.properties(), "servicePrincipal")?;
    check(&fields)?;
    let current = state.live(Kind::ServicePrincipal, &id).ok_or_else(|| GraphError::not_found(&id))?;
    if fields.contains_key("appRoles") {
        let seen = current.read(call.view);
        let limit = call.entra.behaviours.app_role_value_limit;
        check_roles(seen.map_or(&[], |f| list(f, "appRoles")), list(&fields, "appRoles"), limit)?;
    }
    certificates::replace(current.truth(), &mut fields)?;
    if !call.entra.behaviours.complex_patch_replaces {
        merge_complex(current.truth(), &mut fields);
    }
    let core = &call.entra.core;
    let now = core.clock.now();
    let lag = core.ids.draw(core.profile.entra_update_lag);
    let service_principal =
        state.live_mut(Kind::ServicePrincipal, &id).ok_or_else(|| GraphError::not_found(&id))?;
    service_principal.change(now, lag, |all| all.extend(fields));
    Ok(Answer::no_content())
}

fn check(fields: &Fields) -> Result<(), GraphError> {
    check_notes(fields)?;
    let invalid = |name: &str| {
        GraphError::bad(format!(
            "Invalid value specified for property '{name}' of resource 'ServicePrincipal'."
        ))
    };
    if let Some(Value::String(mode)) = fields.get("preferredSingleSignOnMode")
        && !MODES.contains(&mode.as_str())
    {
        return Err(invalid("preferredSingleSignOnMode"));
    }
    let thumbprint = text(fields, "preferredTokenSigningKeyThumbprint");
    if !thumbprint.is_empty()
        && (thumbprint.len() != 40 || !thumbprint.chars().all(|c| c.is_ascii_hexdigit()))
    {
        return Err(invalid("preferredTokenSigningKeyThumbprint"));
    }
    // Portal limit (2.2); the same here.
    if texts(fields, "notificationEmailAddresses").len() > 5 {
        return Err(invalid("notificationEmailAddresses"));
    }
    let login = text(fields, "loginUrl");
    if !login.is_empty() && url::Url::parse(login).is_err() {
        return Err(invalid("loginUrl"));
    }
    Ok(())
}

/// Removes the service principal only; the registration stays (9).
pub(super) fn delete(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::ServicePrincipal)?;
    call.target = format!("servicePrincipal {id}");
    let core = &call.entra.core;
    let lag = core.ids.draw(core.profile.entra_update_lag);
    if let Some(object) = state.live_mut(Kind::ServicePrincipal, &id) {
        object.delete(core.clock.now(), lag);
    }
    // Restoring does not bring attached policies back (9).
    state.attached.remove(&id);
    Ok(Answer::no_content())
}
