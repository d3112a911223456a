//! The upstreams of a snapshot, and what is carried over to the next one.
//!
//! A reload makes new [`Upstream`]s, but an endpoint that is reached in the same way stays the
//! same [`Endpoint`]: its connections in every worker, its breaker and what is known of its health
//! go on. What an endpoint has told of its pins holds as long as these stay. An upstream of the same
//! name keeps its retry budget, and what it has learned of sessions.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sluicegate_core::pins::Pins;

use crate::{
    affinity::Affinity,
    breaker::Rule,
    endpoint::Endpoint,
    health,
    input::HealthInput,
    metrics::{RetryMetrics, UpstreamMetrics},
    pins::{Pinned, Terms, Told},
    retry::budget::RetryBudget,
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
    pub(crate) breaker: Rule,
    /// The statuses by which it promises that nothing was done.
    pub(crate) not_applied: Box<[u16]>,
    pub(crate) max_idle: usize,
    /// What an HTTP/1.1 connection buffers each way; an answer's head has to fit in.
    pub(crate) buffer: usize,
    /// None where each request goes to any endpoint.
    pub(crate) affinity: Option<Affinity>,
    pub(crate) resolve: Duration,
    pub(crate) pins: Arc<Pins>,
    /// None where it has no pins.
    pub(crate) pinned: Option<Pinned>,
    pub(crate) budget: Arc<RetryBudget>,
    pub(crate) metrics: RetryMetrics,
}

impl Upstream {
    /// Its name in the document.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Each endpoint as written, and its state, as [`Endpoint::state`] words it.
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
    known: Mutex<Known>,
    side: tokio::runtime::Handle,
}

/// What outlives a reload.
#[derive(Clone, Debug, Default)]
struct Known {
    endpoints: BTreeMap<Key, Arc<Endpoint>>,
    told: BTreeMap<Key, Arc<Told>>,
    budgets: BTreeMap<Box<str>, Arc<RetryBudget>>,
    affinities: BTreeMap<Box<str>, Affinity>,
}

/// Upstreams that are ready to be used but are not yet.
#[derive(Debug)]
pub struct Prepared {
    upstreams: BTreeMap<Box<str>, Arc<Upstream>>,
    known: Known,
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
        let mut prepared = Prepared { upstreams: BTreeMap::new(), known: Known::default() };
        for upstream in settings {
            let mut told = Vec::new();
            let terms = Terms {
                pins: upstream.pins.clone(),
                manifest: upstream.manifest.as_ref().map(|manifest| manifest.path.clone()),
                refuse: upstream.refuse,
            };
            let endpoints: Vec<_> = upstream
                .endpoints
                .iter()
                .map(|endpoint| {
                    let key = (upstream.name.clone(), endpoint.text.clone(), upstream.identity.clone());
                    let kept = known.endpoints.get(&key).cloned().unwrap_or_else(|| {
                        let handles = self.metrics.handles(&upstream.name);
                        Arc::new(Endpoint::new(endpoint, upstream.protocol, handles))
                    });
                    kept.set_addresses(endpoint.addresses.clone());
                    if !upstream.pins.is_empty() {
                        let it = self.told(&kept, &upstream.name, &terms, known.told.get(&key));
                        prepared.known.told.insert(key.clone(), it.clone());
                        told.push(it);
                    }
                    prepared.known.endpoints.insert(key, kept.clone());
                    kept
                })
                .collect();
            let budget = known.budgets.get(&upstream.name).cloned();
            let budget = budget.unwrap_or_else(|| Arc::new(RetryBudget::new()));
            prepared.known.budgets.insert(upstream.name.clone(), budget.clone());
            let affinity = upstream.affinity.map(|from| {
                let same = known.affinities.get(&upstream.name).filter(|known| known.from == from);
                same.cloned().unwrap_or_else(|| Affinity { from, learned: crate::affinity::learned() })
            });
            if let Some(affinity) = &affinity {
                prepared.known.affinities.insert(upstream.name.clone(), affinity.clone());
            }
            let made = Upstream {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                name: upstream.name.clone(),
                endpoints,
                health: upstream.health,
                breaker: upstream.breaker,
                not_applied: upstream.not_applied,
                max_idle: upstream.max_idle,
                buffer: upstream.buffer,
                affinity,
                resolve: upstream.resolve,
                pins: upstream.pins,
                pinned: (!told.is_empty()).then(|| Pinned { manifest: upstream.manifest, told: told.into() }),
                budget,
                metrics: self.metrics.retries(&upstream.name),
            };
            prepared.upstreams.insert(upstream.name, Arc::new(made));
        }
        prepared
    }

    /// What `endpoint` has told under these terms; of what it told under others, what still holds.
    fn told(
        &self,
        endpoint: &Arc<Endpoint>,
        upstream: &str,
        terms: &Terms,
        former: Option<&Arc<Told>>,
    ) -> Arc<Told> {
        match former {
            Some(former) if former.terms == *terms => former.clone(),
            _ => {
                let (metrics, former) = (self.metrics.pins(upstream), former.map(AsRef::as_ref));
                Arc::new(Told::new(endpoint.clone(), terms.clone(), metrics, former))
            }
        }
    }

    /// Makes the prepared upstreams the present ones: starts their probes and forgets the
    /// endpoints that are no longer named.
    pub fn commit(&self, prepared: &Prepared) {
        let mut known = self.known.lock();
        let next = &prepared.known.endpoints;
        for (key, _) in known.endpoints.iter().filter(|(key, _)| !next.contains_key(*key)) {
            if !next.keys().any(|(name, text, _)| (name, text) == (&key.0, &key.1)) {
                self.metrics.forget(&key.0, &key.1);
            }
        }
        let next = &prepared.known.told;
        for (key, told) in &known.told {
            if next.get(key).is_none_or(|it| !Arc::ptr_eq(it, told)) {
                told.retire();
            }
            if !next.keys().any(|(name, text, _)| (name, text) == (&key.0, &key.1)) {
                self.metrics.forget_pins(&key.0, &key.1);
            }
        }
        known.clone_from(&prepared.known);
        for upstream in prepared.upstreams.values() {
            for endpoint in &upstream.endpoints {
                endpoint.entrust(upstream.id, upstream.health.is_some());
                endpoint.begin(|| self.metrics.gauges(&upstream.name, &endpoint.text));
            }
            for told in upstream.pinned.iter().flat_map(|pinned| &pinned.told) {
                told.begin();
            }
            health::watch(upstream, &self.side);
        }
    }
}
