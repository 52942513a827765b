use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::credentials::{CredentialError, Identity, Token, Tokens};
use super::{Reply, failure, permissions, segment};
use crate::clients::http::{Answer, exchange, no_answer, pause};
use crate::clients::seen::{as_try, current_try};
use crate::clients::{CallObserver, CloudError, CloudErrorKind, Service, due};

/// Longest answer of Graph, in bytes: a provisioning schema is some hundred kilobytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Longest federation metadata document, in bytes.
const MAX_METADATA: usize = 1024 * 1024;
/// Most pages of one collection.
const MAX_PAGES: usize = 2000;
const METADATA: &str = "federationmetadata";

/// Where Graph is and how long it may take.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// Microsoft Graph, without version (contract Graph 8.1).
    pub graph: Url,
    /// The sign-in host.
    pub authority: Url,
    /// One read with all its tries; each page of a list counts anew.
    pub total: Duration,
}

/// Microsoft Graph for one tenant and one identity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Graph {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    observer: Arc<dyn CallObserver>,
    /// With version, without trailing slash.
    base: Url,
    authority: Url,
    tenant_id: String,
    client_id: String,
    total: Duration,
    tokens: Tokens,
    /// The permissions in the token that was denied something last, if it could be read.
    denied: Mutex<Option<Vec<String>>>,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Value>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl Graph {
    /// Graph for one identity, over a client made by [`crate::clients::http::client`].
    ///
    /// # Errors
    /// Ids or secret that are refused as such.
    pub fn new(
        options: GraphOptions,
        identity: impl Into<Identity>,
        client: reqwest::Client,
        observer: Arc<dyn CallObserver>,
    ) -> Result<Self, CredentialError> {
        let mut base = options.graph.clone();
        base.set_path(&format!("{}/v1.0", options.graph.path().trim_end_matches('/')));
        let identity = identity.into();
        let (tenant_id, client_id) = (identity.tenant_id.clone(), identity.client_id.clone());
        let tokens =
            Tokens::new(identity, &options.authority, &options.graph, client.clone(), observer.clone())?;
        let inner = Inner {
            client,
            observer,
            base,
            authority: options.authority,
            tenant_id,
            client_id,
            total: options.total,
            tokens,
            denied: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// GET of one object. `operation` is the path template with `{id}`; `path` starts with `/` and is already
    /// percent-encoded; `query` values are encoded here. Retried within limits.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CloudError> {
        let url = self.inner.url(operation, path, query)?;
        let answer = self.inner.read(operation, &url, advanced(query)).await?;
        serde_json::from_slice(&answer.body).map_err(|error| unreadable(operation, &answer, &error))
    }

    /// GET of a whole collection: every page, or an error; never a part.
    ///
    /// # Errors
    /// The classified failure; a next link that loops, leads elsewhere or never ends.
    pub async fn list<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, CloudError> {
        let refuse = |why: &str| no_answer(Service::Graph, operation, why);
        let mut url = self.inner.url(operation, path, query)?;
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        loop {
            let answer = self.inner.read(operation, &url, advanced(query)).await?;
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| unreadable(operation, &answer, &error))?;
            for item in page.value {
                items.push(
                    serde_json::from_value(item).map_err(|error| unreadable(operation, &answer, &error))?,
                );
            }
            let Some(next) = page.next else { return Ok(items) };
            seen.insert(url);
            url = self.inner.next_link(&next).map_err(refuse)?;
            if seen.contains(&url) {
                return Err(refuse("the pages of the collection run in a circle"));
            }
            if seen.len() >= MAX_PAGES {
                return Err(refuse("the collection has too many pages"));
            }
        }
    }

    /// Any writing call. Never retried here, but for a refused token: the caller knows whether it may be.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CloudError> {
        let url = self.inner.url(operation, path, &[])?;
        let result = self.inner.call(operation, method, &url, body, HeaderMap::new()).await;
        let answer = result.map_err(|error| self.inner.explained(without_values(error, body)))?;
        let parsed = if answer.body.iter().all(u8::is_ascii_whitespace) {
            Value::Null
        } else {
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(operation, &answer, &error))?
        };
        Ok(Reply { status: answer.status.as_u16(), body: parsed, request_id: failure::request_id(&answer) })
    }

    /// Which permission is missing when Graph denies this operation, as a person is told.
    #[must_use]
    pub fn lacking(&self, operation: &str) -> String {
        let denied = self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner);
        permissions::told(operation, &self.inner.client_id, denied.as_deref())
    }

    /// The federation metadata document of an application (contract Graph 2.3): no token, not Graph.
    ///
    /// # Errors
    /// The classified failure; a document of more than 1 MiB.
    pub async fn federation_metadata(&self, app_id: &str) -> Result<String, CloudError> {
        let inner = &self.inner;
        let mut url = inner.authority.clone();
        url.set_path(&format!(
            "/{}/federationmetadata/2007-06/federationmetadata.xml",
            segment(&inner.tenant_id)
        ));
        url.query_pairs_mut().append_pair("appid", app_id);
        let answer = inner
            .patiently(|| {
                let request = inner.client.get(url.clone()).build();
                async move {
                    let request = request
                        .map_err(|_| no_answer(Service::Login, METADATA, "the request cannot be built"))?;
                    let call = (Service::Login, METADATA);
                    let answer =
                        exchange(&inner.client, &*inner.observer, call, false, request, MAX_METADATA).await?;
                    if answer.status.is_success() {
                        Ok(answer)
                    } else {
                        Err(failure::login(METADATA, &answer))
                    }
                }
                .boxed()
            })
            .await?;
        String::from_utf8(answer.body)
            .map_err(|_| no_answer(Service::Login, METADATA, "the document is not UTF-8"))
    }
}

