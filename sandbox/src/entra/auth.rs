//! Access tokens (8.2): JWTs whose signature nobody outside can check, known to the tenant by themselves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Entra;
use super::errors::GraphError;
use super::state::after;
use crate::world::Client;

/// One hour, less a second for the `expires_in` that people see.
pub(super) const LIFE: SignedDuration = SignedDuration::from_secs(3600);

/// What an access token stands for.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) client_id: String,
    pub(super) roles: Vec<String>,
    pub(super) expires: Timestamp,
}

impl Entra {
    /// Issues a token to `client` for `audience`.
    pub(super) fn issue_token(&self, client: &Client, audience: &str) -> String {
        let now = self.core.clock.now();
        let expires = after(now, LIFE);
        let claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{}/", self.tenant_id),
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": expires.as_second(),
            "appid": client.client_id,
            "appidacr": if client.client_secret.is_some() { "1" } else { "2" },
            "idtyp": "app",
            "roles": client.permissions,
            "tid": self.tenant_id,
            "uti": self.core.ids.secret(16),
            "ver": "1.0",
        });
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "sandbox" });
        let signature = self.core.ids.secret(256);
        let token = format!("{}.{}.{signature}", encode(&header), encode(&claims));
        let known = Token { client_id: client.client_id.clone(), roles: client.permissions.clone(), expires };
        self.state_now().tokens.insert(token.clone(), known.into());
        token
    }

    /// The token behind an `Authorization` header.
    ///
    /// # Errors
    /// 401 as Graph's gateway answers: no token, an unknown one, an expired one.
    pub(super) fn bearer(&self, header: Option<&str>) -> Result<std::sync::Arc<Token>, GraphError> {
        let code = &self.behaviours.invalid_token_code;
        self.known_token(header).map_err(|error| error.coded(code))
    }

    fn known_token(&self, header: Option<&str>) -> Result<std::sync::Arc<Token>, GraphError> {
        let Some(header) = header else { return Err(GraphError::token("Access token is empty.")) };
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(GraphError::token("Access token is empty.")),
        };
        let known = self.state_now().tokens.get(token).cloned();
        let known =
            known.ok_or_else(|| GraphError::token("Access token validation failure. Invalid signature."))?;
        if known.expires <= self.core.clock.now() {
            return Err(GraphError::token("Lifetime validation failed, the token is expired."));
        }
        Ok(known)
    }
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
