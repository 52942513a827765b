use super::Reason;

impl Reason {
    /// What to do about it, for the generated list of reasons. The message beside the reason is more precise.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Succeeded | Self::Acknowledged => "Nothing.",
            Self::Progressing => {
                "Wait. `kubectl get events` shows what was done; `status.plan` what is left."
            }
            Self::ProgressingWithRetry => {
                "Wait. If it lasts, look at the message and at the operator's log for the call that fails."
            }
            Self::AwaitingHandoff => {
                "Do the first step of `status.handoff.pending`: `kubectl describe` shows what, where, with which value, and the command to go on with."
            }
            Self::Suspended => "Set `spec.suspend` to false to go on.",
            Self::PlanNotApplied => "Look at `status.plan`; set the mode to Enforce to have it carried out.",
            Self::InvalidSpec => {
                "Correct the field that the message names. A Secret or the state of the cloud may be named too."
            }
            Self::SecretNotFound => {
                "Create the Secret that the message names, with that key, in the resource's namespace."
            }
            Self::ServiceAccountNotFound => {
                "Create the ServiceAccount, or correct `spec.*.credentials.serviceAccount.name`."
            }
            Self::ConfigMapNotFound => "Create the ConfigMap that the message names, with that key.",
            Self::FederationNotFound => {
                "Create the IdentityFederation, or correct `spec.federationRef` (it is immutable: by a new resource). Where the operator does not look, have its `--namespaces` extended."
            }
            Self::FederationNotReady => {
                "Look at the federation: its conditions say what it waits for. This resource goes on by itself."
            }
            Self::CredentialsNotAllowed => {
                "Use credentials of the resource's own namespace, or have the operator's `--ambient-namespaces` or `--allowed-roles` extended."
            }
            Self::AuthenticationFailed => {
                "Renew the credentials where the message says they are: the secret, key or token has expired, was deleted, or belongs to something else."
            }
            Self::PermissionDenied => {
                "Grant the permission that the message names (in Entra with an administrator's consent). Grants take minutes to spread; it is tried again by itself."
            }
            Self::CloudUnavailable => {
                "Wait; it is tried again ever more slowly. If only one cloud or call fails, look at its status page and at the network's rules."
            }
            Self::OwnedByOther => {
                "Choose another name, or delete the owner that the message names. After a move: docs/day-2.md, Move."
            }
            Self::NotAdopted => "Set `adopt` to take the object over, or choose another name.",
            Self::ClaimedTwice => {
                "Delete the binding or connection that says so, which has given nothing, or the one that it names, and it takes over. Of two federations delete one, or let it name another application."
            }
            Self::ApplicationNotFound => {
                "Correct `spec.entra.application.adopt.appId`, or restore the application from Entra's deleted ones."
            }
            Self::MetadataInvalid => {
                "Download the document anew where the message says, and put it into the ConfigMap unchanged."
            }
            Self::IdentifierUriRejected => {
                "Have Entra's administrator see to what the message quotes: a policy on identifiers of applications, or another application that has this one."
            }
            Self::PrincipalNotFound => {
                "Create the principal in Entra, correct its name, or name it by `entraObjectId`. Nobody loses access by this."
            }
            Self::AppRoleNotFound => {
                "In Entra, enable the application role `User`, or exactly one other that users and groups can have."
            }
            Self::CertificateRotation => {
                "Import the successor in AWS and acknowledge it: `status.handoff` has file, link and command. Until then the old one serves."
            }
            Self::CertificateExpired => {
                "Import the new certificate in AWS as `status.handoff` says: nobody can sign in until then."
            }
            Self::InstanceAmbiguous => "Name the instance in `spec.aws.identityCenter.instanceArn`.",
            Self::InstanceNotFound => {
                "Correct `instanceArn` or `spec.aws.region` (the primary Region), or use credentials of the management account or the delegated administrator."
            }
            Self::PermissionSetsDisabled => {
                "Enable permission sets in the instance's settings, or use the organization's instance."
            }
            Self::AwaitingProvisioning => {
                "Wait for the next cycle (within 40 minutes), or annotate the connection with `causeway.dev/provision-on-demand`."
            }
            Self::NotInProvisioningScope => {
                "Name the principal in `spec.entra.application.assignments` of the federation, as the message shows."
            }
            Self::NotInEntra => "Create the principal in Entra, or correct its name in the binding.",
            Self::NotInIdentityStore => {
                "Ask the party that looks after Entra to provision the principal, or correct its name in the binding."
            }
            Self::NameDiffers => "Write the name as the message has it: upper and lower case count.",
            Self::AccountDisabled => {
                "Enable the account in Entra, or take the person out of the binding: Entra does not provision disabled accounts."
            }
            Self::ManagedByOtherParty => {
                "Have the other party do it on its side, and delete this resource; or take `external` out of the federation."
            }
            Self::NotAllowedByRules => {
                "Ask for less in the binding, or have who looks after the federation widen `spec.bindings.rules`: docs/guard-rails.md."
            }
            Self::PermissionSetNotFound => {
                "Have the permission set made by what defines it, correct its name, or let this binding define it."
            }
            Self::PrincipalIdentityChanged => {
                "Find out who carries the name now. If that object may have the access: the annotation `causeway.dev/approve-principal` with the id of the message."
            }
            Self::AccountNotFound => {
                "Take the account out of `spec.accounts`, or have it activated. The others are served."
            }
            Self::BindingNotAllowed => {
                "Move the binding to the federation's namespace, take the account out of it, or have the federation allow it."
            }
            Self::AssignmentFailed => {
                "Mend what `status.failures` quotes; it is tried again by itself, and at once after a change or with `causeway.dev/reconcile`."
            }
            Self::ProvisioningFailed => {
                "Mend what `status.failures` quotes (often a policy that the account lacks). People keep the older version meanwhile."
            }
            Self::QuotaExceeded => "Have the quota raised, or ask for less.",
            Self::EndpointNotAllowed => {
                "Put the endpoint that AWS's console shows into the Secret, or have the host added to the operator's `--scim-hosts`."
            }
            Self::Quarantined => {
                "Mend the cause that the message names, then annotate `causeway.dev/restart`; a new token in the Secret needs no restart."
            }
            Self::EntryLevelErrors => {
                "Look into the provisioning logs of the application in Entra: they name each object. Usual: no first, last or display name."
            }
            Self::TemplateNotFound => {
                "Check that the application was made from the gallery (AWS IAM Identity Center); another one cannot be provisioned."
            }
            Self::MappingNotFound => {
                "Correct the target in `spec.mappings`: the message lists those that there are."
            }
            Self::TokenExpiring => {
                "Make a second token in AWS and put it into the Secret with its `issuedAt`: docs/day-2.md."
            }
            Self::TokenExpired => {
                "Make a token in AWS and put it into the Secret with its `issuedAt`: nobody is provisioned until then."
            }
            Self::Deleting => "Wait: what is ours is being removed.",
            Self::DeletionBlocked => {
                "Mend what the message names. If that cannot be: the annotation `causeway.dev/abandon` lets go without touching the clouds."
            }
            Self::InternalError => "Look into the operator's log and report it.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remedy_is_one_paragraph_that_fits_a_table() {
        for reason in Reason::ALL {
            let remedy = reason.remedy();
            assert!(remedy.ends_with('.') && !remedy.contains(['\n', '|']), "{reason}: {remedy}");
        }
    }
}
