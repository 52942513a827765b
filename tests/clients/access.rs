//! Which credentials a federation may use, and how they are found. The API server here is a map of Secrets, and of
//! ServiceAccounts that have tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway::api::v1alpha1::IdentityFederation;
use causeway::clients::entra::applications::IDENTITY_CENTER_TEMPLATE;
use causeway::clock::Clock;
use causeway::controllers::Clouds;
use causeway::controllers::context::Context;
use causeway::problem::Class;
use causeway::settings::{Endpoints, Settings};
use causeway::status::Reason;
use causeway::telemetry::Metrics;
use kube::client::Body;
use sandbox::aws::Aws;
use sandbox::core::{Authority, Core, Issuer, Profile, serve};
use sandbox::entra::Entra;
use sandbox::world::World;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Recorder;

type Secrets = Arc<Mutex<BTreeMap<String, BTreeMap<String, String>>>>;
/// By `<namespace>/serviceaccounts/<name>`: how many seconds its tokens live; none when nobody may ask for them.
type Accounts = Arc<Mutex<BTreeMap<String, Option<i64>>>>;

/// A key of a Secret that nobody may read.
const FORBIDDEN: &str = "forbidden";

/// Who issues the tokens of ServiceAccounts here.
pub(super) const ISSUER: &str = "https://cluster.example";
pub(super) const MANAGEMENT: &str = "100000000001";

pub(super) struct Twin {
    pub(super) core: Arc<Core>,
    pub(super) aws: Arc<Aws>,
    pub(super) context: Context,
    pub(super) accounts: Accounts,
    pub(super) recorder: Arc<Recorder>,
    pub(super) issuer: Arc<Issuer>,
    secrets: Secrets,
    _stop: tokio_util::sync::DropGuard,
}

/// Answers `GET …/namespaces/<ns>/secrets/<name>` and `POST …/serviceaccounts/<name>/token` from the maps, and knows
/// nothing else.
fn api_server(secrets: Secrets, accounts: Accounts, issuer: Arc<Issuer>) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (secrets, accounts, issuer) = (secrets.clone(), accounts.clone(), issuer.clone());
        async move {
            let path = request.uri().path().trim_start_matches("/api/v1/namespaces/").to_owned();
            let refusal = |code: u16, reason: &str, message: &str| {
                (
                    code,
                    json!({"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}),
                )
            };
            let missing = || refusal(404, "NotFound", &path);
            let (status, body) = if let Some(account) = path.strip_suffix("/token") {
                let body = request.into_body().collect_bytes().await.unwrap();
                let mut body: Value = serde_json::from_slice(&body).unwrap();
                let life = accounts.lock().unwrap().get(account).copied();
                match life {
                    Some(Some(life)) => {
                        let subject =
                            format!("system:serviceaccount:{}", account.replace("/serviceaccounts/", ":"));
                        let audience = body["spec"]["audiences"][0].as_str().unwrap().to_owned();
                        body["spec"]["expirationSeconds"] = json!(life);
                        // What a cluster grants is ten minutes or more, whatever this test wants to see renewed.
                        let token = issuer.token(&subject, &audience, life.max(600)).unwrap();
                        body["status"] =
                            json!({"token": token, "expirationTimestamp": "2100-01-01T00:00:00Z"});
                        (201, body)
                    }
                    Some(None) => refusal(403, "Forbidden", "serviceaccounts is forbidden"),
                    None => missing(),
                }
            } else {
                match secrets.lock().unwrap().get(&path) {
                    Some(keys) if keys.contains_key(FORBIDDEN) => {
                        refusal(403, "Forbidden", "secrets is forbidden")
                    }
                    Some(keys) => {
                        let data: BTreeMap<_, _> =
                            keys.iter().map(|(k, v)| (k.clone(), STANDARD.encode(v))).collect();
                        let metadata = json!({"name": "s"});
                        (
                            200,
                            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}),
                        )
                    }
                    None => missing(),
                }
            };
            http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()))
        }
    });
    kube::Client::new(service, "default")
}

impl Twin {
    /// Without a trace, or with no right left to read them.
    fn take_secrets_away(&self, forbidden: bool) {
        let mut secrets = self.secrets.lock().unwrap();
        if forbidden {
            for name in ["entra", "aws"] {
                let keys = [(FORBIDDEN.to_owned(), String::new())].into();
                secrets.insert(format!("identity/secrets/{name}"), keys);
            }
        } else {
            secrets.clear();
        }
    }

