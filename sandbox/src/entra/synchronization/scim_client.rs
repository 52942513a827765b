//! The way to the target: HTTPS with a bearer token, in the SCIM dialect that AWS speaks (AWS contract 4).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::Credentials;
use crate::entra::Entra;

/// By this the target knows who calls.
const USER_AGENT: &str = "AzureAD-Provisioning";
/// Throttled calls are repeated this often.
const ATTEMPTS: u32 = 8;

/// Why a call to the target failed. The token never shows.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScimError {
    #[error(
        "We received this unexpected response from your application: the target could not be reached ({0}). Please \
         check the tenant URL and try again."
    )]
    Unreachable(String),
    #[error(
        "We received this unexpected response from your application: Received response from Web resource. Response \
         Status Code: {0}. Response: {1}. Please check the service and try again."
    )]
    Status(u16, String),
}

impl ScimError {
    /// Whether no other call would fare better.
    pub(super) const fn unauthorized(&self) -> bool {
        matches!(self, Self::Status(401 | 403, _))
    }
}

pub(super) struct Scim {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Scim {
    /// # Errors
    /// When the address is none, or leads away from this machine.
    pub(super) fn new(entra: &Entra, credentials: &Credentials) -> Result<Self, ScimError> {
        let urls = entra.urls();
        let unreachable = |why: &str| ScimError::Unreachable(why.to_owned());
        let url = url::Url::parse(&credentials.base).map_err(|_| unreachable("invalid tenant URL"))?;
        // Field knowledge, not confirmed (AWS contract 4).
        if entra.behaviours.tenant_url_slash_refused && credentials.base.ends_with('/') {
            return Err(ScimError::Status(404, String::new()));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let base =
            if host.starts_with("scim.") && host.ends_with(".amazonaws.com") && !urls.scim_base.is_empty() {
                format!("{}{}", urls.scim_base, url.path())
            } else if ["127.0.0.1", "localhost", "[::1]"].contains(&host.as_str()) && url.scheme() == "https"
            {
                credentials.base.clone()
            } else {
                return Err(unreachable("the remote name could not be resolved"));
            };
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none());
        if let Ok(ca) = reqwest::Certificate::from_pem(urls.scim_ca_pem.as_bytes()) {
            builder = builder.tls_certs_only([ca]);
        }
        let http = builder.build().map_err(|e| unreachable(&e.to_string()))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: credentials.token.clone() })
    }

    /// Looks for a user that cannot exist: proves address and token.
    pub(super) async fn probe(&self, nobody: &str) -> Result<(), ScimError> {
        self.find("Users", "userName", nobody).await.map(|_| ())
    }

    /// The one object whose attribute has this value.
    pub(super) async fn find(
        &self,
        kind: &str,
        attribute: &str,
        value: &str,
    ) -> Result<Option<Value>, ScimError> {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = format!("{attribute} eq \"{quoted}\"");
        let found = self.call(Method::GET, kind, &[("filter", &filter)], None).await?;
        Ok(first(&found))
    }

    /// One object; nothing when it does not exist.
    pub(super) async fn get(&self, kind: &str, id: &str) -> Result<Option<Value>, ScimError> {
        match self.call(Method::GET, &format!("{kind}/{id}"), &[], None).await {
            Ok(found) => Ok(Some(found)),
            Err(ScimError::Status(404, _)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create(&self, kind: &str, body: &Value) -> Result<Value, ScimError> {
        self.call(Method::POST, kind, &[], Some(body)).await
    }

    pub(super) async fn patch(&self, kind: &str, id: &str, operations: Vec<Value>) -> Result<(), ScimError> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        });
        self.call(Method::PATCH, &format!("{kind}/{id}"), &[], Some(&body)).await.map(|_| ())
    }

    /// Deletes; what is gone already is fine.
    pub(super) async fn delete(&self, kind: &str, id: &str) -> Result<(), ScimError> {
        match self.call(Method::DELETE, &format!("{kind}/{id}"), &[], None).await {
            Ok(_) | Err(ScimError::Status(404, _)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ScimError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut request = self
                .http
                .request(method.clone(), format!("{}/{path}", self.base))
                .bearer_auth(&self.token)
                .header("accept", "application/scim+json")
                .query(query);
            if let Some(body) = body {
                request = request.header("content-type", "application/scim+json").body(body.to_string());
            }
            let response = match request.send().await {
                Ok(response) => response,
                // A connection that was cut is tried once more; the error's text has no header in it.
                Err(_) if attempt < 2 => continue,
                Err(error) => return Err(ScimError::Unreachable(error.without_url().to_string())),
            };
            let status = response.status().as_u16();
            if (status == 429 || status >= 500) && attempt < ATTEMPTS {
                let named = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
                tokio::time::sleep(pause(named, attempt)).await;
                continue;
            }
            return read(status, &response.text().await.unwrap_or_default());
        }
    }
}

/// How long a refused call waits for its next try.
fn pause(retry_after: Option<&str>, attempt: u32) -> Duration {
    let named = retry_after.and_then(|text| text.trim().parse::<f64>().ok()).filter(|wait| wait.is_finite());
    let wait = named.unwrap_or_else(|| 0.05 * f64::from(1_u32 << attempt.min(6)));
    Duration::from_secs_f64(wait.clamp(0.01, 5.0))
}

/// What the target said.
fn read(status: u16, text: &str) -> Result<Value, ScimError> {
    if status >= 400 {
        let detail =
            serde_json::from_str::<Value>(text).ok().and_then(|v| Some(v["detail"].as_str()?.to_owned()));
        return Err(ScimError::Status(status, detail.unwrap_or_default()));
    }
    Ok(serde_json::from_str(text).unwrap_or_default())
}

/// The one object of a listing.
fn first(found: &Value) -> Option<Value> {
    found["Resources"].as_array().and_then(|resources| resources.first()).cloned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fuzz_any_answer_of_the_target_is_read_or_told(
            status in 200u16..600, text in ".{0,80}", inner in ".{0,20}", form in 0..5, retry in "(NaN|inf|-1|1e300|[0-9.]{1,6}|.{0,8})", attempt in 1u32..99,
        ) {
            let quoted = Value::from(inner);
            let answer = match form {
                0 => text,
                1 => format!("{{\"detail\":{quoted}}}"),
                2 => format!("{{\"Resources\":{quoted}}}"),
                3 => format!("{{\"Resources\":[{quoted}]}}"),
                _ => format!("[{quoted}]"),
            };
            match read(status, &answer) {
                Ok(found) => _ = first(&found),
                Err(error) => prop_assert!(status >= 400 && error.to_string().starts_with("We received")),
            }
            prop_assert!(pause(Some(&retry), attempt) <= Duration::from_secs(5));
        }
    }
}
