use std::sync::Arc;

use super::access::Clouds;
use crate::clock::Clock;
use crate::problem::Problem;
use crate::secret::Sensitive;
use crate::settings::Settings;

/// What every reconcile has at hand.
pub struct Context {
    /// The API server; short retries and a read timeout.
    pub kube: kube::Client,
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// The time.
    pub clock: Clock,
    /// The clients of both clouds; reached through [`Context::graph`] and [`Context::aws`].
    pub clouds: Clouds,
}

impl Context {
    /// The owner mark of a resource: `<installationId>/<namespace>/<name>`.
    #[must_use]
    pub fn owner_mark(&self, namespace: &str, name: &str) -> String {
        format!("{}/{namespace}/{name}", self.settings.installation_id)
    }

    /// One key of a Secret, read anew.
    ///
    /// # Errors
    /// `SecretNotFound` (class Blocked) naming Secret and key; API server trouble.
    pub async fn secret_value(&self, namespace: &str, name: &str, key: &str) -> Result<Sensitive, Problem> {
        let _ = (namespace, name, key);
        todo!()
    }

    /// One key of a ConfigMap, read anew.
    ///
    /// # Errors
    /// `ConfigMapNotFound` (class Blocked) naming ConfigMap and key; API server trouble.
    pub async fn config_map_value(&self, namespace: &str, name: &str, key: &str) -> Result<String, Problem> {
        let _ = (namespace, name, key);
        todo!()
    }
}
