use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsCredentials, AwsExternal, BindingRules, EntraCredentials, EntraExternal, Exchange};
use crate::api::{ConfigMapKeyRef, DeletionPolicy, Handoff, Mode, PlanSummary, Principal, schema};

/// The trust between one Entra tenant and one AWS IAM Identity Center instance.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "IdentityFederation",
    namespaced,
    status = "IdentityFederationStatus",
    category = "causeway",
    shortname = "idf",
    derive = "PartialEq",
    doc = "The trust between one Entra tenant and one AWS IAM Identity Center instance: the enterprise application, its SAML settings, signing certificate and assignments, and what people must do in the AWS console.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Application", type_ = "string", json_path = ".status.entra.appId"),
    printcolumn(
        name = "Trust",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="TrustEstablished")].reason"#
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name must be at most 63 characters"))]
#[x_kube(validation = Rule::new("!has(self.entra.external) || !has(self.aws.external)").message("entra.external and aws.external exclude each other: one side must be yours"))]
#[x_kube(validation = Rule::new("!has(self.entra.external) || self.deletionPolicy == 'Retain'").message("deletionPolicy Delete is for the enterprise application, which the other party looks after: leave it out with entra.external"))]
#[serde(rename_all = "camelCase")]
pub struct IdentityFederationSpec {
    /// Enforce carries the plan out; Observe only shows it in status, and so do the resources that refer to this federation. What was made in Enforce is not deleted in Observe: such a deletion waits and says so.
    #[serde(default)]
    pub mode: Mode,
    /// True: nothing is read or written in the clouds until it is false again; the ScimConnection and the bindings rest too, and the synchronization job goes on as it is. A deletion is carried out all the same.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to the enterprise application when this resource is deleted. Deleting it ends everybody's access to AWS at once.
    #[serde(default = "retain")]
    pub deletion_policy: DeletionPolicy,
    /// The Entra side.
    pub entra: Entra,
    /// The AWS side.
    pub aws: Aws,
    /// Which bindings may use this federation, and for what. Absent: those of this namespace, for anything but the management account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bindings: Option<BindingRules>,
}

fn retain() -> DeletionPolicy {
    DeletionPolicy::Retain
}

/// The Entra side of a federation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.external) != has(self.credentials)").message("entra names exactly one of: credentials, external"))]
#[x_kube(validation = Rule::new("has(self.external) != has(self.tenantId)").message("tenantId is needed with credentials, and has no place beside external"))]
#[x_kube(validation = Rule::new("!has(self.external) || !(has(self.application) || has(self.signingCertificate))").message("application and signingCertificate go with credentials: with external, the other party looks after them"))]
#[x_kube(validation = Rule::new("has(self.external) == has(oldSelf.external)").message("entra.external cannot be added or taken away: create another IdentityFederation"))]
#[serde(rename_all = "camelCase")]
pub struct Entra {
    /// Directory (tenant) id. Not with external.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')").message("tenantId is the directory (tenant) id in lower case, like 11111111-2222-3333-4444-555555555555, not a domain name"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("tenantId is immutable: to use another tenant, delete this IdentityFederation (with deletionPolicy Retain its application stays) and create it again"))]
    pub tenant_id: String,
    /// How the operator signs in to Microsoft Graph. Or external.
    #[serde(default, skip_serializing_if = "is_default")]
    pub credentials: EntraCredentials,
    /// Another party looks after Entra: nothing is called there. What it must be given, and what it must give, is in status.exchange. ScimConnections are created where that party's federation is; bindings name groups and people as the identity store does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<EntraExternal>,
    /// The enterprise application.
    #[serde(default, skip_serializing_if = "is_default")]
    pub application: Application,
    /// The SAML signing certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_certificate: Option<SigningCertificate>,
}

/// What is left out when it is written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The enterprise application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// The name people see in Entra and in My Apps.
    #[serde(default = "default_application_name")]
    #[schemars(length(min = 1, max = 120))]
    pub display_name: String,
    /// Adopt an existing application instead of instantiating the gallery template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Only assigned people may sign in.
    #[serde(default = "yes")]
    pub assignment_required: bool,
    /// Who may sign in, and who is in provisioning scope. Absent: assignments are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub assignments: Option<Vec<Principal>>,
    /// Additive leaves other people's assignments alone; Exclusive removes them.
    #[serde(default)]
    pub assignment_mode: AssignmentMode,
}

impl Default for Application {
    /// As the schema fills it in.
    fn default() -> Self {
        Self {
            display_name: default_application_name(),
            adopt: None,
            assignment_required: yes(),
            assignments: None,
            assignment_mode: AssignmentMode::default(),
        }
    }
}

fn default_application_name() -> String {
    "AWS IAM Identity Center".into()
}

fn yes() -> bool {
    true
}

/// An application that exists already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Its application (client) id.
    #[schemars(length(max = 253), regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')").message("adopt.appId is the application (client) id of the application, like 11111111-2222-3333-4444-555555555555, not its name"))]
    pub app_id: String,
}

/// What happens to assignments that the resource does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AssignmentMode {
    /// They stay.
    #[default]
    Additive,
    /// They are removed.
    Exclusive,
}

