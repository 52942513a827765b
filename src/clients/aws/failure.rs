//! What a failed SDK call means (contract aws 0, 1.3, 2.3, 14): by code, not by status, since throttling and bad
//! credentials arrive as HTTP 400.

use std::error::Error;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use crate::clients::http::{bounded, seconds_to_wait};
use crate::clients::{CallObserver, CloudError, CloudErrorKind, Service, Slowed, due};

/// Classifies a failed SDK call (contract aws 14; go by code, not by status).
pub fn cloud_error<E>(
    service: Service,
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
) -> CloudError
where
    E: ProvideErrorMetadata,
{
    if let SdkError::DispatchFailure(failure) = error
        && let Some(error) = failure.as_connector_error().and_then(of_sts)
    {
        return error.of_credentials();
    }
    let raw = error.raw_response();
    let meta = error.as_service_error().map(ProvideErrorMetadata::meta);
    let said = Said {
        status: raw.map_or(0, |raw| raw.status().as_u16()),
        code: meta.and_then(|meta| meta.code()).unwrap_or_default(),
        message: meta.and_then(|meta| meta.message()).unwrap_or_default(),
        body: raw.and_then(|raw| serde_json::from_slice(raw.body().bytes()?).ok()).unwrap_or_default(),
    };
    let (kind, message) = match error {
        SdkError::ServiceError(_) => (said.kind(), said.text()),
        SdkError::TimeoutError(_) => (CloudErrorKind::Transient, "the answer timed out".to_owned()),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error().and_then(credentials) {
            Some(kind) => kind,
            None if failure.is_timeout() => {
                (CloudErrorKind::Transient, "the connection or the answer timed out".to_owned())
            }
            None => {
                let cause = failure.as_connector_error().map(|cause| innermost(cause).to_string());
                (CloudErrorKind::Transient, format!("no connection: {}", cause.unwrap_or_default()))
            }
        },
        SdkError::ResponseError(_) => (CloudErrorKind::Transient, "the answer cannot be read".to_owned()),
        SdkError::ConstructionFailure(_) => {
            (CloudErrorKind::Invalid, "the request cannot be built".to_owned())
        }
        _ => (CloudErrorKind::Transient, String::new()),
    };
    CloudError {
        service,
        operation,
        kind,
        status: said.status,
        code: bounded(said.code),
        message: bounded(&message),
        request_id: raw
            .and_then(|raw| {
                raw.headers().get("x-amzn-requestid").or_else(|| raw.headers().get("x-amz-request-id"))
            })
            .map(bounded),
    }
}

/// What an error answer says.
struct Said<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    body: Value,
}

/// Whether a code asks to slow down.
fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "SlowDown"
            | "ThrottledException"
            | "RequestThrottledException"
    )
}

/// Code and message of a refusal, before the SDK has read it.
pub(super) fn said(response: &HttpResponse) -> (String, String) {
    let body = response.body().bytes().unwrap_or_default();
    if let Ok(body) = serde_json::from_slice::<Value>(body) {
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let code = text("__type").rsplit('#').next().unwrap_or_default().to_owned();
        return (code, text("message") + &text("Message"));
    }
    // STS speaks XML, when one session is the way to another.
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let inner = text.split_once(&format!("<{name}>"))?.1;
        Some(inner.split('<').next().unwrap_or_default().to_owned())
    };
    (element("Code").unwrap_or_default(), element("Message").unwrap_or_default())
}

/// Notes when a service of AWS asks to slow down. It leaves to others what follows from that.
#[derive(Clone, Debug)]
pub(super) struct NotesThrottles {
    pub(super) service: Service,
    pub(super) slowed: Slowed,
    pub(super) observer: Arc<dyn CallObserver>,
}

