//! How long removals wait for what should come before them. No I/O; losing it costs time only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::tracker::older;

/// Waits that nobody spoke of for so long are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(6 * 3600);

/// How it goes on an account on which a removal waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// What should come first is being made.
    Moving,
    /// It waits for its turn, and the turns come.
    Queued,
    /// It does not begin.
    Stuck,
}

/// How long a removal waits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For something that does not begin.
    pub stuck: Duration,
    /// For something that waits for its turn.
    pub queued: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// Since when nothing was being made.
    since: Timestamp,
    /// Since when it does not begin.
    stuck: Option<Timestamp>,
    /// When the removal itself was tried last, in vain.
    tried: Option<Timestamp>,
}

/// The waits of all bindings, by owner mark and account.
#[derive(Debug, Default)]
pub struct Patience {
    waits: BTreeMap<String, (Timestamp, BTreeMap<String, Wait>)>,
}

impl Patience {
    /// Takes note of how it goes on all accounts of one binding on which removals wait; what is not named waits no
    /// more. `tried`: accounts on which a removal was tried in vain.
    pub fn note(
        &mut self,
        owner: &str,
        signs: &BTreeMap<String, Sign>,
        tried: &BTreeSet<String>,
        now: Timestamp,
    ) {
        let (_, before) = self.waits.remove(owner).unwrap_or((now, BTreeMap::new()));
        let waits: BTreeMap<String, Wait> = signs
            .iter()
            .map(|(account, sign)| {
                let before = before.get(account);
                let wait = Wait {
                    since: before.filter(|_| *sign != Sign::Moving).map_or(now, |b| b.since),
                    stuck: (*sign == Sign::Stuck).then(|| before.and_then(|b| b.stuck).unwrap_or(now)),
                    tried: if tried.contains(account) { Some(now) } else { before.and_then(|b| b.tried) },
                };
                (account.clone(), wait)
            })
            .collect();
        if !waits.is_empty() {
            self.waits.insert(owner.to_owned(), (now, waits));
        }
        self.waits.retain(|_, (noted, _)| !older(*noted, FORGOTTEN, now));
    }

    /// A binding is gone.
    pub fn forget(&mut self, owner: &str) {
        self.waits.remove(owner);
    }

    /// The accounts of a binding whose removals have waited long enough.
    #[must_use]
    pub fn overdue(&self, owner: &str, bounds: Bounds, now: Timestamp) -> BTreeSet<String> {
        let late = |wait: &Wait| {
            older(wait.since, bounds.queued, now)
                || wait.stuck.is_some_and(|stuck| older(stuck, bounds.stuck, now))
        };
        let waits = self.waits.get(owner).into_iter().flat_map(|(_, waits)| waits);
        waits.filter(|(_, wait)| late(wait)).map(|(account, _)| account.clone()).collect()
    }

    /// When a removal was tried last in vain, by account: what was tried goes behind what was not.
    #[must_use]
    pub fn tried(&self, owner: &str) -> BTreeMap<String, Timestamp> {
        let waits = self.waits.get(owner).into_iter().flat_map(|(_, waits)| waits);
        waits.filter_map(|(account, wait)| Some((account.clone(), wait.tried?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { stuck: Duration::from_secs(120), queued: Duration::from_secs(3600) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn signs(sign: Sign) -> BTreeMap<String, Sign> {
        [("1".to_owned(), sign)].into()
    }

    /// Notes at those moments, and whether the account is overdue at the last.
    fn overdue(notes: &[(i64, Sign)]) -> bool {
        let mut patience = Patience::default();
        for (second, sign) in notes {
            patience.note("me", &signs(*sign), &BTreeSet::new(), at(*second));
        }
        let last = notes.last().expect("a note").0;
        !patience.overdue("me", BOUNDS, at(last)).is_empty()
    }

    #[test]
    fn patience_ends_when_nothing_begins_and_much_later_when_the_turn_does_not_come() {
        use Sign::{Moving, Queued, Stuck};
        for (notes, late) in [
            (vec![(0, Stuck), (119, Stuck)], false),
            (vec![(0, Stuck), (120, Stuck)], true),
            // One sign of life, and it begins anew.
            (vec![(0, Stuck), (100, Queued), (120, Stuck)], false),
            (vec![(0, Stuck), (100, Moving), (219, Stuck)], false),
            (vec![(0, Queued), (3599, Queued)], false),
            (vec![(0, Queued), (3600, Queued)], true),
            (vec![(0, Queued), (1000, Moving), (4000, Queued)], false),
        ] {
            assert_eq!(overdue(&notes), late, "{notes:?}");
        }
    }

    #[test]
    fn what_is_not_named_is_forgotten_and_others_are_not_touched() {
        let mut patience = Patience::default();
        let none = BTreeSet::new();
        patience.note("me", &signs(Sign::Stuck), &signs(Sign::Stuck).into_keys().collect(), at(0));
        patience.note("other", &signs(Sign::Stuck), &none, at(0));
        assert_eq!(patience.tried("me"), [("1".to_owned(), at(0))].into());
        patience.note("me", &BTreeMap::new(), &none, at(60));
        patience.note("me", &signs(Sign::Stuck), &none, at(130));
        assert!(patience.overdue("me", BOUNDS, at(130)).is_empty() && patience.tried("me").is_empty());
        assert!(!patience.overdue("other", BOUNDS, at(130)).is_empty());
        patience.note("me", &BTreeMap::new(), &none, at(6 * 3600));
        assert!(patience.waits.is_empty(), "nobody spoke of the other one for hours");
    }

    proptest! {
        /// However it goes, a removal does not wait for ever without anything being made.
        #[test]
        fn no_wait_is_endless(queued in proptest::collection::vec(any::<bool>(), 500)) {
            let notes: Vec<(i64, Sign)> = (0..).step_by(10)
                .zip(queued.into_iter().map(|q| if q { Sign::Queued } else { Sign::Stuck }))
                .collect();
            prop_assert!(overdue(&notes));
        }
    }
}
