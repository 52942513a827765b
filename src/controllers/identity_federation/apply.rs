//! Carries the plan out: one step, one call, one audit record.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use serde_json::json;

use super::finding::{Finding, Part};
use super::intents::{self, Creation, Memory};
use super::ledger::{self, Grant, Ledger};
use super::observed::{Found, uid};
use super::plan::{Planned, Step};
use crate::api::v1alpha1::{EntraStatus, IdentityFederation, PendingCreation};
use crate::clients::entra::applications::{IDENTITY_CENTER_TEMPLATE, Instantiated};
use crate::clients::entra::assignments::{is_already_assigned, is_replicating};
use crate::clients::entra::{Graph, Reply};
use crate::clients::{CloudError, CloudErrorKind};
use crate::controllers::context::Context;
use crate::controllers::{Managed as _, Notice};
use crate::problem::{Class, Problem};
use crate::status::Reason;
use crate::telemetry::Audit;

/// How many calls one pass makes at most; the next pass goes on.
const CALLS: usize = 100;

/// One pass of writing.
pub struct Writer<'a> {
    /// The resource.
    pub object: &'a IdentityFederation,
    /// What every reconcile has at hand.
    pub context: &'a Context,
    /// Entra.
    pub graph: &'a Graph,
    /// What this process remembers.
    pub memory: &'a Memory,
    /// The moment of the pass.
    pub now: Timestamp,
    /// Whether something that was there before, of the kind that may have to be created, is not visible.
    pub missing: Missing,
}

/// What was there before and is not visible: it is not created again before the grace period is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The application.
    pub application: bool,
    /// A signing certificate.
    pub certificate: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// Calls that were made, each with its part, in words.
    pub done: Vec<(Part, String)>,
    /// What went wrong or is waited for.
    pub findings: Vec<Finding>,
    /// For Events.
    pub notices: Vec<Notice>,
    /// A creation was recorded: the next pass shall follow at once.
    pub at_once: bool,
}

/// What a pass has come to so far.
struct Progress<'a> {
    audit: Audit,
    recorded: &'a mut EntraStatus,
    applied: Applied,
    /// What Entra took away for certain: it leaves the ledger.
    withdrawn: Vec<Grant>,
}

