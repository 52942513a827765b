//! Who is assigned and who loses it, on tables.

use std::collections::BTreeSet;

use super::desired::{Resolution, Wanted, WantedPrincipal};
use super::finding::{Finding, Part};
use super::ledger::{Entry, Grant, Ledger};
use super::observed::{AppRole, AppRoleAssignment};
use super::plan::Step;
use super::plan_assignments;
use super::tests::{GRACE, ROLE, assignment, day, ledger, roles, wanted};
use crate::problem::Class;
use crate::status::Reason;

const OTHER: &str = "role-msiam";

type Planned = (Vec<String>, Vec<Finding>, Ledger);

fn lines(wanted: &Wanted, present: &[AppRoleAssignment], stored: &Ledger) -> Planned {
    under(&roles(), wanted, present, stored)
}

fn under(roles: &[AppRole], wanted: &Wanted, present: &[AppRoleAssignment], stored: &Ledger) -> Planned {
    let planned = plan_assignments::plan(wanted, roles, present, stored, day(0), GRACE);
    (planned.steps.iter().map(ToString::to_string).collect(), planned.findings, planned.ledger)
}

/// The application's roles, of which none is usable.
fn unusable() -> Vec<AppRole> {
    roles().into_iter().map(|role| AppRole { is_enabled: false, ..role }).collect()
}

/// Only the second role is usable.
fn only_the_other() -> Vec<AppRole> {
    let usable = |role: AppRole| AppRole { is_enabled: role.id == OTHER, ..role };
    roles().into_iter().map(usable).collect()
}

#[test]
fn what_the_spec_no_longer_names_is_taken_away_and_nothing_else() {
    let present = [
        assignment("id-a", ROLE),
        assignment("id-b", ROLE),
        assignment("id-c", ROLE),
        assignment("id-b", OTHER),
    ];
    let stored = ledger(&[("id-a", "group \"a\""), ("id-b", "group \"b\"")]);
    let (steps, findings, left) = lines(&wanted(&[("group \"a\"", "id-a")]), &present, &stored);
    assert_eq!(steps, ["remove the assignment of group \"b\" (id-b, role role-user)"]);
    assert!(findings.is_empty());
    // The entry stays until the call was made.
    assert_eq!(left, stored);
}

#[test]
fn a_principal_that_does_not_resolve_any_more_keeps_its_access() {
    let present = [assignment("id-a", ROLE), assignment("id-b", ROLE), assignment("stranger", ROLE)];
    let stored = ledger(&[("id-a", "group \"a\""), ("id-b", "group \"b\"")]);
    for exclusive in [false, true] {
        let names = Wanted { exclusive, ..wanted(&[("group \"a\"", "")]) };
        let (steps, findings, _) = lines(&names, &present, &stored);
        // The stated removal of b goes ahead; strangers stay, since a might be one of them.
        assert_eq!(steps, ["remove the assignment of group \"b\" (id-b, role role-user)"]);
        assert_eq!(findings[0].reason, Reason::PrincipalNotFound);
        assert!(
            findings[0].message.contains("group \"a\" does not exist: create it"),
            "{}",
            findings[0].message
        );
    }
}

#[test]
fn exclusive_removes_strangers_after_adding_and_additive_does_not() {
    let before = [assignment("id-a", OTHER), assignment("stranger", ROLE)];
    let names = wanted(&[("group \"a\"", "id-a")]);
    let (steps, _, _) = lines(&names, &before, &Ledger::new());
    assert_eq!(steps, ["assign group \"a\" (id-a)"]);
    // Whatever a principal of the spec has, it keeps until it has the role that is wanted.
    let exclusive = Wanted { exclusive: true, ..names };
    let (steps, _, entered) = lines(&exclusive, &before, &Ledger::new());
    assert_eq!(steps, ["assign group \"a\" (id-a)", "remove the stranger Group \"stranger\" (stranger)"]);
    let after = [assignment("id-a", OTHER), assignment("id-a", ROLE)];
    let (steps, _, _) = lines(&exclusive, &after, &entered);
    assert_eq!(steps, ["remove the stranger Group \"id-a\" (id-a)"]);
}

