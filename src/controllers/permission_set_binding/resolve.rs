//! What the spec refers to: the federation, its instance, and other bindings that claim the same permission set.

use std::collections::BTreeSet;

use kube::{Api, ResourceExt as _, api::ListParams};

use crate::api::v1alpha1::{IdentityFederation, ManagementAccount, PermissionSetBinding};
use crate::controllers::context::Context;
use crate::engine::Instance;
use crate::problem::{Class, Problem};
use crate::status::{Reason, condition};

/// What a binding works with.
pub struct Resolved {
    /// The federation.
    pub federation: IdentityFederation,
    /// The instance, with the federation's credentials.
    pub instance: Instance,
    /// The instance's ARN.
    pub instance_arn: String,
}

/// The federation that a binding refers to, if the binding may use it.
///
/// # Errors
/// `BindingNotAllowed`, `FederationNotFound`; API server trouble.
pub async fn federation(
    object: &PermissionSetBinding,
    context: &Context,
) -> Result<IdentityFederation, Problem> {
    let own = object.namespace().unwrap_or_default();
    let reference = &object.spec.federation_ref;
    let namespace = reference.namespace.as_deref().unwrap_or(&own);
    if namespace != own {
        let message = format!(
            "IdentityFederation {} takes only bindings of its own namespace: create this binding in namespace {namespace}",
            reference.name
        );
        return Err(Problem::new(Class::Invalid, Reason::BindingNotAllowed, message));
    }
    let federations = Api::<IdentityFederation>::namespaced(context.kube.clone(), namespace);
    federations.get_opt(&reference.name).await?.ok_or_else(|| {
        let message = format!(
            "IdentityFederation {} does not exist in namespace {namespace}; create it",
            reference.name
        );
        Problem::new(Class::Blocked, Reason::FederationNotFound, message)
    })
}

/// Everything a binding works with. `loosely` also takes a federation that is in trouble but has an instance: enough
/// to clean up.
///
/// # Errors
/// As [`federation`]; `FederationNotReady`; trouble with the credentials.
pub async fn resolve(
    object: &PermissionSetBinding,
    context: &Context,
    loosely: bool,
) -> Result<Resolved, Problem> {
    let federation = federation(object, context).await?;
    let status = federation.status.as_ref();
    let ready = status.and_then(|s| condition(&s.conditions, "InstanceReady"));
    let usable = loosely || ready.is_some_and(|r| r.status != "False");
    let Some(aws) = status.and_then(|s| s.aws.as_ref()).filter(|_| usable) else {
        if loosely && federation.metadata.deletion_timestamp.is_some() {
            // It waits for its bindings, and will never look at AWS again.
            let message = format!(
                "IdentityFederation {} is being deleted and never had an Identity Center instance",
                federation.name_any()
            );
            return Err(Problem::new(Class::Blocked, Reason::FederationNotFound, message));
        }
        let why = ready.map_or("it was not looked at yet", |r| r.message.as_str());
        let message = format!(
            "IdentityFederation {} has no usable Identity Center instance yet: {why}",
            federation.name_any()
        );
        return Err(Problem::new(Class::Blocked, Reason::FederationNotReady, message));
    };
    let instance_arn = aws.instance_arn.clone();
    let clients = context.aws(&federation).await?;
    let instance = context.engine.instance(&instance_arn, &aws.identity_store_id, &clients);
    Ok(Resolved { federation, instance, instance_arn })
}

/// The guard on the management account.
///
/// # Errors
/// `BindingNotAllowed` when the binding names it and the federation does not allow that.
pub fn guard(federation: &IdentityFederation, accounts: &BTreeSet<String>) -> Result<(), Problem> {
    let rule = federation.spec.bindings.as_ref().map(|b| b.management_account).unwrap_or_default();
    if rule == ManagementAccount::Allow {
        return Ok(());
    }
    let aws = federation.status.as_ref().and_then(|s| s.aws.as_ref());
    // An organization instance is owned by the management account (contract aws 1.1).
    let management = aws.and_then(|a| a.management_account_id.as_ref().or(a.owner_account_id.as_ref()));
    match management {
        Some(account) if accounts.contains(account) => {
            let message = format!(
                "account {account} is the organization's management account: take it out of spec.accounts, or set spec.bindings.managementAccount of IdentityFederation {} to Allow",
                federation.name_any()
            );
            Err(Problem::new(Class::Invalid, Reason::BindingNotAllowed, message))
        }
        Some(_) => Ok(()),
        None => Err(Problem::new(
            Class::Blocked,
            Reason::FederationNotReady,
            "it is not known yet which account is the management account",
        )),
    }
}

/// Whether this binding alone claims its permission set. Two that claim one do not fight: neither writes.
///
/// # Errors
/// `ClaimedTwice`; API server trouble.
pub async fn sole_claim(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    context: &Context,
) -> Result<(), Problem> {
    let namespace = object.namespace().unwrap_or_default();
    let bindings = Api::<PermissionSetBinding>::namespaced(context.kube.clone(), &namespace);
    let name = &object.spec.permission_set.name;
    let mut rivals = Vec::new();
    for other in bindings.list(&ListParams::default()).await? {
        let elsewhere = other.spec.federation_ref.namespace.as_ref().is_some_and(|n| *n != namespace);
        if other.uid() == object.uid()
            || other.spec.permission_set.name != *name
            // One that is going lets go; until then the set carries its mark.
            || other.metadata.deletion_timestamp.is_some()
            // It is refused anyway.
            || elsewhere
        {
            continue;
        }
        if other.spec.federation_ref.name == object.spec.federation_ref.name
            || instance_of(&other, context).await?.as_ref() == Some(&resolved.instance_arn)
        {
            rivals.push(other.name_any());
        }
    }
    if rivals.is_empty() {
        return Ok(());
    }
    rivals.sort();
    let message = format!(
        "PermissionSetBinding {} claims permission set {name} on the same instance: delete one of them; nothing is written until then",
        rivals.join(", ")
    );
    Err(Problem::new(Class::Blocked, Reason::ClaimedTwice, message))
}

async fn instance_of(binding: &PermissionSetBinding, context: &Context) -> Result<Option<String>, Problem> {
    let namespace = binding.namespace().unwrap_or_default();
    let federations = Api::<IdentityFederation>::namespaced(context.kube.clone(), &namespace);
    let federation = federations.get_opt(&binding.spec.federation_ref.name).await?;
    Ok(federation.and_then(|f| Some(f.status?.aws?.instance_arn)))
}
