//! Token-signing certificates: real RSA keys, three records each (2.2).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha1::Digest as _;

use super::directory::target;
use super::{Answer, Call, Outcome};
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, State, after, iso, list, text};

/// A private key with its self-signed certificate.
pub(in crate::entra) struct SigningKey {
    pub(in crate::entra) pkcs8: Vec<u8>,
    pub(in crate::entra) certificate: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes an RSA-2048 key and certificate; `common_name` without `CN=`.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub(in crate::entra) fn generate(
        common_name: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        params.not_before = time::OffsetDateTime::from_unix_timestamp(from.as_second())?;
        params.not_after = time::OffsetDateTime::from_unix_timestamp(until.as_second())?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { pkcs8: key.serialize_der(), certificate: certificate.der().to_vec() })
    }

    fn thumbprint(&self) -> [u8; 20] {
        sha1::Sha1::digest(&self.certificate).into()
    }

    /// Base64 of the raw SHA-1 thumbprint: joins the three records.
    fn identifier(&self) -> String {
        STANDARD.encode(self.thumbprint())
    }
}

/// Upper-case hexadecimal thumbprint behind a `customKeyIdentifier`.
pub(in crate::entra) fn thumbprint_of(identifier: &str) -> String {
    STANDARD.decode(identifier).map(hex::encode_upper).unwrap_or_default()
}

pub(super) async fn add(call: &mut Call) -> Outcome {
    let entra = call.entra.clone();
    let now = entra.core.clock.now();
    let id = target(call, &entra.state_now(), Kind::ServicePrincipal)?;
    call.target = format!("certificate {id}/");
    let body = call.body.as_ref().and_then(Value::as_object);
    let body = body.ok_or_else(|| GraphError::bad("A JSON object is required in the request body."))?;
    if let Some(unknown) =
        body.keys().find(|k| !["displayName", "endDateTime"].contains(&k.as_str()) && !k.contains("@odata."))
    {
        return Err(GraphError::bad(format!(
            "The parameter '{unknown}' in the request payload is not a valid parameter for the operation \
             'addTokenSigningCertificate'."
        )));
    }
    let name = match body.get("displayName") {
        None | Some(Value::Null) => "CN=Microsoft Azure Federated SSO Certificate",
        Some(value) => value.as_str().unwrap_or_default(),
    }
    .to_owned();
    call.target = format!("certificate {id}/{name}");
    let Some(common_name) =
        name.strip_prefix("CN=").filter(|n| !n.is_empty() && n.len() <= 64).map(str::to_owned)
    else {
        return Err(GraphError::bad(
            "Invalid value specified for parameter 'displayName': it must start with 'CN='.",
        ));
    };
    // Three years at most, three years by default; a day of tolerance for clocks and leap days.
    let longest = after(now, SignedDuration::from_hours((3 * 366 + 1) * 24));
    let end = match body.get("endDateTime") {
        None | Some(Value::Null) => after(now, SignedDuration::from_hours(3 * 365 * 24)),
        Some(value) => value.as_str().and_then(|v| v.parse::<Timestamp>().ok()).ok_or_else(|| {
            GraphError::bad("Invalid value specified for parameter 'endDateTime': a value of type Edm.DateTimeOffset is expected.")
        })?,
    };
    if end <= now || end > longest {
        return Err(GraphError::bad(
            "Invalid value specified for parameter 'endDateTime': it must lie within three years.",
        ));
    }
    let made = tokio::task::spawn_blocking(move || SigningKey::generate(&common_name, now, end)).await;
    let key = match made {
        Ok(Ok(key)) => key,
        _ => return Err(GraphError::new(500, "InternalServerError", "The certificate could not be made.")),
    };
    let mut state = entra.state_now();
    entra.remember(&state);
    let answer = store(call, &mut state, &id, &name, key, now, end)?;
    drop(state);
    entra.wake.notify_one();
    Ok(Answer::ok(answer))
}

