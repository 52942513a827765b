use serde_json::json;

use super::super::fixtures::{aws_only, entra_only, federation};
use super::super::handoff::{Facts, handoff};
use super::*;
use crate::api::v1alpha1::IdentityFederationStatus;
use crate::api::{ConfigMapKeyRef, PublishedMetadata};

fn document(says: &str) -> Option<Option<Document>> {
    Some(Some(Document { sha256: "ee".repeat(32), says: says.into() }))
}

fn entra() -> EntraStatus {
    serde_json::from_value(json!({"signingCertificates": [
        {"sha1": "AB", "sha256": "ab".repeat(32), "notAfter": "2027-01-01T00:00:00Z", "active": true}]}))
    .unwrap()
}

fn names(items: &[ExchangeItem]) -> Vec<&str> {
    items.iter().map(|i| i.name.as_str()).collect()
}

#[test]
fn one_party_exchanges_nothing() {
    assert_eq!(exchange(&federation(), None, &Documents::default(), &EntraStatus::default(), None), None);
}

#[test]
fn the_entra_party_sends_metadata_and_thumbprint_and_waits_for_document_and_word() {
    let object = entra_only();
    let facts = Facts {
        no_instance: Some(false),
        no_metadata: Some(true),
        unacknowledged: Some(Some("ab".repeat(32))),
        next: Some(Some("cd".repeat(32))),
        ..Facts::default()
    };
    let config_map_key_ref = ConfigMapKeyRef { name: "acme-idp-metadata".into(), key: METADATA_KEY.into() };
    let published = PublishedMetadata { config_map_key_ref, sha256: "dd".repeat(32) };
    let steps = handoff(&object, &facts, None, Some(published)).unwrap();
    let documents = Documents { service_provider: Some(None), identity_provider: None };
    let told = exchange(&object, Some(&steps), &documents, &entra(), None).unwrap();
    assert_eq!(names(&told.send), [FEDERATION, CERTIFICATE, NEXT_CERTIFICATE]);
    assert_eq!(names(&told.awaits), [SERVICE_PROVIDER, CONFIRMATION, CONFIRMATION]);
    assert_eq!(told.received, []);
    assert_eq!(
        told.send[0].command.as_deref(),
        Some(
            "kubectl get configmap acme-idp-metadata -n identity -o jsonpath='{.data.federation-metadata\\.xml}' > federation-metadata.xml"
        )
    );
    // The text has the values and none of the sender's own commands.
    for text in ["ab".repeat(32), "cd".repeat(32), "dd".repeat(32), "federation-metadata.xml".into()] {
        assert!(told.mail.contains(&text), "{text} is missing in {}", told.mail);
    }
    assert!(!told.mail.contains("kubectl"), "{}", told.mail);
}

#[test]
fn the_aws_party_sends_document_word_and_portal_but_no_token() {
    let mut object = aws_only();
    object.metadata.annotations =
        Some([(crate::api::annotations::ACKNOWLEDGE.to_owned(), "AB:CD".to_owned())].into());
    let aws =
        AwsStatus { access_portal_url: Some("https://d-1.awsapps.com/start".into()), ..Default::default() };
    let documents = Documents { service_provider: document("entity id x"), identity_provider: Some(None) };
    let facts = Facts { no_idp_metadata: Some(true), ..Facts::default() };
    let steps = handoff(&object, &facts, None, None).unwrap();
    let told = exchange(&object, Some(&steps), &documents, &EntraStatus::default(), Some(&aws)).unwrap();
    assert_eq!(names(&told.send), [SERVICE_PROVIDER, CONFIRMATION, SCIM, PORTAL]);
    assert_eq!(told.send[1].value.as_deref(), Some("abcd"));
    assert_eq!(told.send[2].value, None, "no token");
    assert_eq!(names(&told.awaits), [FEDERATION]);
    let settled = Documents { identity_provider: document("issuer y"), ..documents };
    let told = exchange(&object, None, &settled, &EntraStatus::default(), Some(&aws)).unwrap();
    assert_eq!((names(&told.awaits), names(&told.received)), (vec![], vec![FEDERATION]));
    assert!(told.mail.ends_with("We wait for nothing from you.\n"), "{}", told.mail);
}

#[test]
fn what_could_not_be_read_stays_as_it_was() {
    let mut object = aws_only();
    let documents = Documents { service_provider: document("x"), identity_provider: document("y") };
    let first = exchange(&object, None, &documents, &EntraStatus::default(), None);
    object.status = Some(IdentityFederationStatus { exchange: first.clone(), ..Default::default() });
    assert_eq!(exchange(&object, None, &Documents::default(), &EntraStatus::default(), None), first);
    let gone = Documents { service_provider: Some(None), identity_provider: Some(None) };
    let told = exchange(&object, None, &gone, &EntraStatus::default(), None).unwrap();
    assert_eq!((told.send, told.received), (vec![], vec![]));
}
