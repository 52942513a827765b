//! What two parties give each other, as items and as a text that can be mailed: pure. Nothing secret comes in here.

use std::fmt::Write as _;

use kube::ResourceExt as _;

use super::desired::{self, ServiceProvider};
use super::handoff::{METADATA_KEY, NEXT_CERTIFICATE_KEY, config_map_name, extract};
use super::handoff_parties as parties;
use crate::api::v1alpha1::{AwsStatus, EntraStatus, Exchange, ExchangeItem, IdentityFederation, Party};
use crate::api::{Handoff, HandoffStep};
use crate::clients::saml::{IdentityProviderMetadata, sha256_thumbprint};

/// AWS's document.
const SERVICE_PROVIDER: &str = "ServiceProviderMetadata";
/// Entra's document.
const FEDERATION: &str = "FederationMetadata";
/// The certificate that Entra signs with.
const CERTIFICATE: &str = "SigningCertificate";
/// The one that takes its place.
const NEXT_CERTIFICATE: &str = "NextSigningCertificate";
/// That AWS has certificates.
const CONFIRMATION: &str = "CertificateConfirmation";
/// Where people sign in.
const PORTAL: &str = "AccessPortal";
/// Endpoint and token, which go another way.
const SCIM: &str = "ScimCredentials";

/// A metadata document as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// SHA-256 of the text.
    pub sha256: String,
    /// What it says, in words.
    pub says: String,
}

impl Document {
    /// AWS's.
    pub fn service_provider(read: &ServiceProvider, sha256: String) -> Self {
        let says = format!("entity id {}; reply URLs {}", read.entity_id, read.reply_urls.join(", "));
        Self { sha256, says }
    }

    /// Entra's.
    pub fn identity_provider(read: &IdentityProviderMetadata, sha256: String) -> Self {
        let certificates: Vec<String> = read.certificates.iter().map(|der| sha256_thumbprint(der)).collect();
        let says = format!(
            "issuer {}; signing certificates (SHA-256) {}; sign-on at {}",
            read.entity_id,
            certificates.join(", "),
            read.sso_urls.join(", ")
        );
        Self { sha256, says }
    }
}

/// The documents. `None`: could not be read, so what was said of it stays; `Some(None)`: it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// AWS's.
    pub service_provider: Option<Option<Document>>,
    /// Entra's, when another party sends it.
    pub identity_provider: Option<Option<Document>>,
}

/// Everything that goes between the parties; none where there is one party.
pub fn exchange(
    object: &IdentityFederation,
    handoff: Option<&Handoff>,
    documents: &Documents,
    entra: &EntraStatus,
    aws: Option<&AwsStatus>,
) -> Option<Exchange> {
    let old = object.status.as_ref().and_then(|s| s.exchange.as_ref());
    let party = object.spec.party();
    let step = |name: &str| handoff?.pending.iter().find(|s| s.step == name);
    let (send, awaits, received) = match party {
        Party::Both => return None,
        Party::Entra => (
            sent_by_entra(object, handoff, step(parties::SEND_NEXT), entra),
            awaited_by_entra(step),
            document(&documents.service_provider, old.map(|o| &o.received), SERVICE_PROVIDER, |d| {
                received(SERVICE_PROVIDER, d, Some(parties::receive_service_provider(object)))
            }),
        ),
        Party::Aws => (
            sent_by_aws(object, documents, old, aws),
            step(parties::RECEIVE_IDP).map(|s| awaited_metadata(object, s)).into_iter().collect(),
            document(&documents.identity_provider, old.map(|o| &o.received), FEDERATION, |d| {
                received(FEDERATION, d, parties::receive_identity_provider(object))
            }),
        ),
    };
    let received: Vec<ExchangeItem> = received.into_iter().collect();
    let mail = mail(object, party, &send, &awaits, &received);
    Some(Exchange { send, awaits, received, mail })
}

