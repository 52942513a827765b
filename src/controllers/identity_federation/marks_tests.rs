//! What carries another owner's mark is in no plan, whatever is wanted and whatever is found. The judge does not read
//! the notes as the code does: it knows what it wrote into them.

use jiff::Timestamp;
use proptest::prelude::*;

use super::cleanup::is_ours;
use super::desired::Desired;
use super::ledger::{self, Ledger};
use super::observed::{AppRole, AppRoleAssignment, Application, Found, SigningCertificate};
use super::plan::plan;
use super::tests::{GRACE, any_found, any_ledger, any_wanted, day, desired};
use crate::status::Reason;

const OWN: &str = "main/identity/acme";

/// One line of an application's notes.
#[derive(Clone, Debug)]
enum Line {
    Text(String),
    Ours,
    Theirs(String),
}

fn line() -> impl Strategy<Value = Line> {
    let theirs = "(main|other)/(identity|team)/[a-z]{1,5}".prop_filter("not ours", |m| m != OWN);
    prop_oneof![
        3 => "[ -~]{0,30}".prop_filter("no mark", |t| !t.contains("Managed by")).prop_map(Line::Text),
        2 => Just(Line::Ours),
        2 => theirs.prop_map(Line::Theirs),
    ]
}

/// As people and machines leave it: blanks around a line, either kind of line end.
fn notes(lines: &[Line], blanks: &str, end: &str) -> String {
    let written = lines.iter().map(|line| match line {
        Line::Text(text) => text.clone(),
        Line::Ours => format!("{blanks}Managed by Causeway: {OWN}{blanks}"),
        Line::Theirs(mark) => format!("{blanks}Managed by Causeway: {mark}{blanks}"),
    });
    written.collect::<Vec<_>>().join(end)
}

fn is_foreign(lines: &[Line]) -> bool {
    lines.iter().any(|line| matches!(line, Line::Theirs(_)))
}

prop_compose! {
    fn any_desired()(
        wanted in proptest::option::of(any_wanted()), display_name in "[A-Z]{1,3}", required: bool, aws: bool,
        acknowledged in proptest::collection::btree_set("[0-9a-f]{4}", 0..2),
    ) -> Desired {
        let base = desired();
        Desired {
            display_name,
            assignment_required: required,
            service_provider: base.service_provider.clone().filter(|_| aws),
            acknowledged,
            assignments: wanted,
            ..base
        }
    }
}

proptest! {
    #[test]
    fn no_plan_touches_an_application_with_a_foreign_mark(
        desired in any_desired(), found in any_found(), stored in any_ledger(), contested: bool,
        lines in proptest::collection::vec(line(), 0..5), blanks in "[ \t]{0,2}", end in "(\n|\r\n)",
    ) {
        let mut found = found;
        found.application.notes = Some(notes(&lines, &blanks, &end));
        let mut planned = plan(&desired, Some(&found), &stored, day(0), GRACE);
        if contested {
            planned.only_take_away(lines.iter().any(|l| matches!(l, Line::Ours)), &stored);
        }
        let owned = planned.findings.iter().any(|f| f.reason == Reason::OwnedByOther);
        prop_assert_eq!(owned, is_foreign(&lines));
        if is_foreign(&lines) {
            prop_assert!(planned.plan.is_empty(), "{:?}", planned.plan);
            // Nor does the ledger say anything else than before.
            prop_assert!(planned.ledger.is_none_or(|ledger| ledger == stored));
        }
    }

    #[test]
    fn only_what_carries_no_other_mark_is_ever_deleted(
        lines in proptest::collection::vec(line(), 0..5), blanks in "[ \t]{0,2}", end in "(\n|\r\n)", one_off: bool,
    ) {
        let desired = desired();
        let display_name = if one_off { desired.one_off_name.clone() } else { "AWS".to_owned() };
        let notes = Some(notes(&lines, &blanks, &end));
        let application = Application { notes, display_name, ..Application::default() };
        let marked = lines.iter().any(|l| matches!(l, Line::Ours));
        prop_assert_eq!(is_ours(&application, &desired), !is_foreign(&lines) && (marked || one_off));
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![".{0,20}", "[0-9a-f-]{0,36}", "CN=causeway-0a1b2c3d-[0-9]{0,30}"]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![
        Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
        1_700_000_000i64..1_900_000_000,
    ];
    seconds.prop_map(|second| Timestamp::from_second(second).unwrap())
}

prop_compose! {
    fn certificate()(name in word(), der in proptest::collection::vec(any::<u8>(), 0..4), from in moment(), to in moment()) -> SigningCertificate {
        SigningCertificate::new(name, der, from, to)
    }
}

prop_compose! {
    fn assignment()(principal_id in word(), app_role_id in word(), id in word(), principal_type in word(), principal_display_name in word()) -> AppRoleAssignment {
        AppRoleAssignment { principal_id, app_role_id, id, principal_type, principal_display_name }
    }
}

prop_compose! {
    fn role()(id in word(), display_name in prop_oneof![word(), Just("User".to_owned())], is_enabled: bool, people: bool) -> AppRole {
        let allowed_member_types = if people { vec!["User".to_owned()] } else { vec![] };
        AppRole { id, display_name, is_enabled, allowed_member_types }
    }
}

prop_compose! {
    /// Anything that Entra may answer, whether it makes sense or not.
    fn anything_found()(
        notes in proptest::option::of("(.|\n){0,80}"), display_name in word(),
        uris in proptest::collection::vec(word(), 0..3), mode in proptest::option::of(word()), required: bool,
        thumbprint in proptest::option::of(word()), mails in proptest::collection::vec(word(), 0..3),
        roles in proptest::collection::vec(role(), 0..3),
        certificates in proptest::option::of(proptest::collection::vec(certificate(), 0..4)),
        assignments in proptest::option::of(proptest::collection::vec(assignment(), 0..5)), active: bool,
    ) -> Found {
        let mut found = Found::default();
        found.application.notes = notes;
        found.application.display_name = display_name;
        found.application.identifier_uris.clone_from(&uris);
        found.application.web.redirect_uris = uris;
        found.principal.preferred_single_sign_on_mode = mode;
        found.principal.app_role_assignment_required = required;
        found.principal.notification_email_addresses = mails;
        found.principal.app_roles = roles;
        let first = certificates.iter().flatten().next().map(|c| c.sha1.to_lowercase());
        found.principal.preferred_token_signing_key_thumbprint = if active { first } else { thumbprint };
        found.certificates = certificates;
        found.assignments = assignments;
        found
    }
}

proptest! {
    /// Total and steady: whatever is found at whatever time is decided about, twice in the same way, in order.
    #[test]
    fn whatever_is_found_is_decided_about(
        desired in any_desired(), found in anything_found(), now in moment(),
        stored in proptest::collection::btree_map(word(), word(), 0..5),
    ) {
        let stored: Ledger = ledger::decode(&stored);
        let planned = plan(&desired, Some(&found), &stored, now, GRACE);
        let again = plan(&desired, Some(&found), &stored, now, GRACE);
        prop_assert_eq!(&planned.plan, &again.plan);
        prop_assert_eq!(planned.ledger, again.ledger);
        prop_assert!(planned.plan.steps.is_sorted());
    }
}
