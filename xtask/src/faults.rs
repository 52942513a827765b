//! The fault matrix by itself, its page, and its isolated form, which takes too long for `cargo test`.

use std::process::Command;

use anyhow::{Context as _, bail};

const MATRIX: &str = "faults::every_fault_on_every_operation_ends_the_same";
const LASTING: &str = "faults::what_lasts_is_told_as_documented_and_passes";

/// Runs the journeys: one fault in each, or (`quick`) many that do not meet in one. Without `only`, the tests write
/// `docs/faults.md` when all went well.
pub fn run(only: &str, quick: bool) -> anyhow::Result<()> {
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--locked", "--test", "suite", "--", "--exact", "--nocapture", MATRIX]);
    if quick {
        tests.arg(LASTING);
    } else {
        tests.env("FAULTS_ALONE", only);
    }
    if only.is_empty() {
        tests.env("CAUSEWAY_FAULTS_PAGE", "write");
    }
    if !tests.status().context("run cargo test")?.success() {
        bail!("a fault does harm: see above");
    }
    Ok(())
}
