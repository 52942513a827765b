//! Carries a plan out, as far as it can be done now.

use std::collections::BTreeSet;

use super::ledger::Ledger;
use super::observe::{Observed, passes};
use super::turns::Turns;
use super::{owner, policies, principals};
use crate::api::v1alpha1::PermissionSetBinding;
use crate::clients::aws::assignments::Assignment;
use crate::clients::{CloudError, CloudErrorKind};
use crate::controllers::context::Context;
use crate::engine::patience::Sign;
use crate::engine::plan_assignments::Grant;
use crate::engine::plan_set::SetStep;
use crate::engine::tracker::{NotNow, Verb};
use crate::engine::{Instance, Request, Submitted};
use crate::problem::Problem;
use crate::telemetry::Audit;

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// The permission set was created.
    pub created_set: bool,
    /// So many edits of the permission set were made.
    pub edits: usize,
    /// So many creations were asked for.
    pub creations: usize,
    /// So many removals were asked for.
    pub removals: usize,
    /// So many provisionings were asked for.
    pub provisionings: usize,
    /// What stopped one side.
    pub problem: Option<Problem>,
}

impl Applied {
    /// Whether anything was begun or changed.
    #[must_use]
    pub const fn did_something(&self) -> bool {
        self.created_set || self.edits + self.creations + self.removals + self.provisionings > 0
    }
}

/// Whether to go on with more of the same.
enum Go {
    On,
    Stop,
}

/// After so many accounts in one pass that AWS refuses, or where something else is going on, it is not the accounts.
const MOST_TURNED_AWAY: usize = 5;

struct Hands<'a> {
    instance: &'a Instance,
    audit: &'a Audit,
    done: Applied,
    /// Accounts where AWS takes nothing now: no reason to hold up the others.
    turned_away: BTreeSet<String>,
    /// Accounts where AWS denies something.
    denied: BTreeSet<String>,
    /// What should come before a removal cannot come before somebody does something about it.
    is_stuck: bool,
    /// Whose turn it is.
    turns: Turns,
}

impl<'a> Hands<'a> {
    fn new(instance: &'a Instance, owner: &str, audit: &'a Audit) -> Self {
        let (overdue, last_tried) = instance.waited(owner);
        Self {
            instance,
            audit,
            done: Applied::default(),
            turned_away: BTreeSet::new(),
            denied: BTreeSet::new(),
            is_stuck: false,
            turns: Turns::new(overdue, last_tried),
        }
    }

    fn turn_away(&mut self, account: String) -> Go {
        self.turned_away.insert(account);
        if self.turned_away.len() < MOST_TURNED_AWAY { Go::On } else { Go::Stop }
    }

    async fn ask(&mut self, request: Request) -> Go {
        let account = request.account().to_owned();
        if self.turned_away.contains(&account) {
            return Go::On;
        }
        let overdue = self.turns.overdue.contains(&account);
        let came = self.instance.submit(&request, overdue, self.audit).await;
        self.turns.note(&request, &came);
        match came {
            Submitted::Begun => {
                match request {
                    Request::Create(_) => self.done.creations += 1,
                    Request::Delete(_) => self.done.removals += 1,
                    Request::Provision { .. } => self.done.provisionings += 1,
                }
                Go::On
            }
            Submitted::Done | Submitted::Failed | Submitted::NotNow(NotNow::Busy) => Go::On,
            Submitted::NotNow(_) => Go::Stop,
            Submitted::Later(e) => {
                tracing::debug!(error = %e, "not now; trying again");
                if e.kind == CloudErrorKind::Conflict { self.turn_away(account) } else { Go::Stop }
            }
            Submitted::Refused(e) => {
                let denied = e.kind == CloudErrorKind::Denied;
                self.trouble(e, "change assignments");
                if !denied {
                    return Go::Stop;
                }
                self.denied.insert(account.clone());
                self.turn_away(account)
            }
        }
    }

