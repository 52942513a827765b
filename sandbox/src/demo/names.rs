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
    fn long_texts_are_cut_after_a_word() {
        assert_eq!(
            brief("AADSTS50057: The user account is disabled.", 60),
            "AADSTS50057: The user account is disabled."
        );
        assert_eq!(brief("one two three, four", 16), "one two three …");
    }
}
