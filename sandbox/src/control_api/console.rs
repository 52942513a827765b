use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{Problem, Shared, parse};
use crate::sandbox::Running;
use crate::{aws, entra};

type Answer = Result<Response, Problem>;

pub(super) fn router() -> Router<Arc<Running>> {
    Router::new().nest("/aws", aws_router()).nest("/entra", entra_router())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleName {
    role_arn: String,
}

fn aws_router() -> Router<Arc<Running>> {
    Router::new()
        .route(
            "/enable-identity-center",
            post(async |State(s): Shared| changed(&s, s.aws.enable_identity_center())),
        )
        .route("/service-provider-metadata", get(service_provider_metadata))
        .route("/external-identity-provider", post(external_identity_provider))
        .route(
            "/idp-certificates",
            get(async |State(s): Shared| Json(s.aws.idp_certificates())).post(import_certificate),
        )
        .route(
            "/idp-certificates/{sha256}",
            delete(async |State(s): Shared, Path(sha256): Path<String>| {
                gone(s.aws.delete_idp_certificate(&sha256))
            }),
        )
        .route("/saml-response", post(saml_response))
        .route(
            "/automatic-provisioning",
            post(async |State(s): Shared| changed(&s, s.aws.enable_automatic_provisioning())),
        )
        .route(
            "/revoke-sessions",
            post(async |State(s): Shared, body: Bytes| {
                gone(s.aws.revoke_sessions(&parse::<RoleName>(&body)?.role_arn))
            }),
        )
        .route("/scim-tokens", post(async |State(s): Shared| created(s.aws.create_scim_token())))
        .route(
            "/scim-tokens/{id}",
            delete(async |State(s): Shared, Path(id): Path<String>| gone(s.aws.delete_scim_token(&id))),
        )
        .route(
            "/accounts",
            post(async |State(s): Shared, body: Bytes| created(s.aws.create_account(&parse(&body)?))),
        )
        .route(
            "/accounts/{id}",
            patch(async |State(s): Shared, Path(id): Path<String>, body: Bytes| {
                ok(s.aws.update_account(&id, &parse(&body)?))
            }),
        )
}

fn entra_router() -> Router<Arc<Running>> {
    Router::new()
        .route(
            "/users",
            post(async |State(s): Shared, body: Bytes| created(s.entra.create_user(&parse(&body)?))),
        )
        .route(
            "/users/{id}",
            patch(async |State(s): Shared, Path(id): Path<String>, body: Bytes| {
                ok(s.entra.update_user(&id, &parse(&body)?))
            })
            .delete(async |State(s): Shared, Path(id): Path<String>| gone(s.entra.delete_user(&id))),
        )
        .route(
            "/groups",
            post(async |State(s): Shared, body: Bytes| created(s.entra.create_group(&parse(&body)?))),
        )
        .route(
            "/groups/{id}",
            patch(async |State(s): Shared, Path(id): Path<String>, body: Bytes| {
                ok(s.entra.update_group(&id, &parse(&body)?))
            })
            .delete(async |State(s): Shared, Path(id): Path<String>| gone(s.entra.delete_group(&id))),
        )
        .route("/groups/{id}/members", post(add_member))
        .route(
            "/groups/{id}/members/{member}",
            delete(async |State(s): Shared, Path((id, member)): Path<(String, String)>| {
                gone(s.entra.remove_member(&id, &member))
            }),
        )
}

async fn service_provider_metadata(State(s): Shared) -> Answer {
    let xml = s.aws.service_provider_metadata().map_err(Problem::from)?;
    Ok(([(header::CONTENT_TYPE, "application/samlmetadata+xml")], xml).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    metadata_xml: String,
}

/// The document in JSON, or as it is: what `curl --data-binary @file` sends.
async fn external_identity_provider(State(s): Shared, body: Bytes) -> Answer {
    let text = String::from_utf8_lossy(&body);
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return changed(&s, s.aws.set_external_identity_provider(&text));
    }
    let Metadata { metadata_xml } = parse(&body)?;
    changed(&s, s.aws.set_external_identity_provider(&metadata_xml))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Posted {
    saml_response: String,
}

async fn saml_response(State(s): Shared, body: Bytes) -> Answer {
    let Posted { saml_response } = parse(&body)?;
    Ok(Json(s.post_saml_response(&saml_response)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    /// PEM, or the base64 text between its lines.
    certificate: String,
}

async fn import_certificate(State(s): Shared, body: Bytes) -> Answer {
    let Certificate { certificate } = parse(&body)?;
    created(s.aws.import_idp_certificate(&certificate))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    id: String,
}

async fn add_member(State(s): Shared, Path(group): Path<String>, body: Bytes) -> Answer {
    let Member { id } = parse(&body)?;
    gone(s.entra.add_member(&group, &id))
}

fn ok<E: Into<Problem>>(result: Result<Value, E>) -> Answer {
    result.map(|value| Json(value).into_response()).map_err(Into::into)
}

fn created<E: Into<Problem>>(result: Result<Value, E>) -> Answer {
    result.map(|value| (StatusCode::CREATED, Json(value)).into_response()).map_err(Into::into)
}

fn gone<T, E: Into<Problem>>(result: Result<T, E>) -> Answer {
    result.map(|_| StatusCode::NO_CONTENT.into_response()).map_err(Into::into)
}

/// Acts that change what the descriptor says.
fn changed<E: Into<Problem>>(running: &Running, result: Result<Value, E>) -> Answer {
    let answer = ok(result)?;
    running
        .write_descriptor()
        .map_err(|error| Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))?;
    Ok(answer)
}

impl From<aws::ConsoleError> for Problem {
    fn from(error: aws::ConsoleError) -> Self {
        Self(StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST), error.message)
    }
}

impl From<entra::ConsoleError> for Problem {
    fn from(error: entra::ConsoleError) -> Self {
        Self(StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST), error.message)
    }
}
