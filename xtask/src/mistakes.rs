//! The table of mistakes and its page.

use std::process::Command;

use anyhow::{Context as _, bail};

const ALL: &str = "mistakes::each_mistake_is_told_where_people_look_and_costs_nothing";

/// Makes all mistakes, and writes `docs/mistakes.md` with the messages that were seen when each was told as it should.
pub fn run() -> anyhow::Result<()> {
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--locked", "--test", "suite", "--", "--exact", "--nocapture", ALL]);
    tests.env("CAUSEWAY_MISTAKES_PAGE", "write");
    if !tests.status().context("run cargo test")?.success() {
        bail!("a mistake is not told as it should be: see above");
    }
    Ok(())
}
