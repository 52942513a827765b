//! What others have of a permission set that is ours: it is shown, and never touched (design.md rule 4).

use super::deadline::{By, Deadlines};
use super::lists;
use super::observe::Observed;
use crate::api::v1alpha1::PermissionSetBinding;
use crate::controllers::handled_reconcile;
use crate::engine::Instance;
use crate::problem::Problem;
use crate::status::{condition, is_true};

/// Looks when there is nothing else to do: at a set at rest that was at rest before, on which nothing of ours is under
/// way. What could not be read is nobody's trouble: what was seen last stays in status.
pub async fn look(
    object: &PermissionSetBinding,
    observed: &mut Observed,
    instance: &Instance,
    time: &Deadlines,
) {
    let asked = is_asked(object);
    if !(asked || was_at_rest(object)) {
        return;
    }
    let Some(arn) = observed.set.arn.clone().filter(|_| is_at_rest(observed)) else { return };
    let ours = lists::ours(observed);
    let others = match time.of(By::Past).meet(instance.others(&arn, &ours, asked)).await {
        Ok(Ok(Some(others))) => others,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(e)) => {
            let problem = Problem::from_cloud(e, "look who else has the permission set");
            tracing::debug!(class = problem.class.as_str(), "{}", problem.message);
            return;
        }
    };
    let named = others.iter().map(|grant| &grant.principal);
    observed.other_names = named.filter_map(|p| Some((p.clone(), instance.name_at_hand(p)?))).collect();
    observed.others = Some(others);
}

/// A person wants to know at once.
fn is_asked(object: &PermissionSetBinding) -> bool {
    let handled = object.status.as_ref().and_then(|s| s.last_handled_reconcile_at.clone());
    handled_reconcile(object) != handled
}

fn was_at_rest(object: &PermissionSetBinding) -> bool {
    object.status.as_ref().is_some_and(|s| {
        let reason = |part| condition(&s.conditions, part).map(|c| c.reason.as_str());
        // Whoever waits for principals has nothing to do meanwhile.
        let waits = !is_true(&s.conditions, "PrincipalsResolved")
            && reason("AssignmentsReady") == reason("PrincipalsResolved");
        s.observed_generation == object.metadata.generation
            && (is_true(&s.conditions, "AssignmentsReady") || waits)
    })
}

fn is_at_rest(observed: &Observed) -> bool {
    observed.set.marked
        && !observed.removals_only
        && observed.is_open()
        && observed.work.is_none()
        && !observed.is_busy()
        && observed.failures().next().is_none()
}
