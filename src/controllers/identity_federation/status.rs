//! What is told: conditions, Ready from its parts, and when to look again. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::entra::EntraReport;
use super::exchange::exchange;
use super::finding::{Finding, Part};
use super::handoff::handoff;
use super::instance::AwsReport;
use crate::api::v1alpha1::{IdentityFederation, IdentityFederationStatus};
use crate::controllers::{Next, Outcome, announce, handled_reconcile};
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
    let parts = Part::of(object.spec.party());
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
    for part in parts.iter().copied() {
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
    let handoff = handoff(object, &facts, aws.status.as_ref(), entra.published);
    let status = IdentityFederationStatus {
        observed_generation: Some(generation),
        conditions: set.finish(&old.conditions),
        exchange: exchange(object, handoff.as_ref(), &entra.documents, &entra.status, aws.status.as_ref()),
        handoff,
        entra: (entra.status != Default::default()).then_some(entra.status),
        aws: aws.status,
        plan: entra.plan,
        last_handled_reconcile_at: handled_reconcile(object),
    };
    let (class, retry_after) = class(&findings);
    let (class, next) =
        if entra.at_once { (None, Next::After(Duration::ZERO)) } else { (class, Next::Resync) };
    let mut notices = entra.notices;
    notices.extend(announce::turn(
        (&old.conditions, old.handoff.as_ref()),
        (&status.conditions, status.handoff.as_ref()),
    ));
    Outcome { status, next, class, retry_after, notices }
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
        (Reason::CertificateExpired, _) => Verdict::False,
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{aws_only, entra_only, federation};
    use super::*;
    use crate::api::v1alpha1::AwsStatus;
    use crate::status::is_true;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn well() -> (EntraReport, AwsReport) {
        let good = Part::ALL.map(|p| (p, "fine".to_owned())).to_vec();
        let instance = AwsStatus {
            instance_arn: "arn:aws:sso:::instance/ssoins-1111111111111111".into(),
            access_portal_url: Some("https://d-1.awsapps.com/start".into()),
            ..AwsStatus::default()
        };
        let entra = EntraReport { good, reached: true, ..EntraReport::default() };
        (entra, AwsReport { status: Some(instance), finding: None, absent: Some(false) })
    }

    /// Ready, who is Stalled or Reconciling, and the class.
    fn told(findings: Vec<Finding>, reached: bool, patient: bool) -> (String, Vec<String>, Option<Class>) {
        let mut object = federation();
        let (entra, aws) = well();
        object.status = Some(assemble(&object, now(), true, entra, aws).status);
        let (entra, aws) = well();
        let good = if reached { entra.good } else { vec![] };
        let outcome =
            assemble(&object, now(), patient, EntraReport { findings, reached, good, ..entra }, aws);
        let conditions = &outcome.status.conditions;
        let ready = condition(conditions, "Ready").unwrap();
        let extra = conditions.iter().filter(|c| matches!(c.type_.as_str(), "Stalled" | "Reconciling"));
        (
            format!("{} {}", ready.status, ready.reason),
            extra.map(|c| c.type_.clone()).collect(),
            outcome.class,
        )
    }

    #[test]
    fn ready_follows_from_the_parts() {
        use Class::{Blocked, Denied, Guarded, Invalid, Pending, Throttled, Transient};
        let of = |part, class, reason| Finding::new(part, class, reason, "x");
        let handoff = || Finding::resting(Part::Trust, Reason::AwaitingHandoff, "import");
        type Row = (Vec<Finding>, &'static str, &'static [&'static str], Option<Class>);
        let table: Vec<Row> = vec![
            (vec![], "True Succeeded", &[], None),
            (vec![handoff()], "False AwaitingHandoff", &[], None),
            (
                vec![of(Part::Saml, Blocked, Reason::AwaitingHandoff), handoff()],
                "False AwaitingHandoff",
                &[],
                Some(Blocked),
            ),
            (
                vec![handoff(), Finding::pending(Part::Saml, "x")],
                "False AwaitingHandoff",
                &["Reconciling"],
                Some(Pending),
            ),
            (vec![Finding::pending(Part::Saml, "x")], "Unknown Progressing", &["Reconciling"], Some(Pending)),
            (
                vec![handoff(), of(Part::Assignments, Blocked, Reason::PrincipalNotFound)],
                "False PrincipalNotFound",
                &[],
                Some(Blocked),
            ),
            (
                vec![of(Part::Certificate, Invalid, Reason::InvalidSpec)],
                "False InvalidSpec",
                &["Stalled"],
                Some(Invalid),
            ),
            (
                vec![of(Part::Assignments, Guarded, Reason::PrincipalIdentityChanged)],
                "False PrincipalIdentityChanged",
                &["Stalled"],
                Some(Guarded),
            ),
            (
                vec![of(Part::Assignments, Denied, Reason::PermissionDenied)],
                "False PermissionDenied",
                &[],
                Some(Denied),
            ),
            (
                vec![of(Part::Assignments, Throttled, Reason::ProgressingWithRetry)],
                "True Succeeded",
                &[],
                Some(Throttled),
            ),
            (
                vec![of(Part::Assignments, Transient, Reason::CloudUnavailable)],
                "True Succeeded",
                &[],
                Some(Transient),
            ),
            (
                vec![Finding::resting(Part::Certificate, Reason::CertificateRotation, "x")],
                "True CertificateRotation",
                &[],
                None,
            ),
            (
                vec![Finding::resting(Part::Saml, Reason::PlanNotApplied, "x"), handoff()],
                "False PlanNotApplied",
                &[],
                None,
            ),
        ];
        for (findings, ready, extra, class) in table {
            let seen = told(findings.clone(), true, true);
            let extra: Vec<String> = extra.iter().map(|e| (*e).to_owned()).collect();
            assert_eq!(seen, (ready.to_owned(), extra, class), "{findings:?}");
        }
    }

    #[test]
    fn a_party_speaks_of_its_own_side_only() {
        let ours = |object: &IdentityFederation| {
            let (entra, aws) = well();
            let status = assemble(object, now(), true, entra, aws).status;
            assert!(is_true(&status.conditions, "Ready") && status.exchange.is_some());
            let mut kinds: Vec<String> = status.conditions.into_iter().map(|c| c.type_).collect();
            kinds.sort();
            kinds
        };
        assert_eq!(ours(&aws_only()), ["InstanceReady", "Ready", "SamlConfigured", "TrustEstablished"]);
        let entra = ours(&entra_only());
        assert!(entra.len() == 6 && !entra.contains(&"InstanceReady".to_owned()), "{entra:?}");
    }

    #[test]
    fn a_failure_that_lasts_is_told() {
        let failed = Finding::new(Part::Assignments, Class::Transient, Reason::CloudUnavailable, "x");
        let (ready, extra, _) = told(vec![failed], true, false);
        assert_eq!((ready.as_str(), extra), ("Unknown CloudUnavailable", vec!["Reconciling".to_owned()]));
    }

    #[test]
    fn parts_that_were_not_reached_wait_or_stay_as_they_were() {
        let throttled = Finding::new(Part::Application, Class::Throttled, Reason::ProgressingWithRetry, "x");
        assert_eq!(told(vec![throttled], false, true).0, "True Succeeded");
        let blocked = Finding::new(Part::Application, Class::Blocked, Reason::SecretNotFound, "x");
        assert_eq!(told(vec![blocked], false, true).0, "False SecretNotFound");
    }

    #[test]
    fn the_same_world_gives_the_same_status() {
        let mut object = federation();
        let (entra, aws) = well();
        let first = assemble(&object, now(), true, entra, aws).status;
        assert!(is_true(&first.conditions, "Ready"));
        object.status = Some(first.clone());
        let (entra, aws) = well();
        let later = now().checked_add(jiff::SignedDuration::from_hours(5)).unwrap();
        assert_eq!(assemble(&object, later, true, entra, aws).status, first);
    }
}
