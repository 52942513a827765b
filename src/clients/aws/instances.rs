//! Identity Center instances and the organization around them (contract aws 1.1, 6).

use std::collections::BTreeSet;

use aws_sdk_ssoadmin::types::InstanceStatus;

use super::{AwsClients, cloud_error};
use crate::clients::{CloudError, CloudErrorKind, Service};

/// More pages than any account can have: a listing that goes on is broken.
const MAX_PAGES: usize = 50;

/// An instance's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    /// It works.
    Active,
    /// It is being created.
    Creating,
    /// It could not be created.
    Failed,
    /// It is going away.
    Deleting,
}

/// One Identity Center instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Its ARN.
    pub arn: String,
    /// Its identity store.
    pub identity_store_id: String,
    /// The account that owns it.
    pub owner_account_id: Option<String>,
    /// Where permission sets and assignments are managed.
    pub primary_region: Option<String>,
    /// Its life.
    pub state: InstanceState,
    /// Why it is not active.
    pub state_reason: Option<String>,
    /// Whether it can hold permission sets; older answers do not say, which means yes.
    pub permission_sets_enabled: bool,
}

fn state(status: Option<&InstanceStatus>) -> InstanceState {
    match status {
        Some(InstanceStatus::CreateInProgress) => InstanceState::Creating,
        Some(InstanceStatus::CreateFailed) => InstanceState::Failed,
        Some(InstanceStatus::DeleteInProgress) => InstanceState::Deleting,
        _ => InstanceState::Active,
    }
}

fn incomplete(operation: &'static str, message: &str) -> CloudError {
    CloudError {
        service: Service::SsoAdmin,
        operation,
        kind: CloudErrorKind::Transient,
        status: 200,
        code: String::new(),
        message: message.to_owned(),
        request_id: None,
    }
}

impl AwsClients {
    /// The instances that these credentials see in this Region.
    ///
    /// # Errors
    /// The classified failure; a listing that loops or lacks ids.
    pub async fn list_instances(&self) -> Result<Vec<Instance>, CloudError> {
        const OPERATION: &str = "ListInstances";
        let mut instances = Vec::new();
        let mut tokens = BTreeSet::new();
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .ssoadmin
                .list_instances()
                .set_next_token(token.take())
                .send()
                .await
                .map_err(|e| cloud_error(Service::SsoAdmin, OPERATION, &e))?;
            for found in page.instances() {
                let (Some(arn), Some(store)) = (found.instance_arn(), found.identity_store_id()) else {
                    return Err(incomplete(OPERATION, "an instance without ids"));
                };
                instances.push(Instance {
                    arn: arn.to_owned(),
                    identity_store_id: store.to_owned(),
                    owner_account_id: found.owner_account_id().map(ToOwned::to_owned),
                    primary_region: found.primary_region().map(ToOwned::to_owned),
                    state: state(found.status()),
                    state_reason: found.status_reason().map(ToOwned::to_owned),
                    permission_sets_enabled: true,
                });
            }
            token = page.next_token().map(ToOwned::to_owned);
            match &token {
                None => {
                    instances.sort();
                    instances.dedup();
                    return Ok(instances);
                }
                Some(next) if tokens.insert(next.clone()) => {}
                Some(_) => break,
            }
        }
        Err(incomplete(OPERATION, "the listing does not end"))
    }

    /// One instance in detail.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn describe_instance(&self, arn: &str) -> Result<Instance, CloudError> {
        const OPERATION: &str = "DescribeInstance";
        let found = self
            .ssoadmin
            .describe_instance()
            .instance_arn(arn)
            .send()
            .await
            .map_err(|e| cloud_error(Service::SsoAdmin, OPERATION, &e))?;
        let Some(store) = found.identity_store_id() else {
            return Err(incomplete(OPERATION, "an instance without an identity store"));
        };
        Ok(Instance {
            arn: found.instance_arn().unwrap_or(arn).to_owned(),
            identity_store_id: store.to_owned(),
            owner_account_id: found.owner_account_id().map(ToOwned::to_owned),
            primary_region: found.primary_region().map(ToOwned::to_owned),
            state: state(found.status()),
            state_reason: found.status_reason().map(ToOwned::to_owned),
            permission_sets_enabled: found.permission_sets_enabled().unwrap_or(true),
        })
    }

    /// The organization's management account; any account may ask (contract aws 6). None when the account is in
    /// no organization or may not ask.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn management_account(&self) -> Result<Option<String>, CloudError> {
        let answer = self
            .organizations
            .describe_organization()
            .send()
            .await
            .map_err(|e| cloud_error(Service::Organizations, "DescribeOrganization", &e));
        match answer {
            Ok(found) => Ok(found.organization().and_then(|o| o.master_account_id()).map(ToOwned::to_owned)),
            Err(error)
                if error.kind == CloudErrorKind::Denied
                    || error.code == "AWSOrganizationsNotInUseException" =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
