//! What a pass came to, as status. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::apply::Applied;
use super::commands;
use super::lists::{self, SHOWN};
use super::observe::Observed;
use super::principals::{self, Standing};
use crate::api::PlanSummary;
use crate::api::v1alpha1::{AssignmentFailure, PermissionSetBinding, PermissionSetBindingStatus};
use crate::clients::aws::assignments::PrincipalId;
use crate::controllers::handled_reconcile;
use crate::engine::plan_assignments::Grant;
use crate::problem::{Class, Problem};
use crate::status::{ConditionSet, Reason, Verdict, condition};

const SET: &str = "PermissionSetReady";
const PRINCIPALS: &str = "PrincipalsResolved";
const ASSIGNMENTS: &str = "AssignmentsReady";
const PARTS: [&str; 3] = [SET, PRINCIPALS, ASSIGNMENTS];

/// What is true after a pass.
#[derive(Debug)]
pub struct Report {
    /// The next status.
    pub status: PermissionSetBindingStatus,
    /// The class that decides when to look again.
    pub class: Option<Class>,
    /// Something failed, and all that did passes by itself.
    pub passes: bool,
    /// All that there is to say is nobody's business: the conditions are as they were.
    pub silent: bool,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// Work is under way or waits for its turn.
    pub busy: bool,
    /// Somebody waits for a provisioning cycle.
    pub waiting: bool,
    /// How long the failure that is next in line rests.
    pub rest: Option<Duration>,
}

/// A plan that is not carried out.
#[derive(Debug)]
pub struct Shown {
    /// The plan.
    pub plan: PlanSummary,
    /// What to do to have it carried out.
    pub remedy: String,
}

type Said = (Verdict, Reason, String);

/// A status with this generation's stamp on what is recorded.
fn base(object: &PermissionSetBinding) -> PermissionSetBindingStatus {
    PermissionSetBindingStatus {
        observed_generation: object.metadata.generation,
        last_handled_reconcile_at: handled_reconcile(object),
        ..object.status.clone().unwrap_or_default()
    }
}

fn conditions(object: &PermissionSetBinding, now: Timestamp) -> ConditionSet {
    ConditionSet::new(object.metadata.generation.unwrap_or_default(), now)
}

/// Ready, and what follows from it.
fn summarize(set: &mut ConditionSet, ready: Said, stalled: bool, reconciling: bool) {
    let (verdict, reason, message) = ready;
    if stalled {
        set.set("Stalled", Verdict::True, reason, message.clone());
    } else if reconciling && verdict != Verdict::True {
        set.set("Reconciling", Verdict::True, reason, message.clone());
    }
    set.set("Ready", verdict, reason, message);
}

fn verdict_of(problem: &Problem) -> Verdict {
    match problem.class {
        Class::Transient | Class::Pending | Class::Throttled | Class::Conflict => Verdict::Unknown,
        Class::Invalid | Class::Blocked | Class::Denied | Class::Guarded => Verdict::False,
    }
}

fn said(problem: &Problem) -> Said {
    (verdict_of(problem), problem.reason, problem.message.clone())
}

/// Nothing is read or written, by the binding's own word or by that of its federation.
#[must_use]
pub fn suspended(
    object: &PermissionSetBinding,
    federation: Option<&str>,
    now: Timestamp,
) -> PermissionSetBindingStatus {
    let mut status = base(object);
    let mut set = conditions(object, now);
    let message = match federation {
        None => "spec.suspend is true: set it to false to go on".to_owned(),
        Some(name) => format!(
            "IdentityFederation {name} is suspended, and its bindings with it: set its spec.suspend to false to go on"
        ),
    };
    set.set("Ready", Verdict::False, Reason::Suspended, message);
    keep_parts(&mut set, &status);
    status.conditions = set.finish(&status.conditions);
    status
}

/// A problem that ended the pass before anything was learnt about the parts.
#[must_use]
pub fn stopped(
    object: &PermissionSetBinding,
    problem: &Problem,
    now: Timestamp,
) -> PermissionSetBindingStatus {
    let mut status = base(object);
    if problem.class.is_silent() {
        return object.status.clone().unwrap_or_default();
    }
    let mut set = conditions(object, now);
    keep_parts(&mut set, &status);
    summarize(&mut set, said(problem), problem.class.is_stalled(), !problem.class.is_stalled());
    status.conditions = set.finish(&status.conditions);
    status
}

