//! Planning, judged on tables and on a model of Entra.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::desired::{CertificatePolicy, Desired, Resolution, ServiceProvider, Wanted, WantedPrincipal};
use super::ledger::{Entry, Grant, Ledger};
use super::observed::{AppRole, AppRoleAssignment, Found, SigningCertificate};
use super::plan::{Planned, Step, plan};
use super::plan_certificates;
use crate::status::Reason;

pub(super) const GRACE: Duration = Duration::from_secs(1200);
pub(super) const ROLE: &str = "role-user";

pub(super) fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
}

pub(super) fn roles() -> Vec<AppRole> {
    ["User", "msiam_access"]
        .into_iter()
        .map(|name| AppRole {
            id: if name == "User" { ROLE.into() } else { "role-msiam".into() },
            display_name: name.into(),
            is_enabled: true,
            allowed_member_types: vec!["User".into()],
        })
        .collect()
}

fn policy() -> CertificatePolicy {
    CertificatePolicy {
        lifetime: SignedDuration::from_hours(26_280),
        rotate_before: SignedDuration::from_hours(1_440),
        subject_prefix: "CN=causeway-0a1b2c3d-".into(),
        rotate: BTreeSet::new(),
    }
}

pub(super) fn desired() -> Desired {
    Desired {
        mark: "main/identity/acme".into(),
        one_off_name: "causeway-uid".into(),
        display_name: "AWS".into(),
        assignment_required: true,
        notify: Some(["idp@acme.example".to_owned()].into()),
        service_provider: Some(ServiceProvider {
            entity_id: "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1".into(),
            reply_urls: vec!["https://a.signin.aws/acs".into(), "https://b.signin.aws/acs".into()],
        }),
        certificate: policy(),
        acknowledged: BTreeSet::new(),
        assignments: Some(wanted(&[("group \"a\"", "id-a")])),
    }
}

pub(super) fn wanted(principals: &[(&str, &str)]) -> Wanted {
    let principals = principals
        .iter()
        .map(|(reference, id)| WantedPrincipal {
            reference: (*reference).into(),
            resolution: if id.is_empty() { Resolution::Missing } else { Resolution::Found((*id).into()) },
        })
        .collect();
    Wanted { exclusive: false, principals, approved: BTreeSet::new(), approve: String::new() }
}

pub(super) fn assignment(principal: &str, role: &str) -> AppRoleAssignment {
    AppRoleAssignment {
        principal_id: principal.into(),
        app_role_id: role.into(),
        id: format!("{principal}/{role}"),
        principal_type: "Group".into(),
        principal_display_name: principal.into(),
    }
}

pub(super) fn ledger(entries: &[(&str, &str)]) -> Ledger {
    entries
        .iter()
        .map(|(id, reference)| {
            (Grant::new(id, ROLE), Entry { reference: (*reference).into(), since: day(-9) })
        })
        .collect()
}

fn certificate(name: &str, end: Timestamp) -> SigningCertificate {
    SigningCertificate::new(name.into(), format!("{name} {end}").into_bytes(), day(-900), end)
}

/// Carries a plan out on a model of Entra and of the ledger.
fn carry_out(
    planned: &Planned,
    found: Option<Found>,
    stored: Ledger,
    now: Timestamp,
) -> (Option<Found>, Ledger) {
    let mut found = found;
    let mut ledger = planned.ledger.clone().unwrap_or(stored);
    for step in &planned.plan.steps {
        if let Step::Instantiate { name } = step {
            let mut made =
                Found { certificates: Some(vec![]), assignments: Some(vec![]), ..Found::default() };
            made.application.display_name.clone_from(name);
            made.principal.app_roles = roles();
            found = Some(made);
            // The rest of a plan without an application only shows what follows.
            break;
        }
        let Some(found) = found.as_mut() else { break };
        let assignments = found.assignments.get_or_insert_default();
        match step {
            Step::Instantiate { .. } => {}
            Step::Label { notes, display_name } => {
                found.application.notes = Some(notes.clone());
                found.application.display_name.clone_from(display_name);
            }
            Step::ConfigureSignOn { saml, assignment_required, notify } => {
                if *saml {
                    found.principal.preferred_single_sign_on_mode = Some("saml".into());
                }
                if let Some(required) = assignment_required {
                    found.principal.app_role_assignment_required = *required;
                }
                if let Some(notify) = notify {
                    found.principal.notification_email_addresses.clone_from(notify);
                }
            }
            Step::SetServiceProvider { identifiers, reply_urls } => {
                found.application.identifier_uris.clone_from(identifiers);
                found.application.web.redirect_uris.clone_from(reply_urls);
                found.application.web.redirect_uris.reverse();
            }
            Step::CreateCertificate { subject, hours, .. } => {
                let end = now.checked_add(SignedDuration::from_hours(*hours)).unwrap();
                found.certificates.get_or_insert_default().push(certificate(subject, end));
            }
            Step::ActivateCertificate { sha1, .. } => {
                found.principal.preferred_token_signing_key_thumbprint = Some(sha1.clone());
            }
            Step::Assign { principal, role, .. } => assignments.push(assignment(principal, role)),
            Step::Withdraw { assignment, principal, role, .. } => {
                assignments.retain(|a| a.id != *assignment);
                ledger.remove(&Grant::new(principal, role));
            }
            Step::Expel { assignment, .. } => assignments.retain(|a| a.id != *assignment),
        }
    }
    (found, ledger)
}

