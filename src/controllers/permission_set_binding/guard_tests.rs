use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::super::ledger::Pin;
use super::super::observe::{AccountSide, Observed, wanted_grants};
use super::super::rules::tests::{ADMIN, IDS, READ, any_content, any_rule, by_hand, places, rules};
use super::*;
use crate::api::arbitrary::resource;
use crate::clients::aws::assignments::PrincipalId;
use crate::clients::aws::identity_store::{StoredExternalId, StoredPrincipal};
use crate::clients::aws::permission_sets::{PermissionSet, SetSettings};
use crate::engine::Assigned;
use crate::engine::plan_assignments::{AssignmentPlan, Grant};
use crate::engine::plan_set::{OWNER_TAG, SetStep, plan_set};

fn object(spec: &Value, namespace: &str, arn: Option<&str>) -> PermissionSetBinding {
    serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding",
        "metadata": {"name": "b", "namespace": namespace},
        "spec": {
            "federationRef": {"name": "acme", "namespace": "identity"},
            "permissionSet": {"name": "payments-read"}, "principals": spec["principals"],
            "accounts": {"include": [{"ids": spec["accounts"]}]},
        },
        "status": {"permissionSetArn": arn},
    }))
    .unwrap()
}

fn federation(rules: &Value) -> IdentityFederation {
    serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation",
        "metadata": {"name": "acme", "namespace": "identity"},
        "spec": {
            "entra": {"tenantId": "t", "credentials": {"clientSecret": {
                "clientId": "c", "secretRef": {"name": "s", "key": "k"}}}, "application": {}},
            "aws": {
                "region": "eu-west-1", "credentials": {"secretRef": {"name": "aws"}},
                "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}},
            },
            "bindings": {"rules": rules},
        },
    }))
    .unwrap()
}

fn wanted(managed: Option<BTreeSet<String>>, rest: &Content) -> DesiredSet {
    DesiredSet {
        name: "payments-read".into(),
        owner: "me".into(),
        adopt: false,
        settings: SetSettings::default(),
        managed,
        references: Some(rest.references.clone()),
        inline: rest.inline.then(|| json!({"Statement": []})),
        boundary: rest.boundary.clone(),
        tags: None,
    }
}

fn stored(content: &Content) -> ObservedSet {
    let set = PermissionSet {
        arn: "arn:set".into(),
        name: "payments-read".into(),
        settings: SetSettings::default(),
    };
    ObservedSet {
        managed: content.managed.clone(),
        references: content.references.clone(),
        inline: content.inline.then(|| "{}".to_owned()),
        boundary: content.boundary.clone(),
        ..ObservedSet::fresh(set, [(OWNER_TAG.to_owned(), "me".to_owned())].into())
    }
}

fn read(set: &ObservedSet) -> Content {
    Content {
        managed: set.managed.clone(),
        references: set.references.clone(),
        inline: set.inline.is_some(),
        boundary: set.boundary.clone(),
    }
}

#[test]
fn parts_that_a_binding_leaves_alone_count_as_they_are() {
    let admin: BTreeSet<String> = [ADMIN.to_owned()].into();
    let live = Content { managed: admin.clone(), inline: true, ..Content::default() };
    let state = stored(&live);
    let rest = Content::default();
    assert_eq!(content(&wanted(None, &rest), Some(&state), false).managed, admin);
    let read_only: BTreeSet<String> = [READ.to_owned()].into();
    let set = content(&wanted(Some(read_only.clone()), &rest), Some(&state), false);
    assert_eq!((set.managed, set.inline), (read_only.clone(), false), "as it will be");
    assert_eq!(content(&wanted(Some(read_only), &rest), Some(&state), true), live, "not ours to change");
    assert_eq!(content(&wanted(None, &rest), None, false), Content::default());
}

#[test]
fn a_ledger_of_another_namespace_is_believed_only_with_our_own_word_for_it() {
    let spec = json!({"principals": [], "accounts": []});
    let ledger = Ledger { set_arn: Some("arn:set".into()), ..Ledger::default() };
    let federation = federation(&json!([]));
    let proven = |namespace: &str, arn: Option<&str>, ledger: &Ledger| {
        is_proven(&object(&spec, namespace, arn), &federation, ledger)
    };
    assert!(proven("identity", None, &ledger) && proven("payments", Some("arn:set"), &ledger));
    assert!(!proven("payments", None, &ledger) && !proven("payments", Some("arn:other"), &ledger));
    assert!(!proven("payments", None, &Ledger::default()));
}

/// Who is in the identity store: id, name and object ids.
const STORE: [(PrincipalKind, &str, &str, &[&str]); 6] = [
    (PrincipalKind::Group, "g1", "aws-payments-dev", &[IDS[0]]),
    (PrincipalKind::Group, "g2", "aws-admins", &["e-admins"]),
    (PrincipalKind::Group, "g3", "payments", &[]),
    // Called like an object id that some rules name.
    (PrincipalKind::Group, "g4", IDS[1], &[]),
    (PrincipalKind::User, "u1", "ada@acme.example", &[IDS[1]]),
    (PrincipalKind::User, "u2", "eve@acme.example", &[]),
];

