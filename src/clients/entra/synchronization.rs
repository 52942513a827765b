//! Provisioning jobs of a service principal (contract Graph 5). The calls are proxied to a service of their own,
//! so they fail and lag differently from the directory's.

use std::fmt;

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Graph, Reply, segment};
use crate::clients::CloudError;
use crate::secret::Sensitive;

/// Operation names, as counters and audit records have them.
pub mod operation {
    macro_rules! operations {
        ($($name:ident = $method:literal $path:literal;)+) => {
            $(#[doc = concat!("`", $method, " …/synchronization", $path, "`")]
            pub const $name: &str = concat!($method, " /servicePrincipals/{id}/synchronization", $path);)+
        };
    }
    operations! {
        TEMPLATES = "GET" "/templates";
        JOBS = "GET" "/jobs";
        CREATE_JOB = "POST" "/jobs";
        DELETE_JOB = "DELETE" "/jobs/{id}";
        START = "POST" "/jobs/{id}/start";
        PAUSE = "POST" "/jobs/{id}/pause";
        RESTART = "POST" "/jobs/{id}/restart";
        ON_DEMAND = "POST" "/jobs/{id}/provisionOnDemand";
        SCHEMA = "GET" "/jobs/{id}/schema";
        PUT_SCHEMA = "PUT" "/jobs/{id}/schema";
        SECRETS = "GET" "/secrets";
        PUT_SECRETS = "PUT" "/secrets";
        VALIDATE_NEW = "POST" "/jobs/validateCredentials";
        VALIDATE = "POST" "/jobs/{id}/validateCredentials";
    }
}

/// What Entra shows in place of a saved secret (contract Graph 5.3).
pub const MASK: &str = "*";

/// The synchronization calls of one service principal.
#[derive(Clone, Debug)]
pub struct Synchronization {
    graph: Graph,
    base: String,
}

/// A template that a job can be made from (contract Graph 5.1).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Template {
    /// What a job is created with.
    pub id: String,
    /// Whether it is the one to take when there are several.
    #[serde(default)]
    pub default: Option<bool>,
    /// The mappings that a new job starts with.
    #[serde(default)]
    pub schema: Option<Value>,
}

/// A synchronization job (contract Graph 5.2, 5.7).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// `{templateId}.{tenant}.{guid}`.
    pub id: String,
    /// The template that it was made from.
    #[serde(default)]
    pub template_id: Option<String>,
    /// When it runs.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// How it is.
    #[serde(default)]
    pub status: Option<JobStatus>,
}

/// When a job runs: only whether it does; the interval cannot be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Schedule {
    /// `Active`, `Disabled` or `Paused`.
    #[serde(default)]
    pub state: Option<String>,
}

/// How a job is. Time fields say year 1 for "never": read them with [`moment`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// `NotConfigured`, `NotRun`, `Active`, `Paused` or `Quarantine`.
    #[serde(default)]
    pub code: Option<String>,
    /// Objects kept in step, by kind: `User to User`, `Group to Group`.
    #[serde(default)]
    pub synchronized_entry_count_by_type: Option<Vec<EntryCount>>,
    /// The newest finished cycle, or a placeholder before there was one.
    #[serde(default)]
    pub last_execution: Option<Execution>,
    /// Why the job is in quarantine.
    #[serde(default)]
    pub quarantine: Option<QuarantineStatus>,
}

/// How many objects of one kind are kept in step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EntryCount {
    /// `User to User`, `Group to Group`.
    pub key: String,
    /// How many.
    #[serde(default)]
    pub value: Option<i64>,
}

/// One cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// `Succeeded`, `Failed` or `EntryLevelErrors`.
    #[serde(default)]
    pub state: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub time_ended: Option<String>,
    /// Objects written to the target.
    #[serde(default)]
    pub count_exported: Option<i64>,
    /// Objects that could not be written.
    #[serde(default)]
    pub count_escrowed: Option<i64>,
    /// What went wrong; code `None` when nothing did.
    #[serde(default)]
    pub error: Option<ExecutionError>,
}

