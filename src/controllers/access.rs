//! Access to the two clouds with the credentials that a federation names (design rule 5).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sha2::{Digest, Sha256};

use super::context::Context;
use crate::api::v1alpha1::IdentityFederation;
use crate::clients::CallObserver;
use crate::clients::aws::{AccessKey, AwsClients, Connection, Rates};
use crate::clients::entra::{ClientSecret, Graph, GraphOptions};
use crate::clients::http::{HttpOptions, HttpSetupError, client};
use crate::problem::{Class, Problem};
use crate::secret::Sensitive;
use crate::settings::Settings;
use crate::status::Reason;

/// Most clients of one kind that are kept.
const MAX_KEPT: usize = 128;
/// Keys of a Secret with an AWS access key.
const ACCESS_KEY_ID: &str = "accessKeyId";
const SECRET_ACCESS_KEY: &str = "secretAccessKey";
const SESSION_TOKEN: &str = "sessionToken";

/// The clients of both clouds, kept for each identity.
#[derive(Debug)]
pub struct Clouds {
    settings: Arc<Settings>,
    observer: Arc<dyn CallObserver>,
    client: reqwest::Client,
    connection: Connection,
    graphs: Kept<Graph>,
    aws: Kept<AwsClients>,
}

impl Clouds {
    /// Everything that can be made before a resource names its credentials.
    ///
    /// # Errors
    /// `settings.endpoints.ca_pem` holds something that is no certificate, or there are no roots of trust at all.
    pub fn new(settings: Arc<Settings>, observer: Arc<dyn CallObserver>) -> Result<Self, HttpSetupError> {
        let options = HttpOptions::within(settings.timing.reconcile, settings.endpoints.ca_pem.clone());
        let client = client(&options)?;
        let connection = Connection::new(options, Rates::default(), observer.clone())?;
        Ok(Self { settings, observer, client, connection, graphs: Kept::default(), aws: Kept::default() })
    }

    /// Graph for an application that signs in with a secret.
    fn graph(&self, identity: ClientSecret, holder: &str) -> Result<Graph, Problem> {
        let key = digest(&[&identity.tenant_id, &identity.client_id, identity.secret.expose()]);
        if let Some(graph) = self.graphs.get(&key, holder) {
            return Ok(graph);
        }
        let options = GraphOptions {
            graph: self.settings.endpoints.graph.clone(),
            authority: self.settings.endpoints.authority.clone(),
            total: self.connection.options().total,
        };
        let graph =
            Graph::new(options, identity, self.client.clone(), self.observer.clone()).map_err(|error| {
                let message = format!("spec.entra.credentials cannot be used: {error}");
                Problem::new(Class::Invalid, Reason::InvalidSpec, message).because(error)
            })?;
        Ok(self.graphs.keep(key, holder, graph))
    }

    /// AWS with an access key, or with the operator's own credentials.
    async fn aws(&self, region: &str, access_key: Option<AccessKey>, holder: &str) -> AwsClients {
        let key = match &access_key {
            Some(AccessKey { id, secret, session_token }) => {
                let token = session_token.as_ref().map_or("", Sensitive::expose);
                digest(&[region, id, secret.expose(), token])
            }
            None => digest(&[region]),
        };
        if let Some(aws) = self.aws.get(&key, holder) {
            return aws;
        }
        let limits = &self.settings.limits;
        let rates = Rates {
            sso_admin: limits.sso_admin_per_second,
            identity_store: limits.identity_store_per_second,
        };
        let connection = self.connection.with_budget(rates);
        let aws = AwsClients::new(region, access_key, self.settings.endpoints.aws.as_ref(), connection).await;
        self.aws.keep(key, holder, aws)
    }
}

impl Context {
    /// Microsoft Graph (and the sign-in host) with the federation's credentials. Cached; the Secret is read anew
    /// and a changed one takes effect at once. While the federation is being deleted, the credentials that it used
    /// last serve when the Secret is gone already (design rule 9).
    ///
    /// # Errors
    /// A missing Secret.
    pub async fn graph(&self, federation: &IdentityFederation) -> Result<Graph, Problem> {
        let credentials = &federation.spec.entra.credentials.client_secret;
        let (namespace, holder) = (namespace(federation), holder(federation));
        let secret = &credentials.secret_ref;
        match self.secret_value(&namespace, &secret.name, &secret.key).await {
            Ok(value) => {
                let identity = ClientSecret {
                    tenant_id: federation.spec.entra.tenant_id.clone(),
                    client_id: credentials.client_id.clone(),
                    secret: value,
                };
                self.clouds.graph(identity, &holder)
            }
            Err(problem) => held(federation, problem, || self.clouds.graphs.last_of(&holder)),
        }
    }

    /// AWS with the federation's credentials, in the federation's Region. Cached likewise.
    ///
    /// # Errors
    /// `CredentialsNotAllowed` for ambient credentials from an unlisted namespace; a missing Secret.
    pub async fn aws(&self, federation: &IdentityFederation) -> Result<AwsClients, Problem> {
        let (region, credentials) = (&federation.spec.aws.region, &federation.spec.aws.credentials);
        let (namespace, holder) = (namespace(federation), holder(federation));
        match (&credentials.ambient, &credentials.secret_ref) {
            (Some(_), None) => {
                may_use_ambient(&self.settings, &namespace)?;
                Ok(self.clouds.aws(region, None, &holder).await)
            }
            (None, Some(reference)) => match self.access_key(&namespace, &reference.name).await {
                Ok(key) => Ok(self.clouds.aws(region, Some(key), &holder).await),
                Err(problem) => held(federation, problem, || self.clouds.aws.last_of(&holder)),
            },
            // The schema refuses it; a resource from before that rule must not fall through to somebody's credentials.
            _ => {
                let message = "spec.aws.credentials must name exactly one of: ambient, secretRef";
                Err(Problem::new(Class::Invalid, Reason::InvalidSpec, message))
            }
        }
    }

