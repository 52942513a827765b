//! The health scripts of `examples/argocd/argocd-cm.yaml`, run by Argo CD itself: what each reason comes to.

use std::path::Path;

use anyhow::{Context as _, ensure};
use causeway::status::Reason;
use serde_json::{Value, json};

use super::super::Checks;
use super::super::tools::said;
use super::tools::Tools;
use super::{config, kinds};

/// How many runs of the program at a time.
const AT_A_TIME: usize = 3;

/// An object, and what Argo CD must say of it.
struct Case {
    name: String,
    object: Value,
    health: &'static str,
    message: String,
}

/// What a reason comes to while Ready is not True. Whoever adds a reason decides here.
const fn health(reason: Reason) -> &'static str {
    match reason {
        // A person has the next step, as planned; or another resource of ours that says more.
        Reason::AwaitingHandoff
        | Reason::CertificateRotation
        | Reason::FederationNotReady
        | Reason::PlanNotApplied
        | Reason::Suspended
        | Reason::TokenExpiring => "Suspended",
        // It goes on by itself.
        Reason::AwaitingProvisioning
        | Reason::Deleting
        | Reason::Progressing
        | Reason::ProgressingWithRetry => "Progressing",
        // Somebody has to look at it. Those that never stand in Ready while it is not True are among them.
        Reason::Succeeded
        | Reason::Acknowledged
        | Reason::InvalidSpec
        | Reason::SecretNotFound
        | Reason::ServiceAccountNotFound
        | Reason::ConfigMapNotFound
        | Reason::FederationNotFound
        | Reason::CredentialsNotAllowed
        | Reason::AuthenticationFailed
        | Reason::PermissionDenied
        | Reason::CloudUnavailable
        | Reason::OwnedByOther
        | Reason::NotAdopted
        | Reason::ClaimedTwice
        | Reason::ApplicationNotFound
        | Reason::MetadataInvalid
        | Reason::IdentifierUriRejected
        | Reason::PrincipalNotFound
        | Reason::AppRoleNotFound
        | Reason::CertificateExpired
        | Reason::InstanceAmbiguous
        | Reason::InstanceNotFound
        | Reason::PermissionSetsDisabled
        | Reason::NotInProvisioningScope
        | Reason::NotInEntra
        | Reason::NotInIdentityStore
        | Reason::ManagedByOtherParty
        | Reason::NameDiffers
        | Reason::AccountDisabled
        | Reason::PrincipalIdentityChanged
        | Reason::AccountNotFound
        | Reason::BindingNotAllowed
        | Reason::NotAllowedByRules
        | Reason::PermissionSetNotFound
        | Reason::AssignmentFailed
        | Reason::ProvisioningFailed
        | Reason::QuotaExceeded
        | Reason::EndpointNotAllowed
        | Reason::Quarantined
        | Reason::EntryLevelErrors
        | Reason::TemplateNotFound
        | Reason::MappingNotFound
        | Reason::TokenExpired
        | Reason::DeletionBlocked
        | Reason::InternalError => "Degraded",
    }
}

/// Runs them all.
///
/// # Errors
/// When the program cannot be run at all; what it says wrongly is a failed check.
pub fn run(checks: &mut Checks, tools: &Tools) -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("make a folder")?;
    std::fs::write(dir.path().join("argocd-cm.yaml"), serde_json::to_string(&config()?)?)?;
    let cases = cases();
    let told: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
        let share = cases.len().div_ceil(AT_A_TIME);
        let runs: Vec<_> = cases
            .chunks(share)
            .enumerate()
            .map(|(nth, share)| {
                let dir = dir.path();
                scope.spawn(move || {
                    let file = format!("object-{nth}.json");
                    share.iter().map(|case| one(tools, dir, &file, case)).collect::<Vec<_>>()
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap_or_default()).collect()
    });
    ensure!(told.len() == cases.len(), "{} of {} objects were judged", told.len(), cases.len());
    let wrong: Vec<String> =
        told.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    checks.check(
        &format!("each of {} reasons has its health ({} objects)", Reason::ALL.len(), cases.len()),
        || {
            ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
            Ok(())
        },
    );
    Ok(())
}