impl Inner {
    /// The URL of a path below the version.
    fn url(&self, operation: &'static str, path: &str, query: &[(&str, &str)]) -> Result<Url, CloudError> {
        let full = format!("{}{path}", self.base.path());
        let mut url = self.base.clone();
        url.set_path(&full);
        // A dot segment would lead out of the path; `?` and the like are encoded by `set_path`. Both differ then.
        if !path.starts_with('/') || url.path() != full {
            return Err(CloudError {
                kind: CloudErrorKind::Invalid,
                ..no_answer(Service::Graph, operation, "the path of the request is not a plain one")
            });
        }
        if !query.is_empty() {
            let pairs: Vec<_> =
                query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        Ok(url)
    }

    /// A next link gets our token, so it must lead to where we are.
    fn next_link(&self, link: &str) -> Result<Url, &'static str> {
        let url = Url::parse(link).map_err(|_| "a link to the next page is no URL")?;
        let inside = url.path().strip_prefix(self.base.path()).is_some_and(|rest| rest.starts_with('/'));
        let plain = url.username().is_empty() && url.password().is_none();
        if url.origin() == self.base.origin() && inside && plain {
            Ok(url)
        } else {
            Err("a link to the next page leads to another host")
        }
    }

    async fn read(&self, operation: &'static str, url: &Url, advanced: bool) -> Result<Answer, CloudError> {
        let mut headers = HeaderMap::new();
        if advanced {
            headers.insert("ConsistencyLevel", HeaderValue::from_static("eventual"));
        }
        let read = self.patiently(|| self.call(operation, Method::GET, url, None, headers.clone()).boxed());
        read.await.map_err(|error| self.explained(error))
    }

    /// A denial says which permission is missing, where it is Graph itself that denies its caller.
    fn explained(&self, mut error: CloudError) -> CloudError {
        if error.kind == CloudErrorKind::Denied && failure::is_about_the_caller(&error) {
            let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
            let told = permissions::told(error.operation, &self.client_id, denied.as_deref());
            let said = error.message.trim_end_matches('.');
            error.message = if said.is_empty() { told } else { format!("{said}: {told}") };
        }
        error
    }

