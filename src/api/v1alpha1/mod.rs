//! Version `v1alpha1`.

mod binding_rules;
mod credentials;
mod identity_federation;
mod parties;
mod permission_set_binding;
mod scim_connection;

pub use binding_rules::*;
pub use credentials::*;
pub use identity_federation::*;
pub use parties::*;
pub use permission_set_binding::*;
pub use scim_connection::*;
