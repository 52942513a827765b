//! SCIM users (contract aws 4.2).

use serde_json::{Map, Value, json};

use super::super::identity_store::{Store, User};
use super::super::validate::{printable, printable_or_space};
use super::errors::ScimError;
use super::{Answer, BY, Cx, ENTERPRISE, USER, filter, list_answer, meta, patch};

/// Attributes that are kept, besides `userName`, `active` and `externalId`.
pub(super) const TEXTS: [&str; 8] =
    ["displayName", "nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone"];
pub(super) const LISTS: [&str; 4] = ["emails", "addresses", "phoneNumbers", "roles"];
const UNSUPPORTED: [&str; 6] = ["password", "ims", "photos", "x509Certificates", "entitlements", "groups"];

/// A user as SCIM shows it.
pub(super) fn render(user: &User) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("id".into(), user.id.clone().into());
    if let Some(external) = &user.external {
        out.insert("externalId".into(), external.id.clone().into());
    }
    out.insert("meta".into(), meta("User", &user.stamp));
    let mut schemas = vec![USER];
    if user.attributes.contains_key(ENTERPRISE) {
        schemas.push(ENTERPRISE);
    }
    out.insert("schemas".into(), json!(schemas));
    out.insert("userName".into(), user.user_name.clone().into());
    out.extend(user.attributes.clone());
    out.insert("active".into(), user.active.into());
    out
}

/// The parts of a user that a client may set.
pub(super) struct Wanted {
    user_name: String,
    active: bool,
    external_id: Option<String>,
    attributes: Map<String, Value>,
}

/// Reads and judges a user's document.
pub(super) fn read(body: &Map<String, Value>) -> Result<Wanted, ScimError> {
    if let Some(name) = UNSUPPORTED.iter().find(|n| body.contains_key(**n)) {
        return Err(ScimError::invalid(format!("Unsupported attribute: {name}")));
    }
    check_schemas(body, USER)?;
    let user_name = required(body, "userName")?;
    if user_name.chars().count() > 128 || !printable(&user_name) {
        return Err(pattern("userName"));
    }
    let external_id = text(body, "externalId")?;
    let active = match body.get("active") {
        None => true,
        Some(value) => {
            boolean(value).ok_or_else(|| ScimError::invalid("Attribute active must be a boolean"))?
        }
    };
    let mut attributes = Map::new();
    attributes.insert("name".into(), name(body)?);
    for attribute in TEXTS {
        if let Some(value) = text(body, attribute)? {
            attributes.insert(attribute.into(), value.into());
        }
    }
    if !attributes.contains_key("displayName") {
        return Err(ScimError::invalid("Missing required attribute displayName"));
    }
    for attribute in LISTS {
        if let Some(list) = one_valued(body, attribute)? {
            attributes.insert(attribute.into(), list);
        }
    }
    if let Some(value) = body.get(ENTERPRISE) {
        attributes.insert(ENTERPRISE.into(), enterprise(value)?);
    }
    Ok(Wanted { user_name, active, external_id, attributes })
}

/// `schemas`, when sent, must name the resource's own.
pub(super) fn check_schemas(body: &Map<String, Value>, wanted: &str) -> Result<(), ScimError> {
    match body.get("schemas") {
        None => Ok(()),
        Some(Value::Array(list)) if list.iter().any(|s| s.as_str() == Some(wanted)) => Ok(()),
        Some(_) => Err(ScimError::invalid(format!("Attribute schemas must contain {wanted}"))),
    }
}

fn pattern(attribute: &str) -> ScimError {
    ScimError::invalid(format!(
        "Value at '{attribute}' failed to satisfy constraint: Member must satisfy regular expression pattern"
    ))
}

/// An optional text attribute; an empty one is refused like any that is out of pattern.
pub(super) fn text(body: &Map<String, Value>, attribute: &str) -> Result<Option<String>, ScimError> {
    match body.get(attribute) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text))
            if !text.is_empty() && text.chars().count() <= 1024 && printable_or_space(text) =>
        {
            Ok(Some(text.clone()))
        }
        Some(Value::String(_)) => Err(pattern(attribute)),
        Some(_) => Err(ScimError::invalid(format!("Attribute {attribute} must be a string"))),
    }
}

