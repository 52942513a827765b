//! Tokens of ServiceAccounts, from the TokenRequest API: short-lived, for one audience, never stored.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clients::http::bounded;
use crate::clients::identity_token::IdentityTokens;
use crate::clients::{CloudError, CloudErrorKind, Service};
use crate::cluster::rights::named_account;
use crate::problem::NO_SERVICE_ACCOUNT;
use crate::secret::Sensitive;

/// The audience that AWS's providers for clusters have by custom.
pub(super) const STS_AUDIENCE: &str = "sts.amazonaws.com";
/// What is asked for. The API server may grant less, and no less than ten minutes.
const LIFE: Duration = Duration::from_secs(3600);
/// A cloud that refuses a token may be right for longer than this only if the next one is no better.
const DISTRUST: Duration = Duration::from_secs(60);

/// The tokens of one ServiceAccount for one audience. One is kept until half of its life is over: whoever gets it can
/// use it for a while, also when the ServiceAccount is gone meanwhile.
#[derive(Debug)]
pub(super) struct AccountTokens {
    accounts: Api<ServiceAccount>,
    namespace: String,
    name: String,
    audience: String,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    token: Sensitive,
    since: Instant,
    life: Duration,
}

impl AccountTokens {
    pub(super) fn new(kube: kube::Client, namespace: &str, name: &str, audience: &str) -> Self {
        Self {
            accounts: Api::namespaced(kube, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            audience: audience.to_owned(),
            held: Mutex::default(),
        }
    }

    async fn request(&self) -> Result<Held, CloudError> {
        let since = Instant::now();
        let spec = TokenRequestSpec {
            audiences: Some(vec![self.audience.clone()]),
            expiration_seconds: i64::try_from(LIFE.as_secs()).ok(),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = self.accounts.create_token_request(&self.name, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| self.refusal(&error))?;
        let token = answer.status.and_then(|status| status.token).filter(|token| !token.is_empty());
        // How long it lives is said relative to its issue, so that clocks need not agree.
        let granted = answer.spec.and_then(|spec| spec.expiration_seconds);
        let life = granted.and_then(|s| u64::try_from(s).ok()).map_or(LIFE, Duration::from_secs);
        match token {
            Some(token) => Ok(Held { token: Sensitive::new(token), since, life }),
            None => Err(error(CloudErrorKind::Transient, 0, "", "the API server answered without a token")),
        }
    }

    /// What an answer of the API server means, with what to do about it.
    fn refusal(&self, cause: &kube::Error) -> CloudError {
        let Self { namespace, name, .. } = self;
        let kube::Error::Api(said) = cause else {
            return error(CloudErrorKind::Transient, 0, "", "the API server was not reached");
        };
        let refused = |code: &'static str, message: String| {
            error(CloudErrorKind::Unauthenticated, said.code, code, &message)
        };
        match said.code {
            404 => refused(
                NO_SERVICE_ACCOUNT,
                format!(
                    "ServiceAccount {name} does not exist in namespace {namespace}; create it: \
                     kubectl -n {namespace} create serviceaccount {name}"
                ),
            ),
            403 if said.message.contains("being terminated") => refused(
                "Forbidden",
                format!("no token for ServiceAccount {name}: {}", bounded(&said.message)),
            ),
            403 => refused(
                "Forbidden",
                format!(
                    "the operator may not create tokens of ServiceAccount {name} in namespace {namespace}; allow it: \
                     kubectl -n {namespace} create role causeway-token-{name} --verb=create \
                     --resource=serviceaccounts/token --resource-name={name} && kubectl -n {namespace} create \
                     rolebinding causeway-token-{name} --role=causeway-token-{name} --serviceaccount={}",
                    named_account(&said.message)
                ),
            ),
            400 | 422 => {
                refused("Invalid", format!("no token for ServiceAccount {name}: {}", bounded(&said.message)))
            }
            429 => error(CloudErrorKind::Throttled { retry_after: None }, 429, "", ""),
            code => error(CloudErrorKind::Transient, code, "", &bounded(&said.message)),
        }
    }
}

#[async_trait::async_trait]
impl IdentityTokens for AccountTokens {
    async fn token(&self) -> Result<Sensitive, CloudError> {
        // Held over the request: of several who need a new token one asks for it.
        let mut held = self.held.lock().await;
        let age = held.as_ref().map(|held| held.since.elapsed());
        match (&*held, age) {
            (Some(held), Some(age)) if age < held.life / 2 => return Ok(held.token.clone()),
            _ => {}
        }
        match self.request().await {
            Ok(new) => Ok(held.insert(new).token.clone()),
            // An API server that is away for a moment takes nothing back.
            Err(error) if error.kind != CloudErrorKind::Unauthenticated => match (&*held, age) {
                (Some(held), Some(age)) if age < held.life.mul_f64(0.9) => Ok(held.token.clone()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The cluster may sign with another key by now.
    async fn refused(&self, token: &Sensitive) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token == *token && held.since.elapsed() >= DISTRUST) {
            *held = None;
        }
    }
}

fn error(kind: CloudErrorKind, status: u16, code: &str, message: &str) -> CloudError {
    CloudError {
        service: Service::Kubernetes,
        operation: "request a token",
        kind,
        status,
        code: code.to_owned(),
        message: message.to_owned(),
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::problem::{Class, Problem};
    use crate::status::Reason;

    /// Answers with tokens that are numbered, or with a refusal.
    #[derive(Default)]
    struct Server {
        asked: AtomicUsize,
        status: AtomicU16,
        life: AtomicUsize,
    }

    impl Server {
        fn tokens(self: &Arc<Self>) -> AccountTokens {
            let server = Arc::clone(self);
            let service = tower::service_fn(move |request: http::Request<Body>| {
                let server = Arc::clone(&server);
                async move {
                    assert_eq!(
                        request.uri().path(),
                        "/api/v1/namespaces/identity/serviceaccounts/robot/token"
                    );
                    let body = request.into_body().collect_bytes().await.unwrap();
                    let spec = serde_json::from_slice::<Value>(&body).unwrap()["spec"].clone();
                    assert_eq!(spec, json!({"audiences": ["here"], "expirationSeconds": 3600}));
                    let number = server.asked.fetch_add(1, Ordering::SeqCst) + 1;
                    let status = server.status.load(Ordering::SeqCst);
                    let body = match status {
                        0 => json!({"kind": "TokenRequest", "spec": {"audiences": ["here"],
                            "expirationSeconds": server.life.load(Ordering::SeqCst)},
                            "status": {"token": format!("token-{number}"), "expirationTimestamp": "2000-01-01T00:00:00Z"}}),
                        code => {
                            json!({"kind": "Status", "status": "Failure", "code": code, "reason": "x", "message":
                            "User \"system:serviceaccount:ops:causeway\" cannot create resource"})
                        }
                    };
                    let status = if status == 0 { 201 } else { status };
                    http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()))
                }
            });
            AccountTokens::new(kube::Client::new(service, "default"), "identity", "robot", "here")
        }
    }

    /// Lets a held token be older than it is.
    async fn age(tokens: &AccountTokens, by: Duration) {
        let mut held = tokens.held.lock().await;
        let held = held.as_mut().unwrap();
        held.since = held.since.checked_sub(by).unwrap();
    }

    #[tokio::test]
    async fn a_token_is_renewed_at_half_its_life_and_outlasts_a_short_outage() {
        let server = Arc::new(Server::default());
        server.life.store(600, Ordering::SeqCst);
        let tokens = server.tokens();
        let now = async || tokens.token().await.map(|token| token.expose().to_owned()).ok();
        assert_eq!((now().await.as_deref(), now().await.as_deref()), (Some("token-1"), Some("token-1")));
        age(&tokens, Duration::from_secs(290)).await;
        assert_eq!(now().await.as_deref(), Some("token-1"));
        age(&tokens, Duration::from_secs(10)).await;
        assert_eq!(now().await.as_deref(), Some("token-2"));
        server.status.store(503, Ordering::SeqCst);
        age(&tokens, Duration::from_secs(400)).await;
        assert_eq!(now().await.as_deref(), Some("token-2"), "the API server is away for a moment");
        age(&tokens, Duration::from_secs(150)).await;
        assert_eq!(now().await, None, "it ends soon");
        server.status.store(0, Ordering::SeqCst);
        assert!(now().await.is_some());
    }

    #[tokio::test]
    async fn a_refused_token_is_not_handed_out_for_long() {
        let server = Arc::new(Server::default());
        server.life.store(3600, Ordering::SeqCst);
        let tokens = server.tokens();
        let first = tokens.token().await.unwrap();
        tokens.refused(&first).await;
        assert_eq!(tokens.token().await.unwrap(), first, "a fresh one is no worse than the next");
        age(&tokens, DISTRUST).await;
        tokens.refused(&Sensitive::new("another")).await;
        assert_eq!(tokens.token().await.unwrap(), first);
        tokens.refused(&first).await;
        assert_eq!(tokens.token().await.unwrap().expose(), "token-2");
    }

    #[tokio::test]
    async fn refusals_say_what_to_run() {
        for (status, class, reason, words) in [
            (
                404,
                Class::Blocked,
                Reason::ServiceAccountNotFound,
                "kubectl -n identity create serviceaccount robot",
            ),
            (403, Class::Denied, Reason::CredentialsNotAllowed, "--resource-name=robot && kubectl"),
            (403, Class::Denied, Reason::CredentialsNotAllowed, "--serviceaccount=ops:causeway"),
            (500, Class::Transient, Reason::CloudUnavailable, "Kubernetes"),
        ] {
            let server = Arc::new(Server::default());
            server.status.store(status, Ordering::SeqCst);
            let error = server.tokens().token().await.unwrap_err();
            let problem = Problem::from_cloud(error, "get a token");
            assert_eq!((problem.class, problem.reason), (class, reason), "{problem}");
            assert!(problem.message.contains(words), "{problem}");
        }
        assert_eq!(named_account("no names here"), "<namespace>:<the operator's ServiceAccount>");
    }

    #[tokio::test]
    async fn nothing_of_a_token_shows() {
        let server = Arc::new(Server::default());
        server.life.store(3600, Ordering::SeqCst);
        let tokens = server.tokens();
        tokens.token().await.unwrap();
        assert!(!format!("{tokens:?}").contains("token-1"), "{tokens:?}");
    }
}
