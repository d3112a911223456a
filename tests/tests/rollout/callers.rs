//! Clients that keep account of every answer: which upstream it is from, whether all of it is,
//! and when the request was sent.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use http::Request;
use sluicegate_tests::{
    Client, Tick, Which,
    arms::{CALL, EVENTS},
    client::{Answer, Body, full},
    tick,
};
use tokio::task::JoinSet;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// A read that is answered by events.
    Stream,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) h2: bool,
    /// Whether it says which upstream it wants.
    pub(crate) asks: bool,
    /// 0 where there was no whole answer.
    pub(crate) status: u16,
    /// A refusal's code.
    pub(crate) code: String,
    /// Whose answer it is; none where it is a refusal, or where not all of it is one's.
    pub(crate) from: Option<Which>,
    /// Before it was sent.
    pub(crate) began: Tick,
}

/// Requests of one kind after the other.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kinds: &'static [Kind],
    /// Where; a stream's path ends with `/stream`.
    pub(crate) under: &'static str,
    /// One more header line.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

impl Plan {
    pub(crate) const fn of(kinds: &'static [Kind]) -> Self {
        Self { kinds, under: "", header: None }
    }

    fn request(&self, number: u64, kind: Kind) -> Request<Body> {
        let under = self.under;
        let request = match kind {
            Kind::Read => Request::get(format!("{under}/x")),
            Kind::Write => Request::post(format!("{under}/x")),
            Kind::Stream => Request::get(format!("{under}/stream")),
        };
        let mut request = request.header(CALL, number).header("x-user-id", format!("user-{}", number % 997));
        if kind == Kind::Write {
            // Counts where the route looks at keys.
            request = request.header("idempotency-key", format!("call-{number}"));
        }
        if let Some((name, value)) = self.header {
            request = request.header(name, value);
        }
        request.body(full(if kind == Kind::Write { "hello" } else { "" })).unwrap()
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU64,
    done: AtomicUsize,
    calls: Mutex<Vec<Call>>,
}

/// Clients at work.
#[derive(Default)]
pub(crate) struct Callers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Callers {
    /// One more client with an HTTP/1.1 connection of its own that it keeps.
    pub(crate) async fn h1(&mut self, address: SocketAddr, plan: Plan) {
        let client = Client::h1(address).await;
        self.tasks.spawn(calls(self.shared.clone(), client, plan));
    }

    /// One more HTTP/2 connection, with so many requests under way on it.
    pub(crate) async fn h2(&mut self, address: SocketAddr, together: usize, plan: Plan) {
        let client = Client::h2c(address).await;
        for _ in 0..together {
            let client = client.another().expect("it speaks HTTP/2");
            self.tasks.spawn(calls(self.shared.clone(), client, plan.clone()));
        }
    }

    /// How many requests have been answered.
    pub(crate) fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// Lets every client finish its request; every request.
    pub(crate) async fn stop(mut self) -> Vec<Call> {
        self.shared.stop.store(true, Ordering::SeqCst);
        while let Some(client) = self.tasks.join_next().await {
            client.expect("a client does not panic");
        }
        std::mem::take(&mut *self.shared.calls.lock().unwrap())
    }
}

async fn calls(shared: Arc<Shared>, mut client: Client, plan: Plan) {
    let h2 = client.is_h2();
    for kind in plan.kinds.iter().copied().cycle() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let number = 1 + shared.next.fetch_add(1, Ordering::SeqCst);
        let request = plan.request(number, kind);
        let began = tick();
        let answer = client.send(request).await.ok();
        let lost = answer.is_none();
        let call = Call {
            number,
            kind,
            h2,
            asks: plan.header.is_some(),
            status: answer.as_ref().map_or(0, |answer| answer.status),
            code: answer.as_ref().map(Answer::code).unwrap_or_default(),
            from: answer.and_then(|answer| whole_of(&answer, kind)),
            began,
        };
        shared.calls.lock().unwrap().push(call);
        shared.done.fetch_add(1, Ordering::SeqCst);
        if lost {
            // The connection is gone, and with it this client.
            return;
        }
    }
}

/// The upstream that all parts of an answer name: its pins, its body, each of its events.
fn whole_of(answer: &Answer, kind: Kind) -> Option<Which> {
    let pinned = Which::pinned(&answer.headers)?;
    let name = pinned.name();
    let body = std::str::from_utf8(&answer.body).ok()?;
    let whole = if kind == Kind::Stream && answer.status == 200 {
        let events: Vec<_> = body.split_terminator("\n\n").collect();
        events.len() == EVENTS && events.iter().all(|event| event.strip_prefix("data: ") == Some(name))
    } else {
        body == name
    };
    whole.then_some(pinned)
}

/// Panics unless every call was answered 200, by one upstream alone.
pub(crate) fn assert_good(calls: &[Call]) {
    let failed = failed(calls);
    let told: Vec<_> = failed.iter().take(3).map(|call| (call.status, &call.code, call)).collect();
    assert!(failed.is_empty(), "{} of {} failed: {told:?}", failed.len(), calls.len());
}

/// The calls that were not answered 200 by one upstream alone.
pub(crate) fn failed(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.status != 200 || call.from.is_none()).collect()
}
