//! Every setting of `causeway run` in the chart: as a value, or where else it comes from. A setting that is in neither
//! list is an error, so that none is forgotten.

use anyhow::{Context as _, bail, ensure};
use causeway::settings::{Cli, DURATIONS};
use clap::{Arg, CommandFactory as _};
use serde_json::Value;

use super::values::Values;

/// How a value becomes the text of an environment variable.
#[derive(Clone, Copy)]
enum Form {
    /// As it is.
    Plain,
    /// As it is; left out when it is empty.
    Optional,
    /// A list, joined by this.
    List(&'static str),
    /// A list, joined by commas; left out when it is null, which is not the same as empty.
    Nullable,
}

use Form::{List, Nullable, Optional, Plain};

/// Flag, value and form, in the order of the flags.
const VALUES: &[(&str, &str, Form)] = &[
    ("installation-id", "installationId", Plain),
    ("mode", "mode", Plain),
    ("namespaces", "namespaces", List(",")),
    ("ambient-namespaces", "ambientNamespaces", Nullable),
    ("allowed-roles", "allowedRoles", List(" ")),
    ("entra-audience", "settings.entraAudience", Plain),
    ("scim-hosts", "settings.scimHosts", List(",")),
    ("graph-url", "settings.graphUrl", Plain),
    ("authority-url", "settings.authorityUrl", Optional),
    ("aws-endpoint-url", "settings.awsEndpointUrl", Optional),
    ("resync", "settings.resync", Plain),
    ("poll", "settings.poll", Plain),
    ("job-poll", "settings.jobPoll", Plain),
    ("handoff-poll", "settings.handoffPoll", Plain),
    ("creation-grace", "settings.creationGrace", Plain),
    ("reconcile-timeout", "settings.reconcileTimeout", Plain),
    ("drain", "settings.drain", Plain),
    ("sso-admin-rate", "settings.ssoAdminRate", Plain),
    ("identity-store-rate", "settings.identityStoreRate", Plain),
    ("max-outstanding-creations", "settings.maxOutstandingCreations", Plain),
    ("max-provisionings", "settings.maxProvisionings", Plain),
    ("concurrency", "settings.concurrency", Plain),
    ("leader-elect", "settings.leaderElect", Plain),
    ("lease-name", "settings.leaseName", Plain),
    ("lease-duration", "settings.leaseDuration", Plain),
    ("log-format", "settings.logFormat", Plain),
    ("log-level", "settings.logLevel", Plain),
    ("otlp-endpoint", "settings.otlpEndpoint", Optional),
];

/// Flags that no value sets, and where they come from in a Pod.
const ELSEWHERE: &[(&str, &str)] = &[
    ("operator-namespace", "the release's namespace"),
    ("pod-name", "the Pod"),
    ("identity", "the Pod's name"),
    ("host-name", "the Pod"),
    ("listen", "metrics.port"),
    ("ca-file", "caBundle"),
    ("kubeconfig", "the Pod's ServiceAccount"),
    ("azure-authority-host", "the workload identity webhook"),
    ("azure-client-id", "the workload identity webhook, or azure.clientId"),
    ("azure-federated-token-file", "the workload identity webhook, or azure.projectedToken"),
    ("test-clock-url", "the sandbox"),
    ("help", "people"),
];

/// Values that differ from the program's own default, on purpose.
const OTHER_DEFAULTS: &[&str] = &["log-format"];

/// The environment of the operator as a named template.
///
/// # Errors
/// A setting has no value, a value has no setting, or their defaults differ.
pub fn template(values: &Values) -> anyhow::Result<String> {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").context("there is `causeway run`")?;
    for argument in run.get_arguments() {
        let flag = argument.get_long().context("every setting has a long flag")?;
        if !VALUES.iter().any(|(f, ..)| f == &flag) && !ELSEWHERE.iter().any(|(f, _)| f == &flag) {
            bail!(
                "the setting --{flag} has no value in the chart: add it to values.yaml, values.schema.json and \
                 xtask/src/generate/chart/settings.rs"
            );
        }
    }
    let mut out = format!("{}{{{{- define \"causeway.settings\" -}}}}\n", super::NOTE);
    for (flag, path, form) in VALUES {
        let argument = run.get_arguments().find(|a| a.get_long() == Some(flag));
        let argument =
            argument.with_context(|| format!("{path} is for the setting --{flag}, which is none"))?;
        let default = values.at(path).with_context(|| format!("values.yaml has no {path}"))?;
        if !OTHER_DEFAULTS.contains(flag) {
            same_default(argument, path, default, *form)?;
        }
        let name = argument.get_env().and_then(|n| n.to_str()).context("every setting has a variable")?;
        let value = format!(".Values.{path}");
        out += &match form {
            Plain => format!("- name: {name}\n  value: {{{{ {value} | quote }}}}\n"),
            Optional => {
                format!(
                    "{{{{- with {value} }}}}\n- name: {name}\n  value: {{{{ . | quote }}}}\n{{{{- end }}}}\n"
                )
            }
            List(by) => format!(
                "{{{{- with {value} }}}}\n- name: {name}\n  value: {{{{ join \"{by}\" . | quote }}}}\n{{{{- end }}}}\n"
            ),
            Nullable => format!(
                "{{{{- if not (kindIs \"invalid\" {value}) }}}}\n- name: {name}\n  value: {{{{ join \",\" {value} | quote }}}}\n{{{{- end }}}}\n"
            ),
        };
    }
    Ok(out + "{{- end }}\n\n" + &limits()?)
}

/// Durations are where the program takes them: told before anything is installed.
fn limits() -> anyhow::Result<String> {
    let mut out = "{{- define \"causeway.limits\" }}\n".to_owned();
    for (flag, range) in DURATIONS {
        let path = VALUES.iter().find(|(f, ..)| *f == flag).map(|(_, path, _)| path);
        let path = path.with_context(|| format!("--{flag} is no value"))?;
        let (from, to) = (range.start().as_millis(), range.end().as_millis());
        let (least, most) = (span(from), span(to));
        out += &format!(
            "{{{{- $value := include \"causeway.milliseconds\" .Values.{path} | int64 }}}}\n\
             {{{{- if or (lt $value (int64 {from})) (gt $value (int64 {to})) }}}}\n\
             {{{{- fail (printf \"{path} is %s: it must be from {least} to {most}\" .Values.{path}) }}}}\n\
             {{{{- end }}}}\n"
        );
    }
    Ok(out + "{{- end }}\n")
}

/// Milliseconds in the largest unit that leaves none over.
fn span(milliseconds: u128) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let fits = |(size, _): &&(u128, &str)| milliseconds > 0 && milliseconds.is_multiple_of(*size);
    units
        .iter()
        .find(fits)
        .map_or_else(|| "0s".to_owned(), |(size, unit)| format!("{}{unit}", milliseconds / size))
}

fn same_default(argument: &Arg, path: &str, value: &Value, form: Form) -> anyhow::Result<()> {
    let own: Vec<String> =
        argument.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let same = match form {
        Plain => own == [text.clone()],
        Optional => own.is_empty() && text.is_empty(),
        List(_) => own.is_empty() && *value == Value::Array(Vec::new()),
        Nullable => own.is_empty() && value.is_null(),
    };
    ensure!(same, "{path} is {text} by default, and the program's own default is {}", own.join(","));
    Ok(())
}
