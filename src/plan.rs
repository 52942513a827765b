//! A plan: what is to be done, decided before anything is done.

use std::fmt::Display;

use sha2::{Digest as _, Sha256};

use crate::api::PlanSummary;

/// How many steps `status.plan.summary` shows.
const SHOWN: usize = 20;

/// How many characters a line of it has at most; the schema says the same.
const LINE: usize = 256;

/// Steps in the order in which they are carried out. `Display` of a step says it in one line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<S> {
    /// What is to be done.
    pub steps: Vec<S>,
}

impl<S> Default for Plan<S> {
    fn default() -> Self {
        Self { steps: Vec::new() }
    }
}

impl<S: Display> Plan<S> {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// SHA-256 over the steps' lines, in hexadecimal; none for an empty plan.
    #[must_use]
    pub fn hash(&self) -> Option<String> {
        (!self.steps.is_empty()).then(|| {
            let mut digest = Sha256::new();
            for step in &self.steps {
                digest.update(step.to_string());
                digest.update(b"\n");
            }
            hex::encode(digest.finalize())
        })
    }

    /// As status shows it; none for an empty plan.
    #[must_use]
    pub fn summary(&self) -> Option<PlanSummary> {
        let hash = self.hash()?;
        let mut summary: Vec<String> =
            self.steps.iter().take(SHOWN).map(|step| bounded(step.to_string())).collect();
        if self.steps.len() > SHOWN {
            summary.push(format!("… and {} more", self.steps.len() - SHOWN));
        }
        Some(PlanSummary { hash: Some(hash), summary })
    }
}

/// The line, or its beginning. The hash is over the whole line.
fn bounded(mut line: String) -> String {
    if let Some((cut, _)) = line.char_indices().nth(LINE - 1)
        && line.chars().nth(LINE).is_some()
    {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_characters_and_differ_in_the_hash_all_the_same() {
        let plan = |text: &str, more: &str| Plan { steps: vec![format!("{text}{more}")] };
        for text in ["x", "ö", "…"] {
            let whole = text.repeat(LINE);
            assert_eq!(plan(&whole, "").summary().unwrap().summary.concat(), whole);
            let long = plan(&whole, "1").summary().unwrap();
            let line = &long.summary[0];
            assert_eq!((line.chars().count(), line.chars().last()), (LINE, Some('…')));
            assert!(whole.starts_with(line.trim_end_matches('…')));
            assert_ne!(long.hash, plan(&whole, "2").summary().unwrap().hash);
        }
    }

    #[test]
    fn it_shows_twenty_steps_and_how_many_more_there_are() {
        let plan = Plan { steps: (0..25).collect::<Vec<u32>>() };
        let summary = plan.summary().unwrap().summary;
        assert_eq!((summary.len(), summary.last().map(String::as_str)), (21, Some("… and 5 more")));
        assert_eq!(Plan::<u32>::default().summary(), None);
    }
}
