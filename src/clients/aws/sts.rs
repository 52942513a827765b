//! Sessions from STS (contract aws 7.1), through its SDK.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_sdk_sts::types::Credentials as Issued;

use super::failure::cloud_error;
use crate::clients::identity_token::IdentityTokens;
use crate::clients::{CloudError, CloudErrorKind, Service};

/// How long a session is asked for: role chaining allows no more than an hour, and no role allows less.
const LIFE: Duration = Duration::from_secs(3600);
const ASSUME: &str = "AssumeRole";
const WEB_IDENTITY: &str = "AssumeRoleWithWebIdentity";

/// A role, and what its sessions are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What CloudTrail shows: 2 to 64 of letters, digits and `_+=,.@-`.
    pub session_name: String,
    /// What the role's trust policy asks for, if it does.
    pub external_id: Option<String>,
}

/// Assumes a role with the credentials of a client.
#[derive(Debug)]
pub(super) struct AssumeRole {
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) role: Role,
}

impl AssumeRole {
    async fn session(&self) -> Result {
        let Role { arn, session_name, external_id } = &self.role;
        let answer = self
            .sts
            .assume_role()
            .role_arn(arn)
            .role_session_name(session_name)
            .set_external_id(external_id.clone())
            .duration_seconds(seconds())
            .send()
            .await
            .map_err(|error| refused(cloud_error(Service::Sts, ASSUME, &error)))?;
        issued(ASSUME, answer.credentials)
    }
}

impl ProvideCredentials for AssumeRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.session())
    }
}

/// Assumes a role with an identity token, and no credentials.
#[derive(Debug)]
pub(super) struct WebIdentity {
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) role: Role,
    pub(super) tokens: Arc<dyn IdentityTokens>,
}

impl WebIdentity {
    async fn session(&self) -> Result {
        let token = self.tokens.token().await.map_err(refused)?;
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role.arn)
            .role_session_name(&self.role.session_name)
            .web_identity_token(token.expose())
            .duration_seconds(seconds())
            .send()
            .await;
        match answer {
            Ok(answer) => issued(WEB_IDENTITY, answer.credentials),
            Err(error) => {
                let error = cloud_error(Service::Sts, WEB_IDENTITY, &error);
                if error.kind == CloudErrorKind::Unauthenticated {
                    self.tokens.refused(&token).await;
                }
                Err(refused(error.without(&[token.expose()])))
            }
        }
    }
}

impl ProvideCredentials for WebIdentity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.session())
    }
}

fn seconds() -> i32 {
    i32::try_from(LIFE.as_secs()).unwrap_or(i32::MAX)
}

/// Our own error travels inside the SDK's: [`cloud_error`] finds it there.
fn refused(error: CloudError) -> CredentialsError {
    CredentialsError::provider_error(error.of_credentials())
}

fn issued(operation: &'static str, credentials: Option<Issued>) -> Result {
    let unreadable =
        || refused(crate::clients::http::no_answer(Service::Sts, operation, "the answer cannot be read"));
    let issued = credentials.ok_or_else(unreadable)?;
    let expires = SystemTime::try_from(issued.expiration).map_err(|_| unreadable())?;
    let Issued { access_key_id, secret_access_key, session_token, .. } = issued;
    Ok(Credentials::new(access_key_id, secret_access_key, Some(session_token), Some(expires), operation))
}
