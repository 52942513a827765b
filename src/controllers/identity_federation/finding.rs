use std::time::Duration;

use crate::api::v1alpha1::Party;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// The parts of a federation; each has its own condition and goes on without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The enterprise application exists, is ours and is named as wanted.
    Application,
    /// SAML mode, identifiers, reply URLs.
    Saml,
    /// The signing certificate and the published metadata.
    Certificate,
    /// Who may sign in.
    Assignments,
    /// The Identity Center instance.
    Instance,
    /// Whether AWS trusts the active certificate.
    Trust,
}

impl Part {
    /// All parts, in the order in which their problems are told.
    pub const ALL: [Self; 6] =
        [Self::Application, Self::Saml, Self::Certificate, Self::Assignments, Self::Instance, Self::Trust];

    /// The parts that are looked after here, in the same order.
    #[must_use]
    pub const fn of(party: Party) -> &'static [Self] {
        const ENTRA: [Part; 5] =
            [Part::Application, Part::Saml, Part::Certificate, Part::Assignments, Part::Trust];
        const AWS: [Part; 3] = [Part::Saml, Part::Instance, Part::Trust];
        match party {
            Party::Both => &Self::ALL,
            Party::Entra => &ENTRA,
            Party::Aws => &AWS,
        }
    }

    /// The type of the condition.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Application => "EntraApplicationReady",
            Self::Saml => "SamlConfigured",
            Self::Certificate => "SigningCertificateValid",
            Self::Assignments => "AssignmentsReady",
            Self::Instance => "InstanceReady",
            Self::Trust => "TrustEstablished",
        }
    }
}

/// Why a part is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which part.
    pub part: Part,
    /// What follows from it; none when nothing but a person's act or the next resync helps.
    pub class: Option<Class>,
    /// The condition's reason.
    pub reason: Reason,
    /// For people, with the next step.
    pub message: String,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Finding {
    /// A finding of a class.
    pub fn new(part: Part, class: Class, reason: Reason, message: impl Into<String>) -> Self {
        Self { part, class: Some(class), reason, message: message.into(), retry_after: None }
    }

    /// Work is under way.
    pub fn pending(part: Part, message: impl Into<String>) -> Self {
        Self::new(part, Class::Pending, Reason::Progressing, message)
    }

    /// A state that no retry changes.
    pub fn resting(part: Part, reason: Reason, message: impl Into<String>) -> Self {
        Self { part, class: None, reason, message: message.into(), retry_after: None }
    }

    /// A problem with a part. Its cause goes to the log here, and nowhere else.
    pub fn of(part: Part, problem: &Problem) -> Self {
        problem.log();
        Self {
            part,
            class: Some(problem.class),
            reason: problem.reason,
            message: problem.message.clone(),
            retry_after: problem.retry_after,
        }
    }

    /// Whether the next call to the same cloud would fail likewise.
    pub fn stops_the_side(&self) -> bool {
        matches!(self.class, Some(Class::Throttled | Class::Transient))
            || self.reason == Reason::AuthenticationFailed
    }
}
