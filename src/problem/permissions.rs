//! What a person is told when a cloud denies a call: what is to be granted, and to whom. Pure.

use super::AWS_CREDENTIALS;
use crate::clients::{CloudError, Service};

/// How a permission of Microsoft Graph is granted.
pub const GRANT: &str = "grant it in Entra under App registrations > the application > API permissions > Add a \
                         permission > Microsoft Graph > Application permissions, then Grant admin consent";

/// What to do about a denial.
pub(super) fn remedy(error: &CloudError) -> String {
    match error.service {
        // The permission stands in the message, where it is known.
        Service::Graph if error.message.contains(" lacks ") => GRANT.to_owned(),
        Service::Graph if error.message.contains(" has the permission ") => {
            "wait, or ask whoever sets the policies of the tenant".to_owned()
        }
        Service::SsoAdmin | Service::IdentityStore | Service::Organizations | Service::Sts => aws(error),
        _ => "grant the permission to the operator's identity".to_owned(),
    }
}

fn aws(error: &CloudError) -> String {
    let who = between(&error.message, "User: ", " is not authorized")
        .map_or_else(|| format!("the identity of {AWS_CREDENTIALS}"), str::to_owned);
    if error.message.starts_with("KMS_") {
        return format!(
            "allow kms:Decrypt, kms:Encrypt and kms:GenerateDataKeyWithoutPlaintext on the instance's key to {who}, in \
             IAM and in the key policy"
        );
    }
    match error.code.as_str() {
        "AWSOrganizationsNotInUseException" => {
            "use credentials of the organization's management account or of its delegated administrator"
                .to_owned()
        }
        "OptInRequired" => "enable the service or the Region for the account".to_owned(),
        _ => format!("allow the IAM action {} to {who}", action(error)),
    }
}

/// The IAM action: as AWS names it, else the operation's own name, which it has in all that Causeway calls (contract
/// aws 7.3).
fn action(error: &CloudError) -> String {
    if let Some((_, rest)) = error.message.split_once("not authorized to perform: ") {
        let named: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-')).collect();
        if named.contains(':') {
            return named;
        }
    }
    let prefix = match error.service {
        Service::IdentityStore => "identitystore",
        Service::Organizations => "organizations",
        Service::Sts => "sts",
        _ => "sso",
    };
    format!("{prefix}:{}", error.operation)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    (!found.is_empty() && !found.contains(' ')).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::CloudErrorKind;
    use crate::problem::Problem;
    use crate::status::Reason;

    #[test]
    fn a_denial_names_the_permission_and_who_lacks_it() {
        let user = "arn:aws:iam::111122223333:user/causeway";
        let said =
            format!("User: {user} is not authorized to perform: sso:DescribePermissionSet on resource: x");
        let (sso, store) = (Service::SsoAdmin, Service::IdentityStore);
        for (service, operation, code, message, words) in [
            (
                sso,
                "CreatePermissionSet",
                "AccessDeniedException",
                said.as_str(),
                "allow the IAM action sso:DescribePermissionSet to arn:aws:iam::111122223333:user/causeway",
            ),
            (
                sso,
                "CreatePermissionSet",
                "AccessDeniedException",
                "",
                "the IAM action sso:CreatePermissionSet to the identity of what spec.aws.credentials",
            ),
            (
                sso,
                "CreatePermissionSet",
                "AccessDeniedException",
                "User is not authorized to perform: this",
                "sso:CreatePermissionSet",
            ),
            (store, "ListUsers", "AccessDeniedException", "no", "identitystore:ListUsers"),
            (
                Service::Organizations,
                "ListAccounts",
                "AccessDeniedException",
                "no",
                "organizations:ListAccounts",
            ),
            (
                Service::Organizations,
                "DescribeOrganization",
                "AWSOrganizationsNotInUseException",
                "no",
                "management account",
            ),
            (
                sso,
                "ListPermissionSets",
                "AccessDeniedException",
                "KMS_AccessDeniedException: no",
                "kms:Decrypt",
            ),
            (
                Service::Graph,
                "GET /groups",
                "Authorization_RequestDenied",
                "no: application a lacks b (admin consent)",
                "Grant admin consent",
            ),
            (Service::Graph, "GET /groups", "Forbidden", "no", "grant the permission"),
        ] {
            let error = CloudError {
                service,
                operation,
                kind: CloudErrorKind::Denied,
                status: 400,
                code: code.into(),
                message: message.into(),
                request_id: None,
            };
            let problem = Problem::from_cloud(error, "look");
            assert_eq!(problem.reason, Reason::PermissionDenied);
            assert!(problem.message.contains(words), "{words}: {}", problem.message);
            assert!(problem.message.contains(operation), "{}", problem.message);
        }
    }
}
