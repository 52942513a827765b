//! Logs, to stderr; traces, to a collector when there is one.

use std::io::IsTerminal as _;

use opentelemetry::trace::{TraceContextExt as _, TraceId};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::Exporter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The process's telemetry, to be ended last.
#[derive(Debug)]
pub struct Telemetry {
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Delivers what is left.
    pub async fn end(self) {
        if let Some(exporter) = self.exporter {
            exporter.end().await;
        }
    }
}

/// Installs the process's only subscriber. For `main` alone: tests run several operators in one process.
///
/// # Errors
/// An unreadable filter, or a subscriber that is there already.
pub fn install(
    format: LogFormat,
    filter: &str,
    exporter: Option<Exporter>,
) -> Result<Telemetry, Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let traces = exporter.as_ref().map(Exporter::layer);
    tracing_subscriber::registry().with(lines).with(traces).try_init()?;
    Ok(Telemetry { exporter })
}

/// The id by which the trace that begins with this span is found: the collector's, else a made-up one that ties the
/// lines of the log together.
#[must_use]
pub fn trace_id(span: &Span) -> String {
    let known = span.context().span().span_context().trace_id();
    if known == TraceId::INVALID { uuid::Uuid::new_v4().simple().to_string() } else { known.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_traces_have_ids_all_the_same() {
        let (one, other) = (trace_id(&Span::none()), trace_id(&Span::none()));
        assert_eq!((one.len(), one == other), (32, false));
    }
}
