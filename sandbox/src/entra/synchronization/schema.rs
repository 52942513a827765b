//! Templates and schemas: which source attribute goes where (5.1, 5.8).

use serde_json::{Value, json};

use super::expression::Expression;
use super::jobs::Job;
use super::{job_of, mapping};
use crate::entra::Entra;
use crate::entra::errors::GraphError;
use crate::entra::graph::templates::IDENTITY_CENTER;
use crate::entra::graph::{Answer, Call, Outcome};
use crate::entra::state::{Kind, State};

const SOURCE: &str = "Azure Active Directory";
const TARGET: &str = "AWS IAM Identity Center";
const RULE: &str = "03f7d90d-bf71-41b1-bda6-aaf0ddbee5d8#V2";

/// Target attribute, matching priority, source expression. The source side of IAM Identity Center's table is
/// not published (5.8); this is the usual one of SCIM connectors.
const USER: [(&str, i64, &str); 18] = [
    ("userName", 1, "[userPrincipalName]"),
    ("active", 0, "Switch([IsSoftDeleted], , \"False\", \"True\", \"True\", \"False\")"),
    ("displayName", 0, "[displayName]"),
    ("title", 0, "[jobTitle]"),
    ("emails[type eq \"work\"].value", 0, "[mail]"),
    ("preferredLanguage", 0, "[preferredLanguage]"),
    ("name.givenName", 0, "[givenName]"),
    ("name.familyName", 0, "[surname]"),
    ("name.formatted", 0, "Join(\" \", [givenName], [surname])"),
    ("addresses[type eq \"work\"].streetAddress", 0, "[streetAddress]"),
    ("addresses[type eq \"work\"].locality", 0, "[city]"),
    ("addresses[type eq \"work\"].region", 0, "[state]"),
    ("addresses[type eq \"work\"].postalCode", 0, "[postalCode]"),
    ("addresses[type eq \"work\"].country", 0, "[country]"),
    ("phoneNumbers[type eq \"work\"].value", 0, "[telephoneNumber]"),
    ("externalId", 0, "[objectId]"),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", 0, "[employeeId]"),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", 0, "[department]"),
];

const GROUP: [(&str, i64, &str); 3] =
    [("displayName", 1, "[displayName]"), ("externalId", 0, "[objectId]"), ("members", 0, "[members]")];

/// The synchronization templates of a service principal.
pub(super) fn template_ids(entra: &Entra, state: &State, id: &str) -> Vec<String> {
    let service_principal = state.live(Kind::ServicePrincipal, id);
    let from = service_principal.map_or("", |o| o.text("applicationTemplateId"));
    if from == IDENTITY_CENTER {
        vec![entra.behaviours.synchronization_template_id.clone()]
    } else {
        Vec::new()
    }
}

fn template(id: &str, application: &str, user_name_source: &str) -> Value {
    json!({
        "id": id, "factoryTag": id, "applicationId": application, "default": true, "description": null,
        "discoverable": true, "schema": default(id, user_name_source),
        "metadata": [{ "key": "ConnectorDisplayName", "value": TARGET }],
    })
}

fn templates(call: &Call, state: &State, id: &str) -> Vec<Value> {
    let application = state.live(Kind::ServicePrincipal, id).map_or("", |o| o.text("appId")).to_owned();
    let source = &call.entra.behaviours.user_name_source;
    template_ids(&call.entra, state, id).iter().map(|t| template(t, &application, source)).collect()
}

pub(super) fn list_templates(call: &Call, state: &State, id: &str) -> Outcome {
    let fragment = format!("servicePrincipals('{id}')/synchronization/templates");
    Ok(Answer::ok(json!({ "@odata.context": call.context(&fragment), "value": templates(call, state, id) })))
}

pub(super) fn get_template(call: &Call, state: &State, id: &str) -> Outcome {
    let found = templates(call, state, id).into_iter().find(|t| t["id"] == call.id(1));
    found
        .map(Answer::ok)
        .ok_or_else(|| GraphError::new(404, "TemplateNotFound", "The template was not found."))
}

/// The schema that a job runs by.
pub(super) fn current(job: &Job) -> Value {
    job.schema.clone().unwrap_or_else(|| default(&job.id, &job.user_name_source))
}

