//! What people are told about the job and its mappings. Pure.

use super::job;
use crate::api::annotations;
use crate::api::v1alpha1::Scope;
use crate::clients::entra::synchronization::Job;
use crate::controllers::commands;
use crate::problem::{Class, Problem};
use crate::status::{Reason, Verdict};

/// Who is provisioned.
pub const fn whom(scope: Scope) -> &'static str {
    match scope {
        Scope::Assigned => "the people and groups that are assigned to the application",
        Scope::All => "all people and groups of the tenant",
    }
}

/// Some objects could not be written.
pub fn entry_level_errors(escrowed: i64) -> String {
    format!(
        "{escrowed} objects could not be written to AWS and are tried again; the provisioning logs of the application say which and why (usual: no first, last or display name)"
    )
}

/// A mapping names an attribute that the job does not have.
#[must_use]
pub fn mapping_not_found(missing: &[String], known: &[String]) -> Problem {
    let message = format!(
        "spec.mappings names what the synchronization job does not have: {}; people have: {}",
        missing.join(", "),
        known.join(", ")
    );
    Problem::new(Class::Invalid, Reason::MappingNotFound, message)
}

/// A mapping comes from an attribute that the directory does not have.
#[must_use]
pub fn source_not_found(unknown: &[(String, String)], known: &[String]) -> Problem {
    let named: Vec<String> =
        unknown.iter().map(|(source, target)| format!("{source} (for {target})")).collect();
    let message = format!(
        "spec.mappings.users names source attributes that Entra does not offer to this job: {}; it offers for example: {}; \
         correct source.attribute, spelled as here",
        named.join(", "),
        known.join(", ")
    );
    Problem::new(Class::Invalid, Reason::MappingNotFound, message)
}

/// The condition `Provisioning`. `target` is the connection, for commands.
pub fn provisioning(job: &Job, scope: Scope, target: &str) -> (Verdict, Reason, String) {
    if let Some(quarantine) = job::quarantine(job) {
        let said = quarantine.message.map(|m| format!(" ({m})")).unwrap_or_default();
        let message = format!(
            "Entra holds the job in quarantine: {}{said}; {}",
            quarantine.reason,
            remedy(&quarantine.reason, target)
        );
        return (Verdict::False, Reason::Quarantined, message);
    }
    let waiting = |message: &str| (Verdict::Unknown, Reason::Progressing, message.to_owned());
    if job::is_stopped(job) {
        return waiting("the synchronization job is about to start");
    }
    match job::last_cycle(job) {
        None => waiting("the first cycle is under way; it takes from 20 minutes to hours"),
        Some(cycle) if cycle.result == "EntryLevelErrors" => {
            (Verdict::True, Reason::EntryLevelErrors, entry_level_errors(cycle.escrowed))
        }
        Some(cycle) if cycle.result == "Succeeded" => {
            (Verdict::True, Reason::Succeeded, format!("the newest cycle brought {} in step", whom(scope)))
        }
        Some(cycle) => {
            let said = cycle.error.map(|e| format!(" ({e})")).unwrap_or_default();
            let message = format!("the newest cycle failed{said}; Entra tries again within 40 minutes");
            (Verdict::False, Reason::ProgressingWithRetry, message)
        }
    }
}

/// What to do about a quarantine (contract Graph 5.7).
fn remedy(reason: &str, target: &str) -> String {
    let restart = |scope: &str| {
        commands::annotate(target, annotations::RESTART, &format!("\"{scope}@{}\"", commands::NOW))
    };
    match reason {
        job::UNREACHABLE => {
            "AWS does not accept the token, or the endpoint cannot be reached: create a new token in IAM Identity Center > Settings > Identity source > Actions > Manage provisioning and put it into the Secret".to_owned()
        }
        job::TOO_MANY_DELETES => format!(
            "a cycle wanted to delete or disable more objects than spec.safety.maxDeletions: correct who is assigned and restart: {}; or let the deletions through: {}",
            restart("Default"),
            restart("ForceDeletes")
        ),
        "EncounteredBaseEscrowThreshold"
        | "EncounteredTotalEscrowThreshold"
        | "EncounteredEscrowProportionThreshold" => format!(
            "too many objects could not be written: see the provisioning logs of the application, correct the data or the mappings, then restart: {}",
            restart("Default")
        ),
        "QuarantinedOnDemand" => "Microsoft stopped it: ask Microsoft's support".to_owned(),
        _ => format!(
            "Entra tries again ever more rarely; see the provisioning logs of the application, then restart: {}",
            restart("Default")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_comes_with_whole_commands() {
        let target = "scimconnection acme -n identity";
        for (reason, scopes) in [
            (job::UNREACHABLE, vec![]),
            (job::TOO_MANY_DELETES, vec!["Default", "ForceDeletes"]),
            ("EncounteredTotalEscrowThreshold", vec!["Default"]),
            ("QuarantinedOnDemand", vec![]),
            ("SomethingNew", vec!["Default"]),
        ] {
            let told = remedy(reason, target);
            let commands = told.matches("kubectl annotate").count();
            assert_eq!(commands, scopes.len(), "{told}");
            for scope in scopes {
                let command = format!(
                    "kubectl annotate scimconnection acme -n identity causeway.dev/restart=\"{scope}@$(date -u +%Y-%m-%dT%H:%M:%SZ)\" --overwrite"
                );
                assert!(told.contains(&command), "{told}");
            }
        }
    }
}
