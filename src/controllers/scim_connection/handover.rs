//! What is saved beside the job: endpoint, token and switches (contract Graph 5.3).

use serde_json::{Map, Value, json};

use super::desired::{Credentials, Desired};
use crate::clients::entra::synchronization::{MASK, Saved, Setting};

const ENDPOINT: &str = "BaseAddress";
const TOKEN: &str = "SecretToken";
const EVERYBODY: &str = "SyncAll";
const NOTIFICATIONS: &str = "SyncNotificationSettings";
const THRESHOLD_ENABLED: &str = "DeleteThresholdEnabled";
const THRESHOLD: &str = "DeleteThresholdValue";

/// Whether endpoint and token are saved, whoever saved them.
#[must_use]
pub fn is_complete(saved: &Saved) -> bool {
    [ENDPOINT, TOKEN].iter().all(|key| saved.get(key).is_some_and(|value| !value.is_empty()))
}

/// Whether endpoint and token are saved and the endpoint, as far as it can be read back, is this one.
#[must_use]
pub fn is_at(saved: &Saved, endpoint: &str) -> bool {
    is_complete(saved)
        && saved.get(ENDPOINT).is_some_and(|e| e == MASK || e.trim_end_matches('/') == endpoint)
}

/// Switches whose saved value differs from the wanted one, by name. `given`: the deletion threshold that Entra was
/// given last.
#[must_use]
pub fn changed_switches(desired: &Desired, saved: &Saved, given: Option<i64>) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let everybody = saved.get(EVERYBODY).unwrap_or_default();
    // What cannot be read back is no reason to write: it would be one for ever.
    if everybody != MASK && !everybody.eq_ignore_ascii_case(word(desired.everybody)) {
        changed.push("scope");
    }
    if threshold(desired, saved, given) == Threshold::Differs {
        changed.push("deletion threshold");
    }
    changed
}

/// How the saved deletion threshold compares with the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threshold {
    /// It is the wanted one, or none is wanted, or it cannot be read back.
    Fits,
    /// It is another one, or none.
    Differs,
    /// Entra was given it and shows no other in its place. The names in these settings are not all documented
    /// (contract Graph 5.3): a service that drops what it does not know would be given it for ever.
    Dropped,
}

fn threshold(desired: &Desired, saved: &Saved, given: Option<i64>) -> Threshold {
    let Some(limit) = desired.max_deletions.filter(|_| saved.get(NOTIFICATIONS) != Some(MASK)) else {
        return Threshold::Fits;
    };
    let settings = notifications(saved);
    let enabled = settings.get(THRESHOLD_ENABLED).map(|v| v == &Value::Bool(true));
    let value = settings.get(THRESHOLD).map(|v| number(v) == Some(limit));
    match (enabled, value) {
        (Some(true), Some(true)) => Threshold::Fits,
        (Some(true) | None, Some(true) | None) if given == Some(limit) => Threshold::Dropped,
        _ => Threshold::Differs,
    }
}

/// The wanted deletion threshold, if Entra was given it and does not show it.
#[must_use]
pub fn dropped_threshold(desired: &Desired, saved: &Saved, given: Option<i64>) -> Option<i64> {
    desired.max_deletions.filter(|_| threshold(desired, saved, given) == Threshold::Dropped)
}

/// The full set to save. What was saved before and can be read back stays; masked values are never put back, for
/// Entra would take the mask for the secret (contract Graph 5.3).
#[must_use]
pub fn full_set(desired: &Desired, credentials: &Credentials, saved: &Saved) -> Vec<Setting> {
    let ours = [ENDPOINT, TOKEN, EVERYBODY];
    let mut settings = vec![
        Setting::new(ENDPOINT, credentials.endpoint.clone()),
        Setting::new(TOKEN, credentials.token.expose()),
        Setting::new(EVERYBODY, word(desired.everybody)),
    ];
    if let Some(limit) = desired.max_deletions {
        let mut members = notifications(saved);
        members.insert(THRESHOLD_ENABLED.to_owned(), json!(true));
        members.insert(THRESHOLD.to_owned(), json!(limit));
        settings.push(Setting::new(NOTIFICATIONS, Value::Object(members).to_string()));
    }
    for (key, value) in &saved.0 {
        let known = ours.contains(&key.as_str()) || settings.iter().any(|s| s.key == *key);
        if !known && value != MASK {
            settings.push(Setting::new(key, value.clone()));
        }
    }
    settings
}

/// Endpoint and token alone, as they are tried.
#[must_use]
pub fn credentials_only(credentials: &Credentials) -> Vec<Setting> {
    vec![
        Setting::new(ENDPOINT, credentials.endpoint.clone()),
        Setting::new(TOKEN, credentials.token.expose()),
    ]
}

const fn word(everybody: bool) -> &'static str {
    if everybody { "true" } else { "false" }
}