/// The default schema; `id` is the job's, or the template's in a template. The source of the user name is a switch.
fn default(id: &str, user_name_source: &str) -> Value {
    let mut users: [(&str, i64, &str); 18] = USER;
    users[0].2 = user_name_source;
    let names = |table: &[(&str, i64, &str)]| -> Vec<String> {
        table.iter().map(|(t, ..)| (*t).to_owned()).collect()
    };
    let sources = [
        "objectId",
        "userPrincipalName",
        "originalUserPrincipalName",
        "displayName",
        "givenName",
        "surname",
        "mail",
        "mailNickname",
        "jobTitle",
        "department",
        "employeeId",
        "companyName",
        "streetAddress",
        "city",
        "state",
        "postalCode",
        "country",
        "telephoneNumber",
        "mobile",
        "preferredLanguage",
        "usageLocation",
        "accountEnabled",
        "IsSoftDeleted",
        "userType",
    ];
    let source_user: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
    let source_group =
        ["objectId", "displayName", "mailNickname", "members", "securityEnabled"].map(str::to_owned);
    json!({
        "id": id,
        "version": "Date:2026-01-01T00:00:00.0000000Z",
        "directories": [
            directory("6b8b2d4c-2f0a-4d0f-8f3c-2c9f6f2a1c11", SOURCE, &source_user, &source_group),
            directory("f0f5f0c6-9a2d-4e0b-8e0b-5d2d7f5a7e22", TARGET, &names(&USER), &names(&GROUP)),
        ],
        "synchronizationRules": [{
            "id": RULE, "name": "USER_OUTBOUND_USER", "editable": true, "priority": 1,
            "sourceDirectoryName": SOURCE, "targetDirectoryName": TARGET,
            "containerFilter": null, "groupFilter": null,
            "metadata": [{ "key": "defaultSourceObjectMappings", "value": "true" }],
            "objectMappings": [
                object_mapping("Group", &GROUP),
                object_mapping("User", &users),
            ],
        }],
    })
}

fn directory(id: &str, name: &str, user: &[String], group: &[String]) -> Value {
    let attribute = |name: &String| {
        let (kind, multi) = match name.as_str() {
            "members" => ("Reference", true),
            "active" | "accountEnabled" | "IsSoftDeleted" | "securityEnabled" => ("Boolean", false),
            _ => ("String", false),
        };
        json!({
            "anchor": name == "objectId", "apiExpressions": [], "caseExact": false, "defaultValue": null,
            "flowNullValues": false, "metadata": [], "multivalued": multi, "mutability": "ReadWrite",
            "name": name, "referencedObjects": [], "required": name == "userName", "type": kind,
        })
    };
    let object = |name: &str, attributes: &[String]| {
        json!({
            "name": name, "metadata": [], "supportedApis": [],
            "attributes": attributes.iter().map(attribute).collect::<Vec<_>>(),
        })
    };
    json!({
        "id": id, "name": name, "readOnly": false, "version": "1", "discoverabilities": "None",
        "discoveryDateTime": null, "objects": [object("User", user), object("Group", group)],
    })
}

fn object_mapping(kind: &str, table: &[(&str, i64, &str)]) -> Value {
    let mappings: Vec<Value> = table
        .iter()
        .map(|(target, matching, source)| {
            let source = Expression::parse(source).map(|e| e.json()).unwrap_or_default();
            json!({
                "targetAttributeName": target, "matchingPriority": matching, "flowType": "Always",
                "flowBehavior": "FlowWhenChanged", "defaultValue": "", "exportMissingReferences": false,
                "source": source,
            })
        })
        .collect();
    json!({
        "name": format!("Provision Microsoft Entra ID {kind}s"), "enabled": true,
        "flowTypes": "Add, Update, Delete", "sourceObjectName": kind, "targetObjectName": kind,
        "scope": null, "metadata": [], "attributeMappings": mappings,
    })
}

pub(super) fn get(call: &Call, state: &mut State, id: &str) -> Outcome {
    let job = job_of(call, state, id)?;
    Ok(Answer::ok(current(job)))
}

/// Replaces the whole schema; the next cycle looks at every object again (5.8).
pub(super) fn put(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-schema {id}");
    let body = call.body.clone().unwrap_or_default();
    if !body.is_object() {
        return Err(GraphError::new(400, "BadRequest", "A JSON object is required in the request body."));
    }
    mapping::parse(&body)
        .map_err(|why| GraphError::new(400, "InvalidSchema", format!("The schema is invalid: {why}.")))?;
    let job = job_of(call, state, id)?;
    let mut schema = body;
    schema["id"] = job.id.clone().into();
    job.schema = Some(schema);
    job.initial = true;
    Ok(Answer::no_content())
}

/// Back to the template's default.
pub(super) fn delete(call: &mut Call, state: &mut State, id: &str) -> Outcome {
    call.target = format!("synchronization-schema {id}");
    let job = job_of(call, state, id)?;
    job.schema = None;
    job.initial = true;
    Ok(Answer::no_content())
}

pub(super) fn parse_expression(call: &Call, state: &mut State, id: &str) -> Outcome {
    job_of(call, state, id)?;
    let text = call.body.as_ref().and_then(|b| b["expression"].as_str());
    let text =
        text.ok_or_else(|| GraphError::new(400, "BadRequest", "The parameter 'expression' is required."))?;
    Ok(Answer::ok(match Expression::parse(text) {
        Ok(parsed) => json!({
            "parsingSucceeded": true, "evaluationSucceeded": false, "evaluationResult": [],
            "parsedExpression": parsed.json(), "error": null,
        }),
        Err(why) => json!({
            "parsingSucceeded": false, "evaluationSucceeded": false, "evaluationResult": [],
            "parsedExpression": null,
            "error": { "code": "InvalidExpression", "message": why, "tenantActionable": true },
        }),
    }))
}

/// The id of the rule whose mappings a call of provision on demand names.
pub(super) fn has_rule(schema: &Value, id: &str) -> bool {
    schema["synchronizationRules"].as_array().into_iter().flatten().any(|r| r["id"] == id)
}
