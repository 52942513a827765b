use proptest::prelude::*;

use super::*;
use crate::clients::aws::assignments::PrincipalKind;

fn grant(text: &str) -> Grant {
    let (principal, account) = text.split_once('@').expect("principal@account");
    Grant {
        account: account.into(),
        principal: PrincipalId { kind: PrincipalKind::Group, id: principal.into() },
    }
}

fn grants(texts: &[&str]) -> BTreeSet<Grant> {
    texts.iter().map(|t| grant(t)).collect()
}

fn facts() -> Facts {
    Facts { open: true, settled: true, ..Facts::default() }
}

#[test]
fn creates_what_is_missing_and_enters_what_is_there() {
    let plan = plan_assignments(&Facts {
        desired: grants(&["a@1", "a@2", "b@1"]),
        observed: grants(&["a@2", "stranger@1"]),
        running: grants(&["b@1"]),
        ..facts()
    });
    assert_eq!(
        plan,
        AssignmentPlan { create: grants(&["a@1"]), enter: grants(&["a@2"]), ..Default::default() }
    );
    assert_eq!(plan.ledger(&grants(&["b@1"])), grants(&["a@1", "a@2", "b@1"]));
}

#[test]
fn adds_before_it_removes_on_one_account_and_not_across_accounts() {
    let mut facts = Facts {
        desired: grants(&["new@1"]),
        observed: grants(&["old@1", "old@2"]),
        ledger: grants(&["old@1", "old@2"]),
        stated: grants(&["old@1", "old@2"]),
        ..facts()
    };
    let plan = plan_assignments(&facts);
    assert_eq!(
        plan,
        AssignmentPlan {
            create: grants(&["new@1"]),
            remove: grants(&["old@2"]),
            remove_later: grants(&["old@1"]),
            ..Default::default()
        }
    );
    facts.running = grants(&["new@1"]);
    assert_eq!(plan_assignments(&facts).remove_later, grants(&["old@1"]));
    facts.observed.insert(grant("new@1"));
    facts.running.clear();
    assert_eq!(plan_assignments(&facts).remove, grants(&["old@1", "old@2"]));
}

#[test]
fn nothing_that_fails_holds_up_a_stated_removal() {
    let facts = Facts {
        desired: grants(&["new@1"]),
        observed: grants(&["old@1"]),
        ledger: grants(&["old@1"]),
        stated: grants(&["old@1"]),
        ..facts()
    };
    let failed = Facts { failed: [(grant("new@1"), false)].into(), ..facts.clone() };
    assert_eq!(plan_assignments(&failed).remove, grants(&["old@1"]));
    let closed = Facts { open: false, ..facts };
    assert_eq!(plan_assignments(&closed).remove, grants(&["old@1"]));
}

#[test]
fn a_removal_waits_for_what_comes_in_a_moment_and_not_for_ever() {
    let facts = Facts {
        desired: grants(&["new@1"]),
        observed: grants(&["old@1", "old@2"]),
        ledger: grants(&["old@1", "old@2"]),
        stated: grants(&["old@1", "old@2"]),
        open: false,
        soon: true,
        settled: true,
        ..Facts::default()
    };
    let both = |facts: &Facts| {
        let plan = plan_assignments(facts);
        assert!(plan.create.is_empty());
        (plan.remove_later, plan.remove)
    };
    assert_eq!(both(&facts), (grants(&["old@1"]), grants(&["old@2"])));
    // Somebody may come who could not be looked up.
    let expected = Facts { desired: grants(&[]), expected: ["2".to_owned()].into(), ..facts.clone() };
    assert_eq!(both(&expected), (grants(&["old@2"]), grants(&["old@1"])));
    // Somebody comes who could not be read; one who was there before counts as being there.
    let unread = Facts { unread: [grant("new@1").principal].into(), ..facts.clone() };
    assert_eq!(both(&unread), (grants(&["old@1"]), grants(&["old@2"])));
    let ours = Facts { ledger: grants(&["old@1", "old@2", "new@1"]), ..unread };
    assert_eq!(both(&ours), (grants(&[]), grants(&["old@1", "old@2"])));
    for overdue in [
        Facts { overdue: ["1".to_owned(), "2".to_owned()].into(), ..facts },
        Facts { overdue: ["2".to_owned()].into(), ..expected },
    ] {
        assert_eq!(both(&overdue), (grants(&[]), grants(&["old@1", "old@2"])));
    }
}