impl Writer<'_> {
    /// Carries the plan out as far as it goes. `recorded` takes up intents and ids.
    pub async fn apply(
        &self,
        planned: &Planned,
        found: Option<&Found>,
        stored: &Ledger,
        recorded: &mut EntraStatus,
    ) -> Applied {
        let audit = audit(self.object, planned.plan.hash());
        let mut progress = Progress { audit, recorded, applied: Applied::default(), withdrawn: Vec::new() };
        let mut blocked: Vec<Part> = Vec::new();
        // Stated removals go first and are of what the ledger has already: nothing else that fails holds them up.
        let mut only_stated = false;
        if let Some(wanted) = planned.ledger.as_ref().filter(|wanted| *wanted != stored)
            && let Err(problem) = ledger::write(self.object, self.context, wanted).await
        {
            progress.applied.findings.push(Finding::of(Part::Assignments, &problem));
            blocked.push(Part::Assignments);
        }
        let mut calls = 0;
        for step in &planned.plan.steps {
            let part = step.part();
            let stated = matches!(step, Step::Withdraw { .. });
            let waits = only_stated || blocked.contains(&part) || blocked.contains(&Part::Application);
            if waits && !stated {
                continue;
            }
            if calls == CALLS {
                progress
                    .applied
                    .findings
                    .push(Finding::pending(part, "more changes follow in the next pass"));
                break;
            }
            calls += 1;
            match self.carry_out(step, found, &mut progress).await {
                Ok(true) => {
                    tracing::info!(step = %step, "done");
                    progress.applied.done.push((part, step.to_string()));
                }
                // Recorded or waited for: what depends on it comes later.
                Ok(false) => blocked.push(part),
                Err(finding) => {
                    let stop = finding.stops_the_side();
                    // One principal that cannot be assigned does not hold up the others.
                    if part != Part::Assignments {
                        blocked.push(part);
                    }
                    // A removal that fails for a reason of its own holds up no other removal.
                    let goes_on = stated && finding.class == Some(Class::Transient);
                    only_stated |= goes_on;
                    progress.applied.findings.push(finding);
                    if stop && !goes_on {
                        break;
                    }
                }
            }
        }
        if !progress.withdrawn.is_empty() {
            let mut left = planned.ledger.as_ref().unwrap_or(stored).clone();
            left.retain(|grant, _| !progress.withdrawn.contains(grant));
            if let Err(problem) = ledger::write(self.object, self.context, &left).await {
                // Nothing is lost: the next pass finds the entries without assignments.
                progress.applied.findings.push(Finding::of(Part::Assignments, &problem));
            }
        }
        let mut applied = progress.applied;
        applied.notices.extend(assignment_notice(&applied.done));
        applied
    }

    /// True when the call was made and took effect; false when its turn comes later.
    async fn carry_out(
        &self,
        step: &Step,
        found: Option<&Found>,
        progress: &mut Progress<'_>,
    ) -> Result<bool, Finding> {
        if let Step::Instantiate { name } = step {
            return self.instantiate(name, progress).await;
        }
        // Everything else needs the application.
        let Some(Found { application, principal, .. }) = found else { return Ok(false) };
        let (app, sp) = (application.id.as_str(), principal.id.as_str());
        let part = step.part();
        match step {
            Step::Instantiate { .. } => Ok(false),
            Step::Label { notes, display_name } => {
                let body = json!({ "displayName": display_name, "notes": notes });
                let call = self.graph.patch_application(app, &body);
                let answer = progress.audit.graph("PATCH /applications/{id}", app, call).await;
                settle(part, "name and mark the application", answer)
            }
            Step::ConfigureSignOn { saml, assignment_required, notify } => {
                let mut body = serde_json::Map::new();
                if *saml {
                    body.insert("preferredSingleSignOnMode".into(), json!("saml"));
                }
                if let Some(required) = assignment_required {
                    body.insert("appRoleAssignmentRequired".into(), json!(required));
                }
                if let Some(notify) = notify {
                    body.insert("notificationEmailAddresses".into(), json!(notify));
                }
                let body = body.into();
                let call = self.graph.patch_service_principal(sp, &body);
                let answer = progress.audit.graph("PATCH /servicePrincipals/{id}", sp, call).await;
                settle(part, "configure single sign-on", answer)
            }
            Step::SetServiceProvider { identifiers, reply_urls } => {
                // Nobody says whether a PATCH of `web` merges, so what stands there is sent along.
                let mut web = serde_json::Map::from_iter([("redirectUris".to_owned(), json!(reply_urls))]);
                for (name, value) in [
                    ("homePageUrl", &application.web.home_page_url),
                    ("logoutUrl", &application.web.logout_url),
                ] {
                    web.extend(value.as_ref().map(|v| (name.to_owned(), json!(v))));
                }
                let body = json!({ "identifierUris": identifiers, "web": web });
                let call = self.graph.patch_application(app, &body);
                let answer = progress.audit.graph("PATCH /applications/{id}", app, call).await;
                self.judge_identifiers(answer, app, identifiers).await
            }
            Step::CreateCertificate { subject, hours, successor } => {
                self.create_certificate(sp, subject, *hours, *successor, progress).await
            }
            Step::ActivateCertificate { sha1, sha256 } => {
                let body = json!({ "preferredTokenSigningKeyThumbprint": sha1 });
                let call = self.graph.patch_service_principal(sp, &body);
                let answer = progress.audit.graph("PATCH /servicePrincipals/{id}", sp, call).await;
                let done = settle(part, "activate the signing certificate", answer)?;
                progress.applied.notices.push(notice(
                    "CertificateActivated",
                    "ActivateCertificate",
                    format!("Entra signs with certificate {sha256}"),
                ));
                Ok(done)
            }
            Step::Assign { principal: who, role, .. } => {
                let target = format!("{sp}/{who}/{role}");
                let operation = "POST /servicePrincipals/{id}/appRoleAssignedTo";
                let call = self.graph.assign_app_role(sp, who, role);
                match progress.audit.graph(operation, &target, call).await {
                    Err(e) if is_already_assigned(&e) => Ok(true),
                    Err(e) if is_replicating(&e) => {
                        Err(Finding::pending(part, "Entra does not know a new object everywhere yet"))
                    }
                    answer => settle(part, "assign a principal to the application", answer),
                }
            }
            Step::Withdraw { assignment, principal: who, .. }
            | Step::Expel { assignment, principal: who, .. } => {
                let target = format!("{sp}/{who}/{assignment}");
                let operation = "DELETE /servicePrincipals/{id}/appRoleAssignedTo/{id}";
                let call = self.graph.remove_app_role(sp, assignment);
                match progress.audit.graph(operation, &target, call).await {
                    // Gone, or not known everywhere yet: the entry stays until Entra does not list it any more.
                    Err(e) if e.is_not_found() => Ok(true),
                    answer => {
                        let done = settle(part, "remove an assignment", answer)?;
                        if let Step::Withdraw { role, .. } = step {
                            progress.withdrawn.push(Grant::new(who, role));
                        }
                        Ok(done)
                    }
                }
            }
        }
    }

    async fn instantiate(&self, name: &str, progress: &mut Progress<'_>) -> Result<bool, Finding> {
        let part = Part::Application;
        if !self.may_create(intents::APPLICATION, name, part, self.missing.application, progress) {
            return Ok(false);
        }
        let operation = "POST /applicationTemplates/{id}/instantiate";
        let call = self.graph.instantiate(IDENTITY_CENTER_TEMPLATE, name);
        match progress.audit.graph(operation, name, call).await {
            Ok(reply) => {
                if let Ok(made) = serde_json::from_value::<Instantiated>(reply.body) {
                    let recorded = &mut *progress.recorded;
                    recorded.app_id = Some(made.application.app_id.clone());
                    recorded.application_object_id = Some(made.application.id);
                    recorded.service_principal_id = Some(made.service_principal.id);
                    progress.applied.notices.push(notice(
                        "ApplicationCreated",
                        "CreateApplication",
                        format!(
                            "enterprise application {} was created from the gallery",
                            made.application.app_id
                        ),
                    ));
                }
                Ok(true)
            }
            // It may have been made all the same: from now on it is looked for by its name.
            Err(e) if effect_is_unknown(&e) => Err(Finding::pending(
                part,
                format!(
                    "Entra did not confirm that the application was created{}; it is looked for as {name}",
                    e.tail()
                ),
            )),
            Err(e) => {
                // Refused for certain: nothing to wait for.
                progress.recorded.pending_creations.retain(|i| i.what != intents::APPLICATION);
                Err(Finding::of(part, &Problem::from_cloud(e, "create the application from the gallery")))
            }
        }
    }

    async fn create_certificate(
        &self,
        service_principal: &str,
        subject: &str,
        hours: i64,
        successor: bool,
        progress: &mut Progress<'_>,
    ) -> Result<bool, Finding> {
        let part = Part::Certificate;
        if !self.may_create(intents::CERTIFICATE, subject, part, self.missing.certificate, progress) {
            return Ok(false);
        }
        let end = end_of(self.now, hours);
        let operation = "POST /servicePrincipals/{id}/addTokenSigningCertificate";
        let target = format!("{service_principal}/{subject}");
        let call = self.graph.add_token_signing_certificate(service_principal, subject, end);
        match progress.audit.graph(operation, &target, call).await {
            Ok(_) => {
                let (reason, what) = if successor {
                    (
                        "CertificateRotation",
                        "the next signing certificate was created; import it in AWS (see status.handoff)",
                    )
                } else {
                    ("CertificateCreated", "a signing certificate was created")
                };
                progress.applied.notices.push(notice(
                    reason,
                    "CreateCertificate",
                    format!("{what}: {subject}"),
                ));
                Ok(true)
            }
            Err(e) if effect_is_unknown(&e) => Err(Finding::pending(
                part,
                format!(
                    "Entra did not confirm that certificate {subject} was created{}; it is looked for",
                    e.tail()
                ),
            )),
            Err(e) => {
                progress.recorded.pending_creations.retain(|i| i.what != intents::CERTIFICATE);
                Err(Finding::of(part, &Problem::from_cloud(e, "create a signing certificate")))
            }
        }
    }

    /// Whether this very pass may create it; else the record is made, or waited on.
    fn may_create(
        &self,
        what: &'static str,
        name: &str,
        part: Part,
        missing: bool,
        progress: &mut Progress<'_>,
    ) -> bool {
        let uid = uid(self.object);
        let grace = self.context.settings.timing.creation_grace;
        let intent = intents::find(&progress.recorded.pending_creations, what).cloned();
        let armed = intent.as_ref().is_some_and(|i| self.memory.is_armed(&uid, i));
        match intents::decide(intent.as_ref(), armed, missing, self.now, grace) {
            Creation::Try => {
                self.memory.disarm(&uid, what);
                true
            }
            Creation::Wait => {
                progress.applied.findings.push(Finding::pending(
                    part,
                    format!("{name} may have been created and Entra does not show it (yet); looking for it"),
                ));
                false
            }
            Creation::Record { arm } => {
                let record = intents::record(what, name, self.now);
                self.remember(what, record, arm, progress.recorded);
                progress.applied.at_once |= arm;
                let message = if missing {
                    "something that was recorded is not visible in Entra any more; looking for it before anything is created"
                        .to_owned()
                } else {
                    format!("about to create {name}")
                };
                progress.applied.findings.push(Finding::pending(part, message));
                false
            }
        }
    }

    /// Puts a record into status; `arm` allows this process one try in the next pass.
    pub fn remember(
        &self,
        what: &'static str,
        record: PendingCreation,
        arm: bool,
        recorded: &mut EntraStatus,
    ) {
        if arm {
            self.memory.arm(&uid(self.object), what, &record.since);
            if what == intents::APPLICATION {
                // It has been away for the whole grace period, or never was: these ids mean nothing any more.
                recorded.app_id = None;
                recorded.application_object_id = None;
                recorded.service_principal_id = None;
                recorded.signing_certificates.clear();
            }
        }
        recorded.pending_creations.retain(|i| i.what != what);
        recorded.pending_creations.push(record);
        recorded.pending_creations.sort_by(|a, b| a.what.cmp(&b.what));
    }

    /// Other applications that have the identifiers, as far as they can be found: it is told and decides nothing.
    async fn holders(&self, application: &str, identifiers: &[String]) -> Vec<String> {
        let mut others = Vec::new();
        for identifier in identifiers {
            for found in self.graph.applications_identified_by(identifier).await.unwrap_or_default() {
                let shown = format!("application \"{}\" ({})", found.display_name, found.app_id);
                if found.id != application && !others.contains(&shown) {
                    others.push(shown);
                }
            }
        }
        others.truncate(3);
        others
    }

    /// A refusal of identifiers may only mean that the SAML mode is still spreading (contract Graph 2.1).
    async fn judge_identifiers(
        &self,
        answer: Result<Reply, CloudError>,
        application: &str,
        identifiers: &[String],
    ) -> Result<bool, Finding> {
        let uid = uid(self.object);
        match answer {
            Ok(_) => {
                self.memory.accepted_identifiers(&uid);
                Ok(true)
            }
            Err(e) if is_about_identifiers(&e) => {
                if self.memory.refused_identifiers(&uid) {
                    return Err(Finding::pending(
                        Part::Saml,
                        "Entra does not take the identifiers yet; trying again",
                    ));
                }
                let others = self.holders(application, identifiers).await;
                let why = if others.is_empty() {
                    "see whether another application of the tenant has them (perhaps a deleted one), or an app management policy \
                     forbids them"
                        .to_owned()
                } else {
                    format!(
                        "they belong to {}: remove them there (Single sign-on > Identifier), delete that application, or \
                         take it over with spec.entra.application.adopt.appId",
                        others.join(" and ")
                    )
                };
                let message = format!("Entra refuses the identifiers from AWS's metadata{}; {why}", e.tail());
                Err(Finding::new(Part::Saml, Class::Blocked, Reason::IdentifierUriRejected, message))
            }
            answer => settle(Part::Saml, "set identifiers and reply URLs", answer),
        }
    }
}

