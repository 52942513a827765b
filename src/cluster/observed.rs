use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, Uri};
use kube::Client;
use kube::client::Body;
use tower::service_fn;

use crate::clients::{Call, CallObserver, Service};

/// A client that reports each request of `inner`. A request is not sent before the observer lets it pass.
pub(super) fn observed(inner: Client, observer: Arc<dyn CallObserver>) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let (inner, observer) = (inner.clone(), Arc::clone(&observer));
        async move {
            let call = call(request.method(), request.uri());
            observer.before(&call).await;
            let start = Instant::now();
            let answer = inner.send(request).await;
            let status = answer.as_ref().map_or(0, |a| a.status().as_u16());
            observer.after(&call, status, start.elapsed()).await;
            answer
        }
    });
    Client::new(service, namespace)
}

fn call(method: &Method, uri: &Uri) -> Call {
    let resource = resource(uri.path());
    let watch = uri.query().is_some_and(|q| q.split('&').any(|p| p == "watch=true" || p == "watch=1"));
    let verb = match (method.as_str(), resource.named) {
        ("GET", false) if watch => "WATCH",
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
    use std::time::Duration;

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
            std::future::ready(http::Response::builder().status(404).body(body))
        });
        let client = observed(Client::new(server, "default"), Arc::new(NoWrites));
        let maps = Api::<ConfigMap>::namespaced(client, "a");
        let map = ConfigMap::default();
        let (params, patch) = (PatchParams::apply("causeway"), Patch::Apply(&map));
        let write = maps.patch("m", &params, &patch);
        tokio::time::timeout(Duration::from_millis(100), write).await.unwrap_err();
        assert!(maps.get_opt("m").await.unwrap().is_none());
        assert_eq!(*seen.lock().unwrap(), [Method::GET], "the write must not have got through");
    }
}
