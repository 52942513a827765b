//! Two parties: one side of a federation is looked after by somebody else.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Aws, IdentityFederationSpec, ServiceProviderMetadata};
use crate::api::ConfigMapKeyRef;

/// The Entra side, when another party looks after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntraExternal {
    /// The identity provider's metadata (Entra's federation metadata document of the application), as the other party sent it.
    pub federation_metadata: FederationMetadata,
    /// The other party's directory (tenant) id, as they said it by another way than the file: federation metadata whose entity id names any other tenant is refused. That tells the wrong file from the right one, not a forged one: the thumbprint of its certificate is what the other party confirms. Absent: any tenant's is taken, and a person compares the entity id in status.exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')").message("external.tenantId is the other party's directory (tenant) id in lower case, like 11111111-2222-3333-4444-555555555555"))]
    pub tenant_id: Option<String>,
}

/// Where the identity provider's metadata is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederationMetadata {
    /// ConfigMap and key that hold the XML document.
    pub config_map_key_ref: ConfigMapKeyRef,
}

/// The AWS side, when another party looks after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsExternal {
    /// The service provider metadata that AWS's console offers for download, as the other party sent it.
    pub service_provider_metadata: ServiceProviderMetadata,
    /// SHA-256 thumbprints of the signing certificates that, as the other party said, AWS has imported. Put each one here in Git, or TrustEstablished waits anew after a cluster was rebuilt from it. The annotation causeway.dev/acknowledge says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), inner(length(max = 253), regex(pattern = r"^[0-9a-f]{64}$")))]
    #[x_kube(validation = Rule::new("self.all(t, t.matches('^[0-9a-f]{64}$'))").message("acknowledgedIdpCertificates holds SHA-256 thumbprints: 64 hexadecimal digits in lower case, without colons, as in status.handoff"))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub acknowledged_idp_certificates: Option<Vec<String>>,
}

/// Which sides of a federation are looked after here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Both.
    Both,
    /// Entra alone: `spec.aws.external` is set.
    Entra,
    /// AWS alone: `spec.entra.external` is set.
    Aws,
}

impl IdentityFederationSpec {
    /// Which sides are looked after here. The schema refuses a federation without a side; of an older one AWS counts.
    #[must_use]
    pub const fn party(&self) -> Party {
        match (&self.entra.external, &self.aws.external) {
            (None, None) => Party::Both,
            (None, Some(_)) => Party::Entra,
            (Some(_), _) => Party::Aws,
        }
    }
}

impl Aws {
    /// Where the service provider metadata is, whoever downloaded it.
    #[must_use]
    pub fn metadata_ref(&self) -> &ConfigMapKeyRef {
        let external = self.external.as_ref().map(|e| &e.service_provider_metadata);
        &external.unwrap_or(&self.identity_center.service_provider_metadata).config_map_key_ref
    }

    /// The certificates that AWS has imported, as the spec says.
    #[must_use]
    pub fn acknowledged(&self) -> &[String] {
        let external = self.external.as_ref().map(|e| &e.acknowledged_idp_certificates);
        external.unwrap_or(&self.identity_center.acknowledged_idp_certificates).as_deref().unwrap_or_default()
    }
}

/// What the two parties of a federation give each other. Nothing in here is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// What the other party must have from this one, as it is now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub send: Vec<ExchangeItem>,
    /// What this party still waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub awaits: Vec<ExchangeItem>,
    /// What came from the other party, as it was read here: to be compared with what the other one says it sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub received: Vec<ExchangeItem>,
    /// All of it as a text to mail to the other party. The files are attached: the commands of `send` write them.
    pub mail: String,
}

/// One thing that goes from one party to the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeItem {
    /// What it is called on both sides, such as `FederationMetadata`.
    pub name: String,
    /// What it is, and what to do with it.
    pub what: String,
    /// The value itself; of a file, its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The name that the file travels under, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// For what is sent, the command that writes the file; for what is awaited, the command to run when it has come; for what was received, the command that stores a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}
