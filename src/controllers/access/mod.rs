//! Access to the two clouds with the credentials that a federation names (design rule 5).

mod choice;
mod kept;
mod named;
mod service_account;

use std::sync::Arc;

use kube::ResourceExt;

use self::choice::{AwsWay, EntraWay, session_name};
use self::kept::{Kept, digest};
pub(super) use self::named::named;
use self::service_account::{AccountTokens, STS_AUDIENCE};
use super::context::Context;
use super::secrets;
use crate::api::v1alpha1::IdentityFederation;
use crate::clients::CallObserver;
use crate::clients::aws::{AccessKey, AwsClients, Connection, Login, Rates, Role, Source};
use crate::clients::entra::{Graph, GraphOptions, Identity, Proof};
use crate::clients::http::{HttpOptions, HttpSetupError, client};
use crate::clients::identity_token::{IdentityTokens, TokenFile};
use crate::problem::{Class, Problem};
use crate::secret::Sensitive;
use crate::settings::Settings;
use crate::status::Reason;

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
    accounts: Kept<Arc<AccountTokens>>,
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
        Ok(Self {
            settings,
            observer,
            client,
            connection,
            graphs: Kept::default(),
            aws: Kept::default(),
            accounts: Kept::default(),
        })
    }

    /// Graph for an application. `tells_apart`: what makes its proof another one.
    fn graph(&self, identity: Identity, tells_apart: &[&str], holder: &str) -> Result<Graph, Problem> {
        let key = digest(&[&[&*identity.tenant_id, &identity.client_id], tells_apart].concat());
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

    /// AWS for a way to sign in. `account`: whose tokens it shows, if it shows any.
    async fn aws(&self, region: &str, login: Login, account: &str, holder: &str) -> AwsClients {
        let mut parts = vec![region];
        match &login.source {
            Source::Ambient => parts.push("ambient"),
            Source::Key(AccessKey { id, secret, session_token }) => {
                let token = session_token.as_ref().map_or("", Sensitive::expose);
                parts.extend(["key", id, secret.expose(), token]);
            }
            Source::WebIdentity(role, _) => parts.extend(["token", account, &role.arn, &role.session_name]),
        }
        if let Some(Role { arn, session_name, external_id }) = &login.role {
            parts.extend(["role", arn, session_name]);
            parts.extend(external_id.as_deref());
        }
        let key = digest(&parts);
        if let Some(aws) = self.aws.get(&key, holder) {
            return aws;
        }
        let limits = &self.settings.limits;
        let rates = Rates {
            sso_admin: limits.sso_admin_per_second,
            identity_store: limits.identity_store_per_second,
        };
        let connection = self.connection.with_budget(rates);
        let endpoint = self.settings.endpoints.aws.as_ref();
        // Boxed: the SDK's loader makes for a large future, which every reconcile would carry.
        let aws = Box::pin(AwsClients::new(region, login, endpoint, connection)).await;
        self.aws.keep(key, holder, aws)
    }
}

impl Context {
    /// Microsoft Graph (and the sign-in host) with the federation's credentials. Cached; Secrets are read anew, and
    /// changed credentials take effect at once. While the federation is being deleted, those that it used last serve
    /// when they are gone already (design rule 9).
    ///
    /// # Errors
    /// `CredentialsNotAllowed` for credentials that the namespace may not use; a missing Secret or ServiceAccount.
    pub async fn graph(&self, federation: &IdentityFederation) -> Result<Graph, Problem> {
        let holder = holder(federation);
        match self.graph_now(federation, &holder).await {
            Ok(graph) => Ok(graph),
            Err(problem) => held(federation, problem, || self.clouds.graphs.last_of(&holder)),
        }
    }

    async fn graph_now(&self, federation: &IdentityFederation, holder: &str) -> Result<Graph, Problem> {
        let (spec, namespace) = (&federation.spec.entra, namespace(federation));
        if spec.external.is_some() {
            return Err(other_partys("spec.entra.external", "Entra"));
        }
        let identity = |client_id: &str, proof: Proof| Identity {
            tenant_id: spec.tenant_id.clone(),
            client_id: client_id.to_owned(),
            proof,
        };
        match choice::entra(&spec.credentials, &namespace, &self.settings)? {
            EntraWay::Secret(credentials) => {
                let reference = &credentials.secret_ref;
                let field = "spec.entra.credentials.clientSecret.secretRef.key";
                let secret = self.secret_value(&namespace, &reference.name, &reference.key, field).await?;
                let identity = identity(&credentials.client_id, Proof::Secret(secret.clone()));
                self.clouds.graph(identity, &["secret", secret.expose()], holder)
            }
            EntraWay::ServiceAccount(account) => {
                let audience = &self.settings.entra_audience;
                let tokens = self.account_tokens(&namespace, &account.name, audience, holder).await?;
                let identity = identity(&account.client_id, Proof::Token(tokens));
                self.clouds.graph(identity, &["account", &namespace, &account.name], holder)
            }
            EntraWay::Own(own) => {
                let file = TokenFile(own.token_file.clone());
                file.token().await.map_err(|error| Problem::from_cloud(error, "sign in to Entra"))?;
                let identity = identity(&own.client_id, Proof::Token(Arc::new(file)));
                self.clouds.graph(identity, &["ambient"], holder)
            }
        }
    }

