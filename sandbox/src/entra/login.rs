//! The sign-in host: tokens (8.2, 8.3), the discovery documents that official libraries read first,
//! and the federation metadata (2.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::auth::LIFE;
use super::errors::finish;
use super::state::iso;
use super::{Entra, lock};
use crate::core::{CallMeta, Flaw, Handled, IdentityToken, Refusal};
use crate::world::{Client, FederatedCredential};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The audience of federated credentials that name no other (8.3).
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// What this host serves.
pub(super) const OPERATIONS: [&str; 5] =
    ["token", "openid-configuration", "instance-discovery", "keys", "federationmetadata"];

pub(super) fn router(entra: Arc<Entra>) -> axum::Router {
    axum::Router::new().fallback(handle).with_state(entra)
}

/// A refusal in OAuth's shape: status, `error`, AADSTS number, sentence.
struct OAuthError(u16, &'static str, u32, String);

async fn handle(
    Shared(entra): Shared<Arc<Entra>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Paths are written in several casings in Microsoft's own texts (2.3).
    let path = uri.path().to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let query = pairs(uri.query().unwrap_or_default().as_bytes());
    let operation = match (method.as_str(), segments.as_slice()) {
        ("POST", [_, "oauth2", "v2.0", "token"]) => "token",
        ("GET", [_, "v2.0" | "", ".well-known", "openid-configuration"])
        | ("GET", [_, ".well-known", "openid-configuration"]) => "openid-configuration",
        ("GET", ["common", "discovery", "instance"]) => "instance-discovery",
        ("GET", [_, "discovery", "v2.0", "keys"]) => "keys",
        ("GET", [_, "federationmetadata", "2007-06", "federationmetadata.xml"]) => "federationmetadata",
        _ => return plain(404, "text/plain", String::new()),
    };
    let tenant = segments.first().copied().unwrap_or_default();
    let form = if operation == "token" { pairs(&body) } else { BTreeMap::new() };
    let meta = CallMeta {
        service: "login",
        operation: operation.to_owned(),
        caller: form.get("client_id").cloned().unwrap_or_else(|| "anonymous".into()),
        request_id: entra.core.ids.uuid(),
        mutation: false,
    };
    let request_id = meta.request_id.clone();
    let refuse = |refusal: Refusal| match refusal {
        Refusal::Throttled(after) => {
            let error =
                OAuthError(429, "temporarily_unavailable", 50_196, "The request was throttled.".into());
            let mut response = entra.oauth_error(&error, &request_id);
            if let Some(value) = after.and_then(|s| s.to_string().parse().ok()) {
                response.headers_mut().insert("retry-after", value);
            }
            response
        }
        Refusal::Injected(status, code) if status < 500 => {
            let number = code.as_deref().and_then(|c| c.trim_start_matches("AADSTS").parse().ok());
            let text = "The request was refused by an injected fault.".to_owned();
            let name = if status == 401 { "invalid_client" } else { "invalid_request" };
            entra.oauth_error(&OAuthError(status, name, number.unwrap_or(90_033), text), &request_id)
        }
        Refusal::Injected(status, _) => plain(status, "text/html", "<html>Service unavailable</html>".into()),
    };
    let (entra, request_id, query, form, headers) = (&entra, &request_id, &query, &form, &headers);
    entra
        .core
        .call(meta, refuse, |stale| async move {
            let (response, outcome) = match operation {
                "token" => match entra.token(tenant, form, headers) {
                    Ok(body) => (entra.oauth_answer(&body, request_id), "ok".to_owned()),
                    Err(error) => (entra.oauth_error(&error, request_id), format!("AADSTS{}", error.2)),
                },
                "federationmetadata" => {
                    match entra.metadata(tenant, query.get("appid").map(String::as_str), stale) {
                        Ok(xml) => (plain(200, "application/samlmetadata+xml", xml), "ok".to_owned()),
                        Err((number, text)) => (
                            plain(400, "text/html", format!("AADSTS{number}: {text}")),
                            format!("AADSTS{number}"),
                        ),
                    }
                }
                "instance-discovery" => {
                    (entra.oauth_answer(&entra.instance_discovery(), request_id), "ok".into())
                }
                "keys" => (entra.oauth_answer(&json!({ "keys": [] }), request_id), "ok".into()),
                _ => match entra.openid_configuration(tenant) {
                    Ok(body) => (entra.oauth_answer(&body, request_id), "ok".to_owned()),
                    Err(error) => (entra.oauth_error(&error, request_id), format!("AADSTS{}", error.2)),
                },
            };
            Handled { response, target: String::new(), outcome }
        })
        .await
}

impl Entra {
    /// Whether a path segment names this tenant.
    pub(super) fn is_tenant(&self, name: &str) -> bool {
        self.tenant_id.eq_ignore_ascii_case(name) || self.domains.iter().any(|d| d.eq_ignore_ascii_case(name))
    }

    fn token(
        &self,
        tenant: &str,
        form: &BTreeMap<String, String>,
        headers: &HeaderMap,
    ) -> Result<Value, OAuthError> {
        self.known_tenant(tenant)?;
        let field = |name: &'static str| {
            form.get(name).filter(|v| !v.is_empty()).ok_or_else(|| {
                let text = format!("The required field '{name}' is missing from the credential.");
                OAuthError(400, "invalid_request", 900_144, text)
            })
        };
        let form_type = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !form_type.starts_with("application/x-www-form-urlencoded") {
            let text = "The request body must contain the following parameter: 'grant_type'.".to_owned();
            return Err(OAuthError(400, "invalid_request", 900_144, text));
        }
        if field("grant_type")? != "client_credentials" {
            let text = format!("The app requested an unsupported grant type '{}'.", field("grant_type")?);
            return Err(OAuthError(400, "unsupported_grant_type", 70_003, text));
        }
        let audience = self.audience(field("scope")?)?;
        let client_id = field("client_id")?;
        let client =
            lock(&self.clients).iter().find(|c| c.client_id.eq_ignore_ascii_case(client_id)).cloned();
        let client = client.ok_or_else(|| {
            let text = format!(
                "Application with identifier '{client_id}' was not found in the directory '{}'. This can happen if \
                 the application has not been installed by the administrator of the tenant.",
                self.tenant_id
            );
            OAuthError(400, "unauthorized_client", 700_016, text)
        })?;
        match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(secret), _) => {
                if client.client_secret.as_deref() != Some(secret.as_str()) {
                    let text = "Invalid client secret provided. Ensure the secret being sent in the request is the \
                                client secret value, not the client secret ID.";
                    return Err(OAuthError(401, "invalid_client", 7_000_215, text.to_owned()));
                }
            }
            (None, Some(assertion)) => {
                if form.get("client_assertion_type").map(String::as_str) != Some(ASSERTION_TYPE) {
                    let text =
                        "The request body must contain a supported 'client_assertion_type'.".to_owned();
                    return Err(OAuthError(400, "invalid_request", 900_144, text));
                }
                self.federated(&client, assertion)
                    .map_err(|(number, text)| OAuthError(401, "invalid_client", number, text))?;
            }
            (None, None) => {
                let text = "The request body must contain the following parameter: 'client_assertion' or \
                            'client_secret'.";
                return Err(OAuthError(401, "invalid_client", 7_000_218, text.to_owned()));
            }
        }
        let seconds = LIFE.as_secs() - 1;
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": self.issue_token(&client, &audience),
        }))
    }

    /// The resource behind a `.default` scope: Graph, under its own name or under the address it has here.
    fn audience(&self, scope: &str) -> Result<String, OAuthError> {
        // MSAL adds the reserved OpenID scopes in some flows; they do not matter here.
        let wanted = scope.split(' ').find(|s| !["openid", "profile", "offline_access", ""].contains(s));
        let Some(resource) = wanted.and_then(|s| s.strip_suffix("/.default")) else {
            let text = format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope value \
                 with /.default suffixed to the resource identifier (application ID URI)."
            );
            return Err(OAuthError(400, "invalid_scope", 1_002_012, text));
        };
        let known = ["https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"];
        let resource = resource.trim_end_matches('/');
        if known.contains(&resource) || resource == self.urls().graph {
            return Ok(resource.to_owned());
        }
        let text = format!(
            "The resource principal named {resource} was not found in the tenant named {}.",
            self.tenant_id
        );
        Err(OAuthError(400, "invalid_resource", 500_011, text))
    }

    /// Judges a federated token (8.3): issuer, subject and audience as a credential of the client names them, the
    /// signature by the issuer's key, the time by the cluster's clock.
    fn federated(&self, client: &Client, jwt: &str) -> Result<(), (u32, String)> {
        let token = IdentityToken::read(jwt).map_err(|flaw| match flaw {
            Flaw::Malformed => (50_027, "JWT token is invalid or malformed.".to_owned()),
            Flaw::Algorithm => {
                (5_002_710, "Invalid JWT token: the algorithm in the header is not supported.".to_owned())
            }
        })?;
        let record = "No matching federated identity record found for presented assertion";
        let mut known: Vec<_> = client.federated.iter().filter(|f| f.issuer == token.issuer).collect();
        let key = self.core.issuers.key(&token.issuer);
        let (Some(key), false) = (key, known.is_empty()) else {
            return Err((700_211, format!("{record} issuer '{}'.", token.issuer)));
        };
        known.retain(|f| f.subject == token.subject);
        if known.is_empty() {
            return Err((700_213, format!("{record} subject '{}'.", token.subject)));
        }
        if !token.is_signed_by(&key) {
            return Err((700_027, "Client assertion failed signature validation.".to_owned()));
        }
        let meant = |f: &FederatedCredential| f.audience.clone().unwrap_or_else(|| EXCHANGE.to_owned());
        if !known.iter().any(|f| token.audiences.contains(&meant(f))) {
            return Err((700_212, format!("{record} audience '{}'.", token.audiences.join(", "))));
        }
        if !token.is_current(jiff::Timestamp::now().as_second()) {
            return Err((700_024, "Client assertion is not within its valid time range.".to_owned()));
        }
        Ok(())
    }

    fn known_tenant(&self, tenant: &str) -> Result<(), OAuthError> {
        if self.is_tenant(tenant) {
            return Ok(());
        }
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud."
        );
        Err(OAuthError(400, "invalid_request", 90_002, text))
    }

    /// What MSAL reads before it asks for a token.
    fn openid_configuration(&self, tenant: &str) -> Result<Value, OAuthError> {
        self.known_tenant(tenant)?;
        let Self { tenant_id, .. } = self;
        let base = format!("{}/{tenant_id}", self.urls().authority);
        Ok(json!({
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("{base}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": host(&self.urls().graph),
        }))
    }

    fn instance_discovery(&self) -> Value {
        let Self { tenant_id, .. } = self;
        let authority = self.urls().authority;
        let host = host(&authority);
        json!({
            "tenant_discovery_endpoint": format!("{authority}/{tenant_id}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
        })
    }

    fn oauth_answer(&self, body: &Value, request_id: &str) -> Response {
        let builder = Response::builder()
            .header("content-type", "application/json; charset=utf-8")
            .header("cache-control", "no-store, no-cache")
            .header("x-ms-request-id", request_id);
        finish(builder, body)
    }

    fn oauth_error(&self, error: &OAuthError, request_id: &str) -> Response {
        let OAuthError(status, name, number, text) = error;
        let now = iso(self.core.clock.now()).replace('T', " ");
        let correlation = self.core.ids.uuid();
        let description = format!(
            "AADSTS{number}: {text} Trace ID: {request_id} Correlation ID: {correlation} Timestamp: {now}"
        );
        let body = json!({
            "error": name,
            "error_description": description,
            "error_codes": [number],
            "timestamp": now,
            "trace_id": request_id,
            "correlation_id": correlation,
            "error_uri": format!("{}/error?code={number}", self.urls().authority),
        });
        let mut response = self.oauth_answer(&body, request_id);
        *response.status_mut() = http::StatusCode::from_u16(*status).unwrap_or(http::StatusCode::BAD_REQUEST);
        response
    }
}

fn pairs(raw: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(raw).into_owned().collect()
}

fn host(url: &str) -> String {
    url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default().to_owned()
}

fn plain(status: u16, content_type: &str, body: String) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(Body::from(body))
        .unwrap_or_default()
}
