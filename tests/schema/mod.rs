//! The schema, judged by a real API server: every rule refuses one manifest and accepts another.

use std::collections::BTreeSet;

use causeway::api::all_crds;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{namespace, run};

/// The manifest that uses every field of a kind.
fn full(kind: &str) -> Value {
    let text = match kind {
        "IdentityFederation" => include_str!("identityfederation.yaml"),
        "ScimConnection" => include_str!("scimconnection.yaml"),
        "PermissionSetBinding" => include_str!("permissionsetbinding.yaml"),
        other => panic!("no full manifest of {other}"),
    };
    serde_yaml_ng::from_str(text).expect("YAML")
}

fn api(client: kube::Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("causeway.dev", "v1alpha1", kind);
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&gvk))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Creates as `kubectl apply` would: strict about unknown fields, nothing is stored.
async fn dry_run(api: &Api<DynamicObject>, manifest: &Value) -> Result<(), String> {
    let object: DynamicObject = serde_json::from_value(manifest.clone()).expect("an object");
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&parameters, &object).await.map(|_| ()).map_err(|e| e.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleCase {
    kind: String,
    message: String,
    #[serde(default)]
    update: bool,
    refuses: Value,
    accepts: Value,
}

fn rule_cases() -> Vec<RuleCase> {
    serde_yaml_ng::from_str(include_str!("rules.yaml")).expect("the table of rules")
}

#[test]
fn full_manifests_are_accepted() {
    run(async {
        let (client, namespace) = namespace("schema").await;
        for crd in all_crds() {
            let kind = &crd.spec.names.kind;
            dry_run(&api(client.clone(), &namespace, kind), &full(kind))
                .await
                .unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
    });
}

#[test]
fn credentials_name_one_way_and_no_odd_roles_or_accounts() {
    run(async {
        let (client, namespace) = namespace("schema").await;
        let api = api(client, &namespace, "IdentityFederation");
        let id = "7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001";
        let role = |rest: &str| format!("arn:aws:iam::111122223333:role/{rest}");
        let account = |name: &str, role: &str| {
            json!({"entra": {"credentials": {"clientSecret": null, "serviceAccount": {"name": name, "clientId": id}}},
                "aws": {"credentials": {"secretRef": null, "serviceAccount": {"name": name, "roleArn": role}}}})
        };
        let assumes = |role: &str| json!({"aws": {"credentials": {"assumeRole": {"roleArn": role}}}});
        let neither = json!({"entra": {"credentials": {"clientSecret": null}}});
        let only_a_role = json!({"aws": {"credentials": {"secretRef": null}}});
        for (patch, good) in [
            (account("causeway", &role("causeway")), true),
            (account("causeway.v1", &role("path/to/causeway")), true),
            (account("Causeway", &role("causeway")), false),
            (account("../secrets/x", &role("causeway")), false),
            (account("causeway", "arn:aws:iam::111122223333:user/causeway"), false),
            (assumes(&role("causeway")), true),
            (assumes("arn:aws-us-gov:iam::111122223333:role/causeway"), true),
            (assumes(&role("*")), false),
            (assumes(&role("")), false),
            (assumes("arn:aws:iam::1:role/causeway"), false),
            (neither, false),
            (only_a_role, false),
        ] {
            let mut manifest = full("IdentityFederation");
            merge(&mut manifest["spec"], &patch);
            assert_eq!(dry_run(&api, &manifest).await.is_ok(), good, "{patch}");
        }
    });
}

#[test]
fn every_rule_refuses_one_manifest_and_accepts_another() {
    run(async {
        let (client, namespace) = namespace("schema").await;
        for case in rule_cases() {
            let api = api(client.clone(), &namespace, &case.kind);
            let mut answers = Vec::new();
            for patch in [&case.refuses, &case.accepts] {
                let answer = if case.update {
                    let mut object: DynamicObject = serde_json::from_value(full(&case.kind)).unwrap();
                    object.metadata.name = Some("stored".into());
                    // The second patch finds the object of the first.
                    let _ = api.create(&PostParams::default(), &object).await;
                    let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
                    api.patch("stored", &parameters, &Patch::Merge(patch))
                        .await
                        .map(|_| ())
                        .map_err(|e| e.to_string())
                } else {
                    let mut manifest = full(&case.kind);
                    merge(&mut manifest, patch);
                    dry_run(&api, &manifest).await
                };
                answers.push(answer);
            }
            let refused =
                answers[0].clone().expect_err(&format!("{} must be refused: {}", case.kind, case.message));
            assert!(
                refused.contains(&case.message),
                "{}: expected \"{}\" in: {refused}",
                case.kind,
                case.message
            );
            assert_eq!(
                answers[1],
                Ok(()),
                "{} must accept its counterpart of \"{}\"",
                case.kind,
                case.message
            );
        }
    });
}

#[test]
fn the_table_of_rules_is_complete() {
    let cases = rule_cases();
    for crd in all_crds() {
        let mut messages = BTreeSet::new();
        collect_messages(&serde_json::to_value(&crd.spec.versions[0].schema).unwrap(), &mut messages);
        assert!(!messages.is_empty());
        for message in messages {
            let known = cases.iter().any(|c| c.kind == crd.spec.names.kind && message.contains(&c.message));
            assert!(known, "rules.yaml lacks a case of {} for: {message}", crd.spec.names.kind);
        }
    }
}

fn collect_messages(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for rule in map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                into.insert(rule["message"].as_str().expect("every rule has a message").to_owned());
            }
            map.values().for_each(|v| collect_messages(v, into));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_messages(v, into)),
        _ => {}
    }
}

