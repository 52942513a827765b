//! What is to be done in Entra: pure, in a fixed order.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::desired::{self, Desired};
use super::finding::{Finding, Part};
use super::ledger::Ledger;
use super::observed::{Found, SigningCertificate, owned_by_other};
use super::{plan_assignments, plan_certificates};
use crate::plan::Plan;

/// One call to Entra. The order of the variants is the order in which they are carried out: what the spec takes
/// away goes first, strangers go last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Takes away what this federation assigned and the spec no longer asks for.
    Withdraw {
        /// Id of the assignment.
        assignment: String,
        /// Object id of the principal.
        principal: String,
        /// The role that it had.
        role: String,
        /// As the spec named it.
        who: String,
    },
    /// Makes the application from the gallery template.
    Instantiate {
        /// The unique name under which it is looked for.
        name: String,
    },
    /// Sets the owner mark and the name people see.
    Label {
        /// The whole notes.
        notes: String,
        /// The name.
        display_name: String,
    },
    /// Changes the service principal.
    ConfigureSignOn {
        /// Turn SAML on.
        saml: bool,
        /// Whether only assigned people may sign in, when that is to be changed.
        assignment_required: Option<bool>,
        /// Who gets mail before the certificate ends, when that is to be changed.
        notify: Option<Vec<String>>,
    },
    /// Sets identifiers and reply URLs.
    SetServiceProvider {
        /// SAML entity ids.
        identifiers: Vec<String>,
        /// Assertion consumer URLs.
        reply_urls: Vec<String>,
    },
    /// Makes a signing certificate.
    CreateCertificate {
        /// Its unique subject.
        subject: String,
        /// How long it is valid.
        hours: i64,
        /// Whether it waits for a hand-off before it is used.
        successor: bool,
    },
    /// Makes Entra sign with a certificate.
    ActivateCertificate {
        /// Entra's thumbprint.
        sha1: String,
        /// What people compare.
        sha256: String,
    },
    /// Lets a principal sign in.
    Assign {
        /// Object id.
        principal: String,
        /// Which role.
        role: String,
        /// As the spec names it.
        who: String,
    },
    /// Takes away what somebody else assigned (assignmentMode Exclusive).
    Expel {
        /// Id of the assignment.
        assignment: String,
        /// Object id of the principal.
        principal: String,
        /// Type and name.
        who: String,
    },
}

impl Step {
    /// Which part waits for it.
    pub const fn part(&self) -> Part {
        match self {
            Self::Instantiate { .. } | Self::Label { .. } => Part::Application,
            Self::ConfigureSignOn { .. } | Self::SetServiceProvider { .. } => Part::Saml,
            Self::CreateCertificate { .. } | Self::ActivateCertificate { .. } => Part::Certificate,
            Self::Withdraw { .. } | Self::Assign { .. } | Self::Expel { .. } => Part::Assignments,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withdraw { who, principal, role, .. } => {
                write!(f, "remove the assignment of {who} ({principal}, role {role})")
            }
            Self::Instantiate { name } => {
                write!(f, "create the enterprise application from the gallery as {name}")
            }
            Self::Label { display_name, .. } => {
                write!(f, "name the application \"{display_name}\" and mark it")
            }
            Self::ConfigureSignOn { saml, assignment_required, notify } => {
                let mut parts = Vec::new();
                if *saml {
                    parts.push("turn SAML on".to_owned());
                }
                if let Some(required) = assignment_required {
                    parts.push(format!("set assignment required to {required}"));
                }
                if let Some(notify) = notify {
                    parts.push(format!("send certificate mail to [{}]", notify.join(", ")));
                }
                f.write_str(&parts.join(", "))
            }
            Self::SetServiceProvider { identifiers, reply_urls } => {
                write!(
                    f,
                    "set identifiers [{}] and reply URLs [{}]",
                    identifiers.join(", "),
                    reply_urls.join(", ")
                )
            }
            Self::CreateCertificate { subject, hours, successor } => {
                let what = if *successor { "successor certificate" } else { "signing certificate" };
                write!(f, "create the {what} {subject} for {hours}h")
            }
            Self::ActivateCertificate { sha256, .. } => write!(f, "sign with certificate {sha256}"),
            Self::Assign { who, principal, .. } => write!(f, "assign {who} ({principal})"),
            Self::Expel { who, principal, .. } => write!(f, "remove the stranger {who} ({principal})"),
        }
    }
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// Calls to Entra.
    pub plan: Plan<Step>,
    /// What is wrong, or waited for.
    pub findings: Vec<Finding>,
    /// The ledger as it must be stored before the first call; none: as it is.
    pub ledger: Option<Ledger>,
    /// SHA-256 of the certificate that Entra signs with, while it is valid.
    pub active: Option<String>,
    /// The successor that waits to be imported in AWS.
    pub successor: Option<SigningCertificate>,
}

