//! Lets go: assignments first, then the permission set (contract aws 1.7).

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::deadline::{By, Deadlines, read_in_time};
use super::desired;
use super::entra::Directory;
use super::ledger::Ledger;
use super::principals::{self, Subject};
use super::resolve::{self, Resolved, resolve};
use super::watcher::Watcher;
use super::{apply, audit, commands, guard, owner, plan, status};
use crate::api::v1alpha1::{
    AssignmentFailure, Definition, IdentityFederation, PermissionSetBinding, PermissionSetBindingStatus,
};
use crate::clients::aws::assignments::PrincipalId;
use crate::clients::aws::permission_sets::PermissionSet;
use crate::clients::{CloudErrorKind, Service};
use crate::controllers::context::Context;
use crate::controllers::{Cleanup, Notice, Outcome, identity_federation, marks};
use crate::engine::plan_assignments::{Facts, Grant, plan_assignments};
use crate::engine::plan_set::OWNER_TAG;
use crate::engine::tracker::Verb;
use crate::engine::{FailedWork, Instance};
use crate::problem::{Class, Problem};
use crate::status::Reason;
use crate::telemetry::Audit;

/// Strangers' assignments that a message names at most.
const NAMED: usize = 3;

/// Where a clean-up is.
enum Stage {
    Done,
    /// What is left in AWS is not this binding's to remove, and people are told.
    Left(Notice),
    /// Work is under way: what is left, and how much of it.
    Waiting(String, (usize, usize), Vec<AssignmentFailure>),
}

/// A binding under which nothing may be written is being deleted. One that has made nothing may go.
pub async fn observing(
    object: &PermissionSetBinding,
    watcher: &Watcher,
    context: &Context,
) -> Cleanup<PermissionSetBindingStatus> {
    let recorded = object.status.as_ref().is_some_and(|s| s.permission_set_arn.is_some());
    match Ledger::read(object, context).await {
        // Who has always observed made nothing, whatever set was found; where others only observe now, a lost ledger
        // proves nothing.
        Ok(ledger) if ledger.set_arn.is_none() && (*watcher == Watcher::Binding || !recorded) => {
            Cleanup::Done
        }
        Ok(_) => held_back(object, watcher, context),
        Err(problem) => {
            Cleanup::Waiting(Outcome::failed(object.status.clone().unwrap_or_default(), &problem))
        }
    }
}

/// What is in AWS must not be forgotten because nothing may be written now.
fn held_back(
    object: &PermissionSetBinding,
    watcher: &Watcher,
    context: &Context,
) -> Cleanup<PermissionSetBindingStatus> {
    let message = format!(
        "{}. To let go of it without touching AWS: {}",
        watcher.holds_back(),
        commands::abandon(object)
    );
    let counts = recorded_counts(object);
    let blocked = status::deleting(object, true, &message, counts, Vec::new(), context.clock.now());
    Cleanup::Waiting(Outcome::settled(blocked))
}

/// One pass of a clean-up.
pub async fn clean_up(
    object: &PermissionSetBinding,
    federation: Result<IdentityFederation, Problem>,
    context: &Context,
) -> Cleanup<PermissionSetBindingStatus> {
    let now = context.clock.now();
    match Box::pin(pass(object, federation, context)).await {
        Ok(Stage::Done) => Cleanup::Done,
        Ok(Stage::Left(notice)) => Cleanup::Left(vec![notice]),
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
                commands::abandon(object)
            );
            let counts = recorded_counts(object);
            let blocked = status::deleting(object, true, &message, counts, Vec::new(), now);
            Cleanup::Waiting(Outcome::failed(blocked, &problem))
        }
    }
}

fn recorded_counts(object: &PermissionSetBinding) -> (usize, usize) {
    let old = object.status.as_ref();
    let count = |n: Option<i64>| usize::try_from(n.unwrap_or_default()).unwrap_or_default();
    (count(old.map(|s| s.current)), count(old.map(|s| s.pending)))
}