fn store(
    call: &Call,
    state: &mut State,
    id: &str,
    name: &str,
    key: SigningKey,
    now: Timestamp,
    end: Timestamp,
) -> Result<Value, GraphError> {
    let core = &call.entra.core;
    let (identifier, public) = (key.identifier(), STANDARD.encode(&key.certificate));
    let thumbprint = hex::encode_upper(key.thumbprint());
    let (sign_id, verify_id) = (core.ids.uuid(), core.ids.uuid());
    let (start, end) = (iso(now), iso(end));
    let record = |kind: &str, usage: &str, key_id: &str, key: Option<&str>| {
        json!({
            "customKeyIdentifier": identifier, "displayName": name, "endDateTime": end, "key": key,
            "keyId": key_id, "startDateTime": start, "type": kind, "usage": usage,
        })
    };
    let sign = record("X509CertAndPassword", "Sign", &sign_id, None);
    let verify = record("AsymmetricX509Cert", "Verify", &verify_id, Some(&public));
    let password = json!({
        "customKeyIdentifier": identifier, "displayName": name, "endDateTime": end, "hint": null,
        "keyId": sign_id, "secretText": null, "startDateTime": start,
    });
    let service_principal =
        state.live_mut(Kind::ServicePrincipal, id).ok_or_else(|| GraphError::not_found(id))?;
    let first = list(service_principal.truth(), "keyCredentials").is_empty();
    // New credentials spread as slowly as new objects do (2.2).
    let lag = core.ids.draw(core.profile.entra_create_lag);
    service_principal.change(now, lag, |fields| {
        for (name, records) in
            [("keyCredentials", vec![sign, verify]), ("passwordCredentials", vec![password])]
        {
            let mut all = list(fields, name).to_vec();
            all.extend(records);
            fields.insert(name.into(), all.into());
        }
        if first && call.entra.behaviours.first_certificate_active {
            fields.insert("preferredTokenSigningKeyThumbprint".into(), thumbprint.clone().into());
        }
    });
    state.keys.insert(identifier.clone(), Arc::new(key));
    Ok(json!({
        "@odata.context": call.context("microsoft.graph.selfSignedCertificate"),
        // The Sign record's id although usage says Verify (2.2).
        "keyId": sign_id, "customKeyIdentifier": identifier, "thumbprint": thumbprint, "displayName": name,
        "startDateTime": start, "endDateTime": end, "type": "AsymmetricX509Cert", "usage": "Verify", "key": public,
    }))
}

/// A PATCH of credential arrays replaces them; records that exist are known by their `keyId`, their `key` may
/// be null. Keys of one's own are not taken in.
pub(super) fn replace(current: &Fields, fields: &mut Fields) -> Result<(), GraphError> {
    for name in ["keyCredentials", "passwordCredentials"] {
        let Some(Value::Array(wanted)) = fields.get_mut(name) else { continue };
        for record in wanted.iter_mut() {
            let known = list(current, name).iter().find(|k| {
                k["keyId"] == record["keyId"] && (record["usage"].is_null() || k["usage"] == record["usage"])
            });
            let Some(known) = known else {
                let text = format!("New {name} are not valid: the key value or its format is invalid.");
                return Err(
                    GraphError::new(400, "KeyCredentialsInvalidFormat", text).detail("InvalidKey", name)
                );
            };
            *record = known.clone();
        }
    }
    Ok(())
}

/// `removeKey` and `removePassword` fail for token-signing certificates (2.2).
pub(super) fn remove_credential(call: &mut Call, state: &State) -> Outcome {
    let id = target(call, state, Kind::ServicePrincipal)?;
    call.target = format!("certificate {id}");
    Err(GraphError::new(500, "InternalServerError", "An internal server error has occurred."))
}

/// One usable certificate of a service principal.
#[derive(Clone)]
pub(in crate::entra) struct Certificate {
    pub(in crate::entra) key: Arc<SigningKey>,
    pub(in crate::entra) active: bool,
    pub(in crate::entra) valid: bool,
    pub(in crate::entra) start: String,
    pub(in crate::entra) end: String,
}

/// The certificates in a service principal's properties, the one that signs first: the active one while it
/// is valid, else the unexpired one that lasts longest (2.2, expiry behaviour).
pub(in crate::entra) fn signing(
    state: &State,
    service_principal: &Fields,
    now: Timestamp,
) -> Vec<Certificate> {
    let preferred = text(service_principal, "preferredTokenSigningKeyThumbprint").to_ascii_uppercase();
    let now = iso(now);
    let mut all: Vec<Certificate> = list(service_principal, "keyCredentials")
        .iter()
        .filter(|k| k["usage"] == "Verify")
        .filter_map(|k| {
            let identifier = k["customKeyIdentifier"].as_str()?;
            let (start, end) = (k["startDateTime"].as_str()?, k["endDateTime"].as_str()?);
            Some(Certificate {
                key: state.keys.get(identifier)?.clone(),
                active: thumbprint_of(identifier) == preferred,
                valid: start <= now.as_str() && now.as_str() < end,
                start: start.to_owned(),
                end: end.to_owned(),
            })
        })
        .collect();
    all.sort_by(|a, b| (b.active && b.valid, b.valid, &b.end).cmp(&(a.active && a.valid, a.valid, &a.end)));
    all
}
