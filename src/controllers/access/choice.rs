//! Which credentials a federation names, and whether it may have them (design rule 5). Pure.

use sha2::{Digest as _, Sha256};

use crate::api::v1alpha1::{
    AssumeRole, AwsCredentials, AwsServiceAccount, ClientSecret, EntraCredentials, EntraServiceAccount,
};
use crate::problem::{Class, Problem};
use crate::settings::{Settings, WorkloadIdentity};
use crate::status::Reason;

/// Longest name of a session (contract aws 7.1).
const MAX_SESSION_NAME: usize = 64;

/// The way to Entra.
#[derive(Debug, PartialEq)]
pub(super) enum EntraWay<'a> {
    Secret(&'a ClientSecret),
    ServiceAccount(&'a EntraServiceAccount),
    /// The operator's own identity.
    Own(&'a WorkloadIdentity),
}

/// The way to AWS.
#[derive(Debug, PartialEq)]
pub(super) enum AwsWay<'a> {
    /// The name of a Secret.
    Secret(&'a str),
    ServiceAccount(&'a AwsServiceAccount),
    /// The operator's own credentials.
    Own,
}

/// The way to Entra that the resources of a namespace may go.
pub(super) fn entra<'a>(
    spec: &'a EntraCredentials,
    namespace: &str,
    settings: &'a Settings,
) -> Result<EntraWay<'a>, Problem> {
    match (&spec.client_secret, &spec.service_account, &spec.ambient) {
        (Some(secret), None, None) => Ok(EntraWay::Secret(secret)),
        (None, Some(account), None) => Ok(EntraWay::ServiceAccount(account)),
        (None, None, Some(_)) => {
            may_use_ambient(settings, namespace, "Entra identity", "spec.entra.credentials")?;
            settings.workload_identity.as_ref().map(EntraWay::Own).ok_or_else(|| {
                let message = "the operator has no identity of its own in Entra: AZURE_CLIENT_ID and \
                               AZURE_FEDERATED_TOKEN_FILE are not set for it; give its Pod a workload identity, or \
                               name other credentials in spec.entra.credentials";
                Problem::new(Class::Denied, Reason::AuthenticationFailed, message)
            })
        }
        _ => Err(unclear("spec.entra.credentials", "clientSecret, serviceAccount, ambient")),
    }
}

/// The way to AWS that the resources of a namespace may go, with the role that is assumed from there.
pub(super) fn aws<'a>(
    spec: &'a AwsCredentials,
    namespace: &str,
    settings: &Settings,
) -> Result<(AwsWay<'a>, Option<&'a AssumeRole>), Problem> {
    let way = match (&spec.ambient, &spec.service_account, &spec.secret_ref) {
        (Some(_), None, None) => {
            may_use_ambient(settings, namespace, "AWS credentials", "spec.aws.credentials")?;
            AwsWay::Own
        }
        (None, Some(account), None) => {
            may_use_role(settings, namespace, "serviceAccount", &account.role_arn)?;
            AwsWay::ServiceAccount(account)
        }
        (None, None, Some(secret)) => AwsWay::Secret(&secret.name),
        _ => return Err(unclear("spec.aws.credentials", "ambient, serviceAccount, secretRef")),
    };
    if let Some(role) = &spec.assume_role {
        may_use_role(settings, namespace, "assumeRole", &role.role_arn)?;
    }
    Ok((way, spec.assume_role.as_ref()))
}

/// The schema refuses it; a resource from before that rule must not fall through to somebody's credentials.
fn unclear(field: &str, ways: &str) -> Problem {
    Problem::new(Class::Invalid, Reason::InvalidSpec, format!("{field} must name exactly one of: {ways}"))
}

fn may_use_ambient(settings: &Settings, namespace: &str, what: &str, field: &str) -> Result<(), Problem> {
    if settings.ambient_namespaces.contains(namespace) {
        return Ok(());
    }
    let message = format!(
        "resources of namespace {namespace} may not use the operator's own {what}: name others in {field}, or add \
         {namespace} to the operator's setting --ambient-namespaces"
    );
    Err(Problem::new(Class::Invalid, Reason::CredentialsNotAllowed, message))
}

fn may_use_role(settings: &Settings, namespace: &str, field: &str, role_arn: &str) -> Result<(), Problem> {
    if settings.allowed_roles.allows(namespace, role_arn) {
        return Ok(());
    }
    let message = format!(
        "resources of namespace {namespace} may not use the role {role_arn} of spec.aws.credentials.{field}.roleArn: \
         start the operator with --allowed-roles={namespace}={role_arn}"
    );
    Err(Problem::new(Class::Invalid, Reason::CredentialsNotAllowed, message))
}

