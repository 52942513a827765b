//! Which claims a SAML response carries: the gallery's defaults, or those of a claims mapping policy (3).

use serde_json::Value;

use super::graph::templates::SINGLE_ACCOUNT;
use super::sign_in::{SignInRefusal, refused};
use super::state::{Fields, Object, State, text, texts};

const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const CLAIMS: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims";
const MICROSOFT: &str = "http://schemas.microsoft.com/identity/claims";
const AWS: &str = "https://aws.amazon.com/SAML/Attributes";

/// Who signs in to what.
pub(super) struct Subject<'a> {
    pub(super) tenant: &'a str,
    pub(super) user: &'a Fields,
    pub(super) application: &'a Object,
    /// Values of the roles held; empty ones for roles without value.
    pub(super) roles: &'a [String],
}

/// What is said about the person.
pub(super) struct Issued {
    pub(super) name_id: String,
    pub(super) format: String,
    pub(super) attributes: Vec<(String, Vec<String>)>,
}

/// The policy attached to a service principal, parsed.
pub(super) fn policy(state: &State, service_principal: &str) -> Option<Value> {
    let id = state.attached.get(service_principal)?.first()?;
    let definition = *texts(state.policies.get(id)?, "definition").first()?;
    let document: Value = serde_json::from_str(definition).ok()?;
    Some(document["ClaimsMappingPolicy"].clone())
}

/// The gallery's default claims (3.1, 3.4).
pub(super) fn gallery(subject: &Subject<'_>) -> Issued {
    let mut attributes = basic(subject);
    if subject.application.text("applicationTemplateId") == SINGLE_ACCOUNT {
        let name = text(subject.user, "userPrincipalName").to_owned();
        attributes.push((format!("{AWS}/RoleSessionName"), vec![name]));
        attributes.push((format!("{AWS}/SessionDuration"), vec!["900".to_owned()]));
        let roles: Vec<String> = subject.roles.iter().filter(|r| !r.is_empty()).cloned().collect();
        if !roles.is_empty() {
            attributes.push((format!("{AWS}/Role"), roles));
        }
    }
    let name_id = text(subject.user, "userPrincipalName").to_owned();
    Issued { name_id, format: EMAIL.to_owned(), attributes }
}

/// The claims of a policy, which drops the gallery's defaults (3.1). Without a NameID of its own the person is
/// known by an opaque, persistent one.
pub(super) fn mapped(subject: &Subject<'_>, policy: &Value) -> Result<Issued, SignInRefusal> {
    let include = &policy["IncludeBasicClaimSet"];
    let included = include == true || include.as_str().is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let mut issued = Issued {
        name_id: text(subject.user, "id").to_owned(),
        format: PERSISTENT.to_owned(),
        attributes: if included { basic(subject) } else { Vec::new() },
    };
    for entry in policy["ClaimsSchema"].as_array().into_iter().flatten() {
        let Some(claim) = entry["SamlClaimType"].as_str() else { continue };
        let values = match entry["Value"].as_str() {
            Some(constant) => vec![constant.to_owned()],
            None => source(subject, entry),
        };
        if claim == format!("{CLAIMS}/nameidentifier") {
            let value = values.into_iter().next().ok_or_else(|| {
                refused(
                    501_241,
                    "Mandatory input is missing from the transformation: the NameID has no value.",
                )
            })?;
            issued.name_id = value;
            issued.format = entry["SamlNameIdFormat"].as_str().unwrap_or(EMAIL).to_owned();
        } else if !values.is_empty() {
            issued.attributes.retain(|(name, _)| name != claim);
            issued.attributes.push((claim.to_owned(), values));
        }
    }
    Ok(issued)
}

fn basic(subject: &Subject<'_>) -> Vec<(String, Vec<String>)> {
    let user = subject.user;
    [
        (format!("{MICROSOFT}/tenantid"), subject.tenant),
        (format!("{MICROSOFT}/objectidentifier"), text(user, "id")),
        (format!("{MICROSOFT}/displayname"), text(user, "displayName")),
        (format!("{CLAIMS}/name"), text(user, "userPrincipalName")),
        (format!("{CLAIMS}/givenname"), text(user, "givenName")),
        (format!("{CLAIMS}/surname"), text(user, "surname")),
        (format!("{CLAIMS}/emailaddress"), text(user, "mail")),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name, vec![value.to_owned()]))
    .collect()
}

/// What a `Source` and `ID` stand for; names are those of the contract, in lower case.
fn source(subject: &Subject<'_>, entry: &Value) -> Vec<String> {
    let id = ["ID", "Id"].iter().find_map(|key| entry[*key].as_str()).unwrap_or_default().to_lowercase();
    let from = entry["Source"].as_str().unwrap_or_default();
    let property = match (from, id.as_str()) {
        ("user", "assignedroles") => {
            return subject.roles.iter().filter(|r| !r.is_empty()).cloned().collect();
        }
        ("user", "objectid") => "id",
        ("user", "telephonenumber") => {
            return texts(subject.user, "businessPhones").into_iter().take(1).map(str::to_owned).collect();
        }
        ("user", "othermail") => {
            return texts(subject.user, "otherMails").into_iter().take(1).map(str::to_owned).collect();
        }
        ("user", name) => {
            let found = subject.user.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            return found
                .and_then(|(_, v)| v.as_str())
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
                .into_iter()
                .collect();
        }
        ("application" | "resource" | "audience", "displayname") => {
            return vec![subject.application.text("displayName").to_owned()];
        }
        ("company", "tenantid") => return vec![subject.tenant.to_owned()],
        _ => return Vec::new(),
    };
    Some(text(subject.user, property)).filter(|v| !v.is_empty()).map(str::to_owned).into_iter().collect()
}
