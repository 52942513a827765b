use std::time::Duration;

use tokio::sync::watch;

use super::Leadership;
use crate::clients::{Call, CallObserver};

/// Holds back every write while this operator may not write. What is held back since somebody else may lead never goes
/// on: whoever lost the lease ends at its next write. A write that met the end of a lease which is then renewed goes on:
/// nobody else can have led in between.
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
        let state = *self.0.borrow();
        if !call.write || state.may_write() {
            return;
        }
        tracing::warn!(operation = call.operation, "a write is held back: this operator does not lead");
        if matches!(state, Leadership::Leading { .. }) {
            let mut states = self.0.clone();
            // Renewed, or given up: then never.
            let next = states.wait_for(|s| s.may_write() || !matches!(s, Leadership::Leading { .. })).await;
            if next.is_ok_and(|s| s.may_write()) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn after(&self, _call: &Call, _status: u16, _elapsed: Duration) {}
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::clients::Service;

    /// Whether a write passes after the leadership went from one state to another while it was held back.
    async fn passes(first: Leadership, then: Leadership) -> bool {
        let (state, seen) = watch::channel(first);
        let gate = Gate::new(seen);
        let write = Call { service: Service::SsoAdmin, operation: "CreatePermissionSet".into(), write: true };
        let moment = Duration::from_millis(30);
        let turn = async {
            tokio::time::sleep(moment / 3).await;
            state.send_replace(then);
            tokio::time::sleep(moment).await;
        };
        tokio::select! {
            () = gate.before(&write) => true,
            () = turn => false,
        }
    }

    #[tokio::test]
    async fn a_write_goes_on_only_under_the_same_leadership() {
        let leading = |until| Leadership::Leading { until: Some(until) };
        let over = leading(Instant::now());
        let renewed = leading(Instant::now() + Duration::from_secs(60));
        assert!(passes(renewed, Leadership::Lost).await);
        assert!(passes(over, renewed).await, "the lease was renewed all the same");
        assert!(!passes(over, Leadership::Lost).await);
        assert!(!passes(Leadership::Following, renewed).await, "it was thought out before");
        assert!(!passes(Leadership::Lost, renewed).await);
    }
}
