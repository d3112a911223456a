//! `on_mismatch: refuse`, under load: what was made with another index reaches nobody.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Request;
use sluicegate_tests::{
    Answer, Client, Gateway, LIMIT,
    client::{Body, get},
    reaches, repeat,
};
use tokio::task::JoinSet;

use crate::{
    document, mismatches, ms,
    rag::{Rag, search},
    stands, state, upstream,
};

/// What the service tells in every answer.
const TOLD: [&str; 3] = ["INDEX_HASH", "DOC_COUNT", "MODEL_VER"];

const ROUTES: [&str; 2] = [
    "name: retrieve, match: { path: \"/v1/retrieve\", methods: [POST] }, access: read, upstream: main",
    "name: rest, match: { path: \"/{*rest}\" }, upstream: main",
];

const CLIENTS: usize = 8;

/// What the clients have got.
#[derive(Default)]
struct Got {
    enough: AtomicBool,
    right: AtomicUsize,
    refused: AtomicUsize,
    /// Answers that were made with another index, or that are neither right nor refused.
    wrong: Mutex<Vec<String>>,
}

impl Got {
    fn right(&self) -> usize {
        self.right.load(Ordering::SeqCst)
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Puts an answer where it belongs.
    fn judge(&self, answer: &Answer, pins: &[(String, String)]) {
        let told: Vec<_> = answer.header("x-wfgy").split(',').collect();
        let is_told = |pin: &str, value: &str| told.contains(&format!("{pin}={value}").as_str());
        let body = String::from_utf8_lossy(&answer.body);
        // Whatever tells an index in its content tells the pinned one.
        let hash = format!("\"index_hash\":\"{}\"", pins[0].1);
        let content = body.matches("\"index_hash\"").count() == body.matches(&hash).count();
        if answer.status == 200 && content && pins.iter().all(|(pin, value)| is_told(pin, value)) {
            self.right.fetch_add(1, Ordering::SeqCst);
        } else if answer.status == 503
            && answer.code() == "index_mismatch"
            && answer.json()["diff"].as_array().is_some_and(|diff| !diff.is_empty())
            && told == [""]
            && !body.contains("hits")
        {
            self.refused.fetch_add(1, Ordering::SeqCst);
        } else {
            self.wrong.lock().unwrap().push(format!("{} {:?} {body:.300}", answer.status, answer.headers));
        }
    }
}

/// Clients that search, look up and ask without pause and look at every answer.
struct Readers {
    got: Arc<Got>,
    clients: JoinSet<()>,
}

impl Readers {
    fn start(address: SocketAddr, pins: &[(String, String)]) -> Self {
        let (got, mut clients) = (Arc::new(Got::default()), JoinSet::new());
        for number in 0..CLIENTS {
            let (got, pins) = (got.clone(), pins.to_vec());
            clients.spawn(async move {
                let mut client =
                    if number % 4 == 0 { Client::h2c(address).await } else { Client::h1(address).await };
                for turn in number.. {
                    if got.enough.load(Ordering::SeqCst) {
                        return;
                    }
                    let answer = client.ask(request(turn)).await;
                    got.judge(&answer, &pins);
                }
            });
        }
        Self { got, clients }
    }

    async fn right(&self, more: usize) {
        let goal = self.got.right() + more;
        reaches("right answers", goal, async || self.got.right()).await;
    }

    async fn refused(&self, more: usize) {
        let goal = self.got.refused() + more;
        reaches("refusals", goal, async || self.got.refused()).await;
    }

