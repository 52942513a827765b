//! By when an answer is needed, and why there was none.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A try after a throttle is under way for a moment only: so long it still counts as waiting.
const MOMENT: Duration = Duration::from_secs(1);

/// When AWS last asked an identity to slow down, or the budget of its calls had it wait. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Slowed(Arc<Mutex<Option<Instant>>>);

impl Slowed {
    /// It is so now.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn since(&self, moment: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last >= moment)
    }
}

/// How a reading stands with the services that it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Nothing is under way: somebody else may be reading the same.
    Nothing,
    /// It was asked to slow down, or waits for the budget of its calls.
    Waits,
    /// A call is under way, perhaps after such a wait.
    Asked(Instant, bool),
}

tokio::task_local! {
    static WORD: Cell<Word>;
}

/// A call is sent.
pub(super) fn asks() {
    let _ = WORD.try_with(|word| word.set(Word::Asked(Instant::now(), word.get() == Word::Waits)));
}

/// A call was answered, or failed.
pub(super) fn answered() {
    let _ = WORD.try_with(|word| word.set(Word::Nothing));
}

/// The next call has to wait.
pub(super) fn waits() {
    let _ = WORD.try_with(|word| word.set(Word::Waits));
}

/// Why nothing came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It had to wait for its turn: a delay, no failure.
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
    /// Due `after` a beginning. `slowed` tells of those who read the same for everybody.
    #[must_use]
    pub fn after(began: Instant, after: Duration, slowed: Slowed) -> Self {
        Self { at: began + after, slowed }
    }

    /// The moment.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// What a reading came to in time.
    ///
    /// # Errors
    /// It did not come in time: for want of an answer, or since it had to wait for its turn.
    pub fn meet<T: Send>(
        &self,
        reading: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Result<T, Late>> + Send {
        // Readings are large, and there are many of them in a pass.
        let reading = Box::pin(reading);
        WORD.scope(Cell::new(Word::Nothing), async move {
            let began = Instant::now();
            tokio::time::timeout_at(self.at, reading).await.map_err(|_| self.late(began))
        })
    }

    fn late(&self, began: Instant) -> Late {
        let waited = match WORD.with(Cell::get) {
            Word::Waits => true,
            Word::Asked(at, waited) => waited && at.elapsed() < MOMENT,
            Word::Nothing => self.slowed.since(began),
        };
        if waited { Late::Slowed } else { Late::Silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn never() {
        std::future::pending().await
    }

    #[tokio::test]
    async fn who_had_to_wait_was_not_left_without_an_answer() {
        let slowed = Slowed::default();
        slowed.note();
        let due = || Due::after(Instant::now(), Duration::from_millis(20), slowed.clone());
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(due().meet(async { 7 }).await, Ok(7));
        assert_eq!(due().meet(never()).await, Err(Late::Silent), "that was before");
        let throttled = async {
            asks();
            answered();
            waits();
            never().await;
        };
        assert_eq!(due().meet(throttled).await, Err(Late::Slowed));
        let again = async {
            waits();
            asks();
            never().await;
        };
        assert_eq!(due().meet(again).await, Err(Late::Slowed));
        let hangs = async {
            waits();
            answered();
            asks();
            slowed.note();
            never().await;
        };
        assert_eq!(due().meet(hangs).await, Err(Late::Silent), "whatever befalls others meanwhile");
        let for_another = async {
            slowed.note();
            never().await;
        };
        assert_eq!(due().meet(for_another).await, Err(Late::Slowed));
        waits();
    }
}
