//! Asynchronous work: asking for it, and finding out what became of it (contract aws 1.5, 1.6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::instance::{Instance, Shared, locked};
use super::tracker::{End, NotNow, Running, Target, Ticket, Verb, older};
use crate::clients::aws::assignments::{Assignment, PrincipalId, Progress, RequestItem, StatusWord};
use crate::clients::{CloudError, CloudErrorKind, Service};
use crate::telemetry::Audit;

/// Requests that ended longer ago than this are visible in readings by now.
const RECENT: Duration = Duration::from_secs(600);
/// A permission set is new for so long.
const NEW: Duration = Duration::from_secs(60);
/// At most so many finished requests are asked about one by one.
const MAX_RECENT: usize = 200;

/// Asynchronous work to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Create an assignment.
    Create(Assignment),
    /// Remove an assignment.
    Delete(Assignment),
    /// Bring an account's role up to its permission set.
    Provision {
        /// The permission set.
        set_arn: String,
        /// The account.
        account: String,
    },
}

/// What came of asking.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// AWS does it, or has done it at once.
    Begun,
    /// It was so already.
    Done,
    /// It must wait for its turn.
    NotNow(NotNow),
    /// AWS did not take it for a reason that passes, or nobody knows whether it did.
    Later(CloudError),
    /// AWS refuses this one request; it rests like one that failed.
    Failed,
    /// AWS refuses the caller.
    Refused(CloudError),
}

/// Gives the place back when the caller is cut off in between; nobody knows then what AWS did.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Option<Ticket>,
}

impl Place<'_> {
    fn take(mut self) -> Option<Ticket> {
        self.ticket.take()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.tracker().not_begun(ticket, true);
        }
    }
}

/// A request as `Describe…Status` tells it.
struct Told {
    progress: Progress,
    target: Option<Target>,
}

impl Request {
    fn split(&self) -> (Verb, Target) {
        match self {
            Self::Create(a) => (Verb::Create, a.clone().into()),
            Self::Delete(a) => (Verb::Delete, a.clone().into()),
            Self::Provision { set_arn, account } => (
                Verb::Provision,
                Target { set_arn: set_arn.clone(), account: account.clone(), principal: None },
            ),
        }
    }

    /// The account that it is about.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Create(a) | Self::Delete(a) => &a.account,
            Self::Provision { account, .. } => account,
        }
    }

    const fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "CreateAccountAssignment",
            Self::Delete(_) => "DeleteAccountAssignment",
            Self::Provision { .. } => "ProvisionPermissionSet",
        }
    }
}

