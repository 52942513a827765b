//! From an empty repository to people with access, and back, by commits alone wherever Git has a say.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use sandbox::journey::{self, Operator};
use serde_json::json;

use super::super::{Checks, root};
use super::application::{Application, State};
use super::installation::Installation;
use super::repository::Repository;
use super::tools::Tools;
use super::world::{IDENTITY, World};
use super::{PATIENCE, TICK};

const CAUSEWAY: &str = include_str!("../../../../examples/argocd/applications/causeway.yaml");
const IDENTITIES: &str = include_str!("../../../../examples/argocd/applications/identity.yaml");
const FEDERATION: (&str, &str) = ("IdentityFederation", "acme");
const CONNECTION: (&str, &str) = ("ScimConnection", "acme");
const PRODUCTION: &str = "Production-Operator";

/// Runs the story.
///
/// # Errors
/// When it cannot go on; with the operator's last words.
pub async fn run(checks: &mut Checks, tools: &Tools) -> anyhow::Result<()> {
    let binary = Operator::build().await?;
    let dir = tempfile::tempdir().context("make a folder")?;
    let mut world = World::start(dir.path()).await?;
    let argocd = dir.path().join("argocd");
    std::fs::create_dir_all(&argocd)?;
    let mut installation = Installation::start(tools, &world.cluster, &world.client, &argocd).await?;
    let told = Box::pin(tell(checks, &mut world, &binary, dir.path())).await;
    told.map_err(|error| {
        let ended = installation.ended().unwrap_or_default();
        error.context(format!("{ended}\nthe operator's last words:\n{}", world.operator_tail()))
    })
}

async fn tell(checks: &mut Checks, world: &mut World, binary: &Path, dir: &Path) -> anyhow::Result<()> {
    let root = root()?;
    let git = Repository::create(dir.join("git"))?;
    git.take(&root.join("charts"), "charts")?;
    git.take(&root.join("examples/argocd/identity"), "identity")?;
    let first = git.commit("what there is at first")?;

    let chart = Application::create(&world.client, CAUSEWAY, &git.url()).await?;
    chart.synced(&first).await?;
    checks.passed("the chart is synced, its CRDs first");
    world.start_operator(binary, dir).await?;

    let app = Application::create(&world.client, IDENTITIES, &git.url()).await?;
    app.until(|s| s.is_synced(&first) && is(s, FEDERATION, "Degraded", "SecretNotFound: ")).await?;
    checks.passed("a failure is Degraded, with its reason and what to do: a Secret is missing");
    world.person.make_credentials().await?;

    let acknowledged = hand_offs(checks, world, &git, &app, &first).await?;
    app.until(|s| s.is_synced(&acknowledged) && s.health() == "Healthy").await?;
    ensure!(
        world.holders(PRODUCTION).is_some_and(|holders| holders.len() == 2),
        "two groups hold {PRODUCTION}"
    );
    checks.passed("all is Healthy, and people have access");

    nothing_differs(checks, world, &app, &acknowledged).await?;
    let restrained = removal_beyond_safety(checks, world, &git, &app).await?;
    let pruned = pruning(checks, world, &git, &app).await?;
    let state = app.state().await?;
    let wanted = [&first, &acknowledged, &restrained, &pruned];
    checks.check("each commit was synced, and no operation failed or was terminated", || {
        let history = state.history();
        ensure!(
            wanted.iter().all(|w| history.contains(&w.as_str())),
            "not all of {wanted:?} are in {history:?}"
        );
        ensure!(app.mishaps().is_empty(), "operations were {:?}", app.mishaps());
        Ok(())
    });
    let state = chart.compared(1).await?;
    checks.check("the chart is at rest: one sync, no difference", || {
        ensure!(state.has_no_difference() && state.history().len() == 1, "{}", state.told());
        Ok(())
    });
    app.delete().await?;
    ensure!(world.generations().await?.is_empty(), "resources are left");
    ensure!(world.permission_sets().is_empty(), "in AWS there are still {:?}", world.permission_sets());
    checks.passed(
        "the application is deleted with all its resources, and nothing of the bindings is left in AWS",
    );
    Ok(())
}

fn is(state: &State, (kind, name): (&str, &str), health: &str, words: &str) -> bool {
    let (found, message) = state.resource(kind, name);
    found == health && message.contains(words)
}