    fn trouble(&mut self, error: CloudError, doing: &str) {
        self.done.problem.get_or_insert_with(|| Problem::from_cloud(error, doing));
    }

    async fn remove(&mut self, arn: &str, grants: &BTreeSet<Grant>) {
        for grant in self.turns.of_removals(grants) {
            if matches!(self.ask(Request::Delete(assignment(arn, grant))).await, Go::Stop) {
                break;
            }
        }
    }
}

/// Removes assignments that are ours: for a clean-up.
pub async fn remove(
    instance: &Instance,
    owner: &str,
    audit: &Audit,
    arn: &str,
    grants: &BTreeSet<Grant>,
) -> Applied {
    let mut hands = Hands::new(instance, owner, audit);
    note_beginning(instance, owner, grants.iter());
    hands.remove(arn, grants).await;
    instance.note_waits(owner, &hands.turns.lags(grants), &hands.turns.in_vain);
    hands.done
}

/// Should the pass be cut off, its removals have waited all the same.
fn note_beginning<'a>(instance: &Instance, owner: &str, grants: impl Iterator<Item = &'a Grant>) {
    let stuck = grants.map(|g| (g.account.clone(), Sign::Stuck)).collect();
    instance.note_waits(owner, &stuck, &BTreeSet::new());
}

/// Carries out what was planned. What fails stops its own side only; nothing is waited for.
pub async fn apply(
    object: &PermissionSetBinding,
    observed: &mut Observed,
    instance: &Instance,
    audit: &Audit,
    context: &Context,
) -> Applied {
    let owner = owner(object, context);
    let mut hands = Hands::new(instance, &owner, audit);
    note_beginning(instance, &owner, observed.waiting().chain(&observed.plan.remove));
    if let Some(arn) = observed.set.arn.clone() {
        hands.remove(&arn, &observed.plan.remove).await;
    }
    if !bring_about(&mut hands, object, observed, context).await && hands.is_stuck {
        // What should come first cannot come until somebody acts: a stated removal does not wait for that.
        if let Some(arn) = observed.set.arn.clone() {
            hands.remove(&arn, &observed.plan.remove_later).await;
        }
    }
    let being_made: BTreeSet<&str> = observed
        .assigned
        .running
        .iter()
        .filter(|(grant, verb)| **verb == Verb::Create && observed.desired.contains(*grant))
        .map(|(grant, _)| grant.account.as_str())
        .collect();
    let mut signs = hands.turns.waits(observed.waiting(), &being_made);
    signs.extend(hands.turns.lags(&observed.plan.remove));
    instance.note_waits(&owner, &signs, &hands.turns.in_vain);
    hands.done
}

/// Ledger, permission set and assignments; false when the assignments could not even be begun with.
async fn bring_about(
    hands: &mut Hands<'_>,
    object: &PermissionSetBinding,
    observed: &mut Observed,
    context: &Context,
) -> bool {
    // The ledger comes before the mark: a marked set without a ledger is one that lost it.
    let known = observed.set.arn.is_some();
    let mut recorded = known && record(hands, object, observed, context).await;
    let mut open = observed.is_open();
    if open && !observed.set.steps.is_empty() && (recorded || !known || observed.set.marked) {
        open = edit(hands, observed).await;
    }
    if !known {
        recorded = record(hands, object, observed, context).await;
    }
    // What is not in the ledger is not ours, so nothing is created without it.
    let Some(arn) = observed.set.arn.clone().filter(|_| recorded && open) else { return false };

    for account in observed.set.to_provision() {
        let request = Request::Provision { set_arn: arn.clone(), account };
        if matches!(hands.ask(request).await, Go::Stop) {
            break;
        }
    }
    // First where a removal waits for it; last what has failed before.
    let waited_for: BTreeSet<&str> = observed.plan.remove_later.iter().map(|g| g.account.as_str()).collect();
    let failed: BTreeSet<&Grant> = observed.failures().map(|(grant, _)| grant).collect();
    let mut create: Vec<&Grant> = observed.plan.create.iter().collect();
    create.sort_by_key(|g| (failed.contains(g), !waited_for.contains(g.account.as_str())));
    for grant in create {
        if matches!(hands.ask(Request::Create(assignment(&arn, grant))).await, Go::Stop) {
            break;
        }
    }
    // Where AWS denies what should come first, a stated removal does not wait for it.
    let all = hands.denied.len() >= MOST_TURNED_AWAY;
    let denied = |g: &&Grant| all || hands.denied.contains(&g.account);
    let now: BTreeSet<Grant> = observed.plan.remove_later.iter().filter(denied).cloned().collect();
    hands.turned_away.clear();
    hands.remove(&arn, &now).await;
    true
}

