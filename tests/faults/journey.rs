//! The journey that the faults befall: make everything, change everything, delete everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use sandbox::core::FaultRule;
use sandbox::journey::api;
use serde_json::{Value, json};

use super::operations::Operation;
use crate::support::credentials::{admit, by_service_account, prepare};
use crate::support::world::TestWorld;

const NARROW: &str = include_str!("narrow.yaml");
const CHANGED: &str = include_str!("changed.yaml");
/// How these sign in to AWS.
const BY_KEY: &str = "credentials: {secretRef: {name: aws}}";

/// The three resources of the journey, in the order in which they are deleted.
pub const RESOURCES: [(&str, &str); 3] =
    [("PermissionSetBinding", "production"), ("ScimConnection", "acme"), ("IdentityFederation", "acme")];

/// Where a part of the journey ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub name: &'static str,
    /// What is in the clouds, without ids.
    pub end: Value,
    /// How many different things each operation of the operator has changed.
    pub changed: BTreeMap<String, usize>,
}

/// What came of a journey.
#[derive(Debug)]
pub struct Travelled {
    pub stages: Vec<Stage>,
    /// How often the operator called what.
    pub calls: BTreeMap<Operation, u64>,
    /// What was made more than once.
    pub twice: Vec<String>,
    /// The rules that struck.
    pub struck: Vec<FaultRule>,
    pub elapsed: Duration,
}

/// A world with short deadlines, so that what hangs is given up soon.
pub async fn world(prefix: &str) -> TestWorld {
    let mut world = TestWorld::changed(prefix, prepare).await;
    admit(&mut world).await;
    let timing = &mut world.settings.timing;
    timing.resync = Duration::from_secs(5);
    // A third of it for one try.
    timing.reconcile = Duration::from_millis(7_500);
    timing.backoff.1 = Duration::from_millis(500);
    // Many worlds share the machine.
    timing.poll = Duration::from_millis(300);
    timing.job_poll = Duration::from_millis(500);
    world.look_every = Duration::from_millis(400);
    world
}

/// The manifests as [`manifest`] has them, signing in to AWS in the longest way, with rules that name a unit.
pub fn by_token(world: &TestWorld, changed: bool) -> String {
    let credentials = format!("credentials: {}", by_service_account()["aws"]["credentials"]);
    let rules = "bindings: {rules: [{accounts: {include: [{organizationalUnit: {path: /Workloads}}]}}]}";
    let text = manifest(world, changed);
    let (federation, rest) = text.split_once("---\n").expect("several documents");
    assert!(federation.contains(BY_KEY), "{federation}");
    format!("{}  {rules}\n---\n{rest}", federation.replace(BY_KEY, &credentials))
}

/// The manifests with the ids of this world.
pub fn manifest(world: &TestWorld, changed: bool) -> String {
    let tenant = world.sandbox.world().tenant;
    let group = tenant.groups.iter().find(|g| g.display_name == "aws-oncall").and_then(|g| g.id.clone());
    let user = tenant.users.iter().find(|u| u.user_principal_name == "ada@acme.example");
    let user = user.and_then(|u| u.id.clone());
    let text = if changed { CHANGED } else { NARROW };
    text.replace("ONCALL", &group.expect("the group has an id")).replace("ADA", &user.expect("she has an id"))
}

/// Begins the journey and waits until everything is there.
pub async fn make(world: &TestWorld) {
    world.apply(&by_token(world, false)).await;
    world.until_ready(&RESOURCES).await;
}

/// Changes everything to what these manifests say, and asks for both one-off acts.
pub async fn change(world: &TestWorld, manifests: &str) {
    world.apply(manifests).await;
    let now = world.sandbox.core.clock.now().as_second();
    let now = Timestamp::from_second(now).expect("a whole second");
    let (restart, on_demand) = (format!("Escrows@{now}"), format!("ada@acme.example@{now}"));
    let annotations = json!({"causeway.dev/restart": restart, "causeway.dev/provision-on-demand": on_demand});
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let connections = api(&world.client, &world.namespace, "ScimConnection");
    connections.patch("acme", &PatchParams::default(), &patch).await.expect("the API server takes it");
    world.until_ready(&RESOURCES).await;
    world
        .until("both one-off acts are done", async || {
            let connection = world.get("ScimConnection", "acme").await.expect("it exists");
            let status = &connection.data["status"];
            status["lastRestart"] == restart && status["lastOnDemand"]["request"] == on_demand
        })
        .await;
    world.until_ready(&RESOURCES).await;
}

