use http::StatusCode;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::core::Profile;
use crate::world::World;
use crate::{Cluster, Descriptor, Options, Sandbox};

struct Lab {
    sandbox: Sandbox,
    http: Client,
    token: String,
    _dir: tempfile::TempDir,
}

impl Lab {
    async fn start(world: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            world: World::load(world).unwrap(),
            profile: Profile::fast(),
            seed: 1,
            dir: dir.path().to_owned(),
            cluster: Cluster::None,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let ca = reqwest::Certificate::from_pem(sandbox.ca_pem().as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        let entra = sandbox.descriptor().entra;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &entra.client_id),
            ("client_secret", &entra.client_secret),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", entra.authority, entra.tenant_id);
        let answer: Value = http.post(url).form(&form).send().await.unwrap().json().await.unwrap();
        let token =
            answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        Self { sandbox, http, token, _dir: dir }
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.sandbox.control));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> Value {
        self.control(Method::GET, path, None).await.1
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.control(Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// Graph, patiently: what was just made is not there at once.
    async fn graph(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/v1.0{path}", self.sandbox.descriptor().entra.graph);
        for _ in 0..100 {
            let mut request = self.http.request(method.clone(), &url).bearer_auth(&self.token);
            if let Some(body) = &body {
                request = request.json(body);
            }
            let response = request.send().await.unwrap();
            let status = response.status();
            let text = response.text().await.unwrap();
            if status.is_success() {
                return serde_json::from_str(&text).unwrap_or_default();
            }
            // Not visible yet, or the change to SAML is not (contract graph 2.1, 8.6).
            let wait = status == StatusCode::NOT_FOUND || text.contains("HostNameNotOnVerifiedDomain");
            assert!(wait, "{method} {path}: {status} {text}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{method} {path} never came");
    }

    async fn sign_in(&self, user: &str, app_id: &str) -> Value {
        self.post("/sign-in", json!({"userPrincipalName": user, "appId": app_id})).await
    }
}

#[tokio::test]
async fn from_nothing_to_a_person_who_is_in() {
    let lab = Lab::start("company").await;
    let descriptor = lab.get("/descriptor").await;
    assert_eq!(descriptor["aws"].get("instanceArn"), None);
    assert_eq!(
        lab.control(Method::GET, "/console/aws/service-provider-metadata", None).await.0.as_u16() / 100,
        4
    );

    // The administrator at AWS, first half.
    lab.post("/console/aws/enable-identity-center", json!({})).await;
    let metadata = lab.get("/console/aws/service-provider-metadata").await;
    let metadata = metadata.as_str().unwrap();
    let between = |text: &str, from: &str, to: &str| {
        text.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned()
    };
    let entity_id = between(metadata, "entityID=\"", "\"");
    let acs = between(&metadata[metadata.find("AssertionConsumerService").unwrap()..], "Location=\"", "\"");
    let on_disk = Descriptor::read(lab.sandbox.dir()).unwrap();
    assert!(on_disk.aws.instance_arn.is_some(), "the file follows");

    // What the operator does at Entra.
    let templates = lab.graph(Method::GET, "/applicationTemplates?$filter=displayName%20eq%20'AWS%20IAM%20Identity%20Center%20(successor%20to%20AWS%20Single%20Sign-On)'", None).await;
    let template = templates["value"][0]["id"].as_str().unwrap_or_else(|| panic!("{templates}")).to_owned();
    let made = lab
        .graph(
            Method::POST,
            &format!("/applicationTemplates/{template}/instantiate"),
            Some(json!({"displayName": "AWS"})),
        )
        .await;
    let id = |object: &str| made[object]["id"].as_str().unwrap().to_owned();
    let (application, principal) = (id("application"), id("servicePrincipal"));
    let app_id = made["application"]["appId"].as_str().unwrap().to_owned();
    lab.graph(
        Method::PATCH,
        &format!("/servicePrincipals/{principal}"),
        Some(json!({"preferredSingleSignOnMode": "saml", "appRoleAssignmentRequired": true})),
    )
    .await;
    let body = json!({"identifierUris": [entity_id], "web": {"redirectUris": [acs]}});
    lab.graph(Method::PATCH, &format!("/applications/{application}"), Some(body)).await;
    let body = json!({"displayName": "CN=aws", "endDateTime": "2028-01-01T00:00:00Z"});
    let certificate = lab
        .graph(
            Method::POST,
            &format!("/servicePrincipals/{principal}/addTokenSigningCertificate"),
            Some(body),
        )
        .await;
    let thumbprint = certificate["thumbprint"].clone();
    lab.graph(
        Method::PATCH,
        &format!("/servicePrincipals/{principal}"),
        Some(json!({"preferredTokenSigningKeyThumbprint": thumbprint})),
    )
    .await;

    // Not assigned yet.
    let refused = lab.sign_in("ada@acme.example", &app_id).await;
    assert_eq!((&refused["verdict"], &refused["refusedBy"]), (&json!("refused"), &json!("entra")));
    assert!(refused["reason"].as_str().unwrap().starts_with("AADSTS50105"), "{refused}");
    let user = lab.graph(Method::GET, "/users/ada@acme.example", None).await["id"].clone();
    let roles =
        lab.graph(Method::GET, &format!("/servicePrincipals/{principal}?$select=appRoles"), None).await;
    let role = roles["appRoles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["isEnabled"] == true)
        .map_or_else(|| json!("00000000-0000-0000-0000-000000000000"), |r| r["id"].clone());
    let body = json!({"principalId": user, "resourceId": principal, "appRoleId": role});
    lab.graph(Method::POST, &format!("/servicePrincipals/{principal}/appRoleAssignedTo"), Some(body)).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;

    // AWS knows neither provider nor person.
    let refused = lab.sign_in("ada@acme.example", &app_id).await;
    assert_eq!(refused["refusedBy"], "aws", "{refused}");
    let entra = lab.sandbox.descriptor().entra;
    let url = format!(
        "{}/{}/federationmetadata/2007-06/federationmetadata.xml?appid={app_id}",
        entra.authority, entra.tenant_id
    );
    let federation = lab.http.get(url).send().await.unwrap().text().await.unwrap();
    lab.post("/console/aws/external-identity-provider", json!({"metadataXml": federation})).await;
    let refused = lab.sign_in("ada@acme.example", &app_id).await;
    assert_eq!(refused["refusedBy"], "aws", "the person is not in the identity store: {refused}");

    // A user by SCIM, as the provisioning service would make it.
    let scim = lab.post("/console/aws/automatic-provisioning", json!({})).await;
    let (endpoint, token) = (scim["endpoint"].as_str().unwrap(), scim["token"].as_str().unwrap());
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@acme.example", "displayName": "Ada",
        "name": {"givenName": "Ada", "familyName": "Lindqvist"}, "active": true,
    });
    let url = format!("{}/Users", endpoint.trim_end_matches('/'));
    let created = lab.http.post(url).bearer_auth(token).json(&body).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let admitted = lab.sign_in("ada@acme.example", &app_id).await;
    assert_eq!((&admitted["verdict"], &admitted["access"]), (&json!("admitted"), &json!([])), "{admitted}");
    assert!(admitted["samlResponse"].as_str().unwrap().len() > 1000);
    // The same response, posted by whoever has it; and one that is none.
    let post = async |response: &Value| {
        lab.post("/console/aws/saml-response", json!({"samlResponse": response})).await
    };
    assert_eq!(post(&admitted["samlResponse"]).await["verdict"], "admitted");
    let refused = post(&json!("%%%")).await;
    assert_eq!(
        (&refused["refusedBy"], &refused["reason"]),
        (&json!("aws"), &json!("the response is not base64"))
    );

    let journal = lab.get("/journal").await;
    let services: Vec<&str> =
        journal.as_array().unwrap().iter().filter_map(|e| e["service"].as_str()).collect();
    for service in ["console", "graph", "scim"] {
        assert!(services.contains(&service), "{service} in {services:?}");
    }
    let last = journal.as_array().unwrap().len();
    assert_eq!(lab.get(&format!("/journal?after={last}")).await, json!([]));
    assert!(!lab.get("/state/aws").await.to_string().contains(token), "state shows the token");
}

#[tokio::test]
async fn faults_counters_clock_and_world() {
    let lab = Lab::start("company").await;
    let rule = json!({"service": "graph", "operation": "GET /users/{id}", "kind": "error", "status": 503});
    assert_eq!(lab.post("/faults", rule).await.as_array().unwrap().len(), 1);
    let url = format!("{}/v1.0/users/ada@acme.example", lab.sandbox.descriptor().entra.graph);
    let status = async || lab.http.get(&url).bearer_auth(&lab.token).send().await.unwrap().status();
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status().await, StatusCode::OK);
    for (bad, why) in [
        (json!({"service": "grahp", "kind": "hang"}), "grahp"),
        (json!({"service": "graph", "kind": "hang", "nth": 1, "probability": 0.5}), "not both"),
        (json!({"service": "graph", "kind": "explode"}), "explode"),
        (json!({"service": "graph", "kind": "malformed", "status": 500}), "only errors and throttle"),
        (json!({"service": "scim", "kind": "looping-next-link"}), "no pages"),
        (json!([{"service": "graph", "kind": "hang"}, {"service": "graph"}]), "kind"),
    ] {
        let (status, answer) = lab.control(Method::POST, "/faults", Some(bad)).await;
        assert!(status == StatusCode::BAD_REQUEST && answer.to_string().contains(why), "{answer}");
    }
    let rules = lab.get("/faults").await;
    assert_eq!(rules.as_array().unwrap().len(), 1, "a list is taken whole or not at all");
    assert_eq!(rules[0]["struck"], 1, "{rules}");
    assert_eq!(lab.control(Method::DELETE, "/faults", None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(lab.get("/faults").await, json!([]));

    // Carried out, and answered as if it had not been.
    let operation = "POST /applicationTemplates/{id}/instantiate";
    let rule =
        json!({"service": "graph", "operation": operation, "kind": "error-after-effect", "status": 504});
    lab.post("/faults", rule).await;
    let graph = lab.sandbox.descriptor().entra.graph;
    let template =
        format!("{graph}/v1.0/applicationTemplates/21ed01d2-ec13-4e9e-86c1-cd546719ebc4/instantiate");
    let body = json!({"displayName": "Landed"});
    let answer = lab.http.post(template).bearer_auth(&lab.token).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(lab.get("/state/entra").await.to_string().contains("Landed"));

    let served = lab.get("/operations").await;
    let served = served.as_array().unwrap();
    for (service, operation) in [
        ("graph", "GET /users/{id}"),
        ("sts", "GetCallerIdentity"),
        ("scim", "PatchUser"),
        ("login", "token"),
    ] {
        assert!(served.contains(&json!({"service": service, "operation": operation})), "{operation}");
    }

    let counted = lab.get("/counters").await;
    assert!(
        counted
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["operation"] == "GET /users/{id}" && c["outcome"] == "ok"),
        "{counted}"
    );
    lab.control(Method::DELETE, "/counters", None).await;
    assert_eq!(lab.get("/counters").await, json!([]));

    let clock = lab.post("/clock", json!({"advanceSeconds": 7200})).await;
    assert_eq!(clock["offsetSeconds"], 7200.0);
    assert_eq!(
        lab.control(Method::POST, "/clock", Some(json!({"advanceSeconds": -1}))).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(status().await, StatusCode::UNAUTHORIZED, "the token lives by the clouds' clock");

    let world = lab.get("/world").await;
    let world = World::parse("now", world.as_str().unwrap()).unwrap();
    assert_eq!(world.tenant.users.len(), 12);
    assert_eq!(world.organization.accounts.len(), 8);
    assert_eq!(lab.control(Method::GET, "/sign-in", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(lab.control(Method::GET, "/nothing", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_administrators_change_accounts_and_people() {
    let lab = Lab::start("company").await;
    let user = lab
        .post("/console/entra/users", json!({"userPrincipalName": "new@acme.example", "displayName": "New"}))
        .await;
    let id = user["id"].as_str().unwrap();
    let group = lab.post("/console/entra/groups", json!({"displayName": "aws-new"})).await;
    let group = group["id"].as_str().unwrap();
    let members = format!("/console/entra/groups/{group}/members");
    assert_eq!(lab.control(Method::POST, &members, Some(json!({"id": id}))).await.0, StatusCode::NO_CONTENT);
    assert_eq!(lab.control(Method::DELETE, &format!("{members}/{id}"), None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        lab.control(Method::DELETE, &format!("/console/entra/users/{id}"), None).await.0,
        StatusCode::NO_CONTENT
    );
    let (status, _) = lab
        .control(Method::PATCH, &format!("/console/entra/users/{id}"), Some(json!({"displayName": "x"})))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let account = json!({"name": "fresh", "organizationalUnit": "/Workloads/Dev", "tags": {"env": "dev"}});
    let account = lab.post("/console/aws/accounts", account).await;
    let id = account["id"].as_str().unwrap_or_else(|| panic!("{account}"));
    let (status, answer) = lab
        .control(Method::PATCH, &format!("/console/aws/accounts/{id}"), Some(json!({"state": "SUSPENDED"})))
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let role = json!({"roleArn": "arn:aws:iam::100000000001:role/nobody"});
    let (status, answer) = lab.control(Method::POST, "/console/aws/revoke-sessions", Some(role)).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
}

#[tokio::test]
async fn one_folder_holds_one_sandbox_and_nothing_stays_behind() {
    let lab = Lab::start("empty").await;
    let dir = lab.sandbox.dir().to_owned();
    let options = || Options {
        world: World::load("empty").unwrap(),
        profile: Profile::fast(),
        seed: 1,
        dir: dir.clone(),
        cluster: Cluster::None,
    };
    let error = Sandbox::start(options()).await.unwrap_err().to_string();
    assert!(error.contains("another sandbox"), "{error}");
    assert!(
        !format!("{:?}", lab.sandbox.descriptor()).contains(&lab.sandbox.descriptor().entra.client_secret)
    );
    let Lab { sandbox, _dir, .. } = lab;
    drop(sandbox);
    assert!(!dir.join(Descriptor::FILE).exists());
    Sandbox::start(options()).await.unwrap();
}
