//! What a status lists one by one: failures, who waits, and what others have. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::observe::Observed;
use super::policies;
use super::principals::Standing;
use super::status::{count, number};
use crate::api::v1alpha1::{
    AssignmentFailure, PermissionSetBinding, PermissionSetBindingStatus, Unmanaged, UnmanagedAssignment,
    WaitingPrincipal,
};
use crate::clients::aws::assignments::PrincipalKind;
use crate::engine::plan_assignments::Grant;
use crate::status::Reason;

/// Each list shows so many.
pub const SHOWN: usize = 20;

/// What could not be done.
#[must_use]
pub fn failures(object: &PermissionSetBinding, observed: &Observed) -> Vec<AssignmentFailure> {
    let names = observed.names();
    let failure = |account: &String, principal, reason: &str| AssignmentFailure {
        account_id: account.clone(),
        principal,
        message: explained(object, account, reason),
    };
    let assignments = observed.failures().map(|(grant, work)| {
        let who = names.get(&grant.principal).cloned().unwrap_or_else(|| grant.principal.to_string());
        failure(&grant.account, Some(who), &work.reason)
    });
    let provisionings =
        observed.set.failed.iter().map(|(account, work)| failure(account, None, &work.reason));
    let mut all: Vec<_> = assignments.chain(provisionings).collect();
    all.sort();
    all.truncate(SHOWN);
    all
}

/// What AWS says of work that failed on an account. Where a policy of the spec is absent there: which one, and what to
/// do about it (contract aws 1.4). The wording is AWS's own and may change, so other complaints about missing policies
/// come with all that the spec names.
#[must_use]
pub fn explained(object: &PermissionSetBinding, account: &str, reason: &str) -> String {
    const LIST: &str = "spec.permissionSet.customerManagedPolicies";
    const BOUNDARY: &str = "spec.permissionSet.permissionsBoundary";
    let set = &object.spec.permission_set;
    let listed = set.customer_managed_policies.iter().flatten().map(|p| (p, LIST));
    let boundary = set.permissions_boundary.as_ref().and_then(|b| b.customer_managed_policy.as_ref());
    let own: Vec<_> = listed.chain(boundary.map(|p| (p, BOUNDARY))).collect();
    let words: Vec<&str> =
        reason.split_whitespace().flat_map(|w| [w, w.trim_end_matches(['.', ',', ';', '\'', '"'])]).collect();
    let absent = own.iter().find(|(p, _)| {
        let tail = format!("{account}:policy{}{}", p.path, p.name);
        words.iter().any(|word| word.ends_with(&tail))
    });
    let reason = reason.trim_end_matches('.');
    if let Some((policy, field)) = absent {
        return format!(
            "{reason}: create the customer managed policy {} with path {} in account {account}, exactly so, or take it out of {field}",
            policy.name, policy.path
        );
    }
    let lower = reason.to_lowercase();
    let is_missing = ["404", "not exist", "not found", "nosuchentity"].iter().any(|w| lower.contains(w));
    if own.is_empty() || !lower.contains("policy") || !is_missing {
        return policies::with_advice(reason).into_owned();
    }
    let all: Vec<String> = own.iter().map(|(p, _)| format!("{} with path {}", p.name, p.path)).collect();
    format!("{reason}: check that account {account} has the customer managed policies {}", all.join(", "))
}

/// Who is not bound yet, and since when for the same reason.
#[must_use]
pub fn waiting(
    observed: &Observed,
    old: Option<&PermissionSetBindingStatus>,
    now: Timestamp,
) -> Vec<WaitingPrincipal> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let since = |principal: &str, reason: &str| {
        let before = old.into_iter().flat_map(|s| &s.waiting);
        let same =
            before.filter(|w| w.principal == principal && w.reason == reason).find_map(|w| w.since.clone());
        same.unwrap_or_else(|| now.clone())
    };
    let mut all: Vec<_> = observed
        .subjects
        .iter()
        .filter_map(|subject| {
            let (reason, message) = match &subject.standing {
                Standing::Bound(_) | Standing::Unknown(_) => return None,
                Standing::Waiting(reason, message) => (*reason, message.clone()),
                Standing::Changed(message) => (Reason::PrincipalIdentityChanged, message.clone()),
            };
            let (principal, reason) = (subject.name.clone(), reason.to_string());
            let since = Some(since(&principal, &reason));
            Some(WaitingPrincipal { principal, reason, message, since })
        })
        .collect();
    all.sort();
    all.truncate(SHOWN);
    all
}

