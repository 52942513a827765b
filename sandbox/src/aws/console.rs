//! What a person does in AWS's console, because no public API does it (contract aws 3.1).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::organizations::STATES;
use super::saml_metadata::{self, Certificate};
use super::state::{Center, Scim, State, Token};
use super::{Aws, seed, sts};
use crate::world;

/// Why the console refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConsoleError {
    /// HTTP status for the control API: 400 for bad input, 404 for what does not exist, 409 for what does
    /// not go in the present state.
    pub status: u16,
    /// For people.
    pub message: String,
}

fn error(status: u16, message: impl Into<String>) -> ConsoleError {
    ConsoleError { status, message: message.into() }
}

/// Tokens at one time (contract aws 4.6).
const MAX_TOKENS: usize = 2;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewAccount {
    name: String,
    organizational_unit: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountChange {
    name: Option<String>,
    organizational_unit: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    state: Option<String>,
}

impl Aws {
    /// Runs one act of a person and journals it.
    fn act<R>(
        &self,
        operation: &str,
        target: &str,
        act: impl FnOnce(&mut State, Timestamp) -> Result<R, ConsoleError>,
    ) -> Result<R, ConsoleError> {
        let at = self.core.clock.now();
        let result = self.with_state(at, true, false, |state| act(state, at));
        let outcome = result.as_ref().err().map_or_else(|| "ok".to_owned(), |e| e.status.to_string());
        self.core.counters.add("console", operation, &outcome);
        let request_id = self.core.ids.uuid();
        self.core.journal.record(at, "console", operation, "person", target, &outcome, &request_id);
        result
    }

    /// Enables Identity Center in the world's Region: an organization instance with an empty store, plus what
    /// the world file puts into it.
    ///
    /// # Errors
    /// 409 when it is enabled already.
    pub fn enable_identity_center(&self) -> Result<Value, ConsoleError> {
        self.act("enable-identity-center", "identity-center", |state, at| {
            if state.center.is_some() {
                return Err(error(409, "IAM Identity Center is already enabled"));
            }
            let center = seed::center(state, &self.core, at);
            let facts = json!({"instanceArn": center.instance_arn(), "identityStoreId": center.store.id, "region": state.region});
            state.center = Some(center);
            Ok(facts)
        })
    }

    /// Revokes the active sessions of a role: whoever assumed it before has no rights any more.
    ///
    /// # Errors
    /// 404 when no account has such a role.
    pub fn revoke_sessions(&self, role_arn: &str) -> Result<(), ConsoleError> {
        self.act("revoke-sessions", role_arn, |state, _| {
            let mut roles = state.iam.iter().flat_map(|(id, iam)| iam.roles.iter().map(move |r| (id, r)));
            if !roles.any(|(account, role)| sts::arn_of(account, role) == role_arn) {
                return Err(error(404, format!("there is no role {role_arn}")));
            }
            state.sessions.values_mut().filter(|s| s.role_arn == role_arn).for_each(|s| s.revoked = true);
            Ok(())
        })
    }

    /// The SAML metadata of AWS's side.
    ///
    /// # Errors
    /// 409 before Identity Center is enabled.
    pub fn service_provider_metadata(&self) -> Result<String, ConsoleError> {
        let at = self.core.clock.now();
        self.with_state(at, false, false, |state| {
            let center = enabled(state)?;
            let newer = state.behaviours.newer_entity_id;
            let entity_id = saml_metadata::entity_id(&state.region, &center.store.id, newer);
            Ok(saml_metadata::service_provider(&state.region, &entity_id, &center.saml_tenant))
        })
    }

    /// Makes an external identity provider the identity source; the certificates of its metadata replace
    /// those of an earlier one. Users, groups and assignments are kept (contract aws 3.6).
    ///
    /// # Errors
    /// 400 for bad metadata, 409 before Identity Center is enabled.
    pub fn set_external_identity_provider(&self, metadata_xml: &str) -> Result<Value, ConsoleError> {
        self.act("set-external-identity-provider", "identity-source", |state, at| {
            let center = enabled_mut(state)?;
            let provider = saml_metadata::read(metadata_xml).map_err(|e| error(400, e))?;
            let out = json!({
                "entityId": provider.entity_id,
                "singleSignOnServices": provider.sign_on_urls,
                "certificates": provider.certificates.iter().map(|c| certificate_json(c, at)).collect::<Vec<_>>(),
            });
            center.identity_provider = Some(provider);
            Ok(out)
        })
    }

    /// The certificates that AWS trusts: `sha256`, `notBefore`, `notAfter`, `status`.
    #[must_use]
    pub fn idp_certificates(&self) -> Vec<Value> {
        let at = self.core.clock.now();
        let found = self.with_state(at, false, false, |state| {
            let provider = enabled(state)?.identity_provider.as_ref();
            Ok::<_, ConsoleError>(
                provider.map(|p| p.certificates.iter().map(|c| certificate_json(c, at)).collect()),
            )
        });
        found.ok().flatten().unwrap_or_default()
    }

    /// Trusts one more certificate: PEM or base64 of at most 2,500 characters (contract aws 3.8).
    ///
    /// # Errors
    /// 400 for bad or known certificates, 409 without an external identity provider.
    pub fn import_idp_certificate(&self, pem_or_base64: &str) -> Result<Value, ConsoleError> {
        let read = saml_metadata::imported(pem_or_base64).map_err(|e| error(400, e));
        let target = read
            .as_ref()
            .map_or_else(|_| "idp-certificate".into(), |c| format!("idp-certificate {}", c.sha256));
        self.act("import-idp-certificate", &target, |state, at| {
            let provider = provider_mut(state)?;
            let certificate = read?;
            if provider.contains(&certificate) {
                return Err(error(400, "This certificate is already imported"));
            }
            if certificate.not_after <= at {
                return Err(error(400, "This certificate has expired"));
            }
            let out = certificate_json(&certificate, at);
            provider.push(certificate);
            Ok(out)
        })
    }

    /// Ends the trust in a certificate.
    ///
    /// # Errors
    /// 404 for an unknown one, 409 for the last valid one, which must remain (contract aws 3.8).
    pub fn delete_idp_certificate(&self, sha256: &str) -> Result<(), ConsoleError> {
        self.act("delete-idp-certificate", &format!("idp-certificate {sha256}"), |state, at| {
            let certificates = provider_mut(state)?;
            if !certificates.iter().any(|c| c.sha256.eq_ignore_ascii_case(sha256)) {
                return Err(error(404, "No such certificate"));
            }
            if !certificates.iter().any(|c| !c.sha256.eq_ignore_ascii_case(sha256) && c.not_after > at) {
                return Err(error(409, "At least one valid certificate must remain"));
            }
            certificates.retain(|c| !c.sha256.eq_ignore_ascii_case(sha256));
            Ok(())
        })
    }

    /// Enables automatic provisioning and hands out the first token: `endpoint`, `token`, `id`, `expiresAt`.
    ///
    /// # Errors
    /// 409 before Identity Center is enabled, while the identity source is AWS's own directory, or when it is
    /// enabled already.
    pub fn enable_automatic_provisioning(&self) -> Result<Value, ConsoleError> {
        self.act("enable-automatic-provisioning", "automatic-provisioning", |state, at| {
            let center = enabled_mut(state)?;
            if center.identity_provider.is_none() {
                return Err(error(
                    409,
                    "Automatic provisioning needs an external identity provider as identity source",
                ));
            }
            if center.scim.is_some() {
                return Err(error(409, "Automatic provisioning is already enabled"));
            }
            let mut scim = Scim { tenant: self.core.ids.uuid(), tokens: BTreeMap::new() };
            let out = self.new_token(&mut scim, at);
            center.scim = Some(scim);
            Ok(out)
        })
    }

    /// Generates a token; the answer is like that of enabling.
    ///
    /// # Errors
    /// 409 when there are two already, expired ones included, or provisioning is not enabled.
    pub fn create_scim_token(&self) -> Result<Value, ConsoleError> {
        self.act("create-scim-token", "scim-token", |state, at| {
            let scim = scim_mut(state)?;
            if scim.tokens.len() >= MAX_TOKENS {
                return Err(error(409, "At most two access tokens may exist: delete one first"));
            }
            Ok(self.new_token(scim, at))
        })
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub fn delete_scim_token(&self, id: &str) -> Result<(), ConsoleError> {
        self.act("delete-scim-token", &format!("scim-token {id}"), |state, _| {
            let found = scim_mut(state)?.tokens.remove(id);
            found.map(|_| ()).ok_or_else(|| error(404, "No such token"))
        })
    }

    fn new_token(&self, scim: &mut Scim, at: Timestamp) -> Value {
        let id = self.core.ids.uuid();
        let token = seed::token(&self.core, at);
        let out = json!({
            "endpoint": self.scim_endpoint(&scim.tenant), "token": token.secret, "id": id,
            "expiresAt": token.expires.to_string(),
        });
        scim.tokens.insert(id, token);
        out
    }

    /// Creates an account in the organization: `{"name", "organizationalUnit", "tags"}`.
    ///
    /// # Errors
    /// 400 for a bad body.
    pub fn create_account(&self, body: &Value) -> Result<Value, ConsoleError> {
        let wanted = NewAccount::deserialize(body).map_err(|e| error(400, e.to_string()));
        let name = wanted.as_ref().map_or_else(|_| String::new(), |w| w.name.clone());
        self.act("create-account", &format!("account {name}"), |state, at| {
            let wanted = wanted?;
            if wanted.name.is_empty() || wanted.name.chars().count() > 128 {
                return Err(error(400, "name must have 1 to 128 characters"));
            }
            let account = world::Account {
                name: wanted.name,
                organizational_unit: wanted.organizational_unit,
                tags: wanted.tags,
                ..world::Account::default()
            };
            let id = state.organization.add_account(&account, &self.core.ids, at);
            account_json(state, &id)
        })
    }

    /// Changes an account: `name`, `organizationalUnit`, `tags` (all of them), `state`.
    ///
    /// # Errors
    /// 400 for a bad body, 404 for an unknown account.
    pub fn update_account(&self, id: &str, body: &Value) -> Result<Value, ConsoleError> {
        let change = AccountChange::deserialize(body).map_err(|e| error(400, e.to_string()));
        self.act("update-account", &format!("account {id}"), |state, _| {
            let change = change?;
            if let Some(wanted) = change.state.as_deref().filter(|s| !STATES.contains(s)) {
                return Err(error(400, format!("state {wanted} is none of {}", STATES.join(", "))));
            }
            let organization = &mut state.organization;
            if organization.account(id).is_none() {
                return Err(error(404, "No such account"));
            }
            let parent = change.organizational_unit.map(|path| organization.unit_at(&path, &self.core.ids));
            if let Some(account) = organization.accounts.get_mut(id) {
                account.parent = parent.unwrap_or_else(|| account.parent.clone());
                account.name = change.name.unwrap_or_else(|| account.name.clone());
                account.tags = change.tags.unwrap_or_else(|| account.tags.clone());
                account.state = change.state.unwrap_or_else(|| account.state.clone());
            }
            account_json(state, id)
        })
    }
}

/// One year on the clouds' clock (contract aws 4.6).
pub(super) fn expiry(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_hours(365 * 24)).unwrap_or(Timestamp::MAX)
}

fn not_enabled() -> ConsoleError {
    error(409, "IAM Identity Center is not enabled")
}

fn enabled(state: &State) -> Result<&Center, ConsoleError> {
    state.center.as_ref().ok_or_else(not_enabled)
}

fn enabled_mut(state: &mut State) -> Result<&mut Center, ConsoleError> {
    state.center.as_mut().ok_or_else(not_enabled)
}

fn provider_mut(state: &mut State) -> Result<&mut Vec<Certificate>, ConsoleError> {
    let provider = enabled_mut(state)?.identity_provider.as_mut();
    provider
        .map(|p| &mut p.certificates)
        .ok_or_else(|| error(409, "The identity source is not an external identity provider"))
}

fn scim_mut(state: &mut State) -> Result<&mut Scim, ConsoleError> {
    enabled_mut(state)?.scim.as_mut().ok_or_else(|| error(409, "Automatic provisioning is not enabled"))
}

/// As the console colours them: red expired, yellow within 90 days, green otherwise (contract aws 3.8).
fn certificate_json(certificate: &Certificate, at: Timestamp) -> Value {
    let soon = at.checked_add(SignedDuration::from_hours(90 * 24)).unwrap_or(at);
    let status = if certificate.not_after <= at {
        "expired"
    } else if certificate.not_after <= soon {
        "expiring"
    } else {
        "valid"
    };
    json!({
        "sha256": certificate.sha256, "notBefore": certificate.not_before.to_string(),
        "notAfter": certificate.not_after.to_string(), "status": status,
    })
}

pub(super) fn token_json(id: &str, token: &Token) -> Value {
    json!({"id": id, "createdAt": token.created.to_string(), "expiresAt": token.expires.to_string()})
}

fn account_json(state: &State, id: &str) -> Result<Value, ConsoleError> {
    let organization = &state.organization;
    let account = organization.account(id).ok_or_else(|| error(404, "No such account"))?;
    Ok(json!({
        "id": account.id, "name": account.name, "email": account.email, "state": account.state,
        "organizationalUnit": organization.named_path(&account.parent), "tags": account.tags,
    }))
}
