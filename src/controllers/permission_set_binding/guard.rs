//! The guard rails of a federation (docs/guard-rails.md): what is read to judge a binding by them, and what is said.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};

use super::deadline::{By, Deadlines, read_in_time};
use super::ledger::Ledger;
use super::principals::{self, Subject};
use super::resolve::{self, Resolved};
use super::rules::{self, Asked, AskedPrincipal, Content};
use super::set_side::SetSide;
use crate::api::v1alpha1::{BindingRule, IdentityFederation, PermissionSetBinding};
use crate::api::{Group, Principal, User};
use crate::clients::aws::assignments::PrincipalKind;
use crate::controllers::context::Context;
use crate::engine::plan_set::{DesiredSet, ObservedSet};
use crate::engine::{Instance, Places};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// The rules of a federation; none: bindings of its own namespace may do anything.
#[must_use]
pub fn rules_of(federation: &IdentityFederation) -> Option<&[BindingRule]> {
    federation.spec.bindings.as_ref()?.rules.as_deref()
}

/// Whether a binding lives in another namespace than its federation.
#[must_use]
pub fn is_foreign(object: &PermissionSetBinding, federation: &IdentityFederation) -> bool {
    object.namespace() != federation.namespace()
}

/// The labels of the binding's namespace, as far as the rules ask for them, when the federation takes bindings of that
/// namespace at all.
///
/// # Errors
/// `BindingNotAllowed`; API server trouble.
pub async fn admit(
    object: &PermissionSetBinding,
    federation: &IdentityFederation,
    context: &Context,
) -> Result<BTreeMap<String, String>, Problem> {
    let (own, namespace) =
        (federation.namespace().unwrap_or_default(), object.namespace().unwrap_or_default());
    let rules = rules_of(federation);
    let labels = labels(rules, &namespace, context).await?;
    // One of its own namespace is heard in any case: the rules are judged with everything else.
    if own == namespace || rules::admit_namespace(rules, &own, &namespace, &labels) {
        return Ok(labels);
    }
    Err(not_taken(&federation.name_any(), &own, &namespace))
}

/// Whether a federation takes bindings of that namespace.
///
/// # Errors
/// API server trouble.
pub async fn takes(
    federation: &IdentityFederation,
    namespace: &str,
    context: &Context,
) -> Result<bool, Problem> {
    let (rules, own) = (rules_of(federation), federation.namespace().unwrap_or_default());
    if own == namespace {
        return Ok(true);
    }
    let labels = labels(rules, namespace, context).await?;
    Ok(rules::admit_namespace(rules, &own, namespace, &labels))
}

/// The labels of a namespace, if some rule asks for labels.
///
/// # Errors
/// API server trouble.
pub async fn labels(
    rules: Option<&[BindingRule]>,
    namespace: &str,
    context: &Context,
) -> Result<BTreeMap<String, String>, Problem> {
    if !rules.is_some_and(rules::need_labels) {
        return Ok(BTreeMap::new());
    }
    let found = Api::<Namespace>::all(context.kube.clone()).get_opt(namespace).await?;
    Ok(found.and_then(|n| n.metadata.labels).unwrap_or_default())
}

/// What bindings of other namespaces are told. It does not tell whether there is such a federation.
#[must_use]
pub fn not_taken(federation: &str, own: &str, namespace: &str) -> Problem {
    let message = format!(
        "no IdentityFederation {federation} in namespace {own} takes bindings of namespace {namespace}: ask those who look after {own} to name {namespace} in its spec.bindings.rules, or create the binding in {own}"
    );
    Problem::new(Class::Invalid, Reason::BindingNotAllowed, message)
}

/// Whether a ledger is believed without a look at AWS. Who may write ConfigMaps in a namespace may write a ledger there;
/// in another namespace than the federation's, the operator's own status must say the same.
#[must_use]
pub fn is_proven(object: &PermissionSetBinding, federation: &IdentityFederation, ledger: &Ledger) -> bool {
    let recorded = object.status.as_ref().and_then(|s| s.permission_set_arn.as_ref());
    !is_foreign(object, federation) || (recorded.is_some() && recorded == ledger.set_arn.as_ref())
}

