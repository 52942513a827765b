//! `POST /`: tells services and operations apart, and takes each call through authentication, faults,
//! throttles, authorization and its handler (contract aws 0, 14).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::auth::{self, Caller, Scope};
use super::errors::{ApiError, json_response, xml_response};
use super::state::State;
use super::validate::Input;
use super::{Aws, iam, identity_store, organizations, sso_admin, sts};
use crate::core::{CallMeta, Core, Handled, Refusal, lock};

/// What a handler works with.
pub(crate) struct Cx<'a> {
    pub core: &'a Core,
    pub state: &'a mut State,
    pub caller: &'a Caller,
    /// The clouds' present moment.
    pub at: Timestamp,
    /// The Region of the credential scope.
    pub region: &'a str,
    /// What is being changed, for the journal.
    pub target: String,
    pub request_id: &'a str,
}

impl Cx<'_> {
    /// When a write made now becomes visible to reads.
    pub fn visible(&self) -> Timestamp {
        let lag = self.core.ids.draw(self.core.profile.aws_lag);
        self.at.checked_add(lag).unwrap_or(self.at)
    }
}

/// Handles one operation of a JSON service.
pub(crate) type Handler = fn(&mut Cx<'_>, &mut Input<'_>) -> Result<Value, ApiError>;
/// Handles one operation of a Query service; answers the content of the `…Result` element.
pub(crate) type QueryHandler = fn(&mut Cx<'_>, &BTreeMap<String, String>) -> Result<String, ApiError>;
/// Operations by name, each with its handler.
pub(crate) type Table<H> = &'static [(&'static str, H)];

/// The handler of an operation; None for operations that this sandbox does not have.
pub(super) fn handler<H: Copy>(tables: &[Table<H>], operation: &str) -> Option<H> {
    tables.iter().copied().flatten().find(|(name, _)| *name == operation).map(|(_, handler)| *handler)
}

/// Every operation that `POST /` serves, with its service.
pub(super) fn operations() -> Vec<(&'static str, &'static str)> {
    fn names<H>(tables: &[Table<H>]) -> impl Iterator<Item = &'static str> {
        tables.iter().copied().flatten().map(|(name, _)| *name)
    }
    let of = |service: Service| move |name| (service.name, name);
    let json = names(sso_admin::TABLES)
        .map(of(SSO_ADMIN))
        .chain(names(identity_store::TABLES).map(of(IDENTITY_STORE)))
        .chain(names(&[organizations::OPERATIONS]).map(of(ORGANIZATIONS)));
    json.chain(names(&[iam::OPERATIONS]).map(of(IAM))).chain(names(&[sts::OPERATIONS]).map(of(STS))).collect()
}

#[derive(Clone, Copy)]
struct Service {
    /// As in counters and journal.
    name: &'static str,
    /// In the credential scope.
    signing_name: &'static str,
    /// Before the colon of IAM actions.
    iam_prefix: &'static str,
}

const SSO_ADMIN: Service = Service { name: "sso-admin", signing_name: "sso", iam_prefix: "sso" };
const IDENTITY_STORE: Service =
    Service { name: "identitystore", signing_name: "identitystore", iam_prefix: "identitystore" };
const ORGANIZATIONS: Service =
    Service { name: "organizations", signing_name: "organizations", iam_prefix: "organizations" };
const IAM: Service = Service { name: "iam", signing_name: "iam", iam_prefix: "iam" };
const STS: Service = Service { name: "sts", signing_name: "sts", iam_prefix: "sts" };

enum Protocol {
    Json(Option<Handler>),
    Query { namespace: &'static str, version: &'static str, handler: Option<QueryHandler> },
}

struct Call {
    service: Service,
    operation: String,
    protocol: Protocol,
    body: Result<Body, ApiError>,
}

enum Body {
    Json(Map<String, Value>),
    Form(BTreeMap<String, String>),
}

