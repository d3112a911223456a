use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::HeaderMap,
    routing::{any, post},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use sluicegate_core::{Chance, Clock};
use sluicegate_store::{Store, memory::Memory};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Handle,
};

use super::{OpenOptions, Webhooks};
use crate::{
    Message, OUTBOX, WebhookEvent, WebhookInput, WebhookSettings,
    sign::{Secret, signature},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver does with a message.
#[derive(Clone, Copy)]
enum Does {
    Answers(u16),
    Hangs,
}

/// A receiver that does as it is told, then answers 204, and remembers what it was sent.
#[derive(Clone, Default)]
struct Receiver {
    does: Arc<Mutex<VecDeque<Does>>>,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    /// Requests of any kind at the address that its answers point to.
    elsewhere: Arc<AtomicUsize>,
}

async fn take(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Bytes,
) -> (axum::http::StatusCode, [(&'static str, &'static str); 1]) {
    receiver.got.lock().push((headers, body));
    let next = receiver.does.lock().pop_front();
    let status = match next {
        None => 204,
        Some(Does::Answers(status)) => status,
        Some(Does::Hangs) => std::future::pending().await,
    };
    (status.try_into().unwrap(), [("location", "/elsewhere")])
}

impl Receiver {
    async fn start(does: &[Does]) -> (Self, String) {
        let receiver = Self { does: Arc::new(Mutex::new(does.iter().copied().collect())), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let elsewhere = receiver.elsewhere.clone();
        let router = Router::new()
            .route("/hook", post(take))
            .route("/elsewhere", any(async move || elsewhere.fetch_add(1, Relaxed).to_string()))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn ids(&self) -> Vec<String> {
        self.got
            .lock()
            .iter()
            .map(|(headers, _)| headers["webhook-id"].to_str().unwrap().to_owned())
            .collect()
    }
}

fn open(store: &Store) -> Webhooks {
    let options = OpenOptions {
        store: store.clone(),
        clock: Clock::system(),
        chance: Arc::new(Chance::from_system()),
        side: Handle::current(),
    };
    Webhooks::open(options, &mut Registry::default())
}

fn memory() -> Store {
    Store::new(Memory::new(Clock::system()))
}

fn input(name: &str, url: &str) -> Value {
    json!({ "name": name, "url": url, "secret": SECRET, "base": "1ms", "cap": "20ms", "timeout": "5s" })
}

fn apply(webhooks: &Webhooks, inputs: &[Value]) {
    let inputs: Vec<WebhookInput> =
        inputs.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect();
    webhooks.apply(&WebhookSettings::read(&inputs, &Path::to_path_buf).unwrap());
}

fn message(about: &str, shared: bool) -> Message {
    Message::new(WebhookEvent::Start, about, Timestamp::now(), &[about], shared, Map::new())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_signed_and_tried_again_under_one_id_until_it_is_taken() {
    let (receiver, url) =
        Receiver::start(&[Does::Answers(500), Does::Answers(302), Does::Answers(429)]).await;
    let webhooks = open(&memory());
    apply(&webhooks, &[input("a", &url)]);
    webhooks.send(message("night", false));
    until("delivered", || webhooks.status()[0].delivered == 1 && webhooks.status()[0].pending == 0).await;
    let got = receiver.got.lock().clone();
    assert_eq!(got.len(), 4);
    let secret = [Secret::read(SECRET).unwrap()];
    for (headers, body) in &got {
        let id = headers["webhook-id"].to_str().unwrap();
        let timestamp: i64 = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        assert!((Timestamp::now().as_second() - timestamp).abs() < 60);
        assert_eq!(headers["webhook-signature"], signature(&secret, id, timestamp, body).as_str());
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!((&body["id"], &body["type"]), (&json!(id), &json!("start")));
    }
    let status = webhooks.status().remove(0);
    assert_eq!((status.pending, status.failures_in_a_row, status.given_up), (0, 0, 0));
    assert!(status.last_failure.unwrap().error.contains("429"));
    assert_eq!(status.last_delivery.unwrap().about, "night");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (receiver, url) = Receiver::start(&[Does::Answers(status)]).await;
        let webhooks = open(&memory());
        let mut once = input("a", &url);
        once["tries"] = 1.into();
        apply(&webhooks, &[once]);
        webhooks.send(message("night", false));
        until("given up", || webhooks.status()[0].given_up == 1).await;
        let failure = webhooks.status()[0].last_failure.clone().unwrap().error;
        assert!(
            failure.starts_with(&format!("answered {status}")) && failure.contains("not followed"),
            "{failure}"
        );
        assert_eq!((receiver.ids().len(), receiver.elsewhere.load(Relaxed)), (1, 0), "{status}");
    }
}

/// Answers every request with the same bytes, again and again, for as long as they are taken.
async fn pouring(head: &'static str, more: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let poured = Arc::new(AtomicUsize::new(0));
    let count = poured.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                if stream.read(&mut asked).await.is_ok() && stream.write_all(head.as_bytes()).await.is_ok() {
                    while stream.write_all(more).await.is_ok() {
                        count.fetch_add(more.len(), Relaxed);
                    }
                }
            });
        }
    });
    (url, poured)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_answers_besides_its_status_is_not_read() {
    static BLOCK: [u8; 65_536] = [b'x'; 65_536];
    let (thanks, poured) = pouring("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", &BLOCK).await;
    let (refuses, of_refusal) =
        pouring("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n40000000\r\n", &BLOCK).await;
    let (talks, of_head) = pouring("HTTP/1.1 200 OK\r\n", b"x-more: of the same, again and again\r\n").await;
    let webhooks = open(&memory());
    let once = |name: &str, url: &str| {
        let mut input = input(name, url);
        input["tries"] = 1.into();
        input
    };
    apply(&webhooks, &[once("a-thanks", &thanks), once("b-refuses", &refuses), once("c-talks", &talks)]);
    let begin = Instant::now();
    webhooks.send(message("night", false));
    until("all have ended", || webhooks.status().iter().all(|one| one.pending == 0)).await;
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "none takes as long as its timeout: {:?}",
        begin.elapsed()
    );
    let status = webhooks.status();
    assert_eq!((status[0].delivered, status[1].given_up, status[2].given_up), (1, 1, 1), "{status:?}");
    for poured in [poured, of_refusal, of_head] {
        // What fits the buffers of both sockets.
        assert!(poured.load(Relaxed) < 64 << 20, "{poured:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_before_it_could_be_sent_counts_as_dropped() {
    let webhooks = open(&memory());
    apply(&webhooks, &[input("a", "http://127.0.0.1:1/"), input("b", "http://127.0.0.1:1/")]);
    webhooks.missed(3);
    assert_eq!(webhooks.status().iter().map(|one| one.dropped).collect::<Vec<_>>(), [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_given_up_and_the_next_comes() {
    let (receiver, url) =
        Receiver::start(&[Does::Answers(500), Does::Answers(500), Does::Answers(410)]).await;
    let webhooks = open(&memory());
    let mut twice = input("a", &url);
    twice["tries"] = 2.into();
    apply(&webhooks, &[twice]);
    for about in ["first", "second", "third"] {
        webhooks.send(message(about, false));
    }
    until("all three have ended", || webhooks.status()[0].pending == 0).await;
    let status = webhooks.status().remove(0);
    assert_eq!((status.given_up, status.delivered), (2, 1), "410 ends the tries at once");
    assert_eq!(status.last_delivery.unwrap().about, "third");
    assert_eq!(receiver.ids().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_up_no_other_and_nobody_who_sends() {
    let (_hanging, slow) = Receiver::start(&[Does::Hangs; 3]).await;
    let (quick, url) = Receiver::start(&[]).await;
    let webhooks = open(&memory());
    let mut hangs = input("hangs", &slow);
    hangs["timeout"] = "1h".into();
    let mut ends = input("quick", &url);
    ends["events"] = json!(["end"]);
    apply(&webhooks, &[hangs, ends]);
    let begin = Instant::now();
    for n in 0..OUTBOX {
        webhooks.send(message(&n.to_string(), false));
    }
    // The first outbox is full, and what both are told of goes on to the second.
    for n in 0..5 {
        let about = n.to_string();
        let end = Message::new(WebhookEvent::End, &about, Timestamp::now(), &[&about], false, Map::new());
        webhooks.send(end);
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    until("the quick one has all of its own", || webhooks.status()[1].pending == 0).await;
    let status = webhooks.status();
    assert_eq!((status[0].pending, status[0].dropped, status[0].delivered), (OUTBOX, 5, 0));
    assert_eq!((status[1].dropped, status[1].delivered, quick.ids().len()), (0, 5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_gateways_that_share_a_store_one_delivers_and_where_it_gives_up_another_does() {
    let store = memory();
    let (receiver, url) = Receiver::start(&[]).await;
    let group: Vec<_> = (0..3).map(|_| open(&store)).collect();
    for webhooks in &group {
        apply(webhooks, &[input("a", &url)]);
    }
    for n in 0..20 {
        for webhooks in &group {
            webhooks.send(message(&n.to_string(), true));
        }
    }
    until("all is delivered", || group.iter().all(|webhooks| webhooks.status()[0].pending == 0)).await;
    let mut ids = receiver.ids();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.ids().len()), (20, 20), "each once");
    let total =
        |of: fn(&crate::WebhookStatus) -> u64| group.iter().map(|one| of(&one.status()[0])).sum::<u64>();
    assert_eq!((total(|it| it.delivered), total(|it| it.elsewhere)), (20, 40));

    let mut nowhere = input("a", "http://127.0.0.1:1/");
    nowhere["tries"] = 1.into();
    apply(&group[0], &[nowhere]);
    group[0].send(message("cut off", true));
    until("it gives up", || group[0].status()[0].given_up == 1).await;
    group[1].send(message("cut off", true));
    until("another delivers it", || group[1].status()[0].pending == 0).await;
    assert_eq!(receiver.ids().len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_the_outbox_and_uses_what_is_new() {
    let (receiver, url) = Receiver::start(&[]).await;
    let webhooks = open(&memory());
    // It is not given up before it has moved, however long that takes here.
    let mut nowhere = input("a", "http://127.0.0.1:1/");
    (nowhere["tries"], nowhere["cap"]) = (100.into(), "200ms".into());
    apply(&webhooks, &[nowhere, input("b", &url)]);
    webhooks.send(message("moved", false));
    until("a try has failed", || webhooks.status()[0].failures_in_a_row > 0).await;
    apply(&webhooks, &[input("a", &url)]);
    until("it is delivered to the new address", || webhooks.status()[0].delivered == 1).await;
    assert_eq!(webhooks.status().len(), 1, "b is gone");
    let mut other = input("a", &url);
    other["events"] = json!(["end"]);
    apply(&webhooks, &[other]);
    let before = receiver.ids().len();
    webhooks.send(message("not asked for", false));
    assert_eq!((webhooks.status()[0].pending, receiver.ids().len()), (0, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_how_messages_end() {
    let (_receiver, url) = Receiver::start(&[Does::Answers(500)]).await;
    let mut registry = Registry::default();
    let options = OpenOptions {
        store: memory(),
        clock: Clock::system(),
        chance: Arc::new(Chance::seeded(1)),
        side: Handle::current(),
    };
    let webhooks = Webhooks::open(options, &mut registry);
    apply(&webhooks, &[input("a", &url)]);
    webhooks.send(message("x", false));
    until("delivered", || webhooks.status()[0].delivered == 1).await;
    until("done", || webhooks.status()[0].pending == 0).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "sluicegate_webhook_messages_total{webhook=\"a\",outcome=\"delivered\"} 1",
        "sluicegate_webhook_tries_total{webhook=\"a\",result=\"refused\"} 1",
        "sluicegate_webhook_tries_total{webhook=\"a\",result=\"ok\"} 1",
        "sluicegate_webhook_pending{webhook=\"a\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}
