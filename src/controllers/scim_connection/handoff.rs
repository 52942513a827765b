//! The step that only a person can take: enabling automatic provisioning in AWS, which has no public API.

use crate::api::v1alpha1::IdentityFederation;
use crate::api::{Handoff, HandoffStep};

/// The hand-off while there are no credentials.
#[must_use]
pub fn enable_provisioning(federation: &IdentityFederation, namespace: &str, secret: &str) -> Handoff {
    let what = format!(
        "In IAM Identity Center > Settings > Identity source > Actions > Manage provisioning, choose Enable (or Generate token when provisioning is enabled already). Copy the SCIM endpoint and the access token, which AWS shows once, and store them in Secret {namespace}/{secret} with the command below. Causeway goes on by itself."
    );
    let command = format!(
        "kubectl create secret generic {secret} -n {namespace} --from-literal=endpoint='<SCIM endpoint>' --from-literal=token='<access token>' --from-literal=issuedAt=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    );
    let step = HandoffStep {
        step: "EnableProvisioning".to_owned(),
        what,
        value: None,
        console_url: Some(console(federation)),
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