/// What others have of the permission set. As long as nobody has looked everywhere, what was seen last.
#[must_use]
pub fn unmanaged(observed: &Observed, old: Option<&PermissionSetBindingStatus>) -> Option<Unmanaged> {
    let old = old.filter(|s| s.permission_set_arn == observed.set.arn).and_then(|s| s.unmanaged.as_ref());
    let Some(others) = &observed.others else { return old.cloned() };
    let ours = ours(observed);
    let others: Vec<&Grant> = others.difference(&ours).collect();
    if others.is_empty() {
        return None;
    }
    let shown = others.iter().take(SHOWN).map(|grant| {
        let kind = match grant.principal.kind {
            PrincipalKind::Group => "Group",
            PrincipalKind::User => "User",
        };
        // A name that is not at hand any more is still a name.
        let before = old.into_iter().flat_map(|o| &o.assignments);
        let before = before.filter(|a| a.principal_id == grant.principal.id).find_map(|a| a.name.clone());
        UnmanagedAssignment {
            account_id: grant.account.clone(),
            kind: kind.to_owned(),
            principal_id: grant.principal.id.clone(),
            name: observed.other_names.get(&grant.principal).cloned().or(before),
        }
    });
    Some(Unmanaged { count: number(others.len()), assignments: shown.collect() })
}

/// What is ours, or will be.
#[must_use]
pub fn ours(observed: &Observed) -> BTreeSet<Grant> {
    observed.ledger.grants.union(&observed.desired).cloned().collect()
}

/// What a message says of that.
#[must_use]
pub fn left_alone(unmanaged: Option<&Unmanaged>) -> String {
    let others = unmanaged.map_or(0, |u| usize::try_from(u.count).unwrap_or_default());
    match others {
        0 => String::new(),
        n => format!(
            "; {} that this binding did not make, and left alone: see status.unmanaged",
            count(n, "more is there", "more are there")
        ),
    }
}

/// One of them, in words.
#[must_use]
pub fn named(other: &UnmanagedAssignment) -> String {
    let kind = other.kind.to_lowercase();
    match &other.name {
        Some(name) => format!("{kind} {name} ({}) on account {}", other.principal_id, other.account_id),
        None => format!("{kind} {} on account {}", other.principal_id, other.account_id),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(set: serde_json::Value) -> PermissionSetBinding {
        let mut object = json!({
            "metadata": {"name": "x", "namespace": "n"},
            "spec": {"federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"}, "principals": [],
                     "accounts": {"include": []}},
        });
        object["spec"]["permissionSet"].as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_policy_that_an_account_lacks_is_told_with_name_path_and_what_to_do() {
        let object = object(json!({
            "customerManagedPolicies": [{"name": "extra"}, {"name": "more", "path": "/teams/"}],
            "permissionsBoundary": {"customerManagedPolicy": {"name": "edge", "path": "/b/"}},
        }));
        let of = |policy: &str| {
            let reason = format!(
                "Received a 404 status error: Policy arn:aws:iam::111122223333:policy{policy} does not exist or is not attachable."
            );
            explained(&object, "111122223333", &reason)
        };
        for (policy, words) in [
            (
                "/extra",
                "create the customer managed policy extra with path / in account 111122223333, exactly so, or take it out of spec.permissionSet.customerManagedPolicies",
            ),
            ("/teams/more", "more with path /teams/ in account 111122223333"),
            ("/b/edge", "or take it out of spec.permissionSet.permissionsBoundary"),
            // Not one of these: all that it may be.
            (
                "/xextra",
                "check that account 111122223333 has the customer managed policies extra with path /, more with path /teams/, edge with path /b/",
            ),
        ] {
            let message = of(policy);
            assert!(message.starts_with("Received a 404") && message.contains(words), "{policy}: {message}");
        }
        let other = "Received a 409 status error: Cannot exceed quota for PoliciesPerRole: 10";
        assert!(explained(&object, "1", other).starts_with(&format!("{other}: name fewer policies")));
        let bare = self::object(json!({}));
        assert_eq!(explained(&bare, "1", "Policy x does not exist."), "Policy x does not exist");
    }

    #[test]
    fn what_others_have_is_told_in_a_few_words() {
        assert_eq!(left_alone(None), "");
        let with = |count| Unmanaged { count, assignments: Vec::new() };
        assert!(left_alone(Some(&with(1))).starts_with("; 1 more is there that"));
        assert!(left_alone(Some(&with(2))).starts_with("; 2 more are there that"));
        let other = UnmanagedAssignment {
            account_id: "1".into(),
            kind: "Group".into(),
            principal_id: "g".into(),
            name: Some("admins".into()),
        };
        assert_eq!(named(&other), "group admins (g) on account 1");
        assert_eq!(named(&UnmanagedAssignment { name: None, ..other }), "group g on account 1");
    }
}
