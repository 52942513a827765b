//! What exists, as AWS shows it: by principal, or by permission set and account where that is not allowed.
//!
//! Many principals, or many accounts, may take longer than a pass has: what was read serves until all of it is there.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::instance::{Instance, locked};
use super::tracker::{Target, Verb, older};
use crate::clients::aws::assignments::{Assignment, PrincipalId};
use crate::clients::{CloudError, CloudErrorKind, Due, Late, Service};

/// Assignments, and when they were asked for.
pub(super) type Reading = (Timestamp, Arc<Vec<Assignment>>);

/// A role that may not read assignments by principal is asked again after so long.
const DENIED_FOR: Duration = Duration::from_secs(600);
/// A sweep that takes more resyncs than this begins anew.
const LONGEST_SWEEP: u32 = 6;

/// What was read of assignments.
#[derive(Debug, Default)]
pub(super) struct Kept {
    by_principal: Mutex<HashMap<PrincipalId, Reading>>,
    by_pair: Mutex<HashMap<(String, String), Reading>>,
    sweeps: Mutex<Sweeps>,
    /// Reading by principal is for the management account (contract aws 1.6): when it was denied.
    pairs_only: Mutex<Option<Timestamp>>,
}

impl Kept {
    pub(super) fn forget(&self) {
        locked(&self.by_principal).clear();
        locked(&self.by_pair).clear();
        *locked(&self.sweeps) = Sweeps::default();
        *locked(&self.pairs_only) = None;
    }
}

/// Readings that belong together, by what they are about: those who need all of them need them of one time only in so
/// far as they can be had.
#[derive(Debug, Default)]
struct Sweeps(HashMap<u64, Sweep>);

#[derive(Clone, Copy, Debug)]
struct Sweep {
    began: Timestamp,
    /// When all of it was there; it may be used for a while from then on.
    ended: Option<Timestamp>,
}

impl Sweeps {
    /// From when on readings count that are needed together.
    fn since(&mut self, what: u64, keep: Duration, longest: Duration, now: Timestamp) -> Timestamp {
        self.0.retain(|_, sweep| match sweep.ended {
            None => !older(sweep.began, longest, now),
            Some(ended) => !older(ended, keep, now),
        });
        self.0.entry(what).or_insert(Sweep { began: now, ended: None }).began
    }

    /// All of it is there.
    fn ended(&mut self, what: u64, now: Timestamp) {
        if let Some(sweep) = self.0.get_mut(&what) {
            sweep.ended.get_or_insert(now);
        }
    }

    /// The oldest reading that somebody still counts on.
    fn oldest(&self) -> Option<Timestamp> {
        self.0.values().map(|sweep| sweep.began).min()
    }
}

/// What a sweep is about.
fn about(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What was read about some principals.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// What exists.
    pub seen: BTreeSet<Assignment>,
    /// When each was asked about that could be read.
    pub asked: BTreeMap<PrincipalId, Timestamp>,
    /// Those that could not be read, and why.
    pub failed: BTreeMap<PrincipalId, CloudError>,
}

impl Instance {
    /// The assignments of a permission set that concern the given principals, as AWS shows them. Principals whose
    /// assignments could not be read come with the failure; so do those that it was too late for (`until`).
    /// `accounts` are where to look when reading by principal is not possible. `after` makes it read anew what was
    /// read before that moment.
    pub(super) async fn read_assignments(
        &self,
        set_arn: &str,
        principals: &BTreeSet<PrincipalId>,
        accounts: &BTreeSet<String>,
        after: Option<Timestamp>,
        until: Option<&Due>,
    ) -> Readings {
        let mut readings = Readings::default();
        let sweep = about((set_arn, principals));
        let since = self.sweep(sweep);
        let mut unfinished = false;
        for principal in principals {
            let reading = self.read_principal(set_arn, principal, accounts, after, since);
            let read = match until {
                None => Ok(reading.await),
                Some(until) => until.meet(reading).await,
            };
            unfinished |= read.is_err();
            match read.unwrap_or_else(|late| Err(too_late(late))) {
                Ok((asked, found)) => {
                    readings.asked.insert(principal.clone(), asked);
                    readings.seen.extend(found);
                }
                Err(e) => {
                    unfinished |= e.is_throttle();
                    readings.failed.insert(principal.clone(), e);
                }
            }
        }
        // One that fails for another reason is not waited for.
        if !unfinished {
            self.swept(sweep);
        }
        readings
    }

