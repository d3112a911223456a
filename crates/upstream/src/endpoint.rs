//! One place an upstream is reached at, and whether it is fit to be used.
//!
//! Health is told from two sides. Active probes say whether it answers at all; its
//! [`Breaker`](crate::breaker) leaves it out for a while when requests to it fail. One that serves
//! other [`pins`](crate::pins) than it should may be left out as well. All are small atomics that
//! all workers read live. How they weigh against each other stands in [`choose`](crate::choose).

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, uri::Authority};
use parking_lot::Mutex;
use sluicegate_core::Chance;

use crate::{
    breaker::{Breaker, Kind, Pass, Rule},
    input::Protocol,
    metrics::{EndpointGauges, EndpointMetrics},
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
    pub(crate) receive_buffer: Option<u32>,
    addresses: ArcSwap<Vec<SocketAddr>>,
    next_address: AtomicUsize,
    /// Rises when an address is no longer one of the name's: connections made before lead to where
    /// nobody may be.
    moved: AtomicU64,
    /// Whose probes count: those of the upstream that the present snapshot has. A request
    /// that outlives its snapshot keeps a former one alive, and its probes with it.
    prober: Mutex<u64>,
    probed_down: AtomicBool,
    /// It serves other pins than it should, and gets no requests for that.
    left_out: AtomicBool,
    pub(crate) breaker: Breaker,
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
            receive_buffer: settings.receive_buffer,
            addresses: ArcSwap::from_pointee(settings.addresses.clone()),
            next_address: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            prober: Mutex::new(0),
            probed_down: AtomicBool::new(false),
            left_out: AtomicBool::new(false),
            breaker: Breaker::new(),
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
            let gone = known.iter().any(|address| !addresses.contains(address));
            self.addresses.store(Arc::new(addresses));
            if gone {
                self.moved.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// How often it has moved away from an address.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Acquire)
    }

    /// Whether the host is a name that may resolve to something else later.
    pub(crate) fn is_named(&self) -> bool {
        self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
    }

    /// Whether the probes find that it answers.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.probed_down.load(Ordering::Relaxed)
    }

    /// Whether it gets no requests since it serves other pins than it should.
    pub(crate) fn is_left_out(&self) -> bool {
        self.left_out.load(Ordering::Acquire)
    }

    /// Leaves it out from now on since it serves other pins than it should, or no longer.
    pub(crate) fn leave_out(&self, out: bool) {
        if self.left_out.swap(out, Ordering::AcqRel) != out {
            self.show();
        }
    }

    /// Whether requests should go here.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.is_healthy() && !self.is_left_out() && self.breaker.kind() == Kind::Closed
    }

    /// What a person is told about it: `healthy`, `mismatch` (it serves other pins than it should
    /// and gets no requests), `unhealthy` (probes), and of one at which requests failed `open` (it
    /// gets none) or `half_open` (it gets a few).
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.breaker.kind() {
            _ if self.is_left_out() => "mismatch",
            _ if !self.is_healthy() => "unhealthy",
            Kind::Closed => "healthy",
            kind => Kind::NAMES[kind as usize],
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

    /// Its breaker does something else from now on.
    fn changed(&self, to: Kind) {
        self.metrics.transitions[to as usize].inc();
        self.show();
        match to {
            Kind::Open => {
                tracing::warn!(endpoint = %self.text, "endpoint left out: requests to it failed");
            }
            Kind::HalfOpen => tracing::debug!(endpoint = %self.text, "endpoint is tried again"),
            Kind::Closed => tracing::info!(endpoint = %self.text, "endpoint is used again"),
        }
    }

    /// It runs from now on: shows itself in its gauges.
    pub(crate) fn begin(&self, gauges: impl FnOnce() -> EndpointGauges) {
        self.metrics.gauges.get_or_init(gauges);
        self.show();
    }

    fn show(&self) {
        if let Some(gauges) = self.metrics.gauges.get() {
            gauges.available.set(i64::from(self.is_available()));
            gauges.breaker.set(self.breaker.kind() as i64);
        }
    }
}

/// One try at an endpoint, until its breaker has been told how it ended. Dropped before that, it
/// says nothing of the endpoint.
#[derive(Debug)]
pub(crate) struct Trial {
    endpoint: Arc<Endpoint>,
    pass: Option<Pass>,
}

impl Trial {
    /// A try, if the breaker lets it through; else how long until it does.
    pub(crate) fn begin(endpoint: &Arc<Endpoint>, rule: &Rule) -> Result<Self, Duration> {
        let (pass, changed) = endpoint.breaker.pass(rule)?;
        changed.inspect(|to| endpoint.changed(*to));
        Ok(Self { endpoint: endpoint.clone(), pass: Some(pass) })
    }

    /// The endpoint answered, and it was no gateway error.
    pub(crate) fn succeeded(&mut self, rule: &Rule) {
        let Some(pass) = self.pass.take() else { return };
        self.breaker.succeeded(pass, rule).inspect(|to| self.changed(*to));
    }

    /// The endpoint failed: no connection, a reset, a timeout, a 502, 503 or 504.
    pub(crate) fn failed(&mut self, rule: &Rule, chance: &Chance) {
        let Some(pass) = self.pass.take() else { return };
        self.breaker.failed(pass, rule, chance).inspect(|to| self.changed(*to));
    }
}

impl Deref for Trial {
    type Target = Arc<Endpoint>;

    fn deref(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(pass) = self.pass {
            self.breaker.gave_up(pass);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
