//! Which faults go on which journey, and what a journey must come to. Pure, but for [`run`].

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use sandbox::core::FaultRule;

use super::journey::{Travelled, travel};
use super::operations::{Fault, Operation};

/// Journeys under way at the same time: most of their time is spent waiting.
const AT_ONCE: usize = 10;

/// One cell of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub operation: Operation,
    pub fault: Fault,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} × {}", self.operation, self.fault.title())
    }
}

/// Every cell that can be.
pub fn cells(operations: &BTreeSet<Operation>) -> Vec<Cell> {
    let all = operations.iter().flat_map(|o| Fault::ALL.map(|fault| Cell { operation: o.clone(), fault }));
    all.filter(|cell| cell.fault.spares(&cell.operation).is_none()).collect()
}

/// One journey: each cell strikes the first call of its operation, and perhaps another one a later call.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub name: String,
    /// What leads to calls that no good journey makes, and what waits for calls that may come or not.
    pub prelude: Vec<Cell>,
    pub first: Vec<Cell>,
    pub later: Vec<(Cell, u64)>,
}

impl Plan {
    /// What leads to other calls comes last: of two rules for one call the first one strikes.
    fn rules(&self) -> Vec<FaultRule> {
        let first = self.first.iter().map(|c| c.fault.rule(&c.operation, 1, 1));
        let later = self.later.iter().map(|(c, nth)| c.fault.rule(&c.operation, *nth, 1));
        let prelude = self.prelude.iter().map(|c| c.fault.rule(&c.operation, 1, 1));
        first.chain(later).chain(prelude).collect()
    }
}

/// As many journeys as there are faults, each with one fault on the first call of every operation, so that all
/// together every cell is struck once: a Latin square. Operations that are called often get a second fault, of another
/// kind, on a call in the middle.
pub fn square(baseline: &Travelled, operations: &BTreeSet<Operation>) -> Vec<Plan> {
    let faults = Fault::ALL.len();
    (0..faults)
        .map(|number| {
            let mut plan = Plan { name: format!("square {number}"), ..Plan::default() };
            for (row, operation) in operations.iter().enumerate() {
                let cell = |shift: usize| {
                    let fault = Fault::ALL[(row + number + shift) % faults];
                    let cell = Cell { operation: operation.clone(), fault };
                    fault.spares(operation).is_none().then_some(cell)
                };
                plan.first.extend(cell(0));
                let calls = baseline.calls.get(operation).copied().unwrap_or_default();
                if calls >= 4 {
                    plan.later.extend(cell(faults / 2).map(|c| (c, calls / 2 + 1)));
                }
            }
            plan
        })
        .collect()
}

/// The answer to the first creation of each kind is lost: what it came to has to be found out by other calls.
pub fn loss(operations: &BTreeSet<Operation>) -> Plan {
    let fault = Fault::CutAfterEffect;
    let lost = operations.iter().filter(|o| o.creates());
    let first = lost.map(|o| Cell { operation: o.clone(), fault }).collect();
    Plan { name: "lost answers".to_owned(), first, ..Plan::default() }
}

/// One journey for each cell. Operations beside `usual` need lost answers to be called.
pub fn alone(cells: Vec<Cell>, usual: &BTreeSet<Operation>) -> Vec<Plan> {
    let plan = |cell: Cell| {
        let prelude = if usual.contains(&cell.operation) { Vec::new() } else { loss(usual).first };
        Plan { name: cell.to_string(), prelude, first: vec![cell], later: Vec::new() }
    };
    cells.into_iter().map(plan).collect()
}

/// What is wrong with a journey, compared with the one without faults.
pub fn judge(wanted: &Travelled, found: &Travelled) -> Vec<String> {
    let mut wrong = Vec::new();
    for (wanted, found) in wanted.stages.iter().zip(&found.stages) {
        if wanted.end != found.end {
            wrong.push(format!(
                "another end state when {}:\n  {}\n  not\n  {}",
                found.name, found.end, wanted.end
            ));
        }
        if wanted.changed != found.changed {
            wrong.push(format!(
                "other things were changed when {}:\n  {:?}\n  not\n  {:?}",
                found.name, found.changed, wanted.changed
            ));
        }
    }
    if !found.twice.is_empty() {
        wrong.push(format!("made more than once: {:?}", found.twice));
    }
    for (operation, calls) in &found.calls {
        let usual = wanted.calls.get(operation).copied().unwrap_or_default();
        let most = most_calls(usual, wanted.elapsed, found.elapsed);
        if *calls > most {
            wrong.push(format!(
                "{operation} was called {calls} times, at most {most} are in order (usual: {usual})"
            ));
        }
    }
    wrong
}

