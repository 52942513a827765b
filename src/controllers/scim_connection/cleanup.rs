//! Lets go of the job.

use kube::ResourceExt as _;

use super::apply::Hand;
use super::calls::Calls;
use super::enforce::audit;
use super::job;
use super::plan::Step;
use super::resolve;
use super::status::Draft;
use crate::api::v1alpha1::{ScimConnection, ScimConnectionStatus};
use crate::api::{DeletionPolicy, Mode};
use crate::clients::entra::synchronization::{Synchronization, operation};
use crate::controllers::context::Context;
use crate::controllers::{Cleanup, Next};
use crate::plan::Plan;
use crate::problem::{Class, Problem};
use crate::status::{Reason, Verdict};

/// `Retain`: no call at all. `Delete`: the job that is recorded, or that this connection began to create, is paused
/// and deleted, and seen to be gone.
pub async fn cleanup(object: &ScimConnection, context: &Context) -> Cleanup<ScimConnectionStatus> {
    let status = object.status.clone().unwrap_or_default();
    let ours = status.job_id.is_some() || status.pending_job_since.is_some();
    // A connection that only observed has nothing to let go of.
    let observed = object.spec.mode == Mode::Observe;
    if object.spec.deletion_policy == DeletionPolicy::Retain || !ours || observed {
        return Cleanup::Done;
    }
    let mut draft =
        Draft::new(Some(&status), object.metadata.generation.unwrap_or_default(), context.clock.now());
    let result = match delete(object, context, &status).await {
        Ok(true) => return Cleanup::Done,
        Ok(false) => {
            draft.next = Next::After(context.settings.timing.poll);
            draft.ready(Verdict::False, Reason::Deleting, "the synchronization job is being deleted");
            Ok(())
        }
        Err(mut problem) if !problem.class.is_silent() => {
            problem.message = format!(
                "deletion waits: {}; annotate causeway.dev/abandon=true to let go of the synchronization job",
                problem.message
            );
            problem.reason = Reason::DeletionBlocked;
            Err(problem)
        }
        Err(problem) => Err(problem),
    };
    Cleanup::Waiting(draft.finish(result, object.spec.scope, false))
}

/// One pass; true when the job is gone.
async fn delete(
    object: &ScimConnection,
    context: &Context,
    status: &ScimConnectionStatus,
) -> Result<bool, Problem> {
    if context.settings.mode == Mode::Observe {
        // The job must not be forgotten for that.
        let message = "the operator runs in Observe mode and deletes nothing: run it in Enforce mode";
        return Err(Problem::new(Class::Blocked, Reason::DeletionBlocked, message));
    }
    let namespace = object.namespace().unwrap_or_default();
    // Another connection of the same federation has the same job.
    if !resolve::rivals(context, &namespace, object).await?.is_empty() {
        return Ok(true);
    }
    let name = &object.spec.federation_ref.name;
    let Some((federation, service_principal)) = resolve::application(context, &namespace, name).await? else {
        let message = format!(
            "IdentityFederation {namespace}/{name}, whose credentials are needed, does not exist or has no application"
        );
        return Err(Problem::new(Class::Blocked, Reason::DeletionBlocked, message));
    };
    let graph = context.graph(&federation).await?;
    let calls = Calls { sync: Synchronization::of(graph.clone(), &service_principal), graph, young: false };
    let jobs = match calls.sync.jobs().await {
        Ok(jobs) => jobs,
        // The application is gone, and the job with it.
        Err(error) if error.is_not_found() => return Ok(true),
        Err(error) => return Err(calls.problem(error, "list the synchronization jobs")),
    };
    let recorded = status.job_id.as_deref();
    let target = match recorded {
        Some(id) => jobs.into_iter().find(|j| j.id == id),
        // Begun and never recorded: the only job there is.
        None => match job::select(jobs, None, None) {
            job::Selection::This(job) => Some(*job),
            job::Selection::Nothing | job::Selection::Ambiguous(_) => None,
        },
    };
    let Some(job) = target else { return Ok(true) };
    let plan = Plan { steps: vec![Step::Pause] };
    let hand = Hand {
        calls: &calls,
        audit: audit(object, &namespace, &plan),
        service_principal: &service_principal,
    };
    if !job::is_paused(&job) {
        hand.done(
            operation::PAUSE,
            &job.id,
            calls.sync.pause(&job.id).await,
            "pause the synchronization job",
        )?;
    }
    match calls.sync.delete_job(&job.id).await {
        Err(error) if error.is_not_found() => Ok(true),
        result => {
            hand.done(operation::DELETE_JOB, &job.id, result, "delete the synchronization job").map(|_| false)
        }
    }
}
