//! What is told: conditions, Ready from its parts, and when to look again. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::entra::EntraReport;
use super::finding::{Finding, Part};
use super::handoff::handoff;
use super::instance::AwsReport;
use crate::api::v1alpha1::{IdentityFederation, IdentityFederationStatus};
use crate::controllers::{Next, Outcome, handled_reconcile};
use crate::problem::Class;
use crate::status::{ConditionSet, Reason, Verdict, condition};

/// Hand-off steps in the order in which people do them.
const HANDOFF_ORDER: [Part; 3] = [Part::Instance, Part::Saml, Part::Trust];

/// Everything that a pass found out.
pub fn assemble(
    object: &IdentityFederation,
    now: Timestamp,
    patient: bool,
    entra: EntraReport,
    aws: AwsReport,
) -> Outcome<IdentityFederationStatus> {
    let old = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    let mut findings = entra.findings;
    findings.extend(aws.finding.clone());
    if !entra.reached {
        // One cause, told once: the others wait for it.
        let cause = findings.iter().find(|f| f.part == Part::Application).cloned();
        for part in [Part::Saml, Part::Certificate, Part::Assignments, Part::Trust] {
            if findings.iter().all(|f| f.part != part) {
                let class = cause.as_ref().and_then(|c| c.class).filter(|c| kept(*c, patient));
                findings.push(Finding {
                    class,
                    ..Finding::resting(part, Reason::Progressing, "waits for EntraApplicationReady")
                });
            }
        }
    }

    let mut set = ConditionSet::new(generation, now);
    for part in Part::ALL {
        let good = match part {
            Part::Instance => aws.status.as_ref().map(|s| s.instance_arn.clone()),
            _ => entra.good.iter().find(|(p, _)| *p == part).map(|(_, text)| text.clone()),
        };
        let (verdict, reason, message) = judge(part, &findings, good, &old, generation, patient);
        set.set(part.condition(), verdict, reason, message);
    }
    let portal = aws.status.as_ref().and_then(|s| s.access_portal_url.as_deref());
    let (verdict, reason, message) = ready(&set, portal);
    set.set("Ready", verdict, reason, message);
    progress(&mut set, &findings, patient);

    let mut facts = entra.facts;
    facts.no_instance = aws.absent;
    let status = IdentityFederationStatus {
        observed_generation: Some(generation),
        conditions: set.finish(&old.conditions),
        handoff: handoff(object, &facts, aws.status.as_ref(), entra.published),
        entra: (entra.status != Default::default()).then_some(entra.status),
        aws: aws.status,
        plan: entra.plan,
        last_handled_reconcile_at: handled_reconcile(object),
    };
    let (class, retry_after) = class(&findings);
    let (class, next) =
        if entra.at_once { (None, Next::After(Duration::ZERO)) } else { (class, Next::Resync) };
    Outcome { status, next, class, retry_after, notices: entra.notices }
}

/// Nothing is read or written: what was said stays.
pub fn suspended(object: &IdentityFederation, now: Timestamp) -> Outcome<IdentityFederationStatus> {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    let mut set = ConditionSet::new(generation, now);
    for part in Part::ALL {
        if let Some((verdict, reason, message)) = remembered(part.condition(), &status, None) {
            set.set(part.condition(), verdict, reason, message);
        }
    }
    let message = "spec.suspend is true: nothing is read or written; set it to false to go on";
    set.set("Ready", Verdict::False, Reason::Suspended, message);
    status.conditions = set.finish(&status.conditions);
    status.observed_generation = Some(generation);
    status.last_handled_reconcile_at = handled_reconcile(object);
    Outcome::settled(status)
}

/// Whether a failure of that class leaves a condition as it was.
const fn kept(class: Class, patient: bool) -> bool {
    class.is_silent() || (patient && matches!(class, Class::Transient))
}

