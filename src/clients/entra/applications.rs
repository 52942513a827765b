//! Applications and their service principals (contract Graph 1, 2.1, 9).

use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Graph, Reply, literal, segment};
use crate::clients::CloudError;

/// The gallery template "AWS IAM Identity Center" (contract Graph 1.1).
pub const IDENTITY_CENTER_TEMPLATE: &str = "21ed01d2-ec13-4e9e-86c1-cd546719ebc4";

/// What is read of an application.
const APPLICATION_FIELDS: &str = "id,appId,displayName,applicationTemplateId,notes,identifierUris,web";

/// What is read of a service principal; certificates are read apart (contract Graph 2.2).
const SERVICE_PRINCIPAL_FIELDS: &str = "id,appId,displayName,appRoleAssignmentRequired,preferredSingleSignOnMode,\
     preferredTokenSigningKeyThumbprint,notificationEmailAddresses,appRoles";

/// An application registration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Object id.
    pub id: String,
    /// Application (client) id.
    pub app_id: String,
    /// The name people see; not unique.
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    /// The gallery template that it was made from.
    #[serde(default)]
    pub application_template_id: Option<String>,
    /// Free text for administrators; carries the owner mark.
    #[serde(default)]
    pub notes: Option<String>,
    /// The SAML entity ids of the service provider.
    #[serde(default, deserialize_with = "or_default")]
    pub identifier_uris: Vec<String>,
    /// Reply URLs and what stands beside them.
    #[serde(default, deserialize_with = "or_default")]
    pub web: Web,
}

/// The `web` member of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Web {
    /// Carries the gallery's marker; never changed.
    #[serde(default)]
    pub home_page_url: Option<String>,
    /// Never changed.
    #[serde(default)]
    pub logout_url: Option<String>,
    /// The SAML assertion consumer URLs.
    #[serde(default, deserialize_with = "or_default")]
    pub redirect_uris: Vec<String>,
}

/// A service principal: the enterprise application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipal {
    /// Object id.
    pub id: String,
    /// Application (client) id.
    pub app_id: String,
    /// The name people see.
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    /// Only assigned people may sign in.
    #[serde(default, deserialize_with = "or_default")]
    pub app_role_assignment_required: bool,
    /// `saml` once SAML is on.
    #[serde(default)]
    pub preferred_single_sign_on_mode: Option<String>,
    /// Upper-case hexadecimal SHA-1 of the active signing certificate.
    #[serde(default)]
    pub preferred_token_signing_key_thumbprint: Option<String>,
    /// Who gets mail before the signing certificate ends.
    #[serde(default, deserialize_with = "or_default")]
    pub notification_email_addresses: Vec<String>,
    /// The roles that can be assigned.
    #[serde(default, deserialize_with = "or_default")]
    pub app_roles: Vec<AppRole>,
}

/// An application role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRole {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    /// Whether it can be assigned.
    #[serde(default, deserialize_with = "or_default")]
    pub is_enabled: bool,
    /// `User` (people and groups), `Application`.
    #[serde(default, deserialize_with = "or_default")]
    pub allowed_member_types: Vec<String>,
}

/// What instantiating a template answers; the objects may stay invisible for minutes (contract Graph 1.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instantiated {
    /// The application.
    pub application: Application,
    /// Its service principal.
    pub service_principal: ServicePrincipal,
}

