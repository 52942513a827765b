//! Carries out a plan that is not empty: tries new credentials first, writes intents before creations, and puts
//! what was done into the next status.

use std::time::Duration;

use kube::ResourceExt as _;

use super::apply::{Applied, Hand};
use super::desired::Desired;
use super::memory::{Intents, Turn, grace};
use super::observe::Observed;
use super::plan::Step;
use super::status::Draft;
use super::{job, trial};
use crate::api::v1alpha1::ScimConnection;
use crate::controllers::context::Context;
use crate::controllers::{Managed as _, Next};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::telemetry::Audit;

/// A plan and everything that is needed to carry it out.
pub struct Enforcement<'a> {
    /// The resource.
    pub object: &'a ScimConnection,
    /// What every reconcile has at hand.
    pub context: &'a Context,
    /// The writing hand.
    pub hand: Hand<'a>,
    /// What is wanted.
    pub desired: &'a Desired,
    /// What there is.
    pub observed: &'a Observed,
    /// What is to be done.
    pub plan: &'a Plan<Step>,
}

impl Enforcement<'_> {
    /// Carries the plan out as far as this pass may.
    ///
    /// # Errors
    /// Credentials that are refused, before anything is written; the first step that failed.
    pub async fn run(&self, intents: &Intents, draft: &mut Draft) -> Result<(), Problem> {
        let uid = self.object.uid().unwrap_or_default();
        let timing = &self.context.settings.timing;
        let creates = self.plan.steps.iter().any(|s| matches!(s, Step::CreateJob(_)));
        let turn = creates.then(|| {
            let pending = draft.status.pending_job_since.as_deref();
            let grace = grace(timing);
            let existed = draft.status.job_id.is_some();
            intents.turn(&uid, pending, existed, self.context.clock.now(), grace)
        });
        if turn == Some(Turn::Wait) {
            draft.next = Next::After(timing.poll);
            draft.status.plan = self.plan.summary();
            draft.progressing(
                "a synchronization job was, or may have been, created; waiting for Entra to show it",
            );
            return Ok(());
        }
        if self.plan.steps.iter().any(Step::hands_over_credentials) {
            trial::credentials(
                self.hand.calls,
                self.object,
                self.context,
                (self.desired, self.observed),
                draft,
            )
            .await?;
        }
        if let Some(Turn::Intend(since)) = turn {
            draft.status.pending_job_since = Some(since);
            draft.status.plan = self.plan.summary();
            draft.next = Next::After(Duration::ZERO);
            draft.progressing("the synchronization job is about to be created");
            return Ok(());
        }
        if creates {
            intents.spend(&uid);
        }
        let (applied, result) = self.hand.apply(&self.plan.steps, self.desired, self.observed).await;
        self.record(&applied, draft);
        draft.next = Next::After(timing.job_poll);
        if creates && result.is_ok() {
            draft.next = Next::After(timing.poll);
            draft.progressing("the synchronization job was created; waiting for Entra to show it");
        }
        result
    }

    /// What was done becomes part of the status, also when a later step failed.
    ///
    /// One-off acts are echoed after they were done: a crash in between repeats them. That does no harm (a restart a
    /// moment after a restart ends in the same state), while an echo of an act that never happened would be a lie.
    fn record(&self, applied: &Applied, draft: &mut Draft) {
        draft.status.job_id = applied.created.clone().or_else(|| draft.status.job_id.take());
        draft.status.last_on_demand =
            applied.on_demand.clone().or_else(|| draft.status.last_on_demand.take());
        for step in &applied.steps {
            let (reason, action, note) = match step {
                Step::Pause => {
                    draft.status.state = Some(job::PAUSED.to_owned());
                    ("JobPaused", "PauseJob", "the synchronization job was paused".to_owned())
                }
                Step::DeleteJob => {
                    ("JobDeleted", "DeleteJob", "the synchronization job was deleted".to_owned())
                }
                Step::CreateJob(_) => {
                    ("JobCreated", "CreateJob", "the synchronization job was created".to_owned())
                }
                Step::EditSchema(changes) => (
                    "MappingsChanged",
                    "PutSchema",
                    format!("the mappings were changed: {}", changes.join(", ")),
                ),
                Step::HandOver(what) => {
                    draft.status.max_deletions_handed_over = self.desired.max_deletions;
                    ("SettingsHandedOver", "PutSecrets", format!("Entra was given: {}", what.join(", ")))
                }
                Step::LiftQuarantine => {
                    ("QuarantineLifted", "RestartJob", "the quarantine was lifted".to_owned())
                }
                Step::Start => ("JobStarted", "StartJob", "the synchronization job was started".to_owned()),
                Step::Restart(act) => {
                    draft.status.last_restart = Some(act.request.clone());
                    (
                        "JobRestarted",
                        "RestartJob",
                        format!("the synchronization job was restarted: {}", act.subject),
                    )
                }
                Step::ProvisionOnDemand(act) => {
                    let result = applied.on_demand.as_ref().map_or("Unknown", |o| o.result.as_str());
                    ("ProvisionedOnDemand", "ProvisionOnDemand", format!("{}: {result}", act.subject))
                }
            };
            draft.notice(false, reason, action, note);
        }
        // The digest says that nothing is left to do about these credentials: the lifting belongs to it.
        let is_left = |step: &Step| {
            matches!(step, Step::HandOver(_) | Step::LiftQuarantine) && !applied.steps.contains(step)
        };
        let handed_over = applied.steps.iter().any(Step::hands_over_credentials);
        let adopted = self.observed.saved_work == Some(true) && self.observed.job.is_some();
        if (handed_over || adopted) && self.observed.job.is_some() && !self.plan.steps.iter().any(is_left) {
            draft.status.credentials_digest =
                self.desired.digest.clone().or_else(|| draft.status.credentials_digest.take());
        }
    }
}

/// Who writes, for the audit records.
#[must_use]
pub fn audit(object: &ScimConnection, namespace: &str, plan: &Plan<Step>) -> Audit {
    Audit {
        kind: ScimConnection::KIND,
        namespace: namespace.to_owned(),
        name: object.name_any(),
        generation: object.metadata.generation.unwrap_or_default(),
        plan: plan.hash(),
    }
}
