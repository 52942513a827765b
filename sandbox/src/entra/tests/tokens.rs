use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Desk, answer};
use crate::core::Issuer;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const SCOPE: &str = "scope=https://graph.microsoft.com/.default&grant_type=client_credentials";
const CLIENT: &str = "client_id=99999999-0000-4000-8000-000000000001";

#[tokio::test]
async fn refuses_tokens_in_oauth_words() {
    let desk = Desk::new().await;
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    for (path, form, status, error, code) in [
        (path.as_str(), format!("{CLIENT}&client_secret=wrong&{SCOPE}"), 401, "invalid_client", 7_000_215),
        (&path, format!("client_id=x&client_secret=s3cret&{SCOPE}"), 400, "unauthorized_client", 700_016),
        (&path, format!("{CLIENT}&{SCOPE}"), 401, "invalid_client", 7_000_218),
        (
            &path,
            format!("{CLIENT}&client_secret=s3cret&grant_type=client_credentials&scope=x"),
            400,
            "invalid_scope",
            1_002_012,
        ),
        (
            "/elsewhere/oauth2/v2.0/token",
            format!("{CLIENT}&client_secret=s3cret&{SCOPE}"),
            400,
            "invalid_request",
            90_002,
        ),
    ] {
        let (found, body) = desk.post_form(path, &form).await;
        assert_eq!(
            (found, &body["error"], &body["error_codes"][0]),
            (status, &json!(error), &json!(code)),
            "{body}"
        );
    }
    // What MSAL sends along does not disturb.
    let form = format!("{CLIENT}&client_secret=s3cret&{SCOPE}&claims=%7B%7D&client_info=1");
    assert_eq!(desk.post_form(&path, &form).await.0, 200);
}

#[tokio::test]
async fn tokens_carry_roles_and_end_after_an_hour_of_the_clouds() {
    let desk = Desk::new().await;
    let claims = URL_SAFE_NO_PAD.decode(desk.bearer().split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["tid"], TENANT);
    assert!(claims["roles"].as_array().unwrap().contains(&json!("User.Read.All")));
    desk.must(200, "GET", "/users", None).await;
    desk.core.clock.advance(SignedDuration::from_secs(3601));
    let refused = desk.must(401, "GET", "/users", None).await;
    assert_eq!(refused["error"]["code"], "InvalidAuthenticationToken");
    let bare = desk.raw(Request::get("/v1.0/users").header("client-request-id", "abc"), None).await;
    assert_eq!(bare.headers()["client-request-id"], "abc");
    let id = bare.headers()["request-id"].clone();
    assert_eq!(answer(bare).await.1["error"]["innerError"]["request-id"], id.to_str().unwrap());
}

#[tokio::test]
async fn accepts_federated_tokens_of_the_right_subject_only() {
    let desk = Desk::new().await;
    let issuer = Issuer::new("https://issuer").unwrap();
    desk.core.issuers.trust("https://issuer", &issuer.public_key_pem());
    let jwt = |subject: &str, audience: &str, life: i64| issuer.token(subject, audience, life).unwrap();
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let ask = async |jwt: String| {
        let kind = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        desk.post_form(&path, &format!("{CLIENT}&{SCOPE}&{kind}&client_assertion={jwt}")).await
    };
    let (subject, audience) = ("system:serviceaccount:a:b", "api://AzureADTokenExchange");
    assert_eq!(ask(jwt(subject, audience, 600)).await.0, 200);
    for (jwt, code) in [
        (jwt("system:serviceaccount:a:other", audience, 600), 700_213),
        (jwt(subject, "https://kubernetes", 600), 700_212),
        (jwt(subject, audience, -900), 700_024),
        (format!("{}AAAA", jwt(subject, audience, 600)), 700_027),
    ] {
        let (status, body) = ask(jwt).await;
        assert_eq!((status, &body["error_codes"][0]), (401, &json!(code)), "{body}");
    }
}

#[tokio::test]
async fn serves_what_official_libraries_read_first() {
    let desk = Desk::new().await;
    let (status, text) = desk.login_text(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["token_endpoint"], format!("{}/{TENANT}/oauth2/v2.0/token", super::AUTHORITY));
    let (status, text) = desk.login_text("/common/discovery/instance?api-version=1.1").await;
    assert_eq!(status, 200);
    assert!(text.contains("tenant_discovery_endpoint"));
}
