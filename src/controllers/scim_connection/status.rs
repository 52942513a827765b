//! What is true afterwards. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::desired::Desired;
use super::handoff;
use super::job;
use super::observe::Observed;
use super::plan::{self, SAVED, Step};
use super::token::Freshness;
use super::words::{entry_level_errors, provisioning, whom};
use crate::api::Handoff;
use crate::api::v1alpha1::{ScimConnectionStatus, Scope};
use crate::clients::entra::synchronization::Job;
use crate::controllers::{Next, Notice, Outcome, announce};
use crate::plan::Plan;
use crate::problem::{Class, Problem};
use crate::status::{ConditionSet, Reason, Verdict, condition};

pub const READY: &str = "Ready";
pub const CREDENTIALS: &str = "CredentialsValid";
pub const PROVISIONING: &str = "Provisioning";
pub const TOKEN: &str = "TokenFresh";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";

/// The next status while it is being found out.
#[derive(Debug)]
pub struct Draft {
    /// Starts as the old status: what a pass did not get to see stays as it was.
    pub status: ScimConnectionStatus,
    /// The parts that were judged in this pass.
    pub conditions: ConditionSet,
    /// Events.
    pub notices: Vec<Notice>,
    /// When to look again.
    pub next: Next,
    /// Sentences to add to the summary.
    pub remarks: Vec<String>,
    /// The connection as kubectl takes it, for commands.
    pub target: String,
    old: ScimConnectionStatus,
    generation: i64,
}

impl Draft {
    /// A draft on the old status.
    #[must_use]
    pub fn new(old: Option<&ScimConnectionStatus>, generation: i64, now: Timestamp) -> Self {
        let old = old.cloned().unwrap_or_default();
        Self {
            status: old.clone(),
            conditions: ConditionSet::new(generation, now),
            notices: Vec::new(),
            next: Next::Resync,
            remarks: Vec::new(),
            target: "scimconnection <name> -n <namespace>".to_owned(),
            old,
            generation,
        }
    }

    /// Names the connection.
    #[must_use]
    pub fn of(self, target: String) -> Self {
        Self { target, ..self }
    }

    /// All stays as it was.
    #[must_use]
    pub fn unchanged(self) -> Outcome<ScimConnectionStatus> {
        Outcome { next: self.next, ..Outcome::settled(self.old) }
    }

    /// Announces something that changed.
    pub fn notice(&mut self, warning: bool, reason: &str, action: &'static str, note: impl Into<String>) {
        self.notices.push(Notice { warning, reason: reason.to_owned(), action, note: note.into() });
    }

    /// The summary, in words of its own.
    pub fn ready(&mut self, verdict: Verdict, reason: Reason, message: impl Into<String>) {
        self.conditions.set(READY, verdict, reason, message);
    }

    /// Work goes on by itself.
    pub fn progressing(&mut self, message: impl Into<String>) {
        let message = message.into();
        self.ready(Verdict::Unknown, Reason::Progressing, message.clone());
        self.conditions.set(RECONCILING, Verdict::True, Reason::Progressing, message);
    }

    /// A person has to enable provisioning in AWS, or to store a token.
    pub fn await_person(
        &mut self,
        handoff: Handoff,
        namespace: &str,
        secret: &str,
        refused: bool,
        looked_at: &str,
    ) {
        let other_party = handoff.pending.iter().any(|s| s.step == handoff::RECEIVE);
        let message = if other_party && !refused {
            format!(
                "ask the party that looks after AWS for SCIM endpoint and token and store them in Secret {namespace}/{secret}: status.handoff has the command; {looked_at}"
            )
        } else if refused {
            format!(
                "AWS refuses the credentials that Entra has saved, and Secret {namespace}/{secret} does not exist: create a token in AWS and store it there; status.handoff has link and command; {looked_at}"
            )
        } else {
            format!(
                "enable automatic provisioning in AWS and store endpoint and token in Secret {namespace}/{secret}: status.handoff has link and command; {looked_at}"
            )
        };
        self.status.handoff = Some(handoff);
        let (verdict, reason) = if refused {
            (Verdict::False, Reason::AuthenticationFailed)
        } else {
            (Verdict::Unknown, Reason::AwaitingHandoff)
        };
        self.conditions.set(CREDENTIALS, verdict, reason, message.clone());
        if self.status.state.is_none() {
            self.conditions.set(PROVISIONING, Verdict::Unknown, Reason::AwaitingHandoff, message.clone());
        }
        self.ready(Verdict::False, Reason::AwaitingHandoff, message);
    }

