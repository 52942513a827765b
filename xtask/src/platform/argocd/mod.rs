//! Argo CD: its real application controller and repo server sync `examples/argocd/` from a Git repository on this
//! machine, beside the real operator and the simulated clouds.

mod application;
mod example;
mod health;
mod installation;
mod repository;
mod story;
mod tools;
mod world;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Checks;
use tools::Tools;

const CONFIG: &str = include_str!("../../../../examples/argocd/argocd-cm.yaml");
/// Where Argo CD's own resources are.
const NAMESPACE: &str = "argocd";
/// How long any one thing may take.
const PATIENCE: Duration = Duration::from_secs(180);
const TICK: Duration = Duration::from_millis(200);

/// Runs the suite.
///
/// # Errors
/// When it cannot go on.
pub async fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let tools = tokio::task::spawn_blocking(Tools::find).await??;
    checks.passed(&format!("argocd {} is there", Tools::version()));
    example::run(checks)?;
    tokio::task::block_in_place(|| health::run(checks, &tools))?;
    story::run(checks, &tools).await
}

/// Our kinds.
const fn kinds() -> [&'static str; 3] {
    sandbox::journey::kinds()
}

/// Argo CD's ConfigMap, as the patch of the example makes it.
fn config() -> anyhow::Result<Value> {
    let patch: Value = serde_yaml_ng::from_str(CONFIG).context("read argocd-cm.yaml")?;
    Ok(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": patch["data"],
        "metadata": {"name": "argocd-cm", "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "argocd"}}}))
}
