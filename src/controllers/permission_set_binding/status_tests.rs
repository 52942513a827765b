use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::clients::aws::assignments::PrincipalKind;
use crate::controllers::permission_set_binding::ledger::{Ledger, Pin};
use crate::controllers::permission_set_binding::observe::AccountSide;
use crate::controllers::permission_set_binding::principals::Subject;
use crate::controllers::permission_set_binding::set_side::SetSide;
use crate::engine::Assigned;
use crate::engine::plan_assignments::AssignmentPlan;

const ACCOUNT: &str = "111122223333";

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn group(name: &str) -> PrincipalId {
    PrincipalId { kind: PrincipalKind::Group, id: name.into() }
}

fn bound(name: &str) -> Standing {
    Standing::Bound(Pin { id: group(name), external_ids: BTreeSet::new() })
}

fn object() -> PermissionSetBinding {
    serde_json::from_value(json!({
        "metadata": {"name": "b", "namespace": "n", "uid": "1", "generation": 3},
        "spec": {
            "federationRef": {"name": "acme"},
            "permissionSet": {"name": "Readers"},
            "principals": [{"group": {"displayName": "a"}}, {"group": {"displayName": "b"}}],
            "accounts": {"include": [{"ids": [ACCOUNT]}]},
        },
    }))
    .unwrap()
}

/// All is well: both groups have the set on the account.
fn well(standings: [Standing; 2]) -> Observed {
    let subjects: Vec<Subject> = ["a", "b"]
        .into_iter()
        .zip(standings)
        .map(|(name, standing)| Subject {
            name: format!("group {name}"),
            kind: PrincipalKind::Group,
            object_id: None,
            vouched: false,
            absent: false,
            live: None,
            pinned: Some(Pin { id: group(name), external_ids: BTreeSet::new() }),
            standing,
        })
        .collect();
    let accounts: BTreeSet<String> = [ACCOUNT.to_owned()].into();
    let grants: BTreeSet<Grant> =
        ["a", "b"].map(|g| Grant { account: ACCOUNT.into(), principal: group(g) }).into();
    Observed {
        set: SetSide { arn: Some("arn:set".into()), marked: true, ..SetSide::default() },
        subjects,
        accounts: AccountSide { named: accounts.clone(), active: accounts, ..AccountSide::default() },
        ledger: Ledger { set_arn: Some("arn:set".into()), grants: grants.clone(), ..Ledger::default() },
        recordable: true,
        removals_only: false,
        assigned: Assigned { observed: grants.clone(), ..Assigned::default() },
        desired: grants,
        stated: BTreeSet::new(),
        unsure: BTreeSet::new(),
        overdue: BTreeSet::new(),
        plan: AssignmentPlan::default(),
        work: None,
        others: None,
        other_names: BTreeMap::new(),
        leaving: None,
    }
}

/// A binding that was as it should be.
fn settled() -> PermissionSetBinding {
    let mut object = object();
    let observed = well([bound("a"), bound("b")]);
    object.status = Some(report(&object, &observed, &Applied::default(), None, now()).status);
    object
}

fn problem(class: Class, reason: Reason) -> Problem {
    Problem::new(class, reason, format!("{class:?}"))
}

fn delay() -> Problem {
    problem(Class::Throttled, Reason::ProgressingWithRetry)
}

fn told(object: &PermissionSetBinding, observed: &Observed) -> Report {
    report(object, observed, &Applied::default(), None, now())
}

