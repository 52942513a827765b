//! AWS through the official SDKs.

pub mod assignments;
pub mod identity_store;
pub mod instances;
pub mod organization;
pub mod permission_sets;
pub mod provisioning;
pub mod sso_admin;

mod connection;
mod failure;
mod reads_only;

use std::sync::atomic::{AtomicU64, Ordering};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::sdk_config::StalledStreamProtectionConfig;

pub use connection::{Connection, Rates};
pub use failure::cloud_error;
use reads_only::ReadsOnly;

use crate::secret::Sensitive;

/// A read is tried at most this often; a write once.
const TRIES: u32 = 3;

/// The SDK clients for one identity in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AwsClients {
    /// IAM Identity Center administration.
    pub ssoadmin: aws_sdk_ssoadmin::Client,
    /// The identity store.
    pub identitystore: aws_sdk_identitystore::Client,
    /// The organization.
    pub organizations: aws_sdk_organizations::Client,
    /// Tells identities apart: clones have the same.
    pub identity: u64,
}

/// How many identities there were.
static IDENTITIES: AtomicU64 = AtomicU64::new(0);

/// An access key as AWS issues it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// The key's id; no secret.
    pub id: String,
    /// The key itself.
    pub secret: Sensitive,
    /// For temporary keys.
    pub session_token: Option<Sensitive>,
}

impl AwsClients {
    /// Clients for a Region. Without a key the SDK's own chain finds the operator's credentials (contract aws 7.1).
    /// `endpoint` stands for all of AWS; without it the SDK's own rules hold (contract aws 7.2).
    pub async fn new(
        region: &str,
        key: Option<AccessKey>,
        endpoint: Option<&url::Url>,
        connection: Connection,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connection.options().connect)
            .read_timeout(connection.options().attempt)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(connection)
            .timeout_config(timeouts)
            // A request may wait for the budget before it is sent: that is no stalled upload.
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES));
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(AccessKey { id, secret, session_token }) = key {
            let token = session_token.map(|token| token.expose().to_owned());
            loader =
                loader.credentials_provider(Credentials::new(id, secret.expose(), token, None, "Secret"));
        }
        let config = loader.load().await;
        let once = SharedInterceptor::new(ReadsOnly);
        Self {
            ssoadmin: aws_sdk_ssoadmin::Client::from_conf(
                aws_sdk_ssoadmin::config::Builder::from(&config).interceptor(once.clone()).build(),
            ),
            identitystore: aws_sdk_identitystore::Client::from_conf(
                aws_sdk_identitystore::config::Builder::from(&config).interceptor(once.clone()).build(),
            ),
            organizations: aws_sdk_organizations::Client::from_conf(
                aws_sdk_organizations::config::Builder::from(&config).interceptor(once).build(),
            ),
            identity: IDENTITIES.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Whether an operation only reads, by AWS's own naming.
fn is_read(operation: &str) -> bool {
    ["List", "Describe", "Get", "IsMemberIn"].iter().any(|verb| operation.starts_with(verb))
}
