//! Which of two versions answers a request.
//!
//! A route may lead to a pair of upstreams instead of one. The rollout chooses between them
//! once per request and notes it in the [`Facts`](crate::Facts); whoever holds something per
//! upstream (permits, connections, measurements) reads it there. All tries of a request stay
//! on the arm that was chosen, but for a read that finds the candidate's breaker open, which
//! [falls back](crate::Facts::fall_back) before anything was sent.

/// One of the pair, by its place in the document: it stays the same when the roles change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Slot {
    /// The document's `active`.
    First,
    /// The document's `candidate`.
    Second,
}

impl Slot {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Its place in an array of two.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What an upstream is in the rollout at the moment of the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// It serves: all writes, and the reads that are not on the candidate.
    Active,
    /// It is tried.
    Candidate,
}

impl Role {
    /// `active` or `candidate`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Candidate => "candidate",
        }
    }
}

/// What was chosen for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Where it goes.
    pub slot: Slot,
    /// What that upstream was when the choice was made.
    pub role: Role,
    /// The choice was left to the weight: it may be counted when the arms are compared. One
    /// that was forced, or made by pins, says nothing of a random user.
    pub is_sample: bool,
}
