use axum::http::Request;
use serde_json::{Value, json};

use super::{Desk, answer, world};
use crate::core::{FaultKind, FaultRule};

#[tokio::test]
async fn shows_users_as_graph_does() {
    let desk = Desk::new().await;
    let ada = desk.must(200, "GET", "/users/ada@acme.example", None).await;
    assert!(ada.get("accountEnabled").is_none(), "only with $select");
    let ada =
        desk.must(200, "GET", "/users/ada@acme.example?$select=id,accountEnabled,department", None).await;
    assert_eq!((&ada["accountEnabled"], &ada["department"]), (&json!(true), &json!("Engineering")));
    let found =
        desk.must(200, "GET", "/users?$filter=userPrincipalName%20eq%20'o''brien@acme.example'", None).await;
    assert_eq!(found["value"][0]["displayName"], "Miles O'Brien");
    let group = desk.must(200, "GET", "/groups?$filter=displayName%20eq%20'O''Group'", None).await;
    assert_eq!(group["value"].as_array().unwrap().len(), 1);
    for (path, code) in [
        ("/users?$filter=officeLocation%20eq%20'x'", "Request_UnsupportedQuery"),
        ("/users?$filter=displayName%20ne%20'x'", "Request_UnsupportedQuery"),
        ("/users?$search=%22x%22", "Request_UnsupportedQuery"),
        ("/users?$select=nonsense", "BadRequest"),
        ("/users?$filter=displayName%20is%20'x'", "BadRequest"),
        ("/users?$top=1000", "Request_UnsupportedQuery"),
        ("/nonsense", "BadRequest"),
        ("/users/delta", "BadRequest"),
    ] {
        assert_eq!(desk.must(400, "GET", path, None).await["error"]["code"], code, "{path}");
    }
    desk.must(404, "GET", "/users/nobody@acme.example", None).await;
    desk.must(405, "PUT", "/users", Some(json!({}))).await;
}

#[tokio::test]
async fn pages_stay_on_this_origin() {
    let desk = Desk::new().await;
    let mut path = "/users?$top=2&$select=id".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = desk.must(200, "GET", &path, None).await;
        seen.extend(page["value"].as_array().unwrap().iter().map(|u| u["id"].clone()));
        let Some(next) = page["@odata.nextLink"].as_str() else { break };
        path = next.strip_prefix(&format!("{}/v1.0", super::GRAPH)).unwrap().to_owned();
    }
    assert_eq!(seen.len(), 3);
    assert_eq!(
        desk.must(400, "GET", "/users?$skiptoken=nonsense", None).await["error"]["code"],
        "Directory_ExpiredPageToken"
    );
}

#[tokio::test]
async fn a_looping_page_leads_back_to_itself_and_an_ended_token_is_refused() {
    let desk = Desk::new().await;
    let rule = |kind: &str| {
        let rule = serde_json::json!({"service": "graph", "operation": "GET /users", "kind": kind});
        serde_json::from_value::<FaultRule>(rule).unwrap()
    };
    let follow = |page: &Value| {
        let next = page["@odata.nextLink"].as_str().unwrap();
        next.strip_prefix(&format!("{}/v1.0", super::GRAPH)).unwrap().to_owned()
    };
    // From the second page on: the page that the link leads to is that one, not the first.
    let first = desk.must(200, "GET", "/users?$top=2&$select=id", None).await;
    desk.core.faults.add(rule("looping-next-link"));
    let second = desk.must(200, "GET", &follow(&first), None).await;
    assert_eq!(second["value"].as_array().unwrap().len(), 1);
    let again = desk.must(200, "GET", &follow(&second), None).await;
    assert_eq!(again, second);
    let whole = desk.must(200, "GET", "/users?$select=id", None).await;
    assert!(whole["value"].as_array().unwrap().len() == 3 && whole.get("@odata.nextLink").is_none());

    desk.core.faults.add(rule("expired-credential"));
    let refused = desk.must(401, "GET", "/users", None).await;
    assert_eq!(refused["error"]["code"], "InvalidAuthenticationToken");
}

