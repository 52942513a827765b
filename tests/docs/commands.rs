//! Commands on the pages.

use std::collections::BTreeSet;

use clap::CommandFactory as _;

use super::{Page, pages, root};

/// Flags of kubectl that pages use.
const KUBECTL: &str = "all all-namespaces as claim-name clusterrole create-namespace current-replicas dry-run duration \
    field-manager field-selector filename for force-conflicts from-file from-literal grace-period ignore-not-found \
    label-columns namespace output overwrite patch patch-file previous raw replicas selector server-side show-labels \
    show-managed-fields since sort-by subresource tail template timeout type verb resource wait watch";

/// The sandbox's.
const CACHE: &str = "CAUSEWAY_CACHE";

/// The commands of a page: continued lines are one.
fn commands(page: &Page) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for block in page.blocks().into_iter().filter(|b| b.language == "console") {
        let text = block.text.replace("\\\n", " ");
        all.extend(text.lines().map(|l| (block.line, l.trim().trim_start_matches("$ ").to_owned())));
    }
    all
}

/// The long flags of a command line.
fn flags(text: &str) -> BTreeSet<String> {
    let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    text.split(" --").skip(1).map(|rest| rest[..ends(rest)].to_owned()).filter(|f| !f.is_empty()).collect()
}

/// Each program that a line starts, with its arguments.
fn programs(line: &str) -> Vec<&str> {
    line.split(['|', ';', '&']).map(str::trim).filter(|p| !p.is_empty()).collect()
}

#[test]
fn commands_use_flags_that_exist() {
    let cli = causeway::settings::Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let ours: BTreeSet<String> =
        run.get_arguments().filter_map(|a| a.get_long().map(str::to_owned)).collect();
    let variables: BTreeSet<String> =
        run.get_arguments().filter_map(|a| a.get_env()?.to_str().map(str::to_owned)).collect();
    let kubectl: BTreeSet<&str> = KUBECTL.split_whitespace().collect();
    let tasks = std::fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, command) in commands(&page) {
            for program in programs(&command) {
                if let Some((_, rest)) =
                    program.split_once("causeway run ").or_else(|| program.split_once("causeway -- run "))
                {
                    let unknown: Vec<_> = flags(&format!(" {rest}")).difference(&ours).cloned().collect();
                    wrong.extend(
                        unknown.into_iter().map(|f| format!("{}:{line}: causeway run --{f}", page.path)),
                    );
                }
                if program.starts_with("kubectl ") {
                    let before = program.split(" -- ").next().unwrap_or_default();
                    let unknown = flags(before).into_iter().filter(|f| !kubectl.contains(f.as_str()));
                    wrong.extend(unknown.map(|f| format!("{}:{line}: kubectl --{f}", page.path)));
                }
                if let Some(task) =
                    program.strip_prefix("cargo xtask ").and_then(|r| r.split_whitespace().next())
                {
                    let known = tasks.to_lowercase().contains(&format!("task::{}", task.replace('-', "")));
                    if !known {
                        wrong.push(format!("{}:{line}: cargo xtask {task}", page.path));
                    }
                }
            }
        }
        // Variables of the environment, wherever they stand.
        for word in page.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("CAUSEWAY_") && word != CACHE && !variables.contains(word) {
                wrong.push(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
