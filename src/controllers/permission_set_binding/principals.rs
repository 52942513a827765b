//! Whom the principals of the spec mean: their states (design.md section 2), and whom stated removals hit.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;

use super::entra::Directory;
use super::ledger::{Ledger, Pin};
use crate::api::annotations;
use crate::api::v1alpha1::{BoundPrincipal, OnRecreate, PermissionSetBinding};
use crate::api::{Group, Principal, User};
use crate::clients::aws::assignments::{PrincipalId, PrincipalKind};
use crate::clients::aws::identity_store::{StoredExternalId, StoredPrincipal};
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

/// A principal of the spec.
#[derive(Debug)]
pub struct Subject {
    /// As messages name it.
    pub name: String,
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
}

/// Finds out how all principals of a binding stand. What cannot be found out about one does not touch the others.
pub async fn standings(
    object: &PermissionSetBinding,
    ledger: &Ledger,
    instance: &Instance,
    directory: &mut Directory<'_>,
) -> Vec<Subject> {
    let approved: BTreeSet<String> = object
        .annotations()
        .get(annotations::APPROVE_PRINCIPAL)
        .map(|ids| ids.split([',', ' ']).filter(|id| !id.is_empty()).map(str::to_owned).collect())
        .unwrap_or_default();
    let mut subjects: Vec<Subject> = Vec::new();
    for bound in &object.spec.principals {
        let principal = Principal { group: bound.group.clone(), user: bound.user.clone() };
        let name = principal.to_string();
        if subjects.iter().any(|s| s.name == name) {
            continue;
        }
        let pinned = pinned(ledger, &principal);
        let standing = match find(&principal, pinned.as_ref(), instance, directory).await {
            Err(problem) => Standing::Unknown(problem),
            Ok(Some(found)) => judge(&name, bound, pinned.as_ref(), found, &approved),
            Ok(None) => match directory.standing(&principal).await {
                Ok((reason, message)) => Standing::Waiting(reason, message),
                Err(problem) => Standing::Unknown(problem),
            },
        };
        subjects.push(Subject { name, pinned, standing });
    }
    subjects
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
        let principal = Principal { group: bound.group.clone(), user: bound.user.clone() };
        let name = principal.to_string();
        let pinned = pinned(ledger, &principal);
        if let Some(found) = find(&principal, pinned.as_ref(), instance, directory).await? {
            let standing = judge(&name, bound, pinned.as_ref(), found, &BTreeSet::new());
            subjects.push(Subject { name, pinned, standing });
        }
    }
    Ok(subjects)
}

/// The pin of a principal; one that the spec now names by object id may have been pinned under another name.
fn pinned(ledger: &Ledger, principal: &Principal) -> Option<Pin> {
    let by_name = ledger.pins.get(&principal.to_string());
    let by_id = || {
        let id = object_id(principal)?;
        ledger.pins.values().find(|pin| pin.external_ids.iter().any(|e| e.eq_ignore_ascii_case(id)))
    };
    by_name.or_else(by_id).cloned()
}

fn object_id(principal: &Principal) -> Option<&str> {
    let group = principal.group.as_ref().and_then(|g| g.entra_object_id.as_deref());
    group.or_else(|| principal.user.as_ref()?.entra_object_id.as_deref())
}

/// The object in the identity store.
async fn find(
    principal: &Principal,
    pinned: Option<&Pin>,
    instance: &Instance,
    directory: &mut Directory<'_>,
) -> Result<Option<(PrincipalKind, StoredPrincipal)>, Problem> {
    const DOING: &str = "look the principal up in the identity store";
    let cloud = |e| Problem::from_cloud(e, DOING);
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
/// somebody else.
fn judge(
    name: &str,
    bound: &BoundPrincipal,
    pinned: Option<&Pin>,
    (kind, found): (PrincipalKind, StoredPrincipal),
    approved: &BTreeSet<String>,
) -> Standing {
    let external_ids: BTreeSet<String> = found.external_ids.into_iter().map(|e| e.id).collect();
    let mut now = Pin { id: PrincipalId { kind, id: found.id }, external_ids };
    let Some(before) = pinned else { return Standing::Bound(now) };
    let same_object = before.id == now.id;
    let shared = before.external_ids.intersection(&now.external_ids).next().is_some();
    let comparable = !before.external_ids.is_empty() && !now.external_ids.is_empty();
    let same = if comparable { shared } else { same_object };
    if same && now.external_ids.is_empty() {
        now.external_ids.clone_from(&before.external_ids);
    }
    let wanted = bound.on_recreate == OnRecreate::Rebind || approved.contains(&now.id.id);
    if same || wanted {
        return Standing::Bound(now);
    }
    Standing::Changed(format!(
        "{name} is another object than the one that was bound before ({} then, {} now): if it may have the access, annotate the binding with {}={}",
        before.id.id,
        now.id.id,
        annotations::APPROVE_PRINCIPAL,
        now.id.id
    ))
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
/// that does not resolve keeps what it has; and when one could not be looked up that was never pinned, nobody can
/// say whose an entry is.
#[must_use]
pub fn stated(
    ledger: &BTreeSet<Grant>,
    subjects: &[Subject],
    accounts: &BTreeSet<String>,
) -> BTreeSet<Grant> {
    let holders: BTreeSet<&PrincipalId> = subjects.iter().filter_map(Subject::holder).collect();
    let uncertain = subjects.iter().any(|s| s.pinned.is_none() && matches!(s.standing, Standing::Unknown(_)));
    let out = |g: &&Grant| !accounts.contains(&g.account) || (!holders.contains(&g.principal) && !uncertain);
    ledger.iter().filter(out).cloned().collect()
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
