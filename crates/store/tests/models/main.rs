//! The protocols over a store, as models that are checked exhaustively: every order of every
//! step, with every crash.
//!
//! Each model comes with faults that can be put into it. A test asserts for each of them that
//! the checker finds where it leads, so that a property that could not fail would show.
//!
//! Each test prints `states: N`, the number of different worlds that were looked at.
//! `SLUICEGATE_TESTS_LONG=1` looks at more: more sends, crashes and silences.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fence;
mod intents;
mod record;

use std::{env, fmt::Debug, hash::Hash, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use record::print;

fn long() -> bool {
    env::var_os("SLUICEGATE_TESTS_LONG").is_some()
}

/// Asserts that every property holds in every world, and that all that should be possible is.
fn checked<M>(size: &str, model: M)
where
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
        + Send
        + Sync
        + 'static,
{
    let start = Instant::now();
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("states: {states} ({size}; depth {depth}, {:.1?})", start.elapsed());
    checker.assert_properties();
}

/// Asserts that a model with a fault violates a property.
fn refuted<M>(fault: &str, property: &'static str, model: M)
where
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
        + Send
        + Sync
        + 'static,
{
    let wanted = HasDiscoveries::AllOf([property].into());
    let checker = model.checker().finish_when(wanted).spawn_bfs().join();
    let Some(path) = checker.discovery(property) else {
        panic!("with {fault} it still holds that {property}");
    };
    println!("{fault}: not so that {property}: {:?}", path.into_actions());
}
