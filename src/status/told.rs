use super::Reason;

/// The kinds, for what is said about each of them on its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `IdentityFederation`.
    IdentityFederation,
    /// `ScimConnection`.
    ScimConnection,
    /// `PermissionSetBinding`.
    PermissionSetBinding,
}

use Kind::{IdentityFederation, PermissionSetBinding, ScimConnection};

const ANY: &[Kind] = &Kind::ALL;
const FEDERATION: &[Kind] = &[IdentityFederation];
const CONNECTION: &[Kind] = &[ScimConnection];
const BINDING: &[Kind] = &[PermissionSetBinding];
const REFERRERS: &[Kind] = &[ScimConnection, PermissionSetBinding];
const BOTH_ENDS: &[Kind] = &[IdentityFederation, PermissionSetBinding];

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [IdentityFederation, ScimConnection, PermissionSetBinding];

    /// As it stands in YAML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdentityFederation => "IdentityFederation",
            Self::ScimConnection => "ScimConnection",
            Self::PermissionSetBinding => "PermissionSetBinding",
        }
    }

    /// The types of its conditions, and what is true when they are.
    #[must_use]
    pub const fn conditions(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::IdentityFederation => &[
                (
                    "Ready",
                    "People can sign in. The summary: the first problem of the others, else the first step that is left to a person.",
                ),
                (
                    "EntraApplicationReady",
                    "The enterprise application exists, carries this federation's mark and is named as the spec says.",
                ),
                (
                    "SamlConfigured",
                    "Single sign-on mode, identifiers and reply URLs are those of the service provider metadata.",
                ),
                (
                    "SigningCertificateValid",
                    "A signing certificate is active and does not end soon, and the metadata that holds it is published.",
                ),
                ("AssignmentsReady", "Everybody that the spec names is assigned to the application."),
                (
                    "InstanceReady",
                    "The Identity Center instance was found and can hold permission sets. Absent where another party looks after AWS.",
                ),
                (
                    "TrustEstablished",
                    "A person has said that AWS has imported the active certificate (`Acknowledged`).",
                ),
                ("Reconciling", "Work goes on by itself. Absent otherwise."),
                (
                    "Stalled",
                    "Only a person can go on: the message says how. Absent otherwise, also at a hand-off.",
                ),
            ],
            Self::ScimConnection => &[
                ("Ready", "People and groups are being provisioned. The summary of the others."),
                (
                    "CredentialsValid",
                    "AWS accepts endpoint and token: those of the Secret, or those that Entra has saved.",
                ),
                (
                    "Provisioning",
                    "The synchronization job runs, is not in quarantine, and its last cycle ended well.",
                ),
                (
                    "TokenFresh",
                    "The token in the Secret does not end within 30 days. Unknown while its age is not known.",
                ),
                ("Reconciling", "Work goes on by itself. Absent otherwise."),
                (
                    "Stalled",
                    "Only a person can go on: the message says how. Absent otherwise, also at a hand-off.",
                ),
            ],
            Self::PermissionSetBinding => &[
                (
                    "Ready",
                    "Everybody that the spec names has the permission set on every account that it names, and all accounts hold its newest version.",
                ),
                (
                    "PermissionSetReady",
                    "The permission set exists as the spec says, and all accounts hold that version.",
                ),
                ("PrincipalsResolved", "Every principal was found in the identity store."),
                ("AssignmentsReady", "Nothing is left to give or to take."),
                ("Reconciling", "Work goes on by itself. Absent otherwise."),
                ("Stalled", "Only a person can go on: the message says how. Absent otherwise."),
            ],
        }
    }

    /// The reasons that its conditions may have, by name.
    #[must_use]
    pub fn reasons(self) -> Vec<Reason> {
        let mut all: Vec<Reason> =
            Reason::ALL.iter().copied().filter(|r| r.kinds().contains(&self)).collect();
        all.sort_by_key(|r| r.as_str());
        all
    }
}

impl Reason {
    /// The kinds whose conditions may have this reason. `tests/docs/kinds.rs` compares it with the code.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Succeeded
            | Self::Progressing
            | Self::ProgressingWithRetry
            | Self::Suspended
            | Self::PlanNotApplied
            | Self::InvalidSpec
            | Self::SecretNotFound
            | Self::ServiceAccountNotFound
            | Self::CredentialsNotAllowed
            | Self::AuthenticationFailed
            | Self::PermissionDenied
            | Self::CloudUnavailable
            | Self::OwnedByOther
            | Self::ClaimedTwice
            | Self::QuotaExceeded
            | Self::Deleting
            | Self::DeletionBlocked
            | Self::InternalError => ANY,
            Self::AwaitingHandoff => &[IdentityFederation, ScimConnection],
            Self::FederationNotFound | Self::FederationNotReady | Self::ManagedByOtherParty => REFERRERS,
            Self::InstanceNotFound | Self::PrincipalIdentityChanged => BOTH_ENDS,
            Self::Acknowledged
            | Self::ConfigMapNotFound
            | Self::ApplicationNotFound
            | Self::MetadataInvalid
            | Self::IdentifierUriRejected
            | Self::PrincipalNotFound
            | Self::AppRoleNotFound
            | Self::CertificateRotation
            | Self::CertificateExpired
            | Self::InstanceAmbiguous
            | Self::PermissionSetsDisabled => FEDERATION,
            Self::EndpointNotAllowed
            | Self::Quarantined
            | Self::EntryLevelErrors
            | Self::TemplateNotFound
            | Self::MappingNotFound
            | Self::TokenExpiring
            | Self::TokenExpired => CONNECTION,
            Self::NotAdopted
            | Self::AwaitingProvisioning
            | Self::NotInProvisioningScope
            | Self::NotInEntra
            | Self::NotInIdentityStore
            | Self::NameDiffers
            | Self::AccountDisabled
            | Self::AccountNotFound
            | Self::BindingNotAllowed
            | Self::NotAllowedByRules
            | Self::PermissionSetNotFound
            | Self::AssignmentFailed
            | Self::ProvisioningFailed => BINDING,
        }
    }
}
