use std::collections::{BTreeMap, BTreeSet};

use proptest::bool::weighted;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use super::*;
use crate::clients::aws::permission_sets::PolicyReference;

pub const READ: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
pub const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

pub fn rules(value: Value) -> Vec<BindingRule> {
    serde_json::from_value(value).unwrap()
}

/// What the units are called, by id.
const UNITS: [(&str, &str); 3] =
    [("/", "r-root"), ("/Workloads", "ou-root-workload"), ("/Workloads/Payments", "ou-root-payments")];

pub fn places() -> Places {
    let unit = |id: &str| id.to_owned();
    let above = [
        ("100000000001", vec![unit("r-root")]),
        ("111122223333", vec![unit("r-root"), unit("ou-root-workload")]),
        ("222233334444", vec![unit("r-root"), unit("ou-root-workload"), unit("ou-root-payments")]),
    ];
    let units = UNITS.map(|(path, id)| (path.to_owned(), Some(id.to_owned())));
    let mut units: BTreeMap<String, Option<String>> = units.into();
    units.insert("/Gone".to_owned(), None);
    Places { above: above.map(|(id, above)| (id.to_owned(), above)).into(), units }
}

fn asked() -> Asked {
    Asked {
        namespace: "payments".into(),
        labels: [("team".to_owned(), "payments".to_owned())].into(),
        set_name: "payments-read".into(),
        content: Content { managed: [READ.to_owned()].into(), ..Content::default() },
        accounts: ["222233334444".to_owned()].into(),
        principals: vec![AskedPrincipal {
            group: true,
            reference: "group \"aws-payments-dev\"".into(),
            name: Some("aws-payments-dev".into()),
            object_ids: Some(BTreeSet::new()),
        }],
    }
}

fn strict() -> Value {
    json!([{
        "namespaces": {"matchLabels": {"team": "payments"}},
        "accounts": {"include": [{"organizationalUnit": {"path": "/Workloads/Payments"}}]},
        "permissionSetNames": ["payments-*"],
        "managedPolicies": [READ],
        "customerManagedPolicies": ["/payments/*"],
        "inlinePolicy": "Deny",
        "groups": ["aws-payments-*"],
    }])
}

#[test]
fn each_list_refuses_what_it_does_not_hold() {
    let strict = rules(strict());
    assert_eq!(judge(&strict, "identity", &asked(), &places()), Ok(()));
    type Row = (&'static str, fn(&mut Asked), &'static str);
    let table: [Row; 11] = [
        (
            "labels",
            |a| a.labels = [("team".into(), "shop".into())].into(),
            "no rule is about bindings of namespace payments",
        ),
        (
            "name",
            |a| a.set_name = "shop-read".into(),
            "permission set name shop-read is not in its permissionSetNames (payments-*)",
        ),
        (
            "account",
            |a| _ = a.accounts.insert("111122223333".into()),
            "its accounts do not hold 111122223333 (they are those of /Workloads/Payments)",
        ),
        (
            "unknown account",
            |a| a.accounts = ["999988887777".into()].into(),
            "its accounts do not hold 999988887777",
        ),
        (
            "policy",
            |a| _ = a.content.managed.insert(ADMIN.into()),
            "AdministratorAccess is not in its managedPolicies",
        ),
        (
            "reference",
            |a| _ = a.content.references.insert(PolicyReference { name: "x".into(), path: "/".into() }),
            "customer managed policy /x is not",
        ),
        ("inline", |a| a.content.inline = true, "it allows no inline policy"),
        (
            "group",
            |a| a.principals[0].name = Some("aws-admins".into()),
            "group \"aws-payments-dev\" is not in its groups",
        ),
        ("user", |a| a.principals[0].group = false, "it names groups alone, and so allows no users"),
        ("name at the end", |a| a.set_name = "x-payments-read".into(), "permissionSetNames"),
        (
            "own namespace",
            |a| {
                a.namespace = "identity".into();
                a.labels.clear();
            },
            "no rule is about bindings of namespace identity",
        ),
    ];
    for (what, change, said) in table {
        let mut other = asked();
        change(&mut other);
        let objection = judge(&strict, "identity", &other, &places()).expect_err(what);
        assert!(objection.contains(said), "{what}: {objection}");
    }
    let many: Vec<String> = (0..40).map(|n| format!("{n}-{}", "x".repeat(25))).collect();
    let long = rules(json!([{"namespaces": {"names": ["payments"]}, "permissionSetNames": many}]));
    let said = judge(&long, "identity", &asked(), &places()).unwrap_err();
    assert!(said.contains("(0-xxx") && said.ends_with(", …)") && said.len() < 400, "{said}");
    let none = rules(json!([{"namespaces": {"names": ["payments"]}, "groups": []}]));
    let said = judge(&none, "identity", &asked(), &places()).unwrap_err();
    assert!(said.contains("is not in its groups, which is empty"), "{said}");
    let mut reference = asked();
    reference.content.references.insert(PolicyReference { name: "x".into(), path: "/payments/".into() });
    assert_eq!(judge(&strict, "identity", &reference, &places()), Ok(()));
}

