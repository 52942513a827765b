//! Microsoft Graph: one way in for every call, then the room of its resource.

pub(super) mod applications;
pub(super) mod assignments;
mod batch;
pub(super) mod certificates;
mod claims_policies;
mod deleted_items;
pub(super) mod directory;
pub(super) mod groups;
mod routes;
pub(super) mod service_principals;
pub(super) mod templates;
pub(super) mod types;
pub(super) mod users;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::Entra;
use super::auth::Token;
use super::errors::{GraphError, finish};
use super::odata::{Page, Query, page};
use super::state::{Fields, State, View};
use super::synchronization;
use crate::core::{CallMeta, Handled, Manner, Refusal};
use routes::{Op, Route};

pub(super) fn router(entra: Arc<Entra>) -> axum::Router {
    axum::Router::new().fallback(entry).with_state(entra)
}

/// Every route, as the counters name it.
pub(super) fn operations() -> impl Iterator<Item = String> {
    routes::ROUTES.iter().map(Route::name)
}

async fn entry(
    Shared(entra): Shared<Arc<Entra>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    process(entra, method, uri.path().to_owned(), uri.query().unwrap_or_default().to_owned(), headers, body)
        .await
}

/// What a handler has to answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Option<Value>,
}

impl Answer {
    pub(super) const fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body) }
    }

    pub(super) const fn created(body: Value) -> Self {
        Self { status: 201, body: Some(body) }
    }

    pub(super) const fn no_content() -> Self {
        Self { status: 204, body: None }
    }
}

pub(super) type Outcome = Result<Answer, GraphError>;

/// One call with everything known of it.
pub(super) struct Call {
    pub(super) entra: Arc<Entra>,
    pub(super) token: Arc<Token>,
    pub(super) route: &'static Route,
    /// What stood where the template has `{id}`; alternate keys as `appId=…`.
    pub(super) ids: Vec<String>,
    pub(super) query: Query,
    pub(super) body: Option<Value>,
    /// `ConsistencyLevel: eventual` was sent (4.3).
    pub(super) eventual: bool,
    pub(super) view: View,
    /// What the journal says was changed.
    pub(super) target: String,
    /// Version and path below the service's address, for next links.
    path: String,
    version: &'static str,
}

impl Call {
    pub(super) fn id(&self, index: usize) -> &str {
        self.ids.get(index).map_or("", String::as_str)
    }

    pub(super) fn has(&self, permission: &str) -> bool {
        self.token.roles.iter().any(|r| r == permission)
    }

    pub(super) fn has_any(&self, permissions: &[&str]) -> bool {
        permissions.iter().any(|p| self.has(p))
    }

    /// The address of `$metadata`, with a fragment, as `@odata.context`.
    pub(super) fn context(&self, fragment: &str) -> Value {
        format!("{}/{}/$metadata#{fragment}", self.entra.urls().graph, self.version).into()
    }

    /// One page as a collection answer, its next link on this very origin.
    pub(super) fn collection(
        &self,
        fragment: &str,
        all: Vec<(String, Value)>,
        default: usize,
        max: usize,
    ) -> Outcome {
        self.collection_of(fragment, all, default, max, |value| value)
    }

    /// The same, of things that are only written out when they are on the page.
    pub(super) fn collection_of<T>(
        &self,
        fragment: &str,
        all: Vec<(String, T)>,
        default: usize,
        max: usize,
        show: impl Fn(T) -> Value,
    ) -> Outcome {
        let Page { items, next, count } = page(&self.query, all, default, max)?;
        let mut body = json!({ "@odata.context": self.context(fragment) });
        if let Some(count) = count {
            body["@odata.count"] = count.into();
        }
        if let Some(next) = next {
            body["@odata.nextLink"] =
                format!("{}/{}{}?{next}", self.entra.urls().graph, self.version, self.path).into();
        }
        body["value"] = items.into_iter().map(show).collect();
        Ok(Answer::ok(body))
    }