/// The parts stay as they were.
fn keep_parts(set: &mut ConditionSet, status: &PermissionSetBindingStatus) {
    for part in PARTS {
        if let Some((verdict, reason, message)) = kept(part, status) {
            set.set(part, verdict, reason, message);
        }
    }
}

/// What was said of a part.
fn kept(part: &str, status: &PermissionSetBindingStatus) -> Option<Said> {
    let old = condition(&status.conditions, part)?;
    let reason = Reason::ALL.iter().find(|r| r.as_str() == old.reason)?;
    let verdict = match old.status.as_str() {
        "True" => Verdict::True,
        "False" => Verdict::False,
        _ => Verdict::Unknown,
    };
    Some((verdict, *reason, old.message.clone()))
}

fn of_this_generation(part: &str, object: &PermissionSetBinding) -> bool {
    let old = object.status.as_ref().and_then(|s| condition(&s.conditions, part));
    old.is_some_and(|c| c.observed_generation == object.metadata.generation)
}

/// What a clean-up came to that is not done yet.
#[must_use]
pub fn deleting(
    object: &PermissionSetBinding,
    blocked: bool,
    message: &str,
    counts: (usize, usize),
    failures: Vec<AssignmentFailure>,
    now: Timestamp,
) -> PermissionSetBindingStatus {
    let mut status = base(object);
    let mut set = conditions(object, now);
    let reason = if blocked { Reason::DeletionBlocked } else { Reason::Deleting };
    set.set("Ready", Verdict::False, reason, message);
    status.desired = 0;
    status.current = number(counts.0);
    status.pending = number(counts.1);
    status.failed = number(failures.len());
    status.failures = failures.into_iter().take(SHOWN).collect();
    (status.stale_accounts, status.waiting, status.plan) = (0, Vec::new(), None);
    status.conditions = set.finish(&status.conditions);
    status
}