    /// AWS with the federation's credentials, in the federation's Region. Cached likewise.
    ///
    /// # Errors
    /// `CredentialsNotAllowed` for credentials or a role that the namespace may not use; a missing Secret or
    /// ServiceAccount.
    pub async fn aws(&self, federation: &IdentityFederation) -> Result<AwsClients, Problem> {
        let holder = holder(federation);
        match self.aws_now(federation, &holder).await {
            Ok(aws) => Ok(aws),
            Err(problem) => held(federation, problem, || self.clouds.aws.last_of(&holder)),
        }
    }

    async fn aws_now(&self, federation: &IdentityFederation, holder: &str) -> Result<AwsClients, Problem> {
        let (spec, namespace) = (&federation.spec.aws, namespace(federation));
        if spec.external.is_some() {
            return Err(other_partys("spec.aws.external", "AWS"));
        }
        let (way, role) = choice::aws(&spec.credentials, &namespace, &self.settings)?;
        let name = session_name(&self.settings.installation_id, &namespace, &federation.name_any());
        let role_of = |arn: &str, external_id: Option<&String>| Role {
            arn: arn.to_owned(),
            session_name: name.clone(),
            external_id: external_id.cloned(),
        };
        let (source, account) = match way {
            AwsWay::Own => (Source::Ambient, String::new()),
            AwsWay::Secret(secret) => {
                (Source::Key(self.access_key(&namespace, secret).await?), String::new())
            }
            AwsWay::ServiceAccount(account) => {
                let tokens = self.account_tokens(&namespace, &account.name, STS_AUDIENCE, holder).await?;
                let role = role_of(&account.role_arn, None);
                (Source::WebIdentity(role, tokens), format!("{namespace}/{}", account.name))
            }
        };
        let role = role.map(|role| role_of(&role.role_arn, role.external_id.as_ref()));
        Ok(self.clouds.aws(&spec.region, Login { source, role }, &account, holder).await)
    }

    /// The tokens of a ServiceAccount, with one in hand: what is missing shows before anything else is tried.
    async fn account_tokens(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        holder: &str,
    ) -> Result<Arc<AccountTokens>, Problem> {
        let (accounts, key) = (&self.clouds.accounts, digest(&[namespace, name, audience]));
        let tokens = accounts.get(&key, holder).unwrap_or_else(|| {
            let new = Arc::new(AccountTokens::new(self.kube.clone(), namespace, name, audience));
            accounts.keep(key, holder, new)
        });
        match tokens.token().await {
            Ok(_) => Ok(tokens),
            Err(error) => Err(Problem::from_cloud(error, &format!("get a token of ServiceAccount {name}"))),
        }
    }

    /// An access key, all its parts from one reading: a mix of an old and a new key would be refused.
    async fn access_key(&self, namespace: &str, name: &str) -> Result<AccessKey, Problem> {
        let secret = secrets::read(&self.kube, namespace, name).await?;
        let both = [ACCESS_KEY_ID, SECRET_ACCESS_KEY];
        let secret = secret.ok_or_else(|| secrets::missing(namespace, name, &both))?;
        let value = |key: &str| {
            let bytes = &secret.data.as_ref()?.get(key)?.0;
            let text = std::str::from_utf8(bytes).ok()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        match (value(ACCESS_KEY_ID), value(SECRET_ACCESS_KEY)) {
            (Some(id), Some(key)) => Ok(AccessKey {
                id,
                secret: Sensitive::new(key),
                session_token: value(SESSION_TOKEN).map(Sensitive::new),
            }),
            _ => {
                let lacking: Vec<&str> = both.into_iter().filter(|key| value(key).is_none()).collect();
                Err(secrets::without(namespace, name, &secret, &lacking, None))
            }
        }
    }
}

/// Nothing is called on a side that another party looks after, whoever asks.
fn other_partys(field: &str, side: &str) -> Problem {
    let message =
        format!("another party looks after {side} ({field} of the federation): nothing is called there");
    Problem::new(Class::Invalid, Reason::ManagedByOtherParty, message)
}

fn namespace(federation: &IdentityFederation) -> String {
    federation.namespace().unwrap_or_default()
}

/// Who uses a client: another federation of the same name is another holder.
fn holder(federation: &IdentityFederation) -> String {
    federation.uid().unwrap_or_default()
}

/// The client that a federation used last, if it is being deleted and what its credentials name is gone, or may not be
/// asked for any more: a namespace that is being deleted issues no tokens, and the right to read its Secrets may have
/// gone before them.
fn held<T>(
    federation: &IdentityFederation,
    problem: Problem,
    last: impl FnOnce() -> Option<T>,
) -> Result<T, Problem> {
    let deleting = federation.metadata.deletion_timestamp.is_some();
    let gone = matches!(
        problem.reason,
        Reason::SecretNotFound | Reason::ServiceAccountNotFound | Reason::PermissionDenied
    )
        // Of the cluster, not of our own settings: those are a decision.
        || (problem.reason == Reason::CredentialsNotAllowed && problem.class == Class::Denied);
    match last() {
        Some(client) if deleting && gone => Ok(client),
        _ => Err(problem),
    }
}
