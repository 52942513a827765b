use std::collections::{BTreeMap, HashSet};

use super::{Growth, World};

const COMPANY: &str = include_str!("../../worlds/company.yaml");
const EMPTY: &str = include_str!("../../worlds/empty.yaml");

/// Why a world cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Neither a built-in name nor a readable file.
    #[error(
        "world {name}: {source}; built in are company, company-enabled and empty, anything else is a file's path"
    )]
    Read {
        /// As given.
        name: String,
        /// What reading it came to.
        source: std::io::Error,
    },
    /// Not YAML, an unknown key or a wrong type; names line and column.
    #[error("world {name}: {source}")]
    Parse {
        /// As given.
        name: String,
        /// What is wrong, and where.
        source: serde_yaml_ng::Error,
    },
    /// Well-formed, but it contradicts itself.
    #[error("world {name}:\n  {}", problems.join("\n  "))]
    Invalid {
        /// As given.
        name: String,
        /// All that is wrong.
        problems: Vec<String>,
    },
}

impl World {
    /// A built-in world (`company`, `company-enabled`, `empty`) or a YAML file.
    ///
    /// # Errors
    /// When it cannot be read, has a key that nobody knows (with its line), or contradicts itself.
    pub fn load(name: &str) -> Result<Self, WorldError> {
        match name {
            "company" => Self::parse(name, COMPANY),
            "empty" => Self::parse(name, EMPTY),
            "company-enabled" => Self::parse(name, COMPANY).map(Self::enabled),
            path => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| WorldError::Read { name: path.to_owned(), source })?;
                Self::parse(path, &text)
            }
        }
    }

    /// A world from YAML; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(name: &str, text: &str) -> Result<Self, WorldError> {
        let name = name.to_owned();
        let world: Self = match serde_yaml_ng::from_str(text) {
            Ok(world) => world,
            Err(source) => return Err(WorldError::Parse { name, source }),
        };
        let problems = world.problems();
        if problems.is_empty() { Ok(world) } else { Err(WorldError::Invalid { name, problems }) }
    }

    /// The same company after every manual step on AWS's side, with thirty accounts. What Entra's application signs
    /// with does not exist before the application, so its certificate is the one thing still to hand over.
    fn enabled(mut self) -> Self {
        self.identity_center.enabled = true;
        self.identity_center.external_identity_provider = true;
        self.identity_center.automatic_provisioning = true;
        self.grow(Growth { accounts: Some(30), ..Growth::default() }, 1);
        self
    }

    /// Everything that the types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.tenant_problems(&mut found);
        self.organization_problems(&mut found);
        self.identity_center_problems(&mut found);
        self.iam_problems(&mut found);
        found
    }

    fn tenant_problems(&self, found: &mut Vec<String>) {
        let tenant = &self.tenant;
        if uuid::Uuid::parse_str(&tenant.id).is_err() {
            found.push(format!("tenant.id: {:?} is not a UUID", tenant.id));
        }
        if tenant.domains.is_empty() {
            found.push("tenant.domains: at least one is needed".into());
        }
        let users: HashSet<String> =
            tenant.users.iter().map(|u| u.user_principal_name.to_lowercase()).collect();
        if users.len() != tenant.users.len() {
            found.push("tenant.users: a userPrincipalName occurs twice".into());
        }
        for user in &tenant.users {
            if !user.user_principal_name.contains('@') {
                found
                    .push(format!("tenant.users: userPrincipalName {:?} has no @", user.user_principal_name));
            }
        }
        let groups: HashSet<&str> = tenant.groups.iter().map(|g| g.display_name.as_str()).collect();
        for group in &tenant.groups {
            for member in &group.members {
                if !users.contains(&member.to_lowercase()) && !groups.contains(member.as_str()) {
                    found.push(format!(
                        "tenant.groups: {} has the member {member:?}, which is neither user nor group",
                        group.display_name
                    ));
                }
            }
        }
    }

    fn organization_problems(&self, found: &mut Vec<String>) {
        let organization = &self.organization;
        let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
        ids.insert(&organization.management_account_id, "the management account");
        for account in &organization.accounts {
            let Some(id) = &account.id else { continue };
            if let Some(other) = ids.insert(id, &account.name) {
                found.push(format!(
                    "organization.accounts: {id} is the id of both {other} and {}",
                    account.name
                ));
            }
        }
        for (id, name) in ids {
            if id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit()) {
                found.push(format!("organization: the id {id:?} of {name} is not twelve digits"));
            }
        }
        let units = organization.accounts.iter().filter_map(|a| a.organizational_unit.as_ref());
        for path in units.chain(&organization.organizational_units) {
            if !path.starts_with('/') || path.ends_with('/') {
                found.push(format!("organization: the unit {path:?} is not a path such as /Workloads/Prod"));
            }
        }
        const STATES: [&str; 5] = ["PENDING_ACTIVATION", "ACTIVE", "SUSPENDED", "PENDING_CLOSURE", "CLOSED"];
        for account in &organization.accounts {
            if let Some(state) = account.state.as_deref().filter(|s| !STATES.contains(s)) {
                found.push(format!(
                    "organization.accounts: {} has the state {state:?}, known are {}",
                    account.name,
                    STATES.join(", ")
                ));
            }
        }
    }

    fn iam_problems(&self, found: &mut Vec<String>) {
        for (account, iam) in &self.iam {
            for role in &iam.roles {
                let name = format!("iam.{account}.roles: {}", role.name);
                if role.path.as_ref().is_some_and(|p| !p.starts_with('/') || !p.ends_with('/')) {
                    found.push(format!("{name} has a path that does not begin and end with a slash"));
                }
                let policy = role.trust_policy.iter().flat_map(crate::aws::trust_problems);
                found.extend(policy.map(|problem| format!("{name} has a trustPolicy that {problem}")));
                if role.trust_policy.is_some() && role.external_id.is_some() {
                    found.push(format!("{name} has a trustPolicy, so externalId belongs into its Condition"));
                }
            }
            for provider in iam.oidc_providers.iter().filter(|p| !p.url.starts_with("https://")) {
                found.push(format!("iam.{account}.oidcProviders: {:?} is no https address", provider.url));
            }
        }
    }

    fn identity_center_problems(&self, found: &mut Vec<String>) {
        let center = &self.identity_center;
        let sets: HashSet<&str> = center.permission_sets.iter().map(|s| s.name.as_str()).collect();
        let users: HashSet<&str> = center.users.iter().map(|u| u.user_name.as_str()).collect();
        let groups: HashSet<&str> = center.groups.iter().map(|g| g.display_name.as_str()).collect();
        for assignment in &center.assignments {
            let mut missing = |what: &str, name: &str| {
                found.push(format!("identityCenter.assignments: no {what} {name:?} in this world"));
            };
            if !sets.contains(assignment.permission_set.as_str()) {
                missing("permission set", &assignment.permission_set);
            }
            match (&assignment.group, &assignment.user) {
                (Some(group), None) if !groups.contains(group.as_str()) => missing("group", group),
                (None, Some(user)) if !users.contains(user.as_str()) => missing("user", user),
                (Some(_), None) | (None, Some(_)) => {}
                _ => {
                    found.push("identityCenter.assignments: each names exactly one of group and user".into())
                }
            }
        }
        for group in &center.groups {
            for member in group.members.iter().filter(|m| !users.contains(m.as_str())) {
                found.push(format!(
                    "identityCenter.groups: {} has the member {member:?}, which is no user there",
                    group.display_name
                ));
            }
        }
        if !center.enabled
            && (center.automatic_provisioning || center.external_identity_provider || !sets.is_empty())
        {
            found.push("identityCenter: it holds things although it is not enabled".into());
        }
        if center.automatic_provisioning && !center.external_identity_provider {
            found.push("identityCenter: automaticProvisioning needs externalIdentityProvider".into());
        }
    }
}
