//! The custom resources: types only, no I/O.

#[cfg(test)]
pub mod arbitrary;
mod common;
mod schema;
#[allow(clippy::duplicated_attributes, reason = "every printer column has a type and a path")]
pub mod v1alpha1;

pub use common::{
    ConfigMapKeyRef, DeletionPolicy, Group, Handoff, HandoffStep, Mode, PlanSummary, Principal,
    PublishedMetadata, SecretKeyRef, SecretRef, User,
};
pub use schema::{Values, all_crds, finish_schema, value_meanings};

/// The API group of all kinds.
pub const GROUP: &str = "causeway.dev";

/// The custom resource definitions as they are committed: generated from the types in here.
pub const CRDS_YAML: &str = concat!(
    include_str!("../../crds/causeway.dev_identityfederations.yaml"),
    "---\n",
    include_str!("../../crds/causeway.dev_permissionsetbindings.yaml"),
    "---\n",
    include_str!("../../crds/causeway.dev_scimconnections.yaml"),
);

/// Annotations that people set.
pub mod annotations {
    /// `<sha256>` of the identity provider certificate that AWS has imported.
    pub const ACKNOWLEDGE: &str = "causeway.dev/acknowledge";
    /// `<sha256>` of the signing certificate that is to be replaced now, whatever time it has left.
    pub const ROTATE_CERTIFICATE: &str = "causeway.dev/rotate-certificate";
    /// `true`: let go of everything in the clouds when the resource is deleted.
    pub const ABANDON: &str = "causeway.dev/abandon";
    /// `<scope>@<RFC 3339>`: restart the synchronization job.
    pub const RESTART: &str = "causeway.dev/restart";
    /// `<userPrincipalName>@<RFC 3339>`: provision one person now.
    pub const PROVISION_ON_DEMAND: &str = "causeway.dev/provision-on-demand";
    /// Ids, joined by commas, of recreated principals that may take over the access of their predecessors: identity
    /// store ids or Entra object ids on a binding, Entra object ids on a federation.
    pub const APPROVE_PRINCIPAL: &str = "causeway.dev/approve-principal";
    /// Any new value: reconcile now. Echoed in `status.lastHandledReconcileAt`.
    pub const RECONCILE: &str = "causeway.dev/reconcile";
}
