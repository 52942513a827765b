//! One release for the whole cluster: its life, the journey, and the end.

use std::time::Duration;

use anyhow::ensure;
use sandbox::demo::{self, Applied};

use super::audit::Used;
use super::{chart, life};
use crate::platform::stage::{HOME, IDENTITY, PATIENCE, RELEASE, Stage};
use crate::platform::{self, Checks, until};

const EXAMPLES: &str = "examples/identity-center";

/// All of it.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks, used: &mut Used) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    chart::refuses(checks, &stage.helm, HOME)?;
    chart::renders(checks, &stage.helm, &stage.plane)?;
    life::run(checks, &stage).await?;

    // The definitions of the release before are still there.
    stage.install(&[])?;
    checks.passed("it installs where an earlier release has left its definitions");
    let examples = platform::root()?.join(EXAMPLES).display().to_string();
    stage.said(&["apply", "-f", &examples]).await?;
    stage.person().make_credentials().await?;
    let operator = stage.operator().await?;
    let operator = demo::rehearsal(&stage.sandbox, &stage.client, operator, Applied::AtOnce).await?;
    checks.passed("helm install and kubectl apply -f examples/identity-center end where the demo does");

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
        "--reuse-values",
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
    stage.install(&[])?;
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
    let since = mutations(&stage, journal);
    checks.check(
        "whoever uninstalled too early installs again and goes on: only the deleted binding's access goes",
        || {
            ensure!(left.len() == 5, "{left:?}");
            let of_engineers = |line: &String| line.starts_with("Delete") || line.starts_with("Detach");
            ensure!(!since.is_empty() && since.iter().all(of_engineers), "{since:#?}");
            Ok(())
        },
    );

    stage.said(&["delete", "namespace", IDENTITY, "--wait=false"]).await?;
    until("the namespace is gone", Duration::from_secs(180), async || {
        let left = stage.names(&["namespace", IDENTITY]).await?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(stage.said(&["get", "idf,scim,psb", "-o", "wide", "--namespace", IDENTITY]).await?)
        })
    })
    .await?;
    checks.passed("a namespace that is deleted with everything in it goes");
    let said = stage.helm.does(&ask)?;
    operator.stop().await?;
    stage.helm.does(&["uninstall", RELEASE, "--namespace", HOME])?;
    checks.check("then helm has nothing against uninstalling", || {
        ensure!(said.contains("uninstalling") || !said.is_empty(), "{said}");
        Ok(())
    });
    used.read(&stage.plane)
}

/// What has been changed in the clouds since.
fn mutations(stage: &Stage, since: u64) -> Vec<String> {
    let entries = stage.sandbox.core.journal.after(since);
    let by_us = |e: &&sandbox::core::Entry| !matches!(e.service.as_ref(), "console" | "login" | "scim");
    entries.iter().filter(by_us).map(|e| format!("{} {}", e.operation, e.target)).collect()
}
