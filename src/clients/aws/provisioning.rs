use aws_sdk_ssoadmin::types::{PermissionSetProvisioningStatus, ProvisionTargetType};
use aws_types::request_id::RequestId as _;

use super::assignments::{Progress, RequestItem, progress, provisioning_item, running_filter};
use super::cloud_error;
use super::permission_sets::Written;
use super::sso_admin::{SsoAdmin, every_page, present};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::SsoAdmin;

/// One request to bring an account's role up to the permission set (contract aws 1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningRequest {
    /// The id of the request.
    pub id: String,
    /// How far it is.
    pub progress: Progress,
    /// Permission set and account; absent when the answer does not say both.
    pub target: Option<(String, String)>,
}

impl SsoAdmin {
    /// Provisioning requests of everybody on the instance; `running_only` leaves out the finished ones.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn provisioning_requests(&self, running_only: bool) -> Result<Vec<RequestItem>, CloudError> {
        const OPERATION: &str = "ListPermissionSetProvisioningStatus";
        let items = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_permission_set_provisioning_status().instance_arn(&self.instance);
            let page = page.set_filter(running_filter(running_only)).max_results(100).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.permission_sets_provisioning_status.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(items.into_iter().filter_map(provisioning_item).collect())
    }

    /// One provisioning request, with its reason of failure.
    ///
    /// # Errors
    /// NotFound once AWS has forgotten it.
    pub async fn provisioning_request(&self, id: &str) -> Result<ProvisioningRequest, CloudError> {
        const OPERATION: &str = "DescribePermissionSetProvisioningStatus";
        let call = self.client.describe_permission_set_provisioning_status().instance_arn(&self.instance);
        let answer = call.provision_permission_set_request_id(id).send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let status = present(answer.permission_set_provisioning_status, SERVICE, OPERATION, "a status")?;
        request(status, id, OPERATION)
    }

    /// Begins to bring one account's role up to the permission set. On an account without an assignment this would
    /// create a role for nobody (contract aws 1.5): ask [`Self::provisioned_accounts`] before.
    pub(crate) async fn provision(&self, set_arn: &str, account: &str) -> Written<ProvisioningRequest> {
        const OPERATION: &str = "ProvisionPermissionSet";
        let call =
            self.client.provision_permission_set().instance_arn(&self.instance).permission_set_arn(set_arn);
        let call = call.target_type(ProvisionTargetType::AwsAccount).target_id(account);
        let answer = call.send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let call_id = answer.request_id().map(str::to_owned);
        let status = present(answer.permission_set_provisioning_status, SERVICE, OPERATION, "a status")?;
        let id = present(status.request_id.clone(), SERVICE, OPERATION, "RequestId")?;
        Ok((request(status, &id, OPERATION)?, call_id))
    }
}

fn request(
    status: PermissionSetProvisioningStatus,
    id: &str,
    operation: &'static str,
) -> Result<ProvisioningRequest, CloudError> {
    let progress = progress(status.status.as_ref(), status.failure_reason, operation)?;
    Ok(ProvisioningRequest {
        id: id.to_owned(),
        progress,
        target: status.permission_set_arn.zip(status.account_id),
    })
}
