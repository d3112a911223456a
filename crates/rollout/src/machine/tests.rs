use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sluicegate_core::arm::Slot;

use super::{
    Act, Actor, ArmPins, Around, Command, FORMAT, Finding, Judged, Meeting, Phase, Secret, Serving, State,
    meet,
};
use crate::input::{RolloutInput, RolloutSettings};

fn settings(more: &serde_json::Value) -> RolloutSettings {
    let mut whole = json!({ "active": "stable", "candidate": "next", "weight": 3 });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value::<RolloutInput>(whole).unwrap().check().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A rollout in the hands of one operator and one gateway.
struct Bench {
    settings: RolloutSettings,
    pins: ArmPins,
    now: Timestamp,
    state: State,
}

impl Bench {
    fn new() -> Self {
        let (settings, pins, now) = (settings(&json!({})), ArmPins::new(), at(1000));
        let by = Actor::document("one");
        let around = Around { settings: &settings, pins: &pins, now, by };
        let state = State::first(Secret([1; 32]), &around);
        Self { settings, pins, now, state }
    }

    fn around(&self, by: Actor) -> Around<'_> {
        Around { settings: &self.settings, pins: &self.pins, now: self.now, by }
    }

    fn judge(&self, command: &Command) -> Result<Option<State>, super::Refused> {
        self.state.command(command, &self.around(Actor::operator("ann")))
    }

    fn order(&mut self, command: &Command) -> &State {
        self.state = self.judge(command).unwrap().unwrap();
        &self.state
    }

    fn try_find(&self, gateway: &str, finding: &Finding) -> Option<State> {
        self.state.finding(finding, &self.around(Actor::gateway(gateway)))
    }

    fn find(&mut self, gateway: &str, finding: &Finding) -> &State {
        self.state = self.try_find(gateway, finding).unwrap();
        &self.state
    }

    fn serving(&self) -> (u8, Slot, bool) {
        let Serving { weight, active, open, .. } = self.state.serving(&self.settings);
        (weight, active, open)
    }

    /// In each phase.
    fn everywhere() -> Vec<Self> {
        let after = |commands: &[Command]| {
            let mut bench = Self::new();
            for command in commands {
                bench.order(command);
            }
            bench
        };
        let advance = || Command::Advance;
        vec![
            after(&[]),
            after(&[Command::Start, Command::Promote]),
            after(&[Command::Start]),
            after(&[Command::Start, advance(), hold()]),
            after(&[Command::SetWeight { weight: 40 }]),
            after(&[Command::Start, advance(), advance(), advance(), advance()]),
            after(&[abort()]),
            after(&[Command::Switch]),
        ]
    }
}

fn hold() -> Command {
    Command::Hold { reason: Some("lunch".into()) }
}

fn abort() -> Command {
    Command::Abort { reason: None }
}

fn rollback() -> Command {
    Command::Rollback { reason: None }
}

fn commands() -> Vec<Command> {
    vec![
        Command::Start,
        Command::Advance,
        hold(),
        Command::Resume,
        Command::SetWeight { weight: 7 },
        Command::Promote,
        abort(),
        Command::Switch,
        rollback(),
    ]
}

fn bad() -> Finding {
    Finding::Bad(None, "errors".into())
}

#[test]
fn what_a_phase_can_is_what_it_takes_and_all_else_is_refused_with_a_way_out() {
    let mut names: Vec<_> = Vec::new();
    for bench in Bench::everywhere() {
        let phase = &bench.state.phase;
        names.push(phase.as_str());
        for command in commands() {
            let can = phase.can().contains(&command.as_str());
            match bench.judge(&command) {
                Ok(Some(next)) => {
                    assert!(can, "{phase} takes {command:?} and does not say so");
                    assert_eq!(
                        (next.version, next.last.seq),
                        (bench.state.version + 1, bench.state.last.seq + 1)
                    );
                    assert_eq!((&next.last.from, &next.last.to), (phase, &next.phase));
                    assert_eq!(next.last.by, Actor::operator("ann"));
                    assert_eq!((next.last.version, next.last.epoch), (next.version, next.epoch));
                    let weight = next.serving(&bench.settings).weight;
                    assert_eq!(next.last.weight, [bench.serving().0, weight], "{phase}, {command:?}");
                }
                Ok(None) => assert_eq!((phase.as_str(), command.as_str()), ("aborted", "abort")),
                Err(refused) => {
                    assert!(!can, "{phase} refuses {command:?} and says that it can");
                    assert_eq!(refused.phase, phase.as_str());
                    assert!(refused.message.contains(&phase.to_string()), "{refused}");
                    assert!(refused.message.ends_with(&phase.can().join(", ")), "{refused}");
                }
            }
        }
    }
    names.dedup();
    assert_eq!(names, Phase::NAMES);
}

