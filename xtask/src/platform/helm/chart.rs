//! The chart by itself: what it renders for which values, and which values it refuses.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use kube::api::DynamicObject;
use sandbox::control_plane::ControlPlane;

use super::client::Helm;
use crate::platform::{Checks, chart};

/// Values (after `;` as JSON), what must stand in what they render, and what must not.
const MATRIX: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "defaults",
        "",
        &["kind: ClusterRole\n", "readOnlyRootFilesystem: true"],
        &["PodDisruptionBudget", "kind: NetworkPolicy"],
    ),
    (
        "two replicas",
        "replicas=2",
        &["kind: PodDisruptionBudget", "topologySpreadConstraints", "replicas: 2"],
        &["type: Recreate"],
    ),
    (
        "a list of namespaces",
        "namespaces={default,kube-public},rbac.secrets[0].namespace=default,rbac.secrets[0].names={entra,aws},\
         rbac.tokens[0].namespace=default,rbac.tokens[0].serviceAccounts={causeway}",
        &[
            "kind: Role\n",
            "namespace: kube-public",
            "value: \"default,kube-public\"",
            "- entra",
            "serviceaccounts/token",
        ],
        &["kind: ClusterRoleBinding"],
    ),
    (
        "identities in the clouds by webhooks",
        "aws.roleArn=arn:aws:iam::111122223333:role/causeway,azure.clientId=7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001",
        &[
            "eks.amazonaws.com/role-arn: \"arn:aws:iam::111122223333:role/causeway\"",
            "azure.workload.identity/client-id: \"7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001\"",
            "azure.workload.identity/use: \"true\"",
        ],
        &["AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"],
    ),
    (
        "identities in the clouds without webhooks",
        "aws.roleArn=arn:aws:iam::111122223333:role/causeway,aws.projectedToken=true,\
         azure.clientId=7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001,azure.projectedToken=true",
        &["AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE", "audience: sts.amazonaws.com"],
        &["azure.workload.identity/use"],
    ),
    (
        "everything that watches it",
        "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true",
        &["kind: ServiceMonitor", "kind: PrometheusRule", "grafana_dashboard: \"1\""],
        &[],
    ),
    (
        "a network of its own",
        "networkPolicy.enabled=true,aws.podIdentity=true,proxy.https=http://proxy.example:3128,\
         caBundle.configMap=roots,networkPolicy.extraEgress[0].ports[0].port=3128",
        &["kind: NetworkPolicy", "169.254.170.23/32", "HTTPS_PROXY", "/etc/causeway/ca/ca.crt"],
        &[],
    ),
    (
        "one replica without a Lease",
        "settings.leaderElect=false,settings.leaseDuration=5m,settings.graphUrl=https://graph.example/a@b",
        &["CAUSEWAY_LEADER_ELECT\n          value: \"false\""],
        &[],
    ),
    (
        "a long name with dots",
        "fullnameOverride=my.release-aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff",
        &["name: my-release-aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee-metrics"],
        &["my.release"],
    ),
    (
        "where Pods run",
        "settings.logLevel=info\\,causeway[reconcile{name=a}]=debug,settings.resync=1h30m5.5s,settings.poll=08s,priorityClassName=system-cluster-critical,nodeSelector.disk=ssd,tolerations[0].operator=Exists,\
         runAsUser=null,podAnnotations.a=b,commonLabels.team=identity,imagePullSecrets[0].name=registry,\
         extraEnv[0].name=A,extraEnv[0].value=b,image.digest=sha256:\
         0000000000000000000000000000000000000000000000000000000000000000",
        &[
            "priorityClassName: system-cluster-critical",
            "disk: ssd",
            "team: identity",
            "causeway@sha256:0000",
        ],
        &["runAsUser"],
    ),
    (
        "no ambient credentials, and a role",
        "allowedRoles={identity=arn:aws:iam::111122223333:role/causeway-*};ambientNamespaces=[]",
        &["CAUSEWAY_AMBIENT_NAMESPACES\n          value: \"\"", "CAUSEWAY_ALLOWED_ROLES"],
        &[],
    ),
    (
        "nothing for the whole cluster",
        "crds.install=false,rbac.userRoles=false,namespaces={default}",
        &["kind: Role\n"],
        &["kind: ClusterRole\n", "kind: CustomResourceDefinition", "helm.sh/resource-policy"],
    ),
    (
        "definitions that go",
        "crds.keep=false",
        &["kind: CustomResourceDefinition"],
        &["helm.sh/resource-policy"],
    ),
    (
        "no rights by the chart",
        "rbac.create=false,serviceAccount.create=false,serviceAccount.name=own",
        &["serviceAccountName: own"],
        &["kind: RoleBinding"],
    ),
];

