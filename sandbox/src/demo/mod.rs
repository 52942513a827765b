//! `cargo demo`: the whole journey, from an empty tenant and an empty organization to people signing in, and back
//! out again for those who leave. Everything that is claimed is read back from both clouds, not from the operator.

mod checks;
mod live;
mod names;
mod screen;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::SignedDuration;
use kube::{Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use crate::control_plane::Binaries;
use crate::core::Profile;
use crate::journey::{self, Operator, Person};
use crate::world::World;
use crate::{Cluster, Options, Sandbox};
use checks::Checks;
use live::Live;
use screen::Screen;

/// The YAML that the demo applies: the files of `examples/`, as they are.
const RBAC: &str = include_str!("../../../examples/operator/rbac.yaml");
const NAMESPACE: &str = include_str!("../../../examples/identity-center/00-namespace.yaml");
const FEDERATION: &str = include_str!("../../../examples/identity-center/10-federation.yaml");
const CONNECTION: &str = include_str!("../../../examples/identity-center/20-connection.yaml");
const BINDINGS: &str = include_str!("../../../examples/identity-center/30-bindings.yaml");
const CHANGE: &str = include_str!("../../../examples/identity-center/40-oncall-leaves-production.yaml");
const CRDS: [&str; 3] = [
    include_str!("../../../crds/causeway.dev_identityfederations.yaml"),
    include_str!("../../../crds/causeway.dev_scimconnections.yaml"),
    include_str!("../../../crds/causeway.dev_permissionsetbindings.yaml"),
];

/// The clouds' clock runs this much faster than the wall's.
const SPEED: i64 = 8;
/// Where the operator's log is, in the demo's folder.
const LOG: &str = "operator.log";
/// How long any one thing may take, by the wall's clock.
const PATIENCE: Duration = Duration::from_secs(300);

/// The clouds' clock runs fast here, so the operator looks more often than it would in production.
const OPERATOR: [&str; 20] = [
    "--installation-id",
    "demo",
    "--operator-namespace",
    "causeway-system",
    "--listen",
    "127.0.0.1:0",
    "--log-format",
    "json",
    "--log-level",
    "info",
    "--resync",
    "20s",
    "--poll",
    "500ms",
    "--job-poll",
    "1s",
    "--creation-grace",
    "30s",
    "--lease-duration",
    "60s",
];

/// Options of the demo.
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave everything running at the end, and print how to go on with kubectl.
    #[arg(long)]
    keep: bool,
    /// Folder for the sandbox, certificates and logs; a temporary one when absent.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// When anything is not as it should be.
pub async fn run(demo: Demo) -> anyhow::Result<()> {
    let screen = Screen::new();
    let outcome = tokio::select! {
        // With --keep both wait for Ctrl-C in the end: then what the story comes to counts.
        biased;
        outcome = story(&demo, &screen) => outcome,
        _ = tokio::signal::ctrl_c() => {
            screen.finish();
            screen.text("stopped; everything that was started is gone again");
            return Ok(());
        }
    };
    screen.finish();
    outcome
}

async fn story(demo: &Demo, screen: &Screen) -> anyhow::Result<()> {
    println!("Causeway: from an empty Entra tenant and an empty AWS organization to people signing in.");
    println!(
        "Both clouds are twins on this machine that speak the real protocols; the API server is a real one."
    );
    println!(
        "The clouds' clock runs {SPEED} times as fast as yours, and is set forward once, so that nobody waits for Entra's"
    );
    println!(
        "provisioning cycles. Times and durations that are shown are yours; the end of the token is the clouds'."
    );

    screen.chapter("1  A cluster, two clouds, and the operator");
    screen.waiting(
        "looking for etcd, kube-apiserver and kube-controller-manager (built once if there are none)",
    );
    tokio::task::spawn_blocking(Binaries::find).await??;
    screen.waiting("building the operator (minutes the first time, seconds afterwards)");
    let binary = Operator::build().await?;
    let began = Instant::now();

    let temporary = tempfile::tempdir().context("make a folder")?;
    let dir = demo.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    screen.waiting("starting the sandbox");
    let sandbox = Sandbox::start(Options {
        world: World::load("company")?,
        profile: Profile::realistic(),
        seed: 1,
        dir: dir.clone(),
        cluster: Cluster::Own,
    })
    .await?;
    let _clock = run_the_clock(&sandbox);
    let world = sandbox.world();
    screen.done(&format!(
        "Entra tenant {}: {} people, {} groups, no application for AWS",
        world.tenant.domains.first().map_or("", String::as_str),
        world.tenant.users.len(),
        world.tenant.groups.len()
    ));
    screen.done(&format!(
        "AWS organization {}: {} accounts, IAM Identity Center not enabled",
        world.organization.id,
        world.organization.accounts.len() + 1
    ));
    let cluster = sandbox.cluster().context("a cluster")?.clone();
    let client = cluster.client().await?;
    screen.done(&format!("Kubernetes {}", crate::control_plane::KUBERNETES));
    screen.command(
        "kubectl apply -f crds/ -f examples/operator/rbac.yaml -f examples/identity-center/00-namespace.yaml",
    );
    for yaml in CRDS {
        journey::apply(&client, &journey::parse(yaml, None)?).await?;
    }
    served(&client).await?;
    for yaml in [RBAC, NAMESPACE] {
        let objects = journey::parse(yaml, None)?;
        journey::apply(&client, &objects).await?;
        screen.cloud(&listed(&objects));
    }
    let person = Person::new(&sandbox, client.clone(), "identity");
    person.make_credentials().await?;
    for command in person.credential_commands() {
        screen.command(&command);
    }
    let kubeconfig = cluster.service_account_kubeconfig("causeway-system", "causeway", &dir).await?;
    let log = dir.join(LOG);
    let operator = Operator::start(&binary, &sandbox, &kubeconfig, log, &OPERATOR)?;
    screen.done(&format!(
        "operator running as process {}, in the cluster as system:serviceaccount:causeway-system:causeway",
        operator.id()
    ));

    let mut live = Live::new(screen, &sandbox, Some(&cluster), client.clone(), operator);
    let told = journey_in(&mut live, &person, screen, &sandbox, &client).await;
    let finished = match told {
        Ok(()) => {
            screen.done(&format!("done in {:.0} s by your clock", began.elapsed().as_secs_f64()));
            Ok(())
        }
        Err(error) => {
            screen.failed(&format!("{error:#}"));
            println!("The operator's last words:\n{}", live.operator_tail());
            Err(error)
        }
    };
    if demo.keep {
        keep(screen, &sandbox).await?;
    }
    finished
}

/// How the files of `examples/identity-center` come into the cluster in a [`rehearsal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// One after the other, as the demo does, with its checks in between.
    StepByStep,
    /// They are all there already, the change of the last one too.
    AtOnce,
}

