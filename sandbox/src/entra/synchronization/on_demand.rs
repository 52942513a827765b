//! Provision on demand: one user, or one group with at most five members, at once (5.6).

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::engine::{Done, Run};
use super::jobs::Counts;
use super::mapping;
use super::scim_client::{Scim, ScimError};
use super::scope::{self, Snapshot};
use super::{Turn, enter, job_of, schema};
use crate::entra::errors::GraphError;
use crate::entra::graph::{Answer, Call, Outcome};
use crate::entra::state::{Kind, State, after};

/// Five calls in ten seconds.
const CALLS: usize = 5;
const WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// Members of one call.
const MEMBERS: usize = 5;
/// The key of an answer whose value is an array of reports.
const REPORTS: &str = "Microsoft.Identity.Health.CPP.Common.DataContracts.SyncFabric.StatusInfo";

/// What is to be provisioned.
struct Subject {
    id: String,
    kind: Kind,
    members: BTreeSet<String>,
}

pub(in crate::entra) async fn run(call: &mut Call) -> Outcome {
    let entra = call.entra.clone();
    call.target = format!("synchronization-job {}", call.id(0));
    let (subject, snapshot, turn, id) = {
        let mut state = entra.state_now();
        let id = enter(call, &mut state)?;
        call.target = format!("synchronization-job {id}");
        admit(call, &mut state, &id)?;
        let subject = subject(call, &mut state, &id)?;
        let (snapshot, turn) = look(call, &state, &id)?;
        (subject, snapshot, turn, id)
    };
    let turn = turn.lock_owned().await;
    let job_id = call.id(1).to_owned();
    let links = {
        let mut state = entra.state_now();
        job_of(call, &mut state, &id)?.links.clone()
    };
    let mut run = Run { links, counts: Counts::default(), full: true, forced: false, silent: 0 };
    let outcome = provision(call, &snapshot, &subject, &mut run).await;
    {
        let mut state = entra.state_now();
        let job = state.synchronization.get_mut(&id).and_then(|s| s.job_mut(&job_id));
        if let Some(job) = job {
            job.links = run.links;
        }
    }
    drop(turn);
    Ok(Answer::ok(report(call, &snapshot, &subject, outcome)))
}

fn admit(call: &Call, state: &mut State, id: &str) -> Result<(), GraphError> {
    let now = call.view.now;
    let job = job_of(call, state, id)?;
    job.demands.retain(|at| after(*at, WINDOW) > now);
    if job.demands.len() >= CALLS {
        return Err(GraphError::throttled(None));
    }
    job.demands.push(now);
    Ok(())
}

fn bad(text: impl Into<String>) -> GraphError {
    GraphError::new(400, "BadRequest", text)
}

fn subject(call: &Call, state: &mut State, id: &str) -> Result<Subject, GraphError> {
    let body = call.body.clone().unwrap_or_default();
    let parameters = body["parameters"].as_array().filter(|p| p.len() == 1);
    let parameter = &parameters.ok_or_else(|| bad("Exactly one entry is required in 'parameters'."))?[0];
    let job = job_of(call, state, id)?;
    let schema = schema::current(job);
    let rule = parameter["ruleId"].as_str().unwrap_or_default();
    if !schema::has_rule(&schema, rule) {
        return Err(bad(format!("The synchronization rule '{rule}' was not found in the schema.")));
    }
    let subjects = parameter["subjects"].as_array().filter(|s| s.len() == 1);
    let subject = &subjects.ok_or_else(|| bad("Exactly one subject is allowed."))?[0];
    let kind = match subject["objectTypeName"].as_str() {
        Some("User") => Kind::User,
        Some("Group") => Kind::Group,
        _ => return Err(bad("Invalid value for 'objectTypeName'.")),
    };
    let object = subject["objectId"].as_str().unwrap_or_default().to_ascii_lowercase();
    if state.live(kind, &object).is_none() {
        return Err(GraphError::new(
            404,
            "ResourceNotFound",
            format!("The object '{object}' was not found."),
        ));
    }
    let links = subject["links"]["members"].as_array().into_iter().flatten();
    let members: BTreeSet<String> =
        links.filter_map(|m| m["objectId"].as_str()).map(str::to_ascii_lowercase).collect();
    if members.len() > MEMBERS {
        return Err(bad("At most five members can be provisioned on demand with a group."));
    }
    Ok(Subject { id: object, kind, members })
}

fn look(call: &Call, state: &State, id: &str) -> Result<(Snapshot, Turn), GraphError> {
    let missing = || GraphError::not_found(call.id(1));
    let synchronization = state.synchronization.get(id).ok_or_else(missing)?;
    let job = synchronization.job(call.id(1)).ok_or_else(missing)?;
    Ok((scope::take(state, id, synchronization, job, call.view.now), job.turn.clone()))
}

