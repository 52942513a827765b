//! Who else has a permission set. That takes a call for each account, so few are looked at in one pass, and each seldom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::instance::{Instance, locked};
use super::plan_assignments::Grant;
use super::tracker::{Target, Verb, older};
use crate::clients::CloudError;
use crate::clients::aws::assignments::{Assignment, PrincipalId, PrincipalKind};

/// So many accounts are looked at in one pass, or the part of all of them that ends a round within a few hours.
const AT_ONCE: usize = 10;
const PASSES: usize = 36;
/// So many resyncs lie between two looks at an account; one where others were seen is looked at in each.
const SELDOM: u32 = 6;

/// What others have of one permission set, as far as it was looked at.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Since when it is known that somebody wants to know: after a start, others have more urgent calls to make.
    wanted: Option<Timestamp>,
    listed: Option<Timestamp>,
    accounts: BTreeMap<String, Option<(Timestamp, BTreeSet<Grant>)>>,
}

impl Survey {
    /// The accounts that hold a role of the set. What was seen on them stays known.
    fn list(&mut self, accounts: BTreeSet<String>, now: Timestamp) {
        self.listed = Some(now);
        self.accounts = accounts
            .into_iter()
            .map(|account| {
                let known = self.accounts.remove(&account).flatten();
                (account, known)
            })
            .collect();
    }

    /// The accounts to look at now, the longest unseen first.
    fn due(&self, seldom: Duration, often: Duration, now: Timestamp) -> Vec<String> {
        let mut due: Vec<(Option<Timestamp>, &String)> = self
            .accounts
            .iter()
            .filter(|(_, look)| match look {
                None => true,
                Some((at, others)) => older(*at, if others.is_empty() { seldom } else { often }, now),
            })
            .map(|(account, look)| (look.as_ref().map(|(at, _)| *at), account))
            .collect();
        due.sort();
        due.truncate(AT_ONCE.max(self.accounts.len().div_ceil(PASSES)));
        due.into_iter().map(|(_, account)| account.clone()).collect()
    }

    fn note(&mut self, account: &str, at: Timestamp, others: BTreeSet<Grant>) {
        if let Some(look) = self.accounts.get_mut(account) {
            *look = Some((at, others));
        }
    }

    /// What others have; none as long as an account was not looked at.
    fn found(&self) -> Option<BTreeSet<Grant>> {
        self.listed?;
        let looks: Option<Vec<&BTreeSet<Grant>>> =
            self.accounts.values().map(|look| look.as_ref().map(|(_, others)| others)).collect();
        Some(looks?.into_iter().flatten().cloned().collect())
    }
}

impl Instance {
    /// The assignments of a set that are not among `ours`, whoever made them; none as long as not every account was
    /// looked at. Readings that were made for other ends a moment ago serve here too. `asked`: a person waits for it;
    /// otherwise it begins with the next resync.
    ///
    /// # Errors
    /// The classified failure; what was seen before it stays known.
    pub async fn others(
        &self,
        set_arn: &str,
        ours: &BTreeSet<Grant>,
        asked: bool,
    ) -> Result<Option<BTreeSet<Grant>>, CloudError> {
        let resync = self.shared.timing.resync;
        let (seldom, often) = (resync.saturating_mul(SELDOM), resync / 2);
        let now = self.now();
        let listed = {
            let mut surveys = locked(&self.reads.surveys);
            let survey = surveys.entry(set_arn.to_owned()).or_default();
            let wanted = *survey.wanted.get_or_insert(now);
            if !asked && survey.listed.is_none() && !older(wanted, often, now) {
                return Ok(None);
            }
            survey.listed
        };
        if listed.is_none_or(|at| older(at, seldom, now)) {
            let accounts = self.provisioned_accounts(set_arn).await?;
            locked(&self.reads.surveys).entry(set_arn.to_owned()).or_default().list(accounts, now);
        }
        let (due, rest) = {
            let surveys = locked(&self.reads.surveys);
            let Some(survey) = surveys.get(set_arn) else { return Ok(None) };
            let due = survey.due(seldom, often, now);
            let rest: Vec<String> = survey.accounts.keys().filter(|a| !due.contains(a)).cloned().collect();
            (due, rest)
        };
        for account in rest {
            if let Some((asked, all)) = self.pair_at_hand(set_arn, &account) {
                self.note_others(set_arn, &account, asked, &all, ours);
            }
        }
        for account in due {
            match self.pair_at_hand(set_arn, &account) {
                Some((asked, all)) => self.note_others(set_arn, &account, asked, &all, ours),
                None => {
                    let asked = self.now();
                    let all = match self.sso.assignments_of_pair(set_arn, &account).await {
                        Ok(all) => all,
                        Err(e) if e.is_not_found() => Vec::new(),
                        Err(e) => return Err(e),
                    };
                    self.note_others(set_arn, &account, asked, &all, ours);
                }
            }
        }
        Ok(locked(&self.reads.surveys).get(set_arn).and_then(Survey::found))
    }

