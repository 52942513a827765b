//! Annotations that say nothing to Causeway: told with the summary, and once with an Event. Pure.

use std::collections::BTreeMap;

use super::outcome::{Managed, Notice, Outcome};
use crate::api::annotations::{
    ABANDON, ACKNOWLEDGE, APPROVE_PRINCIPAL, PROVISION_ON_DEMAND, RECONCILE, RESTART, ROTATE_CERTIFICATE,
};
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};

/// Ours.
const PREFIX: &str = "causeway.dev/";
/// So many characters of what somebody wrote are quoted.
const QUOTED: usize = 80;
/// So many remarks are made at once.
const MOST: usize = 3;

/// What an annotation takes.
struct Word {
    key: &'static str,
    kinds: &'static [&'static str],
    /// What the value is, in words.
    value: &'static str,
    /// Whether a value, or a part of one that is a list, has the form.
    fits: fn(&str) -> bool,
    /// Whether the value is a list.
    list: bool,
}

const ANY: &[&str] = &[IdentityFederation::KIND, ScimConnection::KIND, PermissionSetBinding::KIND];

/// All of them. Requests to a connection are judged where their time is known.
const WORDS: [Word; 7] = [
    Word { key: ABANDON, kinds: ANY, value: "true", fits: |v| v == "true", list: false },
    Word { key: RECONCILE, kinds: ANY, value: "anything new", fits: |_| true, list: false },
    Word {
        key: ACKNOWLEDGE,
        kinds: &[IdentityFederation::KIND],
        value: "SHA-256 thumbprints of certificates (64 hexadecimal digits), as in status.handoff",
        // What the portal shows is SHA-1, of which the trust itself tells.
        fits: |v| is_hex(&v.replace(':', ""), &[64, 40]),
        list: true,
    },
    Word {
        key: ROTATE_CERTIFICATE,
        kinds: &[IdentityFederation::KIND],
        value: "the SHA-256 thumbprint of the certificate to replace (64 hexadecimal digits), as in status.entra.signingCertificates",
        fits: |v| is_hex(&v.replace(':', ""), &[64]),
        list: true,
    },
    Word {
        key: APPROVE_PRINCIPAL,
        kinds: &[IdentityFederation::KIND, PermissionSetBinding::KIND],
        value: "ids, as the message that asks for it has them",
        fits: is_id,
        list: true,
    },
    Word { key: RESTART, kinds: &[ScimConnection::KIND], value: "", fits: |_| true, list: false },
    Word { key: PROVISION_ON_DEMAND, kinds: &[ScimConnection::KIND], value: "", fits: |_| true, list: false },
];

fn is_hex(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// An object id of Entra, or one of an identity store: the same, with ten digits before it in older ones (contract aws 2.1).
fn is_id(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let form = matches!(lengths.as_slice(), [8, 4, 4, 4, 12] | [10, 8, 4, 4, 4, 12]);
    form && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > QUOTED {
        short.push('…');
    }
    short
}

/// What is said of the annotations of a resource that mean nothing.
fn remarks(kind: &str, annotations: &BTreeMap<String, String>) -> Vec<String> {
    let ours = annotations.iter().filter(|(key, _)| key.starts_with(PREFIX));
    ours.filter_map(|(key, value)| {
        let word = WORDS.iter().find(|w| w.key == key);
        let Some(word) = word.filter(|w| w.kinds.contains(&kind)) else {
            let known: Vec<&str> = WORDS.iter().filter(|w| w.kinds.contains(&kind)).map(|w| w.key).collect();
            let known = known.join(", ");
            return Some(format!("annotation {} means nothing on {kind}, which knows {known}", quoted(key)));
        };
        let parts: Vec<&str> = match word.list {
            true => {
                value.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty()).collect()
            }
            false => vec![value.as_str()],
        };
        let strange = parts.into_iter().find(|part| !(word.fits)(part))?;
        Some(format!("annotation {key} is ignored: \"{}\" is not {}", quoted(strange), word.value))
    })
    // A message has an end; who has mended these sees the next ones.
    .take(MOST)
    .collect()
}

