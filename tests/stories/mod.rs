//! The stories of `examples/` that are not the journey.

mod aws_groups;
mod leaves;
mod party;
mod two_parties;

use std::collections::BTreeSet;

use sandbox::sign_in::Verdict;

use crate::support::world::TestWorld;

/// The application's id, read from the tenant.
fn app_id(world: &TestWorld) -> String {
    let applications = world.sandbox.entra.world().applications;
    assert_eq!(applications.len(), 1, "one application");
    applications[0].app_id.clone().expect("an id")
}

/// What a person sees after signing in: account and permission set; none when refused.
fn access(world: &TestWorld, who: &str) -> Option<BTreeSet<(String, String)>> {
    let came = world.sandbox.sign_in(who, &app_id(world));
    (came.verdict == Verdict::Admitted).then(|| {
        came.access
            .into_iter()
            .flat_map(|a| a.roles.into_iter().map(move |r| (a.account_id.clone(), r)))
            .collect()
    })
}

/// Accounts on which somebody has one permission set.
fn on(set: &str, accounts: &[&str]) -> BTreeSet<(String, String)> {
    accounts.iter().map(|account| ((*account).to_owned(), set.to_owned())).collect()
}