fn word(report: &Report, kind: &str) -> (String, String) {
    let found = condition(&report.status.conditions, kind).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn what_only_waits_for_its_turn_changes_nothing() {
    let object = settled();
    let mut observed = well([bound("a"), Standing::Unknown(delay())]);
    observed.set = SetSide::closed(None, delay());
    let report = told(&object, &observed);
    assert!(report.silent && !report.passes && report.class == Some(Class::Throttled));
    assert_eq!(Some(report.status), object.status);
}

#[test]
fn a_delay_of_one_part_does_not_hide_what_is_wrong_with_another() {
    let object = settled();
    let mut observed = well([bound("a"), bound("b")]);
    observed.set = SetSide::closed(None, delay());
    observed.accounts.problem = Some(problem(Class::Denied, Reason::PermissionDenied));
    let report = told(&object, &observed);
    assert!(!report.silent);
    assert_eq!(report.class, Some(Class::Throttled), "what waits for its turn comes back soon");
    assert_eq!(word(&report, "PermissionSetReady"), pair("True", "Succeeded"), "as it was");
    assert_eq!(report.status.permission_set_arn.as_deref(), Some("arn:set"));
    assert_eq!(word(&report, "AssignmentsReady"), pair("False", "PermissionDenied"));
    assert_eq!(word(&report, "Ready"), pair("False", "PermissionDenied"));

    let mut observed = well([bound("a"), Standing::Unknown(delay())]);
    observed.assigned.observed.clear();
    let unread = crate::clients::CloudError {
        service: crate::clients::Service::SsoAdmin,
        operation: "ListAccountAssignmentsForPrincipal",
        kind: crate::clients::CloudErrorKind::Throttled { retry_after: None },
        status: 400,
        code: String::new(),
        message: String::new(),
        request_id: None,
    };
    observed.assigned.unread = [(group("a"), unread)].into();
    observed.set.refuse(problem(Class::Guarded, Reason::NotAllowedByRules));
    let report = told(&object, &observed);
    assert_eq!(word(&report, "PermissionSetReady"), pair("False", "NotAllowedByRules"));
    assert_eq!(word(&report, "PrincipalsResolved"), pair("True", "Succeeded"));
    assert_eq!(word(&report, "AssignmentsReady"), pair("True", "Succeeded"));
    assert_eq!((report.status.current, report.status.pending), (2, 0), "nobody has looked");
    assert_eq!(word(&report, "Stalled").0, "True");
}

#[test]
fn what_was_said_of_an_older_generation_is_not_said_of_this_one() {
    let mut object = settled();
    object.metadata.generation = Some(4);
    let mut observed = well([Standing::Unknown(delay()), Standing::Unknown(delay())]);
    observed.accounts.problem = Some(problem(Class::Denied, Reason::PermissionDenied));
    let report = told(&object, &observed);
    assert_eq!(word(&report, "PrincipalsResolved"), pair("Unknown", "ProgressingWithRetry"));
    assert_eq!(report.status.observed_generation, Some(4));
}

#[test]
fn who_waits_for_provisioning_is_told_of_before_who_could_not_be_looked_up_yet() {
    let object = settled();
    let waits = Standing::Waiting(Reason::AwaitingProvisioning, "soon".into());
    let observed = well([Standing::Unknown(delay()), waits]);
    let mut observed =
        Observed { work: Some(problem(Class::Transient, Reason::CloudUnavailable)), ..observed };
    observed.subjects[0].pinned = None;
    let report = told(&object, &observed);
    assert!(report.passes, "a delay is no failure, and what else failed passes");
    assert_eq!(word(&report, "PrincipalsResolved"), pair("False", "AwaitingProvisioning"));
    assert_eq!(report.status.waiting.len(), 1);
}

#[test]
fn a_look_at_what_runs_that_is_denied_is_told_at_once_and_one_that_fails_for_a_while_is_not() {
    for (class, reason, expected) in [
        (Class::Transient, Reason::CloudUnavailable, pair("Unknown", "Progressing")),
        (Class::Denied, Reason::PermissionDenied, pair("False", "PermissionDenied")),
    ] {
        let mut observed = well([bound("a"), bound("b")]);
        let grant = observed.assigned.observed.pop_first().unwrap();
        observed.assigned.running.insert(grant, crate::engine::tracker::Verb::Create);
        observed.work = Some(problem(class, reason));
        assert_eq!(word(&told(&object(), &observed), "Ready"), expected);
    }
}