#[test]
fn access_does_not_move_by_name_alone() {
    let present = [assignment("old", ROLE)];
    let stored = ledger(&[("old", "group \"a\"")]);
    let names = wanted(&[("group \"a\"", "new")]);
    let (steps, findings, left) = lines(&names, &present, &stored);
    assert!(steps.is_empty());
    assert_eq!(
        (findings[0].reason, findings[0].class),
        (Reason::PrincipalIdentityChanged, Some(Class::Guarded))
    );
    assert_eq!(left, stored);
    let approved = Wanted { approved: ["new".to_owned()].into(), ..names.clone() };
    let (steps, findings, left) = lines(&approved, &present, &stored);
    assert_eq!(
        steps,
        ["remove the assignment of group \"a\" (old, role role-user)", "assign group \"a\" (new)"]
    );
    assert!(findings.is_empty());
    assert!(left.contains_key(&Grant::new("new", ROLE)));
    // Once it is in the ledger the approval is not needed any more.
    let (steps, findings, _) = lines(&names, &[assignment("new", ROLE)], &ledger(&[("new", "group \"a\"")]));
    assert!(steps.is_empty() && findings.is_empty());
}

#[test]
fn an_assignment_made_a_moment_ago_is_not_forgotten_before_entra_shows_it() {
    let young: Ledger =
        [(Grant::new("id-a", ROLE), Entry { reference: "group \"a\"".into(), since: day(0) })].into();
    let (steps, findings, left) = lines(&wanted(&[]), &[], &young);
    assert!(steps.is_empty());
    assert_eq!(findings[0].class, Some(Class::Pending));
    assert_eq!(left, young);
    let (_, findings, left) = lines(&wanted(&[]), &[], &ledger(&[("id-a", "group \"a\"")]));
    assert!(findings.is_empty() && left.is_empty());
}

#[test]
fn an_assignment_made_anew_is_young_again() {
    let old = ledger(&[("id-a", "group \"a\"")]);
    let names = wanted(&[("group \"a\"", "id-a")]);
    let (steps, _, entered) = lines(&names, &[], &old);
    assert_eq!(steps, ["assign group \"a\" (id-a)"]);
    assert!(entered[&Grant::new("id-a", ROLE)].since > old[&Grant::new("id-a", ROLE)].since);
    // Not in each pass, and not while it is there.
    assert_eq!(lines(&names, &[], &entered).2, entered);
    assert_eq!(lines(&names, &[assignment("id-a", ROLE)], &old).2, old);
}

#[test]
fn a_name_that_became_an_id_loses_nothing_while_the_id_cannot_be_read() {
    let stored = ledger(&[("0a1b", "group \"a\"")]);
    for resolution in [Resolution::Unknown, Resolution::Missing] {
        let principals = vec![WantedPrincipal { reference: "group 0A1B".into(), resolution }];
        let wanted =
            Wanted { exclusive: false, principals, approved: BTreeSet::new(), approve: String::new() };
        let (steps, _, left) = lines(&wanted, &[assignment("0a1b", ROLE)], &stored);
        assert!(steps.is_empty(), "{steps:?}");
        assert_eq!(left, stored);
    }
}

#[test]
fn the_role_is_found_by_name_or_is_the_only_one() {
    let step = |roles: Vec<AppRole>| {
        let planned = plan_assignments::plan(
            &wanted(&[("group \"a\"", "id-a")]),
            &roles,
            &[],
            &Ledger::new(),
            day(0),
            GRACE,
        );
        match planned.steps.as_slice() {
            [Step::Assign { role, .. }] => Ok(role.clone()),
            _ => Err(planned.findings[0].reason),
        }
    };
    let only = |name: &str| AppRole { display_name: name.into(), ..roles().remove(1) };
    assert_eq!(step(roles()), Ok(ROLE.into()));
    assert_eq!(step(vec![]), Ok(super::observed::DEFAULT_ROLE.into()));
    assert_eq!(step(vec![only("msiam_access")]), Ok(OTHER.into()));
    assert_eq!(step(vec![only("x"), only("y")]), Err(Reason::AppRoleNotFound));
    assert_eq!(step(vec![AppRole { is_enabled: false, ..only("x") }]), Err(Reason::AppRoleNotFound));
}

