//! What is: read from AWS, from Entra where somebody is missing, and from the ledger.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;

use super::claims::{Foreign, Rivals};
use super::deadline::{By, Deadlines, in_time, late, read_in_time};
use super::entra::Directory;
use super::evidence;
use super::ledger::Ledger;
use super::principals::{self, Standing, Subject};
use super::resolve::Resolved;
use super::set_side::{Look, SetSide};
use super::{WAITING_POLLS, deserted, desired, guard, owner};
use crate::api::v1alpha1::{Definition, PermissionSetBinding};
use crate::clients::aws::assignments::PrincipalId;
use crate::controllers::context::Context;
use crate::engine::plan_assignments::{AssignmentPlan, Facts, Grant, plan_assignments};
use crate::engine::plan_set::DesiredSet;
use crate::engine::tracker::Verb;
use crate::engine::{Assigned, FailedWork, Instance};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// The accounts of the spec.
#[derive(Debug, Default)]
pub struct AccountSide {
    /// All that the spec names.
    pub named: BTreeSet<String>,
    /// Those that are active.
    pub active: BTreeSet<String>,
    /// What is wrong with the others.
    pub missing: BTreeMap<String, &'static str>,
    /// Why they could not be looked up.
    pub problem: Option<Problem>,
}

/// What a pass is about.
pub struct Goal {
    /// The permission set as it should be, or why nothing may be done about it.
    pub set: Result<DesiredSet, Problem>,
    /// Nothing but stated removals.
    pub removals_only: bool,
    /// Other bindings that claim the set.
    pub rivals: Rivals,
    /// The set of the ledger, where that is believed without a look at AWS.
    pub known: Option<String>,
}

/// Everything that was read, and what follows from it.
#[derive(Debug)]
pub struct Observed {
    /// The permission set.
    pub set: SetSide,
    /// The principals.
    pub subjects: Vec<Subject>,
    /// The accounts.
    pub accounts: AccountSide,
    /// The ledger, of the set as it is.
    pub ledger: Ledger,
    /// Whether the ledger may be written: not as long as it is lost and nobody has looked what speaks for it.
    pub recordable: bool,
    /// Nothing but stated removals.
    pub removals_only: bool,
    /// What is known about the assignments.
    pub assigned: Assigned,
    /// What should exist, as far as it can.
    pub desired: BTreeSet<Grant>,
    /// What of the ledger is wanted no more.
    pub stated: BTreeSet<Grant>,
    /// What of the ledger may be wanted no more: somebody could not be looked up who may be meant by it.
    pub unsure: BTreeSet<Grant>,
    /// Accounts where removals have waited long enough.
    pub overdue: BTreeSet<String>,
    /// What is to be done about the assignments.
    pub plan: AssignmentPlan,
    /// Why it is not known what runs in AWS.
    pub work: Option<Problem>,
    /// What others have of the permission set; none when nobody has looked everywhere.
    pub others: Option<BTreeSet<Grant>>,
    /// How those others are called, as far as that was read.
    pub other_names: BTreeMap<PrincipalId, String>,
    /// The federation, when it is being deleted.
    pub leaving: Option<String>,
}

