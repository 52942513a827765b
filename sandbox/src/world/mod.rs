//! The world file: what exists in both clouds before anything happens. Unknown keys are refused.

mod behaviours;
mod grow;
mod load;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use behaviours::{AwsBehaviours, EntraBehaviours, ErrorShape};
pub use grow::Growth;
pub use load::WorldError;

/// The whole world.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct World {
    /// The Entra tenant.
    pub tenant: Tenant,
    /// The AWS organization.
    pub organization: Organization,
    /// IAM Identity Center.
    pub identity_center: IdentityCenter,
    /// IAM, by account id.
    pub iam: BTreeMap<String, IamAccount>,
}

/// The Entra tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tenant {
    /// Directory (tenant) id, a UUID.
    pub id: String,
    /// Verified domains; the first is the default one.
    pub domains: Vec<String>,
    /// Application registrations that may ask for tokens.
    pub clients: Vec<Client>,
    /// People.
    pub users: Vec<User>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Enterprise applications that exist already.
    pub applications: Vec<ExistingApplication>,
    /// What the contract calls UNCONFIRMED or field-reported: one switch each.
    pub behaviours: EntraBehaviours,
}

/// An application registration that may call Graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Client {
    /// Application (client) id.
    pub client_id: String,
    /// Its secret; absent when it only has federated credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Federated credentials (contract 8.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub federated: Vec<FederatedCredential>,
    /// Granted application permissions, as in the token's `roles`.
    pub permissions: Vec<String>,
}

/// One trusted issuer and subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FederatedCredential {
    /// Token issuer.
    pub issuer: String,
    /// Token subject, such as `system:serviceaccount:identity:causeway`.
    pub subject: String,
    /// Token audience; `api://AzureADTokenExchange` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// A person in the directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct User {
    /// Object id; made up when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Sign-in name.
    pub user_principal_name: String,
    /// Name shown.
    pub display_name: String,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surname: Option<String>,
    /// Mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// Department.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// False: may not sign in and is not provisioned. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_enabled: Option<bool>,
}

/// A group in the directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Group {
    /// Object id; made up when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name; need not be unique.
    pub display_name: String,
    /// Absent: true. Only such groups are provisioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_enabled: Option<bool>,
    /// Members: user principal names, or names of other groups (nested).
    pub members: Vec<String>,
}

/// An enterprise application that exists already.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExistingApplication {
    /// Name.
    pub display_name: String,
    /// Gallery template it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_template_id: Option<String>,
    /// Application (client) id; made up when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// Notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            id: "11111111-2222-3333-4444-555555555555".into(),
            domains: vec!["acme.example".into()],
            clients: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            applications: Vec::new(),
            behaviours: EntraBehaviours::default(),
        }
    }
}

/// The AWS organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Organization {
    /// `o-` and ten characters.
    pub id: String,
    /// The management account's id, twelve digits.
    pub management_account_id: String,
    /// Organizational units by path, such as `/Workloads/Prod`; parents are made by themselves.
    pub organizational_units: Vec<String>,
    /// Member accounts (the management account exists in any case, at the root).
    pub accounts: Vec<Account>,
    /// Account registered as delegated administrator of Identity Center.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated_administrator: Option<String>,
    /// Access keys that callers may use.
    pub access_keys: Vec<AccessKey>,
    /// False: `Paths` of accounts and `Path` of units stay empty (contract 6).
    pub paths: bool,
    /// False: accounts have no `Status` any more (contract 6, 11.10).
    pub account_status: bool,
    /// False: accounts have no `State` yet, as in partitions that lag behind (contract 6).
    pub account_state: bool,
}

impl Default for Organization {
    fn default() -> Self {
        Self {
            id: "o-acme123456".into(),
            management_account_id: "100000000001".into(),
            organizational_units: Vec::new(),
            accounts: Vec::new(),
            delegated_administrator: None,
            access_keys: Vec::new(),
            paths: true,
            account_status: true,
            account_state: true,
        }
    }
}

