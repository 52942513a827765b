//! What is known of our resources, and who is to be woken when one of them changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store, store::Writer};
use kube::{Api, Client, Resource as _};
use tokio::sync::watch;

use super::Managed;
use super::wake::WakeSet;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::status::{Reason, condition};
use crate::telemetry::ResourceState;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// The resources of one kind in one namespace, or in all of them.
#[derive(Clone, Debug)]
pub struct Lane<K: Managed> {
    namespace: Option<String>,
    pub(super) store: Store<DeserializeGuard<K>>,
    pub(super) wakes: WakeSet,
    /// Set once the store holds the first list. `Store::wait_until_ready` wakes only the last of several that wait
    /// (kube 5.0: `DelayedInit` has room for one waker).
    pub(super) filled: Arc<watch::Sender<bool>>,
}

impl<K: Managed> Lane<K> {
    fn new(namespace: Option<String>) -> (Self, Writer<DeserializeGuard<K>>) {
        let (store, writer) = reflector::store();
        (Self { namespace, store, wakes: WakeSet::default(), filled: Arc::default() }, writer)
    }

    /// The lane's view of the API.
    pub(super) fn api<T>(&self, client: Client) -> Api<T>
    where
        T: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        T::DynamicType: Default,
    {
        api(client, self.namespace.as_deref())
    }
}

/// Objects of one namespace, or of all.
pub(super) fn api<T>(client: Client, namespace: Option<&str>) -> Api<T>
where
    T: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    T::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// All lanes: for each kind one for each watched namespace, or a single one.
#[derive(Clone, Debug)]
pub struct Stores {
    /// IdentityFederations.
    pub federations: Vec<Lane<IdentityFederation>>,
    /// ScimConnections.
    pub connections: Vec<Lane<ScimConnection>>,
    /// PermissionSetBindings.
    pub bindings: Vec<Lane<PermissionSetBinding>>,
}

/// The writing ends of [`Stores`], in the same order.
pub struct Writers {
    /// IdentityFederations.
    pub federations: Vec<Writer<DeserializeGuard<IdentityFederation>>>,
    /// ScimConnections.
    pub connections: Vec<Writer<DeserializeGuard<ScimConnection>>>,
    /// PermissionSetBindings.
    pub bindings: Vec<Writer<DeserializeGuard<PermissionSetBinding>>>,
}

/// The watched namespaces; a single `None` for all.
pub(super) fn scopes(settings: &Settings) -> Vec<Option<String>> {
    match settings.namespaces.is_empty() {
        true => vec![None],
        false => settings.namespaces.iter().cloned().map(Some).collect(),
    }
}

fn lanes<K: Managed>(scopes: &[Option<String>]) -> (Vec<Lane<K>>, Vec<Writer<DeserializeGuard<K>>>) {
    scopes.iter().cloned().map(Lane::new).unzip()
}

impl Stores {
    /// Empty stores and their writing ends.
    #[must_use]
    pub fn new(settings: &Settings) -> (Self, Writers) {
        let scopes = scopes(settings);
        let (federations, federation_writers) = lanes(&scopes);
        let (connections, connection_writers) = lanes(&scopes);
        let (bindings, binding_writers) = lanes(&scopes);
        let writers = Writers {
            federations: federation_writers,
            connections: connection_writers,
            bindings: binding_writers,
        };
        (Self { federations, connections, bindings }, writers)
    }

    /// Waits until every store has been filled once.
    pub async fn filled(&self) {
        async fn all<K: Managed>(lanes: &[Lane<K>]) {
            for lane in lanes {
                // The sender is in the lane: it does not go away.
                let _ = lane.filled.subscribe().wait_for(|filled| *filled).await;
            }
        }
        tokio::join!(all(&self.federations), all(&self.connections), all(&self.bindings));
    }

    /// What the resources say about themselves, for metrics.
    #[must_use]
    pub fn state(&self, clock: &Clock) -> ResourceState {
        let mut counts = BTreeMap::new();
        count(&self.federations, &mut counts);
        count(&self.connections, &mut counts);
        count(&self.bindings, &mut counts);
        let now = clock.now();
        let days = known(&self.connections).filter_map(|c| {
            let end: jiff::Timestamp = c.status.as_ref()?.token_expires_at.as_ref()?.parse().ok()?;
            Some(end.duration_since(now).as_secs_f64() / SECONDS_PER_DAY)
        });
        ResourceState { scim_token_days: days.reduce(f64::min), counts }
    }
}

fn count<K: Managed>(lanes: &[Lane<K>], counts: &mut BTreeMap<(&'static str, Option<Reason>), u64>) {
    for object in known(lanes) {
        let ready = object.status().and_then(|s| condition(K::conditions(s), "Ready"));
        // A label must come from a closed list, whatever stands in a status.
        let reason = ready.and_then(|r| Reason::ALL.iter().find(|known| known.as_str() == r.reason)).copied();
        *counts.entry((K::KIND, reason)).or_default() += 1;
    }
}

/// A resource that is known to be readable.
pub(super) struct Known<K>(Arc<DeserializeGuard<K>>);

impl<K> std::ops::Deref for Known<K> {
    type Target = K;

    fn deref(&self) -> &K {
        self.0.0.as_ref().expect("only readable objects are wrapped")
    }
}

/// All readable resources of a kind.
pub(super) fn known<K: Managed>(lanes: &[Lane<K>]) -> impl Iterator<Item = Known<K>> {
    lanes.iter().flat_map(|lane| lane.store.state()).filter(|object| object.0.is_ok()).map(Known)
}

/// Everything of a kind that is watched in one namespace, or everywhere, readable or not.
pub(super) fn watched<K: Managed>(
    lanes: &[Lane<K>],
    namespace: Option<&str>,
) -> Vec<Arc<DeserializeGuard<K>>> {
    let all = lanes.iter().flat_map(|lane| lane.store.state());
    all.filter(|object| namespace.is_none() || object.meta().namespace.as_deref() == namespace).collect()
}

/// Has an object looked at again.
pub(super) fn wake<K: Managed>(lanes: &[Lane<K>], namespace: &str, name: &str) {
    for lane in lanes.iter().filter(|l| l.namespace.as_deref().is_none_or(|n| n == namespace)) {
        lane.wakes.add(namespace, name);
    }
}
