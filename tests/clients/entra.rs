//! Against the simulated tenant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway::clients::CloudErrorKind;
use causeway::clients::entra::applications::{IDENTITY_CENTER_TEMPLATE, Instantiated};
use causeway::clients::entra::{ClientSecret, Graph, GraphOptions};
use causeway::clients::http::client;
use causeway::clients::saml::{IdentityProviderMetadata, ServiceProviderMetadata, sha256_thumbprint};
use causeway::secret::Sensitive;
use jiff::{SignedDuration, Timestamp};
use sandbox::aws::Aws;
use sandbox::core::{Authority, Core, FaultKind, FaultRule, Profile, serve};
use sandbox::entra::Entra;
use sandbox::world::World;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Recorder, options};

struct Twin {
    core: Arc<Core>,
    entra: Arc<Entra>,
    recorder: Arc<Recorder>,
    authority: Authority,
    at: GraphOptions,
    _stop: tokio_util::sync::DropGuard,
}

impl Twin {
    async fn start() -> Self {
        let core = Arc::new(Core::new(Profile::fast(), 1));
        let entra = Entra::new(core.clone(), &World::load("company").unwrap());
        let authority = Authority::generate().unwrap();
        let stop = CancellationToken::new();
        let tls = || Some(authority.server_config());
        let graph = serve(entra.graph_router(), tls(), stop.clone()).await.unwrap();
        let login = serve(entra.login_router(), tls(), stop.clone()).await.unwrap();
        entra.set_urls(&graph.url, &login.url, authority.ca_pem(), "https://127.0.0.1:9");
        let total = options(&authority).total;
        let at =
            GraphOptions { graph: graph.url.parse().unwrap(), authority: login.url.parse().unwrap(), total };
        Self { core, entra, recorder: Recorder::new(), authority, at, _stop: stop.drop_guard() }
    }

    fn graph_as(&self, secret: &str) -> Graph {
        let facts = self.entra.facts();
        let identity = ClientSecret {
            tenant_id: facts.tenant_id,
            client_id: facts.client_id,
            secret: Sensitive::new(secret),
        };
        Graph::new(
            self.at.clone(),
            identity,
            client(&options(&self.authority)).unwrap(),
            self.recorder.clone(),
        )
        .unwrap()
    }

    fn graph(&self) -> Graph {
        self.graph_as(&self.entra.facts().client_secret)
    }

    fn fault(&self, operation: &str, kind: FaultKind) {
        self.core.faults.add(FaultRule {
            service: "graph".to_owned(),
            operation: Some(operation.to_owned()),
            nth: None,
            probability: None,
            kind,
            status: None,
            code: None,
            times: Some(1),
            retry_after: Some(0.2),
        });
    }

    fn calls(&self, operation: &str) -> u64 {
        self.core.counters.all().iter().filter(|c| c.operation == operation).map(|c| c.calls).sum()
    }
}

