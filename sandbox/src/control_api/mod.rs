//! The control API: the people who click in consoles, the person who signs in, and the hand on faults and clock.
//! Plain HTTP with JSON, on loopback.

mod console;
mod faults;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::core::{Core, Counter, Entry};
use crate::descriptor::Descriptor;
use crate::sandbox::Running;
use crate::sign_in::SignIn;

type Shared = State<Arc<Running>>;

/// A refusal of the control API itself.
#[derive(Debug)]
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": {"message": self.1}}))).into_response()
    }
}

pub(crate) fn router(running: Arc<Running>) -> Router {
    Router::new()
        .route("/", get(help))
        .route("/descriptor", get(async |State(s): Shared| Json::<Descriptor>(s.descriptor())))
        .route("/sign-in", post(sign_in))
        .route("/faults", get(faults::list).post(faults::add).delete(faults::clear))
        .route("/counters", get(counters).delete(clear_counters))
        .route("/operations", get(operations))
        .route("/journal", get(journal))
        .route("/clock", get(async |State(s): Shared| clock(&s.core)).post(advance))
        .route("/state/entra", get(async |State(s): Shared| Json(s.entra.state())))
        .route("/state/aws", get(async |State(s): Shared| Json(s.aws.state())))
        .route("/world", get(world))
        .nest("/console", console::router())
        .fallback(async || Problem(StatusCode::NOT_FOUND, "no such call; GET / lists them".into()))
        .method_not_allowed_fallback(async || {
            Problem(StatusCode::METHOD_NOT_ALLOWED, "not with this method; GET / lists the calls".into())
        })
        .with_state(running)
}

async fn help() -> &'static str {
    include_str!("help.txt")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Who {
    user_principal_name: String,
    app_id: String,
}

async fn sign_in(State(s): Shared, body: Bytes) -> Result<Json<SignIn>, Problem> {
    let who: Who = parse(&body)?;
    Ok(Json(s.sign_in(&who.user_principal_name, &who.app_id)))
}

async fn counters(State(s): Shared) -> Json<Vec<Counter>> {
    Json(s.core.counters.all())
}

async fn operations(State(s): Shared) -> Json<Vec<serde_json::Value>> {
    let all = s.operations().into_iter();
    Json(all.map(|(service, operation)| json!({"service": service, "operation": operation})).collect())
}

async fn clear_counters(State(s): Shared) -> StatusCode {
    s.core.counters.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn journal(
    State(s): Shared,
    query: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<Entry>>, Problem> {
    let Query(After { after }) =
        query.map_err(|error| Problem(StatusCode::BAD_REQUEST, error.body_text()))?;
    Ok(Json(s.core.journal.after(after)))
}

fn clock(core: &Core) -> Json<serde_json::Value> {
    Json(json!({"now": core.clock.now(), "offsetSeconds": core.clock.offset_seconds()}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: f64,
}

async fn advance(State(s): Shared, body: Bytes) -> Result<Json<serde_json::Value>, Problem> {
    let Advance { advance_seconds } = parse(&body)?;
    // A century: beyond it no timestamp makes sense, and nothing here lives that long.
    if !(0.0..=3.2e9).contains(&advance_seconds) {
        return Err(Problem(
            StatusCode::BAD_REQUEST,
            "advanceSeconds: the clock only moves forward, a century at most".into(),
        ));
    }
    let by = SignedDuration::try_from_secs_f64(advance_seconds)
        .map_err(|error| Problem(StatusCode::BAD_REQUEST, error.to_string()))?;
    s.core.clock.advance(by);
    Ok(clock(&s.core))
}

async fn world(State(s): Shared) -> Result<Response, Problem> {
    let text = serde_yaml_ng::to_string(&s.world())
        .map_err(|error| Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text).into_response())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Problem(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}
