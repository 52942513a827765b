//! The IAM actions that the calls of this module need: the one place that `docs/permissions.md` and the policies in
//! `examples/operator/` are written from (contract aws 7.3, 7.4). What AWS answers decides; this is told to people.

use serde_json::{Value, json};

/// One IAM action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// As IAM writes it.
    pub name: &'static str,
    /// The statement of the policy that it stands in.
    pub part: Part,
    /// What it is for.
    pub purpose: &'static str,
    /// Without it everything goes on, in this way. None: a condition names it when it is missing.
    pub without: Option<&'static str>,
    /// When it is called, where that is not in every installation.
    pub seldom: Option<&'static str>,
}

/// A statement of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Finding the instance.
    Discovery,
    /// Permission sets and assignments of the instance.
    IdentityCenter,
    /// People and groups in AWS.
    IdentityStore,
    /// The organization's accounts.
    Organization,
    /// What AWS does with the caller's rights when the management account is a target.
    ManagementAccount,
}

impl Part {
    /// All of them, in the order of the policy.
    pub const ALL: [Self; 5] = [
        Self::Discovery,
        Self::IdentityCenter,
        Self::IdentityStore,
        Self::Organization,
        Self::ManagementAccount,
    ];

    /// Its name in the policy.
    #[must_use]
    pub const fn sid(self) -> &'static str {
        match self {
            Self::Discovery => "FindTheInstance",
            Self::IdentityCenter => "PermissionSetsAndAssignments",
            Self::IdentityStore => "ReadPeopleAndGroups",
            Self::Organization => "ReadAccounts",
            Self::ManagementAccount => "RolesInTheManagementAccount",
        }
    }

    /// What the statement is about. Resource ARNs are case-sensitive (contract aws 7.3); some denials name the role
    /// without its path (7.4).
    #[must_use]
    pub const fn resources(self) -> &'static [&'static str] {
        match self {
            Self::IdentityCenter => {
                &["arn:aws:sso:::instance/*", "arn:aws:sso:::permissionSet/*", "arn:aws:sso:::account/*"]
            }
            Self::ManagementAccount => &[
                "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*",
                "arn:aws:iam::*:role/AWSReservedSSO_*",
                "arn:aws:iam::*:saml-provider/AWSSSO_*_DO_NOT_DELETE",
            ],
            _ => &["*"],
        }
    }
}

const fn needed(name: &'static str, part: Part, purpose: &'static str) -> Action {
    Action { name, part, purpose, without: None, seldom: None }
}

const fn seldom(name: &'static str, part: Part, purpose: &'static str, seldom: &'static str) -> Action {
    Action { seldom: Some(seldom), ..needed(name, part, purpose) }
}

const MANY_GROUPS: &str = "only where the identity store has more than 2000 groups";
const UNITS: &str = "only where `spec.bindings.rules` of a federation name organizational units by path";
const REPORTED: &str = "reported from the field, not from AWS's documentation: AWS may ask for it";

use Part::{Discovery, IdentityCenter, IdentityStore, ManagementAccount, Organization};

