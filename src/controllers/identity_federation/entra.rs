//! The Entra side of one pass: resolve, observe, plan, apply, publish.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::apply::{Applied, Missing, Writer};
use super::desired::{self, Desired};
use super::exchange::{Document, Documents};
use super::finding::{Finding, Part};
use super::handoff::Facts;
use super::intents::{self, Memory};
use super::ledger::{self, Ledger};
use super::observed::{self, Found, Located, uid};
use super::plan::{Planned, Step, plan};
use super::{claims, handoff, handoff_parties, metadata, plan_certificates};
use crate::api::v1alpha1::{CertificateStatus, EntraStatus, IdentityFederation, Party};
use crate::api::{Mode, PlanSummary, PublishedMetadata};
use crate::clients::entra::Graph;
use crate::controllers::Notice;
use crate::controllers::context::Context;
use crate::plan::Plan;
use crate::problem::Class;
use crate::status::Reason;

/// The most certificates that status shows.
const SHOWN_CERTIFICATES: usize = 10;

/// What came of the Entra side.
#[derive(Debug, Default)]
pub struct EntraReport {
    /// Ids, records and certificates.
    pub status: EntraStatus,
    /// What is wrong or under way.
    pub findings: Vec<Finding>,
    /// Whether the pass got as far as the application, so that silence about a part means that it is well.
    pub reached: bool,
    /// What is well, in words.
    pub good: Vec<(Part, String)>,
    /// What the hand-off follows from; the AWS side fills in the rest.
    pub facts: Facts,
    /// What is published.
    pub published: Option<PublishedMetadata>,
    /// The metadata documents as they were read.
    pub documents: Documents,
    /// What is left to do.
    pub plan: Option<PlanSummary>,
    /// For Events.
    pub notices: Vec<Notice>,
    /// The next pass shall follow at once.
    pub at_once: bool,
}

/// Whether plans are only shown.
pub fn observes_only(object: &IdentityFederation, context: &Context) -> bool {
    object.spec.mode == Mode::Observe || context.settings.mode == Mode::Observe
}

/// Whether a document is not there, or not one that can be used: who brings it is told so.
pub fn is_wanting(finding: &Finding) -> bool {
    matches!(finding.reason, Reason::AwaitingHandoff | Reason::MetadataInvalid)
}

/// One pass.
pub async fn pass(object: &IdentityFederation, context: &Context, memory: &Memory) -> EntraReport {
    let mut report = EntraReport { status: observed::recorded(object), ..EntraReport::default() };
    if let Err(finding) = run(object, context, memory, &mut report).await {
        report.findings.push(finding);
    }
    report
}

