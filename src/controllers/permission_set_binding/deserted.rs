//! Out-of-date accounts that nobody will be left on. Provisioning one would make a role for nobody (contract aws 1.5),
//! which no call takes away again: the permission set could not be deleted any more (contract aws 1.7).

use std::collections::BTreeSet;

use super::observe::Observed;
use crate::clients::Due;
use crate::engine::plan_assignments::Grant;
use crate::engine::tracker::Verb;
use crate::engine::{Assigned, Instance};
use crate::problem::Problem;

/// Out-of-date accounts where it is not plain that somebody stays.
#[derive(Debug, Default, PartialEq, Eq)]
struct Doubtful {
    /// Something is on its way there, or could not be read: not now.
    wait: BTreeSet<String>,
    /// Nobody of ours is there: others may be.
    ask: BTreeSet<String>,
}

/// Takes the accounts out of the out-of-date ones that are not to be provisioned now.
pub async fn leave_out(observed: &mut Observed, instance: &Instance, until: &Due) {
    let Some(arn) = observed.set.arn.clone() else { return };
    let plan = &observed.plan;
    let leaving: BTreeSet<&Grant> = plan.remove.iter().chain(&plan.remove_later).collect();
    let doubtful = doubtful(&observed.set.stale, &observed.assigned, &leaving);
    observed.set.stale.retain(|account| !doubtful.wait.contains(account));
    let mut ask = doubtful.ask.into_iter();
    while let Some(account) = ask.next() {
        match until.meet(instance.has_assignments(&arn, &account)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => _ = observed.set.stale.remove(&account),
            // There was no time to ask about these: they are a later pass's, once this one's are up to date.
            Err(_) => {
                observed.set.settling = true;
                let late: BTreeSet<String> = ask.chain([account]).collect();
                observed.set.stale.retain(|account| !late.contains(account));
                return;
            }
            Ok(Err(e)) => {
                let unknown: BTreeSet<String> = ask.chain([account]).collect();
                observed.set.stale.retain(|account| !unknown.contains(account));
                let problem = Problem::from_cloud(e, "ask who has the permission set on an account");
                observed.set.problem.get_or_insert(problem);
                return;
            }
        }
    }
}

fn doubtful(stale: &BTreeSet<String>, assigned: &Assigned, leaving: &BTreeSet<&Grant>) -> Doubtful {
    let mut doubtful = Doubtful::default();
    let removed = assigned.running.iter().filter(|(_, verb)| **verb == Verb::Delete).map(|(grant, _)| grant);
    let leaving: BTreeSet<&Grant> = leaving.iter().copied().chain(removed).collect();
    for account in stale {
        let here = |grant: &&Grant| grant.account == *account;
        if assigned.observed.iter().filter(here).any(|g| !leaving.contains(g)) {
            continue;
        }
        let moving = leaving.iter().copied().chain(assigned.running.keys()).any(|g| here(&g));
        let list = if moving || !assigned.unread.is_empty() { &mut doubtful.wait } else { &mut doubtful.ask };
        list.insert(account.clone());
    }
    doubtful
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::aws::assignments::{PrincipalId, PrincipalKind};

    #[test]
    fn only_where_somebody_stays_is_it_plain() {
        let grant = |who: &str, account: &str| Grant {
            account: account.into(),
            principal: PrincipalId { kind: PrincipalKind::Group, id: who.into() },
        };
        let stale: BTreeSet<String> = ["1", "2", "3", "4", "5", "6"].map(String::from).into();
        let assigned = Assigned {
            observed: [grant("a", "1"), grant("a", "2"), grant("b", "2"), grant("a", "3"), grant("a", "4")]
                .into(),
            running: [(grant("a", "4"), Verb::Delete), (grant("a", "5"), Verb::Create)].into(),
            ..Assigned::default()
        };
        let (one, other) = (grant("a", "2"), grant("a", "3"));
        let found = doubtful(&stale, &assigned, &[&one, &other].into());
        let set = |accounts: &[&str]| accounts.iter().map(|a| (*a).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(found, Doubtful { wait: set(&["3", "4", "5"]), ask: set(&["6"]) });
    }
}
