//! What pages tell people to type into helm.

use anyhow::{Context as _, ensure};

use super::client::Helm;
use crate::platform::{Checks, chart, root};

const PAGES: &[&str] = &[
    "README.md",
    "charts/causeway/README.md",
    "docs/day-2.md",
    "docs/getting-started.md",
    "docs/migrating.md",
    "docs/runbooks.md",
    "docs/upgrade-uninstall.md",
];

/// The values in each command are those of the chart.
///
/// # Errors
/// When a page cannot be read.
pub fn render(checks: &mut Checks, helm: &Helm) -> anyhow::Result<()> {
    let chart = chart()?;
    let (mut commands, mut wrong) = (0, Vec::new());
    for page in PAGES {
        let text = std::fs::read_to_string(root()?.join(page)).with_context(|| format!("read {page}"))?;
        // A command may go over several lines.
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            if !["install", "upgrade"]
                .iter()
                .any(|v| line.starts_with(&format!("helm {v} causeway charts/causeway")))
            {
                continue;
            }
            commands += 1;
            let words = words(line);
            let given =
                words.windows(2).filter(|pair| pair[0].starts_with("--set")).flatten().map(String::as_str);
            let usual = ["template", "causeway", &chart, "--set", "installationId=test"];
            if let Err(error) = helm.does(&usual.into_iter().chain(given).collect::<Vec<_>>()) {
                wrong.push(format!("{page}: {line}: {error:#}"));
            }
        }
    }
    checks.check("the helm commands on the pages render", || {
        ensure!(commands >= 6, "{commands} commands were found");
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
    Ok(())
}

/// As a shell splits it; quotes are around whole words only.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        match at % 2 {
            1 => words.push(part.to_owned()),
            _ => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    words
}
