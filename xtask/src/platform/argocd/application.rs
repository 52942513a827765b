//! An Application, as Argo CD tells of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};
use sandbox::journey;
use serde_json::{Value, json};

use super::{NAMESPACE, PATIENCE, TICK};

/// One Application, watched.
pub struct Application {
    api: Api<DynamicObject>,
    name: String,
    /// Every phase that an operation of it was seen in.
    phases: Mutex<BTreeSet<String>>,
}

/// What it said at one moment.
#[derive(Debug, Clone)]
pub struct State(Value);

impl Application {
    /// Creates the Application of an example, with another repository.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(client: &Client, yaml: &str, repository: &str) -> anyhow::Result<Self> {
        let mut objects = journey::parse(yaml, None)?;
        let [object] = &mut objects[..] else { bail!("one Application is expected in a file") };
        object.data["spec"]["source"]["repoURL"] = repository.into();
        let name = object.name_any();
        journey::apply(client, &objects).await?;
        let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
        let api = Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk(&gvk));
        Ok(Self { api, name, phases: Mutex::default() })
    }

    /// What it says now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn state(&self) -> anyhow::Result<State> {
        let object =
            self.api.get(&self.name).await.with_context(|| format!("read the application {}", self.name))?;
        let state = State(object.data["status"].clone());
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).insert(state.phase().to_owned());
        Ok(state)
    }

    /// Waits until it says that.
    ///
    /// # Errors
    /// When it does not in time; with what it says.
    pub async fn until(&self, holds: impl Fn(&State) -> bool) -> anyhow::Result<State> {
        let end = Instant::now() + PATIENCE;
        loop {
            let state = self.state().await?;
            if holds(&state) {
                return Ok(state);
            }
            if Instant::now() > end {
                bail!(
                    "not within {} s; the application {} says:\n{}",
                    PATIENCE.as_secs(),
                    self.name,
                    state.told()
                );
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits until that revision is there, and nothing differs.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn synced(&self, revision: &str) -> anyhow::Result<State> {
        self.until(|s| s.is_synced(revision)).await
    }

    /// Asks for a sync of that revision, as `argocd app sync` does, and waits until it has ended.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn sync(&self, revision: &str) -> anyhow::Result<State> {
        let before = self.state().await?.0["operationState"]["startedAt"].clone();
        let operation =
            json!({"operation": {"initiatedBy": {"username": "ada"}, "sync": {"revision": revision}}});
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(operation)).await?;
        self.until(|s| s.0["operationState"]["startedAt"] != before && s.phase() != "Running").await
    }

    /// Waits until Argo CD has compared it that many times more.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn compared(&self, times: usize) -> anyhow::Result<State> {
        let mut state = self.state().await?;
        for _ in 0..times {
            let before = state.0["reconciledAt"].clone();
            state = self.until(|s| s.0["reconciledAt"] != before).await?;
        }
        Ok(state)
    }

    /// Deletes it, with everything of it, as its finalizer says.
    ///
    /// # Errors
    /// When it is not gone in time.
    pub async fn delete(&self) -> anyhow::Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        let end = Instant::now() + PATIENCE;
        while let Some(object) = self.api.get_opt(&self.name).await? {
            if Instant::now() > end {
                let state = State(object.data["status"].clone());
                bail!("not gone within {} s:\n{}", PATIENCE.as_secs(), state.told());
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// Every phase that an operation was seen in, beside those of operations that go well.
    #[must_use]
    pub fn mishaps(&self) -> Vec<String> {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.iter().filter(|p| !["", "Running", "Succeeded"].contains(&p.as_str())).cloned().collect()
    }
}

impl State {
    /// Its health.
    #[must_use]
    pub fn health(&self) -> &str {
        self.0["health"]["status"].as_str().unwrap_or_default()
    }

    /// The phase of its last operation.
    #[must_use]
    pub fn phase(&self) -> &str {
        self.0["operationState"]["phase"].as_str().unwrap_or_default()
    }

    /// Whether the operation for that revision has ended well and nothing differs from it.
    #[must_use]
    pub fn is_synced(&self, revision: &str) -> bool {
        self.has_no_difference()
            && self.0["sync"]["revision"] == revision
            && self.phase() == "Succeeded"
            && self.0["operationState"]["syncResult"]["revision"] == revision
    }

    /// Whether the cluster is as Git says.
    #[must_use]
    pub fn has_no_difference(&self) -> bool {
        self.0["sync"]["status"] == "Synced"
    }

    /// Health and message of one of its resources.
    #[must_use]
    pub fn resource(&self, kind: &str, name: &str) -> (&str, &str) {
        let found = self.resources().iter().find(|r| r["kind"] == kind && r["name"] == name);
        let text = |key: &str| found.and_then(|r| r["health"][key].as_str()).unwrap_or_default();
        (text("status"), text("message"))
    }

    /// The revisions of all syncs that went well.
    #[must_use]
    pub fn history(&self) -> Vec<&str> {
        let entries = self.0["history"].as_array().map_or(&[][..], Vec::as_slice);
        entries.iter().filter_map(|entry| entry["revision"].as_str()).collect()
    }

    /// What the last operation did with each resource.
    #[must_use]
    pub fn results(&self) -> Vec<(String, String)> {
        let all = self.0["operationState"]["syncResult"]["resources"].as_array();
        let text = |r: &Value, key: &str| r[key].as_str().unwrap_or_default().to_owned();
        all.into_iter()
            .flatten()
            .map(|r| {
                (
                    format!("{} {}", text(r, "kind"), text(r, "name")),
                    format!("{} {}", text(r, "status"), text(r, "message")),
                )
            })
            .collect()
    }

    /// In short, for people.
    #[must_use]
    pub fn told(&self) -> String {
        let mut lines = vec![format!(
            "sync {} of {}, health {}, operation {} of {}: {}",
            self.0["sync"]["status"],
            self.0["sync"]["revision"],
            self.0["health"]["status"],
            self.phase(),
            self.0["operationState"]["syncResult"]["revision"],
            self.0["operationState"]["message"]
        )];
        lines.extend(self.0["conditions"].as_array().into_iter().flatten().map(Value::to_string));
        lines.extend(
            self.resources()
                .iter()
                .map(|r| format!("{} {}: {} {}", r["kind"], r["name"], r["status"], r["health"])),
        );
        lines.extend(self.results().into_iter().map(|(what, came)| format!("{what}: {came}")));
        lines.join("\n")
    }

    fn resources(&self) -> &[Value] {
        self.0["resources"].as_array().map_or(&[], Vec::as_slice)
    }
}
