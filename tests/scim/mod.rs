//! `ScimConnection` against the twins of both clouds: Entra's own provisioning engine pushes into AWS.

mod cascade;
mod day_2;
mod desk;
mod letting_go;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use causeway::api::annotations;
use causeway::api::v1alpha1::ScimConnectionStatus;
use jiff::SignedDuration;
use kube::api::DeleteParams;
use sandbox::core::{FaultKind, FaultRule};
use serde_json::{Value, json};

use crate::support::run;
use desk::{Cut, Desk, NAME, Operator, PATIENCE, SECRET, is, message};

/// What a first connection takes.
const JOURNEY: [&str; 3] = ["POST /jobs", "PUT /secrets", "POST /jobs/{id}/start"];

fn user_names(desk: &Desk) -> Vec<String> {
    let state = desk.sandbox.aws.state();
    let mut names = Vec::new();
    collect(&state, "userName", &mut names);
    names.sort();
    names.dedup();
    names
}

fn collect(value: &Value, key: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get(key).and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| collect(v, key, into));
        }
        Value::Array(all) => all.iter().for_each(|v| collect(v, key, into)),
        _ => {}
    }
}

#[test]
fn a_person_hands_the_token_over_and_people_arrive_in_aws() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());
        let waiting = operator
            .until(&desk, "waiting for a person", |s| is(s, "Ready", "False", "AwaitingHandoff"))
            .await;
        let step = &waiting.handoff.as_ref().unwrap().pending[0];
        assert_eq!(step.step, "EnableProvisioning");
        let command = step.command.as_deref().unwrap();
        assert!(
            command.starts_with(&format!("kubectl create secret generic {SECRET} -n {} ", desk.namespace))
                && command.ends_with(" --dry-run=client -o yaml | kubectl apply -f -"),
            "{command}"
        );
        let now =
            format!("kubectl annotate scimconnection {NAME} -n {} causeway.dev/reconcile=", desk.namespace);
        let told = message(&waiting, "Ready");
        assert!(told.contains("looked at again within 1 s") && told.contains(&now), "{told}");
        assert!(desk.writes(0).is_empty());

        let (token, _) = desk.hand_over().await;
        let ready = operator.until_ready(&desk).await;
        assert_eq!(desk.writes(0), JOURNEY);
        assert!(
            is(&ready, "CredentialsValid", "True", "Succeeded")
                && is(&ready, "TokenFresh", "True", "Succeeded")
        );
        assert_eq!(
            (ready.state.as_deref(), ready.handoff.is_none(), ready.pending_job_since),
            (Some("Active"), true, None)
        );
        assert_eq!(ready.last_cycle.as_ref().unwrap().result, "Succeeded");
        assert!(ready.counts.as_ref().unwrap().users >= 7 && ready.counts.unwrap().groups == 2);
        assert!(user_names(&desk).contains(&"ada@acme.example".to_owned()));

        // At rest nothing is written, by this operator or by one that starts anew.
        let (mark, writes) = (desk.mark(), desk.status_writes.load(Ordering::SeqCst));
        let notices = desk.notices.lock().unwrap().len();
        for operator in [&operator, &desk.operator(Cut::never())] {
            for _ in 0..3 {
                operator.pass(&desk, NAME).await;
            }
        }
        assert_eq!(desk.writes(mark), Vec::<String>::new());
        assert_eq!(desk.status_writes.load(Ordering::SeqCst), writes);
        assert_eq!(desk.notices.lock().unwrap().len(), notices);

        // A cluster rebuilt from Git has no status: the job and what it has saved are taken over as they are.
        desk.connections().delete(NAME, &DeleteParams::default()).await.unwrap();
        assert_eq!(operator.pass(&desk, NAME).await, None);
        desk.connection(NAME, &json!({})).await;
        let rebuilt = desk.operator(Cut::never()).until_ready(&desk).await;
        assert_eq!(rebuilt.credentials_digest, ready.credentials_digest);
        assert_eq!(desk.writes(mark), Vec::<String>::new());
        let printed = format!("{rebuilt:?} {:?}", desk.notices.lock().unwrap());
        assert!(!printed.contains(&token));
    });
}

