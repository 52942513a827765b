//! The operator as a service account with exactly the rights that its list names.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway::app::{self, Reconcilers};
use causeway::cluster::rights;
use causeway::controllers::{Notice, Outcome};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{DynamicObject, ObjectMeta};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::runner::{is_ready, ready};
use super::scripted::{PATIENCE, Scripted, Still, connections, create_connection, settings, until};
use crate::support;

const OPERATOR: &str = include_str!("../../examples/operator/rbac.yaml");
const TOKENS: &str = include_str!("../../examples/credentials/service-account.yaml");
const NAMESPACE: &str = include_str!("../../examples/identity-center/00-namespace.yaml");

/// Group, resource, verb and names: what rules allow, however they are written.
fn flat(rules: &[PolicyRule]) -> BTreeSet<(String, String, String, Vec<String>)> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let names = rule.resource_names.clone().unwrap_or_default();
                    all.insert((group.clone(), resource.clone(), verb.clone(), names));
                }
            }
        }
    }
    all
}

/// The rules of a role in YAML.
fn written(yaml: &str, name: &str) -> Vec<PolicyRule> {
    let objects = sandbox::journey::parse(yaml, None).unwrap();
    let is_role = |o: &&DynamicObject| o.types.as_ref().is_some_and(|t| t.kind.ends_with("Role"));
    let role = objects.iter().filter(is_role).find(|o| o.name_any() == name).unwrap();
    serde_json::from_value(role.data["rules"].clone()).unwrap()
}

#[test]
fn the_examples_grant_exactly_the_listed_rights() {
    let watched = written(OPERATOR, "causeway");
    assert_eq!(flat(&watched), flat(&rights::watched()));
    // Secrets are granted namespace by namespace, by the namespace's owner.
    assert!(flat(&watched).iter().all(|(_, resource, ..)| resource != "secrets"));
    assert_eq!(flat(&written(NAMESPACE, "causeway-secrets")), flat(&rights::secrets()));
    assert_eq!(flat(&written(OPERATOR, "causeway-leader")), flat(&rights::own("causeway")));
    // Whoever may create tokens of any ServiceAccount may be anybody: never everywhere, and by name.
    assert_eq!(flat(&written(TOKENS, "causeway-tokens")), flat(&rights::tokens(&["causeway"])));
    assert!(flat(&watched).iter().all(|(_, resource, ..)| !resource.starts_with("serviceaccounts")));
}

async fn grant(
    client: &Client,
    namespace: &str,
    role: &str,
    account_namespace: &str,
    rules: Vec<PolicyRule>,
) {
    let metadata = ObjectMeta { name: Some(role.to_owned()), ..ObjectMeta::default() };
    let roles = Api::<Role>::namespaced(client.clone(), namespace);
    let rights = Role { metadata: metadata.clone(), rules: Some(rules) };
    roles.create(&Default::default(), &rights).await.unwrap();
    let binding = RoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".into()),
            kind: "Role".into(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: "causeway".into(),
            namespace: Some(account_namespace.to_owned()),
            ..Subject::default()
        }]),
    };
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
    bindings.create(&Default::default(), &binding).await.unwrap();
}

#[test]
fn the_listed_rights_are_enough_for_two_watched_namespaces_and_a_home() {
    support::run(async {
        let (client, home) = support::namespace("frame-home").await;
        let (_, one) = support::namespace("frame-one").await;
        let (_, two) = support::namespace("frame-two").await;
        let account = serde_json::from_value(json!({"metadata": {"name": "causeway"}})).unwrap();
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &home);
        accounts.create(&Default::default(), &account).await.unwrap();
        for watched in [&one, &two] {
            grant(&client, watched, "causeway", &home, [rights::watched(), rights::secrets()].concat()).await;
        }
        grant(&client, &home, "causeway-home", &home, rights::own("causeway")).await;

        let dir = tempfile::tempdir().unwrap();
        let plane = support::cluster().await;
        let path = plane.service_account_kubeconfig(&home, "causeway", dir.path()).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();

        let mut settings = settings(&one);
        settings.namespaces.insert(two.clone());
        settings.operator_namespace = home.clone();
        settings.leader.elect = true;
        settings.leader.lease_duration = Duration::from_secs(60);
        let mut script = Scripted::new(|object| {
            let notice = Notice {
                warning: false,
                reason: "Provisioned".into(),
                action: "Provision",
                note: "all is well".into(),
            };
            Outcome::settled(ready(&object)).with_notices(vec![notice])
        });
        script.writes_map = Some("x-ledger".to_owned());
        let reconcilers =
            Reconcilers { federations: Still::new(), connections: script, bindings: Still::new() };
        let stop = CancellationToken::new();
        let operator = tokio::spawn(app::run_with(settings, None, stop.clone(), Some(config), reconcilers));
        for namespace in [&one, &two] {
            create_connection(&client, namespace, "x").await;
            let api = connections(&client, namespace);
            until(&api, "x", "ready", is_ready).await;
            let events = Api::<Event>::namespaced(client.clone(), namespace);
            let told = async {
                while events.list(&Default::default()).await.unwrap().items.is_empty() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(PATIENCE, told).await.expect("an Event");
            api.delete("x", &Default::default()).await.unwrap();
            until(&api, "x", "gone", |o| o.is_none()).await;
        }
        stop.cancel();
        operator.await.unwrap().unwrap();
    });
}
