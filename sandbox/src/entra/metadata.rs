//! The federation metadata document (2.3).

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra::keys::{build_x509_key_info_from_der, loader};
use bergshamra::{DsigContext, KeysManager};
use jiff::SignedDuration;

use super::graph::certificates::{self, SigningKey};
use super::state::{Kind, State, after, iso};
use super::{Entra, lock};

const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

impl Entra {
    /// The metadata document, with the signing certificates of `app_id` when one is named. `stale`: as of
    /// before the last change.
    ///
    /// # Errors
    /// AADSTS number and text: no such tenant, no such application.
    pub(super) fn metadata(
        &self,
        tenant: &str,
        app_id: Option<&str>,
        stale: bool,
    ) -> Result<String, (u32, String)> {
        if !self.is_tenant(tenant) {
            return Err((90_002, format!("Tenant '{tenant}' not found.")));
        }
        let before = lock(&self.history).clone().filter(|_| stale);
        let keys = match (app_id, before) {
            (None, _) => Vec::new(),
            (Some(app_id), Some(before)) => self.published(&before, app_id)?,
            (Some(app_id), None) => self.published(&self.state_now(), app_id)?,
        };
        let keys = if keys.is_empty() { vec![self.common_key()] } else { keys };
        Ok(self.document(&keys))
    }

    /// The keys that the document lists: the one that signs first; others by switch.
    fn published(&self, state: &State, app_id: &str) -> Result<Vec<Arc<SigningKey>>, (u32, String)> {
        let view = self.view();
        let unknown = || {
            let text = format!(
                "Application with identifier '{app_id}' was not found in the directory '{}'.",
                self.tenant_id
            );
            (700_016, text)
        };
        let found = state
            .table(Kind::ServicePrincipal)
            .values()
            .filter(|o| o.text("appId").eq_ignore_ascii_case(app_id))
            .find_map(|o| o.read(view));
        let all = certificates::signing(state, found.ok_or_else(unknown)?, view.now);
        let others = self.behaviours.inactive_certificates_in_metadata;
        // How soon a change shows is not known (2.3).
        let lag = SignedDuration::from_secs(self.behaviours.metadata_lag_seconds.into());
        let known = iso(after(view.now, -lag));
        let all: Vec<_> = all.into_iter().filter(|c| c.start <= known).collect();
        let listed = all.into_iter().enumerate().filter(|(at, c)| others || c.active || *at == 0);
        Ok(listed.map(|(_, c)| c.key).collect())
    }

    /// The tenant's own certificate, which signs for applications that have none.
    fn common_key(&self) -> Arc<SigningKey> {
        let make = || {
            let now = self.core.clock.now();
            let until = after(now, SignedDuration::from_hours(5 * 365 * 24));
            SigningKey::generate("accounts.accesscontrol.windows.net", now, until)
                .map(Arc::new)
                .expect("making a key only fails on a machine without randomness")
        };
        self.common_key.get_or_init(make).clone()
    }

    fn document(&self, keys: &[Arc<SigningKey>]) -> String {
        let tenant = &self.tenant_id;
        let login = format!("{}/{tenant}/saml2", self.urls().authority);
        let mut descriptors = String::new();
        for key in keys {
            let certificate = STANDARD.encode(&key.certificate);
            // Writing to a String cannot fail.
            let _ = write!(
                descriptors,
                "<KeyDescriptor use=\"signing\"><KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data>\
                 <X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
            );
        }
        let id = format!("_{}", self.core.ids.uuid());
        let signature = keys.first().map(|key| signature_template(&id, key)).unwrap_or_default();
        let entity = format!("https://sts.windows.net/{tenant}/");
        let wsfed = format!("{}/{tenant}/wsfed", self.urls().authority);
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <EntityDescriptor ID=\"{id}\" entityID=\"{entity}\" xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\">{signature}\
             <RoleDescriptor xsi:type=\"fed:SecurityTokenServiceType\" \
             protocolSupportEnumeration=\"http://docs.oasis-open.org/wsfed/federation/200706\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xmlns:fed=\"http://docs.oasis-open.org/wsfed/federation/200706\">{descriptors}\
             <fed:SecurityTokenServiceEndpoint><wsa:EndpointReference \
             xmlns:wsa=\"http://www.w3.org/2005/08/addressing\"><wsa:Address>{wsfed}</wsa:Address>\
             </wsa:EndpointReference></fed:SecurityTokenServiceEndpoint></RoleDescriptor>\
             <IDPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\">{descriptors}\
             <SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{login}\"/>\
             <SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{login}\"/>\
             <SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"{login}\"/>\
             </IDPSSODescriptor></EntityDescriptor>"
        );
        // Id and signature differ with every answer, as they do in the real document.
        keys.first().and_then(|key| signed(&document, key).ok()).unwrap_or(document)
    }
}

/// An enveloped signature that still lacks its values.
fn signature_template(id: &str, key: &SigningKey) -> String {
    let info = build_x509_key_info_from_der(&[&key.certificate]);
    format!(
        "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>\
         <ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>\
         <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"/>\
         <ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>\
         <ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><ds:DigestValue></ds:DigestValue>\
         </ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue>{info}</ds:Signature>"
    )
}

fn signed(document: &str, key: &SigningKey) -> anyhow::Result<String> {
    let pair = rcgen::KeyPair::try_from(key.pkcs8.as_slice())?;
    let mut keys = KeysManager::new();
    keys.add_key(loader::load_rsa_private_pem(pair.serialize_pem().as_bytes())?);
    Ok(bergshamra::sign(&DsigContext::new(keys), document)?)
}
