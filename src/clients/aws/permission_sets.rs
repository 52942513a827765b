use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssoadmin::types::{CustomerManagedPolicyReference, PermissionsBoundary, ProvisioningStatus, Tag};
use aws_types::request_id::RequestId as _;

use super::cloud_error;
use super::sso_admin::{SsoAdmin, every_page, present};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::SsoAdmin;

/// A permission set without its policies and tags (contract aws 1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionSet {
    /// Its ARN.
    pub arn: String,
    /// Its name, which never changes.
    pub name: String,
    /// The fields that `UpdatePermissionSet` replaces.
    pub settings: SetSettings,
}

/// The fields that `UpdatePermissionSet` replaces, all of them at once (contract aws 1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetSettings {
    /// Description.
    pub description: Option<String>,
    /// ISO 8601 duration.
    pub session_duration: Option<String>,
    /// Where people land.
    pub relay_state: Option<String>,
}

/// A customer managed policy by name and path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyReference {
    /// Name.
    pub name: String,
    /// Path, `/` by default.
    pub path: String,
}

/// A permissions boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// An AWS managed policy, by ARN.
    Aws(String),
    /// A customer managed policy.
    Customer(PolicyReference),
}

/// One edit of a permission set; `Display` says it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetEdit {
    /// Description, session duration and relay state.
    Settings(SetSettings),
    /// Attach an AWS managed policy.
    Attach(String),
    /// Detach an AWS managed policy.
    Detach(String),
    /// Attach a customer managed policy.
    AttachReference(PolicyReference),
    /// Detach a customer managed policy.
    DetachReference(PolicyReference),
    /// Put the inline policy.
    PutInline(String),
    /// Delete the inline policy.
    DeleteInline,
    /// Put the permissions boundary.
    PutBoundary(Boundary),
    /// Delete the permissions boundary.
    DeleteBoundary,
    /// Set tags.
    Tag(BTreeMap<String, String>),
    /// Remove tags.
    Untag(BTreeSet<String>),
}

impl SetEdit {
    /// The API operation.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Settings(_) => "UpdatePermissionSet",
            Self::Attach(_) => "AttachManagedPolicyToPermissionSet",
            Self::Detach(_) => "DetachManagedPolicyFromPermissionSet",
            Self::AttachReference(_) => "AttachCustomerManagedPolicyReferenceToPermissionSet",
            Self::DetachReference(_) => "DetachCustomerManagedPolicyReferenceFromPermissionSet",
            Self::PutInline(_) => "PutInlinePolicyToPermissionSet",
            Self::DeleteInline => "DeleteInlinePolicyFromPermissionSet",
            Self::PutBoundary(_) => "PutPermissionsBoundaryToPermissionSet",
            Self::DeleteBoundary => "DeletePermissionsBoundaryFromPermissionSet",
            Self::Tag(_) => "TagResource",
            Self::Untag(_) => "UntagResource",
        }
    }
}

impl std::fmt::Display for PolicyReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.path, self.name)
    }
}

