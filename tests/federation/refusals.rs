//! What a newcomer gets wrong, and that the message says what to do.

use std::collections::BTreeMap;

use causeway::clients::entra::applications::IDENTITY_CENTER_TEMPLATE;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams};
use sandbox::core::Profile;
use sandbox::world::World;
use serde_json::{Value, json};

use super::bench::{Bench, eventually};
use crate::support;

/// A person puts a document into the ConfigMap, under a key.
async fn put_metadata(bench: &Bench, key: &str, xml: &str) {
    let map = ConfigMap {
        metadata: kube::core::ObjectMeta { name: Some("aws-sp-metadata".into()), ..Default::default() },
        data: Some(BTreeMap::from([(key.to_owned(), xml.to_owned())])),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply("person").force();
    bench.api::<ConfigMap>().patch("aws-sp-metadata", &params, &Patch::Apply(&map)).await.unwrap();
}

/// What was refused of the metadata, with nothing of it in Entra.
async fn refused(bench: &Bench, reason: &str, words: &[&str]) {
    let (status, told, message) = bench.condition("SamlConfigured").await;
    assert_eq!((status.as_str(), told.as_str()), ("False", reason), "{message}");
    for words in words {
        assert!(message.contains(words), "{words}: {message}");
    }
    for application in bench.applications() {
        assert_eq!(application["identifierUris"], json!([]), "{message}");
        assert_eq!(application["web"]["redirectUris"], json!([]), "{message}");
    }
    let step = bench.step("ProvideServiceProviderMetadata").await.unwrap();
    assert!(step.command.unwrap().ends_with("| kubectl apply -f -"), "the ConfigMap is there already");
}

#[test]
fn metadata_of_another_instance_or_region_never_reaches_entra() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        let right = bench.sandbox.aws.service_provider_metadata().unwrap();
        let store = right.split_once("/platform/saml/").unwrap().1.split_once('"').unwrap().0.to_owned();
        let operator = bench.operator();
        bench.create(json!({})).await;

        // Another instance of the same Region. It is there from the first pass on.
        put_metadata(&bench, "metadata.xml", &right.replace(&store, "d-99990000ff")).await;
        operator.settle(&bench).await;
        assert_eq!(bench.applications().len(), 1);
        let ours = format!("has the identity store {store}");
        refused(&bench, "MetadataInvalid", &["identity store d-99990000ff", &ours, "status.handoff"]).await;

        put_metadata(&bench, "metadata.xml", &right.replace("eu-west-1", "us-east-1")).await;
        operator.settle(&bench).await;
        refused(&bench, "MetadataInvalid", &["instance in us-east-1", "is in eu-west-1"]).await;

        put_metadata(&bench, "sp.xml", &right).await;
        operator.settle(&bench).await;
        refused(&bench, "AwaitingHandoff", &["no text under the key metadata.xml (it has sp.xml)"]).await;

        put_metadata(&bench, "metadata.xml", &right).await;
        operator.settle(&bench).await;
        assert_eq!(bench.condition("SamlConfigured").await.0, "True", "{:#?}", bench.status().await);
        assert_eq!(bench.steps().await, ["ImportIdpMetadata"]);
    });
}

#[test]
fn a_wrong_region_is_not_answered_with_a_second_identity_center() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        let right = bench.sandbox.aws.service_provider_metadata().unwrap();
        put_metadata(&bench, "metadata.xml", &right).await;
        bench.create(json!({"aws": {"region": "us-east-1"}})).await;
        bench.operator().settle(&bench).await;
        let (_, _, message) = bench.condition("InstanceReady").await;
        assert!(message.contains("spec.aws.region"), "{message}");
        refused(&bench, "MetadataInvalid", &["instance in eu-west-1", "spec.aws.region is us-east-1"]).await;
    });
}

#[test]
fn all_missing_permissions_are_named_at_once_with_the_application() {
    support::run(async {
        let mut world = World::load("company").unwrap();
        world.tenant.clients[0].permissions = vec!["User.Read.All".into(), "Group.Read.All".into()];
        let bench = Bench::of(world, Profile::fast()).await;
        bench.create(json!({})).await;
        bench.operator().settle(&bench).await;
        let (status, reason, message) = bench.condition("EntraApplicationReady").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "PermissionDenied"), "{message}");
        let lacks = format!(
            "application {} lacks the Graph application permission Application.ReadWrite.All (admin consent)",
            bench.sandbox.descriptor().entra.client_id
        );
        let also =
            "also lacks AppRoleAssignment.ReadWrite.All (who may sign in), Synchronization.ReadWrite.All";
        for words in [lacks.as_str(), also, "API permissions"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert!(!message.contains("User.") && !message.contains("Group."), "{message}");
    });
}

