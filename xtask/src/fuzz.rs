//! Longer runs of the tests that throw foreign input at every decoder.

use std::process::Command;

use anyhow::{Context as _, ensure};

/// Runs the tests whose names hold `fuzz` with so many inputs each. `cargo test` runs them with a few hundred.
///
/// # Errors
/// A test failed; the input that broke it is printed.
pub fn run(cases: u32) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--locked", "--lib", "--package", "causeway", "--package", "sandbox", "fuzz"])
        .env("PROPTEST_CASES", cases.to_string())
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "an input broke something: it is printed above");
    Ok(())
}