    /// A page that leads back to itself, when an injected fault wants that; everything else as it is.
    fn looped(&self, mut answer: Answer) -> Answer {
        if let Some(body) = answer.body.as_mut().filter(|b| self.query.looping && b["value"].is_array())
            && !self.route.mutates
        {
            let again = self.query.again();
            body["@odata.nextLink"] =
                format!("{}/{}{}?{again}", self.entra.urls().graph, self.version, self.path).into();
        }
        answer
    }

    /// One object as an answer, with its context first.
    pub(super) fn entity(&self, fragment: &str, fields: Fields) -> Value {
        let mut body = Fields::new();
        body.insert("@odata.context".into(), self.context(&format!("{fragment}/$entity")));
        body.extend(fields);
        Value::Object(body)
    }
}

/// One call from the wire to its answer; batches pass their items through here too.
pub(super) async fn process(
    entra: Arc<Entra>,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let client_request_id = header("client-request-id");
    let (version, below) = match path.split_once("/v1.0").or_else(|| path.split_once("/beta")) {
        Some(("", rest)) => (if path.starts_with("/v1.0") { "v1.0" } else { "beta" }, rest.to_owned()),
        _ => ("v1.0", String::new()),
    };
    let segments = routes::segments(&below);
    let found = routes::find(&method, &segments);
    let token = entra.bearer(header("authorization").as_deref());
    let meta = CallMeta {
        service: "graph",
        operation: match &found {
            Ok((route, _)) => route.name(),
            Err(_) => format!("{method} {}", routes::unknown_template(&segments)),
        },
        caller: token.as_ref().map_or_else(|_| "anonymous".to_owned(), |t| t.client_id.clone()),
        request_id: entra.core.ids.uuid(),
        mutation: found.as_ref().is_ok_and(|(route, _)| route.mutates),
    };
    let request_id = meta.request_id.clone();
    let refuse = |refusal: Refusal| {
        let error = match &refusal {
            Refusal::Throttled(after) => GraphError::throttled(*after),
            Refusal::Injected(status, code) => GraphError::injected(*status, code.as_deref()),
            Refusal::Expired => GraphError::token("Lifetime validation failed, the token is expired."),
        };
        entra.error(&error, &request_id, client_request_id.as_deref())
    };
    let eventual = header("consistencylevel").is_some_and(|v| v.eq_ignore_ascii_case("eventual"));
    let handle = |manner: Manner| {
        let (entra, request_id, client_request_id) =
            (entra.clone(), request_id.clone(), client_request_id.clone());
        let headers = headers.clone();
        async move {
            let mut target = String::new();
            let outcome = async {
                let token = token?;
                let (route, ids) = found?;
                let body = parse(&method, &body)?;
                let mut query = Query::parse(&query)?;
                query.looping |= manner.looping;
                let view = entra.view();
                let mut call = Call {
                    entra: entra.clone(),
                    token,
                    route,
                    ids,
                    query,
                    body,
                    eventual,
                    view,
                    target: String::new(),
                    path: below,
                    version,
                };
                let outcome = perform(&mut call, manner.stale, &headers).await;
                target = std::mem::take(&mut call.target);
                outcome.map(|answer| call.looped(answer))
            }
            .await;
            let (response, outcome) = match outcome {
                Ok(answer) => (answer.response(&request_id, client_request_id.as_deref()), "ok".to_owned()),
                Err(error) => (entra.error(&error, &request_id, client_request_id.as_deref()), error.code),
            };
            Handled { response, target, outcome }
        }
    };
    entra.core.call(meta, refuse, handle).await
}

impl Entra {
    fn error(&self, error: &GraphError, request_id: &str, client_request_id: Option<&str>) -> Response {
        error.response(request_id, client_request_id, self.core.clock.now(), self.behaviours.error_shape)
    }
}

