//! Faults that last: what the resources say meanwhile, how often the operator tries, and that it passes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use sandbox::journey::api;
use serde_json::json;

use super::journey::{self, RESOURCES};
use super::operations::{Fault, Operation};
use crate::support::world::{RunningOperator, TestWorld, condition};

/// Faults under way at the same time.
const AT_ONCE: usize = 8;
/// How long the tries are counted.
const WINDOW: Duration = Duration::from_secs(3);
/// First and longest delay after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The longest delay is drawn between a tenth of it and the whole: about half on average.
const MEAN_DELAY: Duration = Duration::from_millis(1_100);
/// One read is tried so often within one pass.
const TRIES: u64 = 4;
/// Reasons that say that something is wrong.
const ERRORS: [&str; 7] = [
    "AuthenticationFailed",
    "CloudUnavailable",
    "InternalError",
    "InvalidSpec",
    "MetadataInvalid",
    "PermissionDenied",
    "QuotaExceeded",
];

/// Calls that fail together, as when one service or one permission is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Calls {
    SignIn,
    Sessions,
    DirectoryReads,
    SetReads,
    Metadata,
    ProvisioningReads,
    StoreReads,
    InstanceReads,
    OrganizationReads,
    AccountReads,
    UnitReads,
    DirectoryWrites,
    ProvisioningWrites,
    SetWrites,
}

impl Calls {
    pub const ALL: [Self; 14] = [
        Self::SignIn,
        Self::Sessions,
        Self::DirectoryReads,
        Self::SetReads,
        Self::Metadata,
        Self::ProvisioningReads,
        Self::StoreReads,
        Self::InstanceReads,
        Self::OrganizationReads,
        Self::AccountReads,
        Self::UnitReads,
        Self::DirectoryWrites,
        Self::ProvisioningWrites,
        Self::SetWrites,
    ];

    /// How the page calls them.
    pub const fn title(self) -> &'static str {
        match self {
            Self::SignIn => "Entra: tokens",
            Self::Sessions => "sts: sessions of roles",
            Self::DirectoryReads => "Graph: reads of applications, people, groups",
            Self::SetReads => "sso-admin: reads of permission sets and assignments",
            Self::Metadata => "Entra: federation metadata",
            Self::ProvisioningReads => "Graph: reads of the synchronization job",
            Self::StoreReads => "identitystore: reads",
            Self::InstanceReads => "sso-admin: reads of the instance",
            Self::OrganizationReads => "organizations: reads of the organization",
            Self::AccountReads => "organizations: reads of the accounts",
            Self::UnitReads => "organizations: reads of units",
            Self::DirectoryWrites => "Graph: writes of applications",
            Self::ProvisioningWrites => "Graph: writes of the synchronization job",
            Self::SetWrites => "sso-admin: writes",
        }
    }

    /// Whether an operation is one of them.
    fn include(self, operation: &Operation) -> bool {
        let (reads, provisions) = (operation.reads(), operation.provisions());
        let instance = matches!(operation.name.as_str(), "ListInstances" | "DescribeInstance");
        match (operation.service.as_str(), self) {
            ("login", Self::SignIn) | ("sts", Self::Sessions) => operation.gives_credentials(),
            ("login", Self::Metadata) => operation.name == "federationmetadata",
            ("graph", Self::DirectoryReads) => reads && !provisions,
            ("graph", Self::ProvisioningReads) => reads && provisions,
            ("graph", Self::DirectoryWrites) => !reads && !provisions,
            ("graph", Self::ProvisioningWrites) => !reads && provisions,
            ("sso-admin", Self::InstanceReads) => instance,
            ("sso-admin", Self::SetReads) => reads && !instance,
            ("sso-admin", Self::SetWrites) => !reads,
            ("organizations", Self::AccountReads) => operation.name == "ListAccounts",
            ("organizations", Self::OrganizationReads) => operation.name == "DescribeOrganization",
            ("organizations", Self::UnitReads) => {
                !matches!(operation.name.as_str(), "ListAccounts" | "DescribeOrganization")
            }
            ("identitystore", Self::StoreReads) => true,
            _ => false,
        }
    }

    const fn write(self) -> bool {
        matches!(self, Self::DirectoryWrites | Self::ProvisioningWrites | Self::SetWrites)
    }

    /// The resource that has to say so.
    const fn resource(self) -> (&'static str, &'static str) {
        match self {
            Self::SetReads | Self::StoreReads | Self::AccountReads | Self::UnitReads | Self::SetWrites => {
                RESOURCES[0]
            }
            Self::ProvisioningReads | Self::ProvisioningWrites => RESOURCES[1],
            _ => RESOURCES[2],
        }
    }

    /// What this fault does to them while it lasts; none when it cannot befall any of them.
    pub fn promise(self, fault: Fault, operations: &[Operation]) -> Option<Promise> {
        let struck = operations.iter().any(|o| self.include(o) && fault.spares(o).is_none());
        struck.then_some(match (fault, self) {
            (Fault::ThrottledFor | Fault::Throttled, _) | (Fault::Stale, _) => Promise::NothingTold,
            (
                Fault::CutAfterEffect | Fault::ErrorAfterEffect | Fault::Malformed | Fault::Truncated,
                calls,
            ) if calls.write() => Promise::Done,
            (Fault::Malformed, Self::Metadata) => Promise::Told("Unknown", "MetadataInvalid"),
            (Fault::ExpiredCredential, _) => Promise::Told("False", "AuthenticationFailed"),
            _ => Promise::Told("Unknown", "CloudUnavailable"),
        })
    }
}

