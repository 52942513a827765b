use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha1::Digest as _;

use super::{Desk, world};

const IDENTIFIER: &str = "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890";
const ACS: &str = "https://eu-west-1.signin.aws.amazon.com/platform/saml/acs/abc";

async fn saml(desk: &Desk) -> (String, String, String) {
    let (application, app_id, id) = desk.application().await;
    let path = format!("/servicePrincipals/{id}");
    desk.must(204, "PATCH", &path, Some(json!({ "preferredSingleSignOnMode": "saml" }))).await;
    desk.settle();
    let body = json!({ "identifierUris": [IDENTIFIER], "web": { "redirectUris": [ACS] } });
    desk.must(204, "PATCH", &format!("/applications/{application}"), Some(body)).await;
    desk.settle();
    (application, app_id, id)
}

async fn certificate(desk: &Desk, id: &str, end: &str) -> Value {
    let path = format!("/servicePrincipals/{id}/addTokenSigningCertificate");
    let made = desk
        .must(200, "POST", &path, Some(json!({ "displayName": "CN=causeway", "endDateTime": end })))
        .await;
    desk.settle();
    made
}

fn in_days(desk: &Desk, days: i64) -> String {
    super::super::state::iso(
        desk.core.clock.now().checked_add(SignedDuration::from_hours(days * 24)).unwrap(),
    )
}

#[tokio::test]
async fn a_fresh_application_is_invisible_for_a_while() {
    let desk = Desk::new().await;
    let path = "/applicationTemplates/21ed01d2-ec13-4e9e-86c1-cd546719ebc4/instantiate";
    let made = desk.must(201, "POST", path, Some(json!({ "displayName": "causeway-1" }))).await;
    let id = made["servicePrincipal"]["id"].as_str().unwrap();
    let young = desk.must(404, "GET", &format!("/servicePrincipals/{id}"), None).await;
    assert_eq!(young["error"]["code"], "Request_ResourceNotFound");
    desk.until(&format!("/servicePrincipals/{id}"), |b| b["displayName"] == "causeway-1").await;
    let entry = desk.core.journal.after(0).pop().unwrap();
    assert_eq!(entry.operation, "POST /applicationTemplates/{id}/instantiate");
    assert_eq!(entry.target, format!("application {}", made["application"]["appId"].as_str().unwrap()));
}

#[tokio::test]
async fn by_switch_instantiate_lies() {
    let mut world = world();
    world.tenant.behaviours.instantiate_answers404 = true;
    let desk = Desk::of(&world).await;
    let path = "/applicationTemplates/21ed01d2-ec13-4e9e-86c1-cd546719ebc4/instantiate";
    desk.must(404, "POST", path, Some(json!({ "displayName": "causeway-1" }))).await;
    let filter = "/applications?$filter=applicationTemplateId%20eq%20'21ed01d2-ec13-4e9e-86c1-cd546719ebc4'%20and%20displayName%20eq%20'causeway-1'";
    desk.until(filter, |b| b["value"].as_array().is_some_and(|v| v.len() == 1)).await;
}

#[tokio::test]
async fn foreign_identifiers_need_saml_mode_first() {
    let desk = Desk::new().await;
    let (application, _, _) = desk.application().await;
    let body = json!({ "identifierUris": [IDENTIFIER] });
    let refused = desk.must(400, "PATCH", &format!("/applications/{application}"), Some(body)).await;
    assert_eq!(refused["error"]["code"], "HostNameNotOnVerifiedDomain");
    let (other, ..) = saml(&desk).await;
    assert_ne!(application, other);
    let found =
        desk.get(&format!("/applications?$filter=identifierUris/any(u:u%20eq%20'{IDENTIFIER}')")).await.1;
    assert_eq!(found["value"][0]["id"], other);
    let twin = desk
        .get(
            &format!(
                "/servicePrincipals?$filter=appId eq '{}'",
                found["value"][0]["appId"].as_str().unwrap()
            )
            .replace(' ', "%20"),
        )
        .await
        .1;
    assert_eq!(twin["value"][0]["replyUrls"], json!([ACS]));
}

