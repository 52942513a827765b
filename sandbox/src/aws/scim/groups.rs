//! SCIM groups (contract aws 4.3): members are written here, but never shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::identity_store::Group;
use super::errors::ScimError;
use super::patch::operations;
use super::users::{check_schemas, required, text};
use super::{Answer, BY, Cx, GROUP, filter, list_answer, meta};

/// Members at creation, and membership changes per PATCH.
const MAX_CHANGES: usize = 100;

fn render(group: &Group) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), group.id.clone().into());
    if let Some(external) = &group.external {
        out.insert("externalId".into(), external.id.clone().into());
    }
    out.insert("meta".into(), meta("Group", &group.stamp));
    out.insert("schemas".into(), json!([GROUP]));
    out.insert("displayName".into(), group.display_name.clone().into());
    out.insert("members".into(), json!([]));
    Value::Object(out)
}

/// User ids from `[{"value": …}]`; one such object will do.
fn member_ids(value: &Value) -> Result<Vec<String>, ScimError> {
    let invalid = || ScimError::invalid("Attribute members must hold objects with a value");
    let entries = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(_) => vec![value],
        _ => return Err(invalid()),
    };
    entries
        .into_iter()
        .map(|m| m.get("value").and_then(Value::as_str).map(ToOwned::to_owned).ok_or_else(invalid))
        .collect()
}

fn check_users(cx: &Cx<'_>, ids: &[String]) -> Result<(), ScimError> {
    if ids.iter().all(|id| cx.store.user(id).is_some()) { Ok(()) } else { Err(ScimError::missing("User")) }
}

fn check_name(cx: &Cx<'_>, name: &str, own: Option<&str>) -> Result<(), ScimError> {
    if cx.store.group_named(name).is_some_and(|g| Some(g.id.as_str()) != own) {
        return Err(ScimError::duplicate("Duplicate GroupDisplayName"));
    }
    Ok(())
}

fn join(cx: &mut Cx<'_>, group: &str, user: &str) {
    let (id, stamp) = (cx.store.new_id(&cx.ids.uuid()), cx.stamp());
    cx.store.join(id, group, user, stamp, cx.from);
}

pub(super) fn create(cx: &mut Cx<'_>, body: &Map<String, Value>) -> Answer {
    cx.target = format!("group {}", body.get("displayName").and_then(Value::as_str).unwrap_or_default());
    check_schemas(body, GROUP)?;
    let display_name = required(body, "displayName")?;
    let external_id = text(body, "externalId")?;
    let members =
        body.get("members").filter(|m| !m.is_null()).map(member_ids).transpose()?.unwrap_or_default();
    if members.len() > MAX_CHANGES {
        return Err(ScimError::invalid(format!(
            "List attribute members exceeds allowed limit of {MAX_CHANGES}"
        )));
    }
    check_name(cx, &display_name, None)?;
    check_users(cx, &members)?;
    let group = Group {
        id: cx.store.new_id(&cx.ids.uuid()),
        display_name,
        description: None,
        external: cx.external(external_id),
        stamp: cx.stamp(),
    };
    let (id, out) = (group.id.clone(), render(&group));
    cx.store.put_group(group, cx.at, cx.from);
    for user in &members {
        join(cx, &id, user);
    }
    Ok((201, Some(out)))
}

fn find(cx: &Cx<'_>, id: &str) -> Result<Group, ScimError> {
    cx.store.group(id).cloned().ok_or_else(|| ScimError::missing("Group"))
}

pub(super) fn get(cx: &mut Cx<'_>, id: &str) -> Answer {
    Ok((200, Some(render(&find(cx, id)?))))
}

/// What a PATCH comes to, judged before anything is changed.
#[derive(Default)]
pub(super) struct Changes {
    display_name: Option<String>,
    external_id: Option<Option<String>>,
    /// In order: true adds.
    members: Vec<(bool, String)>,
}