    /// From when on readings count that are needed together.
    fn sweep(&self, what: u64) -> Timestamp {
        // What was asked for meanwhile must still be known when a reading is believed.
        let timing = &self.shared.timing;
        let longest = timing.resync.saturating_mul(LONGEST_SWEEP).min(timing.creation_grace / 2);
        locked(&self.reads.assignments.sweeps).since(what, self.shared.keep(), longest, self.now())
    }

    fn swept(&self, what: u64) {
        locked(&self.reads.assignments.sweeps).ended(what, self.now());
    }

    /// The assignments of a set that one principal has, and when they were asked for. `since`: readings from then on
    /// serve, however long it takes.
    async fn read_principal(
        &self,
        set_arn: &str,
        principal: &PrincipalId,
        accounts: &BTreeSet<String>,
        after: Option<Timestamp>,
        since: Timestamp,
    ) -> Result<(Timestamp, Vec<Assignment>), CloudError> {
        if let Some((asked, all)) = self.by_principal(principal, after, since).await? {
            return Ok((asked, all.iter().filter(|a| a.set_arn == set_arn).cloned().collect()));
        }
        let sweep = about((set_arn, accounts));
        let since = self.sweep(sweep);
        let mut oldest = self.now();
        let mut found = Vec::new();
        for account in accounts {
            let (asked, all) = match self.by_pair_since(set_arn, account, after, Some(since)).await {
                Ok(reading) => reading,
                Err(e) => {
                    if !e.is_throttle() {
                        self.swept(sweep);
                    }
                    return Err(e);
                }
            };
            oldest = oldest.min(asked);
            found.extend(all.iter().filter(|a| a.principal == *principal).cloned());
        }
        self.swept(sweep);
        Ok((oldest, found))
    }

