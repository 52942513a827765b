//! The program itself.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde::Deserialize as _;

use super::scripted::{PATIENCE, until};
use crate::support;

fn causeway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.env_clear();
    command
}

fn text(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}

#[test]
fn crds_prints_what_the_code_defines() {
    let output = causeway().arg("crds").output().unwrap();
    assert!(output.status.success());
    let (yaml, _) = text(&output);
    let mut printed: Vec<CustomResourceDefinition> = serde_yaml_ng::Deserializer::from_str(&yaml)
        .map(|document| CustomResourceDefinition::deserialize(document).unwrap())
        .collect();
    let mut defined = causeway::api::all_crds();
    printed.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    defined.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    assert_eq!(printed, defined, "run `cargo xtask gen`");
}

#[test]
fn settings_that_cannot_be_used_are_all_named() {
    let output = causeway().args(["run", "--poll=never", "--max-provisionings=9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let (_, said) = text(&output);
    for flag in ["--installation-id", "--poll", "--max-provisionings"] {
        assert!(said.contains(flag), "{flag} is missing in\n{said}");
    }
}

#[test]
fn it_starts_leads_answers_and_gives_the_lease_back() {
    support::run(async {
        let (client, ns) = support::namespace("frame-process").await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut process = causeway()
            .args([
                "run",
                "--installation-id=frame",
                "--log-format=json",
                "--identity=me",
                "--lease-duration=60s",
            ])
            .arg(format!("--namespaces={ns}"))
            .arg(format!("--operator-namespace={ns}"))
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--kubeconfig={}", support::cluster().await.kubeconfig().display()))
            .stderr(Stdio::from(log.reopen().unwrap()))
            .spawn()
            .unwrap();
        let get = async |path: &str| {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        };
        let deadline = Instant::now() + PATIENCE;
        let leads =
            |metrics: Option<(u16, String)>| metrics.is_some_and(|m| m.1.contains("causeway_leader 1"));
        while !(leads(get("/metrics").await) && get("/readyz").await.is_some_and(|r| r.0 == 200)) {
            let log = std::fs::read_to_string(log.path()).unwrap();
            assert!(Instant::now() < deadline && process.try_wait().unwrap().is_none(), "not ready:\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(get("/livez").await.unwrap(), (200, "ok".to_owned()));
        let metrics = get("/metrics").await.unwrap().1;
        assert!(
            metrics.contains(
                r#"causeway_remote_calls_total{service="kubernetes",operation="POST leases",status="2xx"} 1"#
            ),
            "{metrics}"
        );
        let leases = Api::<Lease>::namespaced(client, &ns);
        let holder = |lease: Option<&Lease>| lease.and_then(|l| l.spec.as_ref()?.holder_identity.clone());
        assert_eq!(holder(leases.get_opt("causeway").await.unwrap().as_ref()).as_deref(), Some("me"));

        Command::new("kill").arg(process.id().to_string()).status().unwrap();
        until(&leases, "causeway", "given back", |lease| lease.is_some() && holder(lease).is_none()).await;
        let status = tokio::task::spawn_blocking(move || process.wait().unwrap()).await.unwrap();
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert!(status.success(), "{status}:\n{log}");
        let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.last().unwrap()["message"], "stopped", "{log}");
    });
}
