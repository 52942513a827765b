//! Waits, and tells meanwhile what happens: what resources say, what the operator does in the clouds, what people do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::api::{DynamicObject, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use super::PATIENCE;
use super::names::{Names, all_of, meaning, refusal, told, without_ids};
use super::screen::Screen;
use crate::Sandbox;
use crate::control_plane::ControlPlane;
use crate::core::{Core, Entry};
use crate::journey::{Operator, Person, answered, api, kinds};

const TICK: Duration = Duration::from_millis(200);

/// The live account.
pub struct Live {
    screen: Screen,
    core: Arc<Core>,
    names: Names,
    client: Client,
    /// The program, and its configuration; none where nobody watches.
    kubectl: Option<(PathBuf, PathBuf)>,
    operator: Operator,
    told: u64,
    /// Whether a console may refuse for now what a resource asks for.
    patient: bool,
    said: BTreeMap<(String, String), String>,
    /// Operations whose meaning was said.
    explained: BTreeSet<String>,
}

impl Live {
    /// Begins to tell from now on.
    pub fn new(
        screen: &Screen,
        sandbox: &Sandbox,
        cluster: Option<&ControlPlane>,
        client: Client,
        operator: Operator,
    ) -> Self {
        let kubectl = cluster.map(|c| (c.kubectl(), c.kubeconfig().to_owned()));
        let core = sandbox.core.clone();
        let told = core.journal.last();
        let names = Names::of(sandbox);
        Self {
            screen: screen.clone(),
            core,
            names,
            client,
            kubectl,
            operator,
            told,
            patient: false,
            said: BTreeMap::new(),
            explained: BTreeSet::new(),
        }
    }

    /// Everything was applied at once: what one resource asks for may have to wait for what another will ask for.
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The end of the operator's log.
    pub fn operator_tail(&self) -> String {
        self.operator.tail()
    }

    /// The operator, when the account is over.
    pub fn into_operator(self) -> Operator {
        self.operator
    }

