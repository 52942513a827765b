use std::future::Future;

use crate::clients::entra::Reply;
use crate::clients::{CloudError, Service};

/// Who writes, and on which plan: goes into the audit record of every cloud mutation.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Kind of the resource.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: i64,
    /// Hash of the plan that is carried out.
    pub plan: Option<String>,
}

/// A mutation that is being tried: one that is cut off before its answer leaves a record too, since it may have
/// taken effect.
#[derive(Debug)]
pub struct Attempt<'a> {
    audit: &'a Audit,
    service: Service,
    operation: &'a str,
    target: &'a str,
    open: bool,
}

impl Attempt<'_> {
    /// Writes the record. `request_id` is the answer's; a failure has its own.
    pub fn ended<T>(mut self, result: &Result<T, CloudError>, request_id: Option<&str>) {
        self.open = false;
        let (outcome, code, failed_request) = match result {
            Ok(_) => ("ok", "", None),
            Err(e) => ("failed", e.code.as_str(), e.request_id.as_deref()),
        };
        self.write(outcome, code, request_id.or(failed_request).unwrap_or_default());
    }

    fn write(&self, outcome: &str, code: &str, request_id: &str) {
        let audit = self.audit;
        tracing::info!(
            target: "causeway::audit",
            kind = audit.kind,
            namespace = audit.namespace,
            name = audit.name,
            generation = audit.generation,
            plan = audit.plan.as_deref().unwrap_or_default(),
            service = self.service.as_str(),
            operation = self.operation,
            object = self.target,
            outcome,
            code,
            request_id,
            "cloud mutation"
        );
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.write("unknown", "", "");
        }
    }
}

impl Audit {
    /// Begins a mutation, whose record (log target `causeway::audit`) is written when it has ended. `target` names
    /// the object in the cloud precisely; it never holds a secret.
    #[must_use]
    pub const fn attempt<'a>(&'a self, service: Service, operation: &'a str, target: &'a str) -> Attempt<'a> {
        Attempt { audit: self, service, operation, target, open: true }
    }

    /// Records that something stays in a cloud which its resource leaves behind, and `why`.
    pub fn left(&self, service: Service, target: &str, why: &str) {
        tracing::warn!(
            target: "causeway::audit",
            kind = self.kind,
            namespace = self.namespace,
            name = self.name,
            generation = self.generation,
            plan = self.plan.as_deref().unwrap_or_default(),
            service = service.as_str(),
            object = target,
            outcome = "left",
            why,
            "left in the cloud"
        );
    }

    /// Makes one writing call to Microsoft Graph, as an [`Audit::attempt`].
    ///
    /// # Errors
    /// The call's own.
    pub async fn graph(
        &self,
        operation: &str,
        target: &str,
        call: impl Future<Output = Result<Reply, CloudError>>,
    ) -> Result<Reply, CloudError> {
        let attempt = self.attempt(Service::Graph, operation, target);
        let answer = call.await;
        attempt.ended(&answer, answer.as_ref().ok().and_then(|reply| reply.request_id.as_deref()));
        answer
    }
}
