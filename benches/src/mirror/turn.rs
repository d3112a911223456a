//! One measurement: requests at a fixed rate through one proxy.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use sluicegate_core::Lane;

use super::service::served;
use crate::{
    Failure,
    child::Child,
    overload::{
        arrivals::{Stream, arrivals},
        client::{self, End},
        tally::percentile,
    },
};

/// After twice as long a client leaves.
const PATIENCE: Duration = Duration::from_secs(5);
/// In this time the clients' connections are opened; latencies in it are left out.
const OPENING: Duration = Duration::from_millis(300);
/// Nothing has been asked of a service for so long: it will not be.
const QUIET: Duration = Duration::from_millis(60);
/// The longest wait for that.
const QUIET_LIMIT: Duration = Duration::from_secs(5);

/// What is behind the proxies that take turns.
#[derive(Clone, Copy, Debug)]
pub struct Behind {
    /// Where the primary listens.
    pub primary: SocketAddr,
    /// Where the shadow does, if it counts.
    pub shadow: Option<SocketAddr>,
}

/// What came of one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// Requests that were sent.
    pub requests: u64,
    /// Those without a 200 that came whole, by what came instead.
    pub failed: BTreeMap<String, u64>,
    /// Copies that arrived, at the shadow and at the primary.
    pub copies: u64,
    /// User and system time of the whole process.
    pub cpu: Duration,
    /// Of it, that of the threads which send copies and compare.
    pub beside: Duration,
    /// The median of the latencies, from when each request was due.
    pub p50: Duration,
    /// Their 99th percentile.
    pub p99: Duration,
}

impl Turn {
    /// CPU time per request, in microseconds.
    #[must_use]
    pub fn per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// What each copy costs more than the requests by themselves do, in microseconds.
    #[must_use]
    pub fn per_copy(&self, without: &Self) -> f64 {
        (self.per_request() - without.per_request()) * self.requests as f64 / self.copies as f64
    }

    /// Of what each copy costs, what is spent beside the workers, in microseconds.
    #[must_use]
    pub fn beside_per_copy(&self) -> f64 {
        self.beside.as_secs_f64() * 1e6 / self.copies as f64
    }
}

/// The kernel keeps 15 characters of a thread's name.
fn is_beside(thread: &str) -> bool {
    ["sluicegate-shad", "sluicegate-diff"].contains(&thread)
}

impl Behind {
    fn counts(&self) -> Result<(u64, u64), Failure> {
        Ok((served(self.primary)?, self.shadow.map_or(Ok(0), served)?))
    }

    /// Copies may be on their way when the last request has been answered.
    fn settled(&self) -> Result<(u64, u64), Failure> {
        let begun = Instant::now();
        let mut before = self.counts()?;
        loop {
            thread::sleep(QUIET);
            let now = self.counts()?;
            if now == before || begun.elapsed() > QUIET_LIMIT {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Sends so many requests a second through `proxy` for so long; the same for the same `seed`.
    ///
    /// # Errors
    ///
    /// What is counted cannot be read.
    pub fn turn(&self, proxy: &Child, rate: u32, during: Duration, seed: u64) -> Result<Turn, Failure> {
        let stream = Stream { lane: Lane::Interactive, rate: rate.into(), during: Duration::ZERO..during };
        let due = arrivals(&[stream], seed);
        let (counts, threads) = (self.counts()?, proxy.threads()?);
        let shots = client::send(proxy.address, due, PATIENCE)?;
        let (counts_after, threads_after) = (self.settled()?, proxy.threads()?);

        let requests = shots.len() as u64;
        let good = |end: End| match end {
            End::Answered { status: 200, after, .. } => Some(after),
            _ => None,
        };
        let mut failed = BTreeMap::new();
        for shot in &shots {
            let instead = match shot.end {
                End::Answered { status: 200, .. } => continue,
                End::Answered { status, .. } => status.to_string(),
                End::GaveUp => "left".to_owned(),
                End::Broke => "broke".to_owned(),
            };
            *failed.entry(instead).or_default() += 1;
        }
        let measured = shots.iter().filter(|shot| shot.at >= OPENING.min(during / 4));
        let mut latencies: Vec<_> = measured.filter_map(|shot| good(shot.end)).collect();
        latencies.sort_unstable();
        let again = (counts_after.0 - counts.0).saturating_sub(requests);
        Ok(Turn {
            requests,
            failed,
            copies: counts_after.1 - counts.1 + again,
            cpu: threads_after.since(&threads, |_| true),
            beside: threads_after.since(&threads, is_beside),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_copy_costs_is_what_there_is_more_of() {
        let millis = Duration::from_millis;
        let without = Turn { requests: 1000, cpu: millis(20), ..Turn::default() };
        let with =
            Turn { requests: 2000, copies: 200, cpu: millis(46), beside: millis(4), ..Turn::default() };
        assert!((with.per_request() - 23.0).abs() < 1e-9);
        assert!((with.per_copy(&without) - 30.0).abs() < 1e-9);
        assert!((with.beside_per_copy() - 20.0).abs() < 1e-9);
    }
}
