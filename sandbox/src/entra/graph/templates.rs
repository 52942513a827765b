//! Application templates and what is made from them (1.1, 1.2).

use serde_json::{Value, json};

use super::types::{self, TEMPLATE};
use super::{Answer, Call, Outcome};
use crate::entra::errors::GraphError;
use crate::entra::odata;
use crate::entra::state::{Fields, Kind, Object, State, iso};

/// The gallery application for IAM Identity Center (1.1).
pub(in crate::entra) const IDENTITY_CENTER: &str = "21ed01d2-ec13-4e9e-86c1-cd546719ebc4";
/// The gallery application for one account's IAM SAML.
pub(in crate::entra) const SINGLE_ACCOUNT: &str = "8b1025e4-1dd2-430b-a150-2ef79cd700f5";
/// Any other SAML application.
const CUSTOM: &str = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";

struct Template {
    id: &'static str,
    name: &'static str,
    publisher: &'static str,
    modes: &'static [&'static str],
    provisioning: &'static [&'static str],
    home_page: Option<&'static str>,
    redirect_uris: &'static [&'static str],
    tags: &'static [&'static str],
}

const TEMPLATES: [Template; 4] = [
    Template {
        id: IDENTITY_CENTER,
        name: "AWS IAM Identity Center (successor to AWS Single Sign-On)",
        publisher: "Amazon",
        modes: &["saml", "external"],
        provisioning: &["sync"],
        home_page: Some(
            "https://*.signin.aws.amazon.com/platform/saml/acs/*?metadata=awssinglesignon|ISV9.1|primary|z",
        ),
        redirect_uris: &[],
        tags: &["WindowsAzureActiveDirectoryIntegratedApp"],
    },
    Template {
        id: SINGLE_ACCOUNT,
        name: "AWS Single-Account Access",
        publisher: "Amazon",
        modes: &["password", "saml", "external"],
        provisioning: &["sync"],
        home_page: Some("https://signin.aws.amazon.com/saml?metadata=aws|ISV9.1|primary|z"),
        redirect_uris: &["https://signin.aws.amazon.com/saml"],
        tags: &["WindowsAzureActiveDirectoryIntegratedApp"],
    },
    Template {
        id: "0fc48f9b-1c9e-4b2d-9c8b-0c0a1f4e7d11",
        name: "Box",
        publisher: "Box",
        modes: &["saml", "external"],
        provisioning: &["sync"],
        home_page: Some("https://*.app.box.com?metadata=box|ISV9.1|primary|z"),
        redirect_uris: &[],
        tags: &["WindowsAzureActiveDirectoryIntegratedApp"],
    },
    Template {
        id: CUSTOM,
        name: "Custom",
        publisher: "Microsoft",
        modes: &["saml", "password", "external"],
        provisioning: &[],
        home_page: None,
        redirect_uris: &[],
        tags: &[
            "WindowsAzureActiveDirectoryCustomSingleSignOnApplication",
            "WindowsAzureActiveDirectoryIntegratedApp",
        ],
    },
];

impl Template {
    fn fields(&self) -> Fields {
        let value = json!({
            "id": self.id,
            "displayName": self.name,
            "homePageUrl": self.home_page,
            "supportedSingleSignOnModes": self.modes,
            "supportedProvisioningTypes": self.provisioning,
            "logoUrl": null,
            "categories": ["developerServices"],
            "publisher": self.publisher,
            "description": null,
            "endpoints": [],
            "isEntraIntegrated": false,
        });
        match value {
            Value::Object(fields) => fields,
            _ => Fields::new(),
        }
    }
}

fn find(id: &str) -> Result<&'static Template, GraphError> {
    TEMPLATES.iter().find(|t| t.id.eq_ignore_ascii_case(id)).ok_or_else(|| GraphError::not_found(id))
}