/// What sessions of a federation are called, as CloudTrail shows it: `<installation>@<namespace>.<name>`. No two
/// federations share a name; where it is too long, a digest stands for the end.
pub(super) fn session_name(installation_id: &str, namespace: &str, name: &str) -> String {
    let full = format!("{installation_id}@{namespace}.{name}");
    if full.len() <= MAX_SESSION_NAME {
        return full;
    }
    let digest = hex::encode(Sha256::digest(&full));
    let (digest, rest) = (digest.get(..12).unwrap_or_default(), MAX_SESSION_NAME - 13);
    // Every part is ASCII.
    format!("{}-{digest}", full.get(..rest).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001";
    const FIRST: &str = "arn:aws:iam::111122223333:role/first";
    const SECOND: &str = "arn:aws:iam::444455556666:role/second";

    fn settings() -> Settings {
        let mut settings = Settings::for_tests("acme");
        settings.ambient_namespaces = ["platform".to_owned()].into();
        for entry in [format!("identity={FIRST}"), format!("*={SECOND}")] {
            settings.allowed_roles.add(&entry).unwrap();
        }
        settings.workload_identity =
            Some(WorkloadIdentity { client_id: ID.to_owned(), token_file: "/token".into() });
        settings
    }

    fn by_entra(namespace: &str, spec: &Value, settings: &Settings) -> Result<String, (Reason, String)> {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        match entra(&spec, namespace, settings) {
            Ok(EntraWay::Secret(_)) => Ok("secret".into()),
            Ok(EntraWay::ServiceAccount(account)) => Ok(account.name.clone()),
            Ok(EntraWay::Own(own)) => Ok(own.client_id.clone()),
            Err(problem) => Err((problem.reason, problem.message)),
        }
    }

    fn by_aws(namespace: &str, spec: &Value) -> Result<String, (Reason, String)> {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        match aws(&spec, namespace, &settings()) {
            Ok((way, role)) => {
                let way = match way {
                    AwsWay::Secret(name) => name.to_owned(),
                    AwsWay::ServiceAccount(account) => account.name.clone(),
                    AwsWay::Own => "own".into(),
                };
                Ok(role.map_or_else(|| way.clone(), |role| format!("{way} -> {}", role.role_arn)))
            }
            Err(problem) => Err((problem.reason, problem.message)),
        }
    }

    #[test]
    fn exactly_one_way_to_entra_is_taken() {
        let secret = json!({"clientId": ID, "secretRef": {"name": "s", "key": "k"}});
        let account = json!({"name": "robot", "clientId": ID});
        for (namespace, spec, expected) in [
            ("identity", json!({"clientSecret": secret}), Ok("secret")),
            ("identity", json!({"serviceAccount": account}), Ok("robot")),
            ("platform", json!({"ambient": {}}), Ok(ID)),
            ("identity", json!({"ambient": {}}), Err(Reason::CredentialsNotAllowed)),
            ("platform", json!({}), Err(Reason::InvalidSpec)),
            ("platform", json!({"ambient": {}, "clientSecret": secret}), Err(Reason::InvalidSpec)),
            ("platform", json!({"ambient": {}, "serviceAccount": account}), Err(Reason::InvalidSpec)),
        ] {
            let found = by_entra(namespace, &spec, &settings());
            assert_eq!(found.as_deref().map_err(|e| e.0), expected, "{namespace} {spec}");
        }
        let mut poor = settings();
        poor.workload_identity = None;
        let (reason, message) = by_entra("platform", &json!({"ambient": {}}), &poor).unwrap_err();
        assert!(
            reason == Reason::AuthenticationFailed && message.contains("AZURE_FEDERATED_TOKEN_FILE"),
            "{message}"
        );
    }

    #[test]
    fn exactly_one_way_to_aws_is_taken_and_every_role_is_on_the_list() {
        let account = |arn: &str| json!({"name": "robot", "roleArn": arn});
        let secret = json!({"name": "aws"});
        let (no, unclear) = (Err(Reason::CredentialsNotAllowed), Err(Reason::InvalidSpec));
        let role = |arn: &str| json!({"roleArn": arn});
        let chain = format!("robot -> {SECOND}");
        for (namespace, spec, expected) in [
            ("identity", json!({"secretRef": secret}), Ok("aws")),
            ("platform", json!({"ambient": {}}), Ok("own")),
            ("identity", json!({"ambient": {}}), no),
            ("identity", json!({"serviceAccount": account(FIRST)}), Ok("robot")),
            ("payments", json!({"serviceAccount": account(FIRST)}), no),
            ("payments", json!({"serviceAccount": account(SECOND)}), Ok("robot")),
            ("identity", json!({"serviceAccount": account(FIRST), "assumeRole": role(SECOND)}), Ok(&*chain)),
            ("payments", json!({"secretRef": secret, "assumeRole": role(FIRST)}), no),
            ("identity", json!({"ambient": {}, "assumeRole": role(FIRST)}), no),
            ("identity", json!({}), unclear),
            ("identity", json!({"assumeRole": role(FIRST)}), unclear),
            ("platform", json!({"ambient": {}, "secretRef": secret}), unclear),
            ("identity", json!({"serviceAccount": account(FIRST), "secretRef": secret}), unclear),
        ] {
            let found = by_aws(namespace, &spec);
            assert_eq!(found.as_deref().map_err(|e| e.0), expected, "{namespace} {spec}");
        }
        let (_, message) = by_aws("payments", &json!({"serviceAccount": account(FIRST)})).unwrap_err();
        assert!(message.ends_with(&format!("--allowed-roles=payments={FIRST}")), "{message}");
    }

    #[test]
    fn sessions_are_called_after_installation_and_resource() {
        assert_eq!(session_name("acme-prod", "identity", "acme"), "acme-prod@identity.acme");
        let long = |name: &str| session_name(&"i".repeat(63), &"n".repeat(63), name);
        let (one, two) = (long("one"), long("two"));
        assert_ne!(one, two);
        for name in [one, two, session_name("A.b_c-1", "n", "a.b")] {
            assert!((2..=64).contains(&name.len()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)), "{name}");
        }
    }
}
