//! A simulated Microsoft Entra tenant: sign-in hosts, Microsoft Graph, provisioning.
//!
//! Sections named in comments are those of the Microsoft Graph wire contract unless said otherwise.

mod auth;
mod claims;
mod console;
mod errors;
mod graph;
mod login;
mod metadata;
mod odata;
mod seed;
mod sign_in;
mod state;
mod synchronization;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use console::ConsoleError;
pub use sign_in::{SignInFacts, SignInRefusal};

use crate::core::Core;
use crate::world::{Client, EntraBehaviours, Tenant, World};
use graph::certificates::SigningKey;
use state::{State, View};

/// One tenant with everything in it. Behind an `Arc`, shared by its routers and its provisioning engine.
pub struct Entra {
    core: Arc<Core>,
    tenant_id: String,
    domains: Vec<String>,
    behaviours: EntraBehaviours,
    clients: Mutex<Vec<Client>>,
    state: Mutex<State>,
    /// The state before the last mutation, kept only while a stale fault is armed.
    history: Mutex<Option<Arc<State>>>,
    urls: Mutex<Urls>,
    /// Issuer to public key (PEM), for federated tokens.
    /// The tenant's own signing certificate, made when metadata of an application without one is asked for.
    common_key: OnceLock<Arc<SigningKey>>,
    reads: AtomicU64,
    replicas_disagree: AtomicBool,
    wake: Notify,
}

#[derive(Clone, Default)]
struct Urls {
    graph: String,
    authority: String,
    scim_ca_pem: String,
    scim_base: String,
}

/// What a client needs to know of the tenant.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntraFacts {
    /// Directory (tenant) id.
    pub tenant_id: String,
    /// Client id of the world's first client; empty when there is none.
    pub client_id: String,
    /// Its secret; empty when it only has federated credentials.
    pub client_secret: String,
}

impl std::fmt::Debug for EntraFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntraFacts")
            .field("tenant_id", &self.tenant_id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Entra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entra").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// Every operation that this side serves: service and name, as in the counters.
pub(crate) fn operations() -> Vec<(&'static str, String)> {
    let login = login::OPERATIONS.into_iter().map(|operation| ("login", operation.to_owned()));
    graph::operations().map(|operation| ("graph", operation)).chain(login).collect()
}

impl Entra {
    /// The tenant as the world file describes it.
    #[must_use]
    pub fn new(core: Arc<Core>, world: &World) -> Arc<Self> {
        let Tenant { id, domains, clients, behaviours, .. } = world.tenant.clone();
        let state = seed::state(&core, &world.tenant);
        Arc::new(Self {
            core,
            tenant_id: id,
            domains,
            behaviours,
            clients: Mutex::new(clients),
            state: Mutex::new(state),
            history: Mutex::new(None),
            urls: Mutex::new(Urls::default()),
            common_key: OnceLock::new(),
            reads: AtomicU64::new(0),
            replicas_disagree: AtomicBool::new(true),
            wake: Notify::new(),
        })
    }

    /// Microsoft Graph: `/v1.0` and `/beta`.
    pub fn graph_router(self: &Arc<Self>) -> axum::Router {
        graph::router(self.clone())
    }

    /// The sign-in host: tokens, discovery documents, federation metadata.
    pub fn login_router(self: &Arc<Self>) -> axum::Router {
        login::router(self.clone())
    }

    /// Where the tenant itself is reached (no trailing slash), and what its provisioning engine trusts
    /// (`scim_ca_pem`) and may call (`scim_base`, an origin; also stands in for `scim.*.amazonaws.com`).
    pub fn set_urls(&self, graph: &str, authority: &str, scim_ca_pem: &str, scim_base: &str) {
        let trim = |url: &str| url.trim_end_matches('/').to_owned();
        *lock(&self.urls) = Urls {
            graph: trim(graph),
            authority: trim(authority),
            scim_ca_pem: scim_ca_pem.to_owned(),
            scim_base: trim(scim_base),
        };
    }

    /// Grants a client exactly these application permissions; they show in its next token.
    pub fn set_permissions(&self, client_id: &str, permissions: &[&str]) {
        for client in lock(&self.clients).iter_mut().filter(|c| c.client_id == client_id) {
            client.permissions = permissions.iter().map(|p| (*p).to_owned()).collect();
        }
    }

    /// Whether replicas disagree for a moment about fresh applications (8.6): on unless switched off.
    pub fn set_replicas_disagree(&self, disagree: bool) {
        self.replicas_disagree.store(disagree, Ordering::Relaxed);
    }

    /// Runs the provisioning engine until `stop` is cancelled.
    pub fn start(self: &Arc<Self>, stop: CancellationToken) {
        tokio::spawn(synchronization::engine::run(self.clone(), stop));
    }

    /// What a client needs to know of the tenant.
    #[must_use]
    pub fn facts(&self) -> EntraFacts {
        let clients = lock(&self.clients);
        let first = clients.first();
        EntraFacts {
            tenant_id: self.tenant_id.clone(),
            client_id: first.map(|c| c.client_id.clone()).unwrap_or_default(),
            client_secret: first.and_then(|c| c.client_secret.clone()).unwrap_or_default(),
        }
    }

    fn urls(&self) -> Urls {
        lock(&self.urls).clone()
    }

    /// Locks the state, with everything whose thirty days are over gone.
    fn state_now(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.purge(self.core.clock.now());
        state
    }

    /// Keeps the state as it is now for stale reads, when any may come.
    fn remember(&self, state: &State) {
        if self.core.faults.wants_history() {
            *lock(&self.history) = Some(Arc::new(state.clone()));
        }
    }

    /// The eyes of one read.
    fn view(&self) -> View {
        let odd = self.reads.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        View { now: self.core.clock.now(), lucky: odd || !self.replicas_disagree.load(Ordering::Relaxed) }
    }
}

/// A poisoned lock means that a handler panicked; what it guards is still a consistent tenant.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
