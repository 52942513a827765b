//! Everything that can go wrong with a call, on every call that the operator makes.
//!
//! The operations are not listed anywhere: a journey without faults is watched, and whatever it called gets every fault
//! that can befall it. `docs/faults.md` shows the matrix.

mod clock;
pub mod journey;
mod kubernetes;
mod lasting;
mod leadership;
mod matrix;
pub mod operations;
mod page;
mod proxy;

use std::collections::BTreeSet;

use tokio::sync::OnceCell;

use self::journey::{Travelled, travel};
use self::matrix::{Cell, Verdict};
use self::operations::{Operation, Operations};
use crate::support::run;

/// The journey without faults, which the others are compared with.
async fn usual() -> &'static Travelled {
    static USUAL: OnceCell<Travelled> = OnceCell::const_new();
    USUAL.get_or_init(|| async { travel("usual", &[]).await }).await
}

/// The operations as they are called now, and as the page knows them from before.
async fn operations(verdict: &mut Verdict) -> Operations {
    let first = usual().await;
    let called = |travelled: &Travelled| travelled.calls.keys().cloned().collect::<BTreeSet<_>>();
    let loss = matrix::loss(&called(first));
    // Some calls depend on chance: those of every journey are those that two have in common.
    let (again, lost) = tokio::join!(travel("usual", &[]), matrix::run(first, vec![loss]));
    verdict.wrong.extend(matrix::judge(first, &again));
    let (first, again, after_loss) = (called(first), called(&again), lost.called.clone());
    verdict.and(lost);
    verdict.called.extend(first.union(&again).cloned());

    let mut operations = page::known();
    let known = operations.all();
    operations.usual.extend(first.intersection(&again).filter(|o| !known.contains(o)).cloned());
    let in_good_journeys: BTreeSet<_> = first.union(&again).cloned().collect();
    operations
        .after_loss
        .extend(after_loss.difference(&in_good_journeys).filter(|o| !known.contains(o)).cloned());
    operations
}

fn cells(operations: &Operations) -> Vec<Cell> {
    [matrix::cells(&operations.usual), matrix::cells(&operations.after_loss)].concat()
}

/// Everything went well, the page names nothing that is not called any more, and every cell was struck.
fn finish(operations: &mut Operations, verdict: &Verdict) {
    assert!(verdict.wrong.is_empty(), "{}", verdict.wrong.join("\n"));
    let gone: Vec<_> =
        operations.usual.union(&operations.after_loss).filter(|o| !verdict.called.contains(o)).collect();
    assert!(
        gone.is_empty(),
        "docs/faults.md names what is not called any more, take the lines out: {gone:?}"
    );
    // What is new here and comes only at times is told, and gets its faults with the next page.
    operations
        .after_loss
        .retain(|o| std::env::var_os(page::WRITE).is_some() || page::known().all().contains(o));
    let missed: Vec<_> = cells(operations).into_iter().filter(|c| !verdict.struck.contains(c)).collect();
    assert!(missed.is_empty(), "faults that struck nothing: {missed:#?}");
    let known = operations.all();
    operations.at_times.extend(verdict.called.difference(&known).cloned());
    page::check(operations);
}

/// Many faults in one journey, none of which meet; or each by itself, which takes half an hour and is the clearer answer
/// when this fails: `FAULTS_ALONE` (set by `cargo xtask faults`) is a part of the names of the cells to look at, such as
/// `CreatePermissionSet × hang`, or empty for all.
#[test]
fn every_fault_on_every_operation_ends_the_same() {
    run(async {
        let mut verdict = Verdict::default();
        let mut operations = operations(&mut verdict).await;
        let wanted = usual().await;
        let alone = std::env::var("FAULTS_ALONE").ok();
        if alone.is_none() {
            // Answers to creations are lost in each journey, and what is called at times only meets a fault when it is.
            let forced = operations.usual.union(&operations.after_loss).cloned().collect();
            let mut plans = matrix::square(wanted, &forced);
            let at_times = matrix::square(wanted, &operations.at_times);
            for (plan, waiting) in plans.iter_mut().zip(at_times) {
                plan.prelude = [waiting.first, matrix::loss(&operations.usual).first].concat();
            }
            verdict.and(matrix::run(wanted, plans).await);
        }
        // Among many faults another way may have been taken: what was not struck gets a journey of its own.
        let only = alone.unwrap_or_default();
        let mut missed = cells(&operations);
        missed.retain(|c| !verdict.struck.contains(c) && c.to_string().contains(&only));
        verdict.and(matrix::run(wanted, matrix::alone(missed, &operations.usual)).await);
        if only.is_empty() {
            finish(&mut operations, &verdict);
        }
        assert!(verdict.wrong.is_empty(), "{}", verdict.wrong.join("\n"));
    });
}

#[test]
fn what_lasts_is_told_as_documented_and_passes() {
    run(async {
        let operations: Vec<Operation> = usual().await.calls.keys().cloned().collect();
        lasting::run(&operations).await;
    });
}
