use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{DeletionPolicy, Group, Mode, PlanSummary, User, schema};

/// A permission set, and who gets it on which accounts.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "PermissionSetBinding",
    namespaced,
    status = "PermissionSetBindingStatus",
    category = "causeway",
    shortname = "psb",
    derive = "PartialEq",
    doc = "A permission set of IAM Identity Center, and which groups and people get it on which accounts.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Permission-Set", type_ = "string", json_path = ".spec.permissionSet.name"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.current"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name must be at most 63 characters"))]
#[serde(rename_all = "camelCase")]
pub struct PermissionSetBindingSpec {
    /// Enforce carries the plan out; Observe only shows it in status. Observe of the federation or of the operator counts
    /// for its bindings too.
    #[serde(default)]
    pub mode: Mode,
    /// Nothing is read or written while true; a deletion is carried out all the same. A suspended federation suspends its
    /// bindings too.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to the assignments and the permission set when this resource is deleted.
    #[serde(default = "delete")]
    pub deletion_policy: DeletionPolicy,
    /// The federation whose Identity Center instance is used.
    #[x_kube(validation = Rule::new("self == oldSelf").message("federationRef is immutable: create another PermissionSetBinding for another federation"))]
    pub federation_ref: FederationRef,
    /// The permission set.
    pub permission_set: PermissionSet,
    /// Who gets it. An empty list is a stated removal: at once and without approval everybody loses what this binding
    /// gave them, and the permission set stays. Status says so, and so does an Event.
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub principals: Vec<BoundPrincipal>,
    /// On which accounts.
    pub accounts: Accounts,
}

fn delete() -> DeletionPolicy {
    DeletionPolicy::Delete
}

/// A federation, here or in another namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FederationRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace; absent: the binding's own. The federation decides whose bindings it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// The permission set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.definition != 'Elsewhere' || !(self.adopt || has(self.description) || has(self.sessionDuration) || has(self.relayState) || has(self.managedPolicies) || has(self.customerManagedPolicies) || has(self.inlinePolicy) || has(self.permissionsBoundary) || has(self.tags))").message("with definition Elsewhere only the name is given: something else says what is in the permission set"))]
#[serde(rename_all = "camelCase")]
pub struct PermissionSet {
    /// Its name. AWS cannot rename a permission set.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[\w+=,.@-]+$"))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_+=,.@-]+$')").message("permissionSet.name has letters, digits and +=,.@_- and no blanks, like Engineers-PowerUser"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("permissionSet.name is immutable: AWS cannot rename a permission set; create another binding"))]
    pub name: String,
    /// Who says what is in it. Here: this binding makes the set, edits it and deletes it. Elsewhere: the set exists, something else defines it, and this binding only gives it to people; several bindings may do so with one set.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("permissionSet.definition is immutable: create another binding"))]
    pub definition: Definition,
    /// Take over a permission set of that name that carries nobody's mark.
    #[serde(default)]
    pub adopt: bool,
    /// Description, Latin-1 characters only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 700), regex(pattern = r"^[\t\n\r -~\xa1-\xff]*$"))]
    pub description: Option<String>,
    /// How long a session lasts, 1h to 12h: `1h` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,2}h)?([0-9]{1,3}m)?$')").message("write sessionDuration in hours and minutes, like 8h or 1h30m: 8h, not PT8H"))]
    #[x_kube(validation = Rule::new("!self.matches('^([0-9]{1,2}h)?([0-9]{1,3}m)?$') || (duration(self) >= duration('1h') && duration(self) <= duration('12h'))").message("sessionDuration must be between 1h and 12h"))]
    pub session_duration: Option<String>,
    /// Where people land after they signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 240))]
    pub relay_state: Option<String>,
    /// AWS managed policies. Absent: left alone; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), inner(length(max = 2048)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(p, p.matches('^arn:aws[a-z-]*:iam::aws:policy/.+$'))").message("managedPolicies holds ARNs of AWS managed policies, like arn:aws:iam::aws:policy/ReadOnlyAccess, not ReadOnlyAccess alone; a policy of your own goes to customerManagedPolicies, like {name: engineers-extra}"))]
    pub managed_policies: Option<Vec<String>>,
    /// Customer managed policies, which must exist in every account. Absent: left alone; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub customer_managed_policies: Option<Vec<CustomerManagedPolicy>>,
    /// An inline policy, written as an object. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::policy_document")]
    pub inline_policy: Option<Map<String, Value>>,
    /// The permissions boundary. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<PermissionsBoundary>,
    /// Tags beside the owner mark. Absent: left alone; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 128 && !k.startsWith('aws:') && !k.startsWith('causeway.dev/'))").message("tag keys have at most 128 characters and must not start with aws: or causeway.dev/"))]
    pub tags: Option<BTreeMap<String, TagValue>>,
}

/// Who says what is in a permission set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Definition {
    /// The binding.
    #[default]
    Here,
    /// Something else.
    Elsewhere,
}

/// The value of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TagValue(#[schemars(length(max = 256))] pub String);

