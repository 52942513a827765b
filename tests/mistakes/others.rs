//! Mistakes that need a world of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use causeway::clients::http::{HttpOptions, client};
use http::{HeaderMap, StatusCode};
use kube::api::DeleteParams;
use sandbox::journey::{self, api};
use sandbox::world::ExistingApplication;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::table::{Book, Mistake, told};
use super::{FEDERATION, right, world};
use crate::support::world::condition;

const APP_ID: &str = "99999999-8888-7777-6666-555555555555";

pub const ADOPTED_TWICE: Mistake = told(
    "An application that two federations adopt",
    (FEDERATION, "EntraApplicationReady"),
    "ClaimedTwice",
    &["adopts"],
    "",
    "Delete one of them, or name another application. Nothing new is written by either meanwhile.",
);
pub const TWO_INSTANCES: Mistake = told(
    "Two instances, and neither is the organization's",
    (FEDERATION, "InstanceReady"),
    "InstanceAmbiguous",
    &["instanceArn"],
    "",
    "Write the ARN of the one that is meant.",
);
/// For the page.
pub const ROWS: &[Mistake] = &[ADOPTED_TWICE, TWO_INSTANCES];

/// Two federations adopt one application.
pub async fn adopted_twice(book: &Book) {
    let world = world("adopted", |world, _| {
        world.tenant.applications.push(ExistingApplication {
            display_name: "AWS (old)".into(),
            application_template_id: Some("21ed01d2-ec13-4e9e-86c1-cd546719ebc4".into()),
            app_id: Some(APP_ID.into()),
            notes: None,
        });
    })
    .await;
    let operator = world.operator();
    let mut federation = right(FEDERATION, &world.namespace);
    federation.data["spec"]["entra"]["application"]["adopt"] = json!({"appId": APP_ID});
    journey::apply(&world.client, &[federation.clone()]).await.unwrap();
    world.until_ready(&[(FEDERATION, "acme")]).await;
    let mark = world.sandbox.core.journal.last();
    federation.metadata.name = Some("rival".into());
    journey::apply(&world.client, &[federation]).await.unwrap();
    book.expect(&world, "rival", &ROWS[0]).await;
    book.expect(&world, "acme", &ROWS[0]).await;
    api(&world.client, &world.namespace, FEDERATION).delete("rival", &DeleteParams::default()).await.unwrap();
    world.until_ready(&[(FEDERATION, "acme")]).await;
    book.no_mutation(&world, mark, &[], ROWS[0].title);
    operator.stop().await;
}

/// What stands between the operator and AWS: it shows one instance as two of member accounts.
struct Double {
    aws: String,
    http: reqwest::Client,
}

async fn forward(State(double): State<Arc<Double>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let answer = double.http.post(&double.aws).headers(headers).body(body).send().await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    let mut bytes = answer.bytes().await.unwrap_or_default();
    if target.ends_with(".ListInstances") && status.is_success() {
        let mut page: Value = serde_json::from_slice(&bytes).unwrap();
        let mut first = page["Instances"][0].clone();
        let mut second = first.clone();
        first["OwnerAccountId"] = "111122223333".into();
        second["OwnerAccountId"] = "222233334444".into();
        second["InstanceArn"] = "arn:aws:sso:::instance/ssoins-1234567890abcdef".into();
        page["Instances"] = json!([first, second]);
        bytes = page.to_string().into();
    }
    (status, [("content-type", "application/x-amz-json-1.1")], bytes).into_response()
}

/// Credentials of an account that sees two account instances.
pub async fn two_instances(book: &Book) {
    let mut world = world("instances", |world, _| world.identity_center.enabled = true).await;
    let options = HttpOptions::within(Duration::from_secs(60), world.settings.endpoints.ca_pem.clone());
    let aws = world.settings.endpoints.aws.as_ref().unwrap().to_string();
    let double = Arc::new(Double { aws, http: client(&options).unwrap() });
    let stop = CancellationToken::new();
    let router = Router::new().fallback(forward).with_state(double);
    let between = sandbox::core::serve(router, None, stop.clone()).await.unwrap();
    world.settings.endpoints.aws = Some(between.url.parse().unwrap());
    let operator = world.operator();
    let mut federation = right(FEDERATION, &world.namespace);
    // Entra's side would go on: nothing of that is looked at here.
    federation.data["spec"]["mode"] = json!("Observe");
    journey::apply(&world.client, &[federation.clone()]).await.unwrap();
    book.expect(&world, "acme", &ROWS[1]).await;
    book.no_mutation(&world, 0, &[], ROWS[1].title);
    let arn = world.sandbox.aws.facts().instance_arn.unwrap();
    federation.data["spec"]["aws"]["identityCenter"]["instanceArn"] = json!(arn);
    journey::apply(&world.client, &[federation]).await.unwrap();
    world
        .until("the instance is found", async || {
            let object = world.get(FEDERATION, "acme").await.unwrap();
            condition(&object, "InstanceReady").is_some_and(|c| c["status"] == "True")
        })
        .await;
    operator.stop().await;
    stop.cancel();
}
