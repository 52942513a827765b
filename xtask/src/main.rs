//! Causeway's own chores. `cargo xtask` without arguments lists them.

mod bench;
mod conformance;
mod faults;
mod fuzz;
mod generate;
mod mistakes;
mod platform;
mod release;
mod stamp;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Causeway's own chores", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write what is generated from the code: crds/, docs/reference/, the operator's rights, parts of the chart, and for which
    /// version other generated pages are.
    Gen {
        /// Write nothing; fail when a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Throw foreign input at every decoder, for longer than `cargo test` does.
    Fuzz {
        /// How many inputs each test makes up.
        #[arg(long, default_value_t = 5_000)]
        cases: u32,
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
    /// Apply many bindings at once, and count what it takes until they are at rest: calls and ratios, not seconds.
    Bench {
        /// How many. AWS lets twenty calls a second through: a thousand take a quarter of an hour.
        #[arg(long, default_value_t = 1_000)]
        bindings: u32,
    },
    /// Install, upgrade and use the product with the real tools (helm, kubectl) on the real control plane; what is
    /// missing is built once, with Go.
    Platform {
        /// Run these suites alone.
        #[arg(value_name = "SUITE")]
        only: Vec<String>,
    },
    /// Make the mistakes of users and administrators, and write docs/mistakes.md with what they read.
    Mistakes,
    /// Build the static binary, check it, and write it to dist/ with its checksums and what is in it; then measure it.
    Release {
        /// Take this binary instead of building one.
        #[arg(long, value_name = "FILE")]
        built: Option<std::path::PathBuf>,
        /// Keep it with its chart in xtask/fixtures/: the platform tests then upgrade from it and roll back to it.
        #[arg(long)]
        keep: bool,
    },
    /// Have every fault befall every call, one at a time (half an hour), and write docs/faults.md.
    Faults {
        /// Only cells whose name holds this text, such as "CreatePermissionSet × hang"; writes nothing.
        #[arg(long, default_value = "")]
        only: String,
        /// Many faults in one journey, and those that last: some minutes.
        #[arg(long, conflicts_with = "only")]
        quick: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Gen { check } => generate::run(check),
        Task::Bench { bindings } => bench::run(bindings),
        Task::Fuzz { cases } => fuzz::run(cases),
        Task::Conformance { report, only } => conformance::run(report, &only),
        Task::Platform { only } => platform::run(&only),
        Task::Mistakes => mistakes::run(),
        Task::Release { built, keep } => release::run(built, keep),
        Task::Faults { only, quick } => faults::run(&only, quick),
    }
}