impl Answer {
    fn response(&self, request_id: &str, client_request_id: Option<&str>) -> Response {
        let mut builder = Response::builder()
            .status(self.status)
            .header("request-id", request_id)
            .header("odata-version", "4.0")
            .header("cache-control", "no-cache");
        if let Some(client) = client_request_id {
            builder = builder.header("client-request-id", client);
        }
        match &self.body {
            Some(body) => {
                let json = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";
                finish(builder.header("content-type", json), body)
            }
            None => builder.body(Body::empty()).unwrap_or_default(),
        }
    }
}

fn parse(method: &Method, body: &Bytes) -> Result<Option<Value>, GraphError> {
    if body.is_empty() || method == Method::GET || method == Method::DELETE {
        return Ok(None);
    }
    serde_json::from_slice(body).map(Some).map_err(|_| {
        GraphError::new(400, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
    })
}

async fn perform(call: &mut Call, stale: bool, headers: &HeaderMap) -> Outcome {
    let entra = call.entra.clone();
    match call.route.op {
        Op::Batch => {
            return batch::run(call, headers).await;
        }
        // Absent outside the global cloud (2.2).
        Op::AddTokenSigningCertificate if !entra.behaviours.token_signing_certificate_action => {
            return Err(routes::segment_not_found("addTokenSigningCertificate"));
        }
        Op::AddTokenSigningCertificate => {
            authorize(call, &entra.state_now())?;
            return certificates::add(call).await;
        }
        Op::ValidateCredentials | Op::ValidateJobCredentials => {
            authorize(call, &entra.state_now())?;
            return synchronization::validate_credentials(call).await;
        }
        Op::ProvisionOnDemand => {
            authorize(call, &entra.state_now())?;
            return synchronization::on_demand::run(call).await;
        }
        _ => {}
    }
    if stale && !call.route.mutates {
        let before = super::lock(&entra.history).clone();
        if let Some(before) = before {
            let mut before = State::clone(&before);
            authorize(call, &before)?;
            return dispatch(call, &mut before);
        }
    }
    let mut state = entra.state_now();
    authorize(call, &state)?;
    if call.route.mutates {
        entra.remember(&state);
    }
    let outcome = dispatch(call, &mut state);
    drop(state);
    if call.route.mutates {
        entra.wake.notify_one();
    }
    outcome
}

/// Whether the token's roles allow the operation (0.1); `OwnedBy` only on what the caller owns.
fn authorize(call: &Call, state: &State) -> Result<(), GraphError> {
    const OWNED: &str = "Application.ReadWrite.OwnedBy";
    let needs = call.route.needs;
    if needs.is_empty() {
        return Ok(());
    }
    let granted = |alternative: &&[&str]| alternative.iter().all(|p| call.has(p));
    let mut alternatives = needs.iter().filter(|alternative| granted(alternative)).peekable();
    if alternatives.peek().is_some() {
        let unconditional = alternatives.any(|alternative| !alternative.contains(&OWNED));
        let free = matches!(call.route.op, Op::Instantiate) || call.ids.is_empty();
        if unconditional || free || owns(call, state) {
            return Ok(());
        }
    }
    let is_synchronization = call.route.template.contains("/synchronization/");
    Err(if is_synchronization { GraphError::synchronization_unauthorized() } else { GraphError::denied() })
}

fn owns(call: &Call, state: &State) -> bool {
    use super::state::Kind;
    let id = call.id(0);
    let id = match id.strip_prefix("appId=") {
        None => id,
        Some(app_id) => {
            let application = call.route.template.starts_with("/applications");
            let kind = if application { Kind::Application } else { Kind::ServicePrincipal };
            match state.by_app_id(kind, app_id) {
                Some(object) => object.id.as_str(),
                // What does not exist is answered by the handler.
                None => return true,
            }
        }
    };
    let me = state.by_app_id(Kind::ServicePrincipal, &call.token.client_id).map(|o| o.id.as_str());
    me.is_some_and(|me| state.owners.get(id).is_some_and(|owners| owners.contains(me)))
}

fn dispatch(call: &mut Call, state: &mut State) -> Outcome {
    use super::state::Kind::{Application, Group, ServicePrincipal, User};
    match call.route.op {
        Op::ListTemplates => templates::list(call),
        Op::GetTemplate => templates::get(call),
        Op::Instantiate => templates::instantiate(call, state),
        Op::ListApplications => directory::list(call, state, Application),
        Op::GetApplication => directory::get(call, state, Application),
        Op::PatchApplication => applications::patch(call, state),
        Op::DeleteApplication => applications::delete(call, state),
        Op::ListServicePrincipals => directory::list(call, state, ServicePrincipal),
        Op::GetServicePrincipal => directory::get(call, state, ServicePrincipal),
        Op::PatchServicePrincipal => service_principals::patch(call, state),
        Op::DeleteServicePrincipal => service_principals::delete(call, state),
        Op::RemoveCredential => certificates::remove_credential(call, state),
        Op::ListApplicationOwners => directory::owners(call, state, Application),
        Op::AddApplicationOwner => directory::add_owner(call, state, Application),
        Op::ListServicePrincipalOwners => directory::owners(call, state, ServicePrincipal),
        Op::AddServicePrincipalOwner => directory::add_owner(call, state, ServicePrincipal),
        Op::ListAssignedTo => assignments::list(call, state),
        Op::Assign => assignments::create(call, state),
        Op::GetAssigned => assignments::get(call, state),
        Op::Unassign => assignments::delete(call, state),
        Op::ListUserAssignments => assignments::of_principal(call, state, User),
        Op::ListGroupAssignments => assignments::of_principal(call, state, Group),
        Op::ListUsers => directory::list(call, state, User),
        Op::GetUser => directory::get(call, state, User),
        Op::CreateUser => users::create(call, state),
        Op::PatchUser => users::patch(call, state),
        Op::DeleteUser => users::delete(call, state),
        Op::ListGroups => directory::list(call, state, Group),
        Op::GetGroup => directory::get(call, state, Group),
        Op::CreateGroup => groups::create(call, state),
        Op::PatchGroup => groups::patch(call, state),
        Op::DeleteGroup => groups::delete(call, state),
        Op::ListMembers => groups::members(call, state, false),
        Op::ListTransitiveMembers => groups::members(call, state, true),
        Op::AddMember => groups::add_member(call, state),
        Op::RemoveMember => groups::remove_member(call, state),
        Op::GetByIds => directory::get_by_ids(call, state),
        Op::GetDirectoryObject => directory::get_any(call, state),
        Op::ListDeleted => deleted_items::list(call, state),
        Op::GetDeleted => deleted_items::get(call, state),
        Op::RestoreDeleted => deleted_items::restore(call, state),
        Op::PurgeDeleted => deleted_items::purge(call, state),
        Op::ListPolicies => claims_policies::list(call, state),
        Op::GetPolicy => claims_policies::get(call, state),
        Op::CreatePolicy => claims_policies::create(call, state),
        Op::PatchPolicy => claims_policies::patch(call, state),
        Op::DeletePolicy => claims_policies::delete(call, state),
        Op::PolicyAppliesTo => claims_policies::applies_to(call, state),
        Op::ListAttachedPolicies => claims_policies::of_service_principal(call, state),
        Op::AttachPolicy => claims_policies::attach(call, state),
        Op::DetachPolicy => claims_policies::detach(call, state),
        Op::Synchronization(op) => synchronization::dispatch(op, call, state),
        // Handled before, because they wait for something.
        Op::Batch
        | Op::AddTokenSigningCertificate
        | Op::ValidateCredentials
        | Op::ValidateJobCredentials
        | Op::ProvisionOnDemand => Err(GraphError::new(500, "InternalServerError", "Misrouted.")),
    }
}
