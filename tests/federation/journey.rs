use causeway::controllers::Cleanup;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use sandbox::core::Profile;
use sandbox::world::{ExistingApplication, World};
use serde_json::json;

use super::bench::{Bench, owner};
use crate::support;

pub async fn ready_bench(spec: serde_json::Value) -> Bench {
    let bench = Bench::new("company", Profile::fast()).await;
    bench.sandbox.aws.enable_identity_center().unwrap();
    bench.provide_metadata().await;
    bench.create(spec).await;
    let operator = bench.operator();
    operator.settle(&bench).await;
    bench.import_metadata().await;
    operator.settle(&bench).await;
    let ready = bench.condition("Ready").await;
    assert_eq!(ready.0, "True", "{ready:?}\n{:#?}", bench.status().await);
    bench
}

#[test]
fn an_empty_tenant_becomes_a_federation_with_a_person_at_each_gate() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        let operator = bench.operator();
        bench.create(json!({"entra": {"signingCertificate": {"notifyEmails": ["idp@acme.example"]}}})).await;

        // AWS has nothing yet; Entra goes as far as it can.
        assert!(operator.settle(&bench).await);
        assert_eq!(
            bench.steps().await,
            ["EnableIdentityCenter", "ProvideServiceProviderMetadata", "ImportIdpMetadata"]
        );
        let (status, reason, message) = bench.condition("Ready").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "AwaitingHandoff"));
        assert!(message.starts_with("enable IAM Identity Center"), "{message}");
        assert_eq!(bench.condition("EntraApplicationReady").await.0, "True");
        assert_eq!(bench.condition("AssignmentsReady").await.0, "True");
        assert!(bench.status().await.conditions.iter().all(|c| c.type_ != "Stalled"));
        assert_eq!(bench.assigned(), ["Greta Vos", "aws-engineers"]);

        bench.sandbox.aws.enable_identity_center().unwrap();
        operator.settle(&bench).await;
        assert_eq!(bench.steps().await, ["ProvideServiceProviderMetadata", "ImportIdpMetadata"]);
        assert_eq!(bench.condition("InstanceReady").await.0, "True");
        let aws = bench.status().await.aws.unwrap();
        assert_eq!(
            aws.access_portal_url,
            Some(format!("https://{}.awsapps.com/start", aws.identity_store_id))
        );
        assert_eq!(aws.management_account_id.as_deref(), Some("100000000001"));

        bench.provide_metadata().await;
        operator.settle(&bench).await;
        assert_eq!(bench.steps().await, ["ImportIdpMetadata"]);
        let step = bench.step("ImportIdpMetadata").await.unwrap();
        assert!(step.command.unwrap().contains(&step.value.unwrap()));

        // Yesterday's file.
        bench.acknowledge(&"ab".repeat(32)).await;
        operator.settle(&bench).await;
        assert!(bench.condition("TrustEstablished").await.2.contains("yesterday's metadata"));

        bench.import_metadata().await;
        operator.settle(&bench).await;
        assert_eq!(bench.condition("Ready").await.0, "True", "{:#?}", bench.status().await);
        assert_eq!(bench.condition("TrustEstablished").await.1, "Acknowledged");
        assert!(bench.steps().await.is_empty());

        let applications = bench.applications();
        assert_eq!(applications.len(), 1);
        assert_eq!(applications[0]["displayName"], "AWS IAM Identity Center");
        assert_eq!(applications[0]["notes"], format!("Managed by Causeway: test/{}/acme", bench.namespace));
        let trust = bench.sandbox.aws.saml_trust().unwrap();
        assert_eq!(applications[0]["identifierUris"], json!([trust.entity_id]));
        let map = bench.api::<ConfigMap>().get("acme-idp-metadata").await.unwrap();
        assert_eq!(owner(&map).as_deref(), Some("IdentityFederation acme"));
    });
}