/// Plans and carries out until nothing is left; how many rounds that took.
fn settle(
    desired: &Desired,
    mut found: Option<Found>,
    mut ledger: Ledger,
    now: Timestamp,
) -> (Found, Ledger, usize) {
    for round in 0..6 {
        let planned = plan(desired, found.as_ref(), &ledger, now, GRACE);
        if planned.plan.is_empty() && planned.ledger.as_ref().is_none_or(|l| *l == ledger) {
            return (found.expect("nothing to do without an application"), ledger, round);
        }
        (found, ledger) = carry_out(&planned, found, ledger, now);
    }
    panic!("does not settle");
}

#[test]
fn an_empty_tenant_ends_as_wanted_and_stays_so() {
    let (found, entered, rounds) = settle(&desired(), None, Ledger::new(), day(0));
    // Instantiate; everything with a certificate; activate it.
    assert_eq!(rounds, 3);
    assert_eq!(found.application.display_name, "AWS");
    assert_eq!(found.application.notes.as_deref(), Some("Managed by Causeway: main/identity/acme"));
    assert_eq!(found.certificates.as_ref().unwrap()[0].name, "CN=causeway-0a1b2c3d-1");
    assert_eq!(found.assignments.as_ref().unwrap().len(), 1);
    assert_eq!(entered[&Grant::new("id-a", ROLE)].reference, "group \"a\"");
    // A cluster rebuilt from Git: no ledger, another uid. The ledger is made anew, Entra is not touched.
    let rebuilt = Desired { one_off_name: "causeway-other".into(), ..desired() };
    let planned = plan(&rebuilt, Some(&found), &Ledger::new(), day(1), GRACE);
    assert!(planned.plan.is_empty(), "{:?}", planned.plan);
    assert_eq!(planned.ledger.unwrap().into_keys().collect::<Vec<_>>(), [Grant::new("id-a", ROLE)]);
}

#[test]
fn other_notes_stay_and_drift_is_mended_once() {
    let (mut found, entered, _) = settle(&desired(), None, Ledger::new(), day(0));
    found.application.notes = Some("ask Ada first".into());
    found.application.web.redirect_uris.push("https://elsewhere.example/".into());
    found.principal.notification_email_addresses = vec!["IDP@acme.example".into()];
    let planned = plan(&desired(), Some(&found), &entered, day(0), GRACE);
    let lines: Vec<String> = planned.plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "name the application \"AWS\" and mark it");
    assert!(lines[1].starts_with("set identifiers [https://eu-west-1.signin"), "{lines:?}");
    let (found, _, _) = settle(&desired(), Some(found), entered, day(0));
    assert_eq!(
        found.application.notes.as_deref(),
        Some("ask Ada first\nManaged by Causeway: main/identity/acme")
    );
}

#[test]
fn identifiers_wait_for_awss_metadata_and_are_never_taken_away_without_it() {
    let (found, entered, _) = settle(&desired(), None, Ledger::new(), day(0));
    let without = Desired { service_provider: None, ..desired() };
    assert!(plan(&without, Some(&found), &entered, day(0), GRACE).plan.is_empty());
}

