//! A receiver that hangs for a minute delays nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use sluicegate_tests::{
    Client, Gateway, Upstream,
    client::{get, post},
    comes_true, config, repeat,
};
use tokio::net::TcpListener;

use crate::SECRET;

/// Takes connections and never says a word.
async fn hanging() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    (listener, url)
}

/// How long each kind of thing took, round by round.
#[derive(Default)]
struct Times {
    freeze: Vec<Duration>,
    thaw: Vec<Duration>,
    reload: Vec<Duration>,
    read: Vec<Duration>,
    write: Vec<Duration>,
}

async fn timed<T>(into: &mut Vec<Duration>, work: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let done = work.await;
    into.push(begin.elapsed());
    done
}

impl Times {
    async fn round(&mut self, gateway: &Gateway, document: &str, round: usize) {
        let mut client = Client::h1(gateway.address()).await;
        let id = format!("round-{round}");
        timed(&mut self.freeze, gateway.freeze(&format!("{id}?wait=30s"), &json!({}))).await;
        assert_eq!(timed(&mut self.read, client.ask(get("/r"))).await.status, 200);
        let changed = format!("{document}\n# {round}\n");
        assert_eq!(timed(&mut self.reload, gateway.put_config("", &changed)).await.status, 200);
        timed(&mut self.thaw, gateway.thaw(&id)).await;
        assert_eq!(timed(&mut self.write, client.ask(post("/w", "x"))).await.status, 200);
    }

    fn each(self) -> [(&'static str, Duration, Duration); 5] {
        let Self { freeze, thaw, reload, read, write } = self;
        [("freeze", freeze), ("thaw", thaw), ("reload", reload), ("read", read), ("write", write)].map(
            |(name, mut all)| {
                all.sort_unstable();
                (name, all[all.len() / 2], *all.last().unwrap())
            },
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn freezes_thaws_reloads_and_requests_take_as_long_with_it_as_without() {
    let upstream = Upstream::start().await;
    let (good, other) = (Upstream::start().await, Upstream::start().await);
    let (_listener, url) = hanging().await;
    let webhook =
        |name: &str, url: &str| format!("{{ name: {name}, url: \"{url}\", secret: {SECRET}, timeout: 60s }}");
    // More of them than the threads that the gateway has for such work.
    let mut all: Vec<_> = (0..4).map(|n| webhook(&format!("hangs-{n}"), &url)).collect();
    all.push(webhook("good", &format!("{}/hook", good.url())));
    let with = config(&upstream.url(), &format!("webhooks: [{}]", all.join(", ")));
    let without = config(
        &upstream.url(),
        &format!("webhooks: [{}]", webhook("good", &format!("{}/hook", other.url()))),
    );
    let [slow, quick] = [Gateway::start(&with), Gateway::start(&without)];
    let (mut hung, mut free) = (Times::default(), Times::default());
    // The long run sees the minute out, and the tries that follow.
    let (begin, at_least) = (Instant::now(), Duration::from_secs(repeat(0, 70) as u64));
    let mut rounds = 0;
    while rounds < 30 || begin.elapsed() < at_least {
        hung.round(&slow, &with, rounds).await;
        free.round(&quick, &without, rounds).await;
        rounds += 1;
    }
    for ((name, with, worst), (_, without, worst_without)) in hung.each().into_iter().zip(free.each()) {
        println!("{name}: median {with:?} with, {without:?} without; worst {worst:?}, {worst_without:?}");
        // One who waited for such a receiver would wait for a minute.
        assert!(worst < Duration::from_secs(10), "{name}: {worst:?}");
        // Times of two runs side by side say something only where there are many.
        if !at_least.is_zero() {
            assert!(
                with <= without * 2 + Duration::from_millis(20),
                "{name}: {with:?} with, {without:?} without"
            );
        }
    }
    comes_true("the other receiver has got its messages", async || {
        let shown = slow.admin_get("/status").await["webhooks"].clone();
        shown[0]["delivered"] == json!(rounds * 3) && shown[0]["pending"] == 0
    })
    .await;
    let shown = slow.admin_get("/status").await["webhooks"].clone();
    for hangs in &shown.as_array().unwrap()[1..] {
        // A thousand wait at most; the long run has more.
        let waiting = hangs["pending"].as_u64().unwrap() + hangs["dropped"].as_u64().unwrap();
        assert_eq!((&hangs["delivered"], waiting), (&json!(0), rounds as u64 * 3), "{hangs}");
        if !at_least.is_zero() {
            assert!(hangs["last_failure"]["error"] == "did not answer within 60s", "{hangs}");
        }
    }
    let mut slow = slow;
    slow.signal(rustix::process::Signal::INT);
    let begin = Instant::now();
    assert_eq!(slow.exit_code(), 0);
    assert!(begin.elapsed() < Duration::from_secs(10), "nor does the end wait: {:?}", begin.elapsed());
}
