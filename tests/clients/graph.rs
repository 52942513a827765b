use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use causeway::clients::entra::{ClientSecret, Graph, GraphOptions};
use causeway::clients::http::{HttpOptions, client};
use causeway::clients::{CloudErrorKind, Service};
use causeway::secret::Sensitive;
use http::{HeaderMap, Method, StatusCode};
use sandbox::core::{Authority, serve};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Recorder, impatient, options};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const SECRET: &str = "the-clients-secret";

/// A server for both hosts that answers from a script and keeps what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Response>>,
    tokens: Mutex<VecDeque<Response>>,
    asked: Mutex<Vec<(Method, String, HeaderMap, Bytes)>>,
}

struct Twin {
    script: Arc<Script>,
    recorder: Arc<Recorder>,
    graph: Graph,
    url: String,
    _stop: tokio_util::sync::DropGuard,
}

async fn answer(script: Arc<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let token = parts.uri.path().ends_with("/oauth2/v2.0/token");
    let issued = {
        let mut asked = script.asked.lock().unwrap();
        let path = parts.uri.path_and_query().unwrap().to_string();
        asked.push((parts.method, path, parts.headers, body));
        asked.iter().filter(|(_, uri, ..)| uri.ends_with("/token")).count()
    };
    if token {
        let scripted = script.tokens.lock().unwrap().pop_front();
        let token =
            json!({"token_type": "Bearer", "expires_in": 3599, "access_token": format!("token-{issued}")});
        return scripted.unwrap_or_else(|| axum::Json(token).into_response());
    }
    let next = script.answers.lock().unwrap().pop_front();
    match next {
        Some(response) if response.status() == StatusCode::IM_A_TEAPOT => std::future::pending().await,
        Some(response) => response,
        None => reply(500, json!({"error": {"code": "ScriptEnded"}})),
    }
}

fn reply(status: u16, body: Value) -> Response {
    let mut response = axum::Json(body).into_response();
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("request-id", "r-1".parse().unwrap());
    response
}

fn fault(status: u16, code: &str) -> Response {
    reply(status, json!({"error": {"code": code, "message": "said so"}}))
}

/// Never answered.
fn hang() -> Response {
    StatusCode::IM_A_TEAPOT.into_response()
}

impl Twin {
    async fn start() -> Self {
        Self::start_with(options).await
    }

    async fn start_with(options: impl Fn(&Authority) -> HttpOptions) -> Self {
        let authority = Authority::generate().unwrap();
        let script = Arc::new(Script::default());
        let handler = script.clone();
        let router = Router::new().fallback(move |request| answer(handler.clone(), request));
        let stop = CancellationToken::new();
        let listening = serve(router, Some(authority.server_config()), stop.clone()).await.unwrap();
        let recorder = Recorder::new();
        let http = options(&authority);
        let at = GraphOptions {
            graph: listening.url.parse().unwrap(),
            authority: listening.url.parse().unwrap(),
            total: http.total,
        };
        let identity = ClientSecret {
            tenant_id: TENANT.to_owned(),
            client_id: "66666666-2222-3333-4444-555555555555".to_owned(),
            secret: Sensitive::new(SECRET),
        };
        let graph = Graph::new(at, identity, client(&http).unwrap(), recorder.clone()).unwrap();
        Self { script, recorder, graph, url: listening.url, _stop: stop.drop_guard() }
    }

    fn then(&self, answers: impl IntoIterator<Item = Response>) {
        self.script.answers.lock().unwrap().extend(answers);
    }

    fn then_token(&self, answer: Response) {
        self.script.tokens.lock().unwrap().push_back(answer);
    }

    /// What was asked of Graph: method, path with query, bearer token.
    fn asked(&self) -> Vec<String> {
        let asked = self.script.asked.lock().unwrap();
        let of_graph = asked.iter().filter(|(_, uri, ..)| !uri.ends_with("/token"));
        let bearer = |headers: &HeaderMap| {
            headers
                .get("authorization")
                .map_or("", |v| v.to_str().unwrap())
                .trim_start_matches("Bearer ")
                .to_owned()
        };
        of_graph.map(|(method, uri, headers, _)| format!("{method} {uri} {}", bearer(headers))).collect()
    }

