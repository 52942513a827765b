//! Sessions that end: kept until shortly before that, and fetched anew when AWS says that one has ended already.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::time::Instant;

use super::failure::said;

/// A session is renewed this long before it ends, give or take: a call that is under way then still has it.
const SKEW: Duration = Duration::from_secs(300);
/// Of many calls that are refused with the same session, the first renews it; the others find the new one.
const JUST_NOW: Duration = Duration::from_secs(1);

/// The SDK's own cache (it loads once for all who wait), which can be emptied.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    current: Arc<RwLock<Current>>,
    load: Duration,
}

#[derive(Debug)]
struct Current {
    cache: SharedIdentityCache,
    since: Instant,
}

impl Sessions {
    /// An empty cache. `load`: how long fetching a session may take.
    pub(super) fn new(load: Duration) -> Self {
        Self { current: Arc::new(RwLock::new(Current::empty(load))), load }
    }

    /// Forgets the session, unless that was done just now.
    fn renew(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.since.elapsed() >= JUST_NOW {
            *current = Current::empty(self.load);
        }
    }
}

impl Current {
    fn empty(load: Duration) -> Self {
        let cache = IdentityCache::lazy().buffer_time(SKEW).load_timeout(load).build();
        Self { cache, since: Instant::now() }
    }
}

impl ResolveCachedIdentity for Sessions {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        cfg: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.current.read().unwrap_or_else(PoisonError::into_inner).cache.clone();
        IdentityFuture::new(async move { cache.resolve_cached_identity(resolver, components, cfg).await })
    }
}

/// A refused session is renewed, and the call made again within its usual tries: it had no effect. A write has one try,
/// so that the next call profits.
#[derive(Clone, Debug)]
pub(super) struct RenewsEnded(pub(super) Sessions);

impl ClassifyRetry for RenewsEnded {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_some_and(|result| result.is_err());
        if failed && context.response().is_some_and(has_ended) {
            self.0.renew();
            return RetryAction::client_error();
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "RenewsEnded"
    }
}

/// Whether an answer says that the session is over (contract aws 14): it has expired, is not known (any more), or was
/// revoked, which is a policy that denies everything to sessions from before.
fn has_ended(response: &HttpResponse) -> bool {
    if !matches!(response.status().as_u16(), 400 | 401 | 403) {
        return false;
    }
    let (code, message) = said(response);
    match code.as_str() {
        "ExpiredToken" | "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            true
        }
        "AccessDenied" | "AccessDeniedException" => message.contains("explicit deny"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn the_end_of_a_session_is_told_from_other_refusals() {
        let json = |code: &str, message: &str| format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
        let xml = |code: &str| {
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>")
        };
        for (status, body, ended) in [
            (400, json("com.amazon.coral.service#ExpiredTokenException", "is expired"), true),
            (400, json("UnrecognizedClientException", "is invalid"), true),
            (400, json("AccessDeniedException", "not authorized: with an explicit deny in a policy"), true),
            (400, json("AccessDeniedException", "no identity-based policy allows it"), false),
            (400, json("ValidationException", "ExpiredTokenException"), false),
            (403, xml("ExpiredToken"), true),
            (403, xml("AccessDenied"), false),
            (500, json("ExpiredTokenException", ""), false),
            (403, String::new(), false),
        ] {
            let status = StatusCode::try_from(status).unwrap();
            let response = HttpResponse::new(status, SdkBody::from(body.clone()));
            assert_eq!(has_ended(&response), ended, "{body}");
        }
    }

    #[test]
    fn the_first_of_many_empties_the_cache() {
        let sessions = Sessions::new(Duration::from_secs(1));
        let since = || sessions.current.read().unwrap().since;
        let first = since();
        sessions.renew();
        assert_eq!(since(), first, "it was made just now");
        let earlier = first.checked_sub(JUST_NOW).unwrap();
        sessions.current.write().unwrap().since = earlier;
        sessions.renew();
        let second = since();
        assert!(second >= first);
        sessions.renew();
        assert_eq!(since(), second);
    }
}
