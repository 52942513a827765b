use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::{Core, CutConnection, Damage, Manner, Verdict};

/// What a middle box writes in place of an answer: neither JSON nor well-formed XML.
const ONE_MOMENT: &str =
    "<!DOCTYPE html>\n<html><head><title>One moment</head><body>Please wait ...<br></body></html>\n";

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
    /// The credential has ended.
    Expired,
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
    /// `refuse` writes the service's own error answer; `handle` gets in which manner to answer.
    pub async fn call<F, H>(
        &self,
        meta: CallMeta,
        refuse: impl FnOnce(Refusal) -> Response,
        handle: F,
    ) -> Response
    where
        F: FnOnce(Manner) -> H,
        H: Future<Output = Handled>,
    {
        let refusal = match self.faults.judge(meta.service, &meta.operation) {
            Verdict::Proceed { manner, damage } => {
                let handled = handle(manner).await;
                self.finish(&meta, &handled.target, &handled.outcome);
                return match damage {
                    None => handled.response,
                    Some(Damage::Cut) => cut_connection(),
                    Some(Damage::Error(status, code)) => refuse(Refusal::Injected(status, code)),
                    Some(Damage::Malformed) => malformed(),
                    Some(Damage::Truncated) => truncated(handled.response).await,
                };
            }
            Verdict::Hang => {
                self.finish(&meta, "", "hang");
                return std::future::pending().await;
            }
            Verdict::Throttle(after) => Refusal::Throttled(after),
            Verdict::Error(status, code) => Refusal::Injected(status, code),
            Verdict::Expired => Refusal::Expired,
        };
        let outcome = match &refusal {
            Refusal::Throttled(_) => "throttled".to_owned(),
            Refusal::Injected(status, code) => code.clone().unwrap_or_else(|| status.to_string()),
            Refusal::Expired => expired(meta.service).to_owned(),
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

/// What each service calls a credential that has ended.
fn expired(service: &str) -> &'static str {
    match service {
        "graph" => "InvalidAuthenticationToken",
        "login" => "AADSTS7000222",
        "scim" => "UnauthorizedException",
        _ => "ExpiredTokenException",
    }
}

fn malformed() -> Response {
    let mut response = Response::new(Body::from(ONE_MOMENT));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The head and the first half of the body, with the length of the whole; an answer without a body is cut off
/// altogether.
async fn truncated(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    if whole.len() < 2 {
        return cut_connection();
    }
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half: Bytes = whole.slice(..whole.len() / 2);
    // The pause lets the first half leave before the connection breaks: it shall arrive.
    let cut = async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        Err(std::io::Error::other("cut off by an injected fault"))
    };
    let frames = futures::stream::once(async { Ok(half) }).chain(futures::stream::once(cut));
    Response::from_parts(head, Body::from_stream(frames))
}

fn cut_connection() -> Response {
    let mut response = StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(CutConnection);
    response
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;

    use super::super::serve;
    use super::*;

    async fn client_sees(router: axum::Router) -> (u16, Option<String>) {
        let stop = CancellationToken::new();
        let server = serve(router, None, stop.clone()).await.unwrap();
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(&server.url).send().await;
        let seen = match answer {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.ok()),
            Err(_) => (0, None),
        };
        stop.cancel();
        seen
    }

    #[tokio::test]
    async fn a_truncated_answer_begins_well_and_never_ends() {
        let long = || "x".repeat(100_000).into_response();
        let seen = client_sees(axum::Router::new().route("/", get(async move || truncated(long()).await)));
        assert_eq!(seen.await, (200, None));
        let empty = || StatusCode::NO_CONTENT.into_response();
        let seen = client_sees(axum::Router::new().route("/", get(async move || truncated(empty()).await)));
        assert_eq!(seen.await, (0, None));
    }

    #[tokio::test]
    async fn a_malformed_answer_is_a_success_that_nobody_can_read() {
        let (status, text) = client_sees(axum::Router::new().route("/", get(async || malformed()))).await;
        let text = text.unwrap();
        assert_eq!(status, 200);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
        let mut reader = quick_xml::Reader::from_str(&text);
        let refused = loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        assert!(refused, "it must be no XML either: {text}");
    }
}
