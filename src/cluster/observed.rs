use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Uri};
use kube::Client;
use kube::client::Body;
use tower::service_fn;

use crate::clients::{Call, CallObserver, Seen, Service, seen};

/// A client that reports each request of `inner`. A request is not sent before the observer lets it pass, and its
/// answer must begin within `limit`.
pub(super) fn observed(inner: Client, limit: Duration, observer: Arc<dyn CallObserver>) -> Client {
    let namespace = inner.default_namespace().to_owned();
    through(namespace, move |_| inner.clone(), limit, observer)
}

/// The same, with one client for watches and another for everything else: a list that breaks off must not be waited
/// for as long as a watch may be silent.
pub(super) fn observed_watches(
    watches: Client,
    others: Client,
    limit: Duration,
    observer: Arc<dyn CallObserver>,
) -> Client {
    let namespace = watches.default_namespace().to_owned();
    let pick = move |uri: &Uri| if is_watch(uri) { watches.clone() } else { others.clone() };
    through(namespace, pick, limit, observer)
}

fn through(
    namespace: String,
    pick: impl Fn(&Uri) -> Client + Send + 'static,
    limit: Duration,
    observer: Arc<dyn CallObserver>,
) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let (inner, observer) = (pick(request.uri()), Arc::clone(&observer));
        async move {
            let call = call(request.method(), request.uri());
            let act = Box::pin(async {
                match tokio::time::timeout(limit, inner.send(request)).await {
                    Ok(answer) => answer,
                    Err(late) => Err(kube::Error::Service(late.into())),
                }
            });
            let look = |answer: &kube::Result<Response<Body>>| {
                answer.as_ref().map_or(Seen::nothing(), |answer| {
                    Seen::of(answer.status().as_u16(), |name| answer.headers().get(name)?.to_str().ok())
                })
            };
            let answer = seen(&*observer, &call, 1, act, look).await;
            if answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS) {
                observer.throttled(call.service, &call.operation);
            }
            answer
        }
    });
    Client::new(service, namespace)
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|q| q.split('&').any(|p| p == "watch=true" || p == "watch=1"))
}

fn call(method: &Method, uri: &Uri) -> Call {
    let resource = resource(uri.path());
    let verb = match (method.as_str(), resource.named) {
        ("GET", false) if is_watch(uri) => "WATCH",
        ("GET", false) => "LIST",
        (verb, _) => verb,
    };
    // Asking for a token changes nothing.
    let write = !matches!(*method, Method::GET | Method::HEAD) && resource.kind != "serviceaccounts/token";
    Call { service: Service::Kubernetes, operation: format!("{verb} {}", resource.kind), write }
}

struct Resource {
    /// Plural with subresource: `identityfederations/status`.
    kind: String,
    /// Whether the path goes on to one object.
    named: bool,
}

/// `/api/v1/…` or `/apis/<group>/<version>/…`, then perhaps `namespaces/<ns>/`, then `<plural>[/<name>[/<sub>]]`.
fn resource(path: &str) -> Resource {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return Resource { kind: "other".to_owned(), named: false },
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    match rest {
        [] => Resource { kind: "other".to_owned(), named: false },
        [kind] => Resource { kind: (*kind).to_owned(), named: false },
        [kind, _] => Resource { kind: (*kind).to_owned(), named: true },
        [kind, _, sub, ..] => Resource { kind: format!("{kind}/{sub}"), named: true },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{Patch, PatchParams};

    use super::*;

    #[test]
    fn operations_have_fixed_names() {
        let table = [
            ("GET", "/api/v1/namespaces/a/secrets/s", "GET secrets", false),
            ("GET", "/api/v1/configmaps?&watch=true&resourceVersion=1", "WATCH configmaps", false),
            ("GET", "/apis/causeway.dev/v1alpha1/scimconnections?limit=1", "LIST scimconnections", false),
            (
                "PATCH",
                "/apis/causeway.dev/v1alpha1/namespaces/a/identityfederations/x/status?fieldManager=causeway",
                "PATCH identityfederations/status",
                true,
            ),
            ("POST", "/api/v1/namespaces/a/serviceaccounts/s/token", "POST serviceaccounts/token", false),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", "PUT leases", true),
            ("POST", "/apis/events.k8s.io/v1/namespaces/a/events", "POST events", true),
            ("GET", "/api/v1/namespaces/a", "GET namespaces", false),
            ("GET", "/version", "LIST other", false),
        ];
        for (method, uri, operation, write) in table {
            let seen = call(&method.parse().unwrap(), &uri.parse().unwrap());
            assert_eq!((seen.operation.as_str(), seen.write), (operation, write), "{uri}");
        }
    }

    const LIMIT: Duration = Duration::from_secs(15);

    /// Lets reads pass and never a write.
    #[derive(Debug)]
    struct NoWrites;

    #[async_trait::async_trait]
    impl CallObserver for NoWrites {
        async fn before(&self, call: &Call) {
            if call.write {
                std::future::pending::<()>().await;
            }
        }
        async fn after(&self, _: &Call, _: u16, _: Duration) {}
    }

    #[tokio::test]
    async fn a_request_that_is_held_back_is_never_sent() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let server = service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(request.method().clone());
            let body = Body::from(br#"{"kind":"Status","code":404,"reason":"NotFound"}"#.to_vec());
            std::future::ready(Response::builder().status(404).body(body))
        });
        let client = observed(Client::new(server, "default"), LIMIT, Arc::new(NoWrites));
        let maps = Api::<ConfigMap>::namespaced(client, "a");
        let map = ConfigMap::default();
        let (params, patch) = (PatchParams::apply("causeway"), Patch::Apply(&map));
        let write = maps.patch("m", &params, &patch);
        tokio::time::timeout(Duration::from_millis(100), write).await.unwrap_err();
        assert!(maps.get_opt("m").await.unwrap().is_none());
        assert_eq!(*seen.lock().unwrap(), [Method::GET], "the write must not have got through");
    }

    #[tokio::test]
    async fn only_watches_get_the_patience_of_watches() {
        let server = |name: &'static str| {
            let answer = move |_: Request<Body>| {
                let body = Body::from(
                    format!("{{\"kind\":\"Status\",\"message\":\"{name}\",\"code\":404}}").into_bytes(),
                );
                std::future::ready(Ok::<_, std::io::Error>(
                    Response::builder().status(404).body(body).unwrap(),
                ))
            };
            Client::new(service_fn(answer), "default")
        };
        let client = observed_watches(server("watches"), server("others"), LIMIT, Arc::new(NoWrites));
        let maps = Api::<ConfigMap>::namespaced(client, "a");
        let answered = |error: kube::Error| match error {
            kube::Error::Api(status) => status.message,
            other => other.to_string(),
        };
        let listed = maps.list(&kube::api::ListParams::default()).await;
        assert_eq!(listed.map_err(answered).unwrap_err(), "others");
        let watched = maps.watch(&kube::api::WatchParams::default(), "0").await;
        assert_eq!(watched.map(|_| ()).map_err(answered).unwrap_err(), "watches");
    }

    #[tokio::test]
    async fn an_answer_that_never_begins_is_given_up() {
        let silent =
            service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, std::io::Error>>());
        let silent = Client::new(silent, "default");
        let soon = Duration::from_millis(20);
        let client = observed_watches(silent.clone(), silent, soon, Arc::new(NoWrites));
        let maps = Api::<ConfigMap>::namespaced(client, "a");
        assert!(maps.watch(&kube::api::WatchParams::default(), "0").await.is_err());
        assert!(maps.get("m").await.is_err());
    }
}
