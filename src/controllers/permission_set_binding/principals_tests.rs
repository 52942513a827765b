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

fn judged(pinned: Option<&Pin>, vouched: bool, found: (PrincipalKind, StoredPrincipal)) -> Standing {
    judge("group \"x\"", vouched, pinned, &Ledger::default(), found, |id| format!("approve {id}"))
}

#[test]
fn access_never_moves_by_name_alone() {
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
        let alone = judged(before.as_ref(), false, found.clone());
        assert_eq!(matches!(alone, Standing::Bound(_)), same, "{before:?} {found:?}: {alone:?}");
        assert!(matches!(judged(before.as_ref(), true, found), Standing::Bound(_)));
    }
}

#[test]
fn a_person_approves_by_the_id_of_either_side() {
    let (_, found) = stored("a", &["0F0F0F0F-1111-2222-3333-444444444445"]);
    for (ids, approved) in [
        (&["a"][..], true),
        (&["b", "0f0f0f0f-1111-2222-3333-444444444445"], true),
        (&["b", "A"], false),
        (&[], false),
    ] {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(is_approved(&found, &ids), approved, "{ids:?}");
    }
    assert_eq!(subject_of("Rebind", &[]), (true, true), "once for all times");
    assert_eq!(subject_of("RequireApproval", &["b"]), (true, true));
    assert_eq!(subject_of("RequireApproval", &["a"]), (false, false));
}

/// Whether somebody vouches for the other object that carries a pinned name, and whether it is bound.
fn subject_of(on_recreate: &str, approved: &[&str]) -> (bool, bool) {
    let object: PermissionSetBinding = serde_json::from_value(json!({
        "metadata": {"name": "x", "namespace": "n"},
        "spec": {"federationRef": {"name": "acme"}, "permissionSet": {"name": "Set"},
                 "principals": [bound(on_recreate)], "accounts": {"include": []}},
    }))
    .unwrap();
    let bound = &object.spec.principals[0];
    let principal = principal(bound);
    let ledger = Ledger { pins: [(principal.to_string(), pin("a", &[]))].into(), ..Ledger::default() };
    let mut subject = super::subject(&ledger, bound, &principal, principal.to_string());
    let approved = approved.iter().map(|id| (*id).to_owned()).collect();
    meet(&mut subject, &object, &ledger, stored("b", &[]), &approved);
    (subject.vouched, matches!(subject.standing, Standing::Bound(_)))
}

#[test]
fn the_message_has_both_ids_and_says_how_to_approve() {
    let judged = judged(Some(&pin("a", &["e1"])), false, stored("b", &["e2"]));
    let Standing::Changed(message) = judged else { panic!("{judged:?}") };
    assert!(message.contains("(a, in Entra e1 then; b, in Entra e2 now)"), "{message}");
    assert!(message.ends_with("if it may have the access: approve b"), "{message}");
}

#[test]
fn what_the_store_no_longer_says_is_kept_in_the_pin() {
    let judged = judged(Some(&pin("a", &["e1"])), false, stored("a", &[]));
    assert!(matches!(judged, Standing::Bound(pin) if pin.external_ids.contains("e1")));
}

fn grant(id: &str, account: &str) -> Grant {
    Grant { account: account.into(), principal: pin(id, &[]).id }
}

fn subject(name: &str, pinned: Option<Pin>, standing: Standing) -> Subject {
    Subject {
        name: name.into(),
        kind: PrincipalKind::Group,
        object_id: None,
        vouched: false,
        absent: false,
        live: None,
        pinned,
        standing,
    }
}

fn ledger_of(grants: &[Grant]) -> Ledger {
    Ledger { grants: grants.iter().cloned().collect(), ..Ledger::default() }
}

fn unknown() -> Standing {
    Standing::Unknown(Problem::new(Class::Transient, Reason::CloudUnavailable, "down"))
}