#[test]
fn absent_lists_do_not_restrict_and_empty_ones_allow_nothing() {
    let own = Asked { namespace: "identity".into(), ..asked() };
    assert_eq!(judge(&rules(json!([{}])), "identity", &own, &places()), Ok(()));
    assert!(
        judge(&rules(json!([{}])), "identity", &asked(), &places()).is_err(),
        "the federation's namespace only"
    );
    assert!(judge(&[], "identity", &own, &places()).is_err());
    for empty in ["managedPolicies", "permissionSetNames", "groups"] {
        assert!(judge(&rules(json!([{ empty: [] }])), "identity", &own, &places()).is_err(), "{empty}");
    }
}

#[test]
fn a_binding_must_satisfy_one_rule_in_full() {
    let two = rules(json!([
        {"namespaces": {"names": ["payments"]}, "permissionSetNames": ["shop-*"], "managedPolicies": [READ]},
        {"namespaces": {"names": ["payments"]}, "permissionSetNames": ["payments-*"], "managedPolicies": []},
    ]));
    let said = judge(&two, "identity", &asked(), &places()).unwrap_err();
    assert!(
        said.contains("rule 1: permission set name") && said.contains("rule 2: managed policy"),
        "{said}"
    );
}

#[test]
fn units_hold_what_is_below_them_unless_told_otherwise() {
    let on = |scope: Value, exclude: Value| {
        let rule = rules(
            json!([{"namespaces": {"names": ["payments"]}, "accounts": {"include": [scope], "exclude": exclude}}]),
        );
        let held = |account: &str| {
            let one = Asked { accounts: [account.to_owned()].into(), ..asked() };
            judge(&rule, "identity", &one, &places()).is_ok()
        };
        ["100000000001", "111122223333", "222233334444", "999988887777"].map(held)
    };
    let unit = |path: &str| json!({"organizationalUnit": {"path": path}});
    assert_eq!(on(unit("/Workloads"), json!(null)), [false, true, true, false]);
    assert_eq!(
        on(json!({"organizationalUnit": {"path": "/Workloads", "recursive": false}}), json!(null)),
        [false, true, false, false]
    );
    assert_eq!(
        on(json!({"organizationalUnit": {"id": "ou-root-payments"}}), json!(null)),
        [false, false, true, false]
    );
    assert_eq!(on(unit("/"), json!(null)), [true, true, true, false]);
    assert_eq!(on(unit("/Gone"), json!(null)), [false; 4]);
    assert_eq!(on(json!({"all": {}}), json!([unit("/Gone")])), [false; 4], "nobody knows who is left");
    assert_eq!(on(json!({"all": {}}), json!([unit("/Workloads/Payments")])), [true, true, false, false]);
    assert_eq!(on(json!({"all": {}}), json!([{"ids": ["100000000001"]}])), [false, true, true, true]);
    assert_eq!(on(json!({"ids": ["222233334444"]}), json!([{"all": {}}])), [false; 4]);
}

#[test]
fn a_demanded_boundary_must_be_there() {
    let rule = rules(json!([{"namespaces": {"names": ["payments"]}, "permissionsBoundaries": [
        {"customerManagedPolicy": {"name": "limit", "path": "/b/"}}, {"managedPolicyArn": READ}]}]));
    let with = |boundary| {
        let mut other = asked();
        other.content.boundary = boundary;
        judge(&rule, "identity", &other, &places()).is_ok()
    };
    let limit = |path: &str| Boundary::Customer(PolicyReference { name: "limit".into(), path: path.into() });
    assert!(with(Some(limit("/b/"))) && with(Some(Boundary::Aws(READ.into()))));
    assert!(!with(None) && !with(Some(limit("/"))) && !with(Some(Boundary::Aws(ADMIN.into()))));
}

