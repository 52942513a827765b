//! Everything around the controllers, against a real API server: runner, leader election, process life.

mod context;
mod crash;
mod leadership;
mod outage;
mod process;
mod rights;
mod runner;
mod scripted;

/// Logs of the operators, for a test that fails: `RUST_LOG=causeway=debug`.
fn logs() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}