/// What the documentation promises for a fault that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// `Ready` of the resource gets this status and reason.
    Told(&'static str, &'static str),
    /// No condition says that anything is wrong, and nothing is written to the clouds that was not asked for.
    NothingTold,
    /// Answers are lost and effects are not: what was asked for is done all the same.
    Done,
}

/// Calls of different resources fail at the same time, so that it takes less.
const ROUNDS: [&[Calls]; 9] = [
    &[Calls::SignIn],
    &[Calls::Sessions],
    &[Calls::DirectoryReads, Calls::SetReads],
    &[Calls::Metadata, Calls::ProvisioningReads, Calls::StoreReads],
    &[Calls::InstanceReads],
    &[Calls::OrganizationReads],
    &[Calls::AccountReads],
    &[Calls::UnitReads],
    &[Calls::DirectoryWrites, Calls::ProvisioningWrites, Calls::SetWrites],
];

/// Every fault on every group of calls.
pub async fn run(operations: &[Operation]) {
    // What hangs takes longest: it is shared out among several worlds.
    let hanging = ROUNDS.chunks(2).map(|rounds| (Fault::Hang, rounds.to_vec()));
    let others = Fault::ALL.into_iter().filter(|f| *f != Fault::Hang).map(|fault| (fault, ROUNDS.to_vec()));
    futures::stream::iter(hanging.chain(others))
        .for_each_concurrent(AT_ONCE, async |(fault, rounds)| endure(fault, &rounds, operations).await)
        .await;
}

