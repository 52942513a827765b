//! The engine: one for each Identity Center instance, shared by all bindings on it.
//!
//! Bindings hand it what they want and get back what is; only it calls sso-admin's writing operations. Everything it
//! knows can be lost: what runs in AWS is found again by listing it.

mod assignments;
mod instance;
pub mod patience;
mod people;
mod places;
pub mod plan_assignments;
pub mod plan_set;
pub mod policy;
mod readings;
mod sets;
mod strangers;
mod survey;
pub mod tracker;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub use assignments::{Assigned, FailedWork};
pub use instance::Instance;
pub use places::Places;
pub use sets::EditedSet;
pub use work::{Request, Submitted};

use self::instance::{Shared, locked};
use crate::clients::aws::AwsClients;
use crate::clock::Clock;
use crate::settings::{Limits, Settings, Timing};

/// All instances that this process works on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    limits: Limits,
    timing: Timing,
    clock: Clock,
    instances: Arc<Mutex<HashMap<String, Arc<Shared>>>>,
    failures: Arc<Mutex<HashMap<String, u32>>>,
}

/// So many passes of a binding in a row may fail for a reason that passes by itself before a condition says so.
const BORNE: u32 = 2;

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        Self {
            limits: settings.limits.clone(),
            timing: settings.timing.clone(),
            clock,
            instances: Arc::default(),
            failures: Arc::default(),
        }
    }

    /// Takes note of one more pass of a binding, by its owner mark; whether a failure of it is nobody's business yet.
    #[must_use]
    pub fn bears(&self, owner: &str, failed: bool) -> bool {
        let mut failures = locked(&self.failures);
        if !failed {
            failures.remove(owner);
            return false;
        }
        let count = failures.entry(owner.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count <= BORNE
    }

    /// A binding is gone, by its owner mark, and perhaps the permission set that it had: nothing of them is remembered.
    pub fn forget(&self, owner: &str, set_arn: Option<&str>) {
        locked(&self.failures).remove(owner);
        let instances: Vec<Arc<Shared>> = locked(&self.instances).values().cloned().collect();
        for shared in instances {
            shared.forget(owner, set_arn);
        }
    }

    /// One instance, seen through one identity.
    #[must_use]
    pub fn instance(&self, arn: &str, identity_store_id: &str, clients: &AwsClients) -> Instance {
        let mut instances = locked(&self.instances);
        let shared = instances.entry(arn.to_owned()).or_insert_with(|| {
            Arc::new(Shared::new(self.limits.clone(), self.timing.clone(), self.clock.clone()))
        });
        Instance::new(arn, identity_store_id, clients, Arc::clone(shared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_in_a_row_are_borne() {
        let engine = Engine::new(&Settings::for_tests("test"), Clock::system());
        let passes = [true, true, true, false, true, true, true, true];
        let borne = passes.map(|failed| engine.bears("t/n/x", failed));
        assert_eq!(borne, [true, true, false, false, true, true, false, false]);
        assert!(engine.bears("t/n/y", true), "each binding for itself");
    }
}
