//! What routes need for the choice: parts of their plans.

use std::sync::Arc;

use sluicegate_core::Pins;

use crate::{sticky::Sticky, view::Shared};

/// Where the writes of a route with a rollout go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writes {
    /// To the active arm.
    #[default]
    Active,
    /// As reads do.
    Split,
}

/// The part of a route that leads to a rollout.
#[derive(Clone, Debug)]
pub struct RolloutPlan {
    /// Its live state.
    pub shared: Arc<Shared>,
    /// By what requests stay on their arm: the same for all routes of the rollout.
    pub sticky: Arc<Sticky>,
    /// What each upstream is pinned to, by [`Slot`](sluicegate_core::Slot).
    pub arm_pins: [Arc<Pins>; 2],
    /// Where writes go.
    pub writes: Writes,
    /// Whether a client may choose its arm by [`ARM`](crate::ARM).
    pub allow_header: bool,
}

/// The part of a route that leads to one upstream with pins.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// What that upstream is pinned to.
    pub pins: Arc<Pins>,
}
