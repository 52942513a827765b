//! What the ledger names is on another instance, or somebody else's by now.

use causeway::api::v1alpha1::IdentityFederation;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::harness::*;
use crate::support::run;

async fn sees(twin: &Twin, instance_arn: &str) {
    let api = Api::<IdentityFederation>::namespaced(twin.client.clone(), &twin.home);
    let status = json!({"status": {"aws": {"instanceArn": instance_arn}}});
    api.patch_status("acme", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

#[test]
fn what_is_on_another_instance_is_not_forgotten() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        twin.settle(&operator, "readers").await.unwrap();
        let (before, ledger) = (twin.assignments(), twin.ledger("readers").await.unwrap().data);
        let journal = twin.sandbox.core.journal.last();

        sees(&twin, "arn:aws:sso:::instance/ssoins-9999888877776666").await;
        let outcome = twin.pass(&operator, "readers").await.unwrap();
        let (verdict, reason, message) = said(&outcome.status, "Ready");
        assert_eq!((verdict.as_str(), reason.as_str()), ("False", "InstanceNotFound"));
        assert!(message.contains("spec.aws.identityCenter.instanceArn"), "{message}");
        twin.delete("readers").await;
        let outcome = twin.pass(&operator, "readers").await.expect("it holds on to itself");
        assert!(
            said(&outcome.status, "Ready").2.contains("ssoins-9999888877776666"),
            "{:#?}",
            outcome.status
        );
        assert_eq!(twin.ledger("readers").await.unwrap().data, ledger);
        assert!(twin.mutations(journal).is_empty());
        assert_eq!(twin.assignments(), before);

        sees(&twin, &twin.sandbox.aws.facts().instance_arn.unwrap()).await;
        assert!(twin.settle(&operator, "readers").await.is_none());
        assert_eq!(twin.assignments(), Vec::<String>::new());
    });
}

#[test]
fn what_cannot_be_seen_in_a_wrong_region_is_neither_counted_as_gone_nor_forgotten() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["accounts"] = json!({"include": [{"ids": [SHOP, DEV]}]});
        twin.create("readers", &spec).await;
        assert_eq!(twin.settle(&operator, "readers").await.unwrap().current, 2);
        let (before, ledger) = (twin.assignments(), twin.ledger("readers").await.unwrap().data);
        // As the federation's own controller sees it: no instance there.
        twin.patch_federation(&json!({"spec": {"aws": {"region": "us-east-1"}}})).await;
        twin.instance_ready(false).await;
        for change in [json!({"metadata": {"labels": {"a": "b"}}}), json!({"spec": {"principals": []}})] {
            twin.patch("readers", &change).await;
            for _ in 0..3 {
                let status = twin.look_anew(&operator, "readers").await.status;
                assert_eq!(ready(&status).0, "False", "{status:#?}");
                assert_eq!(status.current, 2, "{status:#?}");
            }
        }
        assert_eq!(twin.assignments(), before);
        assert_eq!(twin.ledger("readers").await.unwrap().data, ledger);
        twin.patch_federation(&json!({"spec": {"aws": {"region": "eu-west-1"}}})).await;
        twin.instance_ready(true).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((ready(&status).0.as_str(), status.current), ("True", 0), "{status:#?}");
        assert_eq!(twin.assignments(), Vec::<String>::new());
    });
}

#[test]
fn a_set_that_was_given_to_another_owner_keeps_its_assignments() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("readers", &plain("Readers")).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        let before = twin.assignments();
        let mark = aws_sdk_ssoadmin::types::Tag::builder()
            .key("causeway.dev/owner")
            .value("test/elsewhere/readers")
            .build()
            .unwrap();
        let tagged = || {
            twin.aws
                .ssoadmin
                .tag_resource()
                .instance_arn(twin.sandbox.aws.facts().instance_arn.unwrap())
                .resource_arn(status.permission_set_arn.clone().unwrap())
                .tags(mark.clone())
                .send()
        };
        patiently(tagged).await;
        twin.delete("readers").await;
        eventually("it goes", async || twin.settle(&operator, "readers").await.is_none()).await;
        assert_eq!(twin.assignments(), before, "they are the other one's");
        assert!(twin.told.lock().unwrap().iter().any(|note| note.contains("stays in AWS")));
    });
}