#[tokio::test]
async fn assignments_follow_the_rules() {
    let desk = Desk::new().await;
    let (_, _, id) = desk.application().await;
    let path = format!("/servicePrincipals/{id}/appRoleAssignedTo");
    let ada = desk.user_id("ada").await;
    let (status, made) = desk.assign(&id, &ada).await;
    assert_eq!((status, &made["principalType"]), (201, &json!("User")));
    let (status, again) = desk.assign(&id, &ada).await;
    assert_eq!(status, 400);
    assert_eq!(again["error"]["message"], "Permission being assigned already exists on the object");
    let body = |role: &str| Some(json!({ "principalId": ada, "resourceId": id, "appRoleId": role }));
    desk.must(400, "POST", &path, body("00000000-0000-0000-0000-000000000000")).await;
    let mut unknown = body(&desk.role(&id).await).unwrap();
    unknown["nonsense"] = json!(1);
    desk.must(400, "POST", &path, Some(unknown)).await;
    for at in 0..25 {
        let user =
            json!({ "userPrincipalName": format!("u{at}@acme.example"), "displayName": format!("U {at}") });
        let user = desk.entra.create_user(&user).unwrap();
        desk.settle();
        assert_eq!(desk.assign(&id, user["id"].as_str().unwrap()).await.0, 201);
    }
    desk.settle();
    let first = desk.must(200, "GET", &path, None).await;
    assert_eq!(first["value"].as_array().unwrap().len(), 20);
    assert!(first["@odata.nextLink"].is_string());
    desk.must(400, "GET", &format!("{path}?$filter=principalId%20eq%20'{ada}'"), None).await;
    let assignment = made["id"].as_str().unwrap();
    desk.must(204, "DELETE", &format!("{path}/{assignment}"), None).await;
    desk.must(404, "DELETE", &format!("{path}/{assignment}"), None).await;
    let role = desk.role(&id).await;
    let entry = desk.core.journal.after(0).into_iter().rfind(|e| e.outcome == "ok").unwrap();
    assert_eq!(entry.target, format!("appRoleAssignment {id}/{ada}/{role}"));
}

#[tokio::test]
async fn members_are_direct_or_transitive() {
    let desk = Desk::new().await;
    let group = desk.group_id("aws-engineers").await;
    let direct = desk.must(200, "GET", &format!("/groups/{group}/members"), None).await;
    let types: Vec<&Value> = direct["value"].as_array().unwrap().iter().map(|m| &m["@odata.type"]).collect();
    assert_eq!(types.len(), 2);
    assert!(types.contains(&&json!("#microsoft.graph.group")));
    let all = desk.must(200, "GET", &format!("/groups/{group}/transitiveMembers?$select=id"), None).await;
    assert_eq!(all["value"].as_array().unwrap().len(), 3);
    // A cast needs the advanced query header (7.2).
    let cast = format!("/groups/{group}/transitiveMembers/microsoft.graph.user?$count=true");
    desk.must(400, "GET", &cast, None).await;
    let request = Request::get(format!("/v1.0{cast}"))
        .header("authorization", desk.bearer())
        .header("consistencylevel", "eventual");
    let (status, people) = answer(desk.raw(request, None).await).await;
    assert_eq!((status, &people["@odata.count"]), (200, &json!(2)));
    // Microsoft's SDKs write the cast with the short name of the namespace.
    let request = Request::get(format!("/v1.0{cast}").replace("/microsoft.graph.", "/graph."))
        .header("authorization", desk.bearer())
        .header("consistencylevel", "eventual");
    assert_eq!(answer(desk.raw(request, None).await).await.1["@odata.count"], 2);
}

#[tokio::test]
async fn permissions_decide() {
    let desk = Desk::new().await;
    let (application, _, id) = desk.application().await;
    let client = desk.entra.facts().client_id;
    desk.entra.set_permissions(&client, &["User.ReadBasic.All", "Application.ReadWrite.OwnedBy"]);
    desk.must(200, "GET", "/groups", None).await;
    desk.sign_in().await;
    assert_eq!(desk.must(403, "GET", "/groups", None).await["error"]["code"], "Authorization_RequestDenied");
    desk.must(403, "PATCH", &format!("/applications/{application}"), Some(json!({ "notes": "x" }))).await;
    let sync = desk.must(401, "GET", &format!("/servicePrincipals/{id}/synchronization/jobs"), None).await;
    assert_eq!((&sync["error"]["code"], &sync["error"]["message"]), (&json!("UnknownError"), &json!("")));
    let ada = desk.must(200, "GET", "/users/ada@acme.example?$select=id,department", None).await;
    assert!(ada.get("department").is_none());
}

#[tokio::test]
async fn bodies_are_checked() {
    let desk = Desk::new().await;
    let (application, _, id) = desk.application().await;
    let path = format!("/servicePrincipals/{id}");
    for body in [
        json!({ "nonsense": 1 }),
        json!({ "appRoleAssignmentRequired": "yes" }),
        json!({ "notificationEmailAddresses": "x@y" }),
        json!({ "appId": "x" }),
        json!({ "preferredSingleSignOnMode": "magic" }),
        json!({ "samlSingleSignOnSettings": { "nonsense": "x" } }),
    ] {
        desk.must(400, "PATCH", &path, Some(body)).await;
    }
    let body = json!({
        "@odata.type": "#microsoft.graph.servicePrincipal", "notes": "owned", "loginUrl": "https://portal.example/start",
        "samlSingleSignOnSettings": { "relayState": "https://x" }, "appRoleAssignmentRequired": false,
    });
    desk.must(204, "PATCH", &path, Some(body)).await;
    desk.settle();
    let now = desk.get(&path).await.1;
    assert_eq!((&now["notes"], &now["loginUrl"]), (&json!("owned"), &json!("https://portal.example/start")));
    // Complex properties merge.
    let path = format!("/applications/{application}");
    let before = desk.get(&path).await.1["web"]["homePageUrl"].clone();
    desk.must(204, "PATCH", &path, Some(json!({ "web": { "redirectUris": ["https://acme.example/acs"] } })))
        .await;
    desk.settle();
    assert_eq!(desk.get(&path).await.1["web"]["homePageUrl"], before);
}

