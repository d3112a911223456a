//! The choice of the arm: a pure function of key, weight and pins.
//!
//! # By weight
//!
//! A key is hashed to a *point* of the 64-bit circle ([`point`]: XXH3, Collet, seeded by the
//! rollout's salt), and is on the candidate if its point lies below the candidate's share of the
//! circle. So the same key is on the same arm on every gateway and after every restart, and
//! raising the weight moves keys one way only. Neither the epoch nor the candidate's name goes
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

use sluicegate_core::{Arm, Role, Slot};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::view::Now;

/// Where a key lies on the circle, for this seed.
#[must_use]
pub fn point(key: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(key, seed)
}

/// The seed that a salt stands for.
#[must_use]
pub fn seed(salt: &str) -> u64 {
    xxh3_64_with_seed(salt.as_bytes(), 0)
}

/// The candidate's part of the circle: the points below this one, which is 2^64 for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u128);

impl Share {
    const ALL: u128 = 1 << 64;

    /// So many percent of the circle; more than 100 is all of it.
    #[must_use]
    pub fn percent(weight: u8) -> Self {
        Self(u128::from(weight.min(100)) * Self::ALL / 100)
    }

    /// Whether the point lies in it.
    #[must_use]
    pub fn holds(self, point: u64) -> bool {
        u128::from(point) < self.0
    }

    /// Whether it holds every point or none: then nobody needs a key.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self.0 == 0 || self.0 == Self::ALL
    }
}

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
