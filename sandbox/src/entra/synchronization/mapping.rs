//! From a schema to what is written into the target (5.8).

use serde_json::{Map, Value, json};

use super::expression::Expression;
use crate::entra::state::{Fields, Kind};

/// One object mapping of a schema, ready to run.
#[derive(Debug, Clone)]
pub(super) struct ObjectMapping {
    pub(super) kind: Kind,
    pub(super) enabled: bool,
    pub(super) adds: bool,
    pub(super) updates: bool,
    pub(super) deletes: bool,
    attributes: Vec<Attribute>,
    /// Groups of clauses: one group must hold, all its clauses.
    scope: Vec<Vec<Clause>>,
}

#[derive(Debug, Clone)]
struct Attribute {
    target: String,
    matching: i64,
    source: Expression,
    default: String,
    once: bool,
}

#[derive(Debug, Clone)]
struct Clause {
    attribute: Expression,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Equals,
    NotEquals,
    IsNull,
    IsNotNull,
}

/// Reads a schema.
///
/// # Errors
/// The first thing that is wrong, in words.
pub(super) fn parse(schema: &Value) -> Result<Vec<ObjectMapping>, String> {
    if !schema["directories"].is_array() {
        return Err("the schema has no directories".to_owned());
    }
    let rules = schema["synchronizationRules"].as_array().filter(|r| !r.is_empty());
    let mut out = Vec::new();
    for rule in rules.ok_or("the schema has no synchronizationRules")? {
        if rule["id"].as_str().is_none_or(str::is_empty) {
            return Err("a synchronizationRule has no id".to_owned());
        }
        for mapping in
            rule["objectMappings"].as_array().ok_or("a synchronizationRule has no objectMappings")?
        {
            out.push(object_mapping(mapping)?);
        }
    }
    Ok(out)
}

fn object_mapping(mapping: &Value) -> Result<ObjectMapping, String> {
    let kind = match mapping["sourceObjectName"].as_str() {
        Some("User") => Kind::User,
        Some("Group") => Kind::Group,
        other => return Err(format!("the source object '{}' is not known", other.unwrap_or_default())),
    };
    let flows = mapping["flowTypes"].as_str().ok_or("flowTypes is missing")?;
    let flows: Vec<&str> = flows.split(',').map(str::trim).collect();
    if let Some(unknown) = flows.iter().find(|f| !["None", "Add", "Update", "Delete"].contains(f)) {
        return Err(format!("the flow type '{unknown}' is not known"));
    }
    let all = mapping["attributeMappings"].as_array().ok_or("attributeMappings is missing")?;
    let attributes = all.iter().map(attribute).collect::<Result<Vec<_>, String>>()?;
    if !attributes.iter().any(|a| a.matching > 0) {
        return Err("no attribute has a matchingPriority".to_owned());
    }
    let groups = mapping["scope"]["groups"].as_array().into_iter().flatten();
    let scope = groups
        .map(|group| group["clauses"].as_array().into_iter().flatten().map(clause).collect())
        .collect::<Result<Vec<Vec<Clause>>, String>>()?;
    Ok(ObjectMapping {
        kind,
        enabled: mapping["enabled"].as_bool().ok_or("enabled is missing")?,
        adds: flows.contains(&"Add"),
        updates: flows.contains(&"Update"),
        deletes: flows.contains(&"Delete"),
        attributes,
        scope,
    })
}

fn attribute(mapping: &Value) -> Result<Attribute, String> {
    let target = mapping["targetAttributeName"].as_str().filter(|t| !t.is_empty());
    let target = target.ok_or("targetAttributeName is missing")?.to_owned();
    let source =
        Expression::of_source(&mapping["source"]).map_err(|e| format!("mapping of '{target}': {e}"))?;
    Ok(Attribute {
        matching: mapping["matchingPriority"].as_i64().unwrap_or(0),
        default: mapping["defaultValue"].as_str().unwrap_or_default().to_owned(),
        once: mapping["flowType"] == "ObjectAddOnly",
        target,
        source,
    })
}

fn clause(clause: &Value) -> Result<Clause, String> {
    let name = clause["sourceOperandName"].as_str().ok_or("a scope clause has no sourceOperandName")?;
    let operator = match clause["operatorName"].as_str().unwrap_or_default() {
        "EQUALS" => Operator::Equals,
        "NOT EQUALS" => Operator::NotEquals,
        "IS NULL" => Operator::IsNull,
        "IS NOT NULL" => Operator::IsNotNull,
        other => return Err(format!("the scope operator '{other}' is not known")),
    };
    let values = clause["targetOperand"]["values"].as_array().into_iter().flatten();
    let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Clause { attribute: Expression::Attribute(name.to_owned()), operator, values })
}