/// Whether an operation changes anything.
fn is_mutation(operation: &str) -> bool {
    !["List", "Describe", "Get", "IsMember", "Assume", "Simulate"].iter().any(|p| operation.starts_with(p))
}

/// Whether an operation is sent without a signature.
fn is_unsigned(call: &Call) -> bool {
    call.service.name == STS.name && call.operation == sts::UNSIGNED
}

fn classify(headers: &HeaderMap, body: &[u8]) -> Option<Call> {
    if let Some(target) = headers.get("x-amz-target").and_then(|v| v.to_str().ok()) {
        let (prefix, operation) = target.rsplit_once('.')?;
        let (service, handler) = match prefix {
            "SWBExternalService" => (SSO_ADMIN, handler(sso_admin::TABLES, operation)),
            "AWSIdentityStore" => (IDENTITY_STORE, handler(identity_store::TABLES, operation)),
            "AWSOrganizationsV20161128" => (ORGANIZATIONS, handler(&[organizations::OPERATIONS], operation)),
            _ => return None,
        };
        let body = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
            Ok(Value::Object(members)) => Ok(Body::Json(members)),
            _ => Err(ApiError::new(
                "SerializationException",
                "Start of structure or map found where not expected.",
            )),
        };
        return Some(Call { service, operation: operation.into(), protocol: Protocol::Json(handler), body });
    }
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let operation = form.get("Action")?.clone();
    let (service, protocol) = if form.get("Version").map(String::as_str) == Some(sts::VERSION) {
        let handler = handler(&[sts::OPERATIONS], &operation);
        (STS, Protocol::Query { namespace: sts::NAMESPACE, version: sts::VERSION, handler })
    } else {
        let handler = if form.get("Version").map(String::as_str) == Some(iam::VERSION) {
            handler(&[iam::OPERATIONS], &operation)
        } else {
            None
        };
        (IAM, Protocol::Query { namespace: iam::NAMESPACE, version: iam::VERSION, handler })
    };
    Some(Call { service, operation, protocol, body: Ok(Body::Form(form)) })
}

/// Handles one request to the AWS endpoint.
pub(crate) async fn handle(aws: Arc<Aws>, headers: HeaderMap, body: Bytes) -> Response {
    let request_id = aws.core.ids.uuid();
    let Some(call) = classify(&headers, &body) else {
        return ApiError::new("UnknownOperationException", "").json(&request_id);
    };
    let identity = if is_unsigned(&call) {
        Ok((Caller::anonymous(), Scope::default()))
    } else {
        auth::scope(&headers).and_then(|scope| {
            let state = lock(&aws.state);
            auth::authenticate(
                &state.now,
                &headers,
                &scope,
                call.service.signing_name,
                aws.core.clock.now(),
                Timestamp::now(),
            )
            .map(|caller| (caller, scope))
        })
    };
    let meta = CallMeta {
        service: call.service.name,
        operation: call.operation.clone(),
        caller: identity.as_ref().map_or_else(|_| "unauthenticated".into(), |(c, _)| c.arn.clone()),
        request_id: request_id.clone(),
        mutation: is_mutation(&call.operation),
    };
    let refuse = |refusal: Refusal| render(Err(injected(&call, refusal)), &call, &request_id);
    aws.core
        .call(meta, refuse, async |stale| {
            let mut target = String::new();
            let result = match &identity {
                Err(error) => Err(error.clone()),
                Ok((caller, scope)) => {
                    perform(&aws, &call, caller, scope, &request_id, stale, &mut target).await
                }
            };
            let outcome = result.as_ref().err().map_or_else(|| "ok".into(), ApiError::outcome);
            Handled { response: render(result, &call, &request_id), target, outcome }
        })
        .await
}

enum Answer {
    Json(Value),
    Xml(String),
}