#[test]
fn an_object_id_is_no_name_and_a_name_no_object_id() {
    const ID: &str = "0f0f0f0f-1111-2222-3333-44444444444a";
    let allowed = |entry: &str, name: Option<&str>, ids: Option<&[&str]>| {
        let rule = rules(json!([{"namespaces": {"names": ["payments"]}, "groups": [entry]}]));
        let mut other = asked();
        other.principals[0].name = name.map(str::to_owned);
        other.principals[0].object_ids = ids.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        judge(&rule, "identity", &other, &places()).is_ok()
    };
    assert!(allowed(ID, Some("x"), Some(&[&ID.to_uppercase()])));
    assert!(!allowed(ID, Some(ID), Some(&[])), "called like an id");
    assert!(!allowed("0f*", Some("x"), Some(&[ID])), "patterns are for names");
    assert!(allowed("0f*", Some("0f-team"), Some(&[])));
    // Who is not there yet gets nothing; what is known must fit all the same.
    assert!(
        allowed(ID, Some("x"), None) && allowed("aws-*", None, None) && !allowed("aws-*", Some("x"), None)
    );
}

#[test]
fn only_who_may_have_a_name_claims_it() {
    let none = BTreeMap::new();
    let strict =
        rules(json!([{"namespaces": {"names": ["payments"]}, "permissionSetNames": ["payments-*"]}]));
    assert!(may_claim(Some(&strict), "identity", "payments", &none, "payments-read"));
    assert!(!may_claim(Some(&strict), "identity", "payments", &none, "shop-read"));
    assert!(!may_claim(Some(&strict), "identity", "identity", &none, "payments-read"));
    assert!(
        may_claim(None, "identity", "identity", &none, "x") && !may_claim(None, "identity", "b", &none, "x")
    );
    assert!(admit_namespace(Some(&strict), "identity", "payments", &none));
    assert!(
        !admit_namespace(Some(&strict), "identity", "shop", &none) && !admit_namespace(None, "a", "b", &none)
    );
}

#[test]
fn units_are_looked_for_only_when_a_rule_names_one() {
    let needed = |accounts: Value| needed_units(&rules(json!([{ "accounts": accounts }])));
    assert_eq!(needed(json!({"include": [{"all": {}}, {"ids": ["111122223333"]}]})), None);
    assert_eq!(needed(json!({"include": [{"organizationalUnit": {"id": "r-abcd"}}]})), Some(BTreeSet::new()));
    let exclude = json!({"include": [], "exclude": [{"organizationalUnit": {"path": "/A"}}]});
    assert_eq!(needed(exclude), Some(["/A".to_owned()].into()));
}