/// Deletes all resources and waits until they are gone.
pub async fn delete(world: &TestWorld) {
    begin_to_delete(world).await;
    until_gone(world).await;
}

/// Asks for the deletion of all resources.
pub async fn begin_to_delete(world: &TestWorld) {
    for (kind, name) in RESOURCES {
        let resources = api(&world.client, &world.namespace, kind);
        resources.delete(name, &DeleteParams::default()).await.expect("the API server takes it");
    }
}

/// Waits until the resources are gone.
pub async fn until_gone(world: &TestWorld) {
    world
        .until("all resources are gone", async || {
            for (kind, name) in RESOURCES {
                if world.get(kind, name).await.is_some() {
                    return false;
                }
            }
            true
        })
        .await;
}

/// The whole journey under these faults.
pub async fn travel(prefix: &str, rules: &[FaultRule]) -> Travelled {
    let world = world(prefix).await;
    for rule in rules {
        world.sandbox.core.faults.add(rule.clone());
    }
    let begun = Instant::now();
    let operator = world.operator();
    let mut stages = Vec::new();
    let mut from = 0;
    make(&world).await;
    from = stage(&world, "made", from, &mut stages);
    change(&world, &by_token(&world, true)).await;
    from = stage(&world, "changed", from, &mut stages);
    delete(&world).await;
    stage(&world, "deleted", from, &mut stages);
    operator.stop().await;
    let struck = world.sandbox.core.faults.struck();
    Travelled {
        stages,
        calls: calls(&world),
        twice: world.created_twice(),
        struck: struck.into_iter().filter(|(_, times)| *times > 0).map(|(rule, _)| rule).collect(),
        elapsed: begun.elapsed(),
    }
}

fn stage(world: &TestWorld, name: &'static str, from: u64, stages: &mut Vec<Stage>) -> u64 {
    let last = world.sandbox.core.journal.last();
    let mut changed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in world.mutations(from).into_iter().filter(|e| e.outcome == "ok" && e.seq <= last) {
        changed.entry(format!("{} {}", entry.service, entry.operation)).or_default().insert(entry.target);
    }
    let changed = changed.into_iter().map(|(operation, targets)| (operation, targets.len())).collect();
    stages.push(Stage { name, end: end(world), changed });
    last
}

/// What the operator called: the provisioning service's own calls and the consoles are not its.
pub fn calls(world: &TestWorld) -> BTreeMap<Operation, u64> {
    let mut calls = BTreeMap::new();
    for counter in world.sandbox.core.counters.all() {
        if counter.service != "scim" && counter.service != "console" {
            *calls.entry(Operation::new(counter.service, &counter.operation)).or_default() += counter.calls;
        }
    }
    calls
}

/// What is in the clouds, without ids: more of the application than other tests look at.
pub fn end(world: &TestWorld) -> Value {
    let mut end = world.end_state();
    let entra = world.sandbox.entra.state();
    let texts = |list: &str, field: &str| -> Vec<String> {
        let mut all: Vec<String> =
            entra[list].as_array().into_iter().flatten().map(|o| o[field].to_string()).collect();
        all.sort();
        all
    };
    end["assigned"] = json!(texts("appRoleAssignments", "principalDisplayName"));
    end["signOn"] = json!(texts("servicePrincipals", "preferredSingleSignOnMode"));
    end["notified"] = json!(texts("servicePrincipals", "notificationEmailAddresses"));
    end["deletedItems"] = json!(texts("deletedItems", "type"));
    let jobs = entra["synchronization"].as_object().into_iter().flatten();
    let jobs: usize = jobs.map(|(_, s)| s["jobs"].as_array().map_or(0, Vec::len)).sum();
    end["jobs"] = json!(jobs);
    end
}
