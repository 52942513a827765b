//! The plan, against a model of what its steps do.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::annotations::Act;
use super::desired::{Credentials, Desired};
use super::observe::Observed;
use super::plan::{Obstacle, Step, deletion, is_worth_trying, plan};
use super::schema::{self, Wanted};
use super::status::Draft;
use super::{handover, job};
use crate::api::v1alpha1::{ScimConnectionStatus, Scope};
use crate::clients::entra::synchronization::{Job, JobStatus, MASK, QuarantineStatus, Saved, Schedule};
use crate::secret::Sensitive;

const ENDPOINT: &str = "https://scim.eu-west-1.amazonaws.com/t/scim/v2";
const MARK: &str = "i/identity/acme";

fn mappings() -> Value {
    json!({"synchronizationRules": [{"id": "r", "objectMappings": [
        {"sourceObjectName": "User", "enabled": true, "attributeMappings": [
            {"targetAttributeName": "userName", "matchingPriority": 1, "source": {"type": "Attribute", "name": "userPrincipalName", "expression": "[userPrincipalName]"}},
            {"targetAttributeName": "title", "source": {"type": "Attribute", "name": "jobTitle", "expression": "[jobTitle]"}}]},
        {"sourceObjectName": "Group", "enabled": true, "attributeMappings": []}]}]})
}

fn a_job(code: &str, schedule: &str) -> Job {
    let quarantine =
        QuarantineStatus { reason: Some(job::UNREACHABLE.into()), ..QuarantineStatus::default() };
    Job {
        id: "t.tenant.guid".into(),
        template_id: Some("t".into()),
        schedule: Some(Schedule { state: Some(schedule.into()) }),
        status: Some(JobStatus {
            code: Some(code.into()),
            quarantine: (code == "Quarantine").then_some(quarantine),
            ..JobStatus::default()
        }),
    }
}

