//! An operator that dies at any call of its own, and its successor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use causeway::app::{self, Reconcilers};
use causeway::clients::{Call, CallObserver};
use causeway::controllers::Outcome;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::runner::{is_ready, ready};
use super::scripted::{
    PATIENCE, Running, Scripted, Still, config, connections, create_connection, is_held, settings, until,
    wait_for,
};
use crate::support;

/// Stops the operator at its `at`th write: just before it is sent, or just after it was answered.
#[derive(Debug)]
struct Cut {
    at: usize,
    sent: bool,
    writes: AtomicUsize,
    reached: Notify,
}

impl Cut {
    async fn stop(&self, count: usize, sent: bool) {
        if sent == self.sent && count == self.at {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait::async_trait]
impl CallObserver for Cut {
    async fn before(&self, call: &Call) {
        if call.write {
            let count = self.writes.fetch_add(1, Ordering::SeqCst);
            self.stop(count, false).await;
        }
    }

    async fn after(&self, call: &Call, _: u16, _: Duration) {
        if call.write {
            self.stop(self.writes.load(Ordering::SeqCst) - 1, true).await;
        }
    }
}

fn script() -> Scripted {
    let mut script = Scripted::new(|object| Outcome::settled(ready(&object)));
    script.writes_map = Some("x-ledger".to_owned());
    script
}

/// Finalizer, first status, ConfigMap, status: however far the first operator gets, the second ends in the same place.
#[test]
fn it_may_die_at_any_write() {
    support::run(async {
        let (client, ns) = support::namespace("frame-crash").await;
        let api = connections(&client, &ns);
        for (at, sent) in (0..4).flat_map(|at| [(at, false), (at, true)]) {
            let cut = Arc::new(Cut { at, sent, writes: AtomicUsize::new(0), reached: Notify::new() });
            let reconcilers =
                Reconcilers { federations: Still::new(), connections: script(), bindings: Still::new() };
            create_connection(&client, &ns, "x").await;
            let operator = app::run_with(
                settings(&ns),
                Some(cut.clone()),
                CancellationToken::new(),
                Some(config().await),
                reconcilers,
            );
            tokio::select! {
                ended = operator => panic!("{ended:?}"),
                reached = tokio::time::timeout(PATIENCE, cut.reached.notified()) => reached.unwrap(),
            }
            let second = Running::start(settings(&ns), script()).await;
            until(&api, "x", "ready", |o| is_ready(o) && o.is_some_and(is_held)).await;
            // The status may be seen before its writer has the answer.
            let left = 4 - at - usize::from(sent);
            wait_for("all writes", || second.calls.writes().len() >= left).await;
            let writes = second.calls.writes();
            assert_eq!(writes.len(), left, "after write {at} (sent: {sent}): {writes:?}");
            api.delete("x", &Default::default()).await.unwrap();
            until(&api, "x", "gone", |o| o.is_none()).await;
            second.stop().await.unwrap();
            // Its ConfigMap may still be there when the next one comes: garbage is collected in the background.
        }
    });
}
