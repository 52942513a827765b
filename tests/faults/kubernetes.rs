//! The API server's own faults, on the whole journey.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use sandbox::control_plane::ControlPlane;
use sandbox::journey::api;
use sandbox::world::World;
use serde_json::json;

use super::journey::{self, RESOURCES, Travelled};
use super::proxy::{Proxy, Trouble};
use super::usual;
use crate::support::credentials::{admit, prepare};
use crate::support::world::TestWorld;
use crate::support::{cluster, install_crds, run};

/// The journey in a world whose operator runs already; each part must end as it does without faults.
async fn goes_as_usual(world: &TestWorld, what: &str, usual: &Travelled) {
    let ends: Vec<_> = usual.stages.iter().map(|s| &s.end).collect();
    journey::make(world).await;
    assert_eq!(&journey::end(world), ends[0], "{what}: made");
    journey::change(world, &journey::by_token(world, true)).await;
    assert_eq!(&journey::end(world), ends[1], "{what}: changed");
    journey::delete(world).await;
    assert_eq!(&journey::end(world), ends[2], "{what}: deleted");
    assert_eq!(world.created_twice(), Vec::<String>::new(), "{what}");
}

/// A world whose operator reaches the API server through a proxy.
async fn behind_a_proxy() -> (TestWorld, Proxy) {
    let mut world = journey::world("kube").await;
    let proxy = Proxy::start(cluster().await.client().await.unwrap()).await;
    world.kubernetes = proxy.config();
    (world, proxy)
}

#[test]
fn watches_that_expire_again_and_again_do_no_harm() {
    run(async {
        let (world, proxy) = behind_a_proxy().await;
        let operator = world.operator();
        tokio::select! {
            () = goes_as_usual(&world, "expiring watches", usual().await) => {}
            () = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    proxy.expire_watches();
                }
            } => {}
        }
        assert!(proxy.told() > 20, "{} watches were ended", proxy.told());
        operator.stop().await;
    });
}

#[test]
fn other_writers_do_no_harm() {
    run(async {
        let world = journey::world("writers").await;
        let operator = world.operator();
        tokio::select! {
            () = goes_as_usual(&world, "other writers", usual().await) => {}
            () = meddle(&world) => {}
        }
        operator.stop().await;
    });
}

/// Touches every resource and every ConfigMap of the operator, again and again.
async fn meddle(world: &TestWorld) {
    let maps = Api::<ConfigMap>::namespaced(world.client.clone(), &world.namespace);
    for number in 0_u64.. {
        let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": number.to_string()}}}));
        for (kind, name) in RESOURCES {
            let resources = api(&world.client, &world.namespace, kind);
            // It may not be there yet, or any more.
            let _ = resources.patch_metadata(name, &PatchParams::default(), &touch).await;
            let status = Patch::Merge(json!({"status": {"lastHandledReconcileAt": format!("{number}")}}));
            let _ = resources.patch_status(name, &PatchParams::default(), &status).await;
        }
        for map in maps.list(&ListParams::default()).await.into_iter().flatten() {
            let _ = maps.patch_metadata(&map.name_any(), &PatchParams::default(), &touch).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn an_api_server_that_restarts_on_the_way_does_no_harm() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let plane = ControlPlane::start(dir.path().join("plane")).await.unwrap();
        let client = plane.client().await.unwrap();
        install_crds(&client).await;
        let mut world = World::load("company").unwrap();
        prepare(&mut world, "default");
        let mut world = TestWorld::start(world, client, plane.kubeconfig(), "default").await;
        world.sandbox.core.issuers.trust(plane.issuer(), &plane.service_account_public_key().unwrap());
        admit(&mut world).await;
        let operator = world.operator();
        let usual = usual().await;
        let restart_at = async |operation: &str| {
            world
                .until(operation, async || {
                    let _ = world.person.act().await;
                    world.mutations(0).iter().any(|e| e.operation == operation)
                })
                .await;
            plane.restart_api_server().await.unwrap_or_else(|error| panic!("{operation}: {error:#}"));
        };
        world.apply(&journey::by_token(&world, false)).await;
        restart_at("POST /applicationTemplates/{id}/instantiate").await;
        restart_at("CreatePermissionSet").await;
        world.until_ready(&RESOURCES).await;
        assert_eq!(journey::end(&world), usual.stages[0].end);
        journey::change(&world, &journey::by_token(&world, true)).await;
        journey::begin_to_delete(&world).await;
        restart_at("DeletePermissionSet").await;
        journey::until_gone(&world).await;
        assert_eq!(journey::end(&world), usual.stages[2].end);
        assert_eq!(world.created_twice(), Vec::<String>::new());
        operator.stop().await;
    });
}

#[test]
fn every_call_to_the_api_server_may_fail_in_every_way() {
    run(async {
        let usual = usual().await;
        let (world, proxy) = behind_a_proxy().await;
        let operator = world.operator();
        goes_as_usual(&world, "a proxy", usual).await;
        operator.stop().await;
        let calls: BTreeSet<String> = proxy.seen().into_keys().collect();
        eprintln!("{calls:#?}");
        let number = Trouble::ALL.len();
        futures::stream::iter(0..number)
            .for_each_concurrent(number, async |shift| {
                let (world, proxy) = behind_a_proxy().await;
                let troubles = calls
                    .iter()
                    .enumerate()
                    .map(|(row, call)| (call.clone(), Trouble::ALL[(row + shift) % number]));
                proxy.trouble(troubles.filter(|(call, trouble)| trouble.befalls(call)));
                let operator = world.operator();
                goes_as_usual(&world, &format!("troubles {shift}"), usual).await;
                assert!(proxy.left().is_empty(), "not met: {:?}", proxy.left());
                operator.stop().await;
            })
            .await;
    });
}
