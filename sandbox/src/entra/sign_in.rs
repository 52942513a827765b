//! What Entra says when a person opens an application (15, 4.2): the facts of a SAML response, or a refusal.

use super::Entra;
use super::claims;
use super::graph::certificates;
use super::state::{Kind, Object, State, list, text, texts};

/// What goes into the SAML response.
#[derive(Clone)]
pub struct SignInFacts {
    /// SAML issuer, `https://sts.windows.net/{tenant}/`.
    pub issuer: String,
    /// The application's first identifier, without `#` suffix (2.1).
    pub audience: String,
    /// The application's first reply URL.
    pub acs: String,
    /// Who signs in, as AWS shall know the person.
    pub name_id: String,
    /// Format of the NameID.
    pub name_id_format: String,
    /// Attributes by name; each with its values.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Private key that signs, PKCS #8 DER.
    pub private_key_pkcs8_der: Vec<u8>,
    /// Its certificate, DER.
    pub certificate_der: Vec<u8>,
}

impl std::fmt::Debug for SignInFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInFacts")
            .field("audience", &self.audience)
            .field("acs", &self.acs)
            .field("name_id", &self.name_id)
            .finish_non_exhaustive()
    }
}

/// Why Entra lets nobody in (15).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AADSTS{code}: {text}")]
pub struct SignInRefusal {
    /// AADSTS number.
    pub code: u32,
    /// What the page says.
    pub text: String,
}

pub(super) fn refused(code: u32, text: impl Into<String>) -> SignInRefusal {
    SignInRefusal { code, text: text.into() }
}

impl Entra {
    /// A person opens the application from the portal.
    ///
    /// # Errors
    /// The refusal that the person would see: 50034 no such user, 50057 disabled, 700016 no such application,
    /// 7000112 application disabled, 50105 not assigned, 50011 no reply URL, 50003 no signing certificate.
    pub fn sign_in(&self, user_principal_name: &str, app_id: &str) -> Result<SignInFacts, SignInRefusal> {
        let state = self.state_now();
        let user = state.by_upn(user_principal_name).ok_or_else(|| {
            let text = format!(
                "The user account {user_principal_name} does not exist in the {} directory.",
                self.tenant_id
            );
            refused(50_034, text)
        })?;
        if user.truth().get("accountEnabled").is_some_and(|v| v == false) {
            return Err(refused(50_057, "The user account is disabled."));
        }
        let unknown = || {
            let text = format!(
                "Application with identifier '{app_id}' was not found in the directory '{}'.",
                self.tenant_id
            );
            refused(700_016, text)
        };
        let service_principal = state.by_app_id(Kind::ServicePrincipal, app_id).ok_or_else(unknown)?;
        let application = state.by_app_id(Kind::Application, app_id).ok_or_else(unknown)?;
        let fields = service_principal.truth();
        if fields.get("accountEnabled").is_some_and(|v| v == false) {
            let text =
                format!("Application '{app_id}'({}) is disabled.", service_principal.text("displayName"));
            return Err(refused(7_000_112, text));
        }
        let roles = roles(&state, user, service_principal);
        if roles.is_empty() && fields.get("appRoleAssignmentRequired").is_some_and(|v| v == true) {
            let text = format!(
                "Your administrator has configured the application {} ('{app_id}') to block users unless they are \
                 specifically granted ('assigned') access to the application. The signed in user '{}' is blocked \
                 because they are not a direct member of a group with access, nor had access directly assigned by an \
                 administrator.",
                service_principal.text("displayName"),
                user.text("userPrincipalName")
            );
            return Err(refused(50_105, text));
        }
        if text(fields, "preferredSingleSignOnMode") != "saml" {
            return Err(refused(
                650_056,
                "Misconfigured application. Single sign-on is not set up for SAML.",
            ));
        }
        let no_reply = || refused(50_011, "The application has no reply URL that matches the request.");
        let acs = texts(fields, "replyUrls").first().map(|u| (*u).to_owned()).ok_or_else(no_reply)?;
        let no_identifier = || refused(650_056, "Misconfigured application. The identifier is missing.");
        let identifier = texts(application.truth(), "identifierUris").first().map(|u| (*u).to_owned());
        // `#2` and the like tell instances apart and are not part of the audience (2.1).
        let audience = identifier.ok_or_else(no_identifier)?.split('#').next().unwrap_or_default().to_owned();
        let activated = !text(fields, "preferredTokenSigningKeyThumbprint").is_empty();
        let certificate = certificates::signing(&state, fields, self.core.clock.now())
            .into_iter()
            .find(|c| c.valid && activated)
            .ok_or_else(|| {
                refused(50_003, "Sign-in failed because of a missing signing key or certificate.")
            })?;
        let subject =
            claims::Subject { tenant: &self.tenant_id, user: user.truth(), application, roles: &roles };
        let issued = match claims::policy(&state, &service_principal.id) {
            None => claims::gallery(&subject),
            Some(policy) => claims::mapped(&subject, &policy)?,
        };
        Ok(SignInFacts {
            issuer: format!("https://sts.windows.net/{}/", self.tenant_id),
            audience,
            acs,
            name_id: issued.name_id,
            name_id_format: issued.format,
            attributes: issued.attributes,
            private_key_pkcs8_der: certificate.key.pkcs8.clone(),
            certificate_der: certificate.key.certificate.clone(),
        })
    }
}

/// Values of the roles that the person holds, directly or as direct member of a group (4.2); a role without
/// value counts as an empty one.
fn roles(state: &State, user: &Object, service_principal: &Object) -> Vec<String> {
    let declared = list(service_principal.truth(), "appRoles");
    let holds = |principal: &str| principal == user.id || state.members_of(principal).any(|m| m == user.id);
    state
        .assigned_to(&service_principal.id)
        .filter(|a| holds(&a.principal_id) && state.find(&a.principal_id).is_some())
        .map(|a| {
            let role = declared.iter().find(|r| r["id"] == a.app_role_id.as_str());
            role.and_then(|r| r["value"].as_str()).unwrap_or_default().to_owned()
        })
        .collect()
}
