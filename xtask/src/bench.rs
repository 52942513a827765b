//! What many bindings take.

use std::process::Command;

use anyhow::{Context as _, bail};

const LOAD: &str = "load::bindings_applied_at_once_come_to_rest_within_bounds";

/// Applies so many bindings at once and prints what was counted.
pub fn run(bindings: u32) -> anyhow::Result<()> {
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--locked", "--test", "suite", "--", "--exact", "--nocapture", LOAD]);
    tests.env("BENCH_BINDINGS", bindings.to_string());
    if !tests.status().context("run cargo test")?.success() {
        bail!("the bindings did not come to rest within the bounds: see above");
    }
    Ok(())
}
