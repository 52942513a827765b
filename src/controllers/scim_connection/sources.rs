//! Where mappings may come from: the attributes of the source directory as the job's schema lists them (contract
//! Graph 5.8). Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schema::{Wanted, comes_from, is_about, is_target, object_mappings};

/// How many attributes a message offers.
const OFFERED: usize = 10;
/// Directory extensions are named so; the schema lists them only once they were discovered.
const EXTENSION: &str = "extension_";

/// The source attributes that the mappings to be changed would come from and that the directory does not have, each
/// with its target. What is mapped already is left alone, and of a directory that lists nothing nothing is known.
#[must_use]
pub fn unknown(schema: &Value, wanted: &Wanted) -> Vec<(String, String)> {
    let mut unknown = BTreeSet::new();
    for (rule, mapping) in object_mappings(schema).filter(|(_, mapping)| is_about(mapping, "User")) {
        let known = attributes(schema, rule, mapping);
        if known.is_empty() {
            continue;
        }
        let targets = mapping.get("attributeMappings").and_then(Value::as_array).into_iter().flatten();
        for attribute in targets {
            for (target, source) in &wanted.users {
                let offered = known.contains(source.as_str()) || source.starts_with(EXTENSION);
                if is_target(attribute, target) && !comes_from(attribute, source) && !offered {
                    unknown.insert((source.clone(), target.clone()));
                }
            }
        }
    }
    unknown.into_iter().collect()
}

/// Some attributes that the directory has, those that are spelled like the unknown ones first.
#[must_use]
pub fn alike(schema: &Value, unknown: &[(String, String)]) -> Vec<String> {
    let people = object_mappings(schema).filter(|(_, mapping)| is_about(mapping, "User"));
    let known: BTreeSet<&str> =
        people.flat_map(|(rule, mapping)| attributes(schema, rule, mapping)).collect();
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| {
            let nearest = unknown.iter().map(|(source, _)| distance(source, name)).min();
            (nearest.unwrap_or_default(), name)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(OFFERED).map(|(_, name)| name.to_owned()).collect()
}

/// The attributes of the object that a mapping comes from.
fn attributes<'a>(schema: &'a Value, rule: &Value, mapping: &Value) -> BTreeSet<&'a str> {
    let list =
        |value: &'a Value, member: &str| value.get(member).and_then(Value::as_array).into_iter().flatten();
    let directory = rule.get("sourceDirectoryName").and_then(Value::as_str);
    let object = mapping.get("sourceObjectName").and_then(Value::as_str);
    list(schema, "directories")
        .filter(|d| directory.is_some() && d.get("name").and_then(Value::as_str) == directory)
        .flat_map(|d| list(d, "objects"))
        .filter(|o| o.get("name").and_then(Value::as_str) == object)
        .flat_map(|o| list(o, "attributes"))
        .filter_map(|a| a.get("name")?.as_str())
        .collect()
}

/// How many letters differ (Levenshtein), whatever their case.
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.to_lowercase().chars().take(64).collect() };
    let (one, other) = (letters(one), letters(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&other) {
            let best = (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(attributes: &[&str]) -> Value {
        let attributes: Vec<Value> = attributes.iter().map(|name| json!({"name": name})).collect();
        json!({"directories": [
                {"name": "Azure Active Directory", "objects": [
                    {"name": "Group", "attributes": [{"name": "members"}]}, {"name": "User", "attributes": attributes}]},
                {"name": "AWS", "objects": [{"name": "User", "attributes": [{"name": "userName"}]}]}],
            "synchronizationRules": [{"sourceDirectoryName": "Azure Active Directory", "objectMappings": [
                {"sourceObjectName": "User", "attributeMappings": [
                    {"targetAttributeName": "userName", "source": {"type": "Attribute", "name": "userPrincipalName"}},
                    {"targetAttributeName": "title", "source": {"type": "Attribute", "name": "old"}}]}]}]})
    }

    fn wanted(users: &[(&str, &str)]) -> Wanted {
        Wanted {
            users: users.iter().map(|(t, s)| ((*t).to_owned(), (*s).to_owned())).collect(),
            groups: None,
        }
    }

    #[test]
    fn only_changes_from_attributes_that_are_not_listed_are_refused() {
        let listed = ["mail", "mailNickname", "userPrincipalName"];
        for (attributes, users, expected) in [
            (&listed[..], vec![("userName", "mail")], vec![]),
            (&listed, vec![("userName", "email"), ("title", "mail")], vec![("email", "userName")]),
            (&listed, vec![("userName", "Mail")], vec![("Mail", "userName")]),
            // A target attribute is no source, and one that is mapped already stays.
            (&listed, vec![("userName", "userName")], vec![("userName", "userName")]),
            (&listed, vec![("title", "old")], vec![]),
            (&listed, vec![("userName", "extension_0123_costCenter")], vec![]),
            (&[], vec![("userName", "email")], vec![]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(s, t): (&str, &str)| (s.to_owned(), t.to_owned())).collect();
            assert_eq!(unknown(&schema(attributes), &wanted(&users)), expected, "{users:?}");
        }
        let mut foreign = schema(&listed);
        foreign["synchronizationRules"][0]["sourceDirectoryName"] = json!("Elsewhere");
        assert!(unknown(&foreign, &wanted(&[("userName", "email")])).is_empty());
    }

    #[test]
    fn what_is_spelled_alike_is_offered_first() {
        let many = [
            "accountEnabled",
            "city",
            "country",
            "department",
            "displayName",
            "givenName",
            "jobTitle",
            "mail",
            "mailNickname",
            "mobile",
            "state",
            "surname",
        ];
        let unknown = [("email".to_owned(), "userName".to_owned())];
        let offered = alike(&schema(&many), &unknown);
        assert_eq!((offered.len(), offered[0].as_str()), (OFFERED, "mail"));
        assert_eq!(distance("Mail", "mail"), 0);
        assert_eq!((distance("kitten", "sitting"), distance("", "ab"), distance("ab", "")), (3, 2, 2));
    }
}
