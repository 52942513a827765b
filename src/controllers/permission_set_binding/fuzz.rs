//! Whatever passes the schema is read and decided about, or refused in words.

use jiff::Timestamp;
use proptest::prelude::*;

use super::cleanup::is_of_another;
use super::{desired, status};
use crate::api::arbitrary::resource;
use crate::api::v1alpha1::{Definition, PermissionSetBinding};
use crate::clients::aws::permission_sets::PermissionSet;
use crate::engine::plan_set::{OWNER_TAG, ObservedSet, SetStep, plan_set};
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

    /// Lists of the spec are sets: what was made from one order is as it should be in any other.
    #[test]
    fn the_order_in_which_a_spec_is_written_means_nothing(stored in resource::<PermissionSetBinding>()) {
        let object: PermissionSetBinding = serde_json::from_value(stored).expect("what the schema takes is read");
        let mut spec = object.spec.permission_set;
        let Ok(wanted) = desired::desired_set(&spec, "i/identity/any".into()) else { return Ok(()) };
        spec.managed_policies.iter_mut().for_each(|list| list.reverse());
        spec.customer_managed_policies.iter_mut().for_each(|list| list.reverse());
        let turned = desired::desired_set(&spec, "i/identity/any".into()).expect("the same");
        let made = plan_set(&wanted, None).unwrap().into_iter().fold(None, |state: Option<ObservedSet>, step| match step {
            SetStep::Create { name, settings, tags } => {
                Some(ObservedSet::fresh(PermissionSet { arn: "arn".into(), name, settings }, tags))
            }
            SetStep::Edit(edit) => state.map(|s| s.after(&edit)),
        });
        prop_assert_eq!(plan_set(&turned, made.as_ref()), Ok(vec![]));
        let made = made.unwrap();
        prop_assert_eq!(made.tags.get(OWNER_TAG).map(String::as_str), Some("i/identity/any"));
    }

    /// The judge: a set that carries another owner's mark, where marks count, or another name.
    #[test]
    fn a_set_with_a_foreign_mark_is_left_when_its_binding_goes(
        stored in resource::<PermissionSetBinding>(), own in "[ab]/n/b", mark in proptest::option::of("[ab]/n/b"), renamed: bool,
    ) {
        let object: PermissionSetBinding = serde_json::from_value(stored).expect("what the schema takes is read");
        let set = &object.spec.permission_set;
        let name = if renamed { format!("{}-x", set.name) } else { set.name.clone() };
        let foreign = set.definition == Definition::Here && mark.as_ref().is_some_and(|m| *m != own);
        prop_assert_eq!(is_of_another(&object, &own, &name, mark.as_deref()), foreign || renamed);
    }
}
