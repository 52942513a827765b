use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway::clients::aws::{AccessKey, AwsClients, Connection, Rates, cloud_error};
use causeway::clients::http::HttpOptions;
use causeway::clients::{CloudErrorKind, Service};
use causeway::secret::Sensitive;
use sandbox::aws::Aws;
use sandbox::core::{Authority, Core, FaultKind, FaultRule, Profile, serve};
use sandbox::world::World;
use tokio_util::sync::CancellationToken;

use super::{Recorder, impatient, options};

const KEY: (&str, &str) = ("AKIACAUSEWAYSANDBOX1", "sandbox/only/worthless/elsewhere/operator1");

struct Twin {
    core: Arc<Core>,
    authority: Authority,
    url: url::Url,
    instance: String,
    _stop: tokio_util::sync::DropGuard,
}

impl Twin {
    async fn start() -> Self {
        let core = Arc::new(Core::new(Profile::fast(), 1));
        let aws = Aws::new(core.clone(), &World::load("company-enabled").unwrap());
        let authority = Authority::generate().unwrap();
        let stop = CancellationToken::new();
        let listening = serve(aws.router(), Some(authority.server_config()), stop.clone()).await.unwrap();
        aws.set_base_url(&listening.url);
        let instance = aws.facts().instance_arn.unwrap();
        Self { core, authority, url: listening.url.parse().unwrap(), instance, _stop: stop.drop_guard() }
    }

    async fn clients(
        &self,
        (id, secret): (&str, &str),
        rates: Rates,
        recorder: &Arc<Recorder>,
    ) -> AwsClients {
        self.clients_with(options(&self.authority), (id, secret), rates, recorder).await
    }

    async fn clients_with(
        &self,
        http: HttpOptions,
        (id, secret): (&str, &str),
        rates: Rates,
        recorder: &Arc<Recorder>,
    ) -> AwsClients {
        let connection = Connection::new(http, rates, recorder.clone()).unwrap();
        let key = AccessKey { id: id.to_owned(), secret: Sensitive::new(secret), session_token: None };
        AwsClients::new("eu-west-1", key, Some(&self.url), connection).await
    }

    fn fault(&self, operation: &str, kind: FaultKind, status: Option<u16>, times: u64) {
        self.core.faults.add(FaultRule {
            service: "sso-admin".to_owned(),
            operation: Some(operation.to_owned()),
            nth: None,
            probability: None,
            kind,
            status,
            code: None,
            times: Some(times),
            retry_after: None,
        });
    }

    fn calls(&self, operation: &str) -> u64 {
        self.core.counters.all().iter().filter(|c| c.operation == operation).map(|c| c.calls).sum()
    }
}

#[tokio::test]
async fn all_services_answer_and_every_call_is_seen() {
    let (twin, recorder) = (Twin::start().await, Recorder::new());
    let clients = twin.clients(KEY, Rates::default(), &recorder).await;
    let instances = clients.ssoadmin.list_instances().send().await.unwrap();
    assert_eq!(instances.instances()[0].instance_arn(), Some(twin.instance.as_str()));
    let store = instances.instances()[0].identity_store_id().unwrap();
    clients.identitystore.list_groups().identity_store_id(store).send().await.unwrap();
    clients.organizations.describe_organization().send().await.unwrap();
    let create = clients.ssoadmin.create_permission_set().instance_arn(&twin.instance).name("Watched");
    create.send().await.unwrap();
    assert_eq!(
        recorder.seen(),
        [
            "sso-admin ListInstances 200",
            "identitystore ListGroups 200",
            "organizations DescribeOrganization 200",
            "sso-admin CreatePermissionSet! 200",
        ]
    );
}

#[tokio::test]
async fn bad_keys_are_recognised_and_never_shown() {
    let (twin, recorder) = (Twin::start().await, Recorder::new());
    let clients =
        twin.clients(("AKIAUNKNOWN000000000", "very-secret-key"), Rates::default(), &recorder).await;
    let error = clients.ssoadmin.list_instances().send().await.unwrap_err();
    let error = cloud_error(Service::SsoAdmin, "ListInstances", &error);
    assert_eq!(error.kind, CloudErrorKind::Unauthenticated, "{error}");
    assert!(error.request_id.is_some());
    assert!(!format!("{clients:?} {error:?}").contains("very-secret-key"));
}

