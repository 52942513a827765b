//! Whose turn it is, and how it goes on the accounts where removals wait. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::engine::patience::Sign;
use crate::engine::plan_assignments::Grant;
use crate::engine::tracker::NotNow;
use crate::engine::{Request, Submitted};

/// The turns of one pass.
#[derive(Debug, Default)]
pub struct Turns {
    /// Accounts where removals have waited long enough.
    pub overdue: BTreeSet<String>,
    /// When removals were tried last in vain, by account.
    pub last_tried: BTreeMap<String, Timestamp>,
    /// Accounts where one was tried in vain in this pass.
    pub in_vain: BTreeSet<String>,
    creations: BTreeMap<String, Sign>,
    removals: BTreeMap<String, Sign>,
}

impl Turns {
    /// At the beginning of a pass.
    #[must_use]
    pub fn new(overdue: BTreeSet<String>, last_tried: BTreeMap<String, Timestamp>) -> Self {
        Self { overdue, last_tried, ..Self::default() }
    }

    /// Removals in the order in which they are tried: what was in vain lately does not hold up the others.
    #[must_use]
    pub fn of_removals<'a>(&self, grants: &'a BTreeSet<Grant>) -> Vec<&'a Grant> {
        let mut grants: Vec<&Grant> = grants.iter().collect();
        grants.sort_by_key(|g| self.last_tried.get(&g.account).copied());
        grants
    }

    /// Takes note of what came of a request.
    pub fn note(&mut self, request: &Request, came: &Submitted) {
        let account = request.account();
        let sign = match (request, came) {
            (_, Submitted::Begun | Submitted::Done) => Sign::Moving,
            (_, Submitted::NotNow(NotNow::Full)) => Sign::Queued,
            // What else goes on there ends; where it should have come first, that counts by itself.
            (Request::Delete(_), Submitted::NotNow(NotNow::Busy)) => Sign::Queued,
            _ => Sign::Stuck,
        };
        let signs = match request {
            Request::Create(_) => &mut self.creations,
            Request::Delete(_) => &mut self.removals,
            Request::Provision { .. } => return,
        };
        let known = signs.entry(account.to_owned()).or_insert(sign);
        if sign == Sign::Moving {
            *known = sign;
        }
        if matches!(request, Request::Delete(_)) && sign == Sign::Stuck {
            self.in_vain.insert(account.to_owned());
        }
    }

    /// How it goes on accounts where removals wait for creations. `being_made`: where one is under way.
    #[must_use]
    pub fn waits<'a>(
        &self,
        waiting: impl Iterator<Item = &'a Grant>,
        being_made: &BTreeSet<&str>,
    ) -> BTreeMap<String, Sign> {
        let rest = if being_made.is_empty() { unreached(&self.creations) } else { Sign::Queued };
        let sign = |account: &String| match self.creations.get(account) {
            _ if being_made.contains(account.as_str()) => Sign::Moving,
            Some(sign) => *sign,
            None => rest,
        };
        waiting.map(|g| (g.account.clone(), sign(&g.account))).collect()
    }

    /// How it goes on accounts where removals were due. What was overdue stays so as long as something is left.
    #[must_use]
    pub fn lags(&self, due: &BTreeSet<Grant>) -> BTreeMap<String, Sign> {
        let rest = unreached(&self.removals);
        let sign = |account: &String| match self.removals.get(account) {
            _ if self.overdue.contains(account) => Sign::Stuck,
            Some(sign) => *sign,
            None => rest,
        };
        let all = due.iter().map(|g| (g.account.clone(), sign(&g.account)));
        all.filter(|(_, sign)| *sign != Sign::Moving).collect()
    }
}

/// How it goes with what was not reached: its turn comes as long as others come to theirs.
fn unreached(signs: &BTreeMap<String, Sign>) -> Sign {
    if signs.values().any(|sign| *sign != Sign::Stuck) { Sign::Queued } else { Sign::Stuck }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::aws::assignments::{Assignment, PrincipalId, PrincipalKind};
    use crate::clients::{CloudError, CloudErrorKind, Service};

    fn grant(account: &str) -> Grant {
        let principal = PrincipalId { kind: PrincipalKind::Group, id: "a".into() };
        Grant { account: account.into(), principal }
    }

    fn assignment(account: &str) -> Assignment {
        let Grant { account, principal } = grant(account);
        Assignment { set_arn: "set".into(), account, principal }
    }

    fn later() -> Submitted {
        Submitted::Later(CloudError {
            service: Service::SsoAdmin,
            operation: "DeleteAccountAssignment",
            kind: CloudErrorKind::Transient,
            status: 500,
            code: String::new(),
            message: String::new(),
            request_id: None,
        })
    }

    #[test]
    fn what_was_tried_in_vain_comes_last_and_the_longest_ago_first_of_those() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let turns = Turns {
            last_tried: [("1".to_owned(), at(9)), ("2".to_owned(), at(5))].into(),
            ..Turns::default()
        };
        let grants = ["1", "2", "3", "4"].map(grant).into();
        let order: Vec<&str> = turns.of_removals(&grants).iter().map(|g| g.account.as_str()).collect();
        assert_eq!(order, ["3", "4", "2", "1"]);
    }

    #[test]
    fn a_creation_that_does_not_begin_is_told_from_one_that_waits_for_its_turn() {
        let waiting = [grant("1"), grant("2")];
        let signs = |came: &[(&str, Submitted)], being_made: &[&str]| {
            let mut turns = Turns::default();
            for (account, came) in came {
                turns.note(&Request::Create(assignment(account)), came);
            }
            let signs = turns.waits(waiting.iter(), &being_made.iter().copied().collect());
            (signs["1"], signs["2"])
        };
        use Sign::{Moving, Queued, Stuck};
        let full = || Submitted::NotNow(NotNow::Full);
        // Nothing was even asked for: the set, or the ledger, is in the way.
        assert_eq!(signs(&[], &[]), (Stuck, Stuck));
        assert_eq!(signs(&[("1", Submitted::Begun)], &[]), (Moving, Queued));
        assert_eq!(signs(&[("1", full())], &[]), (Queued, Queued));
        assert_eq!(signs(&[("1", later())], &[]), (Stuck, Stuck), "the first one stops all");
        assert_eq!(signs(&[("1", later()), ("3", Submitted::Begun)], &[]), (Stuck, Queued));
        assert_eq!(signs(&[("1", Submitted::NotNow(NotNow::Busy))], &["1"]), (Moving, Queued));
        assert_eq!(signs(&[("1", Submitted::Begun), ("1", later())], &[]), (Moving, Queued));
    }

    #[test]
    fn a_removal_that_began_waits_no_more_unless_its_account_was_overdue() {
        let due = ["1", "2", "3"].map(grant).into();
        let mut turns = Turns { overdue: ["2".to_owned()].into(), ..Turns::default() };
        turns.note(&Request::Delete(assignment("1")), &Submitted::Begun);
        turns.note(&Request::Delete(assignment("2")), &Submitted::Begun);
        turns.note(&Request::Delete(assignment("3")), &later());
        let signs = turns.lags(&due);
        assert_eq!(signs, [("2".to_owned(), Sign::Stuck), ("3".to_owned(), Sign::Stuck)].into());
        assert_eq!(turns.in_vain, ["3".to_owned()].into());
        // Nobody knows what runs: all of them are held up by that.
        let mut turns = Turns::default();
        turns.note(&Request::Delete(assignment("1")), &Submitted::NotNow(NotNow::Unread));
        assert!(turns.lags(&due).values().all(|sign| *sign == Sign::Stuck));
    }
}