    /// The job is paused, or will be before long.
    pub fn suspended(&mut self, has_job: bool) {
        let message = if has_job {
            "spec.suspend is true: the synchronization job is paused"
        } else {
            "spec.suspend is true: nothing is done"
        };
        self.conditions.set(PROVISIONING, Verdict::False, Reason::Suspended, message);
        self.ready(Verdict::False, Reason::Suspended, message);
    }

    /// The federation is suspended, and with it everything that refers to it.
    pub fn with_suspended_federation(&mut self, federation: &str) {
        let message = format!(
            "IdentityFederation {federation} is suspended: nothing is read or written, and the synchronization job is left as it is; set spec.suspend of the federation to false to go on"
        );
        self.ready(Verdict::False, Reason::Suspended, message);
    }

    /// AWS refuses the credentials: the token was revoked or has ended, or the endpoint is gone. `fails`: what Entra
    /// has saved is refused as well, so that no cycle can end well.
    pub fn refused_by_aws(&mut self, message: &str, fails: bool) {
        let reason = Reason::AuthenticationFailed;
        self.conditions.set(CREDENTIALS, Verdict::False, reason, message);
        // A quarantine says more.
        if fails && self.status.quarantine.is_none() {
            self.conditions.set(PROVISIONING, Verdict::False, reason, message);
        }
    }

    /// The credentials were tried and work.
    pub fn credentials_work(&mut self, secret: &str) {
        let message = format!("AWS accepts the endpoint and token of Secret {secret}");
        self.conditions.set(CREDENTIALS, Verdict::True, Reason::Succeeded, message);
    }

    /// What the plan says about the credentials. `secret` is namespace and name.
    pub fn credentials(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        plan: &Plan<Step>,
        secret: &str,
        observe_only: bool,
    ) {
        if plan.steps.iter().any(Step::hands_over_credentials) {
            if observe_only && observed.saved_work == Some(false) {
                return;
            }
            let reason = if observe_only { Reason::PlanNotApplied } else { Reason::Progressing };
            let message =
                format!("the endpoint and token of Secret {secret} are yet to be tried and handed to Entra");
            return self.conditions.set(CREDENTIALS, Verdict::Unknown, reason, message);
        }
        if desired.credentials.is_none() {
            let message = format!(
                "the credentials that Entra has saved are used; nobody can read them back, so store a token of your own in Secret {secret} before they end"
            );
            self.remarks.push(message.clone());
            self.status.credentials_digest.get_or_insert_with(|| SAVED.to_owned());
            return self.conditions.set(CREDENTIALS, Verdict::True, Reason::Succeeded, message);
        }
        let lifts = plan.steps.contains(&Step::LiftQuarantine);
        if plan::adopts(desired, observed) && !lifts {
            // Adopted: what Entra has works, and so does what the Secret holds, at the same endpoint.
            self.status.credentials_digest.clone_from(&desired.digest);
        }
        self.credentials_work(secret);
    }

    /// The plan is shown and not carried out. `observer`: whose setting that is.
    pub fn planned(&mut self, plan: &Plan<Step>, observer: &str) {
        self.status.plan = plan.summary();
        if !plan.is_empty() {
            let message =
                format!("status.plan says what would be done; nothing is, as long as {observer} is Observe");
            self.ready(Verdict::False, Reason::PlanNotApplied, message);
        }
    }

    /// Entra was given the deletion threshold and does not show it: writing it again would be of no use.
    pub fn threshold_dropped(&mut self, limit: i64) {
        let message = format!(
            "Entra does not show the deletion threshold of {limit} that it was given, so spec.safety.maxDeletions may be without effect: see to it in the Entra admin center, in the application's provisioning settings (prevention of accidental deletion)"
        );
        let said = condition(&self.old.conditions, READY).is_some_and(|c| c.message.contains(&message));
        if !said {
            self.notice(true, "DeletionThresholdNotKept", "PutSecrets", message.clone());
        }
        self.remarks.push(message);
    }

    /// When the token ends.
    pub fn token(&mut self, fresh: Freshness) {
        self.status.token_expires_at = fresh.ends.map(|t| t.to_string());
        let before = condition(&self.old.conditions, TOKEN).map(|c| c.reason.as_str());
        let ending = matches!(fresh.reason, Reason::TokenExpiring | Reason::TokenExpired);
        if ending && before != Some(fresh.reason.as_str()) {
            self.notice(true, fresh.reason.as_str(), "CheckToken", fresh.message.clone());
        }
        self.conditions.set(TOKEN, fresh.verdict, fresh.reason, fresh.message);
    }

