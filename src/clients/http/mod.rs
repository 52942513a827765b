//! What the HTTP side of every client shares: building it, one observed exchange, delays between tries.

mod backoff;

use std::error::Error;
use std::time::Duration;

pub(crate) use backoff::pause;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::seen::current_try;
use super::{Call, CallObserver, CloudError, CloudErrorKind, Seen, Service, due, seen};

/// Longest text of a service that is passed on.
const MAX_MESSAGE: usize = 300;
/// Longest wait that an answer may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How the HTTP clients are built.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// PEM with additional roots of trust.
    pub ca_pem: Option<String>,
    /// Until a connection stands.
    pub connect: Duration,
    /// One try, from the first byte sent to the last byte read.
    pub attempt: Duration,
    /// One operation with all its tries and the delays between them.
    pub total: Duration,
}

impl HttpOptions {
    /// Deadlines that fit into a reconcile whose remote work may take `reconcile`.
    #[must_use]
    pub fn within(reconcile: Duration, ca_pem: Option<String>) -> Self {
        let attempt = (reconcile / 3).clamp(Duration::from_secs(1), Duration::from_secs(20));
        Self {
            ca_pem,
            connect: attempt.min(Duration::from_secs(5)),
            attempt,
            total: (reconcile * 2 / 3).max(attempt),
        }
    }
}

/// The HTTP client cannot be built: the additional roots are no certificates, or there are no roots at all.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built: {0}")]
pub struct HttpSetupError(#[from] reqwest::Error);

/// The client for Microsoft's endpoints. It follows no redirect: a redirect could carry the token elsewhere.
///
/// # Errors
/// See [`HttpSetupError`].
pub fn client(options: &HttpOptions) -> Result<reqwest::Client, HttpSetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect)
        .timeout(options.attempt)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &options.ca_pem {
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?);
    }
    Ok(builder.build()?)
}

/// One answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends one request and reads the whole answer, seen by the observer.
///
/// # Errors
/// `Transient` without a status: no answer, or one of more than `limit` bytes.
pub(crate) async fn exchange(
    client: &reqwest::Client,
    observer: &dyn CallObserver,
    (service, operation): (Service, &'static str),
    write: bool,
    request: reqwest::Request,
    limit: usize,
) -> Result<Answer, CloudError> {
    let call = Call { service, operation: operation.to_owned(), write };
    // On the heap: it is part of many futures.
    let act = Box::pin(async {
        due::asks();
        let answer = answer(client, request, limit).await;
        due::answered();
        answer
    });
    let look = |answer: &Result<Answer, String>| {
        answer.as_ref().map_or(Seen::nothing(), |answer| {
            Seen::of(answer.status.as_u16(), |name| answer.headers.get(name)?.to_str().ok())
        })
    };
    let answer = seen(observer, &call, current_try(), act, look).await;
    if answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS) {
        observer.throttled(service, operation);
    }
    answer.map_err(|message| no_answer(service, operation, &message))
}

async fn answer(client: &reqwest::Client, request: reqwest::Request, limit: usize) -> Result<Answer, String> {
    let mut response = client.execute(request).await.map_err(describe)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

/// A failure without an answer. The effect of a write is unknown.
pub(crate) fn no_answer(service: Service, operation: &'static str, message: &str) -> CloudError {
    CloudError {
        service,
        operation,
        kind: CloudErrorKind::Transient,
        status: 0,
        code: String::new(),
        message: bounded(message),
        request_id: None,
    }
}

/// What a person can use of a transport error: the innermost cause. The URL stays out, since it may carry filters
/// with people's names.
#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "the connection timed out" } else { "the answer timed out" }
            .to_owned();
    }
    let mut cause: &dyn Error = &error;
    let mut depth = 0;
    while let Some(next) = cause.source() {
        cause = next;
        depth += 1;
    }
    match (error.is_connect(), depth) {
        (_, 0) => "the request could not be sent".to_owned(),
        (true, _) => format!("no connection: {cause}"),
        (false, _) => cause.to_string(),
    }
}

/// `Retry-After` in seconds, possibly with a fraction (contract Graph 8.4), at most an hour.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    seconds_to_wait(seconds)
}

/// A wait that an answer asked for, in seconds, at most an hour.
pub(crate) fn seconds_to_wait(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0)
        .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RETRY_AFTER).min(MAX_RETRY_AFTER))
}

/// The text of a service as one line of bounded length, without control characters.
pub(crate) fn bounded(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_may_have_a_fraction_and_is_bounded() {
        for (value, expected) in [
            ("2.128", Some(Duration::from_millis(2128))),
            ("17", Some(Duration::from_secs(17))),
            (" 0 ", Some(Duration::ZERO)),
            ("1e300", Some(MAX_RETRY_AFTER)),
            ("99999", Some(MAX_RETRY_AFTER)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(&headers(value)), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_one_short_line() {
        assert_eq!(bounded(" a\r\n b\t\u{7}c "), "a b c");
        let long = bounded(&"ä".repeat(1000));
        assert!(long.len() <= MAX_MESSAGE + '…'.len_utf8() && long.ends_with('…'));
    }

    #[test]
    fn roots_that_are_no_certificates_are_refused() {
        let options = HttpOptions::within(
            Duration::from_secs(60),
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        );
        assert!(client(&options).is_err());
        assert!(client(&HttpOptions { ca_pem: None, ..options }).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn fuzz_any_retry_after_is_bounded(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20), number: f64) {
            let mut values = vec![http::HeaderValue::from_str(&number.to_string()).unwrap()];
            values.extend(http::HeaderValue::from_bytes(&bytes).ok());
            for value in values {
                let asked = retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]));
                assert!(asked.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
            }
        }

        #[test]
        fn fuzz_any_text_becomes_one_short_line(text in "(.|\n|\r|\u{7}){0,600}") {
            let line = bounded(&text);
            assert!(line.len() <= MAX_MESSAGE + '…'.len_utf8() && !line.chars().any(char::is_control));
        }
    }
}
