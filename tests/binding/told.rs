//! What a binding tells a person: what is the matter, and exactly what to do next.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_ssoadmin::types::{PrincipalType, TargetType};
use causeway::api::v1alpha1::{IdentityFederation, PermissionSetBindingStatus};
use causeway::controllers::{Next, Outcome};
use causeway::problem::Class;
use kube::api::{Api, DeleteParams};
use sandbox::core::FaultKind;
use sandbox::world::Group;
use serde_json::{Value, json};

use super::harness::*;
use crate::support::run;

type Seen = Outcome<PermissionSetBindingStatus>;

const OLD: &str = "0f0f0f0f-1111-2222-3333-444444444445";
const NEW: &str = "0f0f0f0f-1111-2222-3333-444444444446";

/// Gives a group the set of a binding on an account, or takes it away, by hand.
async fn by_hand(twin: &Twin, status: &PermissionSetBindingStatus, give: bool, group: &str, account: &str) {
    let (instance, arn) =
        (twin.sandbox.aws.facts().instance_arn.unwrap(), status.permission_set_arn.clone().unwrap());
    let id = group_id(twin, group).await.unwrap();
    let (kind, target) = (PrincipalType::Group, TargetType::AwsAccount);
    if give {
        let call = twin.aws.ssoadmin.create_account_assignment().instance_arn(instance);
        let call = call.permission_set_arn(arn).target_type(target).target_id(account);
        let call = call.principal_type(kind).principal_id(id);
        patiently(|| call.clone().send()).await;
    } else {
        let call = twin.aws.ssoadmin.delete_account_assignment().instance_arn(instance);
        let call = call.permission_set_arn(arn).target_type(target).target_id(account);
        let call = call.principal_type(kind).principal_id(id);
        patiently(|| call.clone().send()).await;
    }
    let line = format!(" {account} {group}");
    let there = async || twin.assignments().iter().any(|a| a.ends_with(&line)) == give;
    eventually("AWS has done it", there).await;
}

/// Has a person ask to look anew until the binding says it.
async fn look_until(twin: &Twin, operator: &Operator, name: &str, so: impl Fn(&Seen) -> bool) -> Seen {
    for _ in 0..100 {
        let outcome = twin.look_anew(operator, name).await;
        if so(&outcome) {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never said so: {:#?}", twin.bindings().get(name).await.unwrap().status);
}

#[test]
fn what_others_have_of_the_set_is_shown_and_left_alone() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!(status.unmanaged, None);
        by_hand(&twin, &status, true, "aws-admins", DEV).await;
        let before = twin.sandbox.core.journal.last();
        let outcome = look_until(&twin, &operator, "readers", |o| o.status.unmanaged.is_some()).await;
        let told: Vec<_> = outcome.notices.iter().map(|n| (n.warning, n.reason.as_str())).collect();
        assert_eq!(told, [(true, "UnmanagedAssignments")], "{:#?}", outcome.notices);
        let admins = group_id(&twin, "aws-admins").await.unwrap();
        assert!(outcome.notices[0].note.contains(&format!("group aws-admins ({admins}) on account {DEV}")));
        let unmanaged = outcome.status.unmanaged.clone().unwrap();
        assert_eq!(
            serde_json::to_value(&unmanaged).unwrap(),
            json!({"count": 1, "assignments": [
                {"accountId": DEV, "kind": "Group", "principalId": admins, "name": "aws-admins"}]})
        );
        let (verdict, _, message) = said(&outcome.status, "Ready");
        assert!(verdict == "True" && message.contains("see status.unmanaged"), "{message}");

        // It is said once and written once, also after a restart, and nothing is touched.
        twin.settle(&operator, "readers").await.unwrap();
        let writes = twin.status_writes.load(Ordering::SeqCst);
        for operator in [&operator, &operator, &twin.operator().await] {
            for _ in 0..3 {
                let outcome = twin.pass(operator, "readers").await.unwrap();
                assert!(outcome.notices.is_empty(), "{:?}", outcome.notices);
                assert_eq!(outcome.status.unmanaged.as_ref(), Some(&unmanaged));
            }
        }
        assert_eq!(twin.status_writes.load(Ordering::SeqCst), writes);
        assert_eq!(twin.mutations(before).len(), 0);
        assert_eq!(twin.assignments().len(), 2);

        // Taken into the spec it is the binding's own; taken away it is gone.
        let groups =
            json!([{"group": {"displayName": "aws-engineers"}}, {"group": {"displayName": "aws-admins"}}]);
        twin.patch(
            "readers",
            &json!({"spec": {"principals": groups, "accounts": {"include": [{"ids": [DEV]}]}}}),
        )
        .await;
        let owned = |o: &Seen| o.status.unmanaged.is_none() && o.status.current == 2;
        twin.until(&operator, "readers", owned).await.unwrap();
        let status = twin.settle(&operator, "readers").await.unwrap();
        by_hand(&twin, &status, true, "aws-auditors", DEV).await;
        look_until(&twin, &operator, "readers", |o| o.status.unmanaged.is_some()).await;
        by_hand(&twin, &status, false, "aws-auditors", DEV).await;
        look_until(&twin, &operator, "readers", |o| o.status.unmanaged.is_none()).await;
    });
}