/// Every action, by statement.
pub const ALL: &[Action] = &[
    needed("sso:ListInstances", Discovery, "the instance, where the spec names none"),
    needed("sso:DescribeInstance", IdentityCenter, "its identity store, primary Region and owner"),
    needed("sso:ListPermissionSets", IdentityCenter, "whether a set of that name exists"),
    needed("sso:DescribePermissionSet", IdentityCenter, "name, description, session, relay state"),
    needed("sso:ListTagsForResource", IdentityCenter, "whose mark a set carries"),
    needed("sso:ListManagedPoliciesInPermissionSet", IdentityCenter, "what a set holds"),
    needed("sso:ListCustomerManagedPolicyReferencesInPermissionSet", IdentityCenter, "what a set holds"),
    needed("sso:GetInlinePolicyForPermissionSet", IdentityCenter, "what a set holds"),
    needed("sso:GetPermissionsBoundaryForPermissionSet", IdentityCenter, "what a set holds"),
    needed(
        "sso:ListAccountsForProvisionedPermissionSet",
        IdentityCenter,
        "which accounts hold an older version of a set",
    ),
    Action {
        without: Some(
            "assignments are read by set and account instead, with more calls: a delegated administrator may have to (not confirmed)",
        ),
        ..needed(
            "sso:ListAccountAssignmentsForPrincipal",
            IdentityCenter,
            "who has what, a principal at a time",
        )
    },
    needed(
        "sso:ListAccountAssignments",
        IdentityCenter,
        "who has what on an account; assignments that others made",
    ),
    needed("sso:CreatePermissionSet", IdentityCenter, "permission sets"),
    needed("sso:UpdatePermissionSet", IdentityCenter, "permission sets"),
    needed("sso:DeletePermissionSet", IdentityCenter, "deletion of a binding"),
    needed("sso:AttachManagedPolicyToPermissionSet", IdentityCenter, "`managedPolicies`"),
    needed("sso:DetachManagedPolicyFromPermissionSet", IdentityCenter, "`managedPolicies`"),
    needed(
        "sso:AttachCustomerManagedPolicyReferenceToPermissionSet",
        IdentityCenter,
        "`customerManagedPolicies`",
    ),
    needed(
        "sso:DetachCustomerManagedPolicyReferenceFromPermissionSet",
        IdentityCenter,
        "`customerManagedPolicies`",
    ),
    needed("sso:PutInlinePolicyToPermissionSet", IdentityCenter, "`inlinePolicy`"),
    needed("sso:DeleteInlinePolicyFromPermissionSet", IdentityCenter, "`inlinePolicy`"),
    needed("sso:PutPermissionsBoundaryToPermissionSet", IdentityCenter, "`permissionsBoundary`"),
    needed("sso:DeletePermissionsBoundaryFromPermissionSet", IdentityCenter, "`permissionsBoundary`"),
    needed("sso:TagResource", IdentityCenter, "the owner mark, and `tags`"),
    needed("sso:UntagResource", IdentityCenter, "`tags` that are taken out"),
    needed(
        "sso:ProvisionPermissionSet",
        IdentityCenter,
        "bringing accounts up to date after a change of a set",
    ),
    needed("sso:CreateAccountAssignment", IdentityCenter, "giving access"),
    needed("sso:DeleteAccountAssignment", IdentityCenter, "taking access"),
    needed("sso:ListAccountAssignmentCreationStatus", IdentityCenter, "what became of work under way"),
    seldom(
        "sso:DescribeAccountAssignmentCreationStatus",
        IdentityCenter,
        "why a creation failed",
        "only when a creation failed, or when a reading lags behind it",
    ),
    needed("sso:ListAccountAssignmentDeletionStatus", IdentityCenter, "what became of work under way"),
    needed(
        "sso:DescribeAccountAssignmentDeletionStatus",
        IdentityCenter,
        "whether a removal has ended, and why it failed",
    ),
    needed("sso:ListPermissionSetProvisioningStatus", IdentityCenter, "what became of work under way"),
    needed(
        "sso:DescribePermissionSetProvisioningStatus",
        IdentityCenter,
        "whether a provisioning has ended, and why it failed",
    ),
    needed("identitystore:ListGroups", IdentityStore, "groups by name"),
    seldom("identitystore:GetGroupId", IdentityStore, "a group by name", MANY_GROUPS),
    seldom("identitystore:DescribeGroup", IdentityStore, "the external id of that group", MANY_GROUPS),
    needed("identitystore:GetUserId", IdentityStore, "a person by name"),
    needed("identitystore:DescribeUser", IdentityStore, "the external id of that person"),
    Action {
        without: Some(
            "the owner of the instance is taken for the management account, which it is for an organization's instance",
        ),
        ..needed(
            "organizations:DescribeOrganization",
            Organization,
            "which account is the management account",
        )
    },
    needed(
        "organizations:ListAccounts",
        Organization,
        "which accounts exist, are active, and where they are",
    ),
    seldom("organizations:ListRoots", Organization, "organizational units by path", UNITS),
    seldom(
        "organizations:ListOrganizationalUnitsForParent",
        Organization,
        "organizational units by path",
        UNITS,
    ),
    seldom(
        "organizations:ListAccountsForParent",
        Organization,
        "where accounts are",
        "only where rules name organizational units and ListAccounts does not say where accounts are (other partitions)",
    ),
    needed("iam:GetSAMLProvider", ManagementAccount, "the provider that AWS makes for sign-in"),
    needed("iam:GetRole", ManagementAccount, "the role of a permission set"),
    needed("iam:CreateRole", ManagementAccount, "the role of a permission set"),
    needed("iam:DeleteRole", ManagementAccount, "the role of a permission set"),
    needed("iam:UpdateRole", ManagementAccount, "the role of a permission set"),
    needed("iam:UpdateRoleDescription", ManagementAccount, "the role of a permission set"),
    needed("iam:AttachRolePolicy", ManagementAccount, "its policies"),
    needed("iam:DetachRolePolicy", ManagementAccount, "its policies"),
    needed("iam:PutRolePolicy", ManagementAccount, "its policies"),
    needed("iam:DeleteRolePolicy", ManagementAccount, "its policies"),
    needed("iam:ListRolePolicies", ManagementAccount, "its policies"),
    needed("iam:ListAttachedRolePolicies", ManagementAccount, "its policies"),
    seldom("iam:PutRolePermissionsBoundary", ManagementAccount, "`permissionsBoundary`", REPORTED),
    seldom("iam:DeleteRolePermissionsBoundary", ManagementAccount, "`permissionsBoundary`", REPORTED),
    seldom("iam:CreateSAMLProvider", ManagementAccount, "the first assignment there", REPORTED),
    seldom("iam:UpdateSAMLProvider", ManagementAccount, "the provider that AWS makes for sign-in", REPORTED),
    seldom("iam:TagSAMLProvider", ManagementAccount, "the provider that AWS makes for sign-in", REPORTED),
    seldom("iam:UntagSAMLProvider", ManagementAccount, "the provider that AWS makes for sign-in", REPORTED),
    seldom(
        "iam:ListSAMLProviderTags",
        ManagementAccount,
        "the provider that AWS makes for sign-in",
        REPORTED,
    ),
    needed("iam:ListRoles", ManagementAccount, "looking for them"),
    needed("iam:ListPolicies", ManagementAccount, "looking for them"),
    seldom("iam:ListSAMLProviders", ManagementAccount, "looking for them", REPORTED),
];