type Stored = (PrincipalKind, &'static str, &'static str, &'static [&'static str]);

/// As the identity store is asked: by name, by object id, and for people first by what the ledger says.
fn find(principal: &Principal, pinned: Option<&Pin>) -> Option<&'static Stored> {
    let of = |kind: PrincipalKind| STORE.iter().filter(move |s| s.0 == kind);
    match principal {
        Principal { group: Some(Group { display_name: Some(name), .. }), .. } => {
            of(PrincipalKind::Group).find(|s| s.2 == name)
        }
        Principal { group: Some(Group { entra_object_id: Some(id), .. }), .. } => {
            of(PrincipalKind::Group).find(|s| s.3.contains(&id.as_str()))
        }
        Principal { user: Some(User { user_principal_name: Some(name), .. }), .. } => {
            of(PrincipalKind::User).find(|s| s.2 == name)
        }
        Principal { user: Some(User { entra_object_id: Some(id), .. }), .. } => {
            let by_pin = pinned.and_then(|pin| of(PrincipalKind::User).find(|s| s.1 == pin.id.id));
            by_pin.or_else(|| of(PrincipalKind::User).find(|s| s.3.contains(&id.as_str())))
        }
        _ => None,
    }
}

fn met(object: &PermissionSetBinding, ledger: &Ledger) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    for bound in &object.spec.principals {
        let principal = principals::principal(bound);
        let mut subject = principals::subject(ledger, bound, &principal, principal.to_string());
        if subjects.iter().any(|s| s.name == subject.name) {
            continue;
        }
        if let Some((kind, id, name, ids)) = find(&principal, principals::pinned(ledger, &principal).as_ref())
        {
            let external = |id: &&str| StoredExternalId { issuer: "i".into(), id: (*id).to_owned() };
            let external_ids = ids.iter().map(external).collect();
            let found = StoredPrincipal { id: (*id).into(), name: (*name).into(), external_ids };
            principals::meet(&mut subject, object, ledger, (*kind, found), &BTreeSet::new());
        }
        subjects.push(subject);
    }
    subjects
}

const ACCOUNTS: [&str; 4] = ["100000000001", "111122223333", "222233334444", "999988887777"];

fn any_principals() -> impl Strategy<Value = Vec<Value>> {
    let all: Vec<Value> = STORE
        .iter()
        .map(|(kind, _, name, _)| match kind {
            PrincipalKind::Group => json!({"group": {"displayName": name}}),
            PrincipalKind::User => json!({"user": {"userPrincipalName": name}}),
        })
        .chain(IDS.map(|id| json!({"group": {"entraObjectId": id}})))
        .chain(IDS.map(|id| json!({"user": {"entraObjectId": id}})))
        .chain([json!({"group": {"displayName": "aws-nobody"}})])
        .collect();
    let rebind = any::<bool>();
    (subsequence(all, 0..4), rebind).prop_map(|(mut principals, rebind)| {
        for principal in principals.iter_mut().filter(|_| rebind) {
            principal["onRecreate"] = json!("Rebind");
        }
        principals
    })
}

fn any_id() -> impl Strategy<Value = PrincipalId> {
    select(STORE.to_vec()).prop_map(|(kind, id, ..)| PrincipalId { kind, id: id.to_owned() })
}

/// Whatever somebody writes into a ledger, for principals called so.
fn any_ledger() -> impl Strategy<Value = Ledger> {
    let names: Vec<String> = ["group \"aws-payments-dev\"", "group \"aws-admins\"", "user ada@acme.example"]
        .map(str::to_owned)
        .into_iter()
        .chain(IDS.map(|id| format!("user {id}")))
        .chain(IDS.map(|id| format!("group {id}")))
        .collect();
    let pin = (any_id(), btree_set(select(IDS.to_vec()), 0..3)).prop_map(|(id, external)| Pin {
        id,
        external_ids: external.into_iter().map(str::to_owned).collect(),
    });
    let grant = (select(ACCOUNTS.to_vec()), any_id())
        .prop_map(|(account, principal)| Grant { account: account.to_owned(), principal });
    let unproven = btree_map(select(names.clone()), Just("somebody".to_owned()), 0..2);
    (btree_map(select(names), pin, 0..6), btree_set(grant, 0..6), unproven, any::<bool>()).prop_map(
        |(pins, grants, unproven, lost)| Ledger {
            set_arn: (!lost).then(|| "arn:set".to_owned()),
            pins,
            grants: if lost { BTreeSet::new() } else { grants },
            unproven,
        },
    )
}

