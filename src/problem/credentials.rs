//! What a person is told when there are no credentials to call with: who refused to issue them, and what to look at.

use super::Class;
use crate::clients::{CloudError, CloudErrorKind, Service};
use crate::status::Reason;

/// Class, reason and message of a failure that is about credentials of a certain kind; none for any other failure.
pub(super) fn told(error: &CloudError, doing: &str) -> Option<(Class, Reason, String)> {
    if matches!(error.kind, CloudErrorKind::Throttled { .. } | CloudErrorKind::Transient) {
        return None;
    }
    let (reason, said) = match (error.service, error.operation) {
        // The message is written for people already.
        (Service::Kubernetes, _) => {
            let (class, reason) = match error.code.as_str() {
                NO_SERVICE_ACCOUNT => (Class::Blocked, Reason::ServiceAccountNotFound),
                _ => (Class::Denied, Reason::CredentialsNotAllowed),
            };
            return Some((class, reason, error.message.clone()));
        }
        (Service::Login, crate::clients::identity_token::TOKEN_FILE) => {
            (Reason::AuthenticationFailed, error.message.clone())
        }
        (Service::Login, _) if FEDERATED.contains(&error.code.as_str()) => (
            Reason::AuthenticationFailed,
            format!(
                "Entra does not accept the identity token{}; compare the federated credential of the application with \
                 the token: issuer (the cluster's), subject (system:serviceaccount:<namespace>:<name>) and audience \
                 must be the same, and Entra must reach the issuer",
                error.tail()
            ),
        ),
        (Service::Login, _) if error.code == "AADSTS700016" => (
            Reason::AuthenticationFailed,
            format!(
                "Entra knows no application of this client id in this tenant{}; compare {ENTRA_CREDENTIALS} with \
                 Application (client) ID and Directory (tenant) ID under App registrations > the application > Overview",
                error.tail()
            ),
        ),
        (Service::Login, _) if error.code == "AADSTS90002" => (
            Reason::AuthenticationFailed,
            format!(
                "Entra knows no such tenant{}; compare {ENTRA_CREDENTIALS} with the Directory (tenant) ID under Entra > \
                 Overview; a tenantId cannot be changed: delete the federation (deletionPolicy Retain) and create it again",
                error.tail()
            ),
        ),
        (Service::Login, _) if error.code == "AADSTS7000222" => (
            Reason::AuthenticationFailed,
            format!(
                "the client secret has expired{}; create a new one under App registrations > the application > \
                 Certificates & secrets, and put its value (not its id) into {ENTRA_CREDENTIALS}",
                error.tail()
            ),
        ),
        (Service::Sts, _) if error.code == "RegionDisabledException" => (
            Reason::PermissionDenied,
            format!(
                "STS is not active in this Region for the account{}; activate it there (IAM > Account settings > STS)",
                error.tail()
            ),
        ),
        (Service::Sts, "AssumeRole") if is_denial(error) => (
            Reason::PermissionDenied,
            format!(
                "AWS does not let the role be assumed{}; check that the role exists, that its trust policy names this \
                 principal for sts:AssumeRole, that its condition sts:ExternalId (if any) equals \
                 spec.aws.credentials.assumeRole.externalId, and that the principal itself may call sts:AssumeRole on it",
                error.tail()
            ),
        ),
        (Service::Sts, "AssumeRoleWithWebIdentity") if is_denial(error) => (
            Reason::PermissionDenied,
            format!(
                "AWS does not let the role be assumed with the identity token{}; check that the role exists and that its \
                 trust policy names the cluster's OpenID Connect provider as Federated principal for \
                 sts:AssumeRoleWithWebIdentity, with the subject system:serviceaccount:<namespace>:<name>",
                error.tail()
            ),
        ),
        (Service::Sts, "AssumeRoleWithWebIdentity") => (
            Reason::AuthenticationFailed,
            format!(
                "AWS does not accept the identity token{}; check the OpenID Connect provider in the role's account: its \
                 URL must be the cluster's issuer, which AWS must reach, and sts.amazonaws.com one of its audiences",
                error.tail()
            ),
        ),
        _ => return None,
    };
    Some((Class::Denied, reason, format!("could not {doing}: {said}")))
}