/// A member account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Account {
    /// Twelve digits; made up when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// Path of its unit; absent: the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizational_unit: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `ACTIVE` when absent; see contract 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// A key that may sign requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AccessKey {
    /// Key id.
    pub access_key_id: String,
    /// Secret.
    pub secret_access_key: String,
    /// The account it belongs to; absent: the management account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Allowed actions, such as `sso:*` or `organizations:ListAccounts`; empty: everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
}

/// IAM Identity Center.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IdentityCenter {
    /// Whether it is enabled.
    pub enabled: bool,
    /// Its primary Region.
    pub region: String,
    /// Whether the identity source is an external identity provider.
    pub external_identity_provider: bool,
    /// Metadata of that provider, when it was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_xml: Option<String>,
    /// Whether automatic provisioning is enabled (one token exists then).
    pub automatic_provisioning: bool,
    /// ARNs of AWS managed policies that exist beside the well-known ones and those of `permissionSets`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aws_managed_policies: Vec<String>,
    /// Permission sets that exist already.
    pub permission_sets: Vec<ExistingPermissionSet>,
    /// Assignments that exist already.
    pub assignments: Vec<ExistingAssignment>,
    /// Users in the identity store.
    pub users: Vec<StoreUser>,
    /// Groups in the identity store.
    pub groups: Vec<StoreGroup>,
    /// Switches between possible behaviours.
    pub behaviours: AwsBehaviours,
}

impl Default for IdentityCenter {
    fn default() -> Self {
        Self {
            enabled: false,
            region: "eu-west-1".into(),
            external_identity_provider: false,
            metadata_xml: None,
            automatic_provisioning: false,
            aws_managed_policies: Vec::new(),
            permission_sets: Vec::new(),
            assignments: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            behaviours: AwsBehaviours::default(),
        }
    }
}

/// A permission set that exists already.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExistingPermissionSet {
    /// Name.
    pub name: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// ISO 8601 duration; `PT1H` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_duration: Option<String>,
    /// ARNs of AWS managed policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managed_policies: Vec<String>,
    /// Inline policy, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_policy: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// An assignment that exists already.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExistingAssignment {
    /// Account id.
    pub account: String,
    /// Permission set name.
    pub permission_set: String,
    /// Group name in the identity store; exactly one of group and user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// User name in the identity store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A user in the identity store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StoreUser {
    /// User name.
    pub user_name: String,
    /// Name shown.
    pub display_name: String,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// External id (the Entra object id for provisioned users).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// A group in the identity store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StoreGroup {
    /// Name, unique in the store.
    pub display_name: String,
    /// External id (the Entra object id for provisioned groups).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// User names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

/// IAM of one account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IamAccount {
    /// Customer managed policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<CustomerPolicy>,
    /// Roles that callers may assume.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<IamRole>,
    /// OpenID Connect providers: whose tokens `AssumeRoleWithWebIdentity` takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub oidc_providers: Vec<OidcProvider>,
}

/// An OpenID Connect provider of an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OidcProvider {
    /// The issuer, such as `https://kubernetes.default.svc`.
    pub url: String,
    /// Audiences that its tokens may have (AWS calls them client ids), such as `sts.amazonaws.com`.
    pub client_ids: Vec<String>,
}

/// A customer managed policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CustomerPolicy {
    /// Name.
    pub name: String,
    /// Path; `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A role that callers may assume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IamRole {
    /// Name.
    pub name: String,
    /// Path; `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// External id that the caller must give. For roles without a trust policy, which everybody may assume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who may assume it, as IAM writes it: `Principal` (`AWS`, `Federated`), `Action`, and `Condition` with
    /// `StringEquals` or `StringLike` on `sts:ExternalId`, `<provider>:sub` and `<provider>:aud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_policy: Option<serde_json::Value>,
    /// The longest session in seconds; 3600 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session_duration: Option<u32>,
    /// Allowed actions; empty: everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
}