    fn tokens_fetched(&self) -> usize {
        self.script.asked.lock().unwrap().iter().filter(|(_, uri, ..)| uri.ends_with("/token")).count()
    }
}

#[tokio::test]
async fn a_read_carries_token_and_call_id_and_is_seen() {
    let twin = Twin::start().await;
    twin.then([reply(200, json!({"id": "1"}))]);
    let got: Value = twin.graph.get("GET /users/{id}", "/users/1", &[("$select", "id,mail")]).await.unwrap();
    assert_eq!(got, json!({"id": "1"}));
    assert_eq!(twin.asked(), ["GET /v1.0/users/1?$select=id%2Cmail token-1"]);
    assert_eq!(twin.recorder.seen(), ["login token 200", "graph GET /users/{id} 200"]);
    let asked = twin.script.asked.lock().unwrap();
    let form: Vec<_> = url::form_urlencoded::parse(&asked[0].3).into_owned().collect();
    assert!(form.contains(&("grant_type".into(), "client_credentials".into())));
    assert!(form.contains(&("client_secret".into(), SECRET.into())));
    assert!(form.contains(&("scope".into(), format!("{}/.default", twin.url))));
    assert_eq!(asked[0].1, format!("/{TENANT}/oauth2/v2.0/token"));
    let id = asked[1].2.get("client-request-id").unwrap().to_str().unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
}

