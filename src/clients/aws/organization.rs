use std::collections::BTreeMap;

use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use super::cloud_error;
use super::sso_admin::{every_page, present, unreadable};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::Organizations;

/// How deep units may be nested (contract aws 6: five levels below the root), with room to spare.
const MAX_DEPTH: usize = 10;

/// An organizational unit, or the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// `ou-…`, or `r-…` for the root.
    pub id: String,
    /// Names from below the root, such as `/Workloads/Prod`; `/` for the root.
    pub path: String,
}

/// The organization. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Organization {
    client: aws_sdk_organizations::Client,
}

impl Organization {
    /// For the organization that the client's identity belongs to.
    #[must_use]
    pub const fn new(client: aws_sdk_organizations::Client) -> Self {
        Self { client }
    }

    /// All accounts by id, and whether each is active: only active ones are targets (contract aws 6).
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn accounts(&self) -> Result<BTreeMap<String, bool>, CloudError> {
        const OPERATION: &str = "ListAccounts";
        let accounts = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_accounts().max_results(20).set_next_token(token);
            let page = page.send().await.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.accounts.unwrap_or_default(), page.next_token))
        })
        .await?;
        accounts
            .into_iter()
            .map(|account| {
                let active = is_active(&account);
                Ok((present(account.id, SERVICE, OPERATION, "Id")?, active))
            })
            .collect()
    }

    /// Where every account is: the units above it, the root first and its parent last.
    ///
    /// # Errors
    /// The classified failure; never a part of the tree.
    pub async fn places(&self) -> Result<BTreeMap<String, Vec<Unit>>, CloudError> {
        let mut open: Vec<Vec<Unit>> = self
            .roots()
            .await?
            .into_iter()
            .map(|id| vec![Unit { id, path: "/".to_owned() }])
            .collect();
        let mut places = BTreeMap::new();
        while let Some(above) = open.pop() {
            let Some(parent) = above.last() else { continue };
            for account in self.accounts_in(&parent.id).await? {
                places.insert(account, above.clone());
            }
            for (id, name) in self.units_in(&parent.id).await? {
                if above.len() > MAX_DEPTH {
                    return Err(unreadable(SERVICE, "ListOrganizationalUnitsForParent", "the tree does not end"));
                }
                let path = format!("{}/{name}", parent.path.trim_end_matches('/'));
                open.push(above.iter().cloned().chain([Unit { id, path }]).collect());
            }
        }
        Ok(places)
    }

    async fn roots(&self) -> Result<Vec<String>, CloudError> {
        const OPERATION: &str = "ListRoots";
        let roots = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_roots().set_next_token(token).send().await;
            let page = page.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.roots.unwrap_or_default(), page.next_token))
        })
        .await?;
        roots.into_iter().map(|root| present(root.id, SERVICE, OPERATION, "Id")).collect()
    }

    async fn accounts_in(&self, parent: &str) -> Result<Vec<String>, CloudError> {
        const OPERATION: &str = "ListAccountsForParent";
        let accounts = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_accounts_for_parent().parent_id(parent).max_results(20);
            let page = page.set_next_token(token).send().await;
            let page = page.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.accounts.unwrap_or_default(), page.next_token))
        })
        .await?;
        accounts.into_iter().map(|account| present(account.id, SERVICE, OPERATION, "Id")).collect()
    }

    async fn units_in(&self, parent: &str) -> Result<Vec<(String, String)>, CloudError> {
        const OPERATION: &str = "ListOrganizationalUnitsForParent";
        let units = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_organizational_units_for_parent().parent_id(parent).max_results(20);
            let page = page.set_next_token(token).send().await;
            let page = page.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.organizational_units.unwrap_or_default(), page.next_token))
        })
        .await?;
        units
            .into_iter()
            .map(|unit| {
                let id = present(unit.id, SERVICE, OPERATION, "Id")?;
                Ok((id, present(unit.name, SERVICE, OPERATION, "Name")?))
            })
            .collect()
    }
}

/// `State` where the service says it; `Status` is on its way out (contract aws 6).
fn is_active(account: &Account) -> bool {
    match (&account.state, &account.status) {
        (Some(state), _) => *state == AccountState::Active,
        #[allow(deprecated)]
        (None, status) => *status == Some(AccountStatus::Active),
    }
}