/// What is true after a pass that read everything it could. `shown`: the plan was not carried out.
#[must_use]
pub fn report(
    object: &PermissionSetBinding,
    observed: &Observed,
    applied: &Applied,
    shown: Option<Shown>,
    now: Timestamp,
) -> Report {
    let problems: Vec<&Problem> = [
        observed.set.problem.as_ref(),
        applied.problem.as_ref(),
        observed.accounts.problem.as_ref(),
        observed.work.as_ref(),
    ]
    .into_iter()
    .flatten()
    .chain(observed.subjects.iter().filter_map(|s| match &s.standing {
        Standing::Unknown(problem) => Some(problem),
        _ => None,
    }))
    .collect();
    let tally = Tally::of(observed);
    let waiting = observed.subjects.iter().any(|s| {
        matches!(&s.standing, Standing::Waiting(Reason::AwaitingProvisioning | Reason::NotInIdentityStore, _))
    });
    let unread = observed.assigned.unread.values().min_by_key(|e| e.is_throttle()).cloned();
    let unread = unread.map(|e| Problem::from_cloud(e, "read the assignments"));
    let problems: Vec<&Problem> = problems.into_iter().chain(&unread).collect();
    let failed = problems.iter().filter(|p| !p.class.is_silent());
    let edited = applied.created_set || applied.edits > 0;
    let rests = observed.failures().map(|(_, w)| w.rest).chain(observed.set.failed.values().map(|w| w.rest));
    // Nothing may begin while nobody can tell what runs.
    let is_blind = observed.work.is_some() && observed.assigned.running.is_empty();
    let mut report = Report {
        status: base(object),
        // What waits for its turn comes back soon, whatever else is wrong.
        class: problems.iter().map(|p| p.class).max_by_key(|c| c.is_silent()),
        passes: failed.clone().count() > 0 && failed.clone().all(|p| p.class == Class::Transient),
        silent: !problems.is_empty() && failed.count() == 0,
        retry_after: problems.iter().filter_map(|p| p.retry_after).max(),
        busy: (observed.is_busy() && applied.problem.is_none() && !is_blind)
            || edited
            || applied.did_something(),
        waiting,
        rest: rests.min(),
    };
    if report.silent {
        // Throttling is a delay, never a condition.
        report.status = object.status.clone().unwrap_or_default();
        // What was asked for was looked at: else every pass would read everything anew, and be throttled the more.
        report.status.last_handled_reconcile_at = handled_reconcile(object);
        return report;
    }

    let mut set = conditions(object, now);
    let unmanaged = lists::unmanaged(observed, object.status.as_ref());
    let others = lists::left_alone(unmanaged.as_ref());
    let hindered = [observed.accounts.problem.as_ref(), applied.problem.as_ref(), unread.as_ref()];
    let hindered = hindered.into_iter().flatten().min_by_key(|p| p.class.is_silent());
    let parts = [
        (set_part(object, observed, edited), observed.set.problem.as_ref()),
        (principals_part(observed), quiet(observed)),
        (
            assignments_part(object, observed, &tally, hindered, &others),
            hindered.into_iter().chain(&observed.work).min_by_key(|p| p.class.is_silent()),
        ),
    ];
    // What only waits for its turn is nobody's business: what was said of that part before holds.
    let mut unread_parts = BTreeSet::new();
    for (part, (told, problem)) in PARTS.into_iter().zip(parts) {
        let waits = problem.filter(|p| p.class.is_silent() && told.0 == Verdict::Unknown);
        let before = || kept(part, &report.status).filter(|_| of_this_generation(part, object));
        let (verdict, reason, message) = match waits {
            Some(problem) => before().unwrap_or_else(|| said(problem)),
            None => told,
        };
        unread_parts.extend(waits.map(|_| part));
        set.set(part, verdict, reason, message);
    }
    // Who only looks has nothing to wait for; but what nobody could do anything about comes before that.
    let refused = observed.set.problem.as_ref().is_some_and(|p| verdict_of(p) == Verdict::False);
    let (ready, stalled, reconciling) = match &shown {
        Some(shown) if !refused => (observed_only(shown), false, false),
        _ => ready(&set, observed, &tally, &others),
    };
    let (ready, stalled, reconciling) = match &observed.leaving {
        Some(federation) => (left_by(object, federation), true, false),
        None => (ready, stalled, reconciling),
    };
    if report.class.is_none() && stalled {
        report.class = Some(Class::Guarded);
    }
    summarize(&mut set, ready, stalled, reconciling);

    let status = &mut report.status;
    // It is the word for a set that something else defines that something of ours may be there.
    if (shown.is_none() || !observed.set.is_elsewhere) && !unread_parts.contains(SET) {
        status.permission_set_arn.clone_from(&observed.set.arn);
    }
    if !unread_parts.contains(ASSIGNMENTS) {
        status.desired = number(tally.desired);
        // What could not be read is as it was, as far as anybody can tell.
        if !observed.is_unread() {
            status.current = number(tally.current);
            status.pending = number(tally.pending);
        }
    }
    if !unread_parts.contains(SET) {
        status.stale_accounts = number(observed.set.stale.len());
    }
    if !unread_parts.contains(PRINCIPALS) {
        status.waiting = lists::waiting(observed, object.status.as_ref(), now);
    }
    status.failed = number(tally.failed);
    status.failures = lists::failures(object, observed);
    status.unmanaged = unmanaged;
    status.plan = shown.map(|s| s.plan);
    status.conditions = set.finish(&status.conditions);
    report
}

struct Tally {
    desired: usize,
    current: usize,
    pending: usize,
    failed: usize,
}

impl Tally {
    fn of(observed: &Observed) -> Self {
        let seen = &observed.assigned.observed;
        let failed: BTreeSet<_> = observed.failures().map(|(grant, _)| grant).collect();
        let missing = observed.desired.iter().filter(|g| !seen.contains(*g));
        let gone = |g: &Grant| !seen.contains(g) && !observed.assigned.awaited.contains(g);
        let leaving = observed.stated.iter().filter(|g| !gone(g));
        let readable =
            |g: &&Grant| !failed.contains(*g) && !observed.assigned.unread.contains_key(&g.principal);
        let unbound = observed.subjects.iter().filter(|s| s.holder().is_none()).count();
        let holders: BTreeSet<&PrincipalId> = observed.subjects.iter().filter_map(|s| s.holder()).collect();
        let current = seen
            .iter()
            .filter(|g| holders.contains(&g.principal) && observed.accounts.named.contains(&g.account));
        Self {
            desired: (holders.len() + unbound) * observed.accounts.named.len(),
            current: current.count(),
            pending: missing.chain(leaving).filter(readable).count(),
            failed: failed.len() + observed.set.failed.len(),
        }
    }
}

