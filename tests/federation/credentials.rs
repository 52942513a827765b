//! Every way to sign in carries a federation, and each refusal says what to do and passes once that is done.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject};
use sandbox::journey;
use serde_json::{Value, json};

use crate::support::credentials::{BY_ACCOUNT, CLIENT, allowed, prepare, role};
use crate::support::run;
use crate::support::world::{ALL, BINDINGS, CHANGE, CONNECTION, FEDERATION, TestWorld, condition};

const ACME: [(&str, &str); 1] = [("IdentityFederation", "acme")];

async fn world(prefix: &str) -> TestWorld {
    let mut world = TestWorld::changed(prefix, prepare).await;
    let entry = allowed(&world.namespace);
    world.settings.allowed_roles.add(&entry).unwrap();
    world
}

/// The example's federation with other credentials.
fn federation(world: &TestWorld, entra: &Value, aws: &Value) -> DynamicObject {
    let mut federation = journey::parse(FEDERATION, Some(&world.namespace)).unwrap().remove(0);
    federation.data["spec"]["entra"]["credentials"] = entra.clone();
    federation.data["spec"]["aws"]["credentials"] = aws.clone();
    federation
}

async fn apply(world: &TestWorld, entra: &Value, aws: &Value) {
    journey::apply(&world.client, &[federation(world, entra, aws)]).await.unwrap();
}

fn secret() -> (Value, Value) {
    let entra =
        json!({"clientSecret": {"clientId": CLIENT, "secretRef": {"name": "entra", "key": "clientSecret"}}});
    (entra, json!({"secretRef": {"name": "aws"}}))
}

fn account(name: &str) -> (Value, Value) {
    let entra = json!({"serviceAccount": {"name": name, "clientId": CLIENT}});
    (entra, json!({"serviceAccount": {"name": name, "roleArn": role("causeway-entry")}}))
}

fn assumes(mut credentials: Value, role_name: &str, external_id: &str) -> Value {
    credentials["assumeRole"] = json!({"roleArn": role(role_name), "externalId": external_id});
    credentials
}

/// Waits until the federation says why it is not Ready.
async fn says(world: &TestWorld, reason: &str, words: &str) {
    world
        .until(&format!("{reason}: {words}"), async || {
            let object = world.get("IdentityFederation", "acme").await.unwrap();
            let ready = condition(&object, "Ready");
            let generation = object.data["status"]["observedGeneration"].as_i64();
            generation == object.metadata.generation
                && ready.is_some_and(|ready| {
                    ready["reason"] == reason && ready["message"].as_str().unwrap().contains(words)
                })
        })
        .await;
}

fn accounts(world: &TestWorld) -> Api<ServiceAccount> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

#[test]
fn tokens_of_a_service_account_carry_the_whole_example() {
    run(async {
        let world = world("by-account").await;
        let operator = world.operator();
        for yaml in [BY_ACCOUNT, CONNECTION, BINDINGS] {
            world.apply(yaml).await;
        }
        world.until_ready(&ALL).await;
        let name = format!("test@{}.acme", world.namespace);
        let mut arns = world.sandbox.aws.session_arns();
        arns.sort();
        arns.dedup();
        let session = |role: &str| format!("arn:aws:sts::100000000001:assumed-role/{role}/{name}");
        assert_eq!(arns, [session("causeway-entry"), session("causeway")]);
        let created = world.mutations(0).into_iter().find(|e| e.operation == "CreatePermissionSet").unwrap();
        assert_eq!(created.caller, session("causeway"), "what an audit trail shows");

        // Sessions and access tokens end; what comes next is done with new ones.
        let sessions = world.sandbox.aws.session_arns().len();
        world.advance(jiff::SignedDuration::from_secs(3700));
        world.apply(CHANGE).await;
        world.until_ready(&ALL).await;
        assert!(world.sandbox.aws.session_arns().len() >= sessions + 2);
        operator.stop().await;
    });
}

