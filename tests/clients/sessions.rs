//! Credentials that end: identity tokens, and the sessions that are got with them.

use std::path::Path;
use std::time::{Duration, Instant};

use causeway::clients::CloudError;
use causeway::clients::aws::AwsClients;
use causeway::problem::{Class, Problem};
use causeway::settings::{Settings, WorkloadIdentity};
use causeway::status::Reason;
use jiff::SignedDuration;
use sandbox::core::{FaultKind, FaultRule};
use sandbox::world::{FederatedCredential, IamRole, OidcProvider, World};
use serde_json::{Value, json};

use super::access::{ISSUER, MANAGEMENT, Twin, deleted, with_credentials};

const CLIENT: &str = "7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001";
const ROBOT: &str = "system:serviceaccount:identity:robot";
const OPERATOR: &str = "system:serviceaccount:ops:causeway";

fn role(name: &str) -> String {
    format!("arn:aws:iam::{MANAGEMENT}:role/{name}")
}

/// The robot may be the application; it may assume the role `robot`, and sessions of that, with an external id, `desk`.
fn prepare(world: &mut World, settings: &mut Settings) {
    for subject in [ROBOT, OPERATOR] {
        world.tenant.clients[0].federated.push(FederatedCredential {
            issuer: ISSUER.into(),
            subject: subject.into(),
            audience: None,
        });
    }
    let key = &world.organization.access_keys[0].access_key_id;
    let policy = |principal: Value, action: &str, condition: Value| {
        let condition = json!({"StringEquals": condition});
        json!({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition}]})
    };
    let provider = format!("arn:aws:iam::{MANAGEMENT}:oidc-provider/cluster.example");
    let robot = policy(
        json!({"Federated": provider}),
        "sts:AssumeRoleWithWebIdentity",
        json!({"cluster.example:sub": ROBOT, "cluster.example:aud": "sts.amazonaws.com"}),
    );
    let desk = policy(
        json!({"AWS": [role("robot"), format!("arn:aws:iam::{MANAGEMENT}:user/{key}")]}),
        "sts:AssumeRole",
        json!({"sts:ExternalId": "pact"}),
    );
    let iam = world.iam.entry(MANAGEMENT.into()).or_default();
    iam.oidc_providers =
        vec![OidcProvider { url: ISSUER.into(), client_ids: vec!["sts.amazonaws.com".into()] }];
    for (name, policy) in [("robot", robot), ("desk", desk)] {
        iam.roles.push(IamRole { name: name.into(), trust_policy: Some(policy), ..IamRole::default() });
    }
    settings.allowed_roles.add(&format!("identity={}", role("*"))).unwrap();
}

fn by_account() -> Value {
    json!({"serviceAccount": {"name": "robot", "clientId": CLIENT}})
}

fn as_robot() -> Value {
    json!({"serviceAccount": {"name": "robot", "roleArn": role("robot")}})
}

fn as_desk(external_id: &str) -> Value {
    let mut credentials = as_robot();
    credentials["assumeRole"] = json!({"roleArn": role("desk"), "externalId": external_id});
    credentials
}

/// What a person is told when a call fails.
async fn told(aws: &AwsClients) -> Problem {
    let error: CloudError = aws.list_instances().await.unwrap_err();
    Problem::from_cloud(error, "look")
}

impl Twin {
    /// How often STS was asked for something, and how often it gave it.
    fn sessions(&self) -> (usize, usize) {
        let seen = self.recorder.seen();
        let of = |end: &str| {
            seen.iter().filter(|call| call.starts_with("sts Assume") && call.ends_with(end)).count()
        };
        (of(""), of(" 200"))
    }
}

