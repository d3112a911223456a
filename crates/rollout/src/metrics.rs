//! What a scrape shows of the rollouts' state.
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_rollout_phase{rollout,phase}` | 1 for the phase it is in, 0 for the others |
//! | `sluicegate_rollout_weight{rollout}` | percent of keys on the candidate, on this gateway |
//! | `sluicegate_rollout_epoch{rollout}`, `sluicegate_rollout_version{rollout}` | of the state that this gateway knows |
//! | `sluicegate_rollout_verdict{rollout,verdict}` | 1 for the verdict of the present window so far |
//! | `sluicegate_rollout_evidence{rollout,gate}` | log10 of the e-value that decides the gate |
//! | `sluicegate_rollout_samples{rollout,arm}` | samples in the present window |
//! | `sluicegate_rollout_decisions_total{rollout,act}` | decisions that this gateway made |
//! | `sluicegate_rollout_troubles{rollout}` | things that are not as they should be: a store that is away, an abort that only this gateway knows |

use std::{fmt, sync::Weak};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use sluicegate_core::arm::Role;

use crate::{
    home::{Home, Rollouts},
    machine::{Act, Phase},
    stats::Verdict,
    status::RolloutStatus,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    rollout: String,
    act: &'static str,
}

/// The counters. Gauges are read from the home itself when a scrape asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    decisions: Family<Decided, Counter>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self { decisions: Family::default() };
        registry.register(
            "sluicegate_rollout_decisions",
            "Decisions about rollouts that this gateway made",
            metrics.decisions.clone(),
        );
        metrics
    }

    pub(crate) fn decided(&self, rollout: &str, act: Act) {
        let labels = Decided { rollout: rollout.to_owned(), act: act.as_str() };
        self.decisions.get_or_create(&labels).inc();
    }
}

/// Reads the gauges when a scrape asks.
#[derive(Debug)]
pub(crate) struct Gauges(pub(crate) Weak<Home>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        let all = Rollouts(home).status();
        let name = |status: &RolloutStatus| ("rollout", status.name.clone());
        let phases = all.iter().flat_map(|status| {
            Phase::NAMES.map(|phase| {
                ([name(status), ("phase", phase.into())], u64::from(status.phase.as_str() == phase))
            })
        });
        gauges(&mut encoder, "sluicegate_rollout_phase", "1 for the phase a rollout is in", phases)?;
        let help = "Percent of keys on the candidate of a rollout";
        let weights = all.iter().map(|status| ([name(status)], u64::from(status.weight)));
        gauges(&mut encoder, "sluicegate_rollout_weight", help, weights)?;
        let help = "The epoch of a rollout's assignments";
        gauges(
            &mut encoder,
            "sluicegate_rollout_epoch",
            help,
            all.iter().map(|status| ([name(status)], status.epoch)),
        )?;
        let help = "The version of a rollout's state";
        gauges(
            &mut encoder,
            "sluicegate_rollout_version",
            help,
            all.iter().map(|status| ([name(status)], status.version)),
        )?;
        let help = "What is not as it should be with a rollout";
        let troubles = all.iter().map(|status| ([name(status)], status.troubles.len() as u64));
        gauges(&mut encoder, "sluicegate_rollout_troubles", help, troubles)?;
        let judged = || all.iter().filter_map(|status| Some((status, status.progress.as_ref()?)));
        let verdicts = judged().flat_map(|(status, progress)| {
            VERDICTS.map(|verdict| {
                let is = u64::from(progress.verdict == verdict);
                ([name(status), ("verdict", verdict.as_str().into())], is)
            })
        });
        let help = "1 for the verdict of a rollout's present window so far";
        gauges(&mut encoder, "sluicegate_rollout_verdict", help, verdicts)?;
        let samples = judged().flat_map(|(status, progress)| {
            [Role::Active, Role::Candidate]
                .map(|role| ([name(status), ("arm", role.as_str().into())], progress.samples[role as usize]))
        });
        let help = "Samples in the present window of a rollout";
        gauges(&mut encoder, "sluicegate_rollout_samples", help, samples)?;
        let help = "log10 of the e-value that decides a gate of a rollout";
        let mut family =
            encoder.encode_descriptor("sluicegate_rollout_evidence", help, None, MetricType::Gauge)?;
        for (status, progress) in judged() {
            for gate in &progress.report.gates {
                let labels = [name(status), ("gate", gate.gate.as_str().into())];
                ConstGauge::new(gate.evidence).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

const VERDICTS: [Verdict; 5] =
    [Verdict::Pass, Verdict::Fail, Verdict::Abort, Verdict::Inconclusive, Verdict::InsufficientData];

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