/// Decides. `found` is the application, if there is one; nothing is done about one that carries another owner's mark.
pub fn plan(
    desired: &Desired,
    found: Option<&Found>,
    ledger: &Ledger,
    now: Timestamp,
    grace: Duration,
) -> Planned {
    let mut planned = Planned::default();
    if let Some(finding) = found.and_then(|f| owned_by_other(&f.application, &desired.mark)) {
        planned.findings.push(finding);
        return planned;
    }
    let blank = Found::default();
    let steps = &mut planned.plan.steps;
    if found.is_none() {
        steps.push(Step::Instantiate { name: desired.one_off_name.clone() });
    }
    let Found { application, principal, certificates, assignments } = found.unwrap_or(&blank);

    let marked = desired::marks(application.notes.as_deref()).contains(&desired.mark.as_str());
    if !marked || application.display_name != desired.display_name {
        let notes = if marked {
            application.notes.clone().unwrap_or_default()
        } else {
            desired::with_mark(application.notes.as_deref(), &desired.mark)
        };
        steps.push(Step::Label { notes, display_name: desired.display_name.clone() });
    }

    let saml = principal.preferred_single_sign_on_mode.as_deref() != Some("saml");
    let assignment_required = (found.is_none()
        || principal.app_role_assignment_required != desired.assignment_required)
        .then_some(desired.assignment_required);
    let notify = desired
        .notify
        .as_ref()
        .filter(|wanted| {
            let present = principal.notification_email_addresses.iter().map(|m| m.to_lowercase());
            !same_set(wanted.iter().map(|m| m.to_lowercase()), present)
        })
        .map(|wanted| wanted.iter().cloned().collect());
    if saml || assignment_required.is_some() || notify.is_some() {
        steps.push(Step::ConfigureSignOn { saml, assignment_required, notify });
    }

    if let Some(aws) = &desired.service_provider {
        let identifiers = vec![aws.entity_id.clone()];
        // Sets: nobody promises that Entra keeps the order.
        let same = same_set(application.identifier_uris.iter().cloned(), identifiers.iter().cloned())
            && same_set(application.web.redirect_uris.iter().cloned(), aws.reply_urls.iter().cloned());
        if !same {
            steps.push(Step::SetServiceProvider { identifiers, reply_urls: aws.reply_urls.clone() });
        }
    }

    if let Some(certificates) = certificates.as_deref().or_else(|| found.is_none().then_some(&[])) {
        let thumbprint = principal.preferred_token_signing_key_thumbprint.as_deref();
        let decided = plan_certificates::plan(
            &desired.certificate,
            &desired.acknowledged,
            certificates,
            thumbprint,
            now,
        );
        steps.extend(decided.step);
        planned.findings.extend(decided.finding);
        planned.active = decided.active;
        planned.successor = decided.successor;
    }

    if let (Some(wanted), Some(present)) =
        (&desired.assignments, assignments.as_deref().or_else(|| found.is_none().then_some(&[])))
    {
        let decided = plan_assignments::plan(wanted, &principal.app_roles, present, ledger, now, grace);
        steps.extend(decided.steps);
        planned.findings.extend(decided.findings);
        // Before there is an application nothing was assigned: nothing to enter.
        planned.ledger = found.is_some().then_some(decided.ledger);
    }
    steps.sort();
    planned
}

impl Planned {
    /// Leaves only what takes away: for an application that somebody else claims too. `marked`: it is ours as far as
    /// its mark goes; else nothing is left.
    pub fn only_take_away(&mut self, marked: bool, stored: &Ledger) {
        self.plan.steps.retain(|step| marked && matches!(step, Step::Withdraw { .. }));
        self.ledger = Some(stored.clone());
    }
}

/// Equal but for order and repetition.
fn same_set(a: impl Iterator<Item = String>, b: impl Iterator<Item = String>) -> bool {
    a.collect::<BTreeSet<_>>() == b.collect::<BTreeSet<_>>()
}
