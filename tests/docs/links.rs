//! Links within this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Page, pages, root};

/// The anchors of a page, made from its headings as GitHub makes them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for (_, line) in page.prose() {
        let Some(title) =
            line.strip_prefix('#').map(|l| l.trim_start_matches('#')).filter(|l| l.starts_with(' '))
        else {
            continue;
        };
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let times = seen.entry(slug.clone()).or_default();
        all.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    all
}

/// A line without what stands in backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Where the links of a line lead.
fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inline = inline.map(|t| t.split_whitespace().next().unwrap_or_default().to_owned());
    inline.collect()
}

#[test]
fn every_link_and_anchor_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|p| (p.path.as_str(), anchors(p))).collect();
    let mut dead = Vec::new();
    let mut seen = 0;
    for page in &pages {
        for (nth, line) in page.prose() {
            for target in targets(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                seen += 1;
                let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
                let folder = Path::new(&page.path).parent().unwrap_or_else(|| Path::new(""));
                let path = if file.is_empty() { page.path.clone() } else { normal(&folder.join(file)) };
                if !root().join(&path).exists() {
                    dead.push(format!("{}:{nth}: {target}", page.path));
                } else if !anchor.is_empty()
                    && !anchors.get(path.as_str()).is_some_and(|a| a.contains(anchor))
                {
                    dead.push(format!("{}:{nth}: {target}: no such heading", page.path));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(seen > 30, "only {seen} links were found");
}

/// Pages and examples that are named in backticks exist, too.
#[test]
fn pages_and_examples_that_are_named_exist() {
    let mut dead = Vec::new();
    for page in pages() {
        for (nth, line) in page.prose() {
            for word in line.split('`').skip(1).step_by(2) {
                let is_path = ["docs/", "examples/", "crds/"].iter().any(|p| word.starts_with(p))
                    && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.'));
                if is_path && !root().join(word).exists() {
                    dead.push(format!("{}:{nth}: {word}", page.path));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().filter_map(|p| p.to_str()) {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn anchors_are_made_as_readers_expect() {
    let page = Page {
        path: "x.md".into(),
        text: "# A `b` c\n## What's new: 1, 2\n```\n# no heading\n```\n## A b c\n".into(),
    };
    assert_eq!(anchors(&page), ["a-b-c", "a-b-c-1", "whats-new-1-2"].map(str::to_owned).into());
    assert_eq!(targets("see [x](a.md#b) and `[y](c)` and [z](d \"t\")"), ["a.md#b", "d"]);
}
