use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::raw::Raw;
use super::{AllowedRoles, Endpoints, Leader, Limits, Settings, Timing, WorkloadIdentity};
use crate::api::Mode;
use crate::telemetry::LogFormat;

/// The name of the Lease and of namespaces.
const MAX_NAME: usize = 63;
/// Entra's sign-in host outside of national clouds (contract Graph 8.1).
const AUTHORITY: &str = "https://login.microsoftonline.com";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The settings that are durations, by flag: from where to where they may be. The chart refuses the same.
pub const DURATIONS: [(&str, RangeInclusive<Duration>); 8] = [
    ("resync", SECOND..=DAY),
    ("poll", Duration::from_millis(10)..=HOUR),
    ("job-poll", Duration::from_millis(10)..=HOUR),
    ("handoff-poll", SECOND..=HOUR),
    ("creation-grace", SECOND..=DAY),
    ("reconcile-timeout", SECOND..=HOUR),
    ("lease-duration", Duration::from_secs(2)..=Duration::from_secs(300)),
    ("drain", Duration::ZERO..=HOUR),
];

/// Everything that is wrong with the settings, one sentence each.
#[derive(Debug, thiserror::Error)]
#[error("the settings cannot be used:\n{}", .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
pub struct Invalid(pub Vec<String>);

/// A valid invocation of `causeway run`.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// For the operator.
    pub settings: Settings,
    /// How to log.
    pub log_format: LogFormat,
    /// What to log.
    pub log_level: String,
    /// The collector that traces go to.
    pub otlp_endpoint: Option<Url>,
}

impl TryFrom<Raw> for Invocation {
    type Error = Invalid;

    /// Validates everything.
    ///
    /// # Errors
    /// All problems at once, each naming its flag.
    fn try_from(raw: Raw) -> Result<Self, Invalid> {
        let mut check = Check::default();
        let operator_namespace = check.name("--operator-namespace", &raw.operator_namespace);
        let ambient_namespaces = match &raw.ambient_namespaces {
            Some(list) => check.names("--ambient-namespaces", list),
            None => BTreeSet::from([operator_namespace.clone()]),
        };
        let ca_pem = raw.ca_file.as_ref().and_then(|path| match std::fs::read_to_string(path) {
            Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Some(pem),
            Ok(_) => check.wrong(format!("--ca-file: {} holds no certificate in PEM form", path.display())),
            Err(e) => check.wrong(format!("--ca-file: {} cannot be read: {e}", path.display())),
        });
        let timing = Timing {
            resync: check.duration("resync", &raw.resync),
            poll: check.duration("poll", &raw.poll),
            job_poll: check.duration("job-poll", &raw.job_poll),
            handoff: check.duration("handoff-poll", &raw.handoff_poll),
            creation_grace: check.duration("creation-grace", &raw.creation_grace),
            reconcile: check.duration("reconcile-timeout", &raw.reconcile_timeout),
            backoff: (SECOND, Duration::from_secs(300)),
        };
        let limits = Limits {
            sso_admin_per_second: check.number("--sso-admin-rate", &raw.sso_admin_rate, 1..=20),
            identity_store_per_second: check.number(
                "--identity-store-rate",
                &raw.identity_store_rate,
                1..=20,
            ),
            outstanding_creations: check.number(
                "--max-outstanding-creations",
                &raw.max_outstanding_creations,
                1..=15,
            ),
            provisionings: check.number("--max-provisionings", &raw.max_provisionings, 1..=3),
        };
        let settings = Settings {
            installation_id: check.installation_id(&raw.installation_id),
            mode: check.mode(&raw.mode),
            namespaces: check.names("--namespaces", &raw.namespaces),
            ambient_namespaces,
            allowed_roles: check.roles(&raw.allowed_roles),
            workload_identity: check.workload_identity(&raw),
            entra_audience: check.audience(&raw.entra_audience),
            scim_hosts: check.hosts("--scim-hosts", &raw.scim_hosts),
            endpoints: Endpoints {
                graph: check.endpoint("--graph-url", &raw.graph_url),
                authority: check.authority(&raw),
                aws: given(raw.aws_endpoint_url.as_ref()).map(|u| check.endpoint("--aws-endpoint-url", u)),
                ca_pem,
            },
            timing,
            limits,
            concurrency: check.number("--concurrency", &raw.concurrency, 1..=100),
            listen: check.listen(&raw.listen),
            leader: Leader {
                elect: raw.leader_elect,
                lease_name: check.name("--lease-name", &raw.lease_name),
                lease_duration: check.duration("lease-duration", &raw.lease_duration),
                identity: identity(&raw),
            },
            drain: check.duration("drain", &raw.drain),
            kubeconfig: raw.kubeconfig.clone(),
            #[cfg(feature = "test-clock")]
            test_clock: given(raw.test_clock_url.as_ref()).map(|u| check.url("--test-clock-url", u)),
            operator_namespace,
        };
        let otlp_endpoint = given(raw.otlp_endpoint.as_ref()).map(|u| check.collector("--otlp-endpoint", u));
        if let Err(e) = tracing_subscriber::EnvFilter::try_new(&raw.log_level) {
            check.problems.push(format!("--log-level: {e}"));
        }
        if check.problems.is_empty() {
            Ok(Self { settings, log_format: raw.log_format, log_level: raw.log_level, otlp_endpoint })
        } else {
            Err(Invalid(check.problems))
        }
    }
}

