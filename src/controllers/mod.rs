//! The controllers: one folder for each kind, and what they share.

mod absences;
mod access;
mod announce;
mod backoff;
mod commands;
pub mod context;
pub mod identity_federation;
mod managed;
mod marks;
mod outcome;
pub mod permission_set_binding;
mod punctual;
mod related;
mod remarks;
mod runner;
pub mod scim_connection;
mod secrets;
mod state;
mod stores;
mod wake;
mod writes;

pub use access::Clouds;
pub use outcome::{Cleanup, Managed, Next, Notice, Outcome, Reconciler, handled_reconcile};
pub use related::{Related, watch_config_maps};
pub use runner::Runner;
pub use stores::{Lane, Stores, Writers};
pub use writes::conditions_of_a_first_visit;
