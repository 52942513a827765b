//! Settings for operators that run inside a test or the demo.

use std::collections::BTreeSet;
use std::time::Duration;

use url::Url;

use super::{AllowedRoles, Endpoints, Leader, Limits, Settings, Timing};
use crate::api::Mode;

impl Settings {
    /// Settings with short times and wide budgets: no leader election, no HTTP listener, all namespaces.
    ///
    /// `graph`, `authority`, `aws`, `ca_pem`, `scim_hosts` and `test_clock` still have to be pointed somewhere; as
    /// they are they lead to a closed port of this machine, so that nothing ever leaves it.
    #[must_use]
    pub fn for_tests(installation_id: &str) -> Self {
        let nowhere = Url::parse("http://127.0.0.1:9").expect("a constant URL parses");
        Self {
            installation_id: installation_id.to_owned(),
            mode: Mode::Enforce,
            namespaces: BTreeSet::new(),
            operator_namespace: "default".to_owned(),
            ambient_namespaces: BTreeSet::new(),
            allowed_roles: AllowedRoles::default(),
            workload_identity: None,
            entra_audience: "api://AzureADTokenExchange".to_owned(),
            scim_hosts: BTreeSet::new(),
            endpoints: Endpoints {
                graph: nowhere.clone(),
                authority: nowhere.clone(),
                aws: Some(nowhere),
                ca_pem: None,
            },
            timing: Timing {
                resync: Duration::from_secs(2),
                poll: Duration::from_millis(50),
                job_poll: Duration::from_millis(200),
                handoff: Duration::from_secs(15),
                creation_grace: Duration::from_secs(20 * 60),
                reconcile: Duration::from_secs(20),
                backoff: (Duration::from_millis(50), Duration::from_secs(1)),
            },
            limits: Limits {
                sso_admin_per_second: 1000,
                identity_store_per_second: 1000,
                outstanding_creations: 10,
                provisionings: 2,
            },
            concurrency: 8,
            listen: None,
            leader: Leader {
                elect: false,
                lease_name: "causeway".to_owned(),
                lease_duration: Duration::from_secs(15),
                identity: format!("test-{}", uuid::Uuid::new_v4()),
            },
            drain: Duration::from_secs(10),
            kubeconfig: None,
            test_clock: None,
        }
    }
}