#[test]
fn at_rest_nothing_is_written_and_a_rebuilt_cluster_writes_nothing_to_the_clouds() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let (before, object) = (bench.last_write(), bench.get().await);
        let operator = bench.operator();
        for _ in 0..3 {
            let outcome = operator.pass(&bench).await.unwrap();
            assert!(outcome.notices.is_empty() && outcome.class.is_none());
        }
        assert_eq!(bench.get().await.metadata.resource_version, object.metadata.resource_version);
        assert_eq!(bench.writes_after(before), [""; 0]);

        bench.rebuild().await;
        assert!(bench.status().await.entra.is_none());
        bench.operator().settle(&bench).await;
        assert_eq!(bench.condition("Ready").await.0, "True");
        assert_eq!(bench.writes_after(before), [""; 0]);
        let ledger = bench.api::<ConfigMap>().get("acme-assignments").await.unwrap().data.unwrap();
        assert_eq!(ledger.len(), 2);
        let (_, entry) = ledger.iter().find(|(k, _)| k.starts_with(&bench.group("aws-engineers"))).unwrap();
        assert!(entry.ends_with("Z group \"aws-engineers\""), "{entry}");
        let (old, new) = (object.status.unwrap().entra.unwrap(), bench.status().await.entra.unwrap());
        assert_eq!(old, new);
    });
}

#[test]
fn a_principal_that_leaves_the_spec_loses_its_assignment_and_an_unknown_name_loses_nothing() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let operator = bench.operator();
        bench.assign_in_spec(&["aws-engineers", "aws-admins", "no-such-group", "all-staff"]).await;
        operator.settle(&bench).await;
        assert_eq!(bench.assigned(), ["aws-admins", "aws-engineers"]);
        let (status, reason, message) = bench.condition("AssignmentsReady").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "PrincipalNotFound"));
        assert!(
            message.contains("\"no-such-group\" does not exist") && message.contains("no security group"),
            "{message}"
        );

        // The group is renamed behind our back: an error, never a removal.
        bench
            .sandbox
            .entra
            .update_group(&bench.group("aws-admins"), &json!({"displayName": "aws-bosses"}))
            .unwrap();
        bench.assign_in_spec(&["aws-engineers", "aws-admins"]).await;
        operator
            .until(&bench, "told", async || {
                let (_, reason, message) = bench.condition("AssignmentsReady").await;
                reason == "PrincipalNotFound" && message.contains("\"aws-admins\"")
            })
            .await;
        operator.settle(&bench).await;
        assert_eq!(bench.assigned().len(), 2);

        bench.assign_in_spec(&[]).await;
        operator.settle(&bench).await;
        assert_eq!(bench.assigned(), [""; 0]);
        bench.advance(SignedDuration::from_mins(30));
        operator.settle(&bench).await;
        assert_eq!(bench.condition("Ready").await.0, "True");
        assert!(
            bench
                .api::<ConfigMap>()
                .get("acme-assignments")
                .await
                .unwrap()
                .data
                .unwrap_or_default()
                .is_empty()
        );
    });
}

#[test]
fn the_next_certificate_is_used_only_when_a_person_says_that_aws_has_it() {
    support::run(async {
        let bench = ready_bench(
            json!({"entra": {"signingCertificate": {"lifetime": "2400h", "rotateBefore": "240h"}}}),
        )
        .await;
        let operator = bench.operator();
        let active = |status: &causeway::api::v1alpha1::IdentityFederationStatus| {
            let all = &status.entra.as_ref().unwrap().signing_certificates;
            (all.len(), all.iter().find(|c| c.active).unwrap().sha256.clone())
        };
        let (_, first) = active(&bench.status().await);
        bench.advance(SignedDuration::from_hours(2300));
        operator.settle(&bench).await;
        assert_eq!(active(&bench.status().await), (2, first.clone()));
        assert_eq!(bench.steps().await, ["ImportIdpCertificate"]);
        let ready = bench.condition("Ready").await;
        assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "CertificateRotation"));
        let map = bench.api::<ConfigMap>().get("acme-idp-metadata").await.unwrap().data.unwrap();
        bench.sandbox.aws.import_idp_certificate(&map["next-certificate.pem"]).unwrap();

        let before = bench.last_write();
        operator.pass(&bench).await.unwrap();
        assert_eq!(bench.writes_after(before), [""; 0]);
        let next = bench.step("ImportIdpCertificate").await.unwrap().value.unwrap();
        bench.acknowledge(&next).await;
        operator.settle(&bench).await;
        assert_eq!(active(&bench.status().await), (2, next));
        assert_eq!(bench.condition("Ready").await.1, "Succeeded", "{:#?}", bench.status().await);
        assert_eq!(bench.writes_after(before), ["PATCH /servicePrincipals/{id} ok"]);
    });
}