async fn pass(
    object: &PermissionSetBinding,
    federation: Result<IdentityFederation, Problem>,
    context: &Context,
) -> Result<Stage, Problem> {
    let began = Instant::now();
    let ledger = Ledger::read(object, context).await?;
    let recorded = object.status.as_ref().and_then(|s| s.permission_set_arn.clone());
    let made_nothing = ledger.set_arn.is_none() && recorded.is_none();
    let federation = match federation {
        // A federation that never took the binding, or never was.
        Err(problem) if made_nothing && never_began(&problem) => return Ok(Stage::Done),
        other => other?,
    };
    let going = federation.metadata.deletion_timestamp.is_some();
    let found = federation.status.as_ref().is_some_and(|s| s.aws.is_some());
    if made_nothing && !found && going {
        // It waits for its bindings, and will never look at AWS again.
        return Ok(Stage::Done);
    }
    if made_nothing && identity_federation::sees_no_instance(&federation) {
        return Ok(Stage::Left(not_looked_for(object, &federation, &owner(object, context))));
    }
    let known = guard::is_proven(object, &federation, &ledger);
    if !known && recorded.is_none() {
        // One of another namespace. If it is not taken, it never was, whatever a ledger there says.
        match guard::admit(object, &federation, context).await {
            Err(problem) if never_began(&problem) => return Ok(Stage::Done),
            other => _ = other?,
        }
    }
    let resolved = resolve(federation, Ok(BTreeMap::new()), context).await?;
    let instance = &resolved.instance;
    let owner = owner(object, context);
    let time = Deadlines::new(began, context.settings.timing.reconcile, true, instance.slowed().clone());
    let work = Work { object, instance, owner: &owner, names: ledger.names(), time };

    resolve::same_instance(object, &resolved, &ledger)?;
    // What the ledger knows goes first: whatever is wrong with the set, or cannot be read of it. Only a set that is plainly
    // another one's is left alone.
    let known_set = ledger.set_arn.as_ref().filter(|_| known);
    if let Some(arn) = known_set
        && let Some(stage) = work.left_to_another(arn, &resolved.instance_arn).await
    {
        return Ok(stage);
    }
    if let Some(arn) = known_set
        && let Some(stage) = work.remove_assignments(arn, &ledger.grants).await?
    {
        return Ok(stage);
    }
    let name = &object.spec.permission_set.name;
    let was_recorded = recorded.is_some();
    let hint = recorded.or_else(|| ledger.set_arn.clone());
    let found = instance.find_set_anew(name, hint.as_deref()).await;
    let Some(set) = found.map_err(|e| Problem::from_cloud(e, "look for the permission set"))? else {
        // Its assignments went with it.
        return Ok(Stage::Done);
    };
    let is_elsewhere = object.spec.permission_set.definition == Definition::Elsewhere;
    if !is_elsewhere {
        let tags = instance.set_tags(&set.arn).await;
        let tags = tags.map_err(|e| Problem::from_cloud(e, "read the permission set's tags"))?;
        let mark = tags.get(OWNER_TAG).map(String::as_str);
        if mark != Some(owner.as_str()) {
            let was_ours = ledger.set_arn.as_ref() == Some(&set.arn);
            let of_another = mark.and_then(|mark| marks::of_another_installation(&owner, mark)).is_some();
            if !was_ours && !of_another {
                return Ok(Stage::Done);
            }
            return Ok(work.leave(&set, &resolved.instance_arn, mark));
        }
    }
    // Deleted in the foreground, a ledger goes before its owner: then what matches the spec is ours. What speaks for
    // that is the mark; of a set that something else defines, the status alone.
    let lost = ledger.set_arn.is_none() && (!is_elsewhere || was_recorded);
    let ours = match () {
        () if lost => as_specified(object, &resolved, &ledger.clone().of_set(&set.arn), context).await?,
        () if !known && !is_elsewhere => ledger.clone().of_set(&set.arn).grants,
        () => BTreeSet::new(),
    };
    if (lost || !ours.is_empty())
        && let Some(stage) = work.remove_assignments(&set.arn, &ours).await?
    {
        return Ok(stage);
    }
    let ours = ours.into_iter().chain(ledger.of_set(&set.arn).grants).collect();
    if is_elsewhere { Ok(Stage::Done) } else { work.remove_set(&set, &ours).await }
}

