//! People and groups of the tenant (contract Graph 4.3).

use serde::Deserialize;

use super::{Graph, literal, segment};
use crate::clients::CloudError;
use crate::clients::entra::applications::{or_default, visible};

const GROUP_FIELDS: &str = "id,displayName,securityEnabled";
const USER_FIELDS: &str = "id,displayName,userPrincipalName,accountEnabled";

/// A group of the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryGroup {
    /// Object id.
    pub id: String,
    /// Display name; not unique.
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    /// Only security groups can be provisioned (contract Graph 4.2).
    #[serde(default, deserialize_with = "or_default")]
    pub security_enabled: bool,
}

/// A person of the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryUser {
    /// Object id.
    pub id: String,
    /// Display name.
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    /// Sign-in name.
    #[serde(default, deserialize_with = "or_default")]
    pub user_principal_name: String,
    /// False: who has it cannot sign in and is not provisioned. It is told only when it is asked for.
    #[serde(default)]
    pub account_enabled: Option<bool>,
}

impl Graph {
    /// All groups of that display name, by id: none, one, or several (ambiguous).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn groups_named(&self, display_name: &str) -> Result<Vec<DirectoryGroup>, CloudError> {
        let filter = format!("displayName eq {}", literal(display_name));
        let mut found: Vec<DirectoryGroup> =
            self.list("GET /groups", "/groups", &[("$filter", &filter), ("$select", GROUP_FIELDS)]).await?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// A group by its object id; none when it does not exist or is not visible.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn group(&self, object_id: &str) -> Result<Option<DirectoryGroup>, CloudError> {
        let path = format!("/groups/{}", segment(object_id));
        visible(self.get("GET /groups/{id}", &path, &[("$select", GROUP_FIELDS)]).await)
    }

    /// The person of that sign-in name: none or one. By filter, since a `#` in guests' names breaks paths.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn users_named(&self, user_principal_name: &str) -> Result<Vec<DirectoryUser>, CloudError> {
        let filter = format!("userPrincipalName eq {}", literal(user_principal_name));
        let mut found: Vec<DirectoryUser> =
            self.list("GET /users", "/users", &[("$filter", &filter), ("$select", USER_FIELDS)]).await?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// A person by object id; none when it does not exist or is not visible.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn user(&self, object_id: &str) -> Result<Option<DirectoryUser>, CloudError> {
        let path = format!("/users/{}", segment(object_id));
        visible(self.get("GET /users/{id}", &path, &[("$select", USER_FIELDS)]).await)
    }
}
