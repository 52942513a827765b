//! Who else has a permission set. Asked only when a ledger was lost: it takes a call for each account.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::instance::{Instance, locked};
use super::plan_assignments::Grant;
use super::tracker::older;
use crate::clients::CloudError;
use crate::clients::aws::assignments::PrincipalId;

/// A search that takes more than one pass goes on where it was within this time.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How far a search is.
#[derive(Debug)]
pub(super) struct Searched {
    meant: BTreeSet<PrincipalId>,
    accounts: BTreeSet<String>,
    began: Timestamp,
}

impl Instance {
    /// Those of the given principals that have a permission set, on whatever account.
    ///
    /// # Errors
    /// One that could not be read.
    pub async fn holders(
        &self,
        set_arn: &str,
        principals: &BTreeSet<PrincipalId>,
        accounts: &BTreeSet<String>,
    ) -> Result<BTreeSet<PrincipalId>, CloudError> {
        let read = self.read_assignments(set_arn, principals, accounts, None, None).await;
        match read.failed.into_values().next() {
            Some(e) => Err(e),
            None => Ok(read.seen.into_iter().map(|a| a.principal).collect()),
        }
    }

    /// An assignment of a permission set that none of those has who are meant, if there is one.
    ///
    /// # Errors
    /// The classified failure. What was looked at until then is not looked at again within a few minutes.
    pub async fn stranger(
        &self,
        set_arn: &str,
        meant: &BTreeSet<PrincipalId>,
    ) -> Result<Option<Grant>, CloudError> {
        for account in self.provisioned_accounts(set_arn).await? {
            if self.was_searched(set_arn, meant, &account) {
                continue;
            }
            let (_, all) = self.by_pair(set_arn, &account, None).await?;
            if let Some(stranger) = all.iter().find(|a| !meant.contains(&a.principal)) {
                return Ok(Some(Grant { account, principal: stranger.principal.clone() }));
            }
            let memory = &mut *locked(&self.shared.memory);
            if let Some(searched) = memory.searched.get_mut(set_arn) {
                searched.accounts.insert(account);
            }
        }
        Ok(None)
    }

    fn was_searched(&self, set_arn: &str, meant: &BTreeSet<PrincipalId>, account: &str) -> bool {
        let now = self.now();
        let memory = &mut *locked(&self.shared.memory);
        memory.searched.retain(|_, s| !older(s.began, REMEMBERED, now));
        let fresh = || Searched { meant: meant.clone(), accounts: BTreeSet::new(), began: now };
        let searched = memory.searched.entry(set_arn.to_owned()).or_insert_with(fresh);
        if searched.meant != *meant {
            *searched = fresh();
        }
        searched.accounts.contains(account)
    }
}