/// Where Entra's credentials come from, as long as nobody says which these are.
pub const ENTRA_CREDENTIALS: &str = "what spec.entra.credentials of the federation names (a Secret, a ServiceAccount or \
                                     the operator's own identity) and spec.entra.tenantId";
/// Likewise AWS's.
pub const AWS_CREDENTIALS: &str = "what spec.aws.credentials of the federation names (a Secret, a ServiceAccount or the operator's own identity)";

/// The code of a [`Service::Kubernetes`] error that names a missing ServiceAccount.
pub const NO_SERVICE_ACCOUNT: &str = "ServiceAccountNotFound";

/// Codes about federated credentials (contract Graph 8.3 and 15). They are hints and decide nothing.
const FEDERATED: [&str; 6] =
    ["AADSTS50027", "AADSTS700024", "AADSTS700027", "AADSTS700211", "AADSTS700212", "AADSTS700213"];

fn is_denial(error: &CloudError) -> bool {
    matches!(error.code.as_str(), "AccessDenied" | "AccessDeniedException")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    #[test]
    fn each_refusal_says_what_to_look_at() {
        let (sts, login, kubernetes) = (Service::Sts, Service::Login, Service::Kubernetes);
        let (role, web) = ("AssumeRole", "AssumeRoleWithWebIdentity");
        for (service, operation, code, class, reason, words) in [
            (sts, role, "AccessDenied", Class::Denied, Reason::PermissionDenied, "sts:ExternalId"),
            (sts, role, "AccessDenied", Class::Denied, Reason::PermissionDenied, "trust policy names this"),
            (
                sts,
                role,
                "RegionDisabledException",
                Class::Denied,
                Reason::PermissionDenied,
                "Account settings",
            ),
            (sts, role, "InvalidClientTokenId", Class::Denied, Reason::AuthenticationFailed, "spec.aws"),
            (sts, web, "AccessDenied", Class::Denied, Reason::PermissionDenied, "Federated principal"),
            (sts, web, "InvalidIdentityToken", Class::Denied, Reason::AuthenticationFailed, "audiences"),
            (sts, web, "ExpiredTokenException", Class::Denied, Reason::AuthenticationFailed, "issuer"),
            (login, "token", "AADSTS700213", Class::Denied, Reason::AuthenticationFailed, "subject"),
            (login, "token", "AADSTS7000215", Class::Denied, Reason::AuthenticationFailed, "spec.entra"),
            (login, "token", "AADSTS7000222", Class::Denied, Reason::AuthenticationFailed, "not its id"),
            (login, "token", "AADSTS700016", Class::Denied, Reason::AuthenticationFailed, "client) ID"),
            (login, "token", "AADSTS90002", Class::Denied, Reason::AuthenticationFailed, "tenantId"),
            (kubernetes, "t", NO_SERVICE_ACCOUNT, Class::Blocked, Reason::ServiceAccountNotFound, "said"),
            (kubernetes, "t", "Forbidden", Class::Denied, Reason::CredentialsNotAllowed, "said"),
        ] {
            let error = CloudError {
                service,
                operation,
                kind: CloudErrorKind::Unauthenticated,
                status: 403,
                code: code.into(),
                message: "what was said".into(),
                request_id: None,
            };
            let problem = Problem::from_cloud(error, "look");
            assert_eq!((problem.class, problem.reason), (class, reason), "{service:?} {operation} {code}");
            assert!(problem.message.contains(words), "{code}: {problem}");
            assert!(problem.message.contains("what was said"), "{code}: {problem}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_told_like_any_other_call() {
        let error = CloudError {
            service: Service::Sts,
            operation: "AssumeRole",
            kind: CloudErrorKind::Transient,
            status: 0,
            code: "AccessDenied".into(),
            message: String::new(),
            request_id: None,
        };
        assert_eq!(Problem::from_cloud(error, "look").reason, Reason::CloudUnavailable);
    }
}
