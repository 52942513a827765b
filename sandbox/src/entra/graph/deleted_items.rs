//! The recycle bin (9).

use serde_json::Value;

use super::directory::shown;
use super::{Answer, Call, Outcome, types};
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, Object, State};

fn of_kind(call: &Call) -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .find(|k| call.route.template.ends_with(&format!("microsoft.graph.{}", k.type_name())))
}

/// Each kind with the permissions that open its bin.
fn may(call: &Call, kind: Kind, write: bool) -> bool {
    let (read, written): (&[&str], &[&str]) = match kind {
        Kind::Application | Kind::ServicePrincipal => (
            &["Application.Read.All", "Directory.Read.All"],
            &["Application.ReadWrite.All", "Application.ReadWrite.OwnedBy", "Directory.ReadWrite.All"],
        ),
        Kind::User | Kind::Group => {
            (&["User.Read.All", "Directory.Read.All"], &["User.ReadWrite.All", "Directory.ReadWrite.All"])
        }
    };
    call.has_any(written) || (!write && call.has_any(read))
}

fn typed(call: &Call, object: &Object) -> Result<Value, GraphError> {
    let kind = object.kind;
    let mut selection = types::selection(&super::Query::default(), kind.properties(), kind.type_name())?;
    if !selection.contains(&"deletedDateTime") {
        selection.push("deletedDateTime");
    }
    let mut out = Fields::new();
    out.insert("@odata.type".into(), format!("#microsoft.graph.{}", kind.type_name()).into());
    out.extend(shown(call, kind, object.truth(), &selection, false));
    Ok(Value::Object(out))
}

pub(super) fn list(call: &Call, state: &State) -> Outcome {
    call.query.allow(&["filter", "top", "skiptoken", "count"])?;
    let kind = of_kind(call).ok_or_else(|| GraphError::not_found(call.id(0)))?;
    if !may(call, kind, false) {
        return Err(GraphError::denied());
    }
    let filter = types::filter(&call.query, kind.properties(), kind.type_name(), call.eventual)?;
    let all: Result<Vec<(String, Value)>, GraphError> = state
        .table(kind)
        .values()
        .filter(|o| o.is_deleted() && filter.as_ref().is_none_or(|f| f.matches(o.truth())))
        .map(|o| Ok((o.id.clone(), typed(call, o)?)))
        .collect();
    call.collection("directoryObjects", all?, 100, 999)
}

fn find<'a>(call: &Call, state: &'a State, write: bool) -> Result<&'a Object, GraphError> {
    let found = state.deleted(call.id(0)).ok_or_else(|| GraphError::not_found(call.id(0)))?;
    if may(call, found.kind, write) { Ok(found) } else { Err(GraphError::denied()) }
}

pub(super) fn get(call: &Call, state: &State) -> Outcome {
    Ok(Answer::ok(typed(call, find(call, state, false)?)?))
}

/// Brings an object back; an application brings its service principal along.
pub(super) fn restore(call: &mut Call, state: &mut State) -> Outcome {
    let found = find(call, state, true)?;
    let (id, kind, app_id) = (found.id.clone(), found.kind, found.text("appId").to_owned());
    call.target = format!("{} {id}", kind.type_name());
    let now = call.entra.core.clock.now();
    if kind == Kind::ServicePrincipal && state.by_app_id(Kind::Application, &app_id).is_none() {
        let text = format!(
            "The appId '{app_id}' of the service principal does not reference a valid application object."
        );
        return Err(GraphError::bad(text).detail("NoBackingApplicationObject", "appId"));
    }
    let twin = state
        .table(Kind::ServicePrincipal)
        .values()
        .find(|o| kind == Kind::Application && o.is_deleted() && o.text("appId") == app_id);
    let twin = twin.map(|o| o.id.clone());
    for id in std::iter::once(id.clone()).chain(twin) {
        if let Some(object) = state.deleted_mut(&id) {
            object.restore(now);
        }
    }
    let restored = state.find(&id).ok_or_else(|| GraphError::not_found(&id))?;
    Ok(Answer::ok(typed(call, restored)?))
}

/// Gone for good; an application takes its service principal along.
pub(super) fn purge(call: &mut Call, state: &mut State) -> Outcome {
    let found = find(call, state, true)?;
    let (id, kind, app_id) = (found.id.clone(), found.kind, found.text("appId").to_owned());
    call.target = format!("{} {id}", kind.type_name());
    state.remove(kind, &id);
    if kind == Kind::Application {
        let twins = state.table(Kind::ServicePrincipal).values();
        let twins: Vec<String> =
            twins.filter(|o| o.is_deleted() && o.text("appId") == app_id).map(|o| o.id.clone()).collect();
        for twin in twins {
            state.remove(Kind::ServicePrincipal, &twin);
        }
    }
    Ok(Answer::no_content())
}