/// The whole journey of the demo, silently, with an operator that somebody else has started. Its namespace and the
/// Secrets with the clouds' credentials must be there. Gives the operator back.
///
/// # Errors
/// When anything is not as it should be; with the operator's last words.
pub async fn rehearsal(
    sandbox: &Sandbox,
    client: &Client,
    operator: Operator,
    applied: Applied,
) -> anyhow::Result<Operator> {
    let _clock = run_the_clock(sandbox);
    let screen = Screen::silent();
    let person = Person::new(sandbox, client.clone(), "identity");
    let mut live = Live::new(&screen, sandbox, None, client.clone(), operator);
    if applied == Applied::AtOnce {
        live = live.patient();
    }
    let told = match applied {
        Applied::StepByStep => journey_in(&mut live, &person, &screen, sandbox, client).await,
        Applied::AtOnce => end_of_it(&mut live, &person, &screen, sandbox).await,
    };
    told.with_context(|| format!("the operator's last words:\n{}", live.operator_tail()))?;
    Ok(live.into_operator())
}

async fn end_of_it(
    live: &mut Live,
    person: &Person,
    screen: &Screen,
    sandbox: &Sandbox,
) -> anyhow::Result<()> {
    let all = [
        ("IdentityFederation", "acme"),
        ("ScimConnection", "acme"),
        ("PermissionSetBinding", "engineers"),
        ("PermissionSetBinding", "auditors"),
        ("PermissionSetBinding", "production"),
    ];
    live.until_ready(person, &all).await?;
    let mut checks = Checks::new(screen, sandbox);
    checks.nothing_twice();
    checks.everybody_signs_in(false)?;
    checks.verdict()
}

/// Moves the clouds' clock faster than the wall's, so that replication and provisioning cycles do not keep people
/// waiting. Ends with the guard.
fn run_the_clock(sandbox: &Sandbox) -> tokio_util::sync::DropGuard {
    let stop = CancellationToken::new();
    let (core, stopped) = (Arc::clone(&sandbox.core), stop.clone());
    tokio::spawn(async move {
        let tick = Duration::from_millis(250);
        let step = SignedDuration::from_millis(250 * (SPEED - 1));
        while tokio::time::timeout(tick, stopped.cancelled()).await.is_err() {
            core.clock.advance(step);
        }
    });
    stop.drop_guard()
}

