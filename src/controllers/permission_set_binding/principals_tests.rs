use serde_json::json;

use super::*;

fn pin(id: &str, external: &[&str]) -> Pin {
    Pin {
        id: PrincipalId { kind: PrincipalKind::Group, id: id.into() },
        external_ids: external.iter().map(|e| (*e).to_owned()).collect(),
    }
}

fn stored(id: &str, external: &[&str]) -> (PrincipalKind, StoredPrincipal) {
    let external_ids =
        external.iter().map(|e| StoredExternalId { issuer: "scim".into(), id: (*e).to_owned() }).collect();
    (PrincipalKind::Group, StoredPrincipal { id: id.into(), name: "x".into(), external_ids })
}

fn bound(on_recreate: &str) -> BoundPrincipal {
    serde_json::from_value(json!({"group": {"displayName": "x"}, "onRecreate": on_recreate})).unwrap()
}

#[test]
fn access_never_moves_by_name_alone() {
    let none = BTreeSet::new();
    // Pinned before, found now, whether it is the same.
    let table = [
        (None, stored("a", &["e1"]), true),
        (Some(pin("a", &["e1"])), stored("a", &["e1"]), true),
        (Some(pin("a", &[])), stored("a", &["e1"]), true),
        (Some(pin("a", &["e1"])), stored("a", &[]), true),
        (Some(pin("a", &[])), stored("b", &[]), false),
        (Some(pin("a", &["e1"])), stored("b", &["e2"]), false),
        // The store made the same Entra object anew.
        (Some(pin("a", &["e1"])), stored("b", &["e1"]), true),
        // Entra's group was deleted, and another one of that name took over the object in the store.
        (Some(pin("a", &["e1"])), stored("a", &["e2"]), false),
        (Some(pin("a", &["e1"])), stored("b", &[]), false),
    ];
    for (before, found, same) in table {
        let judged = judge("group \"x\"", &bound("RequireApproval"), before.as_ref(), found.clone(), &none);
        assert_eq!(matches!(judged, Standing::Bound(_)), same, "{before:?} {found:?}: {judged:?}");
        let rebound = judge("group \"x\"", &bound("Rebind"), before.as_ref(), found.clone(), &none);
        assert!(matches!(rebound, Standing::Bound(_)));
        let approved = [found.1.id.clone()].into();
        let approved = judge("group \"x\"", &bound("RequireApproval"), before.as_ref(), found, &approved);
        assert!(matches!(approved, Standing::Bound(_)));
    }
}

#[test]
fn the_message_says_how_to_approve() {
    let judged = judge(
        "group \"x\"",
        &bound("RequireApproval"),
        Some(&pin("a", &[])),
        stored("b", &[]),
        &BTreeSet::new(),
    );
    let Standing::Changed(message) = judged else { panic!("{judged:?}") };
    assert!(message.ends_with("annotate the binding with causeway.dev/approve-principal=b"), "{message}");
}

#[test]
fn what_the_store_no_longer_says_is_kept_in_the_pin() {
    let judged =
        judge("x", &bound("RequireApproval"), Some(&pin("a", &["e1"])), stored("a", &[]), &BTreeSet::new());
    assert!(matches!(judged, Standing::Bound(pin) if pin.external_ids.contains("e1")));
}

fn grant(id: &str, account: &str) -> Grant {
    Grant { account: account.into(), principal: pin(id, &[]).id }
}

fn subject(name: &str, pinned: Option<Pin>, standing: Standing) -> Subject {
    Subject { name: name.into(), pinned, standing }
}

fn unknown() -> Standing {
    Standing::Unknown(Problem::new(Class::Transient, Reason::CloudUnavailable, "down"))
}

#[test]
fn only_what_the_spec_took_back_is_a_stated_removal() {
    let ledger: BTreeSet<Grant> = [grant("a", "1"), grant("a", "2"), grant("b", "1"), grant("c", "1")].into();
    let accounts = ["1".to_owned()].into();
    let waiting = || Standing::Waiting(Reason::NotInEntra, String::new());
    // Account 2 and principal c are out of the spec; b no longer resolves, which is no reason to remove.
    let subjects = [
        subject("a", Some(pin("a", &[])), Standing::Bound(pin("a", &[]))),
        subject("b", Some(pin("b", &[])), waiting()),
        subject("new", None, waiting()),
    ];
    assert_eq!(stated(&ledger, &subjects, &accounts), [grant("a", "2"), grant("c", "1")].into());
    // Somebody who was never pinned cannot be looked up: c may be his.
    let subjects = [
        subject("a", Some(pin("a", &[])), unknown()),
        subject("b", Some(pin("b", &[])), Standing::Changed(String::new())),
        subject("new", None, unknown()),
    ];
    assert_eq!(stated(&ledger, &subjects, &accounts), [grant("a", "2")].into());
    // All known ones are pinned: nothing that fails holds up the removal of c.
    assert_eq!(stated(&ledger, &subjects[..2], &accounts), [grant("a", "2"), grant("c", "1")].into());
}

#[test]
fn an_approved_successor_ends_its_predecessor() {
    let ledger: BTreeSet<Grant> = [grant("old", "1")].into();
    let subjects = [subject("x", Some(pin("old", &[])), Standing::Bound(pin("new", &[])))];
    assert_eq!(stated(&ledger, &subjects, &["1".to_owned()].into()), ledger);
}

#[test]
fn pins_stay_as_long_as_something_is_left() {
    let ledger = Ledger {
        pins: [("gone".to_owned(), pin("g", &[])), ("kept".to_owned(), pin("k", &["e"]))].into(),
        ..Ledger::default()
    };
    let subjects = [
        subject("kept", Some(pin("k", &["e"])), unknown()),
        subject("new", None, Standing::Bound(pin("n", &[]))),
    ];
    let left = [grant("g", "1")].into();
    let names = |left: &BTreeSet<Grant>| pins(&ledger, &subjects, left).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&left), ["gone", "kept", "new"]);
    assert_eq!(names(&BTreeSet::new()), ["kept", "new"]);
}
