//! Traces for a collector: OTLP over HTTP, through the same HTTP client as everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::clients::http::{HttpOptions, HttpSetupError, client};

/// One delivery.
const DELIVERY: Duration = Duration::from_secs(10);
/// What is still to be delivered when the operator stops is not waited for longer.
const FLUSH: Duration = Duration::from_secs(5);
/// Longest answer of a collector that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    /// The exporter does not take its settings.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Where the spans of this program go, in batches. Must be made within the runtime that is to deliver them.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// An exporter to the collector at `endpoint`, to which `/v1/traces` is added.
    ///
    /// # Errors
    /// Roots of trust that are none, or an endpoint that is no URI.
    pub fn new(endpoint: &Url, ca_pem: Option<String>) -> Result<Self, ExportError> {
        let options = HttpOptions { ca_pem, connect: DELIVERY / 2, attempt: DELIVERY, total: DELIVERY };
        let sender = Sender {
            client: client(&options)?,
            runtime: Handle::current(),
            failing: Arc::new(AtomicBool::new(false)),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(DELIVERY)
            .build()?;
        let resource = Resource::builder()
            .with_service_name("causeway")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { provider })
    }

    /// What hands the spans over: our own, and none of the libraries'.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("causeway"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target("causeway", Level::INFO))
    }

    /// Delivers what is left, for some seconds at most.
    pub(super) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::info!("the last traces were not delivered");
        }
    }
}

/// Our HTTP client, for the thread that delivers batches: it has no runtime of its own.
#[derive(Clone, Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    failing: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let sent = self.runtime.spawn(deliver(self.client.clone(), request)).await;
        let answer = sent.map_err(HttpError::from).and_then(|answer| answer);
        self.told(answer.as_ref().err());
        answer
    }
}

impl Sender {
    /// One line when it begins to fail, one when it goes on.
    fn told(&self, error: Option<&HttpError>) {
        let was_failing = self.failing.swap(error.is_some(), Ordering::SeqCst);
        match error {
            Some(error) if !was_failing => {
                tracing::warn!(%error, "traces cannot be delivered; check --otlp-endpoint and the collector");
            }
            None if was_failing => tracing::info!("traces are delivered again"),
            _ => {}
        }
    }
}

async fn deliver(client: reqwest::Client, request: reqwest::Request) -> Result<Response<Bytes>, HttpError> {
    // The URL is in the settings; what an error says of it may hold more.
    let mut answer = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("the collector answers with {status}").into());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response::builder().status(status).body(Bytes::from(body))?)
}
