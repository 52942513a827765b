//! Permissions of Microsoft Graph that are not granted, one after the other, on a world that is ready.

use causeway::clients::entra::permissions;
use kube::api::PostParams;
use sandbox::journey::{self, api};
use serde::Deserialize;
use serde_json::Value;

use super::table::{Book, Mistake, merge, told, yaml};
use super::{FEDERATION, SCIM, right, world};
use crate::support::credentials::CLIENT;
use crate::support::world::TestWorld;

const APPLICATION: (&str, &str) = (FEDERATION, "EntraApplicationReady");
const ASSIGNMENTS: (&str, &str) = (FEDERATION, "AssignmentsReady");
const WAY_OUT: &str = "Grant it under API permissions of the app registration, as an application permission, and grant \
                       admin consent. It takes effect with the next access token, within an hour; a restart of the \
                       operator has it at once.";

/// What the operator needs.
fn all() -> Vec<&'static str> {
    permissions::ALL.iter().map(|need| need.name).collect()
}

/// `without`: what is taken away; `with`: what is granted in its place; `spec`: what is asked for meanwhile.
pub const ROWS: &[Mistake] = &[
    told(
        "The consent was revoked, or never given",
        APPLICATION,
        "PermissionDenied",
        &["grant"],
        "without: [Application.ReadWrite.All, AppRoleAssignment.ReadWrite.All, Synchronization.ReadWrite.All, User.ReadBasic.All, Group.ReadBasic.All, GroupMember.ReadBasic.All]",
        WAY_OUT,
    ),
    told(
        "Graph: Application.ReadWrite.All is missing",
        APPLICATION,
        "PermissionDenied",
        &["grant"],
        "without: [Application.ReadWrite.All]",
        WAY_OUT,
    ),
    told(
        "Graph: Application.Read.All in place of Application.ReadWrite.All",
        APPLICATION,
        "PermissionDenied",
        &["grant"],
        "{without: [Application.ReadWrite.All], with: [Application.Read.All], spec: {entra: {application: {displayName: AWS}}}}",
        WAY_OUT,
    ),
    told(
        "Graph: AppRoleAssignment.ReadWrite.All is missing",
        ASSIGNMENTS,
        "PermissionDenied",
        &["grant"],
        "{without: [AppRoleAssignment.ReadWrite.All], spec: {entra: {application: {assignments: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: ben@acme.example}}, {group: {displayName: aws-auditors}}]}}}}",
        WAY_OUT,
    ),
    told(
        "Graph: Synchronization.ReadWrite.All is missing",
        (SCIM, "Ready"),
        "PermissionDenied",
        &["Synchronization.ReadWrite.All"],
        "without: [Synchronization.ReadWrite.All]",
        WAY_OUT,
    ),
    told(
        "Graph: User.ReadBasic.All is missing",
        ASSIGNMENTS,
        "PermissionDenied",
        &["grant"],
        "without: [User.ReadBasic.All]",
        WAY_OUT,
    ),
    told(
        "Graph: Group.ReadBasic.All is missing",
        ASSIGNMENTS,
        "PermissionDenied",
        &["grant"],
        "without: [Group.ReadBasic.All]",
        WAY_OUT,
    ),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Make {
    without: Vec<String>,
    with: Vec<String>,
    spec: Value,
}

/// Each is withheld from an operator that starts anew, for a token holds what it was issued with.
pub async fn run(book: &Book) {
    let world = world("consent", |_, _| ()).await;
    let mut operator = world.operator();
    let begin = [FEDERATION, SCIM].map(|kind| right(kind, &world.namespace));
    let ready = [(FEDERATION, "acme"), (SCIM, "acme")];
    journey::apply(&world.client, &begin).await.unwrap();
    world.until_ready(&ready).await;
    for mistake in ROWS {
        let make: Make = yaml(mistake.make);
        let mark = world.sandbox.core.journal.last();
        let mut granted = all();
        granted.retain(|p| !make.without.iter().any(|w| w == p));
        granted.extend(make.with.iter().map(String::as_str));
        world.sandbox.entra.set_permissions(CLIENT, &granted);
        operator.stop().await;
        age(&world).await;
        operator = world.operator();
        let mut federation = right(FEDERATION, &world.namespace);
        if !make.spec.is_null() {
            merge(&mut federation.data["spec"], &make.spec);
        }
        journey::apply(&world.client, &[federation]).await.unwrap();
        book.expect(&world, "acme", mistake).await;
        book.no_mutation(&world, mark, &[], mistake.title);

        world.sandbox.entra.set_permissions(CLIENT, &all());
        operator.stop().await;
        operator = world.operator();
        journey::apply(&world.client, &begin).await.unwrap();
        world.until_ready(&ready).await;
    }
    operator.stop().await;
}

/// The application is no new one any more, for which Entra's provisioning service answers anything for ten minutes.
async fn age(world: &TestWorld) {
    let federations = api(&world.client, &world.namespace, FEDERATION);
    let mut federation = federations.get("acme").await.unwrap();
    for condition in federation.data["status"]["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = "2026-01-01T00:00:00Z".into();
    }
    federations.replace_status("acme", &PostParams::default(), &federation).await.unwrap();
}
