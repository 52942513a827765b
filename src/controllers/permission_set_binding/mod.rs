//! PermissionSetBinding: a permission set, and who gets it on which accounts.

mod apply;
mod claims;
mod cleanup;
mod commands;
mod crowd;
mod deadline;
mod deserted;
mod desired;
mod entra;
mod evidence;
#[cfg(test)]
mod fuzz;
mod guard;
mod ledger;
mod lists;
mod missing;
mod notices;
mod observe;
mod others;
mod plan;
mod policies;
mod principals;
mod resolve;
mod rules;
mod set_side;
mod status;
mod turns;
mod watcher;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use tokio::time::Instant;

pub(in crate::controllers) use self::guard::takes;

use self::apply::Applied;
use self::deadline::{By, Deadlines};
use self::ledger::Ledger;
use self::observe::Goal;
use self::status::Shown;
use self::watcher::Watcher;
use super::context::Context;
use super::{Cleanup, Managed as _, Next, Outcome, Reconciler, handled_reconcile};
use crate::api::DeletionPolicy;
use crate::api::v1alpha1::{PermissionSetBinding, PermissionSetBindingStatus};
use crate::problem::{Class, Problem};
use crate::status::{Reason, condition};
use crate::telemetry::Audit;

/// Somebody who waits for a provisioning cycle is looked for once in so many polls, and so is what happened to a permission
/// set that is somebody else's.
const WAITING_POLLS: u32 = 10;

/// Reconciles PermissionSetBindings.
#[derive(Clone, Copy, Debug, Default)]
pub struct PermissionSetBindingReconciler;

#[async_trait::async_trait]
impl Reconciler for PermissionSetBindingReconciler {
    type Kind = PermissionSetBinding;

    async fn reconcile(
        &self,
        object: &PermissionSetBinding,
        context: &Context,
    ) -> Outcome<PermissionSetBindingStatus> {
        if object.spec.suspend {
            return Outcome::settled(status::suspended(object, None, context.clock.now()));
        }
        match Box::pin(pass(object, context)).await {
            Ok(outcome) => outcome,
            Err(problem) => {
                let mut status = status::stopped(object, &problem, context.clock.now());
                if !problem.class.is_silent() {
                    bear(object, &mut status, problem.class == Class::Transient, context);
                }
                let notices = notices::notices(object, &status, &Applied::default());
                Outcome::failed(status, &problem).with_notices(notices)
            }
        }
    }

    async fn cleanup(
        &self,
        object: &PermissionSetBinding,
        context: &Context,
    ) -> Cleanup<PermissionSetBindingStatus> {
        let _ = context.engine.bears(&owner(object, context), false);
        // Retain needs neither credentials nor clouds.
        if object.spec.deletion_policy == DeletionPolicy::Retain {
            return Cleanup::Done;
        }
        // Nobody looks at spec.suspend here: a deletion is a stated removal.
        let federation = resolve::federation(object, context).await;
        match Watcher::of(object, federation.as_ref().ok(), context.settings.mode) {
            Some(watcher) => cleanup::observing(object, &watcher, context).await,
            None => cleanup::clean_up(object, federation, context).await,
        }
    }

    fn forget(&self, gone: &ObjectMeta, last: Option<&PermissionSetBinding>, context: &Context) {
        let (namespace, name) = (gone.namespace.as_deref(), gone.name.as_deref());
        let owner = context.owner_mark(namespace.unwrap_or_default(), name.unwrap_or_default());
        let set = last.and_then(|b| b.status.as_ref()?.permission_set_arn.as_deref());
        context.engine.forget(&owner, set);
    }
}

fn owner(object: &PermissionSetBinding, context: &Context) -> String {
    context.owner_mark(&object.namespace().unwrap_or_default(), &object.name_any())
}

fn audit(object: &PermissionSetBinding, plan: Option<String>) -> Audit {
    Audit {
        kind: PermissionSetBinding::KIND,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        generation: object.metadata.generation.unwrap_or_default(),
        plan,
    }
}

