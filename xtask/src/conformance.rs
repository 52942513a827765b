//! Clients that nobody here wrote, against the sandbox: so that the simulated clouds cannot flatter us. Each script of
//! `xtask/conformance` has a sandbox of its own; nothing of it leaves this machine.

mod environment;
mod page;
mod servers;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use environment::Environment;
use servers::{Moto, Sandbox};

/// The scripts, in the order of the page.
const SCRIPTS: [&str; 6] = ["aws_boto3", "aws_moto", "aws_tools", "entra_graph", "scim", "saml"];
/// The script that compares with moto.
const MOTO: &str = "aws_moto";
/// How long one script may take; the longest takes half a minute.
const SCRIPT_WITHIN: Duration = Duration::from_secs(600);
const PAGE: &str = "docs/conformance.md";

/// What one script found.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    /// Whose checks these are.
    client: String,
    /// In order.
    checks: Vec<Check>,
    /// Operations that the client does not call, with the reason.
    not_called: std::collections::BTreeMap<String, String>,
    /// Operations that never succeed, with the reason.
    never_good: std::collections::BTreeMap<String, String>,
    /// Where the other implementation answers otherwise.
    #[serde(default)]
    differences: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Check {
    title: String,
    result: Outcome,
    why: String,
    /// Service and operation, as the sandbox counted them.
    operations: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

#[derive(Debug, Deserialize)]
struct Difference {
    reason: String,
    what: Vec<String>,
}

/// Runs all scripts, or the named ones. With `report` the page is written, else compared.
pub fn run(report: bool, only: &[String]) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    if let Some(unknown) = only.iter().find(|name| !SCRIPTS.contains(&name.as_str())) {
        bail!("there is no script {unknown}; there are {}", SCRIPTS.join(", "));
    }
    let folder = root.join("xtask/conformance");
    let environment = Environment::prepare(&folder.join("requirements.txt"))?;
    let program = sandbox_program(root)?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut found = Vec::new();
    for script in SCRIPTS.into_iter().filter(|script| only.is_empty() || only.iter().any(|o| o == script)) {
        match one(&environment, &program, &folder, script) {
            Ok(results) => {
                let count = |outcome| results.checks.iter().filter(|c| c.result == outcome).count();
                passed += count(Outcome::Passed);
                failed += count(Outcome::Failed);
                skipped += count(Outcome::Skipped);
                found.push(results);
            }
            Err(error) => {
                println!("FAIL  {script}: {error:#}");
                failed += 1;
            }
        }
    }
    if only.is_empty() && failed == 0 {
        let page = page::render(&found, &folder, &crate::generate::release_line(root)?)?;
        if !page::settle(&root.join(PAGE), &page, report)? {
            println!("FAIL  {PAGE} differs from this run: `cargo xtask conformance --report` writes it");
            failed += 1;
        }
    }
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    ensure!(failed == 0, "the sandbox does not stand up to its clients");
    Ok(())
}

/// Builds the sandbox as the tests and the demo have built it, and says where it is.
fn sandbox_program(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words = ["build", "--quiet", "--locked", "--features", "causeway/test-clock", "--bin", "sandbox"];
    let status = Command::new(cargo).args(words).current_dir(root).status().context("run cargo")?;
    ensure!(status.success(), "the sandbox does not build");
    let here = std::env::current_exe()?;
    let program = here.parent().context("this program lies in a folder")?.join("sandbox");
    ensure!(program.is_file(), "cargo has built no {}", program.display());
    Ok(program)
}

/// One script with a fresh sandbox. Everything it started has ended when this returns.
fn one(environment: &Environment, program: &Path, folder: &Path, script: &str) -> anyhow::Result<Results> {
    let dir = tempfile::tempdir().context("make a folder")?;
    let sandbox = Sandbox::start(program, &folder.join("world.yaml"), dir.path())?;
    let moto = (script == MOTO).then(|| Moto::start(environment, dir.path())).transpose()?;
    let results = dir.path().join("results.json");
    let mut command = environment.python();
    command
        .arg(folder.join(format!("{script}.py")))
        .args([&sandbox.descriptor, &results])
        .current_dir(dir.path())
        .stdin(Stdio::null());
    if let Some(moto) = &moto {
        command.env("CONFORMANCE_MOTO", &moto.url);
    }
    let mut child = command.spawn().context("start python")?;
    let end = Instant::now() + SCRIPT_WITHIN;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("not done after {} s", SCRIPT_WITHIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    ensure!(status.success(), "ended with {status} before its last check");
    let text = std::fs::read_to_string(&results).context("the script left no results")?;
    let results: Results = serde_json::from_str(&text).context("read the results")?;
    ensure!(!results.checks.is_empty(), "it has no checks");
    Ok(results)
}
