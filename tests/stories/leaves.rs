//! The leaves of the sides that another party looks after: beside those of `journey/leaves.rs`, which they exclude.

use kube::api::{Patch, PatchParams};
use sandbox::journey;
use serde_json::{Value, json};

use super::party::Party;
use super::two_parties::{AWS_FEDERATION, ENTRA_FEDERATION};
use crate::support::world::TestWorld;
use crate::support::{leaf_paths, run};

/// What the federation says of itself, without what only tells that it was looked at.
async fn said(party: &Party) -> Value {
    let mut status =
        party.get("IdentityFederation", "acme").await.expect("the federation").data["status"].take();
    status["observedGeneration"] = Value::Null;
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = Value::Null;
        condition["lastTransitionTime"] = Value::Null;
    }
    status
}

async fn change(party: &Party, spec: &Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    party.resources("IdentityFederation").patch("acme", &PatchParams::default(), &patch).await.unwrap();
}

#[test]
fn every_leaf_of_the_other_partys_side_has_an_effect() {
    run(async {
        let world = TestWorld::company("entra-team").await;
        let (entra, aws) = (Party::entra(&world).await, Party::aws(&world).await);
        let operators = (entra.operator(&world), aws.operator(&world));
        entra.apply(ENTRA_FEDERATION).await;
        aws.apply(AWS_FEDERATION).await;
        let certificate = |status: &Value| status["entra"]["signingCertificates"][0]["sha256"].clone();
        let open = |status: &Value| status["handoff"]["pending"].as_array().map_or(0, Vec::len);
        entra
            .until("a certificate to confirm", async || {
                let status = said(&entra).await;
                certificate(&status).is_string() && open(&status) == 2 && status["plan"].is_null()
            })
            .await;
        aws.until("a document to send", async || open(&said(&aws).await) == 1).await;
        let sha256 = certificate(&said(&entra).await);
        let changes = [
            (
                &entra,
                "/aws/external/serviceProviderMetadata/configMapKeyRef/name",
                json!("x"),
                json!("from-aws"),
            ),
            (
                &entra,
                "/aws/external/serviceProviderMetadata/configMapKeyRef/key",
                json!("x"),
                json!("metadata.xml"),
            ),
            (&entra, "/aws/external/acknowledgedIdpCertificates", json!([sha256]), Value::Null),
            (
                &aws,
                "/entra/external/federationMetadata/configMapKeyRef/name",
                json!("x"),
                json!("from-entra"),
            ),
            (
                &aws,
                "/entra/external/federationMetadata/configMapKeyRef/key",
                json!("x"),
                json!("metadata.xml"),
            ),
            (
                &aws,
                "/entra/external/tenantId",
                json!("99999999-2222-3333-4444-555555555555"),
                json!("11111111-2222-3333-4444-555555555555"),
            ),
            (&aws, "/aws/identityCenter/acknowledgedIdpCertificates", json!([sha256]), Value::Null),
        ];
        for (yaml, side) in [(ENTRA_FEDERATION, "aws"), (AWS_FEDERATION, "entra")] {
            let federation = &journey::parse(yaml, None).unwrap()[0];
            for leaf in leaf_paths(&json!({side: {"external": federation.data["spec"][side]["external"]}})) {
                assert!(changes.iter().any(|(_, path, ..)| *path == leaf), "no change of {leaf}");
            }
        }
        for (party, leaf, value, usual) in changes {
            let nest = |value: &Value| {
                leaf.split('/')
                    .skip(1)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .fold(value.clone(), |inner, key| json!({key: inner}))
            };
            let before = said(party).await;
            change(party, &nest(&value)).await;
            party.until(&format!("an effect of {leaf}"), async || said(party).await != before).await;
            change(party, &nest(&usual)).await;
            party.until(&format!("{leaf} put back"), async || said(party).await == before).await;
        }
        operators.0.stop().await;
        operators.1.stop().await;
    });
}