pub(super) fn required(body: &Map<String, Value>, attribute: &str) -> Result<String, ScimError> {
    text(body, attribute)?
        .ok_or_else(|| ScimError::invalid(format!("Missing required attribute {attribute}")))
}

/// A boolean, or the same as a string (the guide's own example sends `"false"`).
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::String(s) if s.eq_ignore_ascii_case("true") => Some(true),
        Value::String(s) if s.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn name(body: &Map<String, Value>) -> Result<Value, ScimError> {
    let Some(Value::Object(given)) = body.get("name") else {
        return Err(ScimError::invalid("Missing required attribute name"));
    };
    let mut out = Map::new();
    for part in ["formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"] {
        if let Some(value) = text(given, part).map_err(|_| pattern(&format!("name.{part}")))? {
            out.insert(part.into(), value.into());
        }
    }
    for part in ["givenName", "familyName"] {
        if !out.contains_key(part) {
            return Err(ScimError::invalid(format!("Missing required attribute name.{part}")));
        }
    }
    Ok(Value::Object(out))
}

/// Multi-valued attributes hold one value here.
fn one_valued(body: &Map<String, Value>, attribute: &str) -> Result<Option<Value>, ScimError> {
    let list = match body.get(attribute) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ScimError::invalid(format!("Attribute {attribute} must be a list"))),
    };
    if list.len() > 1 {
        return Err(ScimError::invalid(format!("List attribute {attribute} exceeds allowed limit of 1")));
    }
    let Some(entry) = list.first() else { return Ok(None) };
    let Some(entry) = entry.as_object() else {
        return Err(ScimError::invalid(format!("Attribute {attribute} must hold objects")));
    };
    if entry.contains_key("display") {
        return Err(ScimError::invalid(format!("Unsupported attribute: {attribute}.display")));
    }
    let mut out = Map::new();
    for (key, value) in entry {
        if key == "primary" {
            let flag = boolean(value).ok_or_else(|| {
                ScimError::invalid(format!("Attribute {attribute}.primary must be a boolean"))
            })?;
            out.insert(key.clone(), flag.into());
        } else if let Some(value) = text(entry, key).map_err(|_| pattern(&format!("{attribute}.{key}")))? {
            out.insert(key.clone(), value.into());
        }
    }
    if attribute == "emails" && out.get("primary") != Some(&Value::Bool(true)) {
        return Err(ScimError::invalid("The email must be the primary email"));
    }
    Ok(Some(json!([out])))
}

fn enterprise(value: &Value) -> Result<Value, ScimError> {
    let Some(given) = value.as_object() else {
        return Err(ScimError::invalid(format!("Attribute {ENTERPRISE} must be an object")));
    };
    let mut out = Map::new();
    for part in ["employeeNumber", "costCenter", "organization", "division", "department"] {
        if let Some(value) = text(given, part)? {
            out.insert(part.into(), value.into());
        }
    }
    match given.get("manager") {
        None | Some(Value::Null) => {}
        Some(Value::Object(manager)) => {
            if manager.contains_key("displayName") {
                return Err(ScimError::invalid("Unsupported attribute: manager.displayName"));
            }
            let value = required(manager, "value").map_err(|_| pattern("manager.value"))?;
            out.insert("manager".into(), json!({"value": value}));
        }
        Some(Value::String(value)) => {
            out.insert("manager".into(), json!({"value": value}));
        }
        Some(_) => return Err(pattern("manager.value")),
    }
    Ok(Value::Object(out))
}

