//! Asynchronous work in AWS: what runs, what has ended, and what may begin. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::clients::aws::assignments::{Assignment, PrincipalId, Progress};

/// The most outcomes that are remembered.
const MAX_OUTCOMES: usize = 100_000;
/// So far may AWS's clock be ahead of ours.
const AHEAD: Duration = Duration::from_secs(600);

/// Work that runs for so long holds up no removal any more that has waited long enough.
const ENDLESS: Duration = Duration::from_secs(600);

/// A kind of asynchronous work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// `CreateAccountAssignment`.
    Create,
    /// `DeleteAccountAssignment`.
    Delete,
    /// `ProvisionPermissionSet` for one account.
    Provision,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Create, Self::Delete, Self::Provision];
}

/// What work is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The permission set.
    pub set_arn: String,
    /// The account.
    pub account: String,
    /// Who gets or loses it; none for a provisioning.
    pub principal: Option<PrincipalId>,
}

impl From<Assignment> for Target {
    fn from(a: Assignment) -> Self {
        Self { set_arn: a.set_arn, account: a.account, principal: Some(a.principal) }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on account {}", self.set_arn, self.account)?;
        self.principal.as_ref().map_or(Ok(()), |p| write!(f, " for {p}"))
    }
}

/// Work that AWS is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// What it is about; none when AWS does not say.
    pub target: Option<Target>,
    /// When it began.
    pub since: Timestamp,
}

/// How work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was tried.
    pub verb: Verb,
    /// When that was learnt.
    pub at: Timestamp,
    /// Why it failed; none for success.
    pub failure: Option<Failure>,
    /// Since when a reading shows it.
    pub seen: Option<Timestamp>,
    /// AWS said that there was nothing to remove: no proof, since what was made a moment ago is not visible
    /// everywhere (contract aws 1.11).
    pub absent: bool,
}

/// What AWS says of work that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// There was nothing to remove.
    Absent,
    /// It was given up, for this reason.
    Failed(String),
}

/// A failure that AWS reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What AWS says.
    pub reason: String,
    /// How often in a row.
    pub times: u32,
    /// Try again at once: something changed.
    pub forgiven: bool,
}

/// Why work may not begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// It is not known what runs: look first.
    Unread,
    /// Something runs for the same permission set on the same account.
    Busy,
    /// Enough runs already.
    Full,
}

/// A place that is taken while a request is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Everything that is known about asynchronous work on one instance. A new one knows nothing, and so lets nothing
/// begin before it was told what runs.
#[derive(Debug)]
pub struct Tracker {
    running: BTreeMap<(Verb, String), Running>,
    starting: BTreeMap<Ticket, (Verb, Target)>,
    outcomes: BTreeMap<Target, Outcome>,
    /// When each permission set was edited last: a provisioning that began before does not count.
    edited: BTreeMap<String, Timestamp>,
    unread: BTreeSet<Verb>,
    unlearnt: BTreeSet<Verb>,
    /// Requests whose end is known, so that it is not asked for again.
    closed: BTreeMap<String, Timestamp>,
    next: u64,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            running: BTreeMap::new(),
            starting: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            edited: BTreeMap::new(),
            unread: Verb::ALL.into(),
            unlearnt: Verb::ALL.into(),
            closed: BTreeMap::new(),
            next: 0,
        }
    }
}

impl Tracker {
    /// The kinds of work that must be looked at: something runs, or it is not known whether it does.
    #[must_use]
    pub fn to_look_at(&self) -> BTreeSet<Verb> {
        self.unread.iter().copied().chain(self.running.keys().map(|(verb, _)| *verb)).collect()
    }

    /// Whether it is not known what runs.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// The kinds of work whose recent past is not known.
    #[must_use]
    pub fn unlearnt(&self) -> BTreeSet<Verb> {
        self.unlearnt.clone()
    }

    /// The recent past of a kind of work is known now.
    pub fn learnt(&mut self, verb: Verb) {
        self.unlearnt.remove(&verb);
    }

    /// What AWS says is running: returns ids nobody knows yet, and known ones that are not there any more.
    #[must_use]
    pub fn compare(&self, verb: Verb, listed: &BTreeSet<String>) -> (Vec<String>, Vec<(String, Running)>) {
        let new =
            listed.iter().filter(|id| !self.running.contains_key(&(verb, (*id).clone()))).cloned().collect();
        let mine = self.running.iter().filter(|((v, id), _)| *v == verb && !listed.contains(id));
        (new, mine.map(|((_, id), running)| (id.clone(), running.clone())).collect())
    }