fn saved(endpoint: &str, everybody: &str) -> Saved {
    Saved(
        [("BaseAddress", endpoint), ("SecretToken", MASK), ("SyncAll", everybody)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    )
}

fn wanting(token: &str) -> Desired {
    let credentials = Credentials { endpoint: ENDPOINT.into(), token: Sensitive::new(token) };
    Desired { digest: Some(credentials.digest(MARK)), credentials: Some(credentials), ..Desired::default() }
}

fn nothing() -> Observed {
    Observed { template: Some("t".into()), schema: Some(mappings()), ..Observed::default() }
}

/// Everything as `wanting("token")` wants it.
fn settled() -> Observed {
    Observed {
        job: Some(a_job("Active", "Active")),
        saved: saved(ENDPOINT, "false"),
        schema: Some(mappings()),
        handed_over: wanting("token").digest,
        ..Observed::default()
    }
}

fn lines(desired: &Desired, observed: &Observed) -> Vec<String> {
    plan(desired, observed).unwrap().steps.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_settled_stays_untouched() {
    assert_eq!(lines(&wanting("token"), &settled()), Vec::<String>::new());
    // A cluster rebuilt from Git has no digest, and what Entra has works.
    let rebuilt = Observed { handed_over: None, saved_work: Some(true), ..settled() };
    assert!(is_worth_trying(&wanting("token"), &rebuilt));
    assert_eq!(lines(&wanting("token"), &rebuilt), Vec::<String>::new());
}

#[test]
fn the_whole_journey_is_planned_before_there_is_a_job() {
    let wanted = Wanted { users: vec![("userName".into(), "mail".into())], groups: Some(false) };
    let desired = Desired { mappings: wanted, max_deletions: Some(5), ..wanting("token") };
    assert_eq!(
        lines(&desired, &nothing()),
        [
            "create the synchronization job from template t",
            "change the mappings: map userName from mail, stop provisioning groups",
            "hand over to Entra: endpoint and token, scope, deletion threshold",
            "start the synchronization job",
        ]
    );
}

#[test]
fn credentials_are_handed_over_when_they_are_new_or_no_longer_work() {
    let hand_over = ["hand over to Entra: endpoint and token"];
    let elsewhere =
        Observed { saved: saved("https://scim.eu-west-1.amazonaws.com/u/scim/v2", "false"), ..settled() };
    let refused = Observed { saved_work: Some(false), ..settled() };
    let unknown = Observed { handed_over: None, saved_work: Some(false), ..settled() };
    for (desired, observed) in [
        (wanting("rotated"), settled()),
        (wanting("token"), elsewhere),
        (wanting("token"), refused),
        (wanting("token"), unknown),
    ] {
        assert_eq!(lines(&desired, &observed), hand_over);
    }
    let everybody = Desired { everybody: true, ..wanting("token") };
    assert_eq!(lines(&everybody, &settled()), ["hand over to Entra: scope"]);
    assert!(!plan(&everybody, &settled()).unwrap().steps[0].hands_over_credentials());
}

#[test]
fn new_credentials_lift_the_quarantine_that_the_old_ones_caused_and_no_other() {
    let mut observed =
        Observed { job: Some(a_job("Quarantine", "Active")), saved_work: Some(false), ..settled() };
    assert!(is_worth_trying(&wanting("rotated"), &observed));
    assert_eq!(
        lines(&wanting("rotated"), &observed),
        ["hand over to Entra: endpoint and token", "lift the quarantine"]
    );
    // Handed over and it works: the quarantine has another cause, or Entra has not tried again yet.
    observed.saved_work = Some(true);
    assert_eq!(lines(&wanting("token"), &observed), Vec::<String>::new());
    let status = observed.job.as_mut().unwrap().status.as_mut().unwrap();
    status.quarantine.as_mut().unwrap().reason = Some(job::TOO_MANY_DELETES.into());
    assert_eq!(lines(&wanting("rotated"), &observed), ["hand over to Entra: endpoint and token"]);
}

#[test]
fn without_a_secret_an_adopted_job_goes_on_and_anything_else_waits_for_a_person() {
    let none = Desired::default();
    let healthy = Observed { handed_over: None, ..settled() };
    assert_eq!(lines(&none, &healthy), Vec::<String>::new());
    let stopped =
        Observed { job: Some(a_job("Paused", "Disabled")), saved_work: Some(true), ..healthy.clone() };
    assert!(is_worth_trying(&none, &stopped));
    assert_eq!(lines(&none, &stopped), ["start the synchronization job"]);
    for (observed, refused) in [
        (nothing(), false),
        (Observed { saved: Saved::default(), ..healthy.clone() }, false),
        (Observed { saved: saved(ENDPOINT, "true"), ..healthy.clone() }, false),
        (Observed { saved_work: Some(false), ..healthy }, true),
    ] {
        assert_eq!(plan(&none, &observed), Err(Obstacle::CredentialsMissing { refused }));
    }
}

#[test]
fn a_mapping_that_does_not_exist_stops_everything() {
    let wanted = Wanted { users: vec![("nickName".into(), "mail".into())], groups: None };
    let desired = Desired { mappings: wanted, ..wanting("token") };
    let Err(Obstacle::MappingNotFound { missing, known }) = plan(&desired, &nothing()) else {
        panic!("no obstacle")
    };
    assert_eq!(
        (missing, known),
        (vec!["nickName".to_owned()], vec!["title".to_owned(), "userName".to_owned()])
    );
}

#[test]
fn a_failed_cycle_has_the_saved_credentials_tried_and_renewed() {
    let failed = json!({"id": "t.tenant.guid", "schedule": {"state": "Active"}, "status": {"code": "Active",
        "lastExecution": {"state": "Failed", "timeEnded": "2026-05-01T11:00:00Z", "error": {"code": "X", "message": "401"}}}});
    let observed = Observed { job: Some(serde_json::from_value(failed).unwrap()), ..settled() };
    let desired = wanting("token");
    assert!(is_worth_trying(&desired, &observed) && !is_worth_trying(&desired, &settled()));
    let refused = Observed { saved_work: Some(false), ..observed.clone() };
    assert_eq!(
        lines(&desired, &refused),
        ["hand over to Entra: endpoint and token"],
        "after they were tried"
    );
    let works = Observed { saved_work: Some(true), ..observed };
    assert_eq!(lines(&desired, &works), Vec::<String>::new());
    let nobodys = Desired { credentials: None, digest: None, ..wanting("token") };
    assert_eq!(plan(&nobodys, &refused), Err(Obstacle::CredentialsMissing { refused: true }));
}

#[test]
fn suspended_means_paused_and_nothing_else() {
    let desired = Desired { suspended: true, everybody: true, ..Desired::default() };
    assert_eq!(lines(&desired, &settled()), ["pause the synchronization job"]);
    assert_eq!(lines(&desired, &nothing()), Vec::<String>::new());
    let paused = Observed { job: Some(a_job("Paused", "Disabled")), ..settled() };
    assert_eq!(lines(&desired, &paused), Vec::<String>::new());
}

#[test]
fn a_job_is_paused_before_it_is_deleted() {
    let lines = |code: &str, schedule: &str| {
        deletion(&a_job(code, schedule)).steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        lines("Active", "Active"),
        ["pause the synchronization job", "delete the synchronization job"]
    );
    assert_eq!(lines("Paused", "Disabled"), ["delete the synchronization job"]);
}

#[test]
fn one_off_acts_come_last_and_wait_for_a_job() {
    let act = |subject: &str| Some(Act { subject: subject.into(), request: format!("{subject}@now") });
    let desired = Desired { restart: act("Full"), on_demand: act("ada@acme.example"), ..wanting("token") };
    let stopped = Observed { job: Some(a_job("Paused", "Disabled")), ..settled() };
    assert_eq!(
        lines(&desired, &stopped),
        [
            "start the synchronization job",
            "restart the synchronization job (Full)",
            "provision ada@acme.example on demand"
        ]
    );
    assert_eq!(lines(&desired, &nothing()), lines(&wanting("token"), &nothing()));
}

/// What Entra has after the steps, and what we remember; `works` says which token AWS takes.
fn carried_out(desired: &mut Desired, observed: &Observed, steps: &[Step], works: &str) -> Observed {
    let mut after = observed.clone();
    for step in steps {
        let present = after.job.clone();
        match step {
            Step::CreateJob(_) => {
                after.job = Some(a_job("NotConfigured", "Disabled"));
                after.template = None;
                break;
            }
            Step::DeleteJob => after.job = None,
            Step::Pause => after.job = present.map(|_| a_job("Paused", "Disabled")),
            Step::EditSchema(_) => {
                let present = after.schema.take().unwrap();
                after.schema = Some(schema::edit(&present, &desired.mappings).unwrap().schema);
            }
            Step::HandOver(_) => {
                let credentials = desired.credentials.as_ref().unwrap();
                assert_eq!(
                    credentials.token.expose(),
                    works,
                    "a token that AWS refuses is never handed over"
                );
                let set = handover::full_set(desired, credentials, &after.saved);
                let masked = |key: &str, value: &str| {
                    if key == "SecretToken" { MASK.to_owned() } else { value.to_owned() }
                };
                after.saved =
                    Saved(set.iter().map(|s| (s.key.clone(), masked(&s.key, s.value.expose()))).collect());
                after.handed_over.clone_from(&desired.digest);
                after.given_threshold = desired.max_deletions;
                after.saved_work = None;
            }
            Step::LiftQuarantine => {
                after.handed_over.clone_from(&desired.digest);
                after.job = present.map(|_| a_job("Active", "Active"));
            }
            Step::Start => after.job = present.map(|_| a_job("NotRun", "Active")),
            Step::Restart(_) => desired.restart = None,
            Step::ProvisionOnDemand(_) => desired.on_demand = None,
        }
    }
    after
}

fn any_observed() -> impl Strategy<Value = Observed> {
    let job = prop_oneof![
        Just(None),
        ("(NotConfigured|NotRun|Active|Paused|Quarantine)", "(Active|Disabled|Paused)")
            .prop_map(|(c, s)| Some(a_job(&c, &s))),
    ];
    let base =
        prop_oneof![Just(None), Just(Some(ENDPOINT)), Just(Some("https://scim.eu-west-1.amazonaws.com/u"))];
    let digest = prop_oneof![Just(None), Just(wanting("token").digest), Just(Some("other".to_owned()))];
    (job, base, "(true|false|False|)", digest, any::<bool>()).prop_map(
        |(job, base, everybody, handed_over, settings)| {
            let mut saved = base.map(|b| saved(b, &everybody)).unwrap_or_default();
            if settings {
                saved.0.push(("SyncNotificationSettings".into(), r#"{"Enabled":true}"#.into()));
                saved.0.push(("ClientSecret".into(), MASK.into()));
            }
            let saved = if job.is_some() { saved } else { Saved::default() };
            let template = job.is_none().then(|| "t".to_owned());
            Observed { template, job, saved, schema: Some(mappings()), handed_over, ..Observed::default() }
        },
    )
}

fn any_desired() -> impl Strategy<Value = Desired> {
    let users = proptest::sample::subsequence(vec![("userName", "mail"), ("title", "department")], 0..=2);
    let act =
        any::<bool>().prop_map(|due| due.then(|| Act { subject: "Full".into(), request: "Full@now".into() }));
    (
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(1i64..99),
        users,
        proptest::option::of(any::<bool>()),
        act,
    )
        .prop_map(|(suspended, everybody, max_deletions, users, groups, act)| {
            let users = users.into_iter().map(|(t, s)| (t.to_owned(), s.to_owned())).collect();
            let mappings = Wanted { users, groups };
            Desired {
                suspended,
                everybody,
                max_deletions,
                mappings,
                restart: act.clone(),
                on_demand: act,
                ..wanting("token")
            }
        })
}

proptest! {
    #[test]
    fn plans_end_where_nothing_is_left_to_do(mut desired in any_desired(), start in any_observed(), saved_works: bool) {
        let mut observed = start;
        for _ in 0..4 {
            if is_worth_trying(&desired, &observed) {
                // What was handed over is the working token; what was found may be anything.
                let ours = observed.handed_over.is_some() && observed.handed_over == desired.digest;
                observed.saved_work = Some(ours || saved_works);
            }
            let steps = plan(&desired, &observed).expect("a Secret and known targets").steps;
            let mut sorted = steps.clone();
            sorted.sort();
            prop_assert_eq!(&steps, &sorted, "steps come in the order in which they are carried out");
            observed = carried_out(&mut desired, &observed, &steps, "token");
        }
        // Adopted credentials are recorded by the pass that found them to work.
        let left = plan(&desired, &observed).expect("as before").steps;
        prop_assert!(left.is_empty(), "left: {:?}", left);
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(desired in any_desired(), observed in any_observed()) {
        let mut turned = (desired.clone(), observed.clone());
        turned.0.mappings.users.reverse();
        turned.1.saved.0.reverse();
        let rules = turned.1.schema.as_mut().unwrap().pointer_mut("/synchronizationRules/0/objectMappings").unwrap();
        rules.as_array_mut().unwrap().reverse();
        prop_assert_eq!(plan(&desired, &observed), plan(&turned.0, &turned.1));
    }
}

#[test]
fn a_threshold_that_entra_drops_is_announced_once_and_said_always() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let told = |old: Option<&ScimConnectionStatus>| {
        let mut draft = Draft::new(old, 1, now);
        draft.threshold_dropped(50);
        draft.finish(Ok(()), Scope::Assigned, true)
    };
    let first = told(None);
    let reasons: Vec<&str> = first.notices.iter().map(|n| n.reason.as_str()).collect();
    assert_eq!(reasons, ["DeletionThresholdNotKept", "Ready"]);
    let again = told(Some(&first.status));
    assert_eq!((again.status, again.notices), (first.status.clone(), vec![]));
    let ready = crate::status::condition(&first.status.conditions, "Ready").unwrap();
    assert!(
        ready.status == "True" && ready.message.contains("deletion threshold of 50"),
        "{}",
        ready.message
    );
}