/// One constraint of the schema and a value that breaks it, at a JSON pointer of the full manifest.
struct Breach {
    pointer: String,
    constraint: &'static str,
    value: Option<Value>,
}

fn breaches(schema: &Value, manifest: &Value, pointer: &str, into: &mut Vec<Breach>) {
    let mut breach = |constraint, value| into.push(Breach { pointer: pointer.to_owned(), constraint, value });
    if schema.get("pattern").is_some() {
        breach("pattern", Some(json!("\u{7}not allowed\u{7}")));
    }
    if schema.get("enum").is_some() {
        breach("enum", Some(json!("NotInTheList")));
    }
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64) {
        breach("maxLength", Some(json!("1".repeat(usize::try_from(most).unwrap() + 1))));
    }
    if schema.get("minLength").and_then(Value::as_u64).is_some_and(|least| least > 0) {
        breach("minLength", Some(json!("")));
    }
    if let Some(most) = schema.get("maximum").and_then(Value::as_f64) {
        breach("maximum", Some(json!(most as i64 + 1)));
    }
    if let Some(least) = schema.get("minimum").and_then(Value::as_f64) {
        breach("minimum", Some(json!(least as i64 - 1)));
    }
    if let (Some(most), Some(first)) = (schema.get("maxItems").and_then(Value::as_u64), manifest.get(0)) {
        breach("maxItems", Some(json!(vec![first.clone(); usize::try_from(most).unwrap() + 1])));
    }
    if schema.get("minItems").and_then(Value::as_u64).is_some_and(|least| least > 0) {
        breach("minItems", Some(json!([])));
    }
    if matches!(schema.get("type").and_then(Value::as_str), Some("boolean" | "integer" | "array" | "object"))
    {
        breach("type", Some(json!("a string")));
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let pointer = format!("{pointer}/{}", name.as_str().unwrap());
        into.push(Breach { pointer, constraint: "required", value: None });
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let pointer = format!("{pointer}/{name}");
        if let Some(inner) = manifest.get(name) {
            breaches(property, inner, &pointer, into);
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), manifest.as_array()) {
        for (index, item) in list.iter().enumerate() {
            breaches(items, item, &format!("{pointer}/{index}"), into);
        }
    }
}

