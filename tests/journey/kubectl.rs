//! What people see: golden outputs of the real kubectl. `INSTA_UPDATE=always cargo test` writes them anew.

use std::process::Command;

use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::support::world::{ALL, CONNECTION, FEDERATION, TestWorld, condition};
use crate::support::{cluster, run};

/// Runs kubectl in a namespace and answers what it prints, with everything that differs from run to run replaced.
async fn kubectl(world: &TestWorld, arguments: &[&str]) -> String {
    let plane = cluster().await;
    let mut command = Command::new(plane.kubectl());
    command.arg("--kubeconfig").arg(plane.kubeconfig()).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    redact(&String::from_utf8(output.stdout).unwrap(), &world.namespace)
}

/// Ids, times and digests become words of a fixed width; columns are separated by two spaces.
fn redact(text: &str, namespace: &str) -> String {
    let word = |w: &str| -> String {
        let bare = w.trim_matches(|c: char| "\"'(),.;:<>=[]".contains(c));
        let hex = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_hexdigit());
        let uuid = bare.len() == 36 && bare.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        let replaced = if uuid {
            "<uuid>"
        } else if hex(bare) && bare.len() == 64 {
            "<sha256>"
        } else if hex(bare) && bare.len() == 40 {
            "<sha1>"
        } else if bare.len() >= 20 && bare.as_bytes().get(10) == Some(&b'T') && bare.ends_with('Z') {
            "<time>"
        } else if bare.starts_with("ssoins-") {
            "<instance>"
        } else if bare.starts_with("d-") && bare.ends_with(".awsapps.com") {
            "<identity store>.awsapps.com"
        } else {
            return w.to_owned();
        };
        w.replace(bare, replaced)
    };
    let mut out = String::new();
    for line in text.replace(namespace, "identity").lines() {
        let indent = line.len() - line.trim_start().len();
        // Words may be glued to a URL, a key or a thumbprint by `/`, `=` or `"`.
        let mut shown = String::new();
        for column in line.trim().split("  ").filter(|c| !c.is_empty()) {
            let words: Vec<String> = column
                .trim()
                .split(' ')
                .map(|w| {
                    let mut parts = Vec::new();
                    let mut rest = w;
                    while let Some(at) = rest.find(['/', '=', '@']) {
                        parts.push(word(&rest[..at]) + &rest[at..=at]);
                        rest = &rest[at + 1..];
                    }
                    parts.push(word(rest));
                    parts.concat()
                })
                .collect();
            if !shown.is_empty() {
                shown.push_str("  ");
            }
            shown.push_str(&words.join(" "));
        }
        out.push_str(&" ".repeat(indent));
        out.push_str(&shown);
        out.push('\n');
    }
    out
}

/// The table without the last column, which is the age.
fn table(text: &str, namespace: &str) -> String {
    let keep = |line: &str| line.is_empty() || line.starts_with("NAMESPACE") || line.starts_with(namespace);
    let mut out = String::new();
    for line in text.lines().filter(|l| keep(l)) {
        out.push_str(line.rsplit_once("  ").map_or(line, |(rest, _)| rest));
        out.push('\n');
    }
    out
}

async fn get(world: &TestWorld) -> String {
    let raw = kubectl(world, &["get", "idf,scim,psb", "-A"]).await;
    table(&raw, "identity")
}

