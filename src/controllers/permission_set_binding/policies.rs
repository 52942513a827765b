//! What to do about policies that AWS refuses: when the set is edited, or where it is put into an account. Which of the
//! two it is, is not documented (contract aws 1.3). Pure.

use std::borrow::Cow;

use crate::clients::aws::permission_sets::{Boundary, SetEdit};
use crate::clients::{CloudError, CloudErrorKind};
use crate::engine::plan_set::SetStep;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// What it means that AWS did not take a step. `fresh`: the set was created a moment ago, and AWS may not show it yet.
#[must_use]
pub fn refused(error: CloudError, step: Option<&SetStep>, fresh: bool) -> Problem {
    let Some((what, field, arn)) = step.and_then(policy) else { return edit(error) };
    let lasting = match error.kind {
        CloudErrorKind::Invalid => true,
        // The same word tells that the set is not there.
        CloudErrorKind::NotFound => arn.is_some_and(|arn| {
            error.message.contains(arn) || !(fresh || error.message.contains("PermissionSet"))
        }),
        _ => false,
    };
    if !lasting {
        return edit(error);
    }
    let message = format!("AWS does not take {what}{}: correct {field}", error.tail());
    Problem::new(Class::Invalid, Reason::InvalidSpec, message).because(error)
}

fn edit(error: CloudError) -> Problem {
    Problem::from_cloud(error, "edit the permission set")
}

/// The policy that a step is about, where it stands in the spec, and its ARN if it is one of AWS's own.
fn policy(step: &SetStep) -> Option<(Cow<'static, str>, &'static str, Option<&str>)> {
    const MANAGED: &str = "spec.permissionSet.managedPolicies";
    const BOUNDARY: &str = "spec.permissionSet.permissionsBoundary";
    let SetStep::Edit(edit) = step else { return None };
    Some(match edit {
        SetEdit::Attach(arn) => (format!("the managed policy {arn}").into(), MANAGED, Some(arn)),
        SetEdit::PutBoundary(Boundary::Aws(arn)) => {
            (format!("the permissions boundary {arn}").into(), BOUNDARY, Some(arn))
        }
        SetEdit::PutBoundary(Boundary::Customer(policy)) => {
            (format!("the permissions boundary {policy}").into(), BOUNDARY, None)
        }
        SetEdit::AttachReference(policy) => (
            format!("the customer managed policy {policy}").into(),
            "spec.permissionSet.customerManagedPolicies",
            None,
        ),
        SetEdit::PutInline(_) => ("the inline policy".into(), "spec.permissionSet.inlinePolicy", None),
        _ => return None,
    })
}

/// What IAM says when it refuses a policy document, in part.
const DOCUMENT: [&str; 9] = [
    "Syntax errors in policy",
    "legacy parsing",
    "Missing required field",
    "Policy statement must",
    "olicy document",
    "Statement IDs",
    "prefaced by a vendor",
    "only one colon",
    "must be in ARN format",
];

/// AWS's reason for asynchronous work that failed, with what to do when it is about a policy.
#[must_use]
pub fn with_advice(reason: &str) -> Cow<'_, str> {
    let advice = if reason.contains("does not exist or is not attachable") {
        if reason.contains(":iam::aws:policy/") {
            "AWS has no such policy, correct spec.permissionSet"
        } else {
            "create the policy in that account, or correct spec.permissionSet"
        }
    } else if reason.contains("PoliciesPerRole") {
        "name fewer policies in spec.permissionSet, or have the quota raised in that account"
    } else if DOCUMENT.iter().any(|words| reason.contains(words)) {
        "AWS does not take the policy document, correct spec.permissionSet.inlinePolicy"
    } else {
        return reason.into();
    };
    format!("{}: {advice}", reason.trim_end_matches('.')).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clients::Service;

    const ARN: &str = "arn:aws:iam::aws:policy/NoSuchPolicy";

    fn error(kind: CloudErrorKind, message: &str) -> CloudError {
        CloudError {
            service: Service::SsoAdmin,
            operation: "AttachManagedPolicyToPermissionSet",
            kind,
            status: 400,
            code: "X".into(),
            message: message.into(),
            request_id: None,
        }
    }

    #[test]
    fn a_refused_policy_is_named_and_a_missing_set_is_not_taken_for_one() {
        use CloudErrorKind::{Denied, Invalid, NotFound};
        let attach = SetStep::Edit(SetEdit::Attach(ARN.into()));
        let boundary = SetStep::Edit(SetEdit::PutBoundary(Boundary::Aws(ARN.into())));
        let inline = SetStep::Edit(SetEdit::PutInline("{}".into()));
        let tag = SetStep::Edit(SetEdit::Tag(BTreeMap::new()));
        let not_found = format!("Could not find ManagedPolicy with arn {ARN}");
        let no_set = "Could not find PermissionSet with id ps-1";
        for (kind, message, step, fresh, field) in [
            (NotFound, not_found.as_str(), &attach, true, Some("managedPolicies")),
            (NotFound, not_found.as_str(), &boundary, false, Some("permissionsBoundary")),
            (NotFound, "Not found", &attach, false, Some("managedPolicies")),
            (NotFound, "Not found", &attach, true, None),
            (NotFound, no_set, &attach, false, None),
            (NotFound, no_set, &inline, false, None),
            (Invalid, "Invalid PermissionsPolicy Document", &inline, true, Some("inlinePolicy")),
            (Denied, "no", &inline, true, None),
            (Invalid, "tags", &tag, false, None),
        ] {
            let problem = refused(error(kind, message), Some(step), fresh);
            let said = &problem.message;
            match field {
                Some(field) => {
                    let end = format!(": correct spec.permissionSet.{field}");
                    assert!(said.ends_with(&end) && said.contains(message), "{said}");
                    assert_eq!((problem.class, problem.reason), (Class::Invalid, Reason::InvalidSpec));
                }
                None => assert!(said.contains("could not edit the permission set"), "{said}"),
            }
        }
    }

    #[test]
    fn reasons_about_policies_say_what_to_do() {
        for (reason, end) in [
            (format!("Received a 404 status error: Policy {ARN} does not exist or is not attachable."), "correct spec.permissionSet"),
            ("Received a 404 status error: Policy arn:aws:iam::111122223333:policy/x does not exist or is not attachable.".to_owned(), "or correct spec.permissionSet"),
            ("Received a 400 status error: Syntax errors in policy.".to_owned(), "spec.permissionSet.inlinePolicy"),
            ("Received a 409 status error: Cannot exceed quota for PoliciesPerRole: 10".to_owned(), "in that account"),
            ("Received a 403 status error: Account 1 is SUSPENDED.".to_owned(), "is SUSPENDED."),
        ] {
            let said = with_advice(&reason);
            assert!(said.ends_with(end) && said.starts_with(reason.trim_end_matches('.')), "{said}");
        }
    }
}
