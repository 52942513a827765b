//! Names for ids, as people tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::Sandbox;
use crate::aws::Aws;
use crate::entra::Entra;

/// Knows what the objects of both clouds are called.
pub struct Names {
    aws: Arc<Aws>,
    entra: Arc<Entra>,
}

impl Names {
    /// Those of a sandbox.
    pub fn of(sandbox: &Sandbox) -> Self {
        Self { aws: sandbox.aws.clone(), entra: sandbox.entra.clone() }
    }

    /// All names, as of now.
    pub fn read(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for state in [self.aws.state(), self.entra.state()] {
            collect(&state, &mut names);
        }
        names
    }
}

fn collect(value: &Value, names: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            let text = |key: &&str| map.get(*key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let name = ["userPrincipalName", "userName", "displayName", "name"].iter().find_map(text);
            let ids = ["id", "appId", "groupId", "userId", "arn"];
            for id in ids.iter().filter_map(text).map(|id| id.rsplit('/').next().unwrap_or(id)) {
                names.extend(name.map(|name| (id.to_owned(), name.to_owned())));
            }
            map.values().for_each(|inner| collect(inner, names));
        }
        Value::Array(all) => all.iter().for_each(|inner| collect(inner, names)),
        _ => {}
    }
}

/// What the journal calls an object, for people: names instead of ids; ids that have none are left out.
pub fn told(target: &str, names: &BTreeMap<String, String>) -> String {
    let (kind, rest) = target.split_once(' ').unwrap_or((target, ""));
    let parts = rest.split(['/', ' ', ',']).filter_map(|part| match names.get(part) {
        Some(name) => Some(name.as_str()),
        None => Some(part).filter(|part| !part.is_empty() && !is_opaque(part)),
    });
    let parts: Vec<&str> = parts.collect();
    format!("{kind} {}", parts.join(" / ")).trim_end().to_owned()
}

/// So many things are named in one line.
const NAMED: usize = 4;

/// Several objects in one line: what kind, once; a name that comes again, with how often.
pub fn all_of(targets: &[String]) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for target in targets {
        match counted.iter_mut().find(|(name, _)| *name == target.as_str()) {
            Some((_, times)) => *times += 1,
            None => counted.push((target, 1)),
        }
    }
    let kind = |target: &str| target.split_once(' ').map(|(kind, _)| kind.to_owned());
    let first = counted.first().and_then(|(target, _)| kind(target));
    let common = first.filter(|first| counted.iter().all(|(target, _)| kind(target).as_ref() == Some(first)));
    let name = |(position, (target, times)): (usize, &(&str, usize))| {
        let short = match &common {
            Some(kind) if position > 0 => target[kind.len()..].trim_start(),
            _ => *target,
        };
        let often = match times {
            1 => String::new(),
            n => format!(" ({n} calls)"),
        };
        format!("{short}{often}")
    };
    let names: Vec<String> = counted.iter().enumerate().take(NAMED).map(name).collect();
    match counted.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// What a call to Graph is for, which its path does not say; names of AWS's operations speak for themselves.
pub fn meaning(operation: &str) -> &'static str {
    match operation {
        "POST /applicationTemplates/{id}/instantiate" => " (made from the gallery)",
        "PATCH /applications/{id}" => " (name and owner mark, SAML addresses)",
        "PATCH /servicePrincipals/{id}" => " (SAML on, who may sign in, which certificate signs)",
        "POST /servicePrincipals/{id}/addTokenSigningCertificate" => " (a certificate to sign with)",
        "POST /servicePrincipals/{id}/appRoleAssignedTo" => " (may sign in)",
        "POST /servicePrincipals/{id}/synchronization/jobs" => " (provisioning)",
        "PUT /servicePrincipals/{id}/synchronization/secrets" => " (endpoint and token)",
        "POST /servicePrincipals/{id}/synchronization/jobs/{id}/start" => " (provisioning begins)",
        _ => "",
    }
}