/// What is said of a set that does not carry the binding's mark (any more), and stays when the binding goes.
fn stays(set: &PermissionSet, instance_arn: &str, owner: &str, mark: Option<&str>) -> String {
    let whose = match mark {
        Some(mark) => format!("its tag {OWNER_TAG} says {mark}, and this binding is {owner}"),
        None => format!("it has no tag {OWNER_TAG} any more, and this binding is {owner}"),
    };
    let theirs = mark.and_then(|mark| mark.split_once('/')).map(|(installation, _)| installation);
    let unless =
        theirs.map(|id| format!("unless an operator runs with --installation-id {id}, ")).unwrap_or_default();
    format!(
        "permission set {} stays in AWS: {whose}. To clean up: {unless}remove what is assigned of it, then: aws sso-admin delete-permission-set --instance-arn {instance_arn} --permission-set-arn {}",
        set.name, set.arn
    )
}

/// Pure: whether a set of the ledger is plainly another one's: it carries another owner's mark, where marks count, or
/// another name than the spec's.
pub(super) fn is_of_another(
    object: &PermissionSetBinding,
    owner: &str,
    name: &str,
    mark: Option<&str>,
) -> bool {
    let spec = &object.spec.permission_set;
    let marked = spec.definition == Definition::Here && mark.is_some_and(|mark| mark != owner);
    marked || name != spec.name
}

/// A binding whose federation never took it, or never was, has made nothing.
const fn never_began(problem: &Problem) -> bool {
    matches!(
        problem.reason,
        Reason::BindingNotAllowed | Reason::FederationNotFound | Reason::ManagedByOtherParty
    )
}

/// Where there is no instance there is nothing to remove, unless the federation looks in the wrong place: a cluster that
/// was rebuilt knows nothing of what another one made.
fn not_looked_for(object: &PermissionSetBinding, federation: &IdentityFederation, owner: &str) -> Notice {
    let set = &object.spec.permission_set.name;
    let region = &federation.spec.aws.region;
    Notice {
        warning: true,
        reason: "PermissionSetLeft".to_owned(),
        action: "DeletePermissionSet",
        note: format!(
            "permission set {set} was not looked for: the credentials of IdentityFederation {} see no Identity Center instance in {region}. If this binding made it elsewhere, it is there still, with the tag {OWNER_TAG}={owner}",
            object.spec.federation_ref.name
        ),
    }
}

/// What a clean-up works with.
struct Work<'a> {
    object: &'a PermissionSetBinding,
    instance: &'a Instance,
    owner: &'a str,
    names: BTreeMap<PrincipalId, String>,
    time: Deadlines,
}

