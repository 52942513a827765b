//! What all directory objects have in common: reads, owners, lookups by id.

use serde_json::{Value, json};

use super::types::{self, Property};
use super::{Answer, Call, Outcome};
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, Object, State};

/// What `User.ReadBasic.All` shows of a person (0.1).
const BASIC: [&str; 6] = ["displayName", "givenName", "id", "mail", "surname", "userPrincipalName"];
const FULL_USERS: [&str; 4] =
    ["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];

/// Finds what the first id of the path names, as a read sees it: object id, `appId=…`, sign-in name.
pub(in crate::entra) fn resolve<'a>(
    call: &Call,
    state: &'a State,
    kind: Kind,
) -> Result<&'a Object, GraphError> {
    let id = call.id(0);
    let found = match id.strip_prefix("appId=") {
        Some(app_id) => state
            .table(kind)
            .values()
            .filter(|o| o.text("appId").eq_ignore_ascii_case(app_id))
            .find(|o| o.read(call.view).is_some()),
        None => state.table(kind).get(&id.to_ascii_lowercase()).or_else(|| {
            let by_name = kind == Kind::User && id.contains('@');
            by_name.then(|| state.by_upn(id)).flatten()
        }),
    };
    found.filter(|o| o.read(call.view).is_some()).ok_or_else(|| {
        // An alternate key is quoted as such.
        GraphError::not_found(id.strip_prefix("appId=").unwrap_or(id))
    })
}

/// Like [`resolve`], for a write: what was deleted meanwhile cannot be changed, though reads still show it.
pub(in crate::entra) fn target(call: &Call, state: &State, kind: Kind) -> Result<String, GraphError> {
    let object = resolve(call, state, kind)?;
    if object.is_deleted() { Err(GraphError::not_found(call.id(0))) } else { Ok(object.id.clone()) }
}

pub(super) fn list(call: &Call, state: &State, kind: Kind) -> Outcome {
    call.query.allow(&["filter", "select", "top", "skiptoken", "count"])?;
    if call.query.counts() && !call.eventual {
        let text = "Request with $count query parameter only works through MSGraph with a special request header: \
                    'ConsistencyLevel: eventual'";
        return Err(GraphError::new(400, "Request_BadRequest", text));
    }
    let filter = types::filter(&call.query, kind.properties(), kind.type_name(), call.eventual)?;
    let selection = types::selection(&call.query, kind.properties(), kind.type_name())?;
    let seen = state.table(kind).values().filter_map(|o| Some((o, o.read(call.view)?)));
    let all: Vec<(String, &Fields)> = seen
        .filter(|(_, fields)| filter.as_ref().is_none_or(|f| f.matches(fields)))
        .map(|(o, fields)| (o.id.clone(), fields))
        .collect();
    let show = |fields: &Fields| Value::Object(shown(call, kind, fields, &selection, false));
    call.collection_of(kind.segment(), all, 100, 999, show)
}

pub(super) fn get(call: &Call, state: &State, kind: Kind) -> Outcome {
    call.query.allow(&["select"])?;
    let selection = types::selection(&call.query, kind.properties(), kind.type_name())?;
    let object = resolve(call, state, kind)?;
    let fields = object.read(call.view).ok_or_else(|| GraphError::not_found(call.id(0)))?;
    let with_keys = call.query.get("select").is_some();
    Ok(Answer::ok(call.entity(kind.segment(), shown(call, kind, fields, &selection, with_keys))))
}

/// An object as the caller may see it. `key` of key credentials only on a single object with `$select`, and
/// never for the private one (2.2).
pub(in crate::entra) fn shown(
    call: &Call,
    kind: Kind,
    fields: &Fields,
    selection: &[&'static str],
    with_keys: bool,
) -> Fields {
    let mut out = types::shown(fields, selection, kind.properties());
    if kind == Kind::User && !call.has_any(&FULL_USERS) {
        out.retain(|name, _| BASIC.contains(&name.as_str()));
    }
    out.remove("passwordProfile");
    if let Some(Value::Array(keys)) = out.get_mut("keyCredentials") {
        for key in keys.iter_mut().filter(|k| !with_keys || k["usage"] == "Sign") {
            key["key"] = Value::Null;
        }
    }
    out
}

/// An object of any kind with its `@odata.type`.
fn typed(call: &Call, object: &Object, fields: &Fields, properties: Option<&[&'static str]>) -> Value {
    let kind = object.kind;
    let mut out = Fields::new();
    out.insert("@odata.type".into(), format!("#microsoft.graph.{}", kind.type_name()).into());
    let default: Vec<&'static str>;
    let selection = match properties {
        Some(selection) => selection,
        None => {
            default = types::selection(&super::Query::default(), kind.properties(), kind.type_name())
                .unwrap_or_default();
            &default
        }
    };
    out.extend(shown(call, kind, fields, selection, false));
    Value::Object(out)
}

/// Members and other mixed collections: users, groups and so on told apart by `@odata.type`. Without the
/// permission to read users, their properties stay away (0.1).
pub(super) fn mixed<'a>(
    call: &Call,
    objects: impl Iterator<Item = &'a Object>,
    only: Option<Kind>,
) -> Result<Vec<(String, Value)>, GraphError> {
    let selection = match call.query.get("select") {
        None => None,
        Some(_) => Some(mixed_selection(call)?),
    };
    let readable = call.has("User.ReadBasic.All") || call.has_any(&FULL_USERS);
    let objects = objects.filter(|o| only.is_none_or(|k| o.kind == k));
    Ok(objects
        .filter_map(|o| Some((o, o.read(call.view)?)))
        .map(|(o, fields)| {
            let hidden = o.kind == Kind::User && !readable;
            let id_only: &[&'static str] = &["id"];
            let selection = if hidden { Some(id_only) } else { selection.as_deref() };
            (o.id.clone(), typed(call, o, fields, selection))
        })
        .collect())
}

fn mixed_selection(call: &Call) -> Result<Vec<&'static str>, GraphError> {
    let both: Vec<&'static Property> =
        [Kind::User, Kind::Group].into_iter().flat_map(Kind::properties).collect();
    let mut names = vec!["id"];
    for name in
        call.query.get("select").unwrap_or_default().split(',').map(str::trim).filter(|n| !n.is_empty())
    {
        let property = both.iter().find(|p| p.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let text = format!(
                "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type \
                 'microsoft.graph.directoryObject'."
            );
            GraphError::new(400, "BadRequest", text)
        })?;
        if !names.contains(&property.name) {
            names.push(property.name);
        }
    }
    Ok(names)
}

