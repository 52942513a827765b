//! Lets go of the job.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::apply::Hand;
use super::calls::Calls;
use super::desired::Desired;
use super::enforce::audit;
use super::foreign::Foreign;
use super::observe::Observed;
use super::plan;
use super::status::Draft;
use super::{memory, ownership, resolve};
use crate::api::v1alpha1::{ScimConnection, ScimConnectionStatus};
use crate::api::{DeletionPolicy, annotations};
use crate::clients::CloudError;
use crate::clients::entra::synchronization::{Job, Synchronization};
use crate::controllers::absences::Absences;
use crate::controllers::context::Context;
use crate::controllers::{Cleanup, Next, commands};
use crate::problem::{Class, Problem};
use crate::status::{Reason, Verdict};

/// Where a clean-up is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no job (any more).
    Gone,
    /// Something is waited for.
    Waiting(String),
}

/// `Retain`: no call at all. `Delete`: the job that is recorded, or that this connection began to create, is paused
/// and deleted, and seen to be gone. Deletion is a stated act: no `suspend` holds it up.
pub async fn cleanup(
    object: &ScimConnection,
    context: &Context,
    absences: &Absences,
) -> Cleanup<ScimConnectionStatus> {
    let status = object.status.clone().unwrap_or_default();
    // One that only observed records no job as its own.
    let ours = status.job_id.is_some() || status.pending_job_since.is_some();
    if object.spec.deletion_policy == DeletionPolicy::Retain || !ours {
        return Cleanup::Done;
    }
    let mut draft =
        Draft::new(Some(&status), object.metadata.generation.unwrap_or_default(), context.clock.now());
    let result = match Box::pin(delete(object, context, absences, &status)).await {
        Ok(Stage::Gone) => return Cleanup::Done,
        Ok(Stage::Waiting(message)) => {
            draft.next = Next::After(context.settings.timing.poll);
            draft.ready(Verdict::False, Reason::Deleting, message);
            Ok(())
        }
        Err(mut problem) if !problem.class.is_silent() => {
            problem.message = format!(
                "deletion waits: {}; to let go of the synchronization job: {}",
                problem.message,
                commands::annotate(&commands::target(object), annotations::ABANDON, "true")
            );
            problem.reason = Reason::DeletionBlocked;
            Err(problem)
        }
        Err(problem) => Err(problem),
    };
    Cleanup::Waiting(draft.finish(result, object.spec.scope, false))
}

/// One pass.
async fn delete(
    object: &ScimConnection,
    context: &Context,
    absences: &Absences,
    status: &ScimConnectionStatus,
) -> Result<Stage, Problem> {
    let namespace = object.namespace().unwrap_or_default();
    // Another connection of the same federation takes the job over.
    let rivals = resolve::rivals(context, &namespace, object).await?;
    if rivals.iter().any(|c| !c.is_leaving) {
        return Ok(Stage::Gone);
    }
    let name = &object.spec.federation_ref.name;
    let (now, uid) = (context.clock.now(), object.uid().unwrap_or_default());
    let federation = resolve::federation(context, &namespace, name).await?;
    if let Some(observer) = resolve::observer(object.spec.mode, federation.as_ref(), context.settings.mode) {
        // The job must not be forgotten for that.
        let message = format!(
            "{observer} is Observe, and the synchronization job that this connection drove is still in Entra: set it to Enforce to have the job deleted, or spec.deletionPolicy to Retain to keep it"
        );
        return Err(Problem::new(Class::Blocked, Reason::DeletionBlocked, message));
    }
    let found = federation.and_then(|f| Some((resolve::application(&f, now)?, f)));
    let Some((application, federation)) = found else {
        let message = format!(
            "IdentityFederation {namespace}/{name}, whose credentials are needed, does not exist or has no application"
        );
        return Err(Problem::new(Class::Blocked, Reason::DeletionBlocked, message));
    };
    let graph = context.graph(&federation).await?;
    let calls = Calls {
        sync: Synchronization::of(graph.clone(), &application.service_principal),
        graph,
        young: application.young,
        foreign: Foreign::new(resolve::token(context, &namespace, &object.spec.secret_ref.name).await),
    };
    let grace = context.settings.timing.creation_grace;
    let is_gone = || absences.is_gone(&uid, now, grace);
    let jobs = match calls.jobs().await {
        Ok(jobs) => jobs,
        Err(error) if error.is_not_found() => {
            return without_application(&calls, &application, error, is_gone).await;
        }
        Err(error) => return Err(calls.problem(error, "list the synchronization jobs")),
    };
    let job = match target(jobs, status, now, memory::grace(&context.settings.timing)) {
        Target::This(job) => *job,
        Target::Several(ids) => {
            let message = format!(
                "the application has several synchronization jobs, and it is not known which one this connection began to create: delete those that are not needed: {}",
                ids.join(", ")
            );
            return Err(Problem::new(Class::Blocked, Reason::DeletionBlocked, message));
        }
        // What came to light was deleted.
        Target::Later if absences.was_deleted(&uid) => return Ok(Stage::Gone),
        Target::Later => {
            return waiting(
                "a synchronization job was, or may have been, created; waiting whether it comes to light",
            );
        }
        Target::Nothing if is_gone() => return Ok(Stage::Gone),
        Target::Nothing => {
            return waiting(
                "Entra does not list the synchronization job just now; looking again before letting go",
            );
        }
    };
    absences.seen(&uid);
    let unclaimed = ownership::check(&calls, &federation, context).await?;
    let plan = plan::deletion(&job);
    let hand =
        Hand::new(&calls, audit(object, &namespace, &plan), &application.service_principal, &unclaimed);
    let observed = Observed { job: Some(job), ..Observed::default() };
    let (applied, result) = hand.apply(&plan.steps, &Desired::default(), &observed).await;
    result?;
    if applied.deleted {
        absences.deleted(&uid);
    }
    waiting("the synchronization job is being deleted")
}

