//! The PATCH dialect for users (contract aws 4.2).

use serde_json::{Map, Value, json};

use super::errors::ScimError;
use super::users::{LISTS, TEXTS, boolean};
use super::{ENTERPRISE, USER, filter};

/// One operation, its verb in lower case: Entra writes `Add`.
pub(super) struct Operation<'a> {
    pub verb: String,
    pub path: Option<&'a str>,
    pub value: Option<&'a Value>,
}

/// Reads `Operations`.
pub(super) fn operations(body: &Map<String, Value>) -> Result<Vec<Operation<'_>>, ScimError> {
    let list = body.get("Operations").and_then(Value::as_array).filter(|l| !l.is_empty());
    let list = list.ok_or_else(|| ScimError::invalid("Missing Operations in PATCH request"))?;
    list.iter()
        .map(|op| {
            let verb = op.get("op").and_then(Value::as_str).map(str::to_ascii_lowercase).unwrap_or_default();
            if !["add", "replace", "remove"].contains(&verb.as_str()) {
                return Err(ScimError::invalid("Unsupported op in PATCH request"));
            }
            let path = match op.get("path") {
                None | Some(Value::Null) => None,
                Some(Value::String(path)) => Some(path.as_str()),
                Some(_) => return Err(ScimError::invalid("Invalid path in PATCH request")),
            };
            Ok(Operation { verb, path, value: op.get("value").filter(|v| !v.is_null()) })
        })
        .collect()
}

/// Where an operation strikes.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// The attribute in its own spelling, or the enterprise extension's name.
    root: String,
    /// `[type eq "work"]`
    filter: Option<(String, String)>,
    sub: Option<String>,
}

/// The canonical spelling of an allowed root.
fn canonical(root: &str) -> Option<&'static str> {
    ["userName", "active", "externalId", "name"]
        .into_iter()
        .chain(TEXTS)
        .chain(LISTS.into_iter().filter(|l| *l != "roles"))
        .find(|known| known.eq_ignore_ascii_case(root))
}

fn target(path: &str) -> Result<Target, ScimError> {
    let invalid = || ScimError::invalid(format!("Invalid path in PATCH request: {path}"));
    let strip = |prefix: &str| {
        let head = path.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| path[prefix.len()..].trim_start_matches([':', '.']))
    };
    if let Some(rest) = strip(ENTERPRISE) {
        let sub = rest.strip_suffix(".value").unwrap_or(rest);
        return Ok(Target {
            root: ENTERPRISE.into(),
            filter: None,
            sub: (!sub.is_empty()).then(|| sub.to_owned()),
        });
    }
    let path = strip(USER).unwrap_or(path);
    let (head, sub) = match path.split_once(']') {
        Some((head, rest)) => (head, rest.strip_prefix('.')),
        None => path.split_once('.').map_or((path, None), |(head, sub)| (head, Some(sub))),
    };
    let (root, filter) = match head.split_once('[') {
        Some((root, text)) => match &filter::parse(text)?[..] {
            [term] => (root, Some((term.attribute.clone(), term.value.clone()))),
            _ => return Err(invalid()),
        },
        None => (head, None),
    };
    let root = canonical(root).ok_or_else(invalid)?;
    Ok(Target { root: root.into(), filter, sub: sub.filter(|s| !s.is_empty()).map(ToOwned::to_owned) })
}

/// Applies a PATCH to a user's document.
pub(super) fn apply_to_user(
    mut document: Map<String, Value>,
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, ScimError> {
    let (mut names, mut states) = (0, 0);
    for op in operations(body)? {
        let changes: Vec<(Target, Option<Value>)> = match (op.path, op.value) {
            (None, _) if op.verb == "remove" => {
                return Err(ScimError::invalid("Missing path in PATCH request"));
            }
            (None, Some(Value::Object(map))) => map
                .iter()
                .map(|(k, v)| Ok((target(k)?, Some(v.clone()))))
                .collect::<Result<_, ScimError>>()?,
            (None, _) => return Err(ScimError::invalid("Missing path in PATCH request")),
            (Some(path), _) if op.verb == "remove" => vec![(target(path)?, None)],
            (Some(path), Some(value)) => vec![(target(path)?, Some(value.clone()))],
            (Some(_), None) => return Err(ScimError::invalid("Missing value in PATCH request")),
        };
        for (target, value) in changes {
            names += u8::from(target.root == "userName");
            states += u8::from(target.root == "active");
            if names > 1 || states > 1 {
                return Err(ScimError::invalid(format!(
                    "Multiple operations on {} in PATCH request",
                    target.root
                )));
            }
            match value {
                Some(value) => set(&mut document, &target, value, op.verb == "add")?,
                None => remove(&mut document, &target)?,
            }
        }
    }
    Ok(document)
}

fn set(document: &mut Map<String, Value>, target: &Target, value: Value, add: bool) -> Result<(), ScimError> {
    let root = target.root.clone();
    if LISTS.contains(&root.as_str()) {
        return set_list(document, target, value, add);
    }
    let value = if root == "active" { boolean(&value).map_or(value, Value::Bool) } else { value };
    match &target.sub {
        None if root == "name" || root == ENTERPRISE => {
            // A complex attribute merges its parts.
            let (Some(parts), slot) = (value.as_object(), object(document, &root)) else {
                return Err(ScimError::invalid(format!("Attribute {root} must be an object")));
            };
            slot.extend(parts.clone());
        }
        None => {
            document.insert(root, value);
        }
        Some(sub) => {
            object(document, &root).insert(sub.clone(), value);
        }
    }
    Ok(())
}

/// The object under a name; made when it is absent or something else.
fn object<'a>(document: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let slot = document.entry(name).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("it was just made an object")
}