/// Graph writes `null` where a list is empty or a flag is unset.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Turns "does not exist or is not visible" into nothing.
pub(super) fn visible<T>(result: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Graph {
    /// An application by its object id; none when it does not exist or is not visible (contract Graph 1.3).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn application(&self, object_id: &str) -> Result<Option<Application>, CloudError> {
        let path = format!("/applications/{}", segment(object_id));
        visible(self.get("GET /applications/{id}", &path, &[("$select", APPLICATION_FIELDS)]).await)
    }

    /// An application by its application (client) id (contract Graph 1.3).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn application_by_app_id(&self, app_id: &str) -> Result<Option<Application>, CloudError> {
        let filter = format!("appId eq {}", literal(app_id));
        let found: Vec<Application> = self
            .list(
                "GET /applications",
                "/applications",
                &[("$filter", &filter), ("$select", APPLICATION_FIELDS)],
            )
            .await?;
        Ok(found.into_iter().next())
    }

    /// Applications with this identifier (contract Graph 1.3): at most one, as far as one can see.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn applications_identified_by(&self, uri: &str) -> Result<Vec<Application>, CloudError> {
        let filter = format!("identifierUris/any(u:u eq {})", literal(uri));
        self.list(
            "GET /applications",
            "/applications",
            &[("$filter", &filter), ("$select", APPLICATION_FIELDS)],
        )
        .await
    }

    /// All applications made from a gallery template (contract Graph 1.3).
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn applications_of_template(&self, template: &str) -> Result<Vec<Application>, CloudError> {
        let filter = format!("applicationTemplateId eq {}", literal(template));
        self.list(
            "GET /applications",
            "/applications",
            &[("$filter", &filter), ("$select", APPLICATION_FIELDS)],
        )
        .await
    }

    /// Makes an application and its service principal from a template. Not idempotent, and a 404 may be a lie:
    /// whatever comes back, the application is looked for by its name (contract Graph 1.2).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn instantiate(&self, template: &str, display_name: &str) -> Result<Reply, CloudError> {
        let path = format!("/applicationTemplates/{}/instantiate", segment(template));
        let body = json!({ "displayName": display_name });
        self.send("POST /applicationTemplates/{id}/instantiate", Method::POST, &path, Some(&body)).await
    }

    /// Changes exactly the given members of an application (contract Graph 1.4).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn patch_application(&self, object_id: &str, body: &Value) -> Result<Reply, CloudError> {
        let path = format!("/applications/{}", segment(object_id));
        self.send("PATCH /applications/{id}", Method::PATCH, &path, Some(body)).await
    }

    /// Soft-deletes an application; its service principal goes with it (contract Graph 9).
    ///
    /// # Errors
    /// The classified failure; not found means that it is gone.
    pub async fn delete_application(&self, object_id: &str) -> Result<Reply, CloudError> {
        let path = format!("/applications/{}", segment(object_id));
        self.send("DELETE /applications/{id}", Method::DELETE, &path, None).await
    }

    /// Whether an object lies among the deleted ones, from where people can restore it for 30 days
    /// (contract Graph 9).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn is_deleted(&self, object_id: &str) -> Result<bool, CloudError> {
        let path = format!("/directory/deletedItems/{}", segment(object_id));
        let found: Option<Value> = visible(self.get("GET /directory/deletedItems/{id}", &path, &[]).await)?;
        Ok(found.is_some())
    }

    /// A service principal by its object id; none when it does not exist or is not visible (contract Graph 1.3).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn service_principal(&self, object_id: &str) -> Result<Option<ServicePrincipal>, CloudError> {
        let path = format!("/servicePrincipals/{}", segment(object_id));
        visible(
            self.get("GET /servicePrincipals/{id}", &path, &[("$select", SERVICE_PRINCIPAL_FIELDS)]).await,
        )
    }

    /// The service principal of an application (contract Graph 1.3).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn service_principal_of(&self, app_id: &str) -> Result<Option<ServicePrincipal>, CloudError> {
        let filter = format!("appId eq {}", literal(app_id));
        let found: Vec<ServicePrincipal> = self
            .list(
                "GET /servicePrincipals",
                "/servicePrincipals",
                &[("$filter", &filter), ("$select", SERVICE_PRINCIPAL_FIELDS)],
            )
            .await?;
        Ok(found.into_iter().next())
    }

    /// Changes exactly the given members of a service principal (contract Graph 1.4).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn patch_service_principal(&self, object_id: &str, body: &Value) -> Result<Reply, CloudError> {
        let path = format!("/servicePrincipals/{}", segment(object_id));
        self.send("PATCH /servicePrincipals/{id}", Method::PATCH, &path, Some(body)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_of_graph_are_empty_lists() {
        let application: Application = serde_json::from_value(json!({
            "id": "o", "appId": "a", "displayName": null, "identifierUris": null,
            "web": {"homePageUrl": "https://x", "redirectUris": null}, "notes": null, "unknown": 1
        }))
        .unwrap();
        assert_eq!(application.web.home_page_url.as_deref(), Some("https://x"));
        assert!(application.identifier_uris.is_empty() && application.web.redirect_uris.is_empty());
        let principal: ServicePrincipal = serde_json::from_value(json!({
            "id": "s", "appId": "a", "appRoleAssignmentRequired": null, "notificationEmailAddresses": null,
            "appRoles": [{"id": "r", "displayName": "User", "isEnabled": true, "allowedMemberTypes": ["User"], "value": null}]
        }))
        .unwrap();
        assert!(!principal.app_role_assignment_required);
        assert_eq!(principal.app_roles[0].display_name, "User");
    }
}
