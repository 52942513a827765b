//! The two metadata documents: AWS's is read, Entra's is published.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use super::desired::ServiceProvider;
use super::finding::{Finding, Part};
use super::handoff::{METADATA_KEY, NEXT_CERTIFICATE_KEY, config_map_name};
use super::observed::SigningCertificate;
use super::{instance, stranger};
use crate::api::v1alpha1::{IdentityFederation, Party};
use crate::api::{ConfigMapKeyRef, PublishedMetadata};
use crate::clients::entra::Graph;
use crate::clients::saml::{
    IdentityProviderMetadata, MetadataError, ServiceProviderMetadata, sha256_thumbprint,
};
use crate::controllers::context::Context;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// AWS's service provider metadata from its ConfigMap, if it is of this federation's instance, and the SHA-256 of the
/// document.
pub async fn service_provider(
    object: &IdentityFederation,
    context: &Context,
) -> Result<(ServiceProvider, String), Finding> {
    let other_party = object.spec.party() == Party::Entra;
    let doing = if other_party {
        "ask the party that looks after AWS for its service provider metadata"
    } else {
        "download the service provider metadata in the IAM Identity Center console"
    };
    let from = object.spec.aws.metadata_ref();
    let text = document(object, context, from, doing).await?;
    let read = ServiceProviderMetadata::parse(&text).map_err(|error| invalid(from, error))?;
    // Nothing is known here of another party's instance.
    if !other_party {
        let known = object.status.as_ref().and_then(|s| s.aws.as_ref());
        if let Some(why) = stranger::told(&read, &object.spec.aws.region, known) {
            return Err(invalid(from, why));
        }
        if known.is_none() && !instance::was_looked_at(object) {
            return Err(Finding::pending(Part::Saml, "AWS's metadata is compared with the instance first"));
        }
    }
    let sha256 = hex::encode(Sha256::digest(&text));
    Ok((ServiceProvider { entity_id: read.entity_id, reply_urls: read.acs_urls }, sha256))
}

/// The identity provider's metadata as another party sent it, and the SHA-256 of the document.
pub async fn identity_provider(
    object: &IdentityFederation,
    context: &Context,
    from: &ConfigMapKeyRef,
) -> Result<(IdentityProviderMetadata, String), Finding> {
    let doing = "ask the party that looks after Entra for its federation metadata";
    let text = document(object, context, from, doing).await?;
    let read = IdentityProviderMetadata::parse(&text).map_err(|error| invalid(from, error))?;
    Ok((read, hex::encode(Sha256::digest(&text))))
}

fn invalid(from: &ConfigMapKeyRef, why: impl std::fmt::Display) -> Finding {
    let message = format!("ConfigMap {}, key {}: {why}", from.name, from.key);
    Finding::new(Part::Saml, Class::Blocked, Reason::MetadataInvalid, message)
}

/// The text of a document. A ConfigMap that is not there is a step that is left to a person.
async fn document(
    object: &IdentityFederation,
    context: &Context,
    from: &ConfigMapKeyRef,
    doing: &str,
) -> Result<String, Finding> {
    let namespace = object.namespace().unwrap_or_default();
    let read = context.config_map_value(&namespace, &from.name, &from.key).await;
    read.map_err(|problem| match problem.reason {
        Reason::ConfigMapNotFound => Finding::new(
            Part::Saml,
            Class::Blocked,
            Reason::AwaitingHandoff,
            format!(
                "{}: {doing} and put it there under the key {} (see status.handoff for link and command)",
                problem.message, from.key
            ),
        ),
        _ => Finding::of(Part::Saml, &problem),
    })
}

/// What was published before, as far as it can be read.
async fn published(
    object: &IdentityFederation,
    context: &Context,
) -> Result<BTreeMap<String, String>, Problem> {
    let namespace = object.namespace().unwrap_or_default();
    let map = context.config_map(&namespace, &config_map_name(&object.name_any())).await?;
    Ok(map.and_then(|m| m.data).unwrap_or_default())
}

/// Fetches Entra's metadata, and publishes it when it means something else than what is published. The document's
/// id and signature differ on every fetch and mean nothing.
///
/// # Errors
/// A document that cannot be fetched or read, or does not show the active certificate yet.
pub async fn publish(
    object: &IdentityFederation,
    context: &Context,
    graph: &Graph,
    app_id: &str,
    active: &str,
    successor: Option<&SigningCertificate>,
) -> Result<(PublishedMetadata, bool), Finding> {
    let of_problem = |problem: Problem| Finding::of(Part::Certificate, &problem);
    let fetched = graph
        .federation_metadata(app_id)
        .await
        .map_err(|e| of_problem(Problem::from_cloud(e, "fetch the federation metadata")))?;
    let meaning = Meaning::of(&fetched).map_err(|error| {
        Finding::new(
            Part::Certificate,
            Class::Transient,
            Reason::MetadataInvalid,
            format!("Entra's federation metadata of application {app_id}: {error}; trying again"),
        )
    })?;
    if !meaning.certificates.contains(active) {
        return Err(Finding::pending(
            Part::Certificate,
            format!("Entra's federation metadata does not show certificate {active} yet"),
        ));
    }
    let old = published(object, context).await.map_err(of_problem)?;
    let text = match old.get(METADATA_KEY) {
        Some(text) if Meaning::of(text).is_ok_and(|m| m == meaning) => text.clone(),
        _ => fetched,
    };
    let sha256 = hex::encode(Sha256::digest(&text));
    let mut data = BTreeMap::from([(METADATA_KEY.to_owned(), text)]);
    if let Some(next) = successor {
        data.insert(NEXT_CERTIFICATE_KEY.to_owned(), next.pem());
    }
    let name = config_map_name(&object.name_any());
    let written = context.apply_config_map(object, &name, data).await.map_err(of_problem)?;
    let config_map_key_ref = ConfigMapKeyRef { name, key: METADATA_KEY.to_owned() };
    Ok((PublishedMetadata { config_map_key_ref, sha256 }, written))
}

/// What a document means for AWS.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    entity_id: String,
    sso_urls: BTreeSet<String>,
    /// SHA-256 thumbprints.
    certificates: BTreeSet<String>,
}

impl Meaning {
    fn of(text: &str) -> Result<Self, MetadataError> {
        let read = IdentityProviderMetadata::parse(text)?;
        Ok(Self {
            entity_id: read.entity_id,
            sso_urls: read.sso_urls.into_iter().collect(),
            certificates: read.certificates.iter().map(|der| sha256_thumbprint(der)).collect(),
        })
    }
}