/// Bad values, and what the refusal must name.
const BAD: &[(&str, &str)] = &[
    ("installationId=", "installationId is missing"),
    ("installationId=a b", "/installationId"),
    ("mode=dry-run", "/mode"),
    ("replicas=two", "/replicas"),
    ("replicas=-1", "/replicas"),
    ("namespaces={Not_Ok}", "/namespaces/0"),
    ("ambientNamespaces=identity", "/ambientNamespaces"),
    ("allowedRoles={identity=role/causeway}", "/allowedRoles/0"),
    ("settings.resync=soon", "/settings/resync"),
    ("rbac.secrets[0].namespace=identity,rbac.secrets[0].names={}", "/rbac/secrets/0/names"),
    ("settings.drain=60s", "drain must be shorter"),
    ("settings.drain=1m,terminationGracePeriodSeconds=60", "drain must be shorter"),
    ("settings.drain=36s300ms", "drain must be shorter"),
    ("settings.drain=036s", "drain must be shorter"),
    ("settings.drain=0.7m", "drain must be shorter"),
    ("settings.resync=9999999999s", "/settings/resync"),
    ("settings.leaseDuration=2m", "drain must be shorter"),
    ("settings.leaseDuration=10m", "settings.leaseDuration is 10m: it must be from 2s to 5m"),
    ("settings.leaseDuration=1s", "settings.leaseDuration is 1s: it must be from 2s to 5m"),
    ("settings.resync=24h1ms", "settings.resync is 24h1ms: it must be from 1s to 24h"),
    ("settings.resync=1h90", "/settings/resync"),
    ("settings.poll=2h", "settings.poll is 2h: it must be from 10ms to 1h"),
    ("settings.handoffPoll=500ms", "settings.handoffPoll is 500ms: it must be from 1s to 1h"),
    ("settings.scimHosts={a.example:443}", "/settings/scimHosts/0"),
    ("settings.logLevel=a=b=c", "/settings/logLevel"),
    ("allowedRoles={a=arn:aws:iam::111122223333:role/a?b}", "/allowedRoles/0"),
    ("settings.graphUrl=https://u:p@graph.example", "/settings/graphUrl"),
    ("settings.graphUrl=http://graph.example", "/settings/graphUrl"),
    ("settings.maxOutstandingCreations=16", "/settings/maxOutstandingCreations"),
    ("settings.maxProvisionings=4", "/settings/maxProvisionings"),
    ("settings.logFormat=xml", "/settings/logFormat"),
    ("settings.resnyc=1m", "resnyc"),
    ("instalationId=acme", "instalationId"),
    ("image.digest=abc", "/image/digest"),
    ("metrics.port=80", "/metrics/port"),
    ("azure.clientId=me", "/azure/clientId"),
    ("aws.roleArn=causeway", "/aws/roleArn"),
    ("rbac.secrets[0].namespce=identity", "/rbac/secrets/0"),
    ("rbac.tokens[0].namespace=identity", "/rbac/tokens/0"),
    ("runAsUser=0", "/runAsUser"),
    ("crds.keep=maybe", "/crds/keep"),
    ("replicas=2,settings.leaderElect=false", "settings.leaderElect is false"),
    ("namespaces={identity},rbac.secrets[0].namespace=other", "rbac.secrets"),
    (
        "rbac.secrets[0].namespace=a,rbac.secrets[0].names={x},rbac.secrets[1].namespace=a,rbac.secrets[1].names={y}",
        "rbac.secrets: the namespace a stands there twice",
    ),
    ("commonLabels.helm\\.sh/chart=own", "invalid propertyName 'helm.sh/chart'"),
    ("aws.projectedToken=true", "aws.roleArn is missing"),
    ("azure.projectedToken=true", "azure.clientId is missing"),
    ("caBundle.configMap=a,caBundle.secret=b", "caBundle.configMap"),
    ("serviceAccount.create=false", "serviceAccount.name is missing"),
    ("metrics.service=false,metrics.serviceMonitor.enabled=true", "metrics.service is false"),
];

