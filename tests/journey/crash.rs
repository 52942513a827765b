//! Dying anywhere ends in the same place, with nothing created twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::clients::{Call, CallObserver};
use futures::StreamExt as _;

use crate::support::run;
use crate::support::world::TestWorld;

const SMALL: &str = include_str!("small.yaml");
const SMALL_ONES: [(&str, &str); 3] =
    [("IdentityFederation", "acme"), ("ScimConnection", "acme"), ("PermissionSetBinding", "production")];

/// Journeys under way at the same time: most of their time is spent within AWS's limit of 20 calls a second.
const AT_ONCE: usize = 8;

/// Stops the operator for good after one of its calls: the caller never gets to know the answer.
///
/// Moments are counted: every write, and every read that is the first of its kind since the last write. A read that
/// only repeats another with nothing written in between would be the same moment again.
#[derive(Debug)]
struct Cut {
    at: u64,
    moments: AtomicU64,
    read: Mutex<BTreeSet<String>>,
}

impl Cut {
    fn after(at: u64) -> Arc<Self> {
        Arc::new(Self { at, moments: AtomicU64::new(0), read: Mutex::default() })
    }

    fn is_over(&self) -> bool {
        self.moments.load(Ordering::SeqCst) >= self.at
    }

    fn is_new(&self, call: &Call) -> bool {
        let mut read = self.read.lock().unwrap();
        if call.write {
            read.clear();
            return true;
        }
        read.insert(format!("{:?} {}", call.service, call.operation))
    }
}

#[async_trait::async_trait]
impl CallObserver for Cut {
    async fn before(&self, _: &Call) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    async fn after(&self, call: &Call, _: u16, _: Duration) {
        if self.is_new(call) {
            self.moments.fetch_add(1, Ordering::SeqCst);
        }
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }
}

/// The journey with one cut; answers the end state and how many moments the first operator lived through.
async fn journey_cut_after(at: u64) -> (serde_json::Value, u64) {
    let mut world = TestWorld::company("crash").await;
    world.settings.timing.resync = Duration::from_secs(5);
    let cut = Cut::after(at);
    let first = world.operator_with(world.settings.clone(), Some(cut.clone()));
    world.apply(SMALL).await;
    // The person is never cut off in the middle of a hand-off.
    world.until_ready_or(&SMALL_ONES, || cut.is_over()).await;
    drop(first);
    let second = world.operator();
    world.until_ready(&SMALL_ONES).await;
    second.stop().await;
    assert_eq!(world.created_twice(), Vec::<String>::new(), "cut at moment {at}");
    (world.end_state(), cut.moments.load(Ordering::SeqCst))
}

#[test]
fn cut_off_after_any_call_the_journey_ends_the_same() {
    run(async {
        let (wanted, moments) = journey_cut_after(u64::MAX).await;
        assert!(moments > 100, "the journey has more than {moments} moments");
        eprintln!("the journey has {moments} moments; cutting it off after each of them");
        futures::stream::iter(1..=moments)
            .map(|at| {
                let wanted = &wanted;
                async move {
                    let (end, _) = journey_cut_after(at).await;
                    assert_eq!(&end, wanted, "cut at moment {at}");
                }
            })
            .buffer_unordered(AT_ONCE)
            .enumerate()
            .for_each(async |(done, ())| {
                if (done + 1) % 50 == 0 {
                    eprintln!("{} of {moments} moments", done + 1);
                }
            })
            .await;
    });
}
