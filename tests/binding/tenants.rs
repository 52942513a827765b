//! Bindings of another namespace than their federation's, and what people there may try (docs/guard-rails.md).

use causeway::api::v1alpha1::{IdentityFederation, PermissionSetBindingStatus};
use causeway::controllers::identity_federation::IdentityFederationReconciler;
use causeway::controllers::{Cleanup, Outcome, Reconciler as _};
use causeway::status::condition;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use sandbox::world::StoreUser;
use serde_json::{Value, json};

use super::guard::*;
use super::harness::*;
use crate::support::run;

#[test]
fn a_team_gets_what_the_rules_of_another_namespace_allow_and_may_let_go_of_it() {
    run(async {
        let twin = team(company()).await;
        let operator = twin.operator().await;
        let all = specs(BINDINGS);
        for (name, mut spec) in ["readers", "support"].into_iter().zip(all) {
            spec["federationRef"]["namespace"] = json!(twin.home);
            twin.create(name, &spec).await;
            let status = twin.settle(&operator, name).await.unwrap();
            assert_eq!(ready(&status).0, "True", "{status:#?}");
        }
        assert_eq!(holders(&twin, "payments-readers").len(), 2);
        assert_eq!(holders(&twin, "payments-support"), ["444455556666 aws-payments-engineers"]);
        let before = twin.sandbox.core.journal.last();
        for name in ["readers", "support"] {
            twin.look_anew(&operator, name).await;
            twin.settle(&operator, name).await.unwrap();
        }
        assert_eq!(twin.mutations(before).len(), 0, "nothing to do");
        for name in ["readers", "support"] {
            twin.delete(name).await;
            assert!(twin.settle(&operator, name).await.is_none());
        }
        assert_eq!(twin.assignments(), Vec::<String>::new());
        let sets: Vec<String> =
            twin.sandbox.world().identity_center.permission_sets.into_iter().map(|s| s.name).collect();
        assert!(sets.contains(&"payments-support".to_owned()), "not ours to delete: {sets:?}");
        assert!(!sets.contains(&"payments-readers".to_owned()), "{sets:?}");
    });
}

#[test]
fn a_namespace_that_is_not_allowed_gets_nothing_and_one_that_was_keeps_what_it_has() {
    run(async {
        let twin = team(company()).await;
        let operator = twin.operator().await;
        label(&twin, json!({"team": null})).await;
        twin.create("readers", &readers("payments-n", json!({}))).await;
        let calls = twin.calls("DescribePermissionSet") + twin.calls("ListPermissionSets");
        let status = twin.pass(&operator, "readers").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "BindingNotAllowed".into()), "{status:#?}");
        assert!(said(&status, "Stalled").2.contains(&twin.namespace));
        assert_eq!(twin.calls("DescribePermissionSet") + twin.calls("ListPermissionSets"), calls);

        // One that is not taken does not keep the federation from going; one that is does.
        let referrers = async || {
            let api = Api::<IdentityFederation>::namespaced(twin.client.clone(), &twin.home);
            let federation = api.get("acme").await.unwrap();
            match IdentityFederationReconciler::default().cleanup(&federation, &operator.context).await {
                Cleanup::Done | Cleanup::Left(_) => None,
                Cleanup::Waiting(outcome) => {
                    let ready = condition(&outcome.status.conditions, "Ready").unwrap();
                    Some(ready.message.clone())
                }
            }
        };
        eventually("nobody keeps it", async || referrers().await.is_none()).await;
        label(&twin, json!({"team": "payments"})).await;
        let named = format!("{}/readers", twin.namespace);
        eventually("it is kept", async || referrers().await.is_some_and(|m| m.contains(&named))).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 2), "{status:#?}");

        label(&twin, json!({"team": "shop"})).await;
        let before = twin.sandbox.core.journal.last();
        twin.patch(
            "readers",
            &json!({"spec": {"principals": [
            {"group": {"displayName": "aws-payments-engineers"}},
            {"group": {"displayName": "aws-payments-support"}}]}}),
        )
        .await;
        let status = twin.pass(&operator, "readers").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "BindingNotAllowed".into()), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0, "nothing new, and nothing taken away");
        twin.patch("readers", &json!({"spec": {"accounts": {"include": [{"ids": [PAYMENTS]}]}}})).await;
        let gone = |_: &Outcome<PermissionSetBindingStatus>| holders(&twin, "payments-n").len() == 1;
        twin.until(&operator, "readers", gone).await.unwrap();
        twin.delete("readers").await;
        assert!(twin.settle(&operator, "readers").await.is_none());
        assert_eq!(holders(&twin, "payments-n"), Vec::<String>::new());
        assert!(!twin.sandbox.world().identity_center.permission_sets.iter().any(|s| s.name == "payments-n"));
    });
}

/// Whoever may write ConfigMaps may write this.
async fn forge(twin: &Twin, name: &str, data: Value) {
    let maps = Api::<ConfigMap>::namespaced(twin.client.clone(), &twin.namespace);
    let map = json!({
        "metadata": {"name": format!("{name}-ledger"), "labels": {"app.kubernetes.io/managed-by": "causeway"}},
        "data": data,
    });
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
}

