//! SCIM errors in AWS's form (contract aws 4.5).

use axum::response::Response;
use http::{HeaderValue, header};
use jiff::Timestamp;
use serde_json::json;

use super::super::errors::respond;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What went wrong.
#[derive(Debug, Clone)]
pub(super) struct ScimError {
    status: u16,
    detail: String,
}

impl ScimError {
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// 400: syntax, schema, limits.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    /// 404: no such user or group.
    pub fn missing(kind: &str) -> Self {
        Self::new(404, format!("{kind} not found"))
    }

    /// 409: it exists already.
    pub fn duplicate(detail: &str) -> Self {
        Self::new(409, detail)
    }

    /// As CloudTrail names it.
    pub fn outcome(&self) -> String {
        match self.status {
            400 => "ValidationException",
            401 => "UnauthorizedException",
            403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            409 => "ConflictException",
            429 => "throttled",
            _ => "InternalServerException",
        }
        .into()
    }

    pub fn response(&self, request_id: &str, at: Timestamp, retry_after: Option<f64>) -> Response {
        // No scimType was ever seen (contract aws 4.5).
        let body = json!({
            "schema": [SCHEMA],
            "schemas": [SCHEMA],
            "detail": self.detail,
            "status": self.status.to_string(),
            "exceptionRequestId": request_id,
            "timeStamp": at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        });
        let mut response = respond(self.status, request_id, "application/scim+json", body.to_string());
        if let Some(value) = retry_after.and_then(|s| HeaderValue::from_str(&format!("{}", s.ceil())).ok()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}
