//! The behaviours that clients rely on, through the router.

mod behaviours;
mod sessions;

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::Aws;
use crate::core::{Core, FaultKind, FaultRule, Profile};
use crate::world::{AccessKey, Account, CustomerPolicy, IamAccount, IamRole, StoreGroup, StoreUser, World};

const KEY: &str = "AKIAMANAGEMENT000001";
const LIMITED: &str = "AKIALIMITED000000001";
const DELEGATED: &str = "AKIADELEGATED0000001";
const MEMBER: &str = "111122223333";
const OTHER: &str = "111122224444";

struct Bench {
    core: Arc<Core>,
    aws: Arc<Aws>,
    instance: String,
    store: String,
}

fn world() -> World {
    let mut world = World::default();
    let key = |id: &str| AccessKey {
        access_key_id: id.into(),
        secret_access_key: "s".into(),
        ..AccessKey::default()
    };
    let limited = AccessKey { actions: vec!["sso:*".into()], ..key(LIMITED) };
    let delegated = AccessKey { account_id: Some(MEMBER.into()), ..key(DELEGATED) };
    world.organization.access_keys = vec![key(KEY), limited, delegated];
    world.organization.delegated_administrator = Some(MEMBER.into());
    for id in [MEMBER, OTHER] {
        world.organization.accounts.push(Account {
            id: Some(id.into()),
            name: format!("Account {id}"),
            organizational_unit: Some("/Workloads".into()),
            ..Account::default()
        });
    }
    let policy = CustomerPolicy { name: "Local".into(), path: None };
    world.iam.insert(MEMBER.into(), IamAccount { policies: vec![policy], ..IamAccount::default() });
    let role = IamRole { name: "ops".into(), external_id: Some("xyz".into()), ..IamRole::default() };
    world.iam.insert("100000000001".into(), IamAccount { roles: vec![role], ..IamAccount::default() });
    let center = &mut world.identity_center;
    center.enabled = true;
    center.external_identity_provider = true;
    center.users.push(StoreUser {
        user_name: "amy@acme.example".into(),
        display_name: "Amy A".into(),
        ..StoreUser::default()
    });
    center.groups.push(StoreGroup {
        display_name: "Devs".into(),
        external_id: Some("entra-1".into()),
        members: vec!["amy@acme.example".into()],
    });
    world
}

impl Bench {
    fn of(world: &World) -> Self {
        let core = Arc::new(Core::new(Profile::realistic(), 1));
        let aws = Aws::new(core.clone(), world);
        let facts = aws.facts();
        Self {
            core,
            aws,
            instance: facts.instance_arn.unwrap_or_default(),
            store: facts.identity_store_id.unwrap_or_default(),
        }
    }

    fn new() -> Self {
        Self::of(&world())
    }

    fn pass(&self, ms: i64) {
        self.core.clock.advance(SignedDuration::from_millis(ms));
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.aws.router().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into())),
        )
    }

    async fn call_as(&self, key: &str, target: &str, body: Value) -> (StatusCode, Value) {
        self.send(signed(key, "eu-west-1", target, &body, Timestamp::now(), None)).await
    }

    async fn sso_as(&self, key: &str, operation: &str, mut body: Value) -> (StatusCode, Value) {
        body["InstanceArn"] = self.instance.clone().into();
        // The tests are about other things than the rate.
        while !self.aws.sso_bucket.admit() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        self.call_as(key, &format!("SWBExternalService.{operation}"), body).await
    }

    /// A call that must succeed.
    async fn sso(&self, operation: &str, body: Value) -> Value {
        let (status, value) = self.sso_as(KEY, operation, body).await;
        assert_eq!(status, 200, "{operation}: {value}");
        value
    }

    /// A call that must fail; answers the code.
    async fn sso_error(&self, operation: &str, body: Value) -> String {
        let (status, value) = self.sso_as(KEY, operation, body).await;
        assert_eq!(status, 400, "{operation}: {value}");
        value["__type"].as_str().unwrap().to_owned()
    }

    async fn set(&self, name: &str) -> String {
        let made = self.sso("CreatePermissionSet", json!({"Name": name})).await;
        self.pass(2_000);
        made["PermissionSet"]["PermissionSetArn"].as_str().unwrap().to_owned()
    }

    async fn group(&self) -> String {
        let (_, value) =
            self.call_as(KEY, "AWSIdentityStore.ListGroups", json!({"IdentityStoreId": self.store})).await;
        value["Groups"][0]["GroupId"].as_str().unwrap().to_owned()
    }

    async fn stale_accounts(&self, set: &str) -> Value {
        let filter = "LATEST_PERMISSION_SET_NOT_PROVISIONED";
        let body = json!({"PermissionSetArn": set, "ProvisioningStatus": filter});
        self.sso("ListAccountsForProvisionedPermissionSet", body).await["AccountIds"].clone()
    }
}