fn waiting(message: &str) -> Result<Stage, Problem> {
    Ok(Stage::Waiting(message.to_owned()))
}

/// The provisioning service does not know the application: it is gone and its jobs with it, or so new that nothing
/// can be said yet (contract Graph 5.11).
async fn without_application(
    calls: &Calls,
    application: &resolve::Application,
    error: CloudError,
    is_gone: impl Fn() -> bool,
) -> Result<Stage, Problem> {
    let id = &application.service_principal;
    let there = calls.graph.service_principal(id).await;
    if there.map_err(|e| calls.problem(e, "read the service principal"))?.is_some() {
        // While it is new that is a wait, later a failure that passes.
        return Err(calls.problem(error, "list the synchronization jobs"));
    }
    // In the recycle bin it is gone for certain (contract Graph 9).
    if matches!(calls.graph.is_deleted(id).await, Ok(true)) || (!application.young && is_gone()) {
        return Ok(Stage::Gone);
    }
    waiting("Entra does not show the application just now; looking again before letting go")
}

/// What there is to let go of.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    /// This job.
    This(Box<Job>),
    /// A job that was begun and may still come to light.
    Later,
    /// One of these, and nobody can tell which.
    Several(Vec<String>),
    /// No job.
    Nothing,
}

/// Pure: which job is let go of. The recorded one; else, when the creation of one was begun and never confirmed, the
/// only one there is.
///
/// That one need not be ours: a person may have made one in the same minutes. It is deleted all the same. The intent
/// was recorded only after Entra had listed no job, so what is there now came later; an application has one job, and
/// this connection would have taken over in its next pass, as its own, whichever came to light. What it stands for is
/// the application's job, and `deletionPolicy: Delete` asks for that one's end. Of several none is taken.
fn target(
    jobs: Vec<Job>,
    status: &ScimConnectionStatus,
    now: Timestamp,
    grace: std::time::Duration,
) -> Target {
    if let Some(job) = jobs.iter().find(|j| Some(j.id.as_str()) == status.job_id.as_deref()) {
        return Target::This(Box::new(job.clone()));
    }
    let Some(since) = &status.pending_job_since else { return Target::Nothing };
    let mut jobs = jobs;
    match (jobs.pop(), jobs.len()) {
        (Some(only), 0) => Target::This(Box::new(only)),
        (Some(last), _) => {
            let mut ids: Vec<String> = jobs.into_iter().chain([last]).map(|j| j.id).collect();
            ids.sort();
            Target::Several(ids)
        }
        (None, _) => {
            let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
            let young = since.parse::<Timestamp>().is_ok_and(|since| now.duration_since(since) < grace);
            if young { Target::Later } else { Target::Nothing }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_recorded_job_goes_or_the_only_one_that_was_begun() {
        let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        let jobs = |ids: &[&str]| -> Vec<Job> {
            ids.iter().map(|id| Job { id: (*id).to_owned(), ..Job::default() }).collect()
        };
        let (young, old) = (Some("2026-05-01T11:58:00Z"), Some("2026-05-01T11:56:00Z"));
        for (ids, recorded, pending, expected) in [
            (&["a", "b"][..], Some("b"), None, "this b"),
            (&["a", "b"], Some("b"), young, "this b"),
            (&["a"], Some("b"), None, "nothing"),
            (&["a"], Some("b"), young, "this a"),
            (&["a"], None, old, "this a"),
            (&["b", "a"], None, young, "several a, b"),
            (&[], None, young, "later"),
            (&[], None, old, "nothing"),
            (&[], None, Some("broken"), "nothing"),
            (&[], Some("b"), None, "nothing"),
        ] {
            let status = ScimConnectionStatus {
                job_id: recorded.map(str::to_owned),
                pending_job_since: pending.map(str::to_owned),
                ..ScimConnectionStatus::default()
            };
            let told = match target(jobs(ids), &status, now, Duration::from_secs(180)) {
                Target::This(job) => format!("this {}", job.id),
                Target::Later => "later".to_owned(),
                Target::Several(ids) => format!("several {}", ids.join(", ")),
                Target::Nothing => "nothing".to_owned(),
            };
            assert_eq!(told, expected, "{ids:?} {recorded:?} {pending:?}");
        }
    }
}
