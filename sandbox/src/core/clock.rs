use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// The clouds' clock: wall time plus an offset that only grows.
///
/// Token life, synchronization cycles, replication lag and asynchronous work are all measured on it, so
/// that a test can skip forty minutes in no time.
#[derive(Debug)]
pub struct Clock {
    offset_ms: AtomicI64,
    moved: watch::Sender<u64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { offset_ms: AtomicI64::new(0), moved: watch::Sender::new(0) }
    }

    /// The clouds' present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
            .checked_add(SignedDuration::from_millis(self.offset_ms.load(Ordering::SeqCst)))
            .unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock forward and wakes everything that waits for a moment.
    pub fn advance(&self, by: SignedDuration) {
        let ms = i64::try_from(by.as_millis().max(0)).unwrap_or(i64::MAX / 4);
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
        self.moved.send_modify(|n| *n += 1);
    }

    /// How far the clock is ahead of wall time, in seconds.
    #[must_use]
    pub fn offset_seconds(&self) -> f64 {
        let ms = self.offset_ms.load(Ordering::SeqCst);
        std::time::Duration::from_millis(ms.unsigned_abs()).as_secs_f64()
    }

    /// Waits until the clock shows `at`, whether time passes or is advanced.
    pub async fn sleep_until(&self, at: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            let left = at.duration_since(self.now());
            if !left.is_positive() {
                return;
            }
            // An advance may land between reading the clock and waiting: `changed` then returns at once.
            tokio::select! {
                () = tokio::time::sleep(left.unsigned_abs()) => {}
                _ = moved.changed() => {}
            }
        }
    }
}