/// The SAML signing certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningCertificate {
    /// How long a new certificate is valid, at most three years: `26280h` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]{1,5}h$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,5}h$')").message("write lifetime in hours, like 26280h"))]
    #[x_kube(validation = Rule::new("!self.matches('^[0-9]{1,5}h$') || (duration(self) <= duration('26280h') && duration(self) >= duration('24h'))").message("lifetime must be between 24h and 26280h (three years)"))]
    pub lifetime: Option<String>,
    /// How long before its end a successor is created: `1440h` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]{1,5}h$"))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,5}h$')").message("write rotateBefore in hours, like 1440h"))]
    pub rotate_before: Option<String>,
    /// Who gets Entra's mail before the certificate ends. Absent: left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), inner(length(max = 256), regex(pattern = r"^[^@\s]+@[^@\s]+$")))]
    #[x_kube(validation = Rule::new("self.all(m, m.matches('^[^@ ]+@[^@ ]+$'))").message("notifyEmails holds mail addresses, like idp@acme.example"))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub notify_emails: Option<Vec<String>>,
}

/// The AWS side of a federation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.external) != has(self.credentials)").message("aws names exactly one of: credentials, external"))]
#[x_kube(validation = Rule::new("has(self.external) ? !has(self.region) && !has(self.identityCenter) : has(self.region) && has(self.identityCenter)").message("region and identityCenter are needed with credentials, and have no place beside external"))]
#[x_kube(validation = Rule::new("has(self.external) == has(oldSelf.external)").message("aws.external cannot be added or taken away: create another IdentityFederation"))]
#[serde(rename_all = "camelCase")]
pub struct Aws {
    /// The primary Region of the Identity Center instance. Not with external.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"), length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]{2}(-[a-z]+)+-[0-9]$')").message("region is the code of a Region, like eu-west-1, not its name, nor a zone like eu-west-1a"))]
    pub region: String,
    /// How the operator signs in to AWS. Or external.
    #[serde(default, skip_serializing_if = "is_default")]
    pub credentials: AwsCredentials,
    /// Another party looks after AWS: nothing is called there. What it must be given, and what it must give, is in status.exchange. PermissionSetBindings are created where that party's federation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<AwsExternal>,
    /// The Identity Center instance. Not with external.
    #[serde(default, skip_serializing_if = "is_default")]
    pub identity_center: IdentityCenter,
}

/// The Identity Center instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityCenter {
    /// The instance. Absent: discovered when there is exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = r"^arn:aws[a-z-]*:sso:::instance/(sso)?ins-[a-zA-Z0-9.-]{16}$")
    )]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws[a-z-]*:sso:::instance/(sso)?ins-[a-zA-Z0-9.-]{16}$')").message("instanceArn is the ARN of the instance, like arn:aws:sso:::instance/ssoins-1111222233334444: see IAM Identity Center > Settings"))]
    pub instance_arn: Option<String>,
    /// The service provider metadata that AWS's console offers for download.
    pub service_provider_metadata: ServiceProviderMetadata,
    /// SHA-256 thumbprints of the identity provider certificates that AWS has imported. No API of AWS tells, so this is the only memory of it that a cluster rebuilt from Git has: put each one here (in Git, and beforehand for a certificate that is about to be used), or TrustEstablished waits anew for an acknowledgement after the rebuild. The annotation causeway.dev/acknowledge says the same, and is remembered as long as the resource lives or where it stands in Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), inner(length(max = 253), regex(pattern = r"^[0-9a-f]{64}$")))]
    #[x_kube(validation = Rule::new("self.all(t, t.matches('^[0-9a-f]{64}$'))").message("acknowledgedIdpCertificates holds SHA-256 thumbprints: 64 hexadecimal digits in lower case, without colons, as in status.handoff"))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub acknowledged_idp_certificates: Option<Vec<String>>,
}

/// Where the service provider metadata is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceProviderMetadata {
    /// ConfigMap and key that hold the XML document.
    pub config_map_key_ref: ConfigMapKeyRef,
}

/// What is true of a federation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityFederationStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is true of the resource. Ready is the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What exists in Entra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entra: Option<EntraStatus>,
    /// What exists in AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsStatus>,
    /// What people must do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
    /// What this party and the one that looks after the other side give each other; absent where both sides are looked after here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// What would be done (Observe), or is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// The value of the annotation causeway.dev/reconcile that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// The enterprise application as it is in Entra.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntraStatus {
    /// Application (client) id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// Object id of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_object_id: Option<String>,
    /// Object id of the service principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_principal_id: Option<String>,
    /// Creations that were begun and whose outcome is not known yet: they are looked for before anything is created again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub pending_creations: Vec<PendingCreation>,
    /// The signing certificates of the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub signing_certificates: Vec<CertificateStatus>,
}

/// A creation whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingCreation {
    /// `Application` or `SigningCertificate`.
    pub what: String,
    /// The unique name under which it is looked for.
    pub name: String,
    /// When it was begun, RFC 3339.
    pub since: String,
}

/// One signing certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// SHA-1 thumbprint, upper-case hexadecimal, as the Entra portal shows it.
    pub sha1: String,
    /// SHA-256 thumbprint, lower-case hexadecimal: the value to acknowledge.
    pub sha256: String,
    /// When it ends, RFC 3339.
    pub not_after: String,
    /// Whether Entra signs with it.
    pub active: bool,
}

/// The Identity Center instance as it is in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsStatus {
    /// The instance.
    pub instance_arn: String,
    /// Its identity store.
    pub identity_store_id: String,
    /// The account that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_account_id: Option<String>,
    /// The organization's management account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_account_id: Option<String>,
    /// The Region in which permission sets and assignments are managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_region: Option<String>,
    /// Where people sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_portal_url: Option<String>,
}