/// What it came to.
enum Verdict {
    Done(Done),
    /// Code and words.
    Skipped(&'static str, &'static str),
    Failed(ScimError),
    Misconfigured(String),
}

async fn provision(call: &Call, snapshot: &Snapshot, subject: &Subject, run: &mut Run) -> Verdict {
    let mappings = match mapping::parse(&snapshot.schema) {
        Ok(mappings) => mappings,
        Err(why) => return Verdict::Misconfigured(why),
    };
    let scim = match Scim::new(&call.entra, &snapshot.credentials) {
        Ok(scim) => scim,
        Err(error) => return Verdict::Failed(error),
    };
    let of = |kind: Kind| mappings.iter().find(|m| m.kind == kind && m.enabled);
    let Some(mapping) = of(subject.kind) else {
        return Verdict::Skipped("MappingDisabled", "The object mapping is disabled.");
    };
    const NOT_ENTITLED: Verdict = Verdict::Skipped(
        "NotEffectivelyEntitled",
        "The object is not assigned to the application, is not enabled, or the assignment is too young.",
    );
    let outcome = if subject.kind == Kind::User {
        let found = snapshot.users.iter().find(|u| u.id == subject.id && mapping.in_scope(&u.fields));
        let Some(user) = found else { return NOT_ENTITLED };
        run.user(&scim, mapping, user).await
    } else {
        let found = snapshot.groups.iter().find(|(g, _)| g.id == subject.id && mapping.in_scope(&g.fields));
        let Some((group, members)) = found else { return NOT_ENTITLED };
        // Members first, each as a user of its own; those that are there already stay members.
        if let Some(users) = of(Kind::User) {
            for user in
                snapshot.users.iter().filter(|u| subject.members.contains(&u.id) && members.contains(&u.id))
            {
                if let Err(error) = run.user(&scim, users, user).await {
                    return Verdict::Failed(error);
                }
            }
        }
        let before = run.links.get(&subject.id).map(|l| l.members.clone()).unwrap_or_default();
        let wanted =
            members.iter().filter(|m| subject.members.contains(*m) || before.contains(*m)).cloned().collect();
        run.group(&scim, mapping, group, &wanted).await
    };
    match outcome {
        Ok(done) => Verdict::Done(done),
        Err(error) => Verdict::Failed(error),
    }
}

/// The answer: both halves are JSON in strings (5.6).
fn report(call: &Call, snapshot: &Snapshot, subject: &Subject, outcome: Verdict) -> Value {
    let (result, action, code, message) = match &outcome {
        Verdict::Done(Done::Created) => ("Success", "Create", "", String::new()),
        Verdict::Done(Done::Updated) => ("Success", "Update", "", String::new()),
        Verdict::Done(Done::Nothing) => {
            ("Skipped", "Other", "RedundantExport", "The object is up to date in the target.".to_owned())
        }
        Verdict::Done(Done::NotAllowed) => {
            ("Skipped", "Other", "FlowTypeNotAllowed", "The flow types do not allow this change.".to_owned())
        }
        Verdict::Skipped(code, message) => ("Skipped", "Other", *code, (*message).to_owned()),
        Verdict::Failed(error) => (
            "Failure",
            "Other",
            "SystemForCrossDomainIdentityManagementServiceIncompatible",
            error.to_string(),
        ),
        Verdict::Misconfigured(why) => ("Failure", "Other", "InvalidSchema", why.clone()),
    };
    let details = json!({ "errorCode": code, "errorMessage": message });
    let details = if code.is_empty() { Value::Null } else { details };
    let key = json!({ "result": result, "details": details });
    let identity = |id: &str| json!({ "id": id, "identityType": subject.kind.principal_type() });
    let name = snapshot
        .users
        .iter()
        .chain(snapshot.groups.iter().map(|(g, _)| g))
        .find(|s| s.id == subject.id)
        .and_then(|s| s.fields.get("displayName").cloned());
    let mut source = identity(&subject.id);
    source["displayName"] = name.unwrap_or_default();
    let value = json!({
        "id": call.entra.core.ids.uuid(), "action": action, "jobId": call.id(1), "sourceIdentity": source,
        "targetIdentity": identity(""), "modifiedProperties": [],
        "provisioningSteps": [
            { "name": "EntryImport", "type": "Import", "status": "Success", "description": "Retrieved the object." },
            { "name": "EntryExport", "type": "Export", "status": result, "description": message },
        ],
        "statusInfo": { "status": result, "errorCode": code, "reason": message },
    });
    // Two shapes were seen (5.6).
    let (key, value) = if call.entra.behaviours.provision_on_demand_reports {
        (REPORTS.to_owned(), json!([value]))
    } else {
        (key.to_string(), value)
    };
    json!({
        "@odata.context": call.context("microsoft.graph.stringKeyStringValuePair"),
        "key": key, "value": value.to_string(),
    })
}