#[tokio::test]
async fn reads_are_tried_again_and_writes_are_not() {
    let (twin, recorder) = (Twin::start().await, Recorder::new());
    let clients = twin.clients(KEY, Rates::default(), &recorder).await;
    twin.fault("ListInstances", FaultKind::Throttle, None, 1);
    clients.ssoadmin.list_instances().send().await.unwrap();
    assert_eq!(twin.calls("ListInstances"), 2);

    let impatient = impatient(&twin.authority);
    let impatient = twin.clients_with(impatient, KEY, Rates::default(), &recorder).await;
    let create = |name: &str| {
        let clients = if name == "Hanging" { &impatient } else { &clients };
        clients.ssoadmin.create_permission_set().instance_arn(&twin.instance).name(name).send()
    };
    for (name, kind, status, expected) in [
        ("Throttled", FaultKind::Throttle, None, CloudErrorKind::Throttled { retry_after: None }),
        ("Broken", FaultKind::Error, Some(500), CloudErrorKind::Transient),
        ("Cut", FaultKind::CutAfterEffect, None, CloudErrorKind::Transient),
        ("Hanging", FaultKind::Hang, None, CloudErrorKind::Transient),
    ] {
        let before = twin.calls("CreatePermissionSet");
        twin.fault("CreatePermissionSet", kind, status, 1);
        let error = create(name).await.unwrap_err();
        let error = cloud_error(Service::SsoAdmin, "CreatePermissionSet", &error);
        assert_eq!(error.kind, expected, "{name}: {error}");
        assert_eq!(twin.calls("CreatePermissionSet") - before, 1, "{name} was repeated");
        twin.core.faults.clear();
    }
    let error = create("Cut").await.unwrap_err();
    let error = cloud_error(Service::SsoAdmin, "CreatePermissionSet", &error);
    assert_eq!(error.kind, CloudErrorKind::Conflict, "the cut call had its effect: {error}");
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let (twin, recorder) = (Twin::start().await, Recorder::new());
    let clients = twin.clients(KEY, Rates::default(), &recorder).await;
    let missing = twin.instance.replace(":::instance/", ":::permissionSet/") + "/ps-0123456789abcdef";
    let call =
        clients.ssoadmin.describe_permission_set().instance_arn(&twin.instance).permission_set_arn(missing);
    let error = cloud_error(Service::SsoAdmin, "DescribePermissionSet", &call.send().await.unwrap_err());
    assert_eq!((error.kind.clone(), error.status), (CloudErrorKind::NotFound, 400), "{error}");
}

#[tokio::test]
async fn the_budget_holds_calls_back() {
    let (twin, recorder) = (Twin::start().await, Recorder::new());
    let clients = twin.clients(KEY, Rates { sso_admin: 5, identity_store: 5 }, &recorder).await;
    let start = Instant::now();
    let calls = (0..10).map(|_| clients.ssoadmin.list_instances().send());
    for result in futures::future::join_all(calls).await {
        result.unwrap();
    }
    // Five at once, then one each 200 ms.
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_observer_can_stop_a_call_before_it_is_sent() {
    let twin = Twin::start().await;
    let recorder = Arc::new(Recorder { stop_before: Some("CreatePermissionSet"), ..Recorder::default() });
    let clients = twin.clients(KEY, Rates::default(), &recorder).await;
    let call = clients.ssoadmin.create_permission_set().instance_arn(&twin.instance).name("Never").send();
    assert!(tokio::time::timeout(Duration::from_secs(3), call).await.is_err(), "the call should be stopped");
    assert_eq!(twin.calls("CreatePermissionSet"), 0);
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_transient() {
    let (twin, recorder) = (Twin::start().await, Recorder::new());
    let other = Twin { authority: Authority::generate().unwrap(), ..Twin::start().await };
    let clients = other.clients(KEY, Rates::default(), &recorder).await;
    let create = clients.ssoadmin.create_permission_set().instance_arn(&twin.instance).name("X");
    let error = cloud_error(Service::SsoAdmin, "CreatePermissionSet", &create.send().await.unwrap_err());
    assert_eq!((error.kind.clone(), error.status), (CloudErrorKind::Transient, 0), "{error}");
    assert!(error.message.starts_with("no connection: "), "{error}");
}
