//! `ScimConnection`: drives the synchronization job of a federation's application (contract Graph 5).

mod annotations;
mod apply;
mod calls;
mod cleanup;
mod desired;
mod enforce;
mod foreign;
#[cfg(test)]
mod fuzz;
mod handoff;
mod handover;
mod job;
mod memory;
mod name_id;
mod observe;
mod ownership;
mod plan;
mod resolve;
mod schema;
mod sources;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod trial;
mod words;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use self::annotations::Reading;
use self::apply::Hand;
use self::calls::Calls;
use self::desired::Desired;
use self::enforce::Enforcement;
use self::foreign::Foreign;
use self::memory::{Intents, Patience, Waits};
use self::plan::{Obstacle, Step};
use self::resolve::ScimSecret;
use self::schema::Wanted;
use self::status::Draft;
use super::absences::Absences;
use super::access::named;
use super::context::Context;
use super::{Cleanup, Next, Outcome, Reconciler, commands, handled_reconcile, secrets};
use crate::api::annotations::{PROVISION_ON_DEMAND, RESTART};
use crate::api::v1alpha1::{IdentityFederation, ScimConnection, ScimConnectionStatus, Scope};
use crate::clients::entra::synchronization::Synchronization;
use crate::problem::{Class, Problem};
use crate::status::{Reason, Verdict, condition};

/// Reconciles connections.
#[derive(Debug, Default)]
pub struct ScimConnectionReconciler {
    intents: Intents,
    patience: Patience,
    waits: Waits,
    absences: Absences,
}

#[async_trait::async_trait]
impl Reconciler for ScimConnectionReconciler {
    type Kind = ScimConnection;

    async fn reconcile(&self, object: &ScimConnection, context: &Context) -> Outcome<ScimConnectionStatus> {
        let mut draft = Draft::new(
            object.status.as_ref(),
            object.metadata.generation.unwrap_or_default(),
            context.clock.now(),
        )
        .of(commands::target(object));
        if let Some(handled) = handled_reconcile(object) {
            draft.status.last_handled_reconcile_at = Some(handled);
        }
        if self.still_waits(object, context).await {
            draft.next = Next::After(every(context));
            return draft.unchanged();
        }
        let result = Box::pin(self.pass(object, context, &mut draft)).await;
        let failed = result.as_ref().is_err_and(|problem| problem.class == Class::Transient);
        let patient = self.patience.note(&object.uid().unwrap_or_default(), failed);
        draft.finish(result, object.spec.scope, patient)
    }

    async fn cleanup(&self, object: &ScimConnection, context: &Context) -> Cleanup<ScimConnectionStatus> {
        cleanup::cleanup(object, context, &self.absences).await
    }

    fn forget(&self, gone: &ObjectMeta, _: Option<&ScimConnection>, _: &Context) {
        let uid = gone.uid.as_deref().unwrap_or_default();
        self.intents.spend(uid);
        self.patience.note(uid, false);
        self.waits.forget(uid);
        self.absences.forget(uid);
    }
}

impl ScimConnectionReconciler {
    /// Whether all is as it was when the Secret was asked for: it does not exist, nobody asks for anything else, and
    /// Entra was looked at a short while ago (contract Graph 8.4). The Secret alone is looked for more often.
    async fn still_waits(&self, object: &ScimConnection, context: &Context) -> bool {
        let Some(status) = &object.status else { return false };
        let waits = condition(&status.conditions, status::READY)
            .is_some_and(|ready| ready.reason == Reason::AwaitingHandoff.as_str());
        let same = status.observed_generation == object.metadata.generation
            && status.last_handled_reconcile_at == handled_reconcile(object);
        let (uid, now) = (object.uid().unwrap_or_default(), context.clock.now());
        if !waits || !same || !self.waits.is_recent(&uid, now, context.settings.timing.job_poll) {
            return false;
        }
        let (namespace, name) = (object.namespace().unwrap_or_default(), &object.spec.secret_ref.name);
        matches!(secrets::read(&context.kube, &namespace, name).await, Ok(None))
    }

