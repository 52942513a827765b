//! What properties the directory's types have: the measure for bodies, `$select` and `$filter`.

use serde_json::Value;

use crate::entra::errors::GraphError;
use crate::entra::odata::{Filter, Op, Query};
use crate::entra::state::{Fields, Kind};

/// The type of a property.
#[derive(Debug, Clone, Copy)]
pub(in crate::entra) enum Type {
    Text,
    Bool,
    Int,
    Texts,
    /// An object of which nothing is known here but that it is one.
    Object,
    /// A list of such objects.
    Objects,
    /// An object with these members.
    Complex(&'static [Property]),
    /// A list of such objects.
    Many(&'static [Property]),
}

/// One property of a type.
#[derive(Debug, Clone, Copy)]
pub(in crate::entra) struct Property {
    pub(in crate::entra) name: &'static str,
    of: Type,
    writable: bool,
    /// Part of answers without `$select`.
    shown: bool,
    /// Filterable by eq; by startswith; by any().
    filters: (bool, bool, bool),
    /// `null` is no value for it.
    required: bool,
}

const fn p(name: &'static str, of: Type) -> Property {
    Property { name, of, writable: false, shown: true, filters: (false, false, false), required: false }
}

impl Property {
    const fn rw(mut self) -> Self {
        self.writable = true;
        self
    }
    const fn hidden(mut self) -> Self {
        self.shown = false;
        self
    }
    const fn eq(mut self) -> Self {
        self.filters.0 = true;
        self
    }
    const fn starts(mut self) -> Self {
        self.filters.0 = true;
        self.filters.1 = true;
        self
    }
    const fn any(mut self) -> Self {
        self.filters.2 = true;
        self
    }
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

use Type::{Bool, Complex, Int, Many, Object, Objects, Text, Texts};

const APP_ROLE: &[Property] = &[
    p("allowedMemberTypes", Texts).rw(),
    p("description", Text).rw(),
    p("displayName", Text).rw(),
    p("id", Text).rw(),
    p("isEnabled", Bool).rw(),
    p("origin", Text).rw(),
    p("value", Text).rw(),
];

const KEY_CREDENTIAL: &[Property] = &[
    p("customKeyIdentifier", Text).rw(),
    p("displayName", Text).rw(),
    p("endDateTime", Text).rw(),
    p("key", Text).rw(),
    p("keyId", Text).rw(),
    p("startDateTime", Text).rw(),
    p("type", Text).rw(),
    p("usage", Text).rw(),
];

const PASSWORD_CREDENTIAL: &[Property] = &[
    p("customKeyIdentifier", Text).rw(),
    p("displayName", Text).rw(),
    p("endDateTime", Text).rw(),
    p("hint", Text).rw(),
    p("keyId", Text).rw(),
    p("secretText", Text).rw(),
    p("startDateTime", Text).rw(),
];

const WEB: &[Property] = &[
    p("homePageUrl", Text).rw(),
    p("implicitGrantSettings", Object).rw(),
    p("logoutUrl", Text).rw(),
    p("redirectUriSettings", Objects).rw(),
    p("redirectUris", Texts).rw(),
];

const API: &[Property] = &[
    p("acceptMappedClaims", Bool).rw(),
    p("knownClientApplications", Texts).rw(),
    p("oauth2PermissionScopes", Objects).rw(),
    p("preAuthorizedApplications", Objects).rw(),
    p("requestedAccessTokenVersion", Int).rw(),
];

/// application (1.4).
const APPLICATION: &[Property] = &[
    p("id", Text).eq(),
    p("addIns", Objects).rw(),
    p("api", Complex(API)).rw(),
    p("appId", Text).eq(),
    p("appRoles", Many(APP_ROLE)).rw(),
    p("applicationTemplateId", Text).eq(),
    p("certification", Object),
    p("createdByAppId", Text),
    p("createdDateTime", Text),
    p("defaultRedirectUri", Text).rw(),
    p("deletedDateTime", Text),
    p("description", Text).rw(),
    p("disabledByMicrosoftStatus", Text),
    p("displayName", Text).rw().starts().required(),
    p("groupMembershipClaims", Text).rw(),
    p("identifierUris", Texts).rw().any(),
    p("info", Object).rw(),
    p("isDeviceOnlyAuthSupported", Bool).rw(),
    p("isDisabled", Bool).rw(),
    p("isFallbackPublicClient", Bool).rw(),
    p("keyCredentials", Many(KEY_CREDENTIAL)).rw(),
    p("notes", Text).rw(),
    p("optionalClaims", Object).rw(),
    p("parentalControlSettings", Object).rw(),
    p("passwordCredentials", Many(PASSWORD_CREDENTIAL)).rw(),
    p("publicClient", Object).rw(),
    p("publisherDomain", Text).eq(),
    p("requestSignatureVerification", Object).rw(),
    p("requiredResourceAccess", Objects).rw(),
    p("samlMetadataUrl", Text).rw(),
    p("serviceManagementReference", Text).rw(),
    p("servicePrincipalLockConfiguration", Object).rw(),
    p("signInAudience", Text).rw().eq(),
    p("spa", Object).rw(),
    p("tags", Texts).rw().any(),
    p("tokenEncryptionKeyId", Text).rw(),
    p("uniqueName", Text).rw().eq(),
    p("verifiedPublisher", Object),
    p("web", Complex(WEB)).rw(),
];

/// servicePrincipal (1.4).
const SERVICE_PRINCIPAL: &[Property] = &[
    p("id", Text).eq(),
    p("accountEnabled", Bool).rw().eq(),
    p("addIns", Objects).rw(),
    p("alternativeNames", Texts).rw().any(),
    p("appDescription", Text),
    p("appDisplayName", Text),
    p("appId", Text).eq(),
    p("appOwnerOrganizationId", Text).eq(),
    p("appRoleAssignmentRequired", Bool).rw(),
    p("appRoles", Many(APP_ROLE)).rw(),
    p("applicationTemplateId", Text),
    p("createdByAppId", Text),
    p("createdDateTime", Text),
    p("customSecurityAttributes", Object).hidden(),
    p("deletedDateTime", Text),
    p("description", Text).rw(),
    p("disabledByMicrosoftStatus", Text),
    p("displayName", Text).rw().starts().required(),
    p("homepage", Text).rw(),
    p("info", Object),
    p("isDisabled", Bool).rw(),
    p("keyCredentials", Many(KEY_CREDENTIAL)).rw(),
    p("loginUrl", Text).rw(),
    p("logoutUrl", Text).rw(),
    p("notes", Text).rw(),
    p("notificationEmailAddresses", Texts).rw(),
    p("oauth2PermissionScopes", Objects),
    p("passwordCredentials", Many(PASSWORD_CREDENTIAL)).rw(),
    p("preferredSingleSignOnMode", Text).rw(),
    p("preferredTokenSigningKeyThumbprint", Text).rw(),
    p("replyUrls", Texts).rw(),
    p("resourceSpecificApplicationPermissions", Objects),
    p("samlSingleSignOnSettings", Complex(&[p("relayState", Text).rw()])).rw(),
    p("servicePrincipalNames", Texts).rw().any(),
    p("servicePrincipalType", Text).eq(),
    p("signInAudience", Text),
    p("tags", Texts).rw().any(),
    p("tokenEncryptionKeyId", Text).rw(),
    p("verifiedPublisher", Object),
];

/// user: what is not shown without `$select` is the usual trap.
const USER: &[Property] = &[
    p("businessPhones", Texts).rw(),
    p("displayName", Text).rw().starts().required(),
    p("givenName", Text).rw().starts(),
    p("jobTitle", Text).rw().starts(),
    p("mail", Text).rw().starts(),
    p("mobilePhone", Text).rw(),
    p("officeLocation", Text).rw(),
    p("preferredLanguage", Text).rw(),
    p("surname", Text).rw().starts(),
    p("userPrincipalName", Text).rw().starts().required(),
    p("id", Text).eq(),
    p("accountEnabled", Bool).rw().eq().required().hidden(),
    p("city", Text).rw().hidden(),
    p("companyName", Text).rw().hidden(),
    p("country", Text).rw().hidden(),
    p("createdDateTime", Text).hidden(),
    p("deletedDateTime", Text).hidden(),
    p("department", Text).rw().starts().hidden(),
    p("employeeId", Text).rw().starts().hidden(),
    p("externalUserState", Text).hidden(),
    p("faxNumber", Text).rw().hidden(),
    p("mailNickname", Text).rw().starts().required().hidden(),
    p("onPremisesImmutableId", Text).rw().eq().hidden(),
    p("onPremisesSamAccountName", Text).hidden(),
    p("otherMails", Texts).rw().any().hidden(),
    p("passwordProfile", Object).rw().hidden(),
    p("postalCode", Text).rw().hidden(),
    p("proxyAddresses", Texts).any().hidden(),
    p("state", Text).rw().hidden(),
    p("streetAddress", Text).rw().hidden(),
    p("usageLocation", Text).rw().hidden(),
    p("userType", Text).rw().eq().hidden(),
];

/// group.
const GROUP: &[Property] = &[
    p("id", Text).eq(),
    p("createdDateTime", Text),
    p("deletedDateTime", Text),
    p("description", Text).rw(),
    p("displayName", Text).rw().starts().required(),
    p("groupTypes", Texts).any(),
    p("isAssignableToRole", Bool),
    p("mail", Text).starts(),
    p("mailEnabled", Bool).rw().eq().required(),
    p("mailNickname", Text).rw().starts().required(),
    p("membershipRule", Text).rw(),
    p("membershipRuleProcessingState", Text).rw(),
    p("onPremisesSyncEnabled", Bool).eq(),
    p("preferredLanguage", Text).rw(),
    p("proxyAddresses", Texts).any(),
    p("renewedDateTime", Text),
    p("securityEnabled", Bool).rw().eq().required(),
    p("securityIdentifier", Text),
    p("theme", Text).rw(),
    p("visibility", Text).rw(),
];

/// appRoleAssignment (4.1, 4.2).
pub(in crate::entra) const ASSIGNMENT: &[Property] = &[
    p("id", Text),
    p("deletedDateTime", Text),
    p("appRoleId", Text).rw(),
    p("createdDateTime", Text),
    p("principalDisplayName", Text).starts(),
    p("principalId", Text).rw(),
    p("principalType", Text),
    p("resourceDisplayName", Text),
    p("resourceId", Text).rw(),
];

/// claimsMappingPolicy (3.2).
pub(in crate::entra) const CLAIMS_POLICY: &[Property] = &[
    p("id", Text).eq(),
    p("deletedDateTime", Text),
    p("definition", Texts).rw(),
    p("displayName", Text).rw().starts().required(),
    p("isOrganizationDefault", Bool).rw(),
];

/// applicationTemplate (1.1).
pub(in crate::entra) const TEMPLATE: &[Property] = &[
    p("id", Text),
    p("displayName", Text).starts(),
    p("description", Text),
    p("publisher", Text),
    p("homePageUrl", Text),
    p("logoUrl", Text),
    p("categories", Texts).any(),
    p("supportedSingleSignOnModes", Texts),
    p("supportedProvisioningTypes", Texts),
    p("endpoints", Texts),
    p("isEntraIntegrated", Bool),
    p("deprecationDate", Text),
    p("lastModifiedDateTime", Text),
];

impl Kind {
    /// The properties of the type.
    pub(in crate::entra) const fn properties(self) -> &'static [Property] {
        match self {
            Self::Application => APPLICATION,
            Self::ServicePrincipal => SERVICE_PRINCIPAL,
            Self::User => USER,
            Self::Group => GROUP,
        }
    }
}

/// Checks what a caller wants to write: only known, writable properties of the right type. OData
/// annotations are taken out, as the real service ignores them.
pub(in crate::entra) fn writable(
    body: Option<&Value>,
    properties: &[Property],
    type_name: &str,
) -> Result<Fields, GraphError> {
    let Some(Value::Object(body)) = body else {
        return Err(GraphError::bad("A JSON object is required in the request body."));
    };
    let mut fields = Fields::new();
    for (name, value) in body {
        if name.contains("@odata.") {
            continue;
        }
        let Some(property) = properties.iter().find(|p| p.name == name) else {
            return Err(GraphError::bad(format!(
                "The property '{name}' does not exist on type 'microsoft.graph.{type_name}'. Make sure to only use \
                 property names that are defined by the type."
            )));
        };
        if !property.writable {
            return Err(GraphError::bad(format!("Property '{name}' is read-only and cannot be set.")));
        }
        if property.required && (value.is_null() || value.as_str() == Some("")) {
            return Err(GraphError::bad(format!(
                "Invalid value specified for property '{name}' of resource '{type_name}'."
            )));
        }
        fields.insert(name.clone(), checked(name, value, property.of)?);
    }
    Ok(fields)
}

fn checked(name: &str, value: &Value, of: Type) -> Result<Value, GraphError> {
    let wrong = |expected: &str| {
        GraphError::bad(format!(
            "Invalid value specified for property '{name}': a value of type {expected} is expected."
        ))
    };
    match (of, value) {
        (_, Value::Null) => match of {
            Texts | Objects | Many(_) => Err(wrong("Collection")),
            _ => Ok(Value::Null),
        },
        (Text, Value::String(_)) | (Bool, Value::Bool(_)) | (Object, Value::Object(_)) => Ok(value.clone()),
        (Int, Value::Number(n)) if n.is_i64() => Ok(value.clone()),
        (Texts, Value::Array(all)) if all.iter().all(Value::is_string) => Ok(value.clone()),
        (Objects, Value::Array(all)) if all.iter().all(Value::is_object) => Ok(value.clone()),
        (Complex(members), Value::Object(_)) => Ok(Value::Object(writable(Some(value), members, name)?)),
        (Many(members), Value::Array(all)) => {
            let all: Result<Vec<Value>, GraphError> =
                all.iter().map(|one| Ok(Value::Object(writable(Some(one), members, name)?))).collect();
            Ok(Value::Array(all?))
        }
        (Text, _) => Err(wrong("Edm.String")),
        (Bool, _) => Err(wrong("Edm.Boolean")),
        (Int, _) => Err(wrong("Edm.Int32")),
        (Texts, _) => Err(wrong("Collection(Edm.String)")),
        (Object | Complex(_), _) => Err(wrong("object")),
        (Objects | Many(_), _) => Err(wrong("Collection(object)")),
    }
}

/// Parses `$filter` and refuses what the type cannot be filtered by.
pub(in crate::entra) fn filter(
    query: &Query,
    properties: &[Property],
    type_name: &str,
    eventual: bool,
) -> Result<Option<Filter>, GraphError> {
    let Some(text) = query.get("filter") else { return Ok(None) };
    let filter = Filter::parse(text)?;
    let advanced = eventual && query.counts();
    for (path, op) in filter.leaves() {
        let filters = properties.iter().find(|p| p.name == path).map(|p| p.filters);
        let supported = match (filters, op) {
            (None, _) => false,
            (Some((eq, ..)), Some(Op::Eq | Op::Ne)) => eq,
            (Some((_, starts, _)), Some(Op::StartsWith | Op::EndsWith)) => starts,
            (Some((_, starts, _)), Some(Op::Contains)) => starts && type_name == "applicationTemplate",
            (Some((.., any)), None) => any,
        };
        if !supported {
            return Err(GraphError::unsupported_query(format!(
                "Unsupported or invalid query filter clause specified for property '{path}' of resource \
                 '{type_name}'."
            )));
        }
    }
    if filter.advanced() && !advanced {
        return Err(GraphError::unsupported_query(
            "Unsupported Query. Advanced query parameters are required.",
        ));
    }
    Ok(Some(filter))
}

/// The properties asked for by `$select`, all shown ones without.
pub(in crate::entra) fn selection(
    query: &Query,
    properties: &'static [Property],
    type_name: &str,
) -> Result<Vec<&'static str>, GraphError> {
    let Some(text) = query.get("select") else {
        return Ok(properties.iter().filter(|p| p.shown).map(|p| p.name).collect());
    };
    let mut names = Vec::new();
    for name in text.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        if name == "*" {
            names.extend(properties.iter().filter(|p| p.shown).map(|p| p.name));
            continue;
        }
        let property = properties.iter().find(|p| p.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let text = format!(
                "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type \
                 'microsoft.graph.{type_name}'."
            );
            GraphError::new(400, "BadRequest", text)
        })?;
        names.push(property.name);
    }
    Ok(names)
}

/// An object cut down to the selected properties; those it lacks are null or empty, as their type has it.
pub(in crate::entra) fn shown(
    fields: &Fields,
    selection: &[&'static str],
    properties: &[Property],
) -> Fields {
    let mut out = Fields::new();
    for name in selection {
        let value = fields.get(*name).cloned().unwrap_or_else(|| {
            match properties.iter().find(|p| p.name == *name).map(|p| p.of) {
                Some(Texts | Objects | Many(_)) => Value::Array(Vec::new()),
                _ => Value::Null,
            }
        });
        out.insert((*name).to_owned(), value);
    }
    out
}
