//! A twin of Entra ID, AWS and Kubernetes on one machine: see `sandbox/README.md`.

pub mod aws;
pub mod core;
pub mod world;
