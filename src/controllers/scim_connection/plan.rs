//! What is to be done. Pure.

use std::fmt;

use super::annotations::Act;
use super::desired::Desired;
use super::observe::Observed;
use super::{handover, job, schema, sources};
use crate::clients::entra::synchronization::Job;
use crate::plan::Plan;

/// One step, in the order in which they are carried out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Pause the job.
    Pause,
    /// Delete it.
    DeleteJob,
    /// Create the job from this template. What else there is to do is seen when it exists.
    CreateJob(String),
    /// Put the schema with these changes.
    EditSchema(Vec<String>),
    /// Put the full set of endpoint, token and switches, for these that changed.
    HandOver(Vec<&'static str>),
    /// Lift the quarantine that the old credentials brought about.
    LiftQuarantine,
    /// Start the job.
    Start,
    /// Restart it.
    Restart(Act),
    /// Provision one person.
    ProvisionOnDemand(Act),
}

/// The word by which [`Step::HandOver`] names endpoint and token.
pub const CREDENTIALS: &str = "endpoint and token";

impl Step {
    /// Whether endpoint and token go to Entra anew: then they are tried first.
    #[must_use]
    pub fn hands_over_credentials(&self) -> bool {
        matches!(self, Self::HandOver(what) if what.contains(&CREDENTIALS))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("pause the synchronization job"),
            Self::DeleteJob => f.write_str("delete the synchronization job"),
            Self::CreateJob(template) => write!(f, "create the synchronization job from template {template}"),
            Self::EditSchema(changes) => write!(f, "change the mappings: {}", changes.join(", ")),
            Self::HandOver(what) => write!(f, "hand over to Entra: {}", what.join(", ")),
            Self::LiftQuarantine => f.write_str("lift the quarantine"),
            Self::Start => f.write_str("start the synchronization job"),
            Self::Restart(act) => write!(f, "restart the synchronization job ({})", act.subject),
            Self::ProvisionOnDemand(act) => write!(f, "provision {} on demand", act.subject),
        }
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// These targets do not exist; those do.
    MappingNotFound {
        /// The targets that were asked for.
        missing: Vec<String>,
        /// The targets of people's mappings.
        known: Vec<String>,
    },
    /// These source attributes do not exist, each with the target that was to come from it; some that do.
    SourceNotFound {
        /// Sources and targets.
        unknown: Vec<(String, String)>,
        /// Sources that exist, the most alike first.
        known: Vec<String>,
    },
    /// There is no Secret, and what Entra has saved does not do.
    CredentialsMissing {
        /// Whether Entra has credentials and AWS refuses them.
        refused: bool,
    },
}

/// Whether the saved credentials should be tried before planning: to adopt them, or to learn whether it is they
/// that put the job into quarantine.
#[must_use]
pub fn is_worth_trying(desired: &Desired, observed: &Observed) -> bool {
    let Some(job) =
        observed.job.as_ref().filter(|_| !desired.suspended && handover::is_complete(&observed.saved))
    else {
        return false;
    };
    job::may_be_refused(job)
        || match &desired.credentials {
            Some(c) => observed.handed_over.is_none() && handover::is_at(&observed.saved, &c.endpoint),
            None => !job::is_healthy(job),
        }
}

/// Stands for the digest while Entra uses credentials that it had, and there is no Secret.
pub const SAVED: &str = "saved";

/// Decides what is to be done.
///
/// # Errors
/// What a person must see to first.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan<Step>, Obstacle> {
    if desired.suspended {
        let running = observed.job.as_ref().is_some_and(|j| !job::is_paused(j));
        return Ok(Plan { steps: running.then_some(Step::Pause).into_iter().collect() });
    }
    let mut steps = Vec::new();
    if let (None, Some(template)) = (&observed.job, &observed.template) {
        steps.push(Step::CreateJob(template.clone()));
    }
    if let Some(present) = &observed.schema {
        let edit = schema::edit(present, &desired.mappings).map_err(|missing| Obstacle::MappingNotFound {
            missing,
            known: schema::targets(present).into_iter().map(str::to_owned).collect(),
        })?;
        let unknown = sources::unknown(present, &desired.mappings);
        if !unknown.is_empty() {
            let known = sources::alike(present, &unknown);
            return Err(Obstacle::SourceNotFound { unknown, known });
        }
        if !edit.changes.is_empty() {
            steps.push(Step::EditSchema(edit.changes));
        }
    }
    let new_credentials = credentials_differ(desired, observed)?;
    let mut what = Vec::new();
    if new_credentials {
        what.push(CREDENTIALS);
    }
    what.extend(handover::changed_switches(desired, &observed.saved, observed.given_threshold));
    if !what.is_empty() {
        if desired.credentials.is_none() {
            return Err(Obstacle::CredentialsMissing { refused: false });
        }
        steps.push(Step::HandOver(what));
    }
    // Once only: with the digest recorded, a later quarantine of that kind has another cause.
    let adopted = adopts(desired, observed);
    let job = observed.job.as_ref();
    let held = |j: &Job| job::quarantine(j).is_some() && job::may_be_refused(j);
    if (new_credentials || adopted) && job.is_some_and(held) {
        steps.push(Step::LiftQuarantine);
    }
    if job.is_none_or(job::is_stopped) {
        steps.push(Step::Start);
    }
    if job.is_some() {
        steps.extend(desired.restart.clone().map(Step::Restart));
        steps.extend(desired.on_demand.clone().map(Step::ProvisionOnDemand));
    }
    Ok(Plan { steps })
}

/// How a job is let go of.
#[must_use]
pub fn deletion(job: &Job) -> Plan<Step> {
    let pause = (!job::is_paused(job)).then_some(Step::Pause);
    Plan { steps: pause.into_iter().chain([Step::DeleteJob]).collect() }
}

/// Whether what the Secret holds is taken for what Entra has: in a cluster rebuilt from Git nothing tells what was handed
/// over, and what Entra has works.
#[must_use]
pub fn adopts(desired: &Desired, observed: &Observed) -> bool {
    desired.credentials.is_some() && observed.handed_over.is_none() && observed.saved_work == Some(true)
}

/// Whether endpoint and token must be handed over. Nobody can read back what Entra has, so it is told by the digest
/// of what was handed over last; without one (a cluster rebuilt from Git) what Entra has is kept as long as it works
/// and its endpoint is the right one. Where Entra's own were used before there was a Secret ([`SAVED`]), the Secret's are
/// new.
fn credentials_differ(desired: &Desired, observed: &Observed) -> Result<bool, Obstacle> {
    let refused = observed.saved_work == Some(false);
    match &desired.credentials {
        None if refused || !handover::is_complete(&observed.saved) => {
            Err(Obstacle::CredentialsMissing { refused })
        }
        None => Ok(false),
        Some(credentials) => Ok(refused
            || !handover::is_at(&observed.saved, &credentials.endpoint)
            || match &observed.handed_over {
                Some(digest) => Some(digest) != desired.digest.as_ref(),
                None => observed.saved_work != Some(true),
            }),
    }
}
