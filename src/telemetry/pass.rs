//! On whose behalf a call is made.

use std::future::Future;

tokio::task_local! {
    static KIND: &'static str;
}

/// Makes a pass over a resource of this kind: its calls are counted as such.
pub async fn pass_over<T>(kind: &'static str, pass: impl Future<Output = T>) -> T {
    KIND.scope(kind, pass).await
}

/// The kind whose pass this is; none outside of any.
pub(super) fn kind() -> Option<&'static str> {
    KIND.try_with(|kind| *kind).ok()
}
