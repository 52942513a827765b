//! A namespace that is deleted with everything in it: while the clouds cannot be reached, and when they can again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sandbox::core::{FaultKind, FaultRule};

use crate::platform::stage::{IDENTITY, PATIENCE, Stage};
use crate::platform::{Checks, root, until};

/// What the operator calls.
const CLOUDS: [&str; 6] = ["login", "graph", "sts", "organizations", "sso-admin", "identitystore"];
const EXAMPLES: &str = "examples/identity-center";
/// What leads to the command that lets go.
const LETS_GO: &str = "To let go of it without touching AWS: kubectl ";

/// The operator runs; everything of the examples but one binding is there.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks, stage: &Stage) -> anyhow::Result<()> {
    let examples = root()?.join(EXAMPLES).display().to_string();
    stage.said(&["apply", "-f", &examples]).await?;
    let ready = ["wait", "--for=condition=Ready", "psb", "--all", "-n", IDENTITY, "--timeout=90s"];
    stage.said(&ready).await?;
    let retain = r#"{"spec":{"deletionPolicy":"Retain"}}"#;
    stage.said(&["patch", "psb", "auditors", "-n", IDENTITY, "--type=merge", "-p", retain]).await?;
    for service in CLOUDS {
        stage.sandbox.core.faults.add(FaultRule {
            service: service.into(),
            operation: None,
            nth: None,
            probability: None,
            kind: FaultKind::Error,
            status: Some(503),
            code: None,
            times: Some(0),
            retry_after: None,
        });
    }
    let journal = stage.sandbox.core.journal.last();
    stage.said(&["delete", "namespace", IDENTITY, "--wait=false"]).await?;
    gone(stage, "the retained binding", &["psb", "auditors"]).await?;
    gone(stage, "the retained connection", &["scim", "acme"]).await?;
    checks.passed("what is retained goes although the clouds cannot be reached");

    let message = blocked(stage, "psb", "production", LETS_GO).await?;
    blocked(stage, "psb", "engineers", LETS_GO).await?;
    blocked(stage, "idf", "acme", "delete them first: PermissionSetBinding").await?;
    checks.passed("everything else says what its deletion waits for");
    let (_, command) = message.split_once(LETS_GO).context("it names the command")?;
    stage.said(&command.split_whitespace().collect::<Vec<_>>()).await?;
    gone(stage, "what was let go of", &["psb", "production"]).await?;
    let written = stage.mutations(journal);
    checks.check("the command in the message lets go of it, and nothing is written to the clouds", || {
        ensure!(written.is_empty(), "{written:#?}");
        Ok(())
    });

    stage.sandbox.core.faults.clear();
    // After so many tries the next one may be minutes away. Some may be gone before it comes to them.
    let word = format!("{}=now", causeway::api::annotations::RECONCILE);
    let anew = ["annotate", "idf,scim,psb", "--all", "-n", IDENTITY, &word, "--overwrite"];
    stage.kubectl(&anew).await?;
    gone(stage, "the namespace", &["namespace", IDENTITY]).await?;
    let world = stage.sandbox.world().identity_center;
    let mut left: Vec<String> = world.permission_sets.into_iter().map(|set| set.name).collect();
    left.sort();
    checks.check("when the clouds can be reached, the namespace goes, and what it made with it", || {
        ensure!(left.len() == 2, "permission sets are left: {}", left.join(", "));
        Ok(())
    });
    Ok(())
}

/// Waits until something is gone.
async fn gone(stage: &Stage, what: &str, names: &[&str]) -> anyhow::Result<()> {
    until(&format!("{what} is gone"), Duration::from_secs(300), async || {
        let left = stage.names(&[names, &["--namespace", IDENTITY]].concat()).await?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(stage.said(&["get", "idf,scim,psb", "-o", "wide", "--namespace", IDENTITY]).await?)
        })
    })
    .await
}

/// Waits until a resource says that its deletion is blocked, in certain words; with all that it says.
async fn blocked(stage: &Stage, kind: &str, name: &str, words: &str) -> anyhow::Result<String> {
    let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}"#;
    let mut message = String::new();
    until(&format!("{kind} {name} says what blocks it"), PATIENCE, async || {
        message = stage.said(&["get", kind, name, "-n", IDENTITY, "-o", path]).await?;
        let says = message.starts_with("DeletionBlocked: ") && message.contains(words);
        Ok(if says { Ok(()) } else { Err(message.clone()) })
    })
    .await?;
    Ok(message)
}