pub(super) fn list(call: &Call) -> Outcome {
    call.query.allow(&["filter", "select", "top", "skip", "skiptoken", "count"])?;
    let filter = types::filter(&call.query, TEMPLATE, "applicationTemplate", call.eventual)?;
    let selection = types::selection(&call.query, TEMPLATE, "applicationTemplate")?;
    let skip = call.query.get("skip").map_or(Ok(0), str::parse::<usize>);
    let skip = skip.map_err(|_| GraphError::new(400, "BadRequest", "Invalid value for '$skip'."))?;
    let all = TEMPLATES.iter().map(|t| (t.id.to_owned(), t.fields()));
    let mut all: Vec<(String, Value)> = all
        .filter(|(_, fields)| filter.as_ref().is_none_or(|f: &odata::Filter| f.matches(fields)))
        .skip(skip)
        .map(|(id, fields)| (id, Value::Object(types::shown(&fields, &selection, TEMPLATE))))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    call.collection("applicationTemplates", all, 100, 999)
}

pub(super) fn get(call: &Call) -> Outcome {
    call.query.allow(&["select"])?;
    let selection = types::selection(&call.query, TEMPLATE, "applicationTemplate")?;
    let fields = types::shown(&find(call.id(0))?.fields(), &selection, TEMPLATE);
    Ok(Answer::ok(call.entity("applicationTemplates", fields)))
}

/// Not idempotent; by switch, answers 404 and creates all the same (1.2). With `OwnedBy` the new objects
/// have no owner: the caller cannot touch them (0.1).
pub(super) fn instantiate(call: &mut Call, state: &mut State) -> Outcome {
    let template = find(call.id(0))?;
    let body = call.body.as_ref().and_then(Value::as_object);
    let body = body.ok_or_else(|| GraphError::bad("A JSON object is required in the request body."))?;
    let known = ["displayName", "serviceManagementReference"];
    if let Some(unknown) = body.keys().find(|k| !known.contains(&k.as_str()) && !k.contains("@odata.")) {
        let text = format!(
            "The parameter '{unknown}' in the request payload is not a valid parameter for the operation 'instantiate'."
        );
        return Err(GraphError::bad(text));
    }
    let name = body.get("displayName").and_then(Value::as_str).filter(|n| !n.is_empty() && n.len() <= 256);
    let name = name.ok_or_else(|| GraphError::bad("Invalid value specified for property 'displayName'."))?;
    let made = Made {
        core: &call.entra.core,
        state,
        domain: call.entra.domains.first().map_or("", String::as_str),
        tenant: &call.entra.tenant_id,
        template: Some(template),
    };
    let (application, service_principal) = made.build(name, None, None, Some(&call.token.client_id));
    call.target = format!("application {}", application["appId"].as_str().unwrap_or_default());
    let core = &call.entra.core;
    let now = core.clock.now();
    for (kind, fields) in [(Kind::Application, &application), (Kind::ServicePrincipal, &service_principal)] {
        let lag = core.ids.draw(core.profile.entra_create_lag);
        state.insert(Object::new(kind, fields.clone(), now, lag, true));
    }
    if call.entra.behaviours.instantiate_answers404 {
        return Err(GraphError::not_found(call.id(0)));
    }
    let mut answer = Fields::new();
    let context = call.context("microsoft.graph.applicationServicePrincipal");
    answer.insert("@odata.context".into(), context);
    answer.insert("application".into(), Value::Object(application));
    answer.insert("servicePrincipal".into(), Value::Object(service_principal));
    Ok(Answer::created(Value::Object(answer)))
}

/// An application of the world file, made from its template or, without one, from nothing.
pub(in crate::entra) fn existing(
    core: &crate::core::Core,
    state: &State,
    (domain, tenant): (&str, &str),
    world: &crate::world::ExistingApplication,
) -> (Fields, Fields) {
    let template = world.application_template_id.as_deref().unwrap_or(CUSTOM);
    let template = find(template).unwrap_or(&TEMPLATES[TEMPLATES.len() - 1]);
    let bare = world.application_template_id.is_none();
    let made = Made { core, state, domain, tenant, template: Some(template).filter(|_| !bare) };
    made.build(&world.display_name, world.app_id.as_deref(), world.notes.as_deref(), None)
}

