//! The ledger: which principals this federation assigned. Assignments carry no mark, so a principal is entered
//! before it is assigned, and only what is entered is ever taken away.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::v1alpha1::IdentityFederation;
use crate::controllers::context::{Context, is_written_by_us};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// How the spec named the principal, such as `group "aws-engineers"`.
    pub reference: String,
    /// When it was entered.
    pub since: Timestamp,
}

/// All entries, by the principal's object id.
pub type Ledger = BTreeMap<String, Entry>;

/// The name of the ConfigMap.
pub fn config_map_name(federation: &str) -> String {
    format!("{federation}-assignments")
}

/// The ledger as it is stored: one key a principal, `<RFC 3339> <reference>`.
pub fn encode(ledger: &Ledger) -> BTreeMap<String, String> {
    ledger.iter().map(|(id, e)| (id.clone(), format!("{} {}", whole_seconds(e.since), e.reference))).collect()
}

/// What is stored; a value that somebody broke counts as entered long ago under no name, so that it is kept.
pub fn decode(data: &BTreeMap<String, String>) -> Ledger {
    data.iter()
        .map(|(id, text)| {
            let (since, reference) = text.split_once(' ').unwrap_or(("", text));
            let since = since.parse().unwrap_or(Timestamp::UNIX_EPOCH);
            (id.clone(), Entry { reference: reference.to_owned(), since })
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
        let ledger: Ledger =
            [("a".into(), entry("group \"aws engineers\"")), ("b".into(), entry("user ada@acme.example"))]
                .into();
        assert_eq!(decode(&encode(&ledger)), ledger);
        assert_eq!(encode(&ledger)["b"], "2026-03-01T10:00:00Z user ada@acme.example");
    }

    #[test]
    fn a_broken_value_keeps_its_principal() {
        let broken = decode(&[("a".into(), "nonsense".into())].into());
        assert_eq!(broken["a"], Entry { reference: "nonsense".into(), since: Timestamp::UNIX_EPOCH });
    }
}