#[tokio::test]
async fn a_service_account_opens_both_clouds() {
    let twin = Twin::changed(prepare).await;
    let federation = with_credentials("identity", &by_account(), &as_robot());
    for _ in 0..2 {
        twin.context.graph(&federation).await.unwrap().groups_named("aws-engineers").await.unwrap();
        twin.context.aws(&federation).await.unwrap().list_instances().await.unwrap();
    }
    assert_eq!(twin.sessions(), (1, 1), "the session is kept");
    let name = format!("arn:aws:sts::{MANAGEMENT}:assumed-role/robot/test@identity.acme");
    assert_eq!(twin.aws.session_arns(), [name]);
    let seen = twin.recorder.seen();
    assert!(seen.contains(&"sts AssumeRoleWithWebIdentity 200".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn a_role_is_assumed_with_whatever_was_named() {
    let twin = Twin::changed(prepare).await;
    let mut by_key = json!({"secretRef": {"name": "aws"}});
    by_key["assumeRole"] = json!({"roleArn": role("desk"), "externalId": "pact"});
    for credentials in [by_key, as_desk("pact")] {
        let federation = with_credentials("identity", &by_account(), &credentials);
        twin.context.aws(&federation).await.unwrap().list_instances().await.unwrap();
    }
    let arns = twin.aws.session_arns();
    let desk = arns.iter().filter(|arn| arn.ends_with(":assumed-role/desk/test@identity.acme")).count();
    assert_eq!((arns.len(), desk), (3, 2), "{arns:?}");
}

#[tokio::test]
async fn what_sts_refuses_says_what_to_look_at() {
    let twin = Twin::changed(|world, settings| {
        prepare(world, settings);
        let iam = world.iam.get_mut(MANAGEMENT).unwrap();
        let mut deaf = iam.roles[0].clone();
        (deaf.name, deaf.trust_policy) = ("deaf".into(), iam.roles[1].trust_policy.clone());
        iam.roles.push(deaf);
    })
    .await;
    let deaf = json!({"serviceAccount": {"name": "robot", "roleArn": role("deaf")}});
    for (credentials, reason, word) in [
        (as_desk("wrong"), Reason::PermissionDenied, "spec.aws.credentials.assumeRole.externalId"),
        (deaf, Reason::PermissionDenied, "Federated principal"),
    ] {
        let aws = twin.context.aws(&with_credentials("identity", &by_account(), &credentials)).await.unwrap();
        let problem = told(&aws).await;
        assert_eq!((problem.class, problem.reason), (Class::Denied, reason), "{problem}");
        assert!(problem.message.contains(word), "{problem}");
    }
    let rule = |code: &str| FaultRule {
        service: "sts".into(),
        operation: Some("AssumeRoleWithWebIdentity".into()),
        nth: None,
        probability: None,
        kind: FaultKind::Error,
        status: Some(403),
        code: Some(code.into()),
        times: Some(1),
        retry_after: None,
    };
    twin.core.faults.add(rule("RegionDisabledException"));
    let robot = twin.context.aws(&with_credentials("identity", &by_account(), &as_robot())).await.unwrap();
    let problem = told(&robot).await;
    assert!(problem.message.contains("STS is not active in this Region"), "{problem}");
    robot.list_instances().await.unwrap();
}

#[tokio::test]
async fn another_audience_or_subject_opens_nothing() {
    let twin = Twin::changed(|world, settings| {
        prepare(world, settings);
        world.iam.get_mut(MANAGEMENT).unwrap().oidc_providers[0].client_ids = vec!["other".into()];
        settings.entra_audience = "api://elsewhere".into();
    })
    .await;
    let federation = with_credentials("identity", &by_account(), &as_robot());
    let problem = told(&twin.context.aws(&federation).await.unwrap()).await;
    assert_eq!((problem.class, problem.reason), (Class::Denied, Reason::AuthenticationFailed), "{problem}");
    assert!(problem.message.contains("Incorrect token audience"), "{problem}");
    let graph = twin.context.graph(&federation).await.unwrap();
    let problem = Problem::from_cloud(graph.groups_named("x").await.unwrap_err(), "look");
    assert_eq!((problem.class, problem.reason), (Class::Denied, Reason::AuthenticationFailed), "{problem}");
    assert!(problem.message.contains("AADSTS700212") && problem.message.contains("subject"), "{problem}");
    assert!(!problem.message.contains("eyJ"), "{problem}");

    twin.accounts.lock().unwrap().insert("identity/serviceaccounts/other".into(), Some(3600));
    let other = json!({"serviceAccount": {"name": "other", "clientId": CLIENT}});
    let graph = twin.context.graph(&with_credentials("identity", &other, &as_robot())).await.unwrap();
    let problem = Problem::from_cloud(graph.groups_named("x").await.unwrap_err(), "look");
    assert!(problem.message.contains("AADSTS700213"), "{problem}");
}

#[tokio::test]
async fn a_service_account_must_exist_and_be_open_to_the_operator() {
    let twin = Twin::changed(prepare).await;
    let federation = with_credentials("identity", &by_account(), &as_robot());
    let account = "identity/serviceaccounts/robot";
    for (state, class, reason, word) in [
        (None, Class::Blocked, Reason::ServiceAccountNotFound, "create serviceaccount robot"),
        (Some(None), Class::Denied, Reason::CredentialsNotAllowed, "--resource-name=robot"),
    ] {
        twin.accounts.lock().unwrap().remove(account);
        twin.accounts.lock().unwrap().extend(state.map(|state| (account.to_owned(), state)));
        let problems = [
            twin.context.graph(&federation).await.unwrap_err(),
            twin.context.aws(&federation).await.unwrap_err(),
        ];
        for problem in problems {
            assert_eq!((problem.class, problem.reason), (class, reason), "{problem}");
            assert!(problem.message.contains(word), "{problem}");
        }
    }
    // Of another namespace, not of the one that has it.
    let elsewhere = with_credentials("platform", &by_account(), &json!({"ambient": {}}));
    let problem = twin.context.graph(&elsewhere).await.unwrap_err();
    assert_eq!(problem.reason, Reason::ServiceAccountNotFound);
}

#[tokio::test]
async fn a_session_that_has_ended_is_renewed_within_the_call() {
    let twin = Twin::changed(prepare).await;
    // Every token is old at once, so that each session takes a new one.
    twin.accounts.lock().unwrap().insert("identity/serviceaccounts/robot".into(), Some(0));
    let aws = twin.context.aws(&with_credentials("identity", &by_account(), &as_desk("pact"))).await.unwrap();
    aws.list_instances().await.unwrap();
    assert_eq!(twin.sessions(), (2, 2));
    twin.core.clock.advance(SignedDuration::from_secs(3601));
    // Within the same second as the session was got, AWS is thought to be right.
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = aws.list_instances().await {
        assert!(error.code.starts_with("ExpiredToken"), "{error}");
        assert!(Instant::now() < deadline, "never renewed");
    }
    // The way to the role has ended as well: it is refused once, renewed, and used.
    assert_eq!(twin.sessions(), (5, 4));
}

#[tokio::test]
async fn a_revoked_session_gives_way_to_a_new_one() {
    let twin = Twin::changed(prepare).await;
    let aws = twin.context.aws(&with_credentials("identity", &by_account(), &as_robot())).await.unwrap();
    aws.list_instances().await.unwrap();
    twin.aws.revoke_sessions(&role("robot")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = aws.list_instances().await {
        assert!(error.message.contains("explicit deny"), "{error}");
        assert!(Instant::now() < deadline, "never renewed");
    }
    assert_eq!(twin.sessions(), (2, 2));
}

#[tokio::test]
async fn the_operators_own_identity_reads_its_token_file_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let own = |path: &Path| WorkloadIdentity { client_id: CLIENT.into(), token_file: path.to_owned() };
    let twin = Twin::changed(|world, settings| {
        prepare(world, settings);
        settings.workload_identity = Some(own(&path));
    })
    .await;
    let ambient = json!({"ambient": {}});
    let problem = twin.context.graph(&with_credentials("identity", &ambient, &as_robot())).await.unwrap_err();
    assert_eq!((problem.class, problem.reason), (Class::Invalid, Reason::CredentialsNotAllowed));
    assert!(problem.message.contains("--ambient-namespaces"), "{problem}");

    let federation = with_credentials("platform", &ambient, &as_robot());
    let problem = twin.context.graph(&federation).await.unwrap_err();
    assert_eq!((problem.class, problem.reason), (Class::Denied, Reason::AuthenticationFailed));
    assert!(problem.message.contains(path.to_str().unwrap()), "{problem}");

    let token = || twin.issuer.token(OPERATOR, "api://AzureADTokenExchange", 600).unwrap();
    std::fs::write(&path, token()).unwrap();
    let graph = twin.context.graph(&federation).await.unwrap();
    graph.groups_named("aws-engineers").await.unwrap();
    // When the access token ends, the file holds another one.
    std::fs::write(&path, twin.issuer.token(OPERATOR, "api://AzureADTokenExchange", -900).unwrap()).unwrap();
    twin.core.clock.advance(SignedDuration::from_secs(3601));
    let error = graph.groups_named("aws-engineers").await.unwrap_err();
    assert_eq!(error.code, "AADSTS700024", "{error}");
    std::fs::write(&path, token()).unwrap();
    graph.groups_named("aws-engineers").await.unwrap();
}

#[tokio::test]
async fn a_deletion_may_finish_when_the_service_account_is_gone() {
    let twin = Twin::changed(prepare).await;
    let federation = with_credentials("identity", &by_account(), &as_robot());
    twin.context.graph(&federation).await.unwrap();
    twin.context.aws(&federation).await.unwrap();
    twin.accounts.lock().unwrap().clear();
    // The token in hand serves for a while; this one does not.
    let other = json!({"serviceAccount": {"name": "nobody", "clientId": CLIENT}});
    let moved = with_credentials("identity", &other, &as_robot());
    assert!(twin.context.graph(&moved).await.is_err(), "only while it is being deleted");
    let graph = twin.context.graph(&deleted(moved)).await.unwrap();
    graph.groups_named("aws-engineers").await.unwrap();
    twin.context.aws(&deleted(federation)).await.unwrap().list_instances().await.unwrap();
}

#[tokio::test]
async fn a_role_that_is_not_on_the_list_is_never_asked_for() {
    let twin = Twin::changed(|world, settings| {
        prepare(world, settings);
        settings.allowed_roles = causeway::settings::AllowedRoles::default();
        settings.allowed_roles.add(&format!("identity={}", role("robot"))).unwrap();
    })
    .await;
    let problem =
        twin.context.aws(&with_credentials("identity", &by_account(), &as_desk("pact"))).await.unwrap_err();
    assert_eq!((problem.class, problem.reason), (Class::Invalid, Reason::CredentialsNotAllowed));
    assert!(problem.message.ends_with(&format!("--allowed-roles=identity={}", role("desk"))), "{problem}");
    assert_eq!(twin.sessions(), (0, 0));
}