impl Instance {
    /// Finds out what runs and what has ended: one list for each kind of work under way, however much there is of
    /// it. Many who ask at the same time share one look.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn settle(&self) -> Result<(), CloudError> {
        let mut looked = self.shared.looking.lock().await;
        let (verbs, unread) = {
            let tracker = self.shared.tracker();
            (tracker.to_look_at(), tracker.is_unread())
        };
        let fresh = looked.is_some_and(|at| !older(at, self.shared.timing.poll / 2, self.now()));
        if verbs.is_empty() || (fresh && !unread) {
            return Ok(());
        }
        // What cannot be read about one kind of work holds up no other kind.
        let mut result = Ok(());
        for verb in verbs {
            result = result.and(self.look(verb).await);
        }
        if result.is_ok() {
            *looked = Some(self.now());
        }
        result
    }

    async fn look(&self, verb: Verb) -> Result<(), CloudError> {
        let listed = self.listed(verb, true).await?;
        let listed: BTreeMap<String, RequestItem> = listed.into_iter().map(|i| (i.id.clone(), i)).collect();
        let (new, missing) = self.shared.tracker().compare(verb, &listed.keys().cloned().collect());
        for id in new {
            let since = listed.get(&id).and_then(|i| i.created).unwrap_or_else(|| self.now());
            match self.told(verb, &id).await {
                Ok(told) => self.note(verb, id, told, since),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        self.shared.tracker().read(verb);
        self.conclude(verb, missing).await
    }

    /// What became of requests that do not run any more. Absence from a list proves nothing: a reading of the
    /// principal does, or AWS's own word on the request.
    async fn conclude(&self, verb: Verb, missing: Vec<(String, Running)>) -> Result<(), CloudError> {
        let mut by_principal: BTreeMap<PrincipalId, usize> = BTreeMap::new();
        for principal in missing.iter().filter_map(|(_, r)| r.target.as_ref()?.principal.as_ref()) {
            *by_principal.entry(principal.clone()).or_default() += 1;
        }
        let asked = self.now();
        for (id, running) in missing {
            if let Some(target) = &running.target
                && let Some(principal) = &target.principal
                && by_principal.get(principal).is_some_and(|n| *n > 1)
                // A reading that does not show an assignment may be one that lags behind its creation.
                && (verb == Verb::Create || older(running.since, self.shared.lag(), asked))
            {
                // One reading for all requests of the principal.
                let read = self
                    .read_assignments(
                        &target.set_arn,
                        &[principal.clone()].into(),
                        &[target.account.clone()].into(),
                        Some(asked),
                        None,
                    )
                    .await;
                let visible = read.seen.iter().any(|a| a.account == target.account);
                if read.failed.is_empty() && visible == (verb == Verb::Create) {
                    let told = Told { progress: Progress::Succeeded, target: None };
                    self.note(verb, id, told, running.since);
                    continue;
                }
            }
            match self.told(verb, &id).await {
                Ok(told) => self.note(verb, id, told, running.since),
                Err(e) if e.is_not_found() => self.shared.tracker().lost(verb, &id),
                Err(e) => return Err(e),
            }
            if let Some(target) = &running.target {
                self.forget_reading(verb, target);
            }
        }
        Ok(())
    }

    /// Whether the recent past of these kinds of work must be learnt before any of it may begin.
    #[must_use]
    pub fn must_learn(&self, verbs: &BTreeSet<Verb>) -> bool {
        !self.shared.tracker().unlearnt().is_disjoint(verbs)
    }

    /// Learns what was asked for and ended a short while ago: after a restart, or when an answer was lost, readings
    /// may not show it yet.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn learn(&self, verbs: &BTreeSet<Verb>) -> Result<(), CloudError> {
        let _looking = self.shared.looking.lock().await;
        let mut result = Ok(());
        for verb in verbs {
            if self.shared.tracker().unlearnt().contains(verb) {
                result = result.and(self.learn_one(*verb).await);
            }
        }
        result
    }

    async fn learn_one(&self, verb: Verb) -> Result<(), CloudError> {
        let now = self.now();
        let mut recent: Vec<(jiff::Timestamp, String)> = self
            .listed(verb, false)
            .await?
            .into_iter()
            .filter(|item| item.status != Some(StatusWord::Running))
            // AWS's clock may be ahead of ours.
            .filter_map(|item| Some((item.created?.min(now), item.id)))
            .filter(|(at, _)| !older(*at, RECENT, now))
            .collect();
        recent.sort();
        let skipped = recent.len().saturating_sub(MAX_RECENT);
        for (at, id) in recent.into_iter().skip(skipped) {
            if self.shared.tracker().is_closed(&id) {
                continue;
            }
            match self.told(verb, &id).await {
                Ok(told) => {
                    // What was read before may not show it yet.
                    if let Some(target) = &told.target {
                        self.forget_reading(verb, target);
                    }
                    self.shared.tracker().note(verb, id, told.target, told.progress, at, at);
                }
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        self.shared.tracker().learnt(verb);
        Ok(())
    }

    /// Asks for work, if there is room for it. An overdue removal is asked for also when it is not known what runs.
    pub(crate) async fn submit(&self, request: &Request, overdue: bool, audit: &Audit) -> Submitted {
        let (verb, target) = request.split();
        let most = match verb {
            Verb::Create | Verb::Delete => self.shared.limits.outstanding_creations,
            Verb::Provision => self.shared.limits.provisionings,
        };
        let started = match (verb, overdue) {
            (Verb::Delete, true) => self.shared.tracker().start_overdue(&target, most, self.now()),
            _ => self.shared.tracker().start(verb, &target, most),
        };
        let place = match started {
            Ok(ticket) => Place { shared: &self.shared, ticket: Some(ticket) },
            Err(not_now) => return Submitted::NotNow(not_now),
        };
        let what = target.to_string();
        let attempt = audit.attempt(Service::SsoAdmin, request.operation(), &what);
        let written = match request {
            Request::Create(a) => {
                self.sso.create_assignment(a).await.map(|(r, call)| ((r.id, r.progress), call))
            }
            Request::Delete(a) => {
                self.sso.delete_assignment(a).await.map(|(r, call)| ((r.id, r.progress), call))
            }
            Request::Provision { set_arn, account } => {
                self.sso.provision(set_arn, account).await.map(|(r, call)| ((r.id, r.progress), call))
            }
        };
        let call = written.as_ref().ok().and_then(|(_, call)| call.clone());
        attempt.ended(&written, call.as_deref());
        let Some(ticket) = place.take() else { return Submitted::NotNow(NotNow::Unread) };

        let now = self.now();
        let mut tracker = self.shared.tracker();
        match written {
            Ok(((id, progress), _)) => {
                let ended = progress != Progress::Running;
                tracker.began(ticket, id, progress, now);
                drop(tracker);
                if ended {
                    self.forget_reading(verb, &target);
                }
                Submitted::Begun
            }
            Err(e) => {
                tracker.not_begun(ticket, e.kind == CloudErrorKind::Transient);
                let crowded = tracker.count(verb) > 0;
                match e.kind {
                    CloudErrorKind::NotFound if verb == Verb::Delete => {
                        tracker.ended(verb, target, End::Absent, now, now);
                        Submitted::Done
                    }
                    // A set of a moment ago is not visible everywhere yet (contract aws 1.11).
                    CloudErrorKind::NotFound if self.is_new(&target.set_arn, now) => Submitted::Later(e),
                    // Too many at once is said in more than one way (contract aws 14).
                    CloudErrorKind::Quota if crowded => Submitted::Later(e),
                    CloudErrorKind::NotFound | CloudErrorKind::Quota | CloudErrorKind::Invalid => {
                        tracker.ended(verb, target, End::Failed(said(&e)), now, now);
                        Submitted::Failed
                    }
                    CloudErrorKind::Denied | CloudErrorKind::Unauthenticated => Submitted::Refused(e),
                    CloudErrorKind::Throttled { .. }
                    | CloudErrorKind::Transient
                    | CloudErrorKind::Conflict => Submitted::Later(e),
                }
            }
        }
    }

    fn is_new(&self, set_arn: &str, now: jiff::Timestamp) -> bool {
        let memory = locked(&self.shared.memory);
        memory.created.values().any(|(set, at)| set.arn == set_arn && !older(*at, NEW, now))
    }

    async fn listed(&self, verb: Verb, running_only: bool) -> Result<Vec<RequestItem>, CloudError> {
        match verb {
            Verb::Create => self.sso.creation_requests(running_only).await,
            Verb::Delete => self.sso.deletion_requests(running_only).await,
            Verb::Provision => self.sso.provisioning_requests(running_only).await,
        }
    }

    async fn told(&self, verb: Verb, id: &str) -> Result<Told, CloudError> {
        match verb {
            Verb::Create | Verb::Delete => {
                let request = match verb {
                    Verb::Create => self.sso.creation_request(id).await?,
                    _ => self.sso.deletion_request(id).await?,
                };
                Ok(Told { progress: request.progress, target: request.assignment.map(Into::into) })
            }
            Verb::Provision => {
                let request = self.sso.provisioning_request(id).await?;
                let target =
                    request.target.map(|(set_arn, account)| Target { set_arn, account, principal: None });
                Ok(Told { progress: request.progress, target })
            }
        }
    }

    fn note(&self, verb: Verb, id: String, told: Told, since: jiff::Timestamp) {
        if let (Some(target), false) = (&told.target, told.progress == Progress::Running) {
            self.forget_reading(verb, target);
        }
        self.shared.tracker().note(verb, id, told.target, told.progress, since, self.now());
    }
}

fn said(error: &CloudError) -> String {
    match (error.code.is_empty(), error.message.is_empty()) {
        (_, false) => error.message.clone(),
        (false, true) => error.code.clone(),
        (true, true) => format!("{} was refused", error.operation),
    }
}
