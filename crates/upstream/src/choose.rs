//! Which endpoint gets a request.
//!
//! Of two drawn by lot the one with less in flight on this worker (Mitzenmacher, "The power of two
//! choices", 2001), among the best that there are:
//!
//! 1. those whose breaker lets a request through and that the probes find healthy;
//! 2. where there is none, those whose breaker lets a request through: what requests met weighs
//!    more than what a probe met, and a probe that is wrong must not take a whole service down;
//! 3. where there is none either, nobody: all are failing, and load would keep them down.
//!
//! A request of a session goes to the session's endpoint before all this; see
//! [`affinity`](crate::affinity).
//!
//! Endpoints that the request has just failed at are left out; see [`Way`](crate::way::Way). So
//! are those that serve other [`pins`](crate::pins) than they should, where that is refused: now
//! and then a read goes there all the same, to find out whether they have been put right.

use std::{sync::Arc, time::Duration};

use crate::{
    RequestBody,
    affinity::Session,
    endpoint::{Endpoint, Trial},
    failure::Failure,
    pool::Pools,
    registry::Upstream,
};

impl Upstream {
    /// How long until the first of its endpoints lets a request through; zero where one does now.
    /// None says that all of them are left out for their pins.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let used = self.endpoints.iter().filter(|endpoint| !endpoint.is_left_out());
        used.map(|endpoint| endpoint.breaker.wait(&self.breaker)).min()
    }

    /// Why none of its endpoints takes a request.
    fn shut(&self) -> Failure {
        match (self.wait(), &self.pinned) {
            (None, Some(pinned)) => Failure::Mismatch(pinned.standing()),
            (wait, _) => Failure::Open(wait.unwrap_or_default()),
        }
    }

    /// Whether an endpoint that is not in `tried` would let a request through.
    pub(crate) fn has_other_than(&self, tried: &[u64]) -> bool {
        self.endpoints.iter().any(|endpoint| self.is_fit(endpoint, tried))
    }

    pub(crate) fn is_fit(&self, endpoint: &Endpoint, tried: &[u64]) -> bool {
        !endpoint.is_left_out()
            && !tried.contains(&endpoint.id)
            && endpoint.breaker.wait(&self.breaker).is_zero()
    }
}

impl<B: RequestBody> Pools<B> {
    /// A try at one of the endpoints that are not in `tried`, or why none of the upstream's
    /// endpoints takes the request. `reads` says that it may be spent on finding out whether an
    /// endpoint serves the right pins again.
    pub(crate) fn choose(
        &self,
        upstream: &Upstream,
        (tried, session): (&[u64], Option<Session>),
        reads: bool,
    ) -> Result<Trial, Failure> {
        if let (Some(affinity), Some(session)) = (&upstream.affinity, session)
            && let Some(trial) = affinity.choose(session, upstream, tried)
        {
            return Ok(trial);
        }
        match self.choose_now(upstream, tried, reads) {
            // Left out when it was looked for, and put right before it could be told what is wrong:
            // what is told is read under the lock under which it comes back, so it is there now.
            Err(Failure::Mismatch(diff)) if diff.is_empty() => self.choose_now(upstream, tried, reads),
            chosen => chosen,
        }
    }

    fn choose_now(&self, upstream: &Upstream, tried: &[u64], reads: bool) -> Result<Trial, Failure> {
        if let ([only], []) = (&upstream.endpoints[..], tried)
            && !only.is_left_out()
        {
            return Trial::begin(only, &upstream.breaker).map_err(Failure::Open);
        }
        let pinned = upstream.pinned.as_ref().filter(|_| reads);
        if let Some(probe) = pinned.and_then(|pinned| pinned.probe(upstream, tried)) {
            return Ok(probe);
        }
        // One that lets a last probe through may be another worker's by the time it is drawn.
        for _ in 0..upstream.endpoints.len() {
            let Some(drawn) = self.draw(upstream, tried) else { break };
            if let Ok(trial) = Trial::begin(drawn, &upstream.breaker) {
                return Ok(trial);
            }
        }
        Err(upstream.shut())
    }

