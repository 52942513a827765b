//! Provisioning into the sandbox's own AWS over HTTPS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Desk, answer, world};
use crate::aws::Aws;
use crate::core::{Authority, FaultKind, FaultRule, serve};
use crate::world::World;

/// A tenant and an AWS that wait to be connected; the engine runs.
pub(super) struct Pair {
    pub(super) desk: Desk,
    aws: Arc<Aws>,
    pub(super) endpoint: String,
    pub(super) token: String,
    /// Service principal id.
    id: String,
    stop: CancellationToken,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Pair {
    async fn new() -> Self {
        Self::of(world()).await
    }

    pub(super) async fn of(mut world: World) -> Self {
        world.identity_center.enabled = true;
        world.identity_center.external_identity_provider = true;
        let desk = Desk::of(&world).await;
        let aws = Aws::new(desk.core.clone(), &world);
        let authority = Authority::generate().unwrap();
        let stop = CancellationToken::new();
        let listening = serve(aws.router(), Some(authority.server_config()), stop.clone()).await.unwrap();
        aws.set_base_url(&listening.url);
        desk.entra.set_urls(super::GRAPH, super::AUTHORITY, authority.ca_pem(), &listening.url);
        if aws.enable_automatic_provisioning().is_err() {
            let xml = desk.entra.metadata(&desk.entra.tenant_id, None, false).unwrap();
            aws.set_external_identity_provider(&xml).unwrap();
        }
        let made = aws.create_scim_token().or_else(|_| aws.enable_automatic_provisioning()).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let (endpoint, token) = (text("endpoint"), text("token"));
        let (_, _, id) = desk.application().await;
        desk.entra.start(stop.clone());
        Self { desk, aws, endpoint, token, id, stop }
    }

    pub(super) fn base(&self) -> String {
        format!("/servicePrincipals/{}/synchronization", self.id)
    }

    /// Creates the job and sets the secrets; answers the job's path.
    pub(super) async fn job(&self) -> String {
        let base = self.base();
        let templates = self.desk.until(&format!("{base}/templates"), |_| true).await;
        let template = templates["value"][0]["id"].as_str().unwrap();
        let made = self
            .desk
            .must(201, "POST", &format!("{base}/jobs"), Some(json!({ "templateId": template })))
            .await;
        assert_eq!(
            (&made["schedule"]["state"], &made["status"]["code"]),
            (&json!("Disabled"), &json!("NotConfigured"))
        );
        self.secrets(&self.token, &[]).await;
        let path = format!("{base}/jobs/{}", made["id"].as_str().unwrap());
        self.desk.settle();
        self.desk.until(&path, |_| true).await;
        path
    }

    async fn secrets(&self, token: &str, more: &[(&str, &str)]) {
        let pair = |key: &str, value: &str| json!({ "key": key, "value": value });
        let mut all =
            vec![pair("BaseAddress", &self.endpoint), pair("SecretToken", token), pair("SyncAll", "false")];
        all.extend(more.iter().map(|(key, value)| pair(key, value)));
        self.desk.must(204, "PUT", &format!("{}/secrets", self.base()), Some(json!({ "value": all }))).await;
    }

    pub(super) async fn assign(&self, principal: &str) {
        assert_eq!(self.desk.assign(&self.id, principal).await.0, 201);
        self.desk.settle();
    }

    async fn unassign(&self, principal: &str) {
        let path = format!("/servicePrincipals/{}/appRoleAssignedTo", self.id);
        let all = self.desk.must(200, "GET", &path, None).await;
        let found = all["value"].as_array().unwrap().iter().find(|a| a["principalId"] == principal).unwrap();
        self.desk.must(204, "DELETE", &format!("{path}/{}", found["id"].as_str().unwrap()), None).await;
        self.desk.settle();
    }

    /// The next cycle, waited for; answers the job after it.
    async fn cycle(&self, job: &str) -> Value {
        self.desk.sign_in().await;
        self.idle().await;
        let before = self.desk.get(job).await.1["status"]["lastExecution"]["activityIdentifier"].clone();
        self.desk.core.clock.advance(SignedDuration::from_mins(41));
        self.after(job, &before).await
    }

    /// Waits until no cycle runs and none is due: else it would be taken for the next one.
    async fn idle(&self) {
        for _ in 0..1000 {
            let job = self.desk.entra.state()["synchronization"][&self.id]["jobs"][0].clone();
            let now = crate::entra::state::iso(self.desk.core.clock.now());
            if job["running"] == false && job["nextRun"].as_str().is_none_or(|at| at > now.as_str()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the job never rests");
    }

    async fn after(&self, job: &str, before: &Value) -> Value {
        for _ in 0..1000 {
            let now = self.desk.get(job).await.1;
            let last = &now["status"]["lastExecution"]["activityIdentifier"];
            if !last.is_null() && last != before {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no cycle came: {}", self.desk.get(job).await.1);
    }

    async fn started(&self) -> String {
        let job = self.job().await;
        self.desk.must(204, "POST", &format!("{job}/start"), None).await;
        self.after(&job, &Value::Null).await;
        job
    }

    async fn scim(&self, path: &str) -> Vec<Value> {
        let path = format!("{}{path}", self.endpoint.splitn(4, '/').nth(3).map(|p| format!("/{p}")).unwrap());
        // The endpoint takes twenty calls a second.
        for _ in 0..50 {
            let request = Request::get(&path).header("authorization", format!("Bearer {}", self.token));
            let (status, body) =
                answer(self.aws.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
            if status == 200 {
                return body["Resources"].as_array().unwrap().clone();
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        panic!("no answer from {path}");
    }

    /// User names with whether they are active.
    async fn users(&self) -> BTreeMap<String, bool> {
        let all = self.scim("/Users").await;
        all.iter().map(|u| (u["userName"].as_str().unwrap().to_owned(), u["active"] == true)).collect()
    }

    /// Group names with the number of their members.
    fn groups(&self) -> BTreeMap<String, usize> {
        self.aws.world().1.groups.into_iter().map(|g| (g.display_name, g.members.len())).collect()
    }

    fn pushes(&self) -> usize {
        self.desk.core.journal.after(0).iter().filter(|e| e.caller == "provisioning-service").count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_who_is_assigned_and_nothing_twice() {
    let pair = Pair::new().await;
    let group = pair.desk.group_id("aws-engineers").await;
    pair.assign(&group).await;
    let job = pair.job().await;
    pair.desk.must(204, "POST", &format!("{job}/start"), None).await;
    let first = pair.desk.get(&job).await.1;
    let last = &first["status"]["lastExecution"];
    if first["status"]["code"] == "NotRun" {
        // "No run yet" looks like a failure (5.7).
        assert_eq!((&last["state"], &last["error"]["code"]), (&json!("Failed"), &json!("None")));
        assert_eq!(last["timeBegan"], "0001-01-01T00:00:00Z");
    }
    let done = pair.after(&job, &Value::Null).await;
    assert_eq!(done["status"]["code"], "Active", "{done}");
    assert_eq!(done["schedule"]["interval"], "PT40M");
    assert_eq!(done["status"]["lastExecution"]["state"], "Succeeded", "{done}");
    assert_eq!(
        done["status"]["synchronizedEntryCountByType"][0],
        json!({ "key": "User to User", "value": 1 })
    );
    // Direct members only (4.2).
    assert_eq!(pair.users().await, BTreeMap::from([("ada@acme.example".into(), true)]));
    assert_eq!(pair.groups(), BTreeMap::from([("aws-engineers".into(), 1)]));
    let ada = &pair.scim("/Users").await[0];
    assert_eq!(ada["externalId"], pair.desk.user_id("ada").await);
    assert_eq!(
        (&ada["name"]["familyName"], &ada["emails"][0]["value"]),
        (&json!("Lovelace"), &json!("ada@acme.example"))
    );
    let before = pair.pushes();
    pair.cycle(&job).await;
    let restart = json!({ "criteria": { "resetScope": "" } });
    pair.idle().await;
    let last = pair.desk.get(&job).await.1["status"]["lastExecution"]["activityIdentifier"].clone();
    pair.desk.must(204, "POST", &format!("{job}/restart"), Some(restart)).await;
    pair.after(&job, &last).await;
    assert_eq!(pair.pushes(), before, "nothing to do means nothing done");
    // A full restart forgets the links and finds everything again by matching.
    let last = pair.desk.get(&job).await.1["status"]["lastExecution"]["activityIdentifier"].clone();
    pair.desk
        .must(204, "POST", &format!("{job}/restart"), Some(json!({ "criteria": { "resetScope": "Full" } })))
        .await;
    pair.after(&job, &last).await;
    assert_eq!(pair.users().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follows_people_out() {
    let pair = Pair::new().await;
    let (group, grace) = (pair.desk.group_id("aws-engineers").await, pair.desk.user_id("grace").await);
    pair.assign(&group).await;
    pair.assign(&grace).await;
    let job = pair.started().await;
    assert_eq!(pair.users().await.len(), 2);
    // Renamed: a PATCH with the difference only.
    pair.desk.entra.update_user("grace@acme.example", &json!({ "displayName": "G. Hopper" })).unwrap();
    pair.cycle(&job).await;
    let found = pair.scim("/Users?filter=userName%20eq%20%22grace@acme.example%22").await;
    assert_eq!(found[0]["displayName"], "G. Hopper");
    // Leaving scope disables; leaving the directory disables, and thirty days later deletes (5.9).
    pair.unassign(&grace).await;
    let ada = pair.desk.user_id("ada").await;
    pair.desk.entra.delete_user(&ada).unwrap();
    pair.cycle(&job).await;
    assert_eq!(
        pair.users().await,
        BTreeMap::from([("ada@acme.example".into(), false), ("grace@acme.example".into(), false)])
    );
    assert_eq!(pair.groups()["aws-engineers"], 0);
    pair.desk.core.clock.advance(SignedDuration::from_hours(24 * 31));
    pair.cycle(&job).await;
    assert_eq!(pair.users().await, BTreeMap::from([("grace@acme.example".into(), false)]));
    // Back in scope, back in service.
    pair.assign(&grace).await;
    pair.cycle(&job).await;
    assert!(pair.users().await["grace@acme.example"]);
    pair.unassign(&group).await;
    pair.cycle(&job).await;
    assert!(pair.groups().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honours_the_schema() {
    let pair = Pair::new().await;
    let group = pair.desk.group_id("aws-engineers").await;
    pair.desk.entra.update_user("ada@acme.example", &json!({ "mail": "countess@acme.example" })).unwrap();
    pair.assign(&group).await;
    let job = pair.job().await;
    let mut schema = pair.desk.must(200, "GET", &format!("{job}/schema"), None).await;
    for mapping in schema["synchronizationRules"][0]["objectMappings"].as_array_mut().unwrap() {
        if mapping["sourceObjectName"] == "Group" {
            mapping["enabled"] = false.into();
        }
        for attribute in mapping["attributeMappings"].as_array_mut().unwrap() {
            if attribute["targetAttributeName"] == "userName" {
                attribute["source"] =
                    json!({ "type": "Attribute", "name": "mail", "expression": "[mail]", "parameters": [] });
            }
        }
    }
    let path = format!("{job}/schema");
    let refused = pair.desk.must(404, "PATCH", &path, Some(schema.clone())).await;
    assert_eq!(refused["error"]["code"], "UnknownError");
    pair.desk.must(400, "PUT", &path, Some(json!({ "synchronizationRules": [] }))).await;
    pair.desk.must(204, "PUT", &path, Some(schema.clone())).await;
    assert_eq!(pair.desk.must(200, "GET", &path, None).await, schema);
    pair.desk.must(204, "POST", &format!("{job}/start"), None).await;
    pair.after(&job, &Value::Null).await;
    assert_eq!(pair.users().await, BTreeMap::from([("countess@acme.example".into(), true)]));
    assert!(pair.groups().is_empty());
    // Back to the default: the group comes, and the user is known by the link whatever its name.
    pair.desk.must(204, "DELETE", &path, None).await;
    pair.cycle(&job).await;
    assert_eq!(pair.groups(), BTreeMap::from([("aws-engineers".into(), 1)]));
    assert_eq!(pair.users().await, BTreeMap::from([("ada@acme.example".into(), true)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_credentials_are_refused_and_lead_to_quarantine() {
    let pair = Pair::new().await;
    let job = pair.job().await;
    let base = pair.base();
    let check = |token: &str| {
        json!({ "templateId": "aWSSSO", "useSavedCredentials": false, "credentials": [
            { "key": "BaseAddress", "value": pair.endpoint }, { "key": "SecretToken", "value": token } ] })
    };
    let path = format!("{base}/jobs/validateCredentials");
    let refused = pair.desk.must(400, "POST", &path, Some(check("wrong"))).await;
    let code = "SystemForCrossDomainIdentityManagementCredentialValidationUnavailable";
    assert_eq!(refused["error"]["code"], code);
    pair.desk.must(204, "POST", &path, Some(check(&pair.token))).await;
    let saved = json!({ "useSavedCredentials": true });
    pair.desk.must(204, "POST", &format!("{job}/validateCredentials"), Some(saved)).await;
    // What GET shows must never be put back.
    let shown = pair.desk.must(200, "GET", &format!("{base}/secrets"), None).await;
    let token = shown["value"].as_array().unwrap().iter().find(|s| s["key"] == "SecretToken").unwrap();
    assert_eq!(token["value"], "*");
    pair.secrets("*", &[]).await;
    pair.desk.must(204, "POST", &format!("{job}/start"), None).await;
    let failed = pair.after(&job, &Value::Null).await;
    assert_eq!(
        (&failed["status"]["code"], &failed["status"]["quarantine"]["reason"]),
        (&json!("Quarantine"), &json!("EncounteredQuarantineException"))
    );
    assert!(!failed.to_string().contains(&pair.token));
    pair.secrets(&pair.token.clone(), &[]).await;
    let last = failed["status"]["lastExecution"]["activityIdentifier"].clone();
    pair.desk.must(204, "POST", &format!("{job}/start"), None).await;
    assert_eq!(pair.after(&job, &last).await["status"]["code"], "Active");
    let service_principal = pair.desk.get(&format!("/servicePrincipals/{}", pair.id)).await.1;
    let app_id = service_principal["appId"].as_str().unwrap();
    assert_eq!(pair.desk.entra.quarantine(app_id, "Mood").unwrap_err().status, 400);
    pair.desk.entra.quarantine(app_id, "IngestionInterrupted").unwrap();
    assert_eq!(pair.desk.get(&job).await.1["status"]["quarantine"]["reason"], "IngestionInterrupted");
    pair.desk.must(204, "POST", &format!("{job}/start"), None).await;
    pair.desk.must(204, "POST", &format!("{job}/pause"), None).await;
    assert_eq!(pair.desk.get(&job).await.1["status"]["code"], "Paused");
    pair.desk.must(204, "DELETE", &job, None).await;
    pair.desk.must(404, "GET", &job, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_deletes_wait_for_force() {
    let pair = Pair::new().await;
    let people = [pair.desk.user_id("ada").await, pair.desk.user_id("grace").await];
    for person in &people {
        pair.assign(person).await;
    }
    let job = pair.started().await;
    let guard =
        json!({ "Enabled": true, "DeleteThresholdEnabled": true, "DeleteThresholdValue": 1 }).to_string();
    pair.secrets(&pair.token, &[("SyncNotificationSettings", &guard)]).await;
    for person in &people {
        pair.unassign(person).await;
    }
    let held = pair.cycle(&job).await;
    assert_eq!(held["status"]["quarantine"]["reason"], "TooManyDeletes", "{held}");
    assert!(pair.users().await.values().all(|active| *active));
    let restart = async |scope: &str, last: &Value| {
        let body = json!({ "criteria": { "resetScope": scope } });
        pair.desk.must(204, "POST", &format!("{job}/restart"), Some(body)).await;
        pair.after(&job, &last["status"]["lastExecution"]["activityIdentifier"]).await
    };
    let again = restart("", &held).await;
    assert_eq!(again["status"]["quarantine"]["reason"], "TooManyDeletes");
    let forced = restart("ForceDeletes", &again).await;
    assert_eq!(forced["status"]["code"], "Active", "{forced}");
    assert!(pair.users().await.values().all(|active| !*active));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisions_on_demand() {
    let pair = Pair::new().await;
    let (ada, group) = (pair.desk.user_id("ada").await, pair.desk.group_id("aws-engineers").await);
    let job = pair.job().await;
    let schema = pair.desk.get(&format!("{job}/schema")).await.1;
    let rule = schema["synchronizationRules"][0]["id"].as_str().unwrap();
    let ask = async |subject: Value| {
        let body = json!({ "parameters": [{ "ruleId": rule, "subjects": [subject] }] });
        pair.desk.call("POST", &format!("{job}/provisionOnDemand"), Some(body)).await
    };
    let user = json!({ "objectId": ada, "objectTypeName": "User" });
    let result = |body: &Value| -> Value { serde_json::from_str(body["key"].as_str().unwrap()).unwrap() };
    let (_, skipped) = ask(user.clone()).await;
    assert_eq!(result(&skipped)["result"], "Skipped");
    pair.assign(&group).await;
    let (status, done) = ask(user.clone()).await;
    assert_eq!((status, &result(&done)["result"]), (200, &json!("Success")), "{done}");
    let (_, again) = ask(user.clone()).await;
    assert_eq!(result(&again)["details"]["errorCode"], "RedundantExport");
    let links = json!({ "members": [{ "objectId": ada, "objectTypeName": "User" }] });
    let (_, done) = ask(json!({ "objectId": group, "objectTypeName": "Group", "links": links })).await;
    assert_eq!(result(&done)["result"], "Success", "{done}");
    assert_eq!(pair.groups(), BTreeMap::from([("aws-engineers".into(), 1)]));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(ask(user.clone()).await.0);
    }
    assert!(statuses.contains(&429), "five calls in ten seconds: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_leave_nobody_twice() {
    let pair = Pair::new().await;
    let rule = |operation: &str, kind: FaultKind| FaultRule {
        service: "scim".into(),
        operation: Some(operation.into()),
        nth: None,
        probability: None,
        kind,
        status: None,
        code: None,
        times: Some(2),
        retry_after: Some(0.02),
    };
    let faults = &pair.desk.core.faults;
    faults.add(rule("CreateUser", FaultKind::CutAfterEffect));
    faults.add(rule("PatchGroup", FaultKind::Throttle));
    pair.assign(&pair.desk.group_id("aws-engineers").await).await;
    pair.assign(&pair.desk.user_id("grace").await).await;
    let job = pair.started().await;
    let done = pair.cycle(&job).await;
    assert_eq!(done["status"]["code"], "Active", "{done}");
    assert_eq!(pair.users().await.len(), 2);
    assert_eq!(pair.groups(), BTreeMap::from([("aws-engineers".into(), 1)]));
}