    /// One pass: resolve, observe, plan, apply. What becomes known goes into the draft at once.
    async fn pass(
        &self,
        object: &ScimConnection,
        context: &Context,
        draft: &mut Draft,
    ) -> Result<(), Problem> {
        let namespace = object.namespace().unwrap_or_default();
        let name = &object.spec.federation_ref.name;
        let federation = resolve::federation(context, &namespace, name).await?;
        if let Some(federation) = federation.as_ref().filter(|f| f.spec.suspend) {
            draft.with_suspended_federation(&resolve::full_name(federation));
            return Ok(());
        }
        resolve::first_claim(context, &namespace, object).await?;
        let federation = federation.ok_or_else(|| resolve::no_federation(&namespace, name))?;
        let result = Box::pin(self.of_federation(object, &federation, context, draft)).await;
        result.map_err(|mut problem| {
            let longest = context.settings.timing.backoff.1;
            problem.message = named(problem.reason, &problem.message, &federation, object, longest);
            problem
        })
    }

    /// The rest of the pass, with the federation's credentials.
    async fn of_federation(
        &self,
        object: &ScimConnection,
        federation: &IdentityFederation,
        context: &Context,
        draft: &mut Draft,
    ) -> Result<(), Problem> {
        let namespace = object.namespace().unwrap_or_default();
        let application = resolve::ready_application(federation, context.clock.now())?;
        let secret = secret(object, context, &namespace, draft).await?;
        let token = match &secret {
            Some(secret) => Some(secret.credentials.token.clone()),
            None => resolve::token(context, &namespace, &object.spec.secret_ref.name).await,
        };
        let graph = context.graph(federation).await?;
        let sync = Synchronization::of(graph.clone(), &application.service_principal);
        let calls = Calls { sync, graph, young: application.young, foreign: Foreign::new(token) };

        let desired = desired(object, secret.as_ref(), context, draft);
        let observed = observe::observe(&calls, &desired, &draft.status).await?;
        draft.status.plan = None;
        draft.status.handoff = None;
        let observer = resolve::observer(object.spec.mode, Some(federation), context.settings.mode);
        let moving = match &observed.job {
            Some(job) => draft.job(job, object.spec.scope, observer.is_none()),
            None => {
                draft.no_job();
                false
            }
        };
        // Otherwise what the Secret holds is tried, and may do better.
        if observed.saved_work == Some(false) && (observer.is_some() || secret.is_none()) {
            let message =
                format!("AWS refuses the SCIM credentials that Entra has saved: {}", handoff::renew(object));
            draft.refused_by_aws(&message, true);
        }
        if moving {
            draft.next = Next::After(context.settings.timing.job_poll);
        }
        let plan = match plan::plan(&desired, &observed) {
            Ok(plan) => plan,
            Err(Obstacle::MappingNotFound { missing, known }) => {
                return Err(words::mapping_not_found(&missing, &known));
            }
            Err(Obstacle::SourceNotFound { unknown, known }) => {
                return Err(words::source_not_found(&unknown, &known));
            }
            Err(Obstacle::CredentialsMissing { refused }) => {
                let secret = &object.spec.secret_ref.name;
                let looked_at = handoff::looked_at(&draft.target, every(context));
                let steps = handoff::enable_provisioning(federation, &namespace, secret, &looked_at);
                draft.next = Next::After(every(context));
                draft.await_person(steps, &namespace, secret, refused, &looked_at);
                self.waits.note(&object.uid().unwrap_or_default(), context.clock.now());
                return Ok(());
            }
        };
        if desired.suspended {
            draft.suspended(observed.job.is_some());
        } else {
            if let Some(limit) =
                handover::dropped_threshold(&desired, &observed.saved, observed.given_threshold)
            {
                draft.threshold_dropped(limit);
            }
            if plan::adopts(&desired, &observed) && !plan.steps.iter().any(Step::hands_over_credentials) {
                trial::credentials(&calls, object, context, (&desired, &observed), draft).await?;
            }
            let secret = format!("{namespace}/{}", object.spec.secret_ref.name);
            draft.credentials(&desired, &observed, &plan, &secret, observer.is_some());
        }
        if let Some(observer) = observer {
            draft.planned(&plan, &observer);
            return Ok(());
        }
        if plan.is_empty() {
            return Ok(());
        }
        let unclaimed = ownership::check(&calls, federation, context).await?;
        let audit = enforce::audit(object, &namespace, &plan);
        let hand = Hand::new(&calls, audit, &application.service_principal, &unclaimed);
        let enforcement =
            Enforcement { object, context, hand, desired: &desired, observed: &observed, plan: &plan };
        enforcement.run(&self.intents, draft).await
    }
}

