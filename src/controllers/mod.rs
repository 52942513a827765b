//! The controllers: one folder for each kind, and what they share.

mod access;
pub mod context;
mod outcome;

pub use access::Clouds;
pub use outcome::{Cleanup, Managed, Next, Notice, Outcome, Reconciler};
