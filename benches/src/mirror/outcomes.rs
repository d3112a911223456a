//! What the gateway's metrics say of its copies.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::{Failure, overload::systems::get};

const REQUESTS: &str = "sluicegate_shadow_requests_total{";
const IN_FLIGHT: &str = "sluicegate_shadow_in_flight{";
/// Of a request that was not to be copied.
const LEFT_OUT: &str = "sampled_out";

/// Copies have come to an end by then, whatever became of them.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// How many copies there were, by what became of them; none that did not occur.
///
/// # Errors
///
/// The metrics cannot be read.
pub fn outcomes(admin: SocketAddr) -> Result<BTreeMap<String, u64>, Failure> {
    Ok(by_outcome(&get(admin, "/metrics")?))
}

/// Waits until no copy is on its way any more.
///
/// # Errors
///
/// The metrics cannot be read, or some stay on their way.
pub fn wait_for_the_last(admin: SocketAddr) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let now = in_flight(&get(admin, "/metrics")?);
        if now == 0 {
            return Ok(());
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("{now} copies are still on their way after {LIMIT:?}").into());
        }
        thread::sleep(PAUSE);
    }
}

/// The labels and the value of each sample with this beginning.
fn samples<'a>(metrics: &'a str, beginning: &str) -> impl Iterator<Item = (&'a str, u64)> {
    let lines = metrics.lines().filter_map(move |line| line.strip_prefix(beginning));
    lines.filter_map(|line| {
        let (labels, value) = line.rsplit_once("} ")?;
        Some((labels, value.parse().ok()?))
    })
}

fn by_outcome(metrics: &str) -> BTreeMap<String, u64> {
    let mut outcomes = BTreeMap::new();
    for (labels, count) in samples(metrics, REQUESTS) {
        let outcome = labels.split_once("outcome=\"").and_then(|(_, rest)| rest.split('"').next());
        if let Some(outcome) = outcome.filter(|outcome| *outcome != LEFT_OUT && count > 0) {
            *outcomes.entry(outcome.to_owned()).or_default() += count;
        }
    }
    outcomes
}

fn in_flight(metrics: &str) -> u64 {
    samples(metrics, IN_FLIGHT).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::{by_outcome, in_flight};

    #[test]
    fn counts_are_found_among_the_metrics() {
        let metrics = "# TYPE sluicegate_shadow_requests counter\n\
            sluicegate_shadow_requests_total{route=\"ask\",to=\"lab\",outcome=\"sampled_out\"} 90\n\
            sluicegate_shadow_requests_total{route=\"ask\",to=\"lab\",outcome=\"timeout\"} 7\n\
            sluicegate_shadow_requests_total{route=\"ask\",to=\"lab\",outcome=\"answered\"} 0\n\
            sluicegate_shadow_in_flight{route=\"ask\",to=\"lab\"} 3\n";
        assert_eq!(by_outcome(metrics), [("timeout".to_owned(), 7)].into());
        assert_eq!(in_flight(metrics), 3);
        assert_eq!(in_flight(""), 0);
    }
}
