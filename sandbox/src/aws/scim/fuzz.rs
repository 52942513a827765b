//! Whatever a client sends to the SCIM endpoint is done, or refused in words.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ENTERPRISE, filter, groups, parse, patch, users};

/// Any JSON, with names and values that mean something here among others.
fn anything() -> BoxedStrategy<Value> {
    let word = proptest::sample::select(vec![
        "userName",
        "active",
        "name",
        "givenName",
        "emails",
        "value",
        "type",
        "work",
        "primary",
        "displayName",
        "members",
        "externalId",
        "add",
        "Replace",
        "remove",
        "op",
        "path",
        "true",
        "False",
        ENTERPRISE,
        "manager",
        "addresses",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 4, move |inner| {
        let key = prop_oneof![word.clone().prop_map(str::to_owned), ".{0,6}"];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(key, inner, 0..4).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}

fn path() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "(userName|active|name|emails|members|displayName|externalId|phoneNumbers|urn:ietf:params:scim:schemas:extension:enterprise:2.0:User)([.:](value|givenName|department|manager)|\\[(type|value) eq \"(work|a)\"?\\]?(.value)?|\\[|\\]|)"
            .prop_map(Value::from),
        1 => ".{0,20}".prop_map(Value::from),
        1 => anything(),
    ]
}

prop_compose! {
    fn body()(
        operations in vec((prop_oneof![Just(json!("add")), Just(json!("Replace")), Just(json!("remove")), anything()], path(), anything()), 0..4),
        more in anything(), whole in proptest::option::weighted(0.2, anything()),
    ) -> Map<String, Value> {
        let operations: Vec<Value> =
            operations.into_iter().map(|(op, path, value)| json!({"op": op, "path": path, "value": value})).collect();
        let mut body = more.as_object().cloned().unwrap_or_default();
        body.insert("Operations".into(), whole.unwrap_or_else(|| operations.into()));
        body
    }
}

prop_compose! {
    /// A user's document with anything in places.
    fn user()(changes in vec((proptest::sample::select(vec![
        "userName", "active", "name", "displayName", "emails", "addresses", "externalId", "schemas", "title", ENTERPRISE,
    ]), anything()), 0..4)) -> Map<String, Value> {
        let mut user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada", "active": true, "displayName": "Ada",
            "name": {"givenName": "Ada", "familyName": "L"}, "emails": [{"value": "ada@acme.example", "type": "work", "primary": true}],
            ENTERPRISE: {"department": "d"},
        });
        for (key, value) in changes {
            user[key] = value;
        }
        user.as_object().cloned().expect("an object")
    }
}

proptest! {
    #[test]
    fn fuzz_any_user_is_taken_or_refused(user in user(), any in anything()) {
        let _ = users::read(&user);
        if let Some(any) = any.as_object() {
            let _ = users::read(any);
        }
    }

    #[test]
    fn fuzz_any_patch_is_carried_out_or_refused(user in user(), body in body(), bytes in vec(any::<u8>(), 0..60)) {
        if let Ok(patched) = patch::apply_to_user(user, &body) {
            let _ = users::read(&patched);
        }
        let _ = groups::read_patch(&body);
        let _ = parse(&bytes);
    }

    #[test]
    fn fuzz_any_filter_is_read_or_refused(text in ".{0,60}", value in ".{0,20}", attribute in "[a-zA-Z.]{1,8}") {
        let _ = filter::parse(&text);
        let quoted = Value::from(value.clone());
        let read = filter::parse(&format!("{attribute} eq {quoted} and {attribute} EQ {quoted}"));
        let terms: Vec<String> = read.unwrap_or_else(|_| panic!("{quoted}")).into_iter().map(|term| term.value).collect();
        prop_assert_eq!(terms, vec![value.clone(), value]);
    }
}
