//! The two upstreams of a rollout, which can be told apart, and one account of what reached them.
//!
//! Every answer says whose it is, in its body and by the pin `BUILD_ID` in `X-WFGY`. Every
//! request is written down under the number that its caller gave it ([`CALL`]), so that all tries
//! of one request are found wherever they went.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use crate::tick::{Tick, tick};

/// The header by which a caller numbers its requests.
pub const CALL: &str = "x-call";

/// How many events a stream has.
pub const EVENTS: usize = 8;

/// The time between two events of a stream.
const EVENT_EVERY: Duration = Duration::from_millis(15);

/// One of the two, by the name of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// `stable`.
    Stable,
    /// `next`.
    Next,
}

impl Which {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Stable, Self::Next];

    /// The name of the upstream.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Next => "next",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|which| which.name() == name)
    }

    /// Whose answer has these headers, by its pins.
    pub fn pinned(headers: &HeaderMap) -> Option<Self> {
        Self::named(headers.get("x-wfgy")?.to_str().ok()?.strip_prefix("BUILD_ID=")?)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request that reached one of them.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Which.
    pub which: Which,
    /// The caller's number, 0 where it gave none.
    pub call: u64,
    /// Which of the tries with this number, from 1, at whichever of the two.
    pub of: u32,
    /// Whether it was a POST.
    pub write: bool,
    /// Whether it had a header that is the gateway's own.
    pub forced: bool,
    /// When its head had come.
    pub tick: Tick,
    /// The same, by the clock.
    pub at: Instant,
}

#[derive(Default)]
struct Account {
    hits: Vec<Hit>,
    tries: HashMap<u64, u32>,
}

#[derive(Default)]
struct Shared {
    account: Mutex<Account>,
    /// Of how many calls the first try of one is refused; 0: of none.
    refused: AtomicU64,
    /// Of how many requests one fails; 0: none; by [`Which`].
    failing: [AtomicU64; 2],
    counts: [AtomicU64; 2],
}

/// Both, running; they end when this is dropped.
pub struct Arms {
    addresses: [SocketAddr; 2],
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Arms {
    /// Starts both.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        for which in Which::BOTH {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tasks.spawn(accept(listener, which, shared.clone()));
        }
        Self { addresses: addresses.try_into().unwrap(), shared, _tasks: tasks }
    }

    /// The URL of one.
    pub fn url(&self, which: Which) -> String {
        format!("http://{}", self.addresses[which as usize])
    }

    /// Answers 503 to the first try of every call whose number is a multiple of `every`, whichever
    /// of the two it reaches; 0 ends that.
    pub fn refuse_first_tries(&self, every: u64) {
        self.shared.refused.store(every, Ordering::SeqCst);
    }

    /// Answers 500 to every `every`th request that reaches `which`; 0 ends that.
    pub fn fail(&self, which: Which, every: u64) {
        self.shared.failing[which as usize].store(every, Ordering::SeqCst);
    }

    /// What has reached them, in order.
    pub fn hits(&self) -> Vec<Hit> {
        self.shared.account.lock().unwrap().hits.clone()
    }

    /// Forgets what has reached them.
    pub fn forget(&self) {
        *self.shared.account.lock().unwrap() = Account::default();
    }

    /// How many requests have reached one.
    pub fn count(&self, which: Which) -> usize {
        self.shared.account.lock().unwrap().hits.iter().filter(|hit| hit.which == which).count()
    }
}

async fn accept(listener: TcpListener, which: Which, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        let service = service_fn(move |request| answer(request, which, shared.clone()));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, which: Which, shared: Arc<Shared>) -> hyper::Result<Answer> {
    let (head, body) = request.into_parts();
    let number = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    let hit = {
        let mut account = shared.account.lock().unwrap();
        let call = number(CALL).unwrap_or(0);
        let tries = account.tries.entry(call).or_default();
        *tries += 1;
        let of = *tries;
        let hit = Hit {
            which,
            call,
            of,
            write: head.method == Method::POST,
            forced: head.headers.contains_key("x-sluicegate-arm"),
            // Under the lock, so that the order of the account is that of the ticks.
            tick: tick(),
            at: Instant::now(),
        };
        account.hits.push(hit);
        hit
    };
    body.collect().await?;
    let every = |number: u64, of: &AtomicU64| {
        let every = of.load(Ordering::SeqCst);
        every > 0 && number.is_multiple_of(every)
    };
    let count = 1 + shared.counts[which as usize].fetch_add(1, Ordering::SeqCst);
    let status = if hit.of == 1 && hit.call > 0 && every(hit.call, &shared.refused) {
        503
    } else if every(count, &shared.failing[which as usize]) {
        500
    } else {
        200
    };
    let response = Response::builder().status(status).header("x-wfgy", format!("BUILD_ID={which}"));
    let events = status == 200 && head.uri.path().ends_with("/stream");
    let response = if events {
        response.header("content-type", "text/event-stream").body(events_of(which))
    } else {
        response.body(Full::from(which.name()).boxed())
    };
    Ok(response.expect("an answer that can be written"))
}

/// The events of one stream, each with the name of the upstream.
fn events_of(which: Which) -> BoxBody<Bytes, Infallible> {
    let events = stream::unfold(0, move |sent| async move {
        if sent == EVENTS {
            return None;
        }
        tokio::time::sleep(EVENT_EVERY).await;
        Some((Ok(Frame::data(Bytes::from(format!("data: {which}\n\n")))), sent + 1))
    });
    BodyExt::boxed(StreamBody::new(events))
}
