//! SAML metadata of both sides, and the certificates that AWS trusts (contract aws 3.3, 3.4, 3.8).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use sha2::Digest as _;

use super::errors::escape;

const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Characters of IdP metadata at most.
const MAX_METADATA: usize = 75_000;
/// Characters of an imported certificate at most.
const MAX_CERTIFICATE: usize = 2_500;

/// The external identity provider as AWS knows it; empty while no metadata was imported.
#[derive(Debug, Clone, Default)]
pub(crate) struct IdentityProvider {
    pub entity_id: String,
    pub sign_on_urls: Vec<String>,
    pub metadata_xml: String,
    /// All of them are trusted.
    pub certificates: Vec<Certificate>,
}

/// A trusted certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub der: Vec<u8>,
    /// Of the DER, in lower-case hexadecimal digits.
    pub sha256: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Reads an identity provider's metadata.
///
/// # Errors
/// A text for the console, when the document is too long, is no metadata of an identity provider, or lacks
/// one of the three parts that AWS asks for.
pub(crate) fn read(xml: &str) -> Result<IdentityProvider, String> {
    if xml.chars().count() > MAX_METADATA {
        return Err(format!("The metadata is longer than {MAX_METADATA} characters"));
    }
    let xml = xml.trim_start_matches('\u{feff}');
    let mut reader = NsReader::from_str(xml);
    let mut found = Found::default();
    loop {
        let (namespace, event) =
            reader.read_resolved_event().map_err(|e| format!("The metadata is not well-formed XML: {e}"))?;
        let space = match namespace {
            ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
            _ => String::new(),
        };
        match event {
            Event::Start(tag) => found.open(&space, &tag, false)?,
            Event::Empty(tag) => found.open(&space, &tag, true)?,
            Event::End(tag) => found.close(&space, tag.local_name().as_ref()),
            Event::Text(text) if found.in_certificate => found.text.push_str(&text.xml10_content()),
            Event::DocType(_) => return Err("The metadata must not have a document type".into()),
            Event::Eof => break,
            _ => {}
        }
    }
    let entity_id = found.entity_id.filter(|e| !e.is_empty()).ok_or("The metadata has no entityID")?;
    if found.sign_on_urls.is_empty() {
        return Err("The metadata has no SingleSignOnService".into());
    }
    let mut certificates: Vec<Certificate> = Vec::new();
    for text in &found.certificates {
        let certificate = certificate(text)?;
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err("The metadata has no X.509 certificate".into());
    }
    Ok(IdentityProvider {
        entity_id,
        sign_on_urls: found.sign_on_urls,
        metadata_xml: xml.to_owned(),
        certificates,
    })
}

#[derive(Default)]
struct Found {
    entity_id: Option<String>,
    in_provider: bool,
    for_encryption: bool,
    in_certificate: bool,
    text: String,
    certificates: Vec<String>,
    sign_on_urls: Vec<String>,
}

