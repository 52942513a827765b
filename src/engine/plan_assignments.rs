//! Which assignments are to be made and removed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::clients::aws::assignments::PrincipalId;

/// One assignment of the permission set in question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// The account.
    pub account: String,
    /// Who gets it.
    pub principal: PrincipalId,
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on account {}", self.principal, self.account)
    }
}

/// Everything that decides about assignments.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What should exist: bound principals on active accounts.
    pub desired: BTreeSet<Grant>,
    /// What exists, as far as it was read.
    pub observed: BTreeSet<Grant>,
    /// Principals whose assignments could not be read: only stated removals are decided about them.
    pub unread: BTreeSet<PrincipalId>,
    /// What is ours.
    pub ledger: BTreeSet<Grant>,
    /// What of the ledger the spec no longer asks for.
    pub stated: BTreeSet<Grant>,
    /// What is being created or removed right now.
    pub running: BTreeSet<Grant>,
    /// What AWS failed to create or remove; true: it is time to try again.
    pub failed: BTreeMap<Grant, bool>,
    /// What is removed by AWS's word, while no reading says so yet.
    pub awaited: BTreeSet<Grant>,
    /// Whether it is known what runs and what has ended: without that, what is not seen may still be on its way.
    pub settled: bool,
    /// Whether creations may go on: the permission set is as it should be, or will be before they begin.
    pub open: bool,
    /// Whether creations that may not go on now will in a moment, as far as anybody can tell.
    pub soon: bool,
    /// Accounts where somebody may come who could not be looked up.
    pub expected: BTreeSet<String>,
    /// Accounts where removals have waited long enough for what should come before them.
    pub overdue: BTreeSet<String>,
}

/// What is to be done. The lists do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignmentPlan {
    /// Exists and is wanted, but is not in the ledger: enter it, without a call to the cloud.
    pub enter: BTreeSet<Grant>,
    /// Leave the ledger: wanted no more, and gone.
    pub forget: BTreeSet<Grant>,
    /// Create.
    pub create: BTreeSet<Grant>,
    /// Remove now.
    pub remove: BTreeSet<Grant>,
    /// Remove once what is wanted on the same account exists: the last assignment of a (set, account) pair takes the
    /// role with it, and a new role gets another name (contract aws 0.1, fact 9).
    pub remove_later: BTreeSet<Grant>,
    /// Creations are not open, or AWS failed and its time has not come: nothing is done now.
    pub held: BTreeSet<Grant>,
}

/// Decides. A stated removal waits only for creations on its account that are under way or about to be, and not for
/// ever: one that has failed, or cannot begin, does not keep access alive.
#[must_use]
pub fn plan_assignments(facts: &Facts) -> AssignmentPlan {
    let mut plan = AssignmentPlan::default();
    let unread = |g: &Grant| facts.unread.contains(&g.principal);
    let rests = |g: &Grant| facts.failed.get(g).is_some_and(|due| !due);
    let mut coming: BTreeSet<&str> = facts.expected.iter().map(String::as_str).collect();

    for grant in &facts.desired {
        if facts.observed.contains(grant) {
            if !facts.ledger.contains(grant) {
                plan.enter.insert(grant.clone());
            }
            continue;
        }
        // What is ours is there as far as anybody can tell when it cannot be read.
        let there = unread(grant) && facts.ledger.contains(grant);
        // Once failed, a creation no longer holds back a removal, also while it is tried again.
        if (facts.open || facts.soon) && !there && !facts.failed.contains_key(grant) {
            coming.insert(&grant.account);
        }
        if unread(grant) || facts.running.contains(grant) {
            continue;
        }
        if facts.open && !rests(grant) {
            plan.create.insert(grant.clone());
        } else {
            plan.held.insert(grant.clone());
        }
    }

    for grant in facts.stated.intersection(&facts.ledger) {
        if facts.desired.contains(grant) || facts.running.contains(grant) || facts.awaited.contains(grant) {
            continue;
        }
        if !facts.observed.contains(grant) && !unread(grant) {
            if !facts.settled {
                // Forgotten now and created a moment later, it would be nobody's and stay for ever.
                continue;
            }
            plan.forget.insert(grant.clone());
        } else if rests(grant) {
            plan.held.insert(grant.clone());
        } else if coming.contains(grant.account.as_str()) && !facts.overdue.contains(&grant.account) {
            plan.remove_later.insert(grant.clone());
        } else {
            // Also one that could not be read: removing what is not there does no harm.
            plan.remove.insert(grant.clone());
        }
    }
    plan
}

impl AssignmentPlan {
    /// The ledger that must be written before anything of the plan is carried out.
    #[must_use]
    pub fn ledger(&self, ledger: &BTreeSet<Grant>) -> BTreeSet<Grant> {
        let kept = ledger.difference(&self.forget);
        kept.chain(&self.enter).chain(&self.create).cloned().collect()
    }
}

#[cfg(test)]
#[path = "plan_assignments_tests.rs"]
mod tests;