/// Whether IAM knows no resource for an action, so that it stands in a statement on everything.
fn anywhere(name: &str) -> bool {
    matches!(name, "iam:ListRoles" | "iam:ListPolicies" | "iam:ListSAMLProviders")
}

/// The policy for every action of these parts.
#[must_use]
pub fn policy(parts: &[Part]) -> Value {
    let mut statements = Vec::new();
    for part in Part::ALL.into_iter().filter(|p| parts.contains(p)) {
        let names = |everywhere: bool| -> Vec<&str> {
            let of_part = ALL.iter().filter(|a| a.part == part && anywhere(a.name) == everywhere);
            of_part.map(|a| a.name).collect()
        };
        let mut add = |sid: String, actions: Vec<&str>, resources: &[&str]| {
            if !actions.is_empty() {
                let resource = if let [one] = resources { json!(one) } else { json!(resources) };
                statements
                    .push(json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}));
            }
        };
        add(part.sid().to_owned(), names(false), part.resources());
        add(format!("{}List", part.sid()), names(true), &["*"]);
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// What every installation needs, in the management account or in that of the delegated administrator.
#[must_use]
pub fn base_policy() -> Value {
    policy(&[Discovery, IdentityCenter, IdentityStore, Organization])
}

/// What comes on top where bindings may target the management account.
#[must_use]
pub fn management_policy() -> Value {
    policy(&[ManagementAccount])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The operations that the sources of this module call by name.
    fn operations() -> BTreeSet<String> {
        let sources = [
            include_str!("assignments.rs"),
            include_str!("identity_store.rs"),
            include_str!("instances.rs"),
            include_str!("organization.rs"),
            include_str!("permission_sets.rs"),
            include_str!("provisioning.rs"),
            include_str!("sso_admin.rs"),
        ];
        let verbs = [
            "List",
            "Describe",
            "Get",
            "Create",
            "Update",
            "Delete",
            "Attach",
            "Detach",
            "Put",
            "Provision",
            "Tag",
            "Untag",
        ];
        let code = sources.into_iter().map(|s| s.split("#[cfg(test)]").next().unwrap_or_default());
        code.flat_map(|s| s.split('"').skip(1).step_by(2))
            .filter(|word| word.chars().all(|c| c.is_ascii_alphabetic()))
            .filter(|word| verbs.iter().any(|verb| word.len() > verb.len() && word.starts_with(verb)))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_list_is_what_the_code_calls_and_nothing_else() {
        let listed: BTreeSet<String> = ALL
            .iter()
            .filter(|a| a.part != ManagementAccount)
            .filter_map(|a| a.name.split_once(':').map(|(_, operation)| operation.to_owned()))
            .collect();
        assert_eq!(listed, operations());
        let names: BTreeSet<&str> = ALL.iter().map(|a| a.name).collect();
        assert_eq!(names.len(), ALL.len(), "an action stands there twice");
    }

    #[test]
    fn every_action_stands_in_one_of_the_policies() {
        let mut found = Vec::new();
        for policy in [base_policy(), management_policy()] {
            for statement in policy["Statement"].as_array().unwrap() {
                assert!(statement["Sid"].as_str().unwrap().chars().all(|c| c.is_ascii_alphanumeric()));
                found.extend(
                    statement["Action"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()),
                );
            }
        }
        let (mut found, mut all): (Vec<String>, Vec<String>) =
            (found, ALL.iter().map(|a| a.name.to_owned()).collect());
        found.sort();
        all.sort();
        assert_eq!(found, all);
    }
}
