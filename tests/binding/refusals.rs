use causeway::api::v1alpha1::ScimConnection;
use causeway::controllers::Next;
use kube::api::{Api, PostParams};
use sandbox::world::ExistingPermissionSet;
use serde_json::json;

use super::harness::*;
use crate::support::run;

fn existing(name: &str, owner: Option<&str>) -> ExistingPermissionSet {
    let tags = owner.map(|o| ("causeway.dev/owner".to_owned(), o.to_owned()));
    ExistingPermissionSet { name: name.into(), tags: tags.into_iter().collect(), ..Default::default() }
}

#[test]
fn what_is_not_ours_is_not_touched() {
    run(async {
        let mut world = world();
        world.identity_center.permission_sets =
            vec![existing("Foreign", Some("test/other/one")), existing("Unmarked", None)];
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        twin.create("foreign", &plain("Foreign")).await;
        twin.create("unmarked", &plain("Unmarked")).await;
        let foreign = twin.pass(&operator, "foreign").await.unwrap().status;
        assert_eq!(ready(&foreign), ("False".into(), "OwnedByOther".into()), "{foreign:#?}");
        assert!(said(&foreign, "Stalled").2.contains("test/other/one"));
        let unmarked = twin.pass(&operator, "unmarked").await.unwrap().status;
        assert_eq!(ready(&unmarked), ("False".into(), "NotAdopted".into()));
        assert_eq!(twin.mutations(0).len(), 0);

        twin.patch("unmarked", &json!({"spec": {"permissionSet": {"adopt": true}}})).await;
        let status = twin.settle(&operator, "unmarked").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        assert_eq!(twin.mutations(0)[0].operation, "TagResource", "the mark comes first");
        // A binding that owns nothing takes nothing with it.
        twin.delete("foreign").await;
        assert!(twin.settle(&operator, "foreign").await.is_none());
        assert!(twin.sandbox.world().identity_center.permission_sets.iter().any(|s| s.name == "Foreign"));
    });
}

#[test]
fn of_two_bindings_that_claim_one_set_the_first_works_on_and_the_other_takes_over_when_it_is_gone() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        // The mark counts, not the name or the age.
        twin.create("one", &plain("Readers")).await;
        twin.settle(&operator, "one").await.unwrap();
        let before = twin.sandbox.core.journal.last();
        twin.create("a-newcomer", &plain("Readers")).await;
        let status = twin.pass(&operator, "a-newcomer").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        let told = said(&status, "Ready").2;
        assert!(
            told.contains("PermissionSetBinding one, which goes before this one")
                && told.contains("delete this one")
        );
        assert_eq!(status.permission_set_arn, None);
        let status = twin.settle(&operator, "one").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        // The newcomer can be deleted at no cost.
        twin.delete("a-newcomer").await;
        assert!(twin.settle(&operator, "a-newcomer").await.is_none());
        assert_eq!(twin.mutations(before).len(), 0);

        // The first works on: it takes and gives.
        twin.create("a-newcomer", &plain("Readers")).await;
        twin.pass(&operator, "a-newcomer").await.unwrap();
        twin.patch("one", &json!({"spec": {"accounts": {"include": [{"ids": [DEV]}]}}})).await;
        let status = twin.settle(&operator, "one").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert_eq!(twin.assignments(), [format!("Readers {DEV} aws-engineers")]);

        // While the first goes the other waits, and then goes on by itself.
        let before = twin.sandbox.core.journal.last();
        twin.delete("one").await;
        let status = twin.pass(&operator, "a-newcomer").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        assert!(said(&status, "Ready").2.contains("one, which is being deleted"), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0);
        assert!(twin.settle(&operator, "one").await.is_none());
        let gone = twin.sandbox.core.journal.last();
        let status = twin.settle(&operator, "a-newcomer").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert_eq!(twin.mutations(gone)[0].operation, "CreatePermissionSet");
    });
}

