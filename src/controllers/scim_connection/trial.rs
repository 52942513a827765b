//! What a Secret holds is tried before Entra is given it, and before it is taken for what Entra has.

use kube::ResourceExt as _;

use super::calls::{Calls, knows_no_endpoint};
use super::desired::Desired;
use super::observe::Observed;
use super::status::Draft;
use super::{handoff, handover};
use crate::api::v1alpha1::ScimConnection;
use crate::clients::entra::synchronization::Trial;
use crate::controllers::context::Context;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// Has AWS asked whether it accepts the endpoint and token of the Secret, and says so in the status. Writes nothing.
///
/// # Errors
/// `AuthenticationFailed` when AWS refuses them; what Entra answers when it cannot ask.
pub async fn credentials(
    calls: &Calls,
    object: &ScimConnection,
    context: &Context,
    (desired, observed): (&Desired, &Observed),
    draft: &mut Draft,
) -> Result<(), Problem> {
    let Some(credentials) = &desired.credentials else { return Ok(()) };
    let settings = handover::credentials_only(credentials);
    let trial = match (&observed.job, &observed.template) {
        (Some(job), _) => Trial::OnJob { job, credentials: &settings },
        (None, Some(template)) => Trial::WithoutJob { template, credentials: &settings },
        (None, None) => return Ok(()),
    };
    let secret = format!("{}/{}", object.namespace().unwrap_or_default(), object.spec.secret_ref.name);
    let Some(why) = calls.try_credentials(&trial).await? else {
        draft.credentials_work(&secret);
        return Ok(());
    };
    // The Secret is looked at again as after any other denial.
    let (what, remedy) = match knows_no_endpoint(&why) {
        true => ("AWS has nothing at the endpoint", handoff::find_endpoint(object)),
        false => ("AWS does not accept the token", handoff::renew(object)),
    };
    let message = format!(
        "{what} of Secret {secret}{why}: {remedy}; {}",
        handoff::looked_at(&draft.target, context.settings.timing.backoff.1)
    );
    draft.refused_by_aws(&message, observed.saved_work == Some(false));
    Err(Problem::new(Class::Denied, Reason::AuthenticationFailed, message))
}
