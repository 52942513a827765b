use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::clients::aws::assignments::{PrincipalId, PrincipalKind};

const OLD: &str = "0f0f0f0f-1111-2222-3333-444444444445";
const NEW: &str = "0f0f0f0f-1111-2222-3333-444444444446";

fn principal(value: Value) -> Principal {
    serde_json::from_value(value).unwrap()
}

fn oncall() -> Principal {
    principal(json!({"group": {"displayName": "aws-oncall"}}))
}

fn ada() -> Principal {
    principal(json!({"user": {"userPrincipalName": "ada@acme.example"}}))
}

fn connection(suspend: bool, status: Value) -> ScimConnection {
    serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection",
        "metadata": {"name": "acme", "namespace": "identity"},
        "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "scim"}, "suspend": suspend},
        "status": status,
    }))
    .unwrap()
}

fn binding() -> PermissionSetBinding {
    serde_json::from_value(json!({
        "metadata": {"name": "readers", "namespace": "identity"},
        "spec": {
            "federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"},
            "principals": [], "accounts": {"include": []},
        },
    }))
    .unwrap()
}

fn federation(assignments: Value, conditions: Value) -> IdentityFederation {
    serde_json::from_value(json!({
        "metadata": {"name": "acme", "namespace": "identity"},
        "spec": {
            "entra": {"tenantId": "t", "credentials": {"clientSecret": {
                "clientId": "c", "secretRef": {"name": "s", "key": "k"}}},
                "application": {"assignments": assignments}},
            "aws": {
                "region": "eu-west-1", "credentials": {"secretRef": {"name": "aws"}},
                "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}},
            },
        },
        "status": {"conditions": conditions},
    }))
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_waiting_principal_is_told_when_and_what_is_in_the_way() {
    let ended = "2026-01-01T10:00:05.25Z";
    let now = at("2026-01-01T10:10:00Z");
    let of = |suspend, status| awaited(&oncall(), None, Some(&connection(suspend, status)), None, now);
    assert_eq!(
        of(false, json!({"lastCycle": {"result": "Succeeded", "endedAt": ended}})),
        "group \"aws-oncall\" comes to AWS with the provisioning cycle around 2026-01-01T10:40:05Z (ScimConnection acme)"
    );
    let escrowed = json!({"lastCycle": {"result": "EntryLevelErrors", "endedAt": ended, "escrowed": 2}});
    let failed = json!({"lastCycle": {"result": "Failed", "endedAt": ended, "error": "no such host"}});
    let quarantine = json!({"quarantine": {"reason": "TooManyDeletes"}});
    for (suspend, status, words) in [
        (false, json!({}), "first provisioning cycle"),
        (false, escrowed, "could not write 2 objects, and this may be one of them"),
        (false, failed, "failed (no such host)"),
        (false, quarantine, "is in quarantine (TooManyDeletes)"),
        (true, json!({}), "set its spec.suspend to false"),
    ] {
        let message = of(suspend, status);
        assert!(message.contains(words), "{words}: {message}");
        assert!(!message.contains("longer than"), "{message}");
    }
    assert!(awaited(&oncall(), None, None, None, now).contains("no ScimConnection"));
}

#[test]
fn who_waits_for_more_than_two_cycles_is_told_what_to_check() {
    let connection = connection(false, json!({}));
    let since = at("2026-01-01T10:00:00Z");
    let told = |principal: &Principal, upn, now: &str| {
        awaited(principal, upn, Some(&connection), Some(since), at(now))
    };
    let ada = |now| told(&ada(), Some("ada@acme.example"), now);
    assert!(!ada("2026-01-01T11:20:00Z").contains("since"));
    let message = ada("2026-01-01T11:20:01Z");
    for words in [
        "It waits since 2026-01-01T10:00:00Z, longer than two cycles",
        "in provisioning scope",
        "kubectl annotate scim acme -n identity --overwrite causeway.dev/provision-on-demand=\"ada@acme.example@$(date",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(ada("2026-01-09T11:20:01Z"), message, "it is not written anew for time that passes");
    assert!(told(&oncall(), None, "2026-01-02T00:00:00Z").contains("causeway.dev/restart=\"Default@$(date"));
    let paused = awaited(
        &oncall(),
        None,
        Some(&self::connection(true, json!({}))),
        Some(since),
        at("2026-01-02T00:00:00Z"),
    );
    assert!(!paused.contains("since"), "what is in the way is plain: {paused}");
}

#[test]
fn only_an_id_that_surely_is_another_one_makes_a_successor() {
    let pin = |ids: &[&str]| Pin {
        id: PrincipalId { kind: PrincipalKind::Group, id: "g".into() },
        external_ids: ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(),
    };
    for (pinned, successor) in [
        (None, None),
        (Some(pin(&[])), None),
        (Some(pin(&["e-engineers"])), None),
        (Some(pin(&["e-engineers", OLD])), None),
        (Some(pin(&[OLD, NEW])), None),
        (Some(pin(&[&NEW.to_uppercase()])), None),
        (Some(pin(&[OLD])), Some(OLD.to_owned())),
    ] {
        assert_eq!(predecessor(pinned.as_ref(), NEW), successor, "{pinned:?}");
    }
}

#[test]
fn a_group_that_was_made_anew_is_told_with_both_ids_and_the_command() {
    let command =
        format!("kubectl annotate psb readers -n identity --overwrite causeway.dev/approve-principal={NEW}");
    for (now_called, words) in
        [(None, "was deleted in Entra and made anew"), (Some("old-oncall"), "is called old-oncall now")]
    {
        let message = succeeded(&binding(), &oncall(), OLD, NEW, now_called);
        for part in [words, OLD, NEW] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(message.ends_with(&command), "{message}");
    }
}

#[test]
fn a_line_that_is_there_already_is_not_asked_for_again() {
    let none = federation(json!([]), json!([]));
    assert_eq!(
        unassigned(&oncall(), NEW, &none),
        "group \"aws-oncall\" is not assigned to the application: add `- group: {displayName: aws-oncall}` to spec.entra.application.assignments of IdentityFederation acme"
    );
    let why = json!([{
        "type": "AssignmentsReady", "status": "False", "reason": "PrincipalIdentityChanged",
        "message": "another object", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    for (line, conditions, words) in [
        (json!({"group": {"displayName": "aws-oncall"}}), json!([]), "look at its condition"),
        (json!({"group": {"entraObjectId": NEW.to_uppercase()}}), why, "it says: another object"),
    ] {
        let message = unassigned(&oncall(), NEW, &federation(json!([line]), conditions));
        assert!(!message.contains("add `"), "{message}");
        assert!(message.contains(words), "{message}");
        let command =
            format!("kubectl annotate idf acme -n identity --overwrite causeway.dev/approve-principal={NEW}");
        assert!(message.ends_with(&command), "{message}");
    }
}

#[test]
fn names_that_mean_several_or_are_spelt_otherwise_come_with_what_to_write() {
    let message = ambiguous(&oncall(), &[OLD.to_owned(), NEW.to_owned()]);
    assert!(message.starts_with("Entra has 2 objects called group \"aws-oncall\""), "{message}");
    for id in [OLD, NEW] {
        assert!(message.contains(&format!("`- group: {{entraObjectId: {id}}}`")), "{message}");
    }
    let many: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    assert!(ambiguous(&oncall(), &many).ends_with("or another one"));
    let message = misspelt(&oncall(), &["AWS-Oncall".to_owned()], "the identity store");
    assert!(message.contains("write `displayName: AWS-Oncall` in spec.principals"), "{message}");
    assert!(misspelt(&ada(), &["Ada@acme.example".to_owned()], "Entra").contains("`userPrincipalName: Ada@"));
    assert!(disabled(&ada()).contains("enable the account there"));
    assert!(nowhere(&ada()).contains("correct the name"));
}
