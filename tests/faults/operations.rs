//! The operations of the clouds, the faults that can befall them, and which go together. Pure.

use std::collections::BTreeSet;

use sandbox::core::{FaultKind, FaultRule};

/// An operation, as the sandbox's counters name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    pub service: String,
    pub name: String,
}

impl Operation {
    pub fn new(service: &str, name: &str) -> Self {
        Self { service: service.to_owned(), name: name.to_owned() }
    }

    /// Whether it leaves everything as it is: by verb, and a trial of credentials too.
    pub fn reads(&self) -> bool {
        match self.service.as_str() {
            "login" | "sts" => true,
            "graph" => self.name.starts_with("GET ") || self.tries_credentials(),
            _ => ["List", "Describe", "Get", "IsMember"].iter().any(|verb| self.name.starts_with(verb)),
        }
    }

    /// Whether its answer is a list, which may come in pages.
    pub fn lists(&self) -> bool {
        match self.service.as_str() {
            "login" => false,
            "graph" => {
                self.name.starts_with("GET ")
                    && !self.name.ends_with("{id}")
                    && !self.name.ends_with("/schema")
            }
            _ => self.name.starts_with("List"),
        }
    }

    /// Whether it makes something that could be made twice.
    pub fn creates(&self) -> bool {
        let created = ["/instantiate", "/addTokenSigningCertificate", "/jobs", "/appRoleAssignedTo"];
        match self.service.as_str() {
            "graph" => self.name.starts_with("POST ") && created.iter().any(|c| self.name.ends_with(c)),
            _ => self.name.starts_with("Create"),
        }
    }

    /// Whether it is a call of the provisioning service behind Graph.
    pub fn provisions(&self) -> bool {
        self.name.contains("/synchronization/")
    }

    /// Whether its answer is a token or the keys of a session.
    pub fn gives_credentials(&self) -> bool {
        self.service == "sts" || (self.service == "login" && self.name == "token")
    }

    fn tries_credentials(&self) -> bool {
        self.name.ends_with("/validateCredentials")
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.service, self.name)
    }
}

/// The operations that the matrix is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operations {
    /// Called in every journey.
    pub usual: BTreeSet<Operation>,
    /// Called when the answer to a creation was lost.
    pub after_loss: BTreeSet<Operation>,
    /// Called when a reading lags, or when faults meet: a fault waits for them in every journey.
    pub at_times: BTreeSet<Operation>,
}

impl Operations {
    /// All of them.
    pub fn all(&self) -> BTreeSet<Operation> {
        self.usual.iter().chain(&self.after_loss).chain(&self.at_times).cloned().collect()
    }
}

