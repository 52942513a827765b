//! The switches of `tenant.behaviours` that no other test turns.

use serde_json::{Value, json};

use super::provisioning::Pair;
use super::{Desk, world};
use crate::world::{EntraBehaviours, ErrorShape, World};

const FOREIGN: &str = "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890";

fn turned(turn: impl FnOnce(&mut EntraBehaviours)) -> World {
    let mut world = world();
    turn(&mut world.tenant.behaviours);
    world
}

async fn desk(turn: impl FnOnce(&mut EntraBehaviours)) -> Desk {
    Desk::of(&turned(turn)).await
}

/// An application in SAML mode: application id, appId, service principal id.
async fn saml(desk: &Desk) -> (String, String, String) {
    let made = desk.application().await;
    let mode = json!({ "preferredSingleSignOnMode": "saml" });
    desk.must(204, "PATCH", &format!("/servicePrincipals/{}", made.2), Some(mode)).await;
    desk.settle();
    made
}

fn identifiers() -> Option<Value> {
    Some(json!({ "identifierUris": [FOREIGN] }))
}

#[tokio::test]
async fn a_foreign_identifier_is_refused_by_code_or_in_the_details() {
    for (switch, code) in [(false, "HostNameNotOnVerifiedDomain"), (true, "Request_BadRequest")] {
        let desk = desk(|b| b.identifier_refusal_in_details = switch).await;
        let path = format!("/applications/{}", desk.application().await.0);
        let refused = desk.must(400, "PATCH", &path, identifiers()).await;
        assert_eq!(refused["error"]["code"], code);
        assert_eq!(refused["error"]["details"][0]["code"], "HostNameNotOnVerifiedDomain");
    }
}

#[tokio::test]
async fn a_second_use_of_an_identifier_answers_409_or_400() {
    for (switch, status) in [(false, 409), (true, 400)] {
        let desk = desk(|b| b.duplicate_identifier_answers400 = switch).await;
        for expected in [204, status] {
            let path = format!("/applications/{}", saml(&desk).await.0);
            desk.must(expected, "PATCH", &path, identifiers()).await;
        }
    }
}

#[tokio::test]
async fn the_recycle_bin_keeps_identifiers_by_switch() {
    for (switch, status) in [(false, 204), (true, 409)] {
        let desk = desk(|b| b.deleted_identifiers_block = switch).await;
        let path = format!("/applications/{}", saml(&desk).await.0);
        desk.must(204, "PATCH", &path, identifiers()).await;
        desk.must(204, "DELETE", &path, None).await;
        let path = format!("/applications/{}", saml(&desk).await.0);
        desk.must(status, "PATCH", &path, identifiers()).await;
    }
}

#[tokio::test]
async fn outside_the_global_cloud_certificates_cannot_be_made() {
    let desk = desk(|b| b.token_signing_certificate_action = false).await;
    let path = format!("/servicePrincipals/{}/addTokenSigningCertificate", desk.application().await.2);
    let refused = desk.must(400, "POST", &path, Some(json!({ "displayName": "CN=x" }))).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("addTokenSigningCertificate"));
}

#[tokio::test]
async fn the_metadata_lags_behind() {
    let desk = desk(|b| b.metadata_lag_seconds = 600).await;
    let (_, app_id, id) = saml(&desk).await;
    let path = format!("/servicePrincipals/{id}/addTokenSigningCertificate");
    let made = desk.must(200, "POST", &path, Some(json!({ "displayName": "CN=x" }))).await;
    let tenant = desk.entra.facts().tenant_id;
    let path = format!("/{tenant}/federationmetadata/2007-06/federationmetadata.xml?appid={app_id}");
    let shown = async || desk.login_text(&path).await.1.contains(made["key"].as_str().unwrap());
    desk.core.clock.advance(jiff::SignedDuration::from_secs(590));
    assert!(!shown().await);
    desk.settle();
    assert!(shown().await);
}

#[tokio::test]
async fn the_limit_of_role_values_is_a_number_of_the_world() {
    for (limit, status) in [(120, 400), (240, 204)] {
        let desk = desk(|b| b.app_role_value_limit = limit).await;
        let path = format!("/applications/{}", desk.application().await.0);
        let mut roles = desk.must(200, "GET", &path, None).await["appRoles"].clone();
        roles.as_array_mut().unwrap().push(json!({
            "id": "11111111-0000-4000-8000-000000000001", "displayName": "Admin", "description": "Admin",
            "value": "a".repeat(200), "isEnabled": true, "allowedMemberTypes": ["User"],
        }));
        desk.must(status, "PATCH", &path, Some(json!({ "appRoles": roles }))).await;
    }
}

#[tokio::test]
async fn unconfirmed_notification_settings_are_dropped_by_switch() {
    for dropped in [false, true] {
        let desk = desk(|b| b.unconfirmed_settings_dropped = dropped).await;
        let path = format!("/servicePrincipals/{}/synchronization/secrets", desk.application().await.2);
        let settings = json!({"Enabled": true, "DeleteThresholdEnabled": true, "DeleteThresholdValue": 50});
        let secret = json!({"key": "SyncNotificationSettings", "value": settings.to_string()});
        desk.until(&path, |_| true).await;
        desk.must(204, "PUT", &path, Some(json!({ "value": [secret] }))).await;
        let found = desk.must(200, "GET", &path, None).await;
        let shown = found["value"][0]["value"].as_str().unwrap();
        assert!(shown.contains("DeleteThresholdEnabled"));
        assert_eq!(shown.contains("DeleteThresholdValue"), !dropped);
    }
}