    fn note_others(
        &self,
        set_arn: &str,
        account: &str,
        asked: Timestamp,
        all: &[Assignment],
        ours: &BTreeSet<Grant>,
    ) {
        // What we have just removed may be read a moment longer.
        let removed: BTreeSet<Target> = {
            let tracker = self.shared.tracker();
            let ended = tracker.outcomes_for(set_arn).filter(|(_, o)| o.verb == Verb::Delete);
            let running = tracker.running_for(set_arn).filter(|(verb, _)| *verb == Verb::Delete);
            ended.map(|(target, _)| target.clone()).chain(running.map(|(_, t)| t.clone())).collect()
        };
        let others = all
            .iter()
            .filter(|a| !removed.contains(&Target::from((*a).clone())))
            .map(|a| Grant { account: a.account.clone(), principal: a.principal.clone() })
            .filter(|grant| !ours.contains(grant))
            .collect();
        if let Some(survey) = locked(&self.reads.surveys).get_mut(set_arn) {
            survey.note(account, asked, others);
        }
    }

    /// What a principal is called, if that was read for other ends.
    #[must_use]
    pub fn name_at_hand(&self, principal: &PrincipalId) -> Option<String> {
        match principal.kind {
            PrincipalKind::Group => self.group_at_hand(&principal.id),
            PrincipalKind::User => self.user_at_hand(&principal.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn grant(account: &str) -> Grant {
        let principal = PrincipalId { kind: PrincipalKind::Group, id: "a".into() };
        Grant { account: account.into(), principal }
    }

    fn names(accounts: std::ops::Range<usize>) -> BTreeSet<String> {
        accounts.map(|n| format!("{n:03}")).collect()
    }

    #[test]
    fn a_round_takes_several_passes_and_is_told_only_when_it_is_whole() {
        let (seldom, often) = (Duration::from_secs(3600), Duration::from_secs(300));
        let mut survey = Survey::default();
        assert_eq!(survey.found(), None, "nobody has looked");
        survey.list(names(0..25), at(0));
        let mut sizes = Vec::new();
        for pass in 0..4 {
            let due = survey.due(seldom, often, at(pass * 600));
            sizes.push(due.len());
            for account in due {
                let others = if account == "003" { [grant("003")].into() } else { BTreeSet::new() };
                survey.note(&account, at(pass * 600), others);
            }
            assert_eq!(survey.found().is_some(), pass >= 2, "pass {pass}");
        }
        // In the last two also the one where others were seen.
        assert_eq!(sizes, [10, 10, 6, 1]);
        assert_eq!(survey.found(), Some([grant("003")].into()));
        assert_eq!(survey.due(seldom, often, at(1900)), Vec::<String>::new());
        assert_eq!(survey.due(seldom, often, at(3600)).first().map(String::as_str), Some("000"));
    }

    #[test]
    fn an_account_that_is_new_is_looked_at_and_one_that_is_gone_is_forgotten() {
        let mut survey = Survey::default();
        survey.list(["1".to_owned(), "2".to_owned()].into(), at(0));
        survey.note("1", at(0), [grant("1")].into());
        survey.note("2", at(0), [grant("2")].into());
        survey.note("3", at(0), [grant("3")].into());
        assert_eq!(survey.found(), Some([grant("1"), grant("2")].into()));
        survey.list(["2".to_owned(), "4".to_owned()].into(), at(9));
        assert_eq!(survey.found(), None);
        survey.note("4", at(9), BTreeSet::new());
        assert_eq!(survey.found(), Some([grant("2")].into()));
        survey.list(BTreeSet::new(), at(9));
        assert_eq!(survey.found(), Some(BTreeSet::new()), "on no account there is nobody");
    }

    #[test]
    fn a_large_organization_takes_a_bounded_number_of_passes() {
        let mut survey = Survey::default();
        survey.list(names(0..999), at(0));
        assert_eq!(survey.due(Duration::ZERO, Duration::ZERO, at(0)).len(), 28);
    }
}
