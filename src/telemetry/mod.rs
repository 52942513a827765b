//! What the operator says about itself: logs, metrics, audit records.

mod audit;
mod metrics;
mod tracing;

pub use self::metrics::{CONTENT_TYPE, Metrics, ResourceState};
pub use self::tracing::{LogFormat, install};
pub use audit::Audit;