#[test]
fn what_could_not_be_read_is_not_touched() {
    let (mut found, entered, _) = settle(&desired(), None, Ledger::new(), day(0));
    found.certificates = None;
    found.assignments = None;
    let exclusive = Desired { assignments: Some(Wanted { exclusive: true, ..wanted(&[]) }), ..desired() };
    let planned = plan(&exclusive, Some(&found), &entered, day(0), GRACE);
    assert!(planned.plan.is_empty() && planned.ledger.is_none());
}

// Certificates.

fn decide(
    certificates: &[SigningCertificate],
    active: Option<&str>,
    acknowledged: &[&str],
    now: Timestamp,
) -> plan_certificates::CertificatePlan {
    let acknowledged = acknowledged.iter().map(|a| (*a).to_owned()).collect();
    plan_certificates::plan(&policy(), &acknowledged, certificates, active, now)
}

#[test]
fn certificates_are_made_and_activated_in_turn() {
    let first = certificate("CN=causeway-0a1b2c3d-1", day(100));
    let next = certificate("CN=causeway-0a1b2c3d-2", day(1100));
    let stranger = certificate("CN=portal", day(2000));
    let both = [first.clone(), next.clone()];
    let active = Some(first.sha1.as_str());
    let create = |n: u32, successor: bool| {
        Some(Step::CreateCertificate {
            subject: format!("CN=causeway-0a1b2c3d-{n}"),
            hours: 26_280,
            successor,
        })
    };
    let activate = |c: &SigningCertificate| {
        Some(Step::ActivateCertificate { sha1: c.sha1.clone(), sha256: c.sha256.clone() })
    };

    assert_eq!(decide(&[], None, &[], day(0)).step, create(1, false));
    // The first one is activated at once; a stranger's is not.
    assert_eq!(decide(std::slice::from_ref(&first), None, &[], day(0)).step, activate(&first));
    assert_eq!(decide(std::slice::from_ref(&stranger), None, &[], day(0)).step, create(1, false));
    assert_eq!(
        decide(std::slice::from_ref(&stranger), None, &[&stranger.sha256], day(0)).step,
        activate(&stranger)
    );
    // At rest, until sixty days before its end; case of the thumbprint does not matter.
    let lower = first.sha1.to_lowercase();
    assert_eq!(decide(std::slice::from_ref(&first), Some(&lower), &[], day(39)).step, None);
    assert_eq!(decide(std::slice::from_ref(&first), active, &[], day(40)).step, create(2, true));
    // The successor waits until AWS has it.
    let waiting = decide(&both, active, &[&first.sha256], day(41));
    assert_eq!((waiting.step, waiting.successor.as_ref()), (None, Some(&next)));
    assert_eq!(waiting.finding.unwrap().reason, Reason::CertificateRotation);
    assert_eq!(waiting.active.as_deref(), Some(first.sha256.as_str()));
    assert_eq!(decide(&both, active, &[&next.sha256], day(41)).step, activate(&next));
    let three = [first.clone(), next.clone(), stranger.clone()];
    assert_eq!(decide(&three, active, &[&next.sha256], day(41)).step, activate(&next));
    assert_eq!(
        decide(&both, Some(&next.sha1), &[], day(41)),
        plan_certificates::CertificatePlan { active: Some(next.sha256.clone()), ..Default::default() }
    );
    // Once the active one has ended nothing is lost by going on: Entra signs with the other anyway.
    let ended = decide(&both, active, &[], day(101));
    assert_eq!(ended.step, activate(&next));
    assert_eq!(ended.finding.unwrap().reason, Reason::CertificateExpired);
    assert_eq!(decide(std::slice::from_ref(&first), active, &[], day(101)).step, create(2, false));
}

