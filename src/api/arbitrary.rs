//! Resources that pass the schema, whatever else they are: for tests that throw them at the code.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::CustomResourceExt;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

use super::finish_schema;

/// The most items that a list or a map gets.
const FEW: usize = 4;

/// A resource as the API server would store it: every value in its schema's bounds, defaults filled in or not. Rules
/// across fields are not heeded: what they refuse must not break the code either.
pub fn resource<K: CustomResourceExt>() -> BoxedStrategy<Value> {
    let crd = finish_schema(K::crd());
    let (kind, version) = (crd.spec.names.kind, "causeway.dev/v1alpha1");
    let schema = crd.spec.versions.into_iter().next().and_then(|v| v.schema).unwrap();
    let root = schema.open_api_v3_schema.unwrap();
    let spec = value(&root.properties.unwrap()["spec"]);
    spec.prop_map(move |spec| {
        json!({
            "apiVersion": version, "kind": kind, "spec": spec,
            "metadata": {"name": "any", "namespace": "identity", "uid": "00000000-0000-4000-8000-000000000000", "generation": 1},
        })
    })
    .boxed()
}

fn value(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    if let Some(members) = &schema.enum_ {
        return proptest::sample::select(members.iter().map(|m| m.0.clone()).collect::<Vec<_>>()).boxed();
    }
    match schema.type_.as_deref() {
        // Of account ids, the form that the rule beside them takes.
        None if schema.x_kubernetes_int_or_string == Some(true) => {
            "[0-9]{12}".prop_map(Value::String).boxed()
        }
        Some("string") => string(schema).prop_map(Value::String).boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::Bool).boxed(),
        Some("integer") => {
            let bound = |b: Option<f64>, otherwise: i64| b.map_or(otherwise, |b| b as i64);
            (bound(schema.minimum, -9)..=bound(schema.maximum, i64::from(i32::MAX)))
                .prop_map(|n| json!(n))
                .boxed()
        }
        Some("array") => list(schema),
        Some("object") => object(schema),
        other => panic!("no values of type {other:?} are made yet"),
    }
}

fn string(schema: &JSONSchemaProps) -> BoxedStrategy<String> {
    let least = usize::try_from(schema.min_length.unwrap_or(0)).unwrap();
    let most = usize::try_from(schema.max_length.unwrap_or(4096)).unwrap();
    match &schema.pattern {
        Some(pattern) => {
            // The API server's classes are those of ASCII, and all our patterns are anchored.
            let pattern = pattern.replace(r"\w", "0-9A-Za-z_");
            let inner = pattern.trim_start_matches('^').trim_end_matches('$');
            let fits = move |s: &String| (least..=most).contains(&s.chars().count());
            string_regex(inner).unwrap().prop_filter("within its length", fits).boxed()
        }
        None => vec(any::<char>(), least..=most.min(least + 40))
            .prop_map(|chars| chars.into_iter().collect())
            .boxed(),
    }
}

fn list(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray;
    let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else { panic!("a list without a type") };
    let least = usize::try_from(schema.min_items.unwrap_or(0)).unwrap();
    let most = usize::try_from(schema.max_items.unwrap_or(i64::MAX)).unwrap();
    let set = schema.x_kubernetes_list_type.as_deref() == Some("set");
    vec(value(items), least..=most.min(least.max(FEW)))
        .prop_map(move |mut items| {
            if set {
                let mut seen = Vec::new();
                items.retain(|i| !seen.contains(i) && (seen.push(i.clone()), true).1);
            }
            Value::Array(items)
        })
        .boxed()
}

fn object(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool;
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        return anything().prop_filter("an object", Value::is_object).boxed();
    }
    if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &schema.additional_properties {
        let entries = btree_map("[ -~]{1,20}", value(inner), 0..FEW);
        return entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed();
    }
    let required = schema.required.clone().unwrap_or_default();
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = schema
        .properties
        .iter()
        .flatten()
        .map(|(name, field)| {
            let name = name.clone();
            let given = value(field).prop_map({
                let name = name.clone();
                move |value| Some((name.clone(), value))
            });
            if required.contains(&name) { given.boxed() } else { prop_oneof![Just(None), given].boxed() }
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

/// Any JSON.
pub fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        proptest::sample::select(vec!["Allow", "Deny", "*", "2012-10-17", "s3:Get*"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop_oneof![
            proptest::sample::select(vec![
                "Version",
                "Statement",
                "Effect",
                "Action",
                "Resource",
                "Condition"
            ])
            .prop_map(str::to_owned),
            "[a-zA-Z:]{1,8}",
        ];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            btree_map(key, inner, 0..5).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}