    fn draw<'a>(&self, upstream: &'a Upstream, tried: &[u64]) -> Option<&'a Arc<Endpoint>> {
        let fit = || upstream.endpoints.iter().filter(|endpoint| upstream.is_fit(endpoint, tried));
        let healthy = fit().filter(|endpoint| endpoint.is_healthy()).count();
        let among = |at: usize| match healthy {
            0 => fit().nth(at),
            _ => fit().filter(|endpoint| endpoint.is_healthy()).nth(at),
        };
        let len = if healthy == 0 { fit().count() } else { healthy };
        if len < 2 {
            return among(0);
        }
        let below = |bound: usize| usize::try_from(self.chance.below(bound as u64)).unwrap_or(0);
        let one = below(len);
        let other = below(len - 1);
        let other = if other >= one { other + 1 } else { other };
        match (among(one), among(other)) {
            (Some(one), Some(other)) if self.in_flight(other) < self.in_flight(one) => Some(other),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;
    use http_body_util::Full;
    use prometheus_client::registry::Registry;
    use sluicegate_core::Chance;
    use tokio::{task::LocalSet, time::advance};

    use super::Upstream;
    use crate::{
        affinity::{Affinity, AffinityInput},
        endpoint::{
            Endpoint,
            tests::{RULE, endpoint, endpoint_at, fail},
        },
        failure::Failure,
        metrics::UpstreamMetrics,
        pool::Pools,
        retry::budget::RetryBudget,
    };

    fn upstream(endpoints: Vec<Arc<Endpoint>>) -> Upstream {
        Upstream {
            id: 1,
            name: "main".into(),
            endpoints,
            health: None,
            breaker: RULE,
            not_applied: [].into(),
            max_idle: 4,
            buffer: 64 * 1024,
            affinity: None,
            resolve: Duration::from_secs(30),
            pins: Arc::default(),
            pinned: None,
            budget: Arc::new(RetryBudget::new()),
            metrics: UpstreamMetrics::register(&mut Registry::default()).retries("main"),
        }
    }

    /// Which of the endpoints a hundred choices fall on.
    fn chosen(pools: &Pools<Full<Bytes>>, upstream: &Upstream, tried: &[u64]) -> Vec<usize> {
        let mut chosen: Vec<_> = (0..100)
            .filter_map(|_| pools.choose(upstream, (tried, None), true).ok())
            .map(|trial| upstream.endpoints.iter().position(|it| it.id == trial.id).unwrap())
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Where requests of these sessions go.
    fn homes(pools: &Pools<Full<Bytes>>, upstream: &Upstream, tried: &[u64]) -> Vec<usize> {
        let sessions = (0..300).map(|number| format!("s{number}"));
        sessions
            .map(|name| {
                let mut headers = http::HeaderMap::new();
                headers.insert("mcp-session-id", name.parse().unwrap());
                let session = upstream.affinity.as_ref().unwrap().session(&headers);
                let trial = pools.choose(upstream, (tried, session), true).unwrap();
                upstream.endpoints.iter().position(|it| it.id == trial.id).unwrap()
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_stays_and_moves_only_with_its_endpoint() {
        LocalSet::new()
            .run_until(async {
                let pools = Pools::<Full<Bytes>>::new(Chance::seeded(1));
                let named = |number: u8| endpoint_at(&format!("http://127.0.0.1:{number}"));
                let mut upstream = upstream(vec![named(1), named(2), named(3)]);
                let from = AffinityInput::Header("mcp-session-id".into()).check().unwrap();
                upstream.affinity = Some(Affinity { from, learned: crate::affinity::learned() });
                let before = homes(&pools, &upstream, &[]);
                assert_eq!(homes(&pools, &upstream, &[]), before, "they stay");
                for at in 0..3 {
                    let share = before.iter().filter(|home| **home == at).count();
                    assert!((60..140).contains(&share), "endpoint {at} has {share} of 300");
                }
                let gone = upstream.endpoints[1].clone();
                gone.entrust(1, true);
                gone.probed(1, false);
                for (home, former) in homes(&pools, &upstream, &[]).iter().zip(&before) {
                    assert!(*home != 1 && (*former == 1 || home == former), "{former} to {home}");
                }
                gone.probed(1, true);
                assert_eq!(homes(&pools, &upstream, &[]), before, "and come back");
                let tried = [upstream.endpoints[0].id];
                assert!(!homes(&pools, &upstream, &tried).contains(&0), "a try that failed goes elsewhere");
                // An answer names a session: whoever named it has it.
                let mut answer = http::HeaderMap::new();
                for number in 0..300 {
                    answer.insert("mcp-session-id", format!("s{number}").parse().unwrap());
                    upstream.affinity.as_ref().unwrap().hear(&answer, &upstream.endpoints[2]);
                }
                assert!(homes(&pools, &upstream, &[]).iter().all(|home| *home == 2));
                upstream.endpoints[2].entrust(1, true);
                upstream.endpoints[2].probed(1, false);
                let moved = homes(&pools, &upstream, &[]);
                assert!(!moved.contains(&2) && moved.contains(&0) && moved.contains(&1));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_best_that_there_are() {
        LocalSet::new()
            .run_until(async {
                let pools = Pools::<Full<Bytes>>::new(Chance::seeded(1));
                let upstream = upstream(vec![endpoint(), endpoint(), endpoint()]);
                let all = &upstream.endpoints;
                assert_eq!(chosen(&pools, &upstream, &[]), [0, 1, 2]);
                assert_eq!(chosen(&pools, &upstream, &[all[1].id]), [0, 2], "one was tried");
                all[0].entrust(1, true);
                all[0].probed(1, false);
                assert_eq!(chosen(&pools, &upstream, &[]), [1, 2], "one is not healthy");
                fail(&all[1]);
                assert_eq!(chosen(&pools, &upstream, &[]), [2], "another one is failing");
                fail(&all[2]);
                assert_eq!(chosen(&pools, &upstream, &[]), [0], "a probe may be wrong");
                fail(&all[0]);
                assert!(chosen(&pools, &upstream, &[]).is_empty(), "all are failing");
                let wait = upstream.wait().unwrap();
                let shut = pools.choose(&upstream, (&[], None), true).unwrap_err();
                assert!(matches!(shut, Failure::Open(told) if told == wait), "{shut:?}");
                advance(wait).await;
                let mut trial = pools.choose(&upstream, (&[], None), true).unwrap();
                let at = all.iter().position(|it| it.id == trial.id).unwrap();
                assert!(!chosen(&pools, &upstream, &[]).contains(&at), "one probe at a time");
                trial.succeeded(&RULE);
                assert!(pools.choose(&upstream, (&[], None), true).is_ok());
            })
            .await;
    }
}