pub(super) fn read_patch(body: &Map<String, Value>) -> Result<Changes, ScimError> {
    let mut changes = Changes::default();
    for op in operations(body)? {
        let path = op.path.ok_or_else(|| ScimError::invalid("Missing path in PATCH request"))?;
        let lower = path.to_ascii_lowercase();
        let string = || op.value.and_then(Value::as_str).map(ToOwned::to_owned);
        match (lower.as_str(), op.verb.as_str()) {
            ("displayname", "add" | "replace") => {
                let name = string().filter(|n| !n.is_empty());
                changes.display_name =
                    Some(name.ok_or_else(|| ScimError::invalid("Attribute displayName must be a string"))?);
            }
            ("externalid", "add" | "replace") => {
                let id =
                    string().ok_or_else(|| ScimError::invalid("Attribute externalId must be a string"))?;
                changes.external_id = Some(Some(id));
            }
            ("externalid", "remove") => changes.external_id = Some(None),
            ("members", "add") => {
                let value = op.value.ok_or_else(|| ScimError::invalid("Missing value in PATCH request"))?;
                changes.members.extend(member_ids(value)?.into_iter().map(|id| (true, id)));
            }
            ("members", "remove") => {
                // All members at once: refused.
                let value =
                    op.value.ok_or_else(|| ScimError::invalid("Removing all members is not supported"))?;
                changes.members.extend(member_ids(value)?.into_iter().map(|id| (false, id)));
            }
            ("members", _) => return Err(ScimError::invalid("Replacing all members is not supported")),
            (_, "remove") if lower.starts_with("members[") => {
                let id = path
                    .get("members[".len()..)
                    .and_then(|p| p.strip_suffix(']'))
                    .and_then(|p| filter::parse(p).ok())
                    .and_then(|terms| match &terms[..] {
                        [term] if term.attribute == "value" => Some(term.value.clone()),
                        _ => None,
                    })
                    .ok_or_else(|| ScimError::invalid("Invalid path in PATCH request"))?;
                changes.members.push((false, id));
            }
            _ => {
                return Err(ScimError::invalid(format!(
                    "Unsupported path or operation in PATCH request: {} {path}",
                    op.verb
                )));
            }
        }
    }
    if changes.members.len() > MAX_CHANGES {
        return Err(ScimError::invalid(format!(
            "PATCH request exceeds the limit of {MAX_CHANGES} membership changes"
        )));
    }
    Ok(changes)
}

pub(super) fn patch(cx: &mut Cx<'_>, id: &str, body: &Map<String, Value>) -> Answer {
    let mut group = find(cx, id)?;
    cx.target = format!("group {}", group.display_name);
    let changes = read_patch(body)?;
    if let Some(name) = changes.display_name {
        check_name(cx, &name, Some(id))?;
        group.display_name = name;
    }
    if let Some(external_id) = changes.external_id {
        group.external = cx.external(external_id);
    }
    let added: Vec<String> =
        changes.members.iter().filter(|(add, _)| *add).map(|(_, id)| id.clone()).collect();
    check_users(cx, &added)?;
    let distinct: BTreeSet<&str> = changes.members.iter().map(|(_, id)| id.as_str()).collect();
    if !distinct.is_empty() {
        let list: Vec<&str> = distinct.into_iter().collect();
        cx.target = format!("{} members {}", cx.target, list.join(","));
    }
    group.stamp.touch(cx.at, BY);
    cx.store.put_group(group, cx.at, cx.from);
    for (add, user) in &changes.members {
        if *add {
            join(cx, id, user);
        } else {
            cx.store.leave(id, user, cx.at, cx.from);
        }
    }
    Ok((204, None))
}

pub(super) fn delete(cx: &mut Cx<'_>, id: &str) -> Answer {
    let group = find(cx, id)?;
    cx.target = format!("group {}", group.display_name);
    cx.store.delete_group(id, cx.at, cx.from);
    Ok((204, None))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Answer {
    let text = cx.query("filter").unwrap_or_default().to_owned();
    let terms = if text.is_empty() { Vec::new() } else { filter::parse(&text)? };
    let terms: Vec<(&str, &str)> = terms.iter().map(|t| (t.attribute.as_str(), t.value.as_str())).collect();
    let store = &*cx.store;
    let keep: Box<dyn Fn(&Group) -> bool + '_> = match terms[..] {
        [] => Box::new(|_| true),
        [("displayname", name)] => Box::new(move |g| g.display_name == name),
        [("externalid", id)] => Box::new(move |g| g.external.as_ref().is_some_and(|e| e.id == id)),
        // Which spellings pass is UNCONFIRMED (contract aws 4.4): both.
        [("id", id), ("member" | "members" | "members.value", user)]
        | [("member" | "members" | "members.value", user), ("id", id)] => {
            Box::new(move |g| g.id == id && store.is_member(id, user))
        }
        _ => return Err(ScimError::invalid("Invalid Filter format")),
    };
    let found = store.all_groups().filter(|g| keep(g)).map(|g| (g.id.clone(), render(g))).collect();
    list_answer(cx, &format!("Groups {text}"), found)
}