/// What may befall a call: the columns of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    ThrottledFor,
    Throttled,
    ServerError,
    Hang,
    CutAfterEffect,
    ErrorAfterEffect,
    Stale,
    Malformed,
    Truncated,
    LoopingLink,
    ExpiredCredential,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::ThrottledFor,
        Self::Throttled,
        Self::ServerError,
        Self::Hang,
        Self::CutAfterEffect,
        Self::ErrorAfterEffect,
        Self::Stale,
        Self::Malformed,
        Self::Truncated,
        Self::LoopingLink,
        Self::ExpiredCredential,
    ];

    /// The head of its column.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ThrottledFor => "throttle, Retry-After",
            Self::Throttled => "throttle",
            Self::ServerError => "5xx",
            Self::Hang => "hang",
            Self::CutAfterEffect => "cut after the effect",
            Self::ErrorAfterEffect => "5xx after the effect",
            Self::Stale => "stale read",
            Self::Malformed => "malformed body",
            Self::Truncated => "truncated body",
            Self::LoopingLink => "looping next link",
            Self::ExpiredCredential => "expired credential",
        }
    }

    const fn kind(self) -> FaultKind {
        match self {
            Self::ThrottledFor | Self::Throttled => FaultKind::Throttle,
            Self::ServerError => FaultKind::Error,
            Self::Hang => FaultKind::Hang,
            Self::CutAfterEffect => FaultKind::CutAfterEffect,
            Self::ErrorAfterEffect => FaultKind::ErrorAfterEffect,
            Self::Stale => FaultKind::Stale,
            Self::Malformed => FaultKind::Malformed,
            Self::Truncated => FaultKind::TruncatedPage,
            Self::LoopingLink => FaultKind::LoopingNextLink,
            Self::ExpiredCredential => FaultKind::ExpiredCredential,
        }
    }

    /// The rule that brings it on: from the nth call on, so many times (0: without end).
    pub fn rule(self, operation: &Operation, nth: u64, times: u64) -> FaultRule {
        FaultRule {
            service: operation.service.clone(),
            operation: Some(operation.name.clone()),
            nth: Some(nth),
            probability: None,
            kind: self.kind(),
            status: match self {
                Self::ServerError => Some(503),
                Self::ErrorAfterEffect => Some(500),
                _ => None,
            },
            code: None,
            times: Some(times),
            // The shortest wait that the operator takes seriously.
            retry_after: (self == Self::ThrottledFor).then_some(1.0),
        }
    }

    /// Why it cannot befall an operation; none when it can.
    pub fn spares(self, operation: &Operation) -> Option<Exemption> {
        match self {
            Self::CutAfterEffect | Self::ErrorAfterEffect if operation.reads() => Some(Exemption::Effectless),
            Self::Stale if !operation.reads() => Some(Exemption::Stateless),
            Self::Stale if operation.tries_credentials() || operation.gives_credentials() => {
                Some(Exemption::Stateless)
            }
            Self::LoopingLink if !operation.lists() => Some(Exemption::Single),
            Self::ExpiredCredential if operation.name == "federationmetadata" => Some(Exemption::Anonymous),
            _ => None,
        }
    }
}

/// Why a fault cannot befall an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exemption {
    Effectless,
    Stateless,
    Single,
    Anonymous,
}

impl Exemption {
    pub const ALL: [Self; 4] = [Self::Effectless, Self::Stateless, Self::Single, Self::Anonymous];

    /// The mark in the table.
    pub const fn mark(self) -> char {
        match self {
            Self::Effectless => 'a',
            Self::Stateless => 'b',
            Self::Single => 'c',
            Self::Anonymous => 'd',
        }
    }

    pub const fn why(self) -> &'static str {
        match self {
            Self::Effectless => {
                "it changes nothing, so what goes wrong after its effect is a truncated body or a plain 5xx"
            }
            Self::Stateless => "it shows no state that could be an older one",
            Self::Single => "its answer is no list, so there is no next page",
            Self::Anonymous => "it is called without a credential",
        }
    }
}

#[test]
fn what_can_befall_an_operation_follows_from_its_name() {
    use Fault::{CutAfterEffect as Cut, ErrorAfterEffect as Error, ExpiredCredential, LoopingLink, Stale};
    let spared = |service, name| -> Vec<Fault> {
        let operation = Operation::new(service, name);
        Fault::ALL.into_iter().filter(|f| f.spares(&operation).is_some()).collect()
    };
    for (service, name, expected) in [
        ("graph", "GET /applications", vec![Cut, Error]),
        ("graph", "GET /applications/{id}", vec![Cut, Error, LoopingLink]),
        ("graph", "PATCH /applications/{id}", vec![Stale, LoopingLink]),
        (
            "graph",
            "POST /servicePrincipals/{id}/synchronization/jobs/validateCredentials",
            vec![Cut, Error, Stale, LoopingLink],
        ),
        ("login", "token", vec![Cut, Error, Stale, LoopingLink]),
        ("login", "federationmetadata", vec![Cut, Error, LoopingLink, ExpiredCredential]),
        ("sts", "AssumeRole", vec![Cut, Error, Stale, LoopingLink]),
        ("sso-admin", "ListPermissionSets", vec![Cut, Error]),
        ("sso-admin", "CreatePermissionSet", vec![Stale, LoopingLink]),
        ("identitystore", "GetGroupId", vec![Cut, Error, LoopingLink]),
    ] {
        assert_eq!(spared(service, name), expected, "{service} {name}");
    }
}

#[test]
fn every_fault_of_the_sandbox_is_in_the_matrix() {
    for kind in FaultKind::ALL {
        assert!(Fault::ALL.iter().any(|f| f.kind() == kind), "{kind:?}");
    }
}