/// Lint and the matrix; the API server says whether it would take each object.
///
/// # Errors
/// When a tool cannot be run.
pub fn renders(checks: &mut Checks, helm: &Helm, plane: &ControlPlane) -> anyhow::Result<()> {
    let chart = chart()?;
    checks.check("helm lint finds nothing", || {
        helm.does(&["lint", &chart, "--strict", "--set", "installationId=test"]).map(drop)
    });
    for (name, values, with, without) in MATRIX {
        checks.check(&format!("{name}: rendered; what the API server knows of it is taken"), || {
            let (values, json) = values.split_once(';').unwrap_or((values, ""));
            let sets = format!("installationId=test,{values}");
            let mut arguments = vec!["template", "causeway", &chart, "--namespace", "default"];
            arguments.extend(["--kube-version", "1.36.0", "--set", sets.trim_end_matches(',')]);
            if !json.is_empty() {
                arguments.extend(["--set-json", json]);
            }
            let text = helm.does(&arguments)?;
            for words in *with {
                ensure!(text.contains(words), "{words:?} is not in it");
            }
            for words in *without {
                ensure!(!text.contains(words), "{words:?} is in it");
            }
            taken(plane, &text)
        });
    }
    Ok(())
}

/// Server-side dry run, with strict validation, of what the API server knows.
fn taken(plane: &ControlPlane, text: &str) -> anyhow::Result<()> {
    let objects = sandbox::journey::parse(text, None)?;
    let known = |o: &&DynamicObject| {
        o.types.as_ref().is_some_and(|t| !t.api_version.starts_with("monitoring.coreos.com/"))
    };
    let documents: Vec<String> =
        objects.iter().filter(known).map(serde_yaml_ng::to_string).collect::<Result<_, _>>()?;
    let mut kubectl = Command::new(plane.kubectl())
        .args(["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"])
        .env("KUBECONFIG", plane.kubeconfig())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("run kubectl")?;
    std::io::Write::write_all(
        &mut kubectl.stdin.take().context("its input")?,
        documents.join("---\n").as_bytes(),
    )?;
    let output = kubectl.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Bad values are refused before anything is installed, with a message that names the value.
///
/// # Errors
/// When a tool cannot be run.
pub fn refuses(checks: &mut Checks, helm: &Helm, namespace: &str) -> anyhow::Result<()> {
    let chart = chart()?;
    for (values, words) in BAD {
        checks.check(&format!("--set {values} is refused"), || {
            let sets = if values.contains("installationId") {
                (*values).to_owned()
            } else {
                format!("installationId=test,{values}")
            };
            let said = helm.refuses(&["install", "bad", &chart, "--namespace", namespace, "--set", &sets])?;
            ensure!(said.contains(words), "the message does not name {words}: {said}");
            Ok(())
        });
    }
    checks.check("nothing of them is left", || {
        let left = helm.does(&["list", "--all-namespaces", "--short"])?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    });
    Ok(())
}
