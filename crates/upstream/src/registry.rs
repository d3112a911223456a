//! The upstreams of a snapshot, and what is carried over to the next one.
//!
//! A reload makes new [`Upstream`]s, but an endpoint that is reached in the same way stays the
//! same [`Endpoint`]: its connections in every worker and what is known of its health go on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    endpoint::Endpoint,
    health,
    input::{EjectionInput, HealthInput},
    metrics::UpstreamMetrics,
    settings::UpstreamSettings,
};

/// A named pool of endpoints, as one snapshot sees it.
#[derive(Debug)]
pub struct Upstream {
    /// Never used twice in a process: whose probes an endpoint heeds.
    pub(crate) id: u64,
    pub(crate) name: Box<str>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) health: Option<HealthInput>,
    pub(crate) ejection: EjectionInput,
    pub(crate) max_idle: usize,
}

impl Upstream {
    /// Its name in the document.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Each endpoint as written, and its state: `healthy`, `unhealthy` or `ejected`.
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.endpoints.iter().map(|endpoint| (&*endpoint.text, endpoint.state()))
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

type Key = (Box<str>, Box<str>, String);

/// The home of endpoints across reloads.
#[derive(Debug)]
pub struct Upstreams {
    metrics: UpstreamMetrics,
    known: Mutex<BTreeMap<Key, Arc<Endpoint>>>,
    side: tokio::runtime::Handle,
}

/// Upstreams that are ready to be used but are not yet.
#[derive(Debug)]
pub struct Prepared {
    upstreams: BTreeMap<Box<str>, Arc<Upstream>>,
    endpoints: BTreeMap<Key, Arc<Endpoint>>,
}

impl Prepared {
    /// The upstream of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name)
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }
}

impl Upstreams {
    /// An empty home. Probes will run on `side`.
    #[must_use]
    pub fn new(metrics: UpstreamMetrics, side: tokio::runtime::Handle) -> Self {
        Self { metrics, known: Mutex::default(), side }
    }

    /// Builds the upstreams of a new snapshot. Nothing changes for the present one.
    pub fn prepare(&self, settings: Vec<UpstreamSettings>) -> Prepared {
        let known = self.known.lock();
        let mut prepared = Prepared { upstreams: BTreeMap::new(), endpoints: BTreeMap::new() };
        for upstream in settings {
            let endpoints: Vec<_> = upstream
                .endpoints
                .iter()
                .map(|endpoint| {
                    let key = (upstream.name.clone(), endpoint.text.clone(), upstream.identity.clone());
                    let kept = known.get(&key).cloned().unwrap_or_else(|| {
                        let handles = self.metrics.handles(&upstream.name);
                        Arc::new(Endpoint::new(endpoint, upstream.protocol, handles))
                    });
                    kept.set_addresses(endpoint.addresses.clone());
                    prepared.endpoints.insert(key, kept.clone());
                    kept
                })
                .collect();
            let made = Upstream {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                name: upstream.name.clone(),
                endpoints,
                health: upstream.health,
                ejection: upstream.ejection,
                max_idle: upstream.max_idle,
            };
            prepared.upstreams.insert(upstream.name, Arc::new(made));
        }
        prepared
    }

    /// Makes the prepared upstreams the present ones: starts their probes and forgets the
    /// endpoints that are no longer named.
    pub fn commit(&self, prepared: &Prepared) {
        let mut known = self.known.lock();
        for (key, _) in known.iter().filter(|(key, _)| !prepared.endpoints.contains_key(*key)) {
            if !prepared.endpoints.keys().any(|(name, text, _)| (name, text) == (&key.0, &key.1)) {
                self.metrics.forget(&key.0, &key.1);
            }
        }
        known.clone_from(&prepared.endpoints);
        for upstream in prepared.upstreams.values() {
            for endpoint in &upstream.endpoints {
                endpoint.entrust(upstream.id, upstream.health.is_some());
                endpoint.begin(|| self.metrics.available(&upstream.name, &endpoint.text));
            }
            health::watch(upstream, &self.side);
        }
    }
}
