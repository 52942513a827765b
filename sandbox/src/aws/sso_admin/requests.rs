//! Asynchronous requests and their status (contract aws 1.5, 1.6).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::auth::Caller;
use super::super::errors::epoch;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Creation,
    Deletion,
    Provisioning,
}

/// Where a request stands; nothing else exists, and there is no cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    InProgress,
    Failed,
    Succeeded,
}

impl Status {
    pub const ALL: [&'static str; 3] = ["IN_PROGRESS", "FAILED", "SUCCEEDED"];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Failed => "FAILED",
            Self::Succeeded => "SUCCEEDED",
        }
    }
}

/// One asynchronous request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub kind: Kind,
    pub id: String,
    pub seq: u64,
    pub status: Status,
    pub created: Timestamp,
    pub set: String,
    /// The target; none when all provisioned accounts are.
    pub account: Option<String>,
    pub principal: Option<(String, String)>,
    pub failure: Option<String>,
    /// With whose rights the management account is changed (contract aws 7.4).
    pub caller: Caller,
    /// Accounts not done yet.
    pub open: usize,
    /// When the last account was done.
    pub finished: Option<Timestamp>,
}

/// One account's part of a request.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub request: String,
    pub set: String,
    pub account: String,
    /// The set was in the account when the request was accepted.
    pub was_provisioned: bool,
}

impl Request {
    /// Whether Describe and List still know it at `at`; how long they do is UNCONFIRMED (contract aws 1.6).
    pub fn is_kept(&self, at: Timestamp, seconds: Option<u32>) -> bool {
        let (Some(finished), Some(seconds)) = (self.finished, seconds) else { return true };
        at.duration_since(finished) < SignedDuration::from_secs(seconds.into())
    }

    /// The full status, as Describe answers it.
    pub fn describe(&self) -> Value {
        let mut out = Map::new();
        out.insert("Status".into(), self.status.as_str().into());
        out.insert("RequestId".into(), self.id.clone().into());
        if let Some(failure) = &self.failure {
            out.insert("FailureReason".into(), failure.clone().into());
        }
        match self.kind {
            Kind::Provisioning => {
                if let Some(account) = &self.account {
                    out.insert("AccountId".into(), account.clone().into());
                }
            }
            Kind::Creation | Kind::Deletion => {
                out.insert("TargetId".into(), self.account.clone().into());
                out.insert("TargetType".into(), "AWS_ACCOUNT".into());
                if let Some((kind, id)) = &self.principal {
                    out.insert("PrincipalType".into(), kind.clone().into());
                    out.insert("PrincipalId".into(), id.clone().into());
                }
            }
        }
        out.insert("PermissionSetArn".into(), self.set.clone().into());
        out.insert("CreatedDate".into(), epoch(self.created));
        Value::Object(out)
    }

    /// The three members that lists show.
    pub fn summary(&self) -> Value {
        json!({"Status": self.status.as_str(), "RequestId": self.id, "CreatedDate": epoch(self.created)})
    }
}