/// Reads everything. One side's trouble does not keep the others from being read, and none takes the whole pass.
///
/// # Errors
/// Only when there is nothing that could be removed: the set is another binding's, or what speaks for the principals
/// after the ledger was lost could not be read.
pub async fn observe(
    object: &PermissionSetBinding,
    goal: Goal,
    resolved: &Resolved,
    ledger: Ledger,
    time: &Deadlines,
    context: &Context,
) -> Result<Observed, Problem> {
    let instance = &resolved.instance;
    let work = read_in_time(&time.of(By::Running), "look at what runs in AWS", instance.settle()).await.err();

    let named = desired::accounts(object);
    let lost = ledger.set_arn.is_none();
    let wanted = goal.set.as_ref().ok().cloned();
    let mut set =
        read_set(object, goal.set, resolved, (&goal.rivals, goal.known.as_deref()), time, context).await;
    let mut ledger = match &set.arn {
        Some(arn) => ledger.of_set(arn),
        // No set, no assignments.
        None => Ledger { set_arn: None, grants: BTreeSet::new(), ..ledger },
    };
    if ledger.grants.is_empty()
        && let Some(problem) = set.problem.take_if(|_| set.is_anothers)
    {
        return Err(problem);
    }
    // Also where nobody can tell whose the set is.
    let spared = match &set.state {
        Some(_) if !set.is_anothers => Ok(BTreeSet::new()),
        _ => goal.rivals.hold(&ledger, context).await,
    };
    let spared = spared.map_err(|unreadable| set.problem.take().unwrap_or(unreadable))?;
    let mut directory = Directory::new(context, &resolved.federation);
    let until = time.of(By::Principals);
    let mut subjects = principals::standings(object, &ledger, instance, &mut directory, &until).await;
    let accounts = account_side(named, resolved, time).await;
    // Also where something else is wrong with the set: what is refused may not be touched for what a ledger says.
    if let Some(wanted) = wanted.filter(|_| set.problem.is_none() || set.state.is_some())
        && let Some(problem) =
            guard::refusal(object, &wanted, &set, &subjects, &accounts.named, resolved, time).await
    {
        set.refuse(problem);
        let ours = !lost && (set.marked || goal.known == set.arn);
        if !ours {
            set.arn = None;
            ledger = Ledger { set_arn: None, grants: BTreeSet::new(), ..ledger };
        }
    }
    let places: BTreeSet<String> =
        accounts.named.iter().cloned().chain(ledger.grants.iter().map(|g| g.account.clone())).collect();
    if let Some(arn) = set.arn.as_ref().filter(|_| lost && set.marked) {
        let weighed = evidence::weigh(object, subjects, arn, &places, instance);
        (subjects, ledger.unproven) = in_time(&time.of(By::Assignments), evidence::DOING, weighed).await?;
    }

    let (overdue, _) = instance.waited(&owner(object, context));
    let desired = wanted_grants(&subjects, &accounts);
    let (stated, unsure) = principals::stated(&ledger, &subjects, &accounts.named, &overdue);
    let stated = stated.difference(&spared).cloned().collect();
    let concerned = concerned(&subjects, &ledger);
    let going = resolved.federation.metadata.deletion_timestamp.is_some();

    let mut observed = Observed {
        recordable: !lost || set.state.is_some() || set.problem.is_none(),
        removals_only: goal.removals_only || set.is_anothers,
        set,
        subjects,
        accounts,
        ledger,
        assigned: Assigned::default(),
        desired,
        stated,
        unsure,
        overdue,
        plan: AssignmentPlan::default(),
        work,
        others: None,
        other_names: BTreeMap::new(),
        leaving: going.then(|| resolved.federation.name_any()),
    };
    observed.read_assignments(instance, &concerned, &places, time).await;
    deserted::leave_out(&mut observed, instance, &time.of(By::Past)).await;
    Ok(observed)
}

async fn read_set(
    object: &PermissionSetBinding,
    wanted: Result<DesiredSet, Problem>,
    resolved: &Resolved,
    (rivals, known): (&Rivals, Option<&str>),
    time: &Deadlines,
    context: &Context,
) -> SetSide {
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(problem) => return SetSide::closed(known, problem),
    };
    let hint = object.status.as_ref().and_then(|s| s.permission_set_arn.clone());
    let look = Look {
        elsewhere: object.spec.permission_set.definition == Definition::Elsewhere,
        whole: guard::rules_of(&resolved.federation).is_some(),
        at_home: !guard::is_foreign(object, &resolved.federation),
    };
    let reading = SetSide::read(&wanted, look, &resolved.instance, rivals, known, hint.as_deref());
    let read = time.of(By::Set).meet(reading).await;
    let mut set = read.unwrap_or_else(|why| SetSide::closed(known, late("read the permission set", why)));
    if let (Some(owner), Some(state)) = (&set.foreign, &set.state) {
        let foreign =
            Foreign { instance_arn: &resolved.instance_arn, arn: &state.set.arn, name: &wanted.name, owner };
        let every = context.settings.timing.poll.saturating_mul(WAITING_POLLS);
        let forsaken = foreign.is_forsaken(object, context).await.unwrap_or_default();
        set.problem = Some(foreign.told(&wanted.owner, forsaken, every));
    }
    set
}

