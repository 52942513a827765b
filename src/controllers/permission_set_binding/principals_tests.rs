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
        let judged =
            judge("group \"x\"", &bound("RequireApproval"), before.as_ref(), None, found.clone(), &none);
        assert_eq!(matches!(judged, Standing::Bound(_)), same, "{before:?} {found:?}: {judged:?}");
        let rebound = judge("group \"x\"", &bound("Rebind"), before.as_ref(), None, found.clone(), &none);
        assert!(matches!(rebound, Standing::Bound(_)));
        let approved = [found.1.id.clone()].into();
        let approved =
            judge("group \"x\"", &bound("RequireApproval"), before.as_ref(), None, found, &approved);
        assert!(matches!(approved, Standing::Bound(_)));
    }
}

#[test]
fn the_message_says_how_to_approve() {
    let judged = judge(
        "group \"x\"",
        &bound("RequireApproval"),
        Some(&pin("a", &[])),
        None,
        stored("b", &[]),
        &BTreeSet::new(),
    );
    let Standing::Changed(message) = judged else { panic!("{judged:?}") };
    assert!(message.ends_with("annotate the binding with causeway.dev/approve-principal=b"), "{message}");
}

#[test]
fn what_the_store_no_longer_says_is_kept_in_the_pin() {
    let judged = judge(
        "x",
        &bound("RequireApproval"),
        Some(&pin("a", &["e1"])),
        None,
        stored("a", &[]),
        &BTreeSet::new(),
    );
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
    let judged = |on_recreate: &str, approved: &[&str]| {
        let approved = approved.iter().map(|id| (*id).to_owned()).collect();
        judge(
            "group \"x\"",
            &bound(on_recreate),
            None,
            Some("group s on account 1"),
            stored("a", &[]),
            &approved,
        )
    };
    let Standing::Changed(message) = judged("RequireApproval", &[]) else { panic!("bound by name alone") };
    assert!(message.contains("group s on account 1"), "{message}");
    assert!(message.ends_with("annotate the binding with causeway.dev/approve-principal=a"), "{message}");
    assert!(matches!(judged("RequireApproval", &["a"]), Standing::Bound(_)));
    assert!(matches!(judged("RequireApproval", &["b"]), Standing::Changed(_)));
    assert!(matches!(judged("Rebind", &[]), Standing::Bound(_)));

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
