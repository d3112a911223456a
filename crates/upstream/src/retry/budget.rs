//! How many retries an upstream may be asked to bear.
//!
//! Retries multiply the load on a service at the moment it is weakest. So they are a share of the
//! requests: at a full outage the upstream sees at most so much more than without them. A share of
//! few requests is next to nothing, so a few per second are always allowed. Known from Finagle's
//! `RetryBudget`; tower has one after it. This one differs in two points: the two allowances are
//! not added up (a burst after a quiet time would otherwise be doubled), and one lock decides and
//! counts, so that workers together never take more than there is.
//!
//! What is promised, at each retry that is allowed, counted over the ten seconds before it:
//! retries stay within the larger of `share` times the requests and 33 (three per second, and the
//! second at the edge); and where they are more than the share, at most three of them fell into
//! the last second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::tally::{Tally, WINDOW};

/// Retries per second that are allowed however few requests there are.
const MINIMUM: usize = 3;
const SECOND: Duration = Duration::from_secs(1);
/// The seconds for which retries are remembered: one more than the window, so that the window is
/// covered whole wherever in a second it begins.
const REMEMBERED: usize = 11;
const _: () = assert!(REMEMBERED as u64 == WINDOW + 1);

/// The budget of one upstream; it outlives reloads.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    requests: Tally,
    retries: Mutex<Taken>,
}

/// The retries of late.
#[derive(Debug, Default)]
struct Taken {
    /// The second of the newest count.
    second: u64,
    /// By second modulo the length.
    counts: [u64; REMEMBERED],
    /// When the last ones were taken, the oldest first.
    last: [Option<Instant>; MINIMUM],
}

impl Taken {
    /// Forgets what is older than the window before `second`.
    fn move_to(&mut self, second: u64) {
        let steps = second.saturating_sub(self.second).min(REMEMBERED as u64);
        self.second = self.second.max(second);
        for back in 0..steps {
            *self.at(back) = 0;
        }
    }

    /// The count of so many seconds back.
    fn at(&mut self, back: u64) -> &mut u64 {
        let index = self.second.saturating_sub(back) % REMEMBERED as u64;
        &mut self.counts[usize::try_from(index).unwrap_or(0)]
    }
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self { requests: Tally::new(Instant::now()), retries: Mutex::default() }
    }

    /// A request goes out for the first time.
    pub(crate) fn request(&self, now: Instant) {
        self.requests.add(now);
    }

    /// Takes one retry, if there is one.
    pub(crate) fn take(&self, share: f64, now: Instant) -> bool {
        let mut taken = self.retries.lock();
        taken.move_to(self.requests.second(now));
        let retries: u64 = taken.counts.iter().sum();
        let within_share = (retries + 1) as f64 <= share * self.requests.sum(now) as f64;
        let lately = taken.last[0].is_some_and(|oldest| now.saturating_duration_since(oldest) < SECOND);
        let within_minimum = !lately && retries < (MINIMUM * REMEMBERED) as u64;
        let fits = within_share || within_minimum;
        if fits {
            *taken.at(0) += 1;
            taken.last.rotate_left(1);
            taken.last[MINIMUM - 1] = Some(now);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::{Instant, advance};

    use super::RetryBudget;

    #[tokio::test(start_paused = true)]
    async fn a_full_outage_is_amplified_by_a_fifth_at_most() {
        let budget = RetryBudget::new();
        let (mut requests, mut retries) = (0, 0);
        // 100 requests per second, each of which wants two retries.
        for _ in 0..6000 {
            budget.request(Instant::now());
            requests += 1;
            for _ in 0..2 {
                retries += u32::from(budget.take(0.2, Instant::now()));
            }
            advance(Duration::from_millis(10)).await;
        }
        let amplification = 1.0 + f64::from(retries) / f64::from(requests);
        assert!((1.17..=1.2).contains(&amplification), "{amplification}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_upstream_is_allowed_a_few() {
        let budget = RetryBudget::new();
        let mut retries = 0;
        for _ in 0..60 {
            budget.request(Instant::now());
            retries += (0..10).filter(|_| budget.take(0.2, Instant::now())).count();
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(retries, 180, "three in each of 60 seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_share_the_minimum_is_left() {
        let budget = RetryBudget::new();
        (0..1000).for_each(|_| budget.request(Instant::now()));
        assert_eq!((0..10).filter(|_| budget.take(0.0, Instant::now())).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_two_allowances_are_not_added_up() {
        let budget = RetryBudget::new();
        (0..1000).for_each(|_| budget.request(Instant::now()));
        let mut retries = 0;
        for _ in 0..9 {
            retries += (0..300).filter(|_| budget.take(0.2, Instant::now())).count();
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let budget = RetryBudget::new();
        let now = Instant::now();
        (0..1000).for_each(|_| budget.request(now));
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..500).filter(|_| budget.take(0.2, now)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 200);
    }

    proptest! {
        /// Over any sequence of requests, retries and pauses, at each retry that is allowed, both
        /// promises hold over the true window before it; and an allowance that is plainly there
        /// is given.
        #[test]
        fn never_more_than_the_share_or_the_minimum(
            share in 0.0..1.0f64,
            steps in prop::collection::vec((0..3u8, 0..1500u64), 1..400),
        ) {
            let budget = RetryBudget::new();
            let start = Instant::now() + Duration::from_millis(700);
            let (mut now, mut requests, mut retries) = (0u64, Vec::new(), Vec::<u64>::new());
            for (kind, pause) in steps {
                // Most things happen at once, some after a while.
                now += if pause < 1000 { 0 } else { (pause - 1000) * 5 };
                let at = start + Duration::from_millis(now);
                if kind == 0 {
                    budget.request(at);
                    requests.push(now);
                    continue;
                }
                let within = |list: &[u64], millis: u64| {
                    list.iter().filter(|then| **then + millis > now).count() as f64
                };
                let wide = retries.iter().filter(|then| **then + 12_000 > now).count();
                let idle = wide == 0;
                if budget.take(share, at) {
                    retries.push(now);
                    let (few, all) = (within(&retries, 1000), within(&retries, 10_000));
                    let allowed = share * within(&requests, 10_000);
                    prop_assert!(all <= allowed.max(33.0), "{} of {}", all, allowed);
                    prop_assert!(all <= allowed || few <= 3.0, "{} of {}, {} at once", all, allowed, few);
                } else {
                    prop_assert!(!idle, "an unused budget refuses");
                }
            }
        }
    }
}