fn judge(
    part: Part,
    findings: &[Finding],
    good: Option<String>,
    old: &IdentityFederationStatus,
    generation: i64,
    patient: bool,
) -> (Verdict, Reason, String) {
    let worst = findings.iter().filter(|f| f.part == part).max_by_key(|f| weight(f, patient));
    let Some(finding) = worst else {
        return match good {
            Some(message) => (
                Verdict::True,
                if part == Part::Trust { Reason::Acknowledged } else { Reason::Succeeded },
                message,
            ),
            None => (Verdict::Unknown, Reason::Progressing, "not known yet".into()),
        };
    };
    if finding.class.is_some_and(|c| kept(c, patient)) {
        return remembered(part.condition(), old, Some(generation))
            .unwrap_or_else(|| (Verdict::Unknown, Reason::Progressing, "not known yet".into()));
    }
    let verdict = match (finding.reason, finding.class) {
        (Reason::CertificateRotation, _) => Verdict::True,
        (Reason::Progressing, _) | (_, Some(Class::Pending | Class::Transient)) => Verdict::Unknown,
        _ => Verdict::False,
    };
    (verdict, finding.reason, finding.message.clone())
}

/// The finding of a part that is told: what only a person can mend comes before what passes.
fn weight(finding: &Finding, patient: bool) -> u8 {
    match finding.class {
        Some(class) if kept(class, patient) => 0,
        None if finding.reason == Reason::CertificateRotation => 1,
        Some(Class::Pending) => 2,
        Some(Class::Throttled | Class::Conflict | Class::Transient) => 3,
        None => 4,
        Some(Class::Blocked) => 5,
        Some(Class::Denied) => 6,
        Some(Class::Invalid | Class::Guarded) => 7,
    }
}

/// What a condition said, if it spoke of this generation.
fn remembered(
    kind: &str,
    old: &IdentityFederationStatus,
    generation: Option<i64>,
) -> Option<(Verdict, Reason, String)> {
    let old = condition(&old.conditions, kind)?;
    if generation.is_some() && old.observed_generation != generation {
        return None;
    }
    let verdict = match old.status.as_str() {
        "True" => Verdict::True,
        "False" => Verdict::False,
        _ => Verdict::Unknown,
    };
    let reason = Reason::ALL.iter().copied().find(|r| r.as_str() == old.reason)?;
    Some((verdict, reason, old.message.clone()))
}

/// Ready from its parts: problems first, then steps that are left to people, then what is under way.
fn ready(set: &ConditionSet, portal: Option<&str>) -> (Verdict, Reason, String) {
    let of = |parts: &[Part], wanted: &dyn Fn(Verdict, Reason) -> bool| {
        parts.iter().find_map(|p| set.first_failing(&[p.condition()]).filter(|(v, r, _)| wanted(*v, *r)))
    };
    of(&Part::ALL, &|v, r| {
        v == Verdict::False && !matches!(r, Reason::AwaitingHandoff | Reason::PlanNotApplied)
    })
    .or_else(|| of(&Part::ALL, &|_, r| r == Reason::PlanNotApplied))
    .or_else(|| of(&HANDOFF_ORDER, &|_, r| r == Reason::AwaitingHandoff))
    .or_else(|| of(&Part::ALL, &|_, _| true))
    .or_else(|| set.told(Part::Certificate.condition(), Reason::CertificateRotation))
    .unwrap_or_else(|| {
        let message =
            portal.map_or_else(|| "people can sign in".to_owned(), |p| format!("people sign in at {p}"));
        (Verdict::True, Reason::Succeeded, message)
    })
}

/// `Stalled` while only a person can go on, `Reconciling` while something is under way by itself.
fn progress(set: &mut ConditionSet, findings: &[Finding], patient: bool) {
    let of = |class: &dyn Fn(Class) -> bool| findings.iter().find(|f| f.class.is_some_and(class));
    if let Some(pending) = of(&|c| c == Class::Pending) {
        set.set("Reconciling", Verdict::True, Reason::Progressing, pending.message.clone());
    } else if let Some(stalled) = of(&Class::is_stalled) {
        set.set("Stalled", Verdict::True, stalled.reason, stalled.message.clone());
    } else if let Some(failed) = of(&|c| c == Class::Transient && !kept(c, patient)) {
        set.set("Reconciling", Verdict::True, Reason::ProgressingWithRetry, failed.message.clone());
    }
}

/// The class that decides when to look again: the one that asks for the earliest useful look.
fn class(findings: &[Finding]) -> (Option<Class>, Option<Duration>) {
    const ORDER: [Class; 8] = [
        Class::Throttled,
        Class::Transient,
        Class::Conflict,
        Class::Pending,
        Class::Blocked,
        Class::Denied,
        Class::Guarded,
        Class::Invalid,
    ];
    let class = ORDER.into_iter().find(|c| findings.iter().any(|f| f.class == Some(*c)));
    (class, findings.iter().filter_map(|f| f.retry_after).max())
}