    /// Tries a read again while that makes sense and the time lasts. Boxed futures: those of an `AsyncFn` cannot be
    /// shown to be `Send` here.
    async fn patiently<'a, F>(&self, act: F) -> Result<Answer, CloudError>
    where
        F: Fn() -> BoxFuture<'a, Result<Answer, CloudError>>,
    {
        let end = Instant::now() + self.total;
        let mut done = 0;
        loop {
            let error = match as_try(done + 1, act()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.is_throttle() {
                due::waits();
            }
            done += 1;
            match pause(&error, done) {
                Some(wait) if Instant::now() + wait < end => tokio::time::sleep(wait).await,
                _ => return Err(error),
            }
        }
    }

    /// One call; a second one with a new token when the first was refused for its token. A refused call had no effect.
    async fn call(
        &self,
        operation: &'static str,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        headers: HeaderMap,
    ) -> Result<Answer, CloudError> {
        let token = self.tokens.get().await?;
        let first = self.attempt(operation, method.clone(), url, body, headers.clone(), &token).await;
        match &first {
            Err(error) if error.kind == CloudErrorKind::Unauthenticated => {
                self.tokens.renew(&token).await;
                let token = self.tokens.get().await?;
                let again = Box::pin(self.attempt(operation, method, url, body, headers, &token));
                as_try(current_try() + 1, again).await
            }
            // Also the 401 of `/synchronization/`, which must not fetch tokens in a loop (contract Graph 5.11).
            Err(error) if error.kind == CloudErrorKind::Denied => {
                *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = token.roles();
                self.tokens.distrust(&token).await;
                first
            }
            _ => first,
        }
    }

    async fn attempt(
        &self,
        operation: &'static str,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        headers: HeaderMap,
        token: &Token,
    ) -> Result<Answer, CloudError> {
        let unsendable = || no_answer(Service::Graph, operation, "the request cannot be built");
        let write = method != Method::GET;
        let mut request = self
            .client
            .request(method, url.clone())
            .headers(headers)
            .header(http::header::AUTHORIZATION, token.header().ok_or_else(unsendable)?)
            .header(http::header::ACCEPT, "application/json")
            .header("client-request-id", uuid::Uuid::new_v4().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        let request = request.build().map_err(|_| unsendable())?;
        let call = (Service::Graph, operation);
        let answer = exchange(&self.client, &*self.observer, call, write, request, MAX_ANSWER).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(failure::graph(operation, url.path(), &answer))
        }
    }
}

/// Whether a query needs the header of advanced queries (contract Graph 4.3).
fn advanced(query: &[(&str, &str)]) -> bool {
    query.iter().any(|(name, _)| matches!(*name, "$search" | "$count"))
}

/// A query value. A space is `%20`, not `+`: OData is not a form.
fn encode(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A success whose body is not what it should be. Of a write the effect stands.
fn unreadable(operation: &'static str, answer: &Answer, error: &serde_json::Error) -> CloudError {
    // The error's own text may quote the body.
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the answer is cut off",
        serde_json::error::Category::Data => "the answer does not have the expected fields",
        _ => "the answer is not JSON",
    };
    CloudError {
        status: answer.status.as_u16(),
        request_id: failure::request_id(answer),
        ..no_answer(Service::Graph, operation, what)
    }
}

/// Provisioning secrets are sent as `{"key", "value"}`: should a message quote such a value, it goes (design rule 6).
fn without_values(error: CloudError, body: Option<&Value>) -> CloudError {
    fn values<'a>(body: &'a Value, found: &mut Vec<&'a str>) {
        match body {
            Value::Array(items) => items.iter().for_each(|item| values(item, found)),
            Value::Object(members) => {
                if let (Some(_), Some(Value::String(value))) = (members.get("key"), members.get("value")) {
                    found.push(value);
                }
                members.values().for_each(|member| values(member, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Some(body) = body {
        values(body, &mut found);
    }
    error.without(&found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clients::Call;
    use crate::clients::entra::ClientSecret;
    use crate::clients::http::HttpOptions;
    use crate::secret::Sensitive;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait::async_trait]
    impl CallObserver for Nobody {
        async fn before(&self, _: &Call) {}
        async fn after(&self, _: &Call, _: u16, _: Duration) {}
    }

    fn graph(base: &str, secret: &str) -> Result<Graph, CredentialError> {
        let http = HttpOptions::within(Duration::from_secs(30), None);
        let authority = "https://login.microsoftonline.com".parse().unwrap();
        let options = GraphOptions { graph: base.parse().unwrap(), authority, total: http.total };
        let identity = ClientSecret {
            tenant_id: "11111111-2222-3333-4444-555555555555".into(),
            client_id: "66666666-2222-3333-4444-555555555555".into(),
            secret: Sensitive::new(secret),
        };
        Graph::new(options, identity, crate::clients::http::client(&http).unwrap(), Arc::new(Nobody))
    }

    #[test]
    fn urls_are_built_below_the_version_and_values_encoded() {
        let graph = graph("https://graph.microsoft.com/", "s").unwrap();
        let url = |path, query: &[(&str, &str)]| graph.inner.url("GET /x", path, query).map(String::from);
        assert_eq!(
            url("/users", &[("$filter", "displayName eq 'A+B & Cö'"), ("$top", "999")]).unwrap(),
            "https://graph.microsoft.com/v1.0/users?$filter=displayName%20eq%20%27A%2BB%20%26%20C%C3%B6%27&$top=999"
        );
        assert_eq!(url("/users/a%2Fb", &[]).unwrap(), "https://graph.microsoft.com/v1.0/users/a%2Fb");
        for path in [
            "users",
            "/users/../applications",
            "/users/%2e%2e/x",
            "/users?x=1",
            "/users#x",
            "/us ers",
            "/users/.",
        ] {
            assert_eq!(url(path, &[]).unwrap_err().kind, CloudErrorKind::Invalid, "{path}");
        }
    }

    #[test]
    fn next_links_stay_with_the_host_that_gets_the_token() {
        let graph = graph("https://127.0.0.1:8443", "s").unwrap();
        assert!(graph.inner.next_link("https://127.0.0.1:8443/v1.0/users?$skiptoken=x").is_ok());
        for link in [
            "https://127.0.0.1:8444/v1.0/users",
            "http://127.0.0.1:8443/v1.0/users",
            "https://evil.example/v1.0/users",
            "https://me:pw@127.0.0.1:8443/v1.0/users",
            "https://127.0.0.1:8443/v1.0x/users",
            "https://127.0.0.1:8443/beta/users",
            "/v1.0/users",
        ] {
            assert!(graph.inner.next_link(link).is_err(), "{link}");
        }
    }

    #[test]
    fn secrets_show_neither_in_debug_nor_in_messages() {
        let shown = format!("{:?}", graph("https://graph.microsoft.com", "s3cr3t-value").unwrap());
        assert!(!shown.contains("s3cr3t-value"), "{shown}");
        let body = json!({"value": [{"key": "BaseAddress", "value": "https://scim"}, {"key": "SecretToken", "value": "tok-0123456789"}]});
        let error = no_answer(Service::Graph, "PUT /x", "bad value tok-0123456789 in request");
        assert_eq!(without_values(error, Some(&body)).message, "bad value [redacted] in request");
        for quoted in ["s3cr3t~val+ue", "s3cr3t%7Eval%2Bue", "czNjcjN0fnZhbCt1ZQ=="] {
            let error = no_answer(Service::Login, "token", &format!("client_secret={quoted} is wrong"));
            assert_eq!(error.without(&["s3cr3t~val+ue"]).message, "client_secret=[redacted] is wrong");
        }
    }

    #[test]
    fn an_empty_secret_is_refused_before_any_call() {
        assert!(graph("https://graph.microsoft.com", "").is_err());
    }

    proptest::proptest! {
        /// A next link gets our token: whatever an answer says, it leads to Graph or nowhere.
        #[test]
        fn fuzz_no_next_link_leads_elsewhere(
            text in ".{0,40}", head in "(https://graph.microsoft.com|https://graph.microsoft.com:443|http://graph.microsoft.com|//graph.microsoft.com|)",
            glue in "(/|@|\\\\|#|\\?|:8443/|\\.evil.example/|%2f|\t|/v1.0/|/v1.0/\\.\\./|)", body in crate::api::arbitrary::anything(),
        ) {
            let graph = graph("https://graph.microsoft.com", "s3cret-s3cret-s3cret").unwrap();
            for link in [text.clone(), format!("{head}{glue}{text}"), format!("{head}{text}{glue}")] {
                if let Ok(url) = graph.inner.next_link(&link) {
                    assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some("graph.microsoft.com"), None), "{link}");
                    assert!(url.path().starts_with("/v1.0/"), "{link}: {url}");
                }
            }
            // A page is a list with a link, or refused.
            let _ = serde_json::from_value::<Page>(body.clone());
            let page = serde_json::json!({"value": [body.clone()], "@odata.nextLink": body});
            if let Ok(page) = serde_json::from_value::<Page>(page) {
                assert_eq!(page.value.len(), 1);
            }
        }
    }
}
