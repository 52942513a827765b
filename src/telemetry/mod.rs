//! What the operator says about itself: logs, traces, metrics, audit records.

mod audit;
mod export;
mod families;
mod metrics;
mod pass;
mod resources;
mod tracing;

pub use self::families::{FAMILIES, Family, KINDS, Label, Type};
pub use self::metrics::{CONTENT_TYPE, Metrics};
pub use self::pass::pass_over;
pub use self::resources::{Assignments, Credential, ResourceState, Standing};
pub use self::tracing::{LogFormat, Telemetry, install, trace_id};
pub use audit::Audit;
pub use export::{ExportError, Exporter};
