//! Plays the browser between the two clouds: a real SAML response, signed by Entra's side and judged by AWS's side.

mod response;
#[cfg(test)]
mod tests;
mod verify;

use serde::Serialize;

use crate::aws::{Access, Aws};
use crate::core::Core;
use crate::entra::Entra;
use response::{Claims, Signer};
use verify::Trust;

/// What came of a sign-in.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// Whether the person is in.
    pub verdict: Verdict,
    /// Who said no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<Cloud>,
    /// Why; Entra's begins with the AADSTS number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the browser carried from Entra to AWS, base64; absent when Entra refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saml_response: Option<String>,
    /// Where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acs: Option<String>,
    /// What the access portal then shows.
    pub access: Vec<Access>,
}

/// The end of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// In.
    Admitted,
    /// Out.
    Refused,
}

/// Which side refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Before a response was made.
    Entra,
    /// On reading the response.
    Aws,
}

/// A person opens the application `app_id` from the portal of Entra's side and is sent on to AWS (a sign-in that
/// begins at the identity provider, so that no request has to be answered).
pub(crate) fn sign_in(
    core: &Core,
    entra: &Entra,
    aws: &Aws,
    user_principal_name: &str,
    app_id: &str,
) -> SignIn {
    let facts = match entra.sign_in(user_principal_name, app_id) {
        Ok(facts) => facts,
        Err(refusal) => return refused(Cloud::Entra, refusal.to_string(), None),
    };
    let claims = Claims {
        issuer: &facts.issuer,
        audience: &facts.audience,
        acs: &facts.acs,
        name_id: &facts.name_id,
        name_id_format: &facts.name_id_format,
        attributes: &facts.attributes,
    };
    let signer =
        Signer { private_key_der: &facts.private_key_pkcs8_der, certificate_der: &facts.certificate_der };
    let (ids, now) = ([core.ids.uuid(), core.ids.uuid()], core.clock.now());
    let xml = match response::build(&claims, &signer, [&ids[0], &ids[1]], now) {
        Ok(xml) => xml,
        // The key is the tenant's own: this is what Entra says of one that it cannot use (contract graph 15).
        Err(error) => return refused(Cloud::Entra, format!("AADSTS50003: no signing key: {error:#}"), None),
    };
    let carried = Some((response::encode(&xml), facts.acs.clone()));
    receive(core, aws, &xml, carried)
}

/// A browser posts a response that may come from anywhere, base64 as in the form field `SAMLResponse`. AWS's side
/// judges it as it judges those of Entra's side.
pub(crate) fn post_response(core: &Core, aws: &Aws, saml_response: &str) -> SignIn {
    match response::decode(saml_response) {
        Ok(xml) => receive(core, aws, &xml, None),
        Err(reason) => refused(Cloud::Aws, reason, None),
    }
}

fn receive(core: &Core, aws: &Aws, xml: &str, carried: Option<(String, String)>) -> SignIn {
    let Some(trust) = aws.saml_trust() else {
        let reason = "the identity source of IAM Identity Center is not an external identity provider";
        return refused(Cloud::Aws, reason.to_owned(), carried);
    };
    let trust = Trust {
        entity_id: &trust.entity_id,
        acs_urls: &trust.acs_urls,
        idp_entity_id: &trust.idp_entity_id,
        certificates: &trust.certificates,
    };
    let access = verify::judge(xml, &trust, core.clock.now())
        .and_then(|user_name| aws.access_of(&user_name).map_err(|refusal| refusal.to_string()));
    match access {
        Ok(access) => {
            let (saml_response, acs) = carried.unzip();
            SignIn { verdict: Verdict::Admitted, refused_by: None, reason: None, saml_response, acs, access }
        }
        Err(reason) => refused(Cloud::Aws, reason, carried),
    }
}

fn refused(by: Cloud, reason: String, carried: Option<(String, String)>) -> SignIn {
    let (saml_response, acs) = carried.unzip();
    SignIn {
        verdict: Verdict::Refused,
        refused_by: Some(by),
        reason: Some(reason),
        saml_response,
        acs,
        access: Vec::new(),
    }
}
