//! Policies that AWS does not take. Whether the call that edits the set refuses them, or the accounts where it is put,
//! is not documented: both are tried.

use causeway::api::v1alpha1::PermissionSetBindingStatus;
use causeway::controllers::Outcome;
use causeway::status::condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::harness::*;
use crate::support::run;

const NOWHERE: &str = "arn:aws:iam::aws:policy/NoSuchPolicy";

/// What is put into the set, what the message must name, and the field that it must say to correct.
fn refused() -> [(&'static str, Value, &'static str, &'static str); 3] {
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "GetObject", "Resource": "*"}]});
    [
        ("managed", json!({"managedPolicies": [NOWHERE]}), NOWHERE, "spec.permissionSet.managedPolicies"),
        (
            "boundary",
            json!({"permissionsBoundary": {"managedPolicyArn": NOWHERE}}),
            NOWHERE,
            "spec.permissionSet.permissionsBoundary",
        ),
        (
            "inline",
            json!({"inlinePolicy": document}),
            "prefaced by a vendor",
            "spec.permissionSet.inlinePolicy",
        ),
    ]
}

fn without(set: &Value) -> Value {
    let keys = set.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null));
    let mut back: serde_json::Map<String, Value> = keys.collect();
    if back.contains_key("managedPolicies") {
        back.insert("managedPolicies".into(), json!(["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
    }
    json!({"spec": {"permissionSet": back}})
}

async fn twin(later: bool) -> Twin {
    let mut world = world();
    let behaviours = &mut world.identity_center.behaviours;
    (behaviours.unknown_policy_fails_later, behaviours.malformed_policy_fails_later) = (later, later);
    Twin::start(world).await
}

fn because(reason: &'static str) -> impl Fn(&Outcome<PermissionSetBindingStatus>) -> bool {
    // A pass that was only slowed down says nothing yet.
    let is_so = move |c: &Condition| c.status == "False" && c.reason == reason;
    move |outcome| condition(&outcome.status.conditions, "Ready").is_some_and(is_so)
}

#[test]
fn a_policy_that_aws_refuses_at_the_call_is_named_with_the_field_to_correct() {
    run(async {
        let twin = twin(false).await;
        let operator = twin.operator().await;
        for (name, set, part, field) in refused() {
            let mut spec = plain(name);
            spec["permissionSet"].as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
            twin.create(name, &spec).await;
            let status = twin.until(&operator, name, because("InvalidSpec")).await.unwrap();
            let (_, _, message) = said(&status, "Ready");
            assert!(message.contains(part) && message.ends_with(&format!("correct {field}")), "{message}");
            assert_eq!(said(&status, "Stalled").0, "True");
            assert!(twin.assignments().iter().all(|a| !a.starts_with(name)), "nobody gets what is not whole");

            twin.patch(name, &without(&set)).await;
            let status = twin.settle(&operator, name).await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        }
        twin.assert_nothing_twice();
    });
}

#[test]
fn a_policy_that_fails_in_the_accounts_is_named_with_the_field_to_correct() {
    run(async {
        let twin = twin(true).await;
        let operator = twin.operator().await;
        for (name, set, part, _) in refused() {
            // Nobody has the set yet: the first assignment fails.
            let mut spec = plain(name);
            spec["permissionSet"].as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
            twin.create(name, &spec).await;
            let status = twin.until(&operator, name, because("AssignmentFailed")).await.unwrap();
            let (_, _, message) = said(&status, "Ready");
            assert!(message.contains(part) && message.contains("correct spec.permissionSet"), "{message}");
            assert!(status.failures[0].message.contains(part), "{status:#?}");
            twin.patch(name, &without(&set)).await;
            let status = twin.settle(&operator, name).await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");

            // Somebody has it: the account cannot be brought up to date.
            twin.patch(name, &json!({"spec": {"permissionSet": set}})).await;
            let status = twin.until(&operator, name, because("ProvisioningFailed")).await.unwrap();
            let (_, _, message) = said(&status, "Ready");
            assert!(message.contains(part) && message.contains("correct spec.permissionSet"), "{message}");
            assert_eq!(status.current, 1, "who has it keeps it");
            twin.patch(name, &without(&set)).await;
            let status = twin.settle(&operator, name).await.unwrap();
            assert_eq!((ready(&status).0.as_str(), status.failed), ("True", 0), "{status:#?}");
        }
    });
}
