//! Tokens for Microsoft Graph, through Microsoft's own identity library.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{
    AsyncRawResponse, Body, ClientMethodOptions, ClientOptions, HttpClient, Method, Request, RetryOptions,
    Transport,
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use tokio::sync::RwLock;
use tokio::time::Instant;
use url::Url;

use super::{failure, permissions};
use crate::clients::http::{exchange, no_answer, pause};
use crate::clients::identity_token::IdentityTokens;
use crate::clients::seen::as_try;
use crate::clients::{CallObserver, CloudError, CloudErrorKind, Service, due};
use crate::secret::Sensitive;

/// Name of the operation that fetches a token.
pub(super) const TOKEN: &str = "token";
/// Longest answer of the token endpoint, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// A token is asked for at most this often before the call that needs it fails; reads try that call again.
const TRIES: u32 = 2;
/// A missing permission is worth a new token only so often (contract Graph 8.2): roles stand in the token.
const DISTRUST: Duration = Duration::from_secs(300);

/// An application that signs in with a client secret (contract Graph 8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// Tenant (directory) id.
    pub tenant_id: String,
    /// Application (client) id.
    pub client_id: String,
    /// The secret's value.
    pub secret: Sensitive,
}

/// An application that signs in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Tenant (directory) id.
    pub tenant_id: String,
    /// Application (client) id.
    pub client_id: String,
    /// What it shows.
    pub proof: Proof,
}

/// What an application shows to the sign-in host.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A client secret (contract Graph 8.2).
    Secret(Sensitive),
    /// A token that a federated credential of the application trusts (contract Graph 8.3).
    Token(Arc<dyn IdentityTokens>),
}

impl From<ClientSecret> for Identity {
    fn from(application: ClientSecret) -> Self {
        let ClientSecret { tenant_id, client_id, secret } = application;
        Self { tenant_id, client_id, proof: Proof::Secret(secret) }
    }
}

/// The identity library refuses the tenant id, the client id or the secret as such, without asking Entra.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(String);

/// A token with the generation of the credential that it came from.
pub(super) struct Token {
    value: Secret,
    generation: u64,
}

impl Token {
    /// The value of the `Authorization` header; `None` when the token is no header text.
    pub(super) fn header(&self) -> Option<http::HeaderValue> {
        let mut header = http::HeaderValue::try_from(format!("Bearer {}", self.value.secret())).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// The permissions in it, as far as it can be read.
    pub(super) fn roles(&self) -> Option<Vec<String>> {
        permissions::roles(self.value.secret())
    }
}

/// Fetches tokens, keeps them until shortly before they end, and fetches a new one on demand.
///
/// Caching, early refresh and one fetch at a time are the library's; a fresh credential is how its cache is emptied.
pub(super) struct Tokens {
    identity: Identity,
    /// The token that was shown last, when the application shows one.
    shown: Shown,
    authority: Url,
    scope: String,
    transport: Arc<Endpoint>,
    current: RwLock<Current>,
}

type Shown = Arc<Mutex<Option<Sensitive>>>;

struct Current {
    credential: Arc<dyn TokenCredential>,
    generation: u64,
    since: Instant,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("identity", &self.identity)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(
        identity: Identity,
        authority: &Url,
        graph: &Url,
        client: reqwest::Client,
        observer: Arc<dyn CallObserver>,
    ) -> Result<Self, CredentialError> {
        let transport = Arc::new(Endpoint { client, observer });
        let shown = Shown::default();
        let credential = credential(&identity, &shown, authority, &transport)?;
        Ok(Self {
            identity,
            shown,
            authority: authority.clone(),
            // Every cloud's Graph is its own audience (contract Graph 8.1).
            scope: format!("{}/.default", graph.origin().ascii_serialization()),
            transport,
            current: RwLock::new(Current { credential, generation: 0, since: Instant::now() }),
        })
    }

    pub(super) async fn get(&self) -> Result<Token, CloudError> {
        let (credential, generation) = {
            let current = self.current.read().await;
            (current.credential.clone(), current.generation)
        };
        let mut done = 0;
        loop {
            match as_try(done + 1, credential.get_token(&[&self.scope], None)).await {
                Ok(token) => return Ok(Token { value: token.token, generation }),
                Err(error) => {
                    done += 1;
                    let error = self.refused(classify(&error).of_credentials()).await;
                    if error.is_throttle() {
                        due::waits();
                    }
                    match pause(&error, done) {
                        Some(wait) if done < TRIES => tokio::time::sleep(wait).await,
                        _ => return Err(error),
                    }
                }
            }
        }
    }