#[tokio::test]
async fn one_token_serves_many_calls_at_the_same_time() {
    let twin = Twin::start().await;
    twin.then((0..20).map(|_| reply(200, json!({}))));
    let calls = (0..20).map(|_| twin.graph.get::<Value>("GET /x", "/x", &[]));
    for result in futures::future::join_all(calls).await {
        result.unwrap();
    }
    assert_eq!(twin.tokens_fetched(), 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let twin = Twin::start().await;
    twin.then([fault(401, "InvalidAuthenticationToken"), reply(200, json!({}))]);
    twin.graph.get::<Value>("GET /x", "/x", &[]).await.unwrap();
    assert_eq!(twin.asked(), ["GET /v1.0/x token-1", "GET /v1.0/x token-2"]);

    twin.then([fault(401, "InvalidAuthenticationToken"), fault(401, "InvalidAuthenticationToken")]);
    let body = json!({});
    let error = twin.graph.send("POST /x", Method::POST, "/x", Some(&body)).await.unwrap_err();
    assert_eq!((error.kind, error.status), (CloudErrorKind::Unauthenticated, 401));
    assert_eq!(twin.asked()[2..], ["POST /v1.0/x token-2", "POST /v1.0/x token-3"]);
}

#[tokio::test]
async fn a_missing_permission_for_synchronization_fetches_no_token() {
    let twin = Twin::start().await;
    twin.then([reply(401, json!({"error": {"code": "UnknownError", "message": "", "innerError": {}}}))]);
    let path = "/servicePrincipals/1/synchronization/jobs";
    let error = twin.graph.get::<Value>("GET /x", path, &[]).await.unwrap_err();
    assert_eq!(
        (error.kind, error.status, error.code.as_str()),
        (CloudErrorKind::Denied, 401, "UnknownError")
    );
    assert_eq!((twin.asked().len(), twin.tokens_fetched()), (1, 1));
}

#[tokio::test]
async fn reads_outlast_short_trouble_and_wait_as_long_as_they_are_told() {
    let twin = Twin::start().await;
    let mut throttled = fault(429, "TooManyRequests");
    throttled.headers_mut().insert("retry-after", "0.35".parse().unwrap());
    twin.then([fault(503, "ServiceUnavailable"), throttled, reply(200, json!({"ok": true}))]);
    let start = Instant::now();
    let got: Value = twin.graph.get("GET /x", "/x", &[]).await.unwrap();
    assert_eq!(got, json!({"ok": true}));
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    assert_eq!(twin.asked().len(), 3);
}

#[tokio::test]
async fn long_throttles_and_refusals_are_the_callers() {
    let twin = Twin::start().await;
    let mut throttled = fault(429, "TooManyRequests");
    throttled.headers_mut().insert("retry-after", "61.5".parse().unwrap());
    twin.then([throttled, fault(403, "Authorization_RequestDenied")]);
    let error = twin.graph.get::<Value>("GET /x", "/x", &[]).await.unwrap_err();
    let wait = Duration::from_millis(61_500);
    assert_eq!(error.kind, CloudErrorKind::Throttled { retry_after: Some(wait) });
    let error = twin.graph.get::<Value>("GET /x", "/x", &[]).await.unwrap_err();
    assert_eq!((error.kind, error.request_id.as_deref()), (CloudErrorKind::Denied, Some("r-1")));
    assert_eq!(twin.asked().len(), 2);
}

#[tokio::test]
async fn writes_are_sent_once_whatever_comes_back() {
    let (twin, hanging) = (Twin::start().await, Twin::start_with(impatient).await);
    let body = json!({"displayName": "x"});
    for (response, kind) in [
        (fault(503, "ServiceUnavailable"), CloudErrorKind::Transient),
        (fault(429, "TooManyRequests"), CloudErrorKind::Throttled { retry_after: None }),
        (fault(409, "Conflict"), CloudErrorKind::Conflict),
    ] {
        twin.then([response]);
        let error = twin.graph.send("POST /x", Method::POST, "/x", Some(&body)).await.unwrap_err();
        assert_eq!(error.kind, kind);
    }
    assert_eq!(twin.asked().len(), 3);
    assert_eq!(twin.recorder.seen()[1..], ["graph POST /x! 503", "graph POST /x! 429", "graph POST /x! 409"]);
    // The token is fetched beforehand, by a call that may be repeated.
    hanging.then([reply(200, json!({})), hang()]);
    hanging.graph.get::<Value>("GET /x", "/x", &[]).await.unwrap();
    let error = hanging.graph.send("POST /x", Method::POST, "/x", Some(&body)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Transient);
    assert_eq!(hanging.recorder.seen().last().unwrap(), "graph POST /x! 0");
    assert_eq!(hanging.asked().iter().filter(|asked| asked.starts_with("POST")).count(), 1);

    twin.then([StatusCode::NO_CONTENT.into_response(), reply(201, json!({"id": "1"}))]);
    let reply = twin.graph.send("DELETE /x", Method::DELETE, "/x", None).await.unwrap();
    assert_eq!((reply.status, reply.body), (204, Value::Null));
    let reply = twin.graph.send("POST /x", Method::POST, "/x", Some(&body)).await.unwrap();
    assert_eq!(
        (reply.status, reply.body, reply.request_id.as_deref()),
        (201, json!({"id": "1"}), Some("r-1"))
    );
}

#[tokio::test]
async fn a_collection_is_whole_or_an_error() {
    let twin = Twin::start().await;
    let list = async || twin.graph.list::<u32>("GET /x", "/x", &[("$top", "2"), ("$count", "true")]).await;
    let page = |items: &[u32], next: &str| reply(200, json!({"value": items, "@odata.nextLink": next}));
    let link = |path: &str| format!("{}/v1.0{path}", twin.url);

    twin.then([
        page(&[1, 2], &link("/x?$skiptoken=a")),
        page(&[], &link("/x?$skiptoken=b")),
        reply(200, json!({"value": [3]})),
    ]);
    assert_eq!(list().await.unwrap(), [1, 2, 3]);
    assert!(
        twin.script.asked.lock().unwrap()[1..]
            .iter()
            .all(|(.., headers, _)| headers["consistencylevel"] == "eventual")
    );

    for (pages, why) in [
        (vec![page(&[1], &link("/x?$skiptoken=a")), page(&[2], &link("/x?$skiptoken=a"))], "circle"),
        (vec![page(&[1], "https://graph.evil.example/v1.0/x")], "another host"),
        (vec![page(&[1], &link("/x?$skiptoken=a")), fault(403, "Authorization_RequestDenied")], "said so"),
        (vec![page(&[1], &link("/x?$skiptoken=a")), reply(200, json!({"not": "a page"}))], "expected fields"),
        (vec![reply(200, json!({"value": ["text"]}))], "expected fields"),
        (vec![(StatusCode::OK, "{\"value\": [1").into_response()], "cut off"),
    ] {
        twin.then(pages);
        let error = list().await.unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let twin = Twin::start().await;
    let target = [("location", "https://graph.evil.example/")];
    twin.then([(StatusCode::TEMPORARY_REDIRECT, target).into_response()]);
    let error = twin.graph.send("POST /x", Method::POST, "/x", None).await.unwrap_err();
    assert_eq!((error.kind, error.status), (CloudErrorKind::Transient, 307));
}

#[tokio::test]
async fn a_wrong_secret_is_said_by_code_and_without_the_secret() {
    let twin = Twin::start().await;
    let description = "AADSTS7000215: Invalid client secret provided. Trace ID: t Correlation ID: c Timestamp: 2026-01-01 00:00:00Z";
    twin.then_token(reply(401, json!({"error": "invalid_client", "error_description": description})));
    let error = twin.graph.get::<Value>("GET /x", "/x", &[]).await.unwrap_err();
    assert_eq!((error.service, error.kind.clone()), (Service::Login, CloudErrorKind::Unauthenticated));
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("AADSTS7000215", "Invalid client secret provided.")
    );
    assert_eq!((twin.asked().len(), twin.tokens_fetched()), (0, 1));
    assert!(!format!("{error:?} {error} {:?}", twin.graph).contains(SECRET));
}

#[tokio::test]
async fn trouble_at_the_sign_in_host_passes() {
    let twin = Twin::start().await;
    twin.then_token((StatusCode::SERVICE_UNAVAILABLE, "<html>busy</html>").into_response());
    twin.then_token((StatusCode::OK, "<html>odd</html>").into_response());
    twin.then([reply(200, json!({}))]);
    twin.graph.get::<Value>("GET /x", "/x", &[]).await.unwrap();
    assert_eq!(
        twin.recorder.seen(),
        ["login token 503", "login token 200", "login token 200", "graph GET /x 200"]
    );
}

#[tokio::test]
async fn federation_metadata_needs_no_token_and_is_bounded() {
    let twin = Twin::start().await;
    twin.then([(StatusCode::OK, "<EntityDescriptor/>").into_response()]);
    assert_eq!(twin.graph.federation_metadata("app-1").await.unwrap(), "<EntityDescriptor/>");
    assert_eq!(
        twin.asked(),
        [format!("GET /{TENANT}/federationmetadata/2007-06/federationmetadata.xml?appid=app-1 ")]
    );
    assert_eq!(
        (twin.recorder.seen(), twin.tokens_fetched()),
        (vec!["login federationmetadata 200".to_owned()], 0)
    );
    twin.then((0..4).map(|_| (StatusCode::OK, "x".repeat((1 << 20) + 1)).into_response()));
    let error = twin.graph.federation_metadata("app-1").await.unwrap_err();
    assert!(error.message.contains("longer"), "{error}");
}

#[tokio::test]
async fn an_unknown_authority_is_no_connection() {
    let twin = Twin::start().await;
    let other = Authority::generate().unwrap();
    let http = options(&other);
    let at = GraphOptions {
        graph: twin.url.parse().unwrap(),
        authority: twin.url.parse().unwrap(),
        total: Duration::ZERO,
    };
    let identity =
        ClientSecret { tenant_id: TENANT.into(), client_id: "c".into(), secret: Sensitive::new(SECRET) };
    let graph = Graph::new(at, identity, client(&http).unwrap(), Recorder::new()).unwrap();
    let error = graph.get::<Value>("GET /x", "/x", &[]).await.unwrap_err();
    assert_eq!((error.kind.clone(), error.status), (CloudErrorKind::Transient, 0));
    assert!(error.message.starts_with("no connection: "), "{error}");
    assert!(twin.asked().is_empty());
}
