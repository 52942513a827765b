//! Alerts and metrics, as Prometheus' own tool judges them: the rules, their unit tests, and what a real operator serves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::Client;
use kube::api::ListParams;
use sandbox::core::Profile;
use sandbox::go_module::{cache_root, is_program, on_path};
use sandbox::journey::{self, Operator, Person};
use sandbox::world::World;
use sandbox::{Cluster, Options, Sandbox};

use super::Checks;
use super::tools::said;

const ALERTS: &str = "charts/causeway/files/alerts.yaml";
const ALERT_TESTS: &str = "xtask/platform/monitoring/alerts_test.yaml";
const EXAMPLE: [&str; 4] = [
    include_str!("../../../examples/identity-center/00-namespace.yaml"),
    include_str!("../../../examples/identity-center/10-federation.yaml"),
    include_str!("../../../examples/identity-center/20-connection.yaml"),
    include_str!("../../../examples/identity-center/30-bindings.yaml"),
];
const NAMESPACE: &str = "identity";
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the suite.
///
/// # Errors
/// When it cannot be run to its end.
pub async fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let promtool = match tokio::task::spawn_blocking(promtool).await? {
        Ok(promtool) => promtool,
        Err(error) => {
            checks.skipped("everything that promtool judges", &format!("{error:#}"));
            return Ok(());
        }
    };
    let ask =
        |arguments: &[&str]| said(Command::new(&promtool).args(arguments).current_dir(root)).map(|_| ());
    checks.check("promtool takes the alert rules", || ask(&["check", "rules", "--lint-fatal", ALERTS]));
    checks
        .check("the alerts fire when they should, and else do not", || ask(&["test", "rules", ALERT_TESTS]));
    let scrape = scrape_of_a_journey().await?;
    checks.check("promtool takes what the operator serves after the whole journey", || {
        lint(&promtool, &text_format(&scrape))
    });
    checks.check("promtool refuses a scrape that is none", || {
        match lint(&promtool, "causeway_leader{ 1\n") {
            Ok(()) => bail!("it took nonsense"),
            Err(_) => Ok(()),
        }
    });
    Ok(())
}

fn lint(promtool: &Path, scrape: &str) -> anyhow::Result<()> {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run promtool")?;
    child.stdin.take().context("promtool reads")?.write_all(scrape.as_bytes())?;
    let output = child.wait_with_output()?;
    let told = [output.stdout, output.stderr].concat();
    if !output.status.success() || !told.is_empty() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&told));
    }
    Ok(())
}

/// A scrape in the older text format, which is the only one that `promtool check metrics` reads: there a counter's suffix
/// is part of the family's name, and there are neither units nor infos.
fn text_format(open_metrics: &str) -> String {
    let mut text = String::new();
    let mut suffixes = std::collections::BTreeMap::new();
    for line in open_metrics.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            match kind {
                "counter" => suffixes.insert(name, ("_total", "counter")),
                "info" => suffixes.insert(name, ("_info", "gauge")),
                _ => suffixes.insert(name, ("", kind)),
            };
        }
    }
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) => {
                let (suffix, kind) = suffixes.get(name).copied().unwrap_or_default();
                let rest = if what == "TYPE" { kind } else { rest };
                text.push_str(&format!("# {what} {name}{suffix} {rest}\n"));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// Has people sign in, and reads what the operator says about itself then.
async fn scrape_of_a_journey() -> anyhow::Result<String> {
    let binary = Operator::build().await?;
    let dir = tempfile::tempdir().context("make a folder")?;
    let sandbox = Sandbox::start(Options {
        world: World::load("company")?,
        profile: Profile::fast(),
        seed: 1,
        dir: dir.path().to_owned(),
        cluster: Cluster::Own,
    })
    .await?;
    let cluster = sandbox.cluster().context("a cluster")?.clone();
    let client = cluster.client().await?;
    journey::apply(&client, &journey::parse(causeway::api::CRDS_YAML, None)?).await?;
    served(&client).await?;
    journey::apply(&client, &journey::parse(EXAMPLE[0], None)?).await?;
    let person = Person::new(&sandbox, client.clone(), NAMESPACE);
    person.make_credentials().await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        "--installation-id=monitoring",
        "--operator-namespace",
        NAMESPACE,
        "--listen",
        &listen,
        "--resync=1s",
        "--poll=50ms",
        "--job-poll=200ms",
        "--creation-grace=10s",
        "--lease-duration=60s",
    ];
    let log = dir.path().join("operator.log");
    let operator = Operator::start(&binary, &sandbox, cluster.kubeconfig(), log, &arguments)?;
    for yaml in &EXAMPLE[1..] {
        journey::apply(&client, &journey::parse(yaml, None)?).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    while !ready(&client).await? {
        if Instant::now() > deadline {
            bail!("the journey did not end; the operator's last words:\n{}", operator.tail());
        }
        // A hand-off that was just carried out may still stand in status.
        let _ = person.act().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let http = reqwest::Client::builder().no_proxy().build()?;
    let scrape =
        http.get(format!("http://{listen}/metrics")).send().await?.error_for_status()?.text().await?;
    operator.stop().await?;
    Ok(scrape)
}

async fn served(client: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for kind in journey::kinds() {
        while journey::api(client, "default", kind).list(&ListParams::default()).await.is_err() {
            if Instant::now() > deadline {
                bail!("the API server does not serve {kind}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Whether all resources of the example are Ready.
async fn ready(client: &Client) -> anyhow::Result<bool> {
    for kind in journey::kinds() {
        for object in journey::api(client, NAMESPACE, kind).list(&ListParams::default()).await? {
            let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if !conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True") {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A promtool: on `PATH`, in the cache, else taken out of Debian's package `prometheus`, which needs no root.
fn promtool() -> anyhow::Result<PathBuf> {
    if let Some(found) = on_path("promtool") {
        return Ok(found);
    }
    let folder = cache_root().join("prometheus");
    let program = folder.join("usr/bin/promtool");
    if is_program(&program) {
        return Ok(program);
    }
    eprintln!("promtool: taking it out of Debian's package prometheus; put one on PATH to bring your own");
    let parent = folder.parent().context("the cache is a folder")?;
    std::fs::create_dir_all(parent).context("make the cache")?;
    // Beside its place, so that it can be moved there whole: another process may be doing the same.
    let staging = tempfile::tempdir_in(parent).context("make a folder")?;
    let download =
        || said(Command::new("apt-get").args(["download", "prometheus"]).current_dir(staging.path()));
    download()
        .or_else(|_| {
            // There may be no list of packages yet; only root can fetch one.
            said(Command::new("apt-get").args(["update", "--quiet"])).and_then(|_| download())
        })
        .context("there is no promtool on PATH, and Debian's package prometheus cannot be had")?;
    let package = std::fs::read_dir(staging.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no package")?;
    let unpacked = staging.path().join("unpacked");
    said(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    if std::fs::rename(&unpacked, &folder).is_err() && !is_program(&program) {
        bail!("{} cannot be made", folder.display());
    }
    Ok(program)
}