/// What went wrong in a cycle, or put the job into quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ExecutionError {
    /// Entra's code.
    #[serde(default)]
    pub code: Option<String>,
    /// Entra's words.
    #[serde(default)]
    pub message: Option<String>,
}

/// Why and since when a job is in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineStatus {
    /// `EncounteredQuarantineException`, `TooManyDeletes`, …
    #[serde(default)]
    pub reason: Option<String>,
    /// Since when.
    #[serde(default)]
    pub current_began: Option<String>,
    /// The error behind it.
    #[serde(default)]
    pub error: Option<ExecutionError>,
}

/// The settings and secrets saved for a service principal; secrets read as [`MASK`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Saved(pub Vec<(String, String)>);

impl Saved {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

impl fmt::Debug for Saved {
    /// Only the keys: nothing says that each secret is masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(k, _)| k)).finish()
    }
}

/// One key and value to save; the value may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Such as `BaseAddress`, `SecretToken`, `SyncAll`.
    pub key: String,
    /// Its value.
    pub value: Sensitive,
}

impl Setting {
    /// A key and its value.
    #[must_use]
    pub fn new(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: Sensitive::new(value) }
    }

    fn body(&self) -> Value {
        json!({"key": self.key, "value": self.value.expose()})
    }
}

/// Which credentials are to be tried (contract Graph 5.4).
#[derive(Clone, Debug)]
pub enum Trial<'a> {
    /// These, before a job exists.
    WithoutJob {
        /// The template of the job to be.
        template: &'a str,
        /// Endpoint and token.
        credentials: &'a [Setting],
    },
    /// These, on a job.
    OnJob {
        /// The job.
        job: &'a Job,
        /// Endpoint and token.
        credentials: &'a [Setting],
    },
    /// Those that the job has saved.
    Saved {
        /// The job.
        job: &'a Job,
    },
}

/// What a provision on demand came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// `Success`, `Skipped`, `Failure`; `Unknown` when the answer could not be read.
    pub result: String,
    /// What Entra says about it.
    pub message: Option<String>,
}

impl Synchronization {
    /// The calls for one service principal, by its object id.
    #[must_use]
    pub fn of(graph: Graph, service_principal: &str) -> Self {
        Self { graph, base: format!("/servicePrincipals/{}/synchronization", segment(service_principal)) }
    }

