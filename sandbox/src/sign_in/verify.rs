use bergshamra::keys::loader;
use bergshamra::xml::{Document, NodeId, uppsala};
use bergshamra::{DsigContext, KeysManager, VerifyResult};
use jiff::{SignedDuration, Timestamp};

const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
/// Contract aws 3.3.
const EMAIL_ADDRESS: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
/// Contract aws 1.8.
const LONGEST_ASSERTION: usize = 50_000;
/// How far the two clouds' clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What a service provider was told about its identity provider, and what it knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Its own entity id: the audience.
    pub entity_id: &'a str,
    /// Where it takes responses.
    pub acs_urls: &'a [String],
    /// The identity provider's entity id, from its metadata.
    pub idp_entity_id: &'a str,
    /// The identity provider's certificates, X.509 DER; all of them count (contract aws 3.8).
    pub certificates: &'a [Vec<u8>],
}

/// Judges a SAML response as AWS's side does and answers the NameID of the person.
///
/// # Errors
/// The first thing that is wrong with it, in words.
pub fn judge(xml: &str, trust: &Trust<'_>, now: Timestamp) -> Result<String, String> {
    // Entities of one's own could say what was never signed; no SAML message has any use for them.
    if xml.contains("<!DOCTYPE") {
        return Err("the response has a document type".into());
    }
    let document =
        uppsala::parse(xml).map_err(|error| format!("the response is not well-formed XML: {error}"))?;
    let assertion = consumed_assertion(&document)?;
    check_signature(&document, xml, assertion, trust.certificates)?;

    let issuer = text(&document, child(&document, assertion, "Issuer")?);
    if issuer != trust.idp_entity_id {
        return Err(format!(
            "the issuer is {issuer:?}, the imported metadata says {:?}",
            trust.idp_entity_id
        ));
    }
    check_conditions(&document, assertion, trust.entity_id, now)?;
    let subject = child(&document, assertion, "Subject")?;
    check_confirmation(&document, subject, trust.acs_urls, now)?;
    name_id(&document, subject)
}

/// The one assertion that will be used: a child of the response, and the only one anywhere, so that nothing that is
/// wrapped around or hidden beside it can be taken for it.
fn consumed_assertion(document: &Document<'_>) -> Result<NodeId, String> {
    let response = document.document_element().ok_or("the response is empty")?;
    if !is(document, response, PROTOCOL, "Response") {
        return Err("the document is not a SAML 2.0 Response".into());
    }
    let status = document
        .first_child_element_by_name_ns(response, PROTOCOL, "Status")
        .and_then(|status| document.first_child_element_by_name_ns(status, PROTOCOL, "StatusCode"))
        .and_then(|code| document.get_attribute(code, "Value"));
    if status != Some(SUCCESS) {
        return Err(format!("the response's status is {}, not Success", status.unwrap_or("missing")));
    }
    if !document.get_elements_by_tag_name_ns(ASSERTION, "EncryptedAssertion").is_empty() {
        return Err("the assertion is encrypted, which IAM Identity Center does not support".into());
    }
    match document.get_elements_by_tag_name_ns(ASSERTION, "Assertion")[..] {
        [] => Err("the response holds no assertion".into()),
        [assertion] if document.parent(assertion) == Some(response) => Ok(assertion),
        [_] => Err("the assertion is not a child of the response".into()),
        _ => Err("the response holds more than one assertion".into()),
    }
}

fn check_signature(
    document: &Document<'_>,
    xml: &str,
    assertion: NodeId,
    certificates: &[Vec<u8>],
) -> Result<(), String> {
    if document.node_range(assertion).is_none_or(|range| range.len() > LONGEST_ASSERTION) {
        return Err(format!("the assertion is longer than {LONGEST_ASSERTION} characters"));
    }
    match document.get_elements_by_tag_name_ns(SIGNATURE, "Signature")[..] {
        [] => return Err("the assertion is not signed".into()),
        [signature] if document.parent(signature) == Some(assertion) => {
            let method = document
                .first_child_element_by_name_ns(signature, SIGNATURE, "SignedInfo")
                .and_then(|info| document.first_child_element_by_name_ns(info, SIGNATURE, "SignatureMethod"))
                .and_then(|method| document.get_attribute(method, "Algorithm"));
            if method != Some(RSA_SHA256) {
                return Err(format!("the signature method {} is not accepted", method.unwrap_or("(none)")));
            }
        }
        _ => return Err("the signature is not the assertion's own".into()),
    }
    let mut keys = KeysManager::new();
    for certificate in certificates {
        let key = loader::load_x509_cert_der(certificate)
            .map_err(|error| format!("an imported certificate: {error}"))?;
        keys.add_key(key);
    }
    if keys.is_empty() {
        return Err("no certificate of the identity provider has been imported".into());
    }
    // The secure defaults: only these keys, whatever the document brings along, and strict reference positions.
    let result =
        bergshamra::dsig::verify::verify_document_with_source(&DsigContext::new(keys), document, Some(xml))
            .map_err(|error| format!("the signature cannot be verified: {error}"))?;
    match result {
        VerifyResult::Valid { references, .. } => match &references[..] {
            [only] if only.resolved_node == Some(assertion) && only.digest_verified => Ok(()),
            _ => Err("the signature covers something else than the assertion".into()),
        },
        VerifyResult::Invalid { reason } => Err(format!(
            "the signature fits none of the {} imported certificate(s): {reason}",
            certificates.len()
        )),
    }
}

