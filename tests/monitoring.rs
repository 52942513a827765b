//! Alerts and dashboard, against the metrics that there are. That Prometheus takes the rules, and that they fire when
//! they should, is for `cargo xtask platform monitoring`.

use std::collections::{BTreeMap, BTreeSet};

use causeway::status::Reason;
use causeway::telemetry::{FAMILIES, Type};
use serde_json::Value;

const ALERTS: &str = include_str!("../charts/causeway/files/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../xtask/platform/monitoring/alerts_test.yaml");
const DASHBOARD: &str = include_str!("../charts/causeway/files/dashboard.json");
const PAGE: &str = include_str!("../docs/alerts.md");

/// What Prometheus adds to everything that it scrapes.
const OF_TARGETS: [&str; 4] = ["namespace", "job", "pod", "instance"];
const FUNCTIONS: [&str; 15] = [
    "sum",
    "min",
    "max",
    "count",
    "by",
    "time",
    "rate",
    "increase",
    "absent",
    "histogram_quantile",
    "label_values",
    "and",
    "or",
    "unless",
    "on",
];

/// What a query names: metrics, and labels with the value or pattern that they are compared with.
#[derive(Debug, Default)]
struct Named {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
    values: Vec<(String, String)>,
}

/// Reads as much of PromQL as is needed to know what a query names.
fn named(query: &str) -> Named {
    let mut named = Named::default();
    let (mut rest, mut in_matchers, mut in_labels) = (query, false, false);
    let mut label = String::new();
    while let Some(c) = rest.chars().next() {
        let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
        match c {
            '"' => {
                let end = rest[1..].find('"').unwrap();
                named.values.push((label.clone(), rest[1..=end].to_owned()));
                rest = &rest[end + 2..];
                continue;
            }
            '[' => {
                rest = &rest[rest.find(']').unwrap()..];
                continue;
            }
            '{' => in_matchers = true,
            '}' => in_matchers = false,
            ')' => in_labels = false,
            c if c.is_ascii_digit() => {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
                continue;
            }
            c if begins(c) => {
                let end = rest.find(|c: char| !begins(c) && !c.is_ascii_digit() && c != ':');
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                rest = after;
                let opens = after.trim_start().starts_with('(');
                if in_matchers || in_labels {
                    word.clone_into(&mut label);
                    named.labels.insert(word.to_owned());
                } else if FUNCTIONS.contains(&word) {
                    in_labels = matches!(word, "by" | "on") && opens;
                } else {
                    named.metrics.insert(word.to_owned());
                }
                continue;
            }
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    named
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_yaml_ng::from_str(ALERTS).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// All queries of the dashboard, with the panel or variable that they are of.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            // `label_values(metric, label)`: the label is no metric.
            let query = text(&variable["query"]["query"]);
            all.push((text(&variable["name"]), query.rsplit_once(',').unwrap().0.to_owned()));
        }
    }
    all
}

/// What is wrong with what a query names.
fn strangers(query: &str) -> Vec<String> {
    let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for family in FAMILIES {
        let mut labels: BTreeSet<&str> = family.labels.iter().map(|label| label.name).collect();
        labels.extend(OF_TARGETS);
        for sample in family.samples() {
            let bucket = family.kind == Type::Histogram && sample.ends_with("_bucket");
            let more = bucket.then_some("le");
            known.insert(sample, labels.iter().copied().chain(more).collect());
        }
    }
    let named = named(query);
    let mut wrong = Vec::new();
    let mut allowed: BTreeSet<&str> = BTreeSet::new();
    for metric in &named.metrics {
        match known.get(metric) {
            Some(labels) => allowed.extend(labels),
            None => wrong.push(format!("there is no metric {metric}")),
        }
    }
    let labels = named.labels.iter().filter(|label| !allowed.contains(&label.as_str()));
    wrong.extend(labels.map(|label| format!("nothing in it has a label {label}")));
    for (label, pattern) in &named.values {
        let words = pattern.split('|').filter(|word| !word.starts_with('$'));
        for word in words {
            let there = match label.as_str() {
                "reason" => Reason::ALL.iter().any(|reason| reason.as_str() == word),
                label => FAMILIES
                    .iter()
                    .flat_map(|f| f.labels)
                    .any(|known| known.name == label && known.values.contains(&format!("`{word}`"))),
            };
            if !there {
                wrong.push(format!("{label} is never {word}"));
            }
        }
    }
    wrong
}

#[test]
fn alerts_and_dashboard_ask_for_nothing_that_does_not_exist() {
    let mut wrong = Vec::new();
    for alert in alerts() {
        let found = strangers(alert["expr"].as_str().unwrap());
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", alert["alert"])));
    }
    for (of, query) in queries() {
        wrong.extend(strangers(&query).into_iter().map(|what| format!("{of}: {what}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_is_misspelt_in_a_query_is_found() {
    for (query, wrong) in [
        ("sum(causeway_leader)", ""),
        ("causeway_leaders > 1", "there is no metric causeway_leaders"),
        ("sum by (kinds) (causeway_resources)", "nothing in it has a label kinds"),
        ("rate(causeway_remote_calls[5m])", "there is no metric causeway_remote_calls"),
        (r#"causeway_resources{reason="Sucess"}"#, "reason is never Sucess"),
        (r#"causeway_assignments{state=~"failed|lost"}"#, "state is never lost"),
        ("histogram_quantile(0.5, sum by (le) (rate(causeway_queue_delay_seconds_bucket[5m])))", ""),
    ] {
        assert_eq!(strangers(query).concat(), wrong, "{query}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown: BTreeSet<String> = queries().iter().flat_map(|(_, query)| named(query).metrics).collect();
    for family in FAMILIES {
        let there = family.samples().iter().any(|name| shown.contains(name));
        assert!(there, "{} is on no panel", family.full_name());
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id is used twice: {panel}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(panel["description"].as_str().is_some_and(|d| !d.is_empty()), "{}", panel["title"]);
        }
    }
}

#[test]
fn every_alert_is_explained_on_its_page_and_fires_in_a_test() {
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        assert!(
            ["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().unwrap()),
            "{name}"
        );
        assert!(alert["for"].is_string(), "{name} fires at the first glitch");
        let annotations = &alert["annotations"];
        for part in ["summary", "description"] {
            assert!(annotations[part].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {part}");
        }
        assert_eq!(annotations["runbook"], format!("docs/alerts.md#{}", name.to_lowercase()), "{name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        let fires = format!(r#"{{alertname="{name}", severity="{severity}""#);
        assert!(ALERT_TESTS.contains(&fires), "{name} ({severity}) fires in no test");
        names.insert(name);
    }
    let sections = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned);
    assert_eq!(sections.collect::<BTreeSet<_>>(), names);
    for metric in PAGE.split('`').filter(|word| word.starts_with("causeway_")) {
        let named = FAMILIES.iter().any(|family| family.full_name() == metric);
        assert!(named || strangers(metric).is_empty(), "{metric}: {:?}", strangers(metric));
    }
}
