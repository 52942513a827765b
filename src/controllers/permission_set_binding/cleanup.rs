//! Lets go: assignments first, then the permission set (contract aws 1.7).

use std::collections::BTreeSet;

use super::apply;
use super::desired;
use super::entra::Directory;
use super::ledger::Ledger;
use super::principals::{self, Subject};
use super::resolve::{Resolved, resolve};
use super::status;
use crate::api::Mode;
use crate::api::v1alpha1::{AssignmentFailure, PermissionSetBinding, PermissionSetBindingStatus};
use crate::clients::CloudErrorKind;
use crate::clients::aws::assignments::PrincipalId;
use crate::clients::aws::permission_sets::PermissionSet;
use crate::controllers::context::Context;
use crate::controllers::{Cleanup, Outcome};
use crate::engine::plan_assignments::Grant;
use crate::engine::plan_set::OWNER_TAG;
use crate::engine::tracker::Verb;
use crate::problem::{Class, Problem};
use crate::status::Reason;
use crate::telemetry::Audit;

/// Accounts with strangers' assignments that a message names at most.
const NAMED: usize = 3;

/// Where a clean-up is.
enum Stage {
    Done,
    /// Work is under way: what is left, and how much of it.
    Waiting(String, (usize, usize), Vec<AssignmentFailure>),
}

/// A binding that only observes, and is being deleted. One that has always done so made nothing.
pub async fn observing(
    object: &PermissionSetBinding,
    context: &Context,
) -> Cleanup<PermissionSetBindingStatus> {
    match Ledger::read(object, context).await {
        Ok(ledger) if ledger.set_arn.is_none() => Cleanup::Done,
        Ok(_) => held_back(object, context),
        Err(problem) => {
            Cleanup::Waiting(Outcome::failed(object.status.clone().unwrap_or_default(), &problem))
        }
    }
}

/// One pass of a clean-up.
pub async fn clean_up(
    object: &PermissionSetBinding,
    owner: &str,
    audit: &Audit,
    context: &Context,
) -> Cleanup<PermissionSetBindingStatus> {
    let now = context.clock.now();
    match pass(object, owner, audit, context).await {
        Ok(Stage::Done) => Cleanup::Done,
        Ok(Stage::Waiting(message, counts, failures)) => {
            let status = status::deleting(object, false, &message, counts, failures, now);
            Cleanup::Waiting(Outcome::after(status, context.settings.timing.poll))
        }
        Err(problem) if problem.class.is_silent() => {
            Cleanup::Waiting(Outcome::failed(object.status.clone().unwrap_or_default(), &problem))
        }
        Err(problem) => {
            let message = format!(
                "{}. To let go of it without touching AWS: {}",
                problem.message.trim_end_matches('.'),
                status::abandon(object)
            );
            let counts = recorded_counts(object);
            let blocked = status::deleting(object, true, &message, counts, Vec::new(), now);
            Cleanup::Waiting(Outcome::failed(blocked, &problem))
        }
    }
}

/// Binding or operator only observe: what is in AWS must not be forgotten for that.
pub fn held_back(object: &PermissionSetBinding, context: &Context) -> Cleanup<PermissionSetBindingStatus> {
    let why = match object.spec.mode {
        Mode::Observe => {
            "spec.mode is Observe, but what the binding made before is still in AWS: set it to Enforce to have that removed"
        }
        Mode::Enforce => "the operator runs in Observe mode and removes nothing: run it in Enforce mode",
    };
    let message = format!("{why}. To let go of it without touching AWS: {}", status::abandon(object));
    let counts = recorded_counts(object);
    let blocked = status::deleting(object, true, &message, counts, Vec::new(), context.clock.now());
    Cleanup::Waiting(Outcome::settled(blocked))
}

fn recorded_counts(object: &PermissionSetBinding) -> (usize, usize) {
    let old = object.status.as_ref();
    let count = |n: Option<i64>| usize::try_from(n.unwrap_or_default()).unwrap_or_default();
    (count(old.map(|s| s.current)), count(old.map(|s| s.pending)))
}

async fn pass(
    object: &PermissionSetBinding,
    owner: &str,
    audit: &Audit,
    context: &Context,
) -> Result<Stage, Problem> {
    let ledger = Ledger::read(object, context).await?;
    let resolved = match resolve(object, context, true).await {
        Ok(resolved) => resolved,
        Err(problem) if never_began(object, &ledger, &problem) => return Ok(Stage::Done),
        Err(problem) => return Err(problem),
    };
    let instance = &resolved.instance;
    let name = &object.spec.permission_set.name;
    let recorded = object.status.as_ref().and_then(|s| s.permission_set_arn.clone());
    let hint = recorded.or_else(|| ledger.set_arn.clone());
    let found = instance.find_set(name, hint.as_deref()).await;
    let Some(set) = found.map_err(|e| Problem::from_cloud(e, "look for the permission set"))? else {
        // Its assignments went with it.
        return Ok(Stage::Done);
    };
    let tags = instance.set_tags(&set.arn).await;
    let tags = tags.map_err(|e| Problem::from_cloud(e, "read the permission set's tags"))?;
    let ours = tags.get(OWNER_TAG).is_some_and(|o| o == owner);
    if !ours && ledger.set_arn.as_deref() != Some(&set.arn) {
        return Ok(Stage::Done);
    }
    if let Some(stage) = remove_assignments(object, &resolved, ledger, &set, audit, context).await? {
        return Ok(stage);
    }
    if !ours {
        return Ok(Stage::Done);
    }
    remove_set(&resolved, &set, audit).await
}