#[test]
fn before_anybody_has_the_set_the_older_binding_makes_it() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        // Of one second, the name decides.
        twin.create("first", &plain("Readers")).await;
        twin.create("second", &plain("Readers")).await;
        let status = twin.pass(&operator, "second").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        assert!(said(&status, "Ready").2.contains("PermissionSetBinding first"), "{status:#?}");
        assert_eq!(twin.mutations(0).len(), 0);
        let status = twin.settle(&operator, "first").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        let status = twin.pass(&operator, "second").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        twin.assert_nothing_twice();
    });
}

#[test]
fn a_set_that_a_deleted_binding_left_is_taken_over_only_when_somebody_gives_it_up() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["deletionPolicy"] = json!("Retain");
        twin.create("one", &spec).await;
        let arn = twin.settle(&operator, "one").await.unwrap().permission_set_arn.unwrap();
        let mut next = plain("Readers");
        next["permissionSet"]["adopt"] = json!(true);
        twin.create("two", &next).await;
        twin.delete("one").await;
        let status = twin.pass(&operator, "two").await.unwrap().status;
        assert!(said(&status, "Ready").2.contains("one, which is being deleted"), "{status:#?}");
        assert!(twin.settle(&operator, "one").await.is_none());
        let before = twin.sandbox.core.journal.last();
        let outcome = twin.pass(&operator, "two").await.unwrap();
        assert_eq!(ready(&outcome.status), ("False".into(), "OwnedByOther".into()), "{outcome:#?}");
        let told = said(&outcome.status, "Ready").2;
        assert!(told.contains("does not exist any more") && told.contains(&arn), "{told}");
        assert!(matches!(outcome.next, Next::After(_)), "it looks again by itself: {outcome:#?}");
        assert_eq!(twin.mutations(before).len(), 0);
        // The command of the message.
        let instance = twin.sandbox.aws.facts().instance_arn.unwrap();
        let untag = twin.aws.ssoadmin.untag_resource().instance_arn(instance).resource_arn(arn);
        patiently(|| untag.clone().tag_keys("causeway.dev/owner").send()).await;
        let status = twin.settle(&operator, "two").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
    });
}

#[test]
fn the_management_account_and_other_namespaces_are_closed() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["accounts"] = json!({"include": [{"ids": [SHOP, MANAGEMENT]}]});
        twin.create("readers", &spec).await;
        let status = twin.pass(&operator, "readers").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "BindingNotAllowed".into()), "{status:#?}");
        assert_eq!(twin.mutations(0).len(), 0);
        twin.patch_federation(&json!({"spec": {"bindings": {"managementAccount": "Allow"}}})).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2));

        // Elsewhere and nowhere: refused, and gone without a trace.
        for (name, federation, reason) in [
            ("elsewhere", json!({"name": "acme", "namespace": "other"}), "BindingNotAllowed"),
            ("nowhere", json!({"name": "nobody"}), "FederationNotFound"),
        ] {
            let mut spec = plain("Others");
            spec["federationRef"] = federation;
            twin.create(name, &spec).await;
            let status = twin.pass(&operator, name).await.unwrap().status;
            assert_eq!(ready(&status), ("False".into(), reason.into()));
            twin.delete(name).await;
            assert!(twin.pass(&operator, name).await.is_none());
        }
    });
}

#[test]
fn nothing_that_is_wrong_with_the_set_holds_up_a_stated_removal() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["accounts"] = json!({"include": [{"ids": [SHOP, DEV]}]});
        twin.create("readers", &spec).await;
        twin.settle(&operator, "readers").await.unwrap();
        let long = "x".repeat(11_000);
        twin.patch("readers", &json!({"spec": {
            "permissionSet": {"inlinePolicy": {"Version": "2012-10-17", "Id": long, "Statement": []}},
            "principals": [{"group": {"displayName": "aws-engineers"}}, {"group": {"displayName": "aws-admins"}}],
            "accounts": {"include": [{"ids": [DEV]}]}}}))
            .await;
        let removed =
            |o: &causeway::controllers::Outcome<causeway::api::v1alpha1::PermissionSetBindingStatus>| {
                !o.status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "Succeeded")
                    && twin.assignments() == [format!("Readers {DEV} aws-engineers")]
            };
        let status = twin.until(&operator, "readers", removed).await.unwrap();
        assert_eq!(ready(&status), ("False".into(), "InvalidSpec".into()), "{status:#?}");
    });
}