fn check_conditions(
    document: &Document<'_>,
    assertion: NodeId,
    entity_id: &str,
    now: Timestamp,
) -> Result<(), String> {
    let conditions = child(document, assertion, "Conditions")?;
    let from = time(document, conditions, "NotBefore")?;
    if now + SKEW < from {
        return Err(format!("the assertion is valid from {from} on, and it is {now}"));
    }
    check_end(document, conditions, now)?;
    let restriction = child(document, conditions, "AudienceRestriction")?;
    let audiences: Vec<String> = document
        .child_elements_by_name_ns(restriction, ASSERTION, "Audience")
        .into_iter()
        .map(|audience| text(document, audience))
        .collect();
    if audiences.iter().any(|audience| audience == entity_id) {
        return Ok(());
    }
    Err(format!("the audience is {audiences:?}, this service provider is {entity_id:?}"))
}

fn check_confirmation(
    document: &Document<'_>,
    subject: NodeId,
    acs_urls: &[String],
    now: Timestamp,
) -> Result<(), String> {
    let confirmation = child(document, subject, "SubjectConfirmation")?;
    if document.get_attribute(confirmation, "Method") != Some(BEARER) {
        return Err("the subject is not confirmed as bearer".into());
    }
    let data = child(document, confirmation, "SubjectConfirmationData")?;
    check_end(document, data, now)?;
    let response = document.document_element().ok_or("the response is empty")?;
    let recipient = document.get_attribute(data, "Recipient");
    // Destination may be left out, Recipient may not.
    for url in [recipient, document.get_attribute(response, "Destination").or(recipient)] {
        if url.is_none_or(|url| !acs_urls.iter().any(|acs| acs == url)) {
            return Err(format!(
                "the response is meant for {}, which is no ACS URL here",
                url.unwrap_or("nobody")
            ));
        }
    }
    Ok(())
}

fn name_id(document: &Document<'_>, subject: NodeId) -> Result<String, String> {
    let node = child(document, subject, "NameID")?;
    let format = document.get_attribute(node, "Format").unwrap_or("(none)");
    if format != EMAIL_ADDRESS {
        return Err(format!("the NameID's format is {format}, it must be {EMAIL_ADDRESS}"));
    }
    let value = text(document, node);
    let (local, domain) = value.split_once('@').unwrap_or_default();
    if local.is_empty() || domain.is_empty() || value.contains(char::is_whitespace) {
        return Err(format!("the NameID {value:?} is not an e-mail address"));
    }
    Ok(value)
}

fn check_end(document: &Document<'_>, node: NodeId, now: Timestamp) -> Result<(), String> {
    let until = time(document, node, "NotOnOrAfter")?;
    if now - SKEW >= until {
        return Err(format!("the assertion expired at {until}, and it is {now}"));
    }
    Ok(())
}

fn time(document: &Document<'_>, node: NodeId, attribute: &str) -> Result<Timestamp, String> {
    let value = document.get_attribute(node, attribute).ok_or_else(|| format!("{attribute} is missing"))?;
    value.parse().map_err(|_| format!("{attribute} {value:?} is not a time"))
}

fn is(document: &Document<'_>, node: NodeId, namespace: &str, name: &str) -> bool {
    document.element(node).is_some_and(|element| element.matches_name_ns(namespace, name))
}

/// The one child of that name.
fn child(document: &Document<'_>, parent: NodeId, name: &str) -> Result<NodeId, String> {
    match document.child_elements_by_name_ns(parent, ASSERTION, name)[..] {
        [only] => Ok(only),
        [] => Err(format!("the assertion has no {name}")),
        _ => Err(format!("the assertion has more than one {name}")),
    }
}

/// All text below, as canonical XML reads it: a comment in the middle cuts nothing off.
fn text(document: &Document<'_>, node: NodeId) -> String {
    document.text_content_deep(node).trim().to_owned()
}