#[test]
fn mappings_scope_and_safety_reach_the_job_and_the_rest_of_it_stays() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(
            NAME,
            &json!({"mode": "Observe", "safety": {"maxDeletions": 7}, "mappings": {
            "users": [{"target": "userName", "source": {"attribute": "mail"}}], "groups": {"sync": false}}}),
        )
        .await;
        let operator = desk.operator(Cut::never());
        let planned = operator.until(&desk, "planned", |s| is(s, "Ready", "False", "PlanNotApplied")).await;
        let plan = planned.plan.unwrap().summary;
        assert_eq!(plan.len(), 4, "{plan:?}");
        assert_eq!(plan[1], "change the mappings: map userName from mail, stop provisioning groups");
        assert_eq!(desk.writes(0), Vec::<String>::new());

        desk.patch(&json!({"spec": {"mode": "Enforce"}})).await;
        let ready = operator.until_ready(&desk).await;
        assert_eq!(
            desk.writes(0),
            ["POST /jobs", "PUT /jobs/{id}/schema", "PUT /secrets", "POST /jobs/{id}/start"]
        );
        assert_eq!(ready.counts.unwrap().groups, 0);
        let job = desk.jobs().remove(0);
        let mapping = &job["schema"]["synchronizationRules"][0]["objectMappings"];
        let user_name = mapping
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|m| m["attributeMappings"].as_array().unwrap())
            .find(|a| a["targetAttributeName"] == "userName")
            .unwrap();
        assert_eq!(
            (&user_name["source"]["name"], &user_name["matchingPriority"]),
            (&json!("mail"), &json!(1))
        );

        let mark = desk.mark();
        desk.patch(&json!({"spec": {"scope": "All", "mappings": {"groups": {"sync": true}}}})).await;
        operator.until(&desk, "changed", |_| desk.writes(mark).len() == 2).await;
        assert_eq!(desk.writes(mark), ["PUT /jobs/{id}/schema", "PUT /secrets"]);

        desk.patch(&json!({"spec": {"mappings": {"users": [{"target": "nickName", "source": {"attribute": "mail"}}]}}})).await;
        let refused = operator.until(&desk, "refused", |s| is(s, "Ready", "False", "MappingNotFound")).await;
        assert!(is(&refused, "Stalled", "True", "MappingNotFound"));
        assert!(message(&refused, "Ready").contains("nickName"), "{}", message(&refused, "Ready"));

        let mark = desk.mark();
        desk.patch(&json!({"spec": {"mappings": {"users": [{"target": "userName", "source": {"attribute": "email"}}]}}})).await;
        let says = |s: &ScimConnectionStatus| {
            is(s, "Stalled", "True", "MappingNotFound")
                && message(s, "Ready").contains("email (for userName)")
        };
        let refused = operator.until(&desk, "refused", says).await;
        assert!(message(&refused, "Ready").contains("for example: mail, "), "{}", message(&refused, "Ready"));
        assert_eq!(desk.writes(mark), Vec::<String>::new());
    });
}

#[test]
fn a_wrong_secret_says_which_key_and_nothing_is_written() {
    run(async {
        let desk = Desk::new("scim").await;
        let (token, _) = desk.hand_over().await;
        let endpoint = desk.sandbox.descriptor().scim.unwrap().endpoint;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());

        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("Token", &token)]).await;
        let status =
            operator.until(&desk, "without a token", |s| is(s, "Ready", "False", "SecretNotFound")).await;
        let told = message(&status, "Ready");
        for words in
            ["lacks the key token", "it has Token, endpoint", "expected are endpoint, token and issuedAt"]
        {
            assert!(told.contains(words), "{words}: {told}");
        }

        desk.put_secret(SECRET, &[("endpoint", "https://scim.evil.example/t"), ("token", &token)]).await;
        let status =
            operator.until(&desk, "at another host", |s| is(s, "Ready", "False", "EndpointNotAllowed")).await;
        assert!(is(&status, "CredentialsValid", "False", "EndpointNotAllowed"));

        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("token", "not-the-token")]).await;
        let status =
            operator.until(&desk, "refused", |s| is(s, "Ready", "False", "AuthenticationFailed")).await;
        assert!(message(&status, "Ready").contains("key token"), "{}", message(&status, "Ready"));
        assert!(!message(&status, "Ready").contains("not-the-token"));
        assert_eq!(desk.writes(0), Vec::<String>::new());

        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("token", &token)]).await;
        let ready = operator.until_ready(&desk).await;
        assert!(message(&ready, "TokenFresh").contains("at the latest"));
        assert_eq!(desk.writes(0), JOURNEY);
    });
}

