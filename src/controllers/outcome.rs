use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use crate::api::annotations;
use crate::problem::{Class, Problem};

/// One of our kinds, as the runner sees it.
pub trait Managed:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + PartialEq
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// The status type.
    type Status: Clone + Debug + Default + PartialEq + Serialize + Send + Sync + 'static;
    /// The kind's name, as in manifests.
    const KIND: &'static str;

    /// The status as it is stored.
    fn status(&self) -> Option<&Self::Status>;
    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];
    /// The generation that a status speaks of.
    fn observed_generation(status: &Self::Status) -> Option<i64>;
    /// Replaces the conditions of a status and the generation that it speaks of: for what the runner itself has to
    /// say (first visit, a pass that took too long).
    fn set_conditions(status: &mut Self::Status, generation: Option<i64>, conditions: Vec<Condition>);
}

/// The value of the annotation `causeway.dev/reconcile`, to be echoed in `status.lastHandledReconcileAt`.
#[must_use]
pub fn handled_reconcile<K: Resource>(object: &K) -> Option<String> {
    object.meta().annotations.as_ref()?.get(annotations::RECONCILE).cloned()
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At the ordinary resync.
    Resync,
    /// After this long, or at the resync if that is earlier.
    After(Duration),
}

/// Something a person may care about: becomes an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Warning or Normal.
    pub warning: bool,
    /// PascalCase word; variety belongs here, not into the note.
    pub reason: String,
    /// What was done, PascalCase verb such as `CreateAssignments`.
    pub action: &'static str,
    /// One sentence.
    pub note: String,
}

/// What one reconcile came to: the whole next status, and when to look again.
#[derive(Clone, Debug)]
pub struct Outcome<S> {
    /// The next status; the runner writes it when it differs from the stored one.
    pub status: S,
    /// When to look again. With `class` set, the class's backoff decides instead.
    pub next: Next,
    /// The class of the problem that ended the reconcile, if one did: decides backoff and metric label.
    pub class: Option<Class>,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// Events to emit, only for what really changed.
    pub notices: Vec<Notice>,
}

impl<S> Outcome<S> {
    /// Nothing failed: look again at the resync.
    #[must_use]
    pub fn settled(status: S) -> Self {
        Self { status, next: Next::Resync, class: None, retry_after: None, notices: Vec::new() }
    }

    /// Nothing failed: look again after this long.
    #[must_use]
    pub fn after(status: S, delay: Duration) -> Self {
        Self { next: Next::After(delay), ..Self::settled(status) }
    }

    /// A problem ended the pass. Its cause goes to the log here, and nowhere else.
    #[must_use]
    pub fn failed(status: S, problem: &Problem) -> Self {
        problem.log();
        Self { class: Some(problem.class), retry_after: problem.retry_after, ..Self::settled(status) }
    }

    /// Adds Events.
    #[must_use]
    pub fn with_notices(mut self, notices: Vec<Notice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

/// What a clean-up came to.
#[derive(Clone, Debug)]
pub enum Cleanup<S> {
    /// Nothing is left: the finalizer goes.
    Done,
    /// Nothing of ours is left, but something stays that people must know of: the finalizer goes, and they are told.
    Left(Vec<Notice>),
    /// Something is left: status says what.
    Waiting(Outcome<S>),
}

/// Reconciles one kind.
///
/// Both methods start from the spec and a fresh observation, and return the status that is true afterwards.
/// They never write the status themselves.
#[async_trait::async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Kind: Managed;

    /// Brings the world in line with the spec, one pass.
    async fn reconcile(
        &self,
        object: &Self::Kind,
        context: &Context,
    ) -> Outcome<<Self::Kind as Managed>::Status>;

    /// Lets go of the world, one pass. Must tolerate that `reconcile` never ran.
    async fn cleanup(
        &self,
        object: &Self::Kind,
        context: &Context,
    ) -> Cleanup<<Self::Kind as Managed>::Status>;

    /// The object is gone, whether it was cleaned up or let go: nothing of it is remembered any longer. `last`: as it was
    /// seen last, if that could be read.
    fn forget(&self, _gone: &ObjectMeta, _last: Option<&Self::Kind>, _context: &Context) {}
}
