use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a client must know to use a sandbox: the content of `sandbox.json`. Holds credentials that are worth
/// something in this sandbox only; `Debug` leaves them out all the same, since tests look for them in output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The running profile: `realistic` or `fast`.
    pub profile: String,
    /// Kubeconfig of a cluster administrator; absent without a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// A kubectl of the cluster's version; absent without a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubectl: Option<PathBuf>,
    /// PEM file that signs every HTTPS endpoint below.
    pub ca_file: PathBuf,
    /// AWS.
    pub aws: AwsEndpoint,
    /// The SCIM endpoint, once automatic provisioning is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scim: Option<ScimEndpoint>,
    /// Entra ID.
    pub entra: EntraEndpoint,
    /// The control API, plain HTTP.
    pub control: String,
}

/// How to reach AWS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsEndpoint {
    /// One URL for all services.
    pub endpoint: String,
    /// The Region to sign for.
    pub region: String,
    /// Access key of the world's first one.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The organization's management account.
    pub management_account_id: String,
    /// The instance, once Identity Center is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_arn: Option<String>,
    /// Its identity store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_store_id: Option<String>,
}

/// Where users and groups are pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScimEndpoint {
    /// With the tenant's path.
    pub endpoint: String,
}

/// How to reach Entra ID.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntraEndpoint {
    /// Microsoft Graph; `/v1.0` and `/beta` below it.
    pub graph: String,
    /// The sign-in host.
    pub authority: String,
    /// Directory (tenant) id.
    pub tenant_id: String,
    /// The world's first client.
    pub client_id: String,
    /// Its secret; empty when it only has federated credentials.
    pub client_secret: String,
}

impl Descriptor {
    /// The name of the file in a sandbox's folder.
    pub const FILE: &'static str = "sandbox.json";

    /// Reads the descriptor of the sandbox that runs in `dir`.
    ///
    /// # Errors
    /// When none runs there, or the file is not a descriptor.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(Self::FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| anyhow::anyhow!("{}: {error}; is a sandbox running there?", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Shell lines that point the AWS CLI, boto3, kubectl, curl and the operator at the sandbox.
    #[must_use]
    pub fn shell(&self) -> String {
        let ca = self.ca_file.display().to_string();
        let mut lines = vec![
            ("AWS_ENDPOINT_URL", self.aws.endpoint.clone()),
            ("AWS_REGION", self.aws.region.clone()),
            // boto3 and the AWS CLI know only this one.
            ("AWS_DEFAULT_REGION", self.aws.region.clone()),
            ("AWS_ACCESS_KEY_ID", self.aws.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.aws.secret_access_key.clone()),
            ("AWS_CA_BUNDLE", ca.clone()),
            ("SANDBOX_GRAPH", self.entra.graph.clone()),
            ("SANDBOX_AUTHORITY", self.entra.authority.clone()),
            ("SANDBOX_CA", ca.clone()),
            ("SANDBOX_CONTROL", self.control.clone()),
            ("SANDBOX_CLIENT_SECRET", self.entra.client_secret.clone()),
            // The operator's own settings: `causeway run` then means this world and no other.
            ("CAUSEWAY_GRAPH_URL", self.entra.graph.clone()),
            ("CAUSEWAY_AUTHORITY_URL", self.entra.authority.clone()),
            ("CAUSEWAY_SCIM_HOSTS", self.aws.endpoint.trim_start_matches("https://").to_owned()),
            ("CAUSEWAY_CA_FILE", ca),
        ];
        if let Some(kubeconfig) = &self.kubeconfig {
            lines.push(("KUBECONFIG", kubeconfig.display().to_string()));
        }
        let quoted = |value: &str| format!("'{}'", value.replace('\'', r"'\''"));
        let mut text: String =
            lines.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        if let Some(folder) = self.kubectl.as_deref().and_then(Path::parent) {
            text.push_str(&format!("export PATH={}:\"$PATH\"\n", quoted(&folder.display().to_string())));
        }
        text
    }
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descriptor")
            .field("profile", &self.profile)
            .field("kubeconfig", &self.kubeconfig)
            .field("ca_file", &self.ca_file)
            .field("aws", &self.aws)
            .field("scim", &self.scim)
            .field("entra", &self.entra)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AwsEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsEndpoint")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("management_account_id", &self.management_account_id)
            .field("instance_arn", &self.instance_arn)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EntraEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntraEndpoint")
            .field("graph", &self.graph)
            .field("authority", &self.authority)
            .field("tenant_id", &self.tenant_id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