#[test]
fn a_rotated_token_takes_effect_and_lifts_the_quarantine_of_the_old_one() {
    run(async {
        let desk = Desk::new("scim").await;
        let (_, old) = desk.hand_over().await;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;

        desk.sandbox.aws.delete_scim_token(&old).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The next cycles, each with some time for it.
            desk.advance(SignedDuration::from_mins(41));
            for _ in 0..4 {
                operator.pass(&desk, NAME).await;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            let status = desk.status().await;
            if is(&status, "Provisioning", "False", "Quarantined")
                && is(&status, "CredentialsValid", "False", "AuthenticationFailed")
            {
                break;
            }
            assert!(Instant::now() < deadline, "no quarantine: {status:#?}");
        }

        let status = desk.status().await;
        assert!(is(&status, "Ready", "False", "AuthenticationFailed"), "{status:#?}");
        let told = message(&status, "Ready");
        let store = format!("kubectl create secret generic {SECRET} -n {} ", desk.namespace);
        for words in
            ["create a new token", &format!("key token of Secret {}/{SECRET}", desk.namespace), &store]
        {
            assert!(told.contains(words), "{words}: {told}");
        }

        let mark = desk.mark();
        desk.hand_over().await;
        let ready = operator.until_ready(&desk).await;
        assert_eq!(desk.writes(mark), ["PUT /secrets", "POST /jobs/{id}/restart"]);
        assert!(ready.quarantine.is_none() && is(&ready, "CredentialsValid", "True", "Succeeded"));
    });
}

#[test]
fn too_many_deletions_wait_for_a_person_and_go_through_when_forced() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"safety": {"maxDeletions": 1}})).await;
        let operator = desk.operator(Cut::never());
        let before = operator.until_ready(&desk).await.counts.unwrap().users;
        for name in ["ada", "ben", "chidi"] {
            let found = desk.admin.users_named(&format!("{name}@acme.example")).await.unwrap();
            desk.sandbox.entra.update_user(&found[0].id, &json!({"accountEnabled": false})).unwrap();
        }
        desk.advance(SignedDuration::from_mins(41));
        let held = operator.until(&desk, "held", |s| is(s, "Ready", "False", "Quarantined")).await;
        assert!(is(&held, "Stalled", "True", "Quarantined"));
        assert_eq!(held.quarantine.as_ref().unwrap().reason, "TooManyDeletes");
        assert!(message(&held, "Ready").contains("ForceDeletes@"), "{}", message(&held, "Ready"));
        let mark = desk.mark();
        desk.annotate(annotations::RESTART, &format!("ForceDeletes@{}", desk.clock.now())).await;
        let through = operator
            .until(&desk, "through", |s| {
                is(s, "Ready", "True", "Succeeded")
                    && s.counts.as_ref().is_some_and(|c| c.users == before - 3)
            })
            .await;
        assert!(through.quarantine.is_none());
        assert_eq!(desk.writes(mark), ["POST /jobs/{id}/restart"]);
    });
}

/// A connection that was ready and is gone; its job goes on.
async fn made_and_let_go(desk: &Desk) -> Operator {
    desk.connection(NAME, &json!({})).await;
    let operator = desk.operator(Cut::never());
    operator.until_ready(desk).await;
    desk.connections().delete(NAME, &DeleteParams::default()).await.unwrap();
    operator.pass(desk, NAME).await;
    operator
}

#[test]
fn an_adopted_job_goes_on_with_credentials_that_nobody_can_read_back() {
    run(async {
        let desk = Desk::new("scim").await;
        let (token, _) = desk.hand_over().await;
        let operator = made_and_let_go(&desk).await;
        desk.remove_secret(SECRET).await;

        let mark = desk.mark();
        desk.connection(NAME, &json!({})).await;
        let adopted = operator.until_ready(&desk).await;
        assert!(is(&adopted, "CredentialsValid", "True", "Succeeded"));
        assert!(is(&adopted, "TokenFresh", "Unknown", "SecretNotFound"));
        assert!(
            message(&adopted, "Ready").contains("store a token of your own"),
            "{}",
            message(&adopted, "Ready")
        );
        // What needs a write needs the token: nothing else can be put beside it.
        desk.patch(&json!({"spec": {"scope": "All"}})).await;
        operator.until(&desk, "waiting for a person", |s| is(s, "Ready", "False", "AwaitingHandoff")).await;
        assert_eq!(desk.writes(mark), Vec::<String>::new());
        desk.patch(&json!({"spec": {"scope": "Assigned"}})).await;
        operator.until_ready(&desk).await;

        // A Secret that comes later is not what Entra has: it is tried, and handed over when AWS accepts it.
        let endpoint = desk.sandbox.descriptor().scim.unwrap().endpoint;
        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("token", "not-the-token")]).await;
        let refused = |s: &ScimConnectionStatus| is(s, "CredentialsValid", "False", "AuthenticationFailed");
        operator.until(&desk, "refused", refused).await;
        assert_eq!(desk.writes(mark), Vec::<String>::new());
        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("token", &token)]).await;
        operator.until_ready(&desk).await;
        assert_eq!(desk.writes(mark), ["PUT /secrets"]);
    });
}