/// Everybody whose assignments must be read.
fn concerned(subjects: &[Subject], ledger: &Ledger) -> BTreeSet<PrincipalId> {
    let holders = subjects.iter().filter_map(Subject::holder).cloned();
    holders.chain(ledger.grants.iter().map(|g| g.principal.clone())).collect()
}

pub(super) fn wanted_grants(subjects: &[Subject], accounts: &AccountSide) -> BTreeSet<Grant> {
    let bound = subjects.iter().filter_map(|s| match &s.standing {
        Standing::Bound(pin) => Some(&pin.id),
        _ => None,
    });
    bound
        .flat_map(|id| {
            accounts.targets().iter().map(|account| Grant { account: account.clone(), principal: id.clone() })
        })
        .collect()
}

async fn account_side(named: BTreeSet<String>, resolved: &Resolved, time: &Deadlines) -> AccountSide {
    let mut side = AccountSide { named, ..AccountSide::default() };
    let reading = resolved.instance.accounts();
    match read_in_time(&time.of(By::Accounts), "list the organization's accounts", reading).await {
        Ok(known) => {
            for account in &side.named {
                match known.get(account).map(|a| a.active) {
                    Some(true) => _ = side.active.insert(account.clone()),
                    Some(false) => _ = side.missing.insert(account.clone(), "is not active"),
                    None => _ = side.missing.insert(account.clone(), "is not in the organization"),
                }
            }
        }
        Err(problem) => side.problem = Some(problem),
    }
    side
}

impl AccountSide {
    /// The accounts that should have assignments. Those that could not be looked up are kept as they are.
    #[must_use]
    pub const fn targets(&self) -> &BTreeSet<String> {
        if self.problem.is_some() { &self.named } else { &self.active }
    }
}

/// Whether it passes without anybody doing anything about it, as far as one can tell.
#[must_use]
pub const fn passes(problem: &Problem) -> bool {
    matches!(problem.class, Class::Transient | Class::Throttled | Class::Conflict | Class::Pending)
}

impl Observed {
    async fn read_assignments(
        &mut self,
        instance: &Instance,
        concerned: &BTreeSet<PrincipalId>,
        places: &BTreeSet<String>,
        time: &Deadlines,
    ) {
        const DOING: &str = "look at what AWS did a moment ago";
        if let Some(arn) = self.set.arn.clone() {
            self.assigned = instance.assigned(&arn, concerned, places, &time.of(By::Assignments)).await;
        }
        self.decide();
        let verbs = self.verbs();
        if !instance.must_learn(&verbs) {
            return;
        }
        // Something is to be done for the first time since the start: it may have been done just before it. What
        // could not be learnt may not begin; the rest goes on.
        if let Err(problem) = read_in_time(&time.of(By::Past), DOING, instance.learn(&verbs)).await {
            self.work.get_or_insert(problem);
        }
        if let Some(arn) = self.set.arn.clone() {
            self.assigned = instance.assigned(&arn, concerned, places, &time.of(By::Past)).await;
            self.set.recall(instance);
        }
        self.decide();
    }

    /// What is to be done about the assignments. What others made does not become ours by being named in vain.
    pub fn decide(&mut self) {
        self.plan = plan_assignments(&self.facts());
        if self.set.is_refused {
            self.plan.enter.clear();
        }
    }

