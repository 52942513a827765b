//! A twin of Entra ID, AWS and Kubernetes on one machine: see `sandbox/README.md`.

pub mod aws;
pub mod control_plane;
pub mod core;
pub mod sign_in;
pub mod world;
