//! Guard rails: whether the rules of a federation allow a binding. Pure.
//!
//! A binding is judged by what it comes to, not by what it says: its permission set as it will be, parts that the
//! binding leaves alone as they are in AWS; its principals as the identity store has them. Nothing of a ledger counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::v1alpha1::{
    AccountScope, BindingRule, InlinePolicyRule, NamespaceSelector, OrganizationalUnit, PermissionsBoundary,
    RuleAccounts,
};
use crate::clients::aws::permission_sets::{Boundary, PolicyReference};
use crate::engine::Places;

/// How many rules, or accounts, a message names.
const NAMED: usize = 3;
/// So many characters are said about a rule.
const SAID: usize = 320;
/// So many entries of a list are shown, and so many characters of each.
const SHOWN: usize = 6;
const WIDTH: usize = 60;

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

/// A principal that a binding names. What is not known of one that is not in the identity store does not speak against
/// it: it gets nothing before it is there, and then it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedPrincipal {
    /// Whether it is a group.
    pub group: bool,
    /// As messages name it.
    pub reference: String,
    /// Its name in the identity store; one that is not there, as the spec has it.
    pub name: Option<String>,
    /// The ids that identity providers gave it; none when it is not in the identity store.
    pub object_ids: Option<BTreeSet<String>>,
}

/// The paths of organizational units that judging by these rules takes; none when no rule names a unit, by path or by
/// id.
#[must_use]
pub fn needed_units(rules: &[BindingRule]) -> Option<BTreeSet<String>> {
    let accounts = rules.iter().filter_map(|r| r.accounts.as_ref());
    let scopes = accounts.flat_map(|a| a.include.iter().chain(a.exclude.iter().flatten()));
    let units: Vec<&OrganizationalUnit> = scopes.filter_map(|s| s.organizational_unit.as_ref()).collect();
    (!units.is_empty()).then(|| units.iter().filter_map(|u| u.path.clone()).collect())
}

/// Whether judging by these rules takes the labels of the binding's namespace.
#[must_use]
pub fn need_labels(rules: &[BindingRule]) -> bool {
    rules.iter().any(|r| r.namespaces.as_ref().is_some_and(|n| n.match_labels.is_some()))
}

/// Whether some rule is about bindings of that namespace. `own` is the federation's namespace.
#[must_use]
pub fn admit_namespace(
    rules: Option<&[BindingRule]>,
    own: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    match rules {
        None => namespace == own,
        Some(rules) => rules.iter().any(|rule| selects(rule.namespaces.as_ref(), own, namespace, labels)),
    }
}

/// Whether a binding of that namespace may have a permission set of that name: one that may not claims nothing.
#[must_use]
pub fn may_claim(
    rules: Option<&[BindingRule]>,
    own: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
    set_name: &str,
) -> bool {
    match rules {
        None => namespace == own,
        Some(rules) => rules.iter().any(|rule| {
            selects(rule.namespaces.as_ref(), own, namespace, labels)
                && holds(&rule.permission_set_names, set_name)
        }),
    }
}

