//! SAML 2.0 metadata: the service provider's (AWS, contract aws 3.4) and the identity provider's (Entra, contract
//! Graph 2.3).

mod document;
mod origin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use url::{Host, Url};

use document::{Element, Vocabulary};
pub use origin::Origin;

/// Longest service provider metadata that is read, in bytes: AWS's has a few kilobytes.
const MAX_SERVICE_PROVIDER: usize = 128 * 1024;
/// Longest identity provider metadata that is read, in bytes.
const MAX_IDENTITY_PROVIDER: usize = 1024 * 1024;
/// Most addresses or certificates that are taken from one document.
const MAX_ENTRIES: usize = 100;
const HTTP_POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
/// Below these names are AWS's sign-in hosts (contract aws 3.4): today's, the older ones, GovCloud's, China's.
const AWS_SIGN_IN: [&str; 5] = [
    ".signin.aws",
    ".signin.aws.amazon.com",
    ".signin.amazonaws-us-gov.com",
    ".signin.amazonaws.cn",
    ".signin.amazonaws.com.cn",
];

/// Why a document is not the metadata it should be. Each message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Longer than any real one.
    #[error("the document is longer than {limit} bytes, so it is no SAML metadata")]
    TooLong {
        /// The most bytes that are read.
        limit: usize,
    },
    /// Nothing in it.
    #[error("the document is empty")]
    Empty,
    /// Ends in the middle.
    #[error("the document ends in the middle: copy the whole file")]
    CutOff,
    /// Not well-formed.
    #[error("the document is not well-formed XML (at byte {at}): use the downloaded file as it is")]
    NotXml {
        /// Where it breaks.
        at: u64,
    },
    /// Another encoding.
    #[error("the document is not in UTF-8")]
    Encoding,
    /// A DTD.
    #[error("the document has a document type declaration, which metadata never needs: it is refused")]
    DocumentType,
    /// An entity that XML itself does not define.
    #[error("the document uses an XML entity that is not predefined: it is refused")]
    Entity,
    /// Too deep, too many elements or attributes.
    #[error("the document is nested too deeply or has too many elements: it is no SAML metadata")]
    TooComplex,
    /// XML, but something else.
    #[error("the document is not SAML 2.0 metadata: its root is <{root}>, expected <EntityDescriptor>")]
    NotMetadata {
        /// Name of the root element, bounded.
        root: String,
    },
    /// The other side's metadata.
    #[error("{0}")]
    WrongParty(&'static str),
    /// Something is not there.
    #[error("the metadata has no {0}")]
    Missing(&'static str),
    /// An address that is not AWS's.
    #[error(
        "the {what} {value} is not on a sign-in host of AWS: use the file that the console of IAM Identity Center offers"
    )]
    Foreign {
        /// Which address.
        what: &'static str,
        /// The address, bounded.
        value: String,
    },
    /// A certificate that is none.
    #[error("a signing certificate in the metadata cannot be read")]
    Certificate,
}

/// What AWS's metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceProviderMetadata {
    /// The entity id: the identifier in Entra, the audience in assertions.
    pub entity_id: String,
    /// Where assertions are posted, the default first: the reply URLs in Entra. At least one.
    pub acs_urls: Vec<String>,
}

/// What Entra's federation metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProviderMetadata {
    /// The entity id: the issuer in assertions.
    pub entity_id: String,
    /// The signing certificates, DER, in the document's order. At least one; several mean a rollover.
    pub certificates: Vec<Vec<u8>>,
    /// Where sign-on begins, each once, in the document's order. At least one.
    pub sso_urls: Vec<String>,
}

impl ServiceProviderMetadata {
    /// Reads the file that the console of IAM Identity Center offers.
    ///
    /// # Errors
    /// What is wrong with it. Addresses that are not on AWS's sign-in hosts are refused (design rule 5): whoever may
    /// write the document must not be able to send assertions elsewhere.
    pub fn parse(xml: &str) -> Result<Self, MetadataError> {
        let entity = entity(xml, MAX_SERVICE_PROVIDER)?;
        let Some(role) = entity.children(Vocabulary::Metadata, "SPSSODescriptor").next() else {
            return Err(if entity.children(Vocabulary::Metadata, "IDPSSODescriptor").next().is_some() {
                MetadataError::WrongParty(
                    "this is the identity provider's metadata (Entra's); expected the service provider's, which the \
                     console of IAM Identity Center offers for download",
                )
            } else {
                MetadataError::Missing("SPSSODescriptor")
            });
        };
        let entity_id = entity_id(&entity)?;
        on_aws("entity id", &entity_id)?;
        let mut services = Vec::new();
        for (position, service) in role.children(Vocabulary::Metadata, "AssertionConsumerService").enumerate()
        {
            if service.attribute("Binding").map(str::trim) != Some(HTTP_POST) {
                continue;
            }
            let url = location(service)?;
            on_aws("reply URL", &url)?;
            let default = matches!(service.attribute("isDefault"), Some("true" | "1"));
            let index = service.attribute("index").and_then(|index| index.trim().parse::<u32>().ok());
            services.push((!default, index.unwrap_or(u32::MAX), position, url));
        }
        if services.len() > MAX_ENTRIES {
            return Err(MetadataError::TooComplex);
        }
        services.sort();
        let acs_urls = distinct(services.into_iter().map(|(.., url)| url));
        if acs_urls.is_empty() {
            return Err(MetadataError::Missing("AssertionConsumerService with the binding HTTP-POST"));
        }
        Ok(Self { entity_id, acs_urls })
    }
}