    /// What the job says about itself, and what follows for the condition `Provisioning`. Answers whether the state
    /// will change by itself soon. `drives`: the plan is carried out; who only observes records no job as its own,
    /// unless it began to create one before.
    pub fn job(&mut self, job: &Job, scope: Scope, drives: bool) -> bool {
        if drives || self.old.pending_job_since.is_some() {
            self.status.job_id = Some(job.id.clone());
            self.status.pending_job_since = None;
        }
        self.status.state = Some(job::code(job).to_owned()).filter(|c| !c.is_empty());
        self.status.last_cycle = job::last_cycle(job);
        self.status.counts = job::counts(job);
        self.status.quarantine = job::quarantine(job);
        match (&self.old.quarantine, &self.status.quarantine) {
            (None, Some(now)) => {
                let note = format!("Entra put the synchronization job into quarantine: {}", now.reason);
                self.notice(true, Reason::Quarantined.as_str(), "ReadJob", note);
            }
            (Some(_), None) => self.notice(
                false,
                "QuarantineLifted",
                "ReadJob",
                "the synchronization job is out of quarantine",
            ),
            _ => {}
        }
        let (verdict, reason, message) = provisioning(job, scope, &self.target);
        self.conditions.set(PROVISIONING, verdict, reason, message);
        if job::is_quarantined_for(job, job::TOO_MANY_DELETES) {
            let message = "deletions are held back until a person has looked at them";
            self.conditions.set(STALLED, Verdict::True, Reason::Quarantined, message);
        }
        reason == Reason::Progressing
    }

    /// There is no job.
    pub fn no_job(&mut self) {
        self.status.state = None;
        self.status.last_cycle = None;
        self.status.counts = None;
        self.status.quarantine = None;
    }

    /// The outcome of a pass. The summary is computed from the parts unless it was set, and from the problem if one
    /// ended the pass. `patient`: a failure that passes by itself leaves the conditions as they were.
    #[must_use]
    pub fn finish(
        mut self,
        result: Result<(), Problem>,
        scope: Scope,
        patient: bool,
    ) -> Outcome<ScimConnectionStatus> {
        let class = result.as_ref().err().map(|problem| problem.class);
        let is_quiet = class.is_some_and(|c| c.is_silent() || (patient && c == Class::Transient));
        let mut outcome =
            Outcome { next: self.next, class, ..Outcome::settled(ScimConnectionStatus::default()) };
        match &result {
            Ok(()) => self.summarize(scope),
            Err(problem) => {
                problem.log();
                outcome.retry_after = problem.retry_after;
                self.blame(problem);
            }
        }
        // When quiet, ids and digests that were learned stay, and the verdict is that of before.
        if is_quiet && !self.old.conditions.is_empty() {
            self.status.conditions.clone_from(&self.old.conditions);
        } else {
            self.status.conditions =
                merged(self.conditions.finish(&self.old.conditions), &self.old.conditions);
        }
        if !is_quiet && class != Some(Class::Transient) {
            self.status.observed_generation = Some(self.generation);
        }
        self.notices.extend(announce::turn(
            (&self.old.conditions, self.old.handoff.as_ref()),
            (&self.status.conditions, self.status.handoff.as_ref()),
        ));
        outcome.notices = self.notices;
        outcome.status = self.status;
        outcome
    }

    fn blame(&mut self, problem: &Problem) {
        let verdict = match problem.class {
            Class::Throttled | Class::Conflict | Class::Transient | Class::Pending => Verdict::Unknown,
            _ => Verdict::False,
        };
        self.ready(verdict, problem.reason, problem.message.clone());
        match problem.class {
            Class::Throttled | Class::Conflict | Class::Transient => {
                self.conditions.set(
                    RECONCILING,
                    Verdict::True,
                    Reason::ProgressingWithRetry,
                    problem.message.clone(),
                );
            }
            Class::Pending => {
                self.conditions.set(RECONCILING, Verdict::True, Reason::Progressing, problem.message.clone())
            }
            class if class.is_stalled() => {
                self.conditions.set(STALLED, Verdict::True, problem.reason, problem.message.clone())
            }
            _ => {}
        }
    }

