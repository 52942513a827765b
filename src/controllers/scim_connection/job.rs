//! What a synchronization job says about itself, without its traps (contract Graph 5.7).

use super::foreign::bounded;
use crate::api::v1alpha1::{Counts, Cycle, Quarantine};
use crate::clients::entra::synchronization::{Execution, ExecutionError, Job, JobStatus, Template, moment};

/// What Entra says of a job that is paused.
pub const PAUSED: &str = "Paused";

/// The quarantine that comes of credentials or an endpoint that do not work.
pub const UNREACHABLE: &str = "EncounteredQuarantineException";
/// The quarantine that comes of the accidental-deletion guard.
pub const TOO_MANY_DELETES: &str = "TooManyDeletes";

/// Which of several jobs is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// There is none.
    Nothing,
    /// This one.
    This(Box<Job>),
    /// It cannot be told; their ids.
    Ambiguous(Vec<String>),
}

/// Which job is meant: the recorded one, the only one, or the only one made from our template.
#[must_use]
pub fn select(jobs: Vec<Job>, recorded: Option<&str>, template: Option<&str>) -> Selection {
    if jobs.is_empty() {
        return Selection::Nothing;
    }
    let by_record = jobs.iter().position(|j| Some(j.id.as_str()) == recorded);
    let of_template = |job: &Job| template.is_some() && job.template_id.as_deref() == template;
    let unique = match jobs.as_slice() {
        [_] => Some(0),
        several if several.iter().filter(|j| of_template(j)).count() == 1 => {
            several.iter().position(of_template)
        }
        _ => None,
    };
    let mut jobs = jobs;
    match by_record.or(unique) {
        Some(index) => Selection::This(Box::new(jobs.swap_remove(index))),
        None => {
            jobs.sort_by(|a, b| a.id.cmp(&b.id));
            Selection::Ambiguous(jobs.into_iter().map(|j| j.id).collect())
        }
    }
}

/// Which template a job is made from: the default, else the only one (contract Graph 5.1).
///
/// # Errors
/// The ids to choose from, sorted.
pub fn choose_template(templates: &[Template]) -> Result<&Template, Vec<&str>> {
    let mut defaults = templates.iter().filter(|t| t.default == Some(true));
    match (defaults.next(), defaults.next(), templates) {
        (Some(only), None, _) | (None, None, [only]) => Ok(only),
        _ => {
            let mut ids: Vec<&str> = templates.iter().map(|t| t.id.as_str()).collect();
            ids.sort_unstable();
            Err(ids)
        }
    }
}

/// The job's state in Entra's words; empty when it says nothing.
#[must_use]
pub fn code(job: &Job) -> &str {
    status(job).and_then(|s| s.code.as_deref()).unwrap_or_default()
}

/// Whether it does not run by itself: created and never started, paused, or disabled. A job in quarantine is not
/// stopped: it runs, ever more rarely.
#[must_use]
pub fn is_stopped(job: &Job) -> bool {
    let schedule = job.schedule.as_ref().and_then(|s| s.state.as_deref());
    match code(job) {
        PAUSED => true,
        "Quarantine" => false,
        _ => matches!(schedule, Some("Disabled" | "Paused")),
    }
}

/// Whether there is nothing to pause: also true of a job in quarantine that is disabled.
#[must_use]
pub fn is_paused(job: &Job) -> bool {
    let schedule = job.schedule.as_ref().and_then(|s| s.state.as_deref());
    code(job) == PAUSED || matches!(schedule, Some("Disabled" | "Paused"))
}

/// Whether its credentials evidently work: it runs, and its newest cycle ended well.
#[must_use]
pub fn is_healthy(job: &Job) -> bool {
    code(job) == "Active" && last_cycle(job).is_some_and(|c| c.result != "Failed")
}