/// A customer managed policy, by name and path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
pub struct CustomerManagedPolicy {
    /// Name, case-sensitive: not the ARN.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("size(self) <= 128 && self.matches('^[0-9A-Za-z_+=,.@-]+$')").message("write the policy's name alone, like engineers-extra, at most 128 characters: of arn:aws:iam::111122223333:policy/teams/engineers-extra the name is engineers-extra and the path /teams/; the ARN of an AWS managed policy goes to managedPolicies or managedPolicyArn"))]
    pub name: String,
    /// Path, beginning and ending with a slash.
    #[serde(default = "root_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^/([!-~]+/)?$')").message("a policy's path begins and ends with a slash, like / or /teams/"))]
    pub path: String,
}

fn root_path() -> String {
    "/".into()
}

/// A permissions boundary: exactly one kind of policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.managedPolicyArn) != has(self.customerManagedPolicy)").message("name exactly one of: managedPolicyArn, customerManagedPolicy"))]
#[serde(rename_all = "camelCase")]
pub struct PermissionsBoundary {
    /// An AWS managed policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws[a-z-]*:iam::aws:policy/.+$')").message("managedPolicyArn is the ARN of an AWS managed policy, like arn:aws:iam::aws:policy/PowerUserAccess; a policy of your own goes to customerManagedPolicy, like {name: engineers-boundary}"))]
    pub managed_policy_arn: Option<String>,
    /// A customer managed policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_managed_policy: Option<CustomerManagedPolicy>,
}

/// A group or a user that gets the permission set: exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.group) != has(self.user)").message("a principal is exactly one of: group, user"))]
#[serde(rename_all = "camelCase")]
pub struct BoundPrincipal {
    /// A group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// A person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What happens when another object carries the name that was bound before.
    #[serde(default)]
    pub on_recreate: OnRecreate,
}

/// What happens when another object carries the name that was bound before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnRecreate {
    /// It gets nothing until a person approves: names can be taken over.
    #[default]
    RequireApproval,
    /// It gets the access of its predecessor.
    Rebind,
}

/// On which accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Accounts {
    /// Entries are joined by OR; there is at least one. An account that is taken out is a stated removal. To take the
    /// access from everybody, write `principals: []`.
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("size(self) > 0").message("accounts.include must name at least one account; to take the access from everybody on all accounts, write principals: []"))]
    pub include: Vec<AccountSelector>,
}

/// Selects accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AccountSelector {
    /// Account ids: twelve digits without dashes, in quotes.
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ids: Vec<AccountId>,
}

/// An AWS account id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub String);

impl JsonSchema for AccountId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AccountId".into()
    }

    /// A number is let through to the rule, whose message then says what is wrong with it: YAML reads an
    /// unquoted id as a number, and one with a leading zero as another number.
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Twelve digits without dashes, in quotes.",
            "x-kubernetes-int-or-string": true,
            "maxLength": 20,
            "x-kubernetes-validations": [{
                "rule": "type(self) == string && self.matches('^[0-9]{12}$')",
                "message": "an account id is a string of 12 digits without dashes, like \"111122223333\": put the account id in quotes"
            }]
        })
    }
}

/// What is true of a binding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionSetBindingStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is true of the resource. Ready is the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The permission set in AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_set_arn: Option<String>,
    /// How many assignments there should be.
    #[serde(default)]
    pub desired: i64,
    /// How many of them exist.
    #[serde(default)]
    pub current: i64,
    /// How many are being created or removed.
    #[serde(default)]
    pub pending: i64,
    /// How many could not be created or removed.
    #[serde(default)]
    pub failed: i64,
    /// How many accounts still hold an older version of the permission set.
    #[serde(default)]
    pub stale_accounts: i64,
    /// What could not be done, at most 20 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failures: Vec<AssignmentFailure>,
    /// Principals that are not bound yet, and why, at most 20 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub waiting: Vec<WaitingPrincipal>,
    /// Assignments of the permission set that this binding did not make, as they were seen last; they are left alone.
    /// Absent: there are none, or nobody has looked yet. Few accounts are looked at in one resync, and each about every
    /// six resyncs: sooner where such assignments are, and at once after the annotation causeway.dev/reconcile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmanaged: Option<Unmanaged>,
    /// What would be done (Observe), or is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// The value of the annotation causeway.dev/reconcile that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// An assignment that could not be created or removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentFailure {
    /// The account.
    pub account_id: String,
    /// The principal as the spec names it; absent for a failed provisioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What AWS says about it.
    pub message: String,
}

/// A principal that is not bound yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
pub struct WaitingPrincipal {
    /// The principal as the spec names it.
    pub principal: String,
    /// AwaitingProvisioning, NotInProvisioningScope, NotInEntra, NameDiffers, AccountDisabled or PrincipalIdentityChanged.
    pub reason: String,
    /// What to do about it.
    pub message: String,
    /// Since when it waits for this reason, RFC 3339. Who waits for provisioning longer than two cycles (80 minutes) is
    /// told what to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Assignments of the permission set that this binding did not make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Unmanaged {
    /// How many there are.
    #[serde(default)]
    pub count: i64,
    /// At most 20 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub assignments: Vec<UnmanagedAssignment>,
}

/// An assignment that this binding did not make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedAssignment {
    /// The account.
    pub account_id: String,
    /// Group or User.
    pub kind: String,
    /// Its id in the identity store.
    pub principal_id: String,
    /// What it is called there, where that was read for other ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
