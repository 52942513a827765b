//! The SCIM endpoint `/{tenant}/scim/v2` (contract aws 4).

mod discovery;
mod errors;
mod filter;
#[cfg(test)]
mod fuzz;
mod groups;
mod patch;
mod users;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderMap, Method, Uri, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Aws;
use super::errors::respond;
use super::identity_store::{ExternalId, Stamp, Store};
use super::paging::page;
use super::state::{Scim, State};
use crate::core::{CallMeta, Core, Handled, Ids, Refusal, lock};
use errors::ScimError;

pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The enterprise extension, under which its attributes are kept too.
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// What a handler works with.
struct Cx<'a> {
    ids: &'a Ids,
    store: &'a mut Store,
    at: Timestamp,
    /// When the identity store's API shows what is written now.
    from: Timestamp,
    /// The issuer of external ids that come through this endpoint.
    issuer: String,
    target: String,
    query: Vec<(String, String)>,
}

impl Cx<'_> {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    fn external(&self, id: Option<String>) -> Option<ExternalId> {
        id.map(|id| ExternalId { issuer: self.issuer.clone(), id })
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(self.at, BY)
    }
}

/// Who is named as the maker of what comes through SCIM.
const BY: &str = "SCIM";

/// Status and body; no body for 204.
type Answer = Result<(u16, Option<Value>), ScimError>;

/// What a request asks for.
#[derive(Clone, Copy)]
enum Route<'a> {
    Users,
    User(&'a str),
    Groups,
    Group(&'a str),
    ServiceProviderConfig,
    Schemas(Option<&'a str>),
    ResourceTypes,
    Unknown,
}

fn route<'a>(segments: &[&'a str]) -> Route<'a> {
    match segments {
        ["Users"] => Route::Users,
        ["Users", id] => Route::User(id),
        ["Groups"] => Route::Groups,
        ["Groups", id] => Route::Group(id),
        ["ServiceProviderConfig"] => Route::ServiceProviderConfig,
        ["Schemas"] => Route::Schemas(None),
        ["Schemas", id] => Route::Schemas(Some(id)),
        ["ResourceTypes"] => Route::ResourceTypes,
        _ => Route::Unknown,
    }
}

