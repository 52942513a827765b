//! Logs, to stderr.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Modules of libraries that write whole requests and answers to the log at the level trace, with all that is secret in
/// them. No setting brings that back.
const RAW: [&str; 2] = ["aws_sigv4", "aws_smithy_runtime::client::orchestrator"];

fn is_raw(target: &str, level: Level) -> bool {
    level == Level::TRACE && RAW.iter().any(|module| target.starts_with(module))
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the process's only subscriber. For `main` alone: tests run several operators in one process.
///
/// # Errors
/// An unreadable filter, or a subscriber that is there already.
pub fn install(format: LogFormat, filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let harmless = filter_fn(|metadata| !is_raw(metadata.target(), *metadata.level()));
    match format {
        LogFormat::Text => builder.finish().with(harmless).try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().with(harmless).try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_requests_are_never_logged() {
        assert!(is_raw("aws_smithy_runtime::client::orchestrator::http", Level::TRACE));
        assert!(is_raw("aws_sigv4::http_request::sign", Level::TRACE));
        assert!(!is_raw("aws_sigv4::http_request::sign", Level::DEBUG));
        assert!(!is_raw("causeway::controllers::runner", Level::TRACE));
    }
}
