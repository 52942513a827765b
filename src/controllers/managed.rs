//! The three kinds, as the runner sees them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Managed;
use crate::api::v1alpha1::{
    IdentityFederation, IdentityFederationStatus, PermissionSetBinding, PermissionSetBindingStatus,
    ScimConnection, ScimConnectionStatus,
};

macro_rules! managed {
    ($($kind:ident, $status:ident;)+) => {$(
        impl Managed for $kind {
            type Status = $status;
            const KIND: &'static str = stringify!($kind);

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn conditions(status: &$status) -> &[Condition] {
                &status.conditions
            }

            fn observed_generation(status: &$status) -> Option<i64> {
                status.observed_generation
            }

            fn set_conditions(status: &mut $status, generation: Option<i64>, conditions: Vec<Condition>) {
                status.observed_generation = generation;
                status.conditions = conditions;
            }
        }
    )+};
}

managed! {
    IdentityFederation, IdentityFederationStatus;
    ScimConnection, ScimConnectionStatus;
    PermissionSetBinding, PermissionSetBindingStatus;
}
