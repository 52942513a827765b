//! Where the documentation leaves open what the clouds do, the operator gets there whatever they do, and then lets them
//! alone: one small journey for each value of each switch of the world.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use sandbox::world::World;
use serde_json::{Value, json};

use super::crash::{SMALL, SMALL_ONES};
use super::idle::three_resyncs;
use crate::support::run;
use crate::support::world::{TestWorld, condition};

/// Journeys under way at the same time.
const AT_ONCE: usize = 8;

/// Where switches stand in a world.
const TENANT: &str = "/tenant/behaviours";
const CENTER: &str = "/identityCenter/behaviours";
const ORGANIZATION: &str = "/organization";

/// The other values, beside the one that the world has when it says nothing.
fn others() -> Vec<(&'static str, Value)> {
    let tenant = json!({
        "instantiateAnswers404": [true],
        "firstCertificateActive": [true],
        "inactiveCertificatesInMetadata": [false],
        "synchronizationTemplateId": ["awsIdentityCenter"],
        "secretsPutReplaces": [true],
        "secondJobRefused": [true],
        "identifierRefusalInDetails": [true],
        "duplicateIdentifierAnswers400": [true],
        "deletedIdentifiersBlock": [true],
        "metadataLagSeconds": [2],
        "appRoleValueLimit": [1],
        "unconfirmedSettingsDropped": [true],
        "validateCredentialsStatus": [200, 201],
        "provisionOnDemandReports": [true],
        "userNameSource": ["ToLower([userPrincipalName])"],
        "tenantUrlSlashRefused": [true],
        "invalidTokenCode": ["Authentication_MSGraphPermissionMissing"],
        "complexPatchReplaces": [true],
        "errorShape": ["lowercase", "objects", "embedded"],
    });
    let center = json!({
        "sixteenthCreation": ["ConflictException", "ServiceQuotaExceededException"],
        "missingDeletionFailsLater": [true],
        "absentBoundaryIsNotFound": [false],
        "durationsNormalised": [true],
        "byPrincipalManagementOnly": [false],
        "nameIdCaseSensitive": [false],
        "descriptionMakesStale": [false],
        "unknownPolicyFailsLater": [true],
        "malformedPolicyFailsLater": [true],
        "wrongRegionIsDenied": [true],
        "provisioningStopsAtFailure": [true],
        "requestRetentionSeconds": [1],
        "fourthProvisioning": ["ConflictException"],
        "burst": [2],
        "newerEntityId": [true],
        "scimEndpointHasSlash": [true],
    });
    let organization = json!({"paths": [false], "accountStatus": [false], "accountState": [false]});
    let mut all = Vec::new();
    for (place, switches) in [(TENANT, tenant), (CENTER, center), (ORGANIZATION, organization)] {
        for (name, values) in switches.as_object().unwrap() {
            all.extend(values.as_array().unwrap().iter().map(|value| (place, json!({ name: value }))));
        }
    }
    // What the console shows with a slash does not work with one.
    all.push((TENANT, json!({"tenantUrlSlashRefused": true, "secretsPutReplaces": true})));
    all
}

/// Switches with which the operator cannot get there, and must not try for ever; with a test of their own.
const DEAD_ENDS: [&str; 1] = ["tokenSigningCertificateAction"];

fn turn(world: &mut World, place: &str, switches: &Value) {
    let mut value = serde_json::to_value(&*world).unwrap();
    let at = value.pointer_mut(place).unwrap().as_object_mut().unwrap();
    at.extend(switches.as_object().unwrap().clone());
    *world = serde_json::from_value(value).unwrap_or_else(|e| panic!("{switches}: {e}"));
}

