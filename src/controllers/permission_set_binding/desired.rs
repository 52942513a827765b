//! The spec in the engine's terms.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::v1alpha1::{CustomerManagedPolicy, PermissionSet, PermissionSetBinding};
use crate::clients::aws::permission_sets::{Boundary, PolicyReference, SetSettings};
use crate::engine::plan_set::{DesiredSet, iso_duration};
use crate::engine::policy;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// How long a session lasts when the spec does not say.
const SESSION: &str = "PT1H";

/// The permission set as it should be.
///
/// # Errors
/// `InvalidSpec` for what the schema cannot judge.
pub fn desired_set(spec: &PermissionSet, owner: String) -> Result<DesiredSet, Problem> {
    let invalid = |message: String| Problem::new(Class::Invalid, Reason::InvalidSpec, message);
    let session = match &spec.session_duration {
        Some(text) => iso_duration(text).ok_or_else(|| {
            invalid(format!(
                "spec.permissionSet.sessionDuration {text} is no duration; write it like 8h or 1h30m"
            ))
        })?,
        None => SESSION.to_owned(),
    };
    let inline = spec.inline_policy.as_ref().map(|document| Value::Object(document.clone()));
    if let Some(weight) = inline.as_ref().map(|p| policy::weight(&p.to_string()))
        && weight > policy::MAX_INLINE_BYTES
    {
        return Err(invalid(format!(
            "spec.permissionSet.inlinePolicy has {weight} bytes without white space, AWS takes {}: move a part of it into a customer managed policy",
            policy::MAX_INLINE_BYTES
        )));
    }
    let boundary = spec.permissions_boundary.as_ref().and_then(|b| {
        let customer = b.customer_managed_policy.as_ref().map(|p| Boundary::Customer(reference(p)));
        customer.or_else(|| b.managed_policy_arn.clone().map(Boundary::Aws))
    });
    Ok(DesiredSet {
        name: spec.name.clone(),
        owner,
        adopt: spec.adopt,
        settings: SetSettings {
            description: spec.description.clone(),
            session_duration: Some(session),
            relay_state: spec.relay_state.clone(),
        },
        managed: spec.managed_policies.as_ref().map(|p| p.iter().cloned().collect()),
        references: spec.customer_managed_policies.as_ref().map(|p| p.iter().map(reference).collect()),
        inline,
        boundary,
        tags: spec.tags.as_ref().map(|t| t.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect()),
    })
}

fn reference(policy: &CustomerManagedPolicy) -> PolicyReference {
    PolicyReference { name: policy.name.clone(), path: policy.path.clone() }
}

/// The accounts that the spec names.
#[must_use]
pub fn accounts(object: &PermissionSetBinding) -> BTreeSet<String> {
    object.spec.accounts.include.iter().flat_map(|entry| &entry.ids).map(|id| id.0.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(more: Value) -> PermissionSet {
        let mut spec = json!({"name": "Engineers"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_is_left_out_is_left_alone_or_has_a_default() {
        let set = desired_set(&spec(json!({})), "me".into()).unwrap();
        assert_eq!(set.settings.session_duration.as_deref(), Some("PT1H"));
        assert!(set.managed.is_none() && set.references.is_none() && set.tags.is_none());
        let set = desired_set(&spec(json!({"managedPolicies": [], "sessionDuration": "1h30m"})), "me".into())
            .unwrap();
        assert_eq!(set.managed, Some(BTreeSet::new()));
        assert_eq!(set.settings.session_duration.as_deref(), Some("PT1H30M"));
    }

    #[test]
    fn an_inline_policy_that_aws_would_refuse_is_refused_here() {
        let long = "x".repeat(policy::MAX_INLINE_BYTES);
        let problem = desired_set(&spec(json!({"inlinePolicy": {"Sid": long}})), "me".into()).unwrap_err();
        assert_eq!((problem.class, problem.reason), (Class::Invalid, Reason::InvalidSpec));
    }
}
