//! Where queues and caps live while configurations come and go.

use std::{collections::HashMap, fmt::Debug, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_core::Chance;
use tokio::time::Instant;

use super::{
    cap::Cap,
    limits::Limits,
    line::Line,
    metrics::{Gauges, Metrics},
    status::{CapStatus, LineStatus},
};

/// How long a queue or a cap is kept after the last plan that named it: a reload that takes a
/// route out by mistake and one that puts it back find the same counts.
const KEPT: Duration = Duration::from_secs(600);

/// The queues of all routes and the caps of all upstreams, by name.
#[derive(Debug)]
pub struct Queues {
    lines: Mutex<Named<Line>>,
    caps: Mutex<Named<Cap>>,
    chance: Arc<Chance>,
    metrics: Metrics,
}

impl Queues {
    /// An empty home, with its metrics in `registry`.
    pub fn new(chance: Arc<Chance>, registry: &mut Registry) -> Arc<Self> {
        let metrics = Metrics::register(registry);
        let home = Arc::new(Self { lines: Mutex::default(), caps: Mutex::default(), chance, metrics });
        registry.register_collector(Box::new(Gauges(Arc::downgrade(&home))));
        home
    }

    /// The queue of that route: the one there is, as it is, else a new one with these limits.
    ///
    /// A plan is built with it, and may be given up again; so it changes nothing that is in
    /// use. Once the plan holds, [`Line::set`] gives the queue its limits.
    pub fn line(&self, route: &str, limits: Limits) -> Arc<Line> {
        let make = || Line::new(route, limits, self.chance.clone(), self.metrics.of_line(route));
        self.lines.lock().named(route, make)
    }

    /// The cap of that upstream: the one there is, as it is, else a new one with this limit;
    /// `None`: it only counts. [`Cap::set_limit`] gives it another.
    pub fn upstream(&self, name: &str, limit: Option<u32>) -> Arc<Cap> {
        self.caps.lock().named(name, || Cap::new(name, limit))
    }

    /// Forgets what no plan has named, and nobody holds, for ten minutes. Call it now and then.
    pub fn sweep(&self, now: Instant) {
        let gone = self.lines.lock().sweep(now);
        for line in gone {
            self.metrics.forget_line(line.name());
        }
        self.caps.lock().sweep(now);
    }

    /// Every queue, by name.
    #[must_use]
    pub fn lines(&self) -> Vec<LineStatus> {
        let lines = self.lines.lock().all();
        lines.iter().map(|line| line.status()).collect()
    }

    /// Every upstream's cap, by name.
    #[must_use]
    pub fn caps(&self) -> Vec<CapStatus> {
        let status = |cap: &Arc<Cap>| CapStatus {
            upstream: cap.name().to_owned(),
            in_use: cap.in_use(),
            concurrent: cap.limit(),
        };
        self.caps.lock().all().iter().map(status).collect()
    }
}

/// Things by name, and since when nobody else holds them.
#[derive(Debug)]
struct Named<T>(HashMap<Box<str>, (Arc<T>, Option<Instant>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Named<T> {
    /// The thing of that name; made where there is none.
    fn named(&mut self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some((thing, unused)) = self.0.get_mut(name) {
            *unused = None;
            return thing.clone();
        }
        let thing = Arc::new(make());
        self.0.insert(name.into(), (thing.clone(), None));
        thing
    }

    fn sweep(&mut self, now: Instant) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        self.0.retain(|_, (thing, unused)| {
            if Arc::strong_count(thing) > 1 {
                *unused = None;
                return true;
            }
            let kept = now.saturating_duration_since(*unused.get_or_insert(now)) < KEPT;
            if !kept {
                gone.push(thing.clone());
            }
            kept
        });
        gone
    }

    /// What somebody else holds, by name. What a refused plan has made is not among it.
    fn all(&self) -> Vec<Arc<T>> {
        let held = self.0.iter().filter(|(_, (thing, _))| Arc::strong_count(thing) > 1);
        let mut all: Vec<_> = held.collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter().map(|(_, (thing, _))| thing.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