    async fn stop(mut self) -> Arc<Got> {
        self.got.enough.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client does not panic");
        }
        let wrong = self.got.wrong.lock().unwrap().clone();
        assert!(
            wrong.is_empty(),
            "{} wrong answers reached clients: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        self.got
    }
}

fn request(turn: usize) -> Request<Body> {
    match turn % 4 {
        0 => get("/v1/documents/bm25-basics"),
        1 => get("/v1/answer?q=What+is+a+write+freeze&max_tokens=5"),
        _ => search(),
    }
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < LIMIT, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

fn gateway(services: &[&Rag], pins: &[(String, String)], more: &str, extra: &str) -> Gateway {
    let endpoints: Vec<_> = services.iter().map(|rag| rag.url()).collect();
    let more = format!(", on_mismatch: refuse{more}");
    Gateway::start(&document(&[upstream("main", &endpoints, pins, &more)], &ROUTES, extra))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_another_index_reaches_a_client_and_it_heals_by_answers() {
    let rag = Rag::start().await;
    let pins = rag.pins(&TOLD).await;
    let gateway = gateway(&[&rag], &pins, "", "");
    let readers = Readers::start(gateway.address(), &pins);
    let cycles = repeat(3, 30);
    let (mut noticed, mut healed) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..cycles {
        readers.right(200).await;
        rag.add("new").await;
        let begun = Instant::now();
        readers.refused(1).await;
        noticed = noticed.max(begun.elapsed());
        readers.refused(300).await;
        assert_eq!(state(&gateway, &rag.url()).await["state"], "mismatch");
        rag.remove("new").await;
        let right = readers.got.right();
        // Somebody is let through each second to see.
        healed = healed.max(until("it heals", async || readers.got.right() > right).await);
    }
    readers.right(100).await;
    assert!(!stands(&gateway, &rag.url()).await);
    let dropped = mismatches(&gateway, "main", "INDEX_HASH", "answer").await;
    let got = readers.stop().await;
    println!(
        "pins refused: by answers: {cycles} changes of the index under load: {} right, {} refused, {dropped} answers \
         dropped, 0 wrong ones at clients; first refusal within {}, first right answer after healing within {}",
        got.right(),
        got.refused(),
        ms(noticed),
        ms(healed)
    );
    assert!(dropped >= cycles as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_manifest_nothing_is_sent_while_it_contradicts() {
    let rag = Rag::start().await;
    let pins = rag.pins(&["INDEX_HASH", "DOC_COUNT", "CHUNK_SCHEMA_VER"]).await;
    let gateway = gateway(&[&rag], &pins, ", manifest: { path: /index/manifest, interval: 100ms }", "");
    let readers = Readers::start(gateway.address(), &pins[..2]);
    let cycles = repeat(3, 30);
    let mut healed = Duration::ZERO;
    for _ in 0..cycles {
        readers.right(200).await;
        rag.add("new").await;
        let readings = rag.count("/index/manifest");
        readers.refused(1).await;
        until("the manifest has told", async || rag.count("/index/manifest") >= readings + 2).await;
        readers.refused(4 * CLIENTS).await;
        let sent = rag.served();
        readers.refused(200).await;
        assert_eq!(rag.served(), sent, "something was sent");
        rag.remove("new").await;
        let right = readers.got.right();
        healed = healed.max(until("it heals", async || readers.got.right() > right).await);
    }
    let got = readers.stop().await;
    println!(
        "pins refused: by manifest every 100 ms: {cycles} changes under load: {} right, {} refused, 0 wrong ones at \
         clients, healed within {}",
        got.right(),
        got.refused(),
        ms(healed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_endpoint_that_is_as_pinned_takes_over_without_a_failed_read() {
    let (one, other) = (Rag::start().await, Rag::start().await);
    let pins = one.pins(&TOLD).await;
    let retries = "retries: { tries: 3, base: 1ms, budget: 1.0 }\n";
    let gateway = gateway(&[&one, &other], &pins, "", retries);
    let readers = Readers::start(gateway.address(), &pins);
    let cycles = repeat(2, 20);
    for cycle in 0..cycles {
        readers.right(200).await;
        let (turned, stays) = if cycle % 2 == 0 { (&one, &other) } else { (&other, &one) };
        turned.add("new").await;
        until("it is noticed", async || stands(&gateway, &turned.url()).await).await;
        let before = stays.served();
        readers.right(300).await;
        assert!(stays.served() >= before + 250, "the one that is as pinned serves");
        assert_eq!(state(&gateway, &turned.url()).await["state"], "mismatch");
        turned.remove("new").await;
        until("it heals", async || !stands(&gateway, &turned.url()).await).await;
        let before = turned.served();
        until("it serves again", async || turned.served() > before + 20).await;
    }
    let got = readers.stop().await;
    println!(
        "pins refused: two endpoints, one of them changed {cycles} times: {} right, {} refused, 0 wrong ones",
        got.right(),
        got.refused()
    );
    assert_eq!(got.refused(), 0, "a read failed although one endpoint was as pinned");
}
