//! A plan: what is to be done, decided before anything is done.

use std::fmt::Display;

use sha2::{Digest as _, Sha256};

use crate::api::PlanSummary;

/// How many steps `status.plan.summary` shows.
const SHOWN: usize = 20;

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
        let mut summary: Vec<String> = self.steps.iter().take(SHOWN).map(ToString::to_string).collect();
        if self.steps.len() > SHOWN {
            summary.push(format!("… and {} more", self.steps.len() - SHOWN));
        }
        Some(PlanSummary { hash: Some(hash), summary })
    }
}