/// Writes the ledger; whether it says now what it must say before anything is made.
async fn record(
    hands: &mut Hands<'_>,
    object: &PermissionSetBinding,
    observed: &mut Observed,
    context: &Context,
) -> bool {
    let Some(arn) = observed.set.arn.clone().filter(|_| observed.recordable) else { return false };
    let grants = observed.plan.ledger(&observed.ledger.grants);
    let ledger = if observed.removals_only {
        Ledger { grants, ..observed.ledger.clone() }
    } else {
        Ledger {
            set_arn: Some(arn),
            pins: principals::pins(&observed.ledger, &observed.subjects, &grants),
            unproven: principals::still_unproven(&observed.ledger, &observed.subjects),
            grants,
        }
    };
    if let Err(problem) = ledger.write(object, context).await {
        hands.is_stuck |= !passes(&problem);
        hands.done.problem.get_or_insert(problem);
        return false;
    }
    observed.ledger = ledger;
    true
}

/// Edits the set, and asks anew which accounts that made stale; false when not all went well.
async fn edit(hands: &mut Hands<'_>, observed: &mut Observed) -> bool {
    let planned: BTreeSet<String> = observed.set.stale.clone();
    let steps = std::mem::take(&mut observed.set.steps);
    let edited = hands.instance.edit_set(observed.set.state.take(), &steps, hands.audit).await;
    let (done, left) = steps.split_at(edited.done);
    hands.done.created_set = matches!(done.first(), Some(SetStep::Create { .. }));
    hands.done.edits = edited.done - usize::from(hands.done.created_set);
    observed.set.steps = left.to_vec();
    observed.set.arn = edited.set.as_ref().map(|s| s.set.arn.clone());
    observed.set.state = edited.set;
    if let Some(error) = edited.failure {
        hands.is_stuck |= is_lasting(&error);
        observed.set.problem = Some(policies::refused(error, left.first(), hands.done.created_set));
        return false;
    }
    let Some(arn) = observed.set.arn.clone().filter(|_| !hands.done.created_set) else { return true };
    match hands.instance.stale_accounts(&arn).await {
        Ok(stale) => {
            observed.set.stale = stale.intersection(&planned).cloned().collect();
            observed.set.recall(hands.instance);
            true
        }
        Err(e) => {
            hands.is_stuck |= is_lasting(&e);
            observed.set.problem = Some(Problem::from_cloud(e, "ask which accounts are out of date"));
            false
        }
    }
}

/// Whether trying again is of no use as long as nobody does anything about it.
const fn is_lasting(error: &CloudError) -> bool {
    match error.kind {
        CloudErrorKind::Throttled { .. } | CloudErrorKind::Transient | CloudErrorKind::Conflict => false,
        CloudErrorKind::Unauthenticated
        | CloudErrorKind::Denied
        | CloudErrorKind::NotFound
        | CloudErrorKind::Quota
        | CloudErrorKind::Invalid => true,
    }
}

fn assignment(arn: &str, grant: &Grant) -> Assignment {
    Assignment { set_arn: arn.to_owned(), account: grant.account.clone(), principal: grant.principal.clone() }
}