#[test]
fn every_constraint_refuses_a_breach() {
    run(async {
        let (client, namespace) = namespace("schema").await;
        for crd in all_crds() {
            let kind = &crd.spec.names.kind;
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
            let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
            let manifest = full(kind);
            let mut all = Vec::new();
            breaches(spec, &manifest["spec"], "/spec", &mut all);
            assert!(all.len() > 20, "{kind}: only {} constraints", all.len());
            let api = api(client.clone(), &namespace, kind);
            for breach in all {
                let mut broken = manifest.clone();
                match breach.value {
                    Some(value) => *broken.pointer_mut(&breach.pointer).expect("the leaf exists") = value,
                    None => {
                        let (parent, leaf) = breach.pointer.rsplit_once('/').unwrap();
                        let parent = broken.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                        if parent.remove(leaf).is_none() {
                            continue;
                        }
                    }
                }
                let answer = dry_run(&api, &broken).await;
                assert!(answer.is_err(), "{kind}: {} at {} was accepted", breach.constraint, breach.pointer);
            }
        }
    });
}

#[test]
fn full_manifests_use_every_field() {
    for crd in all_crds() {
        let kind = &crd.spec.names.kind;
        let mut missing = unused_fields(kind, &[&full(kind)["spec"]]);
        // Fields that another field excludes.
        let excluded = [
            "spec.aws.credentials.ambient",
            "spec.aws.credentials.serviceAccount",
            "spec.aws.external",
            "spec.entra.credentials.ambient",
            "spec.entra.credentials.serviceAccount",
            "spec.entra.external",
            "spec.permissionSet.permissionsBoundary.managedPolicyArn",
        ];
        missing.retain(|path| !excluded.contains(&path.as_str()));
        assert!(missing.is_empty(), "{kind}: the full manifest lacks {missing:?}");
    }
}

/// The fields of the spec of that kind which none of these values has; of one that is missing not those below it.
pub fn unused_fields(kind: &str, specs: &[&Value]) -> Vec<String> {
    let crd = all_crds().into_iter().find(|crd| crd.spec.names.kind == kind).expect("a kind of ours");
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
    let mut missing = Vec::new();
    unused(&schema["openAPIV3Schema"]["properties"]["spec"], specs, "spec", &mut missing);
    missing
}

fn unused(schema: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let inner: Vec<&Value> = values.iter().filter_map(|v| v.get(name)).collect();
        let path = format!("{path}.{name}");
        if inner.is_empty() { missing.push(path) } else { unused(property, &inner, &path, missing) }
    }
    if let Some(items) = schema.get("items") {
        let inner: Vec<&Value> = values.iter().filter_map(|v| v.as_array()).flatten().collect();
        unused(items, &inner, &format!("{path}[]"), missing);
    }
}

#[test]
fn every_field_is_described() {
    for crd in all_crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let mut bare = Vec::new();
        undescribed(&schema["openAPIV3Schema"], "", &mut bare);
        bare.retain(|p| !matches!(p.as_str(), ".apiVersion" | ".kind" | ".metadata"));
        assert!(bare.is_empty(), "{}: no description at {bare:?}", crd.spec.names.kind);
    }
}

fn undescribed(schema: &Value, path: &str, bare: &mut Vec<String>) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        if property.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            bare.push(path.clone());
        }
        undescribed(property, &path, bare);
    }
    if let Some(items) = schema.get("items") {
        undescribed(items, &format!("{path}[]"), bare);
    }
}

#[test]
fn the_examples_of_guard_rails_are_accepted() {
    run(async {
        let (client, namespace) = namespace("schema").await;
        let yaml = [
            include_str!("../../examples/guard-rails/10-federation.yaml"),
            include_str!("../../examples/guard-rails/20-bindings.yaml"),
        ];
        for object in yaml.iter().flat_map(|y| sandbox::journey::parse(y, Some(&namespace)).unwrap()) {
            let api = api(client.clone(), &namespace, &object.types.as_ref().unwrap().kind);
            dry_run(&api, &serde_json::to_value(&object).unwrap()).await.unwrap();
        }
    });
}
