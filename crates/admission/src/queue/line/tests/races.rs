//! The hand-over under `shuttle`, which runs its threads in thousands of orders. A lost
//! wake-up shows as a deadlock, a lost permit as a count that does not go back to zero.

use std::{fmt::Debug, sync::Arc};

use futures_util::FutureExt;
use shuttle::{
    future::block_on,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
};
use sluicegate_core::Chance;
use tokio::time::Instant;

use crate::queue::{
    Atoms, Cap, Count, Entry, Limits, Line, Lock, Permit, Ticket, Verdict, metrics::LineMetrics,
};

#[derive(Debug)]
struct Shuttled;

#[derive(Debug)]
struct Exclusive<T>(shuttle::sync::Mutex<T>);

impl<T: Debug + Send> Lock<T> for Exclusive<T> {
    fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

impl Count for AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u32 {
        self.load(SeqCst)
    }

    fn store(&self, value: u32) {
        self.store(value, SeqCst);
    }

    fn up(&self) {
        self.fetch_add(1, SeqCst);
    }

    fn down(&self) {
        self.fetch_sub(1, SeqCst);
    }

    fn swap_if(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(current, new, SeqCst, SeqCst)
    }
}

impl Atoms for Shuttled {
    type Count = AtomicU32;
    type Lock<T: Debug + Send> = Exclusive<T>;
}

type Job = Box<dyn FnOnce() + Send>;

fn line(concurrent: u32, per_tenant: Option<u32>) -> Arc<Line<Shuttled>> {
    let limits = Limits { concurrent: Some(concurrent), per_tenant, queue: 8, ..Limits::default() };
    Arc::new(Line::new("r", limits, Arc::new(Chance::seeded(1)), LineMetrics::default()))
}

fn admitted(line: &Arc<Line<Shuttled>>, ticket: &Ticket<'_, Shuttled>, now: Instant) -> Permit<Shuttled> {
    let verdict = match line.enter(ticket, now) {
        Entry::Settled(verdict) => verdict,
        Entry::Waits(waiting) => block_on(waiting),
    };
    match verdict {
        Verdict::Admitted(permit, _) => permit,
        Verdict::Refused(refused) => panic!("{refused}"),
    }
}

/// A permit for one that does not wait.
fn at_once(
    line: &Arc<Line<Shuttled>>,
    ticket: &Ticket<'_, Shuttled>,
    now: Instant,
) -> Option<Permit<Shuttled>> {
    match line.enter(ticket, now) {
        Entry::Settled(Verdict::Admitted(permit, _)) => Some(permit),
        Entry::Settled(Verdict::Refused(_)) | Entry::Waits(_) => None,
    }
}

/// Runs each job on a thread of its own and waits for all.
fn together(jobs: Vec<Job>) {
    let threads: Vec<_> = jobs.into_iter().map(thread::spawn).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn explore(race: fn()) {
    shuttle::check_random(race, 3000);
    shuttle::check_pct(race, 3000, 3);
}

/// Two routes over one upstream of one place, and a client that gives up at any moment.
fn release_enqueue_and_drop() {
    let now = Instant::now();
    let upstream = Arc::new(Cap::new("u", Some(1)));
    let lines = [line(1, None), line(2, None)];
    let running = Arc::new(AtomicU32::new(0));
    let job = |at: usize| -> Job {
        let (line, upstream, running) = (lines[at].clone(), upstream.clone(), running.clone());
        Box::new(move || {
            let ticket = Ticket { upstream: Some(&upstream), ..Ticket::default() };
            let permit = admitted(&line, &ticket, now);
            assert_eq!(running.fetch_add(1, SeqCst), 0, "the cap is one");
            running.fetch_sub(1, SeqCst);
            drop(permit);
        })
    };
    let (line, wanted) = (lines[0].clone(), upstream.clone());
    let leaver: Job = Box::new(move || {
        let ticket = Ticket { upstream: Some(&wanted), ..Ticket::default() };
        if let Entry::Waits(mut waiting) = line.enter(&ticket, now) {
            let _ = (&mut waiting).now_or_never();
        }
    });
    together(vec![job(0), job(0), job(1), leaver]);
    for line in &lines {
        let status = line.status();
        assert_eq!((status.in_use, status.waiting_interactive), (0, 0));
    }
    assert_eq!((upstream.in_use(), upstream.waiting.load(SeqCst)), (0, 0));
}

/// Two tenants of one place each. One request takes its tenant's place for a moment, does not
/// get the upstream's, and leaves: whom it turned away meanwhile must not wait for ever.
fn tenants_and_their_caps() {
    let now = Instant::now();
    let upstream = Arc::new(Cap::new("u", Some(1)));
    let line = line(3, Some(1));
    let job = |tenant: &'static str, wants: bool, stays: bool| -> Job {
        let (line, upstream) = (line.clone(), upstream.clone());
        Box::new(move || {
            let upstream = wants.then_some(&upstream);
            let ticket = Ticket { tenant: Some(tenant), upstream, ..Ticket::default() };
            drop(if stays { Some(admitted(&line, &ticket, now)) } else { at_once(&line, &ticket, now) });
        })
    };
    together(vec![job("a", true, false), job("a", false, true), job("b", true, true)]);
    let status = line.status();
    assert_eq!((status.in_use, status.waiting_interactive, upstream.in_use()), (0, 0, 0));
}

/// Reloads that make room, on the route and on the upstream, while others come.
fn reload_against_enqueue() {
    let now = Instant::now();
    let upstream = Arc::new(Cap::new("u", Some(1)));
    let line = line(1, None);
    let held = admitted(&line, &Ticket { upstream: Some(&upstream), ..Ticket::default() }, now);
    let (newcomer, wanted) = (line.clone(), upstream.clone());
    let comes: Job = Box::new(move || {
        drop(admitted(&newcomer, &Ticket { upstream: Some(&wanted), ..Ticket::default() }, now));
    });
    let reloaded = line.clone();
    let route: Job =
        Box::new(move || reloaded.set(Limits { concurrent: Some(2), queue: 8, ..Limits::default() }));
    let resized = upstream.clone();
    let cap: Job = Box::new(move || resized.set_limit(Some(2)));
    together(vec![comes, route, cap]);
    drop(held);
    assert_eq!((line.status().in_use, upstream.in_use()), (0, 0));
}

#[test]
fn no_wake_up_and_no_permit_is_lost_between_release_enqueue_and_drop() {
    explore(release_enqueue_and_drop);
}

#[test]
fn no_wake_up_is_lost_between_tenants() {
    explore(tenants_and_their_caps);
}

#[test]
fn no_wake_up_is_lost_when_a_reload_makes_room() {
    explore(reload_against_enqueue);
}
