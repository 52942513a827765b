//! The synchronization calls of one application, with what their failures mean here.

use super::foreign::Foreign;
use crate::clients::entra::synchronization::{Job, Synchronization, Trial};
use crate::clients::entra::{Graph, is_about_the_caller};
use crate::clients::{CloudError, CloudErrorKind};
use crate::problem::{Class, GRANT, Problem};
use crate::status::Reason;

/// The calls of one application.
#[derive(Clone, Debug)]
pub struct Calls {
    /// The calls themselves.
    pub sync: Synchronization,
    /// Microsoft Graph, for the directory.
    pub graph: Graph,
    /// Whether the service principal is so new that the provisioning service may not know it (contract Graph 5.11).
    pub young: bool,
    /// Cleans what the service says.
    pub foreign: Foreign,
}

impl Calls {
    /// What a failure means.
    #[must_use]
    pub fn problem(&self, error: CloudError, doing: &str) -> Problem {
        let lacking = self.graph.lacking(error.operation);
        problem(self.foreign.error(error), doing, self.young, &lacking)
    }

    /// All jobs.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn jobs(&self) -> Result<Vec<Job>, CloudError> {
        Ok(self.sync.jobs().await?.into_iter().map(|job| self.foreign.job(job)).collect())
    }

    /// Lets Entra try credentials. Answers why they are refused, none when they work.
    ///
    /// # Errors
    /// Failures that say nothing about the credentials.
    pub async fn try_credentials(&self, trial: &Trial<'_>) -> Result<Option<String>, Problem> {
        match self.sync.validate(trial).await {
            Ok(_) => Ok(None),
            Err(error) if is_refusal(&error) => Ok(Some(self.foreign.error(error).tail())),
            Err(error) => Err(self.problem(error, "try the SCIM credentials")),
        }
    }
}

/// A new service principal is answered with 401, 403, 404 or 409 for a while; later a 401 without a word means a
/// missing permission (contract Graph 5.11). `lacking` says which, should it be one.
fn problem(error: CloudError, doing: &str, young: bool, lacking: &str) -> Problem {
    if young && (matches!(error.status, 403 | 404 | 409) || is_wordless(&error)) {
        let message =
            format!("Entra is still setting up provisioning for the new application; waiting to {doing}");
        return Problem::new(Class::Pending, Reason::Progressing, message).because(error);
    }
    if is_wordless(&error) || (error.kind == CloudErrorKind::Denied && is_about_the_caller(&error)) {
        let message = format!("could not {doing}: Entra denies {}: {lacking}; {GRANT}", error.operation);
        return Problem::new(Class::Denied, Reason::PermissionDenied, message).because(error);
    }
    Problem::from_cloud(error, doing)
}

/// 401 `UnknownError`: not about our token.
fn is_wordless(error: &CloudError) -> bool {
    error.status == 401 && error.code == "UnknownError"
}

/// Whether a failed try speaks of the tried credentials rather than of ours: the connector's own code in a 4xx
/// (its shape is not documented: contract Graph 5.4), and not the codes by which Graph refuses its caller.
fn is_refusal(error: &CloudError) -> bool {
    match error.kind {
        CloudErrorKind::Invalid => true,
        CloudErrorKind::Denied | CloudErrorKind::Unauthenticated => {
            !error.code.is_empty() && !is_about_the_caller(error)
        }
        _ => false,
    }
}

/// Whether the connector says, in whatever words, that nothing is at the endpoint (its shape is not documented: contract
/// Graph 5.4): a token was not even looked at.
#[must_use]
pub fn knows_no_endpoint(why: &str) -> bool {
    let words = why.to_lowercase();
    ["status code: 404", "statuscode: 404", "statuscode: notfound", "status code: notfound", "404 not found"]
        .iter()
        .any(|said| words.contains(said))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clients::Service;

    pub fn error(status: u16, kind: CloudErrorKind, code: &str) -> CloudError {
        CloudError {
            service: Service::Graph,
            operation: "GET /servicePrincipals/{id}/synchronization/jobs",
            kind,
            status,
            code: code.into(),
            message: String::new(),
            request_id: None,
        }
    }

    #[test]
    fn a_new_application_is_waited_for_and_an_old_one_is_not() {
        use CloudErrorKind::{Conflict, Denied, NotFound, Transient};
        for (status, kind, code, young, old) in [
            (401, Denied, "UnknownError", Class::Pending, Class::Denied),
            (403, Denied, "x", Class::Pending, Class::Denied),
            (404, NotFound, "x", Class::Pending, Class::Transient),
            (409, Conflict, "x", Class::Pending, Class::Pending),
            (500, Transient, "x", Class::Transient, Class::Transient),
            (
                401,
                CloudErrorKind::Unauthenticated,
                "InvalidAuthenticationToken",
                Class::Denied,
                Class::Denied,
            ),
        ] {
            let class = |young| problem(error(status, kind.clone(), code), "list", young, "x").class;
            assert_eq!((class(true), class(false)), (young, old), "{status} {code}");
        }
        for (status, code) in [(401, "UnknownError"), (403, "Authorization_RequestDenied")] {
            let denied = problem(error(status, Denied, code), "list", false, "it lacks Synchronization.X");
            assert!(denied.message.contains("it lacks Synchronization.X; "), "{}", denied.message);
        }
    }

    #[test]
    fn an_endpoint_that_is_gone_is_told_from_a_token_that_is_refused() {
        for (why, gone) in [
            ("Received response from Web resource. Response Status Code: 404. Response: {}", true),
            ("We received this unexpected response: StatusCode: NotFound", true),
            ("Response Status Code: 401. Response: Unauthorized, request 40404", false),
            ("the target could not be reached", false),
        ] {
            assert_eq!(knows_no_endpoint(why), gone, "{why}");
        }
    }

    #[test]
    fn only_the_connectors_own_words_speak_of_the_credentials() {
        for (status, kind, code, expected) in [
            (400, CloudErrorKind::Invalid, "CredentialValidationFailure", true),
            (
                401,
                CloudErrorKind::Unauthenticated,
                "SystemForCrossDomainIdentityManagementCredentialValidationUnavailable",
                true,
            ),
            (401, CloudErrorKind::Denied, "UnknownError", false),
            (401, CloudErrorKind::Unauthenticated, "InvalidAuthenticationToken", false),
            (403, CloudErrorKind::Denied, "Authorization_RequestDenied", false),
            (404, CloudErrorKind::NotFound, "x", false),
            (500, CloudErrorKind::Transient, "x", false),
        ] {
            assert_eq!(is_refusal(&error(status, kind, code)), expected, "{status} {code}");
        }
    }
}
