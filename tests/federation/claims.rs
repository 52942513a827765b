use kube::api::DeleteParams;
use sandbox::core::Profile;
use sandbox::world::{ExistingApplication, World};
use serde_json::json;

use super::bench::Bench;
use crate::support;

#[test]
fn two_that_adopt_one_application_both_say_so_and_only_take_away() {
    support::run(async {
        let mut world = World::load("company").unwrap();
        let app_id = "99999999-8888-7777-6666-555555555555";
        world.tenant.applications.push(ExistingApplication {
            display_name: "AWS (old)".into(),
            application_template_id: Some("21ed01d2-ec13-4e9e-86c1-cd546719ebc4".into()),
            app_id: Some(app_id.into()),
            notes: None,
        });
        let bench = Bench::of(world, Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        bench.provide_metadata().await;
        let adopting = json!({"entra": {"application": {"adopt": {"appId": app_id}}}});
        bench.create(adopting.clone()).await;
        let operator = bench.operator();
        operator.settle(&bench).await;
        assert_eq!(bench.assigned(), ["Greta Vos", "aws-engineers"]);

        bench.create_named("rival", adopting).await;
        let before = bench.last_write();
        let namespace = &bench.namespace;
        for (name, other) in [("rival", "acme"), ("acme", "rival")] {
            operator.pass_of(&bench, name).await.unwrap();
            let (status, reason, message) = bench.condition_of(name, "Ready").await;
            assert_eq!((status.as_str(), reason.as_str()), ("False", "ClaimedTwice"), "{message}");
            assert!(message.contains(&format!("IdentityFederation {namespace}/{other} adopts")), "{message}");
        }
        // The one whose mark is on it does what is stated, and nothing else.
        bench.assign_in_spec(&["aws-engineers", "aws-admins"]).await;
        operator.until(&bench, "without Greta", async || bench.assigned() == ["aws-engineers"]).await;
        operator.pass_of(&bench, "rival").await.unwrap();
        operator.pass(&bench).await.unwrap();
        let writes = bench.writes_after(before);
        assert!(writes.iter().all(|w| w.starts_with("DELETE ")), "{writes:?}");
        assert_eq!(bench.condition("Ready").await.1, "ClaimedTwice");

        bench
            .api::<causeway::api::v1alpha1::IdentityFederation>()
            .delete("rival", &DeleteParams::default())
            .await
            .unwrap();
        operator
            .until(&bench, "alone again", async || {
                bench.condition("EntraApplicationReady").await.0 == "True"
                    && bench.assigned() == ["aws-admins", "aws-engineers"]
            })
            .await;
    });
}
