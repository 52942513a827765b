//! Which application permissions of Microsoft Graph the calls need, and which of them a token has (contract Graph 0.1,
//! 5.11, 8.2): the one place that messages and `docs/permissions.md` are written from. It is told to people and decides
//! nothing: what Graph answers decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// One permission that a call needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// What a person grants.
    pub name: &'static str,
    /// What does as well.
    pub or: &'static [&'static str],
    /// What Causeway uses it for.
    pub purpose: &'static str,
}

/// Applications and their service principals: `Application.ReadWrite.OwnedBy` does not do, since what is made from the
/// gallery has no owner (contract Graph 0.1).
const APPLICATIONS: Need = Need {
    name: "Application.ReadWrite.All",
    or: &["Directory.ReadWrite.All"],
    purpose: "the enterprise application",
};
/// To read them less is enough; it is the same permission that is asked for, since reading is not all.
const READ_APPLICATIONS: Need =
    Need { or: &["Application.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"], ..APPLICATIONS };
const ASSIGNMENTS: Need =
    Need { name: "AppRoleAssignment.ReadWrite.All", or: &[], purpose: "who may sign in" };
const USERS: Need = Need {
    name: "User.ReadBasic.All",
    or: &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"],
    purpose: "people by name",
};
const GROUPS: Need = Need {
    name: "Group.ReadBasic.All",
    or: &[
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ],
    purpose: "groups by name",
};
const MEMBERS: Need = Need {
    name: "GroupMember.ReadBasic.All",
    or: &[
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ],
    purpose: "members of groups",
};
const PROVISIONING: Need = Need { name: "Synchronization.ReadWrite.All", or: &[], purpose: "provisioning" };

/// Everything that Causeway uses, in the order in which it is met.
pub const ALL: [Need; 6] = [APPLICATIONS, ASSIGNMENTS, USERS, GROUPS, MEMBERS, PROVISIONING];

/// What a call needs: all of these. Empty: nothing is known of it.
#[must_use]
pub fn needs(operation: &str) -> &'static [Need] {
    match operation {
        "GET /applications"
        | "GET /applications/{id}"
        | "GET /servicePrincipals"
        | "GET /servicePrincipals/{id}"
        | "GET /servicePrincipals/{id}/appRoleAssignedTo"
        | "GET /directory/deletedItems/{id}" => &[READ_APPLICATIONS],
        "POST /applicationTemplates/{id}/instantiate"
        | "PATCH /applications/{id}"
        | "DELETE /applications/{id}"
        | "PATCH /servicePrincipals/{id}"
        | "POST /servicePrincipals/{id}/addTokenSigningCertificate" => &[APPLICATIONS],
        "POST /servicePrincipals/{id}/appRoleAssignedTo"
        | "DELETE /servicePrincipals/{id}/appRoleAssignedTo/{id}" => &[ASSIGNMENTS, READ_APPLICATIONS],
        "GET /users" | "GET /users/{id}" => &[USERS],
        "GET /groups" | "GET /groups/{id}" => &[GROUPS],
        "GET /groups/{id}/members" => &[MEMBERS],
        operation if operation.contains("/synchronization/") => &[PROVISIONING],
        _ => &[],
    }
}

/// The permissions in an access token, as far as it can be read: its form is nobody's promise. An application that
/// was granted nothing has a token without the claim.
pub(super) fn roles(token: &str) -> Option<Vec<String>> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    match claims.get("roles") {
        Some(Value::Array(roles)) => {
            Some(roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect())
        }
        Some(_) => None,
        None => (claims.get("appid").is_some() || claims.get("azp").is_some()).then(Vec::new),
    }
}

/// What a person is told when Graph denies a call to an application with these permissions (none: not known).
pub(super) fn told(operation: &str, client_id: &str, roles: Option<&[String]>) -> String {
    let application = format!("application {client_id}");
    let wanted = needs(operation);
    let Some(roles) = roles else {
        let what = match wanted {
            [] => "a Graph application permission".to_owned(),
            _ => permissions(&wanted.iter().map(|need| need.name).collect::<Vec<_>>()),
        };
        let all: Vec<&str> = ALL.iter().map(|need| need.name).collect();
        return format!(
            "{application} lacks {what} (admin consent); Causeway uses in all {}",
            all.join(", ")
        );
    };
    let lacks =
        |need: &&Need| !roles.iter().any(|role| *role == need.name || need.or.contains(&role.as_str()));
    let missing: Vec<&str> = wanted.iter().filter(lacks).map(|need| need.name).collect();
    let besides: Vec<String> = ALL
        .iter()
        .filter(lacks)
        .filter(|need| !missing.contains(&need.name))
        .map(|need| format!("{} ({})", need.name, need.purpose))
        .collect();
    let also = match besides.as_slice() {
        [] => String::new(),
        besides => format!("; of those that Causeway uses it also lacks {}", besides.join(", ")),
    };
    let owned = match roles.iter().any(|role| role == "Application.ReadWrite.OwnedBy") {
        true if missing.contains(&APPLICATIONS.name) => {
            ", and Application.ReadWrite.OwnedBy is not enough: what is made from the gallery has no owner"
        }
        _ => "",
    };
    match missing.as_slice() {
        [] if wanted.is_empty() => format!("{application} lacks a Graph application permission{also}"),
        [] => format!(
            "the token of {application} has the permission {}: if it was granted just now it takes some minutes, else \
             {}{also}",
            wanted.iter().map(|need| need.name).collect::<Vec<_>>().join(" and "),
            why_all_the_same(wanted, roles),
        ),
        missing => format!("{application} lacks {} (admin consent){owned}{also}", permissions(missing)),
    }
}