/// `kubectl describe` without metadata and Events, which hold what differs from run to run.
async fn describe(world: &TestWorld, kind: &str, name: &str) -> String {
    let raw = kubectl(world, &["describe", kind, name, "-n", &world.namespace]).await;
    let status = raw.split_once("\nStatus:").map_or(raw.as_str(), |(_, status)| status);
    let status = status.split_once("\nEvents:").map_or(status, |(status, _)| status);
    let mut lines: Vec<String> = Vec::new();
    for line in status.lines() {
        let volatile = [
            "Instance Arn:",
            "Identity Store Id:",
            "Job Id:",
            "Permission Set Arn:",
            "Access Portal URL:",
            "Access Portal Url:",
            "Hash:",
            "Ended At:",
            "Credentials Digest:",
            "Exported:",
        ];
        match volatile.iter().find(|v| line.trim_start().starts_with(**v)) {
            Some(key) => {
                lines.push(format!("{}{key}  <volatile>", &line[..line.len() - line.trim_start().len()]))
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

async fn reason(world: &TestWorld, kind: &str, name: &str) -> String {
    let object = world.get(kind, name).await;
    object
        .as_ref()
        .and_then(|o| condition(o, "Ready"))
        .and_then(|c| c["reason"].as_str())
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn waiting_resources_say_what_a_person_must_do() {
    run(async {
        let world = TestWorld::company("waiting").await;
        let operator = world.operator();
        world.apply_example().await;
        world
            .until("everything waits for a person", async || {
                let federation = world.get("IdentityFederation", "acme").await.unwrap();
                let signing =
                    condition(&federation, "SigningCertificateValid").is_some_and(|c| c["status"] == "True");
                let assigned =
                    condition(&federation, "AssignmentsReady").is_some_and(|c| c["status"] == "True");
                let waits = reason(&world, "IdentityFederation", "acme").await == "AwaitingHandoff";
                waits
                    && signing
                    && assigned
                    && reason(&world, "ScimConnection", "acme").await == "AwaitingHandoff"
                    && reason(&world, "PermissionSetBinding", "engineers").await == "FederationNotReady"
                    && reason(&world, "PermissionSetBinding", "auditors").await == "FederationNotReady"
                    && reason(&world, "PermissionSetBinding", "production").await == "FederationNotReady"
            })
            .await;
        insta::assert_snapshot!("get_waiting", get(&world).await);
        insta::assert_snapshot!("describe_waiting_federation", describe(&world, "idf", "acme").await);
        insta::assert_snapshot!("describe_waiting_connection", describe(&world, "scim", "acme").await);
        operator.stop().await;
    });
}

#[test]
fn ready_resources_tell_the_story() {
    run(async {
        let world = TestWorld::company("ready").await;
        let operator = world.operator();
        world.apply_example().await;
        world.until_ready(&ALL).await;
        for (kind, name) in ALL {
            let resource = format!("{}/{name}", kind.to_lowercase());
            let waited = kubectl(
                &world,
                &["wait", "--for=condition=Ready", &resource, "-n", &world.namespace, "--timeout=30s"],
            )
            .await;
            assert!(waited.contains("condition met"), "{waited}");
        }
        insta::assert_snapshot!("get_ready", get(&world).await);
        insta::assert_snapshot!("describe_ready_federation", describe(&world, "idf", "acme").await);
        insta::assert_snapshot!("describe_ready_binding", describe(&world, "psb", "production").await);
        operator.stop().await;
    });
}

#[test]
fn broken_resources_name_the_way_out() {
    run(async {
        let world = TestWorld::company("broken").await;
        let secrets =
            Api::<k8s_openapi::api::core::v1::Secret>::namespaced(world.client.clone(), &world.namespace);
        let wrong = json!({"stringData": {"clientSecret": "yesterdays-secret"}});
        secrets.patch("entra", &PatchParams::default(), &Patch::Merge(wrong)).await.unwrap();
        let operator = world.operator();
        world.apply(FEDERATION).await;
        world.apply(CONNECTION).await;
        world
            .until("Entra has refused", async || {
                reason(&world, "IdentityFederation", "acme").await == "AuthenticationFailed"
                    && reason(&world, "ScimConnection", "acme").await == "FederationNotReady"
            })
            .await;
        insta::assert_snapshot!("get_broken", get(&world).await);
        insta::assert_snapshot!("describe_broken_federation", describe(&world, "idf", "acme").await);
        operator.stop().await;
    });
}

#[test]
fn explain_reads_well() {
    run(async {
        let world = TestWorld::company("explain").await;
        let text = kubectl(&world, &["explain", "psb.spec.permissionSet"]).await;
        assert!(text.contains("sessionDuration") && text.contains("How long a session lasts"), "{text}");
    });
}
