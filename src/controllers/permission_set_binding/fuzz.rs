//! Whatever passes the schema is read and decided about, or refused in words.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{desired, status};
use crate::api::arbitrary::resource;
use crate::api::v1alpha1::PermissionSetBinding;
use crate::engine::plan_set::plan_set;
use crate::problem::Class;

proptest! {
    #[test]
    fn fuzz_any_binding_is_decided_about_or_refused(stored in resource::<PermissionSetBinding>()) {
        let object: PermissionSetBinding = serde_json::from_value(stored).expect("what the schema takes is read");
        let again: PermissionSetBinding = serde_json::from_value(serde_json::to_value(&object).unwrap()).unwrap();
        prop_assert_eq!(&again, &object);
        match desired::desired_set(&object.spec.permission_set, "i/identity/any".into()) {
            Ok(set) => prop_assert!(!plan_set(&set, None).unwrap().is_empty()),
            Err(problem) => prop_assert_eq!(problem.class, Class::Invalid),
        }
        let named = desired::accounts(&object);
        prop_assert!(named.iter().all(|id| id.len() == 12));
        let told = status::suspended(&object, None, Timestamp::UNIX_EPOCH);
        prop_assert_eq!(told.observed_generation, object.metadata.generation);
    }
}