/// Reads until something is there.
async fn eventually<T>(what: &str, mut read: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = read().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn collections_are_read_page_by_page() {
    let twin = Twin::start().await;
    let graph = twin.graph();
    let all: Vec<Value> = graph.list("GET /users", "/users", &[("$select", "id")]).await.unwrap();
    let paged: Vec<Value> =
        graph.list("GET /users", "/users", &[("$select", "id"), ("$top", "5")]).await.unwrap();
    assert_eq!((all.len(), paged.len()), (12, 12));
    assert_eq!(twin.calls("GET /users"), 4);
    assert_eq!(twin.calls("token"), 1);
    let named = graph.groups_named("aws-engineers").await.unwrap();
    assert_eq!(named.len(), 1);
}

#[tokio::test]
async fn an_expired_token_is_replaced_without_anybody_noticing() {
    let twin = Twin::start().await;
    let graph = twin.graph();
    graph.groups_named("aws-engineers").await.unwrap();
    // The tenant's clock alone: the token has ended there while our clock says that it is fresh.
    twin.core.clock.advance(SignedDuration::from_hours(2));
    graph.groups_named("aws-engineers").await.unwrap();
    assert_eq!(
        twin.recorder.seen()[2..],
        ["graph GET /groups 401", "login token 200", "graph GET /groups 200"]
    );
}

#[tokio::test]
async fn a_wrong_secret_and_missing_permissions_are_told_apart() {
    let twin = Twin::start().await;
    let error = twin.graph_as("wrong-secret-value").groups_named("aws-engineers").await.unwrap_err();
    assert_eq!(
        (error.kind.clone(), error.code.as_str()),
        (CloudErrorKind::Unauthenticated, "AADSTS7000215"),
        "{error}"
    );
    assert!(!error.to_string().contains("Trace ID"), "{error}");

    twin.entra.set_permissions(&twin.entra.facts().client_id, &["User.Read.All"]);
    let graph = twin.graph();
    let error = graph.instantiate(IDENTITY_CENTER_TEMPLATE, "Denied").await.unwrap_err();
    assert_eq!((error.kind.clone(), error.status), (CloudErrorKind::Denied, 403), "{error}");
    assert!(error.request_id.is_some());
    let lacks = "lacks the Graph application permission Application.ReadWrite.All (admin consent)";
    assert!(error.message.contains(lacks), "{error}");
    assert_eq!(graph.lacking("GET /users"), graph.lacking("GET /users/{id}"));
    assert!(graph.lacking("GET /groups").contains("permission Group.ReadBasic.All"), "{error}");
    assert_eq!(twin.calls("token"), 2, "a refused permission fetches no token at once");
}

#[tokio::test]
async fn throttled_reads_pass_and_lost_answers_of_writes_are_unknown() {
    let twin = Twin::start().await;
    let graph = twin.graph();
    twin.fault("GET /groups", FaultKind::Throttle);
    graph.groups_named("aws-engineers").await.unwrap();
    assert_eq!(twin.calls("GET /groups"), 2);

    let instantiate = "POST /applicationTemplates/{id}/instantiate";
    twin.fault(instantiate, FaultKind::CutAfterEffect);
    let error = graph.instantiate(IDENTITY_CENTER_TEMPLATE, "Cut").await.unwrap_err();
    assert_eq!((error.kind.clone(), error.status), (CloudErrorKind::Transient, 0), "{error}");
    assert_eq!(twin.calls(instantiate), 1);
    eventually("the application", async || {
        graph.applications_of_template(IDENTITY_CENTER_TEMPLATE).await.unwrap().pop()
    })
    .await;
}

#[tokio::test]
async fn both_parties_metadata_are_read_as_they_are_served() {
    let twin = Twin::start().await;
    let graph = twin.graph();
    let reply = graph.instantiate(IDENTITY_CENTER_TEMPLATE, "AWS").await.unwrap();
    let made: Instantiated = serde_json::from_value(reply.body).unwrap();
    let principal = made.service_principal.id;
    eventually("the service principal", async || graph.service_principal(&principal).await.unwrap()).await;
    let end = Timestamp::now() + SignedDuration::from_hours(24 * 300);
    let added = async || graph.add_token_signing_certificate(&principal, "CN=causeway-test", end).await.ok();
    eventually("the certificate", added).await;
    let known = eventually("the public certificate", async || {
        graph.signing_certificates(&principal).await.unwrap().filter(|found| !found.is_empty())
    })
    .await;
    let served = eventually("the certificate in the metadata", async || {
        let xml = graph.federation_metadata(&made.application.app_id).await.unwrap();
        let metadata = IdentityProviderMetadata::parse(&xml).unwrap();
        let has = metadata.certificates.iter().any(|der| sha256_thumbprint(der) == known[0].sha256);
        has.then_some(metadata)
    })
    .await;
    assert_eq!(served.entity_id, format!("https://sts.windows.net/{}/", twin.entra.facts().tenant_id));
    assert_eq!(served.sso_urls.len(), 1);

    let aws = Aws::new(twin.core.clone(), &World::load("company-enabled").unwrap());
    let metadata = ServiceProviderMetadata::parse(&aws.service_provider_metadata().unwrap()).unwrap();
    let hosts: Vec<_> =
        metadata.acs_urls.iter().map(|url| url.split('/').nth(2).unwrap().to_owned()).collect();
    assert_eq!(hosts, ["eu-west-1.signin.aws", "eu-west-1.sso.signin.aws"]);
}

#[tokio::test]
async fn metadata_of_an_unknown_tenant_is_refused_for_what_it_asks() {
    let twin = Twin::start().await;
    let facts = twin.entra.facts();
    let identity = ClientSecret {
        tenant_id: "99999999-2222-3333-4444-555555555555".to_owned(),
        client_id: facts.client_id,
        secret: Sensitive::new(facts.client_secret),
    };
    let http = client(&options(&twin.authority)).unwrap();
    let graph = Graph::new(twin.at.clone(), identity, http, twin.recorder.clone()).unwrap();
    let error = graph.federation_metadata("app").await.unwrap_err();
    assert!(matches!(error.kind, CloudErrorKind::Invalid | CloudErrorKind::NotFound), "{error}");
    let error = graph.groups_named("x").await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Unauthenticated, "{error}");
}
