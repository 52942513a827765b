//! What the operator says about itself: logs, metrics, audit records.

mod audit;

pub use audit::Audit;
