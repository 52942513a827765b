//! Whose application it is, asked of Entra before anything is written: what the federation's status says may have been
//! found out under another installation id, or before somebody else put a mark on the application.

use super::calls::Calls;
use super::resolve::full_name;
use crate::api::v1alpha1::IdentityFederation;
use crate::controllers::context::Context;
use crate::controllers::{identity_federation, marks};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// That nobody else's mark is on the application: only [`check`] makes one, and there is no writing hand without it.
#[derive(Debug)]
pub struct Unclaimed(());

/// Whether the application carries no mark but that of the federation. One that is not visible just now has none:
/// writing to it fails by itself.
///
/// # Errors
/// `OwnedByOther`; the classified failure.
pub async fn check(
    calls: &Calls,
    federation: &IdentityFederation,
    context: &Context,
) -> Result<Unclaimed, Problem> {
    let Some(id) =
        federation.status.as_ref().and_then(|s| s.entra.as_ref()?.application_object_id.as_deref())
    else {
        return Ok(Unclaimed(()));
    };
    let application = calls.graph.application(id).await;
    let application = application.map_err(|e| calls.problem(e, "read the application's owner mark"))?;
    let notes = application.as_ref().and_then(|a| a.notes.as_deref());
    let name = full_name(federation);
    let (namespace, short) = name.split_once('/').unwrap_or_default();
    judge(notes, &context.owner_mark(namespace, short), &name)
}

/// Pure.
pub(super) fn judge(notes: Option<&str>, own: &str, federation: &str) -> Result<Unclaimed, Problem> {
    let Some(stranger) = identity_federation::foreign_mark(notes, own) else {
        return Ok(Unclaimed(()));
    };
    let advice = marks::of_another_installation(own, stranger)
        .unwrap_or_else(|| format!("see what IdentityFederation {federation} says about it"));
    let message = format!(
        "the application carries the owner mark {stranger}, so nothing is written to its job: {advice}"
    );
    Err(Problem::new(Class::Blocked, Reason::OwnedByOther, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_somebody_else_stops_every_write() {
        let own = "i/identity/acme";
        assert!(judge(None, own, "identity/acme").is_ok());
        assert!(judge(Some("a note\nManaged by Causeway: i/identity/acme"), own, "identity/acme").is_ok());
        for (mark, advice) in [
            ("j/identity/acme", "--installation-id j"),
            ("i/identity/other", "see what IdentityFederation identity/acme says"),
        ] {
            let problem =
                judge(Some(&format!("Managed by Causeway: {mark}")), own, "identity/acme").unwrap_err();
            assert_eq!(problem.reason, Reason::OwnedByOther);
            assert!(
                problem.message.contains(mark) && problem.message.contains(advice),
                "{}",
                problem.message
            );
        }
    }
}
