use proptest::prelude::*;

use super::*;

#[test]
fn the_built_in_worlds_load() {
    let company = World::load("company").unwrap();
    assert_eq!(company.tenant.users.len(), 12);
    assert!(!company.identity_center.enabled);
    assert!(company.organization.access_keys.iter().all(|k| k.access_key_id.len() == 20));
    let enabled = World::load("company-enabled").unwrap();
    assert_eq!(enabled.organization.accounts.len(), 30);
    assert!(enabled.identity_center.automatic_provisioning);
    assert!(World::load("empty").unwrap().tenant.users.is_empty());
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let error = World::parse("w.yaml", "tenant:\n  users:\n  - userPrincipalName: a@b\n    shoeSize: 43\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("shoeSize") && error.contains("line 4"), "{error}");
    let error = World::parse("w.yaml", "tenant: {}\norganisation: {}\n").unwrap_err().to_string();
    assert!(error.contains("organisation") && error.contains("line 2"), "{error}");
}

#[test]
fn contradictions_are_refused_all_at_once() {
    let text = "
tenant: {id: nope, groups: [{displayName: g, members: [ghost]}]}
organization: {accounts: [{id: '12', name: short, organizationalUnit: Workloads}]}
identityCenter: {automaticProvisioning: true}
";
    let WorldError::Invalid { problems, .. } = World::parse("w.yaml", text).unwrap_err() else {
        panic!("not invalid")
    };
    for wanted in
        ["tenant.id", "ghost", "twelve digits", "\"Workloads\"", "not enabled", "externalIdentityProvider"]
    {
        assert!(problems.iter().any(|p| p.contains(wanted)), "{wanted} in {problems:#?}");
    }
}

#[test]
fn a_world_survives_a_round_trip() {
    let world = World::load("company").unwrap();
    let text = serde_yaml_ng::to_string(&world).unwrap();
    assert_eq!(World::parse("again", &text).unwrap(), world);
}

#[test]
fn growth_is_the_same_for_the_same_seed_and_keeps_what_is_there() {
    let growth = Growth { accounts: Some(1000), groups: Some(500), users: Some(5000) };
    let grown = |growth, seed| {
        let mut world = World::load("company").unwrap();
        world.grow(growth, seed);
        world
    };
    let world = grown(growth, 7);
    assert_eq!(world, grown(growth, 7));
    assert_ne!(world, grown(growth, 8));
    let tenant = &world.tenant;
    assert_eq!(
        (world.organization.accounts.len(), tenant.groups.len(), tenant.users.len()),
        (1000, 500, 5000)
    );
    assert_eq!(tenant.users[0].user_principal_name, "ada@acme.example");
    assert!(world.problems().is_empty());
    // More people do not mean other accounts.
    let fewer = grown(Growth { accounts: Some(1000), ..Growth::default() }, 7);
    assert_eq!(fewer.organization, world.organization);
}

proptest! {
    #[test]
    fn fuzz_an_edited_world_is_taken_or_refused_in_words(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5, "[ -~\n]{0,12}"), 1..8),
    ) {
        let mut lines: Vec<String> = include_str!("../../worlds/company.yaml").lines().map(str::to_owned).collect();
        for (at, other, act, text) in edits {
            let (at, other) = (at.index(lines.len()), other.index(lines.len()));
            match act {
                0 => _ = lines.remove(at),
                1 => lines.swap(at, other),
                2 => lines.insert(at, lines[other].clone()),
                3 => lines[at].push_str(&text),
                _ => lines[at] = text,
            }
            if lines.is_empty() {
                lines.push(String::new());
            }
        }
        match World::parse("w.yaml", &lines.join("\n")) {
            // What it took comes back the same.
            Ok(world) => {
                let again = serde_yaml_ng::to_string(&world).unwrap();
                prop_assert_eq!(World::parse("again.yaml", &again).unwrap(), world);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("world w.yaml")),
        }
    }
}
