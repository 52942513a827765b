use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use crate::problem::Class;

/// One of our kinds, as the runner sees it.
pub trait Managed:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + PartialEq + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// The status type.
    type Status: Clone + Debug + Default + PartialEq + Serialize + Send + Sync + 'static;
    /// The kind's name, as in manifests.
    const KIND: &'static str;

    /// The status as it is stored.
    fn status(&self) -> Option<&Self::Status>;
    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];
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

/// What a clean-up came to.
#[derive(Clone, Debug)]
pub enum Cleanup<S> {
    /// Nothing is left: the finalizer goes.
    Done,
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
    async fn reconcile(&self, object: &Self::Kind, context: &Context) -> Outcome<<Self::Kind as Managed>::Status>;

    /// Lets go of the world, one pass. Must tolerate that `reconcile` never ran.
    async fn cleanup(&self, object: &Self::Kind, context: &Context) -> Cleanup<<Self::Kind as Managed>::Status>;
}
