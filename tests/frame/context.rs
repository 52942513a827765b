use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use causeway::clients::CallObserver;
use causeway::clock::Clock;
use causeway::controllers::context::Context;
use causeway::controllers::{Clouds, Outcome};
use causeway::problem::Class;
use causeway::status::Reason;
use causeway::telemetry::Metrics;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::scripted::{Calls, Running, Scripted, create_connection, settings, wait_for};
use crate::support;

fn context(client: &Client, namespace: &str) -> Context {
    let settings = Arc::new(settings(namespace));
    let observer: Arc<dyn CallObserver> = Arc::new(Calls::default());
    let clouds = Clouds::new(settings.clone(), observer.clone()).unwrap();
    Context::new(client.clone(), settings, Clock::system(), clouds, observer, Arc::new(Metrics::new()))
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn an_owned_config_map_is_written_only_when_it_differs_and_never_when_it_is_somebody_elses() {
    support::run(async {
        let (client, ns) = support::namespace("frame-maps").await;
        let context = context(&client, &ns);
        let owner = create_connection(&client, &ns, "x").await;
        let maps = Api::<ConfigMap>::namespaced(client.clone(), &ns);

        assert!(context.apply_config_map(&owner, "x-ledger", data(&[("a", "1"), ("b", "2")])).await.unwrap());
        let first = maps.get("x-ledger").await.unwrap();
        assert!(
            !context.apply_config_map(&owner, "x-ledger", data(&[("b", "2"), ("a", "1")])).await.unwrap()
        );
        assert!(context.apply_config_map(&owner, "x-ledger", data(&[("b", "3")])).await.unwrap());
        let map = maps.get("x-ledger").await.unwrap();
        assert_ne!(map.metadata.resource_version, first.metadata.resource_version);
        assert_eq!(map.data, Some(data(&[("b", "3")])), "a key that is no longer there goes");
        let references = map.metadata.owner_references.unwrap();
        assert_eq!((references.len(), Some(&references[0].uid)), (1, owner.metadata.uid.as_ref()));
        assert_eq!(map.metadata.labels.unwrap()["app.kubernetes.io/managed-by"], "causeway");

        let foreign =
            serde_json::from_value(json!({"metadata": {"name": "theirs"}, "data": {"k": "v"}})).unwrap();
        maps.create(&Default::default(), &foreign).await.unwrap();
        let problem = context.apply_config_map(&owner, "theirs", data(&[("k", "x")])).await.unwrap_err();
        assert_eq!((problem.class, problem.reason), (Class::Blocked, Reason::OwnedByOther));
        assert!(problem.message.contains("theirs"), "{}", problem.message);
        assert_eq!(maps.get("theirs").await.unwrap().data, Some(data(&[("k", "v")])));
    });
}

#[test]
fn a_secret_is_read_by_name_and_what_is_missing_is_named() {
    support::run(async {
        let (client, ns) = support::namespace("frame-secrets").await;
        let context = context(&client, &ns);
        let secrets = Api::<Secret>::namespaced(client.clone(), &ns);
        let secret = serde_json::from_value(
            json!({"metadata": {"name": "s"}, "stringData": {"key": "hush\n", "empty": "\n"}}),
        )
        .unwrap();
        secrets.create(&Default::default(), &secret).await.unwrap();
        let value = context.secret_value(&ns, "s", "key", "spec.x").await.unwrap();
        assert_eq!((value.expose(), format!("{value:?}").contains("hush")), ("hush", false));
        for (name, key, said) in [
            ("none", "key", "Secret none"),
            ("s", "other", "no key other (it has empty, key)"),
            ("s", "empty", "nothing under the key empty"),
        ] {
            let problem = context.secret_value(&ns, name, key, "spec.x").await.unwrap_err();
            assert_eq!((problem.class, problem.reason), (Class::Blocked, Reason::SecretNotFound));
            assert!(problem.message.contains(said), "{}", problem.message);
        }
        let problem = context.config_map_value(&ns, "none", "key").await.unwrap_err();
        assert_eq!((problem.class, problem.reason), (Class::Blocked, Reason::ConfigMapNotFound));
    });
}

#[test]
fn only_somebody_elses_change_of_an_owned_config_map_wakes_its_owner() {
    support::run(async {
        let (client, ns) = support::namespace("frame-own").await;
        let mut settings = settings(&ns);
        settings.timing.resync = Duration::from_secs(3600);
        let passes = Arc::new(AtomicUsize::new(0));
        let counted = passes.clone();
        let mut script = Scripted::new(move |object| {
            counted.fetch_add(1, Ordering::SeqCst);
            Outcome::settled(object.status.unwrap_or_default())
        });
        script.writes_map = Some("x-ledger".to_owned());
        let operator = Running::start(settings, script).await;
        create_connection(&client, &ns, "x").await;
        let maps = Api::<ConfigMap>::namespaced(client.clone(), &ns);
        super::scripted::until(&maps, "x-ledger", "written", |m| m.is_some()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The watch may be faster than the answer to the write: one pass for nothing at most.
        let before = passes.load(Ordering::SeqCst);
        assert!(before <= 2, "{before} passes");
        let change = json!({"data": {"k": "changed by hand"}});
        maps.patch("x-ledger", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
        wait_for("a pass", || passes.load(Ordering::SeqCst) > before).await;
        let mended = |m: Option<&ConfigMap>| m.and_then(|m| m.data.clone()) == Some(data(&[("k", "v")]));
        super::scripted::until(&maps, "x-ledger", "mended", mended).await;
        maps.delete("x-ledger", &Default::default()).await.unwrap();
        super::scripted::until(&maps, "x-ledger", "written again", mended).await;
        operator.stop().await.unwrap();
    });
}
