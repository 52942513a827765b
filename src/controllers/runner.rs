//! Runs the reconciler of one kind: watches, finalizer, deadlines, status, Events, metrics, backoff.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::backoff::{Attempts, delay, luck};
use super::context::Context;
use super::related::{Change, Changes, Related};
use super::stores::{Lane, Stores};
use super::wake::key;
use super::writes::{self, conditions_of_a_first_visit};
use super::{Cleanup, Managed, Next, Notice, Outcome, Reconciler, remarks};
use crate::api::annotations;
use crate::line::{Line, Place, Urgency};
use crate::problem::{Class, Problem};
use crate::status::{condition, is_true};
use crate::telemetry;

type Guarded<K> = DeserializeGuard<K>;
type ControllerError = controller::Error<Failed, watcher::Error>;
type Status<R> = <<R as Reconciler>::Kind as Managed>::Status;

/// So many resources that wait for their turn are told so at the same time.
const VISITS: usize = 4;

/// Runs one reconciler over all watched objects of its kind.
pub struct Runner<R: Reconciler> {
    reconciler: R,
    context: Arc<Context>,
    stores: Stores,
    recorder: Recorder,
    attempts: Attempts,
    /// Who runs a pass, and who waits for that.
    line: Line,
    /// First visits at the same time: they make a few calls to the API server and none to a cloud.
    visits: Semaphore,
    stop: CancellationToken,
}

/// How one pass ended.
struct Pass {
    class: Option<Class>,
    next: Next,
    retry_after: Option<Duration>,
}

/// A pass that could not even say so in the status; what went wrong is in the log by now.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
struct Failed {
    problem: Problem,
    delay: Duration,
}

