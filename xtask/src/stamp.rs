//! For which version a generated page is: the workspace's, and the date of its release as `CHANGELOG.md` has it. It
//! says the same every day, so that no check fails for the calendar. Tests that write such pages share this file.

/// How the line begins.
const HEAD: &str = "Generated for version ";

/// The line of a page.
///
/// The newest heading of the changelog under which anything stands counts: once the version is released, its date is
/// said until something new is noted.
#[must_use]
pub fn line(version: &str, changelog: &str) -> String {
    let mut headings = sections(changelog);
    let newest = headings.next();
    let told = match newest {
        Some((name, Some(date))) if name == version => format!("released on {date}"),
        _ => {
            let released = newest.into_iter().chain(headings).find_map(|(name, date)| Some((name, date?)));
            match released {
                Some((name, date)) => format!("unreleased, after {name} of {date}"),
                None => "unreleased: nothing was released before it".to_owned(),
            }
        }
    };
    format!("{HEAD}{version}, {told}.")
}

/// The page with the line as it is now; as it was when it has none.
#[must_use]
pub fn restamped(page: &str, line: &str) -> String {
    let stamped = |found: &str| if found.starts_with(HEAD) { line.to_owned() } else { found.to_owned() };
    let mut text = page.lines().map(stamped).collect::<Vec<_>>().join("\n");
    if page.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Names and dates of the sections that hold anything, the newest first: `## [0.1.0] - 2026-12-01`, `## [Unreleased]`.
fn sections(changelog: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    changelog.split("\n## ").skip(1).filter_map(|section| {
        let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
        let (name, rest) = heading.strip_prefix('[')?.split_once(']')?;
        let date = rest.trim().strip_prefix("- ").map(str::trim).filter(|date| !date.is_empty());
        (!body.trim().is_empty()).then_some((name, date))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_follows_from_version_and_changelog() {
        for (changelog, said) in [
            ("# Changelog\n\n## [Unreleased]\n\n- x\n", "unreleased: nothing was released before it"),
            ("# C\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n- x\n", "released on 2026-12-01"),
            (
                "# C\n\n## [0.2.0] - 2026-12-01\n- x\n\n## [0.1.0] - 2026-10-01\n- y\n",
                "released on 2026-12-01",
            ),
            (
                "# C\n\n## [Unreleased]\n- n\n\n## [0.2.0] - 2026-12-01\n- x\n",
                "unreleased, after 0.2.0 of 2026-12-01",
            ),
            (
                "# C\n\n## [Unreleased]\n\n## [0.1.0] - 2026-10-01\n- y\n",
                "unreleased, after 0.1.0 of 2026-10-01",
            ),
            ("", "unreleased: nothing was released before it"),
        ] {
            assert_eq!(
                line("0.2.0", changelog),
                format!("Generated for version 0.2.0, {said}."),
                "{changelog}"
            );
        }
    }

    #[test]
    fn a_page_is_stamped_anew_and_stays_as_it_is_otherwise() {
        let page = "# Page\n\nGenerated for version 0.1.0, unreleased.\nMore.\n";
        let new = line("0.2.0", "");
        assert_eq!(restamped(page, &new), format!("# Page\n\n{new}\nMore.\n"));
        assert_eq!(restamped("# Page\n", &new), "# Page\n");
    }
}
