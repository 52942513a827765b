//! `cargo sandbox`: see `sandbox/README.md`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sandbox::control_plane::Binaries;
use sandbox::core::Profile;
use sandbox::world::{Growth, World};
use sandbox::{Cluster, Descriptor, Options, Sandbox};

/// A twin of Entra ID, AWS and Kubernetes on one machine.
#[derive(Parser)]
#[command(name = "sandbox", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a sandbox and keep it running until Ctrl-C.
    Up(Up),
    /// The whole journey, from an empty tenant and an empty organization to people signing in.
    Demo(sandbox::demo::Demo),
    /// Print shell lines that point the AWS CLI, boto3, kubectl and curl at a running sandbox: eval "$(cargo sandbox env)".
    Env(Folder),
    /// Print a world as YAML, to start one's own from.
    World(Start),
    /// Find the Kubernetes programs, or build them once, and print where they are.
    ControlPlane,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    start: Start,
    /// How long the clouds take: as people report it, or a hundredth of that.
    #[arg(long, value_enum, default_value = "realistic")]
    profile: ProfileName,
    /// Start the two clouds without Kubernetes.
    #[arg(long)]
    no_cluster: bool,
}

#[derive(Args)]
struct Folder {
    /// Folder of the descriptor, certificates and logs.
    #[arg(long, value_name = "DIR", default_value = ".causeway/sandbox")]
    dir: PathBuf,
}

#[derive(Args)]
struct Start {
    /// What exists at the beginning: company, company-enabled, empty, or a YAML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "company")]
    world: String,
    /// Grow the world to this many accounts.
    #[arg(long, value_name = "N")]
    accounts: Option<usize>,
    /// Grow the world to this many groups.
    #[arg(long, value_name = "N")]
    groups: Option<usize>,
    /// Grow the world to this many users.
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Generated content, ids and durations are the same for the same seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileName {
    Realistic,
    Fast,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse_from(arguments()).command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line without a `--` after the command: `cargo demo -- --keep` is what people type, and the alias has
/// one already.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut all: Vec<_> = std::env::args_os().collect();
    if all.get(2).is_some_and(|word| word == "--") {
        all.remove(2);
    }
    all
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(up) => Box::pin(self::up(up)).await,
        Command::Demo(demo) => Box::pin(sandbox::demo::run(demo)).await,
        Command::Env(Folder { dir }) => {
            print!("{}", Descriptor::read(&dir)?.shell());
            Ok(())
        }
        Command::World(start) => {
            print!("{}", serde_yaml_ng::to_string(&world(&start)?)?);
            Ok(())
        }
        Command::ControlPlane => {
            let found = tokio::task::spawn_blocking(Binaries::find).await??;
            for program in [found.etcd, found.apiserver, found.controller_manager, found.kubectl] {
                println!("{}", program.display());
            }
            Ok(())
        }
    }
}

fn world(start: &Start) -> anyhow::Result<World> {
    let mut world = World::load(&start.world)?;
    world.grow(Growth { accounts: start.accounts, groups: start.groups, users: start.users }, start.seed);
    Ok(world)
}

async fn up(up: Up) -> anyhow::Result<()> {
    let started = Instant::now();
    let options = Options {
        world: world(&up.start)?,
        profile: match up.profile {
            ProfileName::Realistic => Profile::realistic(),
            ProfileName::Fast => Profile::fast(),
        },
        seed: up.start.seed,
        dir: up.folder.dir,
        cluster: if up.no_cluster { Cluster::None } else { Cluster::Own },
    };
    // Listening from here on: a signal during the start must not leave programs behind either.
    let mut stop = std::pin::pin!(stopped()?);
    let sandbox = tokio::select! {
        started = Box::pin(Sandbox::start(options)) => started?,
        () = &mut stop => return Ok(()),
    };
    print!("{}", next_steps(&sandbox, started.elapsed().as_secs_f32()));
    stop.await;
    eprintln!("\nstopping");
    Ok(())
}

/// Resolves on Ctrl-C, or when somebody asks this process to end.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn next_steps(sandbox: &Sandbox, seconds: f32) -> String {
    use std::fmt::Write as _;
    let descriptor = sandbox.descriptor();
    let (aws, entra, control) = (&descriptor.aws, &descriptor.entra, &descriptor.control);
    let file = sandbox.dir().join(Descriptor::FILE);
    let mut text =
        format!("The sandbox is up after {seconds:.1} s, with the {} profile.\n\n", descriptor.profile);
    // Writing into a String cannot fail.
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(args);
        text.push('\n');
    };
    line(format_args!(
        "  Entra ID    {}  tenant {}, sign-in host {}",
        entra.graph, entra.tenant_id, entra.authority
    ));
    line(format_args!(
        "  AWS         {}  management account {}, {}",
        aws.endpoint, aws.management_account_id, aws.region
    ));
    if let Some(kubeconfig) = &descriptor.kubeconfig {
        line(format_args!("  Kubernetes  {}", kubeconfig.display()));
    }
    line(format_args!("  Consoles    {control}  plays the people who click; GET / lists what they can do"));
    line(format_args!(
        "\nEverything a client must know, credentials too, is in {}\n\nNext, in another terminal:",
        file.display()
    ));
    line(format_args!("  eval \"$(cargo sandbox env --dir {})\"", sandbox.dir().display()));
    if let Some(kubectl) = &descriptor.kubectl {
        line(format_args!("  {} get namespaces", kubectl.display()));
    }
    line(format_args!("  aws organizations list-accounts"));
    if aws.instance_arn.is_none() {
        line(format_args!("  curl -X POST $SANDBOX_CONTROL/console/aws/enable-identity-center"));
    }
    line(format_args!("  curl $SANDBOX_CONTROL/journal\n\nCtrl-C ends it and everything it started."));
    text
}