fn signed(
    key: &str,
    region: &str,
    target: &str,
    body: &Value,
    at: Timestamp,
    token: Option<&str>,
) -> Request<Body> {
    let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let service = if target.starts_with("SWB") {
        "sso"
    } else if target.starts_with("AWSIdentity") {
        "identitystore"
    } else {
        "organizations"
    };
    let scope = format!("{key}/{}/{region}/{service}/aws4_request", &date[..8]);
    let signature = "0".repeat(64);
    let mut request = Request::post("/").header("x-amz-target", target).header("x-amz-date", date).header(
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}"),
    );
    if let Some(token) = token {
        request = request.header("x-amz-security-token", token);
    }
    request.body(Body::from(body.to_string())).unwrap()
}

fn assignment(set: &str, account: &str, group: &str) -> Value {
    json!({
        "TargetId": account, "TargetType": "AWS_ACCOUNT", "PermissionSetArn": set,
        "PrincipalType": "GROUP", "PrincipalId": group,
    })
}

#[tokio::test]
async fn an_assignment_lives_from_request_to_role_and_back() {
    let bench = Bench::new();
    let (set, group) = (bench.set("Admin").await, bench.group().await);
    let key = assignment(&set, MEMBER, &group);
    let status =
        bench.sso("CreateAccountAssignment", key.clone()).await["AccountAssignmentCreationStatus"].clone();
    assert_eq!(status["Status"], "IN_PROGRESS");
    assert!(status["CreatedDate"].is_number());
    assert_eq!(bench.sso_error("DeleteAccountAssignment", key.clone()).await, "ConflictException");
    bench.pass(8_000);
    let id = json!({"AccountAssignmentCreationRequestId": status["RequestId"]});
    let done = bench.sso("DescribeAccountAssignmentCreationStatus", id).await;
    assert_eq!(done["AccountAssignmentCreationStatus"]["Status"], "SUCCEEDED");
    let role = bench.aws.state()["identityCenter"]["roles"][0]["role"].as_str().unwrap().to_owned();
    assert!(role.starts_with("AWSReservedSSO_Admin_"), "{role}");
    assert_eq!(bench.aws.access_of("amy@acme.example").unwrap()[0].roles, ["Admin"]);
    assert_eq!(
        bench.sso_error("DeletePermissionSet", json!({"PermissionSetArn": set})).await,
        "ConflictException"
    );

    bench.sso("DeleteAccountAssignment", key.clone()).await;
    bench.pass(8_000);
    assert_eq!(bench.aws.state()["identityCenter"]["roles"], json!([]));
    assert_eq!(bench.sso_error("DeleteAccountAssignment", key).await, "ResourceNotFoundException");
    bench.sso("DeletePermissionSet", json!({"PermissionSetArn": set})).await;
}

#[tokio::test]
async fn an_edit_makes_accounts_stale_until_provisioned() {
    let bench = Bench::new();
    let (set, group) = (bench.set("Admin").await, bench.group().await);
    bench.sso("CreateAccountAssignment", assignment(&set, MEMBER, &group)).await;
    bench.pass(8_000);
    assert_eq!(bench.stale_accounts(&set).await, json!([]));
    let relay = json!({"PermissionSetArn": set, "RelayState": "https://example.com/"});
    bench.sso("UpdatePermissionSet", relay).await;
    bench.pass(2_000);
    assert_eq!(bench.stale_accounts(&set).await, json!([MEMBER]));
    let all = json!({"PermissionSetArn": set, "TargetType": "ALL_PROVISIONED_ACCOUNTS"});
    bench.sso("ProvisionPermissionSet", all.clone()).await;
    assert_eq!(bench.sso_error("ProvisionPermissionSet", all).await, "ConflictException");
    bench.pass(8_000);
    assert_eq!(bench.stale_accounts(&set).await, json!([]));
    // RelayState is erased by an update that leaves it out.
    bench.sso("UpdatePermissionSet", json!({"PermissionSetArn": set, "Description": "x"})).await;
    bench.pass(2_000);
    let shown = bench.sso("DescribePermissionSet", json!({"PermissionSetArn": set})).await;
    assert!(shown["PermissionSet"].get("RelayState").is_none());
}

