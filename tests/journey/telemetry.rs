//! What the operator says about a whole journey: its metrics, its log, its traces.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use causeway::problem::Class;
use causeway::status::Reason;
use causeway::telemetry::{FAMILIES, KINDS};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use sandbox::core::{FaultKind, FaultRule};
use serde_json::Value;

use super::idle::three_resyncs;
use super::process::{free_port, identity, start_with};
use crate::support::collector::{Collector, attribute};
use crate::support::run;
use crate::support::world::{ALL, TestWorld};

const FAULTS: &str = include_str!("../../docs/faults.md");

/// One value of a scrape.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn samples(scrape: &str) -> Vec<Sample> {
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            // No value of ours holds a quote.
            let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
            let pairs = pairs.map(|pair| pair.split_once("=\"").unwrap());
            let labels = pairs.map(|(k, v)| (k.to_owned(), v.trim_end_matches('"').to_owned())).collect();
            Sample { name: name.to_owned(), labels, value: value.parse().unwrap() }
        })
        .collect()
}

async fn scrape(port: u16) -> String {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    answer.text().await.unwrap()
}

#[test]
fn a_journey_is_told_by_metrics_log_and_traces() {
    run(async {
        let world = TestWorld::company("telemetry").await;
        for (service, operation) in [("graph", "GET /groups"), ("sso-admin", "ListInstances")] {
            world.sandbox.core.faults.add(FaultRule {
                service: service.into(),
                operation: Some(operation.into()),
                nth: None,
                probability: None,
                kind: FaultKind::Throttle,
                status: None,
                code: None,
                times: Some(1),
                retry_after: Some(0.1),
            });
        }
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = identity(&world, dir.path()).await;
        let (log, port, collector) = (dir.path().join("operator.log"), free_port(), Collector::start().await);
        let level = "info,causeway=debug";
        let further = ["--otlp-endpoint", &collector.url()];
        let operator = start_with(&world, &kubeconfig, &log, level, port, &further, &[]);
        world.apply_example().await;
        world.until_ready(&ALL).await;
        three_resyncs(&world).await;

        let before = lines(&log).len();
        three_resyncs(&world).await;
        let since = lines(&log).split_off(before);
        let loud: Vec<&Value> = since.iter().filter(|line| line["level"] != "DEBUG").collect();
        assert!(loud.is_empty(), "nothing happens, and it is said at {loud:#?}");
        assert!(since.iter().any(|line| line["message"] == "nothing to write"), "no pass in between");

        let scraped = scrape(port).await;
        only_what_is_documented(&scraped, &world);
        state_of_the_journey(&scraped);
        assert!(operator.stop().await.unwrap().success());
        let log = lines(&log);
        log_lines(&log);
        traces(&collector, &log);
    });
}

fn only_what_is_documented(scrape: &str, world: &TestWorld) {
    let families: BTreeSet<&str> =
        scrape.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documented: BTreeMap<String, _> = FAMILIES.iter().map(|f| (f.full_name(), *f)).collect();
    assert_eq!(families, documented.keys().map(String::as_str).collect());
    let by_sample: BTreeMap<String, _> =
        FAMILIES.iter().flat_map(|f| f.samples().into_iter().map(move |name| (name, *f))).collect();
    let mut seen = BTreeSet::new();
    for Sample { name, labels, .. } in samples(scrape) {
        let family = by_sample.get(&name).unwrap_or_else(|| panic!("{name} is not documented"));
        let known: BTreeSet<&str> = family.labels.iter().map(|label| label.name).collect();
        let found: BTreeSet<&str> =
            labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(found, known, "{name}");
        for (label, value) in &labels {
            assert!(closed(label, value, &labels), "{name}: {label}={value}");
        }
        seen.insert(family.full_name());
    }
    // All is well: nothing is not Ready.
    let silent: Vec<&String> = documented.keys().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(silent, ["causeway_not_ready_since_timestamp_seconds"]);
    assert!(!scrape.contains(&world.namespace), "no namespaces");
}