/// Why a call is denied although the token has what it needs. The basic permissions are documented to do (contract Graph
/// 0.1), and administrators report that Graph denies `GET /users` to applications that have no other one.
fn why_all_the_same(wanted: &[Need], roles: &[String]) -> String {
    let basic = |need: &&Need| {
        need.name.contains(".ReadBasic.") && !roles.iter().any(|role| need.or.contains(&role.as_str()))
    };
    match wanted.iter().find(basic) {
        Some(Need { name, or: [next, ..], .. }) => {
            format!("this tenant does not take {name} for it: grant {next} (admin consent)")
        }
        _ => "a policy of the tenant forbids the call".to_owned(),
    }
}

fn permissions(names: &[&str]) -> String {
    let word = if names.len() == 1 { "permission" } else { "permissions" };
    format!("the Graph application {word} {}", names.join(" and "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clients::entra::synchronization::operation;

    const APP: &str = "7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0002";

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn roles_are_read_from_tokens_that_are_readable() {
        for (token, expected) in [
            (token(&json!({"appid": APP, "roles": ["A", "B"]})), Some(vec!["A", "B"])),
            (token(&json!({"appid": APP})), Some(vec![])),
            (token(&json!({"scp": "User.Read"})), None),
            (token(&json!({"appid": APP, "roles": "A"})), None),
            ("EwBwA8l6BAAU_opaque".to_owned(), None),
            ("a.b.c".to_owned(), None),
            ("a.b.c.d.e".to_owned(), None),
        ] {
            let roles = roles(&token);
            assert_eq!(roles.as_ref().map(|r| r.iter().map(String::as_str).collect()), expected, "{token}");
        }
    }

    #[test]
    fn every_missing_permission_is_named_at_once() {
        let read = ["User.Read.All".to_owned(), "Group.Read.All".to_owned()];
        let owned = ["Application.ReadWrite.OwnedBy".to_owned()];
        let all: Vec<String> = ALL.iter().map(|need| need.name.to_owned()).collect();
        let more = [all.clone(), vec!["User.Read.All".to_owned()]].concat();
        let assign = "POST /servicePrincipals/{id}/appRoleAssignedTo";
        for (operation, roles, words, not) in [
            (
                "POST /applicationTemplates/{id}/instantiate",
                Some(&read[..]),
                "application 7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0002 lacks the Graph application permission \
                 Application.ReadWrite.All (admin consent); of those that Causeway uses it also lacks \
                 AppRoleAssignment.ReadWrite.All (who may sign in), Synchronization.ReadWrite.All (provisioning)",
                "User.",
            ),
            (
                assign,
                Some(&read[..]),
                "permissions AppRoleAssignment.ReadWrite.All and Application.ReadWrite.All",
                "User.",
            ),
            (assign, Some(&owned[..]), "OwnedBy is not enough", "takes some minutes"),
            ("GET /groups", Some(&owned[..]), "permission Group.ReadBasic.All (admin", "OwnedBy is not"),
            (operation::JOBS, Some(&read[..]), "permission Synchronization.ReadWrite.All (admin", "Group."),
            (assign, Some(&all[..]), "takes some minutes", "lacks"),
            (
                "GET /users",
                Some(&all[..]),
                "does not take User.ReadBasic.All for it: grant User.Read.All (admin",
                "lacks",
            ),
            ("GET /users", Some(&more[..]), "a policy of the tenant forbids", "does not take"),
            ("GET /something/new", Some(&read[..]), "also lacks Application.ReadWrite.All", "User."),
            (
                "GET /users",
                None,
                "permission User.ReadBasic.All (admin consent); Causeway uses in all Application.",
                "also",
            ),
        ] {
            let told = told(operation, APP, roles);
            assert!(told.contains(words), "{words}: {told}");
            assert!(!told.contains(not), "{not}: {told}");
        }
    }

    proptest::proptest! {
        #[test]
        fn fuzz_any_token_shows_its_permissions_or_nothing(claims in crate::api::arbitrary::anything(), text in ".{0,60}") {
            let mut whole = json!({"appid": APP, "roles": ["A"]});
            whole["roles"] = claims.clone();
            for value in [&claims, &whole] {
                if let Some(roles) = roles(&token(value)) {
                    let told = value["roles"].as_array().map(Vec::len).unwrap_or_default();
                    assert!(roles.len() <= told);
                }
            }
            let _ = roles(&text);
            let _ = roles(&format!("{text}.{text}.{text}"));
        }
    }
}
