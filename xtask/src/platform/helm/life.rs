//! Install, upgrade, roll back, uninstall: nothing runs meanwhile.

use std::path::Path;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::platform::stage::{HOME, PATIENCE, RELEASE, Stage};
use crate::platform::{Checks, chart, until};

const BINDINGS: &str = "permissionsetbindings.causeway.dev";

/// A release from its beginning to its end. Nothing but the definitions is left.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks, stage: &Stage) -> anyhow::Result<()> {
    let said = stage.install(&[]).await?;
    checks.check("the notes say what comes next, and what goes first", || {
        for words in ["create rolebinding causeway-secrets", "uninstalling=true", "causeway-system:causeway"]
        {
            ensure!(said.contains(words), "{words:?} is not in {said}");
        }
        Ok(())
    });
    admitted(checks, stage).await?;

    let first = environment(stage, "CAUSEWAY_MODE").await?;
    stage.upgrade(&chart()?, &["--set", "mode=observe,replicas=2"])?;
    let second = environment(stage, "CAUSEWAY_MODE").await?;
    let budget = stage.names(&["poddisruptionbudgets", "--namespace", HOME]).await?;
    checks.check("an upgrade changes values", || {
        ensure!((first.as_str(), second.as_str()) == ("enforce", "observe"), "{first}, {second}");
        ensure!(budget.len() == 1, "{budget:?}");
        Ok(())
    });
    checks.check("another installationId is refused, with what it is and would be", || {
        let upgrade =
            ["upgrade", RELEASE, &chart()?, "--namespace", HOME, "--reset-then-reuse-values", "--set"];
        let said = stage.helm.refuses(&[&upgrade[..], &["installationId=other"]].concat())?;
        ensure!(said.contains("would become other"), "{said}");
        Ok(())
    });
    let pod = stage.pod().await?;
    checks.check("the upgraded Pod template is admitted", || {
        let env = pod.spec.iter().flat_map(|s| &s.containers).flat_map(|c| c.env.iter().flatten());
        ensure!(env.into_iter().any(|e| e.value.as_deref() == Some("observe")), "it is the old one");
        Ok(())
    });

    let changed = tempfile::tempdir()?;
    with_another_column(changed.path())?;
    stage.upgrade(&changed.path().display().to_string(), &[])?;
    let after = columns(stage).await?;
    stage.helm.does(&["rollback", RELEASE, "1", "--namespace", HOME])?;
    let back = (columns(stage).await?, environment(stage, "CAUSEWAY_MODE").await?);
    checks.check("an upgrade changes definitions, and a roll-back takes values and definitions back", || {
        ensure!(after.contains(&"Another".to_owned()), "the definition has {after:?}");
        ensure!(!back.0.contains(&"Another".to_owned()), "the definition has {:?}", back.0);
        ensure!(back.1 == "enforce", "the mode is {}", back.1);
        Ok(())
    });

    let said = stage.helm.does(&["uninstall", RELEASE, "--namespace", HOME])?;
    let definitions = stage.names(&["crds"]).await?;
    until("everything else is gone", PATIENCE, async || {
        let kinds = "deployments,serviceaccounts,roles,rolebindings,services,pods";
        let label = "app.kubernetes.io/instance=causeway";
        let left = [
            stage.names(&[kinds, "--namespace", HOME, "-l", label]).await?,
            stage.names(&["clusterroles,clusterrolebindings", "-l", label]).await?,
        ]
        .concat();
        Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
    })
    .await?;
    checks.check("uninstalling keeps the definitions, says so, and nothing else", || {
        let ours = definitions.iter().filter(|name| name.ends_with(".causeway.dev")).count();
        ensure!(ours == 3, "{definitions:?}");
        ensure!(said.contains(BINDINGS), "{said}");
        Ok(())
    });
    let other = ["install", "other", &chart()?, "--namespace", "default", "--set", "installationId=test"];
    let other = [&other[..], &["--dry-run=server"]].concat();
    checks.check(
        "another release takes the definitions over when it is told to, and else is refused",
        || {
            let said = stage.helm.refuses(&other)?;
            ensure!(said.contains("invalid ownership metadata"), "{said}");
            stage.helm.does(&[&other[..], &["--take-ownership"]].concat())?;
            stage.helm.does(&[&other[..], &["--set", "crds.install=false"]].concat()).map(drop)
        },
    );
    Ok(())
}

/// The Pod is there, as a Pending one: the namespace takes it, and takes no other.
async fn admitted(checks: &mut Checks, stage: &Stage) -> anyhow::Result<()> {
    let pod = stage.pod().await?;
    let phase = pod.status.and_then(|s| s.phase).unwrap_or_default();
    let loose = json!({
        "metadata": {"name": "loose"},
        "spec": {"containers": [{"name": "a", "image": "a", "securityContext": {"privileged": true}}]},
    });
    let refused = Api::<Pod>::namespaced(stage.client.clone(), HOME)
        .create(&PostParams::default(), &serde_json::from_value(loose)?)
        .await;
    checks.check("the Pod template is admitted where Pod Security restricted is enforced", || {
        ensure!(phase == "Pending", "the Pod is {phase}");
        let refused = refused.err().context("a privileged Pod was admitted too")?.to_string();
        ensure!(refused.contains("violates PodSecurity"), "{refused}");
        Ok(())
    });
    Ok(())
}

async fn environment(stage: &Stage, name: &str) -> anyhow::Result<String> {
    let deployment = Api::<Deployment>::namespaced(stage.client.clone(), HOME).get(RELEASE).await?;
    let spec = deployment.spec.and_then(|s| s.template.spec).context("a Deployment has a template")?;
    let mut all = spec.containers.into_iter().flat_map(|c| c.env.unwrap_or_default());
    Ok(all.find(|e| e.name == name).and_then(|e| e.value).unwrap_or_default())
}

async fn columns(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let definition = Api::<CustomResourceDefinition>::all(stage.client.clone()).get(BINDINGS).await?;
    let columns =
        definition.spec.versions.into_iter().flat_map(|v| v.additional_printer_columns.unwrap_or_default());
    Ok(columns.map(|c| c.name).collect())
}

/// The chart with a definition that has one more column, as a later version would.
fn with_another_column(to: &Path) -> anyhow::Result<()> {
    copy(Path::new(&chart()?), to)?;
    let path = to.join("templates/crds/permissionsetbindings.yaml");
    let text = std::fs::read_to_string(&path)?;
    let mark = "  - additionalPrinterColumns:\n";
    ensure!(text.contains(mark), "the definition has no columns");
    let column = format!("{mark}    - {{jsonPath: .spec.permissionSet.name, name: Another, type: string}}\n");
    std::fs::write(&path, text.replacen(mark, &column, 1))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