impl IdentityProviderMetadata {
    /// Reads a federation metadata document of Entra.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(xml: &str) -> Result<Self, MetadataError> {
        let entity = entity(xml, MAX_IDENTITY_PROVIDER)?;
        // Other roles (WS-Federation) may carry other keys, so only this one is read.
        let Some(role) = entity.children(Vocabulary::Metadata, "IDPSSODescriptor").next() else {
            return Err(if entity.children(Vocabulary::Metadata, "SPSSODescriptor").next().is_some() {
                MetadataError::WrongParty(
                    "this is the service provider's metadata (AWS's); expected the identity provider's (Entra's)",
                )
            } else {
                MetadataError::Missing("IDPSSODescriptor")
            });
        };
        let entity_id = entity_id(&entity)?;
        let signing = role
            .children(Vocabulary::Metadata, "KeyDescriptor")
            .filter(|key| matches!(key.attribute("use"), None | Some("signing")));
        let certificates = signing
            .flat_map(|key| key.children(Vocabulary::Signature, "KeyInfo"))
            .flat_map(|info| info.children(Vocabulary::Signature, "X509Data"))
            .flat_map(|data| data.children(Vocabulary::Signature, "X509Certificate"))
            .take(MAX_ENTRIES)
            .map(|certificate| der(certificate.text()))
            .collect::<Result<Vec<_>, _>>()?;
        let certificates = distinct(certificates);
        if certificates.is_empty() {
            return Err(MetadataError::Missing("signing certificate"));
        }
        let services = role.children(Vocabulary::Metadata, "SingleSignOnService").take(MAX_ENTRIES);
        let sso_urls = distinct(services.map(location).collect::<Result<Vec<_>, _>>()?);
        if sso_urls.is_empty() {
            return Err(MetadataError::Missing("SingleSignOnService"));
        }
        Ok(Self { entity_id, certificates, sso_urls })
    }
}

/// The SHA-1 thumbprint of a DER certificate, upper-case hexadecimal, as the Entra portal shows it.
#[must_use]
pub fn sha1_thumbprint(der: &[u8]) -> String {
    hex::encode_upper(Sha1::digest(der))
}

/// The SHA-256 thumbprint of a DER certificate, lower-case hexadecimal.
#[must_use]
pub fn sha256_thumbprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

fn entity(xml: &str, limit: usize) -> Result<Element, MetadataError> {
    let root = document::read(xml, limit)?;
    if root.is(Vocabulary::Metadata, "EntityDescriptor") {
        Ok(root)
    } else {
        Err(MetadataError::NotMetadata { root: root.name().chars().take(64).collect() })
    }
}

fn entity_id(entity: &Element) -> Result<String, MetadataError> {
    let id = entity.attribute("entityID").map(str::trim).filter(|id| !id.is_empty() && id.len() <= 1024);
    id.map(str::to_owned).ok_or(MetadataError::Missing("entityID"))
}

fn location(service: &Element) -> Result<String, MetadataError> {
    let url = service.attribute("Location").map(str::trim).filter(|url| !url.is_empty() && url.len() <= 1024);
    url.map(str::to_owned).ok_or(MetadataError::Missing("Location of a service"))
}

/// Refuses what is not an https address on a sign-in host of AWS, compared from the end of the host's name.
fn on_aws(what: &'static str, value: &str) -> Result<(), MetadataError> {
    let foreign = || MetadataError::Foreign { what, value: value.chars().take(200).collect() };
    let url = Url::parse(value).map_err(|_| foreign())?;
    let Some(Host::Domain(host)) = url.host() else { return Err(foreign()) };
    let ours =
        AWS_SIGN_IN.iter().any(|family| host.strip_suffix(family).is_some_and(|region| !region.is_empty()));
    let plain = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    // What the parser had to repair would be read differently elsewhere.
    if ours && plain && url.as_str() == value { Ok(()) } else { Err(foreign()) }
}

/// DER from Base64 with any white space in it (contract Graph 2.3).
fn der(text: &str) -> Result<Vec<u8>, MetadataError> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(compact).map_err(|_| MetadataError::Certificate)?;
    // A sequence whose length is exactly the rest; what is in it is for those who verify signatures.
    match der.as_slice() {
        [0x30, 0x82, high, low, rest @ ..] if rest.len() == usize::from(*high) << 8 | usize::from(*low) => {
            Ok(der)
        }
        _ => Err(MetadataError::Certificate),
    }
}

fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items.into_iter().fold(Vec::new(), |mut known, item| {
        if !known.contains(&item) {
            known.push(item);
        }
        known
    })
}

#[cfg(test)]
mod tests;
