//! The choice of the arm: a pure function of key, weight and pins.
//!
//! # By weight
//!
//! A key is hashed to a *point* of the 64-bit circle, seeded by the rollout's salt, and is on the
//! candidate if its point lies in the candidate's [share](sluicegate_core::share) of the circle.
//! So the same key is on the same arm on every gateway and after every restart, and raising the
//! weight moves keys one way only. Neither the epoch nor the candidate's name goes
//! into the point: whoever wants another order of keys writes another salt.
//!
//! A multiplication of the hash, or a ring with many nodes, would do no more for two arms.
//!
//! # In which order it is decided
//!
//! | first that applies | arm | sample |
//! |---|---|---|
//! | nothing may reach the candidate (aborted, killed) | active | no |
//! | the header forces an arm, on a route that allows it | that one | no |
//! | the client's pins leave one arm only | that one | no |
//! | a write, on a route that does not split them | active | no |
//! | the weight | by the key's point | yes |
//!
//! Where the arm that would be taken is none of those whose pins match, the request is refused.
//! A sample is a request that may be counted when the arms are compared: its key alone decided.

pub use sluicegate_core::share::{Share, point, seed};
use sluicegate_core::{Arm, Role, Slot};

use crate::view::Now;

/// How an arm was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum How {
    Weight,
    Forced,
    Pins,
    Write,
    Closed,
}

impl How {
    pub(crate) const ALL: [Self; 5] = [Self::Weight, Self::Forced, Self::Pins, Self::Write, Self::Closed];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Forced => "forced",
            Self::Pins => "pins",
            Self::Write => "write",
            Self::Closed => "closed",
        }
    }
}

/// What a request says about its arm, beside its key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// The arm it names, where the route lets it.
    pub(crate) forced: Option<Role>,
    /// Whether each upstream's pins match those it asks for, by slot; none: it asks for none.
    pub(crate) matching: Option<[bool; 2]>,
    /// It writes, and the route's writes are not split.
    pub(crate) stays: bool,
}

/// An arm, and why it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) arm: Arm,
    pub(crate) how: How,
}

/// The arm that would have been taken is not pinned as the client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unmet {
    pub(crate) slot: Slot,
    pub(crate) role: Role,
}

/// Chooses. The point is asked for where the weight decides and is neither 0 nor 100.
pub(crate) fn decide(now: &Now, wish: Wish, point: impl FnOnce() -> u64) -> Result<Choice, Unmet> {
    let slot_of = |role| match role {
        Role::Active => now.view.active,
        Role::Candidate => now.view.active.other(),
    };
    let matches = |role| wish.matching.is_none_or(|by_slot: [bool; 2]| by_slot[slot_of(role).index()]);
    let choice = |role, how| {
        let slot = slot_of(role);
        Choice { arm: Arm { slot, role, is_sample: how == How::Weight }, how }
    };
    let only = |role, how| {
        if matches(role) { Ok(choice(role, how)) } else { Err(Unmet { slot: slot_of(role), role }) }
    };
    if !now.is_open() {
        return only(Role::Active, How::Closed);
    }
    if let Some(role) = wish.forced {
        return only(role, How::Forced);
    }
    match (matches(Role::Active), matches(Role::Candidate)) {
        (true, true) => {}
        (false, true) => return Ok(choice(Role::Candidate, How::Pins)),
        (_, false) => return only(Role::Active, How::Pins),
    }
    if wish.stays {
        return Ok(choice(Role::Active, How::Write));
    }
    let point = if now.share.is_settled() { 0 } else { point() };
    let role = if now.share.holds(point) { Role::Candidate } else { Role::Active };
    Ok(choice(role, How::Weight))
}

#[cfg(test)]
mod tests;