#[test]
fn stars_stand_for_any_text() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*", "a", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*a", "a", false),
        ("*b*", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*bc*c", "abc", false),
        ("", "a", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

/// Judged once more, part by part and by other means: whether one rule allows all of this in full.
pub mod by_hand {
    use super::*;

    /// What is looked at.
    pub struct Facts<'a> {
        pub namespace: &'a str,
        pub labels: &'a BTreeMap<String, String>,
        pub set_name: &'a str,
        pub content: &'a Content,
        pub accounts: Vec<&'a str>,
        /// Whether it is a group, its name and its object ids, as they are in the store.
        pub principals: Vec<(bool, &'a str, Vec<&'a str>)>,
    }

    /// Letter by letter, trying everything.
    fn is_like(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| is_like(rest, &text[skipped..])),
            Some((first, rest)) => text.first() == Some(first) && is_like(rest, &text[1..]),
        }
    }

    fn listed(list: &Value, text: &str) -> bool {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        let entries = list.as_array();
        entries.is_none_or(|l| l.iter().any(|p| is_like(&chars(p.as_str().unwrap()), &chars(text))))
    }

    fn meant(list: &Value, (_, name, ids): &(bool, &str, Vec<&str>)) -> bool {
        list.as_array().unwrap().iter().any(|entry| {
            let text = entry.as_str().unwrap();
            if text.len() == 36 { ids.contains(&text) } else { listed(&json!([text]), name) }
        })
    }

    /// None: nobody can say.
    fn covered(scope: &Value, account: &str) -> Option<bool> {
        if let Some(ids) = scope["ids"].as_array() {
            return Some(ids.iter().any(|id| id == account));
        }
        if scope["all"].is_object() {
            return Some(true);
        }
        let unit = &scope["organizationalUnit"];
        let path = match unit["id"].as_str() {
            Some("r-root") => "/",
            Some("ou-root-workload") => "/Workloads",
            Some("ou-root-payments") => "/Workloads/Payments",
            Some(_) => "/Nowhere",
            None => unit["path"].as_str().unwrap(),
        };
        let at = match account {
            "100000000001" => "/",
            "111122223333" => "/Workloads/",
            "222233334444" => "/Workloads/Payments/",
            _ => return None,
        };
        let begin = format!("{}/", path.trim_end_matches('/'));
        let below = unit["recursive"] != false;
        (path != "/Gone").then(|| if below { at.starts_with(&begin) } else { at == begin })
    }

    fn allowed_on(accounts: &Value, account: &str) -> bool {
        let any = |field: &str, unknown: bool| {
            let scopes = accounts[field].as_array();
            scopes.is_some_and(|s| s.iter().any(|s| covered(s, account).unwrap_or(unknown)))
        };
        accounts.is_null() || (any("include", false) && !any("exclude", true))
    }

    /// Whether a rule, as it is written, allows it all.
    pub fn allows(rule: &Value, facts: &Facts<'_>) -> bool {
        let (names, labels) = (&rule["namespaces"]["names"], &rule["namespaces"]["matchLabels"]);
        let here = match (names.as_array(), labels.as_object()) {
            (Some(names), _) => names.iter().any(|n| n == facts.namespace),
            (None, Some(labels)) => {
                let has = |(key, value): (&String, &Value)| {
                    facts.labels.get(key).is_some_and(|has| value == has.as_str())
                };
                !labels.is_empty() && labels.iter().all(has)
            }
            (None, None) => facts.namespace == "identity",
        };
        let boundary = |allowed: &Value| match &facts.content.boundary {
            None => false,
            Some(Boundary::Aws(arn)) => allowed["managedPolicyArn"] == arn.as_str(),
            Some(Boundary::Customer(policy)) => {
                let customer = &allowed["customerManagedPolicy"];
                customer["name"] == policy.name.as_str() && customer["path"] == policy.path.as_str()
            }
        };
        let content = facts.content;
        let groups_or_users = !rule["groups"].is_null() || !rule["users"].is_null();
        here && listed(&rule["permissionSetNames"], facts.set_name)
            && content.managed.iter().all(|p| listed(&rule["managedPolicies"], p))
            && content
                .references
                .iter()
                .all(|p| listed(&rule["customerManagedPolicies"], &format!("{}{}", p.path, p.name)))
            && (rule["inlinePolicy"] != "Deny" || !content.inline)
            && rule["permissionsBoundaries"].as_array().is_none_or(|all| all.iter().any(boundary))
            && facts.accounts.iter().all(|account| allowed_on(&rule["accounts"], account))
            && (!groups_or_users
                || facts.principals.iter().all(|p| {
                    let list = if p.0 { &rule["groups"] } else { &rule["users"] };
                    !list.is_null() && meant(list, p)
                }))
    }
}

/// Object ids that some rules name.
pub const IDS: [&str; 2] = ["0f0f0f0f-1111-2222-3333-444444444441", "0f0f0f0f-1111-2222-3333-444444444442"];

pub fn any_rule() -> impl Strategy<Value = Value> {
    let names = || {
        let texts =
            vec!["*", "pay*", "*-read", "shop-*", "payments-read", "aws-*", "ada@*", "0f*", IDS[0], IDS[1]];
        option::of(vec(select(texts), 0..3))
    };
    let scope = prop_oneof![
        3 => Just(json!({"all": {}})),
        1 => (select(vec!["/", "/Workloads", "/Workloads/Payments", "/Gone"]), weighted(0.8))
            .prop_map(|(p, below)| json!({"organizationalUnit": {"path": p, "recursive": below}})),
        1 => (select(vec!["r-root", "ou-root-workload", "ou-root-payments", "ou-gone-12345678"]), weighted(0.8))
            .prop_map(|(id, below)| json!({"organizationalUnit": {"id": id, "recursive": below}})),
        1 => select(vec!["100000000001", "222233334444"]).prop_map(|id| json!({"ids": [id]})),
    ];
    let accounts = option::of((vec(scope.clone(), 0..3), option::of(vec(scope, 0..2))));
    let policies = || option::of(vec(select(vec![READ, "*ReadOnly*", "/payments/*", "*"]), 0..2));
    let boundaries = select(vec![
        json!({"managedPolicyArn": READ}),
        json!({"customerManagedPolicy": {"name": "x", "path": "/"}}),
        json!({"customerManagedPolicy": {"name": "x", "path": "/payments/"}}),
    ]);
    let boundary = option::weighted(0.2, vec(boundaries, 1..3));
    let namespaces = option::weighted(
        0.8,
        prop_oneof![
            12 => Just(json!({"names": ["payments"]})),
            1 => Just(json!({"names": ["shop", "identity"]})),
            1 => Just(json!({"matchLabels": {}})),
            1 => Just(json!({"matchLabels": {"team": "payments"}})),
            1 => Just(json!({"matchLabels": {"team": "payments", "stage": "dev"}})),
        ],
    );
    let content = (policies(), policies(), any::<bool>(), boundary);
    (namespaces, accounts, names(), content, names(), names())
        .prop_map(|(namespaces, accounts, set_names, (managed, references, inline, boundary), groups, users)| {
            let mut rule = json!({
                "namespaces": namespaces,
                "accounts": accounts.map(|(include, exclude)| json!({"include": include, "exclude": exclude})),
                "permissionSetNames": set_names, "managedPolicies": managed,
                "customerManagedPolicies": references,
                "inlinePolicy": if inline { "Allow" } else { "Deny" },
                "permissionsBoundaries": boundary, "groups": groups, "users": users,
            });
            rule.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            rule
        })
}