async fn run(
    object: &IdentityFederation,
    context: &Context,
    memory: &Memory,
    report: &mut EntraReport,
) -> Result<(), Finding> {
    let now = context.clock.now();
    let mut desired =
        Desired::new(object, context.owner_mark(&object.namespace().unwrap_or_default(), &object.name_any()));
    match metadata::service_provider(object, context).await {
        Ok((aws, sha256)) => {
            report.documents.service_provider = Some(Some(Document::service_provider(&aws, sha256)));
            desired.service_provider = Some(aws);
            report.facts.no_metadata = Some(false);
        }
        Err(finding) => {
            report.facts.no_metadata = match finding.reason {
                // It is there, and not judged yet.
                Reason::Progressing => Some(false),
                _ => is_wanting(&finding).then_some(true),
            };
            report.documents.service_provider = is_wanting(&finding).then_some(None);
            report.findings.push(finding);
        }
    }
    let graph = context.graph(object).await.map_err(|p| Finding::of(Part::Application, &p))?;

    let contested = claims::contested(object, context).await;
    let mut missing = Missing::default();
    let located = match observed::locate(&graph, object, &desired, &report.status).await {
        // The other one's mark is on it: both say the same.
        Err(finding) if finding.reason == Reason::OwnedByOther => return Err(contested.unwrap_or(finding)),
        located => located?,
    };
    let found = match located {
        Located::Absent { known } => {
            missing.application = known;
            None
        }
        Located::Found(application) => {
            if report.status.app_id.as_ref() != Some(&application.app_id) {
                // Another application: what was recorded of the former one says nothing about this one.
                report.status = EntraStatus {
                    pending_creations: std::mem::take(&mut report.status.pending_creations),
                    ..EntraStatus::default()
                };
            }
            report.status.app_id = Some(application.app_id.clone());
            report.status.application_object_id = Some(application.id.clone());
            report.status.pending_creations.retain(|i| i.what != intents::APPLICATION);
            let principal = observed::service_principal(&graph, &application, &report.status).await?;
            report.status.service_principal_id = Some(principal.id.clone());
            let (found, findings) = observed::read(&graph, *application, principal).await;
            report.findings.extend(findings);
            Some(found)
        }
    };
    report.reached = contested.is_none();

    let stored = read_principals(object, context, &graph, &mut desired, report).await;
    let grace = context.settings.timing.creation_grace;
    let mut planned = plan(&desired, found.as_ref(), &stored, now, grace);
    if contested.is_some() {
        let notes = found.as_ref().and_then(|f| f.application.notes.as_deref());
        planned.only_take_away(desired::marks(notes).contains(&desired.mark.as_str()), &stored);
    }
    if observes_only(object, context) {
        // Nobody carries on with what is pending: it is no reason to look again soon.
        for finding in &mut planned.findings {
            finding.class = finding.class.filter(|class| *class != Class::Pending);
        }
    }
    report.findings.append(&mut planned.findings);
    let writer_missing = &mut missing;
    let mut vanished = None;
    if let Some(found) = &found {
        vanished = withhold_certificates(object, context, memory, found, &mut planned, report, now);
        writer_missing.certificate = vanished.is_some();
    }

    let applied = if observes_only(object, context) {
        report.plan = planned.plan.summary();
        let all = planned.plan.steps.len();
        for part in Part::ALL {
            let steps = planned.plan.steps.iter().filter(|s| s.part() == part).count();
            if steps > 0 {
                report.findings.push(Finding::resting(
                    part,
                    Reason::PlanNotApplied,
                    format!("{steps} of {all} planned change(s) are about this; as mode is Observe none is carried out (see status.plan)"),
                ));
            }
        }
        None
    } else {
        let writer = Writer { object, context, graph: &graph, memory, now, missing };
        if let Some(Vanished::Unrecorded) = vanished {
            let record = intents::record(intents::CERTIFICATE, &desired.certificate.subject_prefix, now);
            writer.remember(intents::CERTIFICATE, record, false, &mut report.status);
        }
        let applied = writer.apply(&planned, found.as_ref(), &stored, &mut report.status).await;
        Some(applied)
    };
    if let Some(applied) = &applied {
        take_over(applied, &planned.plan, report);
    }
    match contested {
        Some(finding) => report.findings.push(finding),
        None => {
            let writes = applied.is_some();
            conclude(object, context, &graph, &desired, found.as_ref(), &planned, writes, report).await;
        }
    }
    if let Some(applied) = applied {
        report.notices.extend(applied.notices);
    }
    Ok(())
}

/// Looks up the principals and reads the ledger; when either fails, assignments are left alone in this pass.
async fn read_principals(
    object: &IdentityFederation,
    context: &Context,
    graph: &Graph,
    desired: &mut Desired,
    report: &mut EntraReport,
) -> Ledger {
    let Some(wanted) = &mut desired.assignments else { return Ledger::new() };
    let spec = object.spec.entra.application.assignments.as_deref().unwrap_or_default();
    let (principals, finding) = observed::principals(graph, spec).await;
    wanted.principals = principals;
    report.findings.extend(finding);
    match ledger::read(object, context).await {
        Ok(stored) => stored,
        Err(problem) => {
            report.findings.push(Finding::of(Part::Assignments, &problem));
            desired.assignments = None;
            Ledger::new()
        }
    }
}