/// The item of a document that was read; the old one when it could not be.
fn document(
    read: &Option<Option<Document>>,
    old: Option<&Vec<ExchangeItem>>,
    name: &str,
    item: impl Fn(&Document) -> ExchangeItem,
) -> Option<ExchangeItem> {
    match read {
        Some(document) => document.as_ref().map(item),
        None => old?.iter().find(|i| i.name == name).cloned(),
    }
}

/// A document that has come. A newer one takes its place by the same command.
fn received(name: &str, document: &Document, how: Option<HandoffStep>) -> ExchangeItem {
    let file = if name == FEDERATION { parties::FEDERATION_FILE } else { parties::SERVICE_PROVIDER_FILE };
    ExchangeItem {
        name: name.into(),
        what: document.says.clone(),
        value: Some(document.sha256.clone()),
        file: Some(file.into()),
        command: how.and_then(|step| step.command),
    }
}

fn sent_by_entra(
    object: &IdentityFederation,
    handoff: Option<&Handoff>,
    next: Option<&HandoffStep>,
    entra: &EntraStatus,
) -> Vec<ExchangeItem> {
    let map = config_map_name(&object.name_any());
    let metadata = handoff.and_then(|h| h.idp_metadata.as_ref()).map(|published| ExchangeItem {
        name: FEDERATION.into(),
        what: format!(
            "SAML metadata of the identity provider, Entra tenant {}: in IAM Identity Center it is uploaded as the external \
             identity provider's; Causeway reads it as spec.entra.external.federationMetadata",
            object.spec.entra.tenant_id
        ),
        value: Some(published.sha256.clone()),
        file: Some(parties::FEDERATION_FILE.into()),
        command: Some(extract(object, &map, METADATA_KEY, parties::FEDERATION_FILE)),
    });
    let active = entra.signing_certificates.iter().find(|c| c.active).map(|c| ExchangeItem {
        name: CERTIFICATE.into(),
        what: format!(
            "SHA-256 thumbprint of the certificate that Entra signs with, which is in the metadata and ends at {}: AWS \
             must show the same",
            c.not_after
        ),
        value: Some(c.sha256.clone()),
        ..ExchangeItem::default()
    });
    let next = next.map(|step| ExchangeItem {
        name: NEXT_CERTIFICATE.into(),
        what: "the certificate that Entra will sign with next; the value is its SHA-256 thumbprint. It is imported in IAM \
               Identity Center beside the present one (Settings > Identity source > Actions > Manage authentication > \
               Import certificate) and confirmed: where Causeway looks after AWS, the thumbprint goes into \
               spec.aws.identityCenter.acknowledgedIdpCertificates"
            .into(),
        value: step.value.clone(),
        file: Some(NEXT_CERTIFICATE_KEY.into()),
        command: Some(extract(object, &map, NEXT_CERTIFICATE_KEY, NEXT_CERTIFICATE_KEY)),
    });
    metadata.into_iter().chain(active).chain(next).collect()
}

fn awaited_by_entra<'a>(step: impl Fn(&str) -> Option<&'a HandoffStep>) -> Vec<ExchangeItem> {
    let metadata = step(parties::RECEIVE_SP).map(|s| ExchangeItem {
        name: SERVICE_PROVIDER.into(),
        what: "the service provider metadata that the console of IAM Identity Center offers for download"
            .into(),
        value: None,
        file: Some(parties::SERVICE_PROVIDER_FILE.into()),
        command: s.command.clone(),
    });
    let confirmation = |s: &HandoffStep| ExchangeItem {
        name: CONFIRMATION.into(),
        what: "your word that AWS has imported the certificate with this SHA-256 thumbprint".into(),
        value: s.value.clone(),
        file: None,
        command: s.command.clone(),
    };
    let confirmations = [parties::SEND, parties::SEND_NEXT].into_iter().filter_map(&step).map(confirmation);
    metadata.into_iter().chain(confirmations).collect()
}

