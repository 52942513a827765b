//! Users, groups and memberships of the identity store (contract aws 2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::lag::Lagged;

/// The store. Writes come through SCIM and through the API; both see the truth, API reads lag.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// `d-` and ten hexadecimal digits.
    pub id: String,
    pub users: BTreeMap<String, Lagged<User>>,
    pub groups: BTreeMap<String, Lagged<Group>>,
    pub memberships: BTreeMap<String, Lagged<Membership>>,
    /// Membership ids by group and user, as they really are.
    pub members: BTreeMap<(String, String), String>,
}

/// An id that another system gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalId {
    pub issuer: String,
    pub id: String,
}

/// When and by whom something was made and changed.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub created: Timestamp,
    pub created_by: String,
    pub updated: Timestamp,
    pub updated_by: String,
    pub revision: u64,
}

impl Stamp {
    pub fn new(at: Timestamp, by: &str) -> Self {
        Self { created: at, created_by: by.into(), updated: at, updated_by: by.into(), revision: 1 }
    }

    pub fn touch(&mut self, at: Timestamp, by: &str) {
        self.updated = at;
        by.clone_into(&mut self.updated_by);
        self.revision += 1;
    }
}

/// A user. Attributes are kept in SCIM's spelling; the API shows them with capitals.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub id: String,
    pub user_name: String,
    pub active: bool,
    pub external: Option<ExternalId>,
    /// `name`, `displayName`, `emails` and so on; neither `userName`, `active` nor `externalId`.
    pub attributes: Map<String, Value>,
    pub stamp: Stamp,
}

/// A group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub id: String,
    pub display_name: String,
    pub description: Option<String>,
    pub external: Option<ExternalId>,
    pub stamp: Stamp,
}

/// One user in one group.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub id: String,
    pub group: String,
    pub user: String,
    pub stamp: Stamp,
}

impl User {
    /// The only e-mail address, if there is one.
    pub fn email(&self) -> Option<&str> {
        self.attributes.get("emails")?.get(0)?.get("value")?.as_str()
    }
}

impl Store {
    pub fn new(id: String) -> Self {
        Self {
            id,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            memberships: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    /// A new object's id: ten hexadecimal digits of the store, then a UUID.
    pub fn new_id(&self, uuid: &str) -> String {
        format!("{}-{uuid}", self.id.trim_start_matches("d-"))
    }

    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.get(id).and_then(Lagged::truth)
    }

    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id).and_then(Lagged::truth)
    }

    pub fn all_users(&self) -> impl Iterator<Item = &User> {
        self.users.values().filter_map(Lagged::truth)
    }

    pub fn all_groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().filter_map(Lagged::truth)
    }

    pub fn is_member(&self, group: &str, user: &str) -> bool {
        self.members.contains_key(&(group.to_owned(), user.to_owned()))
    }

    /// Users of one group, as they really are.
    pub fn members_of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.members
            .range((group.to_owned(), String::new())..)
            .take_while(move |((g, _), _)| g == group)
            .map(|((_, u), _)| u.as_str())
    }

    /// Groups of one user, as they really are.
    pub fn groups_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a str> {
        self.members.keys().filter(move |(_, u)| u == user).map(|(g, _)| g.as_str())
    }

    /// User names are unique without regard to case.
    pub fn user_named(&self, user_name: &str) -> Option<&User> {
        self.all_users().find(|u| u.user_name.eq_ignore_ascii_case(user_name))
    }

    pub fn user_with_email(&self, email: &str) -> Option<&User> {
        self.all_users().find(|u| u.email().is_some_and(|e| e.eq_ignore_ascii_case(email)))
    }

    pub fn group_named(&self, display_name: &str) -> Option<&Group> {
        self.all_groups().find(|g| g.display_name == display_name)
    }

    pub fn put_user(&mut self, user: User, at: Timestamp, from: Timestamp) {
        match self.users.get_mut(&user.id) {
            Some(slot) => slot.set(Some(user), at, from),
            None => {
                self.users.insert(user.id.clone(), Lagged::created(user, from));
            }
        }
    }

    pub fn put_group(&mut self, group: Group, at: Timestamp, from: Timestamp) {
        match self.groups.get_mut(&group.id) {
            Some(slot) => slot.set(Some(group), at, from),
            None => {
                self.groups.insert(group.id.clone(), Lagged::created(group, from));
            }
        }
    }

    /// Adds a member; does nothing when the user is one already.
    pub fn join(&mut self, id: String, group: &str, user: &str, stamp: Stamp, from: Timestamp) -> bool {
        let key = (group.to_owned(), user.to_owned());
        if self.members.contains_key(&key) {
            return false;
        }
        self.members.insert(key, id.clone());
        let membership = Membership { id: id.clone(), group: group.into(), user: user.into(), stamp };
        self.memberships.insert(id, Lagged::created(membership, from));
        true
    }

    /// Ends a membership, if there is one.
    pub fn leave(&mut self, group: &str, user: &str, at: Timestamp, from: Timestamp) {
        if let Some(id) = self.members.remove(&(group.to_owned(), user.to_owned()))
            && let Some(slot) = self.memberships.get_mut(&id)
        {
            slot.set(None, at, from);
        }
    }

    /// Deletes a user with all memberships. Assignments stay as orphans (contract aws 3.6).
    pub fn delete_user(&mut self, id: &str, at: Timestamp, from: Timestamp) {
        let groups: Vec<String> = self.groups_of(id).map(ToOwned::to_owned).collect();
        for group in groups {
            self.leave(&group, id, at, from);
        }
        if let Some(slot) = self.users.get_mut(id) {
            slot.set(None, at, from);
        }
    }

    /// Deletes a group with all memberships. Assignments stay as orphans (contract aws 3.6).
    pub fn delete_group(&mut self, id: &str, at: Timestamp, from: Timestamp) {
        let users: Vec<String> = self.members_of(id).map(ToOwned::to_owned).collect();
        for user in users {
            self.leave(id, &user, at, from);
        }
        if let Some(slot) = self.groups.get_mut(id) {
            slot.set(None, at, from);
        }
    }

    pub fn sweep(&mut self, at: Timestamp) {
        self.users.retain(|_, v| !v.is_gone(at));
        self.groups.retain(|_, v| !v.is_gone(at));
        self.memberships.retain(|_, v| !v.is_gone(at));
    }
}
