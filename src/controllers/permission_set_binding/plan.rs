//! The plan of a binding, in words and in order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::clients::aws::assignments::PrincipalId;
use crate::engine::plan_assignments::{AssignmentPlan, Grant};
use crate::engine::plan_set::SetStep;
use crate::plan::Plan;

/// One step. `Display` says it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Remove an assignment.
    Remove(String),
    /// Create or edit the permission set.
    Set(SetStep),
    /// Bring the role on an account up to the permission set.
    Provision(String),
    /// Create an assignment.
    Create(String),
    /// Remove an assignment once those that follow it on the account exist.
    RemoveThen(String),
    /// Delete the permission set.
    DeleteSet(String),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remove(grant) => write!(f, "remove assignment of {grant}"),
            Self::Set(step) => step.fmt(f),
            Self::Provision(account) => write!(f, "provision account {account}"),
            Self::Create(grant) => write!(f, "create assignment of {grant}"),
            Self::RemoveThen(grant) => write!(f, "then remove assignment of {grant}"),
            Self::DeleteSet(name) => write!(f, "delete permission set {name}"),
        }
    }
}

/// The steps in the order in which they are carried out. Stated removals come first and wait for nothing that may
/// fail; edits of the set come before anybody new gets it.
#[must_use]
pub fn plan(
    set: &[SetStep],
    provision: &BTreeSet<String>,
    assignments: &AssignmentPlan,
    names: &BTreeMap<PrincipalId, String>,
) -> Plan<Step> {
    let say = |grant: &Grant| say(grant, names);
    let mut steps: Vec<Step> = assignments.remove.iter().map(|g| Step::Remove(say(g))).collect();
    steps.extend(set.iter().cloned().map(Step::Set));
    steps.extend(provision.iter().cloned().map(Step::Provision));
    steps.extend(assignments.create.iter().map(|g| Step::Create(say(g))));
    steps.extend(assignments.remove_later.iter().map(|g| Step::RemoveThen(say(g))));
    Plan { steps }
}

/// The steps of a deletion: the assignments, and then the set, where that is ours (contract aws 1.7).
#[must_use]
pub fn clean_up(
    assignments: &BTreeSet<Grant>,
    set: Option<&str>,
    names: &BTreeMap<PrincipalId, String>,
) -> Plan<Step> {
    let mut steps: Vec<Step> = assignments.iter().map(|g| Step::Remove(say(g, names))).collect();
    steps.extend(set.map(|name| Step::DeleteSet(name.to_owned())));
    Plan { steps }
}

fn say(grant: &Grant, names: &BTreeMap<PrincipalId, String>) -> String {
    let who = names.get(&grant.principal).cloned().unwrap_or_else(|| grant.principal.to_string());
    format!("{who} on account {}", grant.account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::aws::assignments::PrincipalKind;

    #[test]
    fn removals_come_first_and_what_must_wait_comes_last() {
        let who = |id: &str| PrincipalId { kind: PrincipalKind::Group, id: id.into() };
        let grant = |id: &str, account: &str| Grant { account: account.into(), principal: who(id) };
        let assignments = AssignmentPlan {
            create: [grant("new", "1")].into(),
            remove: [grant("old", "2")].into(),
            remove_later: [grant("old", "1")].into(),
            ..AssignmentPlan::default()
        };
        let names = [(who("new"), "group \"new\"".to_owned())].into();
        let plan = plan(&[], &["3".to_owned()].into(), &assignments, &names);
        let lines: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "remove assignment of group old on account 2",
                "provision account 3",
                "create assignment of group \"new\" on account 1",
                "then remove assignment of group old on account 1",
            ]
        );
        assert_ne!(plan.hash(), None);
    }

    #[test]
    fn a_deletion_takes_the_set_last_and_only_when_it_is_ours() {
        let who = PrincipalId { kind: PrincipalKind::Group, id: "a".into() };
        let grants = [Grant { account: "1".into(), principal: who.clone() }].into();
        let names = [(who, "group \"x\"".to_owned())].into();
        let lines = |plan: Plan<Step>| plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>();
        let remove = "remove assignment of group \"x\" on account 1";
        assert_eq!(lines(clean_up(&grants, Some("Set"), &names)), [remove, "delete permission set Set"]);
        assert_eq!(lines(clean_up(&grants, None, &names)), [remove]);
        assert_eq!(clean_up(&BTreeSet::new(), None, &names).hash(), None, "no plan, no write");
    }
}