fn sent_by_aws(
    object: &IdentityFederation,
    documents: &Documents,
    old: Option<&Exchange>,
    aws: Option<&AwsStatus>,
) -> Vec<ExchangeItem> {
    let from = object.spec.aws.metadata_ref();
    let mut items: Vec<ExchangeItem> =
        document(&documents.service_provider, old.map(|o| &o.send), SERVICE_PROVIDER, |d| ExchangeItem {
            name: SERVICE_PROVIDER.into(),
            what: format!(
                "SAML metadata of IAM Identity Center ({}): the enterprise application in Entra takes identifier and \
                 reply URLs from it; Causeway reads it as spec.aws.external.serviceProviderMetadata",
                d.says
            ),
            value: Some(d.sha256.clone()),
            file: Some(parties::SERVICE_PROVIDER_FILE.into()),
            command: Some(extract(object, &from.name, &from.key, parties::SERVICE_PROVIDER_FILE)),
        })
        .into_iter()
        .collect();
    let acknowledged: Vec<String> = desired::acknowledged(object).into_iter().collect();
    if !acknowledged.is_empty() {
        items.push(ExchangeItem {
            name: CONFIRMATION.into(),
            what: "AWS has imported the signing certificates with these SHA-256 thumbprints".into(),
            value: Some(acknowledged.join(",")),
            ..ExchangeItem::default()
        });
    }
    let Some(aws) = aws else { return items };
    items.push(ExchangeItem {
        name: SCIM.into(),
        what: "for provisioning: the SCIM endpoint and an access token, which go by a channel that keeps them secret and \
               never with this text. The party that looks after AWS gets them in IAM Identity Center > Settings > \
               Identity source > Actions > Manage provisioning; the other one keeps them in the Secret that its \
               ScimConnection names"
            .into(),
        ..ExchangeItem::default()
    });
    items.extend(aws.access_portal_url.as_ref().map(|url| ExchangeItem {
        name: PORTAL.into(),
        what: "where people sign in".into(),
        value: Some(url.clone()),
        ..ExchangeItem::default()
    }));
    items
}

fn awaited_metadata(object: &IdentityFederation, step: &HandoffStep) -> ExchangeItem {
    let tenant = object.spec.entra.external.as_ref().and_then(|e| e.tenant_id.as_ref());
    let tenant = tenant.map(|id| format!(" (tenant {id})")).unwrap_or_default();
    ExchangeItem {
        name: FEDERATION.into(),
        what: format!(
            "the federation metadata of the enterprise application in Entra{tenant}, once our service provider metadata \
             is in it"
        ),
        value: None,
        file: Some(parties::FEDERATION_FILE.into()),
        command: step.command.clone(),
    }
}

/// A text for people, without the sender's own commands.
fn mail(
    object: &IdentityFederation,
    party: Party,
    send: &[ExchangeItem],
    awaits: &[ExchangeItem],
    received: &[ExchangeItem],
) -> String {
    const ENTRA: &str = "Microsoft Entra ID";
    const AWS: &str = "AWS IAM Identity Center";
    let (ours, theirs) = if party == Party::Aws { (AWS, ENTRA) } else { (ENTRA, AWS) };
    let mut text = format!(
        "From the party that looks after {ours} (IdentityFederation {}/{})\nto the party that looks after {theirs}\n",
        object.namespace().unwrap_or_default(),
        object.name_any()
    );
    for (title, items) in [
        ("We give you", send),
        ("We wait for this from you", awaits),
        ("We have received from you", received),
    ] {
        if items.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{title}:\n");
        for (number, item) in items.iter().enumerate() {
            let _ = writeln!(text, "{}. {}: {}", number + 1, item.name, item.what);
            if let Some(file) = &item.file {
                let _ = writeln!(text, "   file: {file}");
            }
            if let Some(value) = &item.value {
                // A file's value is its digest, but for a certificate, which has a thumbprint.
                let document = [SERVICE_PROVIDER, FEDERATION].contains(&item.name.as_str());
                let what = if document { "SHA-256 of the file" } else { "value" };
                let _ = writeln!(text, "   {what}: {value}");
            }
        }
    }
    if awaits.is_empty() {
        text.push_str("\nWe wait for nothing from you.\n");
    }
    text
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
