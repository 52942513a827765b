//! Whatever passes the schema is read; whatever Entra or people send is edited, or refused in words.

use jiff::Timestamp;
use proptest::prelude::*;

use super::annotations::{self, Act, Reading};
use super::desired::{Credentials, Desired};
use super::foreign::Foreign;
use super::observe::Observed;
use super::plan::{Step, deletion, is_worth_trying, plan};
use super::schema::{self, Wanted};
use super::status::Draft;
use super::{job, ownership};
use crate::api::arbitrary::{anything, resource};
use crate::api::v1alpha1::{ScimConnection, Scope};
use crate::clients::entra::synchronization::{Job, Saved};
use crate::secret::Sensitive;
use crate::status::Reason;

const TOKEN: &str = "scim/Token+of=acme-0123456789";

/// A job as Entra might show it, with any words in it; some quote the token.
fn any_job() -> impl Strategy<Value = Job> {
    let word = || {
        prop_oneof![
            Just(serde_json::Value::Null),
            ".{0,20}".prop_map(serde_json::Value::from),
            proptest::sample::select(vec![
                "NotConfigured",
                "NotRun",
                "Active",
                "Paused",
                "Disabled",
                "Quarantine",
                "Failed",
                "EntryLevelErrors",
                "EncounteredQuarantineException",
                "None",
                "0001-01-01T00:00:00Z",
                "2026-05-01T11:00:00Z",
                TOKEN,
            ])
            .prop_map(serde_json::Value::from),
        ]
    };
    let number = || proptest::option::of(any::<i64>());
    ([word(), word(), word(), word(), word(), word()], [number(), number()], proptest::option::of(word()), ".{0,9}").prop_map(
        |([code, schedule, state, ended, error, message], [exported, escrowed], reason, id)| {
            let error = serde_json::json!({"code": error, "message": message});
            let quarantine = reason.map(|r| serde_json::json!({"reason": r, "currentBegan": ended, "error": error}));
            let job = serde_json::json!({"id": id, "schedule": {"state": schedule}, "status": {
                "code": code, "quarantine": quarantine,
                "synchronizedEntryCountByType": [{"key": "User to User", "value": exported}],
                "lastExecution": {"state": state, "timeEnded": ended, "countExported": exported, "countEscrowed": escrowed, "error": error}}});
            serde_json::from_value(job).unwrap()
        },
    )
}

prop_compose! {
    fn any_desired()(
        suspended: bool, everybody: bool, secret: bool, digest in proptest::option::of("[ab]"),
        max_deletions in proptest::option::of(any::<i64>()), acts: bool,
        users in proptest::collection::vec((prop_oneof![Just("userName".to_owned()), ".{0,9}"], ".{0,9}"), 0..3), groups: Option<bool>,
    ) -> Desired {
        let credentials = secret.then(|| Credentials { endpoint: "https://a".into(), token: Sensitive::new(TOKEN) });
        let act = acts.then(|| Act { subject: "Full".into(), request: "Full@now".into() });
        Desired {
            suspended, credentials, digest, everybody, max_deletions, mappings: Wanted { users, groups },
            restart: act.clone(), on_demand: act,
        }
    }
}

prop_compose! {
    fn any_observed()(
        template in proptest::option::of(".{0,9}"), job in proptest::option::of(any_job()), schema in proptest::option::of(anything()),
        saved in proptest::collection::vec(("(BaseAddress|SecretToken|SyncAll|SyncNotificationSettings|.{0,8})", "(https://a|true|\\*{3}|.{0,20})"), 0..5),
        handed_over in proptest::option::of("[ab]"), given_threshold in proptest::option::of(any::<i64>()), saved_work: Option<bool>,
    ) -> Observed {
        Observed { template, job, saved: Saved(saved), schema, handed_over, given_threshold, saved_work }
    }
}

