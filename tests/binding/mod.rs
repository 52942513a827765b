//! PermissionSetBinding against the twin clouds and a real API server.

mod crash;
mod deserted;
mod harness;
mod life;
mod lost;
mod modes;
mod refusals;
mod stated;
mod told;