fn matches(entry: &Value, filter: Option<&(String, String)>) -> bool {
    filter.is_none_or(|(name, wanted)| {
        entry.as_object().is_some_and(|e| {
            e.iter().any(|(k, v)| {
                k.eq_ignore_ascii_case(name)
                    && (v.as_str() == Some(wanted)
                        || boolean(v).is_some_and(|b| boolean(&wanted.as_str().into()) == Some(b)))
            })
        })
    })
}

fn set_list(
    document: &mut Map<String, Value>,
    target: &Target,
    value: Value,
    add: bool,
) -> Result<(), ScimError> {
    let mut list = document.get(&target.root).and_then(Value::as_array).cloned().unwrap_or_default();
    match (&target.sub, value) {
        (Some(sub), value) => match list.iter_mut().find(|e| matches(e, target.filter.as_ref())) {
            Some(entry) => {
                if let Some(entry) = entry.as_object_mut() {
                    entry.insert(sub.clone(), value);
                }
            }
            None => {
                let mut entry = Map::new();
                entry.insert(sub.clone(), value);
                if let Some((name, wanted)) = &target.filter {
                    entry.insert(name.clone(), wanted.clone().into());
                }
                // The only address there is must be the primary one.
                entry.entry("primary").or_insert(Value::Bool(true));
                list.push(Value::Object(entry));
            }
        },
        (None, Value::Array(more)) if add => {
            list.extend(more.into_iter().filter(|m| !list.contains(m)).collect::<Vec<_>>())
        }
        (None, Value::Array(all)) => list = all,
        (None, Value::Object(one)) => {
            list.retain(|e| !matches(e, target.filter.as_ref()) || (add && target.filter.is_none()));
            list.push(Value::Object(one));
        }
        (None, _) => return Err(ScimError::invalid(format!("Attribute {} must hold objects", target.root))),
    }
    document.insert(target.root.clone(), list.into());
    Ok(())
}

fn remove(document: &mut Map<String, Value>, target: &Target) -> Result<(), ScimError> {
    if target.root == "userName" || target.root == "active" {
        return Err(ScimError::invalid(format!("Attribute {} cannot be removed", target.root)));
    }
    match (&target.sub, &target.filter) {
        (None, None) => {
            document.shift_remove(&target.root);
        }
        (sub, filter) if LISTS.contains(&target.root.as_str()) => {
            if let Some(list) = document.get_mut(&target.root).and_then(Value::as_array_mut) {
                match sub {
                    None => list.retain(|e| !matches(e, filter.as_ref())),
                    Some(sub) => {
                        for entry in list.iter_mut().filter(|e| matches(e, filter.as_ref())) {
                            entry.as_object_mut().map(|e| e.shift_remove(sub));
                        }
                    }
                }
            }
        }
        (Some(sub), _) => {
            if let Some(parts) = document.get_mut(&target.root).and_then(Value::as_object_mut) {
                parts.shift_remove(sub);
            }
        }
        (None, Some(_)) => return Err(ScimError::invalid("Invalid path in PATCH request")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_entra_are_understood() {
        let t = target(r#"emails[type eq "work"].value"#).unwrap();
        assert_eq!((t.root.as_str(), t.sub.as_deref()), ("emails", Some("value")));
        assert_eq!(t.filter, Some(("type".into(), "work".into())));
        let t = target(&format!("{ENTERPRISE}:department")).unwrap();
        assert_eq!((t.root.as_str(), t.sub.as_deref()), (ENTERPRISE, Some("department")));
        assert!(target("photos").is_err());
    }

    #[test]
    fn active_comes_as_text_and_only_once() {
        let user = json!({"userName": "a", "active": true}).as_object().unwrap().clone();
        let one = json!({"Operations": [{"op": "Replace", "path": "active", "value": "False"}]});
        let out = apply_to_user(user.clone(), one.as_object().unwrap()).unwrap();
        assert_eq!(out["active"], false);
        let two = json!({"Operations": [{"op": "add", "value": {"active": "true"}}, {"op": "replace", "path": "active", "value": false}]});
        assert!(apply_to_user(user, two.as_object().unwrap()).is_err());
    }
}