pub fn any_content() -> impl Strategy<Value = Content> {
    let reference = |path: &str| PolicyReference { name: "x".into(), path: path.into() };
    (
        btree_set(select(vec![READ, ADMIN]), 0..3),
        btree_set(select(vec![reference("/"), reference("/payments/")]), 0..2),
        any::<bool>(),
        option::of(select(vec![
            Boundary::Aws(READ.to_owned()),
            Boundary::Customer(reference("/")),
            Boundary::Customer(reference("/payments/")),
        ])),
    )
        .prop_map(|(managed, references, inline, boundary)| Content {
            managed: managed.into_iter().map(str::to_owned).collect(),
            references,
            inline,
            boundary,
        })
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let accounts =
        btree_set(select(vec!["100000000001", "111122223333", "222233334444", "999988887777"]), 1..3);
    let name = select(vec!["aws-payments-dev", "payments", "ada@acme.example", IDS[0]]);
    let principals = vec((any::<bool>(), name, btree_set(select(IDS.to_vec()), 0..2)), 0..3);
    let labels = vec![("team", "payments"), ("team", "shop"), ("stage", "dev")];
    let place = (select(vec!["payments", "identity", "shop"]), vec(select(labels), 0..3));
    (place, select(vec!["payments-read", "shop-read", "pay"]), accounts, any_content(), principals).prop_map(
        |((namespace, labels), name, accounts, content, principals)| Asked {
            namespace: namespace.to_owned(),
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            set_name: name.to_owned(),
            accounts: accounts.into_iter().map(str::to_owned).collect(),
            content,
            principals: principals
                .into_iter()
                .map(|(group, name, ids)| AskedPrincipal {
                    group,
                    reference: name.to_owned(),
                    name: Some(name.to_owned()),
                    object_ids: Some(ids.into_iter().map(str::to_owned).collect()),
                })
                .collect(),
        },
    )
}

#[test]
fn many_of_the_cases_are_allowed_and_many_are_not() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let cases = (vec(any_rule(), 0..4), any_asked());
    let is_allowed = |_: &usize| {
        let (written, asked) = cases.new_tree(&mut runner).unwrap().current();
        judge(&rules(Value::Array(written)), "identity", &asked, &places()).is_ok()
    };
    let count = (0..2_000).filter(is_allowed).count();
    assert!((40..1_900).contains(&count), "{count} of 2000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is let through is what some rule allows in full, and nothing else is refused.
    #[test]
    fn no_binding_gets_what_the_rules_do_not_allow(written in vec(any_rule(), 0..4), asked in any_asked()) {
        let facts = by_hand::Facts {
            namespace: &asked.namespace,
            labels: &asked.labels,
            set_name: &asked.set_name,
            content: &asked.content,
            accounts: asked.accounts.iter().map(String::as_str).collect(),
            principals: asked
                .principals
                .iter()
                .map(|p| {
                    let ids = p.object_ids.iter().flatten().map(String::as_str).collect();
                    (p.group, p.name.as_deref().unwrap(), ids)
                })
                .collect(),
        };
        let allowed = written.iter().any(|rule| by_hand::allows(rule, &facts));
        let read = rules(Value::Array(written));
        prop_assert_eq!(judge(&read, "identity", &asked, &places()).is_ok(), allowed);
    }
}