/// What polling and retries may come to: as often as usual in the same time, twice that since journeys disturb each
/// other, and every try that follows a fault.
fn most_calls(usual: u64, usual_time: Duration, time: Duration) -> u64 {
    let times = time.as_millis().div_ceil(usual_time.as_millis().max(1)).max(1);
    2 * usual * u64::try_from(times).unwrap_or(1_000) + 40
}

/// What came of all journeys.
#[derive(Debug, Default)]
pub struct Verdict {
    pub wrong: Vec<String>,
    pub struck: BTreeSet<Cell>,
    pub called: BTreeSet<Operation>,
}

impl Verdict {
    /// Adds what came of further journeys.
    pub fn and(&mut self, other: Self) {
        self.wrong.extend(other.wrong);
        self.struck.extend(other.struck);
        self.called.extend(other.called);
    }
}

/// Carries the plans out, several at once, and judges each.
pub async fn run(wanted: &Travelled, plans: Vec<Plan>) -> Verdict {
    let total = plans.len();
    let mut done = 0;
    let mut verdict = Verdict::default();
    let mut journeys = futures::stream::iter(plans)
        .map(|plan| async move {
            let rules = plan.rules();
            let travelled = AssertUnwindSafe(travel("fault", &rules)).catch_unwind().await;
            (plan, travelled)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((plan, travelled)) = journeys.next().await {
        done += 1;
        match travelled {
            Ok(found) => {
                let wrong = judge(wanted, &found);
                eprintln!(
                    "{done} of {total}: {}, {:.0} s, {} wrong",
                    plan.name,
                    found.elapsed.as_secs_f64(),
                    wrong.len()
                );
                verdict.wrong.extend(wrong.into_iter().map(|w| format!("{}: {w}", plan.name)));
                let struck = plan.first.iter().filter(|c| {
                    found.struck.iter().any(|r| {
                        let rule = c.fault.rule(&c.operation, 1, 1);
                        (&r.service, &r.operation, r.kind, r.nth, r.retry_after)
                            == (&rule.service, &rule.operation, rule.kind, rule.nth, rule.retry_after)
                    })
                });
                verdict.struck.extend(struck.cloned());
                verdict.called.extend(found.calls.into_keys());
            }
            Err(panic) => {
                let why = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
                eprintln!("{done} of {total}: {}: {why}", plan.name);
                verdict.wrong.push(format!("{}: {why}", plan.name));
            }
        }
    }
    verdict
}

#[test]
fn the_square_holds_every_cell_once() {
    let operations: BTreeSet<Operation> = [
        ("graph", "GET /users"),
        ("graph", "PATCH /applications/{id}"),
        ("login", "token"),
        ("sso-admin", "ListPermissionSets"),
        ("sso-admin", "CreatePermissionSet"),
    ]
    .map(|(service, name)| Operation::new(service, name))
    .into();
    let calls = operations.iter().map(|o| (o.clone(), 9)).collect();
    let baseline = Travelled {
        stages: Vec::new(),
        calls,
        twice: Vec::new(),
        struck: Vec::new(),
        elapsed: Duration::from_secs(1),
    };
    let plans = square(&baseline, &operations);
    let mut first: Vec<Cell> = plans.iter().flat_map(|p| p.first.clone()).collect();
    first.sort();
    assert_eq!(first, cells(&operations));
    for plan in plans {
        let struck: BTreeSet<&Operation> = plan.first.iter().map(|c| &c.operation).collect();
        assert_eq!(struck.len(), plan.first.len(), "one fault for an operation");
        for (cell, nth) in &plan.later {
            assert!(*nth == 5 && !plan.first.contains(cell), "{cell}");
        }
    }
}

#[test]
fn as_many_calls_as_usual_are_in_order_and_a_hot_loop_is_not() {
    let second = Duration::from_secs(1);
    assert_eq!(most_calls(10, second, second), 60);
    assert_eq!(most_calls(10, second, second * 3), 100);
    assert_eq!(most_calls(0, second, second * 3), 40);
}
