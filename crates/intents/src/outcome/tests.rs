use std::time::Duration;

use bytes::Bytes;
use http::Response;
use sluicegate_core::{Chance, Code, Outcome, Refusal};
use sluicegate_store::{EntryState, fence::StoredBody};

use super::{FenceMove, HELD, Known, Rules, Step, known, pause};
use crate::{IntentsSettings, RouteRules, RunOutcome, intent::Note};

fn answered(status: u16) -> RunOutcome {
    let body = StoredBody::Whole(Bytes::from_static(b"said"));
    RunOutcome::Answered(Response::builder().status(status).body(body).unwrap())
}

fn step(outcome: RunOutcome, rules: &RouteRules, tries: u32) -> Step {
    let settings = IntentsSettings::default();
    let chance = Chance::seeded(1);
    let rules = Rules { route: rules, settings: &settings, chance: &chance };
    rules.after(known(outcome, rules.route), Note { attempts: 20, tries, ..Note::default() })
}

#[test]
fn each_status_ends_in_its_stated_state() {
    let rules = RouteRules::default();
    let honours = RouteRules { honours_keys: true, ..RouteRules::default() };
    for (status, state) in [
        (200, EntryState::Applied),
        (201, EntryState::Applied),
        (303, EntryState::Applied),
        (400, EntryState::Dead),
        (404, EntryState::Dead),
        (409, EntryState::Dead),
        (429, EntryState::Queued),
        (403, EntryState::Queued),
        (500, EntryState::InDoubt),
        (503, EntryState::InDoubt),
    ] {
        let step = step(answered(status), &rules, 0);
        assert_eq!(step.state, state, "{status}");
        assert_eq!(step.note.attempts, 21);
        match (&step.fence, state) {
            (FenceMove::Seal(answer, ttl), EntryState::Applied | EntryState::Dead) => {
                assert_eq!((answer.status, *ttl), (status, rules.fence_ttl));
                assert_eq!(step.note.answer.as_ref(), Some(answer));
            }
            (FenceMove::Stay, EntryState::Queued) | (FenceMove::Unknown(..), EntryState::InDoubt) => {}
            other => panic!("{status}: {other:?}"),
        }
    }
    assert_eq!(step(answered(500), &honours, 0).state, EntryState::Queued);
    assert_eq!(step(answered(500), &honours, 15).state, EntryState::InDoubt, "its tries are used up");
    let listed = RouteRules { not_applied: vec![503], ..RouteRules::default() };
    assert_eq!(step(answered(503), &listed, 0).state, EntryState::Queued);
    assert_eq!(step(answered(429), &listed, 0).state, EntryState::Dead);
}

#[test]
fn what_was_never_applied_is_dead_and_its_key_free_when_its_tries_are_used_up() {
    let rules = RouteRules::default();
    for outcome in [answered(429), RunOutcome::Refused("no connection".into()), RunOutcome::NoRoute] {
        let step = step(outcome, &rules, 15);
        assert_eq!((step.state, step.fence), (EntryState::Dead, FenceMove::Release));
        assert!(step.note.error.is_some());
    }
    assert!(step(answered(429), &rules, 15).note.answer.is_some(), "the last answer is kept");
    let rules = RouteRules { fence_ttl: Duration::from_secs(60), ..rules };
    assert_eq!(step(answered(400), &rules, 0).keep, Duration::from_secs(60), "no longer than its key");
}

#[test]
fn a_freeze_costs_no_try() {
    let step = step(RunOutcome::Frozen, &RouteRules::default(), 3);
    assert_eq!((step.state, step.delay, step.fence), (EntryState::Queued, HELD, FenceMove::Stay));
    assert_eq!((step.note.attempts, step.note.tries), (20, 3));
}

#[test]
fn what_may_yet_be_applied_is_never_called_dead_or_expired() {
    let rules = RouteRules { honours_keys: true, ..RouteRules::default() };
    let settings = IntentsSettings::default();
    let chance = Chance::seeded(1);
    let rules = Rules { route: &rules, settings: &settings, chance: &chance };
    let cut_off = rules.after(known(RunOutcome::Unknown("reset".into()), rules.route), Note::default());
    assert_eq!((cut_off.state, cut_off.note.doubtful), (EntryState::Queued, true));
    let abandoned = rules.abandoned("gone", Note::default());
    assert_eq!((abandoned.state, abandoned.note.doubtful), (EntryState::Queued, true));
    let again = rules.after(known(answered(429), rules.route), cut_off.note);
    assert_eq!((again.state, again.note.doubtful), (EntryState::Queued, true));
    let last = Note { tries: 15, ..again.note.clone() };
    for step in [rules.after(known(answered(429), rules.route), last), rules.expired(again.note)] {
        assert_eq!(step.state, EntryState::InDoubt);
        assert!(matches!(step.fence, FenceMove::Unknown(..)));
    }
}

#[test]
fn a_newer_attempt_ends_the_say_of_the_one_that_was_given_up() {
    let given_up = Note { given_up: Some(sluicegate_store::Tag(1)), ..Note::default() };
    let settings = IntentsSettings::default();
    let chance = Chance::seeded(1);
    let rules = Rules { route: &RouteRules::default(), settings: &settings, chance: &chance };
    let of = |outcome| rules.after(known(outcome, rules.route), given_up.clone()).note.given_up;
    assert_eq!(of(answered(429)), None);
    assert_eq!(of(RunOutcome::Unknown("reset".into())), None);
    assert!(of(RunOutcome::Frozen).is_some(), "nothing newer was sent");
}

#[test]
fn refusals_of_the_gateway_go_by_what_was_sent() {
    let of =
        |code, outcome| known(RunOutcome::refused(&Refusal::new(code, "x"), outcome), &RouteRules::default());
    assert_eq!(of(Code::ReadOnly, Outcome::NotApplied), Known::Frozen);
    assert!(matches!(of(Code::UpstreamUnreachable, Outcome::NotApplied), Known::NotApplied { .. }));
    assert!(matches!(of(Code::NoRoute, Outcome::NotApplied), Known::NotApplied { .. }));
    assert!(matches!(of(Code::UpstreamReset, Outcome::Unknown), Known::Unknown(_)));
    assert!(matches!(of(Code::ReadOnly, Outcome::Unknown), Known::Unknown(_)));
}

#[test]
fn an_upstream_may_ask_for_a_longer_pause() {
    let asking = |seconds: &str| {
        let body = StoredBody::Whole(Bytes::new());
        let answer = Response::builder().status(429).header("retry-after", seconds).body(body).unwrap();
        step(RunOutcome::Answered(answer), &RouteRules::default(), 0).delay
    };
    assert_eq!(asking("90"), Duration::from_secs(90));
    assert_eq!(asking("9999999"), Duration::from_secs(3600));
    assert!(asking("Wed, 21 Oct 2026 07:28:00 GMT") <= Duration::from_secs(1));
}

#[test]
fn pauses_double_up_to_their_cap_and_are_spread_from_nothing() {
    let chance = Chance::seeded(3);
    let (base, cap) = (Duration::from_millis(100), Duration::from_secs(2));
    for (tries, most) in [(1, 100), (2, 200), (3, 400), (6, 2000), (40, 2000), (u32::MAX, 2000)] {
        let drawn: Vec<_> = (0..400).map(|_| pause(base, cap, tries, &chance).as_millis()).collect();
        let (least, largest) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
        assert!(
            largest <= most && largest > most * 9 / 10 && least < most / 10,
            "{tries}: {least}..{largest}"
        );
    }
}
