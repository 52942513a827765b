//! By when an answer is needed, and why there was none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a cloud last asked to slow down, or the budget for its calls was spent. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Slowed(Arc<Mutex<Option<Instant>>>);

impl Slowed {
    /// It is so now.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it was so at or after a moment.
    #[must_use]
    pub fn since(&self, moment: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last >= moment)
    }
}

/// Why nothing came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// A cloud asked to slow down meanwhile: a delay, no failure.
    Slowed,
    /// Nobody answered.
    Silent,
}

/// A moment by which an answer is needed.
#[derive(Clone, Debug)]
pub struct Due {
    at: Instant,
    slowed: Slowed,
}

impl Due {
    /// Due `after` a beginning.
    #[must_use]
    pub fn after(began: Instant, after: Duration, slowed: Slowed) -> Self {
        Self { at: began + after, slowed }
    }

    /// The moment.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// What it came to in time. Who was asked to slow down meanwhile, by whichever cloud, was not left without an
    /// answer: when nobody is any more, silence shows.
    ///
    /// # Errors
    /// It did not come in time.
    pub fn meet<T: Send>(
        &self,
        reading: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Result<T, Late>> + Send {
        // Readings are large, and there are many of them in a pass.
        let reading = Box::pin(reading);
        async move {
            let began = Instant::now();
            let late = |_| if self.slowed.since(began) { Late::Slowed } else { Late::Silent };
            tokio::time::timeout_at(self.at, reading).await.map_err(late)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_was_asked_to_slow_down_was_not_left_without_an_answer() {
        let slowed = Slowed::default();
        slowed.note();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let due = Due::after(Instant::now(), Duration::from_millis(20), slowed.clone());
        assert_eq!(due.meet(async { 7 }).await, Ok(7));
        assert_eq!(due.meet(std::future::pending::<()>()).await, Err(Late::Silent), "that was before");
        let due = Due::after(Instant::now(), Duration::from_millis(20), slowed.clone());
        let asked = async {
            slowed.clone().note();
            std::future::pending::<()>().await;
        };
        assert_eq!(due.meet(asked).await, Err(Late::Slowed));
    }
}
