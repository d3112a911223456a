//! Where all that shadows remember lives: it outlives every reload.
//!
//! [`Shadows`] is the registry of a gateway's shadows by route and upstream. What a reload must
//! not lose is here: the counters, how many copies are on their way, how much of the rate is used
//! up, and the [`Ledger`] of what comparisons found. A shadow that the running document no longer
//! has is forgotten, with its series, when that document is taken. One that compares by other
//! rules than before, or other upstreams, begins its ledger anew.
//!
//! # Metrics
//!
//! Those of requests and copies stand in [`metrics`](crate::metrics).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use prometheus_client::registry::Registry;
use schemars::JsonSchema;
use serde::Serialize;
use sluicegate_body::Budget;
use sluicegate_core::{Chance, Clock};

use crate::{
    input::ShadowSettings,
    ledger::{KeptPair, Ledger, LedgerSettings},
    metrics::{Counts, Metrics},
    outcome::Outcome,
    plan::{Shadowing, Targets},
    rate::Rate,
    report::{Report, Verdict},
    room::Room,
    runner::Runner,
};

/// What shadows are opened with.
#[derive(Debug)]
pub struct ShadowsOptions {
    /// Where the bodies that are held are accounted for.
    pub bodies: Budget,
    /// What time it is.
    pub clock: Clock,
    /// Where ids and samples come from.
    pub chance: Arc<Chance>,
}

/// The shadows of a gateway. A handle; clones share one home.
#[derive(Clone, Debug)]
pub struct Shadows(Arc<Home>);

type Name = (Box<str>, Box<str>);

#[derive(Debug)]
pub(crate) struct Home {
    states: Mutex<BTreeMap<Name, Arc<State>>>,
    metrics: Metrics,
    pub(crate) room: Room,
    pub(crate) clock: Clock,
    pub(crate) chance: Arc<Chance>,
    runner: OnceLock<Runner>,
}

/// What outlives a reload of one shadow.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) route: Box<str>,
    pub(crate) to: Box<str>,
    pub(crate) counts: Counts,
    pub(crate) ledger: Ledger,
    rate: Mutex<Rate>,
    in_flight: AtomicUsize,
    /// As it was written in the document that was taken last.
    shown: RwLock<Option<(f64, bool)>>,
    /// What the ledger's pairs are pairs of.
    compared: Mutex<Option<String>>,
}

/// The right of one copy to be on its way; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<State>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// One more of at most `max` copies at one time.
    pub(crate) fn place(self: &Arc<Self>, max: usize) -> Option<Place> {
        let more = |now: usize| (now < max).then_some(now + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(self.clone()))
    }

    /// Whether the rate lets one more through now.
    pub(crate) fn admits(&self, max_rps: Option<f64>) -> bool {
        max_rps.is_none_or(|max| self.rate.lock().admits(max))
    }

    /// The copies on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// How a shadow is doing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShadowStatus {
    /// The route whose requests are copied.
    pub route: String,
    /// The upstream that gets the copies.
    pub to: String,
    /// The share of requests that is copied, in percent.
    pub percent: f64,
    /// Whether answers are compared.
    pub compares: bool,
    /// Copies on their way.
    pub in_flight: usize,
    /// Requests and copies by what became of them, since the start.
    pub copies: BTreeMap<&'static str, u64>,
    /// Pairs that were not compared, by why.
    pub unpaired: BTreeMap<&'static str, u64>,
    /// What the comparisons say so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// A shadow's status, and all that its comparisons found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShadowReport {
    /// How it is doing.
    #[serde(flatten)]
    pub status: ShadowStatus,
    /// What its comparisons found; none where answers are not compared.
    pub report: Option<Report>,
}

impl Shadows {
    /// An empty home, with its metrics in `registry`.
    pub fn open(options: ShadowsOptions, registry: &mut Registry) -> Self {
        let ShadowsOptions { bodies, clock, chance } = options;
        Self(Arc::new_cyclic(|home: &Weak<Home>| Home {
            states: Mutex::default(),
            metrics: Metrics::register(registry, home.clone()),
            room: Room::within(bodies),
            clock,
            chance,
            runner: OnceLock::new(),
        }))
    }

    /// The part of one shadow in its route's plan. What runs does not change before the plan is
    /// [applied](Shadows::apply).
    #[must_use]
    pub fn shadowing(&self, route: &str, settings: ShadowSettings, targets: Targets) -> Arc<Shadowing> {
        let home = &*self.0;
        let name: Name = (route.into(), settings.to.clone());
        let mut states = home.states.lock();
        let state = states.get(&name).cloned().unwrap_or_else(|| {
            // What it keeps, and where, begins to hold when the plan is applied.
            let ledger = LedgerSettings::default();
            let state = State {
                route: name.0.clone(),
                to: name.1.clone(),
                counts: home.metrics.counts(route, &settings.to),
                ledger: Ledger::new(route, &settings.to, &ledger, home.now()),
                rate: Mutex::default(),
                in_flight: AtomicUsize::new(0),
                shown: RwLock::new(None),
                compared: Mutex::default(),
            };
            let state = Arc::new(state);
            states.insert(name, state.clone());
            state
        });
        Arc::new(Shadowing::new(state, settings, targets))
    }

