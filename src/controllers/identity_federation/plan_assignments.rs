//! Who is to be assigned and who is to lose it: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::desired::{Resolution, Wanted, WantedPrincipal};
use super::finding::{Finding, Part};
use super::ledger::{Entry, Grant, Ledger};
use super::observed::{AppRole, AppRoleAssignment, DEFAULT_ROLE};
use super::plan::Step;
use crate::problem::Class;
use crate::status::Reason;

/// How many principals a message names.
const NAMED: usize = 5;

/// What is to be done about assignments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignmentPlan {
    /// Calls to Entra.
    pub steps: Vec<Step>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The ledger as it must be stored before the first call.
    pub ledger: Ledger,
}

/// The role that gives access (contract Graph 4.1): `User`, else the only one that people can have.
fn role(roles: &[AppRole]) -> Option<&str> {
    let usable =
        || roles.iter().filter(|r| r.is_enabled && r.allowed_member_types.iter().any(|t| t == "User"));
    if roles.is_empty() {
        return Some(DEFAULT_ROLE);
    }
    let mut named: Vec<&str> = usable().filter(|r| r.display_name == "User").map(|r| r.id.as_str()).collect();
    named.sort_unstable();
    if let Some(first) = named.first() {
        return Some(first);
    }
    let mut all = usable();
    match (all.next(), all.next()) {
        (Some(only), None) => Some(&only.id),
        _ => None,
    }
}

/// Decides. `grace` is how long a new assignment may stay invisible.
pub fn plan(
    wanted: &Wanted,
    roles: &[AppRole],
    present: &[AppRoleAssignment],
    ledger: &Ledger,
    now: Timestamp,
    grace: Duration,
) -> AssignmentPlan {
    let role = role(roles);
    let ledger = &completed(ledger, role);
    let mut plan = AssignmentPlan { ledger: ledger.clone(), ..AssignmentPlan::default() };
    let held: BTreeSet<&str> = present
        .iter()
        .filter(|a| Some(a.app_role_id.as_str()) == role)
        .map(|a| a.principal_id.as_str())
        .collect();

    // Sorted, so that of two names of one principal always the same one is entered.
    let mut principals = wanted.principals.clone();
    principals.sort();
    principals.dedup();
    let known: BTreeSet<&str> = ledger.keys().map(|g| g.principal.as_str()).collect();
    let mut desired: BTreeMap<&str, &str> = BTreeMap::new();
    let mut successors: BTreeMap<&str, &str> = BTreeMap::new();
    let mut replaced = Vec::new();
    for principal in &principals {
        let Resolution::Found(id) = &principal.resolution else { continue };
        let reference = principal.reference.as_str();
        successors.insert(reference, id);
        let predecessor = ledger.iter().find(|(other, e)| other.principal != *id && e.reference == reference);
        match predecessor {
            Some((old, _)) if !known.contains(id.as_str()) && !wanted.approved.contains(id) => {
                replaced.push(format!("{reference} is now {id} and was {}", old.principal));
            }
            _ => {
                desired.entry(id).or_insert(reference);
            }
        }
    }

    let stays = |grant: &Grant, entry: &Entry| {
        let principal = grant.principal.as_str();
        match role {
            // Added before removed: it keeps an old role until it has the usable one.
            Some(role) if desired.contains_key(principal) => grant.role == role || !held.contains(principal),
            None if desired.contains_key(principal) => true,
            _ => is_still_named(grant, entry, &principals, &successors, &desired),
        }
    };
    for (grant, entry) in ledger.iter().filter(|(grant, entry)| !stays(grant, entry)) {
        // Nobody knows which role it was, and none is usable that it might be.
        if grant.role.is_empty() {
            continue;
        }
        let of_grant =
            |a: &&AppRoleAssignment| a.principal_id == grant.principal && a.app_role_id == grant.role;
        let mut gone = true;
        for assignment in present.iter().filter(of_grant) {
            gone = false;
            plan.steps.push(Step::Withdraw {
                assignment: assignment.id.clone(),
                principal: grant.principal.clone(),
                role: grant.role.clone(),
                who: entry.reference.clone(),
            });
        }
        let age = now.duration_since(entry.since);
        if gone && age >= SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX) {
            plan.ledger.remove(grant);
        } else if gone {
            // It may have been assigned a moment ago and show up later: a stranger nobody would remove.
            plan.findings.push(Finding::pending(
                Part::Assignments,
                format!(
                    "{} was assigned a moment ago and is taken away as soon as Entra shows it",
                    entry.reference
                ),
            ));
        }
    }

    if let Some(role) = role {
        for (id, reference) in &desired {
            // Assigned anew after long, it may be as invisible as the first time. Renewed so rarely, an assignment
            // that keeps failing does not write the ledger in every pass.
            let is_old = |e: &Entry| now.duration_since(e.since).unsigned_abs() >= grace / 2;
            let grant = Grant::new(id, role);
            let entered = ledger.get(&grant).filter(|e| held.contains(id) || !is_old(e));
            let since = entered.map_or(now, |e| e.since);
            plan.ledger.insert(grant, Entry { reference: (*reference).to_owned(), since });
            if !held.contains(id) {
                plan.steps.push(Step::Assign {
                    principal: (*id).to_owned(),
                    role: role.to_owned(),
                    who: (*reference).to_owned(),
                });
            }
        }
    } else {
        plan.findings.push(Finding::new(
            Part::Assignments,
            Class::Blocked,
            Reason::AppRoleNotFound,
            "the application has no enabled role `User` and not exactly one other that people can have, so nobody \
             can be assigned; enable one role with allowedMemberTypes User in Entra",
        ));
    }

    let certain =
        principals.iter().all(|p| matches!(p.resolution, Resolution::Found(_))) && replaced.is_empty();
    if let Some(role) = role.filter(|_| wanted.exclusive && certain) {
        let withdrawn: BTreeSet<String> = plan
            .steps
            .iter()
            .filter_map(|s| match s {
                Step::Withdraw { assignment, .. } => Some(assignment.clone()),
                _ => None,
            })
            .collect();
        for assignment in present {
            let principal = assignment.principal_id.as_str();
            // Whatever else a principal has, it keeps until it has the usable role.
            let kept = desired.contains_key(principal)
                && (assignment.app_role_id == role || !held.contains(principal));
            if !kept && !withdrawn.contains(&assignment.id) {
                plan.steps.push(Step::Expel {
                    assignment: assignment.id.clone(),
                    principal: assignment.principal_id.clone(),
                    who: format!("{} \"{}\"", assignment.principal_type, assignment.principal_display_name),
                });
            }
        }
    }

    plan.findings.extend(complaints(&principals));
    if !replaced.is_empty() {
        let approved: Vec<String> = wanted.approved.iter().filter(|id| !id.is_empty()).cloned().collect();
        let in_vain = match approved.is_empty() {
            true => String::new(),
            false => format!(" (the annotation names {}, which is none of them)", shortened(&approved)),
        };
        plan.findings.push(Finding::new(
            Part::Assignments,
            Class::Guarded,
            Reason::PrincipalIdentityChanged,
            format!(
                "another object carries a name that was assigned before: {}; name the principal by entraObjectId, or \
                 approve it: {}{in_vain}",
                shortened(&replaced),
                wanted.approve
            ),
        ));
    }
    plan.steps.sort();
    plan.steps.dedup();
    plan
}