    /// The list of what runs was read completely, and everything in it is known.
    pub fn read(&mut self, verb: Verb) {
        self.unread.remove(&verb);
    }

    /// Takes a place for work.
    ///
    /// # Errors
    /// Why it must wait.
    pub fn start(&mut self, verb: Verb, target: &Target, most: usize) -> Result<Ticket, NotNow> {
        if self.unread.contains(&verb) || self.unlearnt.contains(&verb) {
            return Err(NotNow::Unread);
        }
        self.take(verb, target, most, |_| true)
    }

    /// Takes a place for a removal that has waited long enough: what could not be read does not hold it up, nor does
    /// work that AWS never ends. AWS itself refuses what really collides, and removing twice does no harm.
    ///
    /// # Errors
    /// Why it must wait.
    pub fn start_overdue(&mut self, target: &Target, most: usize, now: Timestamp) -> Result<Ticket, NotNow> {
        self.take(Verb::Delete, target, most, |running| !older(running.since, ENDLESS, now))
    }

    fn take(
        &mut self,
        verb: Verb,
        target: &Target,
        most: usize,
        counts: impl Fn(&Running) -> bool,
    ) -> Result<Ticket, NotNow> {
        let same_pair = |t: &Target| t.set_arn == target.set_arn && t.account == target.account;
        let running = self.running.values().filter(|r| counts(r)).filter_map(|r| r.target.as_ref());
        if running.chain(self.starting.values().map(|(_, t)| t)).any(same_pair) {
            return Err(NotNow::Busy);
        }
        if self.counted(verb, counts) >= most {
            return Err(NotNow::Full);
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        self.starting.insert(ticket, (verb, target.clone()));
        Ok(ticket)
    }

    /// How much of a kind runs or begins, that of others included.
    #[must_use]
    pub fn count(&self, verb: Verb) -> usize {
        self.counted(verb, |_| true)
    }

    fn counted(&self, verb: Verb, counts: impl Fn(&Running) -> bool) -> usize {
        let running = self.running.iter().filter(|((v, _), r)| *v == verb && counts(r)).count();
        running + self.starting.values().filter(|(v, _)| *v == verb).count()
    }

    /// AWS took a request.
    pub fn began(&mut self, ticket: Ticket, id: String, progress: Progress, now: Timestamp) {
        if let Some((verb, target)) = self.starting.remove(&ticket) {
            self.note(verb, id, Some(target), progress, now, now);
        }
    }

    /// AWS did not take a request; `unclear` when nobody knows.
    pub fn not_begun(&mut self, ticket: Ticket, unclear: bool) {
        if let Some((verb, _)) = self.starting.remove(&ticket)
            && unclear
        {
            self.unread.insert(verb);
            self.unlearnt.insert(verb);
        }
    }

    /// A request is known to be running or to have ended.
    pub fn note(
        &mut self,
        verb: Verb,
        id: String,
        target: Option<Target>,
        progress: Progress,
        since: Timestamp,
        now: Timestamp,
    ) {
        let known = self.running.remove(&(verb, id.clone()));
        let since = known.as_ref().map_or(since, |k| k.since);
        let target = target.or_else(|| known.and_then(|k| k.target));
        let end = match progress {
            Progress::Running => {
                self.running.insert((verb, id), Running { target, since });
                return;
            }
            Progress::Succeeded => End::Done,
            // A deletion that fails because there is nothing to delete (contract aws 1.6).
            Progress::Failed(reason) if verb == Verb::Delete && is_absence(&reason) => End::Absent,
            Progress::Failed(reason) => End::Failed(reason),
        };
        self.closed.insert(id, now);
        if let Some(target) = target {
            self.ended(verb, target, end, since, now);
        }
    }

    /// A request is not known to AWS any more: only a reading can tell what became of it.
    pub fn lost(&mut self, verb: Verb, id: &str) {
        self.running.remove(&(verb, id.to_owned()));
    }

    /// Work ended.
    pub fn ended(&mut self, verb: Verb, target: Target, end: End, since: Timestamp, now: Timestamp) {
        if verb == Verb::Provision
            && end == End::Done
            && self.edited.get(&target.set_arn).is_some_and(|e| *e > since)
        {
            self.outcomes.remove(&target);
            return;
        }
        if self.outcomes.get(&target).is_some_and(|newer| newer.at > now) {
            return;
        }
        let absent = end == End::Absent;
        let failure = match end {
            End::Done | End::Absent => None,
            End::Failed(reason) => {
                let before = self.outcomes.get(&target).filter(|o| o.verb == verb);
                let before = before.and_then(|o| o.failure.as_ref());
                let times = before.map_or(1, |b| b.times.saturating_add(1));
                Some(Failure { reason, times, forgiven: false })
            }
        };
        if self.outcomes.len() >= MAX_OUTCOMES
            && let Some(oldest) = self.outcomes.iter().min_by_key(|(_, o)| o.at).map(|(t, _)| t.clone())
        {
            self.outcomes.remove(&oldest);
        }
        self.outcomes.insert(target, Outcome { verb, at: now, failure, seen: None, absent });
    }

    /// A permission set was edited: what was provisioned before is stale.
    pub fn edited(&mut self, set_arn: &str, now: Timestamp) {
        self.edited.insert(set_arn.to_owned(), now);
        self.outcomes.retain(|t, o| t.set_arn != set_arn || o.verb != Verb::Provision || o.failure.is_some());
        self.forgive(set_arn);
    }

    /// When a permission set was edited last, if it was lately.
    #[must_use]
    pub fn edited_at(&self, set_arn: &str) -> Option<Timestamp> {
        self.edited.get(set_arn).copied()
    }

    /// Something changed: what failed for a permission set is tried again at once.
    pub fn forgive(&mut self, set_arn: &str) {
        for (_, outcome) in self.outcomes.iter_mut().filter(|(t, _)| t.set_arn == set_arn) {
            if let Some(failure) = &mut outcome.failure {
                failure.forgiven = true;
            }
        }
    }

    /// What runs for one permission set.
    pub fn running_for(&self, set_arn: &str) -> impl Iterator<Item = (Verb, &Target)> {
        let running = self.running.iter().filter_map(|((verb, _), r)| Some((*verb, r.target.as_ref()?)));
        running
            .chain(self.starting.values().map(|(verb, t)| (*verb, t)))
            .filter(move |(_, t)| t.set_arn == set_arn)
    }

    /// How work for one permission set ended.
    pub fn outcomes_for(&self, set_arn: &str) -> impl Iterator<Item = (&Target, &Outcome)> {
        self.outcomes.iter().filter(move |(t, _)| t.set_arn == set_arn)
    }

    /// An outcome is of no use any more.
    pub fn forget(&mut self, target: &Target) {
        self.outcomes.remove(target);
    }

    /// A reading shows what an outcome says.
    pub fn seen(&mut self, target: &Target, now: Timestamp) {
        if let Some(outcome) = self.outcomes.get_mut(target) {
            outcome.seen.get_or_insert(now);
        }
    }

    /// Whether the end of a request is known.
    #[must_use]
    pub fn is_closed(&self, id: &str) -> bool {
        self.closed.contains_key(id)
    }

    /// Forgets successes that readings should show by now (`grace`), and those that they have shown for a while
    /// (`seen`): not at the first sight, since the next reading may be an older one.
    pub fn prune(&mut self, grace: Duration, seen: Duration, now: Timestamp) {
        self.outcomes.retain(|_, o| {
            o.failure.is_some() || !(older(o.at, grace, now) || o.seen.is_some_and(|at| older(at, seen, now)))
        });
        self.closed.retain(|_, at| !older(*at, grace, now));
        self.edited.retain(|_, at| !older(*at, grace, now));
    }
}

impl Failure {
    /// How long it rests before it is tried again: longer with each failure, and not at all once something changed.
    #[must_use]
    pub fn rest(&self, at: Timestamp, (first, longest): (Duration, Duration), now: Timestamp) -> Duration {
        if self.forgiven {
            return Duration::ZERO;
        }
        let delay = first.saturating_mul(2u32.saturating_pow(self.times.min(30))).min(longest);
        // Another clock may be ahead of ours: then it began now.
        delay.saturating_sub(Duration::try_from(now.duration_since(at)).unwrap_or_default())
    }
}

fn is_absence(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("assignment") && (reason.contains("not found") || reason.contains("does not exist"))
}

/// Whether a moment lies longer ago than that. One that lies so far ahead that no difference of clocks explains it was
/// noted before our clock went back: nobody knows how long ago.
pub(super) fn older(at: Timestamp, than: Duration, now: Timestamp) -> bool {
    let apart = now.duration_since(at).unsigned_abs();
    if now >= at { apart >= than } else { apart > than + AHEAD }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