impl Work<'_> {
    /// Ends for a set of the ledger that carries another owner's mark, or another name than the spec's: its assignments are
    /// that owner's. What cannot be read proves nothing.
    async fn left_to_another(&self, arn: &str, instance_arn: &str) -> Option<Stage> {
        let reading = async {
            let set = self.instance.set_at(arn).await.ok()?;
            Some((self.instance.set_tags(arn).await.ok()?, set))
        };
        let (tags, set) = self.time.of(By::Running).meet(reading).await.ok()??;
        let mark = tags.get(OWNER_TAG).map(String::as_str);
        is_of_another(self.object, self.owner, &set.name, mark).then(|| self.leave(&set, instance_arn, mark))
    }

    /// Nothing of a set is touched, and people are told.
    fn leave(&self, set: &PermissionSet, instance_arn: &str, mark: Option<&str>) -> Stage {
        let note = stays(set, instance_arn, self.owner, mark);
        self.audit(&BTreeSet::new(), Some(&set.name)).left(Service::SsoAdmin, &set.arn, &note);
        let (reason, action) = ("PermissionSetLeft".to_owned(), "DeletePermissionSet");
        Stage::Left(Notice { warning: true, reason, action, note })
    }

    /// Removes what is ours; none when nothing is left.
    async fn remove_assignments(&self, arn: &str, ours: &BTreeSet<Grant>) -> Result<Option<Stage>, Problem> {
        const DOING: &str = "look at what runs in AWS";
        let instance = self.instance;
        // What cannot be read holds up no removal, only the end.
        let settled = read_in_time(&self.time.of(By::Running), DOING, instance.settle()).await;
        let mut unsettled = settled.err();
        let verbs: BTreeSet<Verb> = [Verb::Create, Verb::Delete].into();
        if instance.must_learn(&verbs) {
            let learnt = read_in_time(&self.time.of(By::Set), DOING, instance.learn(&verbs)).await;
            unsettled = unsettled.or_else(|| learnt.err());
        }
        let principals: BTreeSet<PrincipalId> = ours.iter().map(|g| g.principal.clone()).collect();
        let accounts: BTreeSet<String> = ours.iter().map(|g| g.account.clone()).collect();
        let until = self.time.of(By::Assignments);
        let assigned = instance.assigned(arn, &principals, &accounts, &until).await;
        let rests =
            |(g, f): (&Grant, &FailedWork)| (f.verb == Verb::Delete).then(|| (g.clone(), f.rest.is_zero()));
        let plan = plan_assignments(&Facts {
            observed: assigned.observed.clone(),
            unread: assigned.unread.keys().cloned().collect(),
            ledger: ours.clone(),
            stated: ours.clone(),
            running: assigned.running.keys().cloned().collect(),
            failed: assigned.failed.iter().filter_map(rests).collect(),
            awaited: assigned.awaited.clone(),
            settled: unsettled.is_none(),
            ..Facts::default()
        });
        let unread = assigned.unread.values().next().cloned();
        let unread = unread.map(|e| Problem::from_cloud(e, "read the assignments"));
        let is_left = |g: &&Grant| {
            let there = assigned.observed.contains(*g) || assigned.awaited.contains(*g);
            there || assigned.unread.contains_key(&g.principal)
        };
        let left: BTreeSet<Grant> = ours.iter().filter(is_left).cloned().collect();
        let running = assigned.running.keys().filter(|g| ours.contains(*g)).count();
        if left.is_empty() && running == 0 {
            return unsettled.or(unread).map_or(Ok(None), Err);
        }
        let audit = self.audit(&plan.remove, None);
        let applied = apply::remove(instance, self.owner, &audit, arn, &plan.remove).await;
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

    fn audit(&self, assignments: &BTreeSet<Grant>, set: Option<&str>) -> Audit {
        audit(self.object, plan::clean_up(assignments, set, &self.names).hash())
    }

    /// Deletes the set, once AWS shows nobody who has it. `ours`: what the binding made.
    async fn remove_set(&self, set: &PermissionSet, ours: &BTreeSet<Grant>) -> Result<Stage, Problem> {
        let instance = self.instance;
        let provisioned = instance.provisioned_accounts(&set.arn).await;
        let provisioned =
            provisioned.map_err(|e| Problem::from_cloud(e, "ask where the permission set is provisioned"))?;
        let (mut shown, mut strangers) = (BTreeSet::new(), BTreeSet::new());
        for account in &provisioned {
            let there = instance.assignments_on(&set.arn, account).await;
            shown.extend(there.map_err(|e| Problem::from_cloud(e, "read the assignments"))?);
            strangers = others(&shown, ours);
            if strangers.len() > NAMED {
                break;
            }
        }
        if !strangers.is_empty() {
            return Err(has_strangers(set, &strangers));
        }
        if !shown.is_empty() {
            let message = format!(
                "waiting for AWS to show no more that it removed the assignments of permission set {}",
                set.name
            );
            return Ok(Stage::Waiting(message, (0, 0), Vec::new()));
        }
        if !provisioned.is_empty() {
            let message = format!(
                "waiting for AWS to take permission set {} off {} accounts",
                set.name,
                provisioned.len()
            );
            return Ok(Stage::Waiting(message, (0, 0), Vec::new()));
        }
        let audit = self.audit(&BTreeSet::new(), Some(&set.name));
        match instance.delete_set(set, &audit).await {
            Ok(()) => Ok(Stage::Done),
            Err(e) if e.kind == CloudErrorKind::Conflict => {
                let message = format!("waiting for AWS to let go of permission set {}", set.name);
                Ok(Stage::Waiting(message, (0, 0), Vec::new()))
            }
            Err(e) => Err(Problem::from_cloud(e, "delete the permission set")),
        }
    }
}

