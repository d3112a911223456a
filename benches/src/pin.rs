//! Keeping the measured process and its surroundings off each other's core.
//!
//! With two cores or more, the proxy has one to itself and the load and the upstream share
//! another. A thread's affinity is inherited by the threads it starts, so each process pins
//! itself before it starts any.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who is to run where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is measured.
    Proxy,
    /// Load and upstream.
    Around,
}

/// Pins this thread and those it will start. Returns whether there was a core to choose:
/// with one core, or where the system does not allow it, nothing is changed.
#[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
pub fn pin(side: Side) -> bool {
    let Ok(allowed) = sched_getaffinity(None) else { return false };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let (Some(first), Some(second)) = (cores.next(), cores.next()) else { return false };
    let mut chosen = CpuSet::new();
    chosen.set(if side == Side::Proxy { first } else { second });
    sched_setaffinity(None, &chosen).is_ok()
}