#[test]
fn what_voids_the_assignments_raises_the_epoch() {
    for bench in Bench::everywhere() {
        for command in commands() {
            let Ok(Some(next)) = bench.judge(&command) else { continue };
            let voids = ["start", "promote", "abort", "switch", "rollback"].contains(&command.as_str());
            assert_eq!(next.epoch - bench.state.epoch, u64::from(voids), "{command:?}");
            let watched = matches!(bench.state.phase, Phase::Switched { .. });
            let exchanges = ["promote", "switch", "rollback"].contains(&command.as_str())
                || (watched && command.as_str() == "abort");
            assert_eq!(next.active != bench.state.active, exchanges, "{command:?}");
            assert_eq!(next.secret, bench.state.secret);
        }
    }
}

#[test]
fn a_run_goes_through_its_steps_to_the_promote() {
    let mut bench = Bench::new();
    assert_eq!(bench.serving(), (3, Slot::First, true), "the document's weight");
    bench.order(&Command::Start);
    for (window, weight) in [(0, 5), (1, 25), (2, 50), (3, 100)] {
        let step = usize::try_from(window).unwrap();
        assert_eq!((bench.state.phase.step(), bench.serving().0), (Some(step), weight));
        assert_eq!((bench.state.judged(bench.now), bench.state.window), (Judged::Whole, window));
        bench.find("one", &Finding::Passed(None));
    }
    assert_eq!(bench.state.phase, Phase::Complete { since: bench.now });
    assert_eq!((bench.state.last.act, bench.serving().0), (Act::Completed, 100));
    assert_eq!(bench.state.judged(bench.now), Judged::Abort);
    assert_eq!(bench.try_find("one", &Finding::Passed(None)), None, "there is no further step");
    bench.find("one", &Finding::Promote);
    assert_eq!(bench.serving(), (0, Slot::Second, true));
    assert_eq!((&*bench.state.active, bench.state.run), ("next", 1));
    bench.order(&rollback());
    assert_eq!(bench.serving(), (0, Slot::First, false), "nothing reaches the arm that was left");
}

#[test]
fn what_is_bad_ends_a_run_wherever_it_is() {
    for mut bench in Bench::everywhere() {
        let judged = bench.state.judged(bench.now);
        let found = bench.try_find("one", &bad());
        assert_eq!(found.is_some(), judged != Judged::Not, "{}", bench.state.phase);
        if found.is_none() {
            continue;
        }
        let (epoch, active) = (bench.state.epoch, bench.state.active.clone());
        bench.find("one", &bad());
        assert_eq!((bench.serving().0, bench.serving().2, bench.state.epoch), (0, false, epoch + 1));
        assert_eq!(bench.state.active != active, judged == Judged::Switch, "only a switch goes back");
        assert_eq!(bench.state.last.reason.as_deref(), Some("errors"));
    }
}

#[test]
fn after_its_hold_a_switch_is_no_longer_watched_and_the_way_back_stays_open() {
    let mut bench = Bench::new();
    bench.order(&Command::Switch);
    assert_eq!(bench.serving(), (0, Slot::Second, true));
    let Phase::Switched { hold_until, .. } = bench.state.phase else { panic!("it is not switched") };
    assert_eq!(hold_until, at(1900));
    bench.now = hold_until - SignedDuration::from_secs(1);
    assert_eq!(bench.state.judged(bench.now), Judged::Switch);
    bench.now = hold_until;
    assert_eq!(bench.state.judged(bench.now), Judged::Not);
    assert_eq!(bench.try_find("one", &bad()), None);
    bench.order(&rollback());
    assert_eq!((bench.serving(), bench.state.last.act), ((0, Slot::First, false), Act::RolledBack));
}