pub(super) fn get_any(call: &Call, state: &State) -> Outcome {
    let id = call.id(0);
    let object = state.find(id).ok_or_else(|| GraphError::not_found(id))?;
    let fields = object.read(call.view).ok_or_else(|| GraphError::not_found(id))?;
    Ok(Answer::ok(typed(call, object, fields, None)))
}

/// At most a thousand ids; those that do not exist are left out (4.3).
pub(super) fn get_by_ids(call: &Call, state: &State) -> Outcome {
    let body = call.body.as_ref().and_then(Value::as_object);
    let body = body.ok_or_else(|| GraphError::bad("A JSON object is required in the request body."))?;
    let unknown = body.keys().find(|k| !["ids", "types"].contains(&k.as_str()) && !k.contains("@odata."));
    if let Some(unknown) = unknown {
        return Err(GraphError::bad(format!(
            "The parameter '{unknown}' is not valid for the operation 'getByIds'."
        )));
    }
    let texts = |name: &str| -> Result<Option<Vec<&str>>, GraphError> {
        match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(all)) if all.iter().all(Value::is_string) => {
                Ok(Some(all.iter().filter_map(Value::as_str).collect()))
            }
            Some(_) => Err(GraphError::bad(format!("Invalid value specified for parameter '{name}'."))),
        }
    };
    let ids = texts("ids")?.ok_or_else(|| GraphError::bad("The parameter 'ids' is required."))?;
    if ids.len() > 1000 {
        return Err(GraphError::bad("The number of ids must not exceed 1000."));
    }
    if let Some(wrong) = ids.iter().find(|id| uuid::Uuid::try_parse(id).is_err()) {
        return Err(GraphError::bad(format!("Invalid GUID: {wrong}.")));
    }
    let types = texts("types")?;
    let wanted = |o: &&Object| {
        types.as_ref().is_none_or(|t| {
            t.iter().any(|t| t.eq_ignore_ascii_case(o.kind.type_name()) || *t == "directoryObject")
        })
    };
    let found: Vec<Value> = ids
        .iter()
        .filter_map(|id| state.find(&id.to_ascii_lowercase()))
        .filter(wanted)
        .filter_map(|o| Some(typed(call, o, o.read(call.view)?, None)))
        .collect();
    Ok(Answer::ok(json!({ "@odata.context": call.context("directoryObjects"), "value": found })))
}

pub(super) fn owners(call: &Call, state: &State, kind: Kind) -> Outcome {
    let id = resolve(call, state, kind)?.id.clone();
    let owners = state.owners.get(&id).into_iter().flatten().filter_map(|o| state.find(o));
    let all = mixed(call, owners, None)?;
    call.collection("directoryObjects", all, 100, 999)
}

pub(super) fn add_owner(call: &mut Call, state: &mut State, kind: Kind) -> Outcome {
    let id = target(call, state, kind)?;
    call.target = format!("owner {id}");
    let owner = reference(call)?;
    call.target = format!("owner {id}/{owner}");
    if state.find(&owner).is_none_or(|o| o.read(call.view).is_none()) {
        return Err(GraphError::not_found(&owner));
    }
    let owners = state.owners.entry(id).or_default();
    if owners.len() >= 100 {
        return Err(GraphError::bad("The number of owners exceeds the limit of 100."));
    }
    if !owners.insert(owner) {
        return Err(already_there());
    }
    Ok(Answer::no_content())
}

pub(super) fn already_there() -> GraphError {
    GraphError::bad(
        "One or more added object references already exist for the following modified properties: 'members'.",
    )
}

/// The object behind `{"@odata.id": "https://host/v1.0/directoryObjects/{id}"}`: absolute, on this very host.
pub(super) fn reference(call: &Call) -> Result<String, GraphError> {
    let link = call.body.as_ref().and_then(|b| b["@odata.id"].as_str());
    let link =
        link.ok_or_else(|| GraphError::bad("The '@odata.id' annotation is required in the request body."))?;
    let graph = call.entra.urls().graph;
    let path = link.strip_prefix(graph.as_str()).or_else(|| link.strip_prefix("https://graph.microsoft.com"));
    let id = path.and_then(|p| p.rsplit('/').next()).filter(|id| uuid::Uuid::try_parse(id).is_ok());
    id.map(str::to_ascii_lowercase).ok_or_else(|| {
        GraphError::bad("Invalid entity reference: the '@odata.id' must be an absolute URI of this service.")
    })
}
