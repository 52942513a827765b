use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use super::cloud_error;
use super::sso_admin::{every_page, present, unreadable};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::Organizations;

/// Units are nested five deep at most; with room to spare.
const MAX_DEPTH: usize = 10;

/// An account of the organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationAccount {
    /// Only active accounts are targets (contract aws 6).
    pub active: bool,
    /// What it lies in, by id: the root first, its parent last. None where the service does not say (contract aws 6).
    pub above: Option<Vec<String>>,
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

    /// All accounts by id.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn accounts(&self) -> Result<BTreeMap<String, OrganizationAccount>, CloudError> {
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
                let (active, path) = (is_active(&account), account.paths().first().cloned());
                let id = present(account.id, SERVICE, OPERATION, "Id")?;
                let above = path.and_then(|path| lineage(&path, &id));
                Ok((id, OrganizationAccount { active, above }))
            })
            .collect()
    }

    /// Where all accounts are, found by walking the tree: for services that do not say it with the accounts.
    ///
    /// # Errors
    /// The classified failure; never a part of the tree.
    pub async fn walk(&self) -> Result<BTreeMap<String, Vec<String>>, CloudError> {
        let mut open: Vec<Vec<String>> = self.roots().await?.into_iter().map(|id| vec![id]).collect();
        let mut places = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while let Some(above) = open.pop() {
            let Some(parent) = above.last() else { continue };
            for account in self.accounts_in(parent).await? {
                places.insert(account, above.clone());
            }
            for (id, _) in self.units_in(parent).await? {
                // A unit has one parent: one that comes again leads in a circle.
                if above.len() > MAX_DEPTH || !seen.insert(id.clone()) {
                    return Err(unreadable(
                        SERVICE,
                        "ListOrganizationalUnitsForParent",
                        "the tree does not end",
                    ));
                }
                open.push(above.iter().cloned().chain([id]).collect());
            }
        }
        Ok(places)
    }

    /// The roots, by id: there is one.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn roots(&self) -> Result<Vec<String>, CloudError> {
        const OPERATION: &str = "ListRoots";
        let roots = every_page(SERVICE, OPERATION, |token| async move {
            let page = self.client.list_roots().set_next_token(token).send().await;
            let page = page.map_err(|e| cloud_error(SERVICE, OPERATION, &e))?;
            Ok((page.roots.unwrap_or_default(), page.next_token))
        })
        .await?;
        roots.into_iter().map(|root| present(root.id, SERVICE, OPERATION, "Id")).collect()
    }

    /// The units directly below a unit or the root: id and name.
    ///
    /// # Errors
    /// The classified failure; never a part of the list.
    pub async fn units_in(&self, parent: &str) -> Result<Vec<(String, String)>, CloudError> {
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
}

/// What `o-x/r-y/ou-a/123456789012/` says; none when it is not of that form (contract aws 6).
fn lineage(path: &str, account: &str) -> Option<Vec<String>> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    parts.next().filter(|organization| organization.starts_with("o-"))?;
    let mut above: Vec<String> = parts.map(str::to_owned).collect();
    let last = above.pop()?;
    let rooted = above.first().is_some_and(|root| root.starts_with("r-"));
    (last == account && rooted).then_some(above)
}

/// `State` where the service says it; `Status` is on its way out (contract aws 6).
fn is_active(account: &Account) -> bool {
    match (&account.state, &account.status) {
        (Some(state), _) => *state == AccountState::Active,
        #[allow(deprecated)]
        (None, status) => *status == Some(AccountStatus::Active),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_an_account_lies_in() {
        let of = |path: &str| lineage(path, "111122223333").map(|above| above.join(" "));
        assert_eq!(of("o-x/r-y/ou-a/ou-b/111122223333/").as_deref(), Some("r-y ou-a ou-b"));
        assert_eq!(of("o-x/r-y/111122223333/").as_deref(), Some("r-y"));
        for odd in ["", "/", "o-x/", "o-x/111122223333/", "r-y/ou-a/111122223333/", "o-x/r-y/222233334444/"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
