//! Jobs and their life (5.2, 5.5, 5.7).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Synchronization, Turn, job_of, schema};
use crate::entra::errors::GraphError;
use crate::entra::graph::{Answer, Call, Outcome};
use crate::entra::state::{Kind, State, after, iso};

/// The year-one moment that means "never" (5.7).
const NEVER: &str = "0001-01-01T00:00:00Z";
/// Cycles come every forty minutes (5.2).
pub(super) const INTERVAL: SignedDuration = SignedDuration::from_mins(40);
/// Deletions allowed in one cycle when the guard is on and says nothing else (5.7).
const DEFAULT_THRESHOLD: u64 = 500;

/// One synchronization job.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) template_id: String,
    /// After POST a GET may answer 404 for a while (5.2).
    pub(super) visible_from: Timestamp,
    /// Set by PUT; the template's default otherwise.
    pub(super) schema: Option<Value>,
    /// Of the template, when the job was made.
    pub(super) user_name_source: String,
    /// Whether the schedule is on.
    pub(super) active: bool,
    started: bool,
    settings: BTreeMap<String, String>,
    pub(super) next_run: Option<Timestamp>,
    pub(super) running: bool,
    /// The next cycle looks at every object again.
    pub(super) initial: bool,
    pub(super) force_deletes: bool,
    pub(super) quarantine: Option<Quarantine>,
    pub(super) links: BTreeMap<String, Link>,
    pub(super) last: Option<Execution>,
    pub(super) last_good: Option<Execution>,
    pub(super) last_good_with_exports: Option<Execution>,
    pub(super) failures: u64,
    pub(super) steady: Option<(Timestamp, Timestamp)>,
    /// Recent calls of provision on demand.
    pub(super) demands: Vec<Timestamp>,
    pub(super) turn: Turn,
}

/// A job that fails, retried ever more rarely.
#[derive(Clone)]
pub(super) struct Quarantine {
    pub(super) reason: &'static str,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) since: Timestamp,
    pub(super) count: u32,
    pub(super) next_attempt: Timestamp,
}

/// A source object and its twin in the target.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) kind: Kind,
    pub(super) target_id: String,
    /// What was written last, by target attribute.
    pub(super) exported: Map<String, Value>,
    /// Groups: ids of the source members that the target has.
    pub(super) members: BTreeSet<String>,
    /// Out of scope and disabled in the target.
    pub(super) retired: Option<Retired>,
}

/// Why a user was disabled in the target: the first reason decides about the later deletion (5.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retired {
    Unassigned,
    Deleted,
}

/// What one cycle came to.
#[derive(Clone)]
pub(super) struct Execution {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) counts: Counts,
    pub(super) error: Option<(String, String)>,
}

/// Counts of one cycle.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) entitled: u64,
    pub(super) imported: u64,
    pub(super) exported: u64,
    pub(super) exports: u64,
    pub(super) escrowed: u64,
    pub(super) references: u64,
}

impl Execution {
    fn json(&self) -> Value {
        let Counts { entitled, imported, exported, exports, escrowed, references } = self.counts;
        let error = self
            .error
            .as_ref()
            .map(|(code, message)| json!({ "code": code, "message": message, "tenantActionable": true }));
        json!({
            "activityIdentifier": self.id, "state": self.state,
            "timeBegan": iso(self.began), "timeEnded": iso(self.ended),
            "countEntitled": entitled, "countEntitledForProvisioning": entitled,
            "countEscrowed": escrowed, "countEscrowedRaw": escrowed,
            "countExported": exported, "countExports": exports,
            "countImported": imported, "countImportedDeltas": imported,
            "countImportedReferenceDeltas": references, "error": error,
        })
    }
}

/// What `lastExecution` says between start and the end of the first cycle: not a failure (5.7, traps).
fn no_run_yet() -> Value {
    json!({
        "activityIdentifier": null, "state": "Failed", "timeBegan": NEVER, "timeEnded": NEVER,
        "countEntitled": 0, "countEntitledForProvisioning": 0, "countEscrowed": 0, "countEscrowedRaw": 0,
        "countExported": 0, "countExports": 0, "countImported": 0, "countImportedDeltas": 0,
        "countImportedReferenceDeltas": 0,
        "error": { "code": "None", "message": "", "tenantActionable": false },
    })
}

