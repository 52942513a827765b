//! App role assignments of a service principal (contract Graph 4.1, 4.2).

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Graph, Reply, segment};
use crate::clients::entra::applications::or_default;
use crate::clients::{CloudError, CloudErrorKind};

/// The role of an application that declares none (contract Graph 4.1).
pub const DEFAULT_ROLE: &str = "00000000-0000-0000-0000-000000000000";

/// One principal that holds one role of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRoleAssignment {
    /// Object id of the user, group or service principal.
    pub principal_id: String,
    /// The role.
    pub app_role_id: String,
    /// Opaque id of the assignment.
    pub id: String,
    /// `User`, `Group` or `ServicePrincipal`.
    #[serde(default, deserialize_with = "or_default")]
    pub principal_type: String,
    /// The principal's name at the time of the assignment.
    #[serde(default, deserialize_with = "or_default")]
    pub principal_display_name: String,
}

impl Graph {
    /// All assignments of an application's roles.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn app_role_assignments(
        &self,
        service_principal_id: &str,
    ) -> Result<Vec<AppRoleAssignment>, CloudError> {
        let path = format!("/servicePrincipals/{}/appRoleAssignedTo", segment(service_principal_id));
        self.list("GET /servicePrincipals/{id}/appRoleAssignedTo", &path, &[]).await
    }

    /// Assigns a role; see [`is_already_assigned`] and [`is_replicating`] for failures that are none.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn assign_app_role(
        &self,
        service_principal_id: &str,
        principal_id: &str,
        app_role_id: &str,
    ) -> Result<Reply, CloudError> {
        let path = format!("/servicePrincipals/{}/appRoleAssignedTo", segment(service_principal_id));
        let body = json!({ "principalId": principal_id, "resourceId": service_principal_id, "appRoleId": app_role_id });
        self.send("POST /servicePrincipals/{id}/appRoleAssignedTo", Method::POST, &path, Some(&body)).await
    }

    /// Removes an assignment.
    ///
    /// # Errors
    /// The classified failure; not found means that it is gone.
    pub async fn remove_app_role(
        &self,
        service_principal_id: &str,
        assignment_id: &str,
    ) -> Result<Reply, CloudError> {
        let path = format!(
            "/servicePrincipals/{}/appRoleAssignedTo/{}",
            segment(service_principal_id),
            segment(assignment_id)
        );
        self.send("DELETE /servicePrincipals/{id}/appRoleAssignedTo/{id}", Method::DELETE, &path, None).await
    }
}

/// Whether Graph refuses an assignment because it exists: that is success (contract Graph 4.1).
#[must_use]
pub fn is_already_assigned(error: &CloudError) -> bool {
    matches!(error.status, 400 | 409) && error.message.contains("already exist")
}

/// Whether Graph does not know the application, role or principal yet (contract Graph 4.1, 8.5).
#[must_use]
pub fn is_replicating(error: &CloudError) -> bool {
    error.kind == CloudErrorKind::NotFound
        || (error.status == 400 && error.message.contains("Not a valid reference update"))
}
