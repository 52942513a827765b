use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};
use crate::controllers::Managed;
use crate::controllers::context::Context;

const PAUSE: Duration = Duration::from_secs(1);

/// Waits until the API server serves our kinds, as far as this operator may see them. Needs no right on CRDs.
pub(super) async fn served(context: &Context) {
    let namespace = context.settings.namespaces.first().map(String::as_str);
    wait::<IdentityFederation>(&context.kube, namespace).await;
    wait::<ScimConnection>(&context.kube, namespace).await;
    wait::<PermissionSetBinding>(&context.kube, namespace).await;
}

async fn wait<K: Managed>(client: &Client, namespace: Option<&str>) {
    let api = match namespace {
        Some(namespace) => Api::<K>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut told = String::new();
    // Metadata only: a resource that cannot be read is no reason not to start.
    while let Err(error) = api.list_metadata(&ListParams::default().limit(1)).await {
        let message = error.to_string();
        if message != told {
            tracing::warn!(
                kind = K::KIND,
                error = message,
                "the API server does not serve this kind; waiting"
            );
            told = message;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
