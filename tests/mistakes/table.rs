//! A mistake as data, and what was seen of all of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kube::api::DynamicObject;
use serde_json::Value;

use super::BINDING;
use super::redact::redact;
use crate::support::world::{TestWorld, condition};

/// How long a mistake may stay unnoticed.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long one is looked at that is known to be answered otherwise than it should be.
const BRIEFLY: Duration = Duration::from_secs(8);
/// A message that stands for so long is the one that people read.
const REST: Duration = Duration::from_millis(500);

/// Where a mistake is noticed.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// By the API server, when an object of this kind is made.
    Creation(&'static str),
    /// Likewise, when it is changed.
    Change(&'static str),
    /// In the condition of that type of an object of this kind.
    Condition(&'static str, &'static str),
}

/// One mistake of a user or an administrator.
#[derive(Debug)]
pub struct Mistake {
    /// What was done.
    pub title: &'static str,
    /// Where it is noticed.
    pub at: At,
    /// The reason of the condition; empty for what the API server refuses.
    pub reason: &'static str,
    /// Words that the message must hold.
    pub words: &'static [&'static str],
    /// How it is made, in YAML; what it means is up to the scene.
    pub make: &'static str,
    /// What to do, for the page.
    pub way_out: &'static str,
    /// Several of a kind that are made one after the other, such as the permissions that are missing.
    pub members: &'static [&'static str],
    /// Why it is not answered as it should be (yet). The test tells when it is.
    pub known: Option<&'static str>,
}

/// What a person applies and the API server refuses.
pub const fn refused(
    title: &'static str,
    at: At,
    make: &'static str,
    words: &'static [&'static str],
    way_out: &'static str,
) -> Mistake {
    Mistake { title, at, reason: "", words, make, way_out, members: &[], known: None }
}

/// What a condition tells.
pub const fn told(
    title: &'static str,
    (kind, condition): (&'static str, &'static str),
    reason: &'static str,
    words: &'static [&'static str],
    make: &'static str,
    way_out: &'static str,
) -> Mistake {
    Mistake {
        title,
        at: At::Condition(kind, condition),
        reason,
        words,
        make,
        way_out,
        members: &[],
        known: None,
    }
}

/// What was seen, by title, and what was not as it should be.
#[derive(Default)]
pub struct Book {
    messages: Mutex<BTreeMap<&'static str, String>>,
    wrong: Mutex<Vec<String>>,
}

impl Book {
    /// Something is not as it should be; the other rows go on.
    pub fn wrong(&self, what: String) {
        eprintln!("{what}");
        self.wrong.lock().unwrap().push(what);
    }

    /// Everything that was not as it should be.
    pub fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// The message that was seen of a mistake.
    pub fn message(&self, mistake: &Mistake) -> Option<String> {
        self.messages.lock().unwrap().get(mistake.title).cloned()
    }

    /// Takes down what a mistake was answered with. Of several of a kind the first one counts.
    pub fn note(&self, mistake: &'static Mistake, message: &str, namespace: &str) {
        self.messages.lock().unwrap().entry(mistake.title).or_insert_with(|| redact(message, namespace));
    }

    /// Waits until the mistake is told of the object of that name.
    pub async fn expect(&self, world: &TestWorld, name: &str, mistake: &'static Mistake) {
        self.expect_words(world, name, mistake, mistake.words).await;
    }

    /// The same with other words.
    pub async fn expect_words(
        &self,
        world: &TestWorld,
        name: &str,
        mistake: &'static Mistake,
        words: &[&str],
    ) {
        let At::Condition(kind, wanted) = mistake.at else { panic!("{}: no condition", mistake.title) };
        let deadline = Instant::now() + if mistake.known.is_some() { BRIEFLY } else { PATIENCE };
        let fits = |object: Option<&DynamicObject>| {
            let (reason, message) = said(object?, wanted)?;
            let fits = reason == mistake.reason && words.iter().all(|w| message.contains(w));
            fits.then(|| redact(&message, &world.namespace))
        };
        let mut standing: Option<(String, Instant)> = None;
        loop {
            let object = world.get(kind, name).await;
            standing = match (fits(object.as_ref()), standing) {
                (Some(m), Some((before, since))) if m == before => Some((before, since)),
                (Some(m), _) => Some((m, Instant::now())),
                (None, _) => None,
            };
            if let Some((message, _)) = standing.as_ref().filter(|(_, since)| since.elapsed() >= REST)
                && fits(again(world, kind, name).await.as_ref()).as_ref() == Some(message)
            {
                self.note(mistake, message, &world.namespace);
                if let Some(known) = mistake.known {
                    self.wrong(format!(
                        "{}: answered as it should be now, take `known` ({known}) out of its row",
                        mistake.title
                    ));
                }
                return;
            }
            if Instant::now() > deadline {
                let (reason, message) = object.as_ref().and_then(|o| said(o, wanted)).unwrap_or_default();
                self.note(mistake, &message, &world.namespace);
                if mistake.known.is_none() {
                    self.wrong(format!(
                        "{}: {kind} {name}, {wanted}: expected {} with {words:?}, not {reason}: {message}\n{}",
                        mistake.title,
                        mistake.reason,
                        object.map(|o| o.data["status"]["conditions"].to_string()).unwrap_or_default()
                    ));
                }
                return;
            }
            tokio::time::sleep(world.look_every).await;
        }
    }

    /// The operator has changed nothing in the clouds since, but for these operations.
    pub fn no_mutation(&self, world: &TestWorld, since: u64, but: &[&str], what: &str) {
        let done: Vec<String> = world
            .mutations(since)
            .into_iter()
            .filter(|e| e.outcome == "ok" && !but.contains(&e.operation.as_str()))
            .map(|e| format!("{} {}", e.operation, e.target))
            .collect();
        if !done.is_empty() {
            self.wrong(format!("{what}: it cost {done:?}"));
        }
    }
}

/// The object once the operator looked at it again: what was said of the mistake before, of the same object, may stand
/// there for a while, and would do for many a row. A binding has an object of its own for each mistake.
async fn again(world: &TestWorld, kind: &str, name: &str) -> Option<DynamicObject> {
    if kind == BINDING { world.get(kind, name).await } else { world.look_anew(kind, name).await }
}

/// Reason and message of a condition that speaks of the newest generation.
fn said(object: &DynamicObject, kind: &str) -> Option<(String, String)> {
    let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
    if !current && object.metadata.deletion_timestamp.is_none() {
        return None;
    }
    let found = condition(object, kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("reason"), text("message")))
}

/// RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// YAML of this repository.
pub fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml_ng::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
