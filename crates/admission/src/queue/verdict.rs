//! What a request brings to the queue, and what it is told.

use std::{sync::Arc, time::Duration};

use sluicegate_core::Lane;
use tokio::time::Instant;

use super::{
    atoms::{Atoms, Native},
    cap::Cap,
    permit::Permit,
    waiting::Waiting,
};

/// What a request asks for.
#[derive(Debug)]
pub struct Ticket<'a, A: Atoms = Native> {
    /// Who it is for; none is capped by no tenant's cap and shares its turns with all others
    /// without one.
    pub tenant: Option<&'a str>,
    /// The cap of the upstream it will go to.
    pub upstream: Option<&'a Arc<Cap<A>>>,
    /// Who it competes with.
    pub lane: Lane,
    /// When it must have been let in.
    pub deadline: Option<Instant>,
    /// The bytes of its body that are held while it waits.
    pub bytes: u64,
}

impl<A: Atoms> Default for Ticket<'_, A> {
    fn default() -> Self {
        Self { tenant: None, upstream: None, lane: Lane::Interactive, deadline: None, bytes: 0 }
    }
}

/// The first answer to a ticket.
#[derive(Debug)]
pub enum Entry<A: Atoms = Native> {
    /// It is settled already.
    Settled(Verdict<A>),
    /// It waits; dropping the future takes it out of the queue.
    Waits(Waiting<A>),
}

/// What became of a ticket.
#[derive(Debug)]
pub enum Verdict<A: Atoms = Native> {
    /// Let in, after that time in the queue.
    Admitted(Permit<A>, Duration),
    /// Not let in.
    Refused(Refused),
}

/// Why a ticket was refused, and when another try is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}; try again in {} s", retry_after.as_secs_f64().ceil())]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// When those who wait now will have been served at the present pace (1 s to 30 s), and up
    /// to half as much again at random, so that not all come back at once.
    pub retry_after: Duration,
}

/// Why a ticket was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Why {
    /// No place in the queue for its size, its tenant and its lane.
    #[error("the queue is full")]
    Full,
    /// Its deadline passed while it waited.
    #[error("the deadline passed in the queue")]
    Expired,
    /// Its deadline is nearer than the next place that becomes free.
    #[error("the deadline would pass in the queue")]
    Doomed,
    /// More came than could be served, and newer requests went first.
    #[error("the queue is longer than can be served")]
    Overtaken,
    /// Its lane is shed.
    #[error("load is being shed")]
    Shed,
}

impl Why {
    /// Every reason there is.
    pub const ALL: [Self; 5] = [Self::Full, Self::Expired, Self::Doomed, Self::Overtaken, Self::Shed];

    /// The reason as metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Doomed => "doomed",
            Self::Overtaken => "overtaken",
            Self::Shed => "shed",
        }
    }
}