/// What this binding did not make. Its own, which it has removed, may still be shown: by account AWS shows later what it
/// shows by principal already (contract aws 1.11), and who starts anew has not seen how its removals ended.
fn others(shown: &BTreeSet<Grant>, ours: &BTreeSet<Grant>) -> BTreeSet<Grant> {
    shown.difference(ours).cloned().collect()
}

fn has_strangers(set: &PermissionSet, strangers: &BTreeSet<Grant>) -> Problem {
    let more = if strangers.len() > NAMED { ", …" } else { "" };
    let named: Vec<String> = strangers.iter().take(NAMED).map(Grant::to_string).collect();
    let message = format!(
        "permission set {} stays: it has assignments that this binding did not make: {}{more}; remove them in IAM Identity Center, and it will be deleted",
        set.name,
        named.join(", ")
    );
    Problem::new(Class::Blocked, Reason::DeletionBlocked, message)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::aws::assignments::PrincipalKind;

    #[test]
    fn what_the_binding_removed_itself_and_a_late_reading_shows_is_no_strangers() {
        let grant = |account: &str, id: &str| Grant {
            account: account.into(),
            principal: PrincipalId { kind: PrincipalKind::Group, id: id.into() },
        };
        let ours: BTreeSet<Grant> = [grant("1", "ours"), grant("2", "ours")].into();
        assert!(others(&[grant("1", "ours")].into(), &ours).is_empty());
        let strangers = others(&[grant("1", "ours"), grant("3", "ours"), grant("1", "x")].into(), &ours);
        assert_eq!(strangers, [grant("1", "x"), grant("3", "ours")].into());
        let set = PermissionSet {
            arn: "arn:set".into(),
            name: "Readers".into(),
            settings: crate::clients::aws::permission_sets::SetSettings::default(),
        };
        let told = has_strangers(&set, &strangers).message;
        assert!(told.contains(&grant("1", "x").to_string()) && !told.contains('…'), "{told}");
    }

    #[test]
    fn what_stays_is_told_with_both_marks_and_the_command() {
        let set = PermissionSet {
            arn: "arn:set".into(),
            name: "Readers".into(),
            settings: crate::clients::aws::permission_sets::SetSettings::default(),
        };
        let command =
            "aws sso-admin delete-permission-set --instance-arn arn:instance --permission-set-arn arn:set";
        for (mark, words) in [
            (
                Some("a/n/readers"),
                "says a/n/readers, and this binding is b/n/readers. To clean up: unless an operator runs with --installation-id a, ",
            ),
            (
                None,
                "no tag causeway.dev/owner any more, and this binding is b/n/readers. To clean up: remove",
            ),
        ] {
            let message = stays(&set, "arn:instance", "b/n/readers", mark);
            assert!(message.starts_with("permission set Readers stays in AWS"), "{message}");
            assert!(message.contains(words) && message.ends_with(command), "{message}");
        }
    }
}