/// A binding whose federation never took it, or never was, has made nothing.
fn never_began(object: &PermissionSetBinding, ledger: &Ledger, problem: &Problem) -> bool {
    let recorded = object.status.as_ref().is_some_and(|s| s.permission_set_arn.is_some());
    let nothing = ledger.set_arn.is_none() && !recorded;
    nothing && matches!(problem.reason, Reason::BindingNotAllowed | Reason::FederationNotFound)
}

/// Removes what is ours; none when nothing is left.
async fn remove_assignments(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    ledger: Ledger,
    set: &PermissionSet,
    audit: &Audit,
    context: &Context,
) -> Result<Option<Stage>, Problem> {
    let instance = &resolved.instance;
    // What cannot be read holds up no removal, only the end.
    let mut unsettled = instance.settle().await.err();
    let verbs: BTreeSet<Verb> = [Verb::Create, Verb::Delete].into();
    if instance.must_learn(&verbs) {
        unsettled = unsettled.or(instance.learn(&verbs).await.err());
    }
    // Deleted in the foreground, a ledger goes before its owner: then what matches the spec is ours.
    let lost = ledger.set_arn.is_none();
    let ledger = ledger.of_set(&set.arn);
    let mut ours: BTreeSet<Grant> = ledger.grants.clone();
    if lost {
        ours.extend(as_specified(object, resolved, &ledger, context).await?);
    }
    let principals: BTreeSet<PrincipalId> = ours.iter().map(|g| g.principal.clone()).collect();
    let accounts: BTreeSet<String> = ours.iter().map(|g| g.account.clone()).collect();
    let assigned = instance.assigned(&set.arn, &principals, &accounts).await;
    let unsettled = unsettled.map(|e| Problem::from_cloud(e, "look at what runs in AWS"));
    let unread = assigned.unread.values().next().cloned();
    let unread = unread.map(|e| Problem::from_cloud(e, "read the assignments"));
    let left: BTreeSet<Grant> = ours.intersection(&assigned.observed).cloned().collect();
    let running = assigned.running.keys().filter(|g| ours.contains(*g)).count();
    if left.is_empty() && running == 0 {
        return unsettled.or(unread).map_or(Ok(None), Err);
    }
    let rests =
        |g: &Grant| assigned.failed.get(g).is_some_and(|f| f.verb == Verb::Delete && !f.rest.is_zero());
    let now: BTreeSet<Grant> =
        left.iter().filter(|g| !assigned.running.contains_key(*g) && !rests(g)).cloned().collect();
    let applied = apply::remove(instance, audit, &set.arn, &now).await;
    if let Some(problem) = applied.problem.or(unread).or(unsettled) {
        return Err(problem);
    }
    let failures: Vec<AssignmentFailure> = assigned
        .failed
        .iter()
        .filter(|(grant, work)| work.verb == Verb::Delete && left.contains(*grant))
        .map(|(grant, work)| AssignmentFailure {
            account_id: grant.account.clone(),
            principal: Some(grant.principal.to_string()),
            message: work.reason.clone(),
        })
        .collect();
    let message = match left.len() {
        0 => "waiting for work that is under way in AWS".to_owned(),
        1 => "1 assignment is being removed".to_owned(),
        n => format!("{n} assignments are being removed"),
    };
    let pending = left.len().saturating_sub(failures.len());
    Ok(Some(Stage::Waiting(message, (left.len(), pending), failures)))
}

/// What the spec asks for, when there is no ledger to ask.
async fn as_specified(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    ledger: &Ledger,
    context: &Context,
) -> Result<BTreeSet<Grant>, Problem> {
    let mut directory = Directory::new(context, &resolved.federation);
    let subjects = principals::bound(object, ledger, &resolved.instance, &mut directory).await?;
    let accounts = desired::accounts(object);
    let holders = subjects.iter().filter_map(Subject::holder);
    Ok(holders
        .flat_map(|id| accounts.iter().map(|a| Grant { account: a.clone(), principal: id.clone() }))
        .collect())
}

async fn remove_set(resolved: &Resolved, set: &PermissionSet, audit: &Audit) -> Result<Stage, Problem> {
    let instance = &resolved.instance;
    let provisioned = instance.provisioned_accounts(&set.arn).await;
    let provisioned =
        provisioned.map_err(|e| Problem::from_cloud(e, "ask where the permission set is provisioned"))?;
    let mut strangers = Vec::new();
    for account in &provisioned {
        let count = instance.count_assignments(&set.arn, account).await;
        let count = count.map_err(|e| Problem::from_cloud(e, "read the assignments"))?;
        if count > 0 {
            strangers.push(account.as_str());
        }
        if strangers.len() > NAMED {
            break;
        }
    }
    if !strangers.is_empty() {
        let more = if strangers.len() > NAMED { ", …" } else { "" };
        strangers.truncate(NAMED);
        let message = format!(
            "permission set {} stays: it has assignments that this binding did not make, on account {}{more}; remove them, and it will be deleted",
            set.name,
            strangers.join(", ")
        );
        return Err(Problem::new(Class::Blocked, Reason::DeletionBlocked, message));
    }
    if !provisioned.is_empty() {
        let message =
            format!("waiting for AWS to take permission set {} off {} accounts", set.name, provisioned.len());
        return Ok(Stage::Waiting(message, (0, 0), Vec::new()));
    }
    match instance.delete_set(set, audit).await {
        Ok(()) => Ok(Stage::Done),
        Err(e) if e.kind == CloudErrorKind::Conflict => {
            let message = format!("waiting for AWS to let go of permission set {}", set.name);
            Ok(Stage::Waiting(message, (0, 0), Vec::new()))
        }
        Err(e) => Err(Problem::from_cloud(e, "delete the permission set")),
    }
}