#[test]
fn a_delegated_administrator_reads_by_pair() {
    run(async {
        let mut world = world();
        world.organization.delegated_administrator = Some("777788889999".into());
        world.organization.access_keys[0].account_id = Some("777788889999".into());
        let twin = Twin::start(world).await;
        let operator = twin.operator().await;
        twin.create("engineers", &everything()).await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 9), "{status:#?}");
        twin.patch("engineers", &json!({"spec": {"principals": [{"group": {"displayName": "aws-admins"}}]}}))
            .await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 3));
        assert_eq!(twin.assignments().len(), 3);
        twin.assert_nothing_twice();
    });
}

#[test]
fn accounts_that_are_no_targets_are_named_and_the_others_served() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["accounts"] = json!({"include": [{"ids": [SHOP, "888899990000", "999999999999"]}]});
        twin.create("readers", &spec).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!(ready(&status), ("False".into(), "AccountNotFound".into()));
        assert!(said(&status, "Ready").2.contains("888899990000 is not active (and 1 more)"), "{status:#?}");
        assert_eq!((status.desired, status.current, status.pending), (3, 1, 0));
    });
}

#[test]
fn principals_that_are_missing_say_why() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["principals"] = json!([
            {"group": {"displayName": "aws-engineers"}},
            {"group": {"displayName": "no-such-group"}},
            {"group": {"displayName": "aws-oncall"}},
            {"group": {"displayName": "all-staff"}},
            {"user": {"userPrincipalName": "hugo@acme.example"}},
        ]);
        twin.create("readers", &spec).await;
        let bound = |o: &causeway::controllers::Outcome<
            causeway::api::v1alpha1::PermissionSetBindingStatus,
        >| { o.status.current == 1 && o.status.pending == 0 };
        let status = twin.until(&operator, "readers", bound).await.unwrap();
        assert_eq!(ready(&status), ("False".into(), "NotInEntra".into()), "{status:#?}");
        let (verdict, reason, message) = said(&status, "AssignmentsReady");
        assert_eq!(
            (verdict.as_str(), reason.as_str()),
            ("False", "NotInEntra"),
            "not all that is asked for is there"
        );
        assert!(message.contains("assignments exist; the others wait for their principals"), "{message}");
        let why: Vec<(&str, &str)> =
            status.waiting.iter().map(|w| (w.principal.as_str(), w.reason.as_str())).collect();
        assert_eq!(
            why,
            [
                ("group \"all-staff\"", "NotInProvisioningScope"),
                ("group \"aws-oncall\"", "NotInProvisioningScope"),
                ("group \"no-such-group\"", "NotInEntra"),
                ("user hugo@acme.example", "NotInProvisioningScope"),
            ]
        );
        assert!(status.waiting[0].message.contains("no security group"));
        assert!(status.waiting[1].message.contains("`- group: {displayName: aws-oncall}`"), "{status:#?}");
        assert_eq!((status.desired, status.current), (5, 1));

        // A connection that takes everybody: they come with its next cycle.
        let connection = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "acme"},
            "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "scim"}, "scope": "All"},
        });
        let connections = Api::<ScimConnection>::namespaced(twin.client.clone(), &twin.namespace);
        let connection = serde_json::from_value(connection).unwrap();
        connections.create(&PostParams::default(), &connection).await.unwrap();
        let status = twin.pass(&operator, "readers").await.unwrap().status;
        assert_eq!(status.waiting[1].reason, "AwaitingProvisioning");
        assert!(status.waiting[1].message.contains("ScimConnection acme"));
        // One arrives.
        let store = twin.sandbox.aws.facts().identity_store_id.unwrap();
        let call = twin.aws.identitystore.create_group().identity_store_id(store).display_name("aws-oncall");
        patiently(|| call.clone().send()).await;
        let status = twin.until(&operator, "readers", |o| o.status.current == 2).await.unwrap();
        assert_eq!(status.waiting.len(), 3);
    });
}