async fn perform(
    aws: &Aws,
    call: &Call,
    caller: &Caller,
    scope: &Scope,
    request_id: &str,
    stale: bool,
    target: &mut String,
) -> Result<Answer, ApiError> {
    let throttled = match call.service.name {
        "sso-admin" => !aws.sso_bucket.admit(),
        "identitystore" => !aws.store_bucket.admit(),
        _ => false,
    };
    if throttled {
        return Err(ApiError::throttled());
    }
    let body = call.body.as_ref().map_err(Clone::clone)?;
    match &call.protocol {
        Protocol::Json(None) => return Err(ApiError::new("UnknownOperationException", "")),
        Protocol::Query { handler: None, version, .. } => {
            let text = format!("Could not find operation {} for version {version}", call.operation);
            return Err(ApiError::new("InvalidAction", text));
        }
        _ => {}
    }
    authorize(call, body, caller)?;
    let _busy = match body {
        Body::Json(members) if call.service.name == "sso-admin" => {
            hold_set(aws, &call.operation, members).await?
        }
        _ => None,
    };
    let at = aws.core.clock.now();
    let mutation = is_mutation(&call.operation) || call.operation.starts_with("AssumeRole");
    aws.with_state(at, mutation, stale, |state| {
        let mut cx = Cx {
            core: &aws.core,
            state,
            caller,
            at,
            region: &scope.region,
            target: String::new(),
            request_id,
        };
        let result = match (&call.protocol, body) {
            (Protocol::Json(Some(handler)), Body::Json(members)) => {
                handler(&mut cx, &mut Input::new(members)).map(Answer::Json)
            }
            (Protocol::Query { handler: Some(handler), .. }, Body::Form(form)) => {
                handler(&mut cx, form).map(Answer::Xml)
            }
            _ => Err(ApiError::new("UnknownOperationException", "")),
        };
        *target = cx.target;
        result
    })
}

/// IAM's allow-list of the caller (contract aws 7.3); GetCallerIdentity needs no permission.
fn authorize(call: &Call, body: &Body, caller: &Caller) -> Result<(), ApiError> {
    let action = format!("{}:{}", call.service.iam_prefix, call.operation);
    if action == "sts:GetCallerIdentity" || (caller.allows(&action) && !caller.revoked) {
        return Ok(());
    }
    // Revoking the sessions of a role attaches a policy to it that denies everything to those issued before.
    let why = if caller.revoked {
        "with an explicit deny in an identity-based policy".to_owned()
    } else {
        format!("because no identity-based policy allows the {action} action")
    };
    let named = |members: &[&str]| match body {
        Body::Json(map) => members.iter().find_map(|m| map.get(*m)?.as_str().map(ToOwned::to_owned)),
        Body::Form(map) => members.iter().find_map(|m| map.get(*m).cloned()),
    };
    let resource = named(&["PermissionSetArn", "ResourceArn", "InstanceArn", "IdentityStoreId", "RoleArn"]);
    let text = format!(
        "User: {} is not authorized to perform: {action} on resource: {} {why}",
        caller.arn,
        resource.unwrap_or_else(|| "*".into()),
    );
    Err(match call.protocol {
        Protocol::Json(_) => ApiError::denied(text),
        Protocol::Query { .. } => ApiError::new("AccessDenied", text).status(403),
    })
}

/// Two edits of one permission set at the same time collide (contract aws 1.11): whoever comes while an
/// edit is still being written gets a ConflictException.
async fn hold_set<'a>(
    aws: &'a Aws,
    operation: &str,
    members: &Map<String, Value>,
) -> Result<Option<Held<'a>>, ApiError> {
    let Some(arn) = members.get("PermissionSetArn").and_then(Value::as_str) else { return Ok(None) };
    if !sso_admin::edits_set(operation) {
        return Ok(None);
    }
    if !lock(&aws.edits).insert(arn.to_owned()) {
        return Err(ApiError::conflict("There is a conflicting operation in process."));
    }
    let held = Held { aws, arn: arn.to_owned() };
    tokio::time::sleep(Duration::from_millis(3)).await;
    Ok(Some(held))
}

