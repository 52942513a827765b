//! What is: read from AWS, from Entra where somebody is missing, and from the ledger.

use std::collections::{BTreeMap, BTreeSet};

use super::entra::Directory;
use super::ledger::Ledger;
use super::principals::{self, Standing, Subject};
use super::{deserted, desired, resolve};
use crate::api::v1alpha1::PermissionSetBinding;
use crate::clients::aws::assignments::PrincipalId;
use crate::clients::aws::permission_sets::SetEdit;
use crate::controllers::context::Context;
use crate::engine::plan_assignments::{AssignmentPlan, Facts, Grant, plan_assignments};
use crate::engine::plan_set::{DesiredSet, ObservedSet, Refusal, SetStep, plan_set};
use crate::engine::tracker::Verb;
use crate::engine::{Assigned, FailedWork};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// The permission set, and what is to be done about it.
#[derive(Debug, Default)]
pub struct SetSide {
    /// Its ARN, as far as it is known.
    pub arn: Option<String>,
    /// The set as it is.
    pub state: Option<ObservedSet>,
    /// What is to be done.
    pub steps: Vec<SetStep>,
    /// Why nothing may be done, or what went wrong.
    pub problem: Option<Problem>,
    /// Accounts whose role is older than the set; with edits planned, those that will be.
    pub stale: BTreeSet<String>,
    /// Accounts that are being provisioned.
    pub provisioning: BTreeSet<String>,
    /// Accounts that could not be provisioned.
    pub failed: BTreeMap<String, FailedWork>,
}

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
    /// What is known about the assignments.
    pub assigned: Assigned,
    /// What should exist, as far as it can.
    pub desired: BTreeSet<Grant>,
    /// What of the ledger is wanted no more.
    pub stated: BTreeSet<Grant>,
    /// What is to be done about the assignments.
    pub plan: AssignmentPlan,
    /// Why it is not known what runs in AWS.
    pub work: Option<Problem>,
}

/// Reads everything. One side's trouble does not keep the others from being read.
pub async fn observe(
    object: &PermissionSetBinding,
    wanted: Result<DesiredSet, Problem>,
    resolved: &resolve::Resolved,
    ledger: Ledger,
    context: &Context,
) -> Observed {
    let instance = &resolved.instance;
    let settled = instance.settle().await;
    let work = settled.err().map(|e| Problem::from_cloud(e, "look at what runs in AWS"));

    let named = desired::accounts(object);
    let guard = resolve::guard(&resolved.federation, &named).err();
    let hint = object.status.as_ref().and_then(|s| s.permission_set_arn.clone());
    let set = match wanted {
        Ok(wanted) => set_side(&wanted, resolved, &ledger, hint.as_deref(), guard).await,
        // Stated removals go on with what the ledger knows.
        Err(problem) => SetSide { arn: ledger.set_arn.clone(), problem: Some(problem), ..SetSide::default() },
    };
    let ledger = match &set.arn {
        Some(arn) => ledger.of_set(arn),
        // No set, no assignments.
        None => Ledger { set_arn: None, grants: BTreeSet::new(), ..ledger },
    };
    let mut directory = Directory::new(context, &resolved.federation);
    let subjects = principals::standings(object, &ledger, instance, &mut directory).await;
    let accounts = account_side(named, resolved).await;

    let desired = wanted_grants(&subjects, &accounts);
    let stated = principals::stated(&ledger.grants, &subjects, &accounts.named);
    let concerned = concerned(&subjects, &ledger);
    let places: BTreeSet<String> =
        accounts.named.iter().cloned().chain(ledger.grants.iter().map(|g| g.account.clone())).collect();

    let mut observed = Observed {
        set,
        subjects,
        accounts,
        ledger,
        assigned: Assigned::default(),
        desired,
        stated,
        plan: AssignmentPlan::default(),
        work,
    };
    if let Some(arn) = observed.set.arn.clone() {
        observed.assigned = instance.assigned(&arn, &concerned, &places).await;
    }
    observed.plan = plan_assignments(&observed.facts());
    let verbs = observed.verbs();
    if instance.must_learn(&verbs) {
        // Something is to be done for the first time since the start: it may have been done just before it.
        // What could not be learnt may not begin; the rest goes on.
        if let Err(e) = instance.learn(&verbs).await {
            observed.work.get_or_insert_with(|| Problem::from_cloud(e, "look at what AWS did a moment ago"));
        }
        if let Some(arn) = observed.set.arn.clone() {
            observed.assigned = instance.assigned(&arn, &concerned, &places).await;
            observed.set.recall(instance);
        }
        observed.plan = plan_assignments(&observed.facts());
    }
    deserted::leave_out(&mut observed, instance).await;
    observed
}

/// Everybody whose assignments must be read.
fn concerned(subjects: &[Subject], ledger: &Ledger) -> BTreeSet<PrincipalId> {
    let holders = subjects.iter().filter_map(Subject::holder).cloned();
    holders.chain(ledger.grants.iter().map(|g| g.principal.clone())).collect()
}

