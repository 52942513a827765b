//! The permission set as it is, and what is to be done about it.

use std::collections::{BTreeMap, BTreeSet};

use super::claims::{self, Rivals};
use crate::clients::aws::permission_sets::SetEdit;
use crate::engine::plan_set::{DesiredSet, OWNER_TAG, ObservedSet, Refusal, SetStep, plan_set};
use crate::engine::{FailedWork, Instance};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// The permission set, and what is to be done about it.
#[derive(Debug, Default)]
pub struct SetSide {
    /// Its ARN, as far as it is known.
    pub arn: Option<String>,
    /// The set as it is.
    pub state: Option<ObservedSet>,
    /// Whether it carries our mark.
    pub marked: bool,
    /// It is that of another binding that claims it.
    pub is_anothers: bool,
    /// The mark on it, of somebody who claims nothing here.
    pub foreign: Option<String>,
    /// Something else says what is in it.
    pub is_elsewhere: bool,
    /// A guard refuses the binding, or what it judges by could not be read.
    pub is_refused: bool,
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
    /// It was edited a moment ago, and which accounts that made stale is not visible yet.
    pub settling: bool,
}

/// How a set is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Something else says what is in it.
    pub elsewhere: bool,
    /// With the parts that the binding leaves alone: rules judge them too.
    pub whole: bool,
    /// The binding lives beside its federation: a set of that name is taken for the one of its ledger when it cannot be
    /// read.
    pub at_home: bool,
}

impl SetSide {
    /// A set that nothing is done about: stated removals go on with what the ledger knows. `known`: the set of the
    /// ledger, if that is believed.
    #[must_use]
    pub fn closed(known: Option<&str>, problem: Problem) -> Self {
        Self { arn: known.map(str::to_owned), problem: Some(problem), ..Self::default() }
    }

    /// Nothing is done about the set, and nobody gets it.
    pub fn refuse(&mut self, problem: Problem) {
        self.is_refused = true;
        self.steps.clear();
        self.stale.clear();
        self.failed.clear();
        self.settling = false;
        self.problem.get_or_insert(problem);
    }

    /// Reads the set.
    pub async fn read(
        wanted: &DesiredSet,
        look: Look,
        instance: &Instance,
        rivals: &Rivals,
        known: Option<&str>,
        hint: Option<&str>,
    ) -> Self {
        const DOING: &str = "read the permission set";
        let mut side = Self { is_elsewhere: look.elsewhere, ..Self::default() };
        match instance.observe_set(wanted, look.whole, hint.or(known)).await {
            Ok(state) => {
                side.arn = state.as_ref().map(|s| s.set.arn.clone());
                let owner = state.as_ref().and_then(|s| s.tags.get(OWNER_TAG));
                side.marked = !look.elsewhere && owner.is_some_and(|o| *o == wanted.owner);
                side.state = state;
            }
            Err((e, arn)) => {
                side = Self::closed(known, Problem::from_cloud(e, DOING));
                side.arn = arn.filter(|_| look.at_home).or(side.arn);
                return side;
            }
        }
        if look.elsewhere {
            // Not ours to edit, and whose accounts are out of date is not ours to mend.
            side.problem = side.arn.is_none().then(|| not_found(&wanted.name));
            return side;
        }
        let mark = side.state.as_ref().and_then(|s| s.tags.get(OWNER_TAG));
        if let Some(other) = rivals.before(mark.map(String::as_str)).filter(|_| !side.marked) {
            side.problem = Some(claims::claimed_twice(&wanted.name, other));
            side.is_anothers = true;
            // Without a mark, what the ledger has of it is still ours to remove.
            if mark.is_some() || known != side.arn.as_deref() {
                side.arn = None;
            }
            return side;
        }
        match plan_set(wanted, side.state.as_ref()) {
            Ok(steps) => side.steps = steps,
            Err(refusal) => {
                side.problem = Some(refused(&wanted.name, &refusal));
                if let Refusal::OwnedByOther(owner) = &refusal {
                    side.foreign = Some(owner.clone());
                }
                // A set that is not ours holds nothing of ours, unless it only lost its mark: what the ledger has of
                // it is still ours to remove.
                if refusal != Refusal::NotAdopted || known != side.arn.as_deref() {
                    side.arn = None;
                }
                return side;
            }
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

    /// What runs and what failed, as of now.
    pub fn recall(&mut self, instance: &Instance) {
        if let Some(arn) = &self.arn {
            (self.provisioning, self.failed) = instance.provisionings(arn);
            self.failed.retain(|account, _| self.stale.contains(account));
            self.settling = self.stale.is_empty() && instance.is_settling(arn);
        }
    }

    /// Whether an account is out of date for another reason than a failure that rests.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.settling || !self.provisioning.is_empty() || !self.to_provision().is_empty()
    }

    /// Accounts that can be provisioned now.
    #[must_use]
    pub fn to_provision(&self) -> BTreeSet<String> {
        let rests = |a: &String| self.failed.get(a).is_some_and(|f| !f.rest.is_zero());
        self.stale.iter().filter(|a| !rests(a) && !self.provisioning.contains(*a)).cloned().collect()
    }
}

fn not_found(name: &str) -> Problem {
    Problem::new(
        Class::Blocked,
        Reason::PermissionSetNotFound,
        format!(
            "permission set {name} does not exist in the instance: create it where it is defined, or correct spec.permissionSet.name in another binding"
        ),
    )
}

fn refused(name: &str, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::OwnedByOther(owner) => Problem::new(
            Class::Guarded,
            Reason::OwnedByOther,
            format!("permission set {name} belongs to {owner} (its tag causeway.dev/owner)"),
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