/// Adds to an outcome what there is to say of annotations: to the message of `Ready`, and an Event when it is new there.
pub(super) fn add<K: Managed>(object: &K, outcome: &mut Outcome<K::Status>) {
    let Some(annotations) = object.meta().annotations.as_ref() else { return };
    let remarks = remarks(K::KIND, annotations);
    if remarks.is_empty() {
        return;
    }
    let ready = |status: &K::Status| {
        K::conditions(status).iter().find(|c| c.type_ == "Ready").map(|c| c.message.clone())
    };
    let before = object.status().and_then(ready).unwrap_or_default();
    let mut conditions = K::conditions(&outcome.status).to_vec();
    let Some(ready) = conditions.iter_mut().find(|c| c.type_ == "Ready") else { return };
    for remark in remarks {
        if !ready.message.contains(&remark) {
            ready.message = format!("{}; {remark}", ready.message.trim_end_matches('.'));
        }
        if !before.contains(&remark) {
            outcome.notices.push(Notice {
                warning: true,
                reason: "AnnotationIgnored".to_owned(),
                action: "Reconcile",
                note: remark,
            });
        }
    }
    let generation = K::observed_generation(&outcome.status);
    K::set_conditions(&mut outcome.status, generation, conditions);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, key: &str, value: &str) -> String {
        remarks(kind, &[(key.to_owned(), value.to_owned())].into()).join("; ")
    }

    #[test]
    fn what_means_nothing_is_named_with_what_would() {
        let (idf, scim, psb) = (IdentityFederation::KIND, ScimConnection::KIND, PermissionSetBinding::KIND);
        let uuid = "0f0f0f0f-1111-2222-3333-444444444444";
        let sha256 = "ab".repeat(32);
        for (kind, key, value, words) in [
            (psb, "causeway.dev/abandon", "maybe", "\"maybe\" is not true"),
            (psb, "causeway.dev/abandon", "true", ""),
            (idf, "causeway.dev/restart", "Full", "means nothing on IdentityFederation, which knows"),
            (psb, "causeway.dev/aprove-principal", uuid, "causeway.dev/approve-principal"),
            (psb, "causeway.dev/approve-principal", "aws-engineers", "\"aws-engineers\" is not ids"),
            (psb, "causeway.dev/approve-principal", uuid, ""),
            (psb, "causeway.dev/approve-principal", &format!("90670af2ee-{uuid}, {uuid}"), ""),
            (idf, "causeway.dev/acknowledge", "yes", "\"yes\" is not SHA-256 thumbprints"),
            (idf, "causeway.dev/acknowledge", &sha256, ""),
            (idf, "causeway.dev/rotate-certificate", "now", "status.entra.signingCertificates"),
            (idf, "causeway.dev/rotate-certificate", &sha256, ""),
            (scim, "causeway.dev/restart", "judged elsewhere", ""),
            (scim, "causeway.dev/reconcile", "x", ""),
            (scim, "example.com/abandon", "x", ""),
        ] {
            let told = told(kind, key, value);
            assert!(told.contains(words) && (words.is_empty() == told.is_empty()), "{key}={value}: {told}");
        }
        let long = told(psb, "causeway.dev/abandon", &"x".repeat(5000));
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn it_stands_once_in_the_summary_and_is_announced_once() {
        let mut object: PermissionSetBinding = serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding",
            "metadata": {"name": "b", "annotations": {"causeway.dev/abandon": "maybe"}},
            "spec": {"federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"}, "principals": [],
                "accounts": {"include": []}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "good",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap();
        for (nth, events) in [1, 0, 0].into_iter().enumerate() {
            // The third time, the pass leaves the status as it was.
            let fresh = object.clone();
            let mut status = fresh.status.clone().unwrap();
            if nth < 2 {
                status.conditions[0].message = "good".into();
            }
            let mut outcome = Outcome::settled(status);
            add(&object, &mut outcome);
            let message = outcome.status.conditions[0].message.clone();
            assert_eq!(message, "good; annotation causeway.dev/abandon is ignored: \"maybe\" is not true");
            assert_eq!(outcome.notices.len(), events, "{nth}");
            object.status = Some(outcome.status);
        }
    }
}