#[test]
fn ambiguous_names_list_all_ids() {
    let mut names = wanted(&[]);
    names.principals.push(WantedPrincipal {
        reference: "group \"a\"".into(),
        resolution: Resolution::Ambiguous(vec!["id-1".into(), "id-2".into()]),
    });
    let (_, findings, _) = lines(&names, &[], &Ledger::new());
    let message = &findings[0].message;
    assert!(message.contains("name the one that is meant by entraObjectId (id-1, id-2)"), "{message}");
    assert!(!message.contains("create it"), "it is there twice: {message}");
    assert_eq!(findings[0].part, Part::Assignments);
}

#[test]
fn a_stated_removal_needs_no_usable_role() {
    let present = [assignment("id-a", ROLE), assignment("id-b", ROLE), assignment("id-b", OTHER)];
    let stored = ledger(&[("id-a", "group \"a\""), ("id-b", "group \"b\"")]);
    for exclusive in [false, true] {
        // Named and not yet assigned is one more, whom nothing can be done for.
        let names = Wanted { exclusive, ..wanted(&[("group \"a\"", "id-a"), ("group \"c\"", "id-c")]) };
        let (steps, findings, left) = under(&unusable(), &names, &present, &stored);
        assert_eq!(steps, ["remove the assignment of group \"b\" (id-b, role role-user)"]);
        assert_eq!(findings.iter().map(|f| f.reason).collect::<Vec<_>>(), [Reason::AppRoleNotFound]);
        assert_eq!(left, stored);
    }
}

#[test]
fn an_old_role_goes_when_the_new_one_is_there() {
    let names = wanted(&[("group \"a\"", "id-a")]);
    let stored = ledger(&[("id-a", "group \"a\""), ("id-b", "group \"b\"")]);
    let before = [assignment("id-a", ROLE), assignment("id-b", ROLE)];
    let (steps, _, entered) = under(&only_the_other(), &names, &before, &stored);
    // What the spec takes away goes at once, what only changes its role is added first.
    assert_eq!(
        steps,
        ["remove the assignment of group \"b\" (id-b, role role-user)", "assign group \"a\" (id-a)"]
    );
    assert!(
        entered.contains_key(&Grant::new("id-a", OTHER)) && entered.contains_key(&Grant::new("id-a", ROLE))
    );
    let after = [assignment("id-a", ROLE), assignment("id-a", OTHER)];
    let (steps, _, left) = under(&only_the_other(), &names, &after, &entered);
    assert_eq!(steps, ["remove the assignment of group \"a\" (id-a, role role-user)"]);
    assert!(left.contains_key(&Grant::new("id-a", ROLE)), "until the call was made");
    let (steps, _, left) = under(&only_the_other(), &names, &after[1..], &left);
    assert!(steps.is_empty());
    assert_eq!(left.into_keys().collect::<Vec<_>>(), [Grant::new("id-a", OTHER)]);
}

#[test]
fn an_entry_without_a_role_stands_for_the_usable_one() {
    let entry = Entry { reference: "group \"b\"".into(), since: day(-9) };
    let stored: Ledger = [(Grant::new("id-b", ""), entry)].into();
    let present = [assignment("id-b", ROLE)];
    let (steps, _, left) = lines(&wanted(&[]), &present, &stored);
    assert_eq!(steps, ["remove the assignment of group \"b\" (id-b, role role-user)"]);
    assert_eq!(left.into_keys().collect::<Vec<_>>(), [Grant::new("id-b", ROLE)]);
    // None is: it waits for one and is not forgotten.
    let (steps, _, left) = under(&unusable(), &wanted(&[]), &present, &stored);
    assert!(steps.is_empty());
    assert_eq!(left, stored);
}
