use std::time::Duration;

use tokio::sync::watch;

use super::Leadership;
use crate::clients::{Call, CallObserver};

/// Holds back every write while this operator may not write. What is held back never goes on: whoever lost the
/// lease ends at its next write.
#[derive(Clone, Debug)]
pub struct Gate(watch::Receiver<Leadership>);

impl Gate {
    /// A gate that follows the election.
    #[must_use]
    pub fn new(state: watch::Receiver<Leadership>) -> Self {
        Self(state)
    }
}

#[async_trait::async_trait]
impl CallObserver for Gate {
    async fn before(&self, call: &Call) {
        let may_write = self.0.borrow().may_write();
        if call.write && !may_write {
            tracing::warn!(operation = call.operation, "a write is held back: this operator does not lead");
            std::future::pending::<()>().await;
        }
    }

    async fn after(&self, _call: &Call, _status: u16, _elapsed: Duration) {}
}
