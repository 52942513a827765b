use aws_sdk_identitystore::types::{AlternateIdentifier, ExternalId, UniqueAttribute};
use aws_smithy_types::Document;

use super::cloud_error;
use super::sso_admin::{every_page, unreadable};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::IdentityStore;
const LIST_GROUPS: &str = "ListGroups";

/// A group or user of the identity store (contract aws 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPrincipal {
    /// Its id, which survives renames.
    pub id: String,
    /// Display name of a group, user name of a user.
    pub name: String,
    /// Ids that identity providers gave it.
    pub external_ids: Vec<StoredExternalId>,
}

/// An id that an identity provider gave to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExternalId {
    /// Who gave it; not documented for SCIM, learnt from what exists.
    pub issuer: String,
    /// The id; Entra's object id by default.
    pub id: String,
}

/// One identity store. Read only: SCIM owns what is in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IdentityStore {
    client: aws_sdk_identitystore::Client,
    store: String,
}

impl IdentityStore {
    /// For one store.
    #[must_use]
    pub fn new(client: aws_sdk_identitystore::Client, store_id: impl Into<String>) -> Self {
        Self { client, store: store_id.into() }
    }

    /// All groups.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn groups(&self) -> Result<Vec<StoredPrincipal>, CloudError> {
        every_page(SERVICE, LIST_GROUPS, |token| self.groups_page(token)).await
    }

    /// One page of the groups, and where the next one begins.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn groups_page(
        &self,
        token: Option<String>,
    ) -> Result<(Vec<StoredPrincipal>, Option<String>), CloudError> {
        let page = self.client.list_groups().identity_store_id(&self.store).max_results(100);
        let page =
            page.set_next_token(token).send().await.map_err(|e| cloud_error(SERVICE, LIST_GROUPS, &e))?;
        let groups = page.groups.into_iter().map(|g| StoredPrincipal {
            id: g.group_id,
            name: g.display_name.unwrap_or_default(),
            external_ids: external_ids(g.external_ids),
        });
        Ok((groups.collect(), page.next_token.filter(|token| !token.is_empty())))
    }

    /// The group of that display name: names are unique in a store (contract aws 2.3).
    ///
    /// # Errors
    /// The classified failure; a group that does not exist is none.
    pub async fn group_by_name(&self, name: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        const OPERATION: &str = "GetGroupId";
        let call = self.client.get_group_id().identity_store_id(&self.store);
        let answer = call.alternate_identifier(unique("displayName", name, OPERATION)?).send().await;
        match answer.map_err(|e| cloud_error(SERVICE, OPERATION, &e)) {
            Ok(answer) => self.group(&answer.group_id).await,
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// One group by id.
    ///
    /// # Errors
    /// The classified failure; a group that does not exist is none.
    pub async fn group(&self, id: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        let answer = self.client.describe_group().identity_store_id(&self.store).group_id(id).send().await;
        match answer.map_err(|e| cloud_error(SERVICE, "DescribeGroup", &e)) {
            Ok(g) => Ok(Some(StoredPrincipal {
                id: g.group_id,
                name: g.display_name.unwrap_or_default(),
                external_ids: external_ids(g.external_ids),
            })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The user of that user name.
    ///
    /// # Errors
    /// The classified failure; a user who does not exist is none.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        self.user_by(unique("userName", name, "GetUserId")?).await
    }

    /// The user to whom that issuer gave that id.
    ///
    /// # Errors
    /// The classified failure; a user who does not exist is none.
    pub async fn user_by_external_id(
        &self,
        external: &StoredExternalId,
    ) -> Result<Option<StoredPrincipal>, CloudError> {
        let id = ExternalId::builder().issuer(&external.issuer).id(&external.id).build();
        let id = id.map_err(|e| unreadable(SERVICE, "GetUserId", &e.to_string()))?;
        self.user_by(AlternateIdentifier::ExternalId(id)).await
    }

    /// One user by id.
    ///
    /// # Errors
    /// The classified failure; a user who does not exist is none.
    pub async fn user(&self, id: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        let answer = self.client.describe_user().identity_store_id(&self.store).user_id(id).send().await;
        match answer.map_err(|e| cloud_error(SERVICE, "DescribeUser", &e)) {
            Ok(u) => Ok(Some(StoredPrincipal {
                id: u.user_id,
                name: u.user_name.unwrap_or_default(),
                external_ids: external_ids(u.external_ids),
            })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn user_by(&self, identifier: AlternateIdentifier) -> Result<Option<StoredPrincipal>, CloudError> {
        let call = self.client.get_user_id().identity_store_id(&self.store);
        let answer = call.alternate_identifier(identifier).send().await;
        match answer.map_err(|e| cloud_error(SERVICE, "GetUserId", &e)) {
            Ok(answer) => self.user(&answer.user_id).await,
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn unique(path: &str, value: &str, operation: &'static str) -> Result<AlternateIdentifier, CloudError> {
    let attribute =
        UniqueAttribute::builder().attribute_path(path).attribute_value(Document::String(value.to_owned()));
    let attribute = attribute.build().map_err(|e| unreadable(SERVICE, operation, &e.to_string()))?;
    Ok(AlternateIdentifier::UniqueAttribute(attribute))
}

fn external_ids(ids: Option<Vec<ExternalId>>) -> Vec<StoredExternalId> {
    ids.unwrap_or_default().into_iter().map(|e| StoredExternalId { issuer: e.issuer, id: e.id }).collect()
}