impl std::fmt::Display for SetEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Settings(s) => write!(
                f,
                "set description {:?}, session duration {}, relay state {:?}",
                s.description.as_deref().unwrap_or_default(),
                s.session_duration.as_deref().unwrap_or_default(),
                s.relay_state.as_deref().unwrap_or_default()
            ),
            Self::Attach(arn) => write!(f, "attach managed policy {arn}"),
            Self::Detach(arn) => write!(f, "detach managed policy {arn}"),
            Self::AttachReference(p) => write!(f, "attach customer managed policy {p}"),
            Self::DetachReference(p) => write!(f, "detach customer managed policy {p}"),
            Self::PutInline(policy) => write!(f, "put inline policy {policy}"),
            Self::DeleteInline => f.write_str("delete inline policy"),
            Self::PutBoundary(Boundary::Aws(arn)) => write!(f, "put permissions boundary {arn}"),
            Self::PutBoundary(Boundary::Customer(p)) => write!(f, "put permissions boundary {p}"),
            Self::DeleteBoundary => f.write_str("delete permissions boundary"),
            Self::Tag(tags) => {
                write!(
                    f,
                    "set tags {}",
                    tags.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Untag(keys) => {
                write!(f, "remove tags {}", keys.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What a write came to, with the service's id of the call.
pub type Written<T> = Result<(T, Option<String>), CloudError>;

impl SsoAdmin {
    /// The ARNs of all permission sets of the instance.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn list_permission_sets(&self) -> Result<Vec<String>, CloudError> {
        const OPERATION: &str = "ListPermissionSets";
        every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_permission_sets().instance_arn(&self.instance).max_results(100);
            let page =
                page.set_next_token(token).send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.permission_sets.unwrap_or_default(), page.next_token))
        })
        .await
    }

    /// One permission set.
    ///
    /// # Errors
    /// NotFound when it does not exist, or is too new to be visible (contract aws 1.11).
    pub async fn describe_permission_set(&self, arn: &str) -> Result<PermissionSet, CloudError> {
        const OPERATION: &str = "DescribePermissionSet";
        let call = self.client.describe_permission_set().instance_arn(&self.instance).permission_set_arn(arn);
        let answer = call.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        model(present(answer.permission_set, SERVICE, OPERATION, "PermissionSet")?, OPERATION)
    }

    /// The tags of a permission set.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        const OPERATION: &str = "ListTagsForResource";
        let tags = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_tags_for_resource().instance_arn(&self.instance).resource_arn(arn);
            let page =
                page.set_next_token(token).send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.tags.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(tags.into_iter().map(|t| (t.key, t.value)).collect())
    }

    /// The ARNs of the AWS managed policies of a permission set.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn managed_policies(&self, arn: &str) -> Result<BTreeSet<String>, CloudError> {
        const OPERATION: &str = "ListManagedPoliciesInPermissionSet";
        let policies = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_managed_policies_in_permission_set();
            let page = page.instance_arn(&self.instance).permission_set_arn(arn).max_results(100);
            let page =
                page.set_next_token(token).send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.attached_managed_policies.unwrap_or_default(), page.next_token))
        })
        .await?;
        policies.into_iter().map(|p| present(p.arn, SERVICE, OPERATION, "Arn")).collect()
    }

    /// The customer managed policies of a permission set.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn policy_references(&self, arn: &str) -> Result<BTreeSet<PolicyReference>, CloudError> {
        const OPERATION: &str = "ListCustomerManagedPolicyReferencesInPermissionSet";
        let references = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_customer_managed_policy_references_in_permission_set();
            let page = page.instance_arn(&self.instance).permission_set_arn(arn).max_results(100);
            let page =
                page.set_next_token(token).send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.customer_managed_policy_references.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(references.into_iter().map(reference).collect())
    }

    /// The inline policy of a permission set, as JSON text.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn inline_policy(&self, arn: &str) -> Result<Option<String>, CloudError> {
        let call = self.client.get_inline_policy_for_permission_set();
        let answer = call.instance_arn(&self.instance).permission_set_arn(arn).send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, "GetInlinePolicyForPermissionSet", &e))?;
        // An empty string means none (contract aws 1.3).
        Ok(answer.inline_policy.filter(|p| !p.trim().is_empty()))
    }

    /// The permissions boundary of a permission set.
    ///
    /// # Errors
    /// The classified failure. A set without a boundary is not one, although the service answers NotFound.
    pub async fn boundary(&self, arn: &str) -> Result<Option<Boundary>, CloudError> {
        let call = self.client.get_permissions_boundary_for_permission_set();
        let answer = call.instance_arn(&self.instance).permission_set_arn(arn).send().await;
        let answer = answer.map_err(|e| cloud_error(SERVICE, "GetPermissionsBoundaryForPermissionSet", &e));
        match answer {
            Ok(answer) => Ok(answer.permissions_boundary.and_then(|b| {
                let customer = b.customer_managed_policy_reference.map(|r| Boundary::Customer(reference(r)));
                customer.or_else(|| b.managed_policy_arn.map(Boundary::Aws))
            })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The accounts that hold a role of the permission set; with `stale_only` those whose role is older than the set
    /// (contract aws 1.5).
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn provisioned_accounts(
        &self,
        arn: &str,
        stale_only: bool,
    ) -> Result<BTreeSet<String>, CloudError> {
        const OPERATION: &str = "ListAccountsForProvisionedPermissionSet";
        let filter = stale_only.then_some(ProvisioningStatus::LatestPermissionSetNotProvisioned);
        let filter = &filter;
        let accounts = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_accounts_for_provisioned_permission_set();
            let page = page.instance_arn(&self.instance).permission_set_arn(arn).max_results(100);
            let page = page.set_provisioning_status(filter.clone()).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.account_ids.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(accounts.into_iter().collect())
    }

    /// Creates a permission set. The session duration is always said: the service's default may change, and moto
    /// answers an unreadable one without it (contract aws 10).
    pub(crate) async fn create_permission_set(
        &self,
        name: &str,
        settings: &SetSettings,
        tags: &BTreeMap<String, String>,
    ) -> Written<PermissionSet> {
        const OPERATION: &str = "CreatePermissionSet";
        let call = self.client.create_permission_set().instance_arn(&self.instance).name(name);
        let call = call
            .set_description(settings.description.clone())
            .set_session_duration(settings.session_duration.clone())
            .set_relay_state(settings.relay_state.clone())
            .set_tags(Some(tag_list(tags)?));
        let answer = call.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
        let request_id = answer.request_id().map(str::to_owned);
        Ok((
            model(present(answer.permission_set, SERVICE, OPERATION, "PermissionSet")?, OPERATION)?,
            request_id,
        ))
    }

    /// Carries out one edit.
    pub(crate) async fn edit_permission_set(&self, arn: &str, edit: &SetEdit) -> Written<()> {
        let (client, instance) = (&self.client, &self.instance);
        /// Aims a call at the set, sends it and keeps the request id.
        macro_rules! send {
            ($call:expr) => {
                $call
                    .instance_arn(instance)
                    .permission_set_arn(arn)
                    .send()
                    .await
                    .map(|answer| ((), answer.request_id().map(str::to_owned)))
                    .map_err(|e| cloud_error(SERVICE, edit.operation(), &e))
            };
        }
        match edit {
            SetEdit::Settings(s) => send!(
                client
                    .update_permission_set()
                    .set_description(s.description.clone())
                    .set_session_duration(s.session_duration.clone())
                    .set_relay_state(s.relay_state.clone())
            ),
            SetEdit::Attach(policy) => {
                send!(client.attach_managed_policy_to_permission_set().managed_policy_arn(policy))
            }
            SetEdit::Detach(policy) => {
                send!(client.detach_managed_policy_from_permission_set().managed_policy_arn(policy))
            }
            SetEdit::AttachReference(policy) => send!(
                client
                    .attach_customer_managed_policy_reference_to_permission_set()
                    .customer_managed_policy_reference(sdk_reference(policy, edit.operation())?)
            ),
            SetEdit::DetachReference(policy) => send!(
                client
                    .detach_customer_managed_policy_reference_from_permission_set()
                    .customer_managed_policy_reference(sdk_reference(policy, edit.operation())?)
            ),
            SetEdit::PutInline(policy) => {
                send!(client.put_inline_policy_to_permission_set().inline_policy(policy))
            }
            SetEdit::DeleteInline => send!(client.delete_inline_policy_from_permission_set()),
            SetEdit::PutBoundary(boundary) => {
                let shape = PermissionsBoundary::builder();
                let shape = match boundary {
                    Boundary::Aws(arn) => shape.managed_policy_arn(arn),
                    Boundary::Customer(p) => {
                        shape.customer_managed_policy_reference(sdk_reference(p, edit.operation())?)
                    }
                };
                send!(client.put_permissions_boundary_to_permission_set().permissions_boundary(shape.build()))
            }
            SetEdit::DeleteBoundary => send!(client.delete_permissions_boundary_from_permission_set()),
            SetEdit::Tag(tags) => client
                .tag_resource()
                .instance_arn(instance)
                .resource_arn(arn)
                .set_tags(Some(tag_list(tags)?))
                .send()
                .await
                .map(|answer| ((), answer.request_id().map(str::to_owned)))
                .map_err(|e| cloud_error(SERVICE, edit.operation(), &e)),
            SetEdit::Untag(keys) => client
                .untag_resource()
                .instance_arn(instance)
                .resource_arn(arn)
                .set_tag_keys(Some(keys.iter().cloned().collect()))
                .send()
                .await
                .map(|answer| ((), answer.request_id().map(str::to_owned)))
                .map_err(|e| cloud_error(SERVICE, edit.operation(), &e)),
        }
    }

    /// Deletes a permission set. Too early answers Conflict (contract aws 1.7).
    pub(crate) async fn delete_permission_set(&self, arn: &str) -> Written<()> {
        let call = self.client.delete_permission_set().instance_arn(&self.instance).permission_set_arn(arn);
        let answer = call.send().await.map_err(|e| cloud_error(SERVICE, "DeletePermissionSet", &e))?;
        Ok(((), answer.request_id().map(str::to_owned)))
    }
}

fn model(
    set: aws_sdk_ssoadmin::types::PermissionSet,
    operation: &'static str,
) -> Result<PermissionSet, CloudError> {
    Ok(PermissionSet {
        arn: present(set.permission_set_arn, SERVICE, operation, "PermissionSetArn")?,
        name: present(set.name, SERVICE, operation, "Name")?,
        settings: SetSettings {
            description: set.description.filter(|d| !d.is_empty()),
            session_duration: set.session_duration,
            relay_state: set.relay_state.filter(|r| !r.is_empty()),
        },
    })
}

fn reference(reference: CustomerManagedPolicyReference) -> PolicyReference {
    PolicyReference { name: reference.name, path: reference.path.unwrap_or_else(|| "/".to_owned()) }
}

fn sdk_reference(
    policy: &PolicyReference,
    operation: &'static str,
) -> Result<CustomerManagedPolicyReference, CloudError> {
    let built = CustomerManagedPolicyReference::builder().name(&policy.name).path(&policy.path).build();
    built.map_err(|e| super::sso_admin::unreadable(SERVICE, operation, &e.to_string()))
}

fn tag_list(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>, CloudError> {
    tags.iter()
        .map(|(key, value)| {
            let tag = Tag::builder().key(key).value(value).build();
            tag.map_err(|e| super::sso_admin::unreadable(SERVICE, "TagResource", &e.to_string()))
        })
        .collect()
}