/// Whether a label's value is one of those that there are.
fn closed(label: &str, value: &str, labels: &BTreeMap<String, String>) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c == '/';
    match label {
        "kind" => KINDS.contains(&value),
        "reason" => value == "None" || Reason::ALL.iter().any(|reason| reason.as_str() == value),
        "result" => value == "ok" || Class::ALL.iter().any(|class| class.as_str() == value),
        "service" => ["graph", "login", "sso-admin", "identitystore", "organizations", "sts", "kubernetes"]
            .contains(&value),
        "operation" if labels["service"] == "kubernetes" => {
            let (verb, resource) = value.split_once(' ').unwrap();
            ["GET", "LIST", "WATCH", "PATCH", "POST", "PUT", "DELETE"].contains(&verb)
                && resource.chars().all(word)
        }
        "operation" => FAULTS.contains(&format!("`{} {value}`", labels["service"])),
        "status" => ["2xx", "3xx", "4xx", "429", "5xx", "none"].contains(&value),
        "verb" => ["create", "update", "delete", "run"].contains(&value),
        "credential" => ["scim-token", "signing-certificate"].contains(&value),
        "state" => ["desired", "current", "pending", "failed", "in_step", "waiting_for_people", "behind"]
            .contains(&value),
        "version" => value == env!("CARGO_PKG_VERSION"),
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => false,
    }
}

fn state_of_the_journey(scrape: &str) {
    let samples = samples(scrape);
    let sum = |name: &str, wanted: &[(&str, &str)]| {
        let fits = |s: &&Sample| {
            s.name == name && wanted.iter().all(|(k, v)| s.labels.get(*k).is_some_and(|found| found == v))
        };
        samples.iter().filter(fits).map(|s| s.value).sum::<f64>()
    };
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let ready = |kind: &str| sum("causeway_resources", &[("kind", kind), ("reason", "Succeeded")]);
    assert_eq!(KINDS.map(ready), [1.0, 1.0, 3.0]);
    assert_eq!(sum("causeway_federations", &[("state", "in_step")]), 1.0);
    assert_eq!(sum("causeway_federations", &[]), 1.0);
    assert_eq!(sum("causeway_federation_behind_seconds", &[]), 0.0);
    assert_eq!(sum("causeway_assignments", &[("state", "desired")]), 13.0);
    assert_eq!(sum("causeway_assignments", &[("state", "current")]), 13.0);
    assert_eq!(sum("causeway_assignments", &[("state", "failed")]), 0.0);
    for credential in ["scim-token", "signing-certificate"] {
        let ends = sum("causeway_credential_expiry_timestamp_seconds", &[("credential", credential)]);
        assert!(ends > now + 300.0 * 86_400.0, "{credential}: {ends}");
    }
    for kind in KINDS {
        for name in ["causeway_full_check_timestamp_seconds", "causeway_last_success_timestamp_seconds"] {
            let at = sum(name, &[("kind", kind)]);
            assert!(at > now - 60.0, "{name} {kind}: {at}");
        }
    }
    assert_eq!((sum("causeway_leader", &[]), sum("causeway_observing", &[])), (1.0, 0.0));
    for (service, operation) in [("graph", "GET /groups"), ("sso-admin", "ListInstances")] {
        let labels = [("service", service), ("operation", operation)];
        assert!(sum("causeway_throttles_total", &labels) >= 1.0, "{operation} was throttled");
    }
    let created = [("kind", "PermissionSetBinding"), ("service", "sso-admin"), ("verb", "create")];
    assert!(sum("causeway_changes_total", &created) >= 16.0, "three sets and their assignments");
}

fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    // The last line may not be whole yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_default()
}

/// The span of the pass in which a line was written.
fn pass(line: &Value) -> Option<&Value> {
    line["spans"].as_array()?.iter().find(|span| span["name"] == "reconcile")
}