/// A case: rules, principals, accounts, ledger; the set as it is and as it is wanted; whether managed policies are left
/// alone, whether something else defines the set, and whether it exists.
type Case = (Vec<Value>, Vec<Value>, BTreeSet<&'static str>, Ledger, (Content, Content), (bool, bool, bool));

fn any_case() -> impl Strategy<Value = Case> {
    (
        vec(any_rule(), 0..4),
        any_principals(),
        btree_set(select(ACCOUNTS.to_vec()), 0..3),
        any_ledger(),
        (any_content(), any_content()),
        any::<(bool, bool, bool)>(),
    )
}

/// What is decided, and what the set comes to by what AWS has once the planned edits are made.
fn decided((written, principals, accounts, ledger, (live, wants), flags): &Case) -> (Observed, Content) {
    let (keeps, elsewhere, there) = *flags;
    let object = object(&json!({"principals": principals, "accounts": accounts}), "payments", None);
    let wanted = wanted((!keeps).then(|| wants.managed.clone()), wants);
    let state = (elsewhere || there).then(|| stored(live));
    let subjects = met(&object, ledger);
    let named: BTreeSet<String> = accounts.iter().map(|a| (*a).to_owned()).collect();
    let asked = Asked {
        namespace: "payments".into(),
        set_name: wanted.name.clone(),
        content: content(&wanted, state.as_ref(), elsewhere),
        accounts: named.clone(),
        principals: asked_principals(&object, &subjects),
        ..Asked::default()
    };
    let steps = if elsewhere { Vec::new() } else { plan_set(&wanted, state.as_ref()).unwrap() };
    let mut set = SetSide { arn: Some("arn:set".into()), steps: steps.clone(), ..SetSide::default() };
    if rules::judge(&rules(Value::Array(written.clone())), "identity", &asked, &places()).is_err() {
        set.refuse(Problem::new(Class::Guarded, Reason::NotAllowedByRules, ""));
    }
    let side = AccountSide { active: named.clone(), named, ..AccountSide::default() };
    let mut observed = Observed {
        desired: wanted_grants(&subjects, &side),
        set,
        subjects,
        accounts: side,
        ledger: ledger.clone(),
        recordable: true,
        removals_only: false,
        assigned: Assigned::default(),
        stated: BTreeSet::new(),
        unsure: BTreeSet::new(),
        overdue: BTreeSet::new(),
        plan: AssignmentPlan::default(),
        work: None,
        others: None,
        other_names: BTreeMap::new(),
        leaving: None,
    };
    observed.decide();
    let set =
        PermissionSet { arn: String::new(), name: wanted.name.clone(), settings: SetSettings::default() };
    let before = state.unwrap_or_else(|| ObservedSet::fresh(set, BTreeMap::new()));
    let after = steps.iter().fold(before, |set, step| match step {
        SetStep::Edit(edit) => set.after(edit),
        SetStep::Create { .. } => set,
    });
    (observed, read(&after))
}

#[test]
fn many_of_the_cases_give_somebody_something() {
    let (mut runner, cases) = (TestRunner::deterministic(), any_case());
    let gives = |_: &usize| {
        let (observed, _) = decided(&cases.new_tree(&mut runner).unwrap().current());
        !observed.plan.create.is_empty()
    };
    let count = (0..1_000).filter(gives).count();
    assert!((20..980).contains(&count), "{count} of 1000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever stands in spec and ledger: each assignment that is planned, and each edit, is one that some rule allows
    /// in full, by what AWS has.
    #[test]
    fn no_ledger_gives_what_the_rules_do_not_allow(case in any_case()) {
        let (observed, content) = decided(&case);
        let labels = BTreeMap::new();
        let facts = |accounts, principals| by_hand::Facts {
            namespace: "payments", labels: &labels, set_name: "payments-read", content: &content, accounts, principals,
        };
        let allowed = |facts| case.0.iter().any(|rule| by_hand::allows(rule, &facts));
        for grant in observed.plan.create.iter().chain(&observed.plan.enter) {
            let who = STORE.iter().find(|s| s.0 == grant.principal.kind && s.1 == grant.principal.id).unwrap();
            let principal = (who.0 == PrincipalKind::Group, who.2, who.3.to_vec());
            prop_assert!(allowed(facts(vec![&grant.account], vec![principal])), "{grant}");
        }
        if !observed.set.steps.is_empty() {
            prop_assert!(allowed(facts(Vec::new(), Vec::new())));
        }
    }
}

proptest! {
    #[test]
    fn fuzz_any_rules_judge_any_binding(
        stored in resource::<PermissionSetBinding>(), federation in resource::<IdentityFederation>(),
    ) {
        let object: PermissionSetBinding = serde_json::from_value(stored).unwrap();
        let federation: IdentityFederation = serde_json::from_value(federation).unwrap();
        let rules = rules_of(&federation).unwrap_or_default();
        let ledger = Ledger::default();
        let asked = Asked {
            namespace: "identity".into(),
            set_name: object.spec.permission_set.name.clone(),
            principals: asked_principals(&object, &met(&object, &ledger)),
            ..Asked::default()
        };
        if let Err(why) = rules::judge(rules, "identity", &asked, &Places::default()) {
            prop_assert!(why.chars().count() < 700, "{why}");
        }
        prop_assert!(rules::needed_units(rules).is_none_or(|paths| paths.iter().all(|p| p.starts_with('/'))));
    }
}
