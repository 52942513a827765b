//! IdentityFederation against both simulated clouds and a real API server.

mod bench;
mod crash;
mod credentials;
mod journey;
