//! The stories of `examples/` that are not the journey.

mod aws_groups;
mod by_hand;
mod leaves;
mod party;
pub mod two_parties;

use std::collections::BTreeSet;

/// Accounts on which somebody has one permission set.
fn on(set: &str, accounts: &[&str]) -> BTreeSet<(String, String)> {
    accounts.iter().map(|account| ((*account).to_owned(), set.to_owned())).collect()
}
