//! Dying anywhere ends in the same place, with nothing created twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway::clients::{Call, CallObserver};
use futures::StreamExt as _;
use tokio::sync::Notify;

use crate::support::run;
use crate::support::world::{ALL, TestWorld};

/// Journeys under way at the same time: most of their time is spent within AWS's limit of 20 calls a second.
const AT_ONCE: usize = 16;

/// Counts finished calls and stops the operator for good after one of them: the caller never gets to know its answer.
#[derive(Debug)]
struct Cut {
    finished: AtomicU64,
    at: u64,
    reached: Notify,
}

impl Cut {
    fn after(at: u64) -> Arc<Self> {
        Arc::new(Self { finished: AtomicU64::new(0), at, reached: Notify::new() })
    }
}

#[async_trait::async_trait]
impl CallObserver for Cut {
    async fn before(&self, _: &Call) {
        if self.finished.load(Ordering::SeqCst) >= self.at {
            std::future::pending::<()>().await;
        }
    }

    async fn after(&self, _: &Call, _: u16, _: Duration) {
        let finished = self.finished.fetch_add(1, Ordering::SeqCst) + 1;
        if finished >= self.at {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// The journey with one cut; answers the end state and how many calls the first operator made.
async fn journey_cut_after(at: u64) -> (serde_json::Value, u64) {
    let world = TestWorld::company("crash").await;
    let cut = Cut::after(at);
    let first = world.operator_with(world.settings.clone(), Some(cut.clone()));
    world.apply_example().await;
    tokio::select! {
        () = world.until_ready(&ALL) => {}
        () = cut.reached.notified() => {}
    }
    drop(first);
    let second = world.operator();
    world.until_ready(&ALL).await;
    second.stop().await;
    assert_eq!(world.created_twice(), Vec::<String>::new(), "cut after call {at}");
    (world.end_state(), cut.finished.load(Ordering::SeqCst))
}

#[test]
fn cut_off_after_any_call_the_journey_ends_the_same() {
    run(async {
        let (wanted, calls) = journey_cut_after(u64::MAX).await;
        assert!(calls > 100, "the journey takes more than {calls} calls");
        eprintln!("the journey takes {calls} calls; cutting it off after each of them");
        futures::stream::iter(1..=calls)
            .map(|at| {
                let wanted = &wanted;
                async move {
                    let (end, _) = journey_cut_after(at).await;
                    assert_eq!(&end, wanted, "cut after call {at}");
                }
            })
            .buffer_unordered(AT_ONCE)
            .for_each(|()| async {})
            .await;
    });
}
