//! The operator as its own process, with the identity and the rights of `examples/operator/rbac.yaml`.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use sandbox::core::{FaultKind, FaultRule};
use sandbox::journey::{self, Operator};

use crate::support::collector::Collector;
use crate::support::world::{ALL, TestWorld};
use crate::support::{cluster, run};

const BINARY: &str = env!("CARGO_BIN_EXE_causeway");
const RBAC: &str = include_str!("../../examples/operator/rbac.yaml");
const SECRETS: &str = include_str!("../../examples/identity-center/00-namespace.yaml");

fn lease(world: &TestWorld) -> String {
    format!("causeway-{}", world.namespace)
}

/// Gives the operator's service account its rights, and answers a kubeconfig that speaks as it.
pub async fn identity(world: &TestWorld, dir: &Path) -> std::path::PathBuf {
    // Worlds share the cluster: each has a lease of its own.
    let rbac = RBAC
        .replace("causeway-leader", &format!("causeway-leader-{}", world.namespace))
        .replace("resourceNames: [causeway]", &format!("resourceNames: [{}]", lease(world)));
    journey::apply(&world.client, &journey::parse(&rbac, None).unwrap()).await.unwrap();
    for mut object in journey::parse(SECRETS, Some(&world.namespace)).unwrap() {
        if object.metadata.namespace.is_some() {
            object.metadata.namespace = Some(world.namespace.clone());
            journey::apply(&world.client, &[object]).await.unwrap();
        }
    }
    cluster().await.service_account_kubeconfig("causeway-system", "causeway", dir).await.unwrap()
}

/// A port below those that are given to whoever asks for any, so that hardly anybody takes it before the operator listens.
pub fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports =
        std::iter::repeat_with(|| 12_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 8_000).unwrap());
    ports.take(1_000).find(free).expect("a free port")
}

/// How long the lease lasts of an operator that another one takes over from.
pub const SHORT_LEASE: Duration = Duration::from_secs(3);

/// Starts an operator from which another one soon takes over. On a busy machine it may lose its lease and end: let it
/// be `attended`.
pub fn start(world: &TestWorld, kubeconfig: &Path, log: &Path) -> Operator {
    let lease = format!("{}s", SHORT_LEASE.as_secs());
    start_with(world, kubeconfig, log, "info", free_port(), &["--lease-duration", &lease], &[])
}

/// Does something while an operator runs; one that has lost its lease is started again, as Kubernetes does.
pub async fn attended<T>(
    operator: &mut Operator,
    start: impl Fn() -> Operator,
    work: impl Future<Output = T>,
) -> T {
    let attend = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Some(ended) = operator.ended() {
                assert!(ended.starts_with("exit status: 3"), "it did not lose its lease, and ended: {ended}");
                *operator = start();
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = attend => unreachable!("it goes on for ever"),
    }
}

/// Starts an operator with short times, which takes part in the election of this world, with further arguments and
/// environment variables. Its lease lasts as long as that of everybody: nothing but a test of leases loses it.
pub fn start_with(
    world: &TestWorld,
    kubeconfig: &Path,
    log: &Path,
    level: &str,
    port: u16,
    further: &[&str],
    environment: &[(&str, &str)],
) -> Operator {
    let listen = format!("127.0.0.1:{port}");
    let lease = lease(world);
    let usual = [
        "--installation-id",
        "test",
        "--operator-namespace",
        "causeway-system",
        "--lease-name",
        &lease,
        "--lease-duration",
        "300s",
        "--namespaces",
        &world.namespace,
        "--listen",
        &listen,
        "--log-format",
        "json",
        "--log-level",
        level,
        "--resync",
        "1s",
        "--poll",
        "50ms",
        "--job-poll",
        "200ms",
        "--creation-grace",
        "10s",
    ];
    let given = |pair: &[&str]| further.contains(&pair[0]);
    let usual: Vec<&str> = usual.chunks(2).filter(|pair| !given(pair)).flatten().copied().collect();
    let more = [&usual[..], further].concat();
    let log = log.to_owned();
    Operator::start_with(Path::new(BINARY), &world.sandbox, kubeconfig, log, &more, environment).unwrap()
}