#[test]
fn what_could_not_be_read_is_removed_blindly_when_stated_and_only_then() {
    let facts = Facts {
        desired: grants(&["b@1"]),
        ledger: grants(&["a@1", "a@2", "c@1"]),
        stated: grants(&["a@1", "a@2"]),
        unread: [grant("a@1").principal, grant("b@1").principal, grant("c@1").principal].into(),
        open: false,
        settled: true,
        ..Facts::default()
    };
    let plan = plan_assignments(&facts);
    // Neither forgotten nor created, and nothing that the spec still asks for is touched.
    assert_eq!(plan, AssignmentPlan { remove: grants(&["a@1", "a@2"]), ..Default::default() });
    // Asked for: not again, and not forgotten before a reading says that it is gone.
    let asked = Facts {
        awaited: grants(&["a@1"]),
        failed: [(grant("a@2"), false)].into(),
        running: grants(&[]),
        ..facts.clone()
    };
    assert_eq!(plan_assignments(&asked), AssignmentPlan { held: grants(&["a@2"]), ..Default::default() });
    let read = Facts { unread: BTreeSet::new(), open: true, ..facts };
    assert_eq!(plan_assignments(&read).forget, grants(&["a@1", "a@2"]));
}

#[test]
fn a_failure_rests_until_its_time_has_come() {
    let mut facts = Facts { desired: grants(&["a@1"]), failed: [(grant("a@1"), false)].into(), ..facts() };
    assert_eq!(plan_assignments(&facts).held, grants(&["a@1"]));
    facts.failed = [(grant("a@1"), true)].into();
    assert_eq!(plan_assignments(&facts).create, grants(&["a@1"]));
}

fn any_grants() -> impl Strategy<Value = BTreeSet<Grant>> {
    proptest::collection::btree_set(("[a-d]", "[1-3]").prop_map(|(p, a)| grant(&format!("{p}@{a}"))), 0..8)
}

fn any_accounts() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set("[1-3]", 0..2)
}

prop_compose! {
    fn any_facts()(
        desired in any_grants(), observed in any_grants(), ledger in any_grants(), stated in any_grants(),
        running in any_grants(), failed in any_grants(), due: bool, unread in any_grants(), open: bool, soon: bool,
        awaited in any_grants(), expected in any_accounts(), overdue in any_accounts(), settled: bool,
    ) -> Facts {
        Facts {
            desired, observed, ledger, stated, running, awaited, open, soon, expected, overdue, settled,
            failed: failed.into_iter().map(|g| (g, due)).collect(),
            unread: unread.into_iter().take(1).map(|g| g.principal).collect(),
        }
    }
}

