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

impl Audit {
    /// Writes the record of one mutation that was tried (log target `causeway::audit`). `target` names the object
    /// in the cloud precisely; it never holds a secret.
    pub fn record<T>(
        &self,
        service: Service,
        operation: &str,
        target: &str,
        result: &Result<T, CloudError>,
        request_id: Option<&str>,
    ) {
        let (outcome, code, failed_request) = match result {
            Ok(_) => ("ok", "", None),
            Err(e) => ("failed", e.code.as_str(), e.request_id.as_deref()),
        };
        tracing::info!(
            target: "causeway::audit",
            kind = self.kind,
            namespace = self.namespace,
            name = self.name,
            generation = self.generation,
            plan = self.plan.as_deref().unwrap_or_default(),
            service = service.as_str(),
            operation,
            object = target,
            outcome,
            code,
            request_id = request_id.or(failed_request).unwrap_or_default(),
            "cloud mutation"
        );
    }
}