#[test]
fn killed_at_ten_moments_the_journey_ends_the_same() {
    run(async {
        let mut seed = 0x5eed_u64;
        let mut wanted = None;
        for moment in 0..=10_u32 {
            let world = TestWorld::company("kill").await;
            let dir = tempfile::tempdir().unwrap();
            let kubeconfig = identity(&world, dir.path()).await;
            let log = dir.path().join("operator.log");
            // Only of the one that is killed another one waits for the end of the lease.
            let last = || start_with(&world, &kubeconfig, &log, "info", free_port(), &[], &[]);
            let mut operator = if moment > 0 { start(&world, &kubeconfig, &log) } else { last() };
            world.apply_example().await;
            if moment > 0 {
                // A linear congruential generator: the same ten moments in each run.
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let millis = 200 + (seed >> 33) % 3_000;
                // The person is never stopped in the middle of a hand-off.
                let moment = tokio::time::Instant::now() + Duration::from_millis(millis);
                world.until_ready_or(&ALL, || tokio::time::Instant::now() >= moment).await;
                operator.kill().await.unwrap();
                operator = last();
            }
            attended(&mut operator, last, world.until_ready(&ALL)).await;
            assert_eq!(world.created_twice(), Vec::<String>::new(), "killed at moment {moment}");
            let end = world.end_state();
            assert_eq!(&end, wanted.get_or_insert_with(|| end.clone()), "killed at moment {moment}");
            assert!(operator.stop().await.unwrap().success(), "SIGTERM is a clean end");
        }
    });
}

/// A secret in each form in which it might slip out.
pub(super) fn forms(secret: &str) -> Vec<String> {
    let standard = base64::engine::general_purpose::STANDARD.encode(secret);
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![secret.to_owned(), standard.trim_end_matches('=').to_owned(), encoded]
}

#[test]
fn secrets_appear_nowhere_even_when_the_calls_that_carry_them_fail() {
    run(async {
        let world = TestWorld::company("secrets").await;
        for (service, operation) in [
            ("login", "token"),
            ("graph", "POST /servicePrincipals/{id}/synchronization/jobs/validateCredentials"),
            ("graph", "PUT /servicePrincipals/{id}/synchronization/secrets"),
            ("sso-admin", "ListInstances"),
        ] {
            for kind in [FaultKind::Error, FaultKind::CutAfterEffect, FaultKind::Throttle] {
                world.sandbox.core.faults.add(FaultRule {
                    service: service.into(),
                    operation: Some(operation.into()),
                    nth: None,
                    probability: None,
                    kind,
                    status: Some(500),
                    code: None,
                    times: Some(1),
                    retry_after: Some(1.0),
                });
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = identity(&world, dir.path()).await;
        let log = dir.path().join("operator.log");
        let port = free_port();
        let collector = Collector::start().await;
        let operator =
            start_with(&world, &kubeconfig, &log, "trace", port, &["--otlp-endpoint", &collector.url()], &[]);
        world.apply_example().await;
        world.until_ready(&ALL).await;
        let metrics =
            reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("causeway_"), "{metrics}");
        operator.stop().await.unwrap();

        let secret = |name: &'static str, key: &'static str| {
            let api = kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(
                world.client.clone(),
                &world.namespace,
            );
            async move { String::from_utf8(api.get(name).await.unwrap().data.unwrap()[key].0.clone()).unwrap() }
        };
        let secrets = [
            secret("entra", "clientSecret").await,
            secret("aws", "secretAccessKey").await,
            secret("aws-scim", "token").await,
        ];
        let mut heard = std::fs::read_to_string(&log).unwrap();
        assert!(heard.len() > 100_000, "trace level says a lot: {}", heard.len());
        let exported = collector.bytes();
        assert!(exported.len() > 10_000, "traces say a lot too: {}", exported.len());
        heard += &String::from_utf8_lossy(&exported);
        heard += &metrics;
        heard += &world.report().await;
        let events = kube::Api::<k8s_openapi::api::events::v1::Event>::namespaced(
            world.client.clone(),
            &world.namespace,
        );
        heard += &serde_json::to_string(&events.list(&Default::default()).await.unwrap().items).unwrap();
        let maps = kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(
            world.client.clone(),
            &world.namespace,
        );
        heard += &serde_json::to_string(&maps.list(&Default::default()).await.unwrap().items).unwrap();
        for secret in &secrets {
            for form in forms(secret) {
                if let Some(at) = heard.find(&form) {
                    let line = heard[..at].rfind('\n').map_or(0, |n| n + 1);
                    panic!("a secret slipped out: {}", &heard[line..at]);
                }
            }
        }
        assert!(!heard.contains("PRIVATE KEY"), "no private key either");
    });
}
