//! Whether anything may be written: the strictest of operator, federation and binding counts. Pure.

use kube::ResourceExt as _;

use crate::api::Mode;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding};

/// Whose mode is Observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// The binding's own.
    Binding,
    /// Its federation's, by name.
    Federation(String),
    /// The operator's.
    Operator,
}

impl Watcher {
    /// The first of those whose mode is Observe, if there is one: then nothing outside the cluster is written.
    #[must_use]
    pub fn of(
        object: &PermissionSetBinding,
        federation: Option<&IdentityFederation>,
        operator: Mode,
    ) -> Option<Self> {
        if object.spec.mode == Mode::Observe {
            return Some(Self::Binding);
        }
        if let Some(federation) = federation.filter(|f| f.spec.mode == Mode::Observe) {
            return Some(Self::Federation(federation.name_any()));
        }
        (operator == Mode::Observe).then_some(Self::Operator)
    }

    /// What to do to have it carried out.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Binding => "set spec.mode to Enforce".to_owned(),
            Self::Federation(name) => format!("set spec.mode of IdentityFederation {name} to Enforce"),
            Self::Operator => "run the operator in Enforce mode".to_owned(),
        }
    }

    /// Why a deletion removes nothing, and what to do about it.
    #[must_use]
    pub fn holds_back(&self) -> String {
        let whose = match self {
            Self::Binding => "spec.mode is Observe".to_owned(),
            Self::Federation(name) => format!("spec.mode of IdentityFederation {name} is Observe"),
            Self::Operator => "the operator runs in Observe mode".to_owned(),
        };
        format!(
            "{whose}, but what the binding made before is still in AWS: {} to have that removed",
            self.remedy()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_strictest_mode_counts() {
        let binding = |mode: &str| -> PermissionSetBinding {
            serde_json::from_value(json!({
                "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding", "metadata": {"name": "b"},
                "spec": {
                    "mode": mode, "federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"},
                    "principals": [], "accounts": {"include": []},
                },
            }))
            .unwrap()
        };
        let federation = |mode: &str| -> IdentityFederation {
            serde_json::from_value(json!({
                "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation", "metadata": {"name": "acme"},
                "spec": {
                    "mode": mode,
                    "entra": {"tenantId": "t", "credentials": {"clientSecret": {
                        "clientId": "c", "secretRef": {"name": "s", "key": "k"}}}, "application": {}},
                    "aws": {
                        "region": "eu-west-1", "credentials": {"secretRef": {"name": "aws"}},
                        "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}},
                    },
                },
            }))
            .unwrap()
        };
        let acme = || Some(Watcher::Federation("acme".to_owned()));
        for (own, theirs, operator, watcher) in [
            ("Enforce", "Enforce", Mode::Enforce, None),
            ("Enforce", "Enforce", Mode::Observe, Some(Watcher::Operator)),
            ("Enforce", "Observe", Mode::Enforce, acme()),
            ("Enforce", "Observe", Mode::Observe, acme()),
            ("Observe", "Enforce", Mode::Enforce, Some(Watcher::Binding)),
            ("Observe", "Observe", Mode::Observe, Some(Watcher::Binding)),
        ] {
            assert_eq!(Watcher::of(&binding(own), Some(&federation(theirs)), operator), watcher);
        }
        assert_eq!(Watcher::of(&binding("Enforce"), None, Mode::Enforce), None);
        assert!(acme().unwrap().holds_back().contains("set spec.mode of IdentityFederation acme to Enforce"));
    }
}