fn wanted_grants(subjects: &[Subject], accounts: &AccountSide) -> BTreeSet<Grant> {
    // Accounts that could not be looked up are kept as they are.
    let targets = if accounts.problem.is_some() { &accounts.named } else { &accounts.active };
    let bound = subjects.iter().filter_map(|s| match &s.standing {
        Standing::Bound(pin) => Some(&pin.id),
        _ => None,
    });
    bound
        .flat_map(|id| {
            targets.iter().map(|account| Grant { account: account.clone(), principal: id.clone() })
        })
        .collect()
}

async fn set_side(
    wanted: &DesiredSet,
    resolved: &resolve::Resolved,
    ledger: &Ledger,
    hint: Option<&str>,
    guard: Option<Problem>,
) -> SetSide {
    const DOING: &str = "read the permission set";
    let instance = &resolved.instance;
    let mut side = SetSide::default();
    match instance.observe_set(wanted, hint.or(ledger.set_arn.as_deref())).await {
        Ok(state) => {
            side.arn = state.as_ref().map(|s| s.set.arn.clone());
            side.state = state;
        }
        Err((e, arn)) => {
            // Stated removals go on with what the ledger knows.
            side.arn = arn.or_else(|| ledger.set_arn.clone());
            side.problem = Some(Problem::from_cloud(e, DOING));
            return side;
        }
    }
    match plan_set(wanted, side.state.as_ref()) {
        Ok(steps) => side.steps = steps,
        Err(refusal) => {
            side.problem = Some(refused(&wanted.name, &refusal));
            // A set that is not ours holds nothing of ours, unless it only lost its mark: what the ledger has of it
            // is still ours to remove.
            if refusal != Refusal::NotAdopted || ledger.set_arn != side.arn {
                side.arn = None;
            }
            return side;
        }
    }
    if let Some(guard) = guard {
        side.steps.clear();
        side.problem = Some(guard);
        return side;
    }
    if let Some(arn) = side.arn.clone() {
        let edits =
            side.steps.iter().any(|s| !matches!(s, SetStep::Edit(SetEdit::Tag(_) | SetEdit::Untag(_))));
        let stale = match edits {
            true => instance.provisioned_accounts(&arn).await,
            false => instance.stale_accounts(&arn).await,
        };
        match stale {
            Ok(stale) => side.stale = stale,
            Err(e) => side.problem = Some(Problem::from_cloud(e, "ask which accounts are out of date")),
        }
        side.recall(instance);
    }
    side
}

fn refused(name: &str, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::OwnedByOther(owner) => Problem::new(
            Class::Guarded,
            Reason::OwnedByOther,
            format!(
                "permission set {name} belongs to {owner} (its tag causeway.dev/owner): choose another name, or delete that owner's binding first"
            ),
        ),
        Refusal::NotAdopted => Problem::new(
            Class::Guarded,
            Reason::NotAdopted,
            format!(
                "permission set {name} exists and carries nobody's mark: set spec.permissionSet.adopt to true to take it over, or choose another name"
            ),
        ),
    }
}

async fn account_side(named: BTreeSet<String>, resolved: &resolve::Resolved) -> AccountSide {
    let mut side = AccountSide { named, ..AccountSide::default() };
    match resolved.instance.accounts().await {
        Ok(known) => {
            for account in &side.named {
                match known.get(account) {
                    Some(true) => _ = side.active.insert(account.clone()),
                    Some(false) => _ = side.missing.insert(account.clone(), "is not active"),
                    None => _ = side.missing.insert(account.clone(), "is not in the organization"),
                }
            }
        }
        Err(e) => side.problem = Some(Problem::from_cloud(e, "list the organization's accounts")),
    }
    side
}

impl SetSide {
    /// What runs and what failed, as of now.
    pub fn recall(&mut self, instance: &crate::engine::Instance) {
        if let Some(arn) = &self.arn {
            (self.provisioning, self.failed) = instance.provisionings(arn);
            self.failed.retain(|account, _| self.stale.contains(account));
        }
    }

    /// Whether an account is out of date for another reason than a failure that rests.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.provisioning.is_empty() || !self.to_provision().is_empty()
    }

    /// Accounts that can be provisioned now.
    #[must_use]
    pub fn to_provision(&self) -> BTreeSet<String> {
        let rests = |a: &String| self.failed.get(a).is_some_and(|f| !f.rest.is_zero());
        self.stale.iter().filter(|a| !rests(a) && !self.provisioning.contains(*a)).cloned().collect()
    }
}

impl Observed {
    /// What decides about assignments.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            desired: self.desired.clone(),
            observed: self.assigned.observed.clone(),
            unread: self.assigned.unread.keys().cloned().collect(),
            ledger: self.ledger.grants.clone(),
            stated: self.stated.clone(),
            running: self.assigned.running.keys().cloned().collect(),
            failed: self.failures().map(|(grant, work)| (grant.clone(), work.rest.is_zero())).collect(),
            settled: self.work.is_none(),
            open: self.is_open(),
        }
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
        let leaving = !plan.remove.is_empty() || !plan.remove_later.is_empty();
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
        let pinned = self.ledger.pins.iter().map(|(name, pin)| (pin.id.clone(), name.clone()));
        let held = self.subjects.iter().filter_map(|s| Some((s.holder()?.clone(), s.name.clone())));
        pinned.chain(held).collect()
    }
}