#[test]
fn one_way_to_sign_in_is_exchanged_for_another_without_a_restart() {
    run(async {
        let world = world("exchange").await;
        let operator = world.operator();
        world.apply(BY_ACCOUNT).await;
        world.until_ready(&ACME).await;
        let before = world.mutations(0).len();
        let ((by_secret, with_key), (by_account, with_token)) = (secret(), account("causeway"));
        for (entra, aws) in [
            (&by_secret, with_key.clone()),
            (&by_account, assumes(with_key, "causeway", "acme-causeway")),
            (&by_secret, with_token.clone()),
            (&by_account, assumes(with_token, "causeway", "acme-causeway")),
        ] {
            apply(&world, entra, &aws).await;
            world.until_ready(&ACME).await;
        }
        let written: Vec<_> = world.mutations(0).into_iter().skip(before).map(|e| e.operation).collect();
        // The example assigns mail addresses that the other one does not.
        assert!(
            written.iter().all(|operation| operation.starts_with("PATCH /servicePrincipals")),
            "{written:?}"
        );
        operator.stop().await;
    });
}

#[test]
fn refusals_say_what_to_do_and_pass_once_it_is_done() {
    run(async {
        let mut world = world("refusals").await;
        world.settings.ambient_namespaces.clear();
        let operator = world.operator();
        let ((by_secret, with_key), (by_account, with_token)) = (secret(), account("late"));
        apply(&world, &by_secret, &with_key).await;
        world.until_ready(&ACME).await;

        let ambient = json!({"ambient": {}});
        apply(&world, &ambient, &with_key).await;
        says(&world, "CredentialsNotAllowed", "--ambient-namespaces").await;
        apply(&world, &by_secret, &ambient).await;
        says(&world, "CredentialsNotAllowed", "--ambient-namespaces").await;
        apply(&world, &by_secret, &assumes(with_key.clone(), "admin", "acme-causeway")).await;
        let setting = format!("--allowed-roles={}={}", world.namespace, role("admin"));
        says(&world, "CredentialsNotAllowed", &setting).await;
        let object = world.get("IdentityFederation", "acme").await.unwrap();
        assert_eq!(condition(&object, "Stalled").unwrap()["status"], "True", "only a person can mend it");
        apply(&world, &by_secret, &assumes(with_key.clone(), "causeway", "other")).await;
        says(&world, "PermissionDenied", "sts:ExternalId").await;
        apply(&world, &by_secret, &with_key).await;
        world.until_ready(&ACME).await;

        // It passes by itself once the ServiceAccount is there. Both clouds know another subject, and say so.
        apply(&world, &by_account, &with_key).await;
        says(&world, "ServiceAccountNotFound", "create serviceaccount late").await;
        let late = serde_json::from_value(json!({"metadata": {"name": "late"}})).unwrap();
        accounts(&world).create(&Default::default(), &late).await.unwrap();
        says(&world, "AuthenticationFailed", "AADSTS700213").await;
        apply(&world, &by_secret, &with_token).await;
        says(&world, "PermissionDenied", "Federated principal").await;
        apply(&world, &by_secret, &with_key).await;
        world.until_ready(&ACME).await;
        operator.stop().await;
    });
}

#[test]
fn deletion_ends_although_the_service_account_is_gone() {
    run(async {
        let world = world("orphan").await;
        let operator = world.operator();
        world
            .apply(&BY_ACCOUNT.replace("spec:\n  entra:", "spec:\n  deletionPolicy: Delete\n  entra:"))
            .await;
        world.until_ready(&ACME).await;
        accounts(&world).delete("causeway", &DeleteParams::default()).await.unwrap();
        let api = journey::api(&world.client, &world.namespace, "IdentityFederation");
        api.delete("acme", &DeleteParams::default()).await.unwrap();
        world
            .until("the federation is gone", async || world.get("IdentityFederation", "acme").await.is_none())
            .await;
        assert!(world.sandbox.entra.world().applications.is_empty(), "and its application");
        operator.stop().await;
    });
}