#[test]
fn few_calls_look_for_others_while_nothing_changes() {
    run(async {
        let mut twin = Twin::start(world()).await;
        twin.settings.timing.resync = Duration::from_secs(600);
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        twin.settle(&operator, "engineers").await.unwrap();
        twin.pass(&operator, "engineers").await.unwrap();
        assert_eq!(twin.calls("ListAccountAssignments"), 0, "that is for the next resync");
        twin.look_anew(&operator, "engineers").await;
        // Once for each account, and again where AWS throttled.
        let looked = twin.calls("ListAccountAssignments");
        assert!((3..=9).contains(&looked), "{looked}");
        for _ in 0..20 {
            twin.pass(&operator, "engineers").await.unwrap();
        }
        assert_eq!(twin.calls("ListAccountAssignments"), looked, "the next look is due after six resyncs");
    });
}

fn waits(status: &PermissionSetBindingStatus, principal: &str) -> (String, String) {
    let found = status.waiting.iter().find(|w| w.principal == principal);
    let waiting = found.unwrap_or_else(|| panic!("{principal}: {status:#?}"));
    assert!(waiting.since.is_some(), "{waiting:?}");
    (waiting.reason.clone(), waiting.message.clone())
}

#[test]
fn who_will_never_be_provisioned_is_told_why() {
    run(async {
        let mut world = world();
        for id in [OLD, NEW] {
            let twins = Group { id: Some(id.into()), display_name: "aws-twins".into(), ..Group::default() };
            world.tenant.groups.push(twins);
        }
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["principals"] = json!([
            {"group": {"displayName": "AWS-Engineers"}},
            {"group": {"displayName": "AWS-Oncall"}},
            {"group": {"displayName": "aws-twins"}},
            {"user": {"userPrincipalName": "lena@acme.example"}},
        ]);
        twin.create("readers", &spec).await;
        let all = |o: &Seen| o.status.waiting.len() == 4;
        let status = twin.until(&operator, "readers", all).await.unwrap();
        for (principal, reason, words) in [
            ("group \"AWS-Engineers\"", "NameDiffers", "in the identity store: upper and lower case letters count; write `displayName: aws-engineers`".to_owned()),
            ("group \"AWS-Oncall\"", "NameDiffers", "in Entra: upper and lower case letters count; write `displayName: aws-oncall`".to_owned()),
            ("group \"aws-twins\"", "NotInEntra", format!("`- group: {{entraObjectId: {OLD}}}` or `- group: {{entraObjectId: {NEW}}}`")),
            ("user lena@acme.example", "AccountDisabled", "enable the account there".to_owned()),
        ] {
            let (said, message) = waits(&status, principal);
            assert!(said == reason && message.contains(&words), "{principal}: {said} {message}");
        }
        assert_eq!(ready(&status).0, "False");
        // Since when they wait is not written anew.
        let again = twin.pass(&operator, "readers").await.unwrap().status;
        assert_eq!(again.waiting, status.waiting);
    });
}