impl Job {
    fn code(&self, configured: bool) -> &'static str {
        match (self.active, &self.quarantine) {
            (_, Some(_)) => "Quarantine",
            (true, None) if self.last.is_none() => "NotRun",
            (true, None) => "Active",
            (false, None) if configured || self.started => "Paused",
            (false, None) => "NotConfigured",
        }
    }

    /// The job as Graph shows it.
    pub(super) fn json(&self, synchronization: &Synchronization) -> Value {
        let configured = synchronization.secret("SecretToken").is_some();
        let count =
            |kind: Kind| self.links.values().filter(|l| l.kind == kind && l.retired.is_none()).count();
        let entries: Vec<Value> = [(Kind::User, "User to User"), (Kind::Group, "Group to Group")]
            .into_iter()
            .filter(|(kind, _)| count(*kind) > 0)
            .map(|(kind, key)| json!({ "key": key, "value": count(kind) }))
            .collect();
        let last = match (&self.last, self.started) {
            (Some(last), _) => last.json(),
            (None, true) => no_run_yet(),
            (None, false) => Value::Null,
        };
        let quarantine = self.quarantine.as_ref().map(|q| {
            json!({
                "reason": q.reason, "currentBegan": iso(q.since), "nextAttempt": iso(q.next_attempt),
                "seriesBegan": iso(q.since), "seriesCount": q.count,
                "error": { "code": q.code, "message": q.message, "tenantActionable": true },
            })
        });
        let steady = |pick: fn(&(Timestamp, Timestamp)) -> Timestamp| {
            self.steady.as_ref().map_or_else(|| NEVER.to_owned(), |s| iso(pick(s)))
        };
        let settings: Vec<Value> =
            self.settings.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        json!({
            "id": self.id,
            "templateId": self.template_id,
            "schedule": {
                "expiration": null,
                // "Never" until the job is started for the first time.
                "interval": if self.started { "PT40M" } else { "P10675199DT2H48M5.4775807S" },
                "state": if self.active { "Active" } else { "Disabled" },
            },
            "status": {
                "code": self.code(configured),
                "countSuccessiveCompleteFailures": self.failures,
                "escrowsPruned": false,
                "steadyStateFirstAchievedTime": steady(|s| s.0),
                "steadyStateLastAchievedTime": steady(|s| s.1),
                "troubleshootingUrl": "",
                "synchronizedEntryCountByType": entries,
                "progress": [],
                "lastExecution": last,
                "lastSuccessfulExecution": self.last_good.as_ref().map(Execution::json),
                "lastSuccessfulExecutionWithExports": self.last_good_with_exports.as_ref().map(Execution::json),
                "quarantine": quarantine,
            },
            "synchronizationJobSettings": settings,
        })
    }

    pub(super) fn allows_default_entitlement(&self) -> bool {
        self.settings.get("AllowDefaultEntitlement").is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// How many deletions one cycle may carry out; none: no guard (5.3, 5.7).
    pub(super) fn threshold(&self, synchronization: &Synchronization) -> Option<u64> {
        let settings: Value =
            serde_json::from_str(synchronization.secret("SyncNotificationSettings")?).ok()?;
        if settings["DeleteThresholdEnabled"] != true {
            return None;
        }
        let own = self.settings.get("QuarantineTooManyDeletesThreshold").and_then(|v| v.parse().ok());
        Some(settings["DeleteThresholdValue"].as_u64().or(own).unwrap_or(DEFAULT_THRESHOLD))
    }
}

pub(super) fn list(call: &Call, state: &State, id: &str) -> Outcome {
    let synchronization = state.synchronization.get(id);
    let jobs: Vec<Value> = synchronization
        .into_iter()
        .flat_map(|s| s.jobs.iter().filter(|j| j.visible_from <= call.view.now).map(|j| j.json(s)))
        .collect();
    let fragment = format!("servicePrincipals('{id}')/synchronization/jobs");
    Ok(Answer::ok(json!({ "@odata.context": call.context(&fragment), "value": jobs })))
}

fn members<'a>(call: &'a Call, known: &[&str]) -> Result<&'a Map<String, Value>, GraphError> {
    let body = call.body.as_ref().and_then(Value::as_object);
    let body = body.ok_or_else(|| {
        GraphError::new(400, "BadRequest", "A JSON object is required in the request body.")
    })?;
    match body.keys().find(|k| !known.contains(&k.as_str()) && !k.contains("@odata.")) {
        None => Ok(body),
        Some(unknown) => {
            let text = format!("The property '{unknown}' does not exist on the type of the request body.");
            Err(GraphError::new(400, "BadRequest", text))
        }
    }
}