impl Intercept for NotesThrottles {
    fn name(&self) -> &'static str {
        "NotesThrottles"
    }

    // After each try, and before it is decided whether there is another one.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let failed = context.output_or_error().is_some_and(|result| result.is_err());
        let throttles = |r: &HttpResponse| r.status().as_u16() == 429 || is_throttle(&said(r).0);
        if failed && context.response().is_some_and(throttles) {
            due::waits();
            self.slowed.note();
            let operation = cfg.load::<Metadata>().map_or("unknown", Metadata::name);
            self.observer.throttled(self.service, operation);
        }
        Ok(())
    }
}

impl Said<'_> {
    /// `Reason` of KMS trouble (contract aws 1.3, 2.3, 13.1): the key, neither permission nor absence.
    fn kms(&self) -> Option<&str> {
        self.body.get("Reason").and_then(Value::as_str).filter(|reason| reason.starts_with("KMS_"))
    }

    fn kind(&self) -> CloudErrorKind {
        let throttled = || CloudErrorKind::Throttled {
            retry_after: self.body.get("RetryAfterSeconds").and_then(Value::as_f64).and_then(seconds_to_wait),
        };
        match self.kms() {
            Some("KMS_ThrottlingException") => return throttled(),
            Some(_) => return CloudErrorKind::Denied,
            None => {}
        }
        match self.code {
            code if is_throttle(code) => throttled(),
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "RequestExpired"
            | "NotAuthorized"
            | "InvalidIdentityToken"
            | "IDPRejectedClaim" => CloudErrorKind::Unauthenticated,
            "AccessDeniedException"
            | "AccessDenied"
            | "RegionDisabledException"
            | "AWSOrganizationsNotInUseException"
            | "OptInRequired" => CloudErrorKind::Denied,
            "ResourceNotFoundException"
            | "NoSuchEntity"
            | "AccountNotFoundException"
            | "OrganizationalUnitNotFoundException"
            | "ParentNotFoundException"
            | "TargetNotFoundException"
            | "RootNotFoundException" => CloudErrorKind::NotFound,
            "ConflictException" | "ConcurrentModificationException" | "EntityAlreadyExists" => {
                CloudErrorKind::Conflict
            }
            "ServiceQuotaExceededException" | "LimitExceeded" | "LimitExceededException" => {
                CloudErrorKind::Quota
            }
            "ValidationException" | "InvalidInputException" | "UnsupportedAPIEndpointException" => {
                CloudErrorKind::Invalid
            }
            // Also the sign of an operation that is not offered in the Region (contract aws 14).
            "UnknownOperationException" => CloudErrorKind::Invalid,
            "InternalServerException"
            | "InternalFailure"
            | "ServiceException"
            | "ServiceUnavailable"
            | "IDPCommunicationError" => CloudErrorKind::Transient,
            _ => match self.status {
                401 => CloudErrorKind::Unauthenticated,
                403 => CloudErrorKind::Denied,
                404 => CloudErrorKind::NotFound,
                409 => CloudErrorKind::Conflict,
                429 => throttled(),
                400 => CloudErrorKind::Invalid,
                _ => CloudErrorKind::Transient,
            },
        }
    }

    /// The message for people. Where AWS writes the time into it, ours stands instead: a condition's text must not
    /// change with each try.
    fn text(&self) -> String {
        let skewed = ["Signature expired", "Signature not yet current"]
            .iter()
            .any(|text| self.message.starts_with(text));
        if skewed || self.code == "RequestExpired" {
            return "the clocks of this machine and of AWS differ by more than five minutes".to_owned();
        }
        if self.message.starts_with("Token expired:") {
            return "the identity token has expired".to_owned();
        }
        match self.kms() {
            Some(reason) => format!("{reason}: the instance's KMS key cannot be used; {}", self.message),
            None => self.message.to_owned(),
        }
    }
}

/// What STS, or whoever had to vouch for us there, said when it issued no session.
fn of_sts(error: &ConnectorError) -> Option<CloudError> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<CloudError>() {
            return Some(ours.clone());
        }
        // From the SDK's own chain, where the operator's own credentials come from.
        if let Some(theirs) = error.downcast_ref::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>() {
            return Some(cloud_error(Service::Sts, "AssumeRoleWithWebIdentity", theirs));
        }
        if let Some(theirs) = error.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
            return Some(cloud_error(Service::Sts, "AssumeRole", theirs));
        }
        cause = error.source();
    }
    None
}

