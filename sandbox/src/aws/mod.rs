//! The AWS side of the sandbox: Identity Center with its store and SCIM endpoint, Organizations, and what
//! IAM and STS clients of them need (contract aws, sections 1 to 4, 6, 7 and 14).

mod auth;
mod console;
mod dispatch;
mod errors;
mod iam;
mod identity_store;
mod lag;
mod organizations;
mod paging;
mod saml_metadata;
mod scim;
mod seed;
mod sign_in;
mod sso_admin;
mod state;
mod sts;
mod throttle;
mod trust;
mod validate;
mod views;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::routing::{any, post};
use jiff::Timestamp;
use serde::Serialize;

pub use console::ConsoleError;
pub use sign_in::{Access, AccessRefusal, SamlTrust};
pub(crate) use trust::problems as trust_problems;

use crate::core::{Core, lock};
use crate::world::World;
use state::State;
use throttle::Bucket;

/// Simulated AWS.
pub struct Aws {
    core: Arc<Core>,
    state: Mutex<States>,
    sso_bucket: Bucket,
    store_bucket: Bucket,
    scim_bucket: Bucket,
    /// ARNs of permission sets whose edit is being written.
    edits: Mutex<BTreeSet<String>>,
    base_url: Mutex<String>,
    /// How the SCIM endpoint ends where the console shows it.
    scim_end: &'static str,
}

/// The present, and the state before the last change while stale reads are asked for.
#[derive(Debug)]
struct States {
    now: State,
    before: Option<Box<State>>,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").finish_non_exhaustive()
    }
}

/// What a client must know to find its way; absent parts do not exist yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsFacts {
    /// Primary Region of Identity Center.
    pub region: String,
    /// Account id of the management account.
    pub management_account_id: String,
    /// The instance, once Identity Center is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_arn: Option<String>,
    /// Its identity store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_store_id: Option<String>,
    /// The SCIM endpoint, once automatic provisioning is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim_endpoint: Option<String>,
}

/// Every operation that this side serves: service and name, as in the counters.
pub(crate) fn operations() -> Vec<(&'static str, String)> {
    let scim = scim::OPERATIONS.into_iter().map(|operation| ("scim", operation));
    dispatch::operations().into_iter().chain(scim).map(|(service, name)| (service, name.to_owned())).collect()
}

impl Aws {
    /// AWS as the world file says.
    #[must_use]
    pub fn new(core: Arc<Core>, world: &World) -> Arc<Self> {
        let state = seed::state(&core, world);
        let (burst, slash) = (state.behaviours.burst, state.behaviours.scim_endpoint_has_slash);
        Arc::new(Self {
            core,
            state: Mutex::new(States { now: state, before: None }),
            sso_bucket: Bucket::new(burst),
            store_bucket: Bucket::new(burst),
            scim_bucket: Bucket::new(burst),
            scim_end: if slash { "/" } else { "" },
            edits: Mutex::new(BTreeSet::new()),
            base_url: Mutex::new("https://127.0.0.1".into()),
        })
    }

    /// All AWS services on `POST /`, and SCIM under `/{tenant}/scim/v2`.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(
                "/",
                post(|Shared(aws): Shared<Arc<Self>>, headers, body| dispatch::handle(aws, headers, body)),
            )
            .route("/{tenant}/scim/v2", any(scim::handle))
            .route("/{tenant}/scim/v2/", any(scim::handle))
            .route("/{tenant}/scim/v2/{*path}", any(scim::handle))
            .layer(DefaultBodyLimit::max(4 << 20))
            .with_state(self.clone())
    }

    /// Where the router is served, such as `https://127.0.0.1:1234`.
    pub fn set_base_url(&self, url: &str) {
        *lock(&self.base_url) = url.trim_end_matches('/').to_owned();
    }

    /// What a client must know.
    #[must_use]
    pub fn facts(&self) -> AwsFacts {
        let states = lock(&self.state);
        let center = states.now.center.as_ref();
        AwsFacts {
            region: states.now.region.clone(),
            management_account_id: states.now.organization.management_account_id.clone(),
            instance_arn: center.map(state::Center::instance_arn),
            identity_store_id: center.map(|c| c.store.id.clone()),
            scim_endpoint: center.and_then(|c| c.scim.as_ref()).map(|s| self.scim_endpoint(&s.tenant)),
        }
    }

    /// The secret keys and tokens of all sessions that STS has issued, for tests that look whether one slipped out.
    #[must_use]
    pub fn session_secrets(&self) -> Vec<String> {
        let states = lock(&self.state);
        states.now.sessions.values().flat_map(|s| [s.secret.clone(), s.token.clone()]).collect()
    }

    /// The ARNs of the sessions that STS has issued: what an audit trail would show.
    #[must_use]
    pub fn session_arns(&self) -> Vec<String> {
        lock(&self.state).now.sessions.values().map(|s| s.arn.clone()).collect()
    }

    fn scim_endpoint(&self, tenant: &str) -> String {
        format!("{}/{tenant}/scim/v2{}", lock(&self.base_url), self.scim_end)
    }

    /// Runs `f` on the state after finishing what is due; reads that shall be stale get the state before
    /// the last successful change instead.
    fn with_state<R, E>(
        &self,
        at: Timestamp,
        mutation: bool,
        stale: bool,
        f: impl FnOnce(&mut State) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut states = lock(&self.state);
        sso_admin::settle(&mut states.now, &self.core, at);
        let history = self.core.faults.wants_history();
        if !history {
            states.before = None;
        }
        if stale
            && !mutation
            && let Some(before) = &states.before
        {
            return f(&mut before.clone());
        }
        let snapshot = (mutation && history).then(|| Box::new(states.now.clone()));
        let result = f(&mut states.now);
        if result.is_ok() && snapshot.is_some() {
            states.before = snapshot;
        }
        result
    }
}
