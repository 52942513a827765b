//! What is counted, in the OpenMetrics text format. Labels come from closed lists: never names, ids or messages.

use std::fmt::{Debug, Error};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::families::{self, KINDS};
use super::pass;
use super::resources::{ResourceState, Resources, unix};
use crate::clients::{Call, CallObserver, Service, status_class};
use crate::problem::Class;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of one operator.
pub struct Metrics {
    registry: std::sync::RwLock<Registry>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Histograms<KindLabel>,
    queue: Histograms<KindLabel>,
    last_success: Family<KindLabel, Gauge<f64, AtomicU64>>,
    undecodable: Family<KindLabel, Counter>,
    changes: Family<ChangeLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Histograms<ServiceLabel>,
    throttles: Family<OperationLabels, Counter>,
    leader: Gauge,
    observing: Gauge,
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    kind: &'static str,
    service: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    service: &'static str,
    operation: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    service: &'static str,
    operation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

fn histograms<L: Clone + Eq + std::hash::Hash>(constructor: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(constructor)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own: several operators may live in one process.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: histograms(|| Histogram::new(exponential_buckets(0.01, 2.5, 12))),
            queue: histograms(|| Histogram::new(exponential_buckets(0.01, 4.0, 8))),
            last_success: Family::default(),
            undecodable: Family::default(),
            changes: Family::default(),
            calls: Family::default(),
            call_seconds: histograms(|| Histogram::new(exponential_buckets(0.005, 2.5, 10))),
            throttles: Family::default(),
            leader: Gauge::default(),
            observing: Gauge::default(),
            registry: std::sync::RwLock::default(),
        };
        // A counter that is there from the beginning shows its first step too.
        for kind in KINDS {
            for result in std::iter::once("ok").chain(Class::ALL.iter().map(|class| class.as_str())) {
                let _ = metrics.reconciles.get_or_create(&ReconcileLabels { kind, result });
            }
            let _ = metrics.undecodable.get_or_create(&KindLabel { kind });
        }
        let mut registry = Registry::with_prefix(families::PREFIX);
        add(&mut registry, &families::RECONCILES, metrics.reconciles.clone());
        add(&mut registry, &families::RECONCILE_SECONDS, metrics.reconcile_seconds.clone());
        add(&mut registry, &families::QUEUE, metrics.queue.clone());
        add(&mut registry, &families::LAST_SUCCESS, metrics.last_success.clone());
        add(&mut registry, &families::UNDECODABLE, metrics.undecodable.clone());
        add(&mut registry, &families::CHANGES, metrics.changes.clone());
        add(&mut registry, &families::CALLS, metrics.calls.clone());
        add(&mut registry, &families::CALL_SECONDS, metrics.call_seconds.clone());
        add(&mut registry, &families::THROTTLES, metrics.throttles.clone());
        add(&mut registry, &families::LEADER, metrics.leader.clone());
        add(&mut registry, &families::OBSERVING, metrics.observing.clone());
        let build = Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") });
        add(&mut registry, &families::BUILD, build);
        Self { registry: std::sync::RwLock::new(registry), ..metrics }
    }

    /// One pass over a resource.
    pub fn reconciled(&self, kind: &'static str, class: Option<Class>, took: Duration, now: Timestamp) {
        let result = class.map_or("ok", Class::as_str);
        self.reconciles.get_or_create(&ReconcileLabels { kind, result }).inc();
        self.reconcile_seconds.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
        if class.is_none() {
            self.last_success.get_or_create(&KindLabel { kind }).set(unix(now));
        }
    }

    /// A pass begins, so long after it was due.
    pub fn began(&self, kind: &'static str, late: Duration) {
        self.queue.get_or_create(&KindLabel { kind }).observe(late.as_secs_f64());
    }

    /// A resource that does not fit its schema was seen.
    pub fn undecodable(&self, kind: &'static str) {
        self.undecodable.get_or_create(&KindLabel { kind }).inc();
    }

    /// Whether this operator may write.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// Whether this operator only plans.
    pub fn observing(&self, observing: bool) {
        self.observing.set(i64::from(observing));
    }

    /// Adds what is read from the resources anew on each scrape.
    pub fn count_resources(&self, state: impl Fn() -> ResourceState + Send + Sync + 'static) {
        let mut registry = self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register_collector(Box::new(Resources(Box::new(state))));
    }

    /// Everything, as text of [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// None that can be mended: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, Error> {
        let registry = self.registry.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn add(registry: &mut Registry, family: &families::Family, metric: impl Metric) {
    match family.unit() {
        Some(unit) => registry.register_with_unit(family.name, family.help, unit, metric),
        None => registry.register(family.name, family.help, metric),
    }
}

