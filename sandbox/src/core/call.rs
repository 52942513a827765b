use axum::response::{IntoResponse, Response};

use super::{Core, CutConnection, Verdict};

/// What is known of a call before it is handled.
#[derive(Debug, Clone)]
pub struct CallMeta {
    /// As in the counters.
    pub service: &'static str,
    /// As in the counters.
    pub operation: String,
    /// Who calls.
    pub caller: String,
    /// The id that the answer carries.
    pub request_id: String,
    /// Whether the operation changes anything: such calls go into the journal.
    pub mutation: bool,
}

/// Why a call is not handled: each service writes its own answer for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// Throttled, with seconds for Retry-After.
    Throttled(Option<f64>),
    /// An injected error: status, and code when the rule names one.
    Injected(u16, Option<String>),
}

/// What handling a call came to.
#[derive(Debug)]
pub struct Handled {
    /// The answer.
    pub response: Response,
    /// What was changed (for the journal); empty for reads.
    pub target: String,
    /// `ok`, `throttled`, or the error code.
    pub outcome: String,
}

impl Core {
    /// Passes one call through faults, handling, counters and journal.
    ///
    /// `refuse` writes the service's own error answer; `handle` gets whether the read shall be stale.
    pub async fn call<F, H>(
        &self,
        meta: CallMeta,
        refuse: impl FnOnce(Refusal) -> Response,
        handle: F,
    ) -> Response
    where
        F: FnOnce(bool) -> H,
        H: Future<Output = Handled>,
    {
        let refusal = match self.faults.judge(meta.service, &meta.operation) {
            Verdict::Proceed { stale, cut, error } => {
                let handled = handle(stale).await;
                self.finish(&meta, &handled.target, &handled.outcome);
                return match error {
                    Some((status, code)) => refuse(Refusal::Injected(status, code)),
                    None if cut => cut_connection(),
                    None => handled.response,
                };
            }
            Verdict::Hang => {
                self.finish(&meta, "", "hang");
                return std::future::pending().await;
            }
            Verdict::Throttle(after) => Refusal::Throttled(after),
            Verdict::Error(status, code) => Refusal::Injected(status, code),
        };
        let outcome = match &refusal {
            Refusal::Throttled(_) => "throttled".to_owned(),
            Refusal::Injected(status, code) => code.clone().unwrap_or_else(|| status.to_string()),
        };
        self.finish(&meta, "", &outcome);
        refuse(refusal)
    }

    fn finish(&self, meta: &CallMeta, target: &str, outcome: &str) {
        self.counters.add(meta.service, &meta.operation, outcome);
        if meta.mutation {
            let now = self.clock.now();
            self.journal.record(
                now,
                meta.service,
                &meta.operation,
                &meta.caller,
                target,
                outcome,
                &meta.request_id,
            );
        }
    }
}

fn cut_connection() -> Response {
    let mut response = http::StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(CutConnection);
    response
}