#[test]
fn a_group_that_was_deleted_and_made_anew_is_told_with_both_ids_and_the_command() {
    run(async {
        let mut world = world();
        world.identity_center.groups[0].external_id = Some(OLD.into());
        let entra = world.tenant.groups.iter_mut().find(|g| g.display_name == "aws-engineers").unwrap();
        entra.id = Some(NEW.into());
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        delete_group(&twin, "aws-engineers").await;
        let before = twin.sandbox.core.journal.last();
        let changed = |o: &Seen| ready(&o.status).1 == "PrincipalIdentityChanged";
        let status = twin.until(&operator, "readers", changed).await.unwrap();
        let (_, _, message) = said(&status, "Stalled");
        assert!(message.contains("was deleted in Entra and made anew"), "{message}");
        assert!(message.contains(OLD) && message.contains(NEW), "{message}");
        let command = format!(
            "kubectl annotate psb readers -n {} --overwrite causeway.dev/approve-principal={NEW}",
            twin.namespace
        );
        assert!(message.ends_with(&command), "{message}");
        assert_eq!(twin.mutations(before).len(), 0);
        // A person approves it: what is left is that nothing assigns the application to it.
        twin.patch("readers", &json!({"metadata": {"annotations": {"causeway.dev/approve-principal": NEW}}}))
            .await;
        let scope = |o: &Seen| ready(&o.status).1 == "NotInProvisioningScope";
        let status = twin.until(&operator, "readers", scope).await.unwrap();
        assert!(said(&status, "Ready").2.contains("`- group: {displayName: aws-engineers}`"), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0);
    });
}

#[test]
fn an_empty_list_of_principals_takes_everything_back_and_says_so_loudly() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        twin.settle(&operator, "engineers").await.unwrap();
        twin.patch("engineers", &json!({"spec": {"principals": []}})).await;
        // However many passes the removals take: whoever makes one says so.
        let told = Mutex::new(Vec::new());
        let settled = |outcome: &Seen| {
            told.lock()
                .unwrap()
                .extend(outcome.notices.iter().map(|n| (n.warning, n.reason.clone(), n.note.clone())));
            outcome.next == Next::Resync && outcome.class.is_none()
        };
        let status = twin.until(&operator, "engineers", settled).await.unwrap();
        let told = told.into_inner().unwrap();
        let warned = |(warning, reason, note): &(bool, String, String)| {
            *warning && reason == "AllAccessRemoved" && note.contains("put the principals back")
        };
        assert!(told.iter().any(warned), "{told:#?}");
        assert!(said(&status, "PrincipalsResolved").2.starts_with("spec.principals is empty"));
        assert!(twin.assignments().is_empty());
        let (verdict, _, message) = said(&status, "Ready");
        assert!(verdict == "True" && message.ends_with("spec.principals is empty"), "{message}");
    });
}

#[test]
fn what_a_binding_leaves_behind_under_another_installation_is_told() {
    run(async {
        let mut twin = Twin::start(world()).await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&twin.operator().await, "readers").await.unwrap();
        twin.settings.installation_id = "other".into();
        let operator = twin.operator().await;
        twin.delete("readers").await;
        assert!(twin.settle(&operator, "readers").await.is_none());
        let told = twin.told.lock().unwrap().clone();
        assert_eq!(told.len(), 1, "{told:?}");
        let own = format!("{}/readers", twin.namespace);
        for words in [
            "permission set Readers stays in AWS",
            &format!("says test/{own}, and this binding is other/{own}"),
            "unless an operator runs with --installation-id test",
            "aws sso-admin delete-permission-set --instance-arn arn:",
        ] {
            assert!(told[0].contains(words), "{words}: {}", told[0]);
        }
        assert_eq!(twin.sandbox.world().identity_center.permission_sets.len(), 1);
    });
}