#[tokio::test]
async fn a_certificate_is_three_records_and_its_key_shows_only_when_selected() {
    let desk = Desk::new().await;
    let (_, app_id, id) = saml(&desk).await;
    let made = certificate(&desk, &id, &in_days(&desk, 1000)).await;
    let der = STANDARD.decode(made["key"].as_str().unwrap()).unwrap();
    assert_eq!(made["thumbprint"], hex::encode_upper(sha1::Sha1::digest(&der)));
    let plain = desk.get(&format!("/servicePrincipals/{id}")).await.1;
    let selected =
        desk.get(&format!("/servicePrincipals/{id}?$select=keyCredentials,passwordCredentials")).await.1;
    assert!(plain["keyCredentials"].as_array().unwrap().iter().all(|k| k["key"].is_null()));
    let keys = selected["keyCredentials"].as_array().unwrap();
    let of = |usage: &str| keys.iter().find(|k| k["usage"] == usage).unwrap();
    assert_eq!(of("Verify")["key"], made["key"]);
    assert!(of("Sign")["key"].is_null());
    assert_eq!(of("Sign")["keyId"], made["keyId"]);
    assert_eq!(selected["passwordCredentials"][0]["keyId"], made["keyId"]);
    let metadata = format!(
        "/{}/FederationMetadata/2007-06/FederationMetadata.xml?appid={app_id}",
        desk.entra.facts().tenant_id
    );
    let (status, xml) = desk.login_text(&metadata).await;
    assert_eq!(status, 200);
    assert_eq!(xml.matches(made["key"].as_str().unwrap()).count(), 3, "two descriptors and the signature");
    assert!(!xml.contains("<ds:SignatureValue></ds:SignatureValue>"));
    assert!(xml.contains("entityID=\"https://sts.windows.net/11111111-2222-3333-4444-555555555555/\""));
    // Removal: the arrays without its records.
    let none = json!({ "keyCredentials": [], "passwordCredentials": [] });
    desk.must(204, "PATCH", &format!("/servicePrincipals/{id}"), Some(none)).await;
    desk.settle();
    assert!(!desk.login_text(&metadata).await.1.contains(made["key"].as_str().unwrap()));
}

#[tokio::test]
async fn people_sign_in_once_everything_is_there() {
    let desk = Desk::new().await;
    let (_, app_id, id) = saml(&desk).await;
    let code = |upn: &str| desk.entra.sign_in(upn, &app_id).unwrap_err().code;
    assert_eq!(code("ada@acme.example"), 50_105);
    let group = desk.group_id("aws-engineers").await;
    assert_eq!(desk.assign(&id, &group).await.0, 201);
    assert_eq!(code("ada@acme.example"), 50_003);
    let end = in_days(&desk, 100);
    let first = certificate(&desk, &id, &end).await;
    assert_eq!(code("ada@acme.example"), 50_003);
    let thumbprint = json!({ "preferredTokenSigningKeyThumbprint": first["thumbprint"] });
    desk.must(204, "PATCH", &format!("/servicePrincipals/{id}"), Some(thumbprint)).await;
    let facts = desk.entra.sign_in("ADA@acme.example", &app_id).unwrap();
    assert_eq!((facts.audience.as_str(), facts.acs.as_str()), (IDENTIFIER, ACS));
    assert_eq!(facts.name_id, "ada@acme.example");
    assert_eq!(STANDARD.encode(&facts.certificate_der), first["key"].as_str().unwrap());
    // Nested groups do not count.
    assert_eq!(code("grace@acme.example"), 50_105);
    assert_eq!(code("nobody@acme.example"), 50_034);
    desk.entra.update_user("ada@acme.example", &json!({ "accountEnabled": false })).unwrap();
    assert_eq!(code("ada@acme.example"), 50_057);
    desk.entra.update_user("ada@acme.example", &json!({ "accountEnabled": true })).unwrap();
    // An expired active certificate gives way to one that was never activated (2.2).
    let second = certificate(&desk, &id, &in_days(&desk, 900)).await;
    let now = desk.entra.sign_in("ada@acme.example", &app_id).unwrap();
    assert_eq!(STANDARD.encode(&now.certificate_der), first["key"].as_str().unwrap());
    desk.core.clock.advance(SignedDuration::from_hours(24 * 101));
    let later = desk.entra.sign_in("ada@acme.example", &app_id).unwrap();
    assert_eq!(STANDARD.encode(&later.certificate_der), second["key"].as_str().unwrap());
}

