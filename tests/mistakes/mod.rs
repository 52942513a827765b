//! What users and administrators get wrong: each mistake is told where people look, in words that help, and costs
//! nothing. `docs/mistakes.md` is written from the same rows, with the messages as they were seen.

pub mod actions;
mod applied;
mod bindings;
mod connections;
pub mod consent;
pub mod federation;
mod others;
mod page;
mod redact;
mod table;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::api::DynamicObject;
use sandbox::journey;
use sandbox::world::World;

use self::page::Section;
use self::table::{Book, Mistake};
use crate::support::run;
use crate::support::world::TestWorld;

const FEDERATION: &str = "IdentityFederation";
const SCIM: &str = "ScimConnection";
const BINDING: &str = "PermissionSetBinding";

const RIGHT: &str = include_str!("right.yaml");
/// So many worlds at once.
const AT_ONCE: usize = 5;

/// The resource of that kind as people should have written it.
pub fn right(kind: &str, namespace: &str) -> DynamicObject {
    let all = journey::parse(RIGHT, Some(namespace)).expect("YAML");
    let is_it = |o: &DynamicObject| o.types.as_ref().is_some_and(|t| t.kind == kind);
    all.into_iter().find(is_it).expect("one of each kind")
}

/// A company, a little different, whose operator looks again soon.
async fn world(prefix: &str, change: impl FnOnce(&mut World, &str)) -> TestWorld {
    let mut world = TestWorld::changed(prefix, change).await;
    world.settings.timing.backoff.1 = Duration::from_millis(400);
    world.look_every = Duration::from_millis(100);
    world
}

fn sections() -> Vec<Section> {
    let section = |heading, intro, rows: &[&'static [Mistake]]| Section {
        heading,
        intro,
        rows: rows.iter().copied().flatten().collect(),
    };
    vec![
        section(
            "Refused at once",
            "The API server refuses these before anything is stored.",
            &[applied::ROWS],
        ),
        section(
            "Credentials",
            "One side goes on without the other: `Ready` shows the first problem, each condition its own.",
            &[federation::CREDENTIALS, &federation::SECOND[..1]],
        ),
        section(
            "Federations",
            "What the other side does not have, or has twice.",
            &[federation::SPEC, &federation::SECOND[1..], others::ROWS],
        ),
        section("Hand-offs", "What people carry from one console to the other.", &[federation::HANDOFFS]),
        section(
            "Connections",
            "The Secret is read again at every pass: once it is right, work goes on by itself.",
            &[connections::SECRETS, connections::REVOKED, connections::WORKING, connections::SECOND],
        ),
        section(
            "Bindings",
            "What can be done is done: those who were found keep what they have.",
            &[bindings::CHANGED, bindings::NEW],
        ),
        section(
            "Permissions",
            "Each is withheld alone. Of several in one row the message of the first is shown.",
            &[consent::ROWS, actions::ROWS],
        ),
    ]
}

#[test]
fn each_mistake_is_told_where_people_look_and_costs_nothing() {
    run(async {
        let book = Book::default();
        // The longest first.
        let scenes: Vec<(&str, LocalBoxFuture<'_, ()>)> = vec![
            ("federation", Box::pin(federation::run(&book))),
            ("consent", Box::pin(consent::run(&book))),
            ("reads", Box::pin(actions::reads(&book))),
            ("changes", Box::pin(actions::changes(&book))),
            ("bindings", Box::pin(bindings::run(&book))),
            ("connections", Box::pin(connections::run(&book))),
            ("gives", Box::pin(actions::gives(&book))),
            ("adopted twice", Box::pin(others::adopted_twice(&book))),
            ("applied", Box::pin(applied::run(&book))),
            ("two instances", Box::pin(others::two_instances(&book))),
        ];
        futures::stream::iter(scenes)
            .for_each_concurrent(AT_ONCE, async |(name, scene)| {
                let begun = Instant::now();
                // One that cannot go on does not keep the others from being looked at.
                if AssertUnwindSafe(scene).catch_unwind().await.is_err() {
                    book.wrong(format!("{name}: it could not go on, see above"));
                }
                eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
            })
            .await;
        let sections = sections();
        for row in sections.iter().flat_map(|s| &s.rows) {
            if book.message(row).is_none() {
                book.wrong(format!("{}: nothing was seen of it", row.title));
            }
        }
        let wrong = book.all_wrong();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        page::check(&sections, &book);
    });
}

#[test]
fn titles_tell_rows_apart() {
    let sections = sections();
    let rows: Vec<_> = sections.iter().flat_map(|s| &s.rows).collect();
    let titles: std::collections::BTreeSet<_> = rows.iter().map(|r| r.title).collect();
    assert_eq!(titles.len(), rows.len());
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for row in rows {
        assert!(!row.way_out.is_empty(), "{}", row.title);
    }
}