/// An environment variable that is set to nothing counts as not set.
fn given(value: Option<&String>) -> Option<&String> {
    value.filter(|v| !v.is_empty())
}

/// The Pod's name is enough: a Pod never runs two operators. Two processes of one host must differ.
fn identity(raw: &Raw) -> String {
    given(raw.identity.as_ref()).or_else(|| given(raw.pod_name.as_ref())).cloned().unwrap_or_else(|| {
        let host = given(raw.host_name.as_ref()).map_or("causeway", String::as_str);
        format!("{host}_{}", uuid::Uuid::new_v4())
    })
}

/// Collects problems; a wrong value is replaced by a harmless one, since the result is thrown away then.
#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn wrong<T>(&mut self, problem: String) -> Option<T> {
        self.problems.push(problem);
        None
    }

    fn installation_id(&mut self, id: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() {
            self.problems.push(
                "--installation-id is missing: give this installation a name of its own, such as `acme-prod`; it \
                 becomes part of every mark in the clouds and must never change"
                    .to_owned(),
            );
        } else if id.len() > MAX_NAME || !id.chars().all(allowed) {
            self.problems.push(format!(
                "--installation-id: `{id}` must be at most {MAX_NAME} letters, digits, dots, dashes and underscores"
            ));
        }
        id.to_owned()
    }

    fn mode(&mut self, mode: &str) -> Mode {
        match mode.to_ascii_lowercase().as_str() {
            "enforce" => Mode::Enforce,
            "observe" => Mode::Observe,
            _ => self.wrong(format!("--mode: `{mode}` is neither enforce nor observe")).unwrap_or_default(),
        }
    }

    /// An RFC 1123 label.
    fn name(&mut self, flag: &str, name: &str) -> String {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edge = |c: Option<char>| c.is_some_and(|c| c != '-');
        if name.len() > MAX_NAME
            || !name.chars().all(inner)
            || !edge(name.chars().next())
            || !edge(name.chars().last())
        {
            self.problems.push(format!(
                "{flag}: `{name}` is no Kubernetes name: lower case letters, digits and inner dashes, at most {MAX_NAME}"
            ));
        }
        name.to_owned()
    }

    fn names(&mut self, flag: &str, names: &[String]) -> BTreeSet<String> {
        let names = names.iter().map(|n| n.trim()).filter(|n| !n.is_empty());
        names.map(|n| self.name(flag, n)).collect()
    }

    fn roles(&mut self, entries: &[String]) -> AllowedRoles {
        let mut allowed = AllowedRoles::default();
        for entry in entries.iter().flat_map(|entry| entry.split_whitespace()) {
            if let Err(problem) = allowed.add(entry) {
                self.problems.push(format!("--allowed-roles: `{entry}` {problem}"));
            }
        }
        allowed
    }

    /// One of the two alone is no identity: a Pod may carry the id for other purposes.
    fn workload_identity(&mut self, raw: &Raw) -> Option<WorkloadIdentity> {
        let client_id = given(raw.azure_client_id.as_ref())?;
        let token_file = given(raw.azure_federated_token_file.as_ref())?;
        if uuid::Uuid::parse_str(client_id).is_err() {
            return self.wrong(format!("--azure-client-id: `{client_id}` (AZURE_CLIENT_ID) is no UUID"));
        }
        Some(WorkloadIdentity { client_id: client_id.clone(), token_file: token_file.into() })
    }

    fn audience(&mut self, audience: &str) -> String {
        if audience.is_empty() || audience.contains(char::is_whitespace) {
            self.problems.push(format!("--entra-audience: `{audience}` must be one word"));
        }
        audience.to_owned()
    }

    fn authority(&mut self, raw: &Raw) -> Url {
        let webhook =
            || given(raw.azure_authority_host.as_ref()).map(|host| ("--azure-authority-host", host));
        let named = given(raw.authority_url.as_ref()).map(|url| ("--authority-url", url));
        match named.or_else(webhook) {
            Some((flag, url)) => self.endpoint(flag, url),
            None => self.endpoint("--authority-url", AUTHORITY),
        }
    }

    fn hosts(&mut self, flag: &str, hosts: &[String]) -> BTreeSet<String> {
        let mut checked = BTreeSet::new();
        for host in hosts.iter().map(|h| h.trim()).filter(|h| !h.is_empty()) {
            match Url::parse(&format!("https://{host}/")) {
                // What the parser keeps as host and port is all there may be: no path, user or query.
                Ok(url) if url.authority() == host.to_ascii_lowercase() => {
                    checked.insert(url.authority().to_owned());
                }
                _ => {
                    self.problems.push(format!("{flag}: `{host}` is no host or host:port (443 is left out)"))
                }
            }
        }
        checked
    }

    fn url(&mut self, flag: &str, text: &str) -> Url {
        match Url::parse(text) {
            Ok(url) if url.has_host() => url,
            Ok(_) => self.wrong(format!("{flag}: `{text}` names no host")).unwrap_or_else(nowhere),
            Err(e) => self.wrong(format!("{flag}: `{text}` is no URL: {e}")).unwrap_or_else(nowhere),
        }
    }

    /// A URL that credentials are sent to: HTTPS, unless it is this machine.
    fn endpoint(&mut self, flag: &str, text: &str) -> Url {
        let url = self.url(flag, text);
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            self.problems.push(format!("{flag}: `{text}` must be https: credentials are sent there"));
        }
        if url.query().is_some() || url.fragment().is_some() || has_user(&url) {
            // Not quoted: there may be a password in it.
            self.problems.push(format!("{flag}: it must have no user, password, query or fragment"));
        }
        url
    }

    /// A URL that gets names and times, and no credentials: within a cluster, collectors do without TLS.
    fn collector(&mut self, flag: &str, text: &str) -> Url {
        let url = self.url(flag, text);
        if !matches!(url.scheme(), "http" | "https") {
            self.problems.push(format!("{flag}: `{text}` must be http or https"));
        }
        if url.query().is_some() || url.fragment().is_some() || has_user(&url) {
            // Not quoted: there may be a password in it.
            self.problems.push(format!("{flag}: it must have no user, password, query or fragment"));
        }
        url
    }

    fn listen(&mut self, text: &str) -> Option<SocketAddr> {
        match text {
            "" => None,
            _ => text.parse().map_or_else(
                |_| self.wrong(format!("--listen: `{text}` is no address and port such as 0.0.0.0:8080")),
                Some,
            ),
        }
    }

    fn duration(&mut self, flag: &str, text: &str) -> Duration {
        let (_, range) = DURATIONS.iter().find(|(f, _)| *f == flag).expect("it is in the list of durations");
        let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
        match parsed {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) => {
                let (from, to) = (range.start(), range.end());
                self.wrong(format!("--{flag}: `{text}` must be from {from:?} to {to:?}")).unwrap_or_default()
            }
            None => self
                .wrong(format!("--{flag}: `{text}` is no duration such as 90s or 1h30m"))
                .unwrap_or_default(),
        }
    }

    fn number<T>(&mut self, flag: &str, text: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Default,
    {
        match text.parse::<T>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (from, to) = (range.start(), range.end());
                self.wrong(format!("{flag}: `{text}` must be a whole number from {from} to {to}"))
                    .unwrap_or_default()
            }
        }
    }
}