#[tokio::test]
async fn faults_strike_as_graph_would() {
    let desk = Desk::new().await;
    let rule = |kind: FaultKind, operation: &str| FaultRule {
        service: "graph".into(),
        operation: Some(operation.into()),
        nth: None,
        probability: None,
        kind,
        status: Some(503),
        code: Some("Directory_ConcurrencyViolation".into()),
        times: None,
        retry_after: Some(2.128),
    };
    desk.core.faults.add(rule(FaultKind::Throttle, "GET /users"));
    let request = Request::get("/v1.0/users").header("authorization", desk.bearer());
    let throttled = desk.raw(request, None).await;
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["retry-after"]),
        (429, &"2.128".parse().unwrap())
    );
    desk.core.faults.clear();
    let (application, ..) = desk.application().await;
    let path = format!("/applications/{application}");
    desk.core.faults.add(rule(FaultKind::Stale, "GET /applications/{id}"));
    desk.must(204, "PATCH", &path, Some(json!({ "notes": "new" }))).await;
    desk.settle();
    assert!(desk.get(&path).await.1["notes"].is_null());
    assert_eq!(desk.get(&path).await.1["notes"], "new");
}

#[tokio::test]
async fn batches_answer_item_by_item() {
    let desk = Desk::new().await;
    let ada = desk.user_id("ada").await;
    let body = json!({ "requests": [
        { "id": "1", "method": "GET", "url": format!("/users/{ada}?$select=id") },
        { "id": "2", "method": "GET", "url": "/users/none" },
        { "id": "3", "method": "GET", "url": "/users", "dependsOn": ["2"] },
    ]});
    let answers = desk.must(200, "POST", "/$batch", Some(body)).await;
    let of = |id: &str| {
        answers["responses"].as_array().unwrap().iter().find(|r| r["id"] == id).unwrap()["status"].clone()
    };
    assert_eq!([of("1"), of("2"), of("3")], [json!(200), json!(404), json!(424)]);
    let ids = json!({ "ids": [ada, "99999999-9999-4999-8999-999999999999"], "types": ["user"] });
    let found = desk.must(200, "POST", "/directoryObjects/getByIds", Some(ids)).await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn administrators_act_and_the_world_shows_it() {
    let desk = Desk::new().await;
    let entra = &desk.entra;
    let body = json!({ "userPrincipalName": "alan@acme.example", "displayName": "Alan Turing", "givenName": "Alan" });
    let alan = entra.create_user(&body).unwrap();
    assert_eq!(entra.create_user(&body).unwrap_err().status, 400);
    assert_eq!(
        entra
            .create_user(&json!({ "userPrincipalName": "x@else.where", "displayName": "x" }))
            .unwrap_err()
            .status,
        400
    );
    let group = entra.create_group(&json!({ "displayName": "late" })).unwrap();
    let id = group["id"].as_str().unwrap();
    entra.add_member(id, alan["id"].as_str().unwrap()).unwrap();
    assert_eq!(entra.add_member(id, "alan@acme.example").unwrap_err().status, 400);
    let tenant = entra.world();
    assert_eq!(
        tenant.groups.iter().find(|g| g.display_name == "late").unwrap().members,
        ["alan@acme.example"]
    );
    entra.delete_user("alan@acme.example").unwrap();
    assert!(entra.world().users.iter().all(|u| u.display_name != "Alan Turing"));
    entra.delete_group(id).unwrap();
    let people: Vec<_> = desk.core.journal.after(0).into_iter().filter(|e| e.caller == "person").collect();
    assert_eq!(people.len(), 8);
    assert_eq!(entra.state()["tenantId"], tenant.id);
    // What was written down can be built again.
    let mut again = world();
    again.tenant = entra.world();
    let twin = Desk::of(&again).await;
    assert_eq!(twin.entra.world(), again.tenant);
}

#[tokio::test]
async fn a_big_tenant_is_read_in_no_time() {
    let mut big = world();
    for at in 0..5000 {
        let (name, display) = (format!("p{at}@acme.example"), format!("Person {at}"));
        big.tenant.users.push(crate::world::User {
            user_principal_name: name,
            display_name: display,
            ..Default::default()
        });
    }
    let began = std::time::Instant::now();
    let desk = Desk::of(&big).await;
    let mut path = "/users?$select=id,userPrincipalName".to_owned();
    let mut seen = 0;
    loop {
        let page = desk.must(200, "GET", &path, None).await;
        seen += page["value"].as_array().unwrap().len();
        let Some(next) = page["@odata.nextLink"].as_str() else { break };
        path = next.strip_prefix(&format!("{}/v1.0", super::GRAPH)).unwrap().to_owned();
    }
    assert_eq!(seen, 5003);
    assert!(began.elapsed() < std::time::Duration::from_secs(120), "{:?}", began.elapsed());
}
