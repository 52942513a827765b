//! The job's attribute mappings as a document: read and edited in place, so that members nobody here knows stay
//! as they are (contract Graph 5.8).

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// An edited schema and what was changed in it, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The whole schema, ready to be put.
    pub schema: Value,
    /// What differs from before; empty: nothing.
    pub changes: Vec<String>,
}

/// What the mappings should be. Targets that are not named are left alone, and so is one that was named once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Target attribute of users and its source attribute.
    pub users: Vec<(String, String)>,
    /// Whether groups are pushed; none: as it is.
    pub groups: Option<bool>,
}

/// Edits a schema. Changes come sorted and without repetition.
///
/// # Errors
/// The targets that the schema does not have.
pub fn edit(schema: &Value, wanted: &Wanted) -> Result<Edit, Vec<String>> {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.retain(|name, _| !name.starts_with("@odata."));
    }
    let mut changes = BTreeSet::new();
    let mut missing: BTreeSet<&str> = wanted.users.iter().map(|(target, _)| target.as_str()).collect();
    let mut has_groups = false;
    for mapping in object_mappings_mut(&mut schema) {
        if is_about(mapping, "Group") {
            has_groups = true;
            if let Some(enabled) =
                wanted.groups.filter(|e| mapping.get("enabled").and_then(Value::as_bool) != Some(*e))
            {
                mapping["enabled"] = Value::Bool(enabled);
                changes.insert(if enabled {
                    "provision groups".to_owned()
                } else {
                    "stop provisioning groups".to_owned()
                });
            }
        } else if is_about(mapping, "User") {
            let attributes = mapping.get_mut("attributeMappings").and_then(Value::as_array_mut);
            for attribute in attributes.into_iter().flatten() {
                let Some((target, source)) =
                    wanted.users.iter().find(|(target, _)| is_target(attribute, target))
                else {
                    continue;
                };
                missing.remove(target.as_str());
                if !comes_from(attribute, source) {
                    let expression = format!("[{source}]");
                    attribute["source"] = json!({"type": "Attribute", "name": source, "expression": expression, "parameters": []});
                    changes.insert(format!("map {target} from {source}"));
                }
            }
        }
    }
    let mut missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    if wanted.groups == Some(true) && !has_groups {
        missing.push("groups".to_owned());
    }
    if missing.is_empty() {
        Ok(Edit { schema, changes: changes.into_iter().collect() })
    } else {
        Err(missing)
    }
}

/// The rule under which people are provisioned: what a provision on demand names (contract Graph 5.6).
#[must_use]
pub fn rule_for_users(schema: &Value) -> Option<&str> {
    let rules = schema.get("synchronizationRules")?.as_array()?;
    let serves = |rule: &&Value| {
        let mappings = rule.get("objectMappings").and_then(Value::as_array);
        mappings
            .into_iter()
            .flatten()
            .any(|m| is_about(m, "User") && m.get("enabled") != Some(&Value::Bool(false)))
    };
    rules.iter().find(serves)?.get("id")?.as_str()
}

/// The targets of people's mappings, for messages.
#[must_use]
pub fn targets(schema: &Value) -> Vec<&str> {
    let attributes = object_mappings(schema)
        .filter(|(_, m)| is_about(m, "User"))
        .flat_map(|(_, m)| m.get("attributeMappings").and_then(Value::as_array).into_iter().flatten());
    let found: BTreeSet<&str> = attributes.filter_map(|a| a.get("targetAttributeName")?.as_str()).collect();
    found.into_iter().collect()
}

fn object_mappings_mut(schema: &mut Value) -> impl Iterator<Item = &mut Value> {
    let rules = schema.get_mut("synchronizationRules").and_then(Value::as_array_mut).into_iter().flatten();
    rules.flat_map(|r| r.get_mut("objectMappings").and_then(Value::as_array_mut).into_iter().flatten())
}

