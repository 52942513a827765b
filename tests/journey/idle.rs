//! Nothing to do means nothing done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use sandbox::control_plane::ControlPlane;
use sandbox::world::World;

use crate::support::world::{ALL, TestWorld};
use crate::support::{install_crds, run};

/// Resource versions of everything that the operator might write.
async fn versions(world: &TestWorld) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let (client, namespace) = (&world.client, &world.namespace);
    for (kind, name) in ALL {
        let object = world.get(kind, name).await.expect("it exists");
        all.insert(format!("{kind}/{name}"), object.resource_version().unwrap());
    }
    for map in
        Api::<ConfigMap>::namespaced(client.clone(), namespace).list(&ListParams::default()).await.unwrap()
    {
        // That one is Kubernetes' own.
        if map.name_any() != "kube-root-ca.crt" {
            all.insert(format!("ConfigMap/{}", map.name_any()), map.resource_version().unwrap());
        }
    }
    for event in
        Api::<Event>::namespaced(client.clone(), namespace).list(&ListParams::default()).await.unwrap()
    {
        all.insert(format!("Event/{}", event.name_any()), event.resource_version().unwrap());
    }
    all
}

/// The reasons of the Events of a kind's resources.
async fn announced(world: &TestWorld, kind: &str) -> BTreeSet<String> {
    let events = Api::<Event>::namespaced(world.client.clone(), &world.namespace);
    let about = |event: &Event| event.regarding.as_ref().and_then(|r| r.kind.as_deref()) == Some(kind);
    let all = events.list(&ListParams::default()).await.unwrap();
    all.into_iter().filter(about).filter_map(|event| event.reason).collect()
}

/// How often an operation was called so far, whatever came of it.
fn calls(world: &TestWorld, operation: &str) -> u64 {
    world.sandbox.core.counters.all().iter().filter(|c| c.operation == operation).map(|c| c.calls).sum()
}

/// Waits until every controller has looked at the clouds three times more.
pub(super) async fn three_resyncs(world: &TestWorld) {
    let watched = [
        "ListInstances",
        "GET /servicePrincipals/{id}/synchronization/jobs",
        "ListAccountAssignmentsForPrincipal",
    ];
    let before: Vec<u64> = watched.iter().map(|o| calls(world, o)).collect();
    world
        .until("three resyncs", async || {
            watched.iter().zip(&before).all(|(operation, before)| calls(world, operation) >= before + 3)
        })
        .await;
    // What the last of them writes must have time to arrive.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[test]
fn three_resyncs_and_a_restart_write_nothing() {
    run(async {
        let world = TestWorld::company("idle").await;
        let operator = world.operator();
        world.apply_example().await;
        world.until_ready(&ALL).await;
        // The first cycles and the last Events may still be on their way.
        three_resyncs(&world).await;
        for kind in ["IdentityFederation", "ScimConnection"] {
            let heard = announced(&world, kind).await;
            assert!(["AwaitingHandoff", "Ready"].iter().all(|r| heard.contains(*r)), "{kind}: {heard:?}");
        }

        let (journal, before) = (world.sandbox.core.journal.last(), versions(&world).await);
        three_resyncs(&world).await;
        operator.stop().await;
        let operator = world.operator();
        three_resyncs(&world).await;
        operator.stop().await;

        assert_eq!(versions(&world).await, before, "status, ConfigMaps and Events stay as they are");
        let written: Vec<String> =
            world.mutations(journal).iter().map(|e| format!("{} {}", e.operation, e.target)).collect();
        assert_eq!(written, Vec::<String>::new(), "no mutation of a cloud");
    });
}

#[test]
fn a_cluster_rebuilt_from_git_resumes_without_a_mutation() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let plane = ControlPlane::start(dir.path().join("cluster")).await.expect("a control plane");
        let client = plane.client().await.unwrap();
        install_crds(&client).await;
        let world = World::load("company").unwrap();
        let world = TestWorld::start(world, client, plane.kubeconfig(), "default").await;
        let operator = world.operator();
        world.apply_example().await;
        world.until_ready(&ALL).await;
        three_resyncs(&world).await;
        // What people keep beside Git: Secrets, the service provider's metadata, and that AWS has the certificate.
        let kept = kept(&world).await;
        drop(operator);

        let (journal, end) = (world.sandbox.core.journal.last(), world.end_state());
        plane.wipe().await.expect("a control plane without data");
        install_crds(&world.client).await;
        for object in kept {
            sandbox::journey::apply(&world.client, &[object]).await.unwrap();
        }
        let operator = world.operator();
        world.apply_example().await;
        let federation = sandbox::journey::api(&world.client, "default", "IdentityFederation");
        let sha = world.sandbox.aws.idp_certificates();
        let sha = sha[0]["sha256"].as_str().expect("AWS has imported a certificate").to_owned();
        let patch = serde_json::json!({"metadata": {"annotations": {"causeway.dev/acknowledge": sha}}});
        federation
            .patch("acme", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch))
            .await
            .unwrap();
        world.until_ready(&ALL).await;
        three_resyncs(&world).await;
        operator.stop().await;

        let written: Vec<String> =
            world.mutations(journal).iter().map(|e| format!("{} {}", e.operation, e.target)).collect();
        assert_eq!(written, Vec::<String>::new(), "no mutation of a cloud");
        assert_eq!(world.end_state(), end);
    });
}

/// Secrets and the metadata ConfigMap as `kubectl get -o yaml` would keep them.
async fn kept(world: &TestWorld) -> Vec<kube::api::DynamicObject> {
    use kube::api::{ApiResource, DynamicObject};
    use kube::core::GroupVersionKind;
    let mut kept = Vec::new();
    for (kind, names) in
        [("Secret", vec!["entra", "aws", "aws-scim"]), ("ConfigMap", vec!["aws-sp-metadata"])]
    {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
        for name in names {
            let mut object = api.get(name).await.expect("a person made it");
            object.metadata = kube::api::ObjectMeta {
                name: Some(name.into()),
                namespace: Some(world.namespace.clone()),
                ..Default::default()
            };
            object.types = Some(kube::api::TypeMeta { api_version: "v1".into(), kind: kind.into() });
            kept.push(object);
        }
    }
    kept
}
