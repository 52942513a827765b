//! What `docs/day-2.md` tells people to type when the SCIM token is about to end, typed by a shell.

use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::support::world::{CONNECTION, FEDERATION, TestWorld, condition};
use crate::support::{cluster, run};

const SCIM: &str = "ScimConnection";

/// The commands of a section, one block after the other.
fn commands(section: &str) -> Vec<String> {
    let page = include_str!("../../docs/day-2.md");
    let text = page.split(&format!("\n## {section}\n")).nth(1).expect("the section");
    let text = text.split("\n## ").next().unwrap();
    let blocks = text.split("```console\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Runs a block as a person would, line by line; a line that fails ends it.
async fn shell(world: &TestWorld, block: &str, filled: &[(&str, &str)]) -> String {
    let plane = cluster().await;
    let mut block = block.replace("-n identity", &format!("-n {}", world.namespace));
    for (placeholder, value) in filled {
        block = block.replace(placeholder, value);
    }
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c"])
        .arg(format!("kubectl() {{ \"$KUBECTL\" \"$@\"; }}\n{block}"))
        .env("KUBECTL", plane.kubectl())
        .env("KUBECONFIG", plane.kubeconfig());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn says(world: &TestWorld, kind: &str, verdict: &str) -> bool {
    let object = world.get(SCIM, "acme").await.expect("the connection");
    condition(&object, kind).is_some_and(|c| c["status"] == verdict)
}

#[test]
fn what_day_2_says_about_the_scim_token_brings_the_second_one_to_entra() {
    run(async {
        let world = TestWorld::company("day-2").await;
        let operator = world.operator();
        world.apply(FEDERATION).await;
        world.apply(CONNECTION).await;
        world.until_ready(&[("IdentityFederation", "acme"), (SCIM, "acme")]).await;
        // The first token is an old one.
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &world.namespace);
        let old = jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(340 * 24)).unwrap();
        let patch = Patch::Merge(json!({"stringData": {"issuedAt": old.to_string()}}));
        secrets.patch("aws-scim", &PatchParams::default(), &patch).await.unwrap();
        world.until("the token is about to end", async || says(&world, "TokenFresh", "False").await).await;
        let ends = |object: &kube::api::DynamicObject| object.data["status"]["tokenExpiresAt"].clone();
        let before = ends(&world.get(SCIM, "acme").await.unwrap());

        world.delete_spare_scim_token();
        let token = world.sandbox.aws.create_scim_token().unwrap();
        let mark = world.sandbox.core.journal.last();
        let text = |key: &str| token[key].as_str().unwrap();
        let filled = [("<SCIM endpoint>", text("endpoint")), ("<access token>", text("token"))];
        let mut printed = Vec::new();
        for block in commands("The SCIM token is about to end") {
            printed.push(shell(&world, &block, &filled).await);
        }
        let last = printed.last().unwrap();
        assert!(last.contains("SettingsHandedOver"), "{printed:#?}");
        let handed = world.mutations(mark).iter().any(|e| e.operation.contains("/synchronization/secrets"));
        assert!(handed, "Entra was not given the new token: {:#?}", world.mutations(mark));
        let after = world.get(SCIM, "acme").await.unwrap();
        assert!(ends(&after).is_string() && ends(&after) != before, "{before} {}", ends(&after));
        assert!(says(&world, "CredentialsValid", "True").await && says(&world, "TokenFresh", "True").await);
        operator.stop().await;
    });
}
