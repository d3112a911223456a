//! A write and a freeze at the same instant: whichever comes first, it is told the truth.

use std::time::{Duration, Instant};

use http::Request;
use sluicegate_tests::{
    Client, Gateway, Raw, Step, Upstream,
    client::{Answer, full},
    config, repeat,
    upstream::response,
};

use crate::write;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_the_instant_of_the_freeze_is_refused_or_waited_for() {
    let upstream = Upstream::start().await;
    // Much longer than the answer to the freeze takes: one that was missed is still running.
    let slow = [Step::Read, Step::Pause(Duration::from_millis(10)), Step::Send(response("200 OK", "", "ok"))];
    upstream.on("/", slow);
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let mut raw = Raw::connect(gateway.address()).await;
    let mut admin = Client::h1(gateway.admin_address()).await;
    let freeze = || {
        let request = Request::put("/freeze/instant?wait=20s").header("content-type", "application/json");
        request.body(full("{}")).unwrap()
    };
    assert_eq!(write(&mut raw, "/", "").await.status, 200);
    // By how much the write is sent after the freeze. It homes in on where either may come
    // first: a write that was refused is sent earlier next time, one that passed later.
    let mut after = Duration::ZERO;
    let (mut passed, mut refused) = (0, 0);
    let rounds = repeat(300, 3000);
    for round in 0..rounds {
        let writing = tokio::spawn(async move {
            let start = Instant::now();
            while start.elapsed() < after {
                std::hint::spin_loop();
            }
            (write(&mut raw, "/", "").await.status, raw)
        });
        let frozen: Answer = admin.ask(freeze()).await;
        // Drained: no write runs, and none will.
        let (running, seen) = (upstream.running(), upstream.seen().len());
        assert_eq!(frozen.json()["drain"]["drained"], true, "{frozen:?}");
        assert_eq!(running, 0, "round {round}: a write runs though the freeze says it is drained");
        let (status, kept) = writing.await.unwrap();
        raw = kept;
        assert_eq!(upstream.seen().len(), seen, "round {round}: a write came after the drain");
        let step = Duration::from_micros(5);
        match status {
            200 => (passed, after) = (passed + 1, after + step),
            423 => (refused, after) = (refused + 1, after.saturating_sub(step)),
            status => panic!("round {round}: {status}"),
        }
        gateway.thaw("instant").await;
    }
    println!("{passed} passed, {refused} were refused; the write comes {after:?} after the freeze");
    assert!(passed.min(refused) >= rounds / 20, "{passed} passed, {refused} were refused: no race at all");
}