/// Whether credentials that AWS refuses may be what is wrong: it is in a quarantine that comes of them, or of nobody
/// says what, or its newest cycle failed as a whole.
#[must_use]
pub fn may_be_refused(job: &Job) -> bool {
    match quarantine(job) {
        Some(quarantine) => matches!(quarantine.reason.as_str(), UNREACHABLE | "Unknown"),
        None => !is_paused(job) && last_cycle(job).is_some_and(|cycle| cycle.result == "Failed"),
    }
}

/// Whether it is in the given quarantine.
#[must_use]
pub fn is_quarantined_for(job: &Job, reason: &str) -> bool {
    quarantine(job).is_some_and(|q| q.reason == reason)
}

/// The newest finished cycle. A "failure" without counts, times and error means that there was none yet.
#[must_use]
pub fn last_cycle(job: &Job) -> Option<Cycle> {
    let execution = status(job)?.last_execution.as_ref()?;
    let Execution { state, time_ended, count_exported, count_escrowed, error } = execution;
    let ended = time_ended.as_deref().and_then(moment);
    let error = error.as_ref().and_then(said);
    if ended.is_none() && error.is_none() {
        return None;
    }
    Some(Cycle {
        result: state.clone().filter(|s| !s.is_empty())?,
        ended_at: ended.map(|t| t.to_string()),
        exported: count_exported.unwrap_or_default(),
        escrowed: count_escrowed.unwrap_or_default(),
        error,
    })
}

/// How many objects are kept in step; none before there was a cycle.
#[must_use]
pub fn counts(job: &Job) -> Option<Counts> {
    let entries = status(job)?.synchronized_entry_count_by_type.as_ref().filter(|e| !e.is_empty())?;
    let of = |kind: &str| entries.iter().filter(|e| e.key.starts_with(kind)).filter_map(|e| e.value).sum();
    Some(Counts { users: of("User"), groups: of("Group") })
}

/// Why and since when it is in quarantine. Without the time of the next attempt, which moves all the time.
#[must_use]
pub fn quarantine(job: &Job) -> Option<Quarantine> {
    if code(job) != "Quarantine" {
        return None;
    }
    let stated = status(job)?.quarantine.as_ref();
    let reason = stated.and_then(|q| q.reason.clone()).filter(|r| !r.is_empty());
    Some(Quarantine {
        reason: reason.unwrap_or_else(|| "Unknown".to_owned()),
        since: stated.and_then(|q| q.current_began.as_deref()).and_then(moment).map(|t| t.to_string()),
        message: stated.and_then(|q| q.error.as_ref()).and_then(said),
    })
}

fn status(job: &Job) -> Option<&JobStatus> {
    job.status.as_ref()
}

