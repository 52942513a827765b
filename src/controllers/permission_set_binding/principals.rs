//! Whom the principals of the spec mean: their states (design.md section 2), and whom stated removals hit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::commands;
use super::deadline::{in_time, late};
use super::entra::{Directory, Earlier};
use super::ledger::{Ledger, Pin};
use super::missing::{self, object_id};
use crate::api::annotations;
use crate::api::v1alpha1::{BoundPrincipal, OnRecreate, PermissionSetBinding};
use crate::api::{Group, Principal, User};
use crate::clients::aws::assignments::{PrincipalId, PrincipalKind};
use crate::clients::aws::identity_store::{StoredExternalId, StoredPrincipal};
use crate::clients::{Due, Late};
use crate::engine::Instance;
use crate::engine::plan_assignments::Grant;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// How a principal of the spec stands.
#[derive(Debug)]
pub enum Standing {
    /// It is in the identity store.
    Bound(Pin),
    /// It is not, for this reason.
    Waiting(Reason, String),
    /// Another object carries its name now.
    Changed(String),
    /// It could not be found out.
    Unknown(Problem),
}

/// An object as the identity store has it, whatever a ledger says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its display name, or user name.
    pub name: String,
    /// The ids that identity providers gave it.
    pub external_ids: BTreeSet<String>,
}

/// A principal of the spec.
#[derive(Debug)]
pub struct Subject {
    /// As messages name it.
    pub name: String,
    /// Group or user.
    pub kind: PrincipalKind,
    /// Its object id in Entra, when the spec names it by that.
    pub object_id: Option<String>,
    /// A person vouches for whoever carries the name: by approval, or for all times.
    pub vouched: bool,
    /// The identity store was asked and does not have it.
    pub absent: bool,
    /// The object that was found, as it is there.
    pub live: Option<Live>,
    /// Whom it meant when it was bound first.
    pub pinned: Option<Pin>,
    /// How it stands.
    pub standing: Standing,
}

impl Subject {
    /// The object whose assignments belong to this principal: the bound one, else the one that was bound.
    #[must_use]
    pub fn holder(&self) -> Option<&PrincipalId> {
        match &self.standing {
            Standing::Bound(pin) => Some(&pin.id),
            _ => self.pinned.as_ref().map(|p| &p.id),
        }
    }

    /// Whether a principal that was not looked up can be that one.
    fn may_mean(&self, id: &PrincipalId, ledger: &Ledger) -> bool {
        let pins = ledger.pins.values().filter(|p| p.id == *id && !p.external_ids.is_empty());
        let is_another = |object_id: &String| {
            pins.clone().any(|p| !p.external_ids.iter().any(|e| e.eq_ignore_ascii_case(object_id)))
        };
        self.kind == id.kind && !self.object_id.as_ref().is_some_and(is_another)
    }
}

/// Finds out how all principals of a binding stand. What cannot be found out about one does not touch the others, and
/// what is not answered in time is not waited for.
pub async fn standings(
    object: &PermissionSetBinding,
    ledger: &Ledger,
    instance: &Instance,
    directory: &mut Directory<'_>,
    until: &Due,
) -> Vec<Subject> {
    let approved = approved(object);
    let mut subjects: Vec<Subject> = Vec::new();
    let mut absent: Vec<Principal> = Vec::new();
    for bound in &object.spec.principals {
        let principal = principal(bound);
        let name = principal.to_string();
        if subjects.iter().any(|s| s.name == name) {
            continue;
        }
        let mut subject = subject(ledger, bound, &principal, name);
        let found = find(&principal, subject.pinned.as_ref(), instance, directory);
        match in_time(until, STORE, found).await {
            Err(problem) => subject.standing = Standing::Unknown(problem),
            Ok(Some(found)) => meet(&mut subject, object, ledger, found, &approved),
            Ok(None) => {
                subject.absent = true;
                absent.push(principal);
            }
        }
        subjects.push(subject);
    }
    // Why somebody is missing comes last: Entra's trouble is none for those who are there.
    for principal in absent {
        let name = principal.to_string();
        let Some(subject) = subjects.iter_mut().find(|s| s.name == name) else { continue };
        let earlier = Earlier {
            object,
            pinned: subject.pinned.as_ref(),
            approved: (!subject.vouched).then_some(&approved),
            since: awaited_since(object, &name),
        };
        let why = why_absent(&principal, &earlier, instance, directory);
        subject.standing = in_time(until, ENTRA, why).await.unwrap_or_else(Standing::Unknown);
    }
    subjects
}

