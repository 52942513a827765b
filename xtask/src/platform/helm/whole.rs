//! One release for the whole cluster: its life, the journey, and the end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kube::ResourceExt as _;
use sandbox::demo::{self, Applied};
use sandbox::journey::Operator;

use super::audit::Used;
use super::{chart, ending, life, pages};
use crate::platform::stage::{HOME, IDENTITY, PATIENCE, RELEASE, Stage};
use crate::platform::{self, Checks, until};

/// Of the operators here.
const LEASE: Duration = Duration::from_secs(30);
/// So many bindings the memory limit has room for.
const BINDINGS: u64 = 1_000;
/// A binding takes no more: `cargo xtask bench` holds that.
const KIB_FOR_EACH: u64 = 200;
const EXAMPLES: &str = "examples/identity-center";

/// All of it.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks, used: &mut Used) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    chart::refuses(checks, &stage.helm, HOME)?;
    chart::renders(checks, &stage.helm, &stage.plane)?;
    pages::render(checks, &stage.helm)?;
    life::run(checks, &stage).await?;

    // The definitions of the release before are still there.
    let lease = format!("settings.leaseDuration={}s,replicas=2", LEASE.as_secs());
    stage.install(&["--set", &lease]).await?;
    checks.passed("it installs where an earlier release has left its definitions");
    let examples = platform::root()?.join(EXAMPLES).display().to_string();
    stage.said(&["apply", "-f", &examples]).await?;
    stage.person().make_credentials().await?;
    let operator = with_two_replicas(checks, &stage).await?;
    checks.passed("helm install and kubectl apply -f examples/identity-center end where the demo does");
    memory(checks, &stage, operator.id()).await?;

    // Too early: nobody is left to take finalizers away.
    let journal = stage.sandbox.core.journal.last();
    operator.stop().await?;
    let chart = platform::chart()?;
    let ask = [
        "upgrade",
        RELEASE,
        &chart,
        "--namespace",
        HOME,
        "--reset-then-reuse-values",
        "--set",
        "uninstalling=true",
        "--dry-run=server",
    ];
    let said = stage.helm.refuses(&ask)?;
    checks.check("before uninstalling helm names the resources that are left, and what to do first", || {
        for words in [
            "IdentityFederation identity/acme",
            "PermissionSetBinding identity/production",
            "Delete them first",
        ] {
            ensure!(said.contains(words), "{words:?} is not in {said}");
        }
        Ok(())
    });
    stage.helm.does(&["uninstall", RELEASE, "--namespace", HOME])?;
    stage.said(&["delete", "psb", "engineers", "--namespace", IDENTITY, "--wait=false"]).await?;
    let left = stage.names(&["idf,scim,psb", "--namespace", IDENTITY]).await?;
    stage.install(&[]).await?;
    let operator = stage.operator().await?;
    until("the binding that was deleted meanwhile is gone", PATIENCE, async || {
        let left = stage.names(&["psb", "engineers", "--namespace", IDENTITY]).await?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(stage.said(&["get", "psb", "-o", "wide", "--namespace", IDENTITY]).await?)
        })
    })
    .await?;
    let since = stage.mutations(journal);
    checks.check(
        "whoever uninstalled too early installs again and goes on: only the deleted binding's access goes",
        || {
            ensure!(left.len() == 5, "{left:?}");
            let of_engineers = |line: &String| line.starts_with("Delete") || line.starts_with("Detach");
            ensure!(!since.is_empty() && since.iter().all(of_engineers), "{since:#?}");
            Ok(())
        },
    );

    ending::run(checks, &stage).await?;
    stage.helm.does(&ask)?;
    checks.passed("then helm has nothing against uninstalling");
    operator.stop().await?;
    stage.helm.does(&["uninstall", RELEASE, "--namespace", HOME])?;
    used.read(&stage.plane)
}

/// The journey, in the midst of which the leader is killed. That nothing was created twice is one of the journey's checks.
async fn with_two_replicas(checks: &mut Checks, stage: &Stage) -> anyhow::Result<Operator> {
    let pods = stage.pods(2).await?;
    let [first, second] = &pods[..] else { bail!("{} Pods", pods.len()) };
    let leader = stage.start(first).await?;
    let leads = async |who: &str| -> anyhow::Result<Result<(), String>> {
        let holder = stage.holder().await?;
        Ok(if holder.as_deref() == Some(who) { Ok(()) } else { Err(format!("held by {holder:?}")) })
    };
    until("the first leads", PATIENCE, async || leads(&first.name_any()).await).await?;
    let follower = stage.second(second).await?;
    let (begun, named) = (stage.sandbox.core.journal.last(), second.name_any());
    let killing = async {
        until("the leader is at work", PATIENCE, async || {
            let done = stage.mutations(begun).len();
            Ok(if done >= 4 { Ok(()) } else { Err(format!("{done} changes")) })
        })
        .await?;
        leader.kill().await?;
        let killed = Instant::now();
        until("the other leads", LEASE + PATIENCE, async || leads(&named).await).await?;
        anyhow::Ok(killed.elapsed())
    };
    let journey = Box::pin(demo::rehearsal(&stage.sandbox, &stage.client, follower, Applied::AtOnce));
    let (taken, operator) = tokio::try_join!(killing, journey)?;
    checks.check(
        "the leader is killed at work: the other takes over once the lease has ended, and creates nothing twice",
        || {
            // It was renewed a third of it ago at most, and a follower looks every third. The rest is for a machine that
            // does much else.
            let within = LEASE + LEASE / 3 + PATIENCE / 2;
            ensure!(taken >= LEASE / 2 && taken <= within, "after {:.1} s", taken.as_secs_f64());
            Ok(())
        },
    );
    Ok(operator)
}

/// The limit of the chart against what the process takes (not optimized, which is more than a release takes).
async fn memory(checks: &mut Checks, stage: &Stage, process: u32) -> anyhow::Result<()> {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has a size")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    let pod = stage.pod().await?;
    let limits =
        pod.spec.iter().flat_map(|s| &s.containers).find_map(|c| c.resources.as_ref()?.limits.clone());
    let limit = limits.and_then(|l| l.get("memory").map(|q| q.0.clone())).context("there is a limit")?;
    let limit: u64 = limit.strip_suffix("Mi").context("the limit is in Mi")?.parse()?;
    checks.check(
        &format!("the memory limit has room: {} MiB taken, and a thousand bindings", kib / 1024),
        || {
            let wanted = kib + BINDINGS * KIB_FOR_EACH;
            ensure!(wanted <= limit * 1024, "{} MiB are wanted, {limit} MiB allowed", wanted / 1024);
            Ok(())
        },
    );
    Ok(())
}
