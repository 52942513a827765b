//! One release for two namespaces, with Roles alone.

use anyhow::{Context as _, ensure};
use sandbox::demo::{self, Applied};
use sandbox::journey;
use serde_json::{Value, json};

use super::audit::Used;
use crate::platform::stage::{IDENTITY, PATIENCE, Stage};
use crate::platform::{Checks, until};

/// The journey, step by step as the demo takes it.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks, used: &mut Used) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    for name in [IDENTITY, "payments", "elsewhere"] {
        stage.namespace(name, json!({})).await?;
    }
    stage.install(&[
        "--set",
        "namespaces={identity,payments},rbac.secrets[0].namespace=identity,rbac.secrets[0].names={entra,aws,aws-scim}",
    ])?;
    let roles = stage.names(&["clusterroles", "-l", "app.kubernetes.io/instance=causeway"]).await?;
    checks.check("with a list of namespaces the operator has no ClusterRole", || {
        let for_people = |name: &String| name.ends_with("-view") || name.ends_with("-edit");
        ensure!(roles.iter().all(for_people), "{roles:?}");
        Ok(())
    });
    stage.person().make_credentials().await?;
    let operator = stage.operator().await?;
    let operator = demo::rehearsal(&stage.sandbox, &stage.client, operator, Applied::StepByStep).await?;
    checks.passed("the whole demo, with Roles in two namespaces and three Secrets by name");

    let binding = json!({
        "apiVersion": "causeway.dev/v1alpha1",
        "kind": "PermissionSetBinding",
        "metadata": {"name": "strangers", "namespace": "payments"},
        "spec": {
            "federationRef": {"name": "acme", "namespace": "elsewhere"},
            "permissionSet": {"name": "Strangers", "managedPolicies": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
            "principals": [{"group": {"displayName": "aws-auditors"}}],
            "accounts": {"include": [{"ids": ["333344445555"]}]},
        },
    });
    journey::apply(&stage.client, &journey::parse(&binding.to_string(), None)?).await?;
    let api = journey::api(&stage.client, "payments", "PermissionSetBinding");
    until("the binding says where the operator does not look", PATIENCE, async || {
        let object = api.get("strangers").await?;
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or(Value::Null);
        let told = ready["reason"] == "FederationNotFound"
            && ready["message"].as_str().is_some_and(|m| {
                m.contains("namespace elsewhere, and this operator does not look there")
                    && m.contains("--namespaces")
            });
        Ok(if told { Ok(()) } else { Err(ready.to_string()) })
    })
    .await?;
    api.delete("strangers", &Default::default()).await?;
    until("it goes all the same", PATIENCE, async || {
        Ok(match api.get_opt("strangers").await?.is_some() {
            true => Err("it is still there".to_owned()),
            false => Ok(()),
        })
    })
    .await?;
    checks.passed(
        "a binding to a federation where the operator does not look is told so, and goes when deleted",
    );

    // The resources before their namespace: with it, the Roles would go too.
    for kinds in ["psb", "scim", "idf"] {
        let deleted = stage.said(&["delete", kinds, "--all", "--namespace", IDENTITY, "--timeout=90s"]).await;
        deleted.with_context(|| format!("delete {kinds}"))?;
    }
    stage.said(&["delete", "namespace", IDENTITY, "--timeout=60s"]).await?;
    checks.passed("resources, and then their namespace, go");
    operator.stop().await?;
    used.read(&stage.plane)
}
