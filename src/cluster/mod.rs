//! The API server: clients that report every request, one for watches and one for everything else.

mod observed;
pub mod rights;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::clients::CallObserver;

/// An answer that takes longer never comes.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The API server ends each watch before that; silence beyond it is a dead connection.
const WATCH_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the API server.
///
/// # Errors
/// No usable kubeconfig and no service account.
pub async fn config(kubeconfig: Option<&Path>) -> Result<Config, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            let clusters = || kubeconfig.clusters.iter().filter_map(|c| c.cluster.as_ref());
            let by_proxy = clusters().any(|cluster| cluster.proxy_url.is_some());
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            if !by_proxy {
                // The environment's is for the clouds; a Pod does not use it for the API server either.
                config.proxy_url = None;
            }
            config
        }
        None => Config::infer().await?,
    })
}

/// A client for everything but watches.
///
/// Nothing is repeated in here: kube's own policy would go on silently for a quarter of an hour, while a failed
/// reconcile comes back after a second.
///
/// # Errors
/// Certificates or keys that cannot be used.
pub fn calls(config: &Config, observer: &Arc<dyn CallObserver>) -> kube::Result<Client> {
    Ok(observed::observed(short(config)?, CALL_TIMEOUT, Arc::clone(observer)))
}

/// A client for watches, and for the lists that they begin with.
///
/// # Errors
/// Certificates or keys that cannot be used.
pub fn watches(config: &Config, observer: &Arc<dyn CallObserver>) -> kube::Result<Client> {
    let mut long = config.clone();
    long.connect_timeout = Some(CONNECT_TIMEOUT);
    long.read_timeout = Some(WATCH_TIMEOUT);
    long.default_retry = false;
    let long = Client::try_from(long)?;
    Ok(observed::observed_watches(long, short(config)?, CALL_TIMEOUT, Arc::clone(observer)))
}

/// A client whose calls are over soon.
fn short(config: &Config) -> kube::Result<Client> {
    let mut config = config.clone();
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(CALL_TIMEOUT);
    config.write_timeout = Some(CALL_TIMEOUT);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    Client::try_from(config)
}
