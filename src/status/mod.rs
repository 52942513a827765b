//! Conditions and their reasons: what a status says, and how it is put together.

mod condition;
mod reason;
mod remedy;
mod told;

pub use condition::{ConditionSet, Verdict, condition, is_true};
pub use reason::Reason;
pub use told::Kind;
