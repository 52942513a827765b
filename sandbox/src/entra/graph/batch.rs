//! `$batch` (7.3): up to twenty calls, each counted and judged for itself.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::{Answer, Call, Outcome, process};
use crate::entra::errors::GraphError;

pub(super) async fn run(call: &Call, headers: &HeaderMap) -> Outcome {
    let requests = call.body.as_ref().and_then(|b| b["requests"].as_array()).cloned();
    let requests =
        requests.ok_or_else(|| GraphError::new(400, "BadRequest", "Invalid batch payload format."))?;
    if requests.is_empty() || requests.len() > 20 {
        let text = "Number of batch request steps must be between 1 and 20.";
        return Err(GraphError::new(400, "BadRequest", text));
    }
    let mut seen = BTreeMap::new();
    for request in &requests {
        let id = request["id"].as_str().unwrap_or_default().to_lowercase();
        let whole = request["method"].is_string() && request["url"].is_string();
        if id.is_empty() || !whole || seen.insert(id, None::<u16>).is_some() {
            return Err(GraphError::new(
                400,
                "BadRequest",
                "Invalid batch payload: ids must be unique, method and url are required.",
            ));
        }
    }
    let mut responses = Vec::new();
    for request in &requests {
        let id = request["id"].as_str().unwrap_or_default();
        let dependencies = request["dependsOn"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut statuses = dependencies.map(|d| seen.get(&d.to_lowercase()).copied().flatten());
        let response = if statuses.all(|s| s.is_some_and(|s| s < 400)) {
            item(call, request, headers).await
        } else {
            let body = json!({ "error": { "code": "FailedDependency", "message": "A request that this one depends on failed." } });
            json!({ "status": 424, "headers": {}, "body": body })
        };
        let status = response["status"].as_u64().and_then(|s| u16::try_from(s).ok());
        seen.insert(id.to_lowercase(), status);
        let mut whole = json!({ "id": id });
        if let (Value::Object(whole), Value::Object(response)) = (&mut whole, response) {
            whole.extend(response);
        }
        responses.push(whole);
    }
    // The order of answers is free: whoever relies on it finds out.
    responses.reverse();
    Ok(Answer::ok(json!({ "responses": responses })))
}

async fn item(call: &Call, request: &Value, outer: &HeaderMap) -> Value {
    let bad = |text: &str| json!({ "status": 400, "headers": {}, "body": { "error": { "code": "BadRequest", "message": text } } });
    let Ok(method) = request["method"].as_str().unwrap_or_default().to_uppercase().parse::<Method>() else {
        return bad("Invalid method.");
    };
    let url = request["url"].as_str().unwrap_or_default();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    if path.ends_with("$batch") {
        return bad("Nested batches are not supported.");
    }
    let mut headers = HeaderMap::new();
    if let Some(token) = outer.get("authorization") {
        headers.insert("authorization", token.clone());
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name.to_lowercase());
        let value = value.as_str().map(HeaderValue::from_str);
        if let (Ok(name), Some(Ok(value))) = (name, value) {
            headers.insert(name, value);
        }
    }
    let body = match &request["body"] {
        Value::Null => Bytes::new(),
        _ if !headers.contains_key("content-type") => return bad("Content-Type header is required."),
        body => Bytes::from(body.to_string()),
    };
    let path = format!("/{}/{}", call.version, path.trim_start_matches('/'));
    let future = Box::pin(process(call.entra.clone(), method, path, query.to_owned(), headers, body));
    let (parts, body) = future.await.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let shown: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .filter(|(name, _)| ["content-type", "retry-after", "location"].contains(&name.as_str()))
        .filter_map(|(name, value)| Some((title(name.as_str()), value.to_str().ok()?.into())))
        .collect();
    let mut response = json!({ "status": parts.status.as_u16(), "headers": shown });
    if let Ok(body) = serde_json::from_slice::<Value>(&body) {
        response["body"] = body;
    }
    response
}

fn title(name: &str) -> String {
    let part = |p: &str| p[..1].to_uppercase() + &p[1..];
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}