/// Whether a URL names somebody, with a password or without.
fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Stands in for a URL that was refused.
fn nowhere() -> Url {
    Url::parse("https://invalid.invalid").expect("a constant URL parses")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::raw::{Cli, Command};
    use super::*;

    fn check(arguments: &[&str]) -> Result<Invocation, Invalid> {
        let arguments = ["causeway", "run"].iter().chain(arguments);
        match Cli::try_parse_from(arguments).unwrap().command {
            Command::Run(raw) => Invocation::try_from(*raw),
            Command::Crds => unreachable!(),
        }
    }

    #[test]
    fn an_installation_id_is_all_that_is_needed() {
        let settings = check(&["--installation-id=acme", "--operator-namespace=ops"]).unwrap().settings;
        assert_eq!(settings.timing.resync, Duration::from_secs(600));
        assert_eq!(settings.ambient_namespaces, BTreeSet::from(["ops".to_owned()]));
        assert_eq!(settings.endpoints.graph.as_str(), "https://graph.microsoft.com/");
        assert_eq!(settings.limits.outstanding_creations, 10);
        assert!(settings.leader.elect && settings.namespaces.is_empty() && settings.mode == Mode::Enforce);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = check(&[
            "--mode=dry-run",
            "--namespaces=ok,Not_Ok",
            "--graph-url=http://graph.example",
            "--authority-url=nonsense",
            "--resync=soon",
            "--poll=2h",
            "--max-outstanding-creations=16",
            "--max-provisionings=4",
            "--sso-admin-rate=many",
            "--listen=8080",
            "--lease-duration=1s",
            "--ca-file=/does/not/exist",
            "--scim-hosts=a.example/path",
            "--allowed-roles=identity=role/r",
            "--entra-audience=",
            "--otlp-endpoint=grpc://collector:4317",
            "--log-level=a=b=c",
        ])
        .unwrap_err()
        .0;
        let flags = [
            "--ca-file",
            "--resync",
            "--poll",
            "--sso-admin-rate",
            "--max-outstanding-creations",
            "--max-provisionings",
            "--installation-id",
            "--mode",
            "--namespaces",
            "--allowed-roles",
            "--entra-audience",
            "--scim-hosts",
            "--graph-url",
            "--authority-url",
            "--listen",
            "--lease-duration",
            "--otlp-endpoint",
            "--log-level",
        ];
        let named: Vec<_> = problems.iter().map(|p| p.split([':', ' ']).next().unwrap()).collect();
        assert_eq!(named, flags, "{problems:#?}");
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for good in ["http://127.0.0.1:1235", "http://localhost:1", "http://[::1]:9", "https://graph.example"]
        {
            assert!(check(&["--installation-id=a", &format!("--graph-url={good}")]).is_ok(), "{good}");
        }
        for bad in
            ["http://10.0.0.1", "ftp://127.0.0.1", "https://user@graph.example", "https://g.example?x=1"]
        {
            assert!(check(&["--installation-id=a", &format!("--graph-url={bad}")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_ambient_namespaces_is_not_the_default() {
        let none = check(&["--installation-id=a", "--ambient-namespaces="]).unwrap().settings;
        assert!(none.ambient_namespaces.is_empty());
    }

    #[test]
    fn roles_are_listed_one_by_one_or_together() {
        let role = |name: &str| format!("arn:aws:iam::111122223333:role/{name}");
        let settings = check(&[
            "--installation-id=a",
            &format!("--allowed-roles=identity={} payments={}", role("one"), role("pay-*")),
            &format!("--allowed-roles=identity={}", role("a,b=c")),
        ]);
        let allowed = settings.unwrap().settings.allowed_roles;
        assert!(allowed.allows("identity", &role("one")) && allowed.allows("identity", &role("a,b=c")));
        assert!(allowed.allows("payments", &role("pay-roll")) && !allowed.allows("payments", &role("one")));
    }

    #[test]
    fn the_webhooks_variables_are_the_operators_own_identity() {
        let own = |more: &[&str]| {
            // Said, so that the environment of the machine that tests does not count.
            let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
            let unsaid = ["--azure-client-id=", "--azure-federated-token-file="]
                .into_iter()
                .filter(|flag| !more.iter().any(|m| name(m) == name(flag)));
            let arguments: Vec<&str> =
                ["--installation-id=a"].into_iter().chain(unsaid).chain(more.iter().copied()).collect();
            check(&arguments).map(|i| i.settings)
        };
        let (id, file) =
            ("7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001", "--azure-federated-token-file=/var/run/token");
        let with_id = format!("--azure-client-id={id}");
        for alone in [&[][..], &[with_id.as_str()], &[file]] {
            let settings = own(alone).unwrap();
            assert_eq!(settings.workload_identity, None, "{alone:?}");
            assert_eq!(settings.entra_audience, "api://AzureADTokenExchange");
        }
        let settings =
            own(&[&with_id, file, "--azure-authority-host=https://login.microsoftonline.us/"]).unwrap();
        let identity = settings.workload_identity.unwrap();
        assert_eq!((identity.client_id.as_str(), identity.token_file.to_str()), (id, Some("/var/run/token")));
        assert_eq!(settings.endpoints.authority.as_str(), "https://login.microsoftonline.us/");
        let both =
            own(&["--authority-url=https://login.example", "--azure-authority-host=https://other.example"]);
        assert_eq!(both.unwrap().endpoints.authority.as_str(), "https://login.example/");
        assert!(own(&["--azure-client-id=someone", file]).unwrap_err().0[0].contains("AZURE_CLIENT_ID"));
    }

    #[test]
    fn two_processes_of_a_host_have_two_names_and_a_pod_keeps_its_own() {
        let host =
            || check(&["--installation-id=a", "--pod-name=", "--host-name=box"]).unwrap().settings.leader;
        assert_ne!(host().identity, host().identity);
        assert!(host().identity.starts_with("box_"));
        let pod = check(&["--installation-id=a", "--pod-name=causeway-0"]).unwrap().settings.leader;
        assert_eq!(pod.identity, "causeway-0");
    }

    #[test]
    fn hosts_keep_their_port() {
        let settings =
            check(&["--installation-id=a", "--scim-hosts=127.0.0.1:8443, Scim.Example"]).unwrap().settings;
        assert_eq!(
            settings.scim_hosts,
            BTreeSet::from(["127.0.0.1:8443".to_owned(), "scim.example".to_owned()])
        );
    }
}
