//! What the spec refers to: the federation and its instance.

use std::collections::{BTreeMap, BTreeSet};

use kube::{Api, ResourceExt as _};

use super::guard;
use super::ledger::{self, Ledger};
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
    /// The labels of the binding's namespace, as far as the federation's rules ask for them.
    pub labels: BTreeMap<String, String>,
    /// Why nothing may be given through the federation now. What it had found out before is enough to remove.
    pub not_ready: Option<Problem>,
}

/// The federation that a binding refers to. Whether the binding may use it is another question ([`guard::admit`]).
///
/// # Errors
/// `FederationNotFound`, also where the operator does not look; in another namespace `BindingNotAllowed`;
/// `ManagedByOtherParty`; API server trouble.
pub async fn federation(
    object: &PermissionSetBinding,
    context: &Context,
) -> Result<IdentityFederation, Problem> {
    let own = object.namespace().unwrap_or_default();
    let reference = &object.spec.federation_ref;
    let namespace = reference.namespace.as_deref().unwrap_or(&own);
    if !context.settings.watches(namespace) {
        return Err(not_watched(&reference.name, namespace));
    }
    let federations = Api::<IdentityFederation>::namespaced(context.kube.clone(), namespace);
    let federation = federations.get_opt(&reference.name).await?.ok_or_else(|| {
        if namespace != own {
            return guard::not_taken(&reference.name, namespace, &own);
        }
        let message = format!(
            "IdentityFederation {} does not exist in namespace {namespace}; create it",
            reference.name
        );
        Problem::new(Class::Blocked, Reason::FederationNotFound, message)
    })?;
    if federation.spec.aws.external.is_some() {
        // What there is in another namespace is told only to those who may use it.
        return Err(if namespace == own {
            other_partys(&reference.name)
        } else {
            guard::not_taken(&reference.name, namespace, &own)
        });
    }
    Ok(federation)
}

/// The operator is restricted to other namespaces, and may read nothing there.
fn not_watched(federation: &str, namespace: &str) -> Problem {
    let message = format!(
        "spec.federationRef names IdentityFederation {federation} in namespace {namespace}, and this operator does not look there: have {namespace} added to its --namespaces (the chart's value namespaces), or create a binding that refers to a federation which it watches"
    );
    Problem::new(Class::Blocked, Reason::FederationNotFound, message)
}

/// Permission sets are AWS's.
fn other_partys(federation: &str) -> Problem {
    let message = format!(
        "another party looks after AWS (spec.aws.external of IdentityFederation {federation}), and permission sets are there: that party creates this binding beside its own federation; delete this one"
    );
    Problem::new(Class::Invalid, Reason::ManagedByOtherParty, message)
}

/// Everything a binding works with. A federation that is in trouble but has found its instance will do, and so will one
/// that does not take the binding (any more), for what it made before.
///
/// # Errors
/// `FederationNotReady`; trouble with the credentials.
pub async fn resolve(
    federation: IdentityFederation,
    admitted: Result<BTreeMap<String, String>, Problem>,
    context: &Context,
) -> Result<Resolved, Problem> {
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
        // One that is being deleted says nothing of its instance any more: then the credentials are the trouble.
        Err(problem) => return Err(not_ready.filter(|_| ready.is_some()).unwrap_or(problem)),
    };
    let instance = context.engine.instance(&instance_arn, &aws.identity_store_id, &clients);
    let (labels, refused) = match admitted {
        Ok(labels) => (labels, None),
        Err(problem) => (BTreeMap::new(), Some(problem)),
    };
    Ok(Resolved { federation, instance, instance_arn, labels, not_ready: refused.or(not_ready) })
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

/// That the ledger is about the instance that the federation sees now: what is on another one can be neither removed
/// nor forgotten from here.
///
/// # Errors
/// `InstanceNotFound` (class Blocked) when it is about another one.
pub fn same_instance(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    ledger: &Ledger,
) -> Result<(), Problem> {
    if !ledger.is_of_another(&resolved.instance_arn) {
        return Ok(());
    }
    let message = format!(
        "IdentityFederation {} sees the instance {} now, and what this binding gave is on another one (permission set {}): let the federation see that one again (spec.aws.region, spec.aws.identityCenter.instanceArn, its credentials), or delete the binding there first. If that instance is gone: kubectl delete configmap {} -n {}",
        resolved.federation.name_any(),
        resolved.instance_arn,
        ledger.set_arn.as_deref().unwrap_or_default(),
        ledger::name(object),
        object.namespace().unwrap_or_default()
    );
    Err(Problem::new(Class::Blocked, Reason::InstanceNotFound, message))
}
