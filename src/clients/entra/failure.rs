//! Error bodies of Graph and of the sign-in host, and what they mean (contract Graph 8.2, 8.5).

use serde_json::Value;

use crate::clients::http::{Answer, bounded, retry_after};
use crate::clients::{CloudError, CloudErrorKind, Service};

/// What an error body of Graph says, in whatever shape it came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    code: String,
    /// The code of the first detail, which is more precise where there is one.
    detail: String,
    message: String,
    request_id: Option<String>,
}

/// Classifies an answer of Graph that is no success (contract Graph 8.5). `path` tells `/synchronization/` apart,
/// where a missing permission looks like a bad token (contract Graph 5.11).
pub(super) fn graph(operation: &'static str, path: &str, answer: &Answer) -> CloudError {
    let said = serde_json::from_slice(&answer.body).map(|body| said(&body)).unwrap_or_default();
    let status = answer.status.as_u16();
    let kind = match graph_kind(status, &said, path.contains("/synchronization")) {
        CloudErrorKind::Throttled { .. } => {
            CloudErrorKind::Throttled { retry_after: retry_after(&answer.headers) }
        }
        kind => kind,
    };
    let request_id = request_id(answer).or(said.request_id);
    CloudError {
        service: Service::Graph,
        operation,
        kind,
        status,
        code: bounded(&said.code),
        message: bounded(&said.message),
        request_id,
    }
}

/// The codes by which Graph refuses its caller (contract Graph 8.5, 12), rather than a connector whom it calls.
const ABOUT_THE_CALLER: [&str; 5] = [
    "UnknownError",
    "InvalidAuthenticationToken",
    "Authorization_RequestDenied",
    "AccessDenied",
    "Authentication_MSGraphPermissionMissing",
];

/// Whether a refusal is about who calls Graph.
pub(crate) fn is_about_the_caller(error: &CloudError) -> bool {
    ABOUT_THE_CALLER.contains(&error.code.as_str())
}

/// Graph's id of a call (contract Graph 8.5).
pub(super) fn request_id(answer: &Answer) -> Option<String> {
    answer.headers.get("request-id")?.to_str().ok().map(bounded)
}

/// Classifies an answer of the sign-in host that is no success (contract Graph 8.2). Bodies there have another shape
/// than Graph's; trace and correlation ids and the time are cut from the text, so that it is the same each time.
pub(super) fn login(operation: &'static str, answer: &Answer) -> CloudError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let description = text("error_description").split(['\r', '\n']).next().unwrap_or_default();
    let description = description.split(" Trace ID:").next().unwrap_or_default();
    let (code, message) = match description.split_once(": ") {
        Some((code, message)) if code.starts_with("AADSTS") => (code, message),
        _ => (text("error"), description),
    };
    let status = answer.status.as_u16();
    let kind = match (status, text("error")) {
        (429, _) => CloudErrorKind::Throttled { retry_after: retry_after(&answer.headers) },
        (_, "temporarily_unavailable" | "server_error") | (500.. | 408 | 0..=399, _) => {
            CloudErrorKind::Transient
        }
        // Before 404: without a token nothing is known of any object.
        _ if operation == super::credentials::TOKEN => CloudErrorKind::Unauthenticated,
        (404, _) => CloudErrorKind::NotFound,
        _ => CloudErrorKind::Invalid,
    };
    CloudError {
        service: Service::Login,
        operation,
        kind,
        status,
        code: bounded(code),
        message: bounded(message),
        request_id: body
            .get("correlation_id")
            .and_then(Value::as_str)
            .map(bounded)
            .or_else(|| answer.headers.get("x-ms-request-id")?.to_str().ok().map(bounded)),
    }
}

/// The table of contract Graph 8.5, more precise rows first.
fn graph_kind(status: u16, said: &Said, synchronization: bool) -> CloudErrorKind {
    let (code, message) = (said.code.as_str(), said.message.as_str());
    match (status, code) {
        (429 | 509, _) => CloudErrorKind::Throttled { retry_after: None },
        (409 | 503, "Directory_ConcurrencyViolation") => CloudErrorKind::Transient,
        (_, "Directory_QuotaExceeded") => CloudErrorKind::Quota,
        (_, "Request_MultipleObjectsWithSameKeyValue") => CloudErrorKind::Conflict,
        (401, "UnknownError") if synchronization => CloudErrorKind::Denied,
        (401, _) => CloudErrorKind::Unauthenticated,
        // Not visible everywhere yet (replication lag).
        (400, _) if message.contains("Not a valid reference update") => CloudErrorKind::NotFound,
        (400, _) if said.detail == "NoBackingApplicationObject" => CloudErrorKind::NotFound,
        (403, _) if message.contains("backing application of the service principal") => {
            CloudErrorKind::NotFound
        }
        (400, _) if message.contains("already exist") => CloudErrorKind::Conflict,
        (400, _) if message.contains("removed object references do not exist") => CloudErrorKind::NotFound,
        (400, _) if message.contains("unless disabled first") => CloudErrorKind::Conflict,
        // No such verb or path: a defect of ours, not an object that is missing.
        (404, "UnknownError") if message.contains("No HTTP resource was found") => CloudErrorKind::Invalid,
        (404 | 410, _) => CloudErrorKind::NotFound,
        (402 | 403, _) => CloudErrorKind::Denied,
        (409 | 412 | 423, _) => CloudErrorKind::Conflict,
        (400 | 405 | 406 | 411 | 413 | 414 | 415 | 422, _) => CloudErrorKind::Invalid,
        _ => CloudErrorKind::Transient,
    }
}

