//! Users (contract aws 2.1, 2.2).

use serde_json::{Map, Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::ApiError;
use super::super::paging::page;
use super::super::scim::ENTERPRISE;
use super::super::validate::{Input, REVISION, SENSITIVE, USER_NAME};
use super::{
    Alternate, Stamp, User, alternate, arn, center, center_mut, duplicate, external_ids, filter, gate,
    not_found, outdated, paging, resource, stamps, with_token,
};

/// Users in a store (contract aws 1.8).
const MAX_USERS: usize = 100_000;
/// The name of the enterprise extension in this API.
const EXTENSION: &str = "aws:identitystore:enterprise";

pub(super) const OPERATIONS: Table<Handler> = &[
    ("ListUsers", list),
    ("DescribeUser", describe),
    ("GetUserId", get_id),
    ("CreateUser", create),
    ("DeleteUser", delete),
];

/// SCIM's attribute names in this API's spelling: `givenName` is `GivenName`.
fn capitalised(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().map(|(k, v)| (recase(k, char::to_ascii_uppercase), capitalised(v))).collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(capitalised).collect()),
        other => other.clone(),
    }
}

fn uncapitalised(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().map(|(k, v)| (recase(k, char::to_ascii_lowercase), uncapitalised(v))).collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(uncapitalised).collect()),
        other => other.clone(),
    }
}

fn recase(name: &str, first: fn(&char) -> char) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| std::iter::once(first(&c)).chain(chars).collect()).unwrap_or_default()
}

fn render(store: &str, user: &User, extensions: bool) -> Value {
    let mut out = Map::new();
    out.insert("IdentityStoreId".into(), store.into());
    out.insert("UserId".into(), user.id.clone().into());
    out.insert("UserArn".into(), arn("user", &user.id).into());
    out.insert("Revision".into(), user.stamp.revision.to_string().into());
    out.insert("UserName".into(), user.user_name.clone().into());
    external_ids(&mut out, user.external.as_ref());
    for (name, value) in &user.attributes {
        if name == ENTERPRISE {
            if extensions {
                out.insert("Extensions".into(), json!({ EXTENSION: value }));
            }
        } else {
            out.insert(recase(name, char::to_ascii_uppercase), capitalised(value));
        }
    }
    out.insert("UserStatus".into(), if user.active { "ENABLED" } else { "DISABLED" }.into());
    stamps(&mut out, &user.stamp);
    Value::Object(out)
}

fn extensions(input: &mut Input<'_>) -> Result<bool, ApiError> {
    let names = input.texts("Extensions", 1, 10, &SENSITIVE).unwrap_or_default();
    match names.iter().find(|n| *n != EXTENSION) {
        Some(other) => Err(ApiError::validation(format!("The extension {other} is not supported"))),
        None => Ok(!names.is_empty()),
    }
}

fn list(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let extensions = extensions(input)?;
    let name = filter(input, "UserName")?;
    gate(cx, input)?;
    let at = cx.at;
    let store = &center(cx.state)?.store;
    let found = store
        .users
        .values()
        .filter_map(|u| u.seen(at))
        .filter(|u| name.as_ref().is_none_or(|n| u.user_name.eq_ignore_ascii_case(n)))
        .map(|u| (u.id.clone(), u));
    let scope = format!("ListUsers {}", name.as_deref().unwrap_or_default());
    let (items, next) = page(&scope, found, max, token.as_deref())?;
    let users: Vec<Value> = items.into_iter().map(|u| render(&store.id, u, extensions)).collect();
    Ok(with_token(json!({"Users": users}), next))
}

fn describe(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "UserId");
    let extensions = extensions(input)?;
    gate(cx, input)?;
    let store = &center(cx.state)?.store;
    match store.users.get(&id).and_then(|u| u.seen(cx.at)) {
        Some(user) => Ok(render(&store.id, user, extensions)),
        None => Err(not_found(cx, "USER", &id)),
    }
}

