//! Least privilege: what `docs/permissions.md` and the policies in `examples/operator/` list is enough for everything,
//! all of it is used, and each missing part is named.

mod journey;
mod single;

use causeway::clients::aws::actions::{self, Action};
use causeway::clients::entra::permissions;
use sandbox::world::World;
use serde_json::Value;

use crate::support::credentials::CLIENT;

/// The policies as people attach them.
const BASE: &str = include_str!("../../examples/operator/iam-policy.json");
const MANAGEMENT: &str = include_str!("../../examples/operator/iam-policy-management-account.json");

/// The delegated administrator in these tests.
const DELEGATED: &str = "777788889999";

/// The actions of a policy.
fn allowed(policy: &str) -> Vec<String> {
    let policy: Value = serde_json::from_str(policy).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|s| s["Action"].as_array().expect("a list of actions"));
    actions.map(|a| a.as_str().expect("text").to_owned()).collect()
}

/// The names of the Graph permissions.
fn graph() -> Vec<String> {
    permissions::ALL.iter().map(|need| need.name.to_owned()).collect()
}

/// The operator's principals have exactly what is documented: in Entra, and in AWS in one account or the other.
fn restrict(world: &mut World, delegated: bool) {
    let client = world.tenant.clients.iter_mut().find(|c| c.client_id == CLIENT).expect("the operator's");
    client.permissions = graph();
    let key = &mut world.organization.access_keys[0];
    key.actions = allowed(BASE);
    if delegated {
        key.account_id = Some(DELEGATED.into());
        world.organization.delegated_administrator = Some(DELEGATED.into());
        // Not confirmed, and the harder of the two (contract aws 1.6).
        world.identity_center.behaviours.by_principal_management_only = true;
    } else {
        key.actions.extend(allowed(MANAGEMENT));
    }
}

#[test]
fn the_policies_hold_what_the_code_lists() {
    let mut listed: Vec<&str> = actions::ALL.iter().map(|a: &Action| a.name).collect();
    let (base, management) = (allowed(BASE), allowed(MANAGEMENT));
    let mut held: Vec<&str> = base.iter().chain(&management).map(String::as_str).collect();
    listed.sort_unstable();
    held.sort_unstable();
    assert_eq!(listed, held);
    assert!(held.iter().all(|a| !a.contains('*')), "every action by name");
    // What AWS takes for one managed policy, without blanks (6,144 characters).
    for policy in [BASE, MANAGEMENT] {
        assert!(policy.chars().filter(|c| !c.is_whitespace()).count() <= 6_144);
    }
}
