//! Everything that the tenant remembers, and when readers get to see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::auth::Token;
use super::graph::certificates::SigningKey;
use super::synchronization::Synchronization;
use crate::core::Core;

/// The properties of one directory object, as Graph shows them.
pub(super) type Fields = Map<String, Value>;

/// Soft-deleted objects stay thirty days (9).
const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What kind of directory object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Application,
    ServicePrincipal,
    User,
    Group,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Application, Self::ServicePrincipal, Self::User, Self::Group];

    /// As in `@odata.type`, without the namespace.
    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::ServicePrincipal => "servicePrincipal",
            Self::User => "user",
            Self::Group => "group",
        }
    }

    /// The collection's path segment.
    pub(super) const fn segment(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::ServicePrincipal => "servicePrincipals",
            Self::User => "users",
            Self::Group => "groups",
        }
    }

    /// As in `principalType`.
    pub(super) const fn principal_type(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::ServicePrincipal => "ServicePrincipal",
            Self::User => "User",
            Self::Group => "Group",
        }
    }
}

/// One read's moment, and whether it meets the replica that already knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) now: Timestamp,
    pub(super) lucky: bool,
}

/// One directory object with the versions that replicas may still show.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) created: Timestamp,
    /// Each version with the moment from which reads show it; never empty, newest last.
    versions: Vec<(Timestamp, Arc<Fields>)>,
    /// From here until the first version is visible, every other replica knows the object.
    flapping_from: Option<Timestamp>,
    /// When it was soft-deleted, and from when reads notice.
    deleted: Option<(Timestamp, Timestamp)>,
}

impl Object {
    /// An object that reads show from `visible` on; with `flapping`, replicas disagree for the second
    /// half of the wait.
    pub(super) fn new(
        kind: Kind,
        fields: Fields,
        now: Timestamp,
        lag: SignedDuration,
        flapping: bool,
    ) -> Self {
        let id = fields.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            id,
            kind,
            created: now,
            versions: vec![(after(now, lag), Arc::new(fields))],
            flapping_from: flapping.then(|| after(now, lag / 2)),
            deleted: None,
        }
    }

    /// What a read sees; nothing before creation has spread and after deletion has.
    pub(super) fn read(&self, view: View) -> Option<&Fields> {
        if self.deleted.is_some_and(|(_, seen)| view.now >= seen) {
            return None;
        }
        self.readable(view)
    }

    fn readable(&self, view: View) -> Option<&Fields> {
        if let Some((_, fields)) = self.versions.iter().rev().find(|(visible, _)| *visible <= view.now) {
            return Some(fields);
        }
        let flaps = view.lucky && self.flapping_from.is_some_and(|from| view.now >= from);
        flaps.then(|| self.versions.first().map(|(_, fields)| fields.as_ref())).flatten()
    }

    /// The newest version, whether or not reads show it.
    pub(super) fn truth(&self) -> &Fields {
        self.versions.last().map(|(_, fields)| fields.as_ref()).expect("an object has at least one version")
    }

    /// Changes the object; reads show the change after `lag`.
    pub(super) fn change(&mut self, now: Timestamp, lag: SignedDuration, change: impl FnOnce(&mut Fields)) {
        let mut fields = self.truth().clone();
        change(&mut fields);
        let newest = self.versions.last().map_or(now, |(visible, _)| *visible);
        // Versions become visible in order: a later change never shows before an earlier one.
        let visible = after(now, lag).max(newest);
        let shown = self.versions.iter().rposition(|(visible, _)| *visible <= now).unwrap_or(0);
        self.versions.drain(..shown);
        self.versions.push((visible, Arc::new(fields)));
    }

    pub(super) const fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    pub(super) fn delete(&mut self, now: Timestamp, lag: SignedDuration) {
        self.deleted = Some((now, after(now, lag)));
        self.change(now, SignedDuration::ZERO, |f| {
            f.insert("deletedDateTime".into(), iso(now).into());
        });
    }

    pub(super) fn restore(&mut self, now: Timestamp) {
        self.deleted = None;
        self.change(now, SignedDuration::ZERO, |f| {
            f.insert("deletedDateTime".into(), Value::Null);
        });
    }

    /// A property of the truth as text; empty when absent or null.
    pub(super) fn text(&self, name: &str) -> &str {
        text(self.truth(), name)
    }
}

/// One app role assignment (4.1).
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) id: String,
    pub(super) principal_id: String,
    pub(super) resource_id: String,
    pub(super) app_role_id: String,
    pub(super) created: Timestamp,
    /// Reads show it from here.
    pub(super) visible_from: Timestamp,
    /// Provisioning knows of it from here (5.6).
    pub(super) honoured_from: Timestamp,
    /// Deleted; reads still show it until then.
    pub(super) gone_from: Option<Timestamp>,
}

impl Assignment {
    pub(super) fn visible(&self, view: View) -> bool {
        view.now >= self.visible_from && self.gone_from.is_none_or(|gone| view.now < gone)
    }
}