    fn summarize(&mut self, scope: Scope) {
        if self.conditions.first_failing(&[READY]).is_some() || self.conditions.holds(READY) {
            return;
        }
        let expired =
            self.conditions.first_failing(&[TOKEN]).filter(|(_, reason, _)| *reason == Reason::TokenExpired);
        if let Some((verdict, reason, message)) =
            self.conditions.first_failing(&[CREDENTIALS, PROVISIONING]).or(expired)
        {
            if reason == Reason::Progressing {
                self.conditions.set(RECONCILING, Verdict::True, reason, message.clone());
            }
            let message = self.remarked(message);
            return self.ready(verdict, reason, message);
        }
        let (reason, message) = match self.conditions.first_failing(&[TOKEN]) {
            Some((Verdict::False, reason, message)) => (reason, message),
            _ if self.status.last_cycle.as_ref().is_some_and(|c| c.result == "EntryLevelErrors") => (
                Reason::EntryLevelErrors,
                entry_level_errors(self.status.last_cycle.as_ref().map_or(0, |c| c.escrowed)),
            ),
            _ => (Reason::Succeeded, format!("Entra keeps {} in step with AWS", whom(scope))),
        };
        let message = self.remarked(message);
        self.ready(Verdict::True, reason, message);
    }

    fn remarked(&self, message: String) -> String {
        self.remarks.iter().fold(message, |all, remark| format!("{all}; {remark}"))
    }
}

