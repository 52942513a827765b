use std::time::Duration;

use super::Service;

/// One remote call, before and after it is made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which service.
    pub service: Service,
    /// Which operation: a fixed name such as `CreatePermissionSet` or `PATCH /applications/{id}`, never with ids in it.
    pub operation: String,
    /// Whether it may change something.
    pub write: bool,
}

/// Sees every remote call, to clouds and to Kubernetes alike: metrics in production, crash points in tests.
///
/// A future that never resolves stops the caller at exactly this point.
#[async_trait::async_trait]
pub trait CallObserver: Send + Sync + std::fmt::Debug {
    /// Just before the call is sent.
    async fn before(&self, call: &Call);
    /// After the answer came, or failed to come. `status` is the HTTP status, 0 without an answer.
    async fn after(&self, call: &Call, status: u16, elapsed: Duration);
    /// A service asked to slow down, in answer to this operation.
    fn throttled(&self, _service: Service, _operation: &str) {}
}