#[test]
fn a_rebuilt_connection_tries_the_token_before_it_takes_it_for_what_entra_has() {
    run(async {
        let desk = Desk::new("scim").await;
        let (token, _) = desk.hand_over().await;
        let endpoint = desk.sandbox.descriptor().scim.unwrap().endpoint;
        made_and_let_go(&desk).await;

        let mark = desk.mark();
        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("token", "not-the-token")]).await;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());
        let status =
            operator.until(&desk, "refused", |s| is(s, "Ready", "False", "AuthenticationFailed")).await;
        assert_eq!(status.credentials_digest, None, "nobody knows what Entra has");
        desk.put_secret(SECRET, &[("endpoint", &endpoint), ("token", &token)]).await;
        operator.until_ready(&desk).await;
        assert_eq!(desk.writes(mark), Vec::<String>::new());
    });
}

#[test]
fn the_end_of_the_token_is_announced_before_it_comes() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        desk.clock.shift(SignedDuration::from_hours(24 * 340));
        let status = operator.until(&desk, "ending", |s| is(s, "TokenFresh", "False", "TokenExpiring")).await;
        assert!(is(&status, "Ready", "True", "TokenExpiring"));
        desk.clock.shift(SignedDuration::from_hours(24 * 366));
        let status = operator.until(&desk, "ended", |s| is(s, "TokenFresh", "False", "TokenExpired")).await;
        assert!(is(&status, "Ready", "False", "TokenExpired"));
        assert_eq!(desk.notices.lock().unwrap().iter().filter(|n| n.action == "CheckToken").count(), 2);
    });
}

#[test]
fn people_ask_for_a_restart_or_one_person_by_annotation() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        let mark = desk.mark();

        let now = || desk.clock.now().to_string();
        let request = format!("Full@{}", now());
        desk.annotate(annotations::RESTART, &request).await;
        operator.until(&desk, "restarted", |s| s.last_restart.as_deref() == Some(request.as_str())).await;
        operator.until_ready(&desk).await;

        let request = format!("ada@acme.example@{}", now());
        desk.annotate(annotations::PROVISION_ON_DEMAND, &request).await;
        let status = operator.until(&desk, "provisioned", |s| s.last_on_demand.is_some()).await;
        let outcome = status.last_on_demand.unwrap();
        assert_eq!(outcome.request, request);
        assert!(["Success", "Skipped"].contains(&outcome.result.as_str()), "{outcome:?}");

        let request = format!("nobody@acme.example@{}", now());
        desk.annotate(annotations::PROVISION_ON_DEMAND, &request).await;
        let status = operator
            .until(&desk, "refused", |s| s.last_on_demand.as_ref().is_some_and(|o| o.request == request))
            .await;
        assert_eq!(status.last_on_demand.unwrap().result, "Failure");

        desk.annotate(annotations::RESTART, "please").await;
        let status = operator.until(&desk, "remarked", |s| message(s, "Ready").contains("is ignored")).await;
        assert!(is(&status, "Ready", "True", "Succeeded"));
        let past = desk.clock.now().checked_sub(SignedDuration::from_mins(61)).unwrap();
        desk.annotate(annotations::RESTART, &format!("Full@{past}")).await;
        for _ in 0..3 {
            operator.pass(&desk, NAME).await;
        }
        assert_eq!(desk.writes(mark), ["POST /jobs/{id}/restart", "POST /jobs/{id}/provisionOnDemand"]);
    });
}

