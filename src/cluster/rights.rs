//! What the operator may do in a cluster: the one list that `examples/operator/rbac.yaml` and the chart's roles are
//! generated from, that tests run with, and that the API server's audit log is compared with.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// One right, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// Where it is granted.
    pub place: Place,
    /// The API group.
    pub group: &'static str,
    /// Resources, or subresources.
    pub resources: &'static [&'static str],
    /// Verbs. No wildcards.
    pub verbs: &'static [&'static str],
    /// Whether it holds for the Lease of the operator alone.
    pub lease_only: bool,
    /// What it is for.
    pub why: &'static str,
    /// Why a whole journey can go by without it, when it can.
    pub unused: Option<&'static str>,
}

/// Where rights are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In every watched namespace; with a ClusterRole when all are watched.
    Watched,
    /// In namespaces whose owners, or the chart's values, say so.
    Secrets,
    /// In the operator's own namespace.
    Home,
}

const fn right(
    place: Place,
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right { place, group, resources, verbs, lease_only: false, why, unused: None }
}

/// All rights but those to create tokens ([`tokens`]), which are granted by name.
pub const RIGHTS: &[Right] = &[
    right(
        Place::Watched,
        "causeway.dev",
        &["identityfederations", "permissionsetbindings", "scimconnections"],
        &["get", "list", "patch", "watch"],
        "What people ask for; patch is for the finalizer.",
    ),
    right(
        Place::Watched,
        "causeway.dev",
        &["identityfederations/status", "permissionsetbindings/status", "scimconnections/status"],
        &["patch"],
        "What the operator says about it.",
    ),
    Right {
        unused: Some(
            "the API server asks for it only with OwnerReferencesPermissionEnforcement, and records no call then",
        ),
        ..right(
            Place::Watched,
            "causeway.dev",
            &[
                "identityfederations/finalizers",
                "permissionsetbindings/finalizers",
                "scimconnections/finalizers",
            ],
            &["update"],
            "Owner references that hold up the deletion of their owner, where the API server enforces them (OpenShift does).",
        )
    },
    right(
        Place::Watched,
        "",
        &["configmaps"],
        &["get", "list", "patch", "watch"],
        "Metadata of a service provider, and what the operator publishes and records.",
    ),
    Right {
        unused: Some(
            "the API server asks for it when a ConfigMap is applied for the first time, and records a patch",
        ),
        ..right(
            Place::Watched,
            "",
            &["configmaps"],
            &["create"],
            "The first of what is published and recorded.",
        )
    },
    right(Place::Watched, "events.k8s.io", &["events"], &["create"], "Events."),
    Right {
        unused: Some("only where the same happens again within a short time"),
        ..right(Place::Watched, "events.k8s.io", &["events"], &["patch"], "How often an Event came.")
    },
    Right {
        unused: Some("only where spec.bindings.rules of a federation select namespaces by label"),
        ..right(
            Place::Watched,
            "",
            &["namespaces"],
            &["get"],
            "The labels of a namespace, where spec.bindings.rules of a federation ask for them.",
        )
    },
    right(
        Place::Secrets,
        "",
        &["secrets"],
        &["get"],
        "Credentials, by name, from a resource's own namespace: never listed.",
    ),
    right(
        Place::Home,
        "coordination.k8s.io",
        &["leases"],
        &["create"],
        "The Lease, once. A name cannot be demanded of what does not exist yet.",
    ),
    Right {
        lease_only: true,
        ..right(Place::Home, "coordination.k8s.io", &["leases"], &["get", "update"], "The Lease, ever after.")
    },
];

fn granted(place: Place) -> impl Iterator<Item = &'static Right> {
    RIGHTS.iter().filter(move |right| right.place == place)
}

/// In every watched namespace; a ClusterRole when all are watched.
#[must_use]
pub fn watched() -> Vec<PolicyRule> {
    granted(Place::Watched).map(|right| right.rule("")).collect()
}

/// In a namespace whose Secrets the operator may read, all of them by name.
#[must_use]
pub fn secrets() -> Vec<PolicyRule> {
    granted(Place::Secrets).map(|right| right.rule("")).collect()
}

/// In a namespace whose resources name ServiceAccounts in their credentials, for these alone. It is never part of what is
/// granted everywhere: whoever may create tokens of any ServiceAccount may be anybody.
#[must_use]
pub fn tokens(accounts: &[&str]) -> Vec<PolicyRule> {
    vec![PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["serviceaccounts/token".to_owned()]),
        verbs: vec!["create".to_owned()],
        resource_names: Some(accounts.iter().map(|&name| name.to_owned()).collect()),
        ..PolicyRule::default()
    }]
}

/// In the operator's own namespace, for the Lease of that name.
#[must_use]
pub fn own(lease_name: &str) -> Vec<PolicyRule> {
    granted(Place::Home).map(|right| right.rule(lease_name)).collect()
}

impl Right {
    fn rule(&self, lease_name: &str) -> PolicyRule {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        PolicyRule {
            api_groups: Some(vec![self.group.to_owned()]),
            resources: Some(owned(self.resources)),
            verbs: owned(self.verbs),
            resource_names: self.lease_only.then(|| vec![lease_name.to_owned()]),
            ..PolicyRule::default()
        }
    }
}

/// The ServiceAccount that a refusal of the API server names, as `<namespace>:<name>`: the operator's own.
#[must_use]
pub fn named_account(refusal: &str) -> &str {
    let named = refusal.split_once("\"system:serviceaccount:").and_then(|(_, rest)| rest.split_once('"'));
    named.map_or("<namespace>:<the operator's ServiceAccount>", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_wholesale() {
        for right in RIGHTS {
            for word in right.resources.iter().chain(right.verbs) {
                assert!(!word.contains('*') && !word.is_empty(), "{right:?}");
            }
            assert!(!right.resources.contains(&"secrets") || right.verbs == ["get"], "{right:?}");
            // A resource and its status are two things.
            let subresources = right.resources.iter().filter(|r| r.contains('/')).count();
            assert!(subresources == 0 || subresources == right.resources.len(), "{right:?}");
        }
    }
}
