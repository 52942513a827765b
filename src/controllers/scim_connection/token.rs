//! When the SCIM token ends. AWS tells nobody but its console (contract aws 4.6).

use jiff::{SignedDuration, Timestamp};

use super::resolve::ScimSecret;
use crate::status::{Reason, Verdict};

/// How long a token lives.
const LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How long before its end a person is asked for the next one.
const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is known of a token's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The end, or the latest it can be.
    pub ends: Option<Timestamp>,
    /// The condition `TokenFresh`.
    pub verdict: Verdict,
    /// Its reason.
    pub reason: Reason,
    /// Its message.
    pub message: String,
}

/// Judges the token of a Secret. `issuedAt` decides; without it the token is at least as old as the newest write to
/// the Secret. No countdown in the message: it would be another one each day.
#[must_use]
pub fn judge(secret: &ScimSecret, name: &str, now: Timestamp) -> Freshness {
    let ends_after = |from: Timestamp| from.checked_add(LIFE).unwrap_or(Timestamp::MAX);
    let stated = secret.issued_at.as_deref();
    let issued = stated
        .and_then(|text| text.parse::<Timestamp>().ok())
        .and_then(|t| Timestamp::from_second(t.as_second()).ok());
    let (ends, how) = match issued {
        Some(issued) => (Some(ends_after(issued)), "ends on"),
        None => (secret.written.map(ends_after), "ends at the latest on"),
    };
    let Some(end) = ends else {
        let message =
            format!("the end of the token is not known: put issuedAt (RFC 3339) into Secret {name}");
        return Freshness { ends, verdict: Verdict::Unknown, reason: Reason::InvalidSpec, message };
    };
    let day = end.strftime("%Y-%m-%d");
    let renew = format!(
        "create a second token in IAM Identity Center > Settings > Identity source > Actions > Manage provisioning and put it into Secret {name} with a new issuedAt; it takes effect by itself, then delete the old one in AWS"
    );
    let (verdict, reason, message) = if now >= end {
        (Verdict::False, Reason::TokenExpired, format!("the SCIM token ended on {day}: {renew}"))
    } else if now.checked_add(NOTICE).is_ok_and(|soon| soon >= end) {
        (Verdict::False, Reason::TokenExpiring, format!("the SCIM token {how} {day}: {renew}"))
    } else if stated.is_some() && issued.is_none() {
        let message = format!("issuedAt in Secret {name} is not an RFC 3339 time; the token {how} {day}");
        (Verdict::Unknown, Reason::InvalidSpec, message)
    } else if stated.is_none() {
        let message = format!(
            "the SCIM token {how} {day}; put issuedAt (RFC 3339) into Secret {name} to know it exactly"
        );
        (Verdict::True, Reason::Succeeded, message)
    } else {
        (Verdict::True, Reason::Succeeded, format!("the SCIM token {how} {day}"))
    };
    Freshness { ends, verdict, reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::scim_connection::desired::Credentials;
    use crate::secret::Sensitive;

    #[test]
    fn the_end_is_a_year_after_the_issue_or_after_the_newest_write() {
        let credentials = Credentials { endpoint: "https://scim".into(), token: Sensitive::new("t") };
        let judged = |issued: Option<&str>, written: Option<&str>, now: &str| {
            let secret = ScimSecret {
                credentials: credentials.clone(),
                issued_at: issued.map(str::to_owned),
                written: written.map(|w| w.parse().unwrap()),
            };
            judge(&secret, "aws-scim", now.parse().unwrap())
        };
        let issued = Some("2026-01-01T00:00:00.5Z");
        let written = Some("2026-03-01T00:00:00Z");
        for (issued, written, now, verdict, reason, ends) in [
            (
                issued,
                written,
                "2026-06-01T00:00:00Z",
                Verdict::True,
                Reason::Succeeded,
                "2027-01-01T00:00:00Z",
            ),
            (
                issued,
                written,
                "2026-12-02T00:00:00Z",
                Verdict::False,
                Reason::TokenExpiring,
                "2027-01-01T00:00:00Z",
            ),
            (
                issued,
                written,
                "2027-01-01T00:00:00Z",
                Verdict::False,
                Reason::TokenExpired,
                "2027-01-01T00:00:00Z",
            ),
            (None, written, "2026-06-01T00:00:00Z", Verdict::True, Reason::Succeeded, "2027-03-01T00:00:00Z"),
            (
                None,
                written,
                "2027-02-20T00:00:00Z",
                Verdict::False,
                Reason::TokenExpiring,
                "2027-03-01T00:00:00Z",
            ),
            (
                Some("last week"),
                written,
                "2026-06-01T00:00:00Z",
                Verdict::Unknown,
                Reason::InvalidSpec,
                "2027-03-01T00:00:00Z",
            ),
        ] {
            let fresh = judged(issued, written, now);
            assert_eq!((fresh.verdict, fresh.reason), (verdict, reason), "{issued:?} {now}");
            assert_eq!(fresh.ends.unwrap().to_string(), ends);
        }
        assert_eq!(judged(None, None, "2026-06-01T00:00:00Z").ends, None);
    }
}
