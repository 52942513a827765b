use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use causeway::app;
use causeway::settings::Settings;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::scripted::{PATIENCE, Running, Scripted, create_connection, settings, until};
use crate::support;

/// A machine that does much else must not cost an operator its lease; the next one waits for the end of it.
const LEASE: Duration = Duration::from_secs(15);

fn electing(namespace: &str, identity: &str) -> Settings {
    let mut settings = settings(namespace);
    settings.leader.elect = true;
    settings.leader.identity = identity.to_owned();
    settings.leader.lease_duration = LEASE;
    settings
}

/// A reconciler that only counts, with the count.
fn counting() -> (Scripted, Arc<AtomicUsize>) {
    let passes = Arc::new(AtomicUsize::new(0));
    let counted = passes.clone();
    let script = Scripted::new(move |object| {
        counted.fetch_add(1, Ordering::SeqCst);
        causeway::controllers::Outcome::settled(object.status.unwrap_or_default())
    });
    (script, passes)
}

async fn holder_is(client: &Client, namespace: &str, holder: Option<&str>) {
    let leases = Api::<Lease>::namespaced(client.clone(), namespace);
    until(&leases, "causeway", &format!("held by {holder:?}"), |lease| {
        lease.is_some_and(|l| l.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == holder)
    })
    .await;
}

async fn works(passes: &AtomicUsize) {
    let before = passes.load(Ordering::SeqCst);
    let waiting = async {
        while passes.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[test]
fn one_operator_works_and_the_next_takes_over_when_it_stops_or_dies() {
    support::run(async {
        let (client, ns) = support::namespace("frame-lead").await;
        create_connection(&client, &ns, "x").await;
        let (script, first_passes) = counting();
        let first = Running::start(electing(&ns, "first"), script).await;
        holder_is(&client, &ns, Some("first")).await;
        works(&first_passes).await;

        let (script, second_passes) = counting();
        let second = Running::start(electing(&ns, "second"), script).await;
        works(&first_passes).await;
        tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
        assert_eq!(second_passes.load(Ordering::SeqCst), 0, "a follower must not work");
        assert!(second.calls.writes().is_empty(), "{:?}", second.calls.writes());

        // Stopped: the lease is given back, and the next one need not wait for its end.
        first.stop().await.unwrap();
        holder_is(&client, &ns, Some("second")).await;
        works(&second_passes).await;

        // Dead: the lease expires.
        let (script, third_passes) = counting();
        let third = Running::start(electing(&ns, "third"), script).await;
        second.task.abort();
        holder_is(&client, &ns, Some("third")).await;
        works(&third_passes).await;
        let leases = Api::<Lease>::namespaced(client.clone(), &ns);
        third.stop().await.unwrap();
        let spec = leases.get("causeway").await.unwrap().spec.unwrap();
        assert_eq!((spec.holder_identity, spec.lease_transitions), (None, Some(2)));
    });
}

#[test]
fn whoever_loses_the_lease_ends_and_writes_no_more() {
    support::run(async {
        let (client, ns) = support::namespace("frame-lost").await;
        create_connection(&client, &ns, "x").await;
        let (script, passes) = counting();
        let operator = Running::start(electing(&ns, "first"), script).await;
        holder_is(&client, &ns, Some("first")).await;
        works(&passes).await;
        let leases = Api::<Lease>::namespaced(client.clone(), &ns);
        let theft = json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 600}});
        leases.patch("causeway", &PatchParams::default(), &Patch::Merge(&theft)).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, operator.task).await.unwrap().unwrap();
        assert!(matches!(ended, Err(app::Error::LeadershipLost)), "{ended:?}");
        assert_eq!(ended.unwrap_err().exit_code(), 3);
        holder_is(&client, &ns, Some("thief")).await;
        let done = passes.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(passes.load(Ordering::SeqCst), done);
    });
}
