//! What is asked of a system, and what came of it.

use std::{net::SocketAddr, ops::Range, time::Duration};

use sluicegate_core::Lane;

use super::{
    Setting,
    arrivals::{Stream, arrivals},
    client,
    service::{self, Counts},
    tally::{Tally, percentile, recovery},
};
use crate::Failure;

/// The share of the capacity that people ask for all the time.
const CALM: f64 = 0.5;

/// A load that is calm, then is not, then is calm again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// How it is called in the tables.
    pub name: &'static str,
    /// What comes on top for a while, as a share of the capacity.
    pub extra: f64,
    /// ... and who sends it.
    pub lane: Lane,
}

/// All of them. The first is no overload: it shows what a system refuses that could have been
/// served.
pub const PHASES: [Phase; 4] = [
    Phase { name: "0.9C", extra: 0.4, lane: Lane::Interactive },
    Phase { name: "2C", extra: 1.5, lane: Lane::Interactive },
    Phase { name: "5C", extra: 4.5, lane: Lane::Interactive },
    Phase { name: "flood", extra: 2.0, lane: Lane::Batch },
];

/// How long the parts of a phase are.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Before the load.
    pub before: Duration,
    /// The load.
    pub load: Duration,
    /// After it.
    pub after: Duration,
}

impl Lengths {
    /// Those for a load of this length.
    #[must_use]
    pub fn with_load(load: Duration) -> Self {
        Self {
            before: (load / 6).max(Duration::from_secs(1)),
            load,
            after: (load / 6).clamp(Duration::from_secs(2), Duration::from_secs(10)),
        }
    }

    fn loaded(&self) -> Range<Duration> {
        self.before..self.before + self.load
    }

    fn whole(&self) -> Duration {
        self.before + self.load + self.after
    }
}

/// What came of a phase on one system.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The 95th percentile of latency before the load.
    pub unloaded: Duration,
    /// What became of everything sent under the load.
    pub all: Tally,
    /// ... of what people sent.
    pub interactive: Tally,
    /// From the end of the load until latency was what it had been, if that was within the phase.
    pub recovered: Option<Duration>,
    /// How long the phase went on after the load.
    pub watched: Duration,
    /// What the service did meanwhile.
    pub counts: Counts,
}

impl Phase {
    /// Runs it against the system at `address`, with the service at `upstream` behind.
    ///
    /// # Errors
    ///
    /// The service does not tell its counts.
    pub fn run(
        &self,
        address: SocketAddr,
        upstream: SocketAddr,
        setting: Setting,
        lengths: Lengths,
        seed: u64,
    ) -> Result<Seen, Failure> {
        let capacity = setting.capacity();
        let calm = Stream {
            lane: Lane::Interactive,
            rate: CALM * capacity,
            during: Duration::ZERO..lengths.whole(),
        };
        let extra = Stream { lane: self.lane, rate: self.extra * capacity, during: lengths.loaded() };
        let before = service::counts(upstream)?;
        let shots = client::send(address, arrivals(&[calm, extra], seed), setting.deadline)?;
        let after = service::counts(upstream)?;

        let deadline = setting.deadline;
        let tally = |during: Range<Duration>, lane: Option<Lane>| {
            let those = shots
                .iter()
                .filter(|shot| during.contains(&shot.at) && lane.is_none_or(|lane| lane == shot.lane));
            Tally::of(those, during.end.saturating_sub(during.start), deadline)
        };
        let unloaded = tally(Duration::ZERO..lengths.before, None);
        let unloaded = percentile(&unloaded.latencies, 95);
        Ok(Seen {
            unloaded,
            all: tally(lengths.loaded(), None),
            interactive: tally(lengths.loaded(), Some(Lane::Interactive)),
            recovered: recovery(&shots, lengths.loaded().end..lengths.whole(), unloaded, deadline),
            watched: lengths.after,
            counts: after.since(before),
        })
    }
}