fn one(tools: &Tools, dir: &Path, file: &str, case: &Case) -> anyhow::Result<()> {
    std::fs::write(dir.join(file), serde_json::to_string(&case.object)?)?;
    let mut command = tools.argocd();
    command.args(["admin", "settings", "resource-overrides", "health", file]);
    command.args(["--argocd-cm-path", "argocd-cm.yaml"]).current_dir(dir).env("KUBECONFIG", dir.join("none"));
    let answer = said(&mut command).with_context(|| case.name.clone())?;
    let wanted = format!("STATUS: {}\nMESSAGE: {}", case.health, case.message);
    ensure!(answer.trim_end() == wanted, "{}: not\n{wanted}\nbut\n{answer}", case.name);
    Ok(())
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (nth, reason) in Reason::ALL.iter().copied().enumerate() {
        let kind = kinds()[nth % 3];
        let ready = |status| object(kind, 2, &json!(2), &condition(status, reason, 2));
        let not = health(reason);
        let message = if not == "Degraded" {
            format!("{reason}: what is to be done")
        } else {
            "what is to be done".into()
        };
        cases.push(Case { name: format!("False {reason}"), object: ready("False"), health: not, message });
    }
    for kind in kinds() {
        let mut add = |name: &str, object: Value, health, message: &str| {
            cases.push(Case { name: format!("{kind}: {name}"), object, health, message: message.into() });
        };
        let of = |status, reason| object(kind, 2, &json!(2), &condition(status, reason, 2));
        let (told, failed) = ("what is to be done", "CloudUnavailable: what is to be done");
        add("all is well", of("True", Reason::Succeeded), "Healthy", told);
        add("some objects are left out", of("True", Reason::EntryLevelErrors), "Healthy", told);
        add("a certificate waits for a person", of("True", Reason::CertificateRotation), "Suspended", told);
        add("a token waits for a person", of("True", Reason::TokenExpiring), "Suspended", told);
        add("not known yet", of("Unknown", Reason::Progressing), "Progressing", told);
        add("a cloud keeps failing", of("Unknown", Reason::CloudUnavailable), "Degraded", failed);
        let never = "Causeway has not looked at it yet: is the operator running?";
        let bare = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": kind, "metadata": {"name": "a", "generation": 1}});
        add("no status", bare, "Progressing", never);
        let before = "the last change has not been looked at yet; before it: what is to be done";
        let stale = object(kind, 3, &json!(2), &condition("True", Reason::Succeeded, 2));
        add("the verdict is about an earlier generation", stale, "Progressing", before);
        let processed = object(kind, 3, &json!(2), &condition("True", Reason::Succeeded, 3));
        add("the generation is not done", processed, "Progressing", "the last change is being processed");
        // A failure that kept the first pass from ending is told all the same.
        let first = object(kind, 1, &Value::Null, &condition("Unknown", Reason::CloudUnavailable, 1));
        add("nothing was ever processed", first, "Degraded", failed);
        // Argo CD does not ask the script then.
        let mut going = of("False", Reason::DeletionBlocked);
        going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z".into();
        add("it is being deleted", going, "Progressing", "Pending deletion");
    }
    cases
}

fn condition(status: &str, reason: Reason, generation: i64) -> Value {
    json!({"type": "Ready", "status": status, "reason": reason.as_str(), "message": "what is to be done",
        "observedGeneration": generation, "lastTransitionTime": "2026-05-01T12:00:00Z"})
}

fn object(kind: &str, generation: i64, observed: &Value, ready: &Value) -> Value {
    let other =
        json!({"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "not looked at"});
    let mut status = json!({"conditions": [ready, other]});
    if !observed.is_null() {
        status["observedGeneration"] = observed.clone();
    }
    json!({"apiVersion": "causeway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "a", "namespace": "b", "generation": generation}, "spec": {}, "status": status})
}