pub(super) fn create(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-job {id}");
    let template = members(call, &["templateId", "schedule"])?.get("templateId").and_then(Value::as_str);
    let template = template.map(str::to_owned);
    let entra = call.entra.clone();
    let known = schema::template_ids(&entra, state, id);
    let template = template.filter(|t| known.contains(t)).ok_or_else(|| {
        GraphError::new(
            400,
            "InvalidTemplate",
            "The synchronization template is not available for this application.",
        )
    })?;
    let synchronization = state.synchronization.entry(id.to_owned()).or_default();
    if entra.behaviours.second_job_refused && !synchronization.jobs.is_empty() {
        return Err(GraphError::new(
            409,
            "JobAlreadyExists",
            "A synchronization job exists already for this application.",
        ));
    }
    let core = &entra.core;
    let job = Job {
        id: format!("{template}.{}.{}", entra.tenant_id.replace('-', ""), core.ids.uuid()),
        template_id: template,
        visible_from: after(core.clock.now(), core.ids.draw(core.profile.entra_update_lag)),
        schema: None,
        user_name_source: entra.behaviours.user_name_source.clone(),
        active: false,
        started: false,
        settings: BTreeMap::new(),
        next_run: None,
        running: false,
        initial: true,
        force_deletes: false,
        quarantine: None,
        links: BTreeMap::new(),
        last: None,
        last_good: None,
        last_good_with_exports: None,
        failures: 0,
        steady: None,
        demands: Vec::new(),
        turn: Turn::default(),
    };
    let answer = job.json(synchronization);
    synchronization.jobs.push(job);
    Ok(Answer::created(answer))
}

pub(super) fn patch(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-job {id}");
    let settings = members(call, &["synchronizationJobSettings"])?.get("synchronizationJobSettings").cloned();
    let wrong = || GraphError::new(400, "BadRequest", "Invalid value for 'synchronizationJobSettings'.");
    let mut parsed = BTreeMap::new();
    for setting in settings.as_ref().and_then(Value::as_array).ok_or_else(wrong)? {
        let (name, value) = (setting["name"].as_str(), setting["value"].as_str());
        parsed.insert(name.ok_or_else(wrong)?.to_owned(), value.ok_or_else(wrong)?.to_owned());
    }
    job_of(call, state, id)?.settings.extend(parsed);
    Ok(Answer::no_content())
}

/// Ends provisioning; nothing is deprovisioned (9).
pub(super) fn delete(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-job {id}");
    job_of(call, state, id)?;
    if let Some(synchronization) = state.synchronization.get_mut(id) {
        synchronization.jobs.retain(|j| j.id != call.id(1));
    }
    Ok(Answer::no_content())
}

fn busy() -> GraphError {
    GraphError::new(409, "Conflict", "The synchronization job is being processed. Try again later.")
}

/// Starts, or resumes where it was; clears quarantine (5.5).
pub(super) fn start(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-job {id}");
    let now = call.view.now;
    let job = job_of(call, state, id)?;
    if job.running {
        return Err(busy());
    }
    let idle = !job.active || job.quarantine.is_some();
    job.quarantine = None;
    job.failures = 0;
    job.active = true;
    job.started = true;
    if idle {
        job.next_run = Some(now);
    }
    Ok(Answer::no_content())
}

pub(super) fn pause(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-job {id}");
    let job = job_of(call, state, id)?;
    job.active = false;
    job.next_run = None;
    Ok(Answer::no_content())
}

const FLAGS: [&str; 7] =
    ["None", "ConnectorDataStore", "Escrows", "Watermark", "QuarantineState", "Full", "ForceDeletes"];

/// Starts over as far as the flags say (5.5).
pub(super) fn restart(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-job {id}");
    let criteria = match &call.body {
        None => Value::Null,
        Some(_) => members(call, &["criteria"])?.get("criteria").cloned().unwrap_or_default(),
    };
    let scope = match &criteria["resetScope"] {
        Value::Null => "",
        Value::String(scope) => scope,
        _ => return Err(GraphError::new(400, "BadRequest", "Invalid value for 'resetScope'.")),
    };
    let flags: Vec<&str> = scope.split(',').map(str::trim).filter(|f| !f.is_empty()).collect();
    if let Some(unknown) = flags.iter().find(|f| !FLAGS.contains(f)) {
        return Err(GraphError::new(
            400,
            "BadRequest",
            format!("Requested value '{unknown}' was not found."),
        ));
    }
    let set = |flag: &str| flags.contains(&flag) || flags.contains(&"Full") && flag != "ForceDeletes";
    // What the portal's button does.
    let default = flags.is_empty();
    let now = call.view.now;
    let (full, watermark, lift, force) = (
        set("ConnectorDataStore"),
        default || set("Watermark"),
        default || set("QuarantineState"),
        set("ForceDeletes"),
    );
    let job = job_of(call, state, id)?;
    if job.running {
        return Err(busy());
    }
    if full {
        job.links.clear();
    }
    job.initial |= watermark || full;
    job.force_deletes |= force;
    let guarded = job.quarantine.as_ref().is_some_and(|q| q.reason == "TooManyDeletes");
    if lift || (force && guarded) {
        job.quarantine = None;
        job.failures = 0;
    }
    job.active = true;
    job.started = true;
    job.next_run = Some(now);
    Ok(Answer::no_content())
}
