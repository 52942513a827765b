//! A twin of Entra ID, AWS and Kubernetes on one machine: see `sandbox/README.md`.

pub mod aws;
mod control_api;
pub mod control_plane;
pub mod core;
pub mod demo;
mod descriptor;
pub mod entra;
pub mod go_module;
pub mod journey;
mod sandbox;
pub mod sign_in;
pub mod world;

pub use descriptor::{AwsEndpoint, Descriptor, EntraEndpoint, ScimEndpoint};
pub use sandbox::{Cluster, Options, Sandbox};