#[test]
fn a_refused_secret_is_named_with_its_key_and_the_ids() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        bench.create(json!({})).await;
        let secrets = bench.api::<Secret>();
        let put = async |data: Value| {
            let patch = Patch::Merge(json!({"stringData": data}));
            secrets.patch("entra", &PatchParams::default(), &patch).await.unwrap();
        };
        put(json!({"clientSecret": "yesterdays"})).await;
        let operator = bench.operator();
        operator.settle(&bench).await;
        let (_, reason, message) = bench.condition("EntraApplicationReady").await;
        assert_eq!(reason, "AuthenticationFailed", "{message}");
        let (entra, namespace) = (bench.sandbox.descriptor().entra, bench.namespace.as_str());
        let secret = format!("Secret {namespace}/entra, key clientSecret");
        let now = format!("kubectl annotate identityfederation acme -n {namespace} causeway.dev/reconcile=");
        for words in [secret.as_str(), &entra.client_id, &entra.tenant_id, &now] {
            assert!(message.contains(words), "{words}: {message}");
        }
        put(json!({"clientSecret": "", "client-secret": "x"})).await;
        operator.settle(&bench).await;
        let (_, reason, message) = bench.condition("EntraApplicationReady").await;
        assert_eq!(reason, "SecretNotFound", "{message}");
        assert!(
            message.contains("nothing under the key clientSecret") && message.contains("within 30 s"),
            "{message}"
        );
        assert!(message.contains("kubectl patch secret entra"), "{message}");
    });
}

#[test]
fn an_application_that_has_the_identifiers_is_named() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        bench.provide_metadata().await;
        let right = bench.sandbox.aws.service_provider_metadata().unwrap();
        let entity = right.split_once("entityID=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        // Somebody clicked it together before.
        let graph = bench.graph();
        let made = graph.instantiate(IDENTITY_CENTER_TEMPLATE, "By hand").await.unwrap().body;
        let id = |kind: &str| made[kind]["id"].as_str().unwrap().to_owned();
        let (application, principal) = (id("application"), id("servicePrincipal"));
        eventually("it speaks SAML", async || {
            let saml = json!({"preferredSingleSignOnMode": "saml"});
            graph.patch_service_principal(&principal, &saml).await.is_ok()
        })
        .await;
        eventually("it has the identifier", async || {
            graph.patch_application(&application, &json!({"identifierUris": [entity]})).await.is_ok()
        })
        .await;
        bench.create(json!({})).await;
        let operator = bench.operator();
        let app_id = made["application"]["appId"].as_str().unwrap();
        operator
            .until(&bench, "told", async || {
                let (_, reason, message) = bench.condition("SamlConfigured").await;
                reason == "IdentifierUriRejected" && message.contains(&format!("\"By hand\" ({app_id})"))
            })
            .await;
    });
}

#[test]
fn a_sha1_thumbprint_is_known_for_what_it_is() {
    support::run(async {
        let bench = Bench::new("company", Profile::fast()).await;
        bench.sandbox.aws.enable_identity_center().unwrap();
        bench.provide_metadata().await;
        bench.create(json!({})).await;
        let operator = bench.operator();
        operator.settle(&bench).await;
        let certificate = bench.status().await.entra.unwrap().signing_certificates.remove(0);
        for (acknowledged, whose) in [
            (certificate.sha1.to_lowercase(), "of the right certificate"),
            ("0A".repeat(20), "of another certificate"),
        ] {
            bench.acknowledge(&acknowledged).await;
            operator.settle(&bench).await;
            let (status, reason, message) = bench.condition("TrustEstablished").await;
            assert_eq!((status.as_str(), reason.as_str()), ("False", "AwaitingHandoff"), "{message}");
            let command = format!(
                "kubectl annotate identityfederation acme -n {} causeway.dev/acknowledge={} --overwrite",
                bench.namespace, certificate.sha256
            );
            for words in ["SHA-1", whose, &command] {
                assert!(message.contains(words), "{words}: {message}");
            }
        }
    });
}
