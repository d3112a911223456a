//! The world of a simulation: clients that come by themselves, and an upstream.

use std::{cell::RefCell, rc::Rc, time::Duration};

use sluicegate_admission::queue::{Ended, Verdict, Why};
use sluicegate_core::Chance;
use tokio::{
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    file::{File, Spread, phase},
    gate::Gate,
};

/// One request and its fate. Times are seconds since the start.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) stream: usize,
    pub(crate) came: f64,
    pub(crate) wait: f64,
    pub(crate) ended: f64,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered well within its deadline.
    Good,
    /// Admitted, and failed or not answered in time.
    Bad,
    Refused(Why),
}

#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) requests: Vec<Request>,
    pub(crate) in_flight: u32,
}

#[derive(Default)]
struct Book {
    run: Run,
    running: u32,
}

/// A number from 0 (excluded) to 1.
fn uniform(chance: &Chance) -> f64 {
    (chance.below(1 << 53) + 1) as f64 / (1u64 << 53) as f64
}

fn spread(chance: &Chance, mean: f64, spread: Spread) -> Duration {
    Duration::from_secs_f64(match spread {
        Spread::Fixed => mean,
        Spread::Uniform => mean * (0.5 + uniform(chance)),
        Spread::Exponential => -uniform(chance).ln() * mean,
    })
}

/// Runs a file to its end, until the last request has its fate.
pub(crate) async fn run(file: Rc<File>) -> Run {
    let gate = Rc::new(Gate::new(&file));
    let book = Rc::new(RefCell::new(Book::default()));
    let tasks = LocalSet::new();
    for at in 0..file.streams.len() {
        tasks.spawn_local(clients(file.clone(), at, gate.clone(), book.clone()));
    }
    tasks.await;
    assert_eq!(gate.rest(), (0, 0), "permits held and waiters when all is over");
    book.take().run
}

async fn clients(file: Rc<File>, at: usize, gate: Rc<Gate>, book: Rc<RefCell<Book>>) {
    let chance = Rc::new(Chance::seeded(at as u64 + 1));
    let start = Instant::now();
    let end = Duration::from_secs(file.seconds);
    let mut next = Duration::ZERO;
    loop {
        let rate = phase(&file.streams[at].rate, |rate| rate.seconds, next).per_second;
        // Where nobody comes, the next phase is looked for.
        let gap = if rate > 0.0 {
            spread(&chance, 1.0 / rate, Spread::Exponential)
        } else {
            Duration::from_millis(10)
        };
        next += gap;
        if next >= end {
            return;
        }
        sleep_until(start + next).await;
        if rate > 0.0 {
            spawn_local(client(file.clone(), at, gate.clone(), book.clone(), chance.clone(), start));
        }
    }
}

async fn client(
    file: Rc<File>,
    at: usize,
    gate: Rc<Gate>,
    book: Rc<RefCell<Book>>,
    chance: Rc<Chance>,
    start: Instant,
) {
    let stream = &file.streams[at];
    let came = Instant::now();
    let deadline = came + Duration::from_millis(stream.deadline_ms);
    let tenant = (stream.tenants > 0).then(|| format!("{}-{}", stream.name, chance.below(stream.tenants)));
    let (wait, fate) = match gate.pass(stream, tenant.as_deref(), deadline).await {
        Verdict::Refused(refused) => (came.elapsed(), Fate::Refused(refused.why)),
        Verdict::Admitted(permit, wait) => {
            assert!(Instant::now() < deadline, "admitted past its deadline");
            {
                let mut book = book.borrow_mut();
                book.running += 1;
                book.run.in_flight = book.run.in_flight.max(book.running);
            }
            let service = phase(&file.service, |service| service.seconds, start.elapsed());
            let takes = spread(&chance, service.ms as f64 / 1000.0, service.spread);
            let in_time = timeout_at(deadline, sleep(takes)).await.is_ok();
            let good = in_time && uniform(&chance) > service.fails;
            permit.note(if good { Ended::Well } else { Ended::Failed });
            book.borrow_mut().running -= 1;
            drop(permit);
            (wait, if good { Fate::Good } else { Fate::Bad })
        }
    };
    let since = |moment: Instant| moment.duration_since(start).as_secs_f64();
    let request = Request {
        stream: at,
        came: since(came),
        wait: wait.as_secs_f64(),
        ended: since(Instant::now()),
        fate,
    };
    book.borrow_mut().run.requests.push(request);
}