/// One fault, one round after the other, in a world at rest.
async fn endure(fault: Fault, rounds: &[&[Calls]], operations: &[Operation]) {
    let mut world = journey::world("lasting").await;
    let timing = &mut world.settings.timing;
    timing.resync = Duration::from_secs(2);
    timing.reconcile = Duration::from_secs(10);
    timing.backoff = BACKOFF;
    let mut operator = world.operator();
    journey::make(&world).await;
    for (number, round) in rounds.iter().enumerate() {
        let promised: BTreeMap<Calls, Promise> =
            round.iter().filter_map(|c| Some((*c, c.promise(fault, operations)?))).collect();
        if promised.is_empty() {
            continue;
        }
        let begun = Instant::now();
        let what = format!("{} × {:?}", fault.title(), promised.keys().collect::<Vec<_>>());
        let concerned = |o: &&Operation| promised.keys().any(|c| c.include(o)) && fault.spares(o).is_none();
        let struck: Vec<&Operation> = operations.iter().filter(concerned).collect();
        let journal = world.sandbox.core.journal.last();
        for operation in &struck {
            world.sandbox.core.faults.add(fault.rule(operation, 1, 0));
        }
        if promised.contains_key(&Calls::SignIn) || promised.contains_key(&Calls::Sessions) {
            // A token, or a session, lives for an hour: only a new process asks for one.
            drop(std::mem::replace(&mut operator, world.operator()));
        }
        for calls in promised.keys().filter(|c| c.write()) {
            ask_for_a_change(&world, *calls, number).await;
        }
        for (calls, promise) in &promised {
            if let Promise::Told(status, reason) = promise {
                is_told(&world, &what, *calls, status, reason).await;
            }
        }
        bear(&world, &what, &struck, &promised, journal).await;
        world.sandbox.core.faults.clear();
        passes(&world, &what).await;
        eprintln!("{what}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    assert_eq!(world.created_twice(), Vec::<String>::new(), "{}", fault.title());
    stop(operator).await;
}

async fn stop(operator: RunningOperator) {
    operator.stop().await;
}

/// Changes the spec so that these calls are needed.
async fn ask_for_a_change(world: &TestWorld, calls: Calls, number: usize) {
    let spec = match calls {
        Calls::DirectoryWrites => {
            json!({"entra": {"signingCertificate": {"notifyEmails": [format!("idp{number}@acme.example")]}}})
        }
        Calls::ProvisioningWrites => {
            json!({"mappings": {"users": [{"target": "title", "source": {"attribute": "department"}}]}})
        }
        _ => json!({"permissionSet": {"description": format!("changed {number}")}}),
    };
    let (kind, name) = calls.resource();
    let patch = Patch::Merge(json!({"spec": spec}));
    api(&world.client, &world.namespace, kind)
        .patch(name, &PatchParams::default(), &patch)
        .await
        .expect("the API server takes it");
}

/// Waits until Ready says what is promised, with a message that helps and quotes no body.
async fn is_told(world: &TestWorld, what: &str, calls: Calls, status: &str, reason: &str) {
    let (kind, name) = calls.resource();
    world
        .until(&format!("{what}: {kind} says {status} {reason}"), async || {
            let object = world.get(kind, name).await.expect("it exists");
            condition(&object, "Ready").is_some_and(|c| c["status"] == status && c["reason"] == reason)
        })
        .await;
    let object = world.get(kind, name).await.expect("it exists");
    let message = condition(&object, "Ready").map(|c| c["message"].to_string()).unwrap_or_default();
    let next: &[&str] = if status == "False" { &["check", "compare", "create"] } else { &["trying again"] };
    assert!(
        next.iter().any(|verb| message.contains(verb)),
        "{what}: the message names no next step: {message}"
    );
    assert!(!message.contains('<'), "{what}: the message quotes a body: {message}");
}

/// Nothing flaps, nothing is written that was not asked for, and the tries stay within the documented backoff.
async fn bear(
    world: &TestWorld,
    what: &str,
    struck: &[&Operation],
    promised: &BTreeMap<Calls, Promise>,
    journal: u64,
) {
    let told: Vec<_> = promised
        .iter()
        .filter(|(_, p)| matches!(p, Promise::Told(..)))
        .map(|(calls, _)| calls.resource())
        .collect();
    let (before, after) = windows(world, what, &told).await;

    let quiet = promised.values().all(|p| *p == Promise::NothingTold);
    if quiet {
        for (kind, name) in RESOURCES {
            let object = world.get(kind, name).await.expect("it exists");
            let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let wrong: Vec<_> =
                conditions.iter().filter(|c| ERRORS.iter().any(|e| c["reason"] == *e)).collect();
            assert!(wrong.is_empty(), "{what}: {kind} complains: {wrong:?}");
        }
        if !promised.keys().any(|c| c.write()) {
            let written: Vec<_> = world.mutations(journal).into_iter().map(|e| e.operation).collect();
            assert_eq!(written, Vec::<String>::new(), "{what}: nothing was to be written");
        }
    }
    for operation in struck {
        let of = |calls: &BTreeMap<Operation, u64>| calls.get(operation).copied().unwrap_or_default();
        let (tries, most) = (of(&after) - of(&before), most_tries(WINDOW));
        assert!(
            tries <= most,
            "{what}: {operation} was tried {tries} times in {WINDOW:?}, {most} are in order"
        );
    }
}

/// The calls before and after a window in which no status changes. What is still good of earlier readings may make one
/// more change; a status that never comes to rest is wrong.
async fn windows(
    world: &TestWorld,
    what: &str,
    told: &[(&str, &str)],
) -> (BTreeMap<Operation, u64>, BTreeMap<Operation, u64>) {
    let mut changes = Vec::new();
    for _ in 0..3 {
        let (before, versions) = (journey::calls(world), versions(world, told).await);
        tokio::time::sleep(WINDOW).await;
        let now = self::versions(world, told).await;
        if now == versions {
            return (before, journey::calls(world));
        }
        changes.push(now);
    }
    panic!("{what}: the status changes although nothing does: {changes:#?}\n{}", world.report().await);
}

/// How often one call may be tried in a while: by two resources, in passes that follow each other as the backoff says
/// (twice as often, since it is drawn by lot), with the tries within each.
fn most_tries(window: Duration) -> u64 {
    let passes = 3 + 2 * u64::try_from(window.as_millis() / MEAN_DELAY.as_millis()).unwrap_or(u64::MAX);
    2 * passes * TRIES
}

async fn versions(world: &TestWorld, resources: &[(&str, &str)]) -> Vec<String> {
    let mut versions = Vec::new();
    for (kind, name) in resources {
        let object = world.get(kind, name).await.expect("it exists");
        versions.push(format!(
            "{kind} {}: {}",
            object.resource_version().unwrap_or_default(),
            object.data["status"]["conditions"]
        ));
    }
    versions
}

/// The fault is over: everything is well again, and nothing is left of the complaints.
async fn passes(world: &TestWorld, what: &str) {
    world.until_ready(&RESOURCES).await;
    world
        .until(&format!("{what}: no complaint is left"), async || {
            for (kind, name) in RESOURCES {
                let object = world.get(kind, name).await.expect("it exists");
                let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let complains = |c: &serde_json::Value| {
                    ERRORS.iter().any(|e| c["reason"] == *e)
                        || ["Stalled", "Reconciling"].iter().any(|kind| c["type"] == *kind)
                };
                if conditions.iter().any(complains) {
                    return false;
                }
            }
            true
        })
        .await;
}

#[test]
fn reasons_that_are_promised_are_documented() {
    let documented = include_str!("../../docs/reference/reasons.md");
    for reason in ERRORS {
        assert!(documented.contains(&format!("| `{reason}` |")), "{reason}");
    }
}

#[test]
fn every_operation_belongs_to_one_group_of_calls() {
    for (service, name) in [
        ("login", "token"),
        ("login", "federationmetadata"),
        ("graph", "GET /applications"),
        ("graph", "PATCH /applications/{id}"),
        ("graph", "GET /servicePrincipals/{id}/synchronization/jobs"),
        ("graph", "POST /servicePrincipals/{id}/synchronization/jobs"),
        ("sso-admin", "ListInstances"),
        ("sso-admin", "ListPermissionSets"),
        ("sso-admin", "TagResource"),
        ("identitystore", "ListGroups"),
        ("organizations", "ListAccounts"),
        ("organizations", "DescribeOrganization"),
        ("organizations", "ListRoots"),
        ("sts", "AssumeRoleWithWebIdentity"),
    ] {
        let operation = Operation::new(service, name);
        assert_eq!(Calls::ALL.iter().filter(|c| c.include(&operation)).count(), 1, "{operation}");
    }
}
