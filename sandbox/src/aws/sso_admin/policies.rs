//! The five kinds of policy of a permission set (contract aws 1.3, 1.8).

use serde_json::{Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::state::PermissionSet;
use super::super::validate::{INLINE_POLICY, Input, MANAGED_POLICY_ARN, POLICY_NAME, POLICY_PATH};
use super::instances::with_token;
use super::managed::exists;
use super::policy_grammar;
use super::{edit_set, gate, instance_arn, paging, seen_set, set_arn};

/// AWS managed and customer managed policies of one set together.
const MAX_POLICIES: usize = 20;
/// Non-whitespace bytes of an inline policy.
const MAX_INLINE: usize = 10_240;

/// A customer managed policy by name, to be found in every target account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PolicyReference {
    pub name: String,
    pub path: String,
}

impl PolicyReference {
    pub fn json(&self) -> Value {
        json!({"Name": self.name, "Path": self.path})
    }
}

/// A permissions boundary: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Boundary {
    Customer(PolicyReference),
    Managed(String),
}

impl Boundary {
    pub fn json(&self) -> Value {
        match self {
            Self::Customer(reference) => json!({"CustomerManagedPolicyReference": reference.json()}),
            Self::Managed(arn) => json!({"ManagedPolicyArn": arn}),
        }
    }
}

pub(super) const OPERATIONS: Table<Handler> = &[
    ("AttachManagedPolicyToPermissionSet", attach_managed),
    ("DetachManagedPolicyFromPermissionSet", detach_managed),
    ("ListManagedPoliciesInPermissionSet", list_managed),
    ("AttachCustomerManagedPolicyReferenceToPermissionSet", attach_customer),
    ("DetachCustomerManagedPolicyReferenceFromPermissionSet", detach_customer),
    ("ListCustomerManagedPolicyReferencesInPermissionSet", list_customer),
    ("PutInlinePolicyToPermissionSet", put_inline),
    ("GetInlinePolicyForPermissionSet", get_inline),
    ("DeleteInlinePolicyFromPermissionSet", delete_inline),
    ("PutPermissionsBoundaryToPermissionSet", put_boundary),
    ("GetPermissionsBoundaryForPermissionSet", get_boundary),
    ("DeletePermissionsBoundaryFromPermissionSet", delete_boundary),
];

fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn quota(set: &PermissionSet) -> Result<(), ApiError> {
    if set.content.managed.len() + set.content.customer.len() < MAX_POLICIES {
        return Ok(());
    }
    Err(ApiError::quota(format!(
        "You have exceeded AWS SSO limits. Cannot create ManagedPolicy more than {MAX_POLICIES} for id {}. \
         Please refer to https://docs.aws.amazon.com/singlesignon/latest/userguide/limits.html",
        short(&set.arn)
    )))
}

/// Whether this call already refuses a policy that does not exist is UNCONFIRMED (contract aws 1.3).
fn known(cx: &Cx<'_>, policy: &str) -> Result<(), ApiError> {
    if exists(cx.state, policy) || cx.state.behaviours.unknown_policy_fails_later {
        return Ok(());
    }
    Err(ApiError::not_found(format!("Could not find ManagedPolicy with arn {policy}")))
}

fn attach_managed(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let policy = input.required("ManagedPolicyArn", &MANAGED_POLICY_ARN);
    input.check()?;
    gate(cx, &instance)?;
    known(cx, &policy)?;
    edit_set(cx, &arn, |set| {
        if set.content.managed.contains(&policy) {
            return Err(ApiError::conflict(format!(
                "Permission set with id {} already has a typed link attachment to a manged policy with {policy}",
                short(&set.arn)
            )));
        }
        quota(set)?;
        set.content.managed.push(policy);
        Ok(true)
    })?;
    Ok(json!({}))
}

fn detach_managed(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let policy = input.required("ManagedPolicyArn", &MANAGED_POLICY_ARN);
    input.check()?;
    gate(cx, &instance)?;
    edit_set(cx, &arn, |set| {
        let at = set.content.managed.iter().position(|p| *p == policy);
        let at =
            at.ok_or_else(|| ApiError::not_found(format!("Could not find ManagedPolicy with arn {policy}")))?;
        set.content.managed.remove(at);
        Ok(true)
    })?;
    Ok(json!({}))
}

fn list_managed(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    let mut all: Vec<_> = seen_set(cx, &arn)?.content.managed.clone();
    all.sort();
    let all = all.into_iter().map(|p| (p.clone(), json!({"Name": short(&p), "Arn": p})));
    let (items, next) = page(&format!("ListManagedPolicies {arn}"), all, max, token.as_deref())?;
    Ok(with_token(json!({"AttachedManagedPolicies": items}), next))
}

fn reference(input: &mut Input<'_>) -> PolicyReference {
    PolicyReference {
        name: input.required("Name", &POLICY_NAME),
        path: input.text("Path", &POLICY_PATH).unwrap_or_else(|| "/".into()),
    }
}

fn required_reference(input: &mut Input<'_>) -> Result<PolicyReference, ApiError> {
    let found = input.required_structure("CustomerManagedPolicyReference", reference);
    input.check()?;
    found.ok_or_else(|| ApiError::validation("CustomerManagedPolicyReference is required"))
}

