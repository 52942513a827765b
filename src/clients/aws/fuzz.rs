//! Whatever AWS, or whoever answers in its place, sends: it is read, or refused in bounded words; and every listing
//! ends.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::assignments::{PrincipalId, PrincipalKind};
use super::identity_store::IdentityStore;
use super::organization::Organization;
use super::sso_admin::SsoAdmin;
use super::*;
use crate::api::arbitrary::anything;
use crate::clients::CloudError;

/// A call that gets its answer at once takes no longer, whatever the answer is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers everything with the same bytes.
#[derive(Clone, Debug)]
struct Parrot {
    status: u16,
    body: Vec<u8>,
}

impl HttpConnector for Parrot {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(self.status).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.body.clone()))))
    }
}

impl HttpClient for Parrot {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// One of everything that the operator reads, with anything at all in places.
fn body() -> impl Strategy<Value = Value> {
    let status = json!({"RequestId": "r", "Status": "FAILED", "FailureReason": "x", "CreatedDate": 1.7e9,
        "TargetId": "1", "TargetType": "AWS_ACCOUNT", "PrincipalId": "p", "PrincipalType": "GROUP", "PermissionSetArn": "a",
        "AccountId": "1"});
    let assignment =
        json!({"AccountId": "1", "PermissionSetArn": "a", "PrincipalId": "p", "PrincipalType": "USER"});
    let real = json!({
        "Instances": [{"InstanceArn": "arn:aws:sso:::instance/ssoins-1", "IdentityStoreId": "d-1", "Status": "ACTIVE"}],
        "InstanceArn": "arn", "IdentityStoreId": "d-1", "Status": "ACTIVE", "CreatedDate": 1.7e9,
        "PermissionSets": ["arn"], "PermissionSet": {"PermissionSetArn": "arn", "Name": "n", "SessionDuration": "PT1H", "CreatedDate": 1.7e9},
        "Tags": [{"Key": "causeway.dev/owner", "Value": "i/n/b"}], "AttachedManagedPolicies": [{"Name": "n", "Arn": "a"}],
        "CustomerManagedPolicyReferences": [{"Name": "n", "Path": "/"}], "InlinePolicy": "{}",
        "PermissionsBoundary": {"ManagedPolicyArn": "a"}, "AccountIds": ["1"], "AccountAssignments": [assignment],
        "AccountAssignmentsCreationStatus": [status], "AccountAssignmentsDeletionStatus": [status],
        "AccountAssignmentCreationStatus": status, "AccountAssignmentDeletionStatus": status,
        "PermissionSetsProvisioningStatus": [status], "PermissionSetProvisioningStatus": status,
        "Groups": [{"GroupId": "g", "DisplayName": "g", "ExternalIds": [{"Issuer": "i", "Id": "e"}], "IdentityStoreId": "d-1"}],
        "GroupId": "g", "UserId": "u", "DisplayName": "g", "UserName": "u", "ExternalIds": [],
        "Accounts": [{"Id": "1", "Name": "n", "Status": "ACTIVE", "State": "ACTIVE", "Paths": ["o-1/r-1/1/"]}],
        "Roots": [{"Id": "r-1"}], "OrganizationalUnits": [{"Id": "ou-1", "Name": "n"}],
        "Organization": {"MasterAccountId": "1"},
        "NextToken": null, "__type": "com.amazonaws.sso#AccessDeniedException", "message": "no", "Message": "no",
        "Reason": "KMS_AccessDeniedException", "RetryAfterSeconds": 1,
    });
    let keys: Vec<String> = real.as_object().expect("an object").keys().cloned().collect();
    let change = (proptest::sample::select(keys), proptest::option::of(anything()));
    (proptest::collection::vec(change, 0..5), proptest::option::of(".{0,8}")).prop_map(
        move |(changes, next)| {
            let mut body = real.clone();
            // A page that leads on leads to itself: every listing must see that.
            body["NextToken"] = next.into();
            for (key, value) in changes {
                match value {
                    Some(value) => body[&key] = value,
                    None => _ = body.as_object_mut().expect("an object").remove(&key),
                }
            }
            body
        },
    )
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => body().prop_map(|body| body.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => anything().prop_map(|any| any.to_string().into_bytes()),
        1 => (body(), any::<prop::sample::Index>()).prop_map(|(body, at)| {
            let mut whole = body.to_string().into_bytes();
            whole.truncate(at.index(whole.len()));
            whole
        }),
    ]
}

/// The same answer to every question that the operator has; what it could not use.
async fn ask_everything(parrot: Parrot) -> Vec<CloudError> {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .http_client(SharedHttpClient::new(parrot))
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("A", "s", None, None, "test")))
        .build();
    let ssoadmin = aws_sdk_ssoadmin::Client::new(&config);
    let identitystore = aws_sdk_identitystore::Client::new(&config);
    let organizations = aws_sdk_organizations::Client::new(&config);
    let admin = SsoAdmin::new(ssoadmin.clone(), "arn");
    let store = IdentityStore::new(identitystore.clone(), "d-1");
    let organization = Organization::new(organizations.clone());
    let clients = AwsClients {
        ssoadmin,
        identitystore,
        organizations,
        identity: 0,
        budget: Budget::new(Rates::default()),
        slowed: Slowed::default(),
    };
    let who = PrincipalId { kind: PrincipalKind::Group, id: "g".into() };
    let mut refused = Vec::new();
    macro_rules! ask {
        ($($call:expr),* $(,)?) => { $(refused.extend($call.await.err());)* };
    }
    ask![
        clients.list_instances(),
        clients.describe_instance("arn"),
        clients.management_account(),
        admin.list_permission_sets(),
        admin.describe_permission_set("arn"),
        admin.tags("arn"),
        admin.managed_policies("arn"),
        admin.policy_references("arn"),
        admin.inline_policy("arn"),
        admin.boundary("arn"),
        admin.provisioned_accounts("arn", true),
        admin.assignments_of_principal(&who),
        admin.assignments_of_pair("arn", "1"),
        admin.creation_requests(true),
        admin.deletion_requests(false),
        admin.creation_request("r"),
        admin.deletion_request("r"),
        admin.provisioning_requests(true),
        admin.provisioning_request("r"),
        store.groups(),
        store.group_by_name("g"),
        store.group("g"),
        store.user_by_name("u"),
        store.user("u"),
        organization.accounts(),
        organization.walk(),
    ];
    refused
}

proptest! {
    // Each case is twenty-six calls.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(8), ..ProptestConfig::default() })]
    #[test]
    fn fuzz_any_body_is_read_or_refused(status in prop_oneof![Just(200u16), 200u16..600], body in bytes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = async { tokio::time::timeout(PATIENCE, ask_everything(Parrot { status, body })).await };
        let refused = runtime.block_on(answered);
        prop_assert!(refused.is_ok(), "some listing does not end");
        for error in refused.unwrap() {
            prop_assert!(error.message.len() <= 1100 && error.code.len() <= 1100, "{error:?}");
            prop_assert!(!error.message.chars().any(char::is_control), "{error:?}");
        }
    }
}