/// Parts that were not judged in this pass stay as they were.
fn merged(mut new: Vec<Condition>, old: &[Condition]) -> Vec<Condition> {
    for kind in [CREDENTIALS, PROVISIONING, TOKEN] {
        if condition(&new, kind).is_none() {
            new.extend(condition(old, kind).cloned());
        }
    }
    new.sort_by(|a, b| (a.type_ != READY, &a.type_).cmp(&(b.type_ != READY, &b.type_)));
    new
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-05-01T12:00:00Z".parse().unwrap()
    }

    fn job(code: &str, last: &Value, quarantine: &Value) -> Job {
        serde_json::from_value(json!({"id": "j", "schedule": {"state": "Active"},
            "status": {"code": code, "lastExecution": last, "quarantine": quarantine}}))
        .unwrap()
    }

    fn ended(state: &str) -> Value {
        json!({"state": state, "timeEnded": "2026-05-01T11:00:00Z", "countEscrowed": 3, "error": {"code": "X"}})
    }

    fn drafted(old: Option<&ScimConnectionStatus>, job: &Job) -> Draft {
        let mut draft = Draft::new(old, 1, now());
        draft.job(job, Scope::Assigned, true);
        draft.credentials_work("identity/aws-scim");
        draft
    }

    fn shown(status: &ScimConnectionStatus) -> Vec<String> {
        status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
    }

    #[test]
    fn ready_follows_the_job() {
        let (none, fresh) = (
            Value::Null,
            json!({"state": "Failed", "timeEnded": "0001-01-01T00:00:00Z", "error": {"code": "None"}}),
        );
        let quarantine = |reason: &str| json!({"reason": reason});
        for (job, ready, more) in [
            (job("Active", &ended("Succeeded"), &none), "True Succeeded", None),
            (job("Active", &ended("EntryLevelErrors"), &none), "True EntryLevelErrors", None),
            (job("Active", &ended("Failed"), &none), "False ProgressingWithRetry", None),
            (job("NotRun", &fresh, &none), "Unknown Progressing", Some("Reconciling True Progressing")),
            (
                job("Paused", &ended("Succeeded"), &none),
                "Unknown Progressing",
                Some("Reconciling True Progressing"),
            ),
            (job("Quarantine", &ended("Failed"), &quarantine(job::UNREACHABLE)), "False Quarantined", None),
            (
                job("Quarantine", &ended("Failed"), &quarantine(job::TOO_MANY_DELETES)),
                "False Quarantined",
                Some("Stalled True Quarantined"),
            ),
        ] {
            let status = drafted(None, &job).finish(Ok(()), Scope::Assigned, true).status;
            let conditions = shown(&status);
            assert_eq!(conditions[0], format!("Ready {ready}"));
            let extra = |c: &&String| c.starts_with("Reconciling") || c.starts_with("Stalled");
            assert_eq!(conditions.iter().find(extra).map(String::as_str), more, "{conditions:?}");
            assert_eq!(status.observed_generation, Some(1));
            // The same again comes out of the same job, without a word to anybody.
            let again = drafted(Some(&status), &job).finish(Ok(()), Scope::Assigned, true);
            assert_eq!((again.status, again.notices), (status, vec![]));
        }
    }

    #[test]
    fn a_problem_speaks_for_itself_and_the_parts_stay() {
        let good = drafted(None, &job("Active", &ended("Succeeded"), &Value::Null))
            .finish(Ok(()), Scope::Assigned, true)
            .status;
        let failed = |class: Class, patient: bool| {
            let problem = Problem::new(class, Reason::CloudUnavailable, "why");
            Draft::new(Some(&good), 2, now()).finish(Err(problem), Scope::Assigned, patient).status
        };
        for (class, patient, ready, more) in [
            (Class::Throttled, false, "True Succeeded", None),
            (Class::Conflict, false, "True Succeeded", None),
            (Class::Transient, true, "True Succeeded", None),
            (
                Class::Transient,
                false,
                "Unknown CloudUnavailable",
                Some("Reconciling True ProgressingWithRetry"),
            ),
            (Class::Pending, true, "Unknown CloudUnavailable", Some("Reconciling True Progressing")),
            (Class::Blocked, true, "False CloudUnavailable", None),
            (Class::Denied, true, "False CloudUnavailable", None),
            (Class::Invalid, true, "False CloudUnavailable", Some("Stalled True CloudUnavailable")),
            (Class::Guarded, true, "False CloudUnavailable", Some("Stalled True CloudUnavailable")),
        ] {
            let status = failed(class, patient);
            let conditions = shown(&status);
            assert_eq!(conditions[0], format!("Ready {ready}"), "{class:?}");
            assert!(conditions.contains(&"CredentialsValid True Succeeded".to_owned()));
            assert!(conditions.contains(&"Provisioning True Succeeded".to_owned()));
            assert_eq!(conditions.get(3).map(String::as_str), more, "{class:?}");
            let processed = !matches!(class, Class::Throttled | Class::Conflict | Class::Transient);
            assert_eq!(status.observed_generation, Some(if processed { 2 } else { 1 }), "{class:?}");
        }
    }

    #[test]
    fn refused_credentials_are_told_whatever_the_job_says() {
        let none = Value::Null;
        for (job, fails, provisioning) in [
            (job("Active", &ended("Failed"), &none), true, "AuthenticationFailed"),
            (job("Active", &ended("Failed"), &none), false, "ProgressingWithRetry"),
            (job("Quarantine", &ended("Failed"), &json!({"reason": job::UNREACHABLE})), true, "Quarantined"),
        ] {
            let problem = Problem::new(Class::Denied, Reason::AuthenticationFailed, "create a new token");
            for result in [Ok(()), Err(problem)] {
                let mut draft = Draft::new(None, 1, now());
                draft.job(&job, Scope::Assigned, true);
                draft.refused_by_aws("create a new token", fails);
                let conditions = shown(&draft.finish(result, Scope::Assigned, true).status);
                assert_eq!(conditions[0], "Ready False AuthenticationFailed");
                assert!(conditions.contains(&"CredentialsValid False AuthenticationFailed".to_owned()));
                assert!(conditions.contains(&format!("Provisioning False {provisioning}")), "{conditions:?}");
            }
        }
    }

    #[test]
    fn who_only_observes_records_no_job_as_its_own() {
        let seen = job("Active", &ended("Succeeded"), &Value::Null);
        let old = |job_id: Option<&str>, since: Option<&str>| ScimConnectionStatus {
            job_id: job_id.map(str::to_owned),
            pending_job_since: since.map(str::to_owned),
            ..ScimConnectionStatus::default()
        };
        let begun = Some("2026-05-01T11:59:00Z");
        for (old, drives, recorded) in [
            (old(None, None), true, (Some("j"), None)),
            (old(None, None), false, (None, None)),
            (old(Some("former"), None), true, (Some("j"), None)),
            (old(Some("former"), None), false, (Some("former"), None)),
            (old(None, begun), false, (Some("j"), None)),
        ] {
            let mut draft = Draft::new(Some(&old), 1, now());
            draft.job(&seen, Scope::Assigned, drives);
            let status = &draft.status;
            assert_eq!((status.job_id.as_deref(), status.pending_job_since.as_deref()), recorded, "{old:?}");
            assert_eq!(status.state.as_deref(), Some("Active"));
        }
    }

    #[test]
    fn a_quarantine_is_announced_when_it_begins_and_when_it_ends() {
        let bad = job("Quarantine", &Value::Null, &json!({"reason": "TooManyDeletes"}));
        let began = drafted(None, &bad).finish(Ok(()), Scope::Assigned, true);
        assert_eq!(began.notices.iter().map(|n| n.reason.as_str()).collect::<Vec<_>>(), ["Quarantined"]);
        let over = drafted(Some(&began.status), &job("Active", &ended("Succeeded"), &Value::Null)).finish(
            Ok(()),
            Scope::Assigned,
            true,
        );
        assert_eq!(
            over.notices.iter().map(|n| n.reason.as_str()).collect::<Vec<_>>(),
            ["QuarantineLifted", "Ready"]
        );
    }
}