impl Found {
    fn open(&mut self, space: &str, tag: &BytesStart<'_>, empty: bool) -> Result<(), String> {
        let name = tag.local_name();
        match (space, name.as_ref()) {
            (METADATA, "EntityDescriptor") => self.entity_id = attribute(tag, "entityID")?,
            (METADATA, "IDPSSODescriptor") => self.in_provider = !empty,
            (METADATA, "KeyDescriptor") => {
                self.for_encryption = attribute(tag, "use")?.is_some_and(|u| u == "encryption");
            }
            (METADATA, "SingleSignOnService") if self.in_provider => {
                self.sign_on_urls.extend(attribute(tag, "Location")?.filter(|l| l.starts_with("https://")));
            }
            (SIGNATURE, "X509Certificate") if self.in_provider && !self.for_encryption && !empty => {
                self.in_certificate = true;
                self.text.clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, space: &str, name: &str) {
        match (space, name) {
            (METADATA, "IDPSSODescriptor") => self.in_provider = false,
            (METADATA, "KeyDescriptor") => self.for_encryption = false,
            (SIGNATURE, "X509Certificate") if self.in_certificate => {
                self.in_certificate = false;
                self.certificates.push(std::mem::take(&mut self.text));
            }
            _ => {}
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let broken = |e: &dyn std::fmt::Display| format!("The metadata is not well-formed XML: {e}");
    let found = tag.try_get_attribute(name).map_err(|e| broken(&e))?;
    found
        .map(|a| a.normalized_value(XmlVersion::Implicit1_0).map(|v| v.into_owned()).map_err(|e| broken(&e)))
        .transpose()
}

/// Reads an imported certificate: PEM, or the bare base64 of its DER.
///
/// # Errors
/// A text for the console.
pub(crate) fn imported(text: &str) -> Result<Certificate, String> {
    if text.chars().count() > MAX_CERTIFICATE {
        return Err(format!("The certificate is longer than {MAX_CERTIFICATE} characters"));
    }
    certificate(text)
}

fn certificate(text: &str) -> Result<Certificate, String> {
    const MALFORMED: &str = "The certificate is not a valid X.509 certificate";
    let body = text.trim();
    let body = body
        .strip_prefix("-----BEGIN CERTIFICATE-----")
        .map_or(Some(body), |b| b.trim_end().strip_suffix("-----END CERTIFICATE-----"));
    let packed: String = body.ok_or(MALFORMED)?.chars().filter(|c| !c.is_whitespace()).collect();
    let der = STANDARD.decode(packed).map_err(|_| MALFORMED)?;
    let (not_before, not_after) = validity(&der).ok_or(MALFORMED)?;
    let sha256 = hex::encode(sha2::Sha256::digest(&der));
    Ok(Certificate { der, sha256, not_before, not_after })
}

/// Tag and content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let bytes = rest.get(..usize::from(first & 0x7f)).filter(|b| (1..=4).contains(&b.len()))?;
        let length = bytes.iter().fold(0_usize, |n, b| (n << 8) | usize::from(*b));
        (length, rest.get(bytes.len()..)?)
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// `notBefore` and `notAfter` of a certificate (RFC 5280, 4.1).
fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (0x30, certificate, []) = element(der)? else { return None };
    let (0x30, mut rest, _) = element(certificate)? else { return None };
    if let (0xa0, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, signature algorithm and issuer come before.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (0x30, validity, _) = element(rest)? else { return None };
    let (tag, before, rest) = element(validity)?;
    let (end_tag, after, _) = element(rest)?;
    Some((moment(tag, before)?, moment(end_tag, after)?))
}

fn moment(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let full = match tag {
        // UTCTime: two digits of the year, which turn over at 50.
        0x17 => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" }),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", full).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
}

/// Entity id of the service provider, which is the audience. What newer instances use is UNCONFIRMED (contract aws 3.4).
pub(crate) fn entity_id(region: &str, store_id: &str, newer: bool) -> String {
    let host = if newer { "signin.aws" } else { "signin.aws.amazon.com" };
    format!("https://{region}.{host}/platform/saml/{store_id}")
}

/// The ACS URLs of an instance made after February 2026: IPv4 first, then dual-stack (contract aws 3.4).
pub(crate) fn acs_urls(region: &str, tenant: &str) -> Vec<String> {
    vec![
        format!("https://{region}.signin.aws/platform/saml/acs/{tenant}"),
        format!("https://{region}.sso.signin.aws/platform/saml/acs/{tenant}"),
    ]
}

/// The metadata file that the console offers.
pub(crate) fn service_provider(region: &str, entity_id: &str, tenant: &str) -> String {
    let services: String = acs_urls(region, tenant)
        .iter()
        .enumerate()
        .map(|(i, url)| {
            format!(
                "    <md:AssertionConsumerService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
                 Location=\"{}\" index=\"{i}\" isDefault=\"{}\"/>\n",
                escape(url),
                i == 0
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <md:EntityDescriptor xmlns:md=\"{METADATA}\" entityID=\"{}\">\n  \
         <md:SPSSODescriptor AuthnRequestsSigned=\"false\" WantAssertionsSigned=\"true\" \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\n    \
         <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>\n\
         {services}  </md:SPSSODescriptor>\n</md:EntityDescriptor>\n",
        escape(entity_id),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(certificate: &str) -> String {
        format!(
            r#"<EntityDescriptor entityID="https://sts.windows.net/t/" xmlns="{METADATA}">
            <RoleDescriptor><KeyDescriptor use="signing"><KeyInfo xmlns="{SIGNATURE}"><X509Data><X509Certificate>AAAA</X509Certificate></X509Data></KeyInfo></KeyDescriptor></RoleDescriptor>
            <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo xmlns="{SIGNATURE}"><X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
            <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://login.example/t/saml2"/></IDPSSODescriptor></EntityDescriptor>"#
        )
    }

    #[test]
    fn reads_the_parts_of_the_identity_provider_only() {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec!["idp".into()]).unwrap().self_signed(&key).unwrap();
        let found = read(&metadata(&STANDARD.encode(cert.der()))).unwrap();
        assert_eq!(found.entity_id, "https://sts.windows.net/t/");
        assert_eq!(found.certificates.len(), 1);
        assert_eq!(found.certificates[0].der, cert.der().to_vec());
        assert!(found.certificates[0].not_after > found.certificates[0].not_before);
        assert_eq!(imported(&cert.pem()).unwrap(), found.certificates[0]);
        assert!(read(&metadata("AAAA")).is_err());
        assert!(read("<a/>").is_err());
    }
}
