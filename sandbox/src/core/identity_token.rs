//! Signed tokens that say who a workload is: RS256 JWTs as an API server issues them. Both clouds judge them alike and
//! say so in their own words. The real ones fetch the keys from the issuer's address; here they are handed over.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Context as _;
use aws_lc_rs::{rand, rsa, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::lock;

/// Clocks may differ by this many seconds, as token checks usually allow.
const SKEW: i64 = 300;

/// The public keys of issuers, as everybody could fetch them.
#[derive(Debug, Default)]
pub struct Issuers(Mutex<BTreeMap<String, String>>);

impl Issuers {
    /// From now on tokens of `issuer` verify with this RSA public key (PEM, SPKI). A second key replaces the first, as
    /// when a cluster changes its signing key.
    pub fn trust(&self, issuer: &str, public_key_pem: &str) {
        lock(&self.0).insert(issuer.to_owned(), public_key_pem.to_owned());
    }

    pub(crate) fn key(&self, issuer: &str) -> Option<String> {
        lock(&self.0).get(issuer).cloned()
    }
}

/// Why a text is no token that could be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Malformed,
    /// Something else than RS256.
    Algorithm,
}

/// The claims of a token, not to be trusted before its signature was checked.
#[derive(Debug)]
pub(crate) struct IdentityToken {
    pub issuer: String,
    pub subject: String,
    pub audiences: Vec<String>,
    /// Seconds since 1970. It is the cluster's time, hence wall time.
    pub expires: i64,
    not_before: i64,
    signed: String,
    signature: Vec<u8>,
}

#[derive(serde::Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

impl IdentityToken {
    /// Reads the claims of an RS256 JWT.
    pub(crate) fn read(jwt: &str) -> Result<Self, Flaw> {
        let mut parts = jwt.trim().split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Flaw::Malformed);
        };
        let decode =
            |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| Flaw::Malformed);
        let algorithm: Value = serde_json::from_slice(&decode(header)?).map_err(|_| Flaw::Malformed)?;
        if algorithm["alg"] != "RS256" {
            return Err(Flaw::Algorithm);
        }
        let read: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Flaw::Malformed)?;
        let audiences = match read.aud {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            issuer: read.iss,
            subject: read.sub,
            audiences,
            expires: read.exp,
            not_before: read.nbf,
            signed: format!("{header}.{claims}"),
            signature: decode(signature)?,
        })
    }

    /// Whether the signature holds with this key.
    pub(crate) fn is_signed_by(&self, key_pem: &str) -> bool {
        let body: String = key_pem.lines().filter(|l| !l.starts_with("-----")).map(str::trim).collect();
        let Ok(der) = STANDARD.decode(body) else { return false };
        let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, der);
        key.verify(self.signed.as_bytes(), &self.signature).is_ok()
    }

    /// Whether it is in force at a moment, in seconds since 1970.
    pub(crate) fn is_current(&self, now: i64) -> bool {
        self.expires + SKEW >= now && self.not_before <= now + SKEW
    }
}

/// An issuer of its own, for tests that have no cluster.
pub struct Issuer {
    url: String,
    key: rcgen::KeyPair,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Issuer {
    /// An issuer with a fresh key.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self { url: url.to_owned(), key: rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)? })
    }

    /// What its tokens verify with, PEM.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// A token that ends `life` seconds from now.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, subject: &str, audience: &str, life: i64) -> anyhow::Result<String> {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": self.url, "sub": subject, "aud": [audience], "exp": now + life, "iat": now, "nbf": now.min(now + life),
            // So that no two are the same.
            "jti": uuid::Uuid::new_v4(),
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": "RS256", "kid": "k" })), encode(&claims));
        let pair = rsa::KeyPair::from_pkcs8(&self.key.serialize_der()).context("read the signing key")?;
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = rand::SystemRandom::new();
        pair.sign(&signature::RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
            .context("sign the token")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