/// Judges a binding. `own` is the federation's namespace.
///
/// # Errors
/// In words, for each rule the first thing that it does not allow; bounded.
pub fn judge(rules: &[BindingRule], own: &str, asked: &Asked, places: &Places) -> Result<(), String> {
    let mut objections = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        if !selects(rule.namespaces.as_ref(), own, &asked.namespace, &asked.labels) {
            // Nothing that this binding could satisfy.
            continue;
        }
        match objection(rule, asked, places) {
            None => return Ok(()),
            Some(what) => objections.push(format!("rule {}: {}", position + 1, clipped(&what, SAID))),
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

fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What is said of something that a list does not hold, with what it holds.
fn not_in(what: &str, field: &str, list: Option<&Vec<String>>) -> String {
    match list.filter(|l| !l.is_empty()) {
        Some(list) => format!("{what} is not in its {field} ({})", shown(list)),
        None => format!("{what} is not in its {field}, which is empty"),
    }
}

fn shown(list: &[String]) -> String {
    let shown: Vec<String> = list.iter().take(SHOWN).map(|entry| clipped(entry, WIDTH)).collect();
    let more = if list.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// The first thing that a rule does not allow.
fn objection(rule: &BindingRule, asked: &Asked, places: &Places) -> Option<String> {
    let content = &asked.content;
    if !holds(&rule.permission_set_names, &asked.set_name) {
        let what = format!("permission set name {}", asked.set_name);
        return Some(not_in(&what, "permissionSetNames", rule.permission_set_names.as_ref()));
    }
    if let Some(accounts) = &rule.accounts
        && let Some(objection) = outside(accounts, &asked.accounts, places)
    {
        return Some(objection);
    }
    if let Some(policy) = content.managed.iter().find(|p| !holds(&rule.managed_policies, p)) {
        let what = format!("managed policy {policy}");
        return Some(not_in(&what, "managedPolicies", rule.managed_policies.as_ref()));
    }
    let references = content.references.iter().map(ToString::to_string);
    if let Some(policy) = references.into_iter().find(|p| !holds(&rule.customer_managed_policies, p)) {
        let what = format!("customer managed policy {policy}");
        return Some(not_in(&what, "customerManagedPolicies", rule.customer_managed_policies.as_ref()));
    }
    if content.inline && rule.inline_policy == InlinePolicyRule::Deny {
        return Some("it allows no inline policy".to_owned());
    }
    if let Some(boundaries) = &rule.permissions_boundaries
        && !content.boundary.as_ref().is_some_and(|has| boundaries.iter().any(|b| is_same(b, has)))
    {
        let names: Vec<String> = boundaries.iter().map(boundary_name).collect();
        return Some(match content.boundary {
            Some(_) => not_in("the permissions boundary", "permissionsBoundaries", Some(&names)),
            None => {
                format!("it asks for one of its permissionsBoundaries ({}), and there is none", shown(&names))
            }
        });
    }
    if rule.groups.is_none() && rule.users.is_none() {
        return None;
    }
    asked.principals.iter().find_map(|principal| {
        let (list, field) = if principal.group { (&rule.groups, "groups") } else { (&rule.users, "users") };
        let allowed = list.as_ref().is_some_and(|l| l.iter().any(|entry| may_be_meant(entry, principal)));
        (!allowed).then(|| match list {
            Some(list) => not_in(&principal.reference, field, Some(list)),
            // A rule with groups alone allows no users, and the other way round.
            None => {
                let other = if principal.group { "users" } else { "groups" };
                format!("{}: it names {other} alone, and so allows no {field}", principal.reference)
            }
        })
    })
}

/// Whether an entry of a list means a principal, as far as it is known. An object id is no name, also for somebody who
/// is called like one.
fn may_be_meant(entry: &str, principal: &AskedPrincipal) -> bool {
    if is_object_id(entry) {
        let ids = principal.object_ids.as_ref();
        return ids.is_none_or(|ids| ids.iter().any(|id| id.eq_ignore_ascii_case(entry)));
    }
    principal.name.as_ref().is_none_or(|name| matches(entry, name))
}

/// Whether a text has the form of an object id of Entra.
fn is_object_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|p| p.chars().all(|c| c.is_ascii_hexdigit()))
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

/// Why accounts are not all among those of a rule.
fn outside(accounts: &RuleAccounts, named: &BTreeSet<String>, places: &Places) -> Option<String> {
    let mut refused = named.iter().filter(|account| !covers(accounts, account, places));
    let shown: Vec<&str> = refused.by_ref().take(NAMED).map(String::as_str).collect();
    if shown.is_empty() {
        return None;
    }
    let more = if refused.next().is_some() { ", …" } else { "" };
    let scopes = accounts.include.iter().chain(accounts.exclude.iter().flatten());
    let mut paths = scopes.filter_map(|s| s.organizational_unit.as_ref()?.path.as_ref());
    // Who looks for the reason should not have to look for a unit that is gone.
    let gone = paths.find(|path| matches!(places.units.get(*path), Some(None)));
    let gone = gone.map(|path| format!(" (there is no organizational unit {path})")).unwrap_or_default();
    let held: Vec<String> = accounts.include.iter().flat_map(scope_names).collect();
    let except: Vec<String> = accounts.exclude.iter().flatten().flat_map(scope_names).collect();
    let except = if except.is_empty() { String::new() } else { format!(" but {}", self::shown(&except)) };
    let held = self::shown(&held);
    Some(format!("its accounts do not hold {}{more}{gone} (they are {held}{except})", shown.join(", ")))
}

fn scope_names(scope: &AccountScope) -> Vec<String> {
    if scope.all.is_some() {
        return vec!["all".to_owned()];
    }
    if let Some(ids) = &scope.ids {
        return ids.iter().map(|id| id.0.clone()).collect();
    }
    let unit = scope.organizational_unit.iter();
    unit.filter_map(|unit| Some(format!("those of {}", unit.path.as_ref().or(unit.id.as_ref())?))).collect()
}

/// Whether the accounts of a rule hold this one. Where that cannot be said, it is neither included nor safe from being
/// excluded.
fn covers(accounts: &RuleAccounts, account: &str, places: &Places) -> bool {
    let included = accounts.include.iter().any(|scope| is_in(scope, account, places).unwrap_or(false));
    let excluded =
        accounts.exclude.iter().flatten().any(|scope| is_in(scope, account, places).unwrap_or(true));
    included && !excluded
}

/// None: it cannot be said.
fn is_in(scope: &AccountScope, account: &str, places: &Places) -> Option<bool> {
    if scope.all.is_some() {
        return Some(true);
    }
    if let Some(ids) = &scope.ids {
        return Some(ids.iter().any(|id| id.0 == account));
    }
    let unit = scope.organizational_unit.as_ref()?;
    let id = match (&unit.id, &unit.path) {
        (Some(id), _) => id,
        (None, Some(path)) => places.units.get(path)?.as_ref()?,
        (None, None) => return None,
    };
    let above = places.above.get(account)?;
    Some(if unit.recursive { above.contains(id) } else { above.last() == Some(id) })
}

fn boundary_name(allowed: &PermissionsBoundary) -> String {
    let customer =
        allowed.customer_managed_policy.as_ref().map(|policy| format!("{}{}", policy.path, policy.name));
    allowed.managed_policy_arn.clone().or(customer).unwrap_or_default()
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

/// Whether a list allows a text; one that is absent does.
fn holds(patterns: &Option<Vec<String>>, text: &str) -> bool {
    patterns.as_ref().is_none_or(|all| all.iter().any(|pattern| matches(pattern, text)))
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
pub(super) mod tests;
