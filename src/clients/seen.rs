//! One call to another service, as everybody who watches sees it: the observer, and a span of its own.

use std::future::Future;

use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{Call, CallObserver, Service};

/// Longest request id that is passed on.
const MAX_REQUEST_ID: usize = 128;

tokio::task_local! {
    static TRY: u32;
}

/// Makes a call as the `nth` try of the same operation, the first one being 1.
pub(super) async fn as_try<T>(nth: u32, call: impl Future<Output = T>) -> T {
    TRY.scope(nth, call).await
}

/// Which try is being made.
pub(super) fn current_try() -> u32 {
    TRY.try_with(|nth| *nth).unwrap_or(1)
}

/// What there was to see of an answer.
pub(crate) struct Seen {
    /// HTTP status; 0 without an answer.
    pub status: u16,
    /// The service's name for this request.
    pub request_id: Option<String>,
}

impl Seen {
    /// What an answer's headers say; none: there was no answer.
    pub fn of<'a>(status: u16, header: impl Fn(&str) -> Option<&'a str>) -> Self {
        // Graph, Entra's sign-in host, AWS, Kubernetes.
        let names = ["request-id", "x-ms-request-id", "x-amzn-requestid", "audit-id"];
        let id = names.iter().find_map(|name| header(name));
        // Whatever else stands there is none, and is not for the log.
        let plain = |id: &&str| {
            let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'=' | b'/');
            id.len() <= MAX_REQUEST_ID && id.bytes().all(allowed)
        };
        Self { status, request_id: id.filter(plain).map(str::to_owned) }
    }

    /// No answer came.
    pub const fn nothing() -> Self {
        Self { status: 0, request_id: None }
    }
}

/// Makes one call: `act` is what sends it, once the observer lets it pass.
pub(crate) async fn seen<T>(
    observer: &dyn CallObserver,
    call: &Call,
    nth: u32,
    act: impl Future<Output = T>,
    look: impl FnOnce(&T) -> Seen,
) -> T {
    observer.before(call).await;
    let span = span(call, nth);
    let start = Instant::now();
    let answer = act.instrument(span.clone()).await;
    let took = start.elapsed();
    let Seen { status, request_id } = look(&answer);
    let class = status_class(status);
    span.record("status", class);
    if let Some(id) = request_id {
        span.record("request_id", id);
    }
    if matches!(class, "5xx" | "none") {
        span.record("otel.status_code", "ERROR");
    }
    span.in_scope(|| tracing::debug!(millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "called"));
    observer.after(call, status, took).await;
    answer
}

/// Calls outside of a pass (watches, the lease) are of interest to those alone who look closely: each would be a trace
/// of its own.
fn span(call: &Call, nth: u32) -> Span {
    let (service, operation) = (call.service.as_str(), call.operation.as_str());
    macro_rules! at {
        ($level:expr) => {
            tracing::span!(
                $level,
                "call",
                service,
                operation,
                attempt = nth,
                status = Empty,
                request_id = Empty,
                otel.name = operation,
                otel.kind = "client",
                otel.status_code = Empty,
            )
        };
    }
    match call.service {
        Service::Kubernetes if Span::current().is_none() => at!(tracing::Level::DEBUG),
        _ => at!(tracing::Level::INFO),
    }
}

/// The class of an HTTP status, as labels and spans name it.
pub(crate) const fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        429 => "429",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_taken_from_known_headers_and_must_look_like_one() {
        let seen = |name: &'static str, value: &'static str| {
            Seen::of(200, move |asked| (asked == name).then_some(value)).request_id
        };
        assert_eq!(seen("x-amzn-requestid", "a-1").as_deref(), Some("a-1"));
        assert_eq!(seen("audit-id", "0f").as_deref(), Some("0f"));
        assert_eq!(seen("server", "nginx"), None);
        assert_eq!(seen("request-id", "two words"), None);
        assert_eq!(seen("request-id", "line\nbreak"), None);
    }

    #[tokio::test]
    async fn a_call_is_the_first_try_unless_somebody_says_otherwise() {
        assert_eq!(current_try(), 1);
        assert_eq!(as_try(3, async { current_try() }).await, 3);
    }
}
