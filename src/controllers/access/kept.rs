//! Clients that are kept for those who use them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// Most clients of one kind that are kept.
const MAX_KEPT: usize = 128;

/// Tells identities apart without keeping their secrets.
pub(super) fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Clients by identity, those used last at the end; the oldest go first.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<VecDeque<Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    key: [u8; 32],
    /// Who used it last of all.
    holders: VecDeque<String>,
    client: T,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    pub(super) fn get(&self, key: &[u8; 32], holder: &str) -> Option<T> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|entry| entry.key == *key)?;
        let mut entry = entries.remove(at)?;
        entry.note(holder);
        let client = entry.client.clone();
        entries.push_back(entry);
        Some(client)
    }

    /// Keeps a new client. If somebody else was faster, theirs is used: its budget and its token are in use already.
    pub(super) fn keep(&self, key: [u8; 32], holder: &str, client: T) -> T {
        if let Some(faster) = self.get(&key, holder) {
            return faster;
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while entries.len() >= MAX_KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry {
            key,
            holders: VecDeque::from([holder.to_owned()]),
            client: client.clone(),
        });
        client
    }

    /// The client that a holder used last.
    pub(super) fn last_of(&self, holder: &str) -> Option<T> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().rev().find(|entry| entry.holders.iter().any(|known| known == holder))?;
        Some(entry.client.clone())
    }
}

impl<T> Entry<T> {
    fn note(&mut self, holder: &str) {
        self.holders.retain(|known| known != holder);
        while self.holders.len() >= MAX_KEPT {
            self.holders.pop_front();
        }
        self.holders.push_back(holder.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_told_apart_and_the_oldest_go() {
        let kept = Kept::default();
        assert_eq!(kept.keep(digest(&["a", "b"]), "one", 1), 1);
        assert_eq!(kept.keep(digest(&["a", "b"]), "two", 9), 1, "who is faster wins");
        assert_eq!(kept.get(&digest(&["ab", ""]), "one"), None);
        assert_eq!(
            (kept.last_of("one"), kept.last_of("two"), kept.last_of("three")),
            (Some(1), Some(1), None)
        );
        for number in 0..MAX_KEPT {
            kept.get(&digest(&["a", "b"]), "one");
            kept.keep(digest(&[&number.to_string()]), "three", number);
        }
        assert_eq!(kept.get(&digest(&["a", "b"]), "one"), Some(1), "what is in use stays");
        assert_eq!(kept.get(&digest(&["0"]), "three"), None);
    }

    #[test]
    fn a_holder_gets_what_it_used_last() {
        let kept = Kept::default();
        kept.keep(digest(&["old"]), "one", "old");
        kept.keep(digest(&["new"]), "one", "new");
        assert_eq!(kept.last_of("one"), Some("new"));
        kept.get(&digest(&["old"]), "two");
        assert_eq!(kept.last_of("two"), Some("old"));
    }
}