struct Held<'a> {
    aws: &'a Aws,
    arn: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(&self.aws.edits).remove(&self.arn);
    }
}

fn injected(call: &Call, refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Throttled(after) => {
            let mut error = match call.service.name {
                "organizations" => ApiError::new(
                    "TooManyRequestsException",
                    "You have sent too many requests in too short a period of time.",
                ),
                "iam" | "sts" => ApiError::new("Throttling", "Rate exceeded"),
                _ => ApiError::throttled(),
            };
            if let (Some(after), "identitystore") = (after, call.service.name) {
                error = error
                    .with("RetryAfterSeconds", format!("{:.0}", after.ceil()).parse::<i64>().unwrap_or(1));
            }
            error.retry_after = after;
            error
        }
        Refusal::Injected(status, code) => {
            let default = if status < 500 {
                "ValidationException"
            } else {
                match call.service.name {
                    "organizations" => "ServiceException",
                    "iam" | "sts" => "ServiceFailure",
                    _ => "InternalServerException",
                }
            };
            let code = code.unwrap_or_else(|| default.into());
            // `Reason` comes with trouble of a customer managed key (contract aws 1.3, 2.3).
            let (code, reason) = match code.split_once('/') {
                Some((code, reason)) => (code.to_owned(), Some(reason.to_owned())),
                None => (code, None),
            };
            let text = "An unexpected error occurred while processing your request.";
            let error = ApiError::new(code, text).status(status);
            reason.into_iter().fold(error, |error, reason| error.with("Reason", reason))
        }
    }
}

fn render(result: Result<Answer, ApiError>, call: &Call, request_id: &str) -> Response {
    match (result, &call.protocol) {
        (Ok(Answer::Json(value)), _) => json_response(200, request_id, &value),
        (Ok(Answer::Xml(content)), Protocol::Query { namespace, .. }) => {
            let op = &call.operation;
            let result = if content.is_empty() {
                String::new()
            } else {
                format!("  <{op}Result>\n{content}  </{op}Result>\n")
            };
            let body = format!(
                "<{op}Response xmlns=\"{namespace}\">\n{result}  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</{op}Response>\n"
            );
            xml_response(200, request_id, body)
        }
        (Ok(Answer::Xml(content)), Protocol::Json(_)) => xml_response(200, request_id, content),
        (Err(error), Protocol::Json(_)) => json_error(error, call).json(request_id),
        // The model's own error for an identity token, not the front end's for a session.
        (Err(error), Protocol::Query { namespace, .. })
            if is_unsigned(call) && error.code == "ExpiredTokenException" =>
        {
            error.xml(request_id, namespace)
        }
        (Err(error), Protocol::Query { namespace, .. }) => query_error(error).xml(request_id, namespace),
    }
}

/// Members that only some services add to their errors (contract aws 2.3).
fn json_error(error: ApiError, call: &Call) -> ApiError {
    if call.service.name == "identitystore"
        && !error.extra.iter().any(|(k, _)| *k == "Reason")
        && error.code == "ConflictException"
    {
        return error.with("Reason", "CONCURRENT_MODIFICATION");
    }
    error
}

/// Query services name the same troubles differently and use real status codes (contract aws 14).
fn query_error(mut error: ApiError) -> ApiError {
    let (code, status) = match &*error.code {
        "UnrecognizedClientException" => ("InvalidClientTokenId", 403),
        "MissingAuthenticationTokenException" => ("MissingAuthenticationToken", 403),
        "ExpiredTokenException" => ("ExpiredToken", 403),
        "InvalidSignatureException" => ("SignatureDoesNotMatch", 403),
        "IncompleteSignatureException" => ("IncompleteSignature", 400),
        "ValidationException" => ("ValidationError", 400),
        _ => return error,
    };
    error.code = code.into();
    error.status = status;
    error
}
