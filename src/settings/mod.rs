//! The operator's settings: flags and environment, validated at start, all problems at once.

mod checked;
mod raw;
mod roles;
#[cfg(feature = "test-clock")]
mod testing;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::Mode;
pub use crate::telemetry::LogFormat;
pub use checked::{DURATIONS, Invalid, Invocation};
pub use raw::{Cli, Command, Raw};
pub use roles::AllowedRoles;

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Part of every owner mark: the same for every cluster that is rebuilt from the same Git.
    pub installation_id: String,
    /// Observe puts the whole operator into plan-only.
    pub mode: Mode,
    /// Namespaces that are watched; empty: all.
    pub namespaces: BTreeSet<String>,
    /// The operator's own namespace: Lease, Events.
    pub operator_namespace: String,
    /// Namespaces whose resources may use the operator's own cloud credentials.
    pub ambient_namespaces: BTreeSet<String>,
    /// Roles of AWS that resources may name.
    pub allowed_roles: AllowedRoles,
    /// The operator's own identity in Entra, when it has one.
    pub workload_identity: Option<WorkloadIdentity>,
    /// Audience of the ServiceAccount tokens that are shown to Entra (contract Graph 8.3).
    pub entra_audience: String,
    /// Hosts (with port, when not 443) that may receive a SCIM token beside AWS's own.
    pub scim_hosts: BTreeSet<String>,
    /// Endpoints of the clouds.
    pub endpoints: Endpoints,
    /// How often things are looked at, and how long they may take.
    pub timing: Timing,
    /// Shared budgets towards AWS (contract aws 1.9).
    pub limits: Limits,
    /// Reconciles of one kind at the same time.
    pub concurrency: u16,
    /// Where `/livez`, `/readyz` and `/metrics` are served; absent: nowhere.
    pub listen: Option<SocketAddr>,
    /// Who may write when several operators run.
    pub leader: Leader,
    /// How long running reconciles may take to end when the operator is stopped.
    pub drain: Duration,
    /// A kubeconfig; absent: the Pod's own service account, else the user's kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The sandbox's control API, whose clock is read as our own.
    #[cfg(feature = "test-clock")]
    pub test_clock: Option<url::Url>,
}

impl Settings {
    /// Whether the operator looks into a namespace. Where it does not, it may not either.
    #[must_use]
    pub fn watches(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// An identity in Entra that a token in a file speaks for, as the workload identity webhook sets it up (contract Graph 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadIdentity {
    /// Application (client) id.
    pub client_id: String,
    /// The file, which the kubelet keeps fresh.
    pub token_file: PathBuf,
}

/// Leader election through a Lease in the operator's namespace.
#[derive(Clone, Debug)]
pub struct Leader {
    /// False: this operator writes without asking. Only for a single one.
    pub elect: bool,
    /// Name of the Lease.
    pub lease_name: String,
    /// How long a lease holds without being renewed.
    pub lease_duration: Duration,
    /// This operator's name in the Lease: different for each process that may run at the same time.
    pub identity: String,
}

/// Where the clouds are.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Microsoft Graph, without version and trailing slash.
    pub graph: url::Url,
    /// Entra's sign-in host.
    pub authority: url::Url,
    /// All of AWS; absent: the SDK's own rules.
    pub aws: Option<url::Url>,
    /// PEM with additional roots of trust for all cloud endpoints.
    pub ca_pem: Option<String>,
}

/// How often, and how long.
#[derive(Clone, Debug)]
pub struct Timing {
    /// A resource at rest is checked this often.
    pub resync: Duration,
    /// Asynchronous work in the clouds is looked at this often.
    pub poll: Duration,
    /// A synchronization job's status is read at most this often (contract Graph 8.4: one a minute).
    pub job_poll: Duration,
    /// A Secret that a person is asked for is looked for this often: Secrets are not watched.
    pub handoff: Duration,
    /// An object whose creation was begun is looked for this long before it is created again (contract Graph 1.2).
    pub creation_grace: Duration,
    /// Remote work of one reconcile.
    pub reconcile: Duration,
    /// First and longest delay after transient failures.
    pub backoff: (Duration, Duration),
}

/// Shared budgets towards AWS.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls a second to sso-admin, for each instance.
    pub sso_admin_per_second: u32,
    /// Calls a second to the identity store.
    pub identity_store_per_second: u32,
    /// Account assignments being created at the same time.
    pub outstanding_creations: usize,
    /// Permission set provisionings at the same time.
    pub provisionings: usize,
}