    pub(super) async fn start() -> Self {
        Self::changed(|_, _| ()).await
    }

    /// A twin whose world and settings are a little different.
    pub(super) async fn changed(change: impl FnOnce(&mut World, &mut Settings)) -> Self {
        let core = Arc::new(Core::new(Profile::fast(), 1));
        let mut world = World::load("company-enabled").unwrap();
        let mut settings = Settings::for_tests("test");
        settings.ambient_namespaces = ["platform".to_owned()].into();
        change(&mut world, &mut settings);
        let (aws, entra) = (Aws::new(core.clone(), &world), Entra::new(core.clone(), &world));
        let authority = Authority::generate().unwrap();
        let stop = CancellationToken::new();
        let listen =
            async |router| serve(router, Some(authority.server_config()), stop.clone()).await.unwrap().url;
        settings.endpoints.ca_pem = Some(authority.ca_pem().to_owned());
        settings.endpoints.aws = Some(listen(aws.router()).await.parse().unwrap());
        settings.endpoints.graph = listen(entra.graph_router()).await.parse().unwrap();
        settings.endpoints.authority = listen(entra.login_router()).await.parse().unwrap();
        let Endpoints { graph, authority: login, .. } = &settings.endpoints;
        entra.set_urls(graph.as_str(), login.as_str(), authority.ca_pem(), "https://127.0.0.1:9");
        let settings = Arc::new(settings);
        let (secrets, accounts) = (Secrets::default(), Accounts::default());
        let client = &world.tenant.clients[0];
        let key = &world.organization.access_keys[0];
        let mut known = secrets.lock().unwrap();
        let secret = client.client_secret.clone().unwrap();
        known
            .insert("identity/secrets/entra".into(), [("clientSecret".into(), format!("{secret}\n"))].into());
        known.insert(
            "identity/secrets/aws".into(),
            [
                ("accessKeyId".into(), key.access_key_id.clone()),
                ("secretAccessKey".into(), format!("{}\n", key.secret_access_key)),
            ]
            .into(),
        );
        drop(known);
        accounts.lock().unwrap().insert("identity/serviceaccounts/robot".into(), Some(3600));
        let issuer = Arc::new(Issuer::new(ISSUER).unwrap());
        core.issuers.trust(ISSUER, &issuer.public_key_pem());
        let recorder = Recorder::new();
        let clouds = Clouds::new(settings.clone(), recorder.clone()).unwrap();
        let kube = api_server(secrets.clone(), accounts.clone(), issuer.clone());
        let context =
            Context::new(kube, settings, Clock::system(), clouds, recorder.clone(), Arc::new(Metrics::new()));
        let stop = stop.drop_guard();
        Self { core, aws, context, accounts, recorder, issuer, secrets, _stop: stop }
    }

    fn set(&self, secret: &str, key: &str, value: Option<&str>) {
        let mut secrets = self.secrets.lock().unwrap();
        let keys = secrets.get_mut(secret).unwrap();
        match value {
            Some(value) => keys.insert(key.to_owned(), value.to_owned()),
            None => keys.remove(key),
        };
    }

    fn tokens(&self) -> u64 {
        self.core.counters.all().iter().filter(|c| c.operation == "token").map(|c| c.calls).sum()
    }
}

fn federation(namespace: &str, aws_credentials: &Value) -> IdentityFederation {
    let world = World::load("company-enabled").unwrap();
    let secret = json!({"clientSecret": {
        "clientId": world.tenant.clients[0].client_id,
        "secretRef": {"name": "entra", "key": "clientSecret"},
    }});
    with_credentials(namespace, &secret, aws_credentials)
}

pub(super) fn with_credentials(namespace: &str, entra: &Value, aws: &Value) -> IdentityFederation {
    let world = World::load("company-enabled").unwrap();
    let value = json!({
        "apiVersion": "causeway.dev/v1alpha1",
        "kind": "IdentityFederation",
        "metadata": {"name": "acme", "namespace": namespace, "uid": "uid-1"},
        "spec": {
            "entra": {
                "tenantId": world.tenant.id,
                "credentials": entra,
                "application": {},
            },
            "aws": {
                "region": "eu-west-1",
                "credentials": aws,
                "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "sp", "key": "xml"}}},
            },
        },
    });
    serde_json::from_value(value).unwrap()
}

