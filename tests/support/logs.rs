//! What is logged on the thread of a test, which is where its reconciles run.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;

/// With one subscriber alone, what another thread logs first is decided by that thread, and counts as of no interest to
/// anybody from then on. A second one, which hears nothing, makes every subscriber be asked.
pub fn keep_interest() {
    static SECOND: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
    SECOND.get_or_init(|| {
        let deaf = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(io::sink);
        tracing::Dispatch::new(deaf.finish())
    });
}

/// Captures the log from its making to its end.
pub struct Logs {
    written: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

struct Pen(Arc<Mutex<Vec<u8>>>);

impl io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logs {
    pub fn capture() -> Self {
        let written = Arc::new(Mutex::new(Vec::new()));
        let pen = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || Pen(pen.clone()))
            .finish();
        Self { written, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// All audit records, in order.
    pub fn audit(&self) -> Vec<Value> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = String::from_utf8_lossy(&written);
        let records = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|r| r["target"] == "causeway::audit").collect()
    }
}

/// Operation and outcome of an audit record; it must carry the hash of a plan.
pub fn told(record: &Value) -> String {
    let of = |field: &str| record[field].as_str().unwrap_or_default();
    assert_eq!(of("plan").len(), 64, "without a plan: {record}");
    format!("{} {}", of("operation"), of("outcome"))
}