/// A failure to get credentials at all, which the SDK reports as a failed dispatch.
fn credentials(error: &ConnectorError) -> Option<(CloudErrorKind, String)> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = cause {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            found = Some(credentials);
        } else if found.is_some() && error.is::<ConnectorError>() {
            return Some((
                CloudErrorKind::Transient,
                "the service that issues credentials was not reached".to_owned(),
            ));
        }
        cause = error.source();
    }
    Some(match found? {
        CredentialsError::ProviderTimedOut(_) => (
            CloudErrorKind::Transient,
            "the service that issues credentials did not answer in time".to_owned(),
        ),
        CredentialsError::CredentialsNotLoaded(_) => {
            (CloudErrorKind::Unauthenticated, "the operator has no AWS credentials of its own".to_owned())
        }
        CredentialsError::InvalidConfiguration(_) => (
            CloudErrorKind::Unauthenticated,
            "the operator's own AWS credentials are misconfigured".to_owned(),
        ),
        other => {
            (CloudErrorKind::Unauthenticated, format!("AWS issues no credentials: {}", innermost(other)))
        }
    })
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::provider::error::CredentialsError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use serde_json::json;

    use super::*;

    type Failure = SdkError<ErrorMetadata, HttpResponse>;

    fn failure(status: u16, code: &str, message: &str, more: &Value) -> Failure {
        let mut raw =
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(more.to_string()));
        raw.headers_mut().insert("x-amzn-requestid", "r-1");
        let mut meta = ErrorMetadata::builder().message(message);
        if !code.is_empty() {
            meta = meta.code(code);
        }
        SdkError::service_error(meta.build(), raw)
    }

    fn classified(error: &Failure) -> CloudError {
        cloud_error(Service::SsoAdmin, "CreateAccountAssignment", error)
    }

    #[test]
    fn aws_errors_are_classified_by_code() {
        use CloudErrorKind::{
            Conflict, Denied, Invalid, NotFound, Quota, Throttled, Transient, Unauthenticated,
        };
        let throttled = Throttled { retry_after: None };
        let after = Throttled { retry_after: Some(Duration::from_secs(7)) };
        let none = Value::Null;
        for (status, code, more, kind) in [
            (400, "ThrottlingException", none.clone(), throttled.clone()),
            (400, "ThrottlingException", json!({"RetryAfterSeconds": 7}), after),
            (400, "TooManyRequestsException", none.clone(), throttled.clone()),
            (429, "", none.clone(), throttled.clone()),
            (400, "UnrecognizedClientException", none.clone(), Unauthenticated),
            (403, "InvalidClientTokenId", none.clone(), Unauthenticated),
            (400, "ExpiredTokenException", none.clone(), Unauthenticated),
            (403, "ExpiredToken", none.clone(), Unauthenticated),
            (400, "InvalidSignatureException", none.clone(), Unauthenticated),
            (403, "SignatureDoesNotMatch", none.clone(), Unauthenticated),
            (400, "InvalidIdentityToken", none.clone(), Unauthenticated),
            (403, "IDPRejectedClaim", none.clone(), Unauthenticated),
            (400, "IDPCommunicationError", none.clone(), Transient),
            (403, "RegionDisabledException", none.clone(), Denied),
            (400, "MissingAuthenticationTokenException", none.clone(), Unauthenticated),
            (400, "AccessDeniedException", none.clone(), Denied),
            (403, "", none.clone(), Denied),
            (400, "ConflictException", none.clone(), Conflict),
            (400, "ServiceQuotaExceededException", none.clone(), Quota),
            (400, "ResourceNotFoundException", none.clone(), NotFound),
            (400, "ResourceNotFoundException", json!({"Reason": "KMS_NotFoundException"}), Denied),
            (400, "AccessDeniedException", json!({"Reason": "KMS_AccessDeniedException"}), Denied),
            (400, "ValidationException", json!({"Reason": "KMS_DisabledException"}), Denied),
            (400, "ThrottlingException", json!({"Reason": "KMS_ThrottlingException"}), throttled),
            (400, "ValidationException", none.clone(), Invalid),
            (400, "InvalidInputException", json!({"Reason": "INVALID_NEXT_TOKEN"}), Invalid),
            (400, "UnknownOperationException", none.clone(), Invalid),
            (400, "AWSOrganizationsNotInUseException", none.clone(), Denied),
            (400, "AccountNotFoundException", none.clone(), NotFound),
            (400, "SomethingNew", none.clone(), Invalid),
            (500, "InternalServerException", none.clone(), Transient),
            (503, "", none.clone(), Transient),
        ] {
            let error = classified(&failure(status, code, "text", &more));
            assert_eq!(error.kind, kind, "{status} {code} {more}");
            assert_eq!((error.status, error.request_id.as_deref()), (status, Some("r-1")));
        }
    }

    #[test]
    fn failures_without_an_answer_are_classified() {
        use CloudErrorKind::{Invalid, Transient, Unauthenticated};
        let credentials =
            |error: CredentialsError| Failure::dispatch_failure(ConnectorError::other(error.into(), None));
        let sts_away = ConnectorError::io("refused".into());
        let raw = || HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::empty());
        for (error, kind) in [
            (Failure::timeout_error("slow"), Transient),
            (Failure::dispatch_failure(ConnectorError::timeout("slow".into())), Transient),
            (Failure::dispatch_failure(ConnectorError::io("reset".into())), Transient),
            (Failure::response_error("cut", raw()), Transient),
            (Failure::construction_failure("missing field"), Invalid),
            (credentials(CredentialsError::not_loaded("none")), Unauthenticated),
            (credentials(CredentialsError::invalid_configuration("bad")), Unauthenticated),
            (credentials(CredentialsError::provider_error("AccessDenied")), Unauthenticated),
            (credentials(CredentialsError::provider_error(sts_away)), Transient),
            (credentials(CredentialsError::provider_timed_out(Duration::from_secs(5))), Transient),
        ] {
            assert_eq!(classified(&error).kind, kind, "{error:?}");
        }
    }

    #[test]
    fn what_sts_said_is_not_taken_for_the_answer_of_the_call() {
        use CloudErrorKind::{Denied, Transient, Unauthenticated};
        for (kind, expected) in [(Denied, Unauthenticated), (Transient, Transient)] {
            let sts = CloudError {
                service: Service::Sts,
                operation: "AssumeRole",
                kind,
                status: 403,
                code: "AccessDenied".into(),
                message: "not authorized".into(),
                request_id: None,
            };
            let inner = CredentialsError::provider_error(sts);
            let error = classified(&Failure::dispatch_failure(ConnectorError::other(inner.into(), None)));
            assert_eq!((error.service, error.operation), (Service::Sts, "AssumeRole"));
            assert_eq!((error.kind, error.code.as_str()), (expected, "AccessDenied"));
        }
        let theirs: SdkError<AssumeRoleWithWebIdentityError, HttpResponse> = SdkError::timeout_error("slow");
        let inner = CredentialsError::provider_error(theirs);
        let error = classified(&Failure::dispatch_failure(ConnectorError::other(inner.into(), None)));
        assert_eq!((error.operation, error.kind), ("AssumeRoleWithWebIdentity", Transient));
    }

    #[test]
    fn an_expired_token_is_said_without_the_time() {
        let message =
            "Token expired: current date/time 1700000000 must be before the expiration date/time 1600000000";
        let error = classified(&failure(400, "ExpiredTokenException", message, &Value::Null));
        assert_eq!(error.message, "the identity token has expired");
    }

    #[test]
    fn a_wrong_clock_is_said_without_the_time() {
        let message = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.)";
        let error = classified(&failure(400, "InvalidSignatureException", message, &Value::Null));
        assert!(error.message.contains("clocks") && !error.message.contains("2026"), "{}", error.message);
    }
}