    /// All assignments of a principal; none when they must be read by pair.
    async fn by_principal(
        &self,
        principal: &PrincipalId,
        after: Option<Timestamp>,
        since: Timestamp,
    ) -> Result<Option<Reading>, CloudError> {
        let denied = *locked(&self.reads.assignments.pairs_only);
        if denied.is_some_and(|at| !older(at, DENIED_FOR, self.now())) {
            return Ok(None);
        }
        let kept = locked(&self.reads.assignments.by_principal).get(principal).cloned();
        if let Some(reading) = self.still_good(kept, after, Some(since)) {
            return Ok(Some(reading));
        }
        let asked = self.now();
        match self.sso.assignments_of_principal(principal).await {
            Ok(all) => {
                let reading = (asked, Arc::new(all));
                self.keep_reading(&self.reads.assignments.by_principal, principal.clone(), reading.clone());
                Ok(Some(reading))
            }
            Err(e) if e.kind == CloudErrorKind::Denied => {
                *locked(&self.reads.assignments.pairs_only) = Some(self.now());
                Ok(None)
            }
            // A principal that left the store: its assignments may be there all the same (contract aws 2.2).
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All assignments of a set on an account, whoever has them.
    pub(super) async fn by_pair(
        &self,
        set_arn: &str,
        account: &str,
        after: Option<Timestamp>,
    ) -> Result<Reading, CloudError> {
        self.by_pair_since(set_arn, account, after, None).await
    }

    async fn by_pair_since(
        &self,
        set_arn: &str,
        account: &str,
        after: Option<Timestamp>,
        since: Option<Timestamp>,
    ) -> Result<Reading, CloudError> {
        let key = (set_arn.to_owned(), account.to_owned());
        let kept = locked(&self.reads.assignments.by_pair).get(&key).cloned();
        if let Some(reading) = self.still_good(kept, after, since) {
            return Ok(reading);
        }
        let asked = self.now();
        let all = match self.sso.assignments_of_pair(set_arn, account).await {
            Ok(all) => Arc::new(all),
            // Neither set nor account: nothing is assigned there.
            Err(e) if e.is_not_found() => Arc::default(),
            Err(e) => return Err(e),
        };
        self.keep_reading(&self.reads.assignments.by_pair, key, (asked, Arc::clone(&all)));
        Ok((asked, all))
    }

    /// The assignments of a set on an account, if they were read a moment ago.
    pub(super) fn pair_at_hand(&self, set_arn: &str, account: &str) -> Option<Reading> {
        let key = (set_arn.to_owned(), account.to_owned());
        let kept = locked(&self.reads.assignments.by_pair).get(&key).cloned();
        self.still_good(kept, None, None)
    }

    /// Keeps a reading, and no others that serve nobody any more.
    fn keep_reading<K: Eq + Hash>(&self, readings: &Mutex<HashMap<K, Reading>>, key: K, reading: Reading) {
        let oldest = locked(&self.reads.assignments.sweeps).oldest();
        let serves = |at: Timestamp| self.shared.is_fresh(at) || oldest.is_some_and(|oldest| at >= oldest);
        let mut readings = locked(readings);
        readings.retain(|_, (at, _)| serves(*at));
        readings.insert(key, reading);
    }

    /// A reading that serves: it is fresh, or counts among those that are being made (`since`).
    fn still_good(
        &self,
        kept: Option<Reading>,
        after: Option<Timestamp>,
        since: Option<Timestamp>,
    ) -> Option<Reading> {
        let counts = |at: Timestamp| self.shared.is_fresh(at) || since.is_some_and(|since| at >= since);
        kept.filter(|(at, _)| counts(*at) && after.is_none_or(|after| *at >= after))
    }

    /// What was read about this target is out of date.
    pub(super) fn forget_reading(&self, verb: Verb, target: &Target) {
        if let Some(principal) = &target.principal {
            locked(&self.reads.assignments.by_principal).remove(principal);
        }
        locked(&self.reads.assignments.by_pair).remove(&(target.set_arn.clone(), target.account.clone()));
        if verb == Verb::Delete {
            // The last assignment of an account takes the role with it.
            locked(&self.reads.stale).remove(&target.set_arn);
        }
    }
}

/// There was no time left to read it.
fn too_late(late: Late) -> CloudError {
    CloudError {
        service: Service::SsoAdmin,
        operation: "ListAccountAssignmentsForPrincipal",
        kind: match late {
            Late::Slowed => CloudErrorKind::Throttled { retry_after: None },
            Late::Silent => CloudErrorKind::Transient,
        },
        status: 0,
        code: String::new(),
        message: "no answer in time".to_owned(),
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(30);
    const LONGEST: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_needed_together_serves_until_all_of_it_is_there_and_a_while_longer() {
        let mut sweeps = Sweeps::default();
        let (one, other) = (about(("set", ["a", "b"])), about(("set", ["a"])));
        assert_ne!(one, other);
        assert_eq!(sweeps.since(one, KEEP, LONGEST, at(0)), at(0));
        assert_eq!(sweeps.since(other, KEEP, LONGEST, at(100)), at(100), "each for itself");
        assert_eq!(sweeps.since(one, KEEP, LONGEST, at(500)), at(0), "it goes on, pass after pass");
        sweeps.ended(one, at(510));
        sweeps.ended(one, at(535));
        assert_eq!(sweeps.since(one, KEEP, LONGEST, at(530)), at(0));
        assert_eq!(sweeps.oldest(), Some(at(0)));
        assert_eq!(sweeps.since(one, KEEP, LONGEST, at(541)), at(541), "read anew");
        assert_eq!(sweeps.oldest(), Some(at(100)));
        assert_eq!(sweeps.since(one, KEEP, LONGEST, at(541 + 3601)), at(541 + 3601), "one that never ends");
    }
}