#[test]
fn suspend_pauses_and_deletion_deletes_the_job_only_when_asked_to() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"deletionPolicy": "Delete"})).await;
        let operator = desk.operator(Cut::never());
        operator.until_ready(&desk).await;
        let mark = desk.mark();
        desk.patch(&json!({"spec": {"suspend": true}})).await;
        operator
            .until(&desk, "paused", |s| {
                s.state.as_deref() == Some("Paused") && is(s, "Ready", "False", "Suspended")
            })
            .await;
        desk.patch(&json!({"spec": {"suspend": false}})).await;
        operator.until_ready(&desk).await;
        assert_eq!(desk.writes(mark), ["POST /jobs/{id}/pause", "POST /jobs/{id}/start"]);

        // A second connection of the same federation is refused alone, whatever its name, and takes nothing with it.
        let mark = desk.mark();
        desk.connection("a-rival", &json!({"deletionPolicy": "Delete"})).await;
        for _ in 0..2 {
            operator.pass(&desk, "a-rival").await;
            let refused = desk.connections().get("a-rival").await.unwrap().status.unwrap();
            assert!(is(&refused, "Ready", "False", "ClaimedTwice"), "{refused:#?}");
            assert!(message(&refused, "Ready").contains(&format!("ScimConnection {NAME} provisions")));
            operator.until_ready(&desk).await;
        }
        desk.connections().delete("a-rival", &DeleteParams::default()).await.unwrap();
        assert_eq!(operator.pass(&desk, "a-rival").await, None);
        assert_eq!((desk.jobs().len(), desk.writes(mark)), (1, Vec::new()));

        let mark = desk.mark();
        desk.delete().await;
        operator.until_gone(&desk).await;
        assert_eq!(desk.writes(mark), ["POST /jobs/{id}/pause", "DELETE /jobs/{id}"]);
        assert!(desk.jobs().is_empty());
    });
}

#[test]
fn nothing_is_called_before_the_application_is_ready() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.federation_ready(false).await;
        desk.connection(NAME, &json!({})).await;
        desk.sandbox.core.counters.clear();
        let operator = desk.operator(Cut::never());
        operator.until(&desk, "blocked", |s| is(s, "Ready", "False", "FederationNotReady")).await;
        assert!(desk.sandbox.core.counters.all().iter().all(|c| c.service != "graph"));
        desk.federation_ready(true).await;
        operator.until_ready(&desk).await;
    });
}

#[test]
fn faults_of_entra_leave_one_job_and_no_error_that_stays() {
    run(async {
        let desk = Desk::new("scim").await;
        desk.hand_over().await;
        desk.connection(NAME, &json!({"mappings": {"groups": {"sync": false}}})).await;
        let path = "/servicePrincipals/{id}/synchronization";
        for (method, rest) in [
            ("POST", "/jobs"),
            ("PUT", "/jobs/{id}/schema"),
            ("PUT", "/secrets"),
            ("POST", "/jobs/{id}/start"),
        ] {
            for (nth, kind) in
                [(1, FaultKind::Throttle), (2, FaultKind::Error), (3, FaultKind::CutAfterEffect)]
            {
                desk.sandbox.core.faults.add(FaultRule {
                    service: "graph".into(),
                    operation: Some(format!("{method} {path}{rest}")),
                    nth: Some(nth),
                    probability: None,
                    kind,
                    status: (kind == FaultKind::Error).then_some(503),
                    code: None,
                    times: Some(1),
                    retry_after: None,
                });
            }
        }
        let operator = desk.operator(Cut::never());
        for _ in 0..4 {
            // An unclear creation is looked for before it is tried again.
            for _ in 0..20 {
                operator.pass(&desk, NAME).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            desk.advance(SignedDuration::from_mins(4));
        }
        operator.until_ready(&desk).await;
        assert_eq!(desk.jobs().len(), 1);
    });
}

/// One life of the connection with a cut at the given moment; answers whether there was one.
async fn cut_at(moment: usize) -> bool {
    let desk = Desk::new("scim-crash").await;
    desk.hand_over().await;
    desk.connection(NAME, &json!({"mappings": {"groups": {"sync": false}}})).await;
    let cut = Cut::at(moment);
    let was_cut = desk.operator(cut.clone()).until_cut(&desk).await;
    let place = cut.place.lock().unwrap().clone().unwrap_or_default();
    let next = desk.operator(Cut::never());
    for _ in 0..3 {
        next.pass(&desk, NAME).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A job that may have been created is looked for that long.
    desk.advance(SignedDuration::from_mins(4));
    let status = next.until_ready(&desk).await;
    assert_eq!(desk.jobs().len(), 1, "cut {place}");
    assert_eq!(status.counts.unwrap().groups, 0, "cut {place}");
    let writes = desk.writes(0);
    for operation in ["POST /jobs", "POST /jobs/{id}/start"] {
        assert_eq!(writes.iter().filter(|w| *w == operation).count(), 1, "cut {place}: {writes:?}");
    }
    was_cut
}

#[test]
fn a_crash_at_any_moment_ends_in_the_same_place() {
    run(async {
        let mut first = 1;
        // Lives are mostly waiting: some at a time.
        while futures::future::join_all((first..first + 8).map(cut_at)).await.into_iter().all(|cut| cut) {
            first += 8;
        }
        assert!(first > 30, "only {first} moments");
    });
}
