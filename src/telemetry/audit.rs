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
    /// Writes the record, as [`Audit::record`] does.
    pub fn ended<T>(mut self, result: &Result<T, CloudError>, request_id: Option<&str>) {
        self.open = false;
        self.audit.record(self.service, self.operation, self.target, result, request_id);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.audit.write(self.service, self.operation, self.target, "unknown", "", "");
        }
    }
}

impl Audit {
    /// Begins a mutation; `target` as in [`Audit::record`].
    #[must_use]
    pub const fn attempt<'a>(&'a self, service: Service, operation: &'a str, target: &'a str) -> Attempt<'a> {
        Attempt { audit: self, service, operation, target, open: true }
    }

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
        let request_id = request_id.or(failed_request).unwrap_or_default();
        self.write(service, operation, target, outcome, code, request_id);
    }

    fn write(
        &self,
        service: Service,
        operation: &str,
        target: &str,
        outcome: &str,
        code: &str,
        request_id: &str,
    ) {
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
            request_id,
            "cloud mutation"
        );
    }
}
