//! One rollout, several gateways, one Redis.
//!
//! | file | holds |
//! |---|---|
//! | `follow` | what one decides, all do: a step, an abort; a run goes on without a gateway that was killed |
//! | `away` | what each does while Redis cannot be had, and what of it holds afterwards |
//! | `storm` | random commands at random gateways under load, while gateways and Redis are killed |
//! | `judge` | what must be true of all that was seen |
//! | `watch` | looks at every gateway and into Redis, all the time |
//! | `traffic` | readers at every gateway, who note whose answer they got |
//! | `line` | a way to Redis that can be cut |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod away;
mod follow;
mod judge;
mod line;
mod storm;
mod traffic;
mod watch;

use std::time::{Duration, Instant};

use sluicegate_test_servers::Redis;
use sluicegate_tests::{LIMIT, Upstream, upstream::response};

/// The rollout of all tests here.
const NAME: &str = "retriever";

/// The two versions behind the gateways; each answers with its name. One path fails in the new
/// one.
struct Behind {
    stable: Upstream,
    next: Upstream,
}

impl Behind {
    async fn start() -> Self {
        let (stable, next) = (Upstream::start().await, Upstream::start().await);
        stable.brief().answer("/", response("200 OK", "", "stable"));
        next.brief().answer("/", response("200 OK", "", "next"));
        next.answer("/fails", response("500 Broken", "", "next"));
        Self { stable, next }
    }

    /// A document in front of both, whose rollout is judged for errors alone, with this much more
    /// of it.
    fn document(&self, redis: &str, rollout: &str) -> String {
        format!(
            r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ redis: {{ url: "{redis}", lease: 3s }} }}
workers: 2
upstreams:
  stable: {{ endpoints: ["{}"] }}
  next: {{ endpoints: ["{}"] }}
routes:
  - {{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: {{ rollout: {NAME} }} }}
rollouts:
  {NAME}:
    active: stable
    candidate: next
    sticky: {{ header: x-user-id }}
    gates: {{ error_rate: 0.2 }}
    abort: {{ error_rate: 0.5 }}
    dry_run: [latency_p95_uplift, abort_latency_p99_ratio]
    {rollout}
"#,
            self.stable.url(),
            self.next.url()
        )
    }
}

/// A run of three steps that are soon over, as soon as there are readers.
const QUICK: &str = "steps: [25, 50, 100]\n    window: { at_least: 600ms, samples: 40 }";

/// A run that takes no step by itself while a test lasts.
const SLOW: &str = "steps: [25, 50, 100]\n    window: { at_least: 1h, samples: 40 }";

async fn redis() -> Redis {
    Redis::start().await.expect("a Redis")
}

/// Waits until something is true, and says how long that took.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < LIMIT, "never came true within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begun.elapsed()
}
