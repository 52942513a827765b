//! One release for two namespaces, with Roles alone.

use std::collections::BTreeSet;

use anyhow::ensure;
use sandbox::demo::{self, Applied};
use sandbox::journey::{self, Operator};
use serde_json::{Value, json};

use super::audit::Used;
use super::proxy::Proxy;
use crate::platform::stage::{IDENTITY, PATIENCE, Stage};
use crate::platform::{Checks, chart, until};

/// The journey, step by step as the demo takes it.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks, used: &mut Used) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    for name in [IDENTITY, "payments", "elsewhere"] {
        stage.namespace(name, json!({})).await?;
    }
    let proxy = Proxy::start().await?;
    let by_proxy = format!("proxy.https={}", proxy.url);
    stage.install(&[
        "--set",
        "namespaces={identity,payments},rbac.secrets[0].namespace=identity,rbac.secrets[0].names={entra,aws,aws-scim}",
        "--set",
        &by_proxy,
    ]).await?;
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
    let clouds = stage.sandbox.descriptor();
    checks.check("both clouds are reached by the proxy, the API server is not", || {
        let host = |url: &str| url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let wanted = [clouds.entra.graph, clouds.entra.authority, clouds.aws.endpoint];
        let wanted: BTreeSet<String> = wanted.iter().map(|url| host(url)).collect();
        ensure!(proxy.asked() == wanted, "asked for {:?}, wanted {wanted:?}", proxy.asked());
        Ok(())
    });

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

    used.read(&stage.plane)?;
    too_late(checks, &stage, operator).await
}

/// The namespace is deleted before its resources: the operator's Roles go with it, and then nobody can end it.
async fn too_late(checks: &mut Checks, stage: &Stage, operator: Operator) -> anyhow::Result<()> {
    stage.said(&["delete", "namespace", IDENTITY, "--wait=false"]).await?;
    until("the namespace says what it waits for", PATIENCE, async || {
        let template =
            r#"-o=jsonpath={.status.conditions[?(@.type=="NamespaceFinalizersRemaining")].message}"#;
        let said = stage.said(&["get", "namespace", IDENTITY, template]).await?;
        Ok(if said.contains("causeway.dev/cleanup in ") { Ok(()) } else { Err(said) })
    })
    .await?;
    operator.stop().await?;
    stage.upgrade(&chart()?, &["--set-json", "namespaces=[],rbac.secrets=[],rbac.tokens=[]"])?;
    let operator = stage.operator().await?;
    let waiting = async || stage.said(&["get", "idf,scim,psb", "-n", IDENTITY, "-o", "wide"]).await;
    until("what is left says what blocks it, and the way out", PATIENCE, async || {
        let said = waiting().await?;
        let told = ["DeletionBlocked", "causeway.dev/abandon=true"].iter().all(|words| said.contains(words));
        Ok(if told { Ok(()) } else { Err(said) })
    })
    .await?;
    let journal = stage.sandbox.core.journal.last();
    for kind in ["psb", "scim", "idf"] {
        // One kind may be gone already.
        stage.kubectl(&["annotate", kind, "--all", "-n", IDENTITY, "causeway.dev/abandon=true"]).await?;
    }
    until("the namespace is gone", PATIENCE, async || {
        let left = stage.names(&["namespace", IDENTITY]).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(waiting().await?) })
    })
    .await?;
    let entries = stage.sandbox.core.journal.after(journal);
    checks.check("a namespace that went with the operator's Roles and credentials says what blocks it, and abandon lets go", || {
        let by_us = entries.iter().filter(|e| !matches!(e.service, "console" | "login" | "scim")).count();
        ensure!(by_us == 0, "{entries:#?}");
        Ok(())
    });
    operator.stop().await?;
    Ok(())
}
