//! The provisioning engine: cycles on the clouds' clock that really push over HTTPS (5.7, 5.9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::jobs::{Counts, Execution, INTERVAL, Link, Quarantine, Retired};
use super::mapping::{self, ObjectMapping};
use super::scim_client::{Scim, ScimError};
use super::scope::{self, Fate, Snapshot, Source};
use super::secrets::REFUSED;
use crate::entra::Entra;
use crate::entra::state::{Kind, after};

/// At most this many membership changes in one PATCH (AWS contract 4.3).
const MEMBERS: usize = 100;
/// After so many unanswered calls in a row the target counts as unreachable.
const SILENCE: u32 = 3;
/// Retries in quarantine, in hours; then daily (5.7).
const RETRIES: [i64; 3] = [6, 12, 24];
/// A job that stays in quarantine is switched off after four weeks.
const PATIENCE: SignedDuration = SignedDuration::from_hours(28 * 24);

/// Runs every job that is due until `stop` is cancelled.
pub(in crate::entra) async fn run(entra: Arc<Entra>, stop: CancellationToken) {
    loop {
        let now = entra.core.clock.now();
        let (due, next) = due(&entra, now);
        for (service_principal, job) in due {
            let (entra, stop) = (entra.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = Box::pin(cycle(&entra, &service_principal, &job)) => entra.wake.notify_one(),
                }
            });
        }
        let wait = async {
            match next {
                Some(at) => entra.core.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = entra.wake.notified() => {}
            () = wait => {}
        }
    }
}

