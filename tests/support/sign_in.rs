//! What people get who sign in.

use std::collections::BTreeSet;

use sandbox::sign_in::Verdict;

use super::world::TestWorld;

/// The application's id, read from the tenant.
pub fn app_id(world: &TestWorld) -> String {
    let applications = world.sandbox.entra.world().applications;
    assert_eq!(applications.len(), 1, "one application");
    applications[0].app_id.clone().expect("an id")
}

/// What a person sees after signing in: account and permission set; none when refused.
pub fn access(world: &TestWorld, who: &str) -> Option<BTreeSet<(String, String)>> {
    let came = world.sandbox.sign_in(who, &app_id(world));
    (came.verdict == Verdict::Admitted).then(|| {
        came.access
            .into_iter()
            .flat_map(|a| a.roles.into_iter().map(move |r| (a.account_id.clone(), r)))
            .collect()
    })
}
