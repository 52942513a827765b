//! Whatever passes the schema is read; whatever Entra or people send is edited, or refused in words.

use jiff::Timestamp;
use proptest::prelude::*;

use super::annotations::{self, Reading};
use super::schema::{self, Wanted};
use crate::api::arbitrary::{anything, resource};
use crate::api::v1alpha1::ScimConnection;

proptest! {
    #[test]
    fn fuzz_any_connection_is_read(stored in resource::<ScimConnection>()) {
        let object: ScimConnection = serde_json::from_value(stored).expect("what the schema takes is read");
        let again: ScimConnection = serde_json::from_value(serde_json::to_value(&object).unwrap()).unwrap();
        prop_assert_eq!(again, object);
    }

    #[test]
    fn fuzz_any_schema_is_edited_or_refused(found in anything(), rules in anything(), groups: Option<bool>) {
        let wanted = Wanted { users: [("userName".to_owned(), "mail".to_owned())].into(), groups };
        let mut whole = serde_json::json!({"synchronizationRules": [{"id": "r", "objectMappings": rules}]});
        if let Some(object) = found.as_object() {
            whole.as_object_mut().unwrap().extend(object.clone());
        }
        for schema in [&found, &whole] {
            if let Err(missing) = schema::edit(schema, &wanted) {
                prop_assert!(!missing.is_empty());
            }
            let _ = schema::rule_for_users(schema);
            let _ = schema::targets(schema);
        }
    }

    #[test]
    fn fuzz_any_annotation_is_due_done_or_explained(text in ".{0,80}", at in 0i64..4_000_000_000) {
        let now = Timestamp::from_second(at).unwrap();
        let written = format!("{text}@{now}");
        for value in [text.as_str(), written.as_str()] {
            for reading in [annotations::restart(Some(value), None, now), annotations::provision_on_demand(Some(value), None, now)] {
                if let Reading::Unreadable(why) = reading {
                    prop_assert!(!why.is_empty());
                }
            }
        }
    }
}