/// One pass: resolve, desired, observe, plan, apply, status.
async fn pass(
    object: &PermissionSetBinding,
    context: &Context,
) -> Result<Outcome<PermissionSetBindingStatus>, Problem> {
    let began = Instant::now();
    let federation = resolve::federation(object, context).await?;
    let admitted = guard::admit(object, &federation, context).await;
    let ledger = Ledger::read(object, context).await;
    let known = ledger.as_ref().is_ok_and(|ledger| guard::is_proven(object, &federation, ledger));
    // Who is not taken gets nothing, not even a look through the federation's eyes; what it made before is still its own.
    let admitted = match admitted {
        Err(problem) if !known => return Err(problem),
        other => other,
    };
    if federation.spec.suspend {
        let status = status::suspended(object, Some(&federation.name_any()), context.clock.now());
        return Ok(Outcome::settled(status));
    }
    let watcher = Watcher::of(object, Some(&federation), context.settings.mode);
    let mut resolved = resolve::resolve(federation, admitted, context).await?;
    let ledger = ledger?;
    if !ledger.grants.is_empty() {
        resolve::same_instance(object, &resolved, &ledger)?;
    }
    let proven = ledger.set_arn.clone().filter(|_| known);
    // Where nothing may be given, what the spec takes back goes all the same.
    let (removals_only, set) = match resolved.not_ready.take() {
        Some(problem) if !known || ledger.grants.is_empty() => return Err(problem),
        Some(problem) => (true, Err(problem)),
        None => (false, desired::desired_set(&object.spec.permission_set, owner(object, context))),
    };
    let rivals = claims::rivals(object, &resolved, crowd::Look::AtHand, context).await?;
    let goal = Goal { set, removals_only, rivals, known: proven };
    let instance = &resolved.instance;
    let timing = &context.settings.timing;
    let time = Deadlines::new(began, timing.reconcile, !ledger.grants.is_empty(), instance.slowed().clone());
    let looked = look_anew_if_asked(object, &ledger, instance);
    // Somebody who is reading may not let go in time.
    let _ = time.of(By::Running).meet(looked).await;

    let mut observed = observe::observe(object, goal, &resolved, ledger, &time, context).await?;
    let plan =
        plan::plan(&observed.set.steps, &observed.set.to_provision(), &observed.plan, &observed.names());
    let (applied, shown) = match watcher {
        None => {
            let audit = audit(object, plan.hash());
            if !observed.set.marked && !observed.set.steps.is_empty() {
                claims::first_claim(object, &resolved, context).await?;
            }
            (apply::apply(object, &mut observed, instance, &audit, context).await, None)
        }
        Some(watcher) => {
            let plan = plan.summary().unwrap_or_default();
            (Applied::default(), Some(Shown { plan, remedy: watcher.remedy() }))
        }
    };
    if !applied.did_something() {
        others::look(object, &mut observed, instance, &time).await;
    }
    Ok(outcome(object, &observed, &applied, shown, context))
}

/// A changed spec, or a person's word: what failed is tried again, and nothing that was read before counts.
async fn look_anew_if_asked(
    object: &PermissionSetBinding,
    ledger: &Ledger,
    instance: &crate::engine::Instance,
) {
    let old = object.status.as_ref();
    let asked = handled_reconcile(object) != old.and_then(|s| s.last_handled_reconcile_at.clone());
    if asked || old.and_then(|s| s.observed_generation) != object.metadata.generation {
        for arn in
            [old.and_then(|s| s.permission_set_arn.as_ref()), ledger.set_arn.as_ref()].into_iter().flatten()
        {
            instance.forgive(arn);
        }
    }
    if asked {
        instance.refresh().await;
    }
}

/// What passes by itself is told only when it happens again and again: until then what was said of this generation holds.
fn bear(
    object: &PermissionSetBinding,
    status: &mut PermissionSetBindingStatus,
    failed: bool,
    context: &Context,
) {
    let bears = context.engine.bears(&owner(object, context), failed);
    let Some(old) = object.status.as_ref().filter(|_| bears) else { return };
    let judged = condition(&old.conditions, "Ready").is_some()
        && old.observed_generation == object.metadata.generation
        && old.last_handled_reconcile_at == handled_reconcile(object);
    if judged {
        status.clone_from(old);
    }
}

fn outcome(
    object: &PermissionSetBinding,
    observed: &observe::Observed,
    applied: &Applied,
    shown: Option<Shown>,
    context: &Context,
) -> Outcome<PermissionSetBindingStatus> {
    let timing = &context.settings.timing;
    let enforced = shown.is_none();
    let mut report = status::report(object, observed, applied, shown, context.clock.now());
    if !report.silent {
        bear(object, &mut report.status, report.passes, context);
    }
    for problem in observed.set.problem.iter().chain(&applied.problem).chain(&observed.work) {
        problem.log();
    }
    let notices = notices::notices(object, &report.status, applied);
    let foreign = observed.set.problem.as_ref().is_some_and(|p| p.reason == Reason::OwnedByOther);
    let seldom = timing.poll.saturating_mul(WAITING_POLLS);
    let next = match () {
        () if report.busy && enforced => Next::After(timing.poll),
        () => match (report.rest, report.waiting) {
            (Some(rest), _) if enforced => Next::After(rest.max(timing.poll)),
            (_, true) => Next::After(seldom),
            // Nobody says so when another cluster's binding lets go.
            _ if foreign => Next::After(seldom),
            _ => Next::Resync,
        },
    };
    // While work is under way it sets the pace; what went wrong is in the status.
    let paced = matches!(next, Next::After(_)) && !report.class.is_some_and(Class::is_silent);
    let class = report.class.filter(|_| !paced);
    Outcome { status: report.status, next, class, retry_after: report.retry_after, notices }
}
