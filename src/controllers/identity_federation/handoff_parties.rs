//! What is left to do where another party looks after the other side: pure. What goes to that party and what comes from
//! it is in `exchange.rs`.

use kube::ResourceExt as _;

use super::handoff::{IMPORT, acknowledge, extract};
use crate::api::v1alpha1::IdentityFederation;
use crate::api::{ConfigMapKeyRef, HandoffStep};

/// Step: the other party's service provider metadata is to be brought to Causeway.
pub const RECEIVE_SP: &str = "ReceiveServiceProviderMetadata";
/// Step: the other party's federation metadata is to be brought to Causeway.
pub const RECEIVE_IDP: &str = "ReceiveFederationMetadata";
/// Step: Entra's metadata is to be sent to the other party.
pub const SEND: &str = "SendFederationMetadata";
/// Step: the next signing certificate is to be sent to the other party.
pub const SEND_NEXT: &str = "SendSigningCertificate";

/// The names that the files travel under.
pub const SERVICE_PROVIDER_FILE: &str = "service-provider-metadata.xml";
/// Likewise, for Entra's document.
pub const FEDERATION_FILE: &str = "federation-metadata.xml";

/// The command that stores a received file. It also replaces one that is there.
fn store(object: &IdentityFederation, into: &ConfigMapKeyRef, file: &str) -> String {
    format!(
        "kubectl create configmap {} -n {} --from-file={}={file} --dry-run=client -o yaml | kubectl apply -f -",
        into.name,
        object.namespace().unwrap_or_default(),
        into.key
    )
}

fn place(object: &IdentityFederation, at: &ConfigMapKeyRef) -> String {
    format!("ConfigMap {}/{}, key {}", object.namespace().unwrap_or_default(), at.name, at.key)
}

/// AWS's metadata has not come yet.
pub fn receive_service_provider(object: &IdentityFederation) -> HandoffStep {
    let into = object.spec.aws.metadata_ref();
    HandoffStep {
        step: RECEIVE_SP.into(),
        what: format!(
            "Ask the party that looks after AWS for the service provider metadata of IAM Identity Center \
             (status.exchange.mail is a text for that), and store the file by the command, as {SERVICE_PROVIDER_FILE}."
        ),
        value: Some(place(object, into)),
        console_url: None,
        command: Some(store(object, into, SERVICE_PROVIDER_FILE)),
    }
}

/// Entra's metadata has not come yet.
pub fn receive_identity_provider(object: &IdentityFederation) -> Option<HandoffStep> {
    let into = &object.spec.entra.external.as_ref()?.federation_metadata.config_map_key_ref;
    Some(HandoffStep {
        step: RECEIVE_IDP.into(),
        what: format!(
            "Send the service provider metadata to the party that looks after Entra and ask for its federation metadata \
             (status.exchange.mail is a text for that), and store the file by the command, as {FEDERATION_FILE}."
        ),
        value: Some(place(object, into)),
        console_url: None,
        command: Some(store(object, into, FEDERATION_FILE)),
    })
}

/// Entra's metadata is ready, and the other party has not said that AWS has its certificate.
pub fn send_metadata(object: &IdentityFederation, sha256: &str) -> HandoffStep {
    HandoffStep {
        step: SEND.into(),
        what: "Send the federation metadata to the party that looks after AWS (status.exchange.mail, with the files of \
               status.exchange.send). When it says that AWS has imported the certificate of this SHA-256, say so by the \
               command."
            .into(),
        value: Some(sha256.to_owned()),
        console_url: None,
        command: Some(acknowledge(object, sha256)),
    }
}

/// What is said of trust meanwhile.
pub fn asks_to_import(sha256: &str) -> String {
    format!(
        "the party that looks after AWS has not confirmed certificate {sha256}: send it the federation metadata, and \
         acknowledge the certificate when it says that AWS has it (see status.handoff and status.exchange)"
    )
}

/// The next signing certificate is ready.
pub fn send_certificate(object: &IdentityFederation, sha256: &str) -> HandoffStep {
    HandoffStep {
        step: SEND_NEXT.into(),
        what: "Send the next signing certificate to the party that looks after AWS (status.exchange.mail, with the files \
               of status.exchange.send): it is imported beside the present one. When that party says so, say it by the \
               command: Entra signs with it from then on."
            .into(),
        value: Some(sha256.to_owned()),
        console_url: None,
        command: Some(acknowledge(object, sha256)),
    }
}

