//! Who calls: the SigV4 header, known keys, sessions, and what they may do (contract aws 7, 14).
//!
//! Signatures are not recomputed. Everything else about them is checked.

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};

use super::errors::ApiError;
use super::state::State;

/// An authenticated caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub account_id: String,
    pub arn: String,
    pub user_id: String,
    /// Empty: everything.
    pub actions: Vec<String>,
    /// The role behind a session.
    pub role_arn: Option<String>,
    /// Whether the session was revoked: everything is denied.
    pub revoked: bool,
}

impl Caller {
    /// Somebody without credentials.
    pub fn anonymous() -> Self {
        Self {
            account_id: String::new(),
            arn: "anonymous".into(),
            user_id: String::new(),
            actions: Vec::new(),
            role_arn: None,
            revoked: false,
        }
    }

    /// Whether an IAM action such as `sso:CreatePermissionSet` is allowed.
    pub fn allows(&self, action: &str) -> bool {
        self.actions.is_empty() || self.actions.iter().any(|pattern| wildcard(pattern, action))
    }
}

/// `*` and `?`; IAM matches actions without regard to case.
fn wildcard(pattern: &str, text: &str) -> bool {
    fn matches(p: &[u8], t: &[u8]) -> bool {
        match (p.first(), t.first()) {
            (None, None) => true,
            (Some(b'*'), _) => matches(&p[1..], t) || (!t.is_empty() && matches(p, &t[1..])),
            (Some(b'?'), Some(_)) => matches(&p[1..], &t[1..]),
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b) && matches(&p[1..], &t[1..]),
            _ => false,
        }
    }
    matches(pattern.as_bytes(), text.as_bytes())
}

/// The credential scope of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub access_key: String,
    pub date: String,
    pub region: String,
    pub service: String,
    signed_headers: Vec<String>,
}

/// Reads the Authorization header.
pub(crate) fn scope(headers: &HeaderMap) -> Result<Scope, ApiError> {
    let Some(value) = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
        return Err(ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token"));
    };
    let incomplete = |what: &str| {
        ApiError::new(
            "IncompleteSignatureException",
            format!(
                "Authorization header requires '{what}' parameter. (Hashed with SHA-256 and encoded with Base64)"
            ),
        )
    };
    let rest = value.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| {
        ApiError::new("IncompleteSignatureException", "Unsupported algorithm in the Authorization header")
    })?;
    let part = |name: &str| {
        rest.split(',')
            .map(str::trim)
            .find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(|| incomplete(name))
    };
    let credential = part("Credential")?;
    let signed = part("SignedHeaders")?;
    let signature = part("Signature")?;
    if signature.len() != 64 || !signature.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(incomplete("Signature"));
    }
    let pieces: Vec<&str> = credential.split('/').collect();
    let [access_key, date, region, service, "aws4_request"] = pieces[..] else {
        return Err(incomplete("Credential"));
    };
    Ok(Scope {
        access_key: access_key.into(),
        date: date.into(),
        region: region.into(),
        service: service.into(),
        signed_headers: signed.split(';').map(str::to_ascii_lowercase).collect(),
    })
}

/// Judges a request: date by wall time, key, session.
///
/// # Errors
/// The codes of contract aws 14 for JSON services; Query services translate them.
pub(crate) fn authenticate(
    state: &State,
    headers: &HeaderMap,
    scope: &Scope,
    signing_name: &str,
    clouds_now: Timestamp,
    wall_now: Timestamp,
) -> Result<Caller, ApiError> {
    if scope.service != signing_name {
        return Err(ApiError::new(
            "InvalidSignatureException",
            format!("Credential should be scoped to correct service: '{signing_name}'."),
        ));
    }
    let date = headers.get("x-amz-date").and_then(|v| v.to_str().ok()).ok_or_else(|| {
        ApiError::new(
            "IncompleteSignatureException",
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        )
    })?;
    for needed in ["host", "x-amz-date"] {
        if !scope.signed_headers.iter().any(|h| h == needed) {
            return Err(ApiError::new(
                "InvalidSignatureException",
                format!("'{needed}' must be a 'SignedHeader' in the AWS Authorization."),
            ));
        }
    }
    check_date(date, &scope.date, wall_now)?;
    let token = headers.get("x-amz-security-token").and_then(|v| v.to_str().ok());
    let unknown = || {
        ApiError::new("UnrecognizedClientException", "The security token included in the request is invalid.")
    };
    if let Some(key) = state.organization.access_keys.iter().find(|k| k.access_key_id == scope.access_key) {
        if token.is_some() {
            return Err(unknown());
        }
        let account_id =
            key.account_id.clone().unwrap_or_else(|| state.organization.management_account_id.clone());
        return Ok(Caller {
            arn: format!("arn:aws:iam::{account_id}:user/{}", key.access_key_id),
            user_id: format!("AIDA{}", key.access_key_id.chars().skip(4).collect::<String>()),
            account_id,
            actions: key.actions.clone(),
            role_arn: None,
            revoked: false,
        });
    }
    let session = state.sessions.get(&scope.access_key).ok_or_else(unknown)?;
    if token != Some(session.token.as_str()) {
        return Err(unknown());
    }
    if session.expires <= clouds_now {
        return Err(ApiError::new(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ));
    }
    Ok(Caller {
        account_id: session.account_id.clone(),
        arn: session.arn.clone(),
        user_id: session.user_id.clone(),
        actions: session.actions.clone(),
        role_arn: Some(session.role_arn.clone()),
        revoked: session.revoked,
    })
}

fn check_date(date: &str, scope_date: &str, now: Timestamp) -> Result<(), ApiError> {
    const FORM: &str = "%Y%m%dT%H%M%SZ";
    let at = jiff::civil::DateTime::strptime(FORM, date)
        .ok()
        .and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|z| z.timestamp())
        .ok_or_else(|| {
            ApiError::new(
                "IncompleteSignatureException",
                format!("Date must be in ISO-8601 'basic format'. Got '{date}'."),
            )
        })?;
    if !date.starts_with(scope_date) || scope_date.len() != 8 {
        return Err(ApiError::new(
            "InvalidSignatureException",
            format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope_date}' != '{}'.",
                date.get(..8).unwrap_or_default()
            ),
        ));
    }
    let window = SignedDuration::from_mins(5);
    let show = |t: Timestamp| t.strftime(FORM).to_string();
    let (oldest, newest) = (now.checked_sub(window).unwrap_or(now), now.checked_add(window).unwrap_or(now));
    if at < oldest {
        let text = format!(
            "Signature expired: {date} is now earlier than {} ({} - 5 min.)",
            show(oldest),
            show(now)
        );
        return Err(ApiError::new("InvalidSignatureException", text));
    }
    if at > newest {
        let text = format!(
            "Signature not yet current: {date} is still later than {} ({} + 5 min.)",
            show(newest),
            show(now)
        );
        return Err(ApiError::new("InvalidSignatureException", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::wildcard;

    #[test]
    fn actions_match_with_wildcards_and_without_case() {
        assert!(wildcard("sso:*", "sso:CreatePermissionSet"));
        assert!(wildcard("sso:list*", "sso:ListInstances"));
        assert!(!wildcard("sso:List*", "sso:CreatePermissionSet"));
        assert!(wildcard("*", "organizations:ListAccounts"));
    }
}
