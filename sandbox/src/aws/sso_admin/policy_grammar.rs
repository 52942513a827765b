//! What IAM refuses in a policy of an identity: the grammar of policy documents, with IAM's own words where they are
//! known. Actions, resources and condition keys are not compared with those that services have: IAM does not either.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const SYNTAX: &str = "Syntax errors in policy.";
const ELEMENTS: [&str; 3] = ["Version", "Id", "Statement"];
const MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Why IAM refuses a document; none when it takes it.
pub(super) fn refusal(text: &str) -> Option<String> {
    document(text).err()
}

fn document(text: &str) -> Result<(), String> {
    let Ok(Value::Object(policy)) = serde_json::from_str(text) else { return Err(SYNTAX.into()) };
    if policy.keys().any(|key| !ELEMENTS.contains(&key.as_str())) {
        return Err(SYNTAX.into());
    }
    match policy.get("Version").map(Value::as_str) {
        None | Some(Some("2012-10-17" | "2008-10-17")) => {}
        _ => return Err(SYNTAX.into()),
    }
    let statements = match policy.get("Statement") {
        // An empty list: the grammar wants one statement at least, and what IAM says to none is not known.
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        Some(_) => return Err(SYNTAX.into()),
        None => return Err("Missing required field Statement".into()),
    };
    let mut sids = BTreeSet::new();
    for statement in statements {
        let Value::Object(statement) = statement else { return Err(SYNTAX.into()) };
        judge(statement)?;
        if let Some(sid) = statement.get("Sid").and_then(Value::as_str).filter(|sid| !sid.is_empty())
            && !sids.insert(sid)
        {
            return Err("Statement IDs (SID) in a single policy must be unique.".into());
        }
    }
    Ok(())
}

fn judge(statement: &Map<String, Value>) -> Result<(), String> {
    if statement.keys().any(|key| !MEMBERS.contains(&key.as_str())) {
        return Err(SYNTAX.into());
    }
    match statement.get("Sid") {
        None => {}
        Some(Value::String(sid)) if sid.chars().all(|c| c.is_ascii_alphanumeric()) => {}
        Some(Value::String(sid)) => {
            return Err(format!(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*: {sid}"
            ));
        }
        Some(_) => return Err(SYNTAX.into()),
    }
    match statement.get("Effect").map(Value::as_str) {
        Some(Some("Allow" | "Deny")) => {}
        Some(_) => return Err(SYNTAX.into()),
        None => return Err("Missing required field Effect".into()),
    }
    if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
        return Err("Policy document should not specify a principal.".into());
    }
    let actions = one_of(statement, "Action", "NotAction").ok_or("Policy statement must contain actions.")?;
    for action in words(actions)? {
        let vendor = action.split_once(':');
        let named = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "*?-".contains(c))
        };
        match vendor {
            _ if action == "*" => {}
            Some((vendor, name)) if named(vendor) && named(name) => {}
            Some((_, name)) if name.contains(':') => {
                return Err("Actions/Condition can contain only one colon.".into());
            }
            _ => {
                return Err(
                    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".into()
                );
            }
        }
    }
    let resources =
        one_of(statement, "Resource", "NotResource").ok_or("Policy statement must contain resources.")?;
    for resource in words(resources)? {
        if resource != "*" && !(resource.starts_with("arn:") && resource.splitn(6, ':').count() == 6) {
            return Err(format!("Resource {resource} must be in ARN format or \"*\"."));
        }
    }
    conditions(statement.get("Condition"))
}

/// Exactly one of two members.
fn one_of<'a>(statement: &'a Map<String, Value>, one: &str, other: &str) -> Option<&'a Value> {
    match (statement.get(one), statement.get(other)) {
        (Some(value), None) | (None, Some(value)) => Some(value),
        _ => None,
    }
}

/// A word or a list of words, of which there must be one.
fn words(value: &Value) -> Result<Vec<&str>, String> {
    let words: Option<Vec<&str>> = match value {
        Value::String(word) => Some(vec![word]),
        Value::Array(all) => all.iter().map(Value::as_str).collect(),
        _ => None,
    };
    words.filter(|words| !words.is_empty()).ok_or_else(|| SYNTAX.into())
}

