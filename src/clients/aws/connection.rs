//! The HTTP layer below the SDKs: roots of trust, the shared budget, and the observer that sees every try.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::clients::http::{HttpOptions, HttpSetupError};
use crate::clients::{Call, CallObserver, Seen, Service, Slowed, due, seen};
use crate::line::{Line, Urgency};

/// Calls a second that one set of clients may make (contract aws 1.9). Zero: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// To sso-admin.
    pub sso_admin: u32,
    /// To the identity store.
    pub identity_store: u32,
}

/// What the SDK clients send their requests through. Clones share connections and budget.
#[derive(Clone, Debug)]
pub struct Connection {
    client: SharedHttpClient,
    options: HttpOptions,
    watch: Arc<Watch>,
}

/// Calls that may be made. Clones share it; it may be shared with other identities too.
#[derive(Clone, Debug)]
pub struct Budget(Arc<RwLock<Arc<Limiters>>>);

#[derive(Debug)]
struct Limiters {
    sso_admin: Option<Limited>,
    identity_store: Option<Limited>,
}

/// So many calls a second, one after the other: the limiter alone would let through whoever asks at the right moment.
#[derive(Debug)]
struct Limited {
    limiter: DefaultDirectRateLimiter,
    line: Line,
}

impl Limited {
    fn new(rate: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::direct(Quota::per_second(rate)), line: Line::new(1) }
    }

    async fn spend(&self, slowed: &Slowed) {
        let waits = || {
            due::waits();
            slowed.note();
        };
        let _place = match self.line.try_enter() {
            Some(place) => place,
            None => {
                waits();
                self.line.enter(Urgency::here(), None).await
            }
        };
        if self.limiter.check().is_err() {
            waits();
            self.limiter.until_ready().await;
        }
    }
}

#[derive(Debug)]
struct Watch {
    observer: Arc<dyn CallObserver>,
    budget: Budget,
    slowed: Slowed,
}

impl Budget {
    pub(super) fn new(rates: Rates) -> Self {
        let limiter = |rate| NonZeroU32::new(rate).map(Limited::new);
        let limiters =
            Limiters { sso_admin: limiter(rates.sso_admin), identity_store: limiter(rates.identity_store) };
        Self(Arc::new(RwLock::new(Arc::new(limiters))))
    }

    /// From now on both are one: what either spends, the other has not.
    pub fn join(&self, other: &Self) {
        let theirs = other.limiters();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = theirs;
    }

    fn limiters(&self) -> Arc<Limiters> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes one call from what may be made. Who has to wait is slowed down: others may wait for what it reads.
    async fn spend(&self, service: Service, slowed: &Slowed) {
        let limiters = self.limiters();
        let limiter = match service {
            Service::SsoAdmin => &limiters.sso_admin,
            Service::IdentityStore => &limiters.identity_store,
            _ => &None,
        };
        if let Some(limiter) = limiter {
            limiter.spend(slowed).await;
        }
    }
}

impl Connection {
    /// A connection with the given roots and budget.
    ///
    /// # Errors
    /// The additional roots are no certificates.
    pub fn new(
        options: HttpOptions,
        rates: Rates,
        observer: Arc<dyn CallObserver>,
    ) -> Result<Self, HttpSetupError> {
        // The SDK's builder panics on bad roots, so they are tried where that is an error.
        crate::clients::http::client(&options)?;
        let mut roots = TrustStore::default();
        if let Some(pem) = &options.ca_pem {
            roots = roots.with_pem_certificate(pem.as_bytes());
        }
        let tls = TlsContext::builder().with_trust_store(roots).build().expect("any trust store will do");
        // The SDK's own builder knows no proxy; the client for Microsoft's endpoints looks at the environment by itself.
        let client = Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder();
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            connector
                .proxy_config(ProxyConfig::from_env())
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(tls.clone())
                .build()
        });
        let watch = Watch { observer, budget: Budget::new(rates), slowed: Slowed::default() };
        Ok(Self { client, options, watch: Arc::new(watch) })
    }

    /// The same connections with a budget of its own, for another identity.
    #[must_use]
    pub fn with_budget(&self, rates: Rates) -> Self {
        let observer = self.watch.observer.clone();
        let watch = Arc::new(Watch { observer, budget: Budget::new(rates), slowed: Slowed::default() });
        Self { client: self.client.clone(), options: self.options.clone(), watch }
    }

    /// What it was built with.
    #[must_use]
    pub fn options(&self) -> &HttpOptions {
        &self.options
    }

    /// What its calls are counted against.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.watch.budget
    }

    /// When its calls last had to wait.
    pub(super) fn slowed(&self) -> &Slowed {
        &self.watch.slowed
    }

    /// Who sees its calls.
    pub(super) fn observer(&self) -> &Arc<dyn CallObserver> {
        &self.watch.observer
    }
}

impl HttpClient for Connection {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.client.http_connector(settings, components);
        SharedHttpConnector::new(Watched { inner, watch: self.watch.clone() })
    }
}

#[derive(Debug)]
struct Watched {
    inner: SharedHttpConnector,
    watch: Arc<Watch>,
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, watch) = (self.inner.clone(), self.watch.clone());
        HttpConnectorFuture::new(async move {
            let (call, nth) = (describe(&request), nth(&request));
            watch.budget.spend(call.service, &watch.slowed).await;
            let act = Box::pin(async {
                due::asks();
                let answer = inner.call(request).await;
                due::answered();
                answer
            });
            let look = |answer: &Result<HttpResponse, ConnectorError>| {
                answer.as_ref().map_or(Seen::nothing(), |answer| {
                    Seen::of(answer.status().as_u16(), |name| answer.headers().get(name))
                })
            };
            seen(&*watch.observer, &call, nth, act, look).await
        })
    }
}

