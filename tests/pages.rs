//! What pages say that people read, against the code.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory as _;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// For which version pages are generated, as they say it.
pub fn release_line() -> String {
    crate::stamp::line(env!("CARGO_PKG_VERSION"), &read("CHANGELOG.md"))
}

#[test]
fn pages_of_longer_runs_say_for_which_version_they_are_and_what_is_not_covered() {
    for name in ["conformance", "faults", "mistakes"] {
        let page = read(&format!("docs/{name}.md"));
        let line = release_line();
        assert!(
            page.lines().any(|l| l == line),
            "docs/{name}.md is not for this version: run `cargo xtask gen`"
        );
        let (_, left) = page.rsplit_once("\n## ").unwrap();
        let (heading, left) = left.split_once('\n').unwrap();
        assert!(heading.to_lowercase().ends_with("not covered"), "docs/{name}.md ends with {heading}");
        assert!(left.lines().any(|l| l.starts_with("* ")), "docs/{name}.md does not say what");
    }
}

/// The words after a prefix, as far as they are made of small letters and dashes.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
    text.split(prefix)
        .skip(1)
        .map(|rest| rest[..ends(rest)].trim_end_matches('-'))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn every_annotation_is_on_its_page_and_no_other() {
    let code = read("src/api/mod.rs");
    let known = words(code.split_once("pub mod annotations").unwrap().1, "\"causeway.dev/");
    assert!(known.len() >= 6, "{known:?}");
    let page = read("docs/annotations.md");
    assert_eq!(words(&page, "causeway.dev/"), known);
    for name in known {
        let section = page.split(&format!("\n## {name}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("{name} has no section"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains("kubectl annotate "), "{name} has no command");
        for part in ["**Value**", "**Does**", "**Is forgotten**"] {
            assert!(section.contains(part), "{name} lacks {part}");
        }
    }
}

#[test]
fn pages_name_only_flags_and_files_that_exist() {
    let cli = causeway::settings::Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let flags: BTreeSet<&str> = run.get_arguments().filter_map(clap::Arg::get_long).collect();
    // Of kubectl and the AWS CLI.
    let others = [
        "all",
        "dry-run",
        "field-selector",
        "for",
        "force-conflicts",
        "from-literal",
        "instance-arn",
        "overwrite",
        "patch",
        "resource-arn",
        "server-side",
        "tags",
        "timeout",
        "type",
        "wait",
    ];
    for path in [
        "docs/alerts.md",
        "docs/annotations.md",
        "docs/day-2.md",
        "docs/logs-and-traces.md",
        "docs/metrics.md",
        "docs/reference/reasons.md",
    ] {
        let page = read(path);
        for flag in words(&page, " --").union(&words(&page, "`--")) {
            assert!(flags.contains(flag) || others.contains(flag), "{path}: --{flag}");
        }
        for link in page.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let there = Path::new(path).parent().unwrap().join(link);
            let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(there);
            assert!(link.is_empty() || there.exists(), "{path}: {link}");
        }
    }
}

#[test]
fn day_2_names_only_reasons_and_annotations_that_exist() {
    let page = read("docs/day-2.md");
    let known: BTreeSet<&str> = causeway::status::Reason::ALL.iter().map(|r| r.as_str()).collect();
    for reason in [
        "TokenExpiring",
        "AuthenticationFailed",
        "CertificateRotation",
        "CertificateExpired",
        "AwaitingProvisioning",
        "AccountNotFound",
        "PlanNotApplied",
        "DeletionBlocked",
        "OwnedByOther",
    ] {
        assert!(known.contains(reason) && page.contains(&format!("`{reason}`")), "{reason}");
    }
    let annotations = read("src/api/mod.rs");
    let annotations = words(annotations.split_once("pub mod annotations").unwrap().1, "\"causeway.dev/");
    for word in words(&page, "causeway.dev/") {
        assert!(word == "owner" || annotations.contains(word), "{word}");
    }
}