/// Why a principal is not in the identity store: the store itself may have the group, spelt in another way.
async fn why_absent(
    principal: &Principal,
    earlier: &Earlier<'_>,
    instance: &Instance,
    directory: &mut Directory<'_>,
) -> Result<Standing, Problem> {
    if let Some(name) = principal.group.as_ref().and_then(|g| g.display_name.as_deref()) {
        let spelt = instance.groups_spelt_otherwise(name).await;
        let spelt = spelt.map_err(|e| Problem::from_cloud(e, STORE))?;
        if !spelt.is_empty() {
            let message = missing::misspelt(principal, &spelt, "the identity store");
            return Ok(Standing::Waiting(Reason::NameDiffers, message));
        }
    }
    directory.standing(principal, earlier, instance).await
}

/// Since when a principal waits for provisioning.
fn awaited_since(object: &PermissionSetBinding, name: &str) -> Option<Timestamp> {
    let waits = object.status.as_ref()?.waiting.iter().find(|w| w.principal == name)?;
    let since = waits.since.as_ref().filter(|_| waits.reason == Reason::AwaitingProvisioning.as_str())?;
    since.parse().ok()
}

const STORE: &str = "look the principal up in the identity store";
const ENTRA: &str = "look the principal up in Entra";

pub(super) fn principal(bound: &BoundPrincipal) -> Principal {
    Principal { group: bound.group.clone(), user: bound.user.clone() }
}

/// A principal before anybody has looked for it.
pub(super) fn subject(
    ledger: &Ledger,
    bound: &BoundPrincipal,
    principal: &Principal,
    name: String,
) -> Subject {
    Subject {
        kind: if bound.user.is_some() { PrincipalKind::User } else { PrincipalKind::Group },
        object_id: object_id(principal).map(str::to_owned),
        vouched: bound.on_recreate == OnRecreate::Rebind,
        absent: false,
        live: None,
        pinned: pinned(ledger, principal),
        standing: Standing::Unknown(late(STORE, Late::Silent)),
        name,
    }
}

/// The object that carries the name now.
pub(super) fn meet(
    subject: &mut Subject,
    object: &PermissionSetBinding,
    ledger: &Ledger,
    found: (PrincipalKind, StoredPrincipal),
    approved: &BTreeSet<String>,
) {
    subject.vouched |= is_approved(&found.1, approved);
    subject.live = Some(Live {
        name: found.1.name.clone(),
        external_ids: found.1.external_ids.iter().map(|e| e.id.clone()).collect(),
    });
    let standing = judge(&subject.name, subject.vouched, subject.pinned.as_ref(), ledger, found, |id| {
        commands::approve(object, id)
    });
    subject.standing = match standing {
        Standing::Changed(message) => Standing::Changed(in_vain(message, approved)),
        other => other,
    };
}

/// What was approved and is somebody else's id is said where an approval is asked for.
fn in_vain(message: String, approved: &BTreeSet<String>) -> String {
    const NAMED: usize = 3;
    if approved.is_empty() {
        return message;
    }
    let named: Vec<&str> = approved.iter().take(NAMED).map(String::as_str).collect();
    let more = if approved.len() > NAMED { ", …" } else { "" };
    format!("{message} (the annotation names {}{more}, which is not it)", named.join(", "))
}

/// Whether a person approved an object, by its id in the identity store or in Entra.
fn is_approved(found: &StoredPrincipal, approved: &BTreeSet<String>) -> bool {
    approved.contains(&found.id) || approved.iter().any(|id| has_external_id(found, id))
}