    /// Waits until the resources are Ready at their newest generation. A person does what they ask for meanwhile.
    pub async fn until_ready(&mut self, person: &Person, wanted: &[(&str, &str)]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut refused = String::new();
        let mut shown = Vec::new();
        loop {
            let objects = self.tick().await?;
            let ready = wanted.iter().all(|(kind, name)| {
                objects.get(&((*kind).to_owned(), (*name).to_owned())).is_some_and(is_ready)
            });
            if ready {
                return Ok(());
            }
            let step = |o: &DynamicObject| o.data.pointer("/status/handoff/pending/0/step").cloned();
            let asked: Vec<Value> = objects.values().filter_map(step).collect();
            if !asked.is_empty() {
                // One that has to wait is asked for again and again.
                if shown != asked {
                    self.table().await?;
                }
                shown = asked;
                let act = match person.act().await {
                    Err(error) if self.patient => {
                        refused = format!("; the person was refused: {error:#}");
                        None
                    }
                    other => other?,
                };
                if let Some(act) = act {
                    self.screen.text(&format!("→ {}", act.what));
                    for line in act.done {
                        self.screen.person(&line);
                    }
                    // The resource needs a moment to see it; asking again before would do it twice.
                    self.until_seen(&act.step).await?;
                }
            }
            if Instant::now() > deadline {
                bail!("not ready within {} s: {}{refused}", PATIENCE.as_secs(), self.present(&objects));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// What kubectl shows of all three kinds, as people see it.
    pub async fn table(&self) -> anyhow::Result<()> {
        const SHOWN: [&str; 4] = ["get", "idf,scim,psb", "-n", "identity"];
        let Some((program, kubeconfig)) = &self.kubectl else { return Ok(()) };
        let mut command = tokio::process::Command::new(program);
        let output =
            command.args(SHOWN).env("KUBECONFIG", kubeconfig).output().await.context("run kubectl")?;
        if !output.status.success() {
            bail!("kubectl fails: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.screen.command(&format!("kubectl {}", SHOWN.join(" ")));
        for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()) {
            self.screen.cloud(line);
        }
        Ok(())
    }

    async fn until_seen(&mut self, step: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let objects = self.tick().await?;
            let asked = objects.values().any(|o| {
                o.data.pointer("/status/handoff/pending/0/step").and_then(Value::as_str) == Some(step)
            });
            if !asked {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the step {step} was carried out and is still asked for");
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits for something outside the cluster.
    pub async fn until(&mut self, what: &str, holds: impl Fn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            self.tick().await?;
            if Instant::now() > deadline {
                bail!("not within {} s: {what}", PATIENCE.as_secs());
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    async fn tick(&mut self) -> anyhow::Result<BTreeMap<(String, String), DynamicObject>> {
        if let Some(words) = self.operator.ended() {
            bail!("the operator ended by itself: {words}");
        }
        self.tell_mutations();
        let mut objects = BTreeMap::new();
        for kind in kinds() {
            let resources = api(&self.client, "identity", kind);
            for object in answered(async || resources.list(&ListParams::default()).await).await? {
                objects.insert((kind.to_owned(), object.name_any()), object);
            }
        }
        for (key, object) in &objects {
            let (reason, message) = ready_of(object);
            if reason.is_empty() || self.said.get(key) == Some(&reason) {
                continue;
            }
            self.said.insert(key.clone(), reason.clone());
            let ((kind, name), message) = (key, without_ids(&message));
            if is_ready(object) {
                self.screen.done(&format!("{kind} {name}: Ready. {message}"));
            } else {
                self.screen.status(&format!("{kind} {name}: {reason}. {message}"));
            }
        }
        self.screen.waiting(&self.present(&objects));
        Ok(objects)
    }

    fn present(&self, objects: &BTreeMap<(String, String), DynamicObject>) -> String {
        let lines: Vec<String> = objects
            .iter()
            .filter(|(_, object)| !is_ready(object))
            .map(|((kind, name), object)| {
                let count = |key: &str| object.data["status"][key].as_i64();
                let progress = match (count("current"), count("desired")) {
                    (Some(current), Some(desired)) => format!(" {current}/{desired}"),
                    _ => String::new(),
                };
                format!("{kind} {name}{progress}: {}", ready_of(object).0)
            })
            .collect();
        lines.join(" · ")
    }

    /// Tells what was changed in the clouds since the last time, and by whom; many of a kind become one line.
    fn tell_mutations(&mut self) {
        let mut groups: Vec<(String, Vec<Entry>)> = Vec::new();
        for entry in self.core.journal.after(self.told) {
            self.told = entry.seq;
            // People are told of where they act; tokens are no news.
            if entry.service == "console" || entry.service == "login" {
                continue;
            }
            let who = if entry.service == "scim" {
                "Entra → AWS"
            } else if entry.service == "graph" {
                "Entra"
            } else {
                "AWS"
            };
            let line = if entry.outcome == "ok" {
                // Once is enough; the first line of several is one.
                let known = self.explained.contains(&entry.operation);
                let why = if known { "" } else { meaning(&entry.operation) };
                format!("{who:<12}{}{why}", entry.operation)
            } else {
                let refused = refusal(entry.service, &entry.operation, &entry.outcome);
                format!("{who:<12}{}  not yet: {refused}", entry.operation)
            };
            match groups.iter_mut().find(|g| g.0 == line) {
                Some(group) => group.1.push(entry),
                None => groups.push((line, vec![entry])),
            }
        }
        if groups.is_empty() {
            return;
        }
        let done = groups.iter().flat_map(|(_, entries)| entries).filter(|entry| entry.outcome == "ok");
        self.explained.extend(done.map(|entry| entry.operation.clone()));
        let names = self.names.read();
        for (line, entries) in groups {
            let targets: Vec<String> =
                entries.iter().map(|e| told(&e.target, &names)).filter(|target| !target.is_empty()).collect();
            self.screen.cloud(format!("{line}  {}", all_of(&targets)).trim_end());
        }
    }
}

/// Whether Ready is True for the newest generation.
fn is_ready(object: &DynamicObject) -> bool {
    let status = &object.data["status"];
    let current = status["observedGeneration"].as_i64() == object.metadata.generation;
    current && condition(object, "Ready").is_some_and(|c| c["status"] == "True")
}

fn ready_of(object: &DynamicObject) -> (String, String) {
    let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
    condition(object, "Ready").map(|c| (text(c, "reason"), text(c, "message"))).unwrap_or_default()
}

fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}
