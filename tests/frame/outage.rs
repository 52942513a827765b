use std::time::Duration;

use sandbox::control_plane::ControlPlane;

use super::runner::{is_ready, ready};
use super::scripted::{Running, Scripted, connections, create_connection, settings, until};
use crate::support;
use causeway::controllers::Outcome;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Config, ResourceExt as _};

#[test]
fn it_outlives_the_api_server() {
    support::run(async {
        let dir = tempfile::tempdir().unwrap();
        let plane = ControlPlane::start(dir.path().join("plane")).await.unwrap();
        let client = plane.client().await.unwrap();
        support::install_crds(&client).await;
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let mut settings = settings("default");
        settings.leader.elect = true;
        // It must outlast the restart.
        settings.leader.lease_duration = Duration::from_secs(120);
        settings.timing.resync = Duration::from_secs(3600);
        let script = Scripted::new(|object| Outcome::settled(ready(&object)));
        let operator = Running::start_on(config, settings, script);
        create_connection(&client, "default", "before").await;
        let api = connections(&client, "default");
        until(&api, "before", "ready", is_ready).await;
        let before = api.get("before").await.unwrap().resource_version();

        plane.restart_api_server().await.unwrap();
        create_connection(&client, "default", "after").await;
        until(&api, "after", "ready", is_ready).await;
        assert_eq!(api.get("before").await.unwrap().resource_version(), before, "nothing to write");
        operator.stop().await.unwrap();
    });
}
