//! What the spec refers to: the federation, its instance, and other bindings that claim the same permission set.

use std::collections::BTreeSet;

use kube::{Api, ResourceExt as _, api::ListParams};

use super::ledger::Ledger;
use crate::api::v1alpha1::{IdentityFederation, ManagementAccount, PermissionSetBinding};
use crate::controllers::context::Context;
use crate::engine::Instance;
use crate::engine::plan_assignments::Grant;
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
    /// Why nothing may be given through the federation now. What it had found out before is enough to remove.
    pub not_ready: Option<Problem>,
}

/// The federation that a binding refers to, if the binding may use it.
///
/// # Errors
/// `BindingNotAllowed`, `FederationNotFound`, `ManagedByOtherParty`; API server trouble.
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
    let federation = federations.get_opt(&reference.name).await?.ok_or_else(|| {
        let message = format!(
            "IdentityFederation {} does not exist in namespace {namespace}; create it",
            reference.name
        );
        Problem::new(Class::Blocked, Reason::FederationNotFound, message)
    })?;
    if federation.spec.aws.external.is_some() {
        return Err(other_partys(&reference.name));
    }
    Ok(federation)
}

/// Permission sets are AWS's.
fn other_partys(federation: &str) -> Problem {
    let message = format!(
        "another party looks after AWS (spec.aws.external of IdentityFederation {federation}), and permission sets are there: that party creates this binding beside its own federation; delete this one"
    );
    Problem::new(Class::Invalid, Reason::ManagedByOtherParty, message)
}

/// Everything a binding works with. A federation that is in trouble but has found its instance will do.
///
/// # Errors
/// `FederationNotReady`; trouble with the credentials.
pub async fn resolve(federation: IdentityFederation, context: &Context) -> Result<Resolved, Problem> {
    let status = federation.status.as_ref();
    let ready = status.and_then(|s| condition(&s.conditions, "InstanceReady"));
    let not_ready = || {
        let why = ready.map_or("it was not looked at yet", |r| r.message.as_str());
        let message = format!(
            "IdentityFederation {} has no usable Identity Center instance yet: {why}",
            federation.name_any()
        );
        Problem::new(Class::Blocked, Reason::FederationNotReady, message)
    };
    let usable = ready.is_some_and(|r| r.status != "False");
    let Some(aws) = status.and_then(|s| s.aws.as_ref()) else { return Err(not_ready()) };
    let not_ready = (!usable).then(not_ready);
    let instance_arn = aws.instance_arn.clone();
    let clients = match context.aws(&federation).await {
        Ok(clients) => clients,
        Err(problem) => return Err(not_ready.unwrap_or(problem)),
    };
    let instance = context.engine.instance(&instance_arn, &aws.identity_store_id, &clients);
    Ok(Resolved { federation, instance, instance_arn, not_ready })
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

/// The other bindings that claim this binding's permission set. Two that claim one do not fight: neither gives anybody
/// anything.
///
/// # Errors
/// API server trouble.
pub async fn rivals(
    object: &PermissionSetBinding,
    instance_arn: &str,
    context: &Context,
) -> Result<Vec<PermissionSetBinding>, Problem> {
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
            || instance_of(&other, context).await?.as_deref() == Some(instance_arn)
        {
            rivals.push(other);
        }
    }
    rivals.sort_by_key(|b| b.name_any());
    Ok(rivals)
}

/// What is said of a permission set that has rivals.
#[must_use]
pub fn claimed_twice(object: &PermissionSetBinding, rivals: &[PermissionSetBinding]) -> Problem {
    let names: Vec<String> = rivals.iter().map(|b| b.name_any()).collect();
    let message = format!(
        "PermissionSetBinding {} claims permission set {} on the same instance: delete one of them; nothing is given to anybody until then",
        names.join(", "),
        object.spec.permission_set.name
    );
    Problem::new(Class::Blocked, Reason::ClaimedTwice, message)
}

/// What nothing but stated removals may be done for, and what of those not either.
///
/// # Errors
/// The same problem where there is nothing to remove, or where nobody can say what a rival holds on to; API server
/// trouble.
pub async fn restraint(
    object: &PermissionSetBinding,
    resolved: &mut Resolved,
    ledger: &Ledger,
    context: &Context,
) -> Result<Option<(Problem, BTreeSet<Grant>)>, Problem> {
    let not_ready = resolved.not_ready.take();
    let problem = match not_ready {
        Some(problem) if ledger.grants.is_empty() => return Err(problem),
        other => other,
    };
    let rivals = rivals(object, &resolved.instance_arn, context).await?;
    let claimed = (!rivals.is_empty()).then(|| claimed_twice(object, &rivals));
    let Some(problem) = problem.or(claimed) else { return Ok(None) };
    if ledger.grants.is_empty() {
        return Err(problem);
    }
    let mut spared = BTreeSet::new();
    for rival in &rivals {
        match Ledger::read(rival, context).await {
            Ok(theirs) if theirs.set_arn == ledger.set_arn => spared.extend(theirs.grants),
            Ok(_) => {}
            Err(unreadable) => {
                unreadable.log();
                return Err(problem);
            }
        }
    }
    Ok(Some((problem, spared)))
}

async fn instance_of(binding: &PermissionSetBinding, context: &Context) -> Result<Option<String>, Problem> {
    let namespace = binding.namespace().unwrap_or_default();
    let federations = Api::<IdentityFederation>::namespaced(context.kube.clone(), &namespace);
    let federation = federations.get_opt(&binding.spec.federation_ref.name).await?;
    Ok(federation.and_then(|f| Some(f.status?.aws?.instance_arn)))
}