fn by_secret(namespace: &str) -> IdentityFederation {
    federation(namespace, &json!({"secretRef": {"name": "aws"}}))
}

pub(super) fn deleted(mut federation: IdentityFederation) -> IdentityFederation {
    federation.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    federation
}

#[tokio::test]
async fn both_clouds_answer_and_clients_are_kept() {
    let twin = Twin::start().await;
    let federation = by_secret("identity");
    for _ in 0..3 {
        let graph = twin.context.graph(&federation).await.unwrap();
        graph.applications_of_template(IDENTITY_CENTER_TEMPLATE).await.unwrap();
        let aws = twin.context.aws(&federation).await.unwrap();
        aws.ssoadmin.list_instances().send().await.unwrap();
    }
    assert_eq!(twin.tokens(), 1, "the token is kept with the client");
}

#[tokio::test]
async fn a_changed_secret_takes_effect_at_once() {
    let twin = Twin::start().await;
    let federation = by_secret("identity");
    twin.context.graph(&federation).await.unwrap().groups_named("aws-engineers").await.unwrap();
    twin.set("identity/secrets/entra", "clientSecret", Some("wrong-by-now"));
    let graph = twin.context.graph(&federation).await.unwrap();
    assert!(graph.groups_named("aws-engineers").await.is_err());
    twin.context.aws(&federation).await.unwrap().ssoadmin.list_instances().send().await.unwrap();
    twin.set("identity/secrets/aws", "accessKeyId", Some("AKIAUNKNOWN000000000"));
    assert!(twin.context.aws(&federation).await.unwrap().ssoadmin.list_instances().send().await.is_err());
}

#[tokio::test]
async fn missing_secrets_and_keys_are_named() {
    let twin = Twin::start().await;
    let elsewhere = by_secret("payments");
    for problem in
        [twin.context.graph(&elsewhere).await.unwrap_err(), twin.context.aws(&elsewhere).await.unwrap_err()]
    {
        assert_eq!((problem.class, problem.reason), (Class::Blocked, Reason::SecretNotFound));
        assert!(problem.message.contains("namespace payments"), "{problem}");
    }
    twin.set("identity/secrets/aws", "secretAccessKey", None);
    let problem = twin.context.aws(&by_secret("identity")).await.unwrap_err();
    assert!(
        problem.reason == Reason::SecretNotFound
            && problem.message.contains("no key secretAccessKey (it has accessKeyId)"),
        "{problem}"
    );
}

#[tokio::test]
async fn ambient_credentials_need_a_listed_namespace() {
    let twin = Twin::start().await;
    let problem = twin.context.aws(&federation("identity", &json!({"ambient": {}}))).await.unwrap_err();
    assert_eq!((problem.class, problem.reason), (Class::Invalid, Reason::CredentialsNotAllowed));
    assert!(problem.message.contains("--ambient-namespaces"), "{problem}");
    twin.context.aws(&federation("platform", &json!({"ambient": {}}))).await.unwrap();
    for unclear in [json!({}), json!({"ambient": {}, "secretRef": {"name": "aws"}})] {
        let problem = twin.context.aws(&federation("platform", &unclear)).await.unwrap_err();
        assert_eq!(problem.reason, Reason::InvalidSpec);
    }
}

#[tokio::test]
async fn a_deletion_may_finish_with_the_credentials_used_last() {
    let twin = Twin::start().await;
    let federation = by_secret("identity");
    twin.context.graph(&federation).await.unwrap();
    twin.context.aws(&federation).await.unwrap();
    // With a namespace its Secrets go, or first the right to read them.
    for gone in ["removed", "forbidden"] {
        twin.take_secrets_away(gone == "forbidden");
        assert!(twin.context.graph(&federation).await.is_err(), "{gone}: only while it is being deleted");
        let federation = deleted(federation.clone());
        twin.context.graph(&federation).await.unwrap().groups_named("aws-engineers").await.unwrap();
        twin.context.aws(&federation).await.unwrap().ssoadmin.list_instances().send().await.unwrap();
        let mut stranger = federation.clone();
        stranger.metadata.uid = Some("uid-2".to_owned());
        assert!(
            twin.context.graph(&stranger).await.is_err(),
            "{gone}: nobody gets another one's credentials"
        );
    }
}
