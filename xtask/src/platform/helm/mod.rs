//! The chart with the real helm on the real API server.

mod audit;
mod chart;
mod client;
mod ending;
mod life;
mod namespaces;
mod pages;
mod proxy;
mod whole;

pub use client::Helm;

use anyhow::Context as _;

use super::Checks;
use audit::Used;

/// Everything about the chart.
///
/// # Errors
/// When something cannot be started, or a step does not end.
pub async fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let mut used = Used::default();
    let whole = Box::pin(whole::run(checks, &mut used)).await;
    let namespaces = Box::pin(namespaces::run(checks, &mut used)).await;
    whole.context("one release for the whole cluster")?;
    namespaces.context("one release for some namespaces")?;
    used.judge(checks);
    Ok(())
}
