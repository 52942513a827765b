//! The step that only a person can take: enabling automatic provisioning in AWS, which has no public API.

use crate::api::v1alpha1::{IdentityFederation, Party};
use crate::api::{Handoff, HandoffStep};

/// Step: provisioning is to be enabled in AWS.
const ENABLE: &str = "EnableProvisioning";
/// Step: another party has to enable it, and to hand over endpoint and token.
pub const RECEIVE: &str = "ReceiveScimCredentials";

/// The hand-off while there are no credentials.
#[must_use]
pub fn enable_provisioning(federation: &IdentityFederation, namespace: &str, secret: &str) -> Handoff {
    let other = federation.spec.party() == Party::Entra;
    let what = match other {
        true => format!(
            "Ask the party that looks after AWS for the SCIM endpoint and an access token of IAM Identity Center, by a channel that keeps them secret, and store them in Secret {namespace}/{secret} with the command below. Causeway goes on by itself."
        ),
        false => enable(namespace, secret),
    };
    let command = format!(
        "kubectl create secret generic {secret} -n {namespace} --from-literal=endpoint='<SCIM endpoint>' --from-literal=token='<access token>' --from-literal=issuedAt=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    );
    let step = HandoffStep {
        step: if other { RECEIVE } else { ENABLE }.to_owned(),
        what,
        value: None,
        console_url: (!other).then(|| console(federation)),
        command: Some(command),
    };
    Handoff { idp_metadata: None, pending: vec![step] }
}

fn enable(namespace: &str, secret: &str) -> String {
    format!(
        "In IAM Identity Center > Settings > Identity source > Actions > Manage provisioning, choose Enable (or Generate token when provisioning is enabled already). Copy the SCIM endpoint and the access token, which AWS shows once, and store them in Secret {namespace}/{secret} with the command below. Causeway goes on by itself."
    )
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
