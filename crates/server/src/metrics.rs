//! What an operator sees of connections. The names stand in the crate's documentation.

use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

use crate::load::{Load, Loads};

/// What ended a connection other than its client, its rest or a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the words of the label")]
pub(crate) enum Reason {
    /// The handshake failed.
    tls,
    /// What came was not HTTP.
    parse,
    /// The head was too large.
    too_large,
    /// The head was not whole in time.
    header_timeout,
    /// The client took nothing of its answer in time.
    write_stall,
    /// It began without a PROXY header, or came from nobody whose header is believed.
    proxy_protocol,
    /// The network, or a client that left in the middle of a message.
    io,
    /// The handler broke its answer off.
    aborted,
    /// The handler panicked.
    panic,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: String,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    connections: Family<ListenerLabel, Gauge>,
    accepted: Family<ListenerLabel, Counter>,
    errors: Family<ReasonLabel, Counter>,
    pub(crate) capped: Counter,
    pub(crate) accept_errors: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry, loads: &Arc<Loads>) -> Arc<Self> {
        let metrics = Self {
            connections: Family::default(),
            accepted: Family::default(),
            errors: Family::default(),
            capped: Counter::default(),
            accept_errors: Counter::default(),
        };
        // Shown at zero from the start, so that an alert sees the first one.
        for reason in [
            Reason::tls,
            Reason::parse,
            Reason::too_large,
            Reason::header_timeout,
            Reason::write_stall,
            Reason::proxy_protocol,
            Reason::io,
            Reason::aborted,
            Reason::panic,
        ] {
            let _ = metrics.errors.get_or_create(&ReasonLabel { reason });
        }
        registry.register("sluicegate_connections", "Open client connections", metrics.connections.clone());
        registry.register(
            "sluicegate_connections_accepted",
            "Client connections accepted",
            metrics.accepted.clone(),
        );
        registry.register(
            "sluicegate_connection_errors",
            "Client connections ended by an error",
            metrics.errors.clone(),
        );
        registry.register(
            "sluicegate_connections_capped",
            "Times that accepting paused at max_connections",
            metrics.capped.clone(),
        );
        registry.register(
            "sluicegate_accept_errors",
            "Failed accepts, such as for want of file descriptors",
            metrics.accept_errors.clone(),
        );
        registry.register_collector(Box::new(Workers(loads.clone())));
        Arc::new(metrics)
    }

    /// Errors are rare, so their counter is looked up.
    pub(crate) fn error(&self, reason: Reason) {
        self.errors.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The gauge and the counter of a listener.
    pub(crate) fn listener(&self, configured: &str) -> (Gauge, Counter) {
        let label = ListenerLabel { listener: configured.to_owned() };
        (self.connections.get_or_create_owned(&label), self.accepted.get_or_create_owned(&label))
    }
}

/// Reads the workers' records when asked, so that they can have cache lines of their own.
#[derive(Debug)]
struct Workers(Arc<Loads>);

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name, help, read: fn(&Load) -> usize| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (worker, load) in self.0.each().iter().enumerate() {
                let value = i64::try_from(read(load)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&[("worker", worker.to_string())])?)?;
            }
            Ok(())
        };
        gauge("sluicegate_worker_connections", "Open connections of a worker", Load::connections)?;
        gauge("sluicegate_worker_requests", "Requests in flight on a worker", Load::requests)
    }
}