/// Why nobody may get anything through the binding, if so: it names the management account, or breaks the rules. Judged
/// on what was read in this pass.
pub async fn refusal(
    object: &PermissionSetBinding,
    wanted: &DesiredSet,
    set: &SetSide,
    subjects: &[Subject],
    accounts: &BTreeSet<String>,
    resolved: &Resolved,
    time: &Deadlines,
) -> Option<Problem> {
    if let Err(problem) = resolve::guard(&resolved.federation, accounts) {
        return Some(problem);
    }
    let rules = rules_of(&resolved.federation)?;
    let own = resolved.federation.namespace().unwrap_or_default();
    let asked = Asked {
        namespace: object.namespace().unwrap_or_default(),
        labels: resolved.labels.clone(),
        set_name: wanted.name.clone(),
        content: content(wanted, set.state.as_ref(), set.is_elsewhere),
        accounts: accounts.clone(),
        principals: asked_principals(object, subjects),
    };
    let places = match places(rules, accounts, &resolved.instance, time).await {
        Ok(places) => places,
        Err(problem) => return Some(problem),
    };
    let broken = rules::judge(rules, &own, &asked, &places).err()?;
    let name = resolved.federation.name_any();
    let message = format!(
        "spec.bindings.rules of IdentityFederation {name} do not allow this binding: {broken}. It gets nothing new and keeps what it has: change the binding, or ask those who look after namespace {own} to change the rules"
    );
    Some(Problem::new(Class::Guarded, Reason::NotAllowedByRules, message))
}

async fn places(
    rules: &[BindingRule],
    accounts: &BTreeSet<String>,
    instance: &Instance,
    time: &Deadlines,
) -> Result<Places, Problem> {
    const DOING: &str = "read where the accounts are in the organization";
    let Some(paths) = rules::needed_units(rules) else { return Ok(Places::default()) };
    read_in_time(&time.of(By::Accounts), DOING, instance.places(accounts, &paths)).await
}

/// What a permission set comes to: as the binding wants it, and where it leaves it alone, as it is. A set that something
/// else defines is as it is.
#[must_use]
pub fn content(wanted: &DesiredSet, state: Option<&ObservedSet>, elsewhere: bool) -> Content {
    let live = state.map(|s| Content {
        managed: s.managed.clone(),
        references: s.references.clone(),
        inline: s.inline.is_some(),
        boundary: s.boundary.clone(),
    });
    let live = live.unwrap_or_default();
    if elsewhere {
        return live;
    }
    Content {
        managed: wanted.managed.clone().unwrap_or(live.managed),
        references: wanted.references.clone().unwrap_or(live.references),
        // These two are never left alone: absent from the spec, they are taken out.
        inline: wanted.inline.is_some(),
        boundary: wanted.boundary.clone(),
    }
}

/// The principals, as the identity store has them.
#[must_use]
pub fn asked_principals(object: &PermissionSetBinding, subjects: &[Subject]) -> Vec<AskedPrincipal> {
    let principals = object.spec.principals.iter();
    let written: BTreeMap<String, Option<String>> = principals
        .map(|bound| {
            let principal = principals::principal(bound);
            (principal.to_string(), written_name(&principal).cloned())
        })
        .collect();
    subjects
        .iter()
        .map(|subject| AskedPrincipal {
            group: subject.kind == PrincipalKind::Group,
            reference: subject.name.clone(),
            name: match &subject.live {
                Some(live) => Some(live.name.clone()),
                None => written.get(&subject.name).cloned().flatten(),
            },
            object_ids: subject.live.as_ref().map(|live| live.external_ids.clone()),
        })
        .collect()
}

fn written_name(principal: &Principal) -> Option<&String> {
    match principal {
        Principal { group: Some(Group { display_name, .. }), .. } => display_name.as_ref(),
        Principal { user: Some(User { user_principal_name, .. }), .. } => user_principal_name.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
