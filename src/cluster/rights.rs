//! What the operator may do in a cluster: the one list that the chart's RBAC is made from and that a test runs with.

use k8s_openapi::api::rbac::v1::PolicyRule;

const KINDS: [&str; 3] = ["identityfederations", "permissionsetbindings", "scimconnections"];

/// In every watched namespace; a ClusterRole when all are watched.
#[must_use]
pub fn watched() -> Vec<PolicyRule> {
    let subresources = |name: &str| KINDS.map(|kind| format!("{kind}/{name}"));
    vec![
        // `patch` is for the finalizer.
        rule("causeway.dev", KINDS, ["get", "list", "patch", "watch"]),
        rule("causeway.dev", subresources("status"), ["patch"]),
        // Where the API server enforces it (OpenShift does): an owner reference that blocks its owner's deletion.
        rule("causeway.dev", subresources("finalizers"), ["update"]),
        // Metadata of a service provider, and what the operator publishes and records.
        rule("", ["configmaps"], ["create", "get", "list", "patch", "watch"]),
        // By name, from a resource's own namespace: never listed.
        rule("", ["secrets"], ["get"]),
        rule("events.k8s.io", ["events"], ["create", "patch"]),
        // The labels of a namespace, where the rules of a federation ask for them.
        rule("", ["namespaces"], ["get"]),
    ]
}

/// In a namespace whose resources name ServiceAccounts in their credentials, for these alone. It is never part of what is
/// granted everywhere: whoever may create tokens of any ServiceAccount may be anybody.
#[must_use]
pub fn tokens(accounts: &[&str]) -> Vec<PolicyRule> {
    let mut create = rule("", ["serviceaccounts/token"], ["create"]);
    create.resource_names = Some(accounts.iter().map(|&name| name.to_owned()).collect());
    vec![create]
}

/// In the operator's own namespace, for the Lease of that name.
#[must_use]
pub fn own(lease_name: &str) -> Vec<PolicyRule> {
    // A name cannot be demanded of what does not exist yet.
    let create = rule("coordination.k8s.io", ["leases"], ["create"]);
    let mut keep = rule("coordination.k8s.io", ["leases"], ["get", "update"]);
    keep.resource_names = Some(vec![lease_name.to_owned()]);
    vec![create, keep]
}

/// The ServiceAccount that a refusal of the API server names, as `<namespace>:<name>`: the operator's own.
#[must_use]
pub fn named_account(refusal: &str) -> &str {
    let named = refusal.split_once("\"system:serviceaccount:").and_then(|(_, rest)| rest.split_once('"'));
    named.map_or("<namespace>:<the operator's ServiceAccount>", |(name, _)| name)
}

fn rule<R: Into<String>, const N: usize, const M: usize>(
    group: &str,
    resources: [R; N],
    verbs: [&str; M],
) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources.map(Into::into).to_vec()),
        verbs: verbs.map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    }
}