/// Kinds and names of what was applied.
fn listed(objects: &[kube::api::DynamicObject]) -> String {
    let kind = |o: &kube::api::DynamicObject| o.types.as_ref().map_or_else(String::new, |t| t.kind.clone());
    let all: Vec<String> = objects.iter().map(|o| format!("{} {}", kind(o), o.name_any())).collect();
    all.join(", ")
}

/// Waits until the API server serves our kinds: after the definitions were applied it takes a moment.
///
/// # Errors
/// When it does not in time.
pub async fn served(client: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for kind in journey::kinds() {
        while journey::api(client, "default", kind).list(&kube::api::ListParams::default()).await.is_err() {
            if Instant::now() > deadline {
                bail!("the API server does not serve {kind}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

async fn journey_in(
    live: &mut Live,
    person: &Person,
    screen: &Screen,
    sandbox: &Sandbox,
    client: &Client,
) -> anyhow::Result<()> {
    screen.chapter("2  Trust: IdentityFederation");
    screen.command("kubectl apply -f examples/identity-center/10-federation.yaml");
    journey::apply(client, &journey::parse(FEDERATION, None)?).await?;
    live.until_ready(person, &[("IdentityFederation", "acme")]).await?;

    screen.chapter("3  Provisioning: ScimConnection");
    screen.command("kubectl apply -f examples/identity-center/20-connection.yaml");
    journey::apply(client, &journey::parse(CONNECTION, None)?).await?;
    live.until_ready(person, &[("ScimConnection", "acme")]).await?;

    screen.chapter("4  Access: PermissionSetBinding");
    screen.command("kubectl apply -f examples/identity-center/30-bindings.yaml");
    journey::apply(client, &journey::parse(BINDINGS, None)?).await?;
    let bindings = ["engineers", "auditors", "production"].map(|name| ("PermissionSetBinding", name));
    live.until_ready(person, &bindings).await?;

    screen.chapter("5  People sign in (read from both clouds, not from the operator)");
    let mut checks = Checks::new(screen, sandbox);
    checks.nothing_twice();
    checks.everybody_signs_in(true)?;

    screen.chapter("6  One person leaves the company, one group loses production");
    screen.person("Entra admin center: Users > elif@acme.example > Delete");
    checks.delete_person("elif@acme.example")?;
    screen.command("kubectl apply -f examples/identity-center/40-oncall-leaves-production.yaml");
    journey::apply(client, &journey::parse(CHANGE, None)?).await?;
    live.until_ready(person, &[("PermissionSetBinding", "production")]).await?;
    screen.waiting("the next provisioning cycle");
    sandbox.core.clock.advance(SignedDuration::from_mins(41));
    live.until("elif is no longer active in AWS", || checks::inactive(sandbox, "elif@acme.example")).await?;
    checks.after_the_change()?;
    checks.nothing_twice();
    live.table().await?;
    checks.summary();
    checks.verdict()
}

async fn keep(screen: &Screen, sandbox: &Sandbox) -> anyhow::Result<()> {
    let descriptor = sandbox.descriptor();
    let dir = std::path::absolute(sandbox.dir()).unwrap_or_else(|_| sandbox.dir().to_owned());
    screen.finish();
    println!("\nEverything stays up until Ctrl-C. Go on in another terminal:");
    println!(
        "  eval \"$(cargo sandbox env --dir '{}')\"     # kubectl, the AWS tools and curl mean this sandbox",
        dir.display()
    );
    println!("  kubectl get causeway -n identity");
    println!("  kubectl describe psb engineers -n identity");
    println!("  curl $SANDBOX_CONTROL/journal");
    let applications = sandbox.entra.world().applications;
    if let Some(app_id) = applications.first().and_then(|a| a.app_id.as_deref()) {
        println!(
            "  curl $SANDBOX_CONTROL/sign-in -H 'content-type: application/json' -d '{{\"userPrincipalName\":\"ada@acme.example\",\"appId\":\"{app_id}\"}}'"
        );
    }
    if let Some(kubeconfig) = &descriptor.kubeconfig {
        println!("Kubeconfig:                 {}", kubeconfig.display());
    }
    println!("Control:                    {}", descriptor.control);
    println!("The operator's log:         {}", dir.join(LOG).display());
    println!("Addresses and credentials:  {}", dir.join(crate::Descriptor::FILE).display());
    println!(
        "Graph {}, sign-in host {}, AWS {}",
        descriptor.entra.graph, descriptor.entra.authority, descriptor.aws.endpoint
    );
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")
}