/// The operation's name, when the endpoint has it (contract aws 4.1).
fn operation(route: Route<'_>, method: &Method) -> Option<&'static str> {
    Some(match (route, method.as_str()) {
        (Route::Users, "POST") => "CreateUser",
        (Route::Users, "GET") => "ListUsers",
        (Route::User(_), "GET") => "GetUser",
        (Route::User(_), "PUT") => "PutUser",
        (Route::User(_), "PATCH") => "PatchUser",
        (Route::User(_), "DELETE") => "DeleteUser",
        (Route::Groups, "POST") => "CreateGroup",
        (Route::Groups, "GET") => "ListGroups",
        (Route::Group(_), "GET") => "GetGroup",
        (Route::Group(_), "PATCH") => "PatchGroup",
        (Route::Group(_), "DELETE") => "DeleteGroup",
        (Route::ServiceProviderConfig, "GET") => "ServiceProviderConfig",
        (Route::Schemas(_), "GET") => "Schemas",
        (Route::ResourceTypes, "GET") => "ResourceTypes",
        _ => return None,
    })
}

/// All of them.
pub(super) const OPERATIONS: [&str; 14] = [
    "CreateUser",
    "ListUsers",
    "GetUser",
    "PutUser",
    "PatchUser",
    "DeleteUser",
    "CreateGroup",
    "ListGroups",
    "GetGroup",
    "PatchGroup",
    "DeleteGroup",
    "ServiceProviderConfig",
    "Schemas",
    "ResourceTypes",
];

/// Who calls, for the journal: the provisioning service, unless the client names itself otherwise.
fn caller(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if agent.is_empty() || agent.to_lowercase().contains("provisioning") {
        return "provisioning-service".into();
    }
    format!("scim:{}", agent.split(['/', ' ']).next().unwrap_or(agent))
}

/// Handles one request to the SCIM endpoint.
pub(super) async fn handle(
    Shared(aws): Shared<Arc<Aws>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut segments: Vec<&str> = uri.path().split('/').filter(|s| !s.is_empty()).collect();
    let tenant = segments.first().copied().unwrap_or_default();
    let segments = segments.split_off(segments.len().min(3));
    let route = route(&segments);
    let operation = operation(route, &method);
    let request_id = aws.core.ids.uuid();
    let meta = CallMeta {
        service: "scim",
        operation: operation.map_or_else(
            || format!("{method} {}", segments.first().copied().unwrap_or_default()),
            ToOwned::to_owned,
        ),
        caller: caller(&headers),
        request_id: request_id.clone(),
        mutation: method != Method::GET && method != Method::HEAD,
    };
    let at = aws.core.clock.now();
    let refuse = |refusal| {
        let (status, after) = match refusal {
            Refusal::Throttled(after) => (429, after),
            Refusal::Injected(status, _) => (status, None),
            // Contract aws 4.5: as any other bad token.
            Refusal::Expired => return ScimError::new(401, "Unauthorized").response(&request_id, at, None),
        };
        ScimError::new(status, "The request could not be processed.").response(&request_id, at, after)
    };
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    aws.core
        .call(meta, refuse, async |manner| {
            let mut target = String::new();
            let stale = manner.stale;
            let result =
                aws.perform_scim(tenant, token, &method, route, operation, &uri, &body, stale, &mut target);
            match result {
                Ok((status, body)) => {
                    let text = body.map(|b| b.to_string()).unwrap_or_default();
                    let response = respond(status, &request_id, "application/scim+json", text);
                    Handled { response, target, outcome: "ok".into() }
                }
                Err(error) => {
                    let outcome = error.outcome();
                    Handled { response: error.response(&request_id, at, None), target, outcome }
                }
            }
        })
        .await
}

/// 401 for a bad, missing or expired token and for a wrong tenant alike (contract aws 4.5).
fn authorize(scim: Option<&Scim>, tenant: &str, token: Option<&str>, at: Timestamp) -> Result<(), ScimError> {
    let valid = scim
        .filter(|s| s.tenant == tenant)
        .is_some_and(|s| s.tokens.values().any(|t| Some(t.secret.as_str()) == token && t.expires > at));
    if valid { Ok(()) } else { Err(ScimError::new(401, "Unauthorized")) }
}

impl Aws {
    #[allow(clippy::too_many_arguments, reason = "the parts of one HTTP request")]
    fn perform_scim(
        &self,
        tenant: &str,
        token: Option<&str>,
        method: &Method,
        route: Route<'_>,
        operation: Option<&str>,
        uri: &Uri,
        body: &[u8],
        stale: bool,
        target: &mut String,
    ) -> Answer {
        let at = self.core.clock.now();
        {
            let states = lock(&self.state);
            authorize(states.now.center.as_ref().and_then(|c| c.scim.as_ref()), tenant, token, at)?;
        }
        if !self.scim_bucket.admit() {
            return Err(ScimError::new(429, "Rate exceeded"));
        }
        if operation.is_none() {
            return Err(match route {
                Route::Unknown => ScimError::new(404, "Resource not found"),
                _ => ScimError::new(400, "Unsupported operation"),
            });
        }
        let mutation = *method != Method::GET;
        self.with_state(at, mutation, stale, |state| {
            let mut cx = context(&self.core, state, uri, at)?;
            let result = dispatch(&mut cx, method, route, body);
            *target = cx.target;
            result
        })
    }
}

fn context<'a>(core: &'a Core, state: &'a mut State, uri: &Uri, at: Timestamp) -> Result<Cx<'a>, ScimError> {
    let from = at.checked_add(core.ids.draw(core.profile.aws_lag)).unwrap_or(at);
    let region = state.region.clone();
    let center = state.center.as_mut().ok_or_else(|| ScimError::new(401, "Unauthorized"))?;
    let tenant = center.scim.as_ref().map(|s| s.tenant.clone()).unwrap_or_default();
    Ok(Cx {
        ids: &core.ids,
        store: &mut center.store,
        at,
        from,
        issuer: issuer(&region, &tenant),
        target: String::new(),
        query: url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
    })
}

/// The issuer string is not documented (contract aws 2.1, 11.8): clients have to learn it.
pub(super) fn issuer(region: &str, tenant: &str) -> String {
    format!("https://scim.{region}.amazonaws.com/{tenant}")
}

fn dispatch(cx: &mut Cx<'_>, method: &Method, route: Route<'_>, body: &[u8]) -> Answer {
    match (route, method.as_str()) {
        (Route::Users, "POST") => users::create(cx, &parse(body)?),
        (Route::Users, _) => users::list(cx),
        (Route::User(id), "GET") => users::get(cx, id),
        (Route::User(id), "PUT") => users::put(cx, id, &parse(body)?),
        (Route::User(id), "PATCH") => users::patch(cx, id, &parse(body)?),
        (Route::User(id), _) => users::delete(cx, id),
        (Route::Groups, "POST") => groups::create(cx, &parse(body)?),
        (Route::Groups, _) => groups::list(cx),
        (Route::Group(id), "GET") => groups::get(cx, id),
        (Route::Group(id), "PATCH") => groups::patch(cx, id, &parse(body)?),
        (Route::Group(id), _) => groups::delete(cx, id),
        (Route::ServiceProviderConfig, _) => Ok((200, Some(discovery::service_provider_config()))),
        (Route::Schemas(id), _) => discovery::schemas(id),
        (Route::ResourceTypes, _) => Ok((200, Some(discovery::resource_types()))),
        (Route::Unknown, _) => Err(ScimError::new(404, "Resource not found")),
    }
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(ScimError::invalid("Invalid JSON from RequestBody")),
    }
}

