//! The step that only a person can take: enabling automatic provisioning in AWS, which has no public API.

use std::time::Duration;

use kube::ResourceExt as _;

use crate::api::v1alpha1::{IdentityFederation, Party, ScimConnection};
use crate::api::{Handoff, HandoffStep};
use crate::controllers::commands;

/// Step: provisioning is to be enabled in AWS.
const ENABLE: &str = "EnableProvisioning";
/// Step: another party has to enable it, and to hand over endpoint and token.
pub const RECEIVE: &str = "ReceiveScimCredentials";

/// Puts endpoint and token into the Secret, whether it exists or not.
#[must_use]
pub fn store(namespace: &str, secret: &str) -> String {
    let pairs =
        [("endpoint", "'<SCIM endpoint>'"), ("token", "'<access token>'"), ("issuedAt", commands::NOW)];
    commands::put_secret(namespace, secret, &pairs)
}

/// What to do when AWS refuses a token.
#[must_use]
pub fn renew(object: &ScimConnection) -> String {
    let (namespace, secret) = (object.namespace().unwrap_or_default(), &object.spec.secret_ref.name);
    format!(
        "create a new token in IAM Identity Center > Settings > Identity source > Actions > Manage provisioning and put it under the key token of Secret {namespace}/{secret}; compare the key endpoint too, a wrong one gives the same answer: {}",
        store(&namespace, secret)
    )
}

/// What to do when AWS does not know an endpoint.
#[must_use]
pub fn find_endpoint(object: &ScimConnection) -> String {
    let (namespace, secret) = (object.namespace().unwrap_or_default(), &object.spec.secret_ref.name);
    format!(
        "it was copied wrongly, or automatic provisioning was disabled since. Copy the SCIM endpoint from IAM Identity Center > Settings > Identity source > Actions > Manage provisioning (enable it if it is off: endpoint and token are new then): {}",
        store(&namespace, secret)
    )
}

/// When a Secret that changed is looked at: within `every`, or by a command. `target` is the connection.
#[must_use]
pub fn looked_at(target: &str, every: Duration) -> String {
    let every = commands::seconds(every);
    format!("the Secret is looked at again within {every}, or at once after: {}", commands::look_now(target))
}

/// The hand-off while there are no credentials. `looked_at` says when Causeway sees that it is done.
#[must_use]
pub fn enable_provisioning(
    federation: &IdentityFederation,
    namespace: &str,
    secret: &str,
    looked_at: &str,
) -> Handoff {
    let other = federation.spec.party() == Party::Entra;
    let what = if other {
        "Ask the party that looks after AWS for the SCIM endpoint and an access token of IAM Identity Center, by a channel that keeps them secret"
    } else {
        "In IAM Identity Center > Settings, choose Enable in the box Automatic provisioning (when it is enabled already: Identity source > Actions > Manage provisioning > Generate token). Copy the SCIM endpoint and the access token, which AWS shows once"
    };
    let what = format!(
        "{what}, and store them in Secret {namespace}/{secret} with the command below. Causeway goes on by itself: {looked_at}."
    );
    let command = store(namespace, secret);
    let step = HandoffStep {
        step: if other { RECEIVE } else { ENABLE }.to_owned(),
        what,
        value: None,
        console_url: (!other).then(|| console(federation)),
        command: Some(command),
    };
    Handoff { idp_metadata: None, pending: vec![step] }
}

/// Where the settings are (contract aws 3.4: good for people, no contract).
fn console(federation: &IdentityFederation) -> String {
    let region = &federation.spec.aws.region;
    let home = format!("https://{region}.console.aws.amazon.com/singlesignon/home?region={region}");
    let arn = federation.status.as_ref().and_then(|s| s.aws.as_ref()).map(|aws| aws.instance_arn.as_str());
    match arn.and_then(|arn| arn.rsplit_once("ins-")) {
        Some((_, id)) => format!("{home}#!/instances/{id}/settings"),
        None => home,
    }
}
