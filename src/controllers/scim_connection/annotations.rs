//! One-off acts that people ask for by annotation: `<subject>@<RFC 3339>`.

use jiff::{SignedDuration, Timestamp};

/// How long a request stands.
const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// How far ahead of ours a person's clock may be.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// What the portal's "Restart provisioning" does (contract Graph 5.5).
const DEFAULT_SCOPE: &str = "Watermark, Escrows, QuarantineState";
/// The flags of a restart (contract Graph 5.5). `None` is not among them: that would be a start.
const FLAGS: [&str; 6] =
    ["ConnectorDataStore", "Escrows", "Watermark", "QuarantineState", "Full", "ForceDeletes"];

/// An act that is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// Restart: the scope as Entra takes it. Provision on demand: the person's sign-in name.
    pub subject: String,
    /// The annotation's value, as status echoes it.
    pub request: String,
}

/// What an annotation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing: it is absent, done, or past.
    Nothing,
    /// This, now.
    Due(Act),
    /// It cannot be read, and why.
    Unreadable(String),
}

impl Reading {
    /// The act, if one is due.
    pub fn due(self) -> Option<Act> {
        match self {
            Self::Due(act) => Some(act),
            Self::Nothing | Self::Unreadable(_) => None,
        }
    }
}

/// Reads `causeway.dev/restart`. `handled` is the value that was acted on last.
#[must_use]
pub fn restart(value: Option<&str>, handled: Option<&str>, now: Timestamp) -> Reading {
    read(value, handled, now, |subject| {
        if subject.is_empty() || subject.eq_ignore_ascii_case("Default") {
            return Ok(DEFAULT_SCOPE.to_owned());
        }
        let mut scope = Vec::new();
        for word in subject.split(',').map(str::trim) {
            match FLAGS.iter().find(|flag| flag.eq_ignore_ascii_case(word)) {
                Some(flag) => scope.push(*flag),
                None => {
                    return Err(format!(
                        "\"{word}\" is no scope of a restart; there are Default, {}",
                        FLAGS.join(", ")
                    ));
                }
            }
        }
        Ok(scope.join(", "))
    })
}

/// Reads `causeway.dev/provision-on-demand`. `handled` is the value that was acted on last.
#[must_use]
pub fn provision_on_demand(value: Option<&str>, handled: Option<&str>, now: Timestamp) -> Reading {
    read(value, handled, now, |subject| {
        if subject.contains('@') && !subject.contains(char::is_whitespace) {
            Ok(subject.to_owned())
        } else {
            Err(format!("\"{subject}\" is not a userPrincipalName"))
        }
    })
}

fn read(
    value: Option<&str>,
    handled: Option<&str>,
    now: Timestamp,
    subject: impl FnOnce(&str) -> Result<String, String>,
) -> Reading {
    let Some(request) = value.filter(|v| handled != Some(*v)) else { return Reading::Nothing };
    // A sign-in name holds an @ too, a time does not.
    let Some((what, time)) = request.rsplit_once('@') else {
        return Reading::Unreadable("it must read <what>@<RFC 3339 time>".to_owned());
    };
    let Ok(time) = time.trim().parse::<Timestamp>() else {
        return Reading::Unreadable(format!("\"{}\" is not an RFC 3339 time", time.trim()));
    };
    let age = now.duration_since(time);
    if age > LIFE {
        return Reading::Nothing;
    }
    if age < -SKEW {
        return Reading::Unreadable("its time lies ahead".to_owned());
    }
    match subject(what.trim()) {
        Ok(subject) => Reading::Due(Act { subject, request: request.to_owned() }),
        Err(why) => Reading::Unreadable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-05-01T12:00:00Z".parse().unwrap()
    }

    fn due(subject: &str, request: &str) -> Reading {
        Reading::Due(Act { subject: subject.into(), request: request.into() })
    }

    #[test]
    fn a_restart_is_read_once_and_for_an_hour() {
        let fresh = "Full@2026-05-01T11:30:00Z";
        for (value, handled, expected) in [
            (None, None, Reading::Nothing),
            (Some(fresh), None, due("Full", fresh)),
            (Some(fresh), Some(fresh), Reading::Nothing),
            (Some(fresh), Some("Full@2026-05-01T10:30:00Z"), due("Full", fresh)),
            (Some("Full@2026-05-01T10:59:59Z"), None, Reading::Nothing),
            (Some("@2026-05-01T12:00:00Z"), None, due(DEFAULT_SCOPE, "@2026-05-01T12:00:00Z")),
            (Some("default@2026-05-01T12:01:00Z"), None, due(DEFAULT_SCOPE, "default@2026-05-01T12:01:00Z")),
            (
                Some("watermark,Escrows@2026-05-01T14:00:00+02:00"),
                None,
                due("Watermark, Escrows", "watermark,Escrows@2026-05-01T14:00:00+02:00"),
            ),
        ] {
            assert_eq!(restart(value, handled, now()), expected, "{value:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (value, part) in [
            ("now", "<what>@<RFC 3339 time>"),
            ("Full@yesterday", "\"yesterday\""),
            ("None@2026-05-01T12:00:00Z", "\"None\""),
            ("Full@2026-05-01T13:00:00Z", "ahead"),
        ] {
            let Reading::Unreadable(why) = restart(Some(value), None, now()) else { panic!("{value}") };
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn a_sign_in_name_keeps_its_own_at_sign() {
        let value = "ada@acme.example@2026-05-01T12:00:00Z";
        assert_eq!(provision_on_demand(Some(value), None, now()), due("ada@acme.example", value));
        let Reading::Unreadable(_) = provision_on_demand(Some("ada@2026-05-01T12:00:00Z"), None, now())
        else {
            panic!("a name without a domain")
        };
    }
}
