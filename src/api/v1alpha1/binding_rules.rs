use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountId, PermissionsBoundary};

/// Guard rails for bindings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingRules {
    /// Whether bindings may target the management account. Rules do not open it.
    #[serde(default)]
    pub management_account: ManagementAccount,
    /// What bindings may ask for. Absent: anything, from this namespace only. Else a binding, also one of this namespace, must satisfy one rule in full; one that does not gets nothing new and keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Option<Vec<BindingRule>>,
}

/// Whether bindings may target the organization's management account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementAccount {
    /// Such a binding is refused.
    #[default]
    Deny,
    /// Such a binding is carried out.
    Allow,
}

/// What some bindings may ask for. Every list is an allow-list: absent, it does not restrict; empty, it allows nothing. In patterns `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingRule {
    /// The namespaces whose bindings the rule is about. Absent: the federation's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceSelector>,
    /// The accounts that they may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<RuleAccounts>,
    /// Patterns of the names that their permission sets may have, whoever defines them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 32), regex(pattern = r"^[\w+=,.@*-]+$")))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub permission_set_names: Option<Vec<String>>,
    /// Patterns of the ARNs of the AWS managed policies that their permission sets may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 2048)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub managed_policies: Option<Vec<String>>,
    /// Patterns of the customer managed policies, path and name in one such as `/payments/*`, that their permission sets may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 640), regex(pattern = r"^[/*][!-~]*$")))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub customer_managed_policies: Option<Vec<String>>,
    /// Whether their permission sets may have an inline policy: `Allow` when absent.
    #[serde(default)]
    pub inline_policy: InlinePolicyRule,
    /// Their permission sets must have one of these permissions boundaries. Absent: none is demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub permissions_boundaries: Option<Vec<PermissionsBoundary>>,
    /// Patterns of the display names of the groups that they may name; an entry in the form of an object id is that of one group in Entra. With `groups` or `users` given, principals of the other kind are allowed only by a list of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub groups: Option<Vec<String>>,
    /// Patterns of the sign-in names of the people that they may name; an entry in the form of an object id is that of one person in Entra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub users: Option<Vec<String>>,
}

/// Whether permission sets may have an inline policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InlinePolicyRule {
    /// They may.
    #[default]
    Allow,
    /// A binding whose permission set has one is refused.
    Deny,
}

/// Namespaces, by name or by label: exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.names) != has(self.matchLabels)").message("select namespaces by exactly one of: names, matchLabels"))]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9-]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Option<Vec<String>>,
    /// By labels, all of which a namespace must carry. Whoever may label namespaces decides then who may bind access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10))]
    pub match_labels: Option<BTreeMap<String, LabelValue>>,
}

/// The value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// Accounts that bindings may name: those that some entry of `include` covers and none of `exclude`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct RuleAccounts {
    /// Entries are joined by OR.
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub include: Vec<AccountScope>,
    /// What is taken out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub exclude: Option<Vec<AccountScope>>,
}

/// Accounts: exactly one way to say which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.ids), has(self.organizationalUnit), has(self.all)].exists_one(way, way)").message("say which accounts by exactly one of: ids, organizationalUnit, all"))]
#[serde(rename_all = "camelCase")]
pub struct AccountScope {
    /// Account ids, twelve digits, in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ids: Option<Vec<AccountId>>,
    /// The accounts of an organizational unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizational_unit: Option<OrganizationalUnit>,
    /// All accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<AllAccounts>,
}

/// All accounts; there is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AllAccounts {}

/// An organizational unit, by path or by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.path) != has(self.id)").message("name the organizational unit by exactly one of: path, id"))]
#[serde(rename_all = "camelCase")]
pub struct OrganizationalUnit {
    /// Names from below the root, such as `/Workloads/Payments`; `/` is the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 768), regex(pattern = r"^/.*$"))]
    pub path: Option<String>,
    /// Its id, `ou-…`, or that of the root, `r-…`. It stays when the unit gets another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 68), regex(pattern = r"^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$"))]
    pub id: Option<String>,
    /// Also the units below it: true when absent.
    #[serde(default = "yes")]
    pub recursive: bool,
}

fn yes() -> bool {
    true
}