/// How often a Secret that a person is asked for is looked for.
fn every(context: &Context) -> Duration {
    let timing = &context.settings.timing;
    timing.handoff.min(timing.job_poll)
}

/// The Secret, and when its token ends.
async fn secret(
    object: &ScimConnection,
    context: &Context,
    namespace: &str,
    draft: &mut Draft,
) -> Result<Option<ScimSecret>, Problem> {
    if object.spec.suspend {
        return Ok(None);
    }
    let name = &object.spec.secret_ref.name;
    let looked_at = handoff::looked_at(&draft.target, every(context));
    let secret = resolve::secret(context, namespace, name, &looked_at).await.inspect_err(|problem| {
        if problem.class == Class::Blocked {
            draft.next = Next::After(every(context));
            draft.conditions.set(
                status::CREDENTIALS,
                Verdict::False,
                problem.reason,
                problem.message.clone(),
            );
            // Of a token that is not there any more nothing is told.
            draft.status.token_expires_at = None;
            let message =
                format!("the end of the token is not known: Secret {namespace}/{name} cannot be used, see CredentialsValid");
            draft.conditions.set(status::TOKEN, Verdict::Unknown, problem.reason, message);
        }
    })?;
    match &secret {
        Some(secret) => {
            draft.token(token::judge(secret, &format!("{namespace}/{name}"), context.clock.now()))
        }
        None => {
            draft.status.token_expires_at = None;
            let message =
                format!("the end of the token is not known: Secret {namespace}/{name} does not exist");
            draft.conditions.set(status::TOKEN, Verdict::Unknown, Reason::SecretNotFound, message);
        }
    }
    Ok(secret)
}

/// What the connection wants at this moment. An annotation that cannot be read becomes a remark.
fn desired(
    object: &ScimConnection,
    secret: Option<&ScimSecret>,
    context: &Context,
    draft: &mut Draft,
) -> Desired {
    let spec = &object.spec;
    let mark = context.owner_mark(&object.namespace().unwrap_or_default(), &object.name_any());
    let credentials = secret.map(|s| s.credentials.clone());
    let mappings = spec.mappings.clone().unwrap_or_default();
    let users = mappings.users.unwrap_or_default();
    draft.remarks.extend(name_id::remark(&users));
    let annotation = |name: &str| object.annotations().get(name).map(String::as_str);
    let now = context.clock.now();
    let done = draft.status.last_on_demand.as_ref().map(|d| d.request.as_str());
    let restart = annotations::restart(annotation(RESTART), draft.status.last_restart.as_deref(), now);
    let on_demand = annotations::provision_on_demand(annotation(PROVISION_ON_DEMAND), done, now);
    for (name, reading) in [(RESTART, &restart), (PROVISION_ON_DEMAND, &on_demand)] {
        if let Reading::Unreadable(why) = reading {
            draft.remarks.push(format!("annotation {name} is ignored: {why}"));
        }
    }
    Desired {
        suspended: spec.suspend,
        digest: credentials.as_ref().map(|c| c.digest(&mark)),
        credentials,
        everybody: spec.scope == Scope::All,
        max_deletions: spec.safety.as_ref().map(|s| i64::from(s.max_deletions)),
        mappings: Wanted {
            users: users.into_iter().map(|m| (m.target, m.source.attribute)).collect(),
            groups: mappings.groups.map(|g| g.sync),
        },
        restart: restart.due(),
        on_demand: on_demand.due(),
    }
}