impl ObjectMapping {
    /// Whether the scoping filter lets a source object through.
    pub(super) fn in_scope(&self, source: &Fields) -> bool {
        let holds = |clause: &Clause| {
            let found = clause.attribute.evaluate(source);
            let equal = clause.values.iter().any(|v| v.eq_ignore_ascii_case(&found));
            match clause.operator {
                Operator::Equals => equal,
                Operator::NotEquals => !equal,
                Operator::IsNull => found.is_empty(),
                Operator::IsNotNull => !found.is_empty(),
            }
        };
        self.scope.is_empty() || self.scope.iter().any(|group| group.iter().all(holds))
    }

    /// Whether group members are mapped.
    pub(super) fn maps_members(&self) -> bool {
        self.attributes.iter().any(|a| a.target == "members")
    }

    /// Whether the target can be told that somebody is out.
    pub(super) fn maps_active(&self) -> bool {
        self.attributes.iter().any(|a| a.target == "active")
    }

    /// Target attributes with their values; what the source leaves empty is left out (AWS contract 4.2).
    pub(super) fn values(&self, source: &Fields, new: bool) -> Map<String, Value> {
        let mut out = Map::new();
        for attribute in self.attributes.iter().filter(|a| a.target != "members" && (new || !a.once)) {
            let mut value = attribute.source.evaluate(source);
            if value.is_empty() {
                value.clone_from(&attribute.default);
            }
            if value.is_empty() {
                continue;
            }
            let value = if attribute.target == "active" {
                Value::Bool(value.eq_ignore_ascii_case("true") || value == "1")
            } else {
                Value::String(value)
            };
            out.insert(attribute.target.clone(), value);
        }
        out
    }

    /// The attributes that find an object in the target, first choice first.
    pub(super) fn matching<'a>(&'a self, values: &'a Map<String, Value>) -> Vec<(&'a str, &'a str)> {
        let mut all: Vec<&Attribute> = self.attributes.iter().filter(|a| a.matching > 0).collect();
        all.sort_by_key(|a| a.matching);
        all.into_iter().filter_map(|a| Some((a.target.as_str(), values.get(&a.target)?.as_str()?))).collect()
    }
}

/// The body of a creation.
pub(super) fn resource(kind: Kind, values: &Map<String, Value>) -> Value {
    let core = format!("urn:ietf:params:scim:schemas:core:2.0:{}", kind.principal_type());
    let mut schemas = vec![core];
    let mut body = json!({});
    for (target, value) in values {
        match Path::parse(target) {
            Path::Extension(urn, name) => {
                body[urn][name] = value.clone();
                if !schemas.iter().any(|s| s == urn) {
                    schemas.push(urn.to_owned());
                }
            }
            Path::Typed(list, of, name) => {
                let all = &mut body[list];
                if !all.is_array() {
                    *all = json!([]);
                }
                let Some(all) = all.as_array_mut() else { continue };
                match all.iter_mut().find(|entry| entry["type"] == of) {
                    Some(entry) => entry[name] = value.clone(),
                    None => all.push(json!({ "type": of, "primary": true, name: value })),
                }
            }
            Path::Sub(parent, name) => body[parent][name] = value.clone(),
            Path::Plain(name) => body[name] = value.clone(),
        }
    }
    body["schemas"] = json!(schemas);
    body
}

/// The operations that bring `current` (a resource of the target) to `values`.
pub(super) fn difference(current: &Value, values: &Map<String, Value>) -> Vec<Value> {
    let differs = |(target, value): &(&String, &Value)| {
        let found = match Path::parse(target) {
            Path::Extension(urn, name) => &current[urn][name],
            Path::Typed(list, of, name) => {
                let entries = current[list].as_array().into_iter().flatten();
                entries
                    .into_iter()
                    .find(|entry| entry["type"] == of)
                    .map_or(&Value::Null, |entry| &entry[name])
            }
            Path::Sub(parent, name) => &current[parent][name],
            Path::Plain(name) => &current[name],
        };
        found != *value
    };
    values.iter().filter(differs).map(|(target, value)| replace(target, value)).collect()
}

/// The operations that bring what was written last to `values`.
pub(super) fn changes(exported: &Map<String, Value>, values: &Map<String, Value>) -> Vec<Value> {
    let changed = values.iter().filter(|(target, value)| exported.get(*target) != Some(value));
    changed.map(|(target, value)| replace(target, value)).collect()
}

fn replace(target: &str, value: &Value) -> Value {
    json!({ "op": "replace", "path": target, "value": value })
}

enum Path<'a> {
    Extension(&'a str, &'a str),
    /// `list[type eq "of"].name`
    Typed(&'a str, &'a str, &'a str),
    Sub(&'a str, &'a str),
    Plain(&'a str),
}

impl<'a> Path<'a> {
    fn parse(target: &'a str) -> Self {
        if target.starts_with("urn:") {
            return target
                .rsplit_once(':')
                .map_or(Self::Plain(target), |(urn, name)| Self::Extension(urn, name));
        }
        if let Some((list, rest)) = target.split_once("[type eq \"")
            && let Some((of, name)) = rest.split_once("\"].")
        {
            return Self::Typed(list, of, name);
        }
        target.split_once('.').map_or(Self::Plain(target), |(parent, name)| Self::Sub(parent, name))
    }
}
