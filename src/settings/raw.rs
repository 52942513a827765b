use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::telemetry::LogFormat;

/// Keeps Microsoft Entra ID and AWS in line.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controllers.
    Run(Box<Raw>),
    /// Print the custom resource definitions as YAML.
    Crds,
}

/// Flags and environment as they were given. What can be wrong with a value is found in `checked`, so that all
/// problems are reported at once.
#[derive(Args, Clone, Debug)]
pub struct Raw {
    /// Part of every owner mark in the clouds: the same for every cluster that is rebuilt from the same Git,
    /// different for clusters that run side by side.
    #[arg(long, env = "CAUSEWAY_INSTALLATION_ID", default_value = "")]
    pub installation_id: String,
    /// enforce, or observe: every resource is only planned, nothing outside the cluster is written.
    #[arg(long, env = "CAUSEWAY_MODE", default_value = "enforce")]
    pub mode: String,
    /// Namespaces to watch, separated by commas; none: all.
    #[arg(long, env = "CAUSEWAY_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// The operator's own namespace, where its Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "causeway-system")]
    pub operator_namespace: String,
    /// Namespaces whose resources may use the operator's own cloud credentials, separated by commas; the operator's
    /// own namespace when not given, none when empty.
    #[arg(long, env = "CAUSEWAY_AMBIENT_NAMESPACES", value_delimiter = ',')]
    pub ambient_namespaces: Option<Vec<String>>,
    /// Roles of AWS that resources may name in their credentials, as `<namespace>=<role ARN>`; repeat it, or separate
    /// several by spaces. `*` as the namespace is any; in the ARN it stands for any characters within one part of the
    /// role's path or name. None when not given.
    #[arg(long, env = "CAUSEWAY_ALLOWED_ROLES", value_delimiter = ' ')]
    pub allowed_roles: Vec<String>,
    /// Audience of the ServiceAccount tokens that are shown to Entra: what its federated credentials name.
    #[arg(long, env = "CAUSEWAY_ENTRA_AUDIENCE", default_value = "api://AzureADTokenExchange")]
    pub entra_audience: String,
    /// Hosts (host or host:port) beside AWS's own that may receive a SCIM token, separated by commas.
    #[arg(long, env = "CAUSEWAY_SCIM_HOSTS", value_delimiter = ',')]
    pub scim_hosts: Vec<String>,
    /// Microsoft Graph, without a version.
    #[arg(long, env = "CAUSEWAY_GRAPH_URL", default_value = "https://graph.microsoft.com")]
    pub graph_url: String,
    /// Entra's sign-in host; AZURE_AUTHORITY_HOST, else https://login.microsoftonline.com when not given.
    #[arg(long, env = "CAUSEWAY_AUTHORITY_URL")]
    pub authority_url: Option<String>,
    /// The sign-in host as the workload identity webhook sets it.
    #[arg(long, env = "AZURE_AUTHORITY_HOST", hide = true)]
    pub azure_authority_host: Option<String>,
    /// The application that the operator itself is in Entra.
    #[arg(long, env = "AZURE_CLIENT_ID", hide = true)]
    pub azure_client_id: Option<String>,
    /// The token that speaks for it.
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", hide = true)]
    pub azure_federated_token_file: Option<String>,
    /// One endpoint for all AWS services; the services' public endpoints when not given.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    pub aws_endpoint_url: Option<String>,
    /// PEM file with further roots of trust for the clouds' endpoints and for the collector of traces.
    #[arg(long, env = "CAUSEWAY_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// How often a resource at rest is checked.
    #[arg(long, env = "CAUSEWAY_RESYNC", default_value = "10m")]
    pub resync: String,
    /// How often asynchronous work in the clouds is looked at.
    #[arg(long, env = "CAUSEWAY_POLL", default_value = "3s")]
    pub poll: String,
    /// How often the status of a synchronization job is read at most.
    #[arg(long, env = "CAUSEWAY_JOB_POLL", default_value = "60s")]
    pub job_poll: String,
    /// How often a Secret that a person is asked for is looked for.
    #[arg(long, env = "CAUSEWAY_HANDOFF_POLL", default_value = "15s")]
    pub handoff_poll: String,
    /// How long an object is looked for whose creation was begun, before it is created again.
    #[arg(long, env = "CAUSEWAY_CREATION_GRACE", default_value = "20m")]
    pub creation_grace: String,
    /// How long the calls to the clouds of one reconcile may take together.
    #[arg(long, env = "CAUSEWAY_RECONCILE_TIMEOUT", default_value = "2m")]
    pub reconcile_timeout: String,
    /// How long running reconciles may take to end when the operator is stopped.
    #[arg(long, env = "CAUSEWAY_DRAIN", default_value = "20s")]
    pub drain: String,
    /// Calls a second to sso-admin, for each instance of Identity Center (1 to 20).
    #[arg(long, env = "CAUSEWAY_SSO_ADMIN_RATE", default_value = "8")]
    pub sso_admin_rate: String,
    /// Calls a second to the identity store (1 to 20).
    #[arg(long, env = "CAUSEWAY_IDENTITY_STORE_RATE", default_value = "5")]
    pub identity_store_rate: String,
    /// Account assignments being created at the same time, for each instance (1 to 15).
    #[arg(long, env = "CAUSEWAY_MAX_OUTSTANDING_CREATIONS", default_value = "10")]
    pub max_outstanding_creations: String,
    /// Permission set provisionings at the same time, for each instance (1 to 3).
    #[arg(long, env = "CAUSEWAY_MAX_PROVISIONINGS", default_value = "2")]
    pub max_provisionings: String,
    /// Reconciles of one kind at the same time (1 to 100).
    #[arg(long, env = "CAUSEWAY_CONCURRENCY", default_value = "8")]
    pub concurrency: String,
    /// Where /livez, /readyz and /metrics are served; empty: nowhere.
    #[arg(long, env = "CAUSEWAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: String,
    /// Whether operators elect the one that writes.
    #[arg(long, env = "CAUSEWAY_LEADER_ELECT", default_value = "true", action = ArgAction::Set)]
    pub leader_elect: bool,
    /// Name of the Lease.
    #[arg(long, env = "CAUSEWAY_LEASE_NAME", default_value = "causeway")]
    pub lease_name: String,
    /// How long a lease holds without being renewed (2s to 5m).
    #[arg(long, env = "CAUSEWAY_LEASE_DURATION", default_value = "15s")]
    pub lease_duration: String,
    /// This operator's name in the Lease; the Pod's name, else one made from the host's name when not given.
    #[arg(long, env = "CAUSEWAY_IDENTITY")]
    pub identity: Option<String>,
    /// The Pod's name.
    #[arg(long, env = "POD_NAME", hide = true)]
    pub pod_name: Option<String>,
    /// The host's name.
    #[arg(long, env = "HOSTNAME", hide = true)]
    pub host_name: Option<String>,
    /// A kubeconfig; the Pod's service account, else the user's own kubeconfig when not given.
    #[arg(long, env = "CAUSEWAY_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// text or json.
    #[arg(long, env = "CAUSEWAY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as `info,causeway=debug`.
    #[arg(long, env = "CAUSEWAY_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Where traces go, as OTLP over HTTP: a collector's base URL, such as http://collector.monitoring:4318. Nowhere when
    /// not given. Further variables of OpenTelemetry, such as OTEL_EXPORTER_OTLP_HEADERS, hold as well.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// The sandbox's control API, whose clock is read as our own.
    #[cfg(feature = "test-clock")]
    #[arg(long, env = "CAUSEWAY_TEST_CLOCK_URL", hide = true)]
    pub test_clock_url: Option<String>,
}
