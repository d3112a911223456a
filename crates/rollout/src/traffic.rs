//! What a scrape shows of the requests that rollouts and pins decided about.
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_rollout_requests_total{rollout,arm,how}` | arms chosen: by `weight`, `forced` by the header, by `pins`, as a `write`, or `closed` because nothing may reach the candidate |
//! | `sluicegate_rollout_errors_total{rollout,arm,kind}` | requests that failed: `status`, `no_answer`, `broke_off`, or `fell_back` to the active arm |
//! | `sluicegate_rollout_latency_seconds{rollout,arm}` | time to the head of good answers, all tries included |
//! | `sluicegate_rollout_abandoned_total{rollout,arm}` | requests dropped before their answer's head came |
//! | `sluicegate_pin_refusals_total{route,why}` | requests refused for their pins: `mismatch` or `malformed` |
//!
//! `arm` is the role at the time of the choice. These count every request, also those that are no
//! samples. They are kept per thread and put together when a scrape asks, so that no request
//! writes where another thread does. The series of a rollout go when it goes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, counter::Counter, family::Family},
    registry::Registry,
};
use sluicegate_core::Role;

use crate::{
    choice::How,
    recorder::{BUCKETS, Fault, Totals},
    view::Shared,
};

const ROLES: [Role; 2] = [Role::Active, Role::Candidate];

/// Why a request was refused for its pins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PinsRefused {
    Mismatch,
    Malformed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteWhy {
    route: String,
    why: &'static str,
}

/// The series of all rollouts; clones share them.
#[derive(Clone, Debug)]
pub struct Traffic(Arc<Series>);

#[derive(Debug, Default)]
struct Series {
    rollouts: Mutex<Vec<Weak<Shared>>>,
    refused: Family<RouteWhy, Counter>,
}

impl Traffic {
    /// Puts them into a registry: once for each.
    pub fn register(registry: &mut Registry) -> Self {
        let series = Arc::new(Series::default());
        registry.register(
            "sluicegate_pin_refusals",
            "Requests refused for the pins that they ask for, by route",
            series.refused.clone(),
        );
        registry.register_collector(Box::new(Shown(series.clone())));
        Self(series)
    }

    /// Shows a rollout until it is dropped.
    pub(crate) fn show(&self, shared: &Arc<Shared>) {
        let mut rollouts = self.0.rollouts.lock();
        rollouts.retain(|known| known.strong_count() > 0);
        rollouts.push(Arc::downgrade(shared));
    }

    pub(crate) fn refused(&self, route: &str, why: PinsRefused) {
        let why = match why {
            PinsRefused::Mismatch => "mismatch",
            PinsRefused::Malformed => "malformed",
        };
        self.0.refused.get_or_create(&RouteWhy { route: route.to_owned(), why }).inc();
    }
}

struct Shown(Arc<Series>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl Shown {
    /// By name and role. One that was dropped and made anew may be there twice for a while.
    fn totals(&self) -> BTreeMap<String, [Totals; 2]> {
        let rollouts: Vec<_> = self.0.rollouts.lock().iter().filter_map(Weak::upgrade).collect();
        let mut by_name: BTreeMap<String, [Totals; 2]> = BTreeMap::new();
        for shared in rollouts {
            let sums = by_name.entry(shared.name().to_owned()).or_default();
            sums.iter_mut().zip(&shared.recorder().totals()).for_each(|(sum, totals)| sum.add(totals));
        }
        by_name
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let totals = self.totals();
        let arms = || {
            let each = |(name, by_role): (&String, &[Totals; 2])| {
                ROLES.map(|role| (name.clone(), role.as_str(), by_role[role as usize].clone()))
            };
            totals.iter().flat_map(each)
        };
        let requests = arms().flat_map(|(name, arm, totals)| {
            How::ALL.map(|how| {
                let labels = [("rollout", name.clone()), ("arm", arm.into()), ("how", how.as_str().into())];
                (labels, totals.chosen[how as usize])
            })
        });
        let help = "Requests on routes with a rollout, by how their arm was chosen";
        counters(&mut encoder, "sluicegate_rollout_requests", help, requests)?;
        let errors = arms().flat_map(|(name, arm, totals)| {
            Fault::ALL.map(|fault| {
                let labels =
                    [("rollout", name.clone()), ("arm", arm.into()), ("kind", fault.as_str().into())];
                (labels, totals.errors[fault as usize])
            })
        });
        let help = "Requests that failed on an arm of a rollout";
        counters(&mut encoder, "sluicegate_rollout_errors", help, errors)?;
        let abandoned = arms()
            .map(|(name, arm, totals)| ([("rollout", name), ("arm", arm.to_owned())], totals.abandoned));
        let help = "Requests on an arm of a rollout that were dropped before their answer's head came";
        counters(&mut encoder, "sluicegate_rollout_abandoned", help, abandoned)?;
        let help = "Time until the head of good answers on an arm of a rollout, all tries included";
        let mut family = encoder.encode_descriptor(
            "sluicegate_rollout_latency_seconds",
            help,
            None,
            MetricType::Histogram,
        )?;
        for (name, arm, totals) in arms() {
            let labels = [("rollout", name), ("arm", arm.to_owned())];
            let bounds = BUCKETS.iter().map(|micros| seconds(*micros)).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(totals.latency).collect();
            let count = totals.latency.iter().sum();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds(totals.sum),
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
