use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::clients::aws::permission_sets::PolicyReference;

const READ: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

fn rules(value: Value) -> Vec<BindingRule> {
    serde_json::from_value(value).unwrap()
}

fn places() -> Places {
    let unit = |id: &str, path: &str| Unit { id: id.into(), path: path.into() };
    let root = unit("r-root", "/");
    let workloads = unit("ou-root-workload", "/Workloads");
    let payments = unit("ou-root-payments", "/Workloads/Payments");
    [
        ("100000000001".to_owned(), vec![root.clone()]),
        ("111122223333".to_owned(), vec![root.clone(), workloads.clone()]),
        ("222233334444".to_owned(), vec![root, workloads, payments]),
    ]
    .into()
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
            names: ["aws-payments-dev".to_owned()].into(),
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
        ("labels", |a| a.labels = [("team".into(), "shop".into())].into(), "no rule is about bindings of namespace payments"),
        ("name", |a| a.set_name = "shop-read".into(), "permission set name shop-read is not in its permissionSetNames"),
        ("account", |a| _ = a.accounts.insert("111122223333".into()), "its accounts do not hold 111122223333"),
        ("unknown account", |a| a.accounts = ["999988887777".into()].into(), "its accounts do not hold 999988887777"),
        ("policy", |a| _ = a.content.managed.insert(ADMIN.into()), "AdministratorAccess is not in its managedPolicies"),
        ("reference", |a| _ = a.content.references.insert(PolicyReference { name: "x".into(), path: "/".into() }), "customer managed policy /x is not"),
        ("inline", |a| a.content.inline = true, "it allows no inline policy"),
        ("group", |a| a.principals[0].names = ["aws-admins".into()].into(), "group \"aws-payments-dev\" is not in its groups"),
        ("user", |a| a.principals[0].group = false, "is not in its users"),
        ("name at the end", |a| a.set_name = "x-payments-read".into(), "permissionSetNames"),
        ("own namespace", |a| { a.namespace = "identity".into(); a.labels.clear(); }, "no rule is about bindings of namespace identity"),
    ];
    for (what, change, said) in table {
        let mut other = asked();
        change(&mut other);
        let objection = judge(&strict, "identity", &other, &places()).expect_err(what);
        assert!(objection.contains(said), "{what}: {objection}");
    }
    let mut reference = asked();
    reference.content.references.insert(PolicyReference { name: "x".into(), path: "/payments/".into() });
    assert_eq!(judge(&strict, "identity", &reference, &places()), Ok(()));
}

#[test]
fn absent_lists_do_not_restrict_and_empty_ones_allow_nothing() {
    let own = Asked { namespace: "identity".into(), ..asked() };
    assert_eq!(judge(&rules(json!([{}])), "identity", &own, &places()), Ok(()));
    assert!(judge(&rules(json!([{}])), "identity", &asked(), &places()).is_err(), "the federation's namespace only");
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
    assert!(said.contains("rule 1: permission set name") && said.contains("rule 2: managed policy"), "{said}");
}

#[test]
fn units_hold_what_is_below_them_unless_told_otherwise() {
    let on = |scope: Value, exclude: Value| {
        let rule = rules(json!([{"namespaces": {"names": ["payments"]}, "accounts": {"include": [scope], "exclude": exclude}}]));
        let held = |account: &str| {
            let one = Asked { accounts: [account.to_owned()].into(), ..asked() };
            judge(&rule, "identity", &one, &places()).is_ok()
        };
        ["100000000001", "111122223333", "222233334444", "999988887777"].map(held)
    };
    let unit = |path: &str| json!({"organizationalUnit": {"path": path}});
    assert_eq!(on(unit("/Workloads"), json!(null)), [false, true, true, false]);
    assert_eq!(on(unit("/Workloads/"), json!(null)), [false, true, true, false]);
    assert_eq!(on(json!({"organizationalUnit": {"path": "/Workloads", "recursive": false}}), json!(null)), [false, true, false, false]);
    assert_eq!(on(json!({"organizationalUnit": {"id": "ou-root-payments"}}), json!(null)), [false, false, true, false]);
    assert_eq!(on(unit("/"), json!(null)), [true, true, true, false]);
    assert_eq!(on(unit("/Work"), json!(null)), [false; 4]);
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

/// Another way to match: letter by letter, trying everything.
fn matches_slowly(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skipped| matches_slowly(rest, &text[skipped..])),
        Some((first, rest)) => text.first() == Some(first) && matches_slowly(rest, &text[1..]),
    }
}

fn slowly(list: &Option<Vec<String>>, text: &str) -> bool {
    let chars = |s: &str| s.chars().collect::<Vec<_>>();
    list.as_ref().is_none_or(|l| l.iter().any(|p| matches_slowly(&chars(p), &chars(text))))
}

