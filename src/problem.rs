//! What can go wrong, and what follows from it.

mod credentials;
mod permissions;

use std::time::Duration;

use crate::clients::{CloudError, CloudErrorKind};
use crate::status::Reason;
pub use credentials::{AWS_CREDENTIALS, ENTRA_CREDENTIALS, NO_SERVICE_ACCOUNT};
pub use permissions::GRANT;

/// The class of a problem alone decides about conditions, requeue, event and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Only a change of the spec helps. Stalled.
    Invalid,
    /// Something else must exist or become ready first.
    Blocked,
    /// A cloud refuses the credentials or the permission; grants take time to spread.
    Denied,
    /// Too many calls: a delay, never a condition.
    Throttled,
    /// Passes by itself.
    Transient,
    /// Asynchronous work is under way.
    Pending,
    /// Somebody else wrote at the same time: at once again.
    Conflict,
    /// A person must approve. Stalled.
    Guarded,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Invalid,
        Self::Blocked,
        Self::Denied,
        Self::Throttled,
        Self::Transient,
        Self::Pending,
        Self::Conflict,
        Self::Guarded,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Blocked => "blocked",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Pending => "pending",
            Self::Conflict => "conflict",
            Self::Guarded => "guarded",
        }
    }

    /// Whether a pass that ended so had seen all that there is to see: a verdict on the resource is a result too.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Invalid | Self::Blocked | Self::Pending | Self::Guarded)
    }

    /// Whether only a person can mend it.
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        matches!(self, Self::Invalid | Self::Guarded)
    }

    /// Whether the conditions stay as they were: such a problem is nobody's business but ours.
    #[must_use]
    pub const fn is_silent(self) -> bool {
        matches!(self, Self::Throttled | Self::Conflict)
    }
}

/// A problem with one reconcile: what a person is told, and what the log gets.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Problem {
    /// What follows from it.
    pub class: Class,
    /// The condition's reason.
    pub reason: Reason,
    /// For people: short, with the next step; no secrets, no bodies.
    pub message: String,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// The cause, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Problem {
    /// A problem without a cause underneath.
    #[must_use]
    pub fn new(class: Class, reason: Reason, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into(), retry_after: None, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Writes the problem and its causes to the log, at the level that its class deserves.
    pub fn log(&self) {
        let mut causes = Vec::new();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let cause = causes.join(": ");
        let (class, reason) = (self.class.as_str(), self.reason.as_str());
        if self.reason == Reason::InternalError {
            tracing::error!(class, reason, cause, "{}", self.message);
            return;
        }
        match self.class {
            Class::Throttled | Class::Pending | Class::Conflict => {
                tracing::debug!(class, reason, cause, "{}", self.message);
            }
            Class::Transient => tracing::info!(class, reason, cause, "{}", self.message),
            Class::Invalid | Class::Blocked | Class::Denied | Class::Guarded => {
                tracing::warn!(class, reason, cause, "{}", self.message);
            }
        }
    }

    /// A failed call to a cloud, classified by its kind; `doing` names the act ("read the permission set").
    #[must_use]
    pub fn from_cloud(error: CloudError, doing: &str) -> Self {
        let cloud = error.service.cloud();
        let tail = error.tail();
        if let Some((class, reason, message)) = credentials::told(&error, doing) {
            return Self { class, reason, message, retry_after: None, source: Some(Box::new(error)) };
        }
        let (class, reason, message) = match &error.kind {
            CloudErrorKind::Throttled { .. } => (
                Class::Throttled,
                Reason::ProgressingWithRetry,
                format!("{cloud} throttles calls; waiting to {doing}"),
            ),
            CloudErrorKind::Transient => (
                Class::Transient,
                Reason::CloudUnavailable,
                format!("could not {doing}: {cloud} failed or was not reached{tail}; trying again"),
            ),
            CloudErrorKind::Unauthenticated => (
                Class::Denied,
                Reason::AuthenticationFailed,
                format!(
                    "could not {doing}: {cloud} does not accept the credentials{tail}; check {}, and whether they have expired",
                    if cloud == "AWS" { AWS_CREDENTIALS } else { ENTRA_CREDENTIALS }
                ),
            ),
            CloudErrorKind::Denied => (
                Class::Denied,
                Reason::PermissionDenied,
                format!(
                    "could not {doing}: {cloud} denies {}{tail}; {}",
                    error.operation,
                    permissions::remedy(&error)
                ),
            ),
            CloudErrorKind::Conflict => (
                Class::Pending,
                Reason::Progressing,
                format!("could not {doing} yet: an earlier change is still spreading in {cloud}"),
            ),
            CloudErrorKind::NotFound => (
                Class::Transient,
                Reason::ProgressingWithRetry,
                format!("could not {doing}: {cloud} does not show the object (yet){tail}"),
            ),
            CloudErrorKind::Quota => (
                Class::Denied,
                Reason::QuotaExceeded,
                format!("could not {doing}: a quota of {cloud} is exhausted{tail}"),
            ),
            CloudErrorKind::Invalid => {
                (Class::Invalid, Reason::InvalidSpec, format!("could not {doing}: {cloud} refuses it{tail}"))
            }
        };
        let retry_after = match error.kind {
            CloudErrorKind::Throttled { retry_after } => retry_after,
            _ => None,
        };
        Self { class, reason, message, retry_after, source: Some(Box::new(error)) }
    }
}

impl From<kube::Error> for Problem {
    fn from(error: kube::Error) -> Self {
        let (class, message) = match &error {
            kube::Error::Api(s) if s.is_conflict() => {
                (Class::Conflict, "another writer was faster".to_owned())
            }
            kube::Error::Api(s) if s.is_forbidden() => (
                Class::Denied,
                format!("the operator's role in the cluster lacks a permission: {}", s.message),
            ),
            kube::Error::Api(s) if s.is_invalid() => {
                (Class::Transient, format!("the API server refused a write: {}", s.message))
            }
            _ => (
                Class::Transient,
                "the Kubernetes API server failed or was not reached; trying again".to_owned(),
            ),
        };
        let reason =
            if class == Class::Denied { Reason::PermissionDenied } else { Reason::ProgressingWithRetry };
        Self { class, reason, message, retry_after: None, source: Some(Box::new(error)) }
    }
}
