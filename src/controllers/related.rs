//! Who is woken by whose change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};

use super::Managed;
use super::context::Context;
use super::stores::{Stores, api, known, scopes, wake};
use super::wake::key;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};

/// A kind whose changes concern others.
pub trait Related: Managed {
    /// Wakes those whom a change, or the end (`gone`), of `self` concerns.
    fn wake_related(&self, gone: bool, stores: &Stores);
}

impl Related for IdentityFederation {
    /// Everybody who refers to it: its status holds what they need. And those that adopt the same application.
    fn wake_related(&self, _gone: bool, stores: &Stores) {
        let (namespace, name) = key(self);
        for rival in known(&stores.federations).filter(|f| f.uid() != self.uid() && adopts_the_same(f, self))
        {
            wake(&stores.federations, &rival.namespace().unwrap_or_default(), &rival.name_any());
        }
        for connection in known(&stores.connections).filter(|c| refers(c, &namespace, &name)) {
            wake(&stores.connections, &namespace, &connection.name_any());
        }
        for binding in known(&stores.bindings).filter(|b| binds(b, &namespace, &name)) {
            wake(&stores.bindings, &binding.namespace().unwrap_or_default(), &binding.name_any());
        }
    }
}

impl Related for ScimConnection {
    /// Bindings wait for provisioning cycles; a federation that is being deleted waits for the connection's end, and so
    /// may another connection of it.
    fn wake_related(&self, gone: bool, stores: &Stores) {
        let (namespace, federation) = (self.namespace().unwrap_or_default(), &self.spec.federation_ref.name);
        for binding in known(&stores.bindings).filter(|b| binds(b, &namespace, federation)) {
            wake(&stores.bindings, &binding.namespace().unwrap_or_default(), &binding.name_any());
        }
        let rivals = known(&stores.connections).filter(|c| gone && refers(c, &namespace, federation));
        for rival in rivals.filter(|c| c.uid() != self.uid()) {
            wake(&stores.connections, &namespace, &rival.name_any());
        }
        wake_if_deleting(stores, &namespace, federation);
    }
}

impl Related for PermissionSetBinding {
    /// A federation that is being deleted waits for the binding's end, and so may another binding that claims the
    /// same permission set, through whatever federation.
    fn wake_related(&self, gone: bool, stores: &Stores) {
        let own = self.namespace().unwrap_or_default();
        let reference = &self.spec.federation_ref;
        let namespace = reference.namespace.as_deref().unwrap_or(&own);
        wake_if_deleting(stores, namespace, &reference.name);
        if gone {
            let set = &self.spec.permission_set.name;
            let rivals = known(&stores.bindings)
                .filter(|b| b.spec.permission_set.name == *set && b.uid() != self.uid());
            for rival in rivals {
                wake(&stores.bindings, &rival.namespace().unwrap_or_default(), &rival.name_any());
            }
        }
    }
}

fn adopts_the_same(one: &IdentityFederation, other: &IdentityFederation) -> bool {
    let adopted =
        |f: &IdentityFederation| f.spec.entra.application.adopt.as_ref().map(|a| a.app_id.to_lowercase());
    adopted(one).is_some_and(|app_id| adopted(other) == Some(app_id))
}

fn refers(connection: &ScimConnection, namespace: &str, federation: &str) -> bool {
    connection.namespace().as_deref() == Some(namespace) && connection.spec.federation_ref.name == federation
}

fn binds(binding: &PermissionSetBinding, namespace: &str, federation: &str) -> bool {
    let reference = &binding.spec.federation_ref;
    let target = reference.namespace.clone().or_else(|| binding.namespace());
    reference.name == federation && target.as_deref() == Some(namespace)
}

fn wake_if_deleting(stores: &Stores, namespace: &str, federation: &str) {
    let deleting = known(&stores.federations).any(|f| {
        f.metadata.deletion_timestamp.is_some() && key(&*f) == (namespace.to_owned(), federation.to_owned())
    });
    if deleting {
        wake(&stores.federations, namespace, federation);
    }
}