    /// What decides about assignments.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let facts = Facts {
            observed: self.assigned.observed.clone(),
            unread: self.assigned.unread.keys().cloned().collect(),
            ledger: self.ledger.grants.clone(),
            stated: self.stated.clone(),
            running: self.assigned.running.keys().cloned().collect(),
            failed: self.failures().map(|(grant, work)| (grant.clone(), work.rest.is_zero())).collect(),
            awaited: self.assigned.awaited.clone(),
            // In a Region where the instance is not, nothing is there either.
            settled: self.work.is_none() && !self.is_blind(),
            overdue: self.overdue.clone(),
            ..Facts::default()
        };
        if self.removals_only {
            return facts;
        }
        let mut problems = self.set.problem.iter().chain(&self.accounts.problem);
        let soon = problems.all(passes);
        Facts {
            desired: self.desired.clone(),
            open: self.is_open(),
            soon,
            expected: if soon { self.expected() } else { BTreeSet::new() },
            ..facts
        }
    }

    /// Accounts where somebody may come who could not be looked up just now.
    fn expected(&self) -> BTreeSet<String> {
        let unknown = |s: &&Subject| !s.absent && matches!(&s.standing, Standing::Unknown(p) if passes(p));
        let unknown: Vec<Option<&PrincipalId>> =
            self.subjects.iter().filter(unknown).map(Subject::holder).collect();
        let is_there = |account: &String, id: &PrincipalId| {
            let grant = Grant { account: account.clone(), principal: id.clone() };
            let unread = self.assigned.unread.contains_key(id) && self.ledger.grants.contains(&grant);
            unread || self.assigned.observed.contains(&grant)
        };
        let comes = |account: &&String| unknown.iter().any(|id| id.is_none_or(|id| !is_there(account, id)));
        self.accounts.targets().iter().filter(comes).cloned().collect()
    }

    /// What would be removed, were it not for what should come before or for somebody who could not be looked up.
    pub fn waiting(&self) -> impl Iterator<Item = &Grant> {
        self.plan.remove_later.iter().chain(&self.unsure)
    }

    /// Whether the federation sees no usable instance, so that nobody can tell what is there.
    fn is_blind(&self) -> bool {
        let unusable = |p: &Problem| p.reason == Reason::FederationNotReady;
        self.removals_only && self.set.state.is_none() && self.set.problem.as_ref().is_some_and(unusable)
    }

    /// Whether somebody's assignments could not be read: how many there are is not known.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        !self.assigned.unread.is_empty() || (self.is_blind() && !self.ledger.grants.is_empty())
    }

    /// Whether anybody may get the set.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.set.problem.is_none() && self.accounts.problem.is_none()
    }

    /// Whether something runs, or waits only for its turn.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let plan = &self.plan;
        let unread = &self.assigned.unread;
        let awaited = self.assigned.awaited.iter().any(|g| !unread.contains_key(&g.principal));
        let leaving = !plan.remove.is_empty() || !plan.remove_later.is_empty() || awaited;
        let coming = self.is_open() && (!plan.create.is_empty() || self.set.is_busy());
        !self.assigned.running.is_empty() || leaving || coming
    }

    /// Failures that still matter.
    pub fn failures(&self) -> impl Iterator<Item = (&Grant, &FailedWork)> {
        self.assigned.failed.iter().filter(|(grant, work)| match work.verb {
            Verb::Create => self.desired.contains(*grant),
            Verb::Delete => self.stated.contains(*grant),
            Verb::Provision => false,
        })
    }

    /// What kinds of asynchronous work the plan holds.
    fn verbs(&self) -> BTreeSet<Verb> {
        let plan = &self.plan;
        let mut verbs = BTreeSet::new();
        let work = [&plan.create, &plan.forget, &plan.remove, &plan.remove_later];
        if work.iter().any(|grants| !grants.is_empty()) {
            // Both: of a creation and a removal the later one counts.
            verbs.extend([Verb::Create, Verb::Delete]);
        }
        if !self.set.stale.is_empty() {
            verbs.insert(Verb::Provision);
        }
        verbs
    }

    /// How principals are called, by id.
    #[must_use]
    pub fn names(&self) -> BTreeMap<PrincipalId, String> {
        let held = self.subjects.iter().filter_map(|s| Some((s.holder()?.clone(), s.name.clone())));
        self.ledger.names().into_iter().chain(held).collect()
    }
}
