//! What people must do in the AWS console, with everything they need for it: pure.

use kube::ResourceExt as _;

use super::handoff_parties as parties;
use crate::api::v1alpha1::{AwsStatus, IdentityFederation, Party};
use crate::api::{Handoff, HandoffStep, PublishedMetadata, annotations};
use crate::controllers::commands;

/// Step: the organization has no Identity Center yet.
pub const ENABLE: &str = "EnableIdentityCenter";
/// Step: AWS's service provider metadata is to be brought to Causeway.
pub const PROVIDE: &str = "ProvideServiceProviderMetadata";
/// Step: Entra's metadata is to be brought to AWS.
pub const IMPORT: &str = "ImportIdpMetadata";
/// Step: the next signing certificate is to be brought to AWS.
pub const IMPORT_NEXT: &str = "ImportIdpCertificate";

/// Key of the ConfigMap under which the federation metadata is published.
pub const METADATA_KEY: &str = "federation-metadata.xml";
/// Key under which the next signing certificate is published.
pub const NEXT_CERTIFICATE_KEY: &str = "next-certificate.pem";

/// The name of the ConfigMap that holds what AWS must be given.
pub fn config_map_name(federation: &str) -> String {
    format!("{federation}-idp-metadata")
}

/// What the steps follow from. `None`: could not be read, so the old step stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// No Identity Center instance exists.
    pub no_instance: Option<bool>,
    /// The service provider metadata is not there.
    pub no_metadata: Option<bool>,
    /// The identity provider's metadata that another party sends is not there.
    pub no_idp_metadata: Option<bool>,
    /// Entra's metadata is published and this certificate (SHA-256) in it is not acknowledged.
    pub unacknowledged: Option<Option<String>>,
    /// This certificate (SHA-256) waits to become the next.
    pub next: Option<Option<String>>,
}

/// The console's settings page (contract aws 3.4).
pub fn console_url(region: &str, instance_arn: Option<&str>) -> String {
    let host = if region.starts_with("us-gov-") {
        format!("{region}.console.amazonaws-us-gov.com")
    } else if region.starts_with("cn-") {
        format!("{region}.console.amazonaws.cn")
    } else {
        format!("{region}.console.aws.amazon.com")
    };
    let base = format!("https://{host}/singlesignon/home?region={region}");
    match instance_arn.and_then(|arn| arn.rsplit_once("ins-")) {
        Some((_, id)) => format!("{base}#!/instances/{id}/settings"),
        None => base,
    }
}

/// The steps that are left, in order.
pub fn handoff(
    object: &IdentityFederation,
    facts: &Facts,
    aws: Option<&AwsStatus>,
    published: Option<PublishedMetadata>,
) -> Option<Handoff> {
    let old = object.status.as_ref().and_then(|s| s.handoff.as_ref());
    let kept = |step: &str| old.and_then(|h| h.pending.iter().find(|p| p.step == step)).cloned();
    let region = &object.spec.aws.region;
    let console = console_url(region, aws.map(|a| a.instance_arn.as_str()));
    let mut pending = Vec::new();

    let ours = object.spec.party();
    match facts.no_instance {
        Some(true) => pending.push(enable(region)),
        Some(false) => {}
        None => pending.extend(kept(ENABLE)),
    }
    match (facts.no_metadata, ours) {
        (Some(true), Party::Entra) => pending.push(parties::receive_service_provider(object)),
        (Some(true), _) => pending.push(provide(object, &console)),
        (Some(false), _) => {}
        (None, _) => pending.extend(kept(PROVIDE).or_else(|| kept(parties::RECEIVE_SP))),
    }
    match facts.no_idp_metadata {
        Some(true) => pending.extend(parties::receive_identity_provider(object)),
        Some(false) => {}
        None if ours == Party::Aws => pending.extend(kept(parties::RECEIVE_IDP)),
        None => {}
    }
    match (&facts.unacknowledged, ours) {
        (Some(Some(sha256)), Party::Both) => pending.push(import(object, &console, sha256)),
        (Some(Some(sha256)), Party::Entra) => pending.push(parties::send_metadata(object, sha256)),
        (Some(Some(sha256)), Party::Aws) => pending.extend(parties::import(object, &console, sha256)),
        (Some(None), _) => {}
        (None, _) => pending.extend(kept(IMPORT).or_else(|| kept(parties::SEND))),
    }
    match (&facts.next, ours) {
        (Some(Some(sha256)), Party::Entra) => pending.push(parties::send_certificate(object, sha256)),
        (Some(Some(sha256)), _) => pending.push(import_next(object, &console, sha256)),
        (Some(None), _) => {}
        (None, _) => pending.extend(kept(IMPORT_NEXT).or_else(|| kept(parties::SEND_NEXT))),
    }
    // What another party has to send (again) cannot be uploaded.
    let old = old.filter(|_| facts.no_idp_metadata != Some(true));
    let idp_metadata = published.or_else(|| old.and_then(|h| h.idp_metadata.clone()));
    (idp_metadata.is_some() || !pending.is_empty()).then_some(Handoff { idp_metadata, pending })
}

fn enable(region: &str) -> HandoffStep {
    HandoffStep {
        step: ENABLE.into(),
        what: format!(
            "In the management account, open IAM Identity Center in {region} and choose Enable (organization instance). \
             If it is enabled in another Region already, do not enable it here: correct spec.aws.region instead."
        ),
        value: Some(region.to_owned()),
        console_url: Some(console_url(region, None)),
        command: None,
    }
}

