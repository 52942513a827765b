//! Which signing certificate is made or activated: pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::desired::CertificatePolicy;
use super::finding::{Finding, Part};
use super::observed::SigningCertificate;
use super::plan::Step;
use crate::api::annotations;
use crate::problem::Class;
use crate::status::Reason;

/// What is to be done about certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatePlan {
    /// At most one call.
    pub step: Option<Step>,
    /// What is wrong, or waited for.
    pub finding: Option<Finding>,
    /// SHA-256 of the certificate that Entra signs with, while it is valid.
    pub active: Option<String>,
    /// The successor that waits to be imported in AWS.
    pub successor: Option<SigningCertificate>,
}

/// Decides. `thumbprint` is the service provider's active one.
pub fn plan(
    policy: &CertificatePolicy,
    acknowledged: &BTreeSet<String>,
    certificates: &[SigningCertificate],
    thumbprint: Option<&str>,
    now: Timestamp,
) -> CertificatePlan {
    if policy.rotate_before >= policy.lifetime {
        let finding = Finding::new(
            Part::Certificate,
            Class::Invalid,
            Reason::InvalidSpec,
            "spec.entra.signingCertificate.rotateBefore must be shorter than lifetime",
        );
        return CertificatePlan { finding: Some(finding), ..CertificatePlan::default() };
    }
    let active = active(certificates, thumbprint);
    // What a person wants to be rid of never comes back.
    let usable = certificates.iter().filter(|c| c.not_after > now && !policy.rotate.contains(&c.sha256));
    let Some(active) = active.filter(|a| a.not_after > now) else {
        // Nothing valid is active, so nothing can be broken: ours is activated at once. A stranger's is only when
        // somebody said that AWS has it.
        let candidate = usable
            .filter(|c| c.name.starts_with(&policy.subject_prefix) || acknowledged.contains(&c.sha256))
            .max_by_key(|c| (acknowledged.contains(&c.sha256), c.not_after, &c.sha256));
        return CertificatePlan {
            step: Some(candidate.map_or_else(|| create(policy, certificates, false), activate)),
            finding: active.map(|old| {
                Finding::new(
                    Part::Certificate,
                    Class::Pending,
                    Reason::CertificateExpired,
                    format!(
                        "the active signing certificate ended at {}; a new one takes its place",
                        old.not_after
                    ),
                )
            }),
            ..CertificatePlan::default()
        };
    };
    let mut plan = CertificatePlan { active: Some(active.sha256.clone()), ..CertificatePlan::default() };
    let rotation = active.not_after.checked_sub(policy.rotate_before).unwrap_or(Timestamp::MIN);
    // Said of this certificate by name: of its successor it says nothing.
    let is_asked = policy.rotate.contains(&active.sha256);
    if now < rotation && !is_asked {
        return plan;
    }
    let succeeds = |c: &&SigningCertificate| {
        let lasts_longer = c.not_after > active.not_after;
        match (number(policy, c), number(policy, active)) {
            // Ours are numbered: an older one that lasts longer is no successor, and a newer one that ends earlier is
            // one when that is asked for (the lifetime may have been made shorter meanwhile).
            (Some(this), Some(that)) => this > that && (is_asked || lasts_longer),
            (Some(_), None) => is_asked || lasts_longer,
            (None, _) => lasts_longer,
        }
    };
    // One that AWS has already comes before a newer one that it does not have.
    let successor =
        usable.filter(succeeds).max_by_key(|c| (acknowledged.contains(&c.sha256), c.not_after, &c.sha256));
    match successor {
        None => plan.step = Some(create(policy, certificates, true)),
        Some(next) if acknowledged.contains(&next.sha256) => plan.step = Some(activate(next)),
        Some(next) => {
            let remark = mistaken(acknowledged, next).map(|said| format!("; {said}")).unwrap_or_default();
            plan.finding = Some(Finding::resting(
                Part::Certificate,
                Reason::CertificateRotation,
                format!(
                    "the active signing certificate {}; import its successor {} in AWS and acknowledge it \
                     (see status.handoff){remark}",
                    if is_asked {
                        format!(
                            "is to be replaced, as the annotation {} asks",
                            annotations::ROTATE_CERTIFICATE
                        )
                    } else {
                        format!("ends at {}", active.not_after)
                    },
                    next.sha256
                ),
            ));
            plan.successor = Some(next.clone());
        }
    }
    plan
}

/// What is wrong with what a person acknowledged instead of `expected`: the portal shows SHA-1 thumbprints.
pub fn mistaken(acknowledged: &BTreeSet<String>, expected: &SigningCertificate) -> Option<String> {
    let sha1 = |text: &&String| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let shown = acknowledged.iter().filter(sha1);
    let own = shown.clone().find(|text| text.eq_ignore_ascii_case(&expected.sha1));
    let what = own.or_else(|| shown.clone().next())?;
    let whose = if own.is_some() { "of the right certificate" } else { "of another certificate" };
    Some(format!(
        "the annotation {} holds {what}, the SHA-1 thumbprint {whose}, as Entra's portal shows it: expected is the \
         SHA-256 {}",
        annotations::ACKNOWLEDGE,
        expected.sha256
    ))
}

/// The certificate that Entra signs with.
pub fn active<'a>(
    certificates: &'a [SigningCertificate],
    thumbprint: Option<&str>,
) -> Option<&'a SigningCertificate> {
    certificates.iter().find(|c| thumbprint.is_some_and(|t| t.eq_ignore_ascii_case(&c.sha1)))
}

fn activate(certificate: &SigningCertificate) -> Step {
    Step::ActivateCertificate { sha1: certificate.sha1.clone(), sha256: certificate.sha256.clone() }
}

/// The next free number: a certificate is looked for by its subject before and after it is made.
/// The number of one of ours.
fn number(policy: &CertificatePolicy, certificate: &SigningCertificate) -> Option<u32> {
    certificate.name.strip_prefix(&policy.subject_prefix)?.parse().ok()
}

fn create(policy: &CertificatePolicy, certificates: &[SigningCertificate], successor: bool) -> Step {
    let highest = certificates.iter().filter_map(|c| number(policy, c)).max().unwrap_or_default();
    let subject = format!("{}{}", policy.subject_prefix, highest.saturating_add(1));
    Step::CreateCertificate { subject, hours: policy.lifetime.as_hours(), successor }
}
