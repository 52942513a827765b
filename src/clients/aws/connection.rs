//! The HTTP layer below the SDKs: roots of trust, the shared budget, and the observer that sees every try.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

use crate::clients::http::{HttpOptions, HttpSetupError};
use crate::clients::{Call, CallObserver, Service, Slowed};

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

#[derive(Debug)]
struct Watch {
    observer: Arc<dyn CallObserver>,
    sso_admin: Option<DefaultDirectRateLimiter>,
    identity_store: Option<DefaultDirectRateLimiter>,
    slowed: Slowed,
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
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls)
            .build_https();
        let slowed = options.slowed.clone();
        Ok(Self { client, options, watch: Arc::new(Watch::new(rates, observer, slowed)) })
    }

    /// The same connections with a budget of its own, for another identity.
    #[must_use]
    pub fn with_budget(&self, rates: Rates) -> Self {
        let watch = Watch::new(rates, self.watch.observer.clone(), self.options.slowed.clone());
        let watch = Arc::new(watch);
        Self { client: self.client.clone(), options: self.options.clone(), watch }
    }

    /// What it was built with.
    #[must_use]
    pub fn options(&self) -> &HttpOptions {
        &self.options
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

impl Watch {
    fn new(rates: Rates, observer: Arc<dyn CallObserver>, slowed: Slowed) -> Self {
        let limiter = |rate| NonZeroU32::new(rate).map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        Self {
            observer,
            sso_admin: limiter(rates.sso_admin),
            identity_store: limiter(rates.identity_store),
            slowed,
        }
    }

    async fn budget(&self, service: Service) {
        let limiter = match service {
            Service::SsoAdmin => &self.sso_admin,
            Service::IdentityStore => &self.identity_store,
            _ => &None,
        };
        if let Some(limiter) = limiter
            && limiter.check().is_err()
        {
            self.slowed.note();
            limiter.until_ready().await;
        }
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
            let call = describe(&request);
            watch.budget(call.service).await;
            watch.observer.before(&call).await;
            let start = Instant::now();
            let answer = inner.call(request).await;
            let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            watch.observer.after(&call, status, start.elapsed()).await;
            answer
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

fn action(request: &HttpRequest) -> Option<&str> {
    let form = request.body().bytes()?.strip_prefix(b"Action=")?;
    let action = form.split(|byte| *byte == b'&').next()?;
    let known = action.len() <= 64 && action.iter().all(u8::is_ascii_alphanumeric);
    known.then(|| std::str::from_utf8(action).ok())?
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

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
}