    /// An access key, all its parts from one reading: a mix of an old and a new key would be refused.
    async fn access_key(&self, namespace: &str, name: &str) -> Result<AccessKey, Problem> {
        let missing = |what: String| Problem::new(Class::Blocked, Reason::SecretNotFound, what);
        let secret =
            Api::<Secret>::namespaced(self.kube.clone(), namespace).get_opt(name).await?.ok_or_else(
                || missing(format!("Secret {name} does not exist in namespace {namespace}; create it")),
            )?;
        let value = |key: &str| {
            let bytes = &secret.data.as_ref()?.get(key)?.0;
            let text = std::str::from_utf8(bytes).ok()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let required = |key: &str| {
            value(key).ok_or_else(|| {
                missing(format!(
                    "Secret {name} in namespace {namespace} has no key `{key}` with text; add it"
                ))
            })
        };
        Ok(AccessKey {
            id: required(ACCESS_KEY_ID)?,
            secret: Sensitive::new(required(SECRET_ACCESS_KEY)?),
            session_token: value(SESSION_TOKEN).map(Sensitive::new),
        })
    }
}

fn namespace(federation: &IdentityFederation) -> String {
    federation.namespace().unwrap_or_default()
}

/// Who uses a client: another federation of the same name is another holder.
fn holder(federation: &IdentityFederation) -> String {
    federation.uid().unwrap_or_default()
}

/// The client that a federation used last, if it is being deleted and its Secret is gone.
fn held<T>(
    federation: &IdentityFederation,
    problem: Problem,
    last: impl FnOnce() -> Option<T>,
) -> Result<T, Problem> {
    let deleting = federation.metadata.deletion_timestamp.is_some();
    match last() {
        Some(client) if deleting && problem.reason == Reason::SecretNotFound => Ok(client),
        _ => Err(problem),
    }
}

fn may_use_ambient(settings: &Settings, namespace: &str) -> Result<(), Problem> {
    if settings.ambient_namespaces.contains(namespace) {
        return Ok(());
    }
    let message = format!(
        "resources of namespace {namespace} may not use the operator's own AWS credentials: name a Secret in \
         spec.aws.credentials.secretRef, or add the namespace to the operator's setting --ambient-namespaces"
    );
    Err(Problem::new(Class::Invalid, Reason::CredentialsNotAllowed, message))
}

/// Tells identities apart without keeping their secrets.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Clients by identity, those used last at the end; the oldest go first.
#[derive(Debug)]
struct Kept<T>(Mutex<VecDeque<Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    key: [u8; 32],
    /// Who used it last of all.
    holders: VecDeque<String>,
    client: T,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    fn get(&self, key: &[u8; 32], holder: &str) -> Option<T> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|entry| entry.key == *key)?;
        let mut entry = entries.remove(at)?;
        entry.note(holder);
        let client = entry.client.clone();
        entries.push_back(entry);
        Some(client)
    }

    /// Keeps a new client. If somebody else was faster, theirs is used: its budget and its token are in use already.
    fn keep(&self, key: [u8; 32], holder: &str, client: T) -> T {
        if let Some(faster) = self.get(&key, holder) {
            return faster;
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while entries.len() >= MAX_KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry {
            key,
            holders: VecDeque::from([holder.to_owned()]),
            client: client.clone(),
        });
        client
    }

    /// The client that a holder used last.
    fn last_of(&self, holder: &str) -> Option<T> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().rev().find(|entry| entry.holders.iter().any(|known| known == holder))?;
        Some(entry.client.clone())
    }
}

impl<T> Entry<T> {
    fn note(&mut self, holder: &str) {
        self.holders.retain(|known| known != holder);
        while self.holders.len() >= MAX_KEPT {
            self.holders.pop_front();
        }
        self.holders.push_back(holder.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_told_apart_and_the_oldest_go() {
        let kept = Kept::default();
        assert_eq!(kept.keep(digest(&["a", "b"]), "one", 1), 1);
        assert_eq!(kept.keep(digest(&["a", "b"]), "two", 9), 1, "who is faster wins");
        assert_eq!(kept.get(&digest(&["ab", ""]), "one"), None);
        assert_eq!(
            (kept.last_of("one"), kept.last_of("two"), kept.last_of("three")),
            (Some(1), Some(1), None)
        );
        for number in 0..MAX_KEPT {
            kept.get(&digest(&["a", "b"]), "one");
            kept.keep(digest(&[&number.to_string()]), "three", number);
        }
        assert_eq!(kept.get(&digest(&["a", "b"]), "one"), Some(1), "what is in use stays");
        assert_eq!(kept.get(&digest(&["0"]), "three"), None);
    }

    #[test]
    fn a_holder_gets_what_it_used_last() {
        let kept = Kept::default();
        kept.keep(digest(&["old"]), "one", "old");
        kept.keep(digest(&["new"]), "one", "new");
        assert_eq!(kept.last_of("one"), Some("new"));
        kept.get(&digest(&["old"]), "two");
        assert_eq!(kept.last_of("two"), Some("old"));
    }
}