/// Service and operation of a request: `X-Amz-Target` of the JSON services (contract aws 0); `Action` of STS, whose form
/// begins with it. What is neither fetches the operator's own credentials from the node.
fn describe(request: &HttpRequest) -> Call {
    let target = request.headers().get("x-amz-target").and_then(|target| target.split_once('.'));
    let (service, operation) = match target {
        Some(("SWBExternalService", operation)) => (Service::SsoAdmin, operation),
        Some(("AWSIdentityStore", operation)) => (Service::IdentityStore, operation),
        Some(("AWSOrganizationsV20161128", operation)) => (Service::Organizations, operation),
        _ => (Service::Sts, action(request).unwrap_or("credentials")),
    };
    let write = service != Service::Sts && !super::is_read(operation);
    Call { service, operation: operation.to_owned(), write }
}

/// Which try it is, as the SDK says it itself: `ttl=20260101T000000Z; attempt=2; max=3`.
fn nth(request: &HttpRequest) -> u32 {
    let said = request.headers().get("amz-sdk-request");
    let number = |part: &str| part.trim().strip_prefix("attempt=")?.parse().ok();
    said.and_then(|said| said.split(';').find_map(number)).unwrap_or(1)
}

fn action(request: &HttpRequest) -> Option<&str> {
    let form = request.body().bytes()?.strip_prefix(b"Action=")?;
    let action = form.split(|byte| *byte == b'&').next()?;
    let known = action.len() <= 64 && action.iter().all(u8::is_ascii_alphanumeric);
    known.then(|| std::str::from_utf8(action).ok())?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_smithy_types::body::SdkBody;
    use futures::stream::FuturesUnordered;
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn described(target: Option<&str>, body: &str) -> (Service, String, bool) {
        let mut request = HttpRequest::new(SdkBody::from(body));
        if let Some(target) = target {
            request.headers_mut().insert("x-amz-target", target.to_owned());
        }
        let call = describe(&request);
        (call.service, call.operation, call.write)
    }

    #[test]
    fn calls_are_named_by_service_and_operation() {
        for (target, body, service, operation, write) in [
            (
                Some("SWBExternalService.CreateAccountAssignment"),
                "{}",
                Service::SsoAdmin,
                "CreateAccountAssignment",
                true,
            ),
            (Some("SWBExternalService.TagResource"), "{}", Service::SsoAdmin, "TagResource", true),
            (Some("SWBExternalService.ListInstances"), "{}", Service::SsoAdmin, "ListInstances", false),
            (Some("AWSIdentityStore.GetGroupId"), "{}", Service::IdentityStore, "GetGroupId", false),
            (
                Some("AWSIdentityStore.IsMemberInGroups"),
                "{}",
                Service::IdentityStore,
                "IsMemberInGroups",
                false,
            ),
            (
                Some("AWSOrganizationsV20161128.ListAccounts"),
                "{}",
                Service::Organizations,
                "ListAccounts",
                false,
            ),
            (
                None,
                "Action=AssumeRoleWithWebIdentity&WebIdentityToken=t",
                Service::Sts,
                "AssumeRoleWithWebIdentity",
                false,
            ),
            (None, "", Service::Sts, "credentials", false),
        ] {
            assert_eq!(described(target, body), (service, operation.to_owned(), write), "{target:?} {body}");
        }
    }

    #[test]
    fn the_sdk_tells_which_try_it_is() {
        let said = |value: &'static str| {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.headers_mut().insert("amz-sdk-request", value);
            nth(&request)
        };
        assert_eq!(
            (said("ttl=20260101T000000Z; attempt=2; max=3"), said("attempt=3"), said("else")),
            (2, 3, 1)
        );
        assert_eq!(nth(&HttpRequest::new(SdkBody::empty())), 1);
    }

    #[tokio::test]
    async fn a_newcomers_call_does_not_wait_for_all_that_came_before() {
        let budget = Budget::new(Rates { sso_admin: 5, identity_store: 0 });
        let call = |urgency: Urgency| {
            let budget = budget.clone();
            let spend = async move { budget.spend(Service::SsoAdmin, &Slowed::default()).await };
            async move {
                urgency.scope(spend).await;
                urgency
            }
        };
        let settled = std::iter::repeat_n(Urgency::Settled, 100);
        let calls = settled.chain([Urgency::New]).map(|urgency| call(urgency).boxed());
        let mut calls: FuturesUnordered<_> = calls.collect();
        let mut before = 0;
        while calls.next().await != Some(Urgency::New) {
            before += 1;
        }
        assert!(before < 20, "one at a time, after those that had not to wait: {before}");
    }

    #[tokio::test]
    async fn identities_that_work_on_one_instance_share_what_it_bears() {
        let of = || Budget::new(Rates { sso_admin: 1, identity_store: 1 });
        let (one, other) = (of(), of());
        let slowed = Slowed::default();
        one.spend(Service::SsoAdmin, &slowed).await;
        let next = |budget: Budget| {
            let slowed = slowed.clone();
            async move {
                let spend = budget.spend(Service::SsoAdmin, &slowed);
                tokio::time::timeout(Duration::from_millis(20), spend).await.is_ok()
            }
        };
        assert!(!next(one.clone()).await, "spent");
        assert!(next(other).await, "its own");
        let third = of();
        third.join(&one);
        assert!(!next(third).await, "spent by the other one");
    }
}
