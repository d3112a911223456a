use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt;
use sluicegate_core::{Chance, Lane};
use tokio::time::{Instant, advance};

use crate::queue::{
    Entry, Limits, Line, Permit, Queues, Refused, Ticket, Verdict, Waiting, Why, metrics::LineMetrics,
};

mod history;
mod overload;
mod races;
mod sharing;

const MS: Duration = Duration::from_millis(1);

fn limits(concurrent: u32, queue: u32) -> Limits {
    Limits { concurrent: Some(concurrent), queue, ..Limits::default() }
}

fn line(limits: Limits) -> Arc<Line> {
    Arc::new(Line::new("r", limits, Arc::new(Chance::seeded(1)), LineMetrics::default()))
}

fn enter(line: &Arc<Line>, ticket: &Ticket<'_>) -> Entry {
    line.enter(ticket, Instant::now())
}

fn run(line: &Arc<Line>, ticket: &Ticket<'_>) -> Permit {
    match enter(line, ticket) {
        Entry::Settled(Verdict::Admitted(permit, Duration::ZERO)) => permit,
        other => panic!("not let in at once: {other:?}"),
    }
}

fn wait(line: &Arc<Line>, ticket: &Ticket<'_>) -> Waiting {
    match enter(line, ticket) {
        Entry::Waits(waiting) => waiting,
        Entry::Settled(other) => panic!("it does not wait: {other:?}"),
    }
}

fn refusal(line: &Arc<Line>, ticket: &Ticket<'_>) -> Refused {
    match enter(line, ticket) {
        Entry::Settled(Verdict::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

/// The permit of one that has been let in; `None` while it waits.
fn let_in(waiting: &mut Waiting) -> Option<Permit> {
    match waiting.now_or_never()? {
        Verdict::Admitted(permit, _) => Some(permit),
        Verdict::Refused(refused) => panic!("refused: {refused}"),
    }
}

fn tenant(name: &str) -> Ticket<'_> {
    Ticket { tenant: Some(name), ..Ticket::default() }
}

fn batch() -> Ticket<'static> {
    Ticket { lane: Lane::Batch, ..Ticket::default() }
}

fn idle(line: &Line) -> bool {
    let status = line.status();
    (status.in_use, status.waiting_interactive, status.waiting_batch, status.waiting_bytes) == (0, 0, 0, 0)
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_back_goes_to_the_one_that_waits_longest() {
    let line = line(limits(2, 8));
    let (a, b) = (run(&line, &tenant("x")), run(&line, &tenant("x")));
    let mut first = wait(&line, &tenant("x"));
    let mut second = wait(&line, &tenant("x"));
    advance(MS * 20).await;
    assert!(let_in(&mut first).is_none());
    drop(a);
    let c = let_in(&mut first).unwrap();
    assert!(let_in(&mut second).is_none());
    drop(b);
    let d = let_in(&mut second).unwrap();
    drop((c, d));
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_and_frees_the_place() {
    let line = line(limits(1, 1));
    let running = run(&line, &Ticket::default());
    let start = Instant::now();
    let soon = Ticket { deadline: Some(start + MS * 70), bytes: 9, ..Ticket::default() };
    let Verdict::Refused(refused) = line.acquire(&soon).await else { panic!("let in") };
    assert_eq!((refused.why, start.elapsed()), (Why::Expired, MS * 70));
    drop(running);
    assert!(idle(&line));
    assert_eq!(refusal(&line, &soon).why, Why::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_never_given_past_the_deadline_even_where_the_timer_is_late() {
    let line = line(limits(1, 4));
    let running = run(&line, &Ticket::default());
    let mut late = wait(&line, &Ticket { deadline: Some(Instant::now() + MS * 10), ..Ticket::default() });
    let mut other = wait(&line, &Ticket::default());
    // The clock moves on and nobody polls the waiters.
    advance(MS * 20).await;
    drop(running);
    let Some(Verdict::Refused(refused)) = (&mut late).now_or_never() else { panic!("let in or waiting") };
    assert_eq!(refused.why, Why::Expired);
    drop(let_in(&mut other).unwrap());
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_by_count_and_by_bytes_and_says_when_to_come_back() {
    let line = line(Limits { queue_bytes: 1000, ..limits(1, 2) });
    let running = run(&line, &Ticket::default());
    let heavy = Ticket { bytes: 600, ..Ticket::default() };
    let waiting = wait(&line, &heavy);
    assert_eq!(refusal(&line, &heavy).why, Why::Full);
    let light = wait(&line, &Ticket::default());
    let refused = refusal(&line, &Ticket::default());
    assert_eq!(refused.why, Why::Full);
    assert!(refused.retry_after >= Duration::from_secs(1) && refused.retry_after <= MS * 1500);
    drop((waiting, light, running));
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_forgotten_also_just_when_it_was_let_in() {
    let line = line(limits(1, 8));
    let running = run(&line, &Ticket::default());
    let gone = wait(&line, &Ticket { bytes: 5, ..Ticket::default() });
    let granted = wait(&line, &Ticket::default());
    let mut last = wait(&line, &Ticket::default());
    drop(gone);
    let status = line.status();
    assert_eq!((status.waiting_interactive, status.waiting_bytes), (2, 0));
    drop(running);
    // Let in, but dropped before it heard of it: the permit goes on to the next.
    drop(granted);
    drop(let_in(&mut last).unwrap());
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_counts_and_wakes_or_drains() {
    let mut registry = prometheus_client::registry::Registry::default();
    let home = Queues::new(Arc::new(Chance::seeded(1)), &mut registry);
    let line = home.line("r", limits(3, 8));
    let mut running: Vec<_> = (0..3).map(|_| run(&line, &tenant("x"))).collect();
    let smaller = Limits { per_tenant: Some(2), ..limits(1, 8) };
    let again = home.line("r", smaller);
    assert!(Arc::ptr_eq(&line, &again));
    assert_eq!((again.status().concurrent, again.status().per_tenant), (Some(3), None), "not yet taken");
    again.set(smaller);
    let mut waiting: Vec<_> = (0..3).map(|_| wait(&line, &tenant("x"))).collect();
    running.truncate(1);
    assert!(waiting.iter_mut().all(|one| let_in(one).is_none()), "the smaller cap is still used up");
    line.set(Limits { per_tenant: Some(2), ..limits(4, 8) });
    let woken: Vec<_> = waiting.iter_mut().filter_map(let_in).collect();
    assert_eq!(woken.len(), 2, "two of three: the tenant's own cap counts from its coming");
    line.set(limits(4, 8));
    waiting.retain(|one| !one.is_over());
    let rest: Vec<_> = waiting.iter_mut().filter_map(let_in).collect();
    assert_eq!(rest.len(), 1);
    drop((woken, rest, running));
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_holder_gives_its_permit_back() {
    let line = line(limits(1, 8));
    let holder = line.clone();
    let task = tokio::spawn(async move {
        let Verdict::Admitted(_permit, _) = holder.acquire(&Ticket::default()).await else { return };
        panic!("the service behind it panics");
    });
    assert!(task.await.is_err());
    assert!(idle(&line));
}

#[test]
fn a_permit_and_a_wait_can_move_between_threads_and_are_small() {
    fn sendable<T: Send + Unpin>() {}
    fn future<T: Future + Send>() {}
    sendable::<Permit>();
    future::<Waiting>();
    assert!(
        size_of::<Permit>() <= 48 && size_of::<Waiting>() <= 168,
        "{} {}",
        size_of::<Permit>(),
        size_of::<Waiting>()
    );
}