fn log_lines(log: &[Value]) {
    let known: BTreeSet<(&str, &str)> = ALL.into_iter().collect();
    let mut passes = BTreeSet::new();
    for span in log.iter().filter_map(pass) {
        passes.insert((text(span, "kind"), text(span, "resource")));
        assert!(span["generation"].is_u64() && !text(span, "namespace").is_empty(), "{span}");
        assert_eq!(text(span, "trace").len(), 32, "{span}");
    }
    assert_eq!(passes, known);
    let called: Vec<&Value> = log.iter().filter(|line| line["message"] == "called").collect();
    for line in &called {
        let call = &line["span"];
        assert!(call["name"] == "call" && line["level"] == "DEBUG", "{line}");
        assert!(!text(call, "service").is_empty() && !text(call, "operation").is_empty(), "{line}");
        assert!(!text(call, "status").is_empty() && call["attempt"].is_u64(), "{line}");
        if text(call, "status") == "2xx" {
            let asked = ["graph", "sso-admin", "identitystore", "organizations", "kubernetes"];
            assert!(
                !asked.contains(&text(call, "service")) || !text(call, "request_id").is_empty(),
                "no request id: {line}"
            );
        }
    }
    for (operation, throttled) in [("GET /groups", "429"), ("ListInstances", "4xx")] {
        let of = |status: &str, attempt: u64| {
            let fits = |line: &&Value| {
                let call = &line["span"];
                text(call, "operation") == operation
                    && text(call, "status") == status
                    && call["attempt"] == attempt
            };
            called.iter().copied().any(|line| fits(&line))
        };
        assert!(of(throttled, 1) || of("429", 1), "{operation} was throttled at the first try");
        assert!(of("2xx", 2), "{operation} went well at the second try");
    }
}

fn traces(collector: &Collector, log: &[Value]) {
    let requests = collector.requests();
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(attribute(&resource.attributes, "service.name").as_deref(), Some("causeway"));
    let spans = collector.spans();
    let passes: BTreeMap<_, _> =
        spans.iter().filter(|s| s.name == "reconcile").map(|s| (s.span_id.clone(), s)).collect();
    let kinds: BTreeSet<_> = passes.values().filter_map(|s| attribute(&s.attributes, "kind")).collect();
    assert_eq!(kinds, KINDS.map(str::to_owned).into());
    assert!(passes.values().all(|s| s.parent_span_id.is_empty()), "a pass is a trace of its own");
    assert!(passes.values().any(|s| attribute(&s.attributes, "result").as_deref() == Some("ok")));
    let calls: Vec<_> = spans.iter().filter(|s| s.name != "reconcile").collect();
    let mut services = BTreeSet::new();
    for call in &calls {
        let parent = passes.get(&call.parent_span_id);
        let parent = parent.unwrap_or_else(|| panic!("{} is of no pass", call.name));
        assert_eq!(call.trace_id, parent.trace_id, "{}", call.name);
        assert_eq!(call.kind, SpanKind::Client as i32, "{}", call.name);
        assert_eq!(attribute(&call.attributes, "operation").as_ref(), Some(&call.name));
        services.insert(attribute(&call.attributes, "service").unwrap());
    }
    for service in ["graph", "login", "sso-admin", "identitystore", "organizations", "kubernetes"] {
        assert!(services.contains(service), "{service} is missing among {services:?}");
    }
    // What the log calls the trace is what the collector calls it; the last batch was delivered at the end.
    let exported: BTreeSet<String> = passes.values().map(|s| hex(&s.trace_id)).collect();
    let logged: BTreeSet<String> =
        log.iter().filter_map(pass).map(|span| text(span, "trace").to_owned()).collect();
    // Of what could not be delivered in time the log tells; then nothing follows from what is missing.
    let lost = log.iter().any(|line| text(line, "message").contains("traces cannot be delivered"));
    let missing: Vec<&String> = logged.difference(&exported).filter(|_| !lost).collect();
    assert!(missing.is_empty(), "{} of {} traces were not exported", missing.len(), logged.len());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