/// The object mappings of a schema, each with its rule.
pub(super) fn object_mappings(schema: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let rules = schema.get("synchronizationRules").and_then(Value::as_array).into_iter().flatten();
    rules.flat_map(|rule| {
        let mappings = rule.get("objectMappings").and_then(Value::as_array).into_iter().flatten();
        mappings.map(move |mapping| (rule, mapping))
    })
}

pub(super) fn is_about(mapping: &Value, object: &str) -> bool {
    let source = mapping.get("sourceObjectName").and_then(Value::as_str);
    source.is_some_and(|name| name.eq_ignore_ascii_case(object))
}

pub(super) fn is_target(attribute: &Value, target: &str) -> bool {
    attribute.get("targetAttributeName").and_then(Value::as_str) == Some(target)
}

/// By meaning: however the expression of an attribute is written, its type and name decide.
pub(super) fn comes_from(attribute: &Value, source: &str) -> bool {
    let member = |name: &str| attribute.get("source").and_then(|s| s.get(name)).and_then(Value::as_str);
    member("type") == Some("Attribute") && member("name") == Some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Value {
        json!({"@odata.context": "x", "id": "j", "version": "v1", "novelty": {"a": [1]}, "directories": [{"id": "d"}],
            "synchronizationRules": [{"id": "rule#V2", "objectMappings": [
                {"sourceObjectName": "Group", "targetObjectName": "Group", "enabled": true, "attributeMappings": []},
                {"sourceObjectName": "User", "targetObjectName": "User", "enabled": true, "attributeMappings": [
                    {"targetAttributeName": "userName", "matchingPriority": 1, "odd": true, "source": {"type": "Function", "name": "SingleAppRoleAssignment", "expression": "f()"}},
                    {"targetAttributeName": "title", "matchingPriority": 0, "source": {"type": "Attribute", "name": "jobTitle", "expression": "[jobTitle]"}}]}]}]})
    }

    fn wanted(users: &[(&str, &str)], groups: Option<bool>) -> Wanted {
        Wanted { users: users.iter().map(|(t, s)| ((*t).to_owned(), (*s).to_owned())).collect(), groups }
    }

    #[test]
    fn only_what_is_named_changes() {
        let edited = edit(&template(), &wanted(&[("userName", "mail")], Some(false))).unwrap();
        assert_eq!(edited.changes, ["map userName from mail", "stop provisioning groups"]);
        let mut expected = template();
        expected.as_object_mut().unwrap().remove("@odata.context");
        let mappings = &mut expected["synchronizationRules"][0]["objectMappings"];
        mappings[0]["enabled"] = json!(false);
        mappings[1]["attributeMappings"][0]["source"] =
            json!({"type": "Attribute", "name": "mail", "expression": "[mail]", "parameters": []});
        assert_eq!(edited.schema, expected);
    }

    #[test]
    fn an_edited_schema_needs_no_edit() {
        let wanted = wanted(&[("userName", "mail"), ("title", "jobTitle")], Some(false));
        let edited = edit(&template(), &wanted).unwrap();
        assert!(edit(&edited.schema, &wanted).unwrap().changes.is_empty());
    }

    #[test]
    fn targets_that_do_not_exist_are_named() {
        let missing =
            edit(&template(), &wanted(&[("userName", "mail"), ("nickName", "mail")], None)).unwrap_err();
        assert_eq!(missing, ["nickName"]);
        assert_eq!(edit(&json!({}), &wanted(&[], Some(true))).unwrap_err(), ["groups"]);
        assert!(edit(&json!({}), &wanted(&[], Some(false))).unwrap().changes.is_empty());
        assert_eq!(targets(&template()), ["title", "userName"]);
    }

    #[test]
    fn the_rule_for_people_is_found() {
        assert_eq!(rule_for_users(&template()), Some("rule#V2"));
        assert_eq!(rule_for_users(&json!(null)), None);
    }
}
