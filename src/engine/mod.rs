//! The engine: one for each Identity Center instance, shared by all bindings on it.

pub mod plan_assignments;
pub mod plan_set;
pub mod policy;
