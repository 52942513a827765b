//! `causeway`: see `causeway --help`.

use std::process::ExitCode;

use causeway::settings::{Cli, Command, Invocation};
use causeway::{api, app, telemetry};
use clap::Parser as _;
use tokio_util::sync::CancellationToken;

/// The exit code for settings that cannot be used; the same as for unknown flags.
const INVALID_SETTINGS: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let invocation = match Cli::parse().command {
        Command::Crds => {
            print!("{}", api::CRDS_YAML);
            return ExitCode::SUCCESS;
        }
        Command::Run(raw) => Invocation::try_from(*raw),
    };
    let result = match invocation {
        Ok(invocation) => run(invocation).await,
        Err(invalid) => {
            eprintln!("{invalid}");
            return ExitCode::from(INVALID_SETTINGS);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the operator ended");
            ExitCode::from(error.downcast_ref::<app::Error>().map_or(1, app::Error::exit_code))
        }
    }
}

async fn run(invocation: Invocation) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let ca_pem = || invocation.settings.endpoints.ca_pem.clone();
    let exporter = invocation.otlp_endpoint.as_ref().map(|url| telemetry::Exporter::new(url, ca_pem()));
    let telemetry = telemetry::install(invocation.log_format, &invocation.log_level, exporter.transpose()?)?;
    let stop = CancellationToken::new();
    app::stop_on_signals(stop.clone())?;
    let ended = app::run(invocation.settings, None, stop, None).await;
    telemetry.end().await;
    Ok(ended?)
}
