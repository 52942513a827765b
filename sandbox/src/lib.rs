//! A twin of Entra ID, AWS and Kubernetes on one machine: see `sandbox/README.md`.

pub mod aws;
mod control_api;
pub mod control_plane;
pub mod core;
mod descriptor;
pub mod entra;
mod sandbox;
pub mod sign_in;
pub mod world;

pub use descriptor::{AwsEndpoint, Descriptor, EntraEndpoint, ScimEndpoint};
pub use sandbox::{Cluster, Options, Sandbox};
