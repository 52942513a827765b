//! SAML signing certificates of a service principal (contract Graph 2.2).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{Graph, Reply, segment};
use crate::clients::CloudError;
use crate::clients::entra::applications::{or_default, visible};

/// One credential record as Graph lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyCredential {
    #[serde(default, deserialize_with = "or_default")]
    usage: String,
    #[serde(default, deserialize_with = "or_default")]
    display_name: String,
    #[serde(default)]
    start_date_time: Option<Timestamp>,
    #[serde(default)]
    end_date_time: Option<Timestamp>,
    /// Base64 of the DER certificate; null unless only `keyCredentials` is selected.
    #[serde(default)]
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyCredentials {
    #[serde(default, deserialize_with = "or_default")]
    key_credentials: Vec<KeyCredential>,
}

/// A public signing certificate (a `Verify` record).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigningCertificate {
    /// When it ends.
    pub not_after: Timestamp,
    /// When it begins.
    pub not_before: Timestamp,
    /// SHA-256 over the DER, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-1 over the DER, upper-case hexadecimal: Entra's thumbprint.
    pub sha1: String,
    /// The subject that it was created with, such as `CN=causeway-0a1b2c3d-1`.
    pub name: String,
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl SigningCertificate {
    /// A certificate from its DER and what Graph says about it.
    #[must_use]
    pub fn new(name: String, der: Vec<u8>, not_before: Timestamp, not_after: Timestamp) -> Self {
        let sha1 = hex::encode_upper(Sha1::digest(&der));
        let sha256 = hex::encode(Sha256::digest(&der));
        Self { not_after, not_before, sha256, sha1, name, der }
    }

    /// The certificate as a PEM block, lines of 64 characters.
    #[must_use]
    pub fn pem(&self) -> String {
        let body = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in body.as_bytes().chunks(64) {
            // Base64 is ASCII, so every cut is a character boundary.
            let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

impl Graph {
    /// The public signing certificates of a service principal, sorted by their end; none when the service
    /// principal is not visible. Several records of one certificate count once.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn signing_certificates(
        &self,
        service_principal_id: &str,
    ) -> Result<Option<Vec<SigningCertificate>>, CloudError> {
        let path = format!("/servicePrincipals/{}", segment(service_principal_id));
        let found: Option<KeyCredentials> =
            visible(self.get("GET /servicePrincipals/{id}", &path, &[("$select", "keyCredentials")]).await)?;
        Ok(found.map(|f| public_certificates(f.key_credentials)))
    }

    /// Adds a signing certificate. Not idempotent: every call adds one more, so it is looked for by its subject
    /// before and after. The body that comes back is public (contract Graph 2.2).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn add_token_signing_certificate(
        &self,
        service_principal_id: &str,
        subject: &str,
        end: Timestamp,
    ) -> Result<Reply, CloudError> {
        let path = format!("/servicePrincipals/{}/addTokenSigningCertificate", segment(service_principal_id));
        let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let body = json!({ "displayName": subject, "endDateTime": end });
        self.send("POST /servicePrincipals/{id}/addTokenSigningCertificate", Method::POST, &path, Some(&body))
            .await
    }
}

fn public_certificates(records: Vec<KeyCredential>) -> Vec<SigningCertificate> {
    let mut certificates: Vec<SigningCertificate> = records
        .into_iter()
        .filter(|r| r.usage == "Verify")
        .filter_map(|r| {
            let der = STANDARD.decode(r.key?.trim()).ok()?;
            Some(SigningCertificate::new(r.display_name, der, r.start_date_time?, r.end_date_time?))
        })
        .collect();
    certificates.sort();
    certificates.dedup_by(|a, b| a.sha256 == b.sha256);
    certificates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verify_records_with_a_key_count_and_thumbprints_are_computed() {
        let records: KeyCredentials = serde_json::from_value(json!({"keyCredentials": [
            {"usage": "Sign", "displayName": "CN=a", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2029-01-01T00:00:00Z", "key": "AQID"},
            {"usage": "Verify", "displayName": "CN=a", "startDateTime": "2026-01-01T00:00:00.1234567Z", "endDateTime": "2029-01-01T00:00:00Z", "key": "AQID"},
            {"usage": "Verify", "displayName": "CN=b", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2029-01-01T00:00:00Z", "key": null}
        ]}))
        .unwrap();
        let found = public_certificates(records.key_credentials);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].sha1, "7037807198C22A7D2B0807371D763779A84FDFCF");
        assert_eq!(found[0].sha256, "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81");
        assert_eq!(found[0].pem(), "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n");
    }

    proptest::proptest! {
        #[test]
        fn fuzz_any_credentials_are_certificates_or_refused(
            usage in crate::api::arbitrary::anything(), key in crate::api::arbitrary::anything(), end in ".{0,30}", bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ) {
            let whole = |usage: &serde_json::Value, key: &serde_json::Value, end: &str| json!({"keyCredentials": [
                {"usage": usage, "displayName": "CN=a", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": end, "key": key}]});
            let verify = json!("Verify");
            let der = json!(STANDARD.encode(&bytes));
            for body in [
                whole(&usage, &der, "2029-01-01T00:00:00Z"), whole(&verify, &key, "2029-01-01T00:00:00Z"), whole(&verify, &der, &end),
                whole(&verify, &der, "2029-01-01T00:00:00Z"), json!({"keyCredentials": key}), key.clone(),
            ] {
                let Ok(read) = serde_json::from_value::<KeyCredentials>(body) else { continue };
                for certificate in public_certificates(read.key_credentials) {
                    assert_eq!((certificate.sha256.len(), certificate.sha1.len()), (64, 40));
                    let lines: String = certificate.pem().lines().filter(|l| !l.starts_with("-----")).collect();
                    assert_eq!(STANDARD.decode(lines).unwrap(), certificate.der);
                }
            }
        }
    }
}
