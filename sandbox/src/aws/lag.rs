//! Writes that readers see only later (contract aws 1.11).

use jiff::Timestamp;

/// A value whose last change becomes visible to reads at a set moment. Writers always see the truth.
#[derive(Debug, Clone)]
pub(crate) struct Lagged<T> {
    truth: Option<T>,
    before: Option<T>,
    from: Timestamp,
}

impl<T: Clone> Lagged<T> {
    /// Created now, visible from `from` on.
    pub fn created(value: T, from: Timestamp) -> Self {
        Self { truth: Some(value), before: None, from }
    }

    /// Was always there.
    pub fn settled(value: T) -> Self {
        Self::created(value, Timestamp::MIN)
    }

    /// What really is.
    pub fn truth(&self) -> Option<&T> {
        self.truth.as_ref()
    }

    /// What a read at `at` shows.
    pub fn seen(&self, at: Timestamp) -> Option<&T> {
        if at < self.from { self.before.as_ref() } else { self.truth.as_ref() }
    }

    /// Changes the truth at `at`; reads follow at `from`. `None` deletes.
    pub fn set(&mut self, value: Option<T>, at: Timestamp, from: Timestamp) {
        self.before = self.seen(at).cloned();
        self.truth = value;
        self.from = from;
    }

    /// Deleted, and no read shows it any more.
    pub fn is_gone(&self, at: Timestamp) -> bool {
        self.truth.is_none() && at >= self.from
    }
}
