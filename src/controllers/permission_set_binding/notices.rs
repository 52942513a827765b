//! Events of a binding: what was done, and what a person may have to see. Pure.

use super::apply::Applied;
use super::lists::{self, SHOWN};
use super::status::count;
use crate::api::v1alpha1::{PermissionSetBinding, PermissionSetBindingStatus};
use crate::controllers::Notice;
use crate::status::{Reason, condition};

/// The Events of a pass.
#[must_use]
pub fn notices(
    object: &PermissionSetBinding,
    status: &PermissionSetBindingStatus,
    applied: &Applied,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut tell = |warning, reason: &str, action: &'static str, note: String| {
        notices.push(Notice { warning, reason: reason.to_owned(), action, note });
    };
    let set = &object.spec.permission_set.name;
    if applied.created_set {
        tell(false, "PermissionSetCreated", "CreatePermissionSet", format!("created permission set {set}"));
    } else if applied.edits > 0 {
        tell(false, "PermissionSetUpdated", "UpdatePermissionSet", format!("changed permission set {set}"));
    }
    let removed = count(applied.removals, "assignment", "assignments");
    if applied.removals > 0 && object.spec.principals.is_empty() {
        let note = format!(
            "spec.principals is empty: asked AWS to remove {removed} of permission set {set}; if that is not what was meant, put the principals back"
        );
        tell(true, "AllAccessRemoved", "RemoveAssignments", note);
    } else if applied.removals > 0 {
        tell(false, "RemovalsRequested", "RemoveAssignments", format!("asked AWS to remove {removed}"));
    }
    if applied.creations > 0 {
        let note = format!("asked AWS for {}", count(applied.creations, "assignment", "assignments"));
        tell(false, "AssignmentsRequested", "CreateAssignments", note);
    }
    if let Some(note) = appeared(object, status) {
        tell(true, "UnmanagedAssignments", "ReadAssignments", note);
    }
    let old = object.status.as_ref().and_then(|s| condition(&s.conditions, "Ready"));
    if let Some(ready) = condition(&status.conditions, "Ready") {
        let before = old.map(|o| (o.status.as_str(), o.reason.as_str()));
        if before != Some((ready.status.as_str(), ready.reason.as_str())) {
            match ready.status.as_str() {
                "True" => tell(false, "Ready", "Reconcile", ready.message.clone()),
                "False" => {
                    let warning = ready.reason != Reason::AwaitingProvisioning.as_str();
                    tell(warning, &ready.reason, "Reconcile", ready.message.clone());
                }
                _ => {}
            }
        }
    }
    notices
}

/// What is said of assignments that others have made since the last pass.
fn appeared(object: &PermissionSetBinding, status: &PermissionSetBindingStatus) -> Option<String> {
    let now = status.unmanaged.as_ref()?;
    let old = object.status.as_ref().and_then(|s| s.unmanaged.clone()).unwrap_or_default();
    let known = |account: &str, id: &str| {
        old.assignments.iter().any(|a| a.account_id == account && a.principal_id == id)
    };
    let new = now.assignments.iter().find(|a| !known(&a.account_id, &a.principal_id));
    // Of a list that is cut off, one that goes shows another one that was there before.
    let whole = usize::try_from(old.count).is_ok_and(|n| n <= SHOWN);
    if now.count <= old.count && !(whole && new.is_some()) {
        return None;
    }
    let which = new.or_else(|| now.assignments.first()).map(lists::named).unwrap_or_default();
    Some(format!(
        "permission set {} has assignments that this binding did not make, {} in all: {which}{}; they are left alone: remove them in IAM Identity Center, or add principal and account to the spec",
        object.spec.permission_set.name,
        now.count,
        if now.count > 1 { " among them" } else { "" },
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(unmanaged: &[&str], count: usize) -> Value {
        let all: Vec<Value> = unmanaged
            .iter()
            .map(|id| json!({"accountId": "111122223333", "kind": "Group", "principalId": id}))
            .collect();
        json!({"unmanaged": {"count": count, "assignments": all}})
    }

    fn object(principals: Value, status: Value) -> PermissionSetBinding {
        serde_json::from_value(json!({
            "metadata": {"name": "x", "namespace": "n"},
            "spec": {"federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"}, "principals": principals,
                     "accounts": {"include": []}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn what_others_have_is_told_when_it_appears_and_not_again() {
        for (old, now, told) in [
            (json!({}), json!({}), false),
            (json!({}), status(&["a"], 1), true),
            (status(&["a"], 1), status(&["a"], 1), false),
            (status(&["a", "b"], 2), status(&["b"], 1), false),
            (status(&["a"], 1), status(&["b"], 1), true),
            (status(&["a"], 21), status(&["b"], 20), false),
            (status(&["a"], 20), status(&["a"], 21), true),
        ] {
            let object = object(json!([]), old);
            let next: PermissionSetBindingStatus = serde_json::from_value(now).unwrap();
            let told_now = notices(&object, &next, &Applied::default());
            assert_eq!(told_now.len(), usize::from(told), "{told_now:?}");
            assert!(told_now.iter().all(|n| n.warning && n.reason == "UnmanagedAssignments"));
            assert!(told_now.iter().all(|n| n.note.contains("on account 111122223333")), "{told_now:?}");
        }
    }

    #[test]
    fn an_empty_list_of_principals_that_takes_access_away_is_a_warning() {
        let applied = Applied { removals: 3, ..Applied::default() };
        let group = json!([{"group": {"displayName": "a"}}]);
        for (principals, warning, reason) in
            [(json!([]), true, "AllAccessRemoved"), (group, false, "RemovalsRequested")]
        {
            let object = object(principals, json!({}));
            let told = notices(&object, &PermissionSetBindingStatus::default(), &applied);
            let said: Vec<_> = told.iter().map(|n| (n.warning, n.reason.as_str())).collect();
            assert_eq!(said, [(warning, reason)]);
            assert!(told[0].note.contains("3 assignments"));
        }
    }
}