    /// From now on these shadows are the ones there are. The threads are started with the first of
    /// them; where the system refuses them no copy is sent, and each is counted as `queue_full`.
    pub fn apply(&self, shadowings: &[Arc<Shadowing>]) {
        let home = &*self.0;
        home.room.follow();
        home.states.lock().retain(|_, state| {
            let named = shadowings.iter().any(|it| Arc::ptr_eq(&it.state, state));
            if !named {
                home.metrics.forget(&state.route, &state.to);
            }
            named
        });
        for shadowing in shadowings {
            let settings = &shadowing.settings;
            *shadowing.state.shown.write() = Some((settings.percent, settings.compare.is_some()));
            let ledger = settings.compare.as_ref().map(|compare| compare.ledger.clone());
            shadowing.state.ledger.set(&ledger.unwrap_or_else(LedgerSettings::default));
            // One that does not compare for a while keeps what its pairs were pairs of.
            let Some(now) = &shadowing.compared else { continue };
            if shadowing.state.compared.lock().replace(now.clone()).is_some_and(|before| before != *now) {
                shadowing.state.ledger.reset(home.now());
            }
        }
        if !shadowings.is_empty() && home.runner.get().is_none() {
            match Runner::start(home.room.clone(), home.clock.clone(), home.chance.clone()) {
                Ok(runner) => drop(home.runner.set(runner)),
                Err(error) => tracing::error!(%error, "no copies are sent: their threads cannot be started"),
            }
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.0
    }

    /// Every shadow, by route and upstream.
    #[must_use]
    pub fn status(&self) -> Vec<ShadowStatus> {
        self.0.states().iter().filter_map(|state| state.status()).collect()
    }

    /// The reports of a route's shadows; empty where it has none.
    #[must_use]
    pub fn report(&self, route: &str) -> Vec<ShadowReport> {
        let all = self.0.states();
        let of_route = all.iter().filter(|state| &*state.route == route);
        of_route
            .filter_map(|state| {
                let status = state.status()?;
                let report = status.compares.then(|| state.ledger.report());
                Some(ShadowReport { status, report })
            })
            .collect()
    }

    /// The last differing pairs of a route's shadow to that upstream.
    #[must_use]
    pub fn pairs(&self, route: &str, to: &str) -> Option<Vec<Arc<KeptPair>>> {
        Some(self.0.state(route, to)?.ledger.pairs())
    }

    /// What the comparisons of a route's shadow to that upstream say; none where there is no such
    /// shadow, or it does not compare.
    #[must_use]
    pub fn verdict(&self, route: &str, to: &str) -> Option<Verdict> {
        let state = self.0.state(route, to)?;
        state.compares().then(|| state.ledger.verdict())
    }

    /// Forgets what the comparisons of a route's shadow to that upstream found, for a version
    /// that has just been put there; false where there is no such shadow.
    #[must_use]
    pub fn reset(&self, route: &str, to: &str) -> bool {
        let Some(state) = self.0.state(route, to) else { return false };
        state.ledger.reset(self.0.now());
        true
    }

    /// The logs of differing pairs are opened anew: somebody has moved them away.
    pub fn reopen_logs(&self) {
        for state in self.0.states() {
            state.ledger.reopen_log();
        }
    }
}

impl Home {
    pub(crate) fn states(&self) -> Vec<Arc<State>> {
        self.states.lock().values().cloned().collect()
    }

    fn state(&self, route: &str, to: &str) -> Option<Arc<State>> {
        self.states.lock().get(&(route.into(), to.into()) as &Name).cloned()
    }

    fn now(&self) -> Timestamp {
        // Past the year 9999 nothing is dated.
        Timestamp::try_from(self.clock.now()).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn runner(&self) -> Option<&Runner> {
        self.runner.get()
    }
}

impl State {
    /// Whether its answers are compared.
    pub(crate) fn compares(&self) -> bool {
        self.shown.read().is_some_and(|(_, compares)| compares)
    }

    /// None for one that a document named which was not taken.
    fn status(&self) -> Option<ShadowStatus> {
        let (percent, compares) = (*self.shown.read())?;
        Some(ShadowStatus {
            route: self.route.to_string(),
            to: self.to.to_string(),
            percent,
            compares,
            in_flight: self.in_flight(),
            copies: Outcome::ALL.map(|outcome| (outcome.as_str(), self.counts.of(outcome))).into(),
            unpaired: self.counts.unpaired(),
            verdict: compares.then(|| self.ledger.verdict()),
        })
    }
}

#[cfg(test)]
mod tests;