#[test]
fn every_switch_of_the_world_has_its_journey() {
    let world = serde_json::to_value(World::load("company").unwrap()).unwrap();
    for place in [TENANT, CENTER] {
        let there = world.pointer(place).unwrap().as_object().unwrap();
        let mut known: BTreeSet<&str> = there.keys().map(String::as_str).collect();
        if place == CENTER {
            // Absent as long as nobody turns it.
            known.insert("requestRetentionSeconds");
        }
        let others = others();
        let turned: BTreeSet<&str> = others
            .iter()
            .filter(|(at, _)| *at == place)
            .flat_map(|(_, switches)| switches.as_object().unwrap().keys().map(String::as_str))
            .chain(DEAD_ENDS.into_iter().filter(|name| there.contains_key(*name)))
            .collect();
        assert_eq!(turned, known, "{place}");
        for (_, switches) in others.iter().filter(|(at, _)| *at == place) {
            for (name, value) in switches.as_object().unwrap() {
                assert_ne!(there.get(name), Some(value), "{name} is not turned");
            }
        }
    }
}

/// Another description, and one account less: edits, provisioning, a removal.
fn changed() -> Value {
    json!({"spec": {
        "permissionSet": {"description": "Production, for a few"},
        "accounts": {"include": [{"ids": ["111122223333"]}]},
    }})
}

async fn journey(place: &str, switches: &Value) {
    let world = TestWorld::changed("switch", |world, _| turn(world, place, switches)).await;
    let operator = world.operator();
    world.apply(SMALL).await;
    world.until_ready(&SMALL_ONES).await;
    let binding = sandbox::journey::api(&world.client, &world.namespace, "PermissionSetBinding");
    let patch = kube::api::Patch::Merge(changed());
    binding.patch("production", &kube::api::PatchParams::default(), &patch).await.unwrap();
    world.until_ready(&SMALL_ONES).await;
    assert_eq!(world.created_twice(), Vec::<String>::new(), "{switches}");
    let left = world.sandbox.world().identity_center.assignments;
    assert_eq!(left.len(), 1, "{switches}: {left:?}");

    // The last cycle, and what it wakes, may still be on their way.
    three_resyncs(&world).await;
    let journal = world.sandbox.core.journal.last();
    three_resyncs(&world).await;
    let written: Vec<String> = world
        .mutations(journal)
        .iter()
        .map(|e| format!("{} {} -> {}", e.operation, e.target, e.outcome))
        .collect();
    assert_eq!(written, Vec::<String>::new(), "{switches}: the same is written for ever");
    if switches.get("unconfirmedSettingsDropped").is_some() {
        let connection = world.get("ScimConnection", "acme").await.unwrap();
        let said = condition(&connection, "Ready").unwrap()["message"].to_string();
        assert!(said.contains("deletion threshold of 50"), "{said}");
    }
    operator.stop().await;
}

#[test]
fn whatever_the_clouds_do_the_journey_ends_and_nothing_more_is_written() {
    run(async {
        futures::stream::iter(others())
            .map(|(place, switches)| async move { journey(place, &switches).await })
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    });
}

#[test]
fn a_cloud_that_makes_no_signing_certificates_is_told_of_and_given_nothing_twice() {
    run(async {
        let switches = json!({"tokenSigningCertificateAction": false});
        let world = TestWorld::changed("switch", |world, _| turn(world, TENANT, &switches)).await;
        world.sandbox.aws.enable_identity_center().unwrap();
        let operator = world.operator();
        world.apply(SMALL).await;
        world
            .until("the certificate is told of", async || {
                let _ = world.person.act().await;
                let federation = world.get("IdentityFederation", "acme").await.unwrap();
                condition(&federation, "SigningCertificateValid").is_some_and(|c| {
                    c["status"] == "False" && c["message"].as_str().is_some_and(|m| m.contains("certificate"))
                })
            })
            .await;
        three_looks(&world).await;
        assert_eq!(world.created_twice(), Vec::<String>::new());
        assert_eq!(world.sandbox.entra.world().applications.len(), 1);
        operator.stop().await;
    });
}

/// Waits until the federation has been looked at three times more.
async fn three_looks(world: &TestWorld) {
    let calls = || -> u64 {
        let all = world.sandbox.core.counters.all();
        all.iter().filter(|c| c.operation == "ListInstances").map(|c| c.calls).sum()
    };
    let before = calls();
    world.until("three looks", async || calls() >= before + 3).await;
}
