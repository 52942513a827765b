//! What the spec asks for, parsed.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use crate::api::annotations;
use crate::api::v1alpha1::{AssignmentMode, IdentityFederation};
use crate::controllers::commands;

/// The line of an application's notes that says whose it is.
const MARK: &str = "Managed by Causeway: ";

/// What shall be true in Entra.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Whose application it is.
    pub mark: String,
    /// The unique name under which the template is instantiated: it guards the first creation only.
    pub one_off_name: String,
    /// The name people see.
    pub display_name: String,
    /// Only assigned people may sign in.
    pub assignment_required: bool,
    /// Who gets mail before the certificate ends; none: left alone.
    pub notify: Option<BTreeSet<String>>,
    /// Identifiers and reply URLs from AWS; none while they are not known.
    pub service_provider: Option<ServiceProvider>,
    /// When certificates are made.
    pub certificate: CertificatePolicy,
    /// SHA-256 of the certificates that AWS has imported, as people said.
    pub acknowledged: BTreeSet<String>,
    /// Who may sign in; none: left alone.
    pub assignments: Option<Wanted>,
}

/// What AWS's metadata says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceProvider {
    /// The SAML audience.
    pub entity_id: String,
    /// Assertion consumer URLs, the default one first.
    pub reply_urls: Vec<String>,
}

/// When signing certificates are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePolicy {
    /// How long a new one is valid.
    pub lifetime: SignedDuration,
    /// How long before its end a successor is made.
    pub rotate_before: SignedDuration,
    /// Subjects of ours begin so, followed by a number.
    pub subject_prefix: String,
    /// SHA-256 of certificates that a person wants replaced, whatever time they have left.
    pub rotate: BTreeSet<String>,
}

/// Who shall be assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What happens to others.
    pub exclusive: bool,
    /// The principals of the spec and what Entra knows of them.
    pub principals: Vec<WantedPrincipal>,
    /// Object ids that may carry on under the name of a predecessor.
    pub approved: BTreeSet<String>,
    /// The command by which a person approves one.
    pub approve: String,
}

/// A principal of the spec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedPrincipal {
    /// As the spec names it.
    pub reference: String,
    /// What Entra knows of it.
    pub resolution: Resolution,
}

/// What Entra knows of a principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// Its object id.
    Found(String),
    /// There is none.
    Missing,
    /// Several carry the name.
    Ambiguous(Vec<String>),
    /// It exists and cannot be assigned; the text says why.
    Unsuitable(String),
    /// Could not be read.
    Unknown,
}

impl Desired {
    /// From the spec alone; the service provider and the principals are filled in by whoever read them.
    pub fn new(object: &IdentityFederation, mark: String) -> Self {
        let spec = &object.spec;
        let certificate = spec.entra.signing_certificate.as_ref();
        let hours = |text: Option<&String>, fallback: i64| {
            let hours =
                text.and_then(|t| t.strip_suffix('h')).and_then(|t| t.parse().ok()).unwrap_or(fallback);
            SignedDuration::from_hours(hours)
        };
        Self {
            one_off_name: format!("causeway-{}", object.uid().unwrap_or_default()),
            display_name: spec.entra.application.display_name.clone(),
            assignment_required: spec.entra.application.assignment_required,
            notify: certificate.and_then(|c| c.notify_emails.as_ref()).map(|n| n.iter().cloned().collect()),
            service_provider: None,
            certificate: CertificatePolicy {
                lifetime: hours(certificate.and_then(|c| c.lifetime.as_ref()), 26_280),
                rotate_before: hours(certificate.and_then(|c| c.rotate_before.as_ref()), 1_440),
                subject_prefix: subject_prefix(&mark),
                rotate: object
                    .annotations()
                    .get(annotations::ROTATE_CERTIFICATE)
                    .into_iter()
                    .flat_map(|a| thumbprints(a))
                    .collect(),
            },
            acknowledged: acknowledged(object),
            assignments: spec.entra.application.assignments.as_ref().map(|_| Wanted {
                exclusive: spec.entra.application.assignment_mode == AssignmentMode::Exclusive,
                principals: Vec::new(),
                approved: object
                    .annotations()
                    .get(annotations::APPROVE_PRINCIPAL)
                    .into_iter()
                    .flat_map(|a| a.split(','))
                    .map(|id| id.trim().to_lowercase())
                    .collect(),
                approve: commands::annotate(
                    &commands::target(object),
                    annotations::APPROVE_PRINCIPAL,
                    "<new id>[,<another>]",
                ),
            }),
            mark,
        }
    }
}

/// SHA-256 of the certificates that AWS has imported, as people said: in the spec or by annotation.
pub fn acknowledged(object: &IdentityFederation) -> BTreeSet<String> {
    let annotated = object.annotations().get(annotations::ACKNOWLEDGE);
    let annotated = annotated.into_iter().flat_map(|a| thumbprints(a));
    object.spec.aws.acknowledged().iter().cloned().chain(annotated).collect()
}

/// `CN=causeway-<8 hexadecimal digits of the mark's SHA-256>-`.
fn subject_prefix(mark: &str) -> String {
    let digest = hex::encode(Sha256::digest(mark));
    format!("CN=causeway-{}-", digest.get(..8).unwrap_or_default())
}

/// People copy thumbprints with colons and in upper case.
fn thumbprints(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .map(|t| t.replace(':', "").to_lowercase())
        .filter(|t| !t.is_empty())
}

/// The marks in an application's notes.
pub fn marks(notes: Option<&str>) -> Vec<&str> {
    notes
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.trim().strip_prefix(MARK))
        .map(str::trim)
        .collect()
}

/// The mark of somebody else in an application's notes: one beside ours is one too.
pub fn foreign_mark<'a>(notes: Option<&'a str>, own: &str) -> Option<&'a str> {
    marks(notes).into_iter().find(|mark| *mark != own)
}

/// The notes with the mark in them; all other text stays.
pub fn with_mark(notes: Option<&str>, mark: &str) -> String {
    let notes = notes.unwrap_or_default();
    let gap = if notes.is_empty() || notes.ends_with('\n') { "" } else { "\n" };
    format!("{notes}{gap}{MARK}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_other_notes_and_added_to_them() {
        let notes = "owned by the platform team\nManaged by Causeway: main/identity/acme\ncost centre 7";
        assert_eq!(marks(Some(notes)), ["main/identity/acme"]);
        assert!(marks(Some("Managed by somebody")).is_empty() && marks(None).is_empty());
        assert_eq!(with_mark(Some("a\nb"), "m"), "a\nb\nManaged by Causeway: m");
        assert_eq!(with_mark(None, "m"), "Managed by Causeway: m");
    }

    #[test]
    fn thumbprints_are_read_as_people_copy_them() {
        let read: Vec<String> = thumbprints("AB:CD:01, ef02 ").collect();
        assert_eq!(read, ["abcd01", "ef02"]);
    }

    #[test]
    fn subjects_depend_on_the_mark_alone() {
        assert_eq!(subject_prefix("main/identity/acme"), subject_prefix("main/identity/acme"));
        assert_ne!(subject_prefix("main/identity/acme"), subject_prefix("main/identity/other"));
        assert_eq!(subject_prefix("x").len(), "CN=causeway-0123abcd-".len());
    }
}