/// Tells real changes from what a watch says again.
///
/// The first list wakes nobody, since everybody is looked at then anyway; a list that is read again after a broken
/// watch wakes only for what changed in between.
#[derive(Debug, Default)]
pub(super) struct Changes {
    versions: HashMap<(String, String), (Option<String>, Option<String>)>,
    listed: bool,
    /// Named by the list that is being read.
    named: HashSet<(String, String)>,
}

/// A real change.
pub(super) enum Change<'a, K> {
    /// The object is new or different.
    Changed(&'a K),
    /// The object is gone.
    Gone(&'a K),
}

impl Changes {
    /// What an event really says, if anything.
    pub fn of<'a, K: Resource>(&mut self, event: &'a watcher::Event<K>) -> Option<Change<'a, K>> {
        match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                let version = (object.meta().uid.clone(), object.meta().resource_version.clone());
                if matches!(event, watcher::Event::InitApply(_)) {
                    self.named.insert(key(object));
                }
                let known = self.versions.insert(key(object), version.clone());
                (self.listed && known != Some(version)).then_some(Change::Changed(object))
            }
            watcher::Event::Delete(object) => {
                self.versions.remove(&key(object));
                Some(Change::Gone(object))
            }
            watcher::Event::Init => {
                self.named.clear();
                None
            }
            watcher::Event::InitDone => {
                self.listed = true;
                // What went while nobody watched.
                let named = std::mem::take(&mut self.named);
                self.versions.retain(|key, _| named.contains(key));
                None
            }
        }
    }
}

/// Watches the metadata of ConfigMaps, and wakes federations that name one and owners of ours that somebody else
/// changed. Ends only with the process.
pub async fn watch_config_maps(client: Client, context: Arc<Context>, stores: Stores) {
    let watches = scopes(&context.settings).into_iter().map(|scope| {
        let maps = api::<PartialObjectMeta<ConfigMap>>(client.clone(), scope.as_deref());
        watch_scope(watcher(maps, watcher::Config::default()).default_backoff().boxed(), &context, &stores)
    });
    futures::future::join_all(watches).await;
}

async fn watch_scope(
    mut events: BoxStream<'_, watcher::Result<watcher::Event<PartialObjectMeta<ConfigMap>>>>,
    context: &Context,
    stores: &Stores,
) {
    let mut changes = Changes::default();
    while let Some(event) = events.next().await {
        match event.as_ref().map(|event| changes.of(event)) {
            Ok(Some(Change::Changed(map))) if !context.own_writes().is_own(map) => wake_users(map, stores),
            Ok(Some(Change::Gone(map))) => {
                context.own_writes().forget(map);
                wake_users(map, stores);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the watch on ConfigMaps broke; trying again"),
        }
    }
}

/// Whether a federation takes a metadata document from that ConfigMap.
fn reads(federation: &IdentityFederation, config_map: &str) -> bool {
    let external = federation.spec.entra.external.as_ref();
    federation.spec.aws.metadata_ref().name == config_map
        || external.is_some_and(|e| e.federation_metadata.config_map_key_ref.name == config_map)
}

fn wake_users(map: &PartialObjectMeta<ConfigMap>, stores: &Stores) {
    let (namespace, name) = key(map);
    for federation in known(&stores.federations).filter(|f| f.namespace().as_ref() == Some(&namespace)) {
        if reads(&federation, &name) {
            wake(&stores.federations, &namespace, &federation.name_any());
        }
    }
    let owner = map
        .owner_references()
        .iter()
        .find(|r| r.controller == Some(true) && r.api_version.split('/').next() == Some(crate::api::GROUP));
    if let Some(owner) = owner {
        match owner.kind.as_str() {
            IdentityFederation::KIND => wake(&stores.federations, &namespace, &owner.name),
            ScimConnection::KIND => wake(&stores.connections, &namespace, &owner.name),
            PermissionSetBinding::KIND => wake(&stores.bindings, &namespace, &owner.name),
            _ => {}
        }
    }
}