fn any_rule() -> impl Strategy<Value = Value> {
    let names = || option::of(vec(select(vec!["*", "pay*", "*-read", "shop-*", "payments-read", "aws-*", "ada@*"]), 0..3));
    let scope = prop_oneof![
        Just(json!({"all": {}})),
        select(vec!["/", "/Workloads", "/Workloads/Payments"]).prop_map(|p| json!({"organizationalUnit": {"path": p}})),
        select(vec!["100000000001", "222233334444"]).prop_map(|id| json!({"ids": [id]})),
    ];
    let accounts = option::of((vec(scope.clone(), 0..3), option::of(vec(scope, 0..2))));
    let policies = option::of(vec(select(vec![READ, "*ReadOnly*", "*"]), 0..2));
    let boundary = option::weighted(0.2, Just(json!([{"managedPolicyArn": READ}])));
    (any::<bool>(), accounts, names(), policies, any::<bool>(), boundary, names(), names()).prop_map(
        |(here, accounts, set_names, policies, inline, boundary, groups, users)| {
            json!({
                "namespaces": here.then(|| json!({"names": ["payments"]})),
                "accounts": accounts.map(|(include, exclude)| json!({"include": include, "exclude": exclude})),
                "permissionSetNames": set_names, "managedPolicies": policies,
                "inlinePolicy": if inline { "Allow" } else { "Deny" },
                "permissionsBoundaries": boundary, "groups": groups, "users": users,
            })
        },
    )
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let accounts = btree_set(select(vec!["100000000001", "111122223333", "222233334444", "999988887777"]), 1..3);
    let principals = vec((any::<bool>(), select(vec!["aws-payments-dev", "payments", "ada@acme.example"])), 0..3);
    let managed = btree_set(select(vec![READ, ADMIN]), 0..3);
    (select(vec!["payments-read", "shop-read", "pay"]), accounts, managed, any::<bool>(), any::<bool>(), principals)
        .prop_map(|(name, accounts, managed, inline, bounded, principals)| Asked {
            set_name: name.to_owned(),
            accounts: accounts.into_iter().map(str::to_owned).collect(),
            content: Content {
                managed: managed.into_iter().map(str::to_owned).collect(),
                references: BTreeSet::new(),
                inline,
                boundary: bounded.then(|| Boundary::Aws(READ.to_owned())),
            },
            principals: principals
                .into_iter()
                .map(|(group, name)| AskedPrincipal {
                    group,
                    reference: name.to_owned(),
                    names: [name.to_owned()].into(),
                })
                .collect(),
            ..asked()
        })
}

proptest! {
    /// Judged once more, part by part and by other means: what is let through is what some rule allows in full.
    #[test]
    fn no_binding_gets_what_the_rules_do_not_allow(written in vec(any_rule(), 0..4), asked in any_asked()) {
        let read = rules(Value::Array(written));
        let places = places();
        let account = |scope: &AccountScope, id: &str| -> bool {
            scope.all.is_some()
                || scope.ids.iter().flatten().any(|i| i.0 == id)
                || scope.organizational_unit.as_ref().is_some_and(|u| {
                    let wanted = u.path.clone().unwrap();
                    places.get(id).is_some_and(|above| {
                        let deepest = &above.last().unwrap().path;
                        wanted == "/" || *deepest == wanted || deepest.starts_with(&format!("{wanted}/"))
                    })
                })
        };
        let by_hand = read.iter().any(|rule| {
            rule.namespaces.as_ref().is_some_and(|n| n.names.as_ref().unwrap().contains(&asked.namespace))
                && slowly(&rule.permission_set_names, &asked.set_name)
                && asked.content.managed.iter().all(|p| slowly(&rule.managed_policies, p))
                && (rule.inline_policy == InlinePolicyRule::Allow || !asked.content.inline)
                && (rule.permissions_boundaries.is_none() || asked.content.boundary.is_some())
                && asked.accounts.iter().all(|id| {
                    rule.accounts.as_ref().is_none_or(|a| {
                        let unknown = !places.contains_key(id.as_str());
                        let in_unit = |s: &AccountScope| s.organizational_unit.is_some();
                        a.include.iter().any(|s| account(s, id))
                            && !a.exclude.iter().flatten().any(|s| account(s, id) || (unknown && in_unit(s)))
                    })
                })
                && (rule.groups.is_none() && rule.users.is_none()
                    || asked.principals.iter().all(|p| {
                        let list = if p.group { &rule.groups } else { &rule.users };
                        list.is_some() && p.names.iter().any(|n| slowly(list, n))
                    }))
        });
        prop_assert_eq!(judge(&read, "identity", &asked, &places).is_ok(), by_hand);
    }
}