/// Why a cloud does not take a call at this moment: the operator, or Entra's provisioning, makes it again.
pub fn refusal(service: &str, operation: &str, outcome: &str) -> String {
    let why = match (service, outcome) {
        ("scim", "throttled") => "AWS takes so many SCIM calls a second; Entra waits",
        (_, "throttled") => "too many calls at once; the operator slows down",
        ("graph", "HostNameNotOnVerifiedDomain") => {
            "Entra takes AWS's addresses once it knows everywhere that SAML is on"
        }
        ("graph", "Request_BadRequest") if operation.ends_with("appRoleAssignedTo") => {
            "Entra does not know the new application everywhere yet"
        }
        ("graph", "Request_ResourceNotFound" | "ResourceNotFound") => {
            "Entra does not show the new object everywhere yet"
        }
        ("sso-admin", "ConflictException") => "AWS is still at work on the same account",
        ("sso-admin", "ResourceNotFoundException") => "AWS does not show the new object everywhere yet",
        _ => return format!("{outcome}; tried again"),
    };
    format!("{why} ({outcome})")
}

/// A message of a resource without the ids that stand beside names.
pub fn without_ids(message: &str) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(" (") {
        out.push_str(before);
        match after.split_once(')') {
            Some((inside, after)) if is_opaque(inside) => rest = after,
            _ => {
                out.push_str(" (");
                rest = after;
            }
        }
    }
    out + rest
}

/// Whether a word is an id that says nothing to people: it ends in a UUID, is one of AWS's, or long and hexadecimal.
fn is_opaque(word: &str) -> bool {
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let end: Vec<&str> = word.rsplitn(6, '-').take(5).collect();
    let uuid = end.iter().map(|part| part.len()).eq([12, 4, 4, 4, 8]) && end.iter().all(|part| hex(part));
    let of_aws = ["ssoins-", "ps-"].iter().filter_map(|kind| word.strip_prefix(kind)).any(hex);
    uuid || of_aws || (word.len() >= 32 && hex(word))
}

/// The beginning of a long text, up to the end of a word.
pub fn brief(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let cut: String = text.chars().take(limit).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{} …", cut.trim_end_matches([',', '.', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001";

    #[test]
    fn ids_become_names_or_go() {
        let names = BTreeMap::from([(UUID.to_owned(), "aws-engineers".to_owned())]);
        let other = "1c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001";
        for (target, wanted) in [
            (format!("appRoleAssignment {other}/{UUID}/{other}"), "appRoleAssignment aws-engineers"),
            (format!("certificate {other}/CN=causeway-1"), "certificate CN=causeway-1"),
            (format!("synchronization-job {other}"), "synchronization-job"),
            (format!("group x members 9067000000-{UUID}"), "group x / members"),
            ("user ada@acme.example".to_owned(), "user ada@acme.example"),
            (
                format!("assignment ssoins-0e1ca922dde947f0/Readers/GROUP/{UUID}"),
                "assignment Readers / GROUP / aws-engineers",
            ),
        ] {
            assert_eq!(told(&target, &names), wanted);
        }
        assert_eq!(
            without_ids(&format!("done: assign group \"a\" ({UUID}), and 2 more (see status.plan); x")),
            "done: assign group \"a\", and 2 more (see status.plan); x"
        );
    }

    #[test]
    fn several_objects_are_named_and_counted() {
        let all = |targets: &[&str]| all_of(&targets.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(all(&[]), "");
        assert_eq!(all(&["user ada", "user ben"]), "user ada, ben");
        assert_eq!(all(&["user ada", "group x"]), "user ada, group x");
        assert_eq!(all(&["application AWS", "application AWS"]), "application AWS (2 calls)");
        assert_eq!(all(&["synchronization-job"]), "synchronization-job");
        assert_eq!(
            all(&["user a", "user b", "user c", "user d", "user e", "user f"]),
            "user a, b, c, d and 2 more"
        );
    }

    #[test]
    fn a_refusal_says_why_and_what_follows() {
        assert!(refusal("scim", "CreateGroup", "throttled").contains("Entra waits"));
        assert!(
            refusal("graph", "PATCH /applications/{id}", "HostNameNotOnVerifiedDomain")
                .contains("SAML is on")
        );
        assert_eq!(refusal("graph", "x", "Other"), "Other; tried again");
    }

    #[test]
    fn long_texts_are_cut_after_a_word() {
        assert_eq!(
            brief("AADSTS50057: The user account is disabled.", 60),
            "AADSTS50057: The user account is disabled."
        );
        assert_eq!(brief("one two three, four", 16), "one two three …");
    }
}