/// The ledger with the usable role where somebody broke a key: what was assigned most likely.
fn completed(ledger: &Ledger, role: Option<&str>) -> Ledger {
    let Some(role) = role else { return ledger.clone() };
    let (broken, mut whole): (Ledger, Ledger) =
        ledger.clone().into_iter().partition(|(grant, _)| grant.role.is_empty());
    for (grant, entry) in broken {
        whole.entry(Grant { role: role.to_owned(), ..grant }).or_insert(entry);
    }
    whole
}

/// Whether the spec still asks for an entry whose principal no name of the spec is known to mean: stated removals
/// are those that it no longer names, or whose name an approved successor carries.
fn is_still_named(
    grant: &Grant,
    entry: &Entry,
    principals: &[WantedPrincipal],
    successors: &BTreeMap<&str, &str>,
    desired: &BTreeMap<&str, &str>,
) -> bool {
    let succeeded = successors.get(entry.reference.as_str()).is_some_and(|s| desired.contains_key(s));
    let named = || principals.iter().any(|p| p.reference == entry.reference);
    // Named by id and not to be read just now: whatever name it was entered under, the spec still has it.
    let unread = || {
        let mut unresolved = principals.iter().filter(|p| !matches!(p.resolution, Resolution::Found(_)));
        unresolved
            .any(|p| p.reference.rsplit_once(' ').is_some_and(|(_, id)| id.to_lowercase() == grant.principal))
    };
    named() && !succeeded || unread()
}

/// What is wrong with the names, in one finding.
fn complaints(principals: &[WantedPrincipal]) -> Option<Finding> {
    let mut wrong = Vec::new();
    for principal in principals {
        match &principal.resolution {
            Resolution::Missing => wrong.push(format!(
                "{} does not exist: create it in Entra, or correct the name",
                principal.reference
            )),
            Resolution::Ambiguous(ids) => wrong.push(format!(
                "{} is ambiguous: name the one that is meant by entraObjectId ({})",
                principal.reference,
                shortened(ids)
            )),
            Resolution::Unsuitable(why) => wrong.push(format!("{} {why}", principal.reference)),
            Resolution::Found(_) | Resolution::Unknown => {}
        }
    }
    (!wrong.is_empty()).then(|| {
        Finding::new(
            Part::Assignments,
            Class::Blocked,
            Reason::PrincipalNotFound,
            format!(
                "in spec.entra.application.assignments: {}; nobody loses access by this",
                wrong_ones(&wrong)
            ),
        )
    })
}

/// The advice is part of each, and there may be commas in it.
fn wrong_ones(wrong: &[String]) -> String {
    let mut text = wrong.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if wrong.len() > NAMED {
        text.push_str(&format!("; and {} more", wrong.len() - NAMED));
    }
    text
}

fn shortened(texts: &[String]) -> String {
    let mut text = texts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if texts.len() > NAMED {
        text.push_str(&format!(" and {} more", texts.len() - NAMED));
    }
    text
}