#[test]
fn a_certificate_that_a_person_names_is_replaced_now_and_its_successor_is_not() {
    let first = certificate("CN=causeway-0a1b2c3d-1", day(1000));
    let next = certificate("CN=causeway-0a1b2c3d-2", day(1001));
    let asked = CertificatePolicy { rotate: [first.sha256.clone()].into(), ..policy() };
    let decide = |certificates: &[SigningCertificate], active: &SigningCertificate, acknowledged: &[&str]| {
        let acknowledged = acknowledged.iter().map(|a| (*a).to_owned()).collect();
        plan_certificates::plan(&asked, &acknowledged, certificates, Some(&active.sha1), day(1))
    };
    let made = decide(std::slice::from_ref(&first), &first, &[&first.sha256]);
    assert!(matches!(made.step, Some(Step::CreateCertificate { successor: true, .. })), "{made:?}");
    let both = [first.clone(), next.clone()];
    let waiting = decide(&both, &first, &[&first.sha256]);
    assert_eq!((waiting.step, waiting.successor.as_ref()), (None, Some(&next)));
    assert!(waiting.finding.unwrap().message.contains("causeway.dev/rotate-certificate"));
    let ready = decide(&both, &first, &[&next.sha256]);
    assert!(matches!(ready.step, Some(Step::ActivateCertificate { sha256, .. }) if sha256 == next.sha256));
    // The annotation may stand for ever.
    let rests = decide(&both, &next, &[&next.sha256]);
    assert_eq!((rests.step, rests.finding), (None, None));
    // Also when the lifetime was made shorter meanwhile: one is made, and no more.
    let short = certificate("CN=causeway-0a1b2c3d-2", day(900));
    let both = [first.clone(), short.clone()];
    let waiting = decide(&both, &first, &[&first.sha256]);
    assert_eq!((waiting.step, waiting.successor.as_ref()), (None, Some(&short)));
    let ready = decide(&both, &first, &[&first.sha256, &short.sha256]);
    assert!(matches!(ready.step, Some(Step::ActivateCertificate { sha256, .. }) if sha256 == short.sha256));
    // What was replaced does not come back, although it lasts longer and AWS has it: neither while it is named nor later.
    for policy in [&asked, &policy()] {
        let known: BTreeSet<String> = [first.sha256.clone(), short.sha256.clone()].into();
        let due = plan_certificates::plan(policy, &known, &both, Some(&short.sha1), day(890));
        assert!(matches!(due.step, Some(Step::CreateCertificate { successor: true, .. })), "{due:?}");
    }
    let known: BTreeSet<String> = [first.sha256.clone()].into();
    let ended = plan_certificates::plan(&asked, &known, &both, Some(&short.sha1), day(901));
    assert!(matches!(ended.step, Some(Step::CreateCertificate { .. })), "{ended:?}");
}

#[test]
fn a_certificate_that_would_be_replaced_at_once_is_refused() {
    let never = CertificatePolicy { rotate_before: SignedDuration::from_hours(26_280), ..policy() };
    let decided = plan_certificates::plan(&never, &BTreeSet::new(), &[], None, day(0));
    assert_eq!(decided.step, None);
    assert_eq!(decided.finding.unwrap().reason, Reason::InvalidSpec);
}

// Any world.

fn id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(str::to_owned)
}

fn resolution() -> impl Strategy<Value = Resolution> {
    prop_oneof![
        4 => id().prop_map(Resolution::Found),
        1 => Just(Resolution::Missing),
        1 => Just(Resolution::Unknown),
        1 => prop::collection::vec(id(), 2..4).prop_map(Resolution::Ambiguous),
    ]
}

prop_compose! {
    pub(super) fn any_wanted()(
        names in prop::collection::btree_map(id().prop_map(|n| format!("group \"{n}\"")), resolution(), 0..5),
        exclusive: bool,
        approved in prop::collection::btree_set(id(), 0..3),
    ) -> Wanted {
        let principals =
            names.into_iter().map(|(reference, resolution)| WantedPrincipal { reference, resolution }).collect();
        Wanted { exclusive, principals, approved, approve: String::new() }
    }
}

prop_compose! {
    pub(super) fn any_found()(
        held in prop::collection::btree_set((id(), prop::sample::select(vec![ROLE, "role-msiam"])), 0..8),
        ends in prop::collection::btree_set(-5i64..1200, 0..4),
        active in prop::option::of(0usize..4),
        notes in prop::option::of(prop::sample::select(vec!["", "text", "Managed by Causeway: main/identity/acme"])),
        saml: bool,
        uris in prop::collection::vec("https://[ab]\\.signin\\.aws/acs", 0..3),
    ) -> Found {
        let certificates: Vec<SigningCertificate> =
            ends.iter().enumerate().map(|(n, end)| certificate(&format!("CN=causeway-0a1b2c3d-{n}"), day(*end))).collect();
        let mut found = Found { assignments: Some(held.iter().map(|(p, r)| assignment(p, r)).collect()), ..Found::default() };
        found.principal.preferred_token_signing_key_thumbprint =
            active.and_then(|n| certificates.get(n)).map(|c| c.sha1.clone());
        found.principal.preferred_single_sign_on_mode = saml.then(|| "saml".to_owned());
        found.principal.app_roles = roles();
        found.certificates = Some(certificates);
        found.application.notes = notes.map(str::to_owned);
        found.application.web.redirect_uris = uris;
        found
    }
}