fn attach_customer(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let policy = required_reference(input)?;
    gate(cx, &instance)?;
    edit_set(cx, &arn, |set| {
        if set.content.customer.contains(&policy) {
            return Err(ApiError::conflict(format!(
                "Given customer managed policy with name: {}  and path {} already attached",
                policy.name, policy.path
            )));
        }
        quota(set)?;
        set.content.customer.push(policy);
        Ok(true)
    })?;
    Ok(json!({}))
}

fn detach_customer(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let policy = required_reference(input)?;
    gate(cx, &instance)?;
    edit_set(cx, &arn, |set| {
        let at = set.content.customer.iter().position(|p| *p == policy).ok_or_else(|| {
            ApiError::not_found(format!(
                "Given managed policy with name: {}  and path {} does not exist on PermissionSet",
                policy.name, policy.path
            ))
        })?;
        set.content.customer.remove(at);
        Ok(true)
    })?;
    Ok(json!({}))
}

fn list_customer(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let (max, token) = paging(input);
    input.check()?;
    gate(cx, &instance)?;
    let mut all = seen_set(cx, &arn)?.content.customer.clone();
    all.sort();
    let all = all.into_iter().map(|r| (format!("{} {}", r.name, r.path), r.json()));
    let (items, next) = page(&format!("ListCustomerManagedPolicies {arn}"), all, max, token.as_deref())?;
    Ok(with_token(json!({"CustomerManagedPolicyReferences": items}), next))
}

fn put_inline(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let policy = input.required("InlinePolicy", &INLINE_POLICY);
    input.check()?;
    let size = policy.bytes().filter(|b| !b.is_ascii_whitespace()).count();
    if size > MAX_INLINE {
        // Contract aws 14: a ValidationException, not a quota.
        return Err(ApiError::validation(format!(
            "Current size of the non-whitespace characters present in the InlinePolicy Document is {size} bytes \
             which has exceeded the maximum limit of {MAX_INLINE} bytes"
        )));
    }
    if !serde_json::from_str::<Value>(&policy).is_ok_and(|p| p.is_object()) {
        return Err(ApiError::validation("The policy is not in the valid JSON format."));
    }
    // Whether this call already looks at more than size and syntax is UNCONFIRMED (contract aws 1.3, 14).
    if let Some(why) = policy_grammar::refusal(&policy)
        && !cx.state.behaviours.malformed_policy_fails_later
    {
        return Err(ApiError::validation(format!("Invalid PermissionsPolicy Document: {why}")));
    }
    gate(cx, &instance)?;
    edit_set(cx, &arn, |set| {
        let changed = set.content.inline.as_ref() != Some(&policy);
        set.content.inline = Some(policy);
        Ok(changed)
    })?;
    Ok(json!({}))
}

fn get_inline(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    input.check()?;
    gate(cx, &instance)?;
    // None: an empty string (contract aws 1.3).
    Ok(json!({"InlinePolicy": seen_set(cx, &arn)?.content.inline.clone().unwrap_or_default()}))
}

fn delete_inline(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    input.check()?;
    gate(cx, &instance)?;
    edit_set(cx, &arn, |set| Ok(set.content.inline.take().is_some()))?;
    Ok(json!({}))
}

fn put_boundary(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    let parts = input.required_structure("PermissionsBoundary", |b| {
        (
            b.structure("CustomerManagedPolicyReference", reference),
            b.text("ManagedPolicyArn", &MANAGED_POLICY_ARN),
        )
    });
    input.check()?;
    let boundary = match parts {
        Some((Some(reference), None)) => Boundary::Customer(reference),
        Some((None, Some(arn))) => Boundary::Managed(arn),
        _ => {
            return Err(ApiError::validation(
                "Exactly one of CustomerManagedPolicyReference and ManagedPolicyArn must be given in PermissionsBoundary",
            ));
        }
    };
    gate(cx, &instance)?;
    if let Boundary::Managed(policy) = &boundary {
        known(cx, policy)?;
    }
    edit_set(cx, &arn, |set| {
        let changed = set.content.boundary.as_ref() != Some(&boundary);
        set.content.boundary = Some(boundary);
        Ok(changed)
    })?;
    Ok(json!({}))
}

fn get_boundary(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    input.check()?;
    gate(cx, &instance)?;
    match &seen_set(cx, &arn)?.content.boundary {
        Some(boundary) => Ok(json!({"PermissionsBoundary": boundary.json()})),
        // UNCONFIRMED (contract aws 1.3).
        None if cx.state.behaviours.absent_boundary_is_not_found => Err(ApiError::not_found(format!(
            "PermissionSet {} does not have a permissions boundary",
            short(&arn)
        ))),
        None => Ok(json!({})),
    }
}

fn delete_boundary(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (instance, arn) = (instance_arn(input), set_arn(input));
    input.check()?;
    gate(cx, &instance)?;
    edit_set(cx, &arn, |set| Ok(set.content.boundary.take().is_some()))?;
    Ok(json!({}))
}