/// The federation that the binding needs is being deleted, and waits for the binding to go.
fn left_by(object: &PermissionSetBinding, federation: &str) -> Said {
    let message = format!(
        "IdentityFederation {federation} is being deleted and waits for this binding: delete the binding too ({}); until then what it gave stays",
        commands::delete(object)
    );
    (Verdict::False, Reason::FederationNotReady, message)
}

fn set_part(object: &PermissionSetBinding, observed: &Observed, edited: bool) -> Said {
    let set = &observed.set;
    if let Some(problem) = &set.problem {
        return said(problem);
    }
    if let Some((account, work)) = set.failed.iter().next() {
        let message = format!(
            "{} of {} out-of-date accounts could not be provisioned; account {account}: {}",
            set.failed.len(),
            set.stale.len(),
            lists::explained(object, account, &work.reason)
        );
        return (Verdict::False, Reason::ProvisioningFailed, message);
    }
    if edited || !set.steps.is_empty() {
        return (Verdict::Unknown, Reason::Progressing, "the permission set is being changed".to_owned());
    }
    if !set.stale.is_empty() {
        let message = format!(
            "{} being brought up to the changed permission set",
            count(set.stale.len(), "account is", "accounts are")
        );
        return (Verdict::Unknown, Reason::Progressing, message);
    }
    (Verdict::True, Reason::Succeeded, "the permission set is as specified".to_owned())
}

/// The worst comes first: what a person must decide, what somebody must do, what passes by itself.
fn principals_part(observed: &Observed) -> Said {
    let rank = |standing: &Standing| match standing {
        Standing::Changed(_) => 0,
        Standing::Waiting(Reason::NotInProvisioningScope, _) => 2,
        // Who only waits for an answer's turn: after those of whom there is something to say.
        Standing::Unknown(problem) if problem.class.is_silent() => 5,
        Standing::Unknown(_) => 3,
        Standing::Waiting(Reason::AwaitingProvisioning, _) => 4,
        Standing::Waiting(..) => 1,
        Standing::Bound(_) => 6,
    };
    let open: Vec<_> = observed.subjects.iter().filter(|s| rank(&s.standing) < 6).collect();
    let Some(worst) = open.iter().min_by_key(|s| rank(&s.standing)) else {
        let message = match observed.subjects.len() {
            0 => "spec.principals is empty: nobody gets the permission set, and what this binding gave before is taken back".to_owned(),
            1 => "the principal is in the identity store".to_owned(),
            n => format!("all {n} principals are in the identity store"),
        };
        return (Verdict::True, Reason::Succeeded, message);
    };
    // Those who could not be looked up are not in the list: nothing is known about them.
    let listed = open.iter().any(|s| !matches!(s.standing, Standing::Unknown(_)));
    let more = match (open.len() - 1, listed) {
        (0, _) => String::new(),
        (n, true) => format!(" (and {n} more: see status.waiting)"),
        (n, false) => format!(" (and {n} more)"),
    };
    let (verdict, reason, message) = match &worst.standing {
        Standing::Changed(message) => (Verdict::False, Reason::PrincipalIdentityChanged, message.clone()),
        Standing::Waiting(reason, message) => (Verdict::False, *reason, message.clone()),
        Standing::Unknown(problem) => said(problem),
        Standing::Bound(_) => return (Verdict::True, Reason::Succeeded, String::new()),
    };
    (verdict, reason, format!("{message}{more}"))
}

/// Why principals could not be looked up yet, when that is a delay and there is nothing to say of any other.
fn quiet(observed: &Observed) -> Option<&Problem> {
    fn delay(standing: &Standing) -> Option<&Problem> {
        match standing {
            Standing::Unknown(problem) if problem.class.is_silent() => Some(problem),
            _ => None,
        }
    }
    let mut open = observed.subjects.iter().map(|s| &s.standing).filter(|s| !matches!(s, Standing::Bound(_)));
    let first = delay(open.next()?)?;
    open.all(|standing| delay(standing).is_some()).then_some(first)
}