/// The other party's metadata is here, and AWS has yet to import it. `certificates` is all of them, by commas.
pub fn import(object: &IdentityFederation, console: &str, certificates: &str) -> Option<HandoffStep> {
    let from = &object.spec.entra.external.as_ref()?.federation_metadata.config_map_key_ref;
    Some(HandoffStep {
        step: IMPORT.into(),
        what: format!(
            "In IAM Identity Center, choose Settings > Identity source > Actions > Change identity source > External \
             identity provider, upload the identity provider's SAML metadata, and type ACCEPT (if the source is \
             external already: Actions > Manage authentication). Get the file with: {}. Then say that AWS has the \
             certificates of this SHA-256 by the command, and tell the other party (status.exchange.mail).",
            extract(object, &from.name, &from.key, FEDERATION_FILE)
        ),
        value: Some(certificates.to_owned()),
        console_url: Some(console.to_owned()),
        command: Some(acknowledge(object, certificates)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{aws_only, entra_only};
    use super::super::handoff::{Facts, handoff};
    use super::*;

    fn steps(object: &IdentityFederation, facts: &Facts) -> Vec<HandoffStep> {
        handoff(object, facts, None, None).unwrap().pending
    }

    #[test]
    fn the_entra_party_is_sent_to_no_console_of_aws() {
        let facts = Facts {
            no_instance: Some(false),
            no_metadata: Some(true),
            unacknowledged: Some(Some("ab".repeat(32))),
            next: Some(Some("cd".repeat(32))),
            ..Facts::default()
        };
        let steps = steps(&entra_only(), &facts);
        let names: Vec<&str> = steps.iter().map(|s| s.step.as_str()).collect();
        assert_eq!(names, [RECEIVE_SP, SEND, SEND_NEXT]);
        assert!(steps.iter().all(|s| s.console_url.is_none()), "{steps:?}");
        assert_eq!(
            steps[0].command.as_deref(),
            Some(
                "kubectl create configmap from-aws -n identity --from-file=metadata.xml=service-provider-metadata.xml \
                 --dry-run=client -o yaml | kubectl apply -f -"
            )
        );
    }

    #[test]
    fn the_aws_party_imports_what_it_was_sent() {
        let facts = Facts {
            no_instance: Some(true),
            no_metadata: Some(true),
            no_idp_metadata: Some(true),
            unacknowledged: Some(Some("ab".repeat(32))),
            next: Some(None),
        };
        let steps = steps(&aws_only(), &facts);
        let names: Vec<&str> = steps.iter().map(|s| s.step.as_str()).collect();
        assert_eq!(
            names,
            ["EnableIdentityCenter", "ProvideServiceProviderMetadata", RECEIVE_IDP, "ImportIdpMetadata"]
        );
        let file = "kubectl get configmap from-entra -n identity -o jsonpath='{.data.metadata\\.xml}' > federation-metadata.xml";
        assert!(steps[3].what.contains(file), "{}", steps[3].what);
    }

    #[test]
    fn what_could_not_be_read_stays_as_it_was() {
        for mut object in [entra_only(), aws_only()] {
            let facts = Facts {
                no_instance: Some(true),
                no_metadata: Some(true),
                no_idp_metadata: Some(true),
                unacknowledged: Some(Some("ab".repeat(32))),
                next: Some(None),
            };
            let first = handoff(&object, &facts, None, None);
            object.status = Some(crate::api::v1alpha1::IdentityFederationStatus {
                handoff: first.clone(),
                ..Default::default()
            });
            let again = handoff(&object, &Facts::default(), None, None).unwrap().pending;
            let first = first.unwrap().pending;
            // Of the Entra party nobody asks for the metadata of Entra.
            let kept = first.iter().filter(|s| s.step != RECEIVE_IDP || object.spec.entra.external.is_some());
            assert_eq!(again, kept.cloned().collect::<Vec<_>>());
        }
    }
}