pub(super) fn any_ledger() -> impl Strategy<Value = Ledger> {
    let role = prop::sample::select(vec![ROLE, "role-msiam", "role-gone", ""]);
    prop::collection::btree_map((id(), role), (id(), -9i64..1), 0..6).prop_map(|entries| {
        entries
            .into_iter()
            .map(|((id, role), (name, age))| {
                (Grant::new(&id, role), Entry { reference: format!("group \"{name}\""), since: day(age) })
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn any_world_settles(wanted in any_wanted(), found in prop::option::of(any_found()), stored in any_ledger(), acknowledge: bool) {
        let mut desired = Desired { assignments: Some(wanted), ..desired() };
        if acknowledge {
            desired.acknowledged =
                found.iter().flat_map(|f| f.certificates.iter().flatten()).map(|c| c.sha256.clone()).collect();
        }
        let (settled, left, _) = settle(&desired, found, stored, day(0));
        let again = plan(&desired, Some(&settled), &left, day(0), GRACE);
        prop_assert!(again.plan.is_empty());
    }

    #[test]
    fn the_order_of_what_is_read_means_nothing(wanted in any_wanted(), found in any_found(), stored in any_ledger()) {
        let desired = Desired { assignments: Some(wanted), ..desired() };
        let planned = plan(&desired, Some(&found), &stored, day(0), GRACE);
        let (mut turned, mut other) = (found, desired);
        turned.assignments.as_mut().unwrap().reverse();
        turned.certificates.as_mut().unwrap().reverse();
        turned.principal.app_roles.reverse();
        turned.application.web.redirect_uris.reverse();
        other.assignments.as_mut().unwrap().principals.reverse();
        let again = plan(&other, Some(&turned), &stored, day(0), GRACE);
        prop_assert_eq!(planned.plan, again.plan);
        prop_assert_eq!(planned.ledger, again.ledger);
    }

    #[test]
    fn nobody_loses_access_whom_the_ledger_does_not_know(wanted in any_wanted(), found in any_found(), stored in any_ledger()) {
        let additive = Wanted { exclusive: false, ..wanted };
        let desired = Desired { assignments: Some(additive.clone()), ..desired() };
        let planned = plan(&desired, Some(&found), &stored, day(0), GRACE);
        let held = found.assignments.clone().unwrap_or_default();
        for step in &planned.plan.steps {
            match step {
                Step::Expel { .. } => prop_assert!(false, "additive removes strangers"),
                Step::Withdraw { principal, role, who, .. } => {
                    let broken = stored.contains_key(&Grant::new(principal, "")) && role == ROLE;
                    prop_assert!(stored.contains_key(&Grant::new(principal, role)) || broken);
                    // Named and unresolved is an error, never a removal; unless it is an old role of somebody whom
                    // another name means, and who has the usable one.
                    let unresolved = additive.principals.iter().any(|p| {
                        p.reference == *who && !matches!(p.resolution, Resolution::Found(_))
                    });
                    let meant = additive.principals.iter().any(|p| p.resolution == Resolution::Found(principal.clone()));
                    let holds = held.iter().any(|a| a.principal_id == *principal && a.app_role_id == ROLE);
                    prop_assert!(!unresolved || (meant && holds && role != ROLE));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn everyone_is_in_the_ledger_before_being_assigned(wanted in any_wanted(), found in any_found(), stored in any_ledger()) {
        let desired = Desired { assignments: Some(wanted), ..desired() };
        let planned = plan(&desired, Some(&found), &stored, day(0), GRACE);
        let ledger = planned.ledger.unwrap();
        for step in &planned.plan.steps {
            if let Step::Assign { principal, role, .. } = step {
                prop_assert!(ledger.contains_key(&Grant::new(principal, role)));
            }
        }
    }
}
