//! Guard rails: whether a federation's rules allow a binding. Pure.
//!
//! A binding is judged by what its permission set comes to, not by what it says: parts that it leaves alone count as
//! they are in AWS.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::v1alpha1::{
    AccountScope, BindingRule, InlinePolicyRule, NamespaceSelector, OrganizationalUnit, PermissionsBoundary,
    RuleAccounts,
};
use crate::clients::aws::organization::Unit;
use crate::clients::aws::permission_sets::{Boundary, PolicyReference};

/// How many rules, or accounts, a message names.
const NAMED: usize = 3;

/// What a binding asks for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The binding's namespace.
    pub namespace: String,
    /// The labels of that namespace.
    pub labels: BTreeMap<String, String>,
    /// The name of the permission set.
    pub set_name: String,
    /// What the permission set comes to.
    pub content: Content,
    /// The accounts that it names.
    pub accounts: BTreeSet<String>,
    /// The principals that it names.
    pub principals: Vec<AskedPrincipal>,
}

/// What a permission set comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// AWS managed policies.
    pub managed: BTreeSet<String>,
    /// Customer managed policies.
    pub references: BTreeSet<PolicyReference>,
    /// Whether there is an inline policy.
    pub inline: bool,
    /// The permissions boundary.
    pub boundary: Option<Boundary>,
}

/// A principal that a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedPrincipal {
    /// Whether it is a group.
    pub group: bool,
    /// As messages name it.
    pub reference: String,
    /// Its name or object id in the spec, and its name in the identity store.
    pub names: BTreeSet<String>,
}

/// Where the organization's accounts are: for each, the units above it, the root first.
pub type Places = BTreeMap<String, Vec<Unit>>;

/// Whether judging by these rules takes the organization's structure.
#[must_use]
pub fn need_places(rules: &[BindingRule]) -> bool {
    let accounts = rules.iter().filter_map(|r| r.accounts.as_ref());
    let mut scopes = accounts.flat_map(|a| a.include.iter().chain(a.exclude.iter().flatten()));
    scopes.any(|s| s.organizational_unit.is_some())
}

/// Whether judging by these rules takes the labels of the binding's namespace.
#[must_use]
pub fn need_labels(rules: &[BindingRule]) -> bool {
    rules.iter().any(|r| r.namespaces.as_ref().is_some_and(|n| n.match_labels.is_some()))
}

/// Whether some rule is about bindings of that namespace.
#[must_use]
pub fn admits_namespace(
    rules: &[BindingRule],
    own: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    rules.iter().any(|rule| selects(rule.namespaces.as_ref(), own, namespace, labels))
}

/// Judges a binding. `own` is the federation's namespace.
///
/// # Errors
/// In words, for each rule the first thing that it does not allow; bounded.
pub fn judge(rules: &[BindingRule], own: &str, asked: &Asked, places: &Places) -> Result<(), String> {
    let mut objections = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        match objection(rule, own, asked, places) {
            None => return Ok(()),
            // What is about other namespaces is nothing that this binding could satisfy.
            Some(Objection::Namespace) => {}
            Some(Objection::Content(what)) => objections.push(format!("rule {}: {what}", position + 1)),
        }
    }
    if objections.is_empty() {
        return Err(format!("no rule is about bindings of namespace {}", asked.namespace));
    }
    let more = objections.len().saturating_sub(NAMED);
    objections.truncate(NAMED);
    let more = if more > 0 { format!("; and {more} more rules") } else { String::new() };
    Err(format!("{}{more}", objections.join("; ")))
}

enum Objection {
    Namespace,
    Content(String),
}

