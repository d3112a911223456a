//! Clients that send reads and writes without pause and keep account of every answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    raw::Raw,
    tick::{Tick, tick},
};

/// What one request came to.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Whether it was the write of the two.
    pub write: bool,
    /// The answer's status; 0 where the connection failed instead.
    pub status: u16,
    /// A refusal's code.
    pub code: String,
    /// `Retry-After` as it stood.
    pub retry_after: Option<String>,
    /// `Sluicegate-Freeze` as it stood.
    pub freeze: Option<String>,
    /// Before its first byte was sent.
    pub began: Tick,
    /// After its answer was read.
    pub ended: Tick,
    /// How long it took.
    pub took: Duration,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    samples: Mutex<Vec<Sample>>,
    reads: AtomicUsize,
    writes: AtomicUsize,
    refused: AtomicUsize,
    unannounced: AtomicUsize,
    announced: AtomicUsize,
}

/// Running clients.
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts `clients` clients on kept-alive connections of their own. Each sends GET
    /// `path` and POST `path` in turn; half of them begin with the POST.
    pub fn start(address: SocketAddr, clients: usize, path: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            tasks.spawn(client(shared.clone(), address, path.to_owned(), number % 2 == 0));
        }
        Self { shared, clients: tasks }
    }

    /// Reads answered 200 so far.
    pub fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::SeqCst)
    }

    /// Writes answered 200 so far.
    pub fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }

    /// Requests answered otherwise so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Says that no new request is to be sent.
    pub fn enough(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }

    /// A handle that says the same from elsewhere.
    pub fn stopper(&self) -> impl Fn() + Send + use<> {
        let shared = self.shared.clone();
        move || shared.stop.store(true, Ordering::SeqCst)
    }

    /// Lets every client finish its request and returns the account.
    pub async fn stop(mut self) -> Account {
        self.enough();
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client does not panic");
        }
        Account {
            samples: std::mem::take(&mut *self.shared.samples.lock().unwrap()),
            closed: self.shared.unannounced.load(Ordering::SeqCst),
            announced: self.shared.announced.load(Ordering::SeqCst),
        }
    }
}

/// What all requests came to.
#[derive(Debug)]
pub struct Account {
    /// Every request.
    pub samples: Vec<Sample>,
    /// Connections that failed or were closed without a word.
    pub closed: usize,
    /// Connections that the gateway closed after saying so in an answer.
    pub announced: usize,
}

impl Account {
    /// The requests that were answered by anything but 200, or not at all.
    pub fn failed(&self) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.status != 200).collect()
    }
}

async fn client(shared: Arc<Shared>, address: SocketAddr, path: String, mut write: bool) {
    let requests = [
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"),
    ];
    let mut connection = None;
    while !shared.stop.load(Ordering::SeqCst) {
        let began = tick();
        let start = Instant::now();
        let kept = match connection.take() {
            Some(raw) => Ok(raw),
            None => Raw::try_connect(address).await,
        };
        let Ok(mut raw) = kept else {
            shared.unannounced.fetch_add(1, Ordering::SeqCst);
            continue;
        };
        raw.send(&requests[usize::from(write)]).await;
        let answer = raw.answer().await.ok().filter(|answer| answer.complete);
        let took = start.elapsed();
        let mut sample = Sample {
            write,
            status: 0,
            code: String::new(),
            retry_after: None,
            freeze: None,
            began,
            ended: tick(),
            took,
        };
        match answer {
            Some(answer) => {
                sample.status = answer.status;
                sample.retry_after = answer.fields.get("retry-after").map(str::to_owned);
                sample.freeze = answer.fields.get("sluicegate-freeze").map(str::to_owned);
                if answer.status != 200 {
                    sample.code = answer.code();
                }
                if answer.closes() {
                    shared.announced.fetch_add(1, Ordering::SeqCst);
                } else {
                    connection = Some(raw);
                }
            }
            None => {
                shared.unannounced.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = match (sample.status, write) {
            (200, false) => &shared.reads,
            (200, true) => &shared.writes,
            _ => &shared.refused,
        };
        count.fetch_add(1, Ordering::SeqCst);
        shared.samples.lock().unwrap().push(sample);
        write = !write;
    }
}
