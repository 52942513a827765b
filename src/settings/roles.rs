//! Which roles of AWS the resources of a namespace may name (design rule 5).

use std::collections::BTreeMap;

/// The namespace that stands for all.
const ALL: &str = "*";

/// Patterns of role ARNs by namespace. Empty: no role at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedRoles(BTreeMap<String, Vec<RolePattern>>);

impl AllowedRoles {
    /// Adds one entry, `<namespace>=<pattern>`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with the entry.
    pub fn add(&mut self, entry: &str) -> Result<(), String> {
        let (namespace, pattern) =
            entry.split_once('=').ok_or("is not of the form <namespace>=<role ARN>")?;
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if namespace != ALL && (namespace.is_empty() || namespace.len() > 63 || !namespace.chars().all(label))
        {
            return Err(format!("names the namespace `{namespace}`, which is none; `*` stands for all"));
        }
        self.0.entry(namespace.to_owned()).or_default().push(RolePattern::parse(pattern)?);
        Ok(())
    }

    /// Whether the resources of a namespace may name this role.
    #[must_use]
    pub fn allows(&self, namespace: &str, role_arn: &str) -> bool {
        [namespace, ALL]
            .iter()
            .filter_map(|name| self.0.get(*name))
            .flatten()
            .any(|pattern| pattern.matches(role_arn))
    }
}

/// A role's ARN, from beginning to end, in which `*` stands for any characters within one part of the path or the name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RolePattern {
    /// `arn:<partition>:iam::<account>:role/`, to the letter.
    head: String,
    /// The parts of the path, and the name.
    parts: Vec<String>,
}

impl RolePattern {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}, unlike arn:aws:iam::111122223333:role/causeway-*");
        let pieces: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = pieces[..] else {
            return Err(wrong("names no role ARN"));
        };
        if !partition.starts_with("aws") || !partition.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            return Err(wrong("names no partition of AWS"));
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("must name the account with its twelve digits"));
        }
        let path = resource.strip_prefix("role/").ok_or_else(|| wrong("names no role"))?;
        let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
        let printable = |part: &String| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
        let name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-*".contains(c);
        if !parts.iter().all(printable) || !parts.last().is_some_and(|last| last.chars().all(name)) {
            return Err(wrong("has a path or name that no role has"));
        }
        Ok(Self { head: format!("arn:{partition}:iam::{account}:role/"), parts })
    }

    fn matches(&self, role_arn: &str) -> bool {
        let Some(path) = role_arn.strip_prefix(&self.head) else { return false };
        let parts: Vec<&str> = path.split('/').collect();
        parts.len() == self.parts.len()
            && parts.iter().zip(&self.parts).all(|(part, pattern)| glob(pattern.as_bytes(), part.as_bytes()))
    }
}

/// `*` stands for any characters, or none. Linear in both: after a mismatch only the last `*` takes one more.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> AllowedRoles {
        let mut allowed = AllowedRoles::default();
        entries.iter().for_each(|entry| allowed.add(entry).unwrap());
        allowed
    }

    #[test]
    fn a_role_must_match_from_beginning_to_end() {
        let role = |rest: &str| format!("arn:aws:iam::111122223333:role/{rest}");
        for (pattern, arn, matches) in [
            ("causeway", "causeway", true),
            ("causeway", "causeway2", false),
            ("causeway", "my-causeway", false),
            ("causeway", "Causeway", false),
            ("causeway-*", "causeway-", true),
            ("causeway-*", "causeway-prod", true),
            ("causeway-*", "causeway-prod/admin", false),
            ("*-reader", "a-reader-reader", true),
            ("*-reader", "a-reader-writer", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("*", "anything", true),
            ("*", "path/anything", false),
            ("*/*", "path/anything", true),
            ("path/*", "path/name", true),
            ("path/*", "other/name", false),
            ("pa*/name", "path/name", true),
            ("path/name", "path/*", false),
        ] {
            let list = allowed(&[&format!("identity={}", role(pattern))]);
            assert_eq!(list.allows("identity", &role(arn)), matches, "{pattern} {arn}");
        }
    }

    #[test]
    fn partition_account_and_namespace_are_taken_literally() {
        let list = allowed(&["identity=arn:aws:iam::111122223333:role/*"]);
        let arn = "arn:aws:iam::111122223333:role/r";
        assert!(list.allows("identity", arn));
        assert!(!list.allows("payments", arn) && !list.allows("identit", arn) && !list.allows("*", arn));
        for other in [
            "arn:aws:iam::111122223334:role/r",
            "arn:aws-cn:iam::111122223333:role/r",
            "arn:aws:iam::111122223333:user/r",
            "arn:aws:sts::111122223333:role/r",
            "xarn:aws:iam::111122223333:role/r",
            "",
        ] {
            assert!(!list.allows("identity", other), "{other}");
        }
        let everywhere = allowed(&["*=arn:aws-us-gov:iam::111122223333:role/r"]);
        assert!(everywhere.allows("anything", "arn:aws-us-gov:iam::111122223333:role/r"));
        assert!(!AllowedRoles::default().allows("identity", arn));
    }

    #[test]
    fn entries_that_are_none_are_refused() {
        for (entry, word) in [
            ("arn:aws:iam::111122223333:role/r", "<namespace>=<role ARN>"),
            ("=arn:aws:iam::111122223333:role/r", "namespace"),
            ("Identity=arn:aws:iam::111122223333:role/r", "namespace"),
            ("a*=arn:aws:iam::111122223333:role/r", "namespace"),
            ("a=*", "no role ARN"),
            ("a=arn:aws:iam::*:role/r", "twelve digits"),
            ("a=arn:aws:iam::1111:role/r", "twelve digits"),
            ("a=arn:*:iam::111122223333:role/r", "partition"),
            ("a=arn:aws:iam::111122223333:user/r", "no role"),
            ("a=arn:aws:iam::111122223333:role/", "path or name"),
            ("a=arn:aws:iam::111122223333:role//r", "path or name"),
            ("a=arn:aws:iam::111122223333:role/a?b", "path or name"),
        ] {
            let error = AllowedRoles::default().add(entry).unwrap_err();
            assert!(error.contains(word), "{entry}: {error}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = "*a".repeat(30);
        let text = "a".repeat(60) + "b";
        assert!(!glob(pattern.as_bytes(), text.as_bytes()));
    }
}