/// The ids that a person approved.
fn approved(object: &PermissionSetBinding) -> BTreeSet<String> {
    object
        .annotations()
        .get(annotations::APPROVE_PRINCIPAL)
        .map(|ids| {
            ids.split(|c: char| c == ',' || c.is_whitespace())
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

/// The principals that are in the identity store, without asking why the others are not.
///
/// # Errors
/// The first one that could not be looked up.
pub async fn bound(
    object: &PermissionSetBinding,
    ledger: &Ledger,
    instance: &Instance,
    directory: &mut Directory<'_>,
) -> Result<Vec<Subject>, Problem> {
    let mut subjects = Vec::new();
    for bound in &object.spec.principals {
        let principal = principal(bound);
        let mut subject = subject(ledger, bound, &principal, principal.to_string());
        if let Some(found) = find(&principal, subject.pinned.as_ref(), instance, directory).await? {
            meet(&mut subject, object, ledger, found, &BTreeSet::new());
            subjects.push(subject);
        }
    }
    Ok(subjects)
}

/// The pin of a principal; one that the spec now names by object id may have been pinned under another name.
pub(super) fn pinned(ledger: &Ledger, principal: &Principal) -> Option<Pin> {
    let by_name = ledger.pins.get(&principal.to_string());
    let by_id = || {
        let id = object_id(principal)?;
        ledger.pins.values().find(|pin| pin.external_ids.iter().any(|e| e.eq_ignore_ascii_case(id)))
    };
    by_name.or_else(by_id).cloned()
}

/// The object in the identity store.
async fn find(
    principal: &Principal,
    pinned: Option<&Pin>,
    instance: &Instance,
    directory: &mut Directory<'_>,
) -> Result<Option<(PrincipalKind, StoredPrincipal)>, Problem> {
    let cloud = |e| Problem::from_cloud(e, STORE);
    let store = instance.identity_store();
    let group = |found: Option<StoredPrincipal>| found.map(|g| (PrincipalKind::Group, g));
    let user = |found: Option<StoredPrincipal>| found.map(|u| (PrincipalKind::User, u));
    match principal {
        Principal { group: Some(Group { display_name: Some(name), .. }), .. } => {
            Ok(group(instance.group_named(name).await.map_err(cloud)?))
        }
        Principal { group: Some(Group { entra_object_id: Some(id), .. }), .. } => {
            let groups = instance.groups().await.map_err(cloud)?;
            Ok(group(groups.iter().find(|g| has_external_id(g, id)).cloned()))
        }
        Principal { user: Some(User { user_principal_name: Some(name), .. }), .. } => {
            Ok(user(instance.user_named(name).await.map_err(cloud)?))
        }
        Principal { user: Some(User { entra_object_id: Some(id), .. }), .. } => {
            if let Some(pin) = pinned
                && let Some(found) = store.user(&pin.id.id).await.map_err(cloud)?
            {
                return Ok(user(Some(found)));
            }
            // The issuer is not documented: learnt from a group that came the same way (contract aws 2.1).
            let groups = instance.groups().await.map_err(cloud)?;
            if let Some(known) = groups.iter().find_map(|g| g.external_ids.first()) {
                let external = StoredExternalId { issuer: known.issuer.clone(), id: id.clone() };
                if let Some(found) = store.user_by_external_id(&external).await.map_err(cloud)? {
                    return Ok(user(Some(found)));
                }
            }
            match directory.sign_in_name(id).await? {
                Some(name) => Ok(user(instance.user_named(&name).await.map_err(cloud)?)),
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn has_external_id(principal: &StoredPrincipal, id: &str) -> bool {
    principal.external_ids.iter().any(|e| e.id.eq_ignore_ascii_case(id))
}

/// Whether the object that was found is the one that was meant. The same object of the identity provider is, under
/// whatever id the store keeps it; so is the same object of the store, unless the identity provider has given it to
/// somebody else. Without a pin the name alone must do, unless the ledger was lost and a stranger may be who was meant.
/// `vouched`: a person says so. `approve`: the command with which a person says so.
fn judge(
    name: &str,
    vouched: bool,
    pinned: Option<&Pin>,
    ledger: &Ledger,
    (kind, found): (PrincipalKind, StoredPrincipal),
    approve: impl Fn(&str) -> String,
) -> Standing {
    let external_ids: BTreeSet<String> = found.external_ids.into_iter().map(|e| e.id).collect();
    let mut now = Pin { id: PrincipalId { kind, id: found.id }, external_ids };
    let Some(before) = pinned else {
        return match ledger.unproven.get(name).filter(|_| !vouched) {
            Some(stranger) => Standing::Changed(unproven(name, &now.id, stranger, &approve(&now.id.id))),
            None => Standing::Bound(now),
        };
    };
    let same_object = before.id == now.id;
    let shared = before.external_ids.intersection(&now.external_ids).next().is_some();
    let comparable = !before.external_ids.is_empty() && !now.external_ids.is_empty();
    let same = if comparable { shared } else { same_object };
    if same && now.external_ids.is_empty() {
        now.external_ids.clone_from(&before.external_ids);
    }
    if same || vouched {
        return Standing::Bound(now);
    }
    let whose = |pin: &Pin| match pin.external_ids.first() {
        Some(external) => format!("{}, in Entra {external}", pin.id.id),
        None => pin.id.id.clone(),
    };
    Standing::Changed(format!(
        "{name} is another object than the one that was bound before ({} then; {} now): it was deleted and made anew, or its name was taken over; if it may have the access: {}",
        whose(before),
        whose(&now),
        approve(&now.id.id)
    ))
}

/// What is said of a principal for whom only its name speaks. `approve`: the command with which a person does.
#[must_use]
pub fn unproven(name: &str, id: &PrincipalId, stranger: &str, approve: &str) -> String {
    format!(
        "{name} has no assignment of the permission set as {}, but {stranger} has one and is nobody whom the spec means, and the ledger that told whom the names meant is lost: compare the two in the identity store; if {name} may have the access: {approve}",
        id.id,
    )
}

/// The principals that still need a person's word.
#[must_use]
pub fn still_unproven(ledger: &Ledger, subjects: &[Subject]) -> BTreeMap<String, String> {
    let open = |name: &str| {
        subjects
            .iter()
            .any(|s| s.name == name && !matches!(s.standing, Standing::Bound(_)) && s.pinned.is_none())
    };
    ledger.unproven.iter().filter(|(name, _)| open(name)).map(|(n, s)| (n.clone(), s.clone())).collect()
}

/// The pins to keep: whom the principals mean now, or meant; and those of principals that are gone from the spec, as
/// long as something of theirs is left.
#[must_use]
pub fn pins(ledger: &Ledger, subjects: &[Subject], left: &BTreeSet<Grant>) -> BTreeMap<String, Pin> {
    let holders: BTreeSet<&PrincipalId> = left.iter().map(|g| &g.principal).collect();
    let gone = ledger.pins.iter().filter(|(_, pin)| holders.contains(&pin.id));
    let mut pins: BTreeMap<String, Pin> = gone.map(|(name, pin)| (name.clone(), pin.clone())).collect();
    for subject in subjects {
        let pin = match &subject.standing {
            Standing::Bound(pin) => Some(pin),
            _ => subject.pinned.as_ref(),
        };
        pins.extend(pin.map(|pin| (subject.name.clone(), pin.clone())));
    }
    pins
}

/// What of the ledger the spec no longer asks for: its account is out of the spec, or its principal is. A principal
/// that does not resolve keeps what it has. Second, what nobody can say that of: one could not be looked up that was
/// never pinned, and it may be who has the entry. That is not waited for without end either: once a removal is overdue
/// on its account, the spec as it is written counts.
#[must_use]
pub fn stated(
    ledger: &Ledger,
    subjects: &[Subject],
    accounts: &BTreeSet<String>,
    overdue: &BTreeSet<String>,
) -> (BTreeSet<Grant>, BTreeSet<Grant>) {
    let holders: BTreeSet<&PrincipalId> = subjects.iter().filter_map(Subject::holder).collect();
    let unknown: Vec<&Subject> = subjects
        .iter()
        .filter(|s| s.pinned.is_none() && !s.absent && matches!(s.standing, Standing::Unknown(_)))
        .collect();
    let unsure = |g: &Grant| {
        accounts.contains(&g.account)
            && !overdue.contains(&g.account)
            && unknown.iter().any(|s| s.may_mean(&g.principal, ledger))
    };
    let out = |g: &&Grant| !accounts.contains(&g.account) || !holders.contains(&g.principal);
    let (unsure, stated) = ledger.grants.iter().filter(out).cloned().partition(unsure);
    (stated, unsure)
}

/// The problem that a principal's standing is to the binding as a whole, if it is one.
#[must_use]
pub fn class(standing: &Standing) -> Option<Class> {
    match standing {
        Standing::Bound(_) | Standing::Waiting(..) => None,
        Standing::Changed(_) => Some(Class::Guarded),
        Standing::Unknown(problem) => Some(problem.class),
    }
}

#[cfg(test)]
#[path = "principals_tests.rs"]
mod tests;
