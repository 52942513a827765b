//! Who is in scope, and what became of those who were (4.2, 5.9).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::jobs::Job;
use super::{Credentials, Synchronization, schema};
use crate::entra::state::{Fields, Kind, Object, State, list};

/// A user or group as the mappings see it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) id: String,
    pub(super) fields: Fields,
}

/// What became of an object that was provisioned and is not in scope any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Still in the directory: not assigned any more, or filtered out.
    Unassigned,
    /// Still in the directory and assigned, but not enabled.
    Disabled,
    /// In the recycle bin.
    Deleted,
    /// Gone for good.
    Purged,
}

/// Everything that one run needs of the directory.
pub(super) struct Snapshot {
    pub(super) credentials: Credentials,
    pub(super) schema: Value,
    pub(super) users: Vec<Source>,
    /// With the ids of the direct members.
    pub(super) groups: Vec<(Source, BTreeSet<String>)>,
    /// For every link that is not in scope.
    pub(super) fates: BTreeMap<String, Fate>,
    pub(super) skip_out_of_scope: bool,
    pub(super) threshold: Option<u64>,
}

/// Looks at the directory as of now.
pub(super) fn take(
    state: &State,
    service_principal: &str,
    synchronization: &Synchronization,
    job: &Job,
    now: Timestamp,
) -> Snapshot {
    let flag = |key: &str| synchronization.secret(key).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let entitled: BTreeSet<&str> = if flag("SyncAll") {
        state.all(Kind::User).chain(state.all(Kind::Group)).map(|o| o.id.as_str()).collect()
    } else {
        assigned(state, service_principal, job, now)
    };
    // Only security-enabled groups, and only their direct members (4.2).
    let secure = |o: &&Object| o.truth().get("securityEnabled").is_some_and(|v| v == true);
    let groups: Vec<&Object> =
        entitled.iter().filter_map(|id| state.live(Kind::Group, id)).filter(secure).collect();
    let mut people: BTreeSet<&str> =
        entitled.iter().copied().filter(|id| state.live(Kind::User, id).is_some()).collect();
    for group in &groups {
        people.extend(state.members_of(&group.id).filter(|id| state.live(Kind::User, id).is_some()));
    }
    let enabled = |o: &&Object| o.truth().get("accountEnabled").is_none_or(|v| v != false);
    let users: Vec<Source> =
        people.iter().filter_map(|id| state.live(Kind::User, id)).filter(enabled).map(source).collect();
    let here: BTreeSet<&str> =
        users.iter().map(|u| u.id.as_str()).chain(groups.iter().map(|g| g.id.as_str())).collect();
    let fates = job.links.iter().filter(|(id, _)| !here.contains(id.as_str()));
    let fates = fates.map(|(id, _)| (id.clone(), fate(state, id, &people))).collect();
    let groups = groups
        .into_iter()
        .map(|g| (source(g), state.members_of(&g.id).map(str::to_owned).collect()))
        .collect();
    Snapshot {
        credentials: Credentials::of(&synchronization.secrets),
        schema: schema::current(job),
        users,
        groups,
        fates,
        skip_out_of_scope: flag("SkipOutOfScopeDeletions"),
        threshold: job.threshold(synchronization),
    }
}

fn fate(state: &State, id: &str, people: &BTreeSet<&str>) -> Fate {
    match state.find(id) {
        Some(_) if people.contains(id) => Fate::Disabled,
        Some(_) => Fate::Unassigned,
        None if state.deleted(id).is_some() => Fate::Deleted,
        None => Fate::Purged,
    }
}

/// Principals that are assigned, once provisioning knows of it. Whoever holds only `msiam_access` is left out
/// unless the job allows it (4.1).
fn assigned<'a>(
    state: &'a State,
    service_principal: &'a str,
    job: &Job,
    now: Timestamp,
) -> BTreeSet<&'a str> {
    let roles = state
        .live(Kind::ServicePrincipal, service_principal)
        .map_or(&[][..], |o| list(o.truth(), "appRoles"));
    let is_default = |role: &Value| role["displayName"] == "msiam_access";
    let others = roles.iter().any(|r| r["isEnabled"] == true && !is_default(r));
    let counts = |id: &str| {
        let role = roles.iter().find(|r| r["id"] == id);
        job.allows_default_entitlement() || !others || !role.is_some_and(is_default)
    };
    state
        .assigned_to(service_principal)
        .filter(|a| a.honoured_from <= now && counts(&a.app_role_id))
        .map(|a| a.principal_id.as_str())
        .collect()
}

/// An object with the attribute names that mappings use.
pub(super) fn source(object: &Object) -> Source {
    let mut fields = object.truth().clone();
    let take = |from: &str| fields.get(from).cloned().unwrap_or_default();
    let upn = object.text("userPrincipalName").to_owned();
    // Guests: the part `#EXT#` is taken out, `originalUserPrincipalName` keeps it (4.3).
    let plain = upn.replace("#EXT#", "");
    let derived = [
        ("telephoneNumber", take("businessPhones")),
        ("mobile", take("mobilePhone")),
        ("physicalDeliveryOfficeName", take("officeLocation")),
        ("objectId", object.id.clone().into()),
        ("IsSoftDeleted", "False".into()),
        ("originalUserPrincipalName", upn.into()),
        ("userPrincipalName", plain.into()),
    ];
    for (name, value) in derived {
        fields.insert(name.into(), value);
    }
    Source { id: object.id.clone(), fields }
}
