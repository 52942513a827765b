use aws_sdk_ssoadmin::types::{
    AccountAssignmentOperationStatus, AccountAssignmentOperationStatusMetadata, OperationStatusFilter,
    PermissionSetProvisioningStatusMetadata, PrincipalType, StatusValues, TargetType,
};
use aws_types::request_id::RequestId as _;
use jiff::Timestamp;

use super::cloud_error;
use super::permission_sets::Written;
use super::sso_admin::{SsoAdmin, every_page, present};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::SsoAdmin;

/// What kind of principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A group of the identity store.
    Group,
    /// A person of the identity store.
    User,
}

/// A principal of the identity store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId {
    /// Group or user.
    pub kind: PrincipalKind,
    /// Its id in the identity store.
    pub id: String,
}

impl std::fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            PrincipalKind::Group => "group",
            PrincipalKind::User => "user",
        };
        write!(f, "{kind} {}", self.id)
    }
}

/// One assignment of an instance (contract aws 1.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment {
    /// The permission set.
    pub set_arn: String,
    /// The account.
    pub account: String,
    /// Who gets it.
    pub principal: PrincipalId,
}

/// The state of asynchronous work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up by AWS, with its reason.
    Failed(String),
}

/// One request for asynchronous work, as a `List…Status` operation shows it: without target and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestItem {
    /// The id of the request.
    pub id: String,
    /// Its state, when said.
    pub status: Option<StatusWord>,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// A state without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWord {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
}

/// One request with everything about it. `assignment` is what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentRequest {
    /// The id of the request.
    pub id: String,
    /// How far it is.
    pub progress: Progress,
    /// What it is about; absent when the answer does not say it completely.
    pub assignment: Option<Assignment>,
}

impl SsoAdmin {
    /// All assignments of one principal.
    ///
    /// # Errors
    /// Denied where only the management account may call it (contract aws 1.6); NotFound for a principal that is
    /// gone; never a part of the list.
    pub async fn assignments_of_principal(
        &self,
        principal: &PrincipalId,
    ) -> Result<Vec<Assignment>, CloudError> {
        const OPERATION: &str = "ListAccountAssignmentsForPrincipal";
        let items = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_account_assignments_for_principal();
            let page = page.instance_arn(&self.instance).principal_id(&principal.id);
            let page = page.principal_type(sdk_kind(principal.kind)).max_results(100).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.account_assignments.unwrap_or_default(), page.next_token))
        })
        .await?;
        // What a person has through a group is the group's.
        let theirs = |said: Option<&str>| said.is_none_or(|id| id == principal.id);
        items
            .into_iter()
            .filter(|item| theirs(item.principal_id.as_deref()))
            .map(|item| {
                Ok(Assignment {
                    set_arn: present(item.permission_set_arn, SERVICE, OPERATION, "PermissionSetArn")?,
                    account: present(item.account_id, SERVICE, OPERATION, "AccountId")?,
                    principal: principal.clone(),
                })
            })
            .collect()
    }

    /// All assignments of one permission set on one account.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn assignments_of_pair(
        &self,
        set_arn: &str,
        account: &str,
    ) -> Result<Vec<Assignment>, CloudError> {
        const OPERATION: &str = "ListAccountAssignments";
        let items = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_account_assignments().instance_arn(&self.instance);
            let page =
                page.permission_set_arn(set_arn).account_id(account).max_results(100).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.account_assignments.unwrap_or_default(), page.next_token))
        })
        .await?;
        items
            .into_iter()
            .map(|item| {
                let id = present(item.principal_id, SERVICE, OPERATION, "PrincipalId")?;
                let kind = present(
                    item.principal_type.as_ref().and_then(kind),
                    SERVICE,
                    OPERATION,
                    "PrincipalType",
                )?;
                Ok(Assignment {
                    set_arn: set_arn.to_owned(),
                    account: account.to_owned(),
                    principal: PrincipalId { kind, id },
                })
            })
            .collect()
    }

    /// Requests to create assignments, of everybody on the instance; `running_only` leaves out the finished ones.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn creation_requests(&self, running_only: bool) -> Result<Vec<RequestItem>, CloudError> {
        const OPERATION: &str = "ListAccountAssignmentCreationStatus";
        let items = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_account_assignment_creation_status().instance_arn(&self.instance);
            let page = page.set_filter(running_filter(running_only)).max_results(100).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.account_assignments_creation_status.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(items.into_iter().filter_map(item).collect())
    }

    /// Requests to delete assignments, likewise.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn deletion_requests(&self, running_only: bool) -> Result<Vec<RequestItem>, CloudError> {
        const OPERATION: &str = "ListAccountAssignmentDeletionStatus";
        let items = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_account_assignment_deletion_status().instance_arn(&self.instance);
            let page = page.set_filter(running_filter(running_only)).max_results(100).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.account_assignments_deletion_status.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(items.into_iter().filter_map(item).collect())
    }

    /// One creation request, with its reason of failure.
    ///
    /// # Errors
    /// NotFound once AWS has forgotten it.
    pub async fn creation_request(&self, id: &str) -> Result<AssignmentRequest, CloudError> {
        const OPERATION: &str = "DescribeAccountAssignmentCreationStatus";
        let call = self.client.describe_account_assignment_creation_status().instance_arn(&self.instance);
        let answer = call.account_assignment_creation_request_id(id).send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let status = present(answer.account_assignment_creation_status, SERVICE, OPERATION, "a status")?;
        request(status, id, OPERATION)
    }

    /// One deletion request, with its reason of failure.
    ///
    /// # Errors
    /// NotFound once AWS has forgotten it.
    pub async fn deletion_request(&self, id: &str) -> Result<AssignmentRequest, CloudError> {
        const OPERATION: &str = "DescribeAccountAssignmentDeletionStatus";
        let call = self.client.describe_account_assignment_deletion_status().instance_arn(&self.instance);
        let answer = call.account_assignment_deletion_request_id(id).send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let status = present(answer.account_assignment_deletion_status, SERVICE, OPERATION, "a status")?;
        request(status, id, OPERATION)
    }

    /// Begins to create an assignment. One that exists is not refused (contract aws 1.6): look before.
    pub(crate) async fn create_assignment(&self, assignment: &Assignment) -> Written<AssignmentRequest> {
        const OPERATION: &str = "CreateAccountAssignment";
        let call = self.client.create_account_assignment().instance_arn(&self.instance);
        let call = call
            .permission_set_arn(&assignment.set_arn)
            .target_type(TargetType::AwsAccount)
            .target_id(&assignment.account)
            .principal_type(sdk_kind(assignment.principal.kind))
            .principal_id(&assignment.principal.id);
        let answer = call.send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let call_id = answer.request_id().map(str::to_owned);
        let status = present(answer.account_assignment_creation_status, SERVICE, OPERATION, "a status")?;
        let id = present(status.request_id.clone(), SERVICE, OPERATION, "RequestId")?;
        Ok((request(status, &id, OPERATION)?, call_id))
    }

    /// Begins to delete an assignment.
    pub(crate) async fn delete_assignment(&self, assignment: &Assignment) -> Written<AssignmentRequest> {
        const OPERATION: &str = "DeleteAccountAssignment";
        let call = self.client.delete_account_assignment().instance_arn(&self.instance);
        let call = call
            .permission_set_arn(&assignment.set_arn)
            .target_type(TargetType::AwsAccount)
            .target_id(&assignment.account)
            .principal_type(sdk_kind(assignment.principal.kind))
            .principal_id(&assignment.principal.id);
        let answer = call.send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let call_id = answer.request_id().map(str::to_owned);
        let status = present(answer.account_assignment_deletion_status, SERVICE, OPERATION, "a status")?;
        let id = present(status.request_id.clone(), SERVICE, OPERATION, "RequestId")?;
        Ok((request(status, &id, OPERATION)?, call_id))
    }
}

