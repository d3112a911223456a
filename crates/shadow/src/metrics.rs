//! What a scrape shows of shadows.
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_shadow_requests_total{route,to,outcome}` | requests that could have been copied, and copies, by what became of them: `sampled_out`, `same_upstream` (a rollout has sent the request itself there); not sent for `rate`, `in_flight`, `body_too_large`, `memory`, `unsent` (the request's own body did not come to its end) or `queue_full`; sent without an answer for `breaker`, `unreachable`, `reset`, `timeout` or `answer_too_large`; `answered` |
//! | `sluicegate_shadow_unpaired_total{route,to,why}` | answers that were not compared: `no_primary`, `primary_too_large`, `memory`, `behind`, `failed` |
//! | `sluicegate_shadow_in_flight{route,to}` | copies on their way |
//! | `sluicegate_shadow_pairs_total{route,to,against,result}` | pairs that were judged: `same` or `differs`, against the `shadow` or the route's `own` upstream |
//! | `sluicegate_shadow_differences{route,to,against,class}` | pairs since the last reset that differ in this class; at most 200 classes, then `other` |
//! | `sluicegate_shadow_verdict{route,to,verdict}` | 1 for what the comparisons say |
//! | `sluicegate_shadow_held_bytes` | bytes of requests and answers held for all copies |
//!
//! The series of a shadow go when the running document no longer has it. The requests of the
//! copies themselves are counted as those of the upstream `shadow/NAME`.

use std::{collections::BTreeMap, fmt, sync::Weak};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use crate::{
    home::Home,
    ledger::Against,
    outcome::{Outcome, Unpaired},
    report::Verdict,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    route: String,
    to: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    route: String,
    to: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPair {
    route: String,
    to: String,
    against: &'static str,
    result: &'static str,
}

/// The counters of all shadows. Gauges are read from the home itself when a scrape asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<OfRequest, Counter>,
    unpaired: Family<OfAnswer, Counter>,
    pairs: Family<OfPair, Counter>,
}

const AGAINST: [Against; 2] = [Against::Shadow, Against::Own];
const RESULTS: [&str; 2] = ["same", "differs"];
const VERDICTS: [Verdict; 4] =
    [Verdict::Same, Verdict::Different, Verdict::Undecided, Verdict::InsufficientData];

/// The counters of one shadow.
#[derive(Debug)]
pub(crate) struct Counts {
    requests: [Counter; Outcome::ALL.len()],
    unpaired: [Counter; Unpaired::ALL.len()],
    pairs: [[Counter; 2]; 2],
}

impl Counts {
    pub(crate) fn add(&self, outcome: Outcome) {
        self.requests[outcome as usize].inc();
    }

    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.requests[outcome as usize].get()
    }

    pub(crate) fn not_paired(&self, why: Unpaired) {
        self.unpaired[why as usize].inc();
    }

    pub(crate) fn unpaired(&self) -> BTreeMap<&'static str, u64> {
        Unpaired::ALL.map(|why| (why.as_str(), self.unpaired[why as usize].get())).into()
    }

    pub(crate) fn paired(&self, against: Against, differs: bool) {
        self.pairs[usize::from(against == Against::Own)][usize::from(differs)].inc();
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry, home: Weak<Home>) -> Self {
        let metrics =
            Self { requests: Family::default(), unpaired: Family::default(), pairs: Family::default() };
        registry.register(
            "sluicegate_shadow_requests",
            "Requests that could have been copied, and copies, by what became of them",
            metrics.requests.clone(),
        );
        registry.register(
            "sluicegate_shadow_unpaired",
            "Answers that were not compared, by why",
            metrics.unpaired.clone(),
        );
        registry.register(
            "sluicegate_shadow_pairs",
            "Pairs of answers that were judged, by result",
            metrics.pairs.clone(),
        );
        registry.register_collector(Box::new(Gauges(home)));
        metrics
    }

    pub(crate) fn counts(&self, route: &str, to: &str) -> Counts {
        let (route, to) = (|| route.to_owned(), || to.to_owned());
        let request = |outcome: Outcome| {
            let labels = OfRequest { route: route(), to: to(), outcome: outcome.as_str() };
            self.requests.get_or_create(&labels).clone()
        };
        let answer = |why: Unpaired| {
            let labels = OfAnswer { route: route(), to: to(), why: why.as_str() };
            self.unpaired.get_or_create(&labels).clone()
        };
        let pair = |against: Against, result| {
            let labels = OfPair { route: route(), to: to(), against: against.as_str(), result };
            self.pairs.get_or_create(&labels).clone()
        };
        Counts {
            requests: Outcome::ALL.map(request),
            unpaired: Unpaired::ALL.map(answer),
            pairs: AGAINST.map(|against| RESULTS.map(|result| pair(against, result))),
        }
    }

    pub(crate) fn forget(&self, route: &str, to: &str) {
        let (route, to) = (|| route.to_owned(), || to.to_owned());
        for outcome in Outcome::ALL {
            self.requests.remove(&OfRequest { route: route(), to: to(), outcome: outcome.as_str() });
        }
        for why in Unpaired::ALL {
            self.unpaired.remove(&OfAnswer { route: route(), to: to(), why: why.as_str() });
        }
        for against in AGAINST {
            for result in RESULTS {
                let against = against.as_str();
                self.pairs.remove(&OfPair { route: route(), to: to(), against, result });
            }
        }
    }
}

/// Reads the gauges when a scrape asks.
#[derive(Debug)]
struct Gauges(Weak<Home>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        let states = home.states();
        let bytes = u64::try_from(home.room.taken()).unwrap_or(u64::MAX);
        let help = "Bytes of requests and answers held for copies";
        gauges(&mut encoder, "sluicegate_shadow_held_bytes", help, [([] as [(&str, String); 0], bytes)])?;
        let of = |route: &str, to: &str| [("route", route.to_owned()), ("to", to.to_owned())];
        let on_their_way = states
            .iter()
            .map(|state| (of(&state.route, &state.to), u64::try_from(state.in_flight()).unwrap_or(u64::MAX)));
        gauges(&mut encoder, "sluicegate_shadow_in_flight", "Copies on their way", on_their_way)?;
        let reports: Vec<_> =
            states.iter().filter(|state| state.compares()).map(|it| (it, it.ledger.report())).collect();
        let verdicts = reports.iter().flat_map(|(state, report)| {
            let [route, to] = of(&state.route, &state.to);
            VERDICTS.map(|verdict| {
                let labels = [route.clone(), to.clone(), ("verdict", verdict.as_str().to_owned())];
                (labels, u64::from(report.verdict == verdict))
            })
        });
        let help = "1 for what the comparisons of a shadow say";
        gauges(&mut encoder, "sluicegate_shadow_verdict", help, verdicts)?;
        let differences = reports.iter().flat_map(|(state, report)| {
            let [route, to] = of(&state.route, &state.to);
            report.classes.iter().flat_map(move |class| {
                let (route, to) = (route.clone(), to.clone());
                [("shadow", class.shadow.differing), ("own", class.own.differing)].map(|(against, count)| {
                    let labels = [
                        route.clone(),
                        to.clone(),
                        ("against", against.to_owned()),
                        ("class", class.class.to_string()),
                    ];
                    (labels, count)
                })
            })
        });
        let help = "Pairs since the last reset that differ in this class";
        gauges(&mut encoder, "sluicegate_shadow_differences", help, differences)
    }
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
