use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::v1alpha1::{
    IdentityFederation, IdentityFederationSpec, IdentityFederationStatus, PermissionSetBinding,
    PermissionSetBindingSpec, PermissionSetBindingStatus, ScimConnection, ScimConnectionSpec,
    ScimConnectionStatus,
};

/// The custom resource definitions of all kinds, as they are installed.
#[must_use]
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    [IdentityFederation::crd(), ScimConnection::crd(), PermissionSetBinding::crd()].map(finish_schema).into()
}

/// What the values of a field mean.
pub type Values = Vec<(String, String)>;

/// What the values of the enumerated fields of a kind mean, by path (`spec.mode`, `spec.principals[].onRecreate`): a
/// CRD has no room for that.
#[must_use]
pub fn value_meanings(kind: &str) -> BTreeMap<String, Values> {
    let settings = SchemaSettings::default().with(|s| s.inline_subschemas = true);
    let generator = || settings.clone().into_generator();
    let (spec, status) = match kind {
        "IdentityFederation" => (
            generator().into_root_schema_for::<IdentityFederationSpec>(),
            generator().into_root_schema_for::<IdentityFederationStatus>(),
        ),
        "ScimConnection" => (
            generator().into_root_schema_for::<ScimConnectionSpec>(),
            generator().into_root_schema_for::<ScimConnectionStatus>(),
        ),
        _ => (
            generator().into_root_schema_for::<PermissionSetBindingSpec>(),
            generator().into_root_schema_for::<PermissionSetBindingStatus>(),
        ),
    };
    let mut found = BTreeMap::new();
    for (part, schema) in [("spec", spec), ("status", status)] {
        collect_values(schema.as_value(), part, &mut found);
    }
    found
}

fn collect_values(schema: &Value, path: &str, found: &mut BTreeMap<String, Values>) {
    let members = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
    let text = |schema: &Value, key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
    for choice in members("oneOf").chain(members("anyOf")) {
        let value = text(choice, "const")
            .or_else(|| choice.pointer("/enum/0").and_then(Value::as_str).map(str::to_owned));
        match (value, text(choice, "description")) {
            (Some(value), Some(mut meaning)) => {
                // The CRD itself does not tell: see `tidy`.
                if path.contains("[]") && text(schema, "default").as_ref() == Some(&value) {
                    meaning.push_str(" The default.");
                }
                found.entry(path.to_owned()).or_default().push((value, meaning));
            }
            _ => collect_values(choice, path, found),
        }
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        collect_values(field, &format!("{path}.{name}"), found);
    }
    if let Some(item) = schema.get("items") {
        collect_values(item, &format!("{path}[]"), found);
    }
}

/// Drops what the derive emits and the API server should not see: `nullable` on optional fields (an explicit
/// `null` is a mistake), `null` among enum members, and defaults below a list: three-way merges treat lists
/// whole, so such a default would be an everlasting difference in Git. The code has those defaults itself.
#[must_use]
pub fn finish_schema(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(&crd).expect("a CRD is plain data");
    tidy(&mut value, false);
    serde_json::from_value(value).expect("tidying keeps the shape of a CRD")
}

fn tidy(value: &mut Value, below_list: bool) {
    match value {
        Value::Object(map) => {
            // A property may itself be called `nullable` or `default`; ours are not.
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            if below_list {
                map.remove("default");
            }
            if let Some(Value::Array(members)) = map.get_mut("enum") {
                members.retain(|m| !m.is_null());
            }
            for (key, inner) in map.iter_mut() {
                tidy(inner, below_list || key == "items");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| tidy(inner, below_list)),
        _ => {}
    }
}

/// The conditions of a resource: a map by type, bounded.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What is true of the resource. Ready is the summary.",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the resource's state.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "Aspect, such as Ready."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", "description": "Why, one word from the documented list."},
                "message": {"type": "string", "maxLength": 4096, "description": "Why, and what to do next."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When status last changed."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "The generation that this was judged on."}
            }
        }
    })
}

/// A policy document as an object: kept as written, compared semantically.
pub(super) fn policy_document(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "An IAM policy document, written as an object. Compared semantically with what AWS has.",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_enumerated_field_says_what_its_values_mean() {
        fn enumerated(schema: &Value, path: &str, found: &mut BTreeMap<String, Vec<String>>) {
            if let Some(values) = schema.get("enum").and_then(Value::as_array) {
                let values = values.iter().filter_map(Value::as_str).map(str::to_owned);
                found.insert(path.to_owned(), values.collect());
            }
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                enumerated(field, &format!("{path}.{name}"), found);
            }
            if let Some(item) = schema.get("items") {
                enumerated(item, &format!("{path}[]"), found);
            }
        }
        for crd in all_crds() {
            let kind = crd.spec.names.kind.clone();
            let meanings = value_meanings(&kind);
            let crd = serde_json::to_value(crd).unwrap();
            let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
            let mut found = BTreeMap::new();
            enumerated(schema, "spec", &mut found);
            assert!(!found.is_empty(), "{kind}");
            for (path, values) in found {
                let told: Vec<String> = meanings
                    .get(&path)
                    .unwrap_or_else(|| panic!("{kind} {path}: {meanings:?}"))
                    .iter()
                    .map(|(value, _)| value.clone())
                    .collect();
                assert_eq!(told, values, "{kind} {path}");
            }
        }
    }
}
