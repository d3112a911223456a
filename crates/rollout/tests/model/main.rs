//! Gateways over one record, as a model that is checked exhaustively.
//!
//! A run is at its first step when it begins. Every order of every step is tried, with crashes,
//! writes whose answers do not come (they may have been made, may be made later, or never), and
//! a store that forgets its last write, or all. What becomes of a state is not modelled: it is
//! [`State::command`], [`State::finding`] and [`meet`](sluicegate_rollout::machine::meet).
//!
//! | step | stands for |
//! |---|---|
//! | `Read`, `Meet` | the record is read, and some time later what was read is met |
//! | `Pass` | a judge has found that the step has passed, by the state that it knows |
//! | `Bad` | a judge or an operator aborts: it holds here at once |
//! | `WriteCut` | the abort is on its way to the store |
//! | `Order` | another operator's command, judged by the state that is known |
//! | `Store` | the write arrives, is made or not, and is answered |
//! | `AskAgain` | its answer does not come: it is asked again under its tag, while the first may still arrive |
//! | `GiveUp` | the same, and it is forgotten |
//! | `Late` | a write arrives that nobody waits for any more |
//! | `Crash` | a gateway dies and comes again, knowing nothing |
//! | `Forget` | the store loses its last write, or the record |
//!
//! Left out: objections, time, and the history, which none of these reads.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::option_option, reason = "a gateway may have read that there is no record")]
#![allow(clippy::struct_excessive_bools, reason = "each is a promise that was broken")]

mod steps;
mod world;

use std::time::Instant;

use sluicegate_rollout::machine::Command;
use stateright::{Checker, HasDiscoveries, Model};

use steps::{Break, Protocol};
use world::{ABORT_HOLDS, ABORT_STAYS, FORWARD, ONCE, ONWARD, TOLD};

fn base() -> Protocol {
    Protocol {
        gateways: 2,
        passes: 2,
        bads: 1,
        orders: Vec::new(),
        crashes: 0,
        silences: 0,
        losses: 0,
        broken: None,
    }
}

fn holds(protocol: Protocol) {
    let (size, begun) = (format!("{protocol:?}"), Instant::now());
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("states: {} ({size}; {:.1?})", checker.unique_state_count(), begun.elapsed());
    checker.assert_properties();
}

fn fails(broken: Break, property: &'static str, protocol: Protocol) {
    let wanted = HasDiscoveries::AllOf([property].into());
    let checker =
        Protocol { broken: Some(broken), ..protocol }.checker().finish_when(wanted).spawn_bfs().join();
    let Some(path) = checker.discovery(property) else {
        panic!("with {broken:?} it still holds that {property}");
    };
    println!("{broken:?}: not so that {property}: {:?}", path.into_actions());
}

#[test]
fn two_gateways_with_crashes_and_lost_answers() {
    holds(Protocol { crashes: 1, silences: 1, ..base() });
}

#[test]
fn two_gateways_that_both_abort() {
    holds(Protocol { bads: 2, silences: 1, ..base() });
}

#[test]
fn operators_between_them() {
    for command in [Command::Switch, Command::Promote, Command::Hold { reason: None }, Command::Start] {
        holds(Protocol { orders: vec![command], silences: 1, ..base() });
    }
}

#[test]
fn a_store_that_forgets() {
    holds(Protocol { losses: 1, ..base() });
}

#[test]
fn three_gateways() {
    holds(Protocol { gateways: 3, ..base() });
}

#[test]
fn without_the_compare_an_abort_is_overwritten() {
    let size = || Protocol { silences: 1, ..base() };
    fails(Break::NothingCompared, ABORT_STAYS, size());
    fails(Break::NothingCompared, ONCE, size());
}

#[test]
fn a_stale_finding_must_be_thrown_away() {
    fails(Break::FindingWrittenAnyway, ONCE, base());
    fails(Break::FindingWrittenAnyway, ABORT_STAYS, base());
}

#[test]
fn an_abort_belongs_to_its_epoch() {
    fails(Break::CutDroppedByNews, TOLD, base());
    fails(Break::CutAfterStore, ABORT_HOLDS, base());
}

#[test]
fn what_was_lost_must_be_written_again() {
    let size = || Protocol { losses: 1, ..base() };
    fails(Break::AlwaysAdopt, FORWARD, size());
    fails(Break::AlwaysAdopt, ABORT_HOLDS, size());
    fails(Break::RestoredAsItWas, ONWARD, Protocol { losses: 1, ..base() });
}
