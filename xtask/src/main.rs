//! Causeway's own chores. `cargo xtask` without arguments lists them.

mod conformance;
mod generate;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Causeway's own chores", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write what is generated from the code: crds/ and docs/reference/.
    Gen {
        /// Write nothing; fail when a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Run clients that nobody here wrote against the sandbox; needs python3 (3.11 or newer).
    Conformance {
        /// Write docs/conformance.md; without this, fail when it differs.
        #[arg(long)]
        report: bool,
        /// Run these scripts of xtask/conformance alone, without the page.
        #[arg(long, value_name = "NAME", conflicts_with = "report")]
        only: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Gen { check } => generate::run(check),
        Task::Conformance { report, only } => conformance::run(report, &only),
    }
}
