//! Error answers of the AWS services (contract aws 0, 2.3, 14).

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// An error that a service answers with. The code is the name without any namespace.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: String,
    /// Further members of a JSON error's body.
    pub extra: Vec<(&'static str, Value)>,
    /// Seconds for Retry-After.
    pub retry_after: Option<f64>,
}

impl ApiError {
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), status: 400, message: message.into(), extra: Vec::new(), retry_after: None }
    }

    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((member, value.into()));
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new("ConflictException", message)
    }

    pub fn denied(message: impl Into<String>) -> Self {
        Self::new("AccessDeniedException", message)
    }

    pub fn quota(message: impl Into<String>) -> Self {
        Self::new("ServiceQuotaExceededException", message)
    }

    /// Over the collective rate of a JSON service (contract aws 1.9): HTTP 400.
    pub fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }

    /// What counters and journal call this error.
    pub fn outcome(&self) -> String {
        if self.code.starts_with("Throttling") || self.code == "TooManyRequestsException" {
            "throttled".into()
        } else {
            self.code.to_string()
        }
    }

    /// The answer of a JSON 1.1 service.
    pub fn json(&self, request_id: &str) -> Response {
        let mut body = Map::new();
        body.insert("__type".into(), self.namespaced().into());
        // Front-end errors come with `message`, modelled ones with `Message` (contract aws 14).
        body.insert(
            if self.is_front_end() { "message" } else { "Message" }.into(),
            self.message.clone().into(),
        );
        body.extend(self.extra.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        let mut response = json_response(self.status, request_id, &Value::Object(body));
        self.add_retry_after(&mut response);
        response
    }

    /// The answer of a Query service.
    pub fn xml(&self, request_id: &str, namespace: &str) -> Response {
        let side = if self.status >= 500 { "Receiver" } else { "Sender" };
        let body = format!(
            "<ErrorResponse xmlns=\"{namespace}\">\n  <Error>\n    <Type>{side}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            escape(&self.code),
            escape(&self.message),
        );
        let mut response = xml_response(self.status, request_id, body);
        self.add_retry_after(&mut response);
        response
    }

    fn add_retry_after(&self, response: &mut Response) {
        if let Some(value) =
            self.retry_after.and_then(|s| HeaderValue::from_str(&format!("{}", s.ceil())).ok())
        {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }

    fn is_front_end(&self) -> bool {
        FRONT_END.contains(&&*self.code)
    }

    fn namespaced(&self) -> String {
        if self.is_front_end() {
            format!("com.amazon.coral.service#{}", self.code)
        } else {
            self.code.to_string()
        }
    }
}

/// Errors written before a request reaches the service itself; their `__type` carries a namespace.
const FRONT_END: [&str; 8] = [
    "UnknownOperationException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "ExpiredTokenException",
    "SerializationException",
    "InternalFailure",
];

/// An answer of a JSON 1.1 service.
pub(crate) fn json_response(status: u16, request_id: &str, body: &Value) -> Response {
    respond(status, request_id, "application/x-amz-json-1.1", body.to_string())
}

/// An answer of a Query service.
pub(crate) fn xml_response(status: u16, request_id: &str, body: String) -> Response {
    respond(status, request_id, "text/xml", body)
}

/// Any answer with the request's id in its head.
pub(crate) fn respond(status: u16, request_id: &str, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// Escapes text for XML.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

/// A point in time as JSON 1.1 sends it: seconds since 1970 with a fraction.
pub(crate) fn epoch(at: jiff::Timestamp) -> Value {
    json!(std::time::Duration::from_millis(at.as_millisecond().unsigned_abs()).as_secs_f64())
}