/// User names and e-mail addresses are unique.
fn check_unique(store: &Store, wanted: &Wanted, own: Option<&str>) -> Result<(), ScimError> {
    let other = |user: Option<&User>| user.is_some_and(|u| Some(u.id.as_str()) != own);
    if other(store.user_named(&wanted.user_name)) {
        return Err(ScimError::duplicate("Duplicate UserName"));
    }
    let email = wanted.attributes.get("emails").and_then(|e| e.get(0)?.get("value")?.as_str());
    if email.is_some_and(|e| other(store.user_with_email(e))) {
        return Err(ScimError::duplicate("Duplicate Email"));
    }
    Ok(())
}

pub(super) fn create(cx: &mut Cx<'_>, body: &Map<String, Value>) -> Answer {
    cx.target = format!("user {}", body.get("userName").and_then(Value::as_str).unwrap_or_default());
    let wanted = read(body)?;
    check_unique(cx.store, &wanted, None)?;
    let user = User {
        id: cx.store.new_id(&cx.ids.uuid()),
        user_name: wanted.user_name,
        active: wanted.active,
        external: cx.external(wanted.external_id),
        attributes: wanted.attributes,
        stamp: cx.stamp(),
    };
    let out = render(&user);
    cx.store.put_user(user, cx.at, cx.from);
    Ok((201, Some(out.into())))
}

fn find(cx: &Cx<'_>, id: &str) -> Result<User, ScimError> {
    cx.store.user(id).cloned().ok_or_else(|| ScimError::missing("User"))
}

pub(super) fn get(cx: &mut Cx<'_>, id: &str) -> Answer {
    Ok((200, Some(render(&find(cx, id)?).into())))
}

pub(super) fn put(cx: &mut Cx<'_>, id: &str, body: &Map<String, Value>) -> Answer {
    let user = find(cx, id)?;
    cx.target = format!("user {}", user.user_name);
    replace(cx, user, read(body)?)
}

fn replace(cx: &mut Cx<'_>, mut user: User, wanted: Wanted) -> Answer {
    check_unique(cx.store, &wanted, Some(&user.id))?;
    user.user_name = wanted.user_name;
    user.active = wanted.active;
    user.external = cx.external(wanted.external_id);
    user.attributes = wanted.attributes;
    user.stamp.touch(cx.at, BY);
    let out = render(&user);
    cx.store.put_user(user, cx.at, cx.from);
    Ok((200, Some(out.into())))
}

pub(super) fn patch(cx: &mut Cx<'_>, id: &str, body: &Map<String, Value>) -> Answer {
    let user = find(cx, id)?;
    cx.target = format!("user {}", user.user_name);
    let document = patch::apply_to_user(render(&user), body)?;
    replace(cx, user, read(&document)?)
}

pub(super) fn delete(cx: &mut Cx<'_>, id: &str) -> Answer {
    let user = find(cx, id)?;
    cx.target = format!("user {}", user.user_name);
    cx.store.delete_user(id, cx.at, cx.from);
    Ok((204, None))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Answer {
    let text = cx.query("filter").unwrap_or_default().to_owned();
    let terms = if text.is_empty() { Vec::new() } else { filter::parse(&text)? };
    let terms: Vec<(&str, &str)> = terms.iter().map(|t| (t.attribute.as_str(), t.value.as_str())).collect();
    let store = &*cx.store;
    let keep: Box<dyn Fn(&User) -> bool + '_> = match terms[..] {
        [] => Box::new(|_| true),
        [("username", name)] => Box::new(move |u| u.user_name.eq_ignore_ascii_case(name)),
        [("externalid", id)] => Box::new(move |u| u.external.as_ref().is_some_and(|e| e.id == id)),
        [("groups.value", group)] => Box::new(move |u| store.is_member(group, &u.id)),
        [("id", id), ("manager", manager)] | [("manager", manager), ("id", id)] => Box::new(move |u| {
            let found = u.attributes.get(ENTERPRISE).and_then(|e| e.get("manager")?.get("value")?.as_str());
            u.id == id && found == Some(manager)
        }),
        _ => return Err(ScimError::invalid("Invalid Filter format")),
    };
    let found = store.all_users().filter(|u| keep(u)).map(|u| (u.id.clone(), render(u).into())).collect();
    list_answer(cx, &format!("Users {text}"), found)
}