fn conditions(value: Option<&Value>) -> Result<(), String> {
    let Some(value) = value else { return Ok(()) };
    let Value::Object(operators) = value else { return Err(SYNTAX.into()) };
    for (operator, keys) in operators {
        let bare = operator.rsplit(':').next().unwrap_or(operator);
        let bare = bare.strip_suffix("IfExists").unwrap_or(bare);
        let known = ["String", "Numeric", "Date", "Binary", "Arn"].iter().any(|k| bare.starts_with(k))
            || ["Bool", "Null", "IpAddress", "NotIpAddress"].contains(&bare);
        if !known {
            return Err(format!("Invalid Condition type : {operator}."));
        }
        let Value::Object(keys) = keys else { return Err(SYNTAX.into()) };
        let plain = |v: &Value| v.is_string() || v.is_boolean() || v.is_number();
        let fits = |v: &Value| plain(v) || v.as_array().is_some_and(|all| all.iter().all(plain));
        if !keys.values().all(fits) {
            return Err(SYNTAX.into());
        }
        if let Some(key) = keys.keys().find(|key| !key.contains(':')) {
            return Err(format!("Condition keys must be prefaced by a vendor: {key}."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_that_iam_takes_are_taken() {
        for statement in [
            json!({"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}),
            json!({"Effect": "Deny", "NotAction": ["iam:*", "sts:AssumeRole"], "NotResource": "arn:aws:s3:::a/b:c"}),
            json!({"Sid": "One1", "Effect": "Allow", "Action": "*", "Resource": ["arn:aws:iam::*:role/x"],
                   "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:RequestTag/a": ["b", "c"]}, "Bool": {"aws:SecureTransport": true}}}),
        ] {
            for statements in [statement.clone(), json!([statement])] {
                let policy = json!({"Version": "2012-10-17", "Statement": statements});
                assert_eq!(refusal(&policy.to_string()), None, "{policy}");
            }
        }
    }

    #[test]
    fn documents_that_iam_refuses_are_refused_in_its_words() {
        let with = |member: &str, value: Value| {
            let mut statement = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"});
            match value {
                Value::Null => _ = statement.as_object_mut().unwrap().remove(member),
                value => statement[member] = value,
            }
            json!({"Version": "2012-10-17", "Statement": [statement]})
        };
        for (policy, part) in [
            (json!({"Version": "2012-10-17"}), "Statement"),
            (json!({"Version": "2020-01-01", "Statement": []}), "Syntax"),
            (json!({"Statements": []}), "Syntax"),
            (with("Effect", json!("allow")), "Syntax"),
            (with("Effect", Value::Null), "Effect"),
            (with("Actions", json!("s3:*")), "Syntax"),
            (with("Action", Value::Null), "actions"),
            (with("Action", json!([])), "Syntax"),
            (with("Action", json!("GetObject")), "vendor"),
            (with("Action", json!("s3:Get:Object")), "colon"),
            (with("NotAction", json!("s3:*")), "actions"),
            (with("Resource", json!("bucket")), "Resource bucket"),
            (with("Resource", Value::Null), "resources"),
            (with("Principal", json!("*")), "principal"),
            (with("Sid", json!("no blanks")), "alpha-numeric"),
            (
                with("Condition", json!({"StringIs": {"aws:a": "b"}, "Sometimes": {"aws:a": "b"}})),
                "Sometimes",
            ),
            (with("Condition", json!({"Bool": {"aws:a": {"b": true}}})), "Syntax"),
        ] {
            let why = refusal(&policy.to_string()).unwrap_or_else(|| panic!("taken: {policy}"));
            assert!(why.contains(part), "{policy}: {why}");
        }
        let same = json!({"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"});
        let twice = json!({"Statement": [same, same]});
        assert!(refusal(&twice.to_string()).unwrap().contains("unique"));
    }

    proptest::proptest! {
        #[test]
        fn fuzz_any_document_is_taken_or_refused_in_words(
            text in ".{0,120}", member in "(Sid|Effect|Principal|NotPrincipal|Action|NotAction|Resource|NotResource|Condition|.{0,6})",
            value in "(\"(.{0,12}|Allow|s3:Get\\*|arn:aws:s3:::a|\\*)\"|\\[(\"a:b\",?){0,3}\\]|\\{\"Bool\":\\{\"aws:a\":(true|\\[\\]|\\{\\})\\}\\}|[0-9]{1,3}|null)",
        ) {
            let key = Value::from(member);
            for document in [
                text,
                value.clone(),
                format!("{{\"Version\":\"2012-10-17\",\"Statement\":{value}}}"),
                format!("{{\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\",{key}:{value}}}]}}"),
            ] {
                if let Some(words) = refusal(&document) {
                    assert!(!words.is_empty());
                }
            }
        }
    }
}