#[test]
fn an_abort_takes_a_switch_back_for_as_long_as_it_is_watched() {
    for (waits, active, act) in [(0, Slot::First, Act::RolledBack), (1900, Slot::Second, Act::Aborted)] {
        let mut bench = Bench::new();
        bench.order(&Command::Switch);
        bench.now += SignedDuration::from_secs(waits);
        bench.order(&abort());
        assert_eq!((bench.serving(), bench.state.last.act), ((0, active, false), act));
    }
}

#[test]
fn a_hold_keeps_the_window_and_a_resume_begins_another() {
    let mut bench = Bench::new();
    bench.order(&Command::Start);
    bench.order(&Command::Advance);
    assert_eq!(bench.state.window, 1);
    bench.order(&hold());
    assert_eq!((bench.state.window, bench.state.judged(bench.now)), (1, Judged::Abort));
    assert_eq!(bench.try_find("one", &Finding::Passed(None)), None, "it does not advance by itself");
    bench.order(&Command::Resume);
    assert_eq!((bench.state.window, bench.state.phase.step()), (2, Some(1)));
    bench.order(&Command::SetWeight { weight: 1 });
    bench.order(&Command::Start);
    assert_eq!((bench.state.window, bench.state.run), (0, 2), "another run has its own budget");
}

#[test]
fn a_fresh_objection_of_another_gateway_keeps_the_step() {
    let mut bench = Bench::new();
    bench.order(&Command::Start);
    let says = |words: &str| Finding::Objection(None, words.into());
    bench.find("two", &says("slow"));
    assert_eq!((bench.state.version, bench.state.last.seq), (3, 2), "it is no decision");
    assert_eq!(bench.try_find("one", &Finding::Passed(None)), None);
    assert!(bench.try_find("two", &Finding::Passed(None)).is_some(), "its own is none");
    bench.find("two", &says("slower"));
    assert_eq!(bench.state.objections.len(), 1, "said again, it is one");
    assert!(bench.judge(&Command::Advance).is_ok(), "an operator may");
    bench.now = at(1030);
    let next = bench.find("one", &Finding::Passed(None));
    assert!(next.objections.is_empty() && next.phase.step() == Some(1), "that of a killed gateway runs out");
}

#[test]
fn a_step_whose_arms_are_not_ready_is_held_with_the_differences() {
    let mut bench = Bench::new();
    bench.order(&Command::Start);
    let diff = "next: INDEX_HASH is b2, pinned to a1".to_owned();
    bench.find("one", &Finding::NotReady(None, vec![diff.clone()]));
    let Phase::Held { step: 0, reason: Some(reason), by, .. } = &bench.state.phase else {
        panic!("{}", bench.state.phase)
    };
    assert!(reason.contains(&diff) && *by == Actor::gateway("one"), "{reason}");
}

#[test]
fn kill_closes_whatever_the_record_says() {
    for mut bench in Bench::everywhere() {
        let (_, active, _) = bench.serving();
        bench.settings.kill = true;
        assert_eq!(bench.serving(), (0, active, false));
        if let Err(refused) = bench.judge(&Command::Start) {
            assert!(bench.state.phase.step().is_some() || refused.message.contains("possible"), "{refused}");
        } else {
            panic!("a run begins under `kill`");
        }
    }
}

#[test]
fn the_documents_names_win_once_and_its_order_does_not() {
    let mut bench = Bench::new();
    bench.order(&Command::Start);
    bench.order(&Command::Promote);
    // The document follows the promote.
    bench.settings = settings(&json!({ "active": "next", "candidate": "stable", "weight": 2 }));
    assert_eq!(bench.state.configured(&bench.around(Actor::document("one"))), None);
    assert_eq!(bench.serving(), (2, Slot::First, true), "the weight is of the document's candidate");
    bench.settings = settings(&json!({ "active": "next", "candidate": "third", "weight": 2 }));
    assert_eq!(bench.serving(), (0, Slot::First, false), "until the record follows");
    let next = bench.state.configured(&bench.around(Actor::document("one"))).unwrap();
    assert_eq!((next.epoch, next.version), (bench.state.epoch + 1, bench.state.version + 1));
    assert_eq!((&*next.active, &*next.candidate, next.last.act), ("next", "third", Act::Configured));
    assert_eq!(next.serving(&bench.settings).weight, 2);
}