fn assignments_part(
    object: &PermissionSetBinding,
    observed: &Observed,
    tally: &Tally,
    problem: Option<&Problem>,
    others: &str,
) -> Said {
    let accounts = &observed.accounts;
    let waits = problem.is_some_and(|p| p.class.is_silent());
    if let Some(problem) = problem.filter(|_| !waits) {
        return said(problem);
    }
    if let Some((account, why)) = accounts.missing.iter().next() {
        let more = match accounts.missing.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let message =
            format!("account {account} {why}{more}: correct spec.accounts; the other accounts are served");
        return (Verdict::False, Reason::AccountNotFound, message);
    }
    if let Some((grant, work)) = observed.failures().next() {
        let number = observed.failures().count();
        let message = format!(
            "{} could not be made or removed; account {}: {}; trying again",
            count(number, "assignment", "assignments"),
            grant.account,
            lists::explained(object, &grant.account, &work.reason)
        );
        return (Verdict::False, Reason::AssignmentFailed, message);
    }
    if let Some(problem) = problem {
        return said(problem);
    }
    if tally.pending > 0 && !observed.is_open() && observed.assigned.running.is_empty() {
        let message = format!(
            "{} of {} assignments exist; the others wait for the permission set",
            tally.current, tally.desired
        );
        return (Verdict::Unknown, Reason::Progressing, message);
    }
    // A look that fails for a while is worth no word while something runs; one that is denied would never be told of.
    let untold = |work: &&Problem| observed.assigned.running.is_empty() || verdict_of(work) == Verdict::False;
    if let Some(work) = observed.work.as_ref().filter(untold) {
        return said(work);
    }
    if tally.pending > 0 {
        let message = format!(
            "{} of {} assignments exist, {} being made or removed",
            tally.current,
            tally.desired,
            count(tally.pending, "is", "are")
        );
        return (Verdict::Unknown, Reason::Progressing, message);
    }
    if let Some(work) = &observed.work {
        return said(work);
    }
    if tally.current == tally.desired {
        let message = format!("all {} assignments exist{others}", tally.desired);
        return (Verdict::True, Reason::Succeeded, message);
    }
    // Not all that the spec asks for is there, and why is said of the principals.
    let (verdict, reason, _) = principals_part(observed);
    let message = format!(
        "{} of {} assignments exist; the others wait for their principals (see {PRINCIPALS}){others}",
        tally.current, tally.desired
    );
    (verdict, reason, message)
}

/// Ready from its parts: what is wrong before what is not known yet. Also whether only a person can help, and
/// whether it goes on by itself.
fn ready(set: &ConditionSet, observed: &Observed, tally: &Tally, others: &str) -> (Said, bool, bool) {
    let parts: Vec<Said> = PARTS.iter().filter_map(|part| set.first_failing(&[*part])).collect();
    let worst = parts.iter().find(|p| p.0 == Verdict::False).or_else(|| parts.first());
    let Some(worst) = worst else {
        let message = match tally.desired {
            0 => format!(
                "the permission set is as specified, and nobody has it through this binding: spec.principals is empty{others}"
            ),
            n => format!("the permission set is as specified and all {n} assignments exist{others}"),
        };
        return ((Verdict::True, Reason::Succeeded, message), false, false);
    };
    let guarded = observed.set.problem.as_ref().is_some_and(|p| p.class.is_stalled())
        || observed.subjects.iter().any(|s| principals::class(&s.standing).is_some_and(Class::is_stalled));
    let stalled = worst.0 == Verdict::False && guarded;
    (worst.clone(), stalled, !stalled)
}

fn observed_only(shown: &Shown) -> Said {
    if shown.plan.hash.is_none() {
        return (Verdict::True, Reason::Succeeded, "there is nothing to do".to_owned());
    }
    let message = format!("the plan in status.plan is not carried out: {} to have that done", shown.remedy);
    (Verdict::False, Reason::PlanNotApplied, message)
}

pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

pub fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
