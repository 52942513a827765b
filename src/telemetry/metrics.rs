//! Metrics, in the OpenMetrics text format. Labels come from closed lists: never names, ids or messages.

use std::fmt::{Debug, Error, Write as _};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::clients::{Call, CallObserver, Service};
use crate::problem::Class;
use crate::status::Reason;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of one operator.
pub struct Metrics {
    registry: std::sync::RwLock<Registry>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Family<KindLabel, Histogram, fn() -> Histogram>,
    last_success: Family<KindLabel, Gauge<f64, AtomicU64>>,
    undecodable: Family<KindLabel, Counter>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<ServiceLabel, Histogram, fn() -> Histogram>,
    throttles: Family<ServiceLabel, Counter>,
    leader: Gauge,
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
struct CallLabels {
    service: ServiceName,
    operation: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: ServiceName,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ServiceName(Service);

impl EncodeLabelValue for ServiceName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), Error> {
        encoder.write_str(self.0.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
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
        let mut registry = Registry::with_prefix("causeway");
        let reconcile_seconds: Family<_, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.01, 2.5, 12)));
        let call_seconds: Family<_, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 2.5, 10)));
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds,
            last_success: Family::default(),
            undecodable: Family::default(),
            calls: Family::default(),
            call_seconds,
            throttles: Family::default(),
            leader: Gauge::default(),
            registry: std::sync::RwLock::default(),
        };
        registry.register("reconciles", "Passes over a resource, by result", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long a pass over a resource took",
            Unit::Seconds,
            metrics.reconcile_seconds.clone(),
        );
        registry.register_with_unit(
            "last_success_timestamp",
            "When a pass over a resource of this kind last succeeded, as Unix time",
            Unit::Seconds,
            metrics.last_success.clone(),
        );
        registry.register(
            "undecodable_objects",
            "Watch events about resources that do not fit their schema",
            metrics.undecodable.clone(),
        );
        registry.register(
            "remote_calls",
            "Calls to other services, by class of answer",
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "remote_call_duration",
            "How long calls to other services took",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        registry.register("throttles", "Answers that asked to slow down", metrics.throttles.clone());
        registry.register("leader", "1 while this operator may write", metrics.leader.clone());
        registry.register(
            "build",
            "The operator's version",
            Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") }),
        );
        Self { registry: std::sync::RwLock::new(registry), ..metrics }
    }

    /// One pass over a resource.
    pub fn reconciled(&self, kind: &'static str, class: Option<Class>, took: Duration, now: Timestamp) {
        let result = class.map_or("ok", Class::as_str);
        self.reconciles.get_or_create(&ReconcileLabels { kind, result }).inc();
        self.reconcile_seconds.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
        if class.is_none() {
            self.last_success.get_or_create(&KindLabel { kind }).set(now.as_duration().as_secs_f64());
        }
    }

    /// A resource that does not fit its schema was seen.
    pub fn undecodable(&self, kind: &'static str) {
        self.undecodable.get_or_create(&KindLabel { kind }).inc();
    }

    /// Whether this operator may write.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// Adds what is counted anew on each scrape: resources by reason, the SCIM token that ends first.
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

/// The class of an HTTP status.
const fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        429 => "429",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

#[async_trait::async_trait]
impl CallObserver for Metrics {
    async fn before(&self, _call: &Call) {}

    async fn after(&self, call: &Call, status: u16, elapsed: Duration) {
        let labels = CallLabels {
            service: ServiceName(call.service),
            operation: call.operation.clone(),
            status: status_class(status),
        };
        self.calls.get_or_create(&labels).inc();
        self.call_seconds
            .get_or_create(&ServiceLabel { service: ServiceName(call.service) })
            .observe(elapsed.as_secs_f64());
    }

    fn throttled(&self, service: Service) {
        self.throttles.get_or_create(&ServiceLabel { service: ServiceName(service) }).inc();
    }
}

/// What the watched resources say about themselves at this moment.
#[derive(Clone, Debug, Default)]
pub struct ResourceState {
    /// How many resources there are, by kind and reason of Ready; no reason: not looked at yet.
    pub counts: std::collections::BTreeMap<(&'static str, Option<Reason>), u64>,
    /// Days until the SCIM token that ends first does; none when no end is known.
    pub scim_token_days: Option<f64>,
}

/// Reads the resources whenever somebody asks, so that nothing has to be kept in step.
struct Resources(Box<dyn Fn() -> ResourceState + Send + Sync>);

impl Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resources")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    kind: &'static str,
    reason: &'static str,
}

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let state = (self.0)();
        let mut family = encoder.encode_descriptor(
            "resources",
            "Resources, by reason of their Ready condition",
            None,
            MetricType::Gauge,
        )?;
        for ((kind, reason), count) in state.counts {
            let labels = ResourceLabels { kind, reason: reason.map_or("None", Reason::as_str) };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        if let Some(days) = state.scim_token_days {
            let gauge = encoder.encode_descriptor(
                "scim_token_remaining_days",
                "Days until the SCIM token that ends first does",
                None,
                MetricType::Gauge,
            )?;
            ConstGauge::new(days).encode(gauge)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_there_and_no_label_is_open() {
        let metrics = Metrics::new();
        metrics.reconciled("ScimConnection", None, Duration::from_millis(20), Timestamp::UNIX_EPOCH);
        metrics.reconciled(
            "ScimConnection",
            Some(Class::Denied),
            Duration::from_secs(1),
            Timestamp::UNIX_EPOCH,
        );
        let call = Call { service: Service::Graph, operation: "GET /groups/{id}".into(), write: false };
        metrics.after(&call, 429, Duration::from_millis(3)).await;
        metrics.throttled(Service::Graph);
        metrics.after(&call, 0, Duration::from_millis(3)).await;
        metrics.leading(true);
        metrics.count_resources(|| ResourceState {
            counts: [(("ScimConnection", Some(Reason::Succeeded)), 2), (("ScimConnection", None), 1)].into(),
            scim_token_days: Some(12.5),
        });
        let text = metrics.encode().unwrap();
        for line in [
            r#"causeway_reconciles_total{kind="ScimConnection",result="ok"} 1"#,
            r#"causeway_reconciles_total{kind="ScimConnection",result="denied"} 1"#,
            r#"causeway_reconcile_duration_seconds_count{kind="ScimConnection"} 2"#,
            r#"causeway_last_success_timestamp_seconds{kind="ScimConnection"} 0.0"#,
            r#"causeway_remote_calls_total{service="graph",operation="GET /groups/{id}",status="429"} 1"#,
            r#"causeway_remote_calls_total{service="graph",operation="GET /groups/{id}",status="none"} 1"#,
            r#"causeway_throttles_total{service="graph"} 1"#,
            "causeway_leader 1",
            r#"causeway_resources{kind="ScimConnection",reason="Succeeded"} 2"#,
            r#"causeway_resources{kind="ScimConnection",reason="None"} 1"#,
            "causeway_scim_token_remaining_days 12.5",
            r#"causeway_build_info{version=""#,
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
