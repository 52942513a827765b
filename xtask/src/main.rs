//! Causeway's own chores. `cargo xtask` without arguments lists them.

mod faults;
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
    /// Have every fault befall every call, one at a time (half an hour), and write docs/faults.md.
    Faults {
        /// Only cells whose name holds this text, such as "CreatePermissionSet × hang"; writes nothing.
        #[arg(long, default_value = "")]
        only: String,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Gen { check } => generate::run(check),
        Task::Faults { only } => faults::run(&only),
    }
}