/// A certificate that was there before and is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vanished {
    /// It has been noted since when.
    Recorded,
    /// It is the first time.
    Unrecorded,
}

/// Replicas lag: while a certificate that was there before is not visible, no certificate is made or activated,
/// until the grace period is over. Keeps the records of certificates in status.
fn withhold_certificates(
    object: &IdentityFederation,
    context: &Context,
    memory: &Memory,
    found: &Found,
    planned: &mut Planned,
    report: &mut EntraReport,
    now: Timestamp,
) -> Option<Vanished> {
    let certificates = found.certificates.as_deref()?;
    let thumbprint = found.principal.preferred_token_signing_key_thumbprint.as_deref();
    let shown = |sha256: &str| certificates.iter().any(|c| c.sha256 == sha256);
    let unexpired = |c: &&CertificateStatus| c.not_after.parse::<Timestamp>().is_ok_and(|end| end > now);
    let vanished = (thumbprint.is_some() && plan_certificates::active(certificates, thumbprint).is_none())
        || report.status.signing_certificates.iter().filter(unexpired).any(|c| !shown(&c.sha256));
    let intent = intents::find(&report.status.pending_creations, intents::CERTIFICATE);
    let armed = intent.is_some_and(|i| memory.is_armed(&uid(object), i));
    let grace =
        SignedDuration::try_from(context.settings.timing.creation_grace).unwrap_or(SignedDuration::MAX);
    // Who only observes creates nothing, and keeps no record of since when it has been away.
    let believed = observes_only(object, context)
        || armed
        || intent.and_then(|i| intents::age(i, now)).is_some_and(|age| age >= grace);
    let concerned = planned.plan.steps.iter().any(|s| s.part() == Part::Certificate);
    if concerned && vanished && !believed {
        planned.plan.steps.retain(|s| s.part() != Part::Certificate);
        report.findings.push(Finding::pending(
            Part::Certificate,
            "Entra does not show a signing certificate that was there before (yet); nothing is created meanwhile",
        ));
        return Some(if intent.is_some() { Vanished::Recorded } else { Vanished::Unrecorded });
    }
    let creating = planned.plan.steps.iter().any(|s| matches!(s, Step::CreateCertificate { .. }));
    if !creating {
        report.status.pending_creations.retain(|i| i.what != intents::CERTIFICATE);
    }
    let skipped = certificates.len().saturating_sub(SHOWN_CERTIFICATES);
    report.status.signing_certificates = certificates
        .iter()
        .skip(skipped)
        .map(|c| CertificateStatus {
            sha1: c.sha1.clone(),
            sha256: c.sha256.clone(),
            not_after: c.not_after.to_string(),
            active: thumbprint.is_some_and(|t| t.eq_ignore_ascii_case(&c.sha1)),
        })
        .collect();
    None
}

/// What was written is looked at in the next pass before it is called well.
fn take_over(applied: &Applied, plan: &Plan<Step>, report: &mut EntraReport) {
    for part in Part::ALL {
        let mut lines = applied.done.iter().filter(|(p, _)| *p == part).map(|(_, line)| line);
        if let Some(first) = lines.next() {
            let more = match lines.count() {
                0 => String::new(),
                n => format!(", and {n} more"),
            };
            report.findings.push(Finding::pending(part, format!("done: {first}{more}; checking the result")));
        }
    }
    report.findings.extend(applied.findings.iter().cloned());
    report.at_once |= applied.at_once;
    let left: Vec<Step> = plan
        .steps
        .iter()
        .filter(|s| !applied.done.iter().any(|(_, line)| *line == s.to_string()))
        .cloned()
        .collect();
    for part in Part::ALL {
        let steps = left.iter().filter(|s| s.part() == part).count();
        if steps > 0 && report.findings.iter().all(|f| f.part != part) {
            report
                .findings
                .push(Finding::pending(part, format!("{steps} change(s) are left to do (see status.plan)")));
        }
    }
    report.plan = Plan { steps: left }.summary();
}