fn is_about_identifiers(error: &CloudError) -> bool {
    let text = format!("{} {}", error.code, error.message).to_lowercase();
    matches!(error.status, 400 | 409)
        && (text.contains("identifieruri")
            || text.contains("verified domain")
            || text.contains("hostnamenotonverifieddomain"))
}

/// In whole seconds, as Graph takes it.
fn end_of(now: Timestamp, hours: i64) -> Timestamp {
    let end = now.checked_add(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

/// A 404 of a creating call can be a lie, and a broken answer says nothing (contract Graph 1.2).
fn effect_is_unknown(error: &CloudError) -> bool {
    matches!(error.kind, CloudErrorKind::Transient | CloudErrorKind::NotFound | CloudErrorKind::Conflict)
}

/// Who writes, for the audit records.
pub fn audit(object: &IdentityFederation, plan: Option<String>) -> Audit {
    Audit {
        kind: IdentityFederation::KIND,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        generation: object.metadata.generation.unwrap_or_default(),
        plan,
    }
}

fn settle(part: Part, doing: &str, answer: Result<Reply, CloudError>) -> Result<bool, Finding> {
    match answer {
        Ok(_) => Ok(true),
        // While an object is young some replicas do not know it (contract Graph 1.5).
        Err(e) if e.is_not_found() => Err(Finding::pending(
            part,
            format!("could not {doing} yet: Entra does not know the object everywhere"),
        )),
        Err(e) => Err(Finding::of(part, &Problem::from_cloud(e, doing))),
    }
}

fn notice(reason: &str, action: &'static str, note: String) -> Notice {
    Notice { warning: false, reason: reason.to_owned(), action, note }
}

/// One Event for all changes of assignments in a pass.
fn assignment_notice(done: &[(Part, String)]) -> Option<Notice> {
    let lines: Vec<&str> =
        done.iter().filter(|(part, _)| *part == Part::Assignments).map(|(_, line)| line.as_str()).collect();
    let (first, rest) = lines.split_first()?;
    let note = if rest.is_empty() {
        (*first).to_owned()
    } else {
        format!("{first}, and {} more changes", rest.len())
    };
    Some(notice("AssignmentsChanged", "ChangeAssignments", note))
}
