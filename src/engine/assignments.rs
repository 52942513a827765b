//! What is known about the assignments of one permission set.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clients::Due;
use jiff::Timestamp;

use super::instance::Instance;
use super::patience::{Bounds, Sign};
use super::plan_assignments::Grant;
use super::tracker::{Outcome, Target, Verb, older};
use crate::clients::CloudError;
use crate::clients::aws::assignments::PrincipalId;

/// A success that readings have shown is remembered for so many polls more: the next reading may be an older one.
const SEEN_FOR_POLLS: u32 = 10;

/// A removal waits for so many polls for something that does not begin; two minutes at most.
const STUCK_POLLS: u32 = 40;
const STUCK: Duration = Duration::from_secs(120);
/// For something that only waits for its turn it waits so many times as long.
const QUEUED: u32 = 30;

/// The assignments of one permission set, as far as they were asked for.
#[derive(Debug, Default)]
pub struct Assigned {
    /// What exists.
    pub observed: BTreeSet<Grant>,
    /// Principals that could not be read, and why.
    pub unread: BTreeMap<PrincipalId, CloudError>,
    /// What is being created or removed.
    pub running: BTreeMap<Grant, Verb>,
    /// What could not be created or removed.
    pub failed: BTreeMap<Grant, FailedWork>,
    /// What was asked to be removed and is gone by AWS's word, while no reading says so yet.
    pub awaited: BTreeSet<Grant>,
}

/// Work that AWS failed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedWork {
    /// What was tried.
    pub verb: Verb,
    /// What AWS says.
    pub reason: String,
    /// How long it rests before it is tried again; zero: it is time.
    pub rest: Duration,
}

impl Instance {
    /// Reads the assignments of the given principals, and adds what runs and how things ended that readings may not
    /// show yet. Principals for whom there is no time left before `until` are unread.
    pub async fn assigned(
        &self,
        set_arn: &str,
        principals: &BTreeSet<PrincipalId>,
        accounts: &BTreeSet<String>,
        until: &Due,
    ) -> Assigned {
        let read = self.read_assignments(set_arn, principals, accounts, None, Some(until)).await;
        let grant = |account: String, principal: PrincipalId| Grant { account, principal };
        let mut assigned = Assigned { unread: read.failed, ..Assigned::default() };
        assigned.observed = read.seen.into_iter().map(|a| grant(a.account, a.principal)).collect();

        let now = self.now();
        let timing = &self.shared.timing;
        let mut tracker = self.shared.tracker();
        tracker.prune(timing.creation_grace, self.seen_for(), now);
        let outcomes: Vec<(Target, Outcome)> =
            tracker.outcomes_for(set_arn).map(|(t, o)| (t.clone(), o.clone())).collect();
        for (target, outcome) in outcomes {
            let Some(principal) = &target.principal else { continue };
            if !principals.contains(principal) {
                continue;
            }
            let grant = grant(target.account.clone(), principal.clone());
            let Some(asked) = read.asked.get(principal) else {
                // Nothing shows how it is: what was asked for is not asked for again at once.
                match outcome.failure {
                    Some(failure) => {
                        let rest = failure.rest(outcome.at, timing.backoff, now);
                        let failed = FailedWork { verb: outcome.verb, reason: failure.reason, rest };
                        assigned.failed.insert(grant, failed);
                    }
                    None if outcome.verb == Verb::Delete => _ = assigned.awaited.insert(grant),
                    None => {}
                }
                continue;
            };
            let visible = assigned.observed.contains(&grant);
            let as_wanted = visible == (outcome.verb == Verb::Create);
            match outcome.failure {
                // Somebody else did it.
                Some(_) if as_wanted => tracker.forget(&target),
                Some(failure) => {
                    let rest = failure.rest(outcome.at, timing.backoff, now);
                    let failed = FailedWork { verb: outcome.verb, reason: failure.reason, rest };
                    assigned.failed.insert(grant, failed);
                }
                None if as_wanted => tracker.seen(&target, now),
                None if outcome.verb == Verb::Create => _ = assigned.observed.insert(grant),
                // AWS did not find it, and it is there all the same.
                None if outcome.absent && older(outcome.at, self.shared.lag(), *asked) => {
                    tracker.forget(&target);
                }
                None if outcome.absent => {
                    assigned.observed.remove(&grant);
                    assigned.awaited.insert(grant);
                }
                None => _ = assigned.observed.remove(&grant),
            }
        }
        for (verb, target) in tracker.running_for(set_arn) {
            if let Some(principal) = &target.principal {
                assigned.running.insert(grant(target.account.clone(), principal.clone()), verb);
            }
        }
        assigned
    }

    fn seen_for(&self) -> Duration {
        self.shared.timing.poll.saturating_mul(SEEN_FOR_POLLS)
    }

    /// The accounts on which a permission set is being provisioned, and those where that failed.
    #[must_use]
    pub fn provisionings(&self, set_arn: &str) -> (BTreeSet<String>, BTreeMap<String, FailedWork>) {
        let now = self.now();
        let tracker = self.shared.tracker();
        let running = tracker.running_for(set_arn).filter(|(verb, _)| *verb == Verb::Provision);
        let running = running.map(|(_, t)| t.account.clone()).collect();
        let failed = tracker.outcomes_for(set_arn).filter(|(_, o)| o.verb == Verb::Provision);
        let failed = failed.filter_map(|(target, outcome)| {
            let failure = outcome.failure.as_ref()?;
            let rest = failure.rest(outcome.at, self.shared.timing.backoff, now);
            let work = FailedWork { verb: Verb::Provision, reason: failure.reason.clone(), rest };
            Some((target.account.clone(), work))
        });
        (running, failed.collect())
    }

    /// The accounts on which removals of a binding have waited long enough, and when others were tried last in vain.
    #[must_use]
    pub fn waited(&self, owner: &str) -> (BTreeSet<String>, BTreeMap<String, Timestamp>) {
        let stuck = self.shared.timing.poll.saturating_mul(STUCK_POLLS).min(STUCK);
        let bounds = Bounds { stuck, queued: stuck.saturating_mul(QUEUED) };
        let patience = self.shared.patience();
        (patience.overdue(owner, bounds, self.now()), patience.tried(owner))
    }

    /// How it goes on the accounts on which removals of a binding wait; `tried`: where one was tried in vain.
    pub fn note_waits(&self, owner: &str, signs: &BTreeMap<String, Sign>, tried: &BTreeSet<String>) {
        self.shared.patience().note(owner, signs, tried, self.now());
    }

    /// Something about the binding changed: what failed is tried again at once.
    pub fn forgive(&self, set_arn: &str) {
        self.shared.tracker().forgive(set_arn);
    }
}
