//! AWS through the official SDKs.

pub mod assignments;
pub mod identity_store;
pub mod organization;
pub mod permission_sets;
pub mod provisioning;
pub mod sso_admin;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{CloudError, Service};

/// The SDK clients for one identity in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AwsClients {
    /// IAM Identity Center administration.
    pub ssoadmin: aws_sdk_ssoadmin::Client,
    /// The identity store.
    pub identitystore: aws_sdk_identitystore::Client,
    /// The organization.
    pub organizations: aws_sdk_organizations::Client,
}

/// Classifies a failed SDK call (contract aws 14; go by code, not by status).
pub fn cloud_error<E>(service: Service, operation: &'static str, error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata,
{
    let _ = (service, operation, error);
    todo!()
}