#[tokio::test]
async fn the_sixteenth_creation_is_refused_and_accounts_work_one_at_a_time() {
    let bench = Bench::new();
    let group = bench.group().await;
    let mut created = Vec::new();
    for i in 0..5 {
        let set = bench.set(&format!("S{i}")).await;
        created.push(set);
    }
    let start = bench.core.clock.now();
    for set in &created {
        bench.sso("CreateAccountAssignment", assignment(set, MEMBER, &group)).await;
    }
    let last = super::lock(&bench.aws.state).now.center.as_ref().unwrap().busy[MEMBER];
    assert!(last.duration_since(start) >= SignedDuration::from_millis(5 * 2_000));
    bench.pass(5 * 6_000);
    assert_eq!(bench.aws.state()["identityCenter"]["assignments"].as_array().unwrap().len(), 5);

    let mut world = world();
    world.identity_center.behaviours.sixteenth_creation = "ServiceQuotaExceededException".into();
    let bench = Bench::of(&world);
    let (set, group) = (bench.set("Admin").await, bench.group().await);
    let at = bench.core.clock.now();
    for i in 0..15 {
        let caller = super::auth::Caller {
            account_id: "100000000001".into(),
            arn: "a".into(),
            user_id: "u".into(),
            actions: Vec::new(),
            ..super::auth::Caller::anonymous()
        };
        let mut states = super::lock(&bench.aws.state);
        let mut cx = super::dispatch::Cx {
            core: &bench.core,
            state: &mut states.now,
            caller: &caller,
            at,
            region: "eu-west-1",
            target: String::new(),
            request_id: "r",
        };
        let body = json!({
            "InstanceArn": bench.instance, "TargetId": MEMBER, "TargetType": "AWS_ACCOUNT", "PermissionSetArn": set,
            "PrincipalType": "USER", "PrincipalId": format!("11111111-2222-3333-4444-{i:012}"),
        });
        let tables = super::sso_admin::TABLES;
        let handler = super::dispatch::handler(tables, "CreateAccountAssignment").unwrap();
        handler(&mut cx, &mut super::validate::Input::new(body.as_object().unwrap())).unwrap();
    }
    let code = bench.sso_error("CreateAccountAssignment", assignment(&set, OTHER, &group)).await;
    assert_eq!(code, "ServiceQuotaExceededException");
}

#[tokio::test]
async fn failures_come_later_and_only_describe_tells_why() {
    let bench = Bench::new();
    let (set, group) = (bench.set("Admin").await, bench.group().await);
    let reference = json!({"PermissionSetArn": set, "CustomerManagedPolicyReference": {"Name": "Local"}});
    bench.sso("AttachCustomerManagedPolicyReferenceToPermissionSet", reference).await;
    bench.aws.update_account(MEMBER, &json!({"tags": {"env": "prod"}})).unwrap();
    for (account, reason) in
        [(MEMBER, None), (OTHER, Some("Policy arn:aws:iam::111122224444:policy/Local does not exist"))]
    {
        let made = bench.sso("CreateAccountAssignment", assignment(&set, account, &group)).await;
        bench.pass(8_000);
        let id = json!({"AccountAssignmentCreationRequestId": made["AccountAssignmentCreationStatus"]["RequestId"]});
        let done =
            bench.sso("DescribeAccountAssignmentCreationStatus", id).await["AccountAssignmentCreationStatus"]
                .clone();
        match reason {
            None => assert_eq!(done["Status"], "SUCCEEDED"),
            Some(text) => assert!(done["FailureReason"].as_str().unwrap().contains(text), "{done}"),
        }
    }
    // The management account is changed with the caller's own rights.
    let own = assignment(&bench.set("Own").await, "100000000001", &group);
    let (_, made) = bench.sso_as(LIMITED, "CreateAccountAssignment", own).await;
    bench.pass(8_000);
    let id =
        json!({"AccountAssignmentCreationRequestId": made["AccountAssignmentCreationStatus"]["RequestId"]});
    let done = bench.sso("DescribeAccountAssignmentCreationStatus", id).await;
    let reason = done["AccountAssignmentCreationStatus"]["FailureReason"].as_str().unwrap();
    assert!(reason.contains("is not authorized to perform: iam:GetSAMLProvider"), "{reason}");
}

