//! What the endpoint says of itself (contract aws 4.1, 4.4).

use serde_json::{Value, json};

use super::errors::ScimError;
use super::{Answer, ENTERPRISE, GROUP, LIST, USER};

pub(super) fn service_provider_config() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "documentationUri": "https://docs.aws.amazon.com/singlesignon/latest/developerguide/what-is-scim.html",
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "OAuth Bearer Token", "primary": true,
            "description": "Authentication scheme using the OAuth Bearer Token Standard",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "documentationUri": "https://docs.aws.amazon.com/singlesignon/latest/userguide/provision-automatically.html",
        }],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 1, "maxPayloadSize": 1_048_576},
        "filter": {"supported": true, "maxResults": 100},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": false},
    })
}

pub(super) fn resource_types() -> Value {
    let all = json!([
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"], "id": "User", "name": "User",
            "endpoint": "/Users", "description": "User Account", "schema": USER,
            "schemaExtensions": [{"schema": ENTERPRISE, "required": false}],
        },
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"], "id": "Group", "name": "Group",
            "endpoint": "/Groups", "description": "Group", "schema": GROUP, "schemaExtensions": [],
        },
    ]);
    listing(&all)
}

fn listing(all: &Value) -> Value {
    let total = all.as_array().map_or(0, Vec::len);
    json!({"schemas": [LIST], "totalResults": total, "itemsPerPage": total, "startIndex": 1, "Resources": all})
}

pub(super) fn schemas(id: Option<&str>) -> Answer {
    let all = json!([user(), group(), enterprise()]);
    match id {
        None => Ok((200, Some(listing(&all)))),
        Some(id) => {
            let found = all.as_array().and_then(|l| l.iter().find(|s| s["id"] == id).cloned());
            found.map(|s| (200, Some(s))).ok_or_else(|| ScimError::missing("Schema"))
        }
    }
}

fn attribute(name: &str, kind: &str, required: bool, unique: bool) -> Value {
    json!({
        "name": name, "type": kind, "multiValued": false, "description": name, "required": required,
        "caseExact": false, "mutability": "readWrite", "returned": "default",
        "uniqueness": if unique { "server" } else { "none" },
    })
}

fn complex(name: &str, multi: bool, required: bool, parts: &[&str]) -> Value {
    let subs: Vec<Value> = parts
        .iter()
        .map(|p| attribute(p, if *p == "primary" { "boolean" } else { "string" }, false, false))
        .collect();
    json!({
        "name": name, "type": "complex", "multiValued": multi, "description": name, "required": required,
        "subAttributes": subs, "mutability": "readWrite", "returned": "default", "uniqueness": "none",
    })
}

fn schema(id: &str, name: &str, attributes: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": id, "name": name, "description": name,
        "attributes": attributes, "meta": {"resourceType": "Schema"},
    })
}

fn user() -> Value {
    let names = ["formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"];
    let mut all = vec![
        attribute("userName", "string", true, true),
        complex("name", false, true, &names),
        attribute("displayName", "string", true, false),
    ];
    for name in ["nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone"] {
        all.push(attribute(name, "string", false, false));
    }
    all.push(attribute("active", "boolean", false, false));
    all.push(complex("emails", true, false, &["value", "type", "primary"]));
    let address =
        ["formatted", "streetAddress", "locality", "region", "postalCode", "country", "type", "primary"];
    all.push(complex("addresses", true, false, &address));
    all.push(complex("phoneNumbers", true, false, &["value", "type", "primary"]));
    all.push(complex("roles", true, false, &["value", "type", "primary"]));
    schema(USER, "User", all)
}

fn group() -> Value {
    let all = vec![
        attribute("displayName", "string", true, true),
        complex("members", true, false, &["value", "$ref", "type"]),
    ];
    schema(GROUP, "Group", all)
}

fn enterprise() -> Value {
    let mut all: Vec<Value> = ["employeeNumber", "costCenter", "organization", "division", "department"]
        .iter()
        .map(|n| attribute(n, "string", false, false))
        .collect();
    all.push(complex("manager", false, false, &["value", "$ref"]));
    schema(ENTERPRISE, "EnterpriseUser", all)
}
