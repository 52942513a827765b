//! Conditions and their reasons: what a status says, and how it is put together.

mod condition;
mod reason;
mod remedy;

pub use condition::{ConditionSet, Verdict, condition, is_true};
pub use reason::Reason;
