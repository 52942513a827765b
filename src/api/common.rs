use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the plan is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// The plan is carried out.
    #[default]
    Enforce,
    /// The plan is shown in status; nothing outside the cluster is written.
    Observe,
}

/// What happens to the objects in the clouds when the resource is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay as they are.
    Retain,
    /// What this resource owns is deleted.
    Delete,
}

/// One key of a Secret in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a ConfigMap in the resource's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the ConfigMap's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A group or a user: exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.group) != has(self.user)").message("a principal is exactly one of: group, user"))]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// A security group of the Entra tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// A person of the Entra tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

/// A group, by name or by object id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.displayName) != has(self.entraObjectId)")
    .message("name the group by exactly one of: displayName, entraObjectId"))]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The group's display name. It must be unique in the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// The group's object id in Entra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')").message("entraObjectId is the object id of the group in Entra, like 11111111-2222-3333-4444-555555555555; a name goes to displayName"))]
    pub entra_object_id: Option<String>,
}

/// A person, by sign-in name or by object id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.userPrincipalName) != has(self.entraObjectId)")
    .message("name the user by exactly one of: userPrincipalName, entraObjectId"))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The person's sign-in name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 256), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    #[x_kube(validation = Rule::new("self.matches('^[^@ ]+@[^@ ]+$')").message("userPrincipalName is a sign-in name, like ada@acme.example; a group goes to group.displayName"))]
    pub user_principal_name: Option<String>,
    /// The person's object id in Entra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')").message("entraObjectId is the object id of the user in Entra, like 11111111-2222-3333-4444-555555555555; a sign-in name goes to userPrincipalName"))]
    pub entra_object_id: Option<String>,
}

impl std::fmt::Display for Principal {
    /// `group "aws-engineers"`, `user ada@acme.example`, `group <object id>`: as messages name it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.group, &self.user) {
            (Some(Group { display_name: Some(name), .. }), _) => write!(f, "group \"{name}\""),
            (Some(Group { entra_object_id: Some(id), .. }), _) => write!(f, "group {id}"),
            (_, Some(User { user_principal_name: Some(name), .. })) => write!(f, "user {name}"),
            (_, Some(User { entra_object_id: Some(id), .. })) => write!(f, "user {id}"),
            _ => f.write_str("principal without a name"),
        }
    }
}

/// What the resource would do, or is about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSummary {
    /// SHA-256 over the steps, in hexadecimal; absent when there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The steps in words, at most 20 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 21), inner(length(max = 256)))]
    pub summary: Vec<String>,
}

/// What people must do in a console, with everything that they need for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    /// The identity provider's metadata, ready to be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idp_metadata: Option<PublishedMetadata>,
    /// The steps that are left, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub pending: Vec<HandoffStep>,
}

/// Where published metadata can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedMetadata {
    /// ConfigMap and key.
    pub config_map_key_ref: ConfigMapKeyRef,
    /// SHA-256 of the document, in hexadecimal.
    pub sha256: String,
}

/// One manual step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandoffStep {
    /// Short name of the step, such as `ImportIdpMetadata`.
    pub step: String,
    /// What to do.
    pub what: String,
    /// The value to enter or to compare, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_url: Option<String>,
    /// The command that tells Causeway to go on, when it cannot see by itself that the step is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}