#[test]
fn only_what_the_spec_took_back_is_a_stated_removal() {
    let ledger = ledger_of(&[grant("a", "1"), grant("a", "2"), grant("b", "1"), grant("c", "1")]);
    let accounts: BTreeSet<String> = ["1".to_owned()].into();
    let none = BTreeSet::new();
    let of = |subjects: &[Subject]| stated(&ledger, subjects, &accounts, &BTreeSet::new());
    let both: BTreeSet<Grant> = [grant("a", "2"), grant("c", "1")].into();
    let waiting = || Standing::Waiting(Reason::NotInEntra, String::new());
    // Account 2 and principal c are out of the spec; b no longer resolves, which is no reason to remove.
    let subjects = [
        subject("a", Some(pin("a", &[])), Standing::Bound(pin("a", &[]))),
        subject("b", Some(pin("b", &[])), waiting()),
        subject("new", None, waiting()),
    ];
    assert_eq!(of(&subjects), (both.clone(), none.clone()));
    // Somebody who was never pinned cannot be looked up: c may be his, until that has been waited for long enough.
    let subjects = [
        subject("a", Some(pin("a", &[])), unknown()),
        subject("b", Some(pin("b", &[])), Standing::Changed(String::new())),
        subject("new", None, unknown()),
    ];
    assert_eq!(of(&subjects), ([grant("a", "2")].into(), [grant("c", "1")].into()));
    assert_eq!(stated(&ledger, &subjects, &accounts, &accounts), (both.clone(), none.clone()));
    // All known ones are pinned: nothing that fails holds up the removal of c.
    assert_eq!(of(&subjects[..2]), (both, none));
}

#[test]
fn who_was_not_looked_up_can_be_only_somebody_whom_the_ledger_does_not_rule_out() {
    let mut ledger = ledger_of(&[grant("c", "1")]);
    ledger.pins = [("group \"c\"".to_owned(), pin("c", &["E-C"]))].into();
    let may_be = |new: Subject| {
        let (_, unsure) = stated(&ledger, &[new], &["1".to_owned()].into(), &BTreeSet::new());
        !unsure.is_empty()
    };
    let new = || subject("new", None, unknown());
    assert!(may_be(new()));
    assert!(may_be(Subject { object_id: Some("e-c".into()), ..new() }));
    assert!(!may_be(Subject { object_id: Some("e-d".into()), ..new() }), "another object of Entra");
    assert!(!may_be(Subject { kind: PrincipalKind::User, ..new() }), "a person is no group");
    // The store does not have it; only why is not known.
    assert!(!may_be(Subject { absent: true, ..new() }));
}

#[test]
fn an_approved_successor_ends_its_predecessor() {
    let ledger = ledger_of(&[grant("old", "1")]);
    let subjects = [subject("x", Some(pin("old", &[])), Standing::Bound(pin("new", &[])))];
    let (stated, _) = stated(&ledger, &subjects, &["1".to_owned()].into(), &BTreeSet::new());
    assert_eq!(stated, ledger.grants);
}

#[test]
fn when_the_ledger_was_lost_a_name_needs_a_persons_word_until_it_is_given() {
    let lost = Ledger {
        unproven: [("group \"x\"".to_owned(), "group s on account 1".to_owned())].into(),
        ..Ledger::default()
    };
    let judged =
        |vouched| judge("group \"x\"", vouched, None, &lost, stored("a", &[]), |id| format!("approve {id}"));
    let Standing::Changed(message) = judged(false) else { panic!("bound by name alone") };
    assert!(message.contains("group s on account 1"), "{message}");
    assert!(message.ends_with("if group \"x\" may have the access: approve a"), "{message}");
    assert!(matches!(judged(true), Standing::Bound(_)));

    let unproven: BTreeMap<String, String> =
        ["bound", "changed", "missing", "gone"].map(|n| (n.to_owned(), "s".to_owned())).into();
    let ledger = Ledger { unproven, ..Ledger::default() };
    let subjects = [
        subject("bound", None, Standing::Bound(pin("a", &[]))),
        subject("changed", None, Standing::Changed(String::new())),
        subject("missing", None, Standing::Waiting(Reason::NotInEntra, String::new())),
    ];
    let left: Vec<String> = still_unproven(&ledger, &subjects).into_keys().collect();
    assert_eq!(left, ["changed", "missing"]);
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