#[test]
fn a_document_with_fewer_steps_keeps_a_run_at_its_last() {
    let mut bench = Bench::new();
    bench.order(&Command::Start);
    bench.order(&Command::Advance);
    bench.order(&Command::Advance);
    bench.settings = settings(&json!({ "steps": [10, 100] }));
    assert_eq!(bench.serving().0, 100);
    bench.order(&Command::Advance);
    assert_eq!(bench.state.phase.as_str(), "complete");
}

#[test]
fn the_later_state_holds_and_versions_never_go_back() {
    let mut bench = Bench::new();
    let first = bench.state.clone();
    let started = bench.order(&Command::Start).clone();
    let stepped = bench.order(&Command::Advance).clone();
    bench.state = started.clone();
    let aborted = bench.order(&abort()).clone();
    assert_eq!((stepped.version, aborted.version), (3, 3));
    let written = |known: &State, found: Option<&State>| match meet(Some(known), found) {
        Meeting::Write(state) => *state,
        other => panic!("{other:?}"),
    };
    assert_eq!(meet(None, None), Meeting::Same);
    assert_eq!(meet(None, Some(&first)), Meeting::Adopt);
    assert_eq!(meet(Some(&first), Some(&started)), Meeting::Adopt);
    assert_eq!(written(&started, None), started.again(3), "a store that lost it gets it back");
    assert_eq!(written(&stepped, Some(&first)), stepped.again(4));
    // Two have gone on from one state, since the store has lost the one.
    assert_eq!(written(&aborted, Some(&stepped)), aborted.again(4), "an abort is not undone");
    assert_eq!(written(&stepped, Some(&aborted)), aborted.again(4), "nor kept out");
    let later = stepped.again(9);
    assert_eq!(written(&aborted, Some(&later)), aborted.again(10), "also when more was written since");
    assert_eq!(written(&later, Some(&aborted)), aborted.again(10));
    assert_eq!(
        written(&stepped, Some(&started.again(3))),
        started.again(4),
        "of equals, the one in the store"
    );
}

#[test]
fn a_state_is_read_as_it_was_written_and_hides_its_secret() {
    for bench in Bench::everywhere() {
        let written = serde_json::to_string(&bench.state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&written).unwrap(), bench.state, "{written}");
        assert!(written.contains(&"01".repeat(32)) && !format!("{:?}", bench.state).contains("1, 1"));
    }
    let state = &Bench::everywhere()[2].state;
    let json = serde_json::to_value(state).unwrap();
    assert_eq!(json["format"], FORMAT);
    assert_eq!(json["phase"], json!({ "name": "running", "step": 0, "since": "1970-01-01T00:16:40Z" }));
    assert_eq!(json["last"]["by"], json!({ "kind": "operator", "name": "ann" }));
    assert_ne!(Secret::draw(), Secret::draw());
    for wrong in [json!("00"), json!("zz".repeat(32)), json!("é".repeat(32))] {
        serde_json::from_value::<Secret>(wrong).unwrap_err();
    }
}

#[test]
fn commands_are_read_from_json() {
    for (json, command) in [
        (json!({ "command": "start" }), Command::Start),
        (json!({ "command": "set_weight", "weight": 10 }), Command::SetWeight { weight: 10 }),
        (json!({ "command": "abort", "reason": "x" }), Command::Abort { reason: Some("x".into()) }),
        (json!({ "command": "hold" }), Command::Hold { reason: None }),
    ] {
        assert_eq!(serde_json::from_value::<Command>(json).unwrap(), command);
    }
    for command in commands() {
        assert_eq!(serde_json::to_value(&command).unwrap()["command"], command.as_str());
    }
}