#[tokio::test]
async fn callers_are_judged_before_anything_else() {
    let bench = Bench::new();
    let target = "SWBExternalService.ListInstances";
    let now = Timestamp::now();
    let early = now.checked_sub(SignedDuration::from_mins(6)).unwrap();
    let code = |v: &Value| v["__type"].as_str().unwrap().rsplit('#').next().unwrap().to_owned();
    let (_, v) = bench.send(signed("AKIAUNKNOWN", "eu-west-1", target, &json!({}), now, None)).await;
    assert_eq!(code(&v), "UnrecognizedClientException");
    let (_, v) = bench.send(signed(KEY, "eu-west-1", target, &json!({}), early, None)).await;
    assert_eq!(code(&v), "InvalidSignatureException");
    let (_, v) = bench.call_as(LIMITED, "AWSOrganizationsV20161128.ListAccounts", json!({})).await;
    assert_eq!(code(&v), "AccessDeniedException");
    assert!(
        v["Message"].as_str().unwrap().contains("is not authorized to perform: organizations:ListAccounts")
    );
    let (_, v) = bench.call_as(KEY, "SWBExternalService.CreateApplication", json!({})).await;
    assert_eq!(code(&v), "UnknownOperationException");
    // Another Region knows nothing of the instance.
    let body = json!({"InstanceArn": bench.instance});
    let (_, v) =
        bench.send(signed(KEY, "us-east-1", "SWBExternalService.ListPermissionSets", &body, now, None)).await;
    assert_eq!(code(&v), "ResourceNotFoundException");
    // A delegated administrator has no say over the management account.
    let (set, group) = (bench.set("Admin").await, bench.group().await);
    let (_, v) =
        bench.sso_as(DELEGATED, "CreateAccountAssignment", assignment(&set, "100000000001", &group)).await;
    assert_eq!(code(&v), "AccessDeniedException");
}

