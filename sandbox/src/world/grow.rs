use std::collections::{BTreeMap, HashSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt, SeedableRng};

use super::{Account, Group, User, World};

/// How large a world shall become. What is there already counts and stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    /// Member accounts.
    pub accounts: Option<usize>,
    /// Groups of the tenant.
    pub groups: Option<usize>,
    /// Users of the tenant.
    pub users: Option<usize>,
}

const GIVEN: [&str; 24] = [
    "Amara", "Bruno", "Carmen", "Daniel", "Esme", "Felix", "Gita", "Hana", "Igor", "Joana", "Karim", "Lucia",
    "Mateo", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Sven", "Tala", "Umar", "Vera", "Yusuf", "Zoe",
];
const SURNAMES: [&str; 24] = [
    "Abbas", "Bauer", "Costa", "Diallo", "Eriksen", "Fischer", "Garcia", "Hoang", "Ivanov", "Jansen", "Kaya",
    "Lopez", "Moreau", "Nowak", "Ozturk", "Park", "Rossi", "Silva", "Tanaka", "Ueda", "Varga", "Weber",
    "Yilmaz", "Zhang",
];
const TEAMS: [&str; 20] = [
    "billing",
    "booking",
    "catalog",
    "checkout",
    "data",
    "delivery",
    "fraud",
    "identity",
    "insights",
    "inventory",
    "loyalty",
    "mobile",
    "network",
    "payments",
    "platform",
    "pricing",
    "returns",
    "search",
    "shop",
    "support",
];
const ROLES: [&str; 5] = ["engineers", "oncall", "readers", "analysts", "admins"];
/// Environment, its unit, and how many of ten accounts are in it.
const ENVIRONMENTS: [(&str, &str, u32); 3] =
    [("dev", "/Workloads/Dev", 5), ("prod", "/Workloads/Prod", 4), ("sandbox", "/Sandboxes", 1)];

impl World {
    /// Adds generated people, groups and accounts until the world is as large as asked for: the same ones for the same
    /// seed, whatever else is drawn from it.
    pub fn grow(&mut self, growth: Growth, seed: u64) {
        // One stream each: more users must not mean other accounts.
        let stream = |n: u64| StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(n));
        self.grow_users(growth.users.unwrap_or(0), &mut stream(1));
        self.grow_groups(growth.groups.unwrap_or(0), &mut stream(2));
        self.grow_accounts(growth.accounts.unwrap_or(0), &mut stream(3));
    }

    fn grow_users(&mut self, target: usize, rng: &mut StdRng) {
        let domain = self.tenant.domains.first().map_or("acme.example", String::as_str).to_owned();
        let mut taken: HashSet<String> =
            self.tenant.users.iter().map(|u| u.user_principal_name.to_lowercase()).collect();
        while self.tenant.users.len() < target {
            let (given, surname) = (pick(&GIVEN, rng), pick(&SURNAMES, rng));
            let stem = format!("{given}.{surname}").to_lowercase();
            let upn = unique(&mut taken, |n| {
                if n == 1 { format!("{stem}@{domain}") } else { format!("{stem}{n}@{domain}") }
            });
            self.tenant.users.push(User {
                id: None,
                display_name: format!("{given} {surname}"),
                given_name: Some(given.to_owned()),
                surname: Some(surname.to_owned()),
                mail: Some(upn.clone()),
                department: Some(capitalised(pick(&TEAMS, rng))),
                // Every company has people who left.
                account_enabled: rng.random_ratio(1, 50).then_some(false),
                user_principal_name: upn,
            });
        }
    }

    fn grow_groups(&mut self, target: usize, rng: &mut StdRng) {
        let people: Vec<String> = self.tenant.users.iter().map(|u| u.user_principal_name.clone()).collect();
        let mut taken: HashSet<String> = self.tenant.groups.iter().map(|g| g.display_name.clone()).collect();
        while self.tenant.groups.len() < target {
            let (team, role) = (pick(&TEAMS, rng), pick(&ROLES, rng));
            let display_name = unique(&mut taken, |n| {
                if n == 1 { format!("aws-{team}-{role}") } else { format!("aws-{team}-{role}-{n}") }
            });
            let size = rng.random_range(2..=20).min(people.len());
            let mut members: Vec<String> = people.sample(rng, size).cloned().collect();
            members.sort();
            self.tenant.groups.push(Group { display_name, members, ..Group::default() });
        }
    }

    fn grow_accounts(&mut self, target: usize, rng: &mut StdRng) {
        let organization = &mut self.organization;
        let mut names: HashSet<String> = organization.accounts.iter().map(|a| a.name.clone()).collect();
        let mut ids: HashSet<String> = organization.accounts.iter().filter_map(|a| a.id.clone()).collect();
        ids.insert(organization.management_account_id.clone());
        while organization.accounts.len() < target {
            let team = pick(&TEAMS, rng);
            let mut draw = rng.random_range(0..10);
            let (env, unit, _) = ENVIRONMENTS
                .into_iter()
                .find(|(_, _, share)| {
                    let hit = draw < *share;
                    draw = draw.saturating_sub(*share);
                    hit
                })
                .unwrap_or(ENVIRONMENTS[0]);
            let name = unique(&mut names, |n| {
                if n == 1 { format!("{team}-{env}") } else { format!("{team}-{env}-{n}") }
            });
            let id = loop {
                let id = rng.random_range(200_000_000_000_u64..999_999_999_999).to_string();
                if ids.insert(id.clone()) {
                    break id;
                }
            };
            let mut tags =
                BTreeMap::from([("env".to_owned(), env.to_owned()), ("team".to_owned(), team.to_owned())]);
            if env == "prod" && rng.random_ratio(1, 8) {
                tags.insert("pci".to_owned(), "true".to_owned());
            }
            organization.accounts.push(Account {
                id: Some(id),
                name,
                organizational_unit: Some(unit.to_owned()),
                tags,
                state: None,
            });
        }
        for account in &organization.accounts {
            let unit = account.organizational_unit.as_ref();
            if let Some(unit) = unit.filter(|unit| !organization.organizational_units.contains(unit)) {
                organization.organizational_units.push(unit.clone());
            }
        }
    }
}

fn pick(from: &[&'static str], rng: &mut StdRng) -> &'static str {
    from[rng.random_range(0..from.len())]
}

fn unique(taken: &mut HashSet<String>, name: impl Fn(usize) -> String) -> String {
    let free = (1..).map(name).find(|name| !taken.contains(name)).expect("names are numbered without end");
    taken.insert(free.clone());
    free
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
