//! A leader that is stopped for longer than its lease, and goes on.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use tokio::process::Command;

use crate::journey::process::{SHORT_LEASE, attended, free_port, identity, start, start_with};
use crate::support::run;
use crate::support::world::{ALL, PATIENCE, TestWorld};

async fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), process.to_string()]).status().await;
    assert!(sent.unwrap().success(), "SIG{name}");
}

/// Waits until nothing has been changed in the clouds for a while.
async fn rests(world: &TestWorld) {
    let journal = &world.sandbox.core.journal;
    let (mut last, mut since) = (journal.last(), Instant::now());
    while since.elapsed() < Duration::from_millis(1_500) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if journal.last() != last {
            (last, since) = (journal.last(), Instant::now());
        }
    }
}

async fn versions(world: &TestWorld) -> Vec<Option<String>> {
    let mut versions = Vec::new();
    for (kind, name) in ALL {
        versions.push(world.get(kind, name).await.and_then(|o| o.resource_version()));
    }
    versions
}

#[test]
fn a_leader_stopped_for_two_lease_times_makes_at_most_the_call_in_flight() {
    run(async {
        let mut wanted = None;
        for millis in [0, 400, 1_500] {
            let world = TestWorld::company("paused").await;
            let dir = tempfile::tempdir().unwrap();
            let kubeconfig = identity(&world, dir.path()).await;
            let log = |name: &str| dir.path().join(format!("{name}.log"));
            let begin = |name: &str| start(&world, &kubeconfig, &log(name));
            let mut old = begin("old");
            world.apply_example().await;
            let working = async {
                while world.mutations(0).is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // The person is never stopped in the middle of a hand-off.
                let moment = Instant::now() + Duration::from_millis(millis);
                world.until_ready_or(&ALL, || Instant::now() >= moment).await;
            };
            let working = tokio::time::timeout(PATIENCE, working);
            attended(&mut old, || begin("old"), working).await.expect("the first operator works");
            signal(old.id(), "STOP").await;
            let stopped = Instant::now();

            // The old one's lease ends soon; from this one nobody takes over.
            let next = || start_with(&world, &kubeconfig, &log("new"), "info", free_port(), &[], &[]);
            let mut new = next();
            let goes_on = async {
                world.until_ready(&ALL).await;
                tokio::time::sleep((2 * SHORT_LEASE).saturating_sub(stopped.elapsed())).await;
                rests(&world).await;
            };
            attended(&mut new, next, goes_on).await;
            let (journal, before) = (world.sandbox.core.journal.last(), versions(&world).await);

            signal(old.id(), "CONT").await;
            let deadline = Instant::now() + PATIENCE;
            let ended = loop {
                if let Some(ended) = old.ended() {
                    break ended;
                }
                assert!(Instant::now() < deadline, "the old leader goes on: {}", old.tail());
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert!(ended.starts_with("exit status: 3"), "stopped after {millis} ms: {ended}");
            attended(&mut new, next, rests(&world)).await;
            let late: Vec<String> = world
                .mutations(journal)
                .iter()
                .map(|e| format!("{} {} {}", e.operation, e.target, e.outcome))
                .collect();
            let changed = before.iter().zip(versions(&world).await).filter(|(a, b)| *a != b).count();
            assert!(
                late.len() + changed <= 1,
                "stopped after {millis} ms: {late:?}, {changed} resources written"
            );

            attended(&mut new, next, world.until_ready(&ALL)).await;
            assert_eq!(world.created_twice(), Vec::<String>::new(), "stopped after {millis} ms");
            let end = world.end_state();
            assert_eq!(&end, wanted.get_or_insert_with(|| end.clone()), "stopped after {millis} ms");
            assert!(new.stop().await.unwrap().success());
        }
    });
}
