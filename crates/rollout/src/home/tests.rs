use std::time::Duration;

use serde_json::json;
use sluicegate_core::arm::Slot;

use super::{Gate, POLL, TICK};
use crate::{
    error::RolloutError,
    machine::{Act, ActorKind, Command, Finding, Phase},
    stats::Verdict,
};
use rig::{Gateway, Rig, Shaky, Traffic};

mod rig;
mod runs;
mod several;
mod store;

const GOOD: Traffic = Traffic { requests: 300, failing: [0, 0], slower: 1 };
const FAILING: Traffic = Traffic { failing: [0, 200], ..GOOD };
