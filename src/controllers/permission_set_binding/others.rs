//! What others have of a permission set that is ours: it is shown, and never touched (design.md rule 4).

use super::deadline::{By, Deadlines};
use super::lists;
use super::observe::Observed;
use crate::engine::Instance;
use crate::problem::Problem;

/// Looks when there is nothing else to do: a set at rest, on which nothing of ours is under way. What could not be read
/// is nobody's trouble: what was seen last stays in status.
pub async fn look(observed: &mut Observed, instance: &Instance, time: Deadlines) {
    let Some(arn) = observed.set.arn.clone().filter(|_| is_at_rest(observed)) else { return };
    let ours = lists::ours(observed);
    let looking = tokio::time::timeout_at(time.of(By::Past), instance.others(&arn, &ours)).await;
    let others = match looking {
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

fn is_at_rest(observed: &Observed) -> bool {
    observed.set.marked
        && !observed.removals_only
        && observed.is_open()
        && observed.work.is_none()
        && !observed.is_busy()
        && observed.failures().next().is_none()
}
