//! Secrets, and whether they work (5.3, 5.4).

use serde_json::{Value, json};

use super::scim_client::{Scim, ScimError};
use super::{Credentials, enter, job_of};
use crate::entra::errors::GraphError;
use crate::entra::graph::{Answer, Call, Outcome};
use crate::entra::state::State;

/// The published keys (MD).
const KEYS: [&str; 46] = [
    "None",
    "UserName",
    "Password",
    "SecretToken",
    "AppKey",
    "BaseAddress",
    "ClientIdentifier",
    "ClientSecret",
    "SingleSignOnType",
    "Sandbox",
    "Url",
    "Domain",
    "ConsumerKey",
    "ConsumerSecret",
    "TokenKey",
    "TokenExpiration",
    "Oauth2AccessToken",
    "Oauth2AccessTokenCreationTime",
    "Oauth2RefreshToken",
    "SyncAll",
    "InstanceName",
    "Oauth2ClientId",
    "Oauth2ClientSecret",
    "CompanyId",
    "UpdateKeyOnSoftDelete",
    "SynchronizationSchedule",
    "SystemOfRecord",
    "SandboxName",
    "EnforceDomain",
    "SyncNotificationSettings",
    "SkipOutOfScopeDeletions",
    "Oauth2AuthorizationCode",
    "Oauth2RedirectUri",
    "ApplicationTemplateIdentifier",
    "Oauth2TokenExchangeUri",
    "Oauth2AuthorizationUri",
    "AuthenticationType",
    "Server",
    "PerformInboundEntitlementGrants",
    "HardDeletesEnabled",
    "SyncAgentCompatibilityKey",
    "SyncAgentADContainer",
    "ValidateDomain",
    "TestReferences",
    "ConnectionString",
    "DirectoryName",
];

/// Written only: they come back as `*`.
const SENSITIVE: [&str; 11] = [
    "Password",
    "SecretToken",
    "AppKey",
    "ClientSecret",
    "ConsumerSecret",
    "TokenKey",
    "Oauth2AccessToken",
    "Oauth2RefreshToken",
    "Oauth2ClientSecret",
    "Oauth2AuthorizationCode",
    "ConnectionString",
];

/// What connectors say when the target refuses.
pub(super) const REFUSED: &str = "SystemForCrossDomainIdentityManagementCredentialValidationUnavailable";

pub(super) fn get(state: &State, id: &str) -> Outcome {
    let secrets = state.synchronization.get(id).map(|s| s.secrets.as_slice()).unwrap_or_default();
    let shown: Vec<Value> = secrets
        .iter()
        .map(|(key, value)| {
            json!({ "key": key, "value": if SENSITIVE.contains(&key.as_str()) { "*" } else { value.as_str() } })
        })
        .collect();
    Ok(Answer::ok(json!({ "value": shown })))
}

fn pairs(all: Option<&Value>, what: &str) -> Result<Vec<(String, String)>, GraphError> {
    let wrong = || GraphError::new(400, "BadRequest", format!("Invalid value for '{what}'."));
    let mut out: Vec<(String, String)> = Vec::new();
    for pair in all.and_then(Value::as_array).ok_or_else(wrong)? {
        let (key, value) = (pair["key"].as_str().ok_or_else(wrong)?, &pair["value"]);
        if !KEYS.contains(&key) || out.iter().any(|(k, _)| k == key) {
            let text = format!("Invalid or duplicate secret key '{key}'.");
            return Err(GraphError::new(400, "BadRequest", text));
        }
        let value = if value.is_null() { "" } else { value.as_str().ok_or_else(wrong)? };
        out.push((key.to_owned(), value.to_owned()));
    }
    Ok(out)
}

/// By switch, keys that are left out stay or go; an empty value removes a key. A `*` is taken as it
/// stands: putting back what GET shows breaks the credentials (5.3).
pub(super) fn put(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-secrets {id}");
    let body = call.body.as_ref().and_then(Value::as_object);
    let unknown = body.into_iter().flat_map(|b| b.keys()).find(|k| *k != "value" && !k.contains("@odata."));
    if let Some(unknown) = unknown {
        return Err(GraphError::new(400, "BadRequest", format!("The property '{unknown}' is not expected.")));
    }
    let given = pairs(body.and_then(|b| b.get("value")), "value")?;
    let replaces = call.entra.behaviours.secrets_put_replaces;
    let secrets = &mut state.synchronization.entry(id.to_owned()).or_default().secrets;
    if replaces {
        secrets.clear();
    }
    for (key, mut value) in given {
        if key == "SyncNotificationSettings" && call.entra.behaviours.unconfirmed_settings_dropped {
            value = confirmed(&value);
        }
        match secrets.iter_mut().find(|(k, _)| *k == key) {
            Some(known) => known.1 = value,
            None => secrets.push((key, value)),
        }
    }
    secrets.retain(|(_, value)| !value.is_empty());
    Ok(Answer::no_content())
}

/// Notification settings without the names that no document confirms (5.3).
fn confirmed(settings: &str) -> String {
    let Ok(Value::Object(mut members)) = serde_json::from_str(settings) else { return settings.to_owned() };
    members.retain(|name, _| !["Recipients", "DeleteThresholdValue"].contains(&name.as_str()));
    Value::Object(members).to_string()
}

/// Really calls the target with the credentials, given or saved (5.4).
pub(in crate::entra) async fn validate_credentials(call: &mut Call) -> Outcome {
    let entra = call.entra.clone();
    let body = call.body.clone().unwrap_or_default();
    let known = ["templateId", "useSavedCredentials", "credentials", "applicationIdentifier"];
    let members =
        body.as_object().ok_or_else(|| GraphError::new(400, "BadRequest", "A JSON object is required."))?;
    if let Some(unknown) = members.keys().find(|k| !known.contains(&k.as_str()) && !k.contains("@odata.")) {
        let text = format!("The parameter '{unknown}' is not valid for the operation 'validateCredentials'.");
        return Err(GraphError::new(400, "BadRequest", text));
    }
    let saved = body["useSavedCredentials"] == true;
    let pairs = {
        let mut state = entra.state_now();
        let id = enter(call, &mut state)?;
        if call.ids.len() > 1 {
            job_of(call, &mut state, &id)?;
        }
        if saved {
            state.synchronization.get(&id).map(|s| s.secrets.clone()).unwrap_or_default()
        } else {
            pairs(members.get("credentials"), "credentials")?
        }
    };
    let credentials = Credentials::of(&pairs);
    let refused = |error: &ScimError| GraphError::new(400, REFUSED, error.to_string());
    let scim = Scim::new(&entra, &credentials).map_err(|e| refused(&e))?;
    scim.probe(&entra.core.ids.uuid()).await.map_err(|e| refused(&e))?;
    // One client expects 201 (5.4).
    Ok(Answer { status: entra.behaviours.validate_credentials_status, body: None })
}
