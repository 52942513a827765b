//! Policy documents, compared by what they say.

use serde_json::{Map, Value};

/// What a policy may hold at most, in non-whitespace bytes (contract aws 14: more is a ValidationException).
pub const MAX_INLINE_BYTES: usize = 10_240;

/// Whether two policy documents say the same: the order of lists does not matter, one string is a list of one, and
/// `true` in a condition is `"true"`.
#[must_use]
pub fn same(wanted: &Value, found: &str) -> bool {
    // Both are read from text: long fractions do not survive that, and what never agrees is written in every pass.
    let read = |text: &str| serde_json::from_str::<Value>(text).map(|document| canonical(&document));
    match (read(&wanted.to_string()), read(found)) {
        (Ok(wanted), Ok(found)) => wanted == found,
        _ => false,
    }
}

/// The document as it is sent.
#[must_use]
pub fn text(document: &Map<String, Value>) -> String {
    Value::Object(document.clone()).to_string()
}

/// How much of the quota a document takes.
#[must_use]
pub fn weight(text: &str) -> usize {
    text.bytes().filter(|b| !b.is_ascii_whitespace()).count()
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> =
                map.iter().map(|(k, v)| (k.clone(), canonical(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            items.sort_by_key(ToString::to_string);
            items.dedup();
            match <[Value; 1]>::try_from(items) {
                Ok([only]) => only,
                Err(items) => Value::Array(items),
            }
        }
        Value::Bool(b) => Value::String(b.to_string()),
        Value::Number(n) => Value::String(n.to_string()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::arbitrary::anything;

    #[test]
    fn documents_are_compared_by_what_they_say() {
        let wanted = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"},
            {"Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*",
             "Condition": {"Bool": {"aws:SecureTransport": false}}},
        ]});
        let table = [
            (
                json!({"Statement": [
                {"Effect": "Deny", "Action": ["s3:DeleteBucket"], "Resource": ["*"],
                 "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
                {"Resource": ["*"], "Action": ["s3:List*", "s3:Get*"], "Effect": "Allow"},
            ], "Version": "2012-10-17"}),
                true,
            ),
            (
                json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}]}),
                false,
            ),
            (json!({"Version": "2008-10-17"}), false),
        ];
        for (found, expected) in table {
            assert_eq!(same(&wanted, &found.to_string()), expected, "{found}");
        }
        assert!(!same(&wanted, "not JSON"));
    }

    #[test]
    fn one_statement_is_a_list_of_one() {
        let one = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
        let list = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        assert!(same(&one, &list.to_string()));
    }

    #[test]
    fn whitespace_weighs_nothing() {
        assert_eq!(weight("{ \"a\":\n 1 }"), 7);
    }

    /// The same document written otherwise: the other way round, single values as lists, booleans as words.
    fn otherwise(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), otherwise(v))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().rev().map(otherwise).collect()),
            Value::Bool(b) => json!([b.to_string()]),
            Value::String(s) => json!([s]),
            other => other.clone(),
        }
    }

    proptest::proptest! {
        #[test]
        fn fuzz_a_document_is_the_same_however_it_is_written(document in anything()) {
            assert!(same(&document, &document.to_string()));
            assert!(same(&document, &serde_json::to_string_pretty(&otherwise(&document)).unwrap()));
        }

        #[test]
        fn fuzz_any_text_is_compared(document in anything(), other in anything(), text in ".{0,200}") {
            assert_eq!(same(&document, &other.to_string()), same(&other, &document.to_string()));
            let _ = same(&document, &text);
        }
    }
}
