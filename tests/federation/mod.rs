//! IdentityFederation against both simulated clouds and a real API server.

mod bench;
mod claims;
mod crash;
mod credentials;
mod journey;
mod letting_go;
mod refusals;
mod removals;
