//! The switches of `identityCenter.behaviours` and `organization` that no other test turns.

use super::*;
use crate::world::AwsBehaviours;

fn bench(turn: impl FnOnce(&mut AwsBehaviours)) -> Bench {
    let mut world = world();
    turn(&mut world.identity_center.behaviours);
    Bench::of(&world)
}

#[tokio::test]
async fn another_region_is_denied_or_knows_nothing() {
    for (denied, code) in [(false, "ResourceNotFoundException"), (true, "AccessDeniedException")] {
        let bench = bench(|b| b.wrong_region_is_denied = denied);
        let body = json!({"InstanceArn": bench.instance});
        let target = "SWBExternalService.ListPermissionSets";
        let (_, v) = bench.send(signed(KEY, "us-east-1", target, &body, Timestamp::now(), None)).await;
        assert_eq!(v["__type"], code);
    }
}

#[tokio::test]
async fn provisioning_goes_on_after_a_failure_or_stops() {
    const ACCOUNTS: usize = 10;
    for (stops, stale) in [(false, ACCOUNTS - 1), (true, ACCOUNTS)] {
        let mut world = world();
        let behaviours = &mut world.identity_center.behaviours;
        (behaviours.provisioning_stops_at_failure, behaviours.burst) = (stops, 1000);
        let accounts: Vec<String> = (0..ACCOUNTS).map(|i| format!("{:012}", 300_000_000_000 + i)).collect();
        for id in &accounts {
            let account = Account { id: Some(id.clone()), name: id.clone(), ..Account::default() };
            world.organization.accounts.push(account);
        }
        let policy = CustomerPolicy { name: "Local".into(), path: None };
        // In one account only, the last one.
        let iam = IamAccount { policies: vec![policy], ..IamAccount::default() };
        world.iam.insert(accounts[ACCOUNTS - 1].clone(), iam);
        let bench = Bench::of(&world);
        let (set, group) = (bench.set("Admin").await, bench.group().await);
        for account in &accounts {
            bench.sso("CreateAccountAssignment", assignment(&set, account, &group)).await;
        }
        bench.pass(10_000);
        let reference = json!({"PermissionSetArn": set, "CustomerManagedPolicyReference": {"Name": "Local"}});
        bench.sso("AttachCustomerManagedPolicyReferenceToPermissionSet", reference).await;
        let all = json!({"PermissionSetArn": set, "TargetType": "ALL_PROVISIONED_ACCOUNTS"});
        let made = bench.sso("ProvisionPermissionSet", all).await;
        bench.pass(10_000);
        let id =
            json!({"ProvisionPermissionSetRequestId": made["PermissionSetProvisioningStatus"]["RequestId"]});
        let done = bench.sso("DescribePermissionSetProvisioningStatus", id).await;
        assert_eq!(done["PermissionSetProvisioningStatus"]["Status"], "FAILED");
        assert_eq!(bench.stale_accounts(&set).await.as_array().unwrap().len(), stale, "stops: {stops}");
    }
}

#[tokio::test]
async fn finished_requests_are_forgotten_after_a_while() {
    let bench = bench(|b| b.request_retention_seconds = Some(60));
    let (set, group) = (bench.set("Admin").await, bench.group().await);
    let made = bench.sso("CreateAccountAssignment", assignment(&set, MEMBER, &group)).await;
    let id =
        json!({"AccountAssignmentCreationRequestId": made["AccountAssignmentCreationStatus"]["RequestId"]});
    let listed = async || {
        let found = bench.sso("ListAccountAssignmentCreationStatus", json!({})).await;
        found["AccountAssignmentsCreationStatus"].as_array().unwrap().len()
    };
    bench.pass(30_000);
    bench.sso("DescribeAccountAssignmentCreationStatus", id.clone()).await;
    assert_eq!(listed().await, 1);
    bench.pass(60_000);
    let code = bench.sso_error("DescribeAccountAssignmentCreationStatus", id).await;
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(listed().await, 0);
}

#[tokio::test]
async fn the_fourth_provisioning_has_the_code_of_the_world() {
    let bench = bench(|b| {
        b.fourth_provisioning = "ConflictException".into();
        b.burst = 1000;
    });
    let group = bench.group().await;
    let mut sets = Vec::new();
    for i in 0..4 {
        let set = bench.set(&format!("S{i}")).await;
        bench.sso("CreateAccountAssignment", assignment(&set, MEMBER, &group)).await;
        sets.push(json!({"PermissionSetArn": set, "TargetType": "ALL_PROVISIONED_ACCOUNTS"}));
    }
    bench.pass(60_000);
    for set in &sets[..3] {
        bench.sso("ProvisionPermissionSet", set.clone()).await;
    }
    assert_eq!(bench.sso_error("ProvisionPermissionSet", sets[3].clone()).await, "ConflictException");
}

