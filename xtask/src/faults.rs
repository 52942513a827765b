//! The fault matrix in its slow form: one fault in each journey.

use std::process::Command;

use anyhow::{Context as _, bail};

/// Runs the journeys; without `only`, the test writes `docs/faults.md` when all went well.
pub fn run(only: &str) -> anyhow::Result<()> {
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--test", "suite", "faults::each_fault_alone_ends_the_same"]);
    tests.args(["--", "--ignored", "--exact", "--nocapture"]);
    tests.env("FAULTS_ONLY", only);
    if only.is_empty() {
        tests.env("CAUSEWAY_FAULTS_PAGE", "write");
    }
    if !tests.status().context("run cargo test")?.success() {
        bail!("a fault does harm: see above");
    }
    Ok(())
}
