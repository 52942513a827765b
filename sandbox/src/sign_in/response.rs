use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra::keys::{build_x509_key_info_from_der, loader};
use bergshamra::{DsigContext, KeysManager};
use jiff::{SignedDuration, Timestamp};
use quick_xml::escape::escape;
use rcgen::KeyPair;

/// What an identity provider says about one person to one application.
pub struct Claims<'a> {
    /// Entity id of the identity provider.
    pub issuer: &'a str,
    /// Entity id of the service provider.
    pub audience: &'a str,
    /// Where the browser posts the response.
    pub acs: &'a str,
    /// Who signs in.
    pub name_id: &'a str,
    /// Format URN of `name_id`.
    pub name_id_format: &'a str,
    /// Further attributes, each with its values.
    pub attributes: &'a [(String, Vec<String>)],
}

/// A signing certificate with its private key. It has no `Debug`, so that the key cannot be printed.
pub struct Signer<'a> {
    /// PKCS #8, RSA.
    pub private_key_der: &'a [u8],
    /// X.509.
    pub certificate_der: &'a [u8],
}

/// Entra's assertions begin five minutes early and end after an hour.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
const LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Builds a SAML 2.0 response with one assertion signed as Entra signs it: RSA-SHA256 over exclusive canonical XML.
/// `ids` are for the response and the assertion.
///
/// # Errors
/// When the key is no RSA key in PKCS #8.
pub fn build(
    claims: &Claims<'_>,
    signer: &Signer<'_>,
    ids: [&str; 2],
    now: Timestamp,
) -> anyhow::Result<String> {
    let key = KeyPair::try_from(signer.private_key_der).context("read the signing key")?;
    let key = loader::load_rsa_private_pem(key.serialize_pem().as_bytes()).context("load the signing key")?;
    let mut keys = KeysManager::new();
    keys.add_key(key);
    let template = template(claims, signer.certificate_der, ids, now);
    bergshamra::sign(&DsigContext::new(keys), &template).context("sign the assertion")
}

/// For a form post or an answer in JSON.
pub fn encode(response: &str) -> String {
    STANDARD.encode(response)
}

/// What such a form post carries; line breaks in the base64 are allowed.
///
/// # Errors
/// A text for the answer.
pub fn decode(form: &str) -> Result<String, String> {
    let packed: String = form.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| "the response is not base64")?;
    String::from_utf8(bytes).map_err(|_| "the response is not UTF-8".into())
}

fn template(
    claims: &Claims<'_>,
    certificate: &[u8],
    [response_id, assertion_id]: [&str; 2],
    now: Timestamp,
) -> String {
    let at = |time: Timestamp| format!("{time:.3}");
    let (instant, from, until) = (at(now), at(now - EARLY), at(now + LIFE));
    let [issuer, audience, acs, name_id, format] =
        [claims.issuer, claims.audience, claims.acs, claims.name_id, claims.name_id_format].map(escape);
    let attributes: String = claims.attributes.iter().map(attribute).collect();
    let key_info = build_x509_key_info_from_der(&[certificate]);
    format!(
        r##"<samlp:Response ID="_{response_id}" Version="2.0" IssueInstant="{instant}" Destination="{acs}" xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">{issuer}</Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><Assertion ID="_{assertion_id}" IssueInstant="{instant}" Version="2.0" xmlns="urn:oasis:names:tc:SAML:2.0:assertion"><Issuer>{issuer}</Issuer><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#_{assertion_id}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue>{key_info}</ds:Signature><Subject><NameID Format="{format}">{name_id}</NameID><SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><SubjectConfirmationData NotOnOrAfter="{until}" Recipient="{acs}"/></SubjectConfirmation></Subject><Conditions NotBefore="{from}" NotOnOrAfter="{until}"><AudienceRestriction><Audience>{audience}</Audience></AudienceRestriction></Conditions><AttributeStatement>{attributes}</AttributeStatement><AuthnStatement AuthnInstant="{instant}" SessionIndex="_{assertion_id}"><AuthnContext><AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement></Assertion></samlp:Response>"##,
    )
    .replace("<AttributeStatement></AttributeStatement>", "")
}

fn attribute((name, values): &(String, Vec<String>)) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("<AttributeValue>{}</AttributeValue>", escape(value.as_str())))
        .collect();
    format!(r#"<Attribute Name="{}">{values}</Attribute>"#, escape(name.as_str()))
}
