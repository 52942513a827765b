//! The tenant as clients see it, through its routers.

mod behaviours;
mod directory;
mod federation;
mod provisioning;
mod tokens;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::Entra;
use crate::core::{Core, Profile};
use crate::world::{Client, FederatedCredential, Group, Tenant, User, World};

const GRAPH: &str = "https://127.0.0.1:1";
const AUTHORITY: &str = "https://127.0.0.1:2";
const ALL: [&str; 7] = [
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "Application.Read.All",
    "Synchronization.ReadWrite.All",
    "User.Read.All",
    "Group.Read.All",
    "Directory.Read.All",
];

/// A small tenant with a client that may do everything.
fn world() -> World {
    let user = |name: &str, given: &str, surname: &str| User {
        user_principal_name: format!("{name}@acme.example"),
        display_name: format!("{given} {surname}"),
        given_name: Some(given.into()),
        surname: Some(surname.into()),
        mail: Some(format!("{name}@acme.example")),
        department: Some("Engineering".into()),
        ..User::default()
    };
    let group = |name: &str, members: &[&str]| Group {
        display_name: name.into(),
        members: members.iter().map(|m| (*m).to_owned()).collect(),
        ..Group::default()
    };
    let client = Client {
        client_id: "99999999-0000-4000-8000-000000000001".into(),
        client_secret: Some("s3cret".into()),
        federated: vec![FederatedCredential {
            issuer: "https://issuer".into(),
            subject: "system:serviceaccount:a:b".into(),
            audience: None,
        }],
        permissions: ALL.map(str::to_owned).to_vec(),
    };
    let tenant = Tenant {
        clients: vec![client],
        users: vec![
            user("ada", "Ada", "Lovelace"),
            user("grace", "Grace", "Hopper"),
            user("o'brien", "Miles", "O'Brien"),
        ],
        groups: vec![
            group("aws-engineers", &["ada@acme.example", "aws-nested"]),
            group("aws-nested", &["grace@acme.example"]),
            group("O'Group", &[]),
        ],
        ..Tenant::default()
    };
    World { tenant, ..World::default() }
}

/// A tenant with a caller at its door.
struct Desk {
    core: Arc<Core>,
    entra: Arc<Entra>,
    token: Mutex<String>,
}

impl Desk {
    async fn new() -> Self {
        Self::of(&world()).await
    }

    async fn of(world: &World) -> Self {
        let core = Arc::new(Core::new(Profile::fast(), 7));
        let entra = Entra::new(core.clone(), world);
        entra.set_urls(GRAPH, AUTHORITY, "", "");
        let desk = Self { core, entra, token: Mutex::default() };
        desk.sign_in().await;
        desk
    }

    async fn sign_in(&self) {
        let facts = self.entra.facts();
        let form = format!(
            "client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&grant_type=client_credentials",
            facts.client_id, facts.client_secret
        );
        let (status, body) = self.post_form(&format!("/{}/oauth2/v2.0/token", facts.tenant_id), &form).await;
        assert_eq!(status, 200, "{body}");
        *self.token.lock().unwrap() = body["access_token"].as_str().unwrap().to_owned();
    }

    async fn post_form(&self, path: &str, form: &str) -> (u16, Value) {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        answer(self.entra.login_router().oneshot(request).await.unwrap()).await
    }

    async fn login_text(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.entra.login_router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn raw(&self, request: http::request::Builder, body: Option<Value>) -> axum::response::Response {
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        self.entra.graph_router().oneshot(request.body(body).unwrap()).await.unwrap()
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1.0{path}"))
            .header("authorization", self.bearer());
        answer(self.raw(request, body).await).await
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.lock().unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }

    /// A call that must be answered with `status`.
    async fn must(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let (found, body) = self.call(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {body}");
        body
    }

    /// Repeats a read until it is answered with 200 and `good` holds.
    async fn until(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let (status, body) = self.get(path).await;
            if status == 200 && good(&body) {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} never became what was waited for: {:?}", self.get(path).await);
    }

    /// Instantiates the gallery application and waits until all lag is over: application id, appId, service
    /// principal id.
    async fn application(&self) -> (String, String, String) {
        let template = "21ed01d2-ec13-4e9e-86c1-cd546719ebc4";
        let path = format!("/applicationTemplates/{template}/instantiate");
        let made = self.must(201, "POST", &path, Some(json!({ "displayName": "causeway-1" }))).await;
        let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        self.core.clock.advance(SignedDuration::from_secs(60));
        (text("/application/id"), text("/application/appId"), text("/servicePrincipal/id"))
    }

    fn settle(&self) {
        self.core.clock.advance(SignedDuration::from_secs(30));
    }

    async fn user_id(&self, name: &str) -> String {
        let found = self.get(&format!("/users/{name}@acme.example?$select=id")).await.1;
        found["id"].as_str().unwrap().to_owned()
    }

    async fn group_id(&self, name: &str) -> String {
        let found = self.get(&format!("/groups?$filter=displayName%20eq%20'{name}'&$select=id")).await.1;
        found["value"][0]["id"].as_str().unwrap().to_owned()
    }

    /// The id of the role `User`.
    async fn role(&self, service_principal: &str) -> String {
        let found = self.get(&format!("/servicePrincipals/{service_principal}?$select=appRoles")).await.1;
        let roles = found["appRoles"].as_array().unwrap();
        roles.iter().find(|r| r["displayName"] == "User").unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn assign(&self, service_principal: &str, principal: &str) -> (u16, Value) {
        let role = self.role(service_principal).await;
        let body = json!({ "principalId": principal, "resourceId": service_principal, "appRoleId": role });
        self.call("POST", &format!("/servicePrincipals/{service_principal}/appRoleAssignedTo"), Some(body))
            .await
    }
}

async fn answer(response: axum::response::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