    /// The templates on offer; empty or failing for a while on a new service principal (contract Graph 5.11).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn templates(&self) -> Result<Vec<Template>, CloudError> {
        self.graph.list(operation::TEMPLATES, &self.path("/templates"), &[]).await
    }

    /// All jobs.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn jobs(&self) -> Result<Vec<Job>, CloudError> {
        self.graph.list(operation::JOBS, &self.path("/jobs"), &[]).await
    }

    /// Creates a job, disabled. Not idempotent, and it may be invisible for a while (contract Graph 5.2).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn create_job(&self, template: &str) -> Result<Reply, CloudError> {
        self.post(operation::CREATE_JOB, "/jobs", Some(&json!({"templateId": template}))).await
    }

    /// Deletes a job; 404 means that it is gone.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn delete_job(&self, job: &str) -> Result<Reply, CloudError> {
        self.graph.send(operation::DELETE_JOB, Method::DELETE, &self.job_path(job, ""), None).await
    }

    /// Starts or resumes a job. Never to be called while it runs (contract Graph 5.5).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn start(&self, job: &str) -> Result<Reply, CloudError> {
        self.post_job(operation::START, job, "/start", None).await
    }

    /// Pauses a job; its state is kept.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn pause(&self, job: &str) -> Result<Reply, CloudError> {
        self.post_job(operation::PAUSE, job, "/pause", None).await
    }

    /// Restarts a job; `scope` is a comma-separated list of flags (contract Graph 5.5).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn restart(&self, job: &str, scope: &str) -> Result<Reply, CloudError> {
        self.post_job(operation::RESTART, job, "/restart", Some(&json!({"criteria": {"resetScope": scope}})))
            .await
    }

    /// Provisions one person now (contract Graph 5.6): read the answer with [`on_demand`].
    ///
    /// # Errors
    /// The classified failure.
    pub async fn provision_on_demand(&self, job: &str, rule: &str, user: &str) -> Result<Reply, CloudError> {
        let subject = json!({"objectId": user, "objectTypeName": "User"});
        let body = json!({"parameters": [{"ruleId": rule, "subjects": [subject]}]});
        self.post_job(operation::ON_DEMAND, job, "/provisionOnDemand", Some(&body)).await
    }

    /// The job's mappings, with every member that Entra sends: a write replaces the whole (contract Graph 5.8).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn schema(&self, job: &str) -> Result<Value, CloudError> {
        self.graph.get(operation::SCHEMA, &self.job_path(job, "/schema"), &[]).await
    }

    /// Replaces the job's mappings. The next cycle evaluates everybody anew.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn put_schema(&self, job: &str, schema: &Value) -> Result<Reply, CloudError> {
        self.graph
            .send(operation::PUT_SCHEMA, Method::PUT, &self.job_path(job, "/schema"), Some(schema))
            .await
    }

    /// What is saved: settings in clear, secrets masked (contract Graph 5.3).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn secrets(&self) -> Result<Saved, CloudError> {
        #[derive(Deserialize)]
        struct Pair {
            key: String,
            #[serde(default)]
            value: Option<String>,
        }
        let pairs: Vec<Pair> = self.graph.list(operation::SECRETS, &self.path("/secrets"), &[]).await?;
        Ok(Saved(pairs.into_iter().map(|p| (p.key, p.value.unwrap_or_default())).collect()))
    }

    /// Saves the full set: whether what is left out stays is not documented (contract Graph 5.3).
    ///
    /// # Errors
    /// The classified failure.
    pub async fn put_secrets(&self, settings: &[Setting]) -> Result<Reply, CloudError> {
        let body = json!({"value": settings.iter().map(Setting::body).collect::<Vec<_>>()});
        self.graph.send(operation::PUT_SECRETS, Method::PUT, &self.path("/secrets"), Some(&body)).await
    }

    /// Lets Entra try credentials against the endpoint. Changes nothing.
    ///
    /// # Errors
    /// The classified failure, the endpoint's refusal among them.
    pub async fn validate(&self, trial: &Trial<'_>) -> Result<Reply, CloudError> {
        let given = |template: Option<&str>, credentials: &[Setting]| {
            let credentials: Vec<_> = credentials.iter().map(Setting::body).collect();
            match template {
                Some(id) => {
                    json!({"templateId": id, "useSavedCredentials": false, "credentials": credentials})
                }
                None => json!({"useSavedCredentials": false, "credentials": credentials}),
            }
        };
        match trial {
            Trial::WithoutJob { template, credentials } => {
                let body = given(Some(template), credentials);
                self.post(operation::VALIDATE_NEW, "/jobs/validateCredentials", Some(&body)).await
            }
            Trial::OnJob { job, credentials } => {
                let body = given(job.template_id.as_deref(), credentials);
                self.post_job(operation::VALIDATE, &job.id, "/validateCredentials", Some(&body)).await
            }
            Trial::Saved { job } => {
                let body = json!({"useSavedCredentials": true});
                self.post_job(operation::VALIDATE, &job.id, "/validateCredentials", Some(&body)).await
            }
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.base)
    }

    fn job_path(&self, job: &str, rest: &str) -> String {
        format!("{}/jobs/{}{rest}", self.base, segment(job))
    }

    async fn post(
        &self,
        operation: &'static str,
        rest: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CloudError> {
        self.graph.send(operation, Method::POST, &self.path(rest), body).await
    }

    async fn post_job(
        &self,
        operation: &'static str,
        job: &str,
        rest: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CloudError> {
        self.graph.send(operation, Method::POST, &self.job_path(job, rest), body).await
    }
}

/// A time of Entra's, in whole seconds; year 1 and what cannot be read are "never" (contract Graph 5.7).
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.parse().ok()?;
    // The first second of year 2 AD.
    if time.as_second() < -62_104_060_800 { None } else { Timestamp::from_second(time.as_second()).ok() }
}