#[tokio::test]
async fn credentials_are_validated_with_the_status_of_the_world_and_without_a_slash() {
    let pair = Pair::of(turned(|b| {
        b.validate_credentials_status = 201;
        b.tenant_url_slash_refused = true;
    }))
    .await;
    let job = pair.job().await;
    for (end, status) in [("", 201), ("/", 400)] {
        let secret = |key: &str, value: String| json!({ "key": key, "value": value });
        let address = secret("BaseAddress", format!("{}{end}", pair.endpoint));
        let body = json!({ "credentials": [address, secret("SecretToken", pair.token.clone())] });
        pair.desk.must(status, "POST", &format!("{job}/validateCredentials"), Some(body)).await;
    }
}

#[tokio::test]
async fn provision_on_demand_answers_an_array_of_reports_by_switch() {
    let pair = Pair::of(turned(|b| b.provision_on_demand_reports = true)).await;
    let job = pair.job().await;
    let ada = pair.desk.user_id("ada").await;
    pair.assign(&ada).await;
    let schema = pair.desk.must(200, "GET", &format!("{job}/schema"), None).await;
    let rule = &schema["synchronizationRules"][0]["id"];
    let subject = json!({ "objectId": ada, "objectTypeName": "User" });
    let body = json!({ "parameters": [{ "ruleId": rule, "subjects": [subject] }] });
    let answer = pair.desk.must(200, "POST", &format!("{job}/provisionOnDemand"), Some(body)).await;
    assert!(answer["key"].as_str().unwrap().ends_with("SyncFabric.StatusInfo"));
    let reports: Value = serde_json::from_str(answer["value"].as_str().unwrap()).unwrap();
    assert_eq!(reports[0]["statusInfo"]["status"], "Success", "{reports}");
}

#[tokio::test]
async fn the_template_maps_the_user_name_as_the_world_says() {
    let desk = desk(|b| b.user_name_source = "[mail]".into()).await;
    let base = format!("/servicePrincipals/{}/synchronization", desk.application().await.2);
    let templates = desk.until(&format!("{base}/templates"), |_| true).await;
    let body = json!({ "templateId": templates["value"][0]["id"] });
    let job = desk.must(201, "POST", &format!("{base}/jobs"), Some(body)).await;
    let path = format!("{base}/jobs/{}/schema", job["id"].as_str().unwrap());
    let schema = desk.until(&path, |_| true).await;
    for schema in [&templates["value"][0]["schema"], &schema] {
        let mappings = schema["synchronizationRules"][0]["objectMappings"].as_array().unwrap();
        let users = mappings.iter().find(|m| m["sourceObjectName"] == "User").unwrap();
        let name = users["attributeMappings"].as_array().unwrap().iter();
        let name = name.clone().find(|m| m["targetAttributeName"] == "userName").unwrap();
        assert_eq!(name["source"]["name"], "mail");
    }
}

#[tokio::test]
async fn a_bad_token_has_the_code_of_the_world() {
    let desk = desk(|b| b.invalid_token_code = "TokenExpired".into()).await;
    let request = http::Request::get("/v1.0/users").header("authorization", "Bearer nothing");
    let (status, body) = super::answer(desk.raw(request, None).await).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("TokenExpired")));
}

#[tokio::test]
async fn a_patch_of_web_merges_or_replaces() {
    for replaces in [false, true] {
        let desk = desk(|b| b.complex_patch_replaces = replaces).await;
        let path = format!("/applications/{}", desk.application().await.0);
        let body = json!({ "web": { "redirectUris": ["https://acme.example/acs"] } });
        desk.must(204, "PATCH", &path, Some(body)).await;
        desk.settle();
        let found = desk.must(200, "GET", &path, None).await;
        assert_eq!(found["web"]["redirectUris"], json!(["https://acme.example/acs"]));
        assert_eq!(found["web"]["homePageUrl"].is_null(), replaces, "{}", found["web"]);
    }
}

#[tokio::test]
async fn error_bodies_come_in_every_shape_that_was_seen() {
    let error = async |shape: ErrorShape| {
        let desk = desk(|b| b.error_shape = shape).await;
        let path = format!("/applications/{}", desk.application().await.0);
        desk.must(400, "PATCH", &path, identifiers()).await["error"].clone()
    };
    let standard = error(ErrorShape::Standard).await;
    assert!(standard["innerError"]["request-id"].is_string() && standard["message"].is_string());
    let lowercase = error(ErrorShape::Lowercase).await;
    assert!(
        lowercase["innererror"]["innererror"]["request-id"].is_string() && lowercase["innerError"].is_null()
    );
    let objects = error(ErrorShape::Objects).await;
    assert!(objects["message"]["value"].is_string() && objects["details"]["code"].is_string());
    let embedded = error(ErrorShape::Embedded).await;
    let inner: Value = serde_json::from_str(embedded["message"].as_str().unwrap()).unwrap();
    assert_eq!(inner["error"]["code"], embedded["code"]);
}
