//! What people type, with the real kubectl, on resources that are ready.

use anyhow::ensure;
use sandbox::demo::{self, Applied};

use super::stage::{IDENTITY, PATIENCE, Stage};
use super::{Checks, root};

/// Installs, applies the examples, waits, and looks at them in every way.
///
/// # Errors
/// When a step fails that the others need.
pub async fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    stage.install(&[]).await?;
    let examples = root()?.join("examples/identity-center").display().to_string();
    stage.said(&["apply", "-f", &examples]).await?;
    stage.person().make_credentials().await?;
    let operator = stage.operator().await?;
    let operator = demo::rehearsal(&stage.sandbox, &stage.client, operator, Applied::AtOnce).await?;

    let waited = stage
        .said(&[
            "wait",
            "--for=condition=Ready",
            "idf,scim,psb",
            "--all",
            "--namespace",
            IDENTITY,
            "--timeout=30s",
        ])
        .await?;
    let not_ready = stage
        .kubectl(&["wait", "--for=condition=Ready=False", "psb/auditors", "-n", IDENTITY, "--timeout=1s"])
        .await?;
    checks.check("kubectl wait ends when all are ready", || {
        ensure!(waited.matches("condition met").count() == 5, "{waited}");
        ensure!(!not_ready.status.success(), "it waits for anything");
        Ok(())
    });

    for (path, words) in [
        ("idf.spec.entra.application", "assignmentRequired"),
        ("scim.spec", "federationRef"),
        ("psb.spec.permissionSet", "How long a session lasts"),
        ("psb.status.conditions", "reason"),
    ] {
        let text = stage.said(&["explain", path]).await?;
        checks.check(&format!("kubectl explain {path}"), || {
            ensure!(text.contains(words) && !text.contains("<no description>"), "{text}");
            Ok(())
        });
    }

    // The file with the change comes last, so the files before it differ from it in one binding.
    let bindings = format!("{examples}/30-bindings.yaml");
    let latest = format!("{examples}/40-oncall-leaves-production.yaml");
    let federation = format!("{examples}/10-federation.yaml");
    let same = stage.kubectl(&["diff", "-f", &federation, "-f", &latest]).await?;
    let other = stage.kubectl(&["diff", "-f", &bindings]).await?;
    checks.check("kubectl diff is silent about what is as in Git, and shows what is not", || {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(same.status.success(), "{}{}", text(&same.stdout), text(&same.stderr));
        let shown = text(&other.stdout);
        ensure!(other.status.code() == Some(1) && shown.contains("aws-oncall"), "{shown}");
        Ok(())
    });

    let before = stage
        .said(&["get", "psb", "production", "-n", IDENTITY, "-o", "jsonpath={.metadata.generation}"])
        .await?;
    let dry = stage.said(&["apply", "--dry-run=server", "-f", &bindings]).await?;
    let after = stage
        .said(&["get", "psb", "production", "-n", IDENTITY, "-o", "jsonpath={.metadata.generation}"])
        .await?;
    let patched = async |patch: &str| {
        let patch =
            ["patch", "psb", "auditors", "-n", IDENTITY, "--type=merge", "--dry-run=server", "-p", patch];
        stage.kubectl(&patch).await
    };
    let bad = patched(r#"{"spec":{"permissionSet":{"name":"Renamed"}}}"#).await?;
    let number = patched(r#"{"spec":{"accounts":{"include":[{"ids":[111122223333]}]}}}"#).await?;
    checks.check("a server-side dry run changes nothing, and refuses what would be refused", || {
        ensure!(dry.contains("production configured (server dry run)"), "{dry}");
        ensure!(before == after, "generation {before}, then {after}");
        let said = String::from_utf8_lossy(&bad.stderr);
        ensure!(!bad.status.success() && said.contains("immutable"), "{said}");
        let said = String::from_utf8_lossy(&number.stderr);
        ensure!(!number.status.success() && said.contains("ids"), "{said}");
        Ok(())
    });

    let table = stage.said(&["get", "idf,scim,psb", "-n", IDENTITY]).await?;
    let wide = stage.said(&["get", "psb", "-n", IDENTITY, "-o", "wide"]).await?;
    let category = stage.said(&["get", "causeway", "-n", IDENTITY, "-o", "name"]).await?;
    checks.check("the columns say what one wants to know at a glance", || {
        for words in ["READY", "REASON", "AGE", "FEDERATION", "True"] {
            ensure!(table.contains(words), "{words} is not in\n{table}");
        }
        ensure!(wide.contains("MESSAGE"), "{wide}");
        ensure!(category.lines().count() == 5, "{category}");
        Ok(())
    });
    roles(checks, &stage).await?;
    operator.stop().await?;
    Ok(())
}

/// Who may do what by the chart's roles for people.
async fn roles(checks: &mut Checks, stage: &Stage) -> anyhow::Result<()> {
    for (user, role) in [("vera", "view"), ("edith", "edit"), ("grace", "causeway-edit")] {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
        stage
            .said(&[
                "create",
                "rolebinding",
                user.trim_start_matches("--user="),
                "-n",
                IDENTITY,
                &role,
                &user,
            ])
            .await?;
    }
    let mut wrong = Vec::new();
    for (user, verb, may) in [
        ("vera", "get", true),
        ("vera", "patch", false),
        // A holder of the built-in edit must not be able to grant access to AWS.
        ("edith", "list", true),
        ("edith", "create", false),
        ("edith", "delete", false),
        ("grace", "create", true),
        ("grace", "delete", true),
    ] {
        let arguments = [
            "auth",
            "can-i",
            verb,
            "permissionsetbindings.causeway.dev",
            "--namespace",
            IDENTITY,
            "--as",
            user,
        ];
        let deadline = std::time::Instant::now() + PATIENCE;
        // The controller that aggregates roles takes a moment.
        while stage.kubectl(&arguments).await?.status.success() != may {
            if std::time::Instant::now() > deadline {
                wrong.push(format!("{user} {verb}"));
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    let status = stage
        .kubectl(&[
            "auth",
            "can-i",
            "patch",
            "permissionsetbindings.causeway.dev",
            "--subresource=status",
            "-n",
            IDENTITY,
            "--as",
            "grace",
        ])
        .await?;
    checks.check("view is part of the built-in view, edit is bound to those who shall grant access", || {
        ensure!(wrong.is_empty(), "wrong: {}", wrong.join(", "));
        ensure!(!status.status.success(), "an editor may write status");
        Ok(())
    });
    Ok(())
}