/// The registration of a client that may ask for tokens.
pub(in crate::entra) fn of_client(
    core: &crate::core::Core,
    state: &State,
    (domain, tenant): (&str, &str),
    client_id: &str,
) -> (Fields, Fields) {
    Made { core, state, domain, tenant, template: None }.build("Automation", Some(client_id), None, None)
}

struct Made<'a> {
    core: &'a crate::core::Core,
    state: &'a State,
    domain: &'a str,
    tenant: &'a str,
    template: Option<&'a Template>,
}

impl Made<'_> {
    fn build(
        &self,
        name: &str,
        app_id: Option<&str>,
        notes: Option<&str>,
        creator: Option<&str>,
    ) -> (Fields, Fields) {
        let ids = &self.core.ids;
        let now = iso(self.core.clock.now());
        let fresh = || self.state.fresh_id(self.core);
        let app_id = app_id.map_or_else(fresh, str::to_owned);
        let template = self.template;
        let (template_id, home_page) = (template.map(|t| t.id), template.and_then(|t| t.home_page));
        let redirects = template.map_or(&[] as &[&str], |t| t.redirect_uris);
        let tags = template.map_or(&["WindowsAzureActiveDirectoryIntegratedApp"] as &[&str], |t| t.tags);
        // Role ids differ per instance: a role is found by its name (1.2).
        let role = |name: &str| {
            json!({
                "allowedMemberTypes": ["User"], "description": name, "displayName": name, "id": ids.uuid(),
                "isEnabled": true, "origin": "Application", "value": null,
            })
        };
        let roles = match template {
            Some(_) => json!([role("User"), role("msiam_access")]),
            None => json!([]),
        };
        let application = json!({
            "id": fresh(), "appId": app_id, "applicationTemplateId": template_id,
            "createdByAppId": creator, "createdDateTime": now, "deletedDateTime": null, "displayName": name,
            "description": null, "groupMembershipClaims": null, "identifierUris": [], "notes": notes,
            "publisherDomain": self.domain, "samlMetadataUrl": null, "signInAudience": "AzureADMyOrg",
            "tags": tags, "uniqueName": null, "isDisabled": null, "addIns": [],
            "api": {
                "acceptMappedClaims": null, "knownClientApplications": [], "requestedAccessTokenVersion": null,
                "oauth2PermissionScopes": [], "preAuthorizedApplications": [],
            },
            "appRoles": roles, "info": {}, "keyCredentials": [], "passwordCredentials": [],
            "requiredResourceAccess": [], "spa": { "redirectUris": [] }, "publicClient": { "redirectUris": [] },
            "web": {
                "homePageUrl": home_page, "logoutUrl": null, "redirectUris": redirects,
                "implicitGrantSettings": { "enableAccessTokenIssuance": false, "enableIdTokenIssuance": true },
                "redirectUriSettings": [],
            },
        });
        let service_principal = json!({
            "id": fresh(), "appId": app_id, "applicationTemplateId": template_id, "accountEnabled": true,
            "appDisplayName": name, "displayName": name, "createdDateTime": now, "deletedDateTime": null,
            "appOwnerOrganizationId": self.tenant, "appRoleAssignmentRequired": template.is_some(),
            "appRoles": roles, "description": null, "homepage": home_page, "keyCredentials": [],
            "loginUrl": null, "logoutUrl": null, "notes": null, "notificationEmailAddresses": [],
            "passwordCredentials": [], "preferredSingleSignOnMode": null,
            "preferredTokenSigningKeyThumbprint": null, "replyUrls": redirects, "samlSingleSignOnSettings": null,
            "servicePrincipalNames": [app_id], "servicePrincipalType": "Application",
            "signInAudience": "AzureADMyOrg", "tags": tags,
        });
        match (application, service_principal) {
            (Value::Object(application), Value::Object(service_principal)) => {
                (application, service_principal)
            }
            _ => (Fields::new(), Fields::new()),
        }
    }
}
