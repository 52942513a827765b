//! What Entra has: reads only.

use serde_json::Value;

use super::calls::Calls;
use super::desired::Desired;
use super::job::{self, Selection};
use super::plan;
use crate::api::v1alpha1::ScimConnectionStatus;
use crate::clients::entra::synchronization::{Job, Saved, Template, Trial};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// What Entra has, and what we remember of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The template of a job to be created; none when there is a job.
    pub template: Option<String>,
    /// The job.
    pub job: Option<Job>,
    /// What is saved beside the job.
    pub saved: Saved,
    /// The job's mappings; the template's when there is no job and the template shows them.
    pub schema: Option<Value>,
    /// Digest of the credentials that were handed over last, as status recorded it.
    pub handed_over: Option<String>,
    /// The deletion threshold that Entra was given last, as status recorded it.
    pub given_threshold: Option<i64>,
    /// Whether the saved credentials work, when they were tried.
    pub saved_work: Option<bool>,
}

/// Reads what there is. `recorded`: the status so far.
///
/// # Errors
/// Any read that failed; jobs or templates that leave a choice.
pub async fn observe(
    calls: &Calls,
    desired: &Desired,
    recorded: &ScimConnectionStatus,
) -> Result<Observed, Problem> {
    let recorded_job = recorded.job_id.as_deref();
    let mut observed = Observed {
        handed_over: recorded.credentials_digest.clone(),
        given_threshold: recorded.max_deletions_handed_over,
        ..Observed::default()
    };
    let jobs = calls.jobs().await.map_err(|e| calls.problem(e, "list the synchronization jobs"))?;
    let is_clear = jobs.len() == 1 || jobs.iter().any(|j| Some(j.id.as_str()) == recorded_job);
    let template =
        if is_clear || (desired.suspended && jobs.is_empty()) { None } else { Some(template(calls).await?) };
    match job::select(jobs, recorded_job, template.as_ref().map(|t| t.id.as_str())) {
        Selection::Ambiguous(ids) => {
            return Err(Problem::new(
                Class::Blocked,
                Reason::InvalidSpec,
                format!(
                    "the application has several synchronization jobs and none can be preferred: {}; delete those that are not needed",
                    ids.join(", ")
                ),
            ));
        }
        Selection::Nothing => {
            observed.schema = template.as_ref().and_then(|t| t.schema.clone());
            observed.template = template.map(|t| t.id);
        }
        Selection::This(job) if desired.suspended => observed.job = Some(*job),
        Selection::This(job) => {
            let schema = calls.sync.schema(&job.id).await;
            observed.schema = Some(schema.map_err(|e| calls.problem(e, "read the job's mappings"))?);
            let saved = calls.sync.secrets().await;
            observed.saved = saved.map_err(|e| calls.problem(e, "read the job's settings"))?;
            observed.job = Some(*job);
        }
    }
    if let Some(job) = observed.job.as_ref().filter(|_| plan::is_worth_trying(desired, &observed)) {
        let refusal = calls.try_credentials(&Trial::Saved { job }).await?;
        observed.saved_work = Some(refusal.is_none());
    }
    Ok(observed)
}

async fn template(calls: &Calls) -> Result<Template, Problem> {
    let templates =
        calls.sync.templates().await.map_err(|e| calls.problem(e, "list the synchronization templates"))?;
    if templates.is_empty() && calls.young {
        return Err(Problem::new(
            Class::Pending,
            Reason::Progressing,
            "Entra is still setting up provisioning for the new application",
        ));
    }
    job::choose_template(&templates).cloned().map_err(|ids| {
        let offer = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        Problem::new(
            Class::Blocked,
            Reason::TemplateNotFound,
            format!("the application must offer one synchronization template, or one that is the default; it offers: {offer}"),
        )
    })
}
