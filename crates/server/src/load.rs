//! Who has how much to do, and how many there may be.
//!
//! [`Loads`] gives each new connection to the worker with the fewest open ones; among equals
//! to the one with the fewest requests in flight, then in turn. The choice and its count are
//! one step, so that connections that arrive together are spread too.
//!
//! [`Gate`] holds the total under `max_connections`. An acceptor passes it before it accepts,
//! so that at the cap clients wait in the kernel's backlog and none is turned away.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

/// One worker's record, on cache lines of its own: the worker writes it on every request.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Load {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Load {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_ended(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The records of all workers.
#[derive(Debug)]
pub(crate) struct Loads {
    each: Box<[Load]>,
    /// Whose turn it is among equals; also makes the choice and its count one step.
    turn: Mutex<usize>,
}

impl Loads {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        let each = (0..workers.max(1)).map(|_| Load::default()).collect();
        Arc::new(Self { each, turn: Mutex::new(0) })
    }

    pub(crate) fn each(&self) -> &[Load] {
        &self.each
    }

    /// Chooses a worker for a new connection and counts the connection on it.
    fn assign(&self) -> usize {
        let mut turn = self.turn.lock();
        let count = self.each.len();
        let chosen = (0..count)
            .map(|step| (*turn + step) % count)
            .min_by_key(|&index| (self.each[index].connections(), self.each[index].requests()))
            .unwrap_or(0);
        self.each[chosen].connections.fetch_add(1, Ordering::Relaxed);
        *turn = (chosen + 1) % count;
        chosen
    }
}

/// The total of open connections and its cap.
#[derive(Debug)]
pub(crate) struct Gate {
    open: AtomicUsize,
    cap: AtomicUsize,
    /// Told of every connection that ended and of a changed cap.
    freed: Notify,
}

impl Gate {
    pub(crate) fn new(cap: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), cap: AtomicUsize::new(cap.max(1)), freed: Notify::new() })
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn set_cap(&self, cap: usize) {
        self.cap.store(cap.max(1), Ordering::Release);
        self.freed.notify_waiters();
    }

    /// A place under the cap, if there is one now.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Place> {
        let cap = self.cap.load(Ordering::Acquire);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < cap).then_some(open + 1))
            .ok()
            .map(|_| Place(self.clone()))
    }

    /// Whether there is a place under the cap now.
    pub(crate) fn has_place(&self) -> bool {
        self.open() < self.cap.load(Ordering::Acquire)
    }

    /// Waits until there is a place under the cap, without taking it.
    pub(crate) async fn place(&self) {
        self.until(|| self.has_place().then_some(())).await;
    }

    /// A place under the cap, waited for.
    pub(crate) async fn enter(self: &Arc<Self>) -> Place {
        self.until(|| self.try_enter()).await
    }

    /// A place whether or not there is one: for connections that a removed listener has queued.
    pub(crate) fn enter_over(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::AcqRel);
        Place(self.clone())
    }

    /// Waits until no connection is open.
    pub(crate) async fn empty(&self) {
        self.until(|| (self.open() == 0).then_some(())).await;
    }

    async fn until<T>(&self, there: impl Fn() -> Option<T>) -> T {
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no change is missed.
            freed.as_mut().enable();
            if let Some(it) = there() {
                return it;
            }
            freed.await;
        }
    }
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}

/// Counts an open connection where it is counted. It lives in the IO wrapper, so that an
/// upgraded connection stays counted until its IO is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    loads: Arc<Loads>,
    worker: usize,
    listener: Gauge,
    _place: Place,
}

impl Open {
    pub(crate) fn new(loads: &Arc<Loads>, listener: &Gauge, place: Place) -> Self {
        listener.inc();
        Self { loads: loads.clone(), worker: loads.assign(), listener: listener.clone(), _place: place }
    }

    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.loads.each[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
        self.listener.dec();
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::{Gate, Gauge, Loads, Open};

    #[test]
    fn the_worker_with_the_fewest_connections_is_chosen_then_the_one_with_the_fewest_requests() {
        let (loads, gate) = (Loads::new(3), Gate::new(100));
        let mut open: Vec<_> =
            (0..6).map(|_| Open::new(&loads, &Gauge::default(), gate.enter_over())).collect();
        assert_eq!(open.iter().map(Open::worker).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
        drop(open.remove(1));
        assert_eq!(Open::new(&loads, &Gauge::default(), gate.enter_over()).worker(), 1);
        open.push(Open::new(&loads, &Gauge::default(), gate.enter_over()));
        loads.each()[2].request_began();
        loads.each()[0].request_began();
        assert_eq!(Open::new(&loads, &Gauge::default(), gate.enter_over()).worker(), 1);
        drop(open);
        loads.each()[2].request_ended();
        loads.each()[0].request_ended();
        let one_after_another: Vec<_> =
            (0..3).map(|_| Open::new(&loads, &Gauge::default(), gate.enter_over()).worker()).collect();
        assert_eq!(
            one_after_another.iter().filter(|&&worker| worker == 1).count(),
            1,
            "in turn when all rest"
        );
        assert!(loads.each().iter().all(|load| load.connections() == 0));
        assert_eq!(gate.open(), 0);
    }

    #[tokio::test]
    async fn the_gate_holds_back_at_the_cap_and_a_raised_cap_lets_through() {
        let gate = Gate::new(1);
        let first = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let tasks = TaskTracker::new();
        let second = tasks.spawn({
            let gate = gate.clone();
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        gate.set_cap(2);
        let second = second.await.unwrap();
        assert_eq!(gate.open(), 2);
        let empty = tasks.spawn({
            let gate = gate.clone();
            async move { gate.empty().await }
        });
        tokio::task::yield_now().await;
        drop((first, second));
        empty.await.unwrap();
    }
}