/// What people do in the consoles; that AWS has the certificate is said by a commit.
async fn hand_offs(
    checks: &mut Checks,
    world: &World,
    git: &Repository,
    app: &Application,
    first: &str,
) -> anyhow::Result<String> {
    for step in ["EnableIdentityCenter", "ProvideServiceProviderMetadata"] {
        world.until_asked(FEDERATION.0, FEDERATION.1, step).await?;
        world.person.act().await?;
    }
    let sha256 = world.until_asked(FEDERATION.0, FEDERATION.1, "ImportIdpMetadata").await?;
    let waits = |s: &State| {
        let (suspended, message) = s.resource(FEDERATION.0, FEDERATION.1);
        // Bindings may be under way meanwhile, to people that the connection is to bring; nothing fails.
        let well = ["Suspended", "Progressing"].contains(&s.health());
        suspended == "Suspended" && message.contains(&sha256) && well && s.is_synced(first)
    };
    app.until(waits).await?;
    checks.passed("at a hand-off the resource is Suspended and says what to do, and the operation has ended");

    world.import_metadata(FEDERATION.1).await?;
    let line = format!("      acknowledgedIdpCertificates: [{sha256}]\n");
    git.edit("identity/10-federation.yaml", |yaml| format!("{yaml}{line}"))?;
    let second = git.commit("AWS has imported the certificate")?;
    app.until(|s| s.is_synced(&second) && is(s, FEDERATION, "Healthy", "")).await?;
    checks.passed("the hand-off is acknowledged by a second commit, which is synced by itself");
    world.until_asked(CONNECTION.0, CONNECTION.1, "EnableProvisioning").await?;
    app.until(|s| is(s, CONNECTION, "Suspended", "automatic provisioning")).await?;
    world.person.act().await?;
    Ok(second)
}

/// Status, defaults and finalizers are no difference; what a person changes in the cluster is put back.
async fn nothing_differs(
    checks: &mut Checks,
    world: &World,
    app: &Application,
    revision: &str,
) -> anyhow::Result<()> {
    let (before, syncs) = (world.generations().await?, app.state().await?.history().len());
    let state = app.compared(3).await?;
    ensure!(state.is_synced(revision), "a difference without a change: {}", state.told());
    ensure!(state.history().len() == syncs, "it was synced again without a change: {}", state.told());
    let state = app.sync(revision).await?;
    let changed: Vec<_> =
        state.results().into_iter().filter(|(_, came)| !came.contains("unchanged")).collect();
    ensure!(state.phase() == "Succeeded" && changed.is_empty(), "a further sync changes {changed:?}");
    ensure!(world.generations().await? == before, "a further sync has made new generations");
    checks.passed("there is no difference at rest, and a further sync changes nothing");

    let api = journey::api(&world.client, IDENTITY, "PermissionSetBinding");
    let edit = json!({"spec": {"permissionSet": {"sessionDuration": "1h"}}});
    api.patch("engineers", &PatchParams::default(), &Patch::Merge(edit)).await?;
    let end = Instant::now() + PATIENCE;
    while api.get("engineers").await?.data["spec"]["permissionSet"]["sessionDuration"] != "8h" {
        ensure!(Instant::now() < end, "not put back: {}", app.state().await?.told());
        tokio::time::sleep(TICK).await;
    }
    app.until(|s| s.is_synced(revision) && s.health() == "Healthy").await?;
    checks.passed("what is changed by hand is put back");
    Ok(())
}

/// Three people leave at once, and the connection lets one go without asking.
async fn removal_beyond_safety(
    checks: &mut Checks,
    world: &World,
    git: &Repository,
    app: &Application,
) -> anyhow::Result<String> {
    git.edit("identity/20-connection.yaml", |yaml| yaml.replace("maxDeletions: 50", "maxDeletions: 1"))?;
    let revision = git.commit("let at most one person go at once")?;
    app.until(|s| s.is_synced(&revision) && s.health() == "Healthy").await?;
    world.disable_people(&["ada@acme.example", "ben@acme.example", "chidi@acme.example"])?;
    app.until(|s| is(s, CONNECTION, "Degraded", "ForceDeletes@") && s.health() == "Degraded").await?;
    checks.passed("a removal beyond safety is Degraded, and says how to let it go through");
    let force = json!({"metadata": {"annotations": {"causeway.dev/restart": format!("ForceDeletes@{}", Timestamp::now())}}});
    let api = journey::api(&world.client, IDENTITY, CONNECTION.0);
    api.patch(CONNECTION.1, &PatchParams::default(), &Patch::Merge(force)).await?;
    app.until(|s| s.is_synced(&revision) && s.health() == "Healthy").await?;
    checks.passed("what a person says by annotation is no difference, and all is Healthy again");
    Ok(revision)
}

/// A binding is taken out of Git.
async fn pruning(
    checks: &mut Checks,
    world: &World,
    git: &Repository,
    app: &Application,
) -> anyhow::Result<String> {
    git.edit("identity/30-bindings.yaml", |yaml| {
        let kept: Vec<&str> = yaml.split("---\n").filter(|d| !d.contains("name: production\n")).collect();
        kept.join("---\n")
    })?;
    let revision = git.commit("nobody operates production any more")?;
    app.synced(&revision).await?;
    let end = Instant::now() + PATIENCE;
    while world.resource("PermissionSetBinding", "production").await?.is_some() {
        if Instant::now() > end {
            bail!("the binding is still there: {}", app.state().await?.told());
        }
        tokio::time::sleep(TICK).await;
    }
    ensure!(world.holders(PRODUCTION).is_none(), "{PRODUCTION} still exists in AWS");
    app.until(|s| s.is_synced(&revision)).await?;
    checks.passed("a binding that is pruned takes its access with it");
    Ok(revision)
}
