//! What AWS knows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::identity_store::Store;
use super::lag::Lagged;
use super::organizations::Org;
use super::saml_metadata::IdentityProvider;
use super::sso_admin::{Boundary, Kind, PolicyReference, Request, Step};
use crate::world::{AwsBehaviours, IamAccount, IdentityCenter};

/// Everything, behind one lock; cloned only while stale reads are asked for.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The Region where Identity Center is, or will be, enabled.
    pub region: String,
    pub behaviours: AwsBehaviours,
    pub organization: Org,
    pub iam: BTreeMap<String, IamAccount>,
    pub sessions: BTreeMap<String, Session>,
    /// None until a person enables Identity Center.
    pub center: Option<Center>,
    /// What the world file wants to exist from the moment of enabling.
    pub seed: IdentityCenter,
}

/// Temporary credentials from STS.
#[derive(Clone)]
pub(crate) struct Session {
    pub account_id: String,
    pub arn: String,
    pub role_arn: String,
    pub user_id: String,
    pub secret: String,
    pub token: String,
    pub actions: Vec<String>,
    pub expires: Timestamp,
    /// An administrator revoked the active sessions of the role.
    pub revoked: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("arn", &self.arn)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// An organization instance of IAM Identity Center (contract aws 1.1).
#[derive(Debug, Clone)]
pub(crate) struct Center {
    /// `ssoins-` and sixteen hexadecimal digits.
    pub instance_id: String,
    pub owner: String,
    pub created: Timestamp,
    pub tags: BTreeMap<String, String>,
    pub store: Store,
    pub sets: BTreeMap<String, Lagged<PermissionSet>>,
    pub assignments: BTreeMap<Assignment, Lagged<()>>,
    /// Roles in accounts, by set ARN and account id.
    pub provisions: BTreeMap<(String, String), Lagged<Provision>>,
    pub requests: BTreeMap<String, Request>,
    /// Work under way, by the moment it is due.
    pub pending: BTreeMap<(Timestamp, u64), Step>,
    /// Until when the role of an account that is being updated keeps others waiting (contract aws 1.8).
    pub busy: BTreeMap<String, Timestamp>,
    pub next_seq: u64,
    /// When what is gone was last forgotten.
    pub swept: Timestamp,
    /// The opaque segment of the ACS URLs (contract aws 3.4).
    pub saml_tenant: String,
    pub identity_provider: Option<IdentityProvider>,
    pub scim: Option<Scim>,
}

/// Automatic provisioning.
#[derive(Debug, Clone)]
pub(crate) struct Scim {
    pub tenant: String,
    pub tokens: BTreeMap<String, Token>,
}

/// A bearer token (contract aws 4.6).
#[derive(Clone)]
pub(crate) struct Token {
    pub secret: String,
    pub created: Timestamp,
    pub expires: Timestamp,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A permission set with all its parts (contract aws 1.2).
#[derive(Debug, Clone)]
pub(crate) struct PermissionSet {
    pub arn: String,
    pub name: String,
    pub created: Timestamp,
    pub tags: BTreeMap<String, String>,
    pub content: Content,
    /// Counts the edits that accounts have to be provisioned with.
    pub version: u64,
}

/// The part of a permission set that becomes a role.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Content {
    pub description: Option<String>,
    pub session_duration: String,
    pub relay_state: Option<String>,
    pub managed: Vec<String>,
    pub customer: Vec<PolicyReference>,
    pub inline: Option<String>,
    pub boundary: Option<Boundary>,
}

/// The six-part key of an assignment, less the instance and the only target type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Assignment {
    pub set: String,
    pub account: String,
    /// `USER` or `GROUP`.
    pub principal_type: String,
    pub principal_id: String,
}

/// A permission set as it is in one account.
#[derive(Debug, Clone)]
pub(crate) struct Provision {
    /// Sixteen hexadecimal digits at the end of the role's name.
    pub suffix: String,
    pub version: u64,
    pub content: Content,
    pub created: Timestamp,
}

impl Center {
    pub fn instance_arn(&self) -> String {
        format!("arn:aws:sso:::instance/{}", self.instance_id)
    }

    pub fn identity_store_arn(&self) -> String {
        format!("arn:aws:identitystore::{}:identitystore/{}", self.owner, self.store.id)
    }

    pub fn set(&self, arn: &str) -> Option<&PermissionSet> {
        self.sets.get(arn).and_then(Lagged::truth)
    }

    pub fn set_by_name(&self, name: &str) -> Option<&PermissionSet> {
        self.sets.values().filter_map(Lagged::truth).find(|s| s.name == name)
    }

    pub fn provision(&self, set: &str, account: &str) -> Option<&Provision> {
        self.provisions.get(&(set.to_owned(), account.to_owned())).and_then(Lagged::truth)
    }

    pub fn has_assignment(&self, key: &Assignment) -> bool {
        self.assignments.get(key).is_some_and(|a| a.truth().is_some())
    }

    /// Assignments of one set, by account, as they really are.
    pub fn assignments_of<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a Assignment> {
        self.range(set, "")
            .take_while(move |(k, _)| k.set == set)
            .filter(|(_, v)| v.truth().is_some())
            .map(|(k, _)| k)
    }

    /// Assignments of one pair that reads at `at` show.
    pub fn seen_pair<'a>(
        &'a self,
        set: &'a str,
        account: &'a str,
        at: Timestamp,
    ) -> impl Iterator<Item = &'a Assignment> {
        self.range(set, account)
            .take_while(move |(k, _)| k.set == set && k.account == account)
            .filter(move |(_, v)| v.seen(at).is_some())
            .map(|(k, _)| k)
    }

    fn range(&self, set: &str, account: &str) -> impl Iterator<Item = (&Assignment, &Lagged<()>)> {
        let from = Assignment {
            set: set.into(),
            account: account.into(),
            principal_type: String::new(),
            principal_id: String::new(),
        };
        self.assignments.range(from..)
    }

    /// How many requests of a kind are under way.
    pub fn outstanding(&self, kind: Kind) -> usize {
        // Only work under way is walked, not everything that was ever asked for.
        let open: BTreeSet<&str> = self.pending.values().map(|s| s.request.as_str()).collect();
        open.into_iter().filter(|id| self.requests.get(*id).is_some_and(|r| r.kind == kind)).count()
    }

    /// How many sets are provisioned in an account (quota 500, contract aws 1.8).
    pub fn provisioned_in(&self, account: &str) -> usize {
        self.provisions.iter().filter(|((_, a), p)| a == account && p.truth().is_some()).count()
    }

    /// Name of the role of a set in an account (contract aws 1.4).
    pub fn role_name(set: &str, suffix: &str) -> String {
        format!("AWSReservedSSO_{set}_{suffix}")
    }

    /// Forgets, now and then, what is deleted and no longer shown by any read.
    pub fn sweep(&mut self, at: Timestamp) {
        if at.duration_since(self.swept) < SignedDuration::from_secs(10) {
            return;
        }
        self.swept = at;
        self.sets.retain(|_, v| !v.is_gone(at));
        self.assignments.retain(|_, v| !v.is_gone(at));
        self.provisions.retain(|_, v| !v.is_gone(at));
        self.store.sweep(at);
    }
}
