//! The newest release as it was handed out, today's chart and program over it, and back again: the clouds hear of nothing.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use causeway::api::annotations::RECONCILE;
use sandbox::demo::{self, Applied};
use sandbox::journey::Operator;
use serde_json::{Value, json};

use super::stage::{HOME, IDENTITY, PATIENCE, RELEASE, Stage};
use super::{Checks, root, until};
use crate::release::freeze::Frozen;

/// Where the resources are that use every field. Their clouds cannot be reached: they are judged and kept, no more.
const FULL: &str = "full";
const KINDS: &str = "idf,scim,psb";

/// Installs, upgrades, rolls back.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let frozen = Frozen::newest(root()?)?;
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::set().await?;
    let today = std::mem::replace(&mut stage.binary, frozen.unpack(folder.path())?);
    let before = stage.binary.clone();
    stage.install_chart(&frozen.chart.display().to_string(), &["--set", "settings.resync=3s"]).await?;
    let examples = root()?.join("examples/identity-center").display().to_string();
    stage.said(&["apply", "-f", &examples]).await?;
    stage.person().make_credentials().await?;
    let operator = stage.operator().await?;
    let operator = demo::rehearsal(&stage.sandbox, &stage.client, operator, Applied::AtOnce).await?;
    stage.said(&["apply", "-f", &frozen.in_use.display().to_string()]).await?;
    stage.said(&["wait", "--for=condition=Ready", "psb", "--all", "-n", IDENTITY, "--timeout=90s"]).await?;
    stage.namespace(FULL, json!({})).await?;
    stage.said(&["apply", "-n", FULL, "-f", &frozen.manifests.display().to_string()]).await?;
    rests(&stage, "before").await?;
    operator.stop().await?;
    let (specs, journal) = (specs(&stage).await?, stage.sandbox.core.journal.last());
    ensure!(specs.len() == 9, "{:?}", specs.keys());

    // As the page on upgrades has it.
    stage.binary = today;
    for mode in ["observe", "enforce"] {
        stage.upgrade(&super::chart()?, &["--set", &format!("mode={mode}")])?;
        checked(checks, &stage, &format!("an upgrade (mode={mode})"), &specs, journal).await?;
    }
    stage.helm.does(&["rollback", RELEASE, "1", "--namespace", HOME])?;
    stage.binary = before;
    checked(checks, &stage, &format!("a roll-back to {}", frozen.version), &specs, journal).await
}

/// The operator of now has come to rest over everything: nothing was written to the clouds, and nothing is different.
async fn checked(
    checks: &mut Checks,
    stage: &Stage,
    what: &str,
    specs: &BTreeMap<String, Value>,
    journal: u64,
) -> anyhow::Result<()> {
    demo::served(&stage.client).await?;
    let operator: Operator = stage.operator().await?;
    rests(stage, &what.replace(|c: char| !c.is_ascii_alphanumeric(), "-")).await?;
    let waited =
        stage.kubectl(&["wait", "--for=condition=Ready", KINDS, "--all", "-n", IDENTITY, "--timeout=120s"]);
    let waited = waited.await?;
    operator.stop().await?;
    let (after, written) = (self::specs(stage).await?, stage.mutations(journal));
    checks.check(&format!("{what} writes nothing to the clouds, and all stays ready"), || {
        ensure!(written.is_empty(), "{written:#?}");
        ensure!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
        Ok(())
    });
    checks.check(&format!("{what} leaves every field of every resource as it was"), || {
        for (name, spec) in specs {
            ensure!(after.get(name) == Some(spec), "{name} was {spec}, and is {:?}", after.get(name));
        }
        Ok(())
    });
    Ok(())
}

/// Specs by kind, namespace and name.
async fn specs(stage: &Stage) -> anyhow::Result<BTreeMap<String, Value>> {
    let list: Value = serde_json::from_str(&stage.said(&["get", KINDS, "-A", "-o", "json"]).await?)?;
    let items = list["items"].as_array().context("a list has items")?;
    let name = |item: &Value| {
        let (kind, meta) = (&item["kind"], &item["metadata"]);
        format!("{kind} {}/{}", meta["namespace"], meta["name"])
    };
    Ok(items.iter().map(|item| (name(item), item["spec"].clone())).collect())
}

/// Waits until the operator of now has handled every resource, and every controller has looked at the clouds three times
/// more.
async fn rests(stage: &Stage, step: &str) -> anyhow::Result<()> {
    let asked = format!("{RECONCILE}={step}");
    stage.said(&["annotate", KINDS, "-A", "--all", "--overwrite", &asked]).await?;
    until("everything is handled", PATIENCE, async || {
        let path = "jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}={.status.lastHandledReconcileAt}{'\\n'}{end}";
        let said = stage.said(&["get", KINDS, "-A", "-o", path]).await?;
        let late: Vec<&str> = said.lines().filter(|line| !line.ends_with(&format!("={step}"))).collect();
        Ok(if late.is_empty() { Ok(()) } else { Err(late.join(", ")) })
    })
    .await?;
    let looked = |operation: &str| -> u64 {
        let all = stage.sandbox.core.counters.all();
        all.iter().filter(|c| c.operation == operation).map(|c| c.calls).sum()
    };
    let operations = [
        "ListInstances",
        "GET /servicePrincipals/{id}/synchronization/jobs",
        "ListAccountAssignmentsForPrincipal",
    ];
    let before = operations.map(looked);
    until("three looks at the clouds", PATIENCE, async || {
        let now = operations.map(looked);
        let enough = now.iter().zip(&before).all(|(now, before)| *now >= before + 3);
        Ok(if enough { Ok(()) } else { Err(format!("{before:?}, then {now:?}")) })
    })
    .await
}
