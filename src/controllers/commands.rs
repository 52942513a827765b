//! The commands that messages give to people, whole, so that they can be copied: pure.

use std::time::Duration;

use kube::ResourceExt as _;

use super::Managed;
use crate::api::annotations;

/// Now, as a shell writes it: requests carry the moment at which they were made.
pub const NOW: &str = "$(date -u +%Y-%m-%dT%H:%M:%SZ)";

/// `<kind> <name> -n <namespace>`, as kubectl takes it.
pub fn target<K: Managed>(object: &K) -> String {
    format!("{} {} -n {}", K::KIND.to_lowercase(), object.name_any(), object.namespace().unwrap_or_default())
}

/// Sets an annotation, also one that is there already. `target` comes from [`target`].
pub fn annotate(target: &str, annotation: &str, value: &str) -> String {
    format!("kubectl annotate {target} {annotation}={value} --overwrite")
}

/// Has an object looked at now.
pub fn look_now(target: &str) -> String {
    annotate(target, annotations::RECONCILE, "\"$(date +%s)\"")
}

/// Creates a Secret or replaces these keys of one that exists. Pairs of key and what to put there.
pub fn put_secret(namespace: &str, name: &str, pairs: &[(&str, &str)]) -> String {
    let literals: Vec<String> =
        pairs.iter().map(|(key, value)| format!(" --from-literal={key}={value}")).collect();
    put(&format!("secret generic {name} -n {namespace}{}", literals.concat()))
}

/// Puts values under these keys of a Secret that exists; whatever else it holds stays.
pub fn patch_secret(namespace: &str, name: &str, keys: &[&str]) -> String {
    let pairs: Vec<String> = keys.iter().map(|key| format!("\"{key}\":\"<value>\"")).collect();
    let patch = format!("{{\"stringData\":{{{}}}}}", pairs.join(","));
    format!("kubectl patch secret {name} -n {namespace} --type=merge -p '{patch}'")
}

/// Creates a ConfigMap from a file or replaces this key of one that exists.
pub fn put_config_map(namespace: &str, name: &str, key: &str) -> String {
    put(&format!("configmap {name} -n {namespace} --from-file={key}=<downloaded file>"))
}

/// `kubectl create` alone fails when the object exists.
fn put(what: &str) -> String {
    format!("kubectl create {what} --dry-run=client -o yaml | kubectl apply -f -")
}

/// Lets an account read one Secret.
pub fn allow_secret(namespace: &str, name: &str, account: &str) -> String {
    let role = format!("causeway-secret-{name}");
    format!(
        "kubectl -n {namespace} create role {role} --verb=get --resource=secrets --resource-name={name} && \
         kubectl -n {namespace} create rolebinding {role} --role={role} --serviceaccount={account}"
    )
}

/// A duration as messages say it, in whole seconds and never less than it is.
pub fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_millis().div_ceil(1000).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::ScimConnection;

    #[test]
    fn commands_are_whole() {
        let object: ScimConnection = serde_json::from_value(serde_json::json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection",
            "metadata": {"name": "acme", "namespace": "identity"},
            "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "aws-scim"}}}))
        .unwrap();
        for (command, expected) in [
            (
                look_now(&target(&object)),
                "kubectl annotate scimconnection acme -n identity causeway.dev/reconcile=\"$(date +%s)\" --overwrite",
            ),
            (
                put_secret("n", "s", &[("a", "<a>"), ("b", "<b>")]),
                "kubectl create secret generic s -n n --from-literal=a=<a> --from-literal=b=<b> --dry-run=client -o yaml | kubectl apply -f -",
            ),
            (
                patch_secret("n", "s", &["a", "b"]),
                "kubectl patch secret s -n n --type=merge -p '{\"stringData\":{\"a\":\"<value>\",\"b\":\"<value>\"}}'",
            ),
            (
                put_config_map("n", "m", "k"),
                "kubectl create configmap m -n n --from-file=k=<downloaded file> --dry-run=client -o yaml | kubectl apply -f -",
            ),
            (
                allow_secret("n", "s", "system:op"),
                "kubectl -n n create role causeway-secret-s --verb=get --resource=secrets --resource-name=s && kubectl -n n create rolebinding causeway-secret-s --role=causeway-secret-s --serviceaccount=system:op",
            ),
        ] {
            assert_eq!(command, expected);
        }
    }

    #[test]
    fn a_wait_is_never_said_shorter_than_it_is() {
        for (millis, expected) in [(0, "1 s"), (200, "1 s"), (15_000, "15 s"), (15_001, "16 s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }
}
