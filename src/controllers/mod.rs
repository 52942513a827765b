//! The controllers: one folder for each kind, and what they share.

pub mod context;
mod outcome;

pub use outcome::{Cleanup, Managed, Next, Notice, Outcome, Reconciler};