/// A binding that uses somebody else's set, for nobody.
fn uses_platform(include: Value) -> Value {
    json!({
        "permissionSet": {"name": "Platform", "definition": "Elsewhere"},
        "principals": [], "accounts": {"include": include},
    })
}

#[test]
fn a_forged_ledger_gives_nothing_and_takes_nothing_that_is_not_allowed() {
    run(async {
        const ADA: &str = "0f0f0f0f-1111-2222-3333-444444444441";
        let mut world = company();
        world.identity_center.users[0].external_id = Some(ADA.into());
        world.identity_center.users.push(StoreUser {
            user_name: "eve@acme.example".into(),
            display_name: "Eve".into(),
            given_name: Some("Eve".into()),
            family_name: Some("Moss".into()),
            external_id: None,
        });
        let twin = team(world).await;
        let operator = twin.operator().await;
        rule(&twin, json!([{"namespaces": {"names": [twin.namespace]}, "permissionSetNames": ["payments-*"], "users": [ADA]}])).await;
        let store = twin.sandbox.aws.facts().identity_store_id.unwrap();
        let users = twin.aws.identitystore.list_users().identity_store_id(store);
        let users = patiently(|| users.clone().send()).await.users;
        let eve = users.iter().find(|u| u.user_name() == Some("eve@acme.example")).unwrap().user_id.clone();

        // The pin says that the object id means somebody else, and even that she has that id.
        let pin =
            json!([{"principal": format!("user {ADA}"), "kind": "user", "id": eve, "externalIds": [ADA]}]);
        forge(&twin, "ada", json!({"principals.json": pin.to_string()})).await;
        let principals = json!({"principals": [{"user": {"entraObjectId": ADA}}]});
        twin.create("ada", &readers("payments-ada", principals)).await;
        let status = twin.pass(&operator, "ada").await.unwrap().status;
        assert!(refused(&status).contains(&format!("user {ADA} is not in its users")), "{status:#?}");
        assert_eq!(twin.mutations(0).len(), 0);

        // A set of somebody else, entered as if this binding had made its assignments.
        let mut platform = plain("Platform");
        platform["federationRef"] = json!({"name": "acme", "namespace": twin.home});
        rule(&twin, json!([{}, {"namespaces": {"names": [twin.namespace]}, "permissionSetNames": ["Platform", "payments-*"]}])).await;
        twin.create("platform", &platform).await;
        let status = twin.settle(&operator, "platform").await.unwrap();
        let (arn, engineers) =
            (status.permission_set_arn.unwrap(), group_id(&twin, "aws-engineers").await.unwrap());
        let mut grants = json!({"permissionSetArn": arn});
        grants[format!("group.{engineers}")] = json!(SHOP);
        let admits = json!([{}, {"namespaces": {"names": [twin.namespace]}}]);
        for (name, rules, spec) in [
            (
                "other",
                admits.clone(),
                readers(
                    "payments-other",
                    json!({"permissionSet": {"inlinePolicy": {"Id": "x".repeat(11_000)}}}),
                ),
            ),
            ("stopped", json!([{}]), uses_platform(json!([{"ids": [DEV]}]))),
            (
                "named",
                json!([{}, {"namespaces": {"names": [twin.namespace]}, "permissionSetNames": ["payments-*"]}]),
                uses_platform(json!([{"ids": [DEV]}])),
            ),
            ("managing", admits, uses_platform(json!([{"ids": [MANAGEMENT]}]))),
        ] {
            rule(&twin, rules).await;
            forge(&twin, name, grants.clone()).await;
            twin.create(name, &spec).await;
            let status = twin.pass(&operator, name).await.unwrap().status;
            assert_eq!((ready(&status).0.as_str(), status.permission_set_arn), ("False", None), "{name}");
            twin.delete(name).await;
            twin.pass(&operator, name).await;
        }
        assert_eq!(holders(&twin, "Platform"), [format!("{SHOP} aws-engineers")]);
    });
}

#[test]
fn a_set_is_claimed_across_namespaces_by_those_who_may_have_its_name() {
    run(async {
        let mut twin = team(company()).await;
        let operator = twin.operator().await;
        let ours = twin.namespace.clone();
        let spec = readers("payments-c", json!({}));
        twin.create("ours", &spec).await;
        twin.settle(&operator, "ours").await.unwrap();
        // The same set in the federation's namespace, which may have any name.
        twin.namespace = twin.home.clone();
        twin.create("theirs", &readers("payments-c", json!({}))).await;
        // And a name that the team may not have: it stops nobody.
        twin.create("admins", &plain("Admins")).await;
        twin.namespace = ours.clone();
        twin.create("admins", &readers("Admins", json!({}))).await;
        assert!(refused(&twin.pass(&operator, "admins").await.unwrap().status).contains("Admins"));
        let status = twin.pass(&operator, "ours").await.unwrap().status;
        assert_eq!(ready(&status).0, "True", "it was there first: {status:#?}");
        twin.namespace = twin.home.clone();
        let status = twin.pass(&operator, "theirs").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        assert!(said(&status, "Ready").2.contains(&format!("{ours}/ours")), "{status:#?}");
        let status = twin.settle(&operator, "admins").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        assert_eq!(holders(&twin, "payments-c").len(), 2, "nothing is taken away for it");
    });
}