/// The notification settings: a JSON object in a string.
fn notifications(saved: &Saved) -> Map<String, Value> {
    let text = saved.get(NOTIFICATIONS).unwrap_or_default();
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// A number, also as text: values are all strings elsewhere in this service.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Sensitive;

    fn saved(pairs: &[(&str, &str)]) -> Saved {
        Saved(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn plain(settings: &[Setting]) -> Vec<(&str, &str)> {
        settings.iter().map(|s| (s.key.as_str(), s.value.expose())).collect()
    }

    fn credentials() -> Credentials {
        Credentials { endpoint: "https://scim/t".into(), token: Sensitive::new("token") }
    }

    #[test]
    fn the_full_set_keeps_what_can_be_read_and_never_a_mask() {
        let before = saved(&[
            ("SecretToken", "*"),
            ("ClientSecret", "*"),
            ("SkipOutOfScopeDeletions", "True"),
            ("SyncAll", "true"),
            ("SyncNotificationSettings", r#"{"Enabled":true,"Recipients":"ops@acme.example"}"#),
        ]);
        let desired = Desired { max_deletions: Some(50), ..Desired::default() };
        let set = full_set(&desired, &credentials(), &before);
        assert_eq!(
            plain(&set),
            [
                ("BaseAddress", "https://scim/t"),
                ("SecretToken", "token"),
                ("SyncAll", "false"),
                (
                    "SyncNotificationSettings",
                    r#"{"Enabled":true,"Recipients":"ops@acme.example","DeleteThresholdEnabled":true,"DeleteThresholdValue":50}"#
                ),
                ("SkipOutOfScopeDeletions", "True"),
            ]
        );
        assert!(changed_switches(&desired, &before, None).eq(&["scope", "deletion threshold"]));
        let after = Saved(set.into_iter().map(|s| (s.key, s.value.expose().to_owned())).collect());
        assert!(changed_switches(&desired, &after, None).is_empty());
    }

    #[test]
    fn switches_are_compared_by_meaning() {
        let desired = Desired { max_deletions: Some(7), ..Desired::default() };
        for (pairs, expected) in [
            (
                vec![
                    ("SyncAll", "False"),
                    (
                        "SyncNotificationSettings",
                        r#"{"DeleteThresholdValue":"7","DeleteThresholdEnabled":true}"#,
                    ),
                ],
                vec![],
            ),
            (vec![("SyncAll", "*"), ("SyncNotificationSettings", "*")], vec![]),
            (vec![], vec!["scope", "deletion threshold"]),
            (vec![("SyncAll", "false"), ("SyncNotificationSettings", "broken")], vec!["deletion threshold"]),
        ] {
            assert_eq!(changed_switches(&desired, &saved(&pairs), None), expected, "{pairs:?}");
        }
        assert_eq!(
            changed_switches(&Desired::default(), &saved(&[("SyncAll", "false")]), None),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn a_threshold_that_entra_drops_is_given_once() {
        let desired = Desired { max_deletions: Some(7), ..Desired::default() };
        for (settings, given, differs, dropped) in [
            (r#"{"DeleteThresholdEnabled":true}"#, None, true, false),
            (r#"{"DeleteThresholdEnabled":true}"#, Some(7), false, true),
            (r#"{"DeleteThresholdValue":7}"#, Some(7), false, true),
            ("", Some(7), false, true),
            // Another limit is a new one, and what somebody else has set is set right.
            (r#"{"DeleteThresholdEnabled":true}"#, Some(8), true, false),
            (r#"{"DeleteThresholdEnabled":true,"DeleteThresholdValue":8}"#, Some(7), true, false),
            (r#"{"DeleteThresholdEnabled":false,"DeleteThresholdValue":7}"#, Some(7), true, false),
            (r#"{"DeleteThresholdEnabled":true,"DeleteThresholdValue":7}"#, Some(7), false, false),
        ] {
            let saved = saved(&[("SyncAll", "false"), ("SyncNotificationSettings", settings)]);
            let changed = changed_switches(&desired, &saved, given);
            assert_eq!(changed.contains(&"deletion threshold"), differs, "{settings} {given:?}");
            assert_eq!(dropped_threshold(&desired, &saved, given).is_some(), dropped, "{settings} {given:?}");
        }
    }

    #[test]
    fn saved_credentials_are_recognised() {
        assert!(!is_complete(&saved(&[("BaseAddress", "https://scim/t"), ("SecretToken", "")])));
        let both = saved(&[("BaseAddress", "https://scim/t/"), ("SecretToken", "*")]);
        assert!(is_complete(&both) && is_at(&both, "https://scim/t") && !is_at(&both, "https://scim/u"));
        assert!(is_at(&saved(&[("BaseAddress", "*"), ("SecretToken", "*")]), "https://scim/t"));
    }
}
