use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::{SecretKeyRef, SecretRef};

/// How the operator signs in to Microsoft Graph: exactly one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.clientSecret), has(self.serviceAccount), has(self.ambient)].exists_one(way, way)").message("name exactly one of: clientSecret, serviceAccount, ambient"))]
#[serde(rename_all = "camelCase")]
pub struct EntraCredentials {
    /// A client secret in a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecret>,
    /// A token of a ServiceAccount of this namespace, which a federated credential of the app registration trusts: issuer is the cluster's, subject `system:serviceaccount:<namespace>:<name>`, audience `api://AzureADTokenExchange`. The operator must be allowed to create tokens of this ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<EntraServiceAccount>,
    /// The operator's own workload identity. It works only in namespaces that the operator's setting --ambient-namespaces lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Ambient>,
}

/// A client id and where its secret is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// Application (client) id of the app registration that the operator uses.
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')").message("clientId is the application (client) id of the app registration, like 11111111-2222-3333-4444-555555555555, not its name"))]
    pub client_id: String,
    /// Secret and key that hold the client secret's value.
    pub secret_ref: SecretKeyRef,
}

/// A ServiceAccount of the resource's own namespace, and the client id that trusts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntraServiceAccount {
    /// Name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')").message("serviceAccount.name is the name of a ServiceAccount of this namespace, like causeway"))]
    pub name: String,
    /// Application (client) id of the app registration whose federated credential names the ServiceAccount.
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')").message("clientId is the application (client) id of the app registration, like 11111111-2222-3333-4444-555555555555, not its name"))]
    pub client_id: String,
}

/// How the operator signs in to AWS: exactly one way, and perhaps a role that is assumed from there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.ambient), has(self.serviceAccount), has(self.secretRef)].exists_one(way, way)").message("name exactly one of: ambient, serviceAccount, secretRef"))]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentials {
    /// The operator's own credentials. They work only in namespaces that the operator's setting --ambient-namespaces lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Ambient>,
    /// A token of a ServiceAccount of this namespace, with which a role is assumed (AssumeRoleWithWebIdentity). The role's account must have the cluster as an OpenID Connect provider with the audience `sts.amazonaws.com`, and the role's trust policy must name the ServiceAccount. The operator must be allowed to create tokens of this ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<AwsServiceAccount>,
    /// A Secret of this namespace with the keys accessKeyId, secretAccessKey and, for temporary keys, sessionToken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// A role that is assumed with these credentials (AssumeRole). Its sessions are called `<installation id>@<namespace>.<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

/// A ServiceAccount of the resource's own namespace, and the role that trusts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsServiceAccount {
    /// Name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')").message("serviceAccount.name is the name of a ServiceAccount of this namespace, like causeway"))]
    pub name: String,
    /// The role. The operator's setting --allowed-roles must list it for this namespace.
    #[schemars(
        length(max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}$")
    )]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}$')").message("roleArn is the ARN of an IAM role, like arn:aws:iam::111122223333:role/causeway, not its name"))]
    pub role_arn: String,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// The role. The operator's setting --allowed-roles must list it for this namespace.
    #[schemars(
        length(max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}$")
    )]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}$')").message("roleArn is the ARN of an IAM role, like arn:aws:iam::111122223333:role/causeway, not its name"))]
    pub role_arn: String,
    /// What the role's trust policy asks for in its condition sts:ExternalId, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[A-Za-z0-9_+=,.@:/-]+$"))]
    pub external_id: Option<String>,
}

/// The operator's own identity; there is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Ambient {}
