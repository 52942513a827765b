//! The product as platform teams get it, with the real tools on the real control plane: Helm, kubectl and Argo CD. Each
//! suite starts what it needs and ends it. `cargo test` does without all this.

mod argocd;
mod helm;
mod kubectl;
mod monitoring;
mod stage;
pub mod tools;
mod upgrade;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// One part of what is tested, by the name it is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suite {
    /// The chart.
    Helm,
    /// The release before, the state of today over it, and back.
    Upgrade,
    /// What people type.
    Kubectl,
    /// Argo CD.
    Argocd,
    /// Alerts and metrics.
    Monitoring,
}

/// In the order in which they run.
const SUITES: &[(&str, Suite)] = &[
    ("helm", Suite::Helm),
    ("upgrade", Suite::Upgrade),
    ("kubectl", Suite::Kubectl),
    ("argocd", Suite::Argocd),
    ("monitoring", Suite::Monitoring),
];

/// Runs all suites, or the named ones.
///
/// # Errors
/// When a suite is not known, or something is not as it should be.
pub fn run(only: &[String]) -> anyhow::Result<()> {
    let known: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no suite {unknown}; there are {}", known.join(", "));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("make a runtime")?;
    let mut checks = Checks::default();
    for (name, suite) in SUITES.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name)) {
        println!("\n{name}");
        let began = Instant::now();
        let ended = runtime.block_on(async {
            match suite {
                Suite::Helm => Box::pin(helm::run(&mut checks)).await,
                Suite::Upgrade => Box::pin(upgrade::run(&mut checks)).await,
                Suite::Kubectl => Box::pin(kubectl::run(&mut checks)).await,
                Suite::Argocd => Box::pin(argocd::run(&mut checks)).await,
                Suite::Monitoring => Box::pin(monitoring::run(&mut checks)).await,
            }
        });
        if let Err(error) = ended {
            checks.failed(&format!("{name} went on to its end"), &format!("{error:#}"));
        }
        println!("  {:.0} s", began.elapsed().as_secs_f64());
    }
    println!("\n{} passed, {} failed, {} skipped", checks.passed, checks.failures.len(), checks.skipped);
    for failure in &checks.failures {
        println!("  FAIL  {failure}");
    }
    if !checks.failures.is_empty() {
        bail!("the product does not stand up to the tools");
    }
    Ok(())
}

/// The folder of the repository.
fn root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")
}

/// The chart's folder.
fn chart() -> anyhow::Result<String> {
    Ok(root()?.join("charts/causeway").display().to_string())
}

/// Waits until something holds, with what it was like at last as the error.
async fn until(
    what: &str,
    within: Duration,
    mut holds: impl AsyncFnMut() -> anyhow::Result<Result<(), String>>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        // One look that fails (a deadline of kubectl, say) is no end of the wait.
        let was = match holds().await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(was)) => was,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("not within {} s: {what}; at last: {was}", within.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What was found, told as it is found.
#[derive(Debug, Default)]
pub struct Checks {
    passed: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Checks {
    /// One claim, and why it does not hold when it does not; the suite goes on all the same.
    pub fn check(&mut self, claim: &str, found: impl FnOnce() -> anyhow::Result<()>) {
        match found() {
            Ok(()) => self.passed(claim),
            Err(error) => self.failed(claim, &format!("{error:#}")),
        }
    }

    /// A claim that holds.
    pub fn passed(&mut self, claim: &str) {
        println!("  ok    {claim}");
        self.passed += 1;
    }

    /// Something that this machine has no tool for, and cannot get one.
    pub fn skipped(&mut self, what: &str, why: &str) {
        println!("  skip  {what}\n        {}", why.replace('\n', "\n        "));
        self.skipped += 1;
    }

    /// A claim that does not hold.
    pub fn failed(&mut self, claim: &str, why: &str) {
        println!("  FAIL  {claim}\n        {}", why.replace('\n', "\n        "));
        self.failures.push(claim.to_owned());
    }
}
