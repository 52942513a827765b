//! Claims mapping policies: objects of the tenant, attached to service principals (3.2).

use serde_json::{Value, json};

use super::directory::{already_there, reference, resolve, target};
use super::types::{self, CLAIMS_POLICY};
use super::{Answer, Call, Outcome};
use crate::entra::errors::GraphError;
use crate::entra::state::{Fields, Kind, State, text, texts};

const TYPE: &str = "claimsMappingPolicy";
const FRAGMENT: &str = "policies/claimsMappingPolicies";
/// Claim types that only Entra itself may set.
const RESTRICTED: [&str; 5] = [
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "http://schemas.microsoft.com/identity/claims/tenantid",
];

fn policy<'a>(state: &'a State, id: &str) -> Result<&'a Fields, GraphError> {
    state.policies.get(&id.to_ascii_lowercase()).ok_or_else(|| GraphError::not_found(id))
}

fn typed(fields: &Fields) -> Value {
    let mut out = Fields::new();
    out.insert("@odata.type".into(), format!("#microsoft.graph.{TYPE}").into());
    out.extend(fields.clone());
    Value::Object(out)
}

pub(super) fn list(call: &Call, state: &State) -> Outcome {
    call.query.allow(&["filter", "select", "top", "skiptoken"])?;
    let filter = types::filter(&call.query, CLAIMS_POLICY, TYPE, call.eventual)?;
    let selection = types::selection(&call.query, CLAIMS_POLICY, TYPE)?;
    let found = state.policies.iter().filter(|(_, p)| filter.as_ref().is_none_or(|f| f.matches(p)));
    let all = found.map(|(id, p)| (id.clone(), Value::Object(types::shown(p, &selection, CLAIMS_POLICY))));
    call.collection(FRAGMENT, all.collect(), 100, 999)
}

pub(super) fn get(call: &Call, state: &State) -> Outcome {
    call.query.allow(&["select"])?;
    let selection = types::selection(&call.query, CLAIMS_POLICY, TYPE)?;
    let fields = types::shown(policy(state, call.id(0))?, &selection, CLAIMS_POLICY);
    Ok(Answer::ok(call.entity(FRAGMENT, fields)))
}

pub(super) fn create(call: &mut Call, state: &mut State) -> Outcome {
    call.target = TYPE.to_owned();
    let given = types::writable(call.body.as_ref(), CLAIMS_POLICY, TYPE)?;
    if text(&given, "displayName").is_empty() || !given.contains_key("definition") {
        return Err(GraphError::bad(
            "A value is required for the properties 'displayName' and 'definition'.",
        ));
    }
    check(&given)?;
    let id = call.entra.core.ids.uuid();
    call.target = format!("{TYPE} {id}");
    let mut fields = Fields::new();
    fields.insert("id".into(), id.clone().into());
    fields.insert("deletedDateTime".into(), Value::Null);
    fields.extend(given);
    // Ignored for this type (3.2).
    fields.insert("isOrganizationDefault".into(), false.into());
    state.policies.insert(id, fields.clone());
    Ok(Answer::created(call.entity(FRAGMENT, fields)))
}

pub(super) fn patch(call: &mut Call, state: &mut State) -> Outcome {
    call.target = format!("{TYPE} {}", call.id(0));
    let given = types::writable(call.body.as_ref(), CLAIMS_POLICY, TYPE)?;
    check(&given)?;
    let id = call.id(0).to_ascii_lowercase();
    let fields = state.policies.get_mut(&id).ok_or_else(|| GraphError::not_found(&id))?;
    fields.extend(given);
    Ok(Answer::no_content())
}

pub(super) fn delete(call: &mut Call, state: &mut State) -> Outcome {
    let id = call.id(0).to_ascii_lowercase();
    call.target = format!("{TYPE} {id}");
    policy(state, &id)?;
    state.policies.remove(&id);
    for attached in state.attached.values_mut() {
        attached.remove(&id);
    }
    Ok(Answer::no_content())
}

/// Where a policy is used.
pub(super) fn applies_to(call: &Call, state: &State) -> Outcome {
    let id = call.id(0).to_ascii_lowercase();
    policy(state, &id)?;
    let users = state.attached.iter().filter(|(_, policies)| policies.contains(&id));
    let users = users.filter_map(|(sp, _)| state.live(Kind::ServicePrincipal, sp));
    let all = users.map(|o| {
        let shown = json!({
            "@odata.type": "#microsoft.graph.servicePrincipal", "id": o.id, "appId": o.text("appId"),
            "displayName": o.text("displayName"),
        });
        (o.id.clone(), shown)
    });
    call.collection("directoryObjects", all.collect(), 100, 999)
}

pub(super) fn of_service_principal(call: &Call, state: &State) -> Outcome {
    let id = &resolve(call, state, Kind::ServicePrincipal)?.id;
    let attached = state.attached.get(id).into_iter().flatten();
    let all = attached.filter_map(|p| Some((p.clone(), typed(state.policies.get(p)?))));
    call.collection(FRAGMENT, all.collect(), 100, 999)
}

pub(super) fn attach(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::ServicePrincipal)?;
    let wanted = reference(call)?;
    call.target = format!("{TYPE} {id}/{wanted}");
    policy(state, &wanted)?;
    if state.attached.entry(id).or_default().insert(wanted) {
        Ok(Answer::no_content())
    } else {
        Err(already_there())
    }
}

pub(super) fn detach(call: &mut Call, state: &mut State) -> Outcome {
    let id = target(call, state, Kind::ServicePrincipal)?;
    let wanted = call.id(1).to_ascii_lowercase();
    call.target = format!("{TYPE} {id}/{wanted}");
    if state.attached.get_mut(&id).is_some_and(|attached| attached.remove(&wanted)) {
        return Ok(Answer::no_content());
    }
    let text = "One or more removed object references do not exist for the following modified properties: 'policies'.";
    Err(GraphError::bad(text))
}

/// The definition is one JSON document in a string, with keys that are case-sensitive (3.2).
fn check(fields: &Fields) -> Result<(), GraphError> {
    if !fields.contains_key("definition") {
        return Ok(());
    }
    let invalid = || GraphError::bad("Property definition has an invalid value.");
    let [definition] = texts(fields, "definition")[..] else { return Err(invalid()) };
    let document: Value = serde_json::from_str(definition).map_err(|_| invalid())?;
    let policy = &document["ClaimsMappingPolicy"];
    let known =
        ["Version", "IncludeBasicClaimSet", "ClaimsSchema", "ClaimsTransformation", "ClaimsTransformations"];
    let members = policy.as_object().ok_or_else(invalid)?;
    if policy["Version"] != 1 || members.keys().any(|k| !known.contains(&k.as_str())) {
        return Err(invalid());
    }
    let entries = members.get("ClaimsSchema").map_or(Some(&[][..]), |s| s.as_array().map(Vec::as_slice));
    for entry in entries.ok_or_else(invalid)? {
        let claim = entry["SamlClaimType"].as_str();
        let named = claim.is_some() || entry["JwtClaimType"].is_string();
        let sourced =
            entry["Source"].is_string() && ["ID", "Id", "ExtensionID"].iter().any(|k| entry[*k].is_string());
        if !named || !(sourced || entry["Value"].is_string()) {
            return Err(invalid());
        }
        if claim.is_some_and(|c| RESTRICTED.contains(&c)) {
            return Err(GraphError::bad(
                "Property definition has an invalid value: a restricted claim type is set.",
            ));
        }
    }
    Ok(())
}
