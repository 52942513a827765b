//! The chart with the real helm on the real API server.

mod audit;
mod chart;
mod client;
mod life;
mod namespaces;
mod whole;

pub use client::Helm;

use super::Checks;
use audit::Used;

/// Everything about the chart.
///
/// # Errors
/// When something cannot be started, or a step does not end.
pub async fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let mut used = Used::default();
    whole::run(checks, &mut used).await?;
    namespaces::run(checks, &mut used).await?;
    used.judge(checks);
    Ok(())
}