fn provide(object: &IdentityFederation, console: &str) -> HandoffStep {
    let wanted = object.spec.aws.metadata_ref();
    let namespace = object.namespace().unwrap_or_default();
    HandoffStep {
        step: PROVIDE.into(),
        what: "In IAM Identity Center, choose Settings > Identity source > Actions > Change identity source > \
               External identity provider, download the service provider metadata file, and put it into a ConfigMap. \
               Leave the page open: the identity provider's metadata is uploaded there."
            .into(),
        value: Some(format!("ConfigMap {namespace}/{}, key {}", wanted.name, wanted.key)),
        console_url: Some(console.to_owned()),
        command: Some(commands::put_config_map(&namespace, &wanted.name, &wanted.key)),
    }
}

/// The command by which a person says that AWS has a certificate.
pub fn acknowledge(object: &IdentityFederation, sha256: &str) -> String {
    commands::annotate(&commands::target(object), annotations::ACKNOWLEDGE, sha256)
}

fn read_back(object: &IdentityFederation, key: &str) -> String {
    extract(object, &config_map_name(&object.name_any()), key, key)
}

/// The command that writes a key of a ConfigMap to a file.
pub(super) fn extract(object: &IdentityFederation, config_map: &str, key: &str, file: &str) -> String {
    format!(
        "kubectl get configmap {config_map} -n {} -o jsonpath='{{.data.{}}}' > {file}",
        object.namespace().unwrap_or_default(),
        key.replace('.', "\\.")
    )
}

fn import(object: &IdentityFederation, console: &str, sha256: &str) -> HandoffStep {
    HandoffStep {
        step: IMPORT.into(),
        what: format!(
            "In IAM Identity Center, choose Settings > Identity source > Actions > Change identity source > External \
             identity provider, upload the identity provider's SAML metadata, and type ACCEPT (if the source is \
             external already: Actions > Manage authentication). Get the file with: {}. Then say that AWS has the \
             certificate of this SHA-256 by the command.",
            read_back(object, METADATA_KEY)
        ),
        value: Some(sha256.to_owned()),
        console_url: Some(console.to_owned()),
        command: Some(acknowledge(object, sha256)),
    }
}

fn import_next(object: &IdentityFederation, console: &str, sha256: &str) -> HandoffStep {
    HandoffStep {
        step: IMPORT_NEXT.into(),
        what: format!(
            "In IAM Identity Center, choose Settings > Identity source > Actions > Manage authentication > Import \
             certificate and import the next signing certificate beside the present one. Get the file with: {}. Then \
             say so by the command: Entra signs with it from then on.",
            read_back(object, NEXT_CERTIFICATE_KEY)
        ),
        value: Some(sha256.to_owned()),
        console_url: Some(console.to_owned()),
        command: Some(acknowledge(object, sha256)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::federation;
    use super::*;

    #[test]
    fn steps_carry_values_links_and_commands() {
        let facts = Facts {
            no_instance: Some(true),
            no_metadata: Some(true),
            unacknowledged: Some(Some("ab".repeat(32))),
            next: Some(None),
            ..Facts::default()
        };
        let handoff = handoff(&federation(), &facts, None, None).unwrap();
        let steps: Vec<&str> = handoff.pending.iter().map(|s| s.step.as_str()).collect();
        assert_eq!(steps, [ENABLE, PROVIDE, IMPORT]);
        assert_eq!(
            handoff.pending[1].command.as_deref(),
            Some(
                "kubectl create configmap aws-sp-metadata -n identity --from-file=metadata.xml=<downloaded file> --dry-run=client -o yaml | kubectl apply -f -"
            )
        );
        let sha = "ab".repeat(32);
        assert_eq!(
            handoff.pending[2].command.as_deref(),
            Some(format!("kubectl annotate identityfederation acme -n identity causeway.dev/acknowledge={sha} --overwrite").as_str())
        );
        assert!(handoff.pending[2].what.contains(
            "kubectl get configmap acme-idp-metadata -n identity -o jsonpath='{.data.federation-metadata\\.xml}'"
        ));
    }

    #[test]
    fn what_could_not_be_read_stays_as_it_was() {
        let mut object = federation();
        let facts = Facts {
            no_instance: Some(true),
            no_metadata: Some(false),
            unacknowledged: Some(None),
            next: Some(None),
            ..Facts::default()
        };
        let first = handoff(&object, &facts, None, None);
        object.status = Some(crate::api::v1alpha1::IdentityFederationStatus {
            handoff: first.clone(),
            ..Default::default()
        });
        assert_eq!(handoff(&object, &Facts::default(), None, None), first);
        let settled = Facts { no_instance: Some(false), ..facts };
        assert_eq!(handoff(&object, &settled, None, None), None);
    }

    #[test]
    fn links_lead_to_the_instance() {
        assert_eq!(
            console_url("eu-west-1", Some("arn:aws:sso:::instance/ssoins-1111111111111111")),
            "https://eu-west-1.console.aws.amazon.com/singlesignon/home?region=eu-west-1#!/instances/1111111111111111/settings"
        );
        assert_eq!(
            console_url("eu-west-1", None),
            "https://eu-west-1.console.aws.amazon.com/singlesignon/home?region=eu-west-1"
        );
    }
}
