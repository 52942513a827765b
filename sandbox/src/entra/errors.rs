//! Graph's error bodies (8.5).

use axum::body::Body;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::iso;
use crate::world::ErrorShape;

/// A refusal as Graph writes it.
#[derive(Debug, Clone)]
pub(super) struct GraphError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    /// A detail's code and target.
    detail: Option<(&'static str, &'static str)>,
    retry_after: Option<f64>,
    /// Answered with `WWW-Authenticate`.
    challenge: bool,
}

impl GraphError {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            detail: None,
            retry_after: None,
            challenge: false,
        }
    }

    pub(super) const fn detail(mut self, code: &'static str, target: &'static str) -> Self {
        self.detail = Some((code, target));
        self
    }

    /// The same with another status.
    pub(super) const fn answered(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with another code.
    pub(super) fn coded(mut self, code: &str) -> Self {
        code.clone_into(&mut self.code);
        self
    }

    /// 400 `Request_BadRequest`.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "Request_BadRequest", message)
    }

    /// 400 `Request_UnsupportedQuery` (8.5).
    pub(super) fn unsupported_query(message: impl Into<String>) -> Self {
        Self::new(400, "Request_UnsupportedQuery", message)
    }

    /// 404 `Request_ResourceNotFound`, with Graph's own sentence.
    pub(super) fn not_found(id: &str) -> Self {
        let message = format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        );
        Self::new(404, "Request_ResourceNotFound", message)
    }

    /// 403 of the directory.
    pub(super) fn denied() -> Self {
        Self::new(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    }

    /// 401 of Graph's gateway.
    pub(super) fn token(message: &str) -> Self {
        Self { challenge: true, ..Self::new(401, "InvalidAuthenticationToken", message) }
    }

    /// 401 of the synchronization service: no code worth the name, no message (5.11).
    pub(super) fn synchronization_unauthorized() -> Self {
        Self::new(401, "UnknownError", "")
    }

    /// Another object has that value already (2.1, 8.5).
    pub(super) fn duplicate(property: &str) -> Self {
        let message = format!("Another object with the same value for property {property} already exists.");
        Self::new(409, "Request_MultipleObjectsWithSameKeyValue", message)
    }

    /// 429; seconds may be fractional (8.4).
    pub(super) fn throttled(retry_after: Option<f64>) -> Self {
        Self { retry_after, ..Self::new(429, "TooManyRequests", "Please retry again later.") }
    }

    /// An injected error.
    pub(super) fn injected(status: u16, code: Option<&str>) -> Self {
        let (default, message) = match status {
            401 => ("InvalidAuthenticationToken", "Access token validation failure."),
            403 => ("Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
            404 => ("Request_ResourceNotFound", "Resource does not exist."),
            409 => (
                "Directory_ConcurrencyViolation",
                "There have been too many concurrent requests being made to the tenant.",
            ),
            429 => return Self::throttled(None),
            400..500 => ("Request_BadRequest", "The request is invalid."),
            503 => ("serviceNotAvailable", "The service is temporarily unavailable."),
            _ => ("InternalServerError", "An internal server error has occurred."),
        };
        Self::new(status, code.unwrap_or(default), message)
    }

    /// The answer on the wire.
    pub(super) fn response(
        &self,
        request_id: &str,
        client_request_id: Option<&str>,
        now: Timestamp,
        shape: ErrorShape,
    ) -> Response {
        let mut inner = json!({ "date": iso(now).trim_end_matches('Z'), "request-id": request_id });
        if let Some(client) = client_request_id {
            inner["client-request-id"] = client.into();
        }
        if self.status == 429 {
            inner["code"] = "429".into();
            inner["message"] = "Please retry after".into();
            inner["status"] = "429".into();
        }
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some((code, target)) = self.detail {
            error["details"] = json!([{ "code": code, "message": self.message, "target": target }]);
        }
        match shape {
            ErrorShape::Standard => error["innerError"] = inner,
            ErrorShape::Lowercase => {
                let innermost = std::mem::replace(&mut inner, json!({}));
                inner["innererror"] = innermost;
                error["innererror"] = inner;
            }
            ErrorShape::Objects => {
                error["message"] = json!({ "lang": "en", "value": self.message });
                error["details"] = error["details"].get(0).cloned().unwrap_or_else(|| json!({}));
                error["innerError"] = inner;
            }
            ErrorShape::Embedded => {
                let text = json!({ "error": { "code": self.code, "message": self.message } }).to_string();
                error["message"] = text.into();
                error["innerError"] = inner;
            }
        }
        let mut response = Response::builder()
            .status(self.status)
            .header("content-type", "application/json")
            .header("request-id", request_id);
        if let Some(seconds) = self.retry_after {
            response = response.header("retry-after", seconds.to_string());
        }
        if let Some(client) = client_request_id {
            response = response.header("client-request-id", client);
        }
        if self.challenge {
            response = response.header("www-authenticate", "Bearer realm=\"\", authorization_uri=\"\"");
        }
        finish(response, &json!({ "error": error }))
    }
}

/// The answer with a JSON body.
pub(super) fn finish(builder: http::response::Builder, body: &Value) -> Response {
    builder.body(Body::from(body.to_string())).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
