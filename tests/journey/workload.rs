//! The operator as its own process that has no secret at all: its own identity, then ServiceAccounts that it may speak
//! for, with the rights of the examples and no others.

use std::path::Path;
use std::time::Duration;

use sandbox::journey;
use serde_json::json;

use super::process::{forms, free_port, identity, start_with};
use crate::support::credentials::{AMBIENT, BY_ACCOUNT, CLIENT, allowed, prepare, role};
use crate::support::world::{TestWorld, condition};
use crate::support::{cluster, run};

const ACME: [(&str, &str); 1] = [("IdentityFederation", "acme")];

/// Writes a token of the operator's ServiceAccount as the kubelet would: a new file in place of the old one.
async fn project(path: &Path, audience: &str) -> String {
    let plane = cluster().await;
    let life = Duration::from_secs(600);
    let token = plane.service_account_token("causeway-system", "causeway", &[audience], life).await.unwrap();
    let new = path.with_extension("new");
    std::fs::write(&new, &token).unwrap();
    std::fs::rename(&new, path).unwrap();
    token
}

/// The message of the federation's Ready condition.
async fn message(world: &TestWorld) -> String {
    let object = world.get("IdentityFederation", "acme").await.unwrap();
    condition(&object, "Ready")
        .map(|c| c["message"].as_str().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

#[test]
fn without_a_secret_the_operator_signs_in_and_no_token_shows_in_what_it_says() {
    run(async {
        let world = TestWorld::changed("workload", prepare).await;
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = identity(&world, dir.path()).await;
        let (entra, aws) = (dir.path().join("entra-token"), dir.path().join("aws-token"));
        let mut tokens = vec![
            project(&entra, "api://AzureADTokenExchange").await,
            project(&aws, "sts.amazonaws.com").await,
        ];
        let log = dir.path().join("operator.log");
        let entry = allowed(&world.namespace);
        let file = entra.to_str().unwrap();
        let more = [
            "--ambient-namespaces",
            &world.namespace,
            "--allowed-roles",
            &entry,
            "--azure-client-id",
            CLIENT,
            "--azure-federated-token-file",
            file,
        ];
        let endpoint = world.sandbox.descriptor().aws.endpoint;
        let own_role = role("operator");
        let environment = [
            ("AWS_ROLE_ARN", own_role.as_str()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", aws.to_str().unwrap()),
            ("AWS_ENDPOINT_URL", &endpoint),
        ];
        let operator = start_with(&world, &kubeconfig, &log, "trace", free_port(), &more, &environment);
        world.apply(AMBIENT).await;
        world.until_ready(&ACME).await;
        let arns = world.sandbox.aws.session_arns();
        assert!(arns.iter().any(|arn| arn.contains(":assumed-role/operator/")), "{arns:?}");
        assert!(arns.iter().any(|arn| arn.contains(":assumed-role/causeway/test@")), "{arns:?}");

        // Everything ends, and the files hold new tokens.
        tokens.push(project(&entra, "api://AzureADTokenExchange").await);
        tokens.push(project(&aws, "sts.amazonaws.com").await);
        let sessions = world.sandbox.aws.session_arns().len();
        world.advance(jiff::SignedDuration::from_secs(3700));
        world.until("new sessions", async || world.sandbox.aws.session_arns().len() >= sessions + 2).await;
        world.until_ready(&ACME).await;

        // A ServiceAccount that the operator may not speak for, until somebody runs what it says.
        let objects = journey::parse(BY_ACCOUNT, Some(&world.namespace)).unwrap();
        let (grants, rest): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|o| o.types.as_ref().unwrap().kind.starts_with("Role"));
        journey::apply(&world.client, &rest).await.unwrap();
        world.until("it is told what to run", async || message(&world).await.contains("allow it: ")).await;
        let said = message(&world).await;
        let command = said.split_once("allow it: ").unwrap().1;
        let plane = cluster().await;
        let script = command.replace("kubectl ", "\"$KUBECTL\" ");
        let ran = tokio::process::Command::new("sh")
            .args(["-c", &script])
            .env("KUBECTL", plane.kubectl())
            .env("KUBECONFIG", plane.kubeconfig())
            .output()
            .await
            .unwrap();
        assert!(ran.status.success(), "{command}\n{}", String::from_utf8_lossy(&ran.stderr));
        world.until_ready(&ACME).await;
        // And what the example grants does as well.
        for name in ["role", "rolebinding"] {
            let script = format!("\"$KUBECTL\" -n {} delete {name} causeway-token-causeway", world.namespace);
            let mut command = tokio::process::Command::new("sh");
            command
                .args(["-c", &script])
                .env("KUBECTL", plane.kubectl())
                .env("KUBECONFIG", plane.kubeconfig());
            assert!(command.output().await.unwrap().status.success());
        }
        journey::apply(&world.client, &grants).await.unwrap();
        operator.stop().await.unwrap();
        let operator = start_with(&world, &kubeconfig, &log, "trace", free_port(), &more, &environment);
        let touch = json!({"metadata": {"annotations": {"causeway.dev/reconcile": "now"}}});
        let api = journey::api(&world.client, &world.namespace, "IdentityFederation");
        api.patch("acme", &Default::default(), &kube::api::Patch::Merge(&touch)).await.unwrap();
        world
            .until("a new process has looked", async || {
                let object = world.get("IdentityFederation", "acme").await.unwrap();
                object.data["status"]["lastHandledReconcileAt"] == "now"
            })
            .await;
        world.until_ready(&ACME).await;
        operator.stop().await.unwrap();

        let mut heard = std::fs::read_to_string(&log).unwrap();
        assert!(heard.len() > 100_000, "trace level says a lot: {}", heard.len());
        heard += &world.report().await;
        for secret in tokens.into_iter().chain(world.sandbox.aws.session_secrets()) {
            for form in forms(&secret) {
                if let Some(at) = heard.find(&form) {
                    let line = heard[..at].rfind('\n').map_or(0, |n| n + 1);
                    panic!("a token slipped out: {}", &heard[line..at]);
                }
            }
        }
        // Access tokens, and the tokens that the operator got by itself: all are JWTs.
        if let Some(at) = heard.find("eyJ") {
            let line = heard[..at].rfind('\n').map_or(0, |n| n + 1);
            panic!("a token slipped out: {}", &heard[line..at]);
        }
    });
}
