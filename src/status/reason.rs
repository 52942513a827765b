/// Declares the closed list of reasons with their documentation; `docs/` is generated from the same list.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Why a condition is as it is: one word, part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name),+ }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word that stands in the condition.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What it means and what to do.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

reasons! {
    /// It is as it should be.
    Succeeded,
    /// Work is under way; nothing to do but wait.
    Progressing,
    /// A call failed for a reason that passes by itself; it is tried again.
    ProgressingWithRetry,
    /// A step in a console is left to a person: see `status.handoff` for values, link and command.
    AwaitingHandoff,
    /// A person said that AWS has imported the active certificate.
    Acknowledged,
    /// `spec.suspend` is true, of the resource or of the federation that it refers to.
    Suspended,
    /// `spec.mode` (of the resource or of its federation), or the operator's mode, is Observe and the plan is not empty: see `status.plan`.
    PlanNotApplied,
    /// The spec cannot be carried out as it is written; the message says what to change.
    InvalidSpec,
    /// A Secret does not exist or lacks the named key.
    SecretNotFound,
    /// A ServiceAccount that credentials name does not exist.
    ServiceAccountNotFound,
    /// A ConfigMap does not exist or lacks the named key.
    ConfigMapNotFound,
    /// The federation that is referred to does not exist.
    FederationNotFound,
    /// The federation that is referred to is not far enough yet.
    FederationNotReady,
    /// The resource asks for credentials that it may not use here.
    CredentialsNotAllowed,
    /// A cloud does not accept the credentials.
    AuthenticationFailed,
    /// A cloud accepts the credentials, but a permission is missing; the message names it.
    PermissionDenied,
    /// A cloud cannot be reached or keeps failing.
    CloudUnavailable,
    /// The object in the cloud carries the mark of another owner; nothing is written.
    OwnedByOther,
    /// An object of that name exists and carries nobody's mark; set `adopt` to take it over.
    NotAdopted,
    /// Two resources claim the same object. Of bindings and of connections the one that was there first works on; of federations neither does.
    ClaimedTwice,
    /// The application to adopt does not exist.
    ApplicationNotFound,
    /// A metadata document cannot be read, or is not what it should be.
    MetadataInvalid,
    /// Entra refuses the identifiers of the service provider.
    IdentifierUriRejected,
    /// A principal of `spec.entra.application.assignments` does not exist in Entra or is ambiguous.
    PrincipalNotFound,
    /// No application role fits the assignment.
    AppRoleNotFound,
    /// The signing certificate ends soon; its successor waits to be imported in AWS.
    CertificateRotation,
    /// The active signing certificate has ended.
    CertificateExpired,
    /// Several Identity Center instances are visible; name one in `instanceArn`.
    InstanceAmbiguous,
    /// The named Identity Center instance is not visible with these credentials and this Region.
    InstanceNotFound,
    /// The instance cannot hold permission sets.
    PermissionSetsDisabled,
    /// A principal exists in Entra and is in scope; the next provisioning cycle brings it to AWS.
    AwaitingProvisioning,
    /// A principal exists in Entra, but nothing assigns it to the application.
    NotInProvisioningScope,
    /// A principal exists neither in the identity store nor in Entra.
    NotInEntra,
    /// A principal is not in the identity store, and another party looks after Entra and has to provision it.
    NotInIdentityStore,
    /// What is asked for lies on the side that another party looks after (`external` in the federation).
    ManagedByOtherParty,
    /// A principal exists, but its name is spelt with other upper and lower case letters; the message says how.
    NameDiffers,
    /// A person's account is disabled in Entra, which does not provision it.
    AccountDisabled,
    /// Another object now carries the name that was bound before, or may do so since the ledger was lost; a person must
    /// approve it.
    PrincipalIdentityChanged,
    /// An account does not exist in the organization or is not active.
    AccountNotFound,
    /// The federation does not take this binding: it takes none of the binding's namespace, or none on the management account.
    BindingNotAllowed,
    /// The federation's `spec.bindings.rules` do not allow what the binding comes to; the message says which part breaks which rule and who can change it. Nobody gets anything new, and what exists stays.
    NotAllowedByRules,
    /// The permission set that something else defines does not exist.
    PermissionSetNotFound,
    /// AWS reports that assignments could not be made or removed; see `status.failures`.
    AssignmentFailed,
    /// AWS reports that the permission set could not be provisioned; see `status.failures`.
    ProvisioningFailed,
    /// A quota of AWS is exhausted; the message names it.
    QuotaExceeded,
    /// The SCIM endpoint is not a host that may receive the token.
    EndpointNotAllowed,
    /// The synchronization job is in quarantine; `status.quarantine` says why.
    Quarantined,
    /// The synchronization job could not write some objects; they are retried.
    EntryLevelErrors,
    /// The application offers no synchronization template, or several without a default.
    TemplateNotFound,
    /// A mapping names an attribute that the job's schema does not have.
    MappingNotFound,
    /// The SCIM token ends soon: create a second one in AWS and put it into the Secret.
    TokenExpiring,
    /// The SCIM token has ended.
    TokenExpired,
    /// The resource is being deleted.
    Deleting,
    /// Deletion waits for something; the message names it.
    DeletionBlocked,
    /// A defect in Causeway; the log has the details.
    InternalError,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
