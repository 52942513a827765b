//! Many bindings applied at once: they come to rest, and what that takes is counted.
//!
//! Counted, not timed: passes, status writes and cloud calls for each binding, read from the operator's own metrics.
//! `cargo xtask bench` runs the same with a thousand.

mod counts;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use kube::api::{DynamicObject, ListParams};
use sandbox::journey;
use sandbox::world::Growth;

use self::counts::{Counts, Memory, resident};
use crate::journey::process::{free_port, identity, start_with};
use crate::support::run;
use crate::support::world::{TestWorld, is_ready};

const OPENING: &str = include_str!("opening.yaml");
/// Bindings in `cargo test`: enough that what grows with their number shows.
const FEW: usize = 40;
/// From more than so many on, looking at all of them once in a resync takes more calls than the operator makes by default.
const MANY: usize = 400;
const GROUPS: [&str; 3] = ["aws-admins", "aws-engineers", "aws-auditors"];
const ACCOUNTS: usize = 40;
/// Memory that a binding may take, in KiB.
const KIB_FOR_EACH: f64 = 200.0;
/// AWS lets twenty calls a second through, whoever asks: a thousand bindings take their time.
const PATIENCE_FOR_EACH: Duration = Duration::from_secs(3);

/// How many bindings: `BENCH_BINDINGS`, or a few.
fn bindings() -> usize {
    std::env::var("BENCH_BINDINGS").map_or(FEW, |n| n.parse().expect("BENCH_BINDINGS is a number"))
}

fn manifests(count: usize, accounts: &[String]) -> String {
    let mut yaml = String::new();
    for n in 0..count {
        let (group, account) = (GROUPS[n % GROUPS.len()], &accounts[n % accounts.len()]);
        let _ = write!(
            yaml,
            "---
apiVersion: causeway.dev/v1alpha1
kind: PermissionSetBinding
metadata: {{name: load-{n:04}, namespace: identity}}
spec:
  federationRef: {{name: acme}}
  permissionSet:
    name: Load-{n:04}
    managedPolicies: [\"arn:aws:iam::aws:policy/ReadOnlyAccess\"]
  principals:
  - group: {{displayName: {group}}}
  accounts:
    include:
    - ids: [\"{account}\"]
"
        );
    }
    yaml
}

async fn ready(world: &TestWorld) -> (usize, usize) {
    let api = journey::api(&world.client, &world.namespace, "PermissionSetBinding");
    let all: Vec<DynamicObject> = api.list(&ListParams::default()).await.expect("a list").items;
    (all.iter().filter(|o| is_ready(o)).count(), all.len())
}

/// What was counted when all are at rest: the last status may be seen before its pass has ended.
async fn rest(port: u16, count: usize) -> Counts {
    let deadline = Instant::now() + Duration::from_secs(180);
    let mut before = Counts::read(port).await;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = Counts::read(port).await;
        let since = now.since(&before);
        if since.status_writes() == 0 && since.reconciles() <= count as u64 / 10 {
            return now;
        }
        assert!(Instant::now() < deadline, "never at rest");
        before = now;
    }
}

#[test]
fn bindings_applied_at_once_come_to_rest_within_bounds() {
    run(async {
        let count = bindings();
        let world = TestWorld::changed("load", |world, _| {
            world.grow(Growth { accounts: Some(ACCOUNTS), ..Growth::default() }, 7);
        })
        .await;
        let accounts: Vec<String> = world
            .sandbox
            .world()
            .organization
            .accounts
            .into_iter()
            .filter(|a| a.state.as_deref().is_none_or(|s| s == "ACTIVE"))
            .filter_map(|a| a.id)
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = identity(&world, dir.path()).await;
        let log = dir.path().join("operator.log");
        let port = free_port();
        // The operator's own defaults for what decides how often it looks.
        let mut usual = vec!["--resync", "10m", "--poll", "2s", "--job-poll", "1s"];
        if count > MANY {
            // Who has so many lets the operator have nearly all that AWS lets through.
            usual.extend(["--sso-admin-rate", "18"]);
        }
        let mut operator = start_with(&world, &kubeconfig, &log, "warn", port, &usual, &[]);
        world.apply(OPENING).await;
        world.until_ready(&[("IdentityFederation", "acme"), ("ScimConnection", "acme")]).await;
        let empty = resident(operator.id());
        let before = Counts::read(port).await;

        let begun = Instant::now();
        world.apply(&manifests(count, &accounts)).await;
        let deadline = begun + PATIENCE_FOR_EACH * u32::try_from(count).unwrap() + Duration::from_secs(60);
        loop {
            let (done, all) = ready(&world).await;
            if done == count && all == count {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{done} of {all} are ready\n{}\n{}",
                operator.ended().unwrap_or_default(),
                operator.tail()
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let took = begun.elapsed();
        let at_rest = rest(port, count).await;
        let memory = empty.zip(resident(operator.id())).map(|(before, after)| Memory { before, after });
        let counted = at_rest.since(&before);
        eprintln!("{}", counted.report(count, memory, took));

        // Rest is rest: nothing is written any more, and nobody is looked at again before the resync.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let later = Counts::read(port).await.since(&at_rest);
        assert_eq!(later.status_writes(), 0, "a status was written although nothing happened");
        assert!(later.reconciles() <= count as u64 / 10, "{} passes at rest", later.reconciles());

        for (what, found, bound) in counted.bounds(count) {
            assert!(found <= bound, "{what} for each binding: {found:.2}, at most {bound} are in order");
        }
        // Few bindings share what the first one brings with it.
        let each = memory.map_or(0.0, |m| m.for_each(count.max(500)));
        assert!(each <= KIB_FOR_EACH, "{each:.0} KiB of memory for each binding");
        assert_eq!(world.created_twice(), Vec::<String>::new());
        assert!(operator.stop().await.unwrap().success(), "SIGTERM is a clean end");
    });
}