#[tokio::test]
async fn a_session_expires_by_the_clouds_clock() {
    let bench = Bench::new();
    let role = "arn:aws:iam::100000000001:role/ops";
    let form =
        format!("Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName=cw&ExternalId=xyz");
    let mut request =
        signed(KEY, "eu-west-1", "AWSOrganizationsV20161128.X", &json!({}), Timestamp::now(), None);
    request.headers_mut().remove("x-amz-target");
    let header = request.headers()["authorization"].to_str().unwrap().replace("/organizations/", "/sts/");
    request.headers_mut().insert("authorization", header.parse().unwrap());
    *request.body_mut() = Body::from(form);
    let (status, xml) = bench.send(request).await;
    assert_eq!(status, 200, "{xml}");
    let xml = xml.as_str().unwrap();
    let part =
        |name: &str| xml.split(&format!("<{name}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
    let (key, token) = (part("AccessKeyId"), part("SessionToken"));
    let target = "SWBExternalService.ListInstances";
    let call = || bench.send(signed(&key, "eu-west-1", target, &json!({}), Timestamp::now(), Some(&token)));
    assert_eq!(call().await.0, 200);
    bench.pass(3_601_000);
    let (_, v) = call().await;
    assert_eq!(v["__type"], "com.amazon.coral.service#ExpiredTokenException");
}

#[tokio::test]
async fn twenty_calls_a_second_are_the_limit() {
    let bench = Bench::new();
    let (mut throttled, begun) = (0, std::time::Instant::now());
    for _ in 0..30 {
        let (_, v) = bench.call_as(KEY, "SWBExternalService.ListInstances", json!({})).await;
        throttled += usize::from(v["__type"] == "ThrottlingException");
    }
    // The bucket is filled again meanwhile.
    let filled = begun.elapsed().as_secs_f64() * 20.0;
    assert!(throttled <= 10 && throttled as f64 + filled.ceil() >= 10.0, "{throttled}, {filled} more");
}

#[tokio::test]
async fn a_stale_read_shows_the_state_before_the_last_change() {
    let bench = Bench::new();
    bench.set("Old").await;
    let rule = json!({"service": "sso-admin", "operation": "ListPermissionSets", "kind": "stale"});
    let rule: FaultRule = serde_json::from_value(rule).unwrap();
    assert_eq!(rule.kind, FaultKind::Stale);
    bench.core.faults.add(rule);
    bench.set("New").await;
    let count =
        async || bench.sso("ListPermissionSets", json!({})).await["PermissionSets"].as_array().unwrap().len();
    assert_eq!(count().await, 1);
    assert_eq!(count().await, 2);
}

#[tokio::test]
async fn a_looping_listing_leads_back_to_its_page_for_whoever_follows_it() {
    let bench = Bench::new();
    bench.set("A").await;
    bench.set("B").await;
    for (operation, names) in [("ListPermissionSets", 1), ("ListInstances", 100)] {
        let rule = json!({"service": "sso-admin", "operation": operation, "kind": "looping-next-link"});
        bench.core.faults.add(serde_json::from_value(rule).unwrap());
        let first = bench.sso(operation, json!({"MaxResults": names})).await;
        let token = first["NextToken"].clone();
        assert!(token.is_string(), "{first}");
        let second = bench.sso(operation, json!({"MaxResults": names, "NextToken": token})).await;
        assert_eq!(first, second);
        let anew = bench.sso(operation, json!({})).await;
        assert_eq!(anew.get("NextToken"), None, "who begins anew gets a whole listing");
    }
}

#[tokio::test]
async fn a_credential_that_has_ended_is_refused_in_each_services_own_words() {
    let bench = Bench::new();
    let fault = |service: &str| {
        let rule = json!({"service": service, "kind": "expired-credential"});
        bench.core.faults.add(serde_json::from_value(rule).unwrap());
    };
    fault("sso-admin");
    let code = bench.sso_error("ListPermissionSets", json!({})).await;
    assert_eq!(code, "com.amazon.coral.service#ExpiredTokenException");
    fault("organizations");
    let (status, said) = bench.call_as(KEY, "AWSOrganizationsV20161128.ListAccounts", json!({})).await;
    assert_eq!((status, &said["__type"]), (StatusCode::BAD_REQUEST, &json!(code)));
    let counted = bench.core.counters.all().into_iter().filter(|c| c.outcome == "ExpiredTokenException");
    assert_eq!(counted.count(), 2);
}

#[tokio::test]
async fn violations_are_named_all_at_once() {
    let bench = Bench::new();
    let (status, v) =
        bench.sso_as(KEY, "CreatePermissionSet", json!({"Name": "a b", "Description": "en – dash"})).await;
    assert_eq!(status, 400);
    let text = v["Message"].as_str().unwrap();
    assert!(
        text.starts_with("2 validation errors detected: Value 'a b' at 'name' failed to satisfy constraint:"),
        "{text}"
    );
    assert_eq!(
        bench.sso_error("ListPermissionSets", json!({"MaxResults": "5"})).await,
        "ValidationException"
    );
    assert_eq!(
        bench.sso_error("ListPermissionSets", json!({"NextToken": "bogus"})).await,
        "ValidationException"
    );
    bench.sso("ListPermissionSets", json!({"Unknown": 1})).await;
}

#[tokio::test]
async fn tokens_are_two_at_most_and_live_one_year() {
    let bench = Bench::new();
    let first = bench.aws.enable_automatic_provisioning().unwrap();
    bench.pass(120_000);
    let second = bench.aws.create_scim_token().unwrap();
    assert_eq!(bench.aws.create_scim_token().unwrap_err().status, 409);
    let endpoint = first["endpoint"].as_str().unwrap();
    let path = endpoint.strip_prefix("https://127.0.0.1").unwrap().to_owned() + "/ServiceProviderConfig";
    let get = async |token: &Value| {
        let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
        bench.send(Request::get(&path).header("authorization", bearer).body(Body::empty()).unwrap()).await.0
    };
    assert_eq!(get(&first).await, 200);
    bench.pass(365 * 24 * 3_600_000 - 60_000);
    assert_eq!(get(&first).await, 401);
    assert_eq!(get(&second).await, 200);
    bench.aws.delete_scim_token(second["id"].as_str().unwrap()).unwrap();
    assert_eq!(get(&second).await, 401);
}

#[tokio::test]
async fn parallel_edits_of_one_set_collide() {
    let bench = Bench::new();
    let set = bench.set("Admin").await;
    let attach = async |name: &str| {
        let arn = format!("arn:aws:iam::aws:policy/{name}");
        let body = json!({"PermissionSetArn": set, "ManagedPolicyArn": arn});
        bench.sso_as(KEY, "AttachManagedPolicyToPermissionSet", body).await
    };
    let (first, second) = futures::join!(attach("ReadOnlyAccess"), attach("job-function/ViewOnlyAccess"));
    assert_eq!(first.0, 200);
    assert_eq!(second.1["__type"], "ConflictException");
    assert_eq!(attach("job-function/ViewOnlyAccess").await.0, 200);
}

#[tokio::test]
async fn the_last_valid_certificate_remains() {
    let bench = Bench::new();
    let certificate = || {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(vec!["idp".into()]).unwrap().self_signed(&key).unwrap().pem()
    };
    let first = bench.aws.import_idp_certificate(&certificate()).unwrap();
    let sha256 = first["sha256"].as_str().unwrap();
    assert_eq!(bench.aws.delete_idp_certificate(sha256).unwrap_err().status, 409);
    bench.aws.import_idp_certificate(&certificate()).unwrap();
    bench.aws.delete_idp_certificate(sha256).unwrap();
    assert_eq!(bench.aws.idp_certificates().len(), 1);
    let acts = bench.core.journal.after(0);
    assert!(acts.iter().all(|e| e.service == "console" && e.caller == "person"));
}
