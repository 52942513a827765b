//! The Events of a resource that becomes ready or begins to wait for a person: one for each turn. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Notice;
use crate::api::Handoff;
use crate::status::{Reason, condition};

/// What a new status says that the old one did not: that the resource is ready, or the step that a person is asked for.
/// Nothing while it stays so, and nothing for other states: those have Events of their own, or are nobody's to mend.
#[must_use]
pub fn turn(
    (old, before): (&[Condition], Option<&Handoff>),
    (new, now): (&[Condition], Option<&Handoff>),
) -> Option<Notice> {
    let (ready, was) = (condition(new, "Ready")?, condition(old, "Ready"));
    let waits = Reason::AwaitingHandoff.as_str();
    let begins = if ready.status == "True" {
        was.is_none_or(|was| was.status != "True")
    } else if ready.reason == waits {
        was.is_none_or(|was| was.reason != waits) || first_step(before) != first_step(now)
    } else {
        false
    };
    let (reason, action) =
        if ready.status == "True" { ("Ready", "Reconcile") } else { (waits, asked(first_step(now))) };
    let notice = || Notice { warning: false, reason: reason.to_owned(), action, note: ready.message.clone() };
    begins.then(notice)
}

/// The step as the Event's action: Events that differ in their note alone are counted as one, with the first note.
fn asked(step: Option<&str>) -> &'static str {
    const STEPS: [&str; 5] = [
        "EnableIdentityCenter",
        "ProvideServiceProviderMetadata",
        "ImportIdpMetadata",
        "ImportIdpCertificate",
        "EnableProvisioning",
    ];
    STEPS.into_iter().find(|known| Some(*known) == step).unwrap_or("Reconcile")
}

fn first_step(handoff: Option<&Handoff>) -> Option<&str> {
    handoff?.pending.first().map(|step| step.step.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::HandoffStep;
    use crate::status::{ConditionSet, Verdict};

    fn ready(verdict: Verdict, reason: Reason) -> Vec<Condition> {
        let mut set = ConditionSet::new(1, jiff::Timestamp::UNIX_EPOCH);
        set.set("Ready", verdict, reason, "a message");
        set.finish(&[])
    }

    fn handoff(step: &str) -> Handoff {
        let step = HandoffStep {
            step: step.to_owned(),
            what: String::new(),
            value: None,
            console_url: None,
            command: None,
        };
        Handoff { idp_metadata: None, pending: vec![step] }
    }

    #[test]
    fn each_turn_is_announced_once() {
        let well = || ready(Verdict::True, Reason::Succeeded);
        let rotating = || ready(Verdict::True, Reason::CertificateRotation);
        let waiting = || ready(Verdict::False, Reason::AwaitingHandoff);
        let denied = || ready(Verdict::False, Reason::PermissionDenied);
        let unknown = || ready(Verdict::Unknown, Reason::Progressing);
        let (enable, import) = (handoff("EnableIdentityCenter"), handoff("ImportIdpMetadata"));
        for (old, new, said) in [
            ((unknown(), None), (well(), None), Some("Ready")),
            ((vec![], None), (well(), None), Some("Ready")),
            ((denied(), None), (well(), None), Some("Ready")),
            ((well(), None), (well(), None), None),
            ((well(), None), (rotating(), Some(&import)), None),
            ((well(), None), (denied(), None), None),
            ((unknown(), None), (waiting(), Some(&enable)), Some("AwaitingHandoff")),
            ((waiting(), Some(&enable)), (waiting(), Some(&enable)), None),
            ((waiting(), Some(&enable)), (waiting(), Some(&import)), Some("AwaitingHandoff")),
            ((denied(), Some(&import)), (waiting(), Some(&import)), Some("AwaitingHandoff")),
            ((waiting(), Some(&import)), (unknown(), None), None),
        ] {
            let notice = turn((&old.0, old.1), (&new.0, new.1));
            assert_eq!(notice.as_ref().map(|n| n.reason.as_str()), said, "{old:?} {new:?}");
            let action = match said {
                Some("Ready") => "Reconcile",
                _ => asked(first_step(new.1)),
            };
            assert!(notice.is_none_or(|n| !n.warning && n.note == "a message" && n.action == action));
        }
    }
}