#[tokio::test]
async fn a_claims_policy_takes_over_the_claims() {
    let desk = Desk::new().await;
    let client = desk.entra.facts().client_id;
    let more = [&super::ALL[..], &["Policy.ReadWrite.ApplicationConfiguration"]].concat();
    desk.entra.set_permissions(&client, &more);
    desk.must(403, "GET", "/policies/claimsMappingPolicies", None).await;
    desk.sign_in().await;
    let (_, app_id, id) = saml(&desk).await;
    let made = certificate(&desk, &id, &in_days(&desk, 100)).await;
    let thumbprint = json!({ "preferredTokenSigningKeyThumbprint": made["thumbprint"] });
    desk.must(204, "PATCH", &format!("/servicePrincipals/{id}"), Some(thumbprint)).await;
    desk.assign(&id, &desk.user_id("ada").await).await;
    let name_id = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
    let tag = "https://aws.amazon.com/SAML/Attributes/AccessControl:Department";
    let definition = json!({ "ClaimsMappingPolicy": { "Version": 1, "IncludeBasicClaimSet": "false", "ClaimsSchema": [
        { "Source": "user", "ID": "mail", "SamlClaimType": name_id },
        { "Source": "user", "ID": "department", "SamlClaimType": tag },
    ] } });
    let wrong =
        json!({ "displayName": "x", "definition": [definition.to_string().replace("Version", "version")] });
    desk.must(400, "POST", "/policies/claimsMappingPolicies", Some(wrong)).await;
    let body = json!({ "displayName": "x", "definition": [definition.to_string()] });
    let policy = desk.must(201, "POST", "/policies/claimsMappingPolicies", Some(body)).await;
    let policy = policy["id"].as_str().unwrap();
    let attach =
        json!({ "@odata.id": format!("{}/v1.0/policies/claimsMappingPolicies/{policy}", super::GRAPH) });
    let path = format!("/servicePrincipals/{id}/claimsMappingPolicies");
    desk.must(204, "POST", &format!("{path}/$ref"), Some(attach.clone())).await;
    desk.must(400, "POST", &format!("{path}/$ref"), Some(attach)).await;
    assert_eq!(desk.get(&path).await.1["value"][0]["id"], policy);
    desk.entra.update_user("ada@acme.example", &json!({ "mail": "countess@acme.example" })).unwrap();
    let facts = desk.entra.sign_in("ada@acme.example", &app_id).unwrap();
    assert_eq!(facts.name_id, "countess@acme.example");
    assert_eq!(facts.attributes, [(tag.to_owned(), vec!["Engineering".to_owned()])]);
    desk.must(204, "DELETE", &format!("{path}/{policy}/$ref"), None).await;
    assert_eq!(desk.entra.sign_in("ada@acme.example", &app_id).unwrap().name_id, "ada@acme.example");
}

#[tokio::test]
async fn enabled_roles_cannot_be_removed() {
    let desk = Desk::new().await;
    let (application, ..) = desk.application().await;
    let path = format!("/applications/{application}");
    let mut roles = desk.get(&path).await.1["appRoles"].clone();
    let refused = desk.must(400, "PATCH", &path, Some(json!({ "appRoles": [] }))).await;
    assert_eq!(refused["error"]["code"], "CannotDeleteOrUpdateEnabledEntitlement");
    for role in roles.as_array_mut().unwrap() {
        role["isEnabled"] = false.into();
    }
    desk.must(204, "PATCH", &path, Some(json!({ "appRoles": roles }))).await;
    desk.settle();
    desk.must(204, "PATCH", &path, Some(json!({ "appRoles": [] }))).await;
}

#[tokio::test]
async fn deletion_is_soft_and_takes_the_service_principal_along() {
    let desk = Desk::new().await;
    let (application, _, id) = desk.application().await;
    desk.must(204, "DELETE", &format!("/applications/{application}"), None).await;
    desk.settle();
    desk.must(404, "GET", &format!("/servicePrincipals/{id}"), None).await;
    desk.must(400, "GET", "/directory/deletedItems", None).await;
    let bin = desk.must(200, "GET", "/directory/deletedItems/microsoft.graph.application", None).await;
    assert_eq!(bin["value"][0]["id"], application);
    desk.must(200, "POST", &format!("/directory/deletedItems/{application}/restore"), None).await;
    desk.must(200, "GET", &format!("/servicePrincipals/{id}"), None).await;
    desk.must(204, "DELETE", &format!("/applications/{application}"), None).await;
    desk.core.clock.advance(SignedDuration::from_hours(24 * 31));
    desk.sign_in().await;
    desk.must(404, "GET", &format!("/directory/deletedItems/{application}"), None).await;
}
