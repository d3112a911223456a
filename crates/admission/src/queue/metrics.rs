//! What a scrape shows of queues and caps.

use std::{sync::Weak, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use sluicegate_core::Lane;

use super::{home::Queues, verdict::Why};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLane {
    route: String,
    lane: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLaneReason {
    route: String,
    lane: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    kind: &'static str,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

const LANES: [(Lane, &str); 2] = [(Lane::Interactive, "interactive"), (Lane::Batch, "batch")];

#[derive(Debug)]
pub(super) struct Metrics {
    admitted: Family<RouteLane, Counter>,
    refused: Family<RouteLaneReason, Counter>,
    wait: Family<RouteLane, Histogram, fn() -> Histogram>,
}

/// The handles of one route, made with its queue.
#[derive(Debug, Default)]
pub(super) struct LineMetrics {
    lanes: [LaneMetrics; 2],
}

#[derive(Debug)]
struct LaneMetrics {
    admitted: Counter,
    refused: [Counter; Why::ALL.len()],
    wait: Histogram,
}

impl Default for LaneMetrics {
    fn default() -> Self {
        Self { admitted: Counter::default(), refused: Default::default(), wait: waits() }
    }
}

/// From a hand-over that follows at once to a language model's minute; the promised 200 ms and
/// the usual limit of 300 ms are bounds of their own.
fn waits() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0, 60.0])
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            admitted: Family::default(),
            refused: Family::default(),
            wait: Family::new_with_constructor(waits),
        };
        registry.register(
            "sluicegate_queue_admitted",
            "Requests let in, by route and lane",
            metrics.admitted.clone(),
        );
        registry.register(
            "sluicegate_queue_refused",
            "Requests not let in, by route, lane and reason",
            metrics.refused.clone(),
        );
        registry.register(
            "sluicegate_queue_wait_seconds",
            "Time in the queue of requests that waited and were let in, by route and lane",
            metrics.wait.clone(),
        );
        metrics
    }

    pub(super) fn of_line(&self, route: &str) -> LineMetrics {
        let lane = |lane: &'static str| {
            let labels = RouteLane { route: route.to_owned(), lane };
            let refused = |why: Why| {
                let labels = RouteLaneReason { route: route.to_owned(), lane, reason: why.as_str() };
                self.refused.get_or_create(&labels).clone()
            };
            LaneMetrics {
                admitted: self.admitted.get_or_create(&labels).clone(),
                refused: Why::ALL.map(refused),
                wait: self.wait.get_or_create(&labels).clone(),
            }
        };
        LineMetrics { lanes: LANES.map(|(_, name)| lane(name)) }
    }

    pub(super) fn forget_line(&self, route: &str) {
        for (_, lane) in LANES {
            let labels = RouteLane { route: route.to_owned(), lane };
            self.admitted.remove(&labels);
            self.wait.remove(&labels);
            for why in Why::ALL {
                let labels = RouteLaneReason { route: route.to_owned(), lane, reason: why.as_str() };
                self.refused.remove(&labels);
            }
        }
    }
}

impl LineMetrics {
    pub(super) fn admitted(&self, lane: Lane) {
        self.of(lane).admitted.inc();
    }

    pub(super) fn waited(&self, lane: Lane, wait: Duration) {
        self.of(lane).wait.observe(wait.as_secs_f64());
    }

    pub(super) fn refused(&self, lane: Lane, why: Why) {
        self.of(lane).refused[why as usize].inc();
    }

    fn of(&self, lane: Lane) -> &LaneMetrics {
        match lane {
            Lane::Interactive => &self.lanes[0],
            Lane::Batch => &self.lanes[1],
        }
    }
}

/// Reads the gauges when a scrape asks, so that no request pays for them.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Weak<Queues>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        let (lines, caps) = (home.lines(), home.caps());
        let of = |kind, name: &str| Of { kind, name: name.to_owned() };
        let in_use = lines.iter().map(|line| (of("route", &line.route), i64::from(line.in_use)));
        let in_use =
            in_use.chain(caps.iter().map(|cap| (of("upstream", &cap.upstream), i64::from(cap.in_use))));
        gauge(&mut encoder, "sluicegate_permits_in_use", "Permits held, by route and by upstream", in_use)?;
        let limit = lines.iter().map(|line| (of("route", &line.route), line.concurrent));
        let limit = limit.chain(caps.iter().map(|cap| (of("upstream", &cap.upstream), cap.concurrent)));
        let limit = limit.filter_map(|(of, limit)| Some((of, i64::from(limit?))));
        gauge(&mut encoder, "sluicegate_permits_limit", "Permits there are, where limited", limit)?;
        let waiting = lines.iter().flat_map(|line| {
            let of = |lane| RouteLane { route: line.route.clone(), lane };
            [(of(LANES[0].1), line.waiting_interactive), (of(LANES[1].1), line.waiting_batch)]
        });
        let waiting = waiting.map(|(of, n)| (of, i64::try_from(n).unwrap_or(i64::MAX)));
        gauge(&mut encoder, "sluicegate_queue_waiting", "Requests that wait, by route and lane", waiting)?;
        let route = |route: &str| Route { route: route.to_owned() };
        let bytes = lines
            .iter()
            .map(|line| (route(&line.route), i64::try_from(line.waiting_bytes).unwrap_or(i64::MAX)));
        gauge(&mut encoder, "sluicegate_queue_bytes", "Bytes of request bodies that wait, by route", bytes)?;
        let steps = lines.iter().map(|line| (route(&line.route), i64::from(line.shed_step)));
        gauge(
            &mut encoder,
            "sluicegate_shed_step",
            "What is shed: 0 nothing, 1 half of batch, 2 batch, 3 and a quarter of interactive, 4 and half of it",
            steps,
        )?;
        let pressure = lines.iter().map(|line| (route(&line.route), f64::from(line.pressure)));
        gauge(&mut encoder, "sluicegate_pressure", "How hard pressed a route is, 0 to 1", pressure)
    }
}

fn gauge<L, N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, N)>,
) -> Result<(), std::fmt::Error>
where
    L: EncodeLabelSet,
    ConstGauge<N>: EncodeMetric,
{
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
