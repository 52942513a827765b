use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{DeletionPolicy, Handoff, Mode, PlanSummary, SecretRef, schema};

/// Automatic provisioning of people and groups from Entra to IAM Identity Center.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "ScimConnection",
    namespaced,
    status = "ScimConnectionStatus",
    category = "causeway",
    shortname = "scim",
    derive = "PartialEq",
    doc = "Automatic provisioning of people and groups from Entra to IAM Identity Center: the synchronization job of a federation's enterprise application, its credentials, mappings and state.",
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
    printcolumn(name = "Federation", type_ = "string", json_path = ".spec.federationRef.name"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Token-Expires", type_ = "string", json_path = ".status.tokenExpiresAt"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name must be at most 63 characters"))]
#[serde(rename_all = "camelCase")]
pub struct ScimConnectionSpec {
    /// Enforce carries the plan out; Observe only shows it in status. The federation's Observe counts here too. A job that was driven in Enforce is not deleted in Observe: such a deletion waits and says so.
    #[serde(default)]
    pub mode: Mode,
    /// True: the synchronization job is paused, and nothing else is read or written until it is false again. A deletion is carried out all the same. While the federation is suspended nothing is done at all, and the job is not paused.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to the synchronization job when this resource is deleted.
    #[serde(default = "retain")]
    pub deletion_policy: DeletionPolicy,
    /// The federation whose application is provisioned.
    #[x_kube(validation = Rule::new("self == oldSelf").message("federationRef is immutable: create another ScimConnection for another federation"))]
    pub federation_ref: LocalFederationRef,
    /// A Secret of this namespace with the keys endpoint, token and, so that the token's end is known, issuedAt (RFC 3339).
    pub secret_ref: SecretRef,
    /// Who pushes: Entra's provisioning service.
    #[serde(default)]
    pub engine: Engine,
    /// Who is provisioned.
    #[serde(default)]
    pub scope: Scope,
    /// How attributes are mapped. What is not named here stays as the template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mappings: Option<Mappings>,
    /// Guards against mass deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<ScimSafety>,
}

fn retain() -> DeletionPolicy {
    DeletionPolicy::Retain
}

/// A federation in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct LocalFederationRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Who pushes people and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// Entra's provisioning service.
    #[default]
    Entra,
}

/// Who is provisioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// People and groups that are assigned to the application.
    #[default]
    Assigned,
    /// Everybody in the tenant.
    All,
}

/// How attributes are mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mappings {
    /// Targets whose source is overridden; other targets stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["target".into()]))]
    pub users: Option<Vec<AttributeMapping>>,
    /// Groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupMappings>,
}

/// One overridden attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AttributeMapping {
    /// The attribute in AWS, as the template names it: userName, displayName, title, …
    #[schemars(length(min = 1, max = 200))]
    pub target: String,
    /// Where the value comes from.
    pub source: AttributeSource,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AttributeSource {
    /// An attribute of the Entra user, such as userPrincipalName or mail.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[A-Za-z][A-Za-z0-9_.]*$"))]
    pub attribute: String,
}

/// How groups are provisioned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct GroupMappings {
    /// False: groups and memberships are not pushed.
    pub sync: bool,
}

/// Guards against mass deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimSafety {
    /// A cycle that would delete or disable more objects stops and waits.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_deletions: i32,
}

/// What is true of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimConnectionStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is true of the resource. Ready is the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The synchronization job that this connection drives; absent as long as it only observes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// When the creation of a job was begun whose outcome is not known yet, RFC 3339: it is looked for before one is created again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_job_since: Option<String>,
    /// The job's state as Entra says it: NotConfigured, NotRun, Active, Paused or Quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The newest finished cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cycle: Option<Cycle>,
    /// How many objects are kept in step, by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Why and since when the job is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// When the SCIM token ends, RFC 3339. Without issuedAt in the Secret: at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<String>,
    /// Keyed digest of the credentials that were handed to Entra last; tells when they must be handed over again. `saved`:
    /// Entra uses credentials that it had, and those of a Secret that comes are new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_digest: Option<String>,
    /// The spec.safety.maxDeletions that was handed to Entra last; an Entra that does not show it is not given it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletions_handed_over: Option<i64>,
    /// One-off acts that were carried out: the annotations' values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restart: Option<String>,
    /// Outcome of the newest provision on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_on_demand: Option<OnDemandStatus>,
    /// What people must do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
    /// What would be done (Observe), or is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// The value of the annotation causeway.dev/reconcile that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// One provisioning cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cycle {
    /// Succeeded, Failed or EntryLevelErrors.
    pub result: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Objects written to AWS.
    #[serde(default)]
    pub exported: i64,
    /// Objects that could not be written and are retried.
    #[serde(default)]
    pub escrowed: i64,
    /// What went wrong, as Entra says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How many objects are kept in step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Counts {
    /// People.
    #[serde(default)]
    pub users: i64,
    /// Groups.
    #[serde(default)]
    pub groups: i64,
}

/// A quarantined job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Quarantine {
    /// Entra's reason, such as EncounteredQuarantineException or TooManyDeletes.
    pub reason: String,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What Entra says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Outcome of a provision on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct OnDemandStatus {
    /// The annotation's value.
    pub request: String,
    /// Success, Skipped or Failure; Unknown when Entra's answer could not be read.
    pub result: String,
    /// What Entra says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
