//! PermissionSetBinding against the twin clouds and a real API server.

mod crash;
mod deserted;
mod guard;
mod harness;
mod life;
mod lost;
mod modes;
mod policies;
mod progress;
mod refusals;
mod stated;
mod strays;
mod tenants;
mod told;
