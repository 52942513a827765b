//! The ledger: which roles this federation assigned to whom. Assignments carry no mark, so one is entered before it
//! is made, and only what is entered is ever taken away.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::v1alpha1::IdentityFederation;
use crate::controllers::context::{Context, is_written_by_us};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// What was assigned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Object id of the principal.
    pub principal: String,
    /// The role; empty when somebody broke the key.
    pub role: String,
}

impl Grant {
    /// A role of a principal.
    pub fn new(principal: &str, role: &str) -> Self {
        Self { principal: principal.to_owned(), role: role.to_owned() }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// How the spec named the principal, such as `group "aws-engineers"`.
    pub reference: String,
    /// When it was entered.
    pub since: Timestamp,
}

/// All entries.
pub type Ledger = BTreeMap<Grant, Entry>;

/// The name of the ConfigMap.
pub fn config_map_name(federation: &str) -> String {
    format!("{federation}-assignments")
}

/// The ledger as it is stored: `<principal>.<role>` is `<RFC 3339> <reference>`.
pub fn encode(ledger: &Ledger) -> BTreeMap<String, String> {
    let key = |grant: &Grant| match grant.role.as_str() {
        "" => grant.principal.clone(),
        role => format!("{}.{role}", grant.principal),
    };
    ledger.iter().map(|(g, e)| (key(g), format!("{} {}", whole_seconds(e.since), e.reference))).collect()
}

/// What is stored; a value that somebody broke counts as entered long ago under no name, so that its principal and
/// role are kept.
pub fn decode(data: &BTreeMap<String, String>) -> Ledger {
    data.iter()
        .map(|(key, text)| {
            let (principal, role) = key.split_once('.').unwrap_or((key, ""));
            let (since, reference) = text.split_once(' ').unwrap_or(("", text));
            let since = since.parse().unwrap_or(Timestamp::UNIX_EPOCH);
            (Grant::new(principal, role), Entry { reference: reference.to_owned(), since })
        })
        .collect()
}

fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// Reads the ledger anew.
///
/// # Errors
/// `OwnedByOther` when the ConfigMap is not ours: it then names what may be removed as little as it may be written.
pub async fn read(object: &IdentityFederation, context: &Context) -> Result<Ledger, Problem> {
    let namespace = object.namespace().unwrap_or_default();
    let name = config_map_name(&object.name_any());
    let map = context.config_map(&namespace, &name).await?;
    if map.as_ref().is_some_and(|m| !is_written_by_us(m)) {
        let message = format!(
            "ConfigMap {name} in namespace {namespace} is no ledger of Causeway: delete or rename it"
        );
        return Err(Problem::new(Class::Blocked, Reason::OwnedByOther, message));
    }
    Ok(map.and_then(|m| m.data).map(|d| decode(&d)).unwrap_or_default())
}

/// Writes the ledger if it differs from what is stored.
pub async fn write(object: &IdentityFederation, context: &Context, ledger: &Ledger) -> Result<bool, Problem> {
    context.apply_config_map(object, &config_map_name(&object.name_any()), encode(ledger)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let since: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let entry = |reference: &str| Entry { reference: reference.into(), since };
        let ledger: Ledger = [
            (Grant::new("a", "r"), entry("group \"aws engineers\"")),
            (Grant::new("a", "s"), entry("group \"aws engineers\"")),
            (Grant::new("b", "r"), entry("user ada@acme.example")),
            (Grant::new("c", ""), entry("user ben@acme.example")),
        ]
        .into();
        assert_eq!(decode(&encode(&ledger)), ledger);
        assert_eq!(encode(&ledger)["b.r"], "2026-03-01T10:00:00Z user ada@acme.example");
        assert_eq!(encode(&ledger).len(), 4);
    }

    #[test]
    fn a_broken_value_keeps_its_principal_and_role_and_a_broken_key_its_principal() {
        let broken = decode(&[("a.r".into(), "nonsense".into()), ("b".into(), String::new())].into());
        let entry = |reference: &str| Entry { reference: reference.into(), since: Timestamp::UNIX_EPOCH };
        assert_eq!(broken[&Grant::new("a", "r")], entry("nonsense"));
        assert_eq!(broken[&Grant::new("b", "")], entry(""));
    }
}