fn objection(rule: &BindingRule, own: &str, asked: &Asked, places: &Places) -> Option<Objection> {
    if !selects(rule.namespaces.as_ref(), own, &asked.namespace, &asked.labels) {
        return Some(Objection::Namespace);
    }
    let name = |list: &Option<Vec<String>>, name: &str| list.as_ref().is_none_or(|l| allows(l, name));
    if !name(&rule.permission_set_names, &asked.set_name) {
        return content(format!("permission set name {} is not in its permissionSetNames", asked.set_name));
    }
    if let Some(accounts) = &rule.accounts {
        let outside = |a: &&String| !covers(accounts, a, places.get(a.as_str()));
        let mut refused = asked.accounts.iter().filter(outside);
        let named: Vec<&str> = refused.by_ref().take(NAMED).map(String::as_str).collect();
        if !named.is_empty() {
            let more = if refused.next().is_some() { ", …" } else { "" };
            return content(format!("its accounts do not hold {}{more}", named.join(", ")));
        }
    }
    if let Some(policy) = asked.content.managed.iter().find(|p| !name(&rule.managed_policies, p)) {
        return content(format!("managed policy {policy} is not in its managedPolicies"));
    }
    let full = |r: &PolicyReference| format!("{}{}", r.path, r.name);
    let references = asked.content.references.iter().map(full);
    if let Some(policy) = references.into_iter().find(|p| !name(&rule.customer_managed_policies, p)) {
        return content(format!("customer managed policy {policy} is not in its customerManagedPolicies"));
    }
    if asked.content.inline && rule.inline_policy == InlinePolicyRule::Deny {
        return content("it allows no inline policy".to_owned());
    }
    if let Some(boundaries) = &rule.permissions_boundaries
        && !asked.content.boundary.as_ref().is_some_and(|has| boundaries.iter().any(|b| is_same(b, has)))
    {
        return content("the permission set has none of its permissionsBoundaries".to_owned());
    }
    principals(rule, asked)
}

fn content(what: String) -> Option<Objection> {
    Some(Objection::Content(what))
}

fn principals(rule: &BindingRule, asked: &Asked) -> Option<Objection> {
    if rule.groups.is_none() && rule.users.is_none() {
        return None;
    }
    for principal in &asked.principals {
        let (list, field) =
            if principal.group { (&rule.groups, "groups") } else { (&rule.users, "users") };
        // Every name that it has: one that is called otherwise in the store than in the spec is neither alone.
        let allowed =
            list.as_ref().is_some_and(|list| principal.names.iter().any(|name| allows(list, name)));
        if !allowed {
            return content(format!("{} is not in its {field}", principal.reference));
        }
    }
    None
}

fn selects(
    selector: Option<&NamespaceSelector>,
    own: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    match selector {
        None => namespace == own,
        Some(NamespaceSelector { names: Some(names), .. }) => names.iter().any(|n| n == namespace),
        Some(NamespaceSelector { match_labels: Some(wanted), .. }) => {
            !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(&value.0))
        }
        Some(_) => false,
    }
}

/// Whether the accounts of a rule hold this one. An account that nobody knows where it is lies in no unit, and so is
/// neither included by one nor safe from being excluded by one.
fn covers(accounts: &RuleAccounts, account: &str, place: Option<&Vec<Unit>>) -> bool {
    let included = accounts.include.iter().any(|scope| is_in(scope, account, place).unwrap_or(false));
    let excluded = accounts.exclude.iter().flatten().any(|scope| is_in(scope, account, place).unwrap_or(true));
    included && !excluded
}

/// None: it cannot be said.
fn is_in(scope: &AccountScope, account: &str, place: Option<&Vec<Unit>>) -> Option<bool> {
    if scope.all.is_some() {
        return Some(true);
    }
    if let Some(ids) = &scope.ids {
        return Some(ids.iter().any(|id| id.0 == account));
    }
    let unit = scope.organizational_unit.as_ref()?;
    let above = place?;
    Some(match unit.recursive {
        true => above.iter().any(|u| is_meant(unit, u)),
        false => above.last().is_some_and(|u| is_meant(unit, u)),
    })
}

fn is_meant(wanted: &OrganizationalUnit, unit: &Unit) -> bool {
    match (&wanted.id, &wanted.path) {
        (Some(id), _) => *id == unit.id,
        (None, Some(path)) => {
            let path = path.trim_end_matches('/');
            unit.path == if path.is_empty() { "/" } else { path }
        }
        (None, None) => false,
    }
}

fn is_same(allowed: &PermissionsBoundary, has: &Boundary) -> bool {
    match has {
        Boundary::Aws(arn) => allowed.managed_policy_arn.as_ref() == Some(arn),
        Boundary::Customer(policy) => allowed
            .customer_managed_policy
            .as_ref()
            .is_some_and(|a| a.name == policy.name && a.path == policy.path),
    }
}

fn allows(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whether a text is what a pattern says; `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
