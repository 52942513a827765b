use std::process::Command;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::PostParams;

use super::*;
use crate::core::Profile;
use crate::world::World;
use crate::{Cluster, Options, Sandbox};

fn named<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_cluster_lives_is_trusted_restarted_wiped_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Arc::new(ControlPlane::start(dir.path().join("plane")).await.unwrap());

    let kubectl = Command::new(plane.kubectl())
        .args(["get", "namespaces", "-o", "name"])
        .env("KUBECONFIG", plane.kubeconfig())
        .output()
        .unwrap();
    assert!(kubectl.status.success(), "{}", String::from_utf8_lossy(&kubectl.stderr));
    assert!(String::from_utf8_lossy(&kubectl.stdout).contains("namespace/default"));

    let client = plane.client().await.unwrap();
    let post = PostParams::default();
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.create(&post, &named("identity")).await.unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "identity");
    accounts.create(&post, &named("causeway")).await.unwrap();

    // RBAC is on: the service account authenticates, and may do nothing.
    let path = plane.service_account_kubeconfig("identity", "causeway", dir.path()).await.unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let least = Client::try_from(config).unwrap();
    let refused =
        Api::<ConfigMap>::namespaced(least, "identity").list(&Default::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.is_forbidden()), "{refused}");
    assert!(refused.to_string().contains("system:serviceaccount:identity:causeway"), "{refused}");

    entra_trusts_service_accounts(&plane, dir.path()).await;

    plane.restart_api_server().await.unwrap();
    assert!(namespaces.get_opt("identity").await.unwrap().is_some());
    plane.wipe().await.unwrap();
    assert!(namespaces.get_opt("identity").await.unwrap().is_none());

    let pids = plane.process_ids().await;
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|&pid| alive(pid)));
    drop(plane);
    assert!(!pids.iter().any(|&pid| alive(pid)), "a program survived the control plane");
}

/// Workload identity: a service account's token buys a token for Graph, without any secret (contract graph 8.3).
async fn entra_trusts_service_accounts(plane: &Arc<ControlPlane>, dir: &Path) {
    let options = Options {
        world: World::load("company").unwrap(),
        profile: Profile::fast(),
        seed: 1,
        dir: dir.join("sandbox"),
        cluster: Cluster::Shared(plane.clone()),
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let descriptor = sandbox.descriptor();
    assert_eq!(descriptor.kubeconfig.as_deref(), Some(plane.kubeconfig()));
    let ca = reqwest::Certificate::from_pem(sandbox.ca_pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
    for (audience, accepted) in
        [("api://AzureADTokenExchange", true), ("https://kubernetes.default.svc", false)]
    {
        let life = Duration::from_secs(600);
        let token = plane.service_account_token("identity", "causeway", &[audience], life).await.unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &descriptor.entra.client_id),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &token),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", descriptor.entra.authority, descriptor.entra.tenant_id);
        let answer = http.post(url).form(&form).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status.is_success(), accepted, "{audience}: {status} {text}");
    }
}

#[test]
fn a_process_ends_when_its_parent_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(Path::new("sleep"), ["1000"], dir.path().join("log")).unwrap();
    let pid = process.id();
    // What the kernel does when this process is killed: the watchdog's stdin closes.
    process.close_watchdog_pipe();
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while process.ended().is_none() {
        assert!(std::time::Instant::now() < deadline, "process {pid} was not killed");
        std::thread::sleep(Duration::from_millis(10));
    }
}
