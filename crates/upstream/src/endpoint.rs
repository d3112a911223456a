//! One place an upstream is reached at, and whether it is fit to be used.
//!
//! Health is told from two sides. Active probes say whether it answers at all; passive
//! ejection leaves it out for a while when requests to it fail in a row, twice as long each
//! time. Both are small atomics that all workers read live. Where no endpoint of an upstream
//! is fit, all are used: a probe that is wrong must not take a whole service down.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, uri::Authority};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::{
    input::{EjectionInput, Protocol},
    metrics::EndpointMetrics,
    settings::EndpointSettings,
    tls::ClientTls,
};

/// One endpoint; it outlives reloads that leave it in place.
#[derive(Debug)]
pub struct Endpoint {
    /// Never used twice in a process: workers key their pools by it.
    pub(crate) id: u64,
    pub(crate) text: Box<str>,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) authority: Authority,
    pub(crate) host_header: HeaderValue,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) metrics: EndpointMetrics,
    addresses: ArcSwap<Vec<SocketAddr>>,
    next_address: AtomicUsize,
    born: Instant,
    /// Whose probes count: those of the upstream that the present snapshot has. A request
    /// that outlives its snapshot keeps a former one alive, and its probes with it.
    prober: Mutex<u64>,
    probed_down: AtomicBool,
    failures: AtomicU32,
    ejections: AtomicU32,
    /// Milliseconds after `born`; 0 while it is not ejected.
    ejected_until: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Endpoint {
    pub(crate) fn new(settings: &EndpointSettings, protocol: Protocol, metrics: EndpointMetrics) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            text: settings.text.clone(),
            host: settings.host.clone(),
            port: settings.port,
            authority: settings.authority.clone(),
            host_header: settings.host_header.clone(),
            protocol,
            tls: settings.tls.clone(),
            metrics,
            addresses: ArcSwap::from_pointee(settings.addresses.clone()),
            next_address: AtomicUsize::new(0),
            born: Instant::now(),
            prober: Mutex::new(0),
            probed_down: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        }
    }

    /// The addresses to try, beginning with another one each time.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let mut addresses = self.addresses.load().to_vec();
        if addresses.len() > 1 {
            let first = self.next_address.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(first);
        }
        addresses
    }

    pub(crate) fn set_addresses(&self, mut addresses: Vec<SocketAddr>) {
        addresses.sort_unstable();
        let mut known = self.addresses.load().to_vec();
        known.sort_unstable();
        if !addresses.is_empty() && addresses != known {
            tracing::info!(endpoint = %self.text, ?addresses, "the name resolves to other addresses now");
            self.addresses.store(Arc::new(addresses));
        }
    }

    /// Whether the host is a name that may resolve to something else later.
    pub(crate) fn is_named(&self) -> bool {
        self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether requests should go here.
    #[must_use]
    pub fn is_available(&self) -> bool {
        if self.probed_down.load(Ordering::Relaxed) {
            return false;
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        until == 0 || self.millis() >= until
    }

    /// What a person is told about it: `healthy`, `unhealthy` (probes) or `ejected` (requests).
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.probed_down.load(Ordering::Relaxed) {
            "unhealthy"
        } else if self.is_available() {
            "healthy"
        } else {
            "ejected"
        }
    }

    /// From now on only what `prober` finds counts. Without probes nothing would ever say that
    /// it is up again: then it is up.
    pub(crate) fn entrust(&self, prober: u64, watched: bool) {
        *self.prober.lock() = prober;
        if !watched {
            self.probed(prober, true);
        }
    }

    /// Whether the probes of `prober` count.
    pub(crate) fn is_entrusted(&self, prober: u64) -> bool {
        *self.prober.lock() == prober
    }

    /// What `prober` found. Returns whether that counts and is news.
    pub(crate) fn probed(&self, prober: u64, up: bool) -> bool {
        // Held until it is written: no verdict of a former prober can come in after the hand-over.
        let entrusted = self.prober.lock();
        if *entrusted != prober {
            return false;
        }
        let news = self.probed_down.swap(!up, Ordering::Relaxed) == up;
        if news {
            self.show();
        }
        news
    }

    /// A request got a whole answer that was no gateway error.
    pub(crate) fn succeeded(&self) {
        // Looked at before it is written: the line stays shared between workers.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until != 0 && self.millis() >= until {
            self.ejected_until.store(0, Ordering::Relaxed);
            self.ejections.store(0, Ordering::Relaxed);
            self.show();
        }
    }

    /// A request failed: no connection, a reset, a 502, 503 or 504.
    pub(crate) fn failed(&self, rule: &EjectionInput) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if rule.consecutive == 0 || failures < rule.consecutive || !self.is_available() {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        let times = self.ejections.fetch_add(1, Ordering::Relaxed).min(16);
        let length = rule.base.0.saturating_mul(1 << times).min(rule.max.0).max(Duration::from_millis(1));
        let until = self.millis().saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        self.ejected_until.store(until, Ordering::Relaxed);
        self.metrics.ejections.inc();
        self.show();
        tracing::warn!(endpoint = %self.text, ?length, "endpoint left out: {} requests in a row failed", rule.consecutive);
    }

    /// It runs from now on: shows itself in its gauge.
    pub(crate) fn begin(&self, gauge: impl FnOnce() -> Gauge) {
        self.metrics.available.get_or_init(gauge);
        self.show();
    }

    fn show(&self) {
        if let Some(gauge) = self.metrics.available.get() {
            gauge.set(i64::from(self.is_available()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;
    use sluicegate_core::units::Span;
    use tokio::time::advance;

    use super::Endpoint;
    use crate::{
        input::{EjectionInput, Protocol},
        metrics::UpstreamMetrics,
        settings::EndpointSettings,
    };

    fn endpoint() -> Endpoint {
        let metrics = UpstreamMetrics::register(&mut Registry::default());
        let settings = EndpointSettings {
            text: "http://127.0.0.1:1".into(),
            host: "127.0.0.1".into(),
            port: 1,
            authority: "127.0.0.1:1".parse().unwrap(),
            host_header: http::HeaderValue::from_static("127.0.0.1:1"),
            addresses: vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 2], 1).into()],
            tls: None,
        };
        Endpoint::new(&settings, Protocol::Auto, metrics.handles("u"))
    }

    const RULE: EjectionInput = EjectionInput { consecutive: 3, base: Span::secs(10), max: Span::secs(30) };

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_leave_it_out_longer_each_time() {
        let endpoint = endpoint();
        for expected in [10, 20, 30, 30] {
            for _ in 0..3 {
                assert!(endpoint.is_available());
                endpoint.failed(&RULE);
            }
            assert_eq!(endpoint.state(), "ejected");
            advance(Duration::from_millis(expected * 1000 - 1)).await;
            assert!(!endpoint.is_available());
            advance(Duration::from_millis(1)).await;
            assert!(endpoint.is_available());
        }
        endpoint.succeeded();
        (0..3).for_each(|_| endpoint.failed(&RULE));
        advance(Duration::from_secs(10)).await;
        assert!(endpoint.is_available(), "a success starts the lengths anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_keeps_it() {
        let endpoint = endpoint();
        for _ in 0..10 {
            endpoint.failed(&RULE);
            endpoint.failed(&RULE);
            endpoint.succeeded();
        }
        assert!(endpoint.is_available());
    }

    #[tokio::test]
    async fn probes_are_told_apart_from_news() {
        let endpoint = endpoint();
        endpoint.entrust(1, true);
        assert!(!endpoint.probed(1, true));
        assert!(endpoint.probed(1, false));
        assert!(!endpoint.probed(1, false));
        assert_eq!(endpoint.state(), "unhealthy");
        assert!(endpoint.probed(1, true));
    }

    #[tokio::test]
    async fn only_the_present_prober_is_heard() {
        let endpoint = endpoint();
        endpoint.entrust(1, true);
        assert!(endpoint.probed(1, false));
        endpoint.entrust(2, true);
        assert!(!endpoint.probed(1, true));
        assert_eq!(endpoint.state(), "unhealthy", "what is known stays known");
        endpoint.entrust(3, false);
        assert!(!endpoint.probed(2, false));
        assert_eq!(endpoint.state(), "healthy", "nobody probes it any more");
    }

    #[tokio::test]
    async fn addresses_take_turns() {
        let endpoint = endpoint();
        let first: Vec<_> = (0..4).map(|_| endpoint.addresses()[0]).collect();
        assert_eq!(first[0], first[2]);
        assert_ne!(first[0], first[1]);
    }
}