/// Publishes the metadata and says what is well and what people must do.
#[allow(clippy::too_many_arguments)]
async fn conclude(
    object: &IdentityFederation,
    context: &Context,
    graph: &Graph,
    desired: &Desired,
    found: Option<&Found>,
    planned: &Planned,
    writes: bool,
    report: &mut EntraReport,
) {
    let Some(found) = found else {
        report.facts.unacknowledged = Some(None);
        report.facts.next = Some(None);
        report.findings.push(waits("the application"));
        return;
    };
    let app_id = &found.application.app_id;
    report.good.push((Part::Application, format!("\"{}\" ({app_id})", found.application.display_name)));
    report.good.push((Part::Saml, "mode, identifiers and reply URLs are as AWS wants them".into()));
    report.good.push((
        Part::Assignments,
        desired.assignments.as_ref().map_or_else(
            || "assignments are left alone: spec.entra.application.assignments is absent".to_owned(),
            |wanted| format!("{} principal(s) of the spec are assigned", wanted.principals.len()),
        ),
    ));
    if found.certificates.is_none() {
        report.findings.push(waits("the signing certificate"));
        return;
    }
    report.facts.next = Some(planned.successor.as_ref().map(|c| c.sha256.clone()));
    let activating = planned.plan.steps.iter().any(|s| matches!(s, Step::ActivateCertificate { .. }));
    let Some(active) = planned.active.as_deref().filter(|_| !activating) else {
        report.facts.unacknowledged = None;
        report.findings.push(waits("the signing certificate"));
        return;
    };
    if let Some(certificate) = found.certificates.iter().flatten().find(|c| c.sha256 == active) {
        report.good.push((Part::Certificate, format!("{active} is valid until {}", certificate.not_after)));
    }
    if writes {
        match metadata::publish(object, context, graph, app_id, active, planned.successor.as_ref()).await {
            Ok((published, written)) => {
                report.published = Some(published);
                if written {
                    tracing::info!("published Entra's federation metadata");
                }
            }
            Err(finding) => report.findings.push(finding),
        }
    }
    if desired.acknowledged.contains(active) {
        report.facts.unacknowledged = Some(None);
        report.good.push((Part::Trust, format!("a person said that AWS has certificate {active}")));
        return;
    }
    report.facts.unacknowledged = report.published.is_some().then(|| Some(active.to_owned()));
    let others: Vec<&str> = desired.acknowledged.iter().take(2).map(String::as_str).collect();
    let certificate = found.certificates.iter().flatten().find(|c| c.sha256 == active);
    let mistaken = certificate.and_then(|c| plan_certificates::mistaken(&desired.acknowledged, c));
    let message = if let Some(mistaken) = mistaken {
        format!("{mistaken}; when AWS has it, say so: {}", handoff::acknowledge(object, active))
    } else if object.spec.party() == Party::Entra {
        handoff_parties::asks_to_import(active)
    } else if others.is_empty() {
        format!("import Entra's metadata in AWS and acknowledge certificate {active} (see status.handoff)")
    } else {
        format!(
            "acknowledged is {}, but Entra signs with {active}: AWS may have yesterday's metadata. Import the present one \
             and acknowledge {active} (see status.handoff)",
            others.join(" and ")
        )
    };
    report.findings.push(Finding::resting(Part::Trust, Reason::AwaitingHandoff, message));
}

/// Trust comes last; what it waits for has a finding of its own.
fn waits(what: &str) -> Finding {
    Finding::resting(Part::Trust, Reason::Progressing, format!("waits for {what}"))
}