fn request(
    status: AccountAssignmentOperationStatus,
    id: &str,
    operation: &'static str,
) -> Result<AssignmentRequest, CloudError> {
    let progress = progress(status.status.as_ref(), status.failure_reason, operation)?;
    let principal = status.principal_type.as_ref().and_then(kind).zip(status.principal_id);
    let assignment = match (status.permission_set_arn, status.target_id, principal) {
        (Some(set_arn), Some(account), Some((kind, id))) => {
            Some(Assignment { set_arn, account, principal: PrincipalId { kind, id } })
        }
        _ => None,
    };
    Ok(AssignmentRequest { id: id.to_owned(), progress, assignment })
}

pub(super) fn progress(
    status: Option<&StatusValues>,
    reason: Option<String>,
    operation: &'static str,
) -> Result<Progress, CloudError> {
    let word = present(status.and_then(word), SERVICE, operation, "a known Status")?;
    Ok(match word {
        StatusWord::Running => Progress::Running,
        StatusWord::Succeeded => Progress::Succeeded,
        StatusWord::Failed => Progress::Failed(reason.unwrap_or_else(|| "AWS gives no reason".to_owned())),
    })
}

fn word(status: &StatusValues) -> Option<StatusWord> {
    match status {
        StatusValues::InProgress => Some(StatusWord::Running),
        StatusValues::Succeeded => Some(StatusWord::Succeeded),
        StatusValues::Failed => Some(StatusWord::Failed),
        _ => None,
    }
}

fn time(at: Option<aws_smithy_types::DateTime>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_second(at.secs()).ok())
}

fn item(item: AccountAssignmentOperationStatusMetadata) -> Option<RequestItem> {
    let status = item.status.as_ref().and_then(word);
    Some(RequestItem { id: item.request_id?, status, created: time(item.created_date) })
}

pub(super) fn provisioning_item(item: PermissionSetProvisioningStatusMetadata) -> Option<RequestItem> {
    let status = item.status.as_ref().and_then(word);
    Some(RequestItem { id: item.request_id?, status, created: time(item.created_date) })
}

pub(super) fn running_filter(running_only: bool) -> Option<OperationStatusFilter> {
    running_only.then(|| OperationStatusFilter::builder().status(StatusValues::InProgress).build())
}

const fn sdk_kind(kind: PrincipalKind) -> PrincipalType {
    match kind {
        PrincipalKind::Group => PrincipalType::Group,
        PrincipalKind::User => PrincipalType::User,
    }
}

fn kind(kind: &PrincipalType) -> Option<PrincipalKind> {
    match kind {
        PrincipalType::Group => Some(PrincipalKind::Group),
        PrincipalType::User => Some(PrincipalKind::User),
        _ => None,
    }
}