/// What a writing operation does.
fn verb(operation: &str) -> &'static str {
    let begins = |words: &[&str]| words.iter().any(|word| operation.starts_with(word));
    let ends = |words: &[&str]| words.iter().any(|word| operation.ends_with(word));
    if begins(&["DELETE ", "Delete", "Detach", "Untag"]) {
        "delete"
    } else if begins(&["PATCH ", "PUT ", "Update", "Put", "Attach", "Tag"]) {
        "update"
    } else if begins(&["Provision"])
        || ends(&["/start", "/pause", "/restart", "/provisionOnDemand", "/validateCredentials"])
    {
        "run"
    } else {
        "create"
    }
}

#[async_trait::async_trait]
impl CallObserver for Metrics {
    async fn before(&self, _call: &Call) {}

    async fn after(&self, call: &Call, status: u16, elapsed: Duration) {
        let (service, operation) = (call.service.as_str(), call.operation.clone());
        let labels = CallLabels { service, operation: operation.clone(), status: status_class(status) };
        self.calls.get_or_create(&labels).inc();
        let _ = self.throttles.get_or_create(&OperationLabels { service, operation });
        self.call_seconds.get_or_create(&ServiceLabel { service }).observe(elapsed.as_secs_f64());
        if call.write
            && call.service != Service::Kubernetes
            && let Some(kind) = pass::kind()
        {
            let verb = verb(&call.operation);
            self.changes.get_or_create(&ChangeLabels { kind, service, verb }).inc();
        }
    }

    fn throttled(&self, service: Service, operation: &str) {
        let labels = OperationLabels { service: service.as_str(), operation: operation.to_owned() };
        self.throttles.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Assignments, Credential, FAMILIES, Standing};
    use super::*;
    use crate::status::Reason;

    fn state() -> ResourceState {
        ResourceState {
            counts: [(("ScimConnection", Some(Reason::Succeeded)), 2), (("ScimConnection", None), 1)].into(),
            not_ready_since: [(("ScimConnection", None), Timestamp::UNIX_EPOCH)].into(),
            federations: [(Standing::Behind, 1)].into(),
            behind_seconds: 90.0,
            expiries: [(Credential::ScimToken, Timestamp::from_second(1_800_000_000).unwrap())].into(),
            assignments: Assignments { desired: 5, current: 3, pending: 1, failed: 1 },
            cycle: Some(Timestamp::from_second(1_700_000_000).unwrap()),
            full_checks: [("ScimConnection", Timestamp::UNIX_EPOCH)].into(),
            overdue_seconds: [("ScimConnection", 0.0)].into(),
        }
    }

    async fn busy() -> Metrics {
        let metrics = Metrics::new();
        let kind = "ScimConnection";
        metrics.began(kind, Duration::ZERO);
        metrics.reconciled(kind, None, Duration::from_millis(20), Timestamp::UNIX_EPOCH);
        metrics.reconciled(kind, Some(Class::Denied), Duration::from_secs(1), Timestamp::UNIX_EPOCH);
        let call = Call { service: Service::Graph, operation: "GET /groups/{id}".into(), write: false };
        metrics.after(&call, 429, Duration::from_millis(3)).await;
        metrics.throttled(Service::Graph, "GET /groups/{id}");
        metrics.after(&call, 0, Duration::from_millis(3)).await;
        let write = Call { service: Service::SsoAdmin, operation: "CreatePermissionSet".into(), write: true };
        let pass = metrics.after(&write, 200, Duration::from_millis(3));
        pass::pass_over("PermissionSetBinding", pass).await;
        metrics.leading(true);
        metrics.observing(false);
        metrics.count_resources(state);
        metrics
    }