#[test]
fn a_name_that_was_taken_over_gets_nothing_until_a_person_approves() {
    run(async {
        let mut twin = Twin::start(world()).await;
        // What comes first is waited for forty polls long: longer than any machine takes.
        twin.settings.timing.poll = std::time::Duration::from_secs(1);
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        delete_group(&twin, "aws-engineers").await;
        // Gone, but nothing is removed for that.
        let before = twin.sandbox.core.journal.last();
        let status = twin.until(&operator, "readers", |o| !o.status.waiting.is_empty()).await.unwrap();
        assert_eq!(status.waiting[0].reason, "NotInProvisioningScope", "Entra still has it");
        let new = create_group(&twin, "aws-engineers").await;
        let status = twin
            .until(&operator, "readers", |o| ready(&o.status).1 == "PrincipalIdentityChanged")
            .await
            .unwrap();
        let (_, _, message) = said(&status, "Stalled");
        assert!(message.ends_with(&format!("causeway.dev/approve-principal={new}")), "{message}");
        assert_eq!(twin.mutations(before).len(), 0);
        let approve = json!({"metadata": {"annotations": {"causeway.dev/approve-principal": new}}});
        twin.patch("readers", &approve).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert_eq!(twin.assignments(), [format!("Readers {SHOP} aws-engineers")]);
        let done: Vec<String> = twin.mutations(before).into_iter().map(|e| e.operation).collect();
        assert_eq!(done, ["CreateAccountAssignment", "DeleteAccountAssignment"]);
    });
}

#[test]
fn a_name_that_was_taken_over_is_bound_again_by_itself_only_with_rebind() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        for (name, on_recreate) in [("careful", "RequireApproval"), ("trusting", "Rebind")] {
            let mut spec = plain(name);
            spec["principals"][0]["onRecreate"] = json!(on_recreate);
            twin.create(name, &spec).await;
            twin.settle(&operator, name).await.unwrap();
        }
        let before = twin.sandbox.core.journal.last();
        delete_group(&twin, "aws-engineers").await;
        create_group(&twin, "aws-engineers").await;
        let changed =
            |name| twin.until(&operator, name, |o| ready(&o.status).1 == "PrincipalIdentityChanged");
        changed("careful").await.unwrap();
        assert_eq!(twin.mutations(before).len(), 0);
        let status = twin.settle(&operator, "trusting").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 1), "{status:#?}");
        assert!(twin.assignments().contains(&format!("trusting {SHOP} aws-engineers")));
        assert!(!twin.assignments().contains(&format!("careful {SHOP} aws-engineers")));
    });
}

#[test]
fn a_ledger_that_somebody_else_wrote_names_nothing_that_may_be_removed() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        // The same entries without our label, and one that would take the whole group out.
        let mut forged = twin.ledger("readers").await.expect("a ledger");
        let maps =
            Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(twin.client.clone(), &twin.namespace);
        maps.delete("readers-ledger", &Default::default()).await.unwrap();
        forged.metadata = kube::api::ObjectMeta { name: Some("readers-ledger".into()), ..Default::default() };
        maps.create(&PostParams::default(), &forged).await.unwrap();
        let before = twin.sandbox.core.journal.last();
        twin.patch("readers", &json!({"spec": {"principals": [{"group": {"displayName": "aws-admins"}}]}}))
            .await;
        let status = twin.pass(&operator, "readers").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "OwnedByOther".into()), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0);

        maps.delete("readers-ledger", &Default::default()).await.unwrap();
        twin.patch(
            "readers",
            &json!({"spec": {"principals": [{"group": {"displayName": "aws-engineers"}}]}}),
        )
        .await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0, "what exists is entered anew");
    });
}