proptest! {
    #[test]
    fn only_what_is_ours_and_stated_is_removed(facts in any_facts()) {
        let plan = plan_assignments(&facts);
        for gone in plan.remove.iter().chain(&plan.remove_later) {
            prop_assert!(facts.ledger.contains(gone) && facts.stated.contains(gone));
            prop_assert!(facts.observed.contains(gone) || facts.unread.contains(&gone.principal));
            prop_assert!(!facts.desired.contains(gone) && !facts.awaited.contains(gone));
        }
        for new in &plan.create {
            prop_assert!(facts.desired.contains(new) && !facts.observed.contains(new) && !facts.running.contains(new));
            prop_assert!(facts.open);
        }
        for forgotten in &plan.forget {
            prop_assert!(!facts.desired.contains(forgotten) && !facts.unread.contains(&forgotten.principal));
            prop_assert!(!facts.awaited.contains(forgotten));
        }
    }

    /// Assignments carry no mark: what is in no ledger and not wanted is somebody else's, and in no list. The same facts
    /// make the same plan, whose lists do not overlap, and the ledger that it asks for is asked for once.
    #[test]
    fn what_others_made_is_in_no_plan(facts in any_facts()) {
        let plan = plan_assignments(&facts);
        prop_assert_eq!(&plan, &plan_assignments(&facts.clone()));
        let lists = [&plan.enter, &plan.forget, &plan.create, &plan.remove, &plan.remove_later, &plan.held];
        let concerned: BTreeSet<&Grant> = lists.iter().flat_map(|list| list.iter()).collect();
        prop_assert_eq!(concerned.len(), lists.iter().map(|list| list.len()).sum::<usize>());
        prop_assert!(concerned.iter().all(|g| facts.ledger.contains(*g) || facts.desired.contains(*g)));
        let ledger = plan.ledger(&facts.ledger);
        prop_assert_eq!(plan.ledger(&ledger), ledger);
        // What may still be on its way is not let go.
        prop_assert!(facts.settled || plan.forget.is_empty());
    }

    /// Whatever fails, a stated removal is made as soon as its account is overdue, but for what AWS is doing with it.
    #[test]
    fn nothing_holds_up_an_overdue_removal(facts in any_facts()) {
        let plan = plan_assignments(&facts);
        prop_assert!(plan.remove_later.iter().all(|g| !facts.overdue.contains(&g.account)));
        for gone in facts.stated.intersection(&facts.ledger).filter(|g| facts.overdue.contains(&g.account)) {
            let there = facts.observed.contains(gone) || facts.unread.contains(&gone.principal);
            let busy = facts.running.contains(gone) || facts.awaited.contains(gone);
            let rests = facts.failed.get(gone) == Some(&false);
            let due = there && !busy && !rests && !facts.desired.contains(gone);
            prop_assert_eq!(plan.remove.contains(gone), due);
        }
    }

    /// The last assignment of a pair never goes while a wanted one is on its way.
    #[test]
    fn the_last_assignment_of_a_pair_is_guarded(facts in any_facts()) {
        let plan = plan_assignments(&facts);
        for gone in &plan.remove {
            let coming = facts.expected.contains(&gone.account) || facts.desired.iter().any(|d| {
                d.account == gone.account
                    && !facts.observed.contains(d)
                    && !(facts.unread.contains(&d.principal) && facts.ledger.contains(d))
                    && (facts.open || facts.soon)
                    && !facts.failed.contains_key(d)
            });
            prop_assert!(!coming || facts.overdue.contains(&gone.account));
        }
    }

    /// Carried out again and again, it comes to rest at exactly what is wanted, without touching strangers.
    #[test]
    fn it_converges(start in any_facts()) {
        let mut facts = Facts { running: BTreeSet::new(), failed: BTreeMap::new(), unread: BTreeSet::new(), awaited: BTreeSet::new(), expected: BTreeSet::new(), open: true, settled: true, ..start };
        facts.stated = facts.ledger.difference(&facts.desired).cloned().collect();
        let strangers: BTreeSet<Grant> =
            facts.observed.iter().filter(|g| !facts.ledger.contains(*g) && !facts.desired.contains(*g)).cloned().collect();
        for _ in 0..4 {
            let plan = plan_assignments(&facts);
            facts.ledger = plan.ledger(&facts.ledger);
            facts.observed.extend(plan.create);
            facts.observed.retain(|g| !plan.remove.contains(g));
        }
        prop_assert_eq!(plan_assignments(&facts), AssignmentPlan::default());
        let expected: BTreeSet<Grant> = facts.desired.union(&strangers).cloned().collect();
        prop_assert_eq!(&facts.observed, &expected);
        prop_assert_eq!(&facts.ledger, &facts.desired);
    }
}

#[test]
fn what_may_still_be_on_its_way_is_not_let_go() {
    let mut facts = Facts { ledger: grants(&["a@1"]), stated: grants(&["a@1"]), settled: false, ..facts() };
    assert_eq!(plan_assignments(&facts), AssignmentPlan::default());
    facts.settled = true;
    assert_eq!(plan_assignments(&facts).forget, grants(&["a@1"]));
}