    #[tokio::test]
    async fn a_scrape_says_what_happened() {
        let text = busy().await.encode().unwrap();
        for line in [
            r#"causeway_reconciles_total{kind="ScimConnection",result="ok"} 1"#,
            r#"causeway_reconciles_total{kind="ScimConnection",result="denied"} 1"#,
            r#"causeway_reconciles_total{kind="IdentityFederation",result="guarded"} 0"#,
            r#"causeway_reconcile_duration_seconds_count{kind="ScimConnection"} 2"#,
            r#"causeway_queue_delay_seconds_count{kind="ScimConnection"} 1"#,
            r#"causeway_last_success_timestamp_seconds{kind="ScimConnection"} 0.0"#,
            r#"causeway_undecodable_objects_total{kind="ScimConnection"} 0"#,
            r#"causeway_changes_total{kind="PermissionSetBinding",service="sso-admin",verb="create"} 1"#,
            r#"causeway_remote_calls_total{service="graph",operation="GET /groups/{id}",status="429"} 1"#,
            r#"causeway_remote_calls_total{service="graph",operation="GET /groups/{id}",status="none"} 1"#,
            r#"causeway_throttles_total{service="graph",operation="GET /groups/{id}"} 1"#,
            r#"causeway_throttles_total{service="sso-admin",operation="CreatePermissionSet"} 0"#,
            "causeway_leader 1",
            "causeway_observing 0",
            r#"causeway_resources{kind="ScimConnection",reason="Succeeded"} 2"#,
            r#"causeway_resources{kind="ScimConnection",reason="None"} 1"#,
            r#"causeway_not_ready_since_timestamp_seconds{kind="ScimConnection",reason="None"} 0.0"#,
            r#"causeway_federations{state="behind"} 1"#,
            r#"causeway_federations{state="in_step"} 0"#,
            "causeway_federation_behind_seconds 90.0",
            r#"causeway_credential_expiry_timestamp_seconds{credential="scim-token"} 1800000000.0"#,
            r#"causeway_assignments{state="failed"} 1"#,
            "causeway_provisioning_cycle_timestamp_seconds 1700000000.0",
            r#"causeway_full_check_timestamp_seconds{kind="ScimConnection"} 0.0"#,
            r#"causeway_check_overdue_seconds{kind="ScimConnection"} 0.0"#,
            r#"causeway_build_info{version=""#,
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[tokio::test]
    async fn what_is_documented_is_what_there_is() {
        let text = busy().await.encode().unwrap();
        let families: BTreeSet<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let documented: BTreeSet<String> = FAMILIES.iter().map(|f| f.full_name()).collect();
        assert_eq!(families, documented.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_writing_operation_has_a_verb() {
        for (operation, expected) in [
            ("PATCH /applications/{id}", "update"),
            ("POST /servicePrincipals/{id}/appRoleAssignedTo", "create"),
            ("POST /servicePrincipals/{id}/synchronization/jobs", "create"),
            ("POST /servicePrincipals/{id}/synchronization/jobs/{id}/restart", "run"),
            ("PUT /servicePrincipals/{id}/synchronization/secrets", "update"),
            ("DELETE /applications/{id}", "delete"),
            ("AttachManagedPolicyToPermissionSet", "update"),
            ("DetachManagedPolicyFromPermissionSet", "delete"),
            ("PutInlinePolicyToPermissionSet", "update"),
            ("ProvisionPermissionSet", "run"),
            ("TagResource", "update"),
            ("UntagResource", "delete"),
            ("CreateAccountAssignment", "create"),
        ] {
            assert_eq!(verb(operation), expected, "{operation}");
        }
    }
}
