//! Provisioning (5): a service of its own behind Graph, with its own errors and its own pace.

pub(super) mod engine;
mod expression;
mod jobs;
mod mapping;
pub(super) mod on_demand;
mod schema;
mod scim_client;
mod scope;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::errors::GraphError;
use super::graph::directory::resolve;
use super::graph::{Answer, Call, Outcome};
use super::state::{Kind, State, after, iso};
use jobs::{Job, Quarantine};

pub(super) use secrets::validate_credentials;

/// The operations that need nothing but the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    ListTemplates,
    GetTemplate,
    ListJobs,
    CreateJob,
    GetJob,
    PatchJob,
    DeleteJob,
    Start,
    Pause,
    Restart,
    GetSchema,
    PutSchema,
    DeleteSchema,
    ParseExpression,
    GetSecrets,
    PutSecrets,
}

/// Reasons for quarantine (5.7).
const REASONS: [&str; 8] = [
    "EncounteredBaseEscrowThreshold",
    "EncounteredTotalEscrowThreshold",
    "EncounteredEscrowProportionThreshold",
    "EncounteredQuarantineException",
    "QuarantinedOnDemand",
    "TooManyDeletes",
    "IngestionInterrupted",
    "Unknown",
];

/// Provisioning of one service principal.
#[derive(Clone, Default)]
pub(super) struct Synchronization {
    /// In the order in which they were first set.
    secrets: Vec<(String, String)>,
    jobs: Vec<Job>,
    /// A fresh service principal is not known here before (5.11).
    warm_from: Option<Timestamp>,
    refused: usize,
}

impl Synchronization {
    fn secret(&self, key: &str) -> Option<&str> {
        self.secrets.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|j| j.id == id)
    }

    fn job_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|j| j.id == id)
    }

    /// Puts every job into quarantine for one of the published reasons (5.7); answers whether there was one.
    ///
    /// # Errors
    /// The reason is none of them.
    pub(super) fn quarantine(&mut self, reason: &str, now: Timestamp) -> Result<bool, GraphError> {
        let known = REASONS.into_iter().find(|known| *known == reason);
        let reason =
            known.ok_or_else(|| GraphError::bad(format!("'{reason}' is no reason for quarantine.")))?;
        for job in &mut self.jobs {
            job.quarantine = Some(Quarantine {
                reason,
                code: reason.to_owned(),
                message: "The synchronization job was put into quarantine.".to_owned(),
                since: now,
                count: 1,
                next_attempt: after(now, SignedDuration::from_hours(6)),
            });
            job.next_run = job.active.then(|| after(now, SignedDuration::from_hours(6)));
        }
        Ok(!self.jobs.is_empty())
    }

    /// For independent checks: jobs with status and links, keys of secrets without values.
    pub(super) fn state(&self) -> Value {
        let jobs = self.jobs.iter().map(|job| {
            let mut shown = job.json(self);
            shown["schema"] = job.schema.clone().unwrap_or_default();
            shown["nextRun"] = job.next_run.map(iso).into();
            shown["running"] = job.running.into();
            let links: BTreeMap<&String, Value> = job
                .links
                .iter()
                .map(|(id, link)| {
                    let kind = link.kind.principal_type();
                    (id, json!({ "type": kind, "targetId": link.target_id, "disabled": link.retired.is_some() }))
                })
                .collect();
            shown["links"] = json!(links);
            shown
        });
        let keys: Vec<&String> = self.secrets.iter().map(|(key, _)| key).collect();
        json!({ "jobs": jobs.collect::<Vec<_>>(), "secretKeys": keys })
    }
}

/// The service principal of the call, once this service knows it. A brand-new one is answered with 401,
/// 403 and 404 in turns (5.11).
fn enter(call: &mut Call, state: &mut State) -> Result<String, GraphError> {
    let object = resolve(call, state, Kind::ServicePrincipal)?;
    let (id, created) = (object.id.clone(), object.created);
    let core = call.entra.core.clone();
    let synchronization = state.synchronization.entry(id.clone()).or_default();
    let draw = || after(created, core.ids.draw(core.profile.synchronization_warm_up));
    let warm = *synchronization.warm_from.get_or_insert_with(draw);
    if call.view.now < warm {
        synchronization.refused += 1;
        return Err(match synchronization.refused % 3 {
            1 => GraphError::synchronization_unauthorized(),
            2 => GraphError::new(403, "Forbidden", ""),
            _ => GraphError::new(404, "ResourceNotFound", "The service principal was not found."),
        });
    }
    Ok(id)
}

/// The job that the path names, as far as it is visible.
fn job_of<'a>(call: &Call, state: &'a mut State, id: &str) -> Result<&'a mut Job, GraphError> {
    let wanted = call.id(1);
    let missing = || {
        let text = format!("The synchronization job '{wanted}' was not found.");
        GraphError::new(404, "JobNotFound", text)
    };
    let job = state.synchronization.get_mut(id).and_then(|s| s.job_mut(wanted)).ok_or_else(missing)?;
    if job.visible_from > call.view.now { Err(missing()) } else { Ok(job) }
}

pub(super) fn dispatch(op: Op, call: &mut Call, state: &mut State) -> Outcome {
    let id = enter(call, state)?;
    match op {
        Op::ListTemplates => schema::list_templates(call, state, &id),
        Op::GetTemplate => schema::get_template(call, state, &id),
        Op::ListJobs => jobs::list(call, state, &id),
        Op::CreateJob => jobs::create(call, state, &id),
        Op::GetJob => {
            job_of(call, state, &id)?;
            let synchronization = state.synchronization.get(&id);
            let job = synchronization.and_then(|s| Some(s.job(call.id(1))?.json(s))).unwrap_or_default();
            Ok(Answer::ok(job))
        }
        Op::PatchJob => jobs::patch(call, state, &id),
        Op::DeleteJob => jobs::delete(call, state, &id),
        Op::Start => jobs::start(call, state, &id),
        Op::Pause => jobs::pause(call, state, &id),
        Op::Restart => jobs::restart(call, state, &id),
        Op::GetSchema => schema::get(call, state, &id),
        Op::PutSchema => schema::put(call, state, &id),
        Op::DeleteSchema => schema::delete(call, state, &id),
        Op::ParseExpression => schema::parse_expression(call, state, &id),
        Op::GetSecrets => secrets::get(state, &id),
        Op::PutSecrets => secrets::put(call, state, &id),
    }
}

/// What one run needs to reach the target: taken from the secrets.
struct Credentials {
    base: String,
    token: String,
}

impl Credentials {
    fn of(pairs: &[(String, String)]) -> Self {
        let get =
            |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap_or_default();
        Self { base: get("BaseAddress"), token: get("SecretToken") }
    }
}

/// Serialises runs of one job: a cycle and a provisioning on demand never overlap.
type Turn = Arc<tokio::sync::Mutex<()>>;