#[test]
fn what_is_somebody_elses_is_not_touched() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let theirs = bench.status().await.entra.unwrap().app_id.unwrap();
        // Another installation adopts what is ours.
        let mut other = bench;
        other.settings.installation_id = "other".into();
        other.rebuild().await;
        other.patch(json!({"spec": {"entra": {"application": {"adopt": {"appId": theirs}}}}})).await;
        let before = other.last_write();
        other.operator().settle(&other).await;
        let (status, reason, message) = other.condition("Ready").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "OwnedByOther"), "{message}");
        assert_eq!(other.writes_after(before), [""; 0]);

        other.patch(json!({"spec": {"entra": {"application": {"adopt": {"appId": "00000000-1111-2222-3333-444444444444"}}}}})).await;
        other.operator().settle(&other).await;
        assert_eq!(other.condition("Ready").await.1, "ApplicationNotFound");
        assert_eq!(other.writes_after(before), [""; 0]);
    });
}

#[test]
fn observe_shows_the_plan_and_writes_nothing() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        let before = bench.last_write();
        bench.create(json!({"mode": "Observe"})).await;
        bench.operator().settle(&bench).await;
        assert_eq!(bench.writes_after(before), [""; 0]);
        let plan = bench.status().await.plan.unwrap();
        assert!(plan.summary[0].starts_with("create the enterprise application"), "{plan:?}");
        assert!(plan.summary.iter().any(|l| l.starts_with("assign group \"aws-engineers\"")), "{plan:?}");
        assert_eq!(bench.condition("Ready").await.1, "PlanNotApplied");
        assert!(bench.api::<ConfigMap>().get_opt("acme-assignments").await.unwrap().is_none());
    });
}

#[test]
fn suspended_nothing_is_even_read() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        bench.patch(json!({"spec": {"suspend": true}})).await;
        let operator = bench.operator();
        operator.settle(&bench).await;
        assert_eq!(operator.calls(), 0);
        assert_eq!(bench.condition("Ready").await.1, "Suspended");
        assert_eq!(bench.condition("EntraApplicationReady").await.0, "True");
        bench.patch(json!({"spec": {"suspend": false}})).await;
        operator.settle(&bench).await;
        assert_eq!(bench.condition("Ready").await.0, "True");
    });
}

#[test]
fn deletion_waits_for_referrers_then_removes_only_what_is_ours() {
    support::run(async {
        let bench = ready_bench(json!({"deletionPolicy": "Delete"})).await;
        let operator = bench.operator();
        let connection = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "acme"},
            "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "aws-scim"}}
        });
        let connections = bench.api::<causeway::api::v1alpha1::ScimConnection>();
        connections
            .create(&PostParams::default(), &serde_json::from_value(connection).unwrap())
            .await
            .unwrap();
        let before = bench.last_write();
        let Cleanup::Waiting(outcome) = operator.cleanup(&bench).await else { panic!("went") };
        let ready = &outcome.status.conditions[0];
        assert_eq!(
            (ready.reason.as_str(), ready.message.ends_with("acme")),
            ("DeletionBlocked", true),
            "{}",
            ready.message
        );
        assert_eq!(bench.writes_after(before), [""; 0]);

        connections.delete("acme", &Default::default()).await.unwrap();
        assert!(matches!(operator.cleanup(&bench).await, Cleanup::Done));
        assert!(bench.applications().is_empty());
        assert_eq!(bench.writes_after(before)[0], "DELETE /applications/{id} ok");
    });
}

#[test]
fn what_is_retained_needs_no_credentials() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        bench.api::<k8s_openapi::api::core::v1::Secret>().delete("entra", &Default::default()).await.unwrap();
        let operator = bench.operator();
        assert!(matches!(operator.cleanup(&bench).await, Cleanup::Done));
        assert_eq!(operator.calls(), 0);
        assert_eq!(bench.applications().len(), 1);
    });
}