/// An error in words; none when it says that there was none.
fn said(error: &ExecutionError) -> Option<String> {
    let code = error.code.as_deref().filter(|c| !c.is_empty() && *c != "None");
    let message = error.message.as_deref().map(str::trim).filter(|m| !m.is_empty() && *m != "None");
    let text = match (code, message) {
        (None, None) => return None,
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (code, message) => code.or(message).unwrap_or_default().to_owned(),
    };
    Some(bounded(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(value: Value) -> Job {
        serde_json::from_value(value).unwrap()
    }

    fn named(id: &str, template: &str) -> Job {
        Job { id: id.into(), template_id: Some(template.into()), ..Job::default() }
    }

    fn chosen(jobs: Vec<Job>, recorded: Option<&str>, template: Option<&str>) -> String {
        match select(jobs, recorded, template) {
            Selection::Nothing => "-".into(),
            Selection::This(job) => job.id,
            Selection::Ambiguous(ids) => ids.join("|"),
        }
    }

    #[test]
    fn the_recorded_job_wins_then_the_only_one_then_that_of_the_template() {
        let (a, b, c) = (named("a", "x"), named("b", "y"), named("c", "y"));
        assert_eq!(chosen(vec![], Some("a"), Some("x")), "-");
        assert_eq!(chosen(vec![b.clone()], None, Some("x")), "b");
        assert_eq!(chosen(vec![a.clone(), b.clone()], Some("b"), Some("x")), "b");
        assert_eq!(chosen(vec![b.clone(), a.clone()], Some("gone"), Some("x")), "a");
        assert_eq!(chosen(vec![c, b, a], None, Some("y")), "a|b|c");
    }

    #[test]
    fn the_default_template_is_taken_or_the_only_one() {
        let template = |id: &str, default| Template { id: id.into(), default, schema: None };
        assert_eq!(choose_template(&[template("a", None)]).unwrap().id, "a");
        assert_eq!(
            choose_template(&[template("a", Some(false)), template("b", Some(true))]).unwrap().id,
            "b"
        );
        assert_eq!(choose_template(&[template("b", None), template("a", None)]).unwrap_err(), ["a", "b"]);
        assert!(choose_template(&[template("b", Some(true)), template("a", Some(true))]).is_err());
        assert!(choose_template(&[]).unwrap_err().is_empty());
    }

    #[test]
    fn a_failure_of_nothing_is_no_cycle() {
        let fresh = job(
            json!({"id": "j", "status": {"code": "NotRun", "lastExecution": {"state": "Failed", "timeEnded": "0001-01-01T00:00:00Z", "error": {"code": "None", "message": ""}}}}),
        );
        assert_eq!(last_cycle(&fresh), None);
        let failed = job(
            json!({"id": "j", "status": {"code": "Active", "lastExecution": {"state": "Failed", "timeEnded": "2026-01-02T03:04:05.678Z", "countExported": 3, "error": {"code": "X", "message": "y\n z"}}}}),
        );
        assert_eq!(
            last_cycle(&failed).unwrap(),
            Cycle {
                result: "Failed".into(),
                ended_at: Some("2026-01-02T03:04:05Z".into()),
                exported: 3,
                escrowed: 0,
                error: Some("X: y z".into())
            }
        );
        assert!(!is_healthy(&failed) && may_be_refused(&failed) && !may_be_refused(&fresh));
    }

    #[test]
    fn stopped_and_paused_are_told_by_code_and_schedule() {
        for (code, schedule, stopped, paused) in [
            ("Paused", "Disabled", true, true),
            ("Paused", "Active", true, true),
            ("NotConfigured", "Disabled", true, true),
            ("NotConfigured", "Active", false, false),
            ("NotRun", "Active", false, false),
            ("Active", "Active", false, false),
            ("Active", "Paused", true, true),
            ("Quarantine", "Active", false, false),
            ("Quarantine", "Disabled", false, true),
        ] {
            let job = job(json!({"id": "j", "schedule": {"state": schedule}, "status": {"code": code}}));
            assert_eq!((is_stopped(&job), is_paused(&job)), (stopped, paused), "{code} {schedule}");
        }
    }

    #[test]
    fn a_quarantine_has_a_reason_and_a_beginning() {
        let said = job(
            json!({"id": "j", "status": {"code": "Quarantine", "quarantine": {"reason": "TooManyDeletes", "currentBegan": "2026-01-02T00:00:00Z", "nextAttempt": "2026-01-02T06:00:00Z", "error": null}}}),
        );
        assert!(is_quarantined_for(&said, TOO_MANY_DELETES));
        assert_eq!(quarantine(&said).unwrap().since.as_deref(), Some("2026-01-02T00:00:00Z"));
        assert!(!may_be_refused(&said));
        let past = job(json!({"id": "j", "status": {"code": "Active", "quarantine": {"reason": "Unknown"}}}));
        assert_eq!(quarantine(&past), None);
        assert_eq!(
            quarantine(&job(json!({"id": "j", "status": {"code": "Quarantine"}}))).unwrap().reason,
            "Unknown"
        );
    }

    #[test]
    fn counts_are_summed_by_kind() {
        let job = job(
            json!({"id": "j", "status": {"synchronizedEntryCountByType": [{"key": "User to User", "value": 12}, {"key": "Group to Group", "value": 3}, {"key": "Other", "value": 9}]}}),
        );
        assert_eq!(counts(&job), Some(Counts { users: 12, groups: 3 }));
        assert_eq!(counts(&Job::default()), None);
    }
}
