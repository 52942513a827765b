//! The ledger of a binding: what is ours in AWS, and whom each principal of the spec meant when it was bound first.
//!
//! Assignments cannot carry a mark (design.md rule 4), so each is entered here before it is created, and only what
//! is entered here is ever removed.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use crate::api::v1alpha1::PermissionSetBinding;
use crate::clients::aws::assignments::{PrincipalId, PrincipalKind};
use crate::controllers::context::{Context, is_written_by_us};
use crate::engine::plan_assignments::Grant;
use crate::problem::{Class, Problem};
use crate::status::Reason;

const SET_ARN: &str = "permissionSetArn";
const PINS: &str = "principals.json";
const UNPROVEN: &str = "unproven.json";

/// Whom a principal of the spec means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The object in the identity store.
    pub id: PrincipalId,
    /// The ids that identity providers gave it.
    pub external_ids: BTreeSet<String>,
}

/// The ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The permission set whose assignments these are.
    pub set_arn: Option<String>,
    /// Whom each principal means, by its name in messages.
    pub pins: BTreeMap<String, Pin>,
    /// What is ours.
    pub grants: BTreeSet<Grant>,
    /// Principals that a person must approve because an earlier ledger was lost, and whom to compare each with.
    pub unproven: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPin {
    principal: String,
    kind: String,
    id: String,
    #[serde(default)]
    external_ids: BTreeSet<String>,
}

/// The name of a binding's ledger.
pub fn name(object: &PermissionSetBinding) -> String {
    format!("{}-ledger", object.name_any())
}

impl Ledger {
    /// Reads the ledger; a lost one is empty.
    ///
    /// # Errors
    /// `OwnedByOther` when it cannot be read: nothing may be removed on a guess. API server trouble.
    pub async fn read(object: &PermissionSetBinding, context: &Context) -> Result<Self, Problem> {
        let namespace = object.namespace().unwrap_or_default();
        let map = context.config_map(&namespace, &name(object)).await?;
        // One that is not ours names what may be removed as little as it may be written.
        let data = match map {
            None => Some(BTreeMap::new()),
            Some(map) => is_written_by_us(&map).then(|| map.data.unwrap_or_default()),
        };
        data.and_then(Self::parse).ok_or_else(|| {
            let message = format!(
                "ConfigMap {} in namespace {namespace} is no ledger of Causeway: delete it, and what exists will be entered anew",
                name(object)
            );
            Problem::new(Class::Blocked, Reason::OwnedByOther, message)
        })
    }

    /// Writes the ledger, if it says something else than the stored one.
    ///
    /// # Errors
    /// A ConfigMap of that name that is somebody else's; class Conflict; API server trouble.
    pub async fn write(&self, object: &PermissionSetBinding, context: &Context) -> Result<bool, Problem> {
        context.apply_config_map(object, &name(object), self.data()).await
    }

    fn parse(data: BTreeMap<String, String>) -> Option<Self> {
        let mut ledger = Self::default();
        for (key, value) in data {
            match key.as_str() {
                SET_ARN => ledger.set_arn = Some(value),
                PINS => {
                    for pin in serde_json::from_str::<Vec<StoredPin>>(&value).ok()? {
                        let id = PrincipalId { kind: kind(&pin.kind)?, id: pin.id };
                        ledger.pins.insert(pin.principal, Pin { id, external_ids: pin.external_ids });
                    }
                }
                UNPROVEN => ledger.unproven = serde_json::from_str(&value).ok()?,
                other => {
                    let (word, id) = other.split_once('.')?;
                    let principal = PrincipalId { kind: kind(word)?, id: id.to_owned() };
                    let grants = value
                        .split_ascii_whitespace()
                        .map(|account| Grant { account: account.to_owned(), principal: principal.clone() });
                    ledger.grants.extend(grants);
                }
            }
        }
        Some(ledger)
    }

    /// One key for each principal: ten thousand assignments take a tenth of what a ConfigMap may hold.
    fn data(&self) -> BTreeMap<String, String> {
        let mut data: BTreeMap<String, String> = BTreeMap::new();
        for grant in &self.grants {
            let accounts =
                data.entry(format!("{}.{}", word(grant.principal.kind), grant.principal.id)).or_default();
            if !accounts.is_empty() {
                accounts.push(' ');
            }
            accounts.push_str(&grant.account);
        }
        let pins: Vec<StoredPin> = self
            .pins
            .iter()
            .map(|(principal, pin)| StoredPin {
                principal: principal.clone(),
                kind: word(pin.id.kind).to_owned(),
                id: pin.id.id.clone(),
                external_ids: pin.external_ids.clone(),
            })
            .collect();
        data.insert(PINS.to_owned(), serde_json::to_string(&pins).expect("strings are always JSON"));
        data.extend(self.set_arn.clone().map(|arn| (SET_ARN.to_owned(), arn)));
        if !self.unproven.is_empty() {
            let unproven = serde_json::to_string(&self.unproven).expect("strings are always JSON");
            data.insert(UNPROVEN.to_owned(), unproven);
        }
        data
    }