    /// The error without what the application showed, which is not to be shown again if that is what was refused.
    async fn refused(&self, error: CloudError) -> CloudError {
        match &self.identity.proof {
            Proof::Secret(secret) => error.without(&[secret.expose()]),
            Proof::Token(tokens) => {
                let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let Some(shown) = shown else { return error };
                // Anything else was refused by whoever issues the tokens.
                if error.service == Service::Login && error.kind == CloudErrorKind::Unauthenticated {
                    tokens.refused(&shown).await;
                }
                error.without(&[shown.expose()])
            }
        }
    }

    /// Graph refused this token: the next one is fetched anew. Of several callers with the same token the first counts.
    pub(super) async fn renew(&self, refused: &Token) {
        self.replace(refused, Duration::ZERO).await;
    }

    /// A permission is missing in this token: perhaps it was granted since, and the next token has it.
    pub(super) async fn distrust(&self, poor: &Token) {
        self.replace(poor, DISTRUST).await;
    }

    async fn replace(&self, old: &Token, min_age: Duration) {
        let mut current = self.current.write().await;
        if current.generation != old.generation || current.since.elapsed() < min_age {
            return;
        }
        if let Ok(credential) = credential(&self.identity, &self.shown, &self.authority, &self.transport) {
            *current = Current { credential, generation: current.generation + 1, since: Instant::now() };
        }
    }
}

fn credential(
    identity: &Identity,
    shown: &Shown,
    authority: &Url,
    transport: &Arc<Endpoint>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = authority.to_string();
    let client_options = ClientOptions {
        cloud: Some(Arc::new(cloud.into())),
        transport: Some(Transport::new(transport.clone())),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    let Identity { tenant_id, client_id, proof } = identity;
    let unusable = |error: azure_core::Error| CredentialError(error.to_string());
    Ok(match proof {
        Proof::Secret(secret) => ClientSecretCredential::new(
            tenant_id,
            client_id.clone(),
            Secret::new(secret.expose().to_owned()),
            Some(ClientSecretCredentialOptions { client_options }),
        )
        .map_err(unusable)?,
        // The library's own workload identity holds on to a token file for ten minutes; the contract (Graph 8.3) says to
        // read it for each request.
        Proof::Token(tokens) => ClientAssertionCredential::new(
            tenant_id.clone(),
            client_id.clone(),
            Assertion { tokens: tokens.clone(), shown: shown.clone() },
            Some(ClientAssertionCredentialOptions { client_options }),
        )
        .map_err(unusable)?,
    })
}

/// Hands identity tokens to the library.
#[derive(Debug)]
struct Assertion {
    tokens: Arc<dyn IdentityTokens>,
    shown: Shown,
}

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = self.tokens.token().await;
        let token = token.map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))?;
        let text = token.expose().to_owned();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(text)
    }
}

/// What went wrong: our own [`CloudError`] travels inside the library's error; anything else is an answer that it
/// could not read.
fn classify(error: &azure_core::Error) -> CloudError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<CloudError>() {
            return ours.clone();
        }
        cause = error.source();
    }
    no_answer(Service::Login, TOKEN, "the answer of the token endpoint cannot be read")
}

/// The token endpoint over our own HTTP client: its roots of trust, deadlines, bounds and observer.
#[derive(Debug)]
struct Endpoint {
    client: reqwest::Client,
    observer: Arc<dyn CallObserver>,
}

#[async_trait::async_trait]
impl HttpClient for Endpoint {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let unsupported = || azure_core::Error::with_message(ErrorKind::Other, "not a plain POST");
        let (Method::Post, Body::Bytes(body)) = (request.method(), request.body().clone()) else {
            return Err(unsupported());
        };
        let mut builder = self.client.post(request.url().clone()).body(body);
        for (name, value) in request.headers().iter() {
            builder = builder.header(name.as_str(), value.as_str());
        }
        let request = builder.build().map_err(|_| unsupported())?;
        // A token request changes nothing, so it is no write.
        let answer =
            exchange(&self.client, &*self.observer, (Service::Login, TOKEN), false, request, MAX_ANSWER)
                .await
                .map_err(|error| azure_core::Error::new(ErrorKind::Other, error))?;
        if !answer.status.is_success() {
            return Err(azure_core::Error::new(ErrorKind::Other, failure::login(TOKEN, &answer)));
        }
        let headers: HashMap<_, _> = answer
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let value = HeaderValue::from(value.to_str().ok()?.to_owned());
                Some((HeaderName::from(name.as_str().to_owned()), value))
            })
            .collect();
        Ok(AsyncRawResponse::from_bytes(answer.status.as_u16().into(), Headers::from(headers), answer.body))
    }
}