#[test]
fn one_side_does_not_hold_up_the_other() {
    support::run(async {
        let bench = Bench::new("company-enabled", Profile::fast()).await;
        bench.provide_metadata().await;
        bench.api::<k8s_openapi::api::core::v1::Secret>().delete("entra", &Default::default()).await.unwrap();
        bench.create(json!({})).await;
        bench.operator().settle(&bench).await;
        assert_eq!(bench.condition("InstanceReady").await.0, "True");
        let (status, reason, message) = bench.condition("Ready").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "SecretNotFound"), "{message}");
    });
}

#[test]
fn an_application_deleted_by_a_person_is_not_silently_replaced() {
    support::run(async {
        let bench = ready_bench(json!({})).await;
        let id = bench.status().await.entra.unwrap().application_object_id.unwrap();
        let operator = bench.operator();
        // A person's act in the portal; what deletes is the same call.
        bench.patch(json!({"spec": {"deletionPolicy": "Delete"}})).await;
        operator.cleanup(&bench).await;
        let before = bench.last_write();
        operator
            .until(&bench, "told", async || bench.condition("Ready").await.1 == "ApplicationNotFound")
            .await;
        operator.settle(&bench).await;
        let (status, reason, message) = bench.condition("Ready").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "ApplicationNotFound"), "{message}");
        assert!(message.contains("restore it there"), "{message}");
        assert_eq!(bench.writes_after(before), [""; 0]);
        assert_eq!(bench.status().await.entra.unwrap().application_object_id, Some(id));
    });
}

#[test]
fn an_existing_application_is_adopted_when_that_is_asked_for() {
    support::run(async {
        let mut world = World::load("company").unwrap();
        let app_id = "99999999-8888-7777-6666-555555555555";
        world.tenant.applications.push(ExistingApplication {
            display_name: "AWS (old)".into(),
            application_template_id: Some("21ed01d2-ec13-4e9e-86c1-cd546719ebc4".into()),
            app_id: Some(app_id.into()),
            notes: Some("ask Ada first".into()),
        });
        let bench = Bench::of(world, Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        bench.provide_metadata().await;
        bench.create(json!({"entra": {"application": {"adopt": {"appId": app_id}}}})).await;
        bench.operator().settle(&bench).await;
        bench.import_metadata().await;
        bench.operator().settle(&bench).await;
        assert_eq!(bench.condition("Ready").await.0, "True", "{:#?}", bench.status().await);
        let ours = bench.applications();
        assert_eq!((ours.len(), &ours[0]["appId"]), (1, &json!(app_id)));
        let mark = format!("Managed by Causeway: test/{}/acme", bench.namespace);
        assert_eq!(ours[0]["notes"], format!("ask Ada first\n{mark}"));
        assert!(bench.writes_after(0).iter().all(|w| !w.contains("instantiate")));
        // Found again by its mark when the adoption is taken out of the spec.
        let before = bench.last_write();
        bench.rebuild().await;
        bench.patch(json!({"spec": {"entra": {"application": {"adopt": null}}}})).await;
        bench.operator().settle(&bench).await;
        assert_eq!(bench.writes_after(before), [""; 0]);
        assert_eq!(bench.status().await.entra.unwrap().app_id.as_deref(), Some(app_id));
    });
}

#[test]
fn a_missing_permission_is_named_and_the_rest_goes_on() {
    support::run(async {
        let mut world = World::load("company").unwrap();
        world.tenant.clients[0].permissions.retain(|p| p != "AppRoleAssignment.ReadWrite.All");
        let bench = Bench::of(world, Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        bench.provide_metadata().await;
        bench.create(json!({})).await;
        let operator = bench.operator();
        operator
            .until(&bench, "as far as it goes", async || {
                bench.condition("SamlConfigured").await.0 == "True"
                    && bench.condition("SigningCertificateValid").await.0 == "True"
                    && bench.condition("Ready").await.1 == "PermissionDenied"
            })
            .await;
        let (status, reason, message) = bench.condition("AssignmentsReady").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "PermissionDenied"), "{message}");
        assert!(message.contains("appRoleAssignedTo"), "{message}");
        assert!(
            message.contains("lacks the Graph application permission AppRoleAssignment.ReadWrite.All"),
            "{message}"
        );
        assert_eq!(bench.condition("SamlConfigured").await.0, "True");
        assert_eq!(bench.condition("SigningCertificateValid").await.0, "True");
        assert_eq!(bench.condition("Ready").await.1, "PermissionDenied");
    });
}
