//! A freeze that is flipped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::Freezer;

/// A freeze of everything, or of some routes, that a test flips.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<State>);

#[derive(Debug)]
struct State {
    all: Mutex<Option<Instant>>,
    routes: Mutex<HashSet<String>>,
    thawed: Mutex<HashMap<String, Instant>>,
    changed: Notify,
}

impl Switch {
    /// Open for ever.
    pub(crate) fn open() -> Self {
        Self::of(Some(Instant::now()))
    }

    pub(crate) fn frozen() -> Self {
        Self::of(None)
    }

    fn of(all: Option<Instant>) -> Self {
        let state = State {
            all: Mutex::new(all),
            routes: Mutex::default(),
            thawed: Mutex::default(),
            changed: Notify::new(),
        };
        Self(Arc::new(state))
    }

    pub(crate) fn freeze(&self) {
        *self.0.all.lock() = None;
        self.0.changed.notify_waiters();
    }

    pub(crate) fn thaw(&self) {
        *self.0.all.lock() = Some(Instant::now());
        self.0.changed.notify_waiters();
    }

    pub(crate) fn freeze_route(&self, route: &str) {
        self.0.routes.lock().insert(route.to_owned());
        self.0.changed.notify_waiters();
    }

    pub(crate) fn thaw_route(&self, route: &str) {
        self.0.routes.lock().remove(route);
        self.0.thawed.lock().insert(route.to_owned(), Instant::now());
        self.0.changed.notify_waiters();
    }
}

impl Freezer for Switch {
    fn open_since(&self, route: &str, _upstream: &str, _tenant: Option<&str>) -> Option<Instant> {
        if self.0.routes.lock().contains(route) {
            return None;
        }
        let all = self.earliest()?;
        Some(self.0.thawed.lock().get(route).map_or(all, |thawed| all.max(*thawed)))
    }

    fn earliest(&self) -> Option<Instant> {
        *self.0.all.lock()
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        self.0.changed.notified()
    }
}
