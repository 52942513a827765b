//! Whatever passes the schema is read and decided about.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::desired::{Desired, marks, with_mark};
use super::handoff::{Facts, handoff};
use super::ledger::{self, Ledger};
use super::plan::plan;
use super::status;
use crate::api::arbitrary::resource;
use crate::api::v1alpha1::IdentityFederation;

proptest! {
    #[test]
    fn fuzz_any_federation_is_decided_about(stored in resource::<IdentityFederation>(), sha256 in "[0-9a-f]{64}") {
        let object: IdentityFederation = serde_json::from_value(stored).expect("what the schema takes is read");
        let again: IdentityFederation = serde_json::from_value(serde_json::to_value(&object).unwrap()).unwrap();
        prop_assert_eq!(&again, &object);
        let desired = Desired::new(&object, "i/identity/any".into());
        let planned = plan(&desired, None, &Ledger::new(), Timestamp::UNIX_EPOCH, Duration::from_secs(60));
        prop_assert!(!planned.plan.is_empty(), "an application is missing");
        let facts = Facts {
            no_instance: Some(true),
            no_metadata: Some(true),
            unacknowledged: Some(Some(sha256.clone())),
            next: Some(Some(sha256)),
            ..Facts::default()
        };
        let steps = handoff(&object, &facts, None, None).unwrap().pending;
        prop_assert_eq!(steps.len(), 4);
        let told = status::suspended(&object, Timestamp::UNIX_EPOCH).status;
        prop_assert_eq!(told.observed_generation, object.metadata.generation);
    }

    #[test]
    fn fuzz_the_mark_stands_in_any_notes(notes in proptest::option::of("(.|\n){0,200}")) {
        let mark = "i/identity/any";
        let marked = with_mark(notes.as_deref(), mark);
        prop_assert!(marks(Some(&marked)).contains(&mark));
        prop_assert!(marked.starts_with(notes.as_deref().unwrap_or_default()));
    }

    #[test]
    fn fuzz_no_ledger_loses_a_principal(data in proptest::collection::btree_map("[0-9a-f-]{1,36}", ".{0,60}", 0..6)) {
        let read = ledger::decode(&data);
        for key in data.keys() {
            prop_assert!(read.keys().any(|grant| grant.principal == *key), "{key} is lost");
        }
        prop_assert_eq!(ledger::decode(&ledger::encode(&read)), read);
    }
}
