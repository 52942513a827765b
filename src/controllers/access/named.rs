//! What a federation's credentials are, in words: where a cloud does not accept them, a person is told which Secret and
//! key, ids and ServiceAccount to look at. Pure.

use std::time::Duration;

use kube::ResourceExt as _;

use crate::api::v1alpha1::IdentityFederation;
use crate::controllers::{Managed, commands};
use crate::problem::{AWS_CREDENTIALS, ENTRA_CREDENTIALS};
use crate::status::Reason;

/// A message about refused credentials of `federation`, as `object` says it, which is looked at again after `longest`
/// at the latest. Any other message comes back as it is.
pub fn named<K: Managed>(
    reason: Reason,
    message: &str,
    federation: &IdentityFederation,
    object: &K,
    longest: Duration,
) -> String {
    let (entra, aws) = (message.contains(ENTRA_CREDENTIALS), message.contains(AWS_CREDENTIALS));
    if !entra && !aws {
        return message.to_owned();
    }
    let message = message
        .replace(ENTRA_CREDENTIALS, &of_entra(federation))
        .replace(AWS_CREDENTIALS, &of_aws(federation));
    if reason != Reason::AuthenticationFailed {
        return message;
    }
    format!(
        "{message}; tried again within {}, or at once after: {}",
        commands::seconds(longest),
        commands::look_now(&commands::target(object))
    )
}

fn of_entra(federation: &IdentityFederation) -> String {
    let (spec, namespace) = (&federation.spec.entra, federation.namespace().unwrap_or_default());
    let tenant = format!("spec.entra.tenantId ({})", spec.tenant_id);
    match (&spec.credentials.client_secret, &spec.credentials.service_account) {
        (Some(secret), _) => format!(
            "the client secret in Secret {namespace}/{}, key {} (its value, not its id), \
             spec.entra.credentials.clientSecret.clientId ({}) and {tenant}",
            secret.secret_ref.name, secret.secret_ref.key, secret.client_id
        ),
        (None, Some(account)) => format!(
            "ServiceAccount {namespace}/{}, spec.entra.credentials.serviceAccount.clientId ({}) and {tenant}",
            account.name, account.client_id
        ),
        (None, None) => format!("the operator's own identity (spec.entra.credentials.ambient) and {tenant}"),
    }
}

fn of_aws(federation: &IdentityFederation) -> String {
    let (spec, namespace) = (&federation.spec.aws.credentials, federation.namespace().unwrap_or_default());
    let role =
        spec.assume_role.as_ref().map(|role| format!(" and the role {}", role.role_arn)).unwrap_or_default();
    match (&spec.secret_ref, &spec.service_account) {
        (Some(secret), _) => format!(
            "the access key in Secret {namespace}/{}, keys accessKeyId and secretAccessKey (spec.aws.credentials.secretRef){role}",
            secret.name
        ),
        (None, Some(account)) => format!(
            "ServiceAccount {namespace}/{} with the role {} (spec.aws.credentials.serviceAccount){role}",
            account.name, account.role_arn
        ),
        (None, None) => format!("the operator's own identity (spec.aws.credentials.ambient){role}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn federation(entra: &serde_json::Value, aws: &serde_json::Value) -> IdentityFederation {
        serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation", "metadata": {"name": "acme", "namespace": "identity"},
            "spec": {"entra": {"tenantId": "t-1", "application": {}, "credentials": entra},
                "aws": {"region": "r", "credentials": aws, "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}}}}}))
        .unwrap()
    }

    #[test]
    fn refused_credentials_are_named_with_where_they_are() {
        let secret = json!({"clientSecret": {"clientId": "c-1", "secretRef": {"name": "entra", "key": "clientSecret"}}});
        let account = json!({"serviceAccount": {"name": "robot", "clientId": "c-2"}});
        let (ambient, key) = (json!({"ambient": {}}), json!({"secretRef": {"name": "aws"}}));
        let robot = json!({"serviceAccount": {"name": "robot", "roleArn": "arn:first"}, "assumeRole": {"roleArn": "arn:second"}});
        let failed = Reason::AuthenticationFailed;
        for (entra, aws, said, reason, words) in [
            (
                &secret,
                &key,
                ENTRA_CREDENTIALS,
                failed,
                vec![
                    "Secret identity/entra, key clientSecret",
                    "c-1",
                    "t-1",
                    "within 300 s",
                    "kubectl annotate identityfederation acme -n identity causeway.dev/reconcile=",
                ],
            ),
            (&account, &key, ENTRA_CREDENTIALS, failed, vec!["ServiceAccount identity/robot", "c-2", "t-1"]),
            (&ambient, &key, ENTRA_CREDENTIALS, failed, vec!["operator's own identity", "t-1"]),
            (&secret, &key, AWS_CREDENTIALS, failed, vec!["Secret identity/aws, keys accessKeyId"]),
            (
                &secret,
                &robot,
                AWS_CREDENTIALS,
                failed,
                vec!["ServiceAccount identity/robot", "arn:first", "arn:second"],
            ),
        ] {
            let federation = federation(entra, aws);
            let told = named(
                reason,
                &format!("check {said}, now"),
                &federation,
                &federation,
                Duration::from_secs(300),
            );
            for words in words {
                assert!(told.contains(words), "{words}: {told}");
            }
            assert!(!told.contains(said), "{told}");
        }
        let federation = federation(&secret, &key);
        let other = named(failed, "something else", &federation, &federation, Duration::ZERO);
        assert_eq!(other, "something else");
        let denied =
            named(Reason::PermissionDenied, AWS_CREDENTIALS, &federation, &federation, Duration::ZERO);
        assert!(denied.starts_with("the access key") && !denied.contains("kubectl"), "{denied}");
    }
}
