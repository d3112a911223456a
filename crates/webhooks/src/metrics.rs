//! What a scrape shows of webhooks; see the crate's documentation.

use std::{fmt, sync::Weak};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use crate::home::Home;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMessage {
    webhook: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTry {
    webhook: String,
    result: &'static str,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    Elsewhere,
    GivenUp,
    Dropped,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    Ok,
    Refused,
    Timeout,
    Unreachable,
}

const OUTCOMES: [&str; 4] = ["delivered", "elsewhere", "given_up", "dropped"];
const RESULTS: [&str; 4] = ["ok", "refused", "timeout", "unreachable"];

/// The counters of all webhooks.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    messages: Family<OfMessage, Counter>,
    tries: Family<OfTry, Counter>,
}

/// The counters of one webhook.
#[derive(Debug)]
pub(crate) struct Counts {
    messages: [Counter; 4],
    tries: [Counter; 4],
}

impl Counts {
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.messages[outcome as usize].inc();
    }

    pub(crate) fn dropped(&self, messages: u64) {
        self.messages[Outcome::Dropped as usize].inc_by(messages);
    }

    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.messages[outcome as usize].get()
    }

    pub(crate) fn tried(&self, result: Try) {
        self.tries[result as usize].inc();
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry, home: Weak<Home>) -> Self {
        let metrics = Self::default();
        registry.register(
            "sluicegate_webhook_messages",
            "Messages to webhooks, by how they ended",
            metrics.messages.clone(),
        );
        registry.register(
            "sluicegate_webhook_tries",
            "Tries to deliver them, by result",
            metrics.tries.clone(),
        );
        registry.register_collector(Box::new(Pending(home)));
        metrics
    }

    pub(crate) fn counts(&self, webhook: &str) -> Counts {
        let message =
            |outcome| self.messages.get_or_create_owned(&OfMessage { webhook: webhook.to_owned(), outcome });
        let tried = |result| self.tries.get_or_create_owned(&OfTry { webhook: webhook.to_owned(), result });
        Counts { messages: OUTCOMES.map(message), tries: RESULTS.map(tried) }
    }

    /// The series of a webhook that is no more.
    pub(crate) fn forget(&self, webhook: &str) {
        for outcome in OUTCOMES {
            self.messages.remove(&OfMessage { webhook: webhook.to_owned(), outcome });
        }
        for result in RESULTS {
            self.tries.remove(&OfTry { webhook: webhook.to_owned(), result });
        }
    }
}

/// Reads how many wait when a scrape asks.
#[derive(Debug)]
struct Pending(Weak<Home>);

impl Collector for Pending {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        let pending = home.pending();
        if pending.is_empty() {
            return Ok(());
        }
        let help = "Messages that are still to be delivered";
        let mut family =
            encoder.encode_descriptor("sluicegate_webhook_pending", help, None, MetricType::Gauge)?;
        for (webhook, pending) in pending {
            let gauge = ConstGauge::new(i64::try_from(pending).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("webhook", webhook)])?)?;
        }
        Ok(())
    }
}