fn get_id(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let wanted = alternate(input)?;
    gate(cx, input)?;
    let store = &center(cx.state)?.store;
    let mut seen = store.users.values().filter_map(|u| u.seen(cx.at));
    let found = match &wanted {
        Some(Alternate::External(external)) => seen.find(|u| u.external.as_ref() == Some(external)),
        Some(Alternate::Unique(path, value)) => match path.to_ascii_lowercase().as_str() {
            "username" => seen.find(|u| u.user_name.eq_ignore_ascii_case(value)),
            "emails.value" => seen.find(|u| u.email().is_some_and(|e| e.eq_ignore_ascii_case(value))),
            _ => return Err(ApiError::validation(format!("The attribute {path} is not a unique attribute"))),
        },
        None => None,
    };
    match found {
        Some(u) => Ok(json!({"IdentityStoreId": store.id, "UserId": u.id, "UserArn": arn("user", &u.id)})),
        None => Err(not_found(cx, "USER", "")),
    }
}

fn create(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let user_name = input.required("UserName", &USER_NAME);
    cx.target = format!("user {user_name}");
    let mut attributes = Map::new();
    for member in [
        "DisplayName",
        "NickName",
        "ProfileUrl",
        "UserType",
        "Title",
        "PreferredLanguage",
        "Locale",
        "Timezone",
    ] {
        if let Some(text) = input.text(member, &SENSITIVE) {
            attributes.insert(recase(member, char::to_ascii_lowercase), text.into());
        }
    }
    let name = input.structure("Name", |n| {
        let mut out = Map::new();
        for part in
            ["Formatted", "FamilyName", "GivenName", "MiddleName", "HonorificPrefix", "HonorificSuffix"]
        {
            if let Some(text) = n.text(part, &SENSITIVE) {
                out.insert(recase(part, char::to_ascii_lowercase), text.into());
            }
        }
        out
    });
    for member in ["Emails", "Addresses", "PhoneNumbers", "Roles"] {
        if let Some(list) = input.list(member, 1, 1) {
            attributes
                .insert(recase(member, char::to_ascii_lowercase), uncapitalised(&Value::Array(list.clone())));
        }
    }
    let status = input.choice("UserStatus", &["ENABLED", "DISABLED"]);
    gate(cx, input)?;
    // The model marks neither as required; the service asks for them (contract aws 4.2 for the same store).
    let complete = name.as_ref().is_some_and(|n| n.contains_key("familyName") && n.contains_key("givenName"));
    if !complete || !attributes.contains_key("displayName") {
        return Err(ApiError::validation("DisplayName, Name.GivenName and Name.FamilyName are required"));
    }
    attributes.insert("name".into(), name.unwrap_or_default().into());
    let (at, from, uuid, by) = (cx.at, cx.visible(), cx.core.ids.uuid(), cx.caller.arn.clone());
    let store = &center(cx.state)?.store;
    if store.user_named(&user_name).is_some() {
        return Err(duplicate(cx, "Duplicate UserName"));
    }
    let user = User {
        id: store.new_id(&uuid),
        user_name,
        active: status.as_deref() != Some("DISABLED"),
        external: None,
        attributes,
        stamp: Stamp::new(at, &by),
    };
    if user.email().is_some_and(|e| store.user_with_email(e).is_some()) {
        return Err(duplicate(cx, "Duplicate Email"));
    }
    if store.all_users().count() >= MAX_USERS {
        return Err(ApiError::quota(format!("Users in the identity store exceed the limit of {MAX_USERS}")));
    }
    let store = &mut center_mut(cx.state)?.store;
    let answer = json!({
        "IdentityStoreId": store.id, "UserId": user.id, "UserArn": arn("user", &user.id), "Revision": "1",
    });
    store.put_user(user, at, from);
    Ok(answer)
}

fn delete(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = resource(input, "UserId");
    let revision = input.text("Revision", &REVISION);
    cx.target = format!("user {id}");
    gate(cx, input)?;
    let (at, from) = (cx.at, cx.visible());
    let present = center(cx.state)?.store.user(&id).map(|u| u.stamp.revision.to_string());
    if let (Some(present), Some(wanted)) = (&present, &revision)
        && present != wanted
    {
        return Err(outdated(cx));
    }
    // Idempotent (contract aws 2.2).
    if present.is_some() {
        center_mut(cx.state)?.store.delete_user(&id, at, from);
    }
    Ok(json!({}))
}