#[test]
fn a_federation_that_is_being_deleted_asks_for_the_bindings_deletion() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        twin.patch_federation(&json!({"metadata": {"finalizers": ["causeway.dev/cleanup"]}})).await;
        let federations = Api::<IdentityFederation>::namespaced(twin.client.clone(), &twin.namespace);
        federations.delete("acme", &DeleteParams::default()).await.unwrap();
        let outcome = twin.pass(&operator, "readers").await.unwrap();
        let (verdict, reason, message) = said(&outcome.status, "Ready");
        assert_eq!((verdict.as_str(), reason.as_str()), ("False", "FederationNotReady"));
        let command = format!("kubectl delete psb readers -n {}", twin.namespace);
        assert!(message.contains("is being deleted") && message.contains(&command), "{message}");
        assert!(outcome.notices.iter().any(|n| n.warning && n.reason == "FederationNotReady"));
        assert_eq!(twin.assignments().len(), 1, "until then what it gave stays");
        twin.delete("readers").await;
        assert!(twin.settle(&operator, "readers").await.is_none());
        twin.patch_federation(&json!({"metadata": {"finalizers": null}})).await;
    });
}

#[test]
fn a_policy_that_an_account_lacks_is_told_with_what_to_do() {
    run(async {
        let mut world = world();
        world.iam.remove(PAYMENTS);
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        let mut spec: Value = plain("Readers");
        spec["permissionSet"]["customerManagedPolicies"] = json!([{"name": "engineers-extra"}]);
        spec["accounts"] = json!({"include": [{"ids": [PAYMENTS]}]});
        twin.create("readers", &spec).await;
        let status = twin.until(&operator, "readers", |o| o.status.failed > 0).await.unwrap();
        let words = format!(
            "create the customer managed policy engineers-extra with path / in account {PAYMENTS}, exactly so, or take it out of spec.permissionSet.customerManagedPolicies"
        );
        assert!(status.failures[0].message.ends_with(&words), "{status:#?}");
        let (_, reason, message) = said(&status, "Ready");
        assert!(reason == "AssignmentFailed" && message.contains(&words), "{message}");
    });
}

#[test]
fn a_failure_that_passes_is_told_only_when_it_happens_again_and_again() {
    run(async {
        let twin = Twin::start(world()).await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&twin.operator().await, "readers").await.unwrap();
        let operator = twin.operator().await;
        twin.sandbox.core.faults.add(refuse("sso-admin", "DescribePermissionSet", FaultKind::Error, None));
        for (verdict, reason) in
            [("True", "Succeeded"), ("True", "Succeeded"), ("Unknown", "CloudUnavailable")]
        {
            let outcome = twin.pass(&operator, "readers").await.unwrap();
            assert_eq!(ready(&outcome.status), (verdict.into(), reason.into()), "{:#?}", outcome.status);
            assert_eq!(outcome.class, Some(Class::Transient), "it is tried again soon all the same");
        }
        twin.sandbox.core.faults.clear();
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!(ready(&status).0, "True");
        // What a person has just written is judged at once.
        twin.sandbox.core.faults.add(refuse("sso-admin", "DescribePermissionSet", FaultKind::Error, None));
        twin.patch("readers", &json!({"spec": {"permissionSet": {"sessionDuration": "2h"}}})).await;
        let outcome = twin.pass(&twin.operator().await, "readers").await.unwrap();
        assert_eq!(ready(&outcome.status).1, "CloudUnavailable", "{:#?}", outcome.status);
        twin.sandbox.core.faults.clear();
    });
}
