//! Several observers of remote calls, one after the other.

use std::sync::Arc;
use std::time::Duration;

use crate::clients::{Call, CallObserver, Service};

/// Observers in order: the last one to be asked before a call is the first to hear of its end.
#[derive(Debug)]
pub struct Chain(Vec<Arc<dyn CallObserver>>);

impl Chain {
    /// All of them, in order.
    #[must_use]
    pub fn of(observers: impl IntoIterator<Item = Arc<dyn CallObserver>>) -> Arc<dyn CallObserver> {
        Arc::new(Self(observers.into_iter().collect()))
    }
}

#[async_trait::async_trait]
impl CallObserver for Chain {
    async fn before(&self, call: &Call) {
        for observer in &self.0 {
            observer.before(call).await;
        }
    }

    async fn after(&self, call: &Call, status: u16, elapsed: Duration) {
        for observer in self.0.iter().rev() {
            observer.after(call, status, elapsed).await;
        }
    }

    fn throttled(&self, service: Service, operation: &str) {
        for observer in &self.0 {
            observer.throttled(service, operation);
        }
    }
}