/// The whole tenant.
#[derive(Clone, Default)]
pub(super) struct State {
    tables: [BTreeMap<String, Object>; 4],
    /// Group id to member ids.
    pub(super) members: BTreeMap<String, BTreeSet<String>>,
    /// Application or service principal id to owner ids.
    pub(super) owners: BTreeMap<String, BTreeSet<String>>,
    pub(super) assignments: Vec<Assignment>,
    /// Private keys by `customKeyIdentifier`.
    pub(super) keys: BTreeMap<String, Arc<SigningKey>>,
    pub(super) tokens: BTreeMap<String, Arc<Token>>,
    /// Claims mapping policies by id.
    pub(super) policies: BTreeMap<String, Fields>,
    /// Service principal id to the policies attached to it.
    pub(super) attached: BTreeMap<String, BTreeSet<String>>,
    /// By service principal id.
    pub(super) synchronization: BTreeMap<String, Synchronization>,
}

impl State {
    pub(super) const fn table(&self, kind: Kind) -> &BTreeMap<String, Object> {
        &self.tables[kind as usize]
    }

    const fn table_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Object> {
        &mut self.tables[kind as usize]
    }

    pub(super) fn insert(&mut self, object: Object) {
        self.table_mut(object.kind).insert(object.id.clone(), object);
    }

    /// An object that is not deleted, visible or not.
    pub(super) fn live(&self, kind: Kind, id: &str) -> Option<&Object> {
        self.table(kind).get(id).filter(|o| !o.is_deleted())
    }

    pub(super) fn live_mut(&mut self, kind: Kind, id: &str) -> Option<&mut Object> {
        self.table_mut(kind).get_mut(id).filter(|o| !o.is_deleted())
    }

    /// An object of any kind that is not deleted.
    pub(super) fn find(&self, id: &str) -> Option<&Object> {
        Kind::ALL.into_iter().find_map(|kind| self.live(kind, id))
    }

    /// An id that nothing has yet: a world that was written down under the same seed already uses some.
    pub(super) fn fresh_id(&self, core: &Core) -> String {
        loop {
            let id = core.ids.uuid();
            let apps = self.table(Kind::Application).values();
            let taken = Kind::ALL.into_iter().any(|kind| self.table(kind).contains_key(&id));
            if !taken && !apps.map(|o| o.text("appId")).any(|app_id| app_id == id) {
                return id;
            }
        }
    }

    /// An object in the recycle bin.
    pub(super) fn deleted(&self, id: &str) -> Option<&Object> {
        Kind::ALL.into_iter().find_map(|kind| self.table(kind).get(id)).filter(|o| o.is_deleted())
    }

    pub(super) fn deleted_mut(&mut self, id: &str) -> Option<&mut Object> {
        self.tables.iter_mut().find_map(|t| t.get_mut(id)).filter(|o| o.is_deleted())
    }

    /// All objects of a kind that are not deleted.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.table(kind).values().filter(|o| !o.is_deleted())
    }

    /// The live object of `kind` whose `appId` is this.
    pub(super) fn by_app_id(&self, kind: Kind, app_id: &str) -> Option<&Object> {
        self.all(kind).find(|o| o.text("appId").eq_ignore_ascii_case(app_id))
    }

    /// The user of that sign-in name (not case-sensitive).
    pub(super) fn by_upn(&self, upn: &str) -> Option<&Object> {
        self.all(Kind::User).find(|o| o.text("userPrincipalName").eq_ignore_ascii_case(upn))
    }

    /// Direct members of a group.
    pub(super) fn members_of(&self, group: &str) -> impl Iterator<Item = &str> {
        self.members.get(group).into_iter().flatten().map(String::as_str)
    }

    /// Assignments that are in force.
    pub(super) fn assigned_to<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = &'a Assignment> {
        self.assignments.iter().filter(move |a| a.resource_id == resource && a.gone_from.is_none())
    }

    /// Removes an object for good, with everything that hangs on it.
    pub(super) fn remove(&mut self, kind: Kind, id: &str) {
        if self.table_mut(kind).remove(id).is_none() {
            return;
        }
        self.members.remove(id);
        self.owners.remove(id);
        for set in self.members.values_mut().chain(self.owners.values_mut()) {
            set.remove(id);
        }
        self.assignments.retain(|a| a.principal_id != id && a.resource_id != id);
        self.synchronization.remove(id);
        self.attached.remove(id);
    }

    /// Lets go of what no reader can see any more.
    pub(super) fn purge(&mut self, now: Timestamp) {
        self.assignments.retain(|a| a.gone_from.is_none_or(|gone| gone > now));
        self.tokens.retain(|_, t| after(t.expires, SignedDuration::from_hours(24)) > now);
        let over: Vec<(Kind, String)> = Kind::ALL
            .into_iter()
            .flat_map(|kind| self.table(kind).values())
            .filter(|o| o.deleted.is_some_and(|(at, _)| after(at, RETENTION) <= now))
            .map(|o| (o.kind, o.id.clone()))
            .collect();
        for (kind, id) in over {
            self.remove(kind, &id);
        }
    }
}

/// `at + by`, held at the end of time.
pub(super) fn after(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// ISO 8601 in whole seconds, as Graph writes most times.
pub(super) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A property as text; empty when absent, null or something else.
pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A property as list of texts; empty when absent or null.
pub(super) fn texts<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    fields.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A property as list of objects; empty when absent or null.
pub(super) fn list<'a>(fields: &'a Fields, name: &str) -> &'a [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