    /// Whether it is about a permission set of another instance: `…/ssoins-…/ps-…` says of which (contract aws 1.1).
    #[must_use]
    pub fn is_of_another(&self, instance_arn: &str) -> bool {
        let of_set =
            self.set_arn.as_deref().and_then(|arn| arn.split('/').find(|p| p.starts_with("ssoins-")));
        let here = instance_arn.rsplit('/').next().unwrap_or_default();
        of_set.is_some_and(|instance| here.starts_with("ssoins-") && instance != here)
    }

    /// How the pinned principals are called, by id.
    #[must_use]
    pub fn names(&self) -> BTreeMap<PrincipalId, String> {
        self.pins.iter().map(|(name, pin)| (pin.id.clone(), name.clone())).collect()
    }

    /// The ledger of the given permission set: assignments of another one went with it.
    #[must_use]
    pub fn of_set(mut self, set_arn: &str) -> Self {
        if self.set_arn.as_deref() != Some(set_arn) {
            self.grants.clear();
            self.set_arn = Some(set_arn.to_owned());
        }
        self
    }
}

const fn word(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Group => "group",
        PrincipalKind::User => "user",
    }
}

fn kind(word: &str) -> Option<PrincipalKind> {
    match word {
        "group" => Some(PrincipalKind::Group),
        "user" => Some(PrincipalKind::User),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let id = PrincipalId { kind: PrincipalKind::Group, id: "9067e3-aa".into() };
        let user = PrincipalId { kind: PrincipalKind::User, id: "u1".into() };
        let grant = |account: &str, principal: &PrincipalId| Grant {
            account: account.into(),
            principal: principal.clone(),
        };
        Ledger {
            set_arn: Some("arn:set".into()),
            pins: [(
                "group \"aws engineers\"".to_owned(),
                Pin { id: id.clone(), external_ids: ["e1".to_owned()].into() },
            )]
            .into(),
            grants: [grant("111122223333", &id), grant("222233334444", &id), grant("111122223333", &user)]
                .into(),
            unproven: [("group \"new\"".to_owned(), "group x on account 1".to_owned())].into(),
        }
    }

    #[test]
    fn a_ledger_knows_whose_instance_it_is_about() {
        let of = |arn: Option<&str>| Ledger { set_arn: arn.map(str::to_owned), ..Ledger::default() };
        let here = "arn:aws:sso:::instance/ssoins-1111222233334444";
        let set = |instance: &str| format!("arn:aws:sso:::permissionSet/{instance}/ps-aaaabbbbccccdddd");
        assert!(!of(None).is_of_another(here));
        assert!(!of(Some(&set("ssoins-1111222233334444"))).is_of_another(here));
        assert!(of(Some(&set("ssoins-9999222233334444"))).is_of_another(here));
        assert!(!of(Some("arn:set")).is_of_another(here), "nobody can tell");
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let data = ledger().data();
        assert_eq!(data["group.9067e3-aa"], "111122223333 222233334444");
        assert_eq!(Ledger::parse(data), Some(ledger()));
        assert_eq!(Ledger::parse(BTreeMap::new()), Some(Ledger::default()));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_an_empty_ledger() {
        for (key, value) in [("something", "x"), ("robot.1", "111122223333"), (PINS, "{")] {
            assert_eq!(Ledger::parse([(key.to_owned(), value.to_owned())].into()), None, "{key}");
        }
    }

    #[test]
    fn a_recreated_permission_set_has_no_assignments_of_ours() {
        assert_eq!(ledger().of_set("arn:set"), ledger());
        let other = ledger().of_set("arn:other");
        assert!(other.grants.is_empty() && other.pins == ledger().pins);
    }

    proptest::proptest! {
        /// A ledger that people have written into names no more than it says, or is none; it never reads as less.
        #[test]
        fn fuzz_any_config_map_is_a_ledger_or_none(
            data in proptest::collection::btree_map(
                "(permissionSetArn|principals.json|unproven.json|(group|user|robot)\\.[0-9a-f-]{0,8}|.{0,8})",
                "([0-9 \n]{0,30}|.{0,30}|\\[\\{\"principal\":\"p\",\"kind\":\"(user|x)\",\"id\":\"i\"\\}\\]|\\{\"a\":\"b\"\\})",
                0..5,
            ),
        ) {
            if let Some(read) = Ledger::parse(data.clone()) {
                assert_eq!(Ledger::parse(read.data()), Some(read.clone()));
                let texts: Vec<&str> = data.values().flat_map(|v| v.split_ascii_whitespace()).collect();
                assert!(read.grants.iter().all(|g| texts.contains(&g.account.as_str())));
                for (key, value) in data.iter().filter(|(key, _)| key.starts_with("group.")) {
                    let id = key.trim_start_matches("group.");
                    let of = read.grants.iter().filter(|g| g.principal.id == id && g.principal.kind == PrincipalKind::Group);
                    let named: BTreeSet<&str> = value.split_ascii_whitespace().collect();
                    assert_eq!(of.count(), named.len());
                }
            }
        }
    }
}
