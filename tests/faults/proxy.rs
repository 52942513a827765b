//! A way to the API server on which things go wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use kube::{Client, Config};
use sandbox::core::CutConnection;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What may befall a call to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    Conflict,
    Throttled,
    ServerError,
    Malformed,
    Hang,
    CutAfterEffect,
}

impl Trouble {
    pub const ALL: [Self; 6] = [
        Self::Conflict,
        Self::Throttled,
        Self::ServerError,
        Self::Malformed,
        Self::Hang,
        Self::CutAfterEffect,
    ];

    /// Whether it can befall a call: only writes clash.
    pub fn befalls(self, call: &str) -> bool {
        self != Self::Conflict || call.starts_with("PATCH ") || call.starts_with("PUT ")
    }
}

/// A proxy in front of an API server, with the rights of its administrator.
pub struct Proxy {
    url: String,
    inner: Arc<Inner>,
    _stop: DropGuard,
}

struct Inner {
    client: Client,
    /// What befalls the next call of a kind.
    troubles: Mutex<BTreeMap<String, Trouble>>,
    seen: Mutex<BTreeMap<String, u64>>,
    /// Counts how often all watches were ended.
    expired: watch::Sender<u64>,
    told: Mutex<u64>,
}

impl Proxy {
    /// A proxy for the API server behind a client.
    pub async fn start(client: Client) -> Self {
        let inner = Arc::new(Inner {
            client,
            troubles: Mutex::default(),
            seen: Mutex::default(),
            expired: watch::Sender::new(0),
            told: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let router = axum::Router::new().fallback(forward).with_state(Arc::clone(&inner));
        let server = sandbox::core::serve(router, None, stop.clone()).await.expect("a port");
        Self { url: server.url, inner, _stop: stop.drop_guard() }
    }

    /// How to reach the API server through it.
    pub fn config(&self) -> Config {
        Config::new(self.url.parse().expect("a URL"))
    }

    /// The next call of each of these kinds meets trouble.
    pub fn trouble(&self, troubles: impl IntoIterator<Item = (String, Trouble)>) {
        self.inner.troubles.lock().unwrap().extend(troubles);
    }

    /// The troubles that nobody has met yet.
    pub fn left(&self) -> BTreeMap<String, Trouble> {
        self.inner.troubles.lock().unwrap().clone()
    }

    /// How often each kind of call was made.
    pub fn seen(&self) -> BTreeMap<String, u64> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// Ends every watch that is open now, as the API server does when what a watcher knows is too old.
    pub fn expire_watches(&self) {
        self.inner.expired.send_modify(|n| *n += 1);
    }

    /// How many watches were ended so.
    pub fn told(&self) -> u64 {
        *self.inner.told.lock().unwrap()
    }
}

/// Verb and resource, such as `PATCH scimconnections/status`.
fn name(method: &Method, path: &str, query: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        all => all,
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    let named = rest.len() > 1;
    let verb = match (method.as_str(), named) {
        ("GET", false) if query.contains("watch=") => "WATCH",
        ("GET", false) => "LIST",
        (verb, _) => verb,
    };
    match rest {
        [kind, _, sub] => format!("{verb} {kind}/{sub}"),
        [kind, ..] => format!("{verb} {kind}"),
        [] => format!("{verb} other"),
    }
}

async fn forward(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let call = name(&head.method, head.uri.path(), head.uri.query().unwrap_or_default());
    *inner.seen.lock().unwrap().entry(call.clone()).or_default() += 1;
    let trouble = inner.troubles.lock().unwrap().remove(&call);
    match trouble {
        Some(Trouble::Conflict) => return status(409, "Conflict", "the object has been modified"),
        Some(Trouble::ServerError) => return status(500, "InternalError", "etcdserver: request timed out"),
        Some(Trouble::Throttled) => {
            let mut response = status(429, "TooManyRequests", "Too many requests, please try again later.");
            response.headers_mut().insert(RETRY_AFTER, "1".parse().unwrap());
            return response;
        }
        Some(Trouble::Hang) => std::future::pending().await,
        Some(Trouble::Malformed | Trouble::CutAfterEffect) | None => {}
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut onward =
        http::Request::builder().method(head.method).uri(head.uri.path_and_query().unwrap().as_str());
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            onward = onward.header(name, value);
        }
    }
    let answer = inner.client.send(onward.body(kube::client::Body::from(body.to_vec())).unwrap()).await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let (answered, body) = answer.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = answered.status;
    if let Some(kind) = answered.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    match trouble {
        Some(Trouble::CutAfterEffect) => {
            response.extensions_mut().insert(CutConnection);
            response
        }
        Some(Trouble::Malformed) => "<html>One moment".into_response(),
        _ if call.starts_with("WATCH ") => response.map(|body| until_expired(body, inner)),
        _ => response,
    }
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

/// The events of a watch, until it is ended with 410 between two of them.
fn until_expired(body: Body, inner: Arc<Inner>) -> Body {
    let expired = inner.expired.subscribe();
    let begin = (body.into_data_stream(), expired, true, false);
    let events = futures::stream::unfold(
        (begin, inner),
        |((mut events, mut expired, whole, over), inner)| async move {
            if over {
                return None;
            }
            tokio::select! {
                Ok(()) = expired.changed(), if whole => {
                    *inner.told.lock().unwrap() += 1;
                    let status = json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410,
                    });
                    let event = format!("{}\n", json!({"type": "ERROR", "object": status}));
                    Some((Ok(event.into()), ((events, expired, true, true), inner)))
                }
                event = events.next() => {
                    let event = event?;
                    let whole = event.as_ref().is_ok_and(|e: &axum::body::Bytes| e.ends_with(b"\n"));
                    Some((event, ((events, expired, whole, false), inner)))
                }
            }
        },
    );
    Body::from_stream(events)
}

#[test]
fn calls_are_named_as_the_operator_names_them() {
    for (method, path, query, expected) in [
        (Method::GET, "/api/v1/namespaces/a/secrets/s", "", "GET secrets"),
        (
            Method::GET,
            "/apis/causeway.dev/v1alpha1/namespaces/a/scimconnections",
            "watch=true",
            "WATCH scimconnections",
        ),
        (Method::GET, "/api/v1/namespaces/a/configmaps", "limit=1", "LIST configmaps"),
        (
            Method::PATCH,
            "/apis/causeway.dev/v1alpha1/namespaces/a/scimconnections/x/status",
            "",
            "PATCH scimconnections/status",
        ),
    ] {
        assert_eq!(name(&method, path, query), expected);
    }
}