/// Reads the answer to a provision on demand: two shapes are known, and a third must not be taken for success
/// (contract Graph 5.6).
#[must_use]
pub fn on_demand(body: &Value) -> OnDemand {
    let embedded = |member: &str| -> Value {
        match body.get(member) {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(other) => other.clone(),
            None => Value::Null,
        }
    };
    let key = embedded("key");
    if let Some(result) = text(&key, "result") {
        let details = key.get("details").unwrap_or(&Value::Null);
        let message = match (text(details, "errorCode"), text(details, "errorMessage")) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (code, message) => message.or(code),
        };
        return OnDemand { result, message };
    }
    let reports = match embedded("value") {
        Value::Array(reports) => reports,
        report @ Value::Object(_) => vec![report],
        _ => Vec::new(),
    };
    let steps: Vec<(String, Option<String>)> = reports
        .iter()
        .flat_map(|r| r.get("provisioningSteps").and_then(Value::as_array).into_iter().flatten())
        .filter_map(|s| Some((text(s, "status")?, text(s, "description"))))
        .collect();
    for word in ["Failure", "Skipped"] {
        if let Some((_, message)) = steps.iter().find(|(status, _)| status.eq_ignore_ascii_case(word)) {
            return OnDemand { result: word.to_owned(), message: message.clone() };
        }
    }
    if !steps.is_empty() && steps.iter().all(|(status, _)| status.eq_ignore_ascii_case("Success")) {
        return OnDemand { result: "Success".to_owned(), message: None };
    }
    OnDemand { result: "Unknown".to_owned(), message: Some("Entra's answer could not be read".to_owned()) }
}

/// A member that is a non-empty string.
fn text(value: &Value, member: &str) -> Option<String> {
    value.get(member).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn year_one_is_never() {
        assert_eq!(moment("0001-01-01T00:00:00Z"), None);
        assert_eq!(moment(""), None);
        assert_eq!(moment("2026-03-01T10:00:00.1234567Z").unwrap().to_string(), "2026-03-01T10:00:00Z");
    }

    #[test]
    fn both_shapes_of_on_demand_answers_are_read() {
        let first = json!({"key": r#"{"result":"Failure","details":{"errorCode":"X","errorMessage":"no family name"}}"#, "value": "{}"});
        assert_eq!(
            on_demand(&first),
            OnDemand { result: "Failure".into(), message: Some("X: no family name".into()) }
        );
        let report = r#"[{"provisioningSteps":[{"status":"Success"},{"status":"skipped","description":"RedundantExport"}]}]"#;
        let second = json!({"key": "Microsoft.Identity.Health.CPP.Common.DataContracts.SyncFabric.StatusInfo", "value": report});
        assert_eq!(
            on_demand(&second),
            OnDemand { result: "Skipped".into(), message: Some("RedundantExport".into()) }
        );
        for odd in [Value::Null, json!({}), json!({"key": "x", "value": "[]"}), json!([1])] {
            assert_eq!(on_demand(&odd).result, "Unknown");
        }
    }

    #[test]
    fn a_job_reads_with_nulls_and_unknown_members() {
        let job: Job = serde_json::from_value(json!({"id": "aws.1.2", "templateId": null, "schedule": {"state": "Disabled", "interval": "P10675199DT2H48M5.4775807S"},
            "status": {"code": "Paused", "quarantine": null, "lastExecution": {"state": "Failed", "error": {"code": "None"}}, "new": 1}}))
        .unwrap();
        assert_eq!(job.status.unwrap().code.as_deref(), Some("Paused"));
    }

    #[test]
    fn secrets_do_not_print() {
        let shown = format!(
            "{:?} {:?}",
            Setting::new("SecretToken", "s3cret"),
            Saved(vec![("SecretToken".into(), "s3cret".into())])
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