impl<R: Reconciler> Runner<R>
where
    R::Kind: Related,
{
    /// A runner that does nothing yet.
    #[must_use]
    pub fn new(reconciler: R, context: Arc<Context>, stores: Stores) -> Self {
        let reporter = Reporter {
            controller: "causeway".to_owned(),
            instance: Some(context.settings.leader.identity.chars().take(128).collect()),
        };
        context.knows(&stores);
        Self {
            reconciler,
            stores,
            recorder: Recorder::new(context.kube.clone(), reporter),
            attempts: Attempts::default(),
            line: Line::new(usize::from(context.settings.concurrency)),
            visits: Semaphore::new(VISITS),
            stop: CancellationToken::new(),
            context,
        }
    }

    /// Watches and reconciles until `stop`, and then until what runs has ended.
    pub async fn run(
        mut self,
        lanes: Vec<Lane<R::Kind>>,
        writers: Vec<Writer<Guarded<R::Kind>>>,
        watches: Client,
        stop: CancellationToken,
    ) {
        self.stop = stop.clone();
        let runner = Arc::new(self);
        let lanes = lanes
            .into_iter()
            .zip(writers)
            .map(|(lane, writer)| Arc::clone(&runner).run_lane(lane, writer, watches.clone(), stop.clone()));
        futures::future::join_all(lanes).await;
    }

    async fn run_lane(
        self: Arc<Self>,
        lane: Lane<R::Kind>,
        writer: Writer<Guarded<R::Kind>>,
        watches: Client,
        stop: CancellationToken,
    ) {
        let objects: Api<Guarded<R::Kind>> = lane.api(watches);
        let runner = Arc::clone(&self);
        let mut changes = Changes::default();
        let filled = Arc::clone(&lane.filled);
        // No finalizer in here: a pass that adds it goes on by itself, and deletion is a new generation.
        let wake_on = predicates::generation.combine(predicates::annotations);
        let main = watcher(objects, watcher::Config::default().any_semantic())
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer)
            .inspect_ok(move |event| {
                // Whoever is woken finds it in the store.
                runner.wake_related(changes.of(event));
                if matches!(event, watcher::Event::InitDone) {
                    filled.send_replace(true);
                }
            })
            .applied_objects()
            .predicate_filter(wake_on, PredicateConfig::default());
        // Without a bound of its own: who waits in the controller's queue is told nothing, and is served in any order.
        let config = controller::Config::default();
        Controller::for_stream(main, lane.store.clone())
            .reconcile_on(lane.wakes.stream::<R::Kind>())
            .with_config(config)
            .graceful_shutdown_on(stop.cancelled_owned())
            .run(
                |object, runner: Arc<Self>| async move { runner.reconcile(&object).await },
                |_, failed: &Failed, _| Action::requeue(failed.delay),
                self,
            )
            .for_each(|ended| {
                report::<R::Kind>(ended);
                std::future::ready(())
            })
            .await;
    }

    fn wake_related(&self, change: Option<Change<'_, Guarded<R::Kind>>>) {
        let (object, gone) = match change {
            Some(Change::Changed(object)) => (object, false),
            Some(Change::Gone(object)) => (object, true),
            None => return,
        };
        if let Ok(object) = &object.0 {
            let urgency = urgency(object);
            if urgency > Urgency::Settled {
                let (namespace, name) = key(object);
                self.line.hurry(&namespace, &name, urgency);
            }
            object.wake_related(gone, &self.stores);
        }
    }

    /// Waits until it is the resource's turn; none when the operator stops before. One that nobody has looked at says
    /// so meanwhile.
    async fn turn(&self, api: &Api<Guarded<R::Kind>>, seen: &Guarded<R::Kind>) -> Option<Place> {
        if let Some(place) = self.line.try_enter() {
            return Some(place);
        }
        let (namespace, name) = key(seen);
        let urgency = seen.0.as_ref().map_or(Urgency::Settled, urgency);
        let mut turn = pin!(self.line.enter(urgency, Some((namespace, name.clone()))));
        if seen.0.as_ref().is_ok_and(|object| !is_visited(object)) {
            tokio::select! {
                biased;
                place = &mut turn => return Some(place),
                () = self.stop.cancelled() => return None,
                _permit = self.visits.acquire() => {
                    if let Err(problem) = self.visit(api, &name).await {
                        problem.log();
                    }
                }
            }
        }
        tokio::select! {
            place = turn => Some(place),
            () = self.stop.cancelled() => None,
        }
    }

    /// Holds a resource that has to wait, and lets it say so.
    async fn visit(&self, api: &Api<Guarded<R::Kind>>, name: &str) -> Result<(), Problem> {
        let Some(DeserializeGuard(Ok(object))) = api.get_opt(name).await? else { return Ok(()) };
        if object.meta().deletion_timestamp.is_none() {
            self.prepared(api, object).await?;
        }
        Ok(())
    }

    async fn reconcile(&self, seen: &Guarded<R::Kind>) -> Result<Action, Failed> {
        // What happens to another kind from now on is an event that wakes; what was before is in what is read now.
        self.stores.filled().await;
        let queued = Instant::now();
        let (namespace, name) = key(seen);
        let api = Api::namespaced(self.context.kube.clone(), &namespace);
        let Some(_place) = self.turn(&api, seen).await else { return Ok(Action::await_change()) };
        let (kind, context) = (R::Kind::KIND, &self.context);
        let begins = context.clock.now();
        let ends = begins + context.settings.timing.reconcile;
        let late = self.stores.times.begins(kind, &namespace, &name, begins, ends);
        context.metrics.began(kind, Duration::try_from(late).unwrap_or_default().max(queued.elapsed()));
        let span = tracing::info_span!(
            "reconcile",
            kind,
            namespace,
            // `name` is what JSON logs call the span itself.
            resource = name,
            generation = seen.meta().generation,
            trace = Empty,
            result = Empty,
        );
        span.record("trace", telemetry::trace_id(&span));
        let start = Instant::now();
        // Many wait for their turn: each should not take the room of a whole pass meanwhile.
        let pass = self.pass(&api, &namespace, &name).instrument(span.clone());
        let pass = Box::pin(telemetry::pass_over(kind, pass)).await;
        let (class, next, retry_after) = match &pass {
            Ok(None) => {
                self.attempts.forget(&namespace, &name);
                self.stores.times.forget(kind, &namespace, &name);
                self.reconciler.forget(seen.meta(), seen.0.as_ref().ok(), &self.context);
                return Ok(Action::await_change());
            }
            Ok(Some(pass)) => (pass.class, pass.next, pass.retry_after),
            Err(problem) => (Some(problem.class), Next::Resync, problem.retry_after),
        };
        span.record("result", class.map_or("ok", Class::as_str));
        if let Err(problem) = &pass {
            span.in_scope(|| problem.log());
        }
        let ended = context.clock.now();
        context.metrics.reconciled(kind, class, start.elapsed(), ended);
        let failures = self.attempts.note(&namespace, &name, class);
        let delay = delay(&context.settings.timing, class, next, retry_after, failures, luck());
        let checked = class.is_none_or(Class::is_complete).then_some(ended);
        self.stores.times.ended(kind, &namespace, &name, checked, ended + delay);
        match pass {
            Ok(_) => Ok(Action::requeue(delay)),
            Err(problem) => Err(Failed { problem, delay }),
        }
    }

    /// One pass; none when there is nothing to come back to.
    async fn pass(
        &self,
        api: &Api<Guarded<R::Kind>>,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Pass>, Problem> {
        // Read anew: what the last pass wrote (recorded ids, above all) may not have come back through the watch.
        let Some(object) = api.get_opt(name).await? else { return Ok(None) };
        let meta = object.meta();
        let deleting = meta.deletion_timestamp.is_some();
        if deleting && !writes::is_held(meta) {
            return Ok(None);
        }
        if deleting
            && meta.annotations.iter().flatten().any(|(k, v)| k == annotations::ABANDON && v == "true")
        {
            writes::release(api, meta).await?;
            tracing::warn!("abandoned: whatever there is in the clouds stays as it is");
            if let Ok(object) = &object.0 {
                let note = "let go without touching the clouds, as the annotation causeway.dev/abandon asks";
                let notice = Notice {
                    warning: true,
                    reason: "Abandoned".to_owned(),
                    action: "Delete",
                    note: note.to_owned(),
                };
                writes::publish(&self.recorder, object, &[notice]).await;
            }
            return Ok(None);
        }
        let object = match object.0 {
            Ok(object) => object,
            Err(invalid) => {
                self.context.metrics.undecodable(R::Kind::KIND);
                tracing::warn!(error = invalid.error, "the resource does not fit its schema; correct it");
                return Ok(Some(Pass { class: Some(Class::Invalid), next: Next::Resync, retry_after: None }));
            }
        };
        if deleting {
            return self.clean_up(api, &object, namespace, name).await;
        }
        let Some(object) = self.prepared(api, object).await? else { return Ok(None) };
        let limit = self.context.settings.timing.reconcile;
        let reconcile = urgency(&object).scope(self.reconciler.reconcile(&object, &self.context));
        let outcome = match tokio::time::timeout(limit, reconcile).await {
            Ok(outcome) => outcome,
            Err(_) => self.too_slow(&object, namespace, name),
        };
        self.settle(api, &object, outcome).await
    }

    /// The object with our finalizer and with conditions; none when it is gone.
    async fn prepared(
        &self,
        api: &Api<Guarded<R::Kind>>,
        mut object: R::Kind,
    ) -> Result<Option<R::Kind>, Problem> {
        if !writes::is_held(object.meta()) {
            match writes::hold(api, object.meta()).await? {
                Some(held) => object = held,
                None => return Ok(None),
            }
        }
        if is_visited(&object) {
            return Ok(Some(object));
        }
        let mut status = object.status().cloned().unwrap_or_default();
        let generation = object.meta().generation.unwrap_or_default();
        let conditions = conditions_of_a_first_visit(generation, self.context.clock.now());
        // Not yet the generation that the status speaks of: nothing is known about it.
        R::Kind::set_conditions(&mut status, None, conditions);
        writes::write_status(api, &object, &status).await
    }

    async fn clean_up(
        &self,
        api: &Api<Guarded<R::Kind>>,
        object: &R::Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Pass>, Problem> {
        let limit = self.context.settings.timing.reconcile;
        let cleanup = urgency(object).scope(self.reconciler.cleanup(object, &self.context));
        let cleanup = tokio::time::timeout(limit, cleanup).await;
        let outcome = match cleanup {
            Ok(Cleanup::Done) => {
                writes::release(api, object.meta()).await?;
                tracing::info!("clean; the resource may go");
                return Ok(None);
            }
            Ok(Cleanup::Left(notices)) => {
                writes::publish(&self.recorder, object, &notices).await;
                writes::release(api, object.meta()).await?;
                tracing::warn!("the resource may go; it leaves something behind");
                return Ok(None);
            }
            Ok(Cleanup::Waiting(outcome)) => outcome,
            Err(_) => self.too_slow(object, namespace, name),
        };
        self.settle(api, object, outcome).await
    }

    fn too_slow(&self, object: &R::Kind, namespace: &str, name: &str) -> Outcome<Status<R>> {
        let limit = self.context.settings.timing.reconcile;
        tracing::warn!(limit = ?limit, "the pass did not end in time");
        let failures = self.attempts.so_far(namespace, name) + 1;
        let status = writes::too_slow(object, limit, failures, self.context.clock.now());
        Outcome { class: Some(Class::Transient), ..Outcome::settled(status) }
    }

    /// Writes down what a pass came to.
    async fn settle(
        &self,
        api: &Api<Guarded<R::Kind>>,
        object: &R::Kind,
        mut outcome: Outcome<Status<R>>,
    ) -> Result<Option<Pass>, Problem> {
        if outcome.class == Some(Class::Throttled) {
            let (rate, now) = (self.context.settings.limits.sso_admin_per_second, self.context.clock.now());
            outcome.status = writes::waits_for_its_turn(object, outcome.status, rate, now);
        }
        remarks::add(object, &mut outcome);
        if writes::differs(object, &outcome.status) {
            if writes::write_status(api, object, &outcome.status).await?.is_none() {
                return Ok(None);
            }
            let ready = condition(R::Kind::conditions(&outcome.status), "Ready");
            tracing::info!(
                ready = ready.map_or("", |c| c.status.as_str()),
                reason = ready.map_or("", |c| c.reason.as_str()),
                message = ready.map_or("", |c| c.message.as_str()),
                "status changed"
            );
        } else {
            tracing::debug!(class = outcome.class.map_or("ok", Class::as_str), "nothing to write");
        }
        writes::publish(&self.recorder, object, &outcome.notices).await;
        Ok(Some(Pass { class: outcome.class, next: outcome.next, retry_after: outcome.retry_after }))
    }
}

/// Whether a resource says anything about itself.
fn is_visited<K: Managed>(object: &K) -> bool {
    object.status().is_some_and(|s| condition(K::conditions(s), "Ready").is_some())
}

/// How much it matters that a resource is looked at soon.
fn urgency<K: Managed>(object: &K) -> Urgency {
    let seen = object.status().and_then(K::observed_generation);
    if object.meta().deletion_timestamp.is_some() || seen.is_none() || seen != object.meta().generation {
        return Urgency::New;
    }
    let moves = object.status().is_some_and(|s| is_true(K::conditions(s), "Reconciling"));
    if moves { Urgency::Moving } else { Urgency::Settled }
}

/// What the controller's stream has to say about a pass, or about itself.
fn report<K: Managed>(ended: Result<(ObjectRef<Guarded<K>>, Action), ControllerError>) {
    match ended {
        Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
        Err(controller::Error::ObjectNotFound(object)) => tracing::debug!(%object, "gone before its turn"),
        Err(error @ controller::Error::QueueError(_)) => {
            tracing::info!(kind = K::KIND, %error, "a watch broke; trying again");
        }
        Err(error) => tracing::error!(kind = K::KIND, %error, "the controller failed"),
    }
}
