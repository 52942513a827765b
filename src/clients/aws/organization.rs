use std::collections::BTreeMap;

use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use super::cloud_error;
use super::sso_admin::{every_page, present};
use crate::clients::{CloudError, Service};

const SERVICE: Service = Service::Organizations;

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
}

/// `State` where the service says it; `Status` is on its way out (contract aws 6).
fn is_active(account: &Account) -> bool {
    match (&account.state, &account.status) {
        (Some(state), _) => *state == AccountState::Active,
        #[allow(deprecated)]
        (None, status) => *status == Some(AccountStatus::Active),
    }
}
