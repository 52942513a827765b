//! Whom the principals mean when the ledger is lost: what exists in AWS is the evidence.
//!
//! A name alone proves nothing, since names can be taken over. Who has an assignment of the set is who was meant. Where
//! somebody has one whom the spec does not mean, that may be who was meant by a name whose present bearer has none: then
//! a person must compare.

use std::collections::{BTreeMap, BTreeSet};

use super::commands;
use super::principals::{Standing, Subject, unproven};
use crate::api::v1alpha1::PermissionSetBinding;
use crate::clients::aws::assignments::PrincipalId;
use crate::engine::Instance;
use crate::problem::Problem;

/// What this is about, for messages.
pub const DOING: &str = "look who has the permission set";

/// Judges principals that no ledger pins, and names those that must be approved, each with whom to compare it to.
///
/// # Errors
/// Something could not be read without which nobody can tell.
pub async fn weigh(
    object: &PermissionSetBinding,
    mut subjects: Vec<Subject>,
    set_arn: &str,
    accounts: &BTreeSet<String>,
    instance: &Instance,
) -> Result<(Vec<Subject>, BTreeMap<String, String>), Problem> {
    let trouble = |e| Problem::from_cloud(e, DOING);
    let meant: BTreeSet<PrincipalId> = subjects.iter().filter_map(Subject::holder).cloned().collect();
    let holders = instance.holders(set_arn, &meant, accounts).await.map_err(trouble)?;
    if !subjects.iter().any(|s| lacks_proof(s, &holders)) {
        return Ok((subjects, BTreeMap::new()));
    }
    let Some(stranger) = instance.stranger(set_arn, &meant).await.map_err(trouble)? else {
        return Ok((subjects, BTreeMap::new()));
    };
    // Whom the stranger is to be compared with is open as long as somebody could not be looked up.
    let unknown = |s: &Subject| !s.absent && matches!(s.standing, Standing::Unknown(_));
    if let Some(at) = subjects.iter().position(unknown)
        && let Standing::Unknown(problem) = subjects.swap_remove(at).standing
    {
        return Err(problem);
    }
    let stranger = stranger.to_string();
    let mut suspects = BTreeMap::new();
    for subject in subjects.iter_mut().filter(|s| lacks_proof(s, &holders)) {
        if let Standing::Bound(pin) = &subject.standing {
            let approve = commands::approve(object, &pin.id.id);
            subject.standing = Standing::Changed(unproven(&subject.name, &pin.id, &stranger, &approve));
        }
        suspects.insert(subject.name.clone(), stranger.clone());
    }
    Ok((subjects, suspects))
}

/// Whether only its name speaks for a principal. One that is not there yet may come as another object.
fn lacks_proof(subject: &Subject, holders: &BTreeSet<PrincipalId>) -> bool {
    let proven = subject.holder().is_some_and(|id| holders.contains(id));
    subject.object_id.is_none() && !subject.vouched && !proven
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Pin;
    use super::*;
    use crate::clients::aws::assignments::PrincipalKind;
    use crate::status::Reason;

    #[test]
    fn only_a_name_that_nothing_and_nobody_speaks_for_needs_proof() {
        let id = |id: &str| PrincipalId { kind: PrincipalKind::Group, id: id.into() };
        let bound = |id: PrincipalId| Standing::Bound(Pin { id, external_ids: BTreeSet::new() });
        let subject = |standing| Subject {
            name: "group \"x\"".into(),
            kind: PrincipalKind::Group,
            object_id: None,
            vouched: false,
            absent: false,
            live: None,
            pinned: None,
            standing,
        };
        let holders = [id("a")].into();
        let waiting = || Standing::Waiting(Reason::NotInEntra, String::new());
        for (subject, lacks) in [
            (subject(bound(id("a"))), false),
            (subject(bound(id("b"))), true),
            (subject(waiting()), true),
            (Subject { vouched: true, ..subject(bound(id("b"))) }, false),
            (Subject { object_id: Some("e".into()), ..subject(bound(id("b"))) }, false),
        ] {
            assert_eq!(lacks_proof(&subject, &holders), lacks, "{subject:?}");
        }
    }
}