/// `created` and `lastModified` of a resource.
fn meta(kind: &str, stamp: &Stamp) -> Value {
    let show = |t: Timestamp| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"resourceType": kind, "created": show(stamp.created), "lastModified": show(stamp.updated)})
}

/// A list answer: with `cursor` it pages; without there is no way to reach page two (contract aws 4.4).
fn list_answer(cx: &Cx<'_>, scope: &str, found: Vec<(String, Value)>) -> Answer {
    let count = match cx.query("count").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(n)) if (1..=100).contains(&n) => n,
        Some(_) => return Err(ScimError::invalid("Value of count must be between 1 and 100")),
    };
    let total = found.len();
    let cursor = cx.query("cursor");
    let (items, next) = page(scope, found.into_iter(), count, cursor)
        .map_err(|_| ScimError::invalid("The cursor is not valid for this request"))?;
    let mut out = Map::new();
    if cursor.is_none() {
        out.insert("totalResults".into(), total.into());
        out.insert("startIndex".into(), 1.into());
    }
    out.insert("itemsPerPage".into(), items.len().into());
    out.insert("schemas".into(), json!([LIST]));
    if let (Some(_), Some(next)) = (cursor, next) {
        out.insert("nextCursor".into(), next.into());
    }
    out.insert("Resources".into(), items.into());
    Ok((200, Some(Value::Object(out))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_listed() {
        let paths: [&[&str]; 9] = [
            &["Users"],
            &["Users", "1"],
            &["Groups"],
            &["Groups", "1"],
            &["ServiceProviderConfig"],
            &["Schemas"],
            &["Schemas", "1"],
            &["ResourceTypes"],
            &["Me"],
        ];
        let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let found: std::collections::BTreeSet<_> = paths
            .iter()
            .flat_map(|path| methods.iter().filter_map(|method| operation(route(path), method)))
            .collect();
        assert_eq!(found, OPERATIONS.into_iter().collect());
    }
}
