//! The live clients against servers on loopback.

mod access;
mod aws;
mod entra;
mod graph;
mod sessions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use causeway::clients::http::HttpOptions;
use causeway::clients::{Call, CallObserver};
use sandbox::core::Authority;

/// Deadlines that no machine misses: a try that is given up is made again, and counts as a second one.
fn options(authority: &Authority) -> HttpOptions {
    HttpOptions {
        ca_pem: Some(authority.ca_pem().to_owned()),
        connect: Duration::from_secs(30),
        attempt: Duration::from_secs(30),
        total: Duration::from_secs(120),
    }
}

/// Deadlines for what is never answered.
fn impatient(authority: &Authority) -> HttpOptions {
    let second = Duration::from_secs(1);
    HttpOptions { attempt: second, total: 8 * second, ..options(authority) }
}

/// Writes down every call, and can stop the caller for good before one.
#[derive(Debug, Default)]
struct Recorder {
    calls: Mutex<Vec<String>>,
    stop_before: Option<&'static str>,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    /// `service operation status`, with `!` after a write.
    fn seen(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait::async_trait]
impl CallObserver for Recorder {
    async fn before(&self, call: &Call) {
        if self.stop_before == Some(call.operation.as_str()) {
            std::future::pending::<()>().await;
        }
    }

    async fn after(&self, call: &Call, status: u16, _: Duration) {
        let mark = if call.write { "!" } else { "" };
        let line = format!("{} {}{mark} {status}", call.service.as_str(), call.operation);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
