//! What a sign-in needs to know of AWS's side (contract aws 3.3).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Aws;
use super::saml_metadata::{acs_urls, entity_id};
use super::state::Center;

/// What AWS accepts SAML responses by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamlTrust {
    /// The service provider's entity id, which the assertion's audience must be.
    pub entity_id: String,
    /// The assertion consumer service URLs; the first is the default.
    pub acs_urls: Vec<String>,
    /// The identity provider's entity id, which the issuer must be.
    pub idp_entity_id: String,
    /// All trusted certificates, as DER.
    pub certificates: Vec<Vec<u8>>,
    /// Whether NameID and user name must agree in case too (contract aws 3.3, UNCONFIRMED).
    pub name_id_case_sensitive: bool,
}

/// What a user may enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Twelve digits.
    pub account_id: String,
    /// The account's name.
    pub account_name: String,
    /// Names of permission sets, sorted.
    pub roles: Vec<String>,
}

/// Why AWS lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    /// Identity Center is not enabled.
    #[error("IAM Identity Center is not enabled")]
    NotEnabled,
    /// NameID names no user of the identity store.
    #[error("no user with this user name exists in the identity store")]
    NoSuchUser,
    /// The user is disabled.
    #[error("the user is disabled in the identity store")]
    Disabled,
}

impl Aws {
    /// What AWS accepts SAML responses by; None without an external identity provider.
    #[must_use]
    pub fn saml_trust(&self) -> Option<SamlTrust> {
        let at = self.core.clock.now();
        self.with_state(at, false, false, |state| {
            let center = state.center.as_ref().ok_or(())?;
            let provider = center.identity_provider.as_ref().filter(|p| !p.entity_id.is_empty()).ok_or(())?;
            Ok::<_, ()>(SamlTrust {
                entity_id: entity_id(&state.region, &center.store.id, state.behaviours.newer_entity_id),
                acs_urls: acs_urls(&state.region, &center.saml_tenant),
                idp_entity_id: provider.entity_id.clone(),
                certificates: provider
                    .certificates
                    .iter()
                    .filter(|c| c.not_after > at)
                    .map(|c| c.der.clone())
                    .collect(),
                name_id_case_sensitive: state.behaviours.name_id_case_sensitive,
            })
        })
        .ok()
    }

    /// What the user named so may enter, by own assignments and those of their groups.
    ///
    /// # Errors
    /// When there is no such user, or the user is disabled.
    pub fn access_of(&self, user_name: &str) -> Result<Vec<Access>, AccessRefusal> {
        let at = self.core.clock.now();
        self.with_state(at, false, false, |state| {
            let center = state.center.as_ref().ok_or(AccessRefusal::NotEnabled)?;
            let exact = state.behaviours.name_id_case_sensitive;
            let user = center.store.user_named(user_name).filter(|u| !exact || u.user_name == user_name);
            let user = user.ok_or(AccessRefusal::NoSuchUser)?;
            if !user.active {
                return Err(AccessRefusal::Disabled);
            }
            Ok(roles(center, &user.id)
                .into_iter()
                .filter_map(|(account, roles)| {
                    let account = state.organization.account(&account).filter(|a| a.state == "ACTIVE")?;
                    Some(Access {
                        account_id: account.id.clone(),
                        account_name: account.name.clone(),
                        roles: roles.into_iter().collect(),
                    })
                })
                .collect())
        })
    }
}

fn roles(center: &Center, user: &str) -> BTreeMap<String, BTreeSet<String>> {
    let groups: BTreeSet<&str> = center.store.groups_of(user).collect();
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (assignment, _) in center.assignments.iter().filter(|(_, a)| a.truth().is_some()) {
        let theirs = if assignment.principal_type == "USER" {
            assignment.principal_id == user
        } else {
            groups.contains(assignment.principal_id.as_str())
        };
        if let (true, Some(set)) = (theirs, center.set(&assignment.set)) {
            out.entry(assignment.account.clone()).or_default().insert(set.name.clone());
        }
    }
    out
}