#[tokio::test]
async fn the_burst_is_a_number_of_the_world() {
    let bench = bench(|b| b.burst = 1);
    let ask = async || bench.call_as(KEY, "SWBExternalService.ListInstances", json!({})).await.0;
    assert_eq!((ask().await, ask().await), (StatusCode::OK, StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn newer_instances_have_a_newer_entity_id() {
    for (newer, host) in [(false, "signin.aws.amazon.com"), (true, "signin.aws")] {
        let bench = bench(|b| b.newer_entity_id = newer);
        let entity_id = format!("https://eu-west-1.{host}/platform/saml/{}", bench.store);
        let metadata = bench.aws.service_provider_metadata().unwrap();
        assert!(metadata.contains(&format!("entityID=\"{entity_id}\"")), "{metadata}");
    }
}

#[tokio::test]
async fn the_console_shows_the_scim_endpoint_with_a_slash_by_switch() {
    let bench = bench(|b| b.scim_endpoint_has_slash = true);
    let made = bench.aws.enable_automatic_provisioning().unwrap();
    let endpoint = made["endpoint"].as_str().unwrap();
    assert!(endpoint.ends_with("/scim/v2/"), "{endpoint}");
    let path = endpoint.strip_prefix("https://127.0.0.1").unwrap().to_owned() + "ServiceProviderConfig";
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let request = Request::get(path).header("authorization", bearer).body(Body::empty()).unwrap();
    assert_eq!(bench.send(request).await.0, StatusCode::OK);
}

#[tokio::test]
async fn accounts_lack_status_or_state_by_switch() {
    for (status, state) in [(true, true), (false, true), (true, false)] {
        let mut world = world();
        world.organization.account_status = status;
        world.organization.account_state = state;
        let bench = Bench::of(&world);
        let (_, v) = bench.call_as(KEY, "AWSOrganizationsV20161128.ListAccounts", json!({})).await;
        let account = &v["Accounts"][0];
        assert_eq!(
            (account["Status"].is_string(), account["State"].is_string()),
            (status, state),
            "{account}"
        );
        let again = bench.aws.world().0;
        assert_eq!((again.account_status, again.account_state), (status, state));
    }
}

#[tokio::test]
async fn errors_can_carry_a_reason() {
    let bench = Bench::new();
    let rule = json!({
        "service": "sso-admin", "kind": "error", "status": 400,
        "code": "AccessDeniedException/KMS_AccessDeniedException",
    });
    bench.core.faults.add(serde_json::from_value(rule).unwrap());
    let (status, v) = bench.call_as(KEY, "SWBExternalService.ListInstances", json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        (&v["__type"], &v["Reason"]),
        (&json!("AccessDeniedException"), &json!("KMS_AccessDeniedException"))
    );
}

#[tokio::test]
async fn what_is_listed_as_served_is_served() {
    let bench = bench(|b| b.burst = 1000);
    for (service, operation) in super::super::operations() {
        let prefix = match service {
            "sso-admin" => "SWBExternalService",
            "identitystore" => "AWSIdentityStore",
            "organizations" => "AWSOrganizationsV20161128",
            _ => continue,
        };
        let (_, v) = bench.call_as(KEY, &format!("{prefix}.{operation}"), json!({})).await;
        let code = v["__type"].as_str().unwrap_or_default();
        assert!(!code.contains("UnknownOperation"), "{service} {operation}: {v}");
    }
    assert!(super::super::operations().len() > 70);
}

#[tokio::test]
async fn policies_that_iam_does_not_take_fail_at_the_call_or_where_they_are_provisioned() {
    const BROKEN: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"Get","Resource":"*"}]}"#;
    let nowhere = "arn:aws:iam::aws:policy/NoSuchPolicy";
    let boundary = json!({"ManagedPolicyArn": nowhere});
    let cases = [
        (
            "AttachManagedPolicyToPermissionSet",
            "ManagedPolicyArn",
            json!(nowhere),
            "ResourceNotFoundException",
            nowhere,
        ),
        (
            "PutPermissionsBoundaryToPermissionSet",
            "PermissionsBoundary",
            boundary,
            "ResourceNotFoundException",
            nowhere,
        ),
        ("PutInlinePolicyToPermissionSet", "InlinePolicy", json!(BROKEN), "ValidationException", "vendor"),
    ];
    for later in [false, true] {
        let bench = bench(|b| {
            (b.unknown_policy_fails_later, b.malformed_policy_fails_later, b.burst) = (later, later, 1000);
        });
        let group = bench.group().await;
        for (i, (operation, member, value, code, part)) in cases.iter().enumerate() {
            let set = bench.set(&format!("S{i}")).await;
            let mut body = json!({"PermissionSetArn": set});
            body[*member] = value.clone();
            if !later {
                assert_eq!(bench.sso_error(operation, body).await, *code, "{operation}");
                continue;
            }
            bench.sso(operation, body).await;
            let made = bench.sso("CreateAccountAssignment", assignment(&set, MEMBER, &group)).await;
            bench.pass(60_000);
            let id = &made["AccountAssignmentCreationStatus"]["RequestId"];
            let asked = json!({"AccountAssignmentCreationRequestId": id});
            let done = bench.sso("DescribeAccountAssignmentCreationStatus", asked).await;
            let done = &done["AccountAssignmentCreationStatus"];
            assert_eq!(done["Status"], "FAILED", "{operation}");
            assert!(done["FailureReason"].as_str().unwrap().contains(part), "{done}");
        }
    }
}

#[tokio::test]
async fn the_world_adds_managed_policies() {
    let mut world = world();
    world.identity_center.aws_managed_policies = vec!["arn:aws:iam::aws:policy/NewService".into()];
    let bench = Bench::of(&world);
    let set = bench.set("Admin").await;
    for (name, taken) in [("NewService", true), ("job-function/Billing", true), ("Billing", false)] {
        let arn = format!("arn:aws:iam::aws:policy/{name}");
        let body = json!({"PermissionSetArn": set, "ManagedPolicyArn": arn});
        let (status, answer) = bench.sso_as(KEY, "AttachManagedPolicyToPermissionSet", body).await;
        assert_eq!(status == 200, taken, "{answer}");
    }
    assert_eq!(bench.aws.world().1.aws_managed_policies, world.identity_center.aws_managed_policies);
}
