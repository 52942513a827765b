//! Accounts and organizational units.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::core::Ids;
use crate::world::{self, AccessKey, Organization};

/// The organization.
#[derive(Clone)]
pub(crate) struct Org {
    pub id: String,
    pub management_account_id: String,
    /// `r-` and four characters.
    pub root: String,
    pub units: BTreeMap<String, Unit>,
    pub accounts: BTreeMap<String, Account>,
    pub delegated_administrator: Option<String>,
    pub access_keys: Vec<AccessKey>,
    pub paths: bool,
    pub account_status: bool,
    pub account_state: bool,
    pub since: Timestamp,
}

// Access keys must not print.
impl std::fmt::Debug for Org {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Org").field("id", &self.id).field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// An organizational unit.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub id: String,
    pub name: String,
    /// A unit or the root.
    pub parent: String,
}

/// An account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub id: String,
    pub name: String,
    pub email: String,
    /// Contract aws 6: `PENDING_ACTIVATION`, `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE`, `CLOSED`.
    pub state: String,
    pub parent: String,
    pub tags: BTreeMap<String, String>,
    pub joined: Timestamp,
}

/// States that an account can be in (contract aws 6).
pub(crate) const STATES: [&str; 5] =
    ["PENDING_ACTIVATION", "ACTIVE", "SUSPENDED", "PENDING_CLOSURE", "CLOSED"];

impl Org {
    pub fn new(world: &Organization, ids: &Ids, at: Timestamp) -> Self {
        let mut org = Self {
            id: world.id.clone(),
            management_account_id: world.management_account_id.clone(),
            root: format!("r-{}", ids.hex(4)),
            units: BTreeMap::new(),
            accounts: BTreeMap::new(),
            delegated_administrator: world.delegated_administrator.clone(),
            access_keys: world.access_keys.clone(),
            paths: world.paths,
            account_status: world.account_status,
            account_state: world.account_state,
            since: at,
        };
        for path in &world.organizational_units {
            org.unit_at(path, ids);
        }
        let management = world::Account {
            id: Some(world.management_account_id.clone()),
            name: "Management".into(),
            ..world::Account::default()
        };
        if !world.accounts.iter().any(|a| a.id == management.id) {
            org.add_account(&management, ids, at);
        }
        for account in &world.accounts {
            org.add_account(account, ids, at);
        }
        org
    }

    /// The id of the unit at a path such as `/Workloads/Prod`; missing units are made.
    pub fn unit_at(&mut self, path: &str, ids: &Ids) -> String {
        let mut parent = self.root.clone();
        for name in path.split('/').filter(|p| !p.is_empty()) {
            let found =
                self.units.values().find(|u| u.parent == parent && u.name == name).map(|u| u.id.clone());
            parent = found.unwrap_or_else(|| {
                let id = format!("ou-{}-{}", self.root.trim_start_matches("r-"), ids.hex(8));
                let unit = Unit { id: id.clone(), name: name.to_owned(), parent: parent.clone() };
                self.units.insert(id.clone(), unit);
                id
            });
        }
        parent
    }

    pub fn add_account(&mut self, world: &world::Account, ids: &Ids, at: Timestamp) -> String {
        let id = world.id.clone().unwrap_or_else(|| {
            loop {
                let id = ids.digits(12);
                if !self.accounts.contains_key(&id) {
                    break id;
                }
            }
        });
        let parent = self.unit_at(world.organizational_unit.as_deref().unwrap_or_default(), ids);
        let mail: String = world
            .name
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let account = Account {
            id: id.clone(),
            name: world.name.clone(),
            email: format!("aws+{}@acme.example", mail.get(..40).unwrap_or(&mail)),
            state: world.state.clone().unwrap_or_else(|| "ACTIVE".into()),
            parent,
            tags: world.tags.clone(),
            joined: at,
        };
        self.accounts.insert(id.clone(), account);
        id
    }

    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// Whether an account is the management account or the delegated administrator.
    pub fn administers(&self, account: &str) -> bool {
        self.management_account_id == account || self.delegated_administrator.as_deref() == Some(account)
    }

    /// Ids from the root down to `parent`.
    fn lineage(&self, parent: &str) -> Vec<String> {
        let mut out = vec![parent.to_owned()];
        let mut at = parent;
        while let Some(unit) = self.units.get(at) {
            out.push(unit.parent.clone());
            at = &unit.parent;
        }
        out.reverse();
        out
    }

    /// `o-x/r-y/ou-a/123456789012/` for an account, `o-x/r-y/ou-a/` for a unit (contract aws 6).
    pub fn path(&self, parent: &str, last: &str) -> String {
        format!("{}/{}/{last}/", self.id, self.lineage(parent).join("/"))
    }

    /// The path by names, as the world file writes it: `/Workloads/Prod`; None for the root.
    pub fn named_path(&self, parent: &str) -> Option<String> {
        let names: Vec<&str> = self
            .lineage(parent)
            .iter()
            .filter_map(|id| self.units.get(id))
            .map(|u| u.name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("/{}", names.join("/")))
    }

    /// Back to what the world file says.
    pub fn to_world(&self) -> Organization {
        let mut units: Vec<String> = self.units.keys().filter_map(|id| self.named_path(id)).collect();
        units.sort();
        let accounts = self
            .accounts
            .values()
            .filter(|a| a.id != self.management_account_id || !a.tags.is_empty() || a.name != "Management")
            .map(|a| world::Account {
                id: Some(a.id.clone()),
                name: a.name.clone(),
                organizational_unit: self.named_path(&a.parent),
                tags: a.tags.clone(),
                state: (a.state != "ACTIVE").then(|| a.state.clone()),
            })
            .collect();
        Organization {
            id: self.id.clone(),
            management_account_id: self.management_account_id.clone(),
            organizational_units: units,
            accounts,
            delegated_administrator: self.delegated_administrator.clone(),
            access_keys: self.access_keys.clone(),
            paths: self.paths,
            account_status: self.account_status,
            account_state: self.account_state,
        }
    }
}