proptest! {
    #[test]
    fn fuzz_any_connection_is_read(stored in resource::<ScimConnection>()) {
        let object: ScimConnection = serde_json::from_value(stored).expect("what the schema takes is read");
        let again: ScimConnection = serde_json::from_value(serde_json::to_value(&object).unwrap()).unwrap();
        prop_assert_eq!(again, object);
    }

    #[test]
    fn fuzz_any_schema_is_edited_or_refused(found in anything(), rules in anything(), groups: Option<bool>) {
        let wanted = Wanted { users: [("userName".to_owned(), "mail".to_owned())].into(), groups };
        let mut whole = serde_json::json!({"synchronizationRules": [{"id": "r", "objectMappings": rules}]});
        if let Some(object) = found.as_object() {
            whole.as_object_mut().unwrap().extend(object.clone());
        }
        for schema in [&found, &whole] {
            if let Err(missing) = schema::edit(schema, &wanted) {
                prop_assert!(!missing.is_empty());
            }
            let _ = schema::rule_for_users(schema);
            let _ = schema::targets(schema);
        }
    }

    #[test]
    fn fuzz_any_annotation_is_due_done_or_explained(text in ".{0,80}", at in 0i64..4_000_000_000) {
        let now = Timestamp::from_second(at).unwrap();
        let written = format!("{text}@{now}");
        for value in [text.as_str(), written.as_str()] {
            for reading in [annotations::restart(Some(value), None, now), annotations::provision_on_demand(Some(value), None, now)] {
                if let Reading::Unreadable(why) = reading {
                    prop_assert!(!why.is_empty());
                }
            }
        }
    }

    /// Total and steady on whatever Entra has.
    #[test]
    fn fuzz_whatever_entra_has_is_decided_about(desired in any_desired(), observed in any_observed()) {
        let planned = plan(&desired, &observed);
        prop_assert_eq!(&planned, &plan(&desired, &observed));
        let _ = is_worth_trying(&desired, &observed);
        if let Ok(plan) = planned {
            prop_assert!(plan.steps.is_sorted());
            prop_assert!(!desired.suspended || plan.steps.iter().all(|s| *s == Step::Pause));
            prop_assert!(desired.credentials.is_some() || !plan.steps.iter().any(|s| matches!(s, Step::HandOver(_))));
            prop_assert!(plan.steps.iter().all(|s| !s.to_string().contains(TOKEN)));
        }
        if let Some(job) = &observed.job {
            let gone = deletion(job).steps;
            prop_assert_eq!(gone.last(), Some(&Step::DeleteJob));
            prop_assert_eq!(gone.len(), if job::is_paused(job) { 1 } else { 2 });
        }
    }

    /// What Entra says of its job is told in bounded words, and never quotes the token.
    #[test]
    fn fuzz_whatever_entra_says_of_its_job_is_told_without_the_token(job in any_job()) {
        let foreign = Foreign::new(Some(Sensitive::new(TOKEN)));
        let mut draft = Draft::new(None, 1, Timestamp::UNIX_EPOCH);
        draft.job(&foreign.job(job), Scope::Assigned, true);
        let outcome = draft.finish(Ok(()), Scope::Assigned, true);
        let shown = format!("{outcome:?}");
        prop_assert!(!shown.contains(TOKEN), "{shown}");
        for condition in &outcome.status.conditions {
            prop_assert!(condition.message.chars().count() <= 2000, "{}", condition.message);
        }
    }

    /// There is no writing hand for an application with a mark that is not its federation's. The judge knows which
    /// lines it wrote.
    #[test]
    fn nothing_is_written_to_the_job_of_an_application_with_a_foreign_mark(
        lines in proptest::collection::vec((0..3, "[ -~]{0,20}", "[a-c]"), 0..5), end in "(\n|\r\n)",
    ) {
        let own = "i/identity/acme";
        let written = lines.iter().map(|(what, text, other)| match what {
            0 => format!("note: {text}"),
            1 => format!("Managed by Causeway: {own}"),
            _ => format!("  Managed by Causeway: i/identity/{other} "),
        });
        let notes = written.collect::<Vec<_>>().join(&end);
        let foreign = lines.iter().any(|(what, ..)| *what == 2);
        match ownership::judge(Some(&notes), own, "identity/acme") {
            Ok(_) => prop_assert!(!foreign),
            Err(problem) => prop_assert!(foreign && problem.reason == Reason::OwnedByOther),
        }
    }
}
