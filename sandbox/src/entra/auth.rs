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

/// Claims of a federated token, once its signature holds.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Assertion {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Value,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

/// Why a federated token is not accepted: AADSTS number and sentence.
pub(super) type AssertionFlaw = (u32, String);

impl Assertion {
    /// Reads the claims of an RS256 JWT without trusting them yet.
    pub(super) fn read(jwt: &str) -> Result<(Self, Vec<u8>, String), AssertionFlaw> {
        let malformed = || (50_027, "JWT token is invalid or malformed.".to_owned());
        let mut parts = jwt.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| malformed());
        let algorithm: Value = serde_json::from_slice(&decode(header)?).map_err(|_| malformed())?;
        if algorithm["alg"] != "RS256" {
            return Err((
                5_002_710,
                "Invalid JWT token: the algorithm in the header is not supported.".to_owned(),
            ));
        }
        let assertion: Self = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed())?;
        Ok((assertion, decode(signature)?, format!("{header}.{claims}")))
    }

    /// Checks signature, audience and time. The time is the cluster's, hence wall time.
    pub(super) fn check(&self, signed: &str, signature: &[u8], key_pem: &str) -> Result<(), AssertionFlaw> {
        let broken = || (700_027, "Client assertion failed signature validation.".to_owned());
        let der = pem_body(key_pem).ok_or_else(broken)?;
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
            der.as_slice(),
        );
        key.verify(signed.as_bytes(), signature).map_err(|_| broken())?;
        let audiences: Vec<&str> = match &self.aud {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !audiences.contains(&"api://AzureADTokenExchange") {
            let found = audiences.join(", ");
            let text = "No matching federated identity record found for presented assertion audience";
            return Err((700_212, format!("{text} '{found}'.")));
        }
        let now = Timestamp::now().as_second();
        // Five minutes of clock skew, as token checks usually allow.
        if self.exp + 300 < now || self.nbf > now + 300 {
            return Err((700_024, "Client assertion is not within its valid time range.".to_owned()));
        }
        Ok(())
    }
}

fn pem_body(pem: &str) -> Option<Vec<u8>> {
    let body: String = pem.lines().filter(|l| !l.starts_with("-----")).map(str::trim).collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}