/// Marks what is due as running; answers it with the moment of the next one.
fn due(entra: &Entra, now: Timestamp) -> (Vec<(String, String)>, Option<Timestamp>) {
    let mut state = entra.state_now();
    let alive: BTreeSet<String> = state.all(Kind::ServicePrincipal).map(|o| o.id.clone()).collect();
    let mut due = Vec::new();
    let mut next: Option<Timestamp> = None;
    for (id, synchronization) in state.synchronization.iter_mut().filter(|(id, _)| alive.contains(*id)) {
        for job in synchronization.jobs.iter_mut().filter(|j| j.active && !j.running) {
            let Some(at) = job.next_run else { continue };
            if at <= now {
                job.running = true;
                due.push((id.clone(), job.id.clone()));
            } else {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
    }
    (due, next)
}

/// Why a run ended early.
enum Abort {
    /// Nobody to talk to.
    Target(ScimError),
    /// The guard struck (5.7).
    TooManyDeletes { wanted: u64, allowed: u64 },
    /// The schema cannot be run.
    Schema(String),
}

async fn cycle(entra: &Entra, service_principal: &str, job_id: &str) {
    let began = entra.core.clock.now();
    let Some((snapshot, mut run, turn)) = prepare(entra, service_principal, job_id, began) else { return };
    let guard = turn.lock().await;
    let outcome = push(entra, &snapshot, &mut run).await;
    // Links are kept at once: a provisioning on demand may come while the cycle is still winding down.
    {
        let mut state = entra.state_now();
        let job = state.synchronization.get_mut(service_principal).and_then(|s| s.job_mut(job_id));
        if let Some(job) = job {
            job.links.clone_from(&run.links);
        }
    }
    drop(guard);
    let took = entra.core.ids.draw(entra.core.profile.cycle);
    entra.core.clock.sleep_until(after(began, took)).await;
    finish(entra, service_principal, job_id, began, &run, outcome);
}

fn prepare(
    entra: &Entra,
    service_principal: &str,
    job_id: &str,
    now: Timestamp,
) -> Option<(Snapshot, Run, super::Turn)> {
    let mut state = entra.state_now();
    let synchronization = state.synchronization.get(service_principal)?;
    let job = synchronization.job(job_id)?;
    let snapshot = scope::take(&state, service_principal, synchronization, job, now);
    let job = state.synchronization.get_mut(service_principal)?.job_mut(job_id)?;
    let run = Run {
        links: job.links.clone(),
        counts: Counts::default(),
        full: job.initial,
        forced: job.force_deletes,
        silent: 0,
    };
    job.initial = false;
    job.force_deletes = false;
    Some((snapshot, run, job.turn.clone()))
}

fn finish(
    entra: &Entra,
    service_principal: &str,
    job_id: &str,
    began: Timestamp,
    run: &Run,
    outcome: Result<(), Abort>,
) {
    let now = entra.core.clock.now();
    let mut state = entra.state_now();
    let Some(job) = state.synchronization.get_mut(service_principal).and_then(|s| s.job_mut(job_id)) else {
        return;
    };
    job.running = false;
    let failure = outcome.err().map(|abort| match abort {
        Abort::Target(error) => ("EncounteredQuarantineException", REFUSED, error.to_string()),
        Abort::TooManyDeletes { wanted, allowed } => (
            "TooManyDeletes",
            "TooManyDeletes",
            format!("The cycle would delete or disable {wanted} objects; {allowed} are allowed."),
        ),
        Abort::Schema(why) => ("EncounteredQuarantineException", "InvalidSchema", why),
    });
    let escrowed = run.counts.escrowed;
    let execution = Execution {
        id: entra.core.ids.uuid(),
        state: match (&failure, escrowed) {
            (Some(_), _) => "Failed",
            (None, 0) => "Succeeded",
            (None, _) => "EntryLevelErrors",
        },
        began,
        ended: now,
        counts: run.counts,
        error: failure.as_ref().map(|(_, code, message)| ((*code).to_owned(), message.clone())),
    };
    if failure.is_none() {
        job.last_good = Some(execution.clone());
        if run.counts.exports > 0 {
            job.last_good_with_exports = Some(execution.clone());
        }
    }
    job.last = Some(execution);
    match failure {
        None => {
            job.failures = 0;
            job.quarantine = None;
            if escrowed == 0 {
                job.steady = Some((job.steady.map_or(now, |s| s.0), now));
            }
            job.next_run = job.active.then(|| after(began, INTERVAL).max(now));
        }
        Some((reason, code, message)) => {
            job.failures += 1;
            job.initial |= run.full;
            let count = job.quarantine.as_ref().map_or(1, |q| q.count + 1);
            let since = job.quarantine.as_ref().map_or(now, |q| q.since);
            let hours = RETRIES.get(count as usize - 1).copied().unwrap_or(24);
            let next_attempt = after(now, SignedDuration::from_hours(hours));
            job.quarantine =
                Some(Quarantine { reason, code: code.to_owned(), message, since, count, next_attempt });
            job.next_run = job.active.then_some(next_attempt);
            if now.duration_since(since) > PATIENCE {
                job.active = false;
                job.next_run = None;
            }
        }
    }
}

/// One run's work in progress.
pub(super) struct Run {
    pub(super) links: BTreeMap<String, Link>,
    pub(super) counts: Counts,
    /// Look at the target again instead of trusting what was written last.
    pub(super) full: bool,
    /// Deletions are allowed whatever their number.
    pub(super) forced: bool,
    /// Calls in a row that were not answered.
    pub(super) silent: u32,
}

/// What was done for one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Created,
    Updated,
    Nothing,
    /// The flow types do not allow what would be needed.
    NotAllowed,
}

async fn push(entra: &Entra, snapshot: &Snapshot, run: &mut Run) -> Result<(), Abort> {
    let mappings = mapping::parse(&snapshot.schema).map_err(Abort::Schema)?;
    let scim = Scim::new(entra, &snapshot.credentials).map_err(Abort::Target)?;
    scim.probe(&entra.core.ids.uuid()).await.map_err(Abort::Target)?;
    let of = |kind: Kind| mappings.iter().find(|m| m.kind == kind && m.enabled);
    let mut fates = snapshot.fates.clone();
    if let Some(users) = of(Kind::User) {
        for user in &snapshot.users {
            if !users.in_scope(&user.fields) {
                fates.insert(user.id.clone(), Fate::Unassigned);
                continue;
            }
            run.counts.entitled += 1;
            let outcome = run.user(&scim, users, user).await;
            run.book(outcome)?;
        }
    }
    // Before groups: who left is no member any more.
    run.retire(&scim, snapshot, &mappings, &fates).await?;
    if let Some(groups) = of(Kind::Group) {
        for (group, members) in snapshot.groups.iter().filter(|(g, _)| groups.in_scope(&g.fields)) {
            run.counts.entitled += 1;
            let outcome = run.group(&scim, groups, group, members).await;
            run.book(outcome)?;
        }
    }
    Ok(())
}

impl Run {
    /// Counts one object's outcome; only what concerns all objects ends the run.
    fn book(&mut self, outcome: Result<Done, ScimError>) -> Result<(), Abort> {
        self.counts.imported += 1;
        match outcome {
            Ok(done) => {
                self.silent = 0;
                self.counts.exported += u64::from(matches!(done, Done::Created | Done::Updated));
            }
            Err(error) => {
                self.silent = if matches!(error, ScimError::Unreachable(_)) { self.silent + 1 } else { 0 };
                if error.unauthorized() || self.silent >= SILENCE {
                    return Err(Abort::Target(error));
                }
                tracing::debug!(%error, "object escrowed");
                self.counts.escrowed += 1;
            }
        }
        Ok(())
    }

    pub(super) async fn user(
        &mut self,
        scim: &Scim,
        mapping: &ObjectMapping,
        user: &Source,
    ) -> Result<Done, ScimError> {
        self.object(scim, mapping, "Users", user).await
    }

    pub(super) async fn group(
        &mut self,
        scim: &Scim,
        mapping: &ObjectMapping,
        group: &Source,
        members: &BTreeSet<String>,
    ) -> Result<Done, ScimError> {
        let done = self.object(scim, mapping, "Groups", group).await?;
        if done == Done::NotAllowed || !mapping.maps_members() || !mapping.updates {
            return Ok(done);
        }
        let provisioned =
            |id: &&String| self.links.get(*id).is_some_and(|l| l.kind == Kind::User && l.retired.is_none());
        let wanted: BTreeSet<String> = members.iter().filter(provisioned).cloned().collect();
        let changed = self.members(scim, &group.id, &wanted).await?;
        Ok(if changed && done == Done::Nothing { Done::Updated } else { done })
    }

    /// Brings the members of one group to `wanted`, a hundred at a time.
    async fn members(
        &mut self,
        scim: &Scim,
        group: &str,
        wanted: &BTreeSet<String>,
    ) -> Result<bool, ScimError> {
        let Some(link) = self.links.get(group).cloned() else { return Ok(false) };
        let mut changed = false;
        let adds: Vec<&String> = wanted.difference(&link.members).collect();
        let removes: Vec<&String> = link.members.difference(wanted).collect();
        for (op, ids) in [("add", adds), ("remove", removes)] {
            for chunk in ids.chunks(MEMBERS) {
                let targets = chunk.iter().filter_map(|id| self.links.get(*id));
                let values: Vec<Value> = targets.map(|l| json!({ "value": l.target_id })).collect();
                if !values.is_empty() {
                    let operation = json!({ "op": op, "path": "members", "value": values });
                    scim.patch("Groups", &link.target_id, vec![operation]).await?;
                    self.counts.exports += 1;
                    self.counts.references += values.len() as u64;
                    changed = true;
                }
                if let Some(link) = self.links.get_mut(group) {
                    for id in chunk {
                        if op == "add" {
                            link.members.insert((*id).clone())
                        } else {
                            link.members.remove(*id)
                        };
                    }
                }
            }
        }
        Ok(changed)
    }

    /// Brings one object without its references into the target.
    async fn object(
        &mut self,
        scim: &Scim,
        mapping: &ObjectMapping,
        path: &str,
        source: &Source,
    ) -> Result<Done, ScimError> {
        let known = self.links.get(&source.id).cloned();
        if let Some(link) = known {
            let values = mapping.values(&source.fields, false);
            let operations = if self.full {
                match scim.get(path, &link.target_id).await? {
                    Some(current) => mapping::difference(&current, &values),
                    // Somebody removed it in the target: find or make it again.
                    None => {
                        self.links.remove(&source.id);
                        return self.unknown(scim, mapping, path, source).await;
                    }
                }
            } else {
                mapping::changes(&link.exported, &values)
            };
            if !operations.is_empty() && !mapping.updates {
                return Ok(Done::NotAllowed);
            }
            let changed = !operations.is_empty();
            if changed {
                scim.patch(path, &link.target_id, operations).await?;
                self.counts.exports += 1;
            }
            if let Some(link) = self.links.get_mut(&source.id) {
                link.exported = values;
                link.retired = None;
            }
            return Ok(if changed { Done::Updated } else { Done::Nothing });
        }
        self.unknown(scim, mapping, path, source).await
    }

    /// An object without a link: matched in the target, else created.
    async fn unknown(
        &mut self,
        scim: &Scim,
        mapping: &ObjectMapping,
        path: &str,
        source: &Source,
    ) -> Result<Done, ScimError> {
        let values = mapping.values(&source.fields, true);
        let mut found = None;
        for (attribute, value) in mapping.matching(&values) {
            found = scim.find(path, attribute, value).await?;
            if found.is_some() {
                break;
            }
        }
        let (done, target_id, exported) = match found {
            Some(current) => {
                let values = mapping.values(&source.fields, false);
                let operations = mapping::difference(&current, &values);
                let id = current["id"].as_str().unwrap_or_default().to_owned();
                let changes = !operations.is_empty() && mapping.updates;
                if changes {
                    scim.patch(path, &id, operations).await?;
                    self.counts.exports += 1;
                }
                (if changes { Done::Updated } else { Done::Nothing }, id, values)
            }
            None if !mapping.adds => return Ok(Done::NotAllowed),
            None => {
                let created = match scim.create(path, &mapping::resource(mapping.kind, &values)).await {
                    // An earlier attempt did land, though its answer was lost.
                    Err(ScimError::Status(409, why)) => {
                        let (attribute, value) =
                            mapping.matching(&values).first().copied().unwrap_or_default();
                        let found = scim.find(path, attribute, value).await?;
                        found.ok_or(ScimError::Status(409, why))?
                    }
                    other => other?,
                };
                self.counts.exports += 1;
                (Done::Created, created["id"].as_str().unwrap_or_default().to_owned(), values)
            }
        };
        let link = Link { kind: mapping.kind, target_id, exported, members: BTreeSet::new(), retired: None };
        self.links.insert(source.id.clone(), link);
        Ok(done)
    }

    /// Disables or deletes what left the scope, unless the guard says that it is too much.
    async fn retire(
        &mut self,
        scim: &Scim,
        snapshot: &Snapshot,
        mappings: &[ObjectMapping],
        fates: &BTreeMap<String, Fate>,
    ) -> Result<(), Abort> {
        let mut acts: Vec<(String, Act)> = Vec::new();
        for (id, fate) in fates {
            let Some(link) = self.links.get(id) else { continue };
            let Some(mapping) = mappings.iter().find(|m| m.kind == link.kind && m.enabled) else { continue };
            let act = act(link, *fate, mapping, snapshot.skip_out_of_scope);
            acts.push((id.clone(), act));
        }
        let wanted = acts.iter().filter(|(_, act)| !matches!(act, Act::Keep | Act::Forget)).count() as u64;
        if let Some(allowed) = snapshot.threshold
            && wanted > allowed
            && !self.forced
        {
            return Err(Abort::TooManyDeletes { wanted, allowed });
        }
        for (id, act) in acts {
            let outcome = self.carry_out(scim, &id, act).await;
            self.book(outcome)?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, scim: &Scim, id: &str, act: Act) -> Result<Done, ScimError> {
        let Some(link) = self.links.get(id).cloned() else { return Ok(Done::Nothing) };
        let path = if link.kind == Kind::Group { "Groups" } else { "Users" };
        match act {
            Act::Keep => return Ok(Done::Nothing),
            Act::Forget => {
                self.links.remove(id);
                return Ok(Done::Nothing);
            }
            Act::Disable(why) => {
                let off = json!({ "op": "replace", "path": "active", "value": false });
                match scim.patch(path, &link.target_id, vec![off]).await {
                    // Gone in the target already: as disabled as can be.
                    Ok(()) | Err(ScimError::Status(404, _)) => {}
                    Err(error) => return Err(error),
                }
                if let Some(link) = self.links.get_mut(id) {
                    link.exported.insert("active".into(), false.into());
                    link.retired = Some(why);
                }
            }
            Act::Delete => {
                scim.delete(path, &link.target_id).await?;
                self.links.remove(id);
            }
        }
        self.counts.exports += 1;
        Ok(Done::Updated)
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Keep,
    Forget,
    Disable(Retired),
    Delete,
}

/// What leaving the scope means (5.9): users are disabled, and deleted once they are gone for good, unless
/// they were unassigned before; groups are deleted.
fn act(link: &Link, fate: Fate, mapping: &ObjectMapping, skip: bool) -> Act {
    let spared = skip && fate == Fate::Unassigned;
    if link.kind == Kind::Group {
        return match fate {
            _ if spared || !mapping.deletes => Act::Keep,
            _ => Act::Delete,
        };
    }
    match (fate, link.retired) {
        (Fate::Purged, Some(Retired::Unassigned)) => Act::Forget,
        (Fate::Purged, _) => {
            if mapping.deletes {
                Act::Delete
            } else {
                Act::Forget
            }
        }
        (_, Some(_)) => Act::Keep,
        _ if spared || !mapping.updates || !mapping.maps_active() => Act::Keep,
        (Fate::Deleted, None) => Act::Disable(Retired::Deleted),
        (Fate::Unassigned | Fate::Disabled, None) => Act::Disable(Retired::Unassigned),
    }
}
