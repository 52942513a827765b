use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};

use super::access::Clouds;
use super::stores::Stores;
use super::{Managed, secrets};
use crate::clients::CallObserver;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::problem::{Class, Problem};
use crate::secret::Sensitive;
use crate::settings::Settings;
use crate::status::Reason;
use crate::telemetry::Metrics;

/// The field manager of everything that is written with server-side apply.
pub const FIELD_MANAGER: &str = "causeway";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Whether an object carries the label of what this operator writes.
pub fn is_written_by_us<K: ResourceExt>(object: &K) -> bool {
    object.labels().get(MANAGED_BY).is_some_and(|m| m == FIELD_MANAGER)
}

/// What every reconcile has at hand.
pub struct Context {
    /// The API server; a read timeout, no hidden retries.
    pub kube: kube::Client,
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// The time.
    pub clock: Clock,
    /// Sees every remote call, and holds back those that may not be made any more.
    pub observer: Arc<dyn CallObserver>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The clients of both clouds; reached through [`Context::graph`] and [`Context::aws`].
    pub clouds: Clouds,
    /// What is shared by everything that works on one Identity Center instance.
    pub engine: Engine,
    own_writes: OwnWrites,
    stores: OnceLock<Stores>,
}

impl Context {
    /// Everything a reconcile needs, for one operator.
    #[must_use]
    pub fn new(
        kube: kube::Client,
        settings: Arc<Settings>,
        clock: Clock,
        clouds: Clouds,
        observer: Arc<dyn CallObserver>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let engine = Engine::new(&settings, clock.clone());
        Self {
            kube,
            settings,
            clock,
            clouds,
            observer,
            metrics,
            engine,
            own_writes: OwnWrites::default(),
            stores: OnceLock::new(),
        }
    }

    /// What the watches tell is at hand from now on.
    pub fn knows(&self, stores: &Stores) {
        self.stores.get_or_init(|| stores.clone());
    }

    /// What the watches told, where somebody watches. It may be a moment behind the API server.
    pub(super) fn stores(&self) -> Option<&Stores> {
        self.stores.get()
    }

    /// The owner mark of a resource: `<installationId>/<namespace>/<name>`.
    #[must_use]
    pub fn owner_mark(&self, namespace: &str, name: &str) -> String {
        format!("{}/{namespace}/{name}", self.settings.installation_id)
    }

    /// One key of a Secret, read anew. A line break at the end is nobody's intention and is left out. `field` is where the
    /// spec says which key.
    ///
    /// # Errors
    /// `SecretNotFound` (class Blocked) naming Secret and key; API server trouble.
    pub async fn secret_value(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        field: &str,
    ) -> Result<Sensitive, Problem> {
        let secret = secrets::read(&self.kube, namespace, name).await?;
        let secret = secret.ok_or_else(|| secrets::missing(namespace, name, &[key]))?;
        let value = secret.data.as_ref().and_then(|data| data.get(key));
        let text = value.and_then(|value| std::str::from_utf8(&value.0).ok()).unwrap_or_default();
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(secrets::without(namespace, name, &secret, &[key], Some(field))),
            value => Ok(Sensitive::new(value)),
        }
    }

    /// One key of a ConfigMap, read anew.
    ///
    /// # Errors
    /// `ConfigMapNotFound` (class Blocked) naming ConfigMap and key; API server trouble.
    pub async fn config_map_value(&self, namespace: &str, name: &str, key: &str) -> Result<String, Problem> {
        let missing = |what: String| Problem::new(Class::Blocked, Reason::ConfigMapNotFound, what);
        let mut map = self
            .config_map(namespace, name)
            .await?
            .ok_or_else(|| missing(format!("ConfigMap {name} does not exist in namespace {namespace}")))?;
        if let Some(text) = map.data.as_mut().and_then(|d| d.remove(key)) {
            return Ok(text);
        }
        // Files that are no UTF-8, as `kubectl create configmap --from-file` saw them, land here.
        let bytes = map.binary_data.as_ref().and_then(|d| d.get(key));
        bytes.and_then(|b| String::from_utf8(b.0.clone()).ok()).ok_or_else(|| {
            let keys = secrets::keys_of_config_map(&map);
            missing(format!(
                "ConfigMap {name} in namespace {namespace} has no text under the key {key} ({keys})"
            ))
        })
    }

    /// A whole ConfigMap, read anew.
    ///
    /// # Errors
    /// API server trouble.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, Problem> {
        Ok(Api::<ConfigMap>::namespaced(self.kube.clone(), namespace).get_opt(name).await?)
    }

    /// Brings a ConfigMap that `owner` owns to exactly this data and says whether that took a write. It goes with
    /// its owner.
    ///
    /// # Errors
    /// `OwnedByOther` (class Blocked) when a ConfigMap of that name belongs to somebody else; class Conflict when it
    /// changed in between; API server trouble.
    pub async fn apply_config_map<K: Managed>(
        &self,
        owner: &K,
        name: &str,
        data: BTreeMap<String, String>,
    ) -> Result<bool, Problem> {
        let namespace = owner.namespace().unwrap_or_default();
        let reference = owner.controller_owner_ref(&()).ok_or_else(|| {
            Problem::new(
                Class::Transient,
                Reason::InternalError,
                "an owner that was never stored owns nothing",
            )
        })?;
        let old = self.config_map(&namespace, name).await?;
        if let Some(old) = &old {
            let controller = old.owner_references().iter().find(|r| r.controller == Some(true));
            let ours = is_written_by_us(old);
            match controller {
                Some(c) if c.uid == reference.uid => {
                    if ours && old.data.clone().unwrap_or_default() == data {
                        return Ok(false);
                    }
                }
                // Restored from a backup without its owner.
                None if ours => {}
                // Left by a predecessor of that name, and not collected yet.
                Some(c) if ours && c.kind == reference.kind && c.name == reference.name => {}
                _ => {
                    let message = format!(
                        "ConfigMap {name} in namespace {namespace} exists and is not this resource's; delete or rename it"
                    );
                    return Err(Problem::new(Class::Blocked, Reason::OwnedByOther, message));
                }
            }
        }
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.clone()),
                labels: Some([(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned())].into()),
                owner_references: Some(vec![reference]),
                resource_version: old.and_then(|m| m.metadata.resource_version),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api = Api::<ConfigMap>::namespaced(self.kube.clone(), &namespace);
        let written = api.patch(name, &params, &Patch::Apply(&map)).await?;
        self.own_writes.note(&namespace, name, written.metadata.resource_version);
        Ok(true)
    }

    /// What this operator wrote itself, so that it need not wake anybody.
    pub(super) fn own_writes(&self) -> &OwnWrites {
        &self.own_writes
    }
}

/// The resource version that was written last, of each ConfigMap of ours.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(Mutex<HashMap<(String, String), String>>);

impl OwnWrites {
    fn note(&self, namespace: &str, name: &str, version: Option<String>) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        versions.extend(version.map(|v| (key, v)));
    }

    /// Whether the ConfigMap as it is came from us.
    pub fn is_own<K: Resource>(&self, map: &K) -> bool {
        let versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key =
            (map.meta().namespace.clone().unwrap_or_default(), map.meta().name.clone().unwrap_or_default());
        versions.get(&key).is_some_and(|v| map.meta().resource_version.as_deref() == Some(v))
    }

    /// Forgets a ConfigMap that is gone.
    pub fn forget<K: Resource>(&self, map: &K) {
        let key =
            (map.meta().namespace.clone().unwrap_or_default(), map.meta().name.clone().unwrap_or_default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
