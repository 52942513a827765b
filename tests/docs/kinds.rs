//! Which reasons and conditions each kind may have, against its code.

use std::collections::BTreeSet;
use std::path::Path;

use causeway::status::{Kind, Reason};

use super::root;
use crate::support::sources;

fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::IdentityFederation => "src/controllers/identity_federation",
        Kind::ScimConnection => "src/controllers/scim_connection",
        Kind::PermissionSetBinding => "src/controllers/permission_set_binding",
    }
}

/// The code of these files and folders, without tests. `*`: the files of the folder itself.
fn code(paths: &[&str]) -> String {
    let among = |path: &Path| {
        paths.iter().any(|wanted| match wanted.strip_suffix("/*") {
            Some(folder) => path.parent() == Some(&root().join(folder)),
            None => path.starts_with(root().join(wanted)),
        })
    };
    sources::code("src").into_iter().filter(|(path, _)| among(path)).map(|(_, text)| text).collect()
}

fn reasons(code: &str) -> BTreeSet<&str> {
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    let words = code.split("Reason::").skip(1);
    words
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default())
        .filter(|word| known.contains(word))
        .collect()
}

#[test]
fn the_reasons_of_each_kind_are_those_of_its_code() {
    let shared =
        code(&["src/controllers/*", "src/controllers/access", "src/problem.rs", "src/problem", "src/engine"]);
    let shared = reasons(&shared);
    for kind in Kind::ALL {
        let own = code(&[folder(kind)]);
        let own = reasons(&own);
        let listed: BTreeSet<&str> = kind.reasons().into_iter().map(Reason::as_str).collect();
        let unlisted: Vec<_> = own.difference(&listed).collect();
        assert!(
            unlisted.is_empty(),
            "{} says {unlisted:?}, and src/status/told.rs does not list it",
            kind.name()
        );
        let unsaid: Vec<_> = listed.iter().filter(|r| !own.contains(*r) && !shared.contains(*r)).collect();
        assert!(unsaid.is_empty(), "nothing in the code of {} says {unsaid:?}", kind.name());
    }
    // What can befall any kind is said in code that all share.
    for reason in shared {
        let kinds = Reason::ALL.iter().find(|r| r.as_str() == reason).unwrap().kinds();
        assert!(!kinds.is_empty(), "{reason}");
    }
}

#[test]
fn the_conditions_of_each_kind_are_those_of_its_code() {
    for kind in Kind::ALL {
        let own = code(&[folder(kind)]);
        for (condition, meaning) in kind.conditions() {
            assert!(own.contains(&format!("\"{condition}\"")), "{}: {condition}", kind.name());
            assert!(!meaning.is_empty());
        }
    }
}