fn said(body: &Value) -> Said {
    let Some(error) = member(body, "error") else { return Said::default() };
    let mut said = Said {
        code: text(member(error, "code")),
        message: message(member(error, "message")),
        ..Said::default()
    };
    let inner = member(error, "innerError");
    said.request_id = inner.and_then(|inner| member(inner, "request-id")).map(|id| bounded(&text(Some(id))));
    said.detail = match member(error, "details") {
        Some(Value::Array(details)) => {
            details.first().map(|detail| text(member(detail, "code"))).unwrap_or_default()
        }
        Some(detail) => text(member(detail, "code")),
        None => String::new(),
    };
    said
}

/// A member by its name in any case: `innerError` comes as `innererror` too.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A message: plain text, `{"lang", "value"}`, or JSON in a string, as the provisioning service writes it.
fn message(value: Option<&Value>) -> String {
    let Some(value) = value else { return String::new() };
    if let Some(plain) = value.as_str() {
        let Ok(embedded @ Value::Object(_)) = serde_json::from_str(plain) else { return plain.to_owned() };
        let inner = member(&embedded, "error").unwrap_or(&embedded);
        return match member(inner, "message").or_else(|| member(inner, "value")) {
            Some(Value::String(text)) => text.clone(),
            _ => plain.to_owned(),
        };
    }
    text(member(value, "value"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        let headers = HeaderMap::from_iter([
            (http::header::RETRY_AFTER, "2.128".parse().unwrap()),
            ("request-id".parse().unwrap(), "r-1".parse().unwrap()),
        ]);
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_string().into_bytes() }
    }

    fn error(code: &str, message: &str) -> Value {
        json!({"error": {"code": code, "message": message, "innerError": {"request-id": "r-1"}}})
    }

    #[test]
    fn graph_errors_are_classified_row_by_row() {
        use CloudErrorKind::{
            Conflict, Denied, Invalid, NotFound, Quota, Throttled, Transient, Unauthenticated,
        };
        let throttled = Throttled { retry_after: Some(Duration::from_millis(2128)) };
        let no_backing = json!({"error": {"code": "Request_BadRequest", "message": "The appId 'x' of the service principal does not reference a valid application object.",
            "details": [{"code": "NoBackingApplicationObject"}]}});
        let plain = "/servicePrincipals/1/appRoleAssignedTo";
        let sync = "/servicePrincipals/1/synchronization/jobs";
        for (status, path, body, expected) in [
            (429, plain, error("TooManyRequests", "Please retry again later."), throttled),
            (500, plain, error("InternalServerError", ""), Transient),
            (502, plain, json!("no json object"), Transient),
            (503, plain, error("ServiceUnavailable", ""), Transient),
            (504, plain, error("GatewayTimeout", ""), Transient),
            (302, plain, Value::Null, Transient),
            (
                409,
                plain,
                error("Directory_ConcurrencyViolation", "concurrent requests being made to the tenant"),
                Transient,
            ),
            (
                503,
                plain,
                error("Directory_ConcurrencyViolation", "concurrent requests being made to the tenant"),
                Transient,
            ),
            (
                404,
                plain,
                error(
                    "Request_ResourceNotFound",
                    "Resource 'x' does not exist or one of its queried reference-property objects are not present.",
                ),
                NotFound,
            ),
            (400, plain, error("Request_BadRequest", "Not a valid reference update."), NotFound),
            (400, plain, no_backing, NotFound),
            (
                403,
                plain,
                error(
                    "Authorization_RequestDenied",
                    "When using this permission, the backing application of the service principal being created must in the local tenant",
                ),
                NotFound,
            ),
            (
                400,
                plain,
                error("Request_BadRequest", "Permission being assigned already exists on the object"),
                Conflict,
            ),
            (
                400,
                plain,
                error(
                    "Request_BadRequest",
                    "One or more added object references already exist for the following modified properties: 'x'.",
                ),
                Conflict,
            ),
            (
                400,
                plain,
                error(
                    "Request_BadRequest",
                    "One or more removed object references do not exist for the following modified properties: 'x'.",
                ),
                NotFound,
            ),
            (
                400,
                plain,
                error(
                    "Request_BadRequest",
                    "Permission (scope or role) cannot be deleted or updated unless disabled first.",
                ),
                Conflict,
            ),
            (
                400,
                plain,
                error("Request_MultipleObjectsWithSameKeyValue", "Another object with the same value"),
                Conflict,
            ),
            (
                409,
                plain,
                error("Request_MultipleObjectsWithSameKeyValue", "Another object with the same value"),
                Conflict,
            ),
            (400, plain, error("Request_BadRequest", "Invalid value specified for property"), Invalid),
            (400, plain, error("Request_UnsupportedQuery", ""), Invalid),
            (401, sync, error("UnknownError", ""), Denied),
            (401, sync, error("InvalidAuthenticationToken", "Lifetime validation failed"), Unauthenticated),
            (401, plain, error("UnknownError", ""), Unauthenticated),
            (401, plain, error("InvalidAuthenticationToken", "Access token has expired."), Unauthenticated),
            (
                403,
                plain,
                error("Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
                Denied,
            ),
            (403, plain, error("AccessDenied", "required scopes are missing in the token"), Denied),
            (
                404,
                sync,
                error("UnknownError", "No HTTP resource was found that matches the request URI"),
                Invalid,
            ),
            (405, plain, error("Request_BadRequest", "Specified HTTP method is not allowed"), Invalid),
            (410, plain, error("syncStateNotFound", ""), NotFound),
            (403, plain, error("Directory_QuotaExceeded", "The directory object quota limit"), Quota),
            (418, plain, Value::Null, Transient),
        ] {
            let classified = graph("POST /x", path, &answer(status, &body));
            assert_eq!(classified.kind, expected, "{status} {body}");
            assert_eq!((classified.status, classified.request_id.as_deref()), (status, Some("r-1")));
        }
    }

    #[test]
    fn odd_bodies_of_graph_are_read() {
        for (body, message) in [
            (json!({"error": {"code": "c", "message": {"lang": "en", "value": "text"}}}), "text"),
            (json!({"error": {"code": "c", "message": "{\"error\":{\"message\":\"inner\"}}"}}), "inner"),
            (json!({"error": {"code": "c", "message": "{\"Message\":\"inner\"}"}}), "inner"),
            (json!({"error": {"code": "c", "message": "{broken"}}), "{broken"),
            (json!({"Error": {"Code": "c", "message": "m", "details": {"code": "d"}}}), "m"),
            (json!({"error": {"code": "c", "message": null}}), ""),
        ] {
            let said = said(&body);
            assert_eq!((said.code.as_str(), said.message.as_str()), ("c", message), "{body}");
        }
        assert_eq!(
            said(&json!({"error": {"innererror": {"request-id": "i"}}})).request_id.as_deref(),
            Some("i")
        );
        assert_eq!(said(&json!({"error": "text"})), Said::default());
        assert_eq!(said(&json!([])), Said::default());
    }

    #[test]
    fn sign_in_errors_are_classified_and_always_read_the_same() {
        use CloudErrorKind::{Invalid, NotFound, Throttled, Transient, Unauthenticated};
        let body = |error: &str, description: &str| json!({"error": error, "error_description": description, "correlation_id": "c-1"});
        let wrong = "AADSTS7000215: Invalid client secret provided. Trace ID: t-1 Correlation ID: c-1 Timestamp: 2026-01-01 00:00:00Z";
        for (operation, status, body, kind) in [
            ("token", 401, body("invalid_client", wrong), Unauthenticated),
            (
                "token",
                400,
                body("unauthorized_client", "AADSTS700016: no such application\r\nTrace ID: t-1"),
                Unauthenticated,
            ),
            ("token", 400, body("invalid_request", "AADSTS90002: Tenant not found"), Unauthenticated),
            ("token", 400, body("temporarily_unavailable", ""), Transient),
            ("token", 404, Value::Null, Unauthenticated),
            ("token", 503, Value::Null, Transient),
            ("token", 429, Value::Null, Throttled { retry_after: Some(Duration::from_millis(2128)) }),
            ("federationmetadata", 404, Value::Null, NotFound),
            ("federationmetadata", 400, Value::Null, Invalid),
        ] {
            assert_eq!(login(operation, &answer(status, &body)).kind, kind, "{status} {body}");
        }
        let error = login("token", &answer(401, &body("invalid_client", wrong)));
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("AADSTS7000215", "Invalid client secret provided.")
        );
        assert_eq!(error.request_id.as_deref(), Some("c-1"));
    }
}
