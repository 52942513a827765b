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
mod sessions;
mod sts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::sdk_config::StalledStreamProtectionConfig;

pub use connection::{Budget, Connection, Rates};
use failure::NotesThrottles;
pub use failure::cloud_error;
use reads_only::ReadsOnly;
use sessions::{RenewsEnded, Sessions};
pub use sts::Role;

use crate::clients::identity_token::IdentityTokens;
use crate::clients::{Service, Slowed};
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
    /// What its calls are counted against.
    pub budget: Budget,
    /// When it was last asked to slow down, or had to wait for its budget.
    pub slowed: Slowed,
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

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The operator's own, as the SDK's chain finds them (contract aws 7.1).
    Ambient,
    /// An access key.
    Key(AccessKey),
    /// An identity token, with which a role is assumed.
    WebIdentity(Role, Arc<dyn IdentityTokens>),
}

/// How to sign in: credentials, and perhaps a role to assume with them.
#[derive(Clone, Debug)]
pub struct Login {
    /// The credentials.
    pub source: Source,
    /// A role that is assumed with these.
    pub role: Option<Role>,
}

impl From<AccessKey> for Login {
    fn from(key: AccessKey) -> Self {
        Self { source: Source::Key(key), role: None }
    }
}

impl AwsClients {
    /// Clients for a Region. `endpoint` stands for all of AWS; without it the SDK's own rules hold (contract aws 7.2).
    pub async fn new(
        region: &str,
        login: impl Into<Login>,
        endpoint: Option<&url::Url>,
        connection: Connection,
    ) -> Self {
        let sessions = Sessions::new(connection.options().total);
        let (budget, slowed) = (connection.budget().clone(), connection.slowed().clone());
        let notes = |service| {
            let (slowed, observer) = (slowed.clone(), Arc::clone(connection.observer()));
            SharedRetryClassifier::new(NotesThrottles { service, slowed, observer })
        };
        let notes = [Service::SsoAdmin, Service::IdentityStore, Service::Organizations].map(notes);
        let config = sign_in(region, login.into(), endpoint, connection, &sessions).await;
        let once = SharedInterceptor::new(ReadsOnly);
        let renews = SharedRetryClassifier::new(RenewsEnded(sessions));
        let [of_sso_admin, of_identity_store, of_organizations] = notes;
        Self {
            ssoadmin: aws_sdk_ssoadmin::Client::from_conf(
                aws_sdk_ssoadmin::config::Builder::from(&config)
                    .interceptor(once.clone())
                    .retry_classifier(renews.clone())
                    .retry_classifier(of_sso_admin)
                    .build(),
            ),
            identitystore: aws_sdk_identitystore::Client::from_conf(
                aws_sdk_identitystore::config::Builder::from(&config)
                    .interceptor(once.clone())
                    .retry_classifier(renews.clone())
                    .retry_classifier(of_identity_store)
                    .build(),
            ),
            organizations: aws_sdk_organizations::Client::from_conf(
                aws_sdk_organizations::config::Builder::from(&config)
                    .interceptor(once)
                    .retry_classifier(renews)
                    .retry_classifier(of_organizations)
                    .build(),
            ),
            identity: IDENTITIES.fetch_add(1, Ordering::Relaxed),
            budget,
            slowed,
        }
    }
}

/// The SDK's configuration with credentials in it, which are kept in `sessions`.
async fn sign_in(
    region: &str,
    login: Login,
    endpoint: Option<&url::Url>,
    connection: Connection,
    sessions: &Sessions,
) -> SdkConfig {
    let load = connection.options().total;
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
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .identity_cache(sessions.clone());
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
    }
    let config = match login.source {
        Source::Ambient => loader.load().await,
        Source::Key(AccessKey { id, secret, session_token }) => {
            let token = session_token.map(|token| token.expose().to_owned());
            let key = Credentials::new(id, secret.expose(), token, None, "Secret");
            loader.credentials_provider(key).load().await
        }
        Source::WebIdentity(role, tokens) => {
            let config = loader.no_credentials().load().await;
            let sts = aws_sdk_sts::Client::new(&config);
            with_provider(config, sts::WebIdentity { sts, role, tokens })
        }
    };
    let Some(role) = login.role else { return config };
    // The way to the role has sessions of its own, which end at other times.
    let first = Sessions::new(load);
    let sts = aws_sdk_sts::Client::from_conf(
        aws_sdk_sts::config::Builder::from(&config)
            .identity_cache(first.clone())
            .retry_classifier(RenewsEnded(first))
            .build(),
    );
    with_provider(config, sts::AssumeRole { sts, role })
}

fn with_provider(config: SdkConfig, provider: impl ProvideCredentials + 'static) -> SdkConfig {
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// Whether an operation only reads, by AWS's own naming.
fn is_read(operation: &str) -> bool {
    ["List", "Describe", "Get", "IsMemberIn"].iter().any(|verb| operation.starts_with(verb))
}
