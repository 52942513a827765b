use std::time::Duration;

use super::http::bounded;
use crate::secret::redact;

/// A remote service, as metrics, audit records and messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Microsoft Graph.
    Graph,
    /// Entra's sign-in host: tokens and federation metadata.
    Login,
    /// IAM Identity Center's administration API.
    SsoAdmin,
    /// The identity store.
    IdentityStore,
    /// AWS Organizations.
    Organizations,
    /// AWS STS.
    Sts,
    /// The SCIM endpoint of IAM Identity Center.
    Scim,
    /// The Kubernetes API server.
    Kubernetes,
}

impl Service {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Login => "login",
            Self::SsoAdmin => "sso-admin",
            Self::IdentityStore => "identitystore",
            Self::Organizations => "organizations",
            Self::Sts => "sts",
            Self::Scim => "scim",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The cloud as messages name it.
    #[must_use]
    pub const fn cloud(self) -> &'static str {
        match self {
            Self::Graph | Self::Login => "Entra",
            Self::SsoAdmin | Self::IdentityStore | Self::Organizations | Self::Sts | Self::Scim => "AWS",
            Self::Kubernetes => "Kubernetes",
        }
    }
}

/// What kind of failure it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudErrorKind {
    /// Too many calls.
    Throttled {
        /// How long to wait, when the answer said so.
        retry_after: Option<Duration>,
    },
    /// Server error, timeout, broken connection, unreadable answer. The effect is unknown for writes.
    Transient,
    /// The credentials are wrong, expired or missing.
    Unauthenticated,
    /// The credentials are right and not enough.
    Denied,
    /// The object does not exist, or is not visible yet.
    NotFound,
    /// A clash with another or an earlier write.
    Conflict,
    /// A quota is exhausted.
    Quota,
    /// The request is refused for what it says.
    Invalid,
}

/// A failed call. `Display` is for the log; people get [`crate::problem::Problem`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} {operation}: {kind:?} {code} {message}{}", service.as_str(), .request_id.as_ref().map(|r| format!(" (request {r})")).unwrap_or_default())]
pub struct CloudError {
    /// Which service.
    pub service: Service,
    /// Which operation: a fixed name, never with ids in it.
    pub operation: &'static str,
    /// What kind of failure.
    pub kind: CloudErrorKind,
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// The service's own error code; empty when there was none.
    pub code: String,
    /// The service's own message, bounded; never a body, never a secret.
    pub message: String,
    /// The service's request id.
    pub request_id: Option<String>,
}

impl CloudError {
    /// ` (code: message)`, or nothing when the service said nothing.
    #[must_use]
    pub fn tail(&self) -> String {
        match (self.code.is_empty(), self.message.is_empty()) {
            (true, true) => String::new(),
            (false, true) => format!(" ({})", self.code),
            (true, false) => format!(" ({})", self.message),
            (false, false) => format!(" ({}: {})", self.code, self.message),
        }
    }

    /// A failure to get credentials, as it may come out of any call. It must not be taken for what that call would say:
    /// of no object is it known whether it exists, or may be read.
    #[must_use]
    pub(crate) fn of_credentials(mut self) -> Self {
        if !matches!(self.kind, CloudErrorKind::Throttled { .. } | CloudErrorKind::Transient) {
            self.kind = CloudErrorKind::Unauthenticated;
        }
        self
    }

    /// The error without these values, should the service quote what it was sent, as it is or encoded (design rule 6).
    #[must_use]
    pub(crate) fn without(mut self, values: &[&str]) -> Self {
        for value in values {
            self.message = redact(&self.message, value);
            self.code = redact(&self.code, value);
        }
        self.message = bounded(&self.message);
        self
    }

    /// Whether it asks to slow down.
    #[must_use]
    pub const fn is_throttle(&self) -> bool {
        matches!(self.kind, CloudErrorKind::Throttled { .. })
    }

    /// Whether the object does not exist or is not visible.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == CloudErrorKind::NotFound
    }
}
