use super::*;
use crate::clients::aws::assignments::PrincipalKind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn target(account: &str, principal: &str) -> Target {
    let principal = PrincipalId { kind: PrincipalKind::Group, id: principal.into() };
    Target { set_arn: "set".into(), account: account.into(), principal: Some(principal) }
}

fn awake() -> Tracker {
    let mut tracker = Tracker::default();
    for verb in Verb::ALL {
        tracker.read(verb);
        tracker.learnt(verb);
    }
    tracker
}

#[test]
fn a_new_tracker_lets_nothing_begin() {
    let mut tracker = Tracker::default();
    assert_eq!(tracker.start(Verb::Create, &target("1", "a"), 10), Err(NotNow::Unread));
    tracker.read(Verb::Create);
    assert_eq!(
        tracker.start(Verb::Create, &target("1", "a"), 10),
        Err(NotNow::Unread),
        "the past is not known"
    );
    tracker.learnt(Verb::Create);
    assert!(tracker.start(Verb::Create, &target("1", "a"), 10).is_ok());
}

#[test]
fn one_at_a_time_on_a_pair_and_so_many_in_all() {
    let mut tracker = awake();
    let first = tracker.start(Verb::Create, &target("1", "a"), 2).expect("free");
    assert_eq!(tracker.start(Verb::Delete, &target("1", "b"), 2), Err(NotNow::Busy));
    tracker.began(first, "id-1".into(), Progress::Running, at(1));
    assert_eq!(tracker.start(Verb::Create, &target("1", "b"), 2), Err(NotNow::Busy));
    tracker.note(Verb::Create, "foreign".into(), None, Progress::Running, at(1), at(1));
    assert_eq!(tracker.start(Verb::Create, &target("2", "a"), 2), Err(NotNow::Full), "others count");
    assert!(tracker.start(Verb::Delete, &target("2", "a"), 2).is_ok());
}

#[test]
fn what_is_listed_and_unknown_is_new_and_what_is_known_and_missing_has_ended() {
    let mut tracker = awake();
    let ticket = tracker.start(Verb::Create, &target("1", "a"), 9).expect("free");
    tracker.began(ticket, "mine".into(), Progress::Running, at(5));
    let (new, missing) = tracker.compare(Verb::Create, &["other".to_owned()].into());
    assert_eq!(new, ["other"]);
    assert_eq!(missing.iter().map(|m| m.0.as_str()).collect::<Vec<_>>(), ["mine"]);
    tracker.note(Verb::Create, "mine".into(), None, Progress::Succeeded, at(9), at(9));
    let outcome = tracker.outcomes_for("set").next().expect("remembered");
    assert_eq!(
        outcome,
        (
            &target("1", "a"),
            &Outcome { verb: Verb::Create, at: at(9), failure: None, seen: None, absent: false }
        )
    );
    assert!(tracker.running_for("set").next().is_none());
}

#[test]
fn an_unclear_request_makes_it_look_again() {
    let mut tracker = awake();
    let ticket = tracker.start(Verb::Create, &target("1", "a"), 9).expect("free");
    tracker.not_begun(ticket, true);
    assert_eq!(tracker.start(Verb::Create, &target("1", "a"), 9), Err(NotNow::Unread));
    assert!(tracker.to_look_at().contains(&Verb::Create));
}

#[test]
fn a_removal_that_waited_long_enough_is_held_up_neither_by_what_is_not_known_nor_by_what_never_ends() {
    let mut tracker = Tracker::default();
    let gone = target("1", "a");
    assert_eq!(tracker.start(Verb::Delete, &gone, 1), Err(NotNow::Unread));
    tracker.note(Verb::Create, "c".into(), Some(target("1", "b")), Progress::Running, at(0), at(0));
    tracker.note(Verb::Delete, "d".into(), Some(target("2", "b")), Progress::Running, at(0), at(0));
    assert_eq!(tracker.start_overdue(&gone, 2, at(599)), Err(NotNow::Busy), "it may still end");
    assert_eq!(tracker.start_overdue(&target("3", "a"), 1, at(599)), Err(NotNow::Full));
    assert!(tracker.start_overdue(&gone, 1, at(600)).is_ok());
    assert_eq!(tracker.start_overdue(&gone, 9, at(600)), Err(NotNow::Busy), "it has just begun");
}

#[test]
fn a_deletion_of_what_is_not_there_has_ended_well_but_proves_nothing() {
    let ended = |reason: &str| {
        let mut tracker = awake();
        let failed = Progress::Failed(reason.into());
        tracker.note(Verb::Delete, "d".into(), Some(target("1", "a")), failed, at(1), at(1));
        let outcome = tracker.outcomes_for("set").next().expect("remembered").1.clone();
        (outcome.failure.is_some(), outcome.absent)
    };
    assert_eq!(ended("The assignment was not found"), (false, true));
    assert_eq!(ended("Assignment does not exist"), (false, true));
    assert_eq!(ended("The role is protected"), (true, false));
}

#[test]
fn failures_rest_longer_each_time_until_something_changes() {
    let mut tracker = awake();
    let backoff = (Duration::from_secs(1), Duration::from_secs(300));
    let failed = |tracker: &Tracker| {
        let (_, outcome) = tracker.outcomes_for("set").next().expect("failed");
        (outcome.failure.clone().expect("failed"), outcome.at)
    };
    for (times, delay) in [(1, 2), (2, 4), (3, 8)] {
        tracker.ended(Verb::Create, target("1", "a"), End::Failed("no".into()), at(0), at(100));
        let (failure, when) = failed(&tracker);
        assert_eq!(failure.times, times);
        assert_eq!(failure.rest(when, backoff, at(99 + delay)), Duration::from_secs(1));
        assert!(failure.rest(when, backoff, at(100 + delay)).is_zero());
    }
    tracker.forgive("set");
    let (failure, when) = failed(&tracker);
    assert!(failure.rest(when, backoff, at(100)).is_zero());
}

#[test]
fn a_provisioning_that_began_before_an_edit_does_not_count() {
    let mut tracker = awake();
    let account = Target { principal: None, ..target("1", "a") };
    let ticket = tracker.start(Verb::Provision, &account, 1).expect("free");
    tracker.began(ticket, "p".into(), Progress::Running, at(1));
    tracker.edited("set", at(2));
    tracker.note(Verb::Provision, "p".into(), None, Progress::Succeeded, at(3), at(3));
    assert_eq!(tracker.outcomes_for("set").count(), 0);
    tracker.ended(Verb::Provision, account, End::Done, at(4), at(5));
    assert_eq!(tracker.outcomes_for("set").count(), 1);
    tracker.prune(Duration::from_secs(60), Duration::from_secs(5), at(70));
    assert_eq!(tracker.outcomes_for("set").count(), 0);
}

#[test]
fn a_moment_is_old_when_it_is_long_ago_or_when_the_clock_went_back() {
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let than = Duration::from_secs(60);
    for (seconds, old) in
        [(-61, true), (-60, true), (-59, false), (0, false), (59, false), (300, false), (3_600, true)]
    {
        assert_eq!(older(now + jiff::SignedDuration::from_secs(seconds), than, now), old, "{seconds}");
    }
}
