//! Server-sent events arrive one by one, each within 50 ms of its sending.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use http_body_util::BodyExt;
use sluicegate_tests::{
    Client, Gateway, Step, Upstream, client::get, config, stats::percentile, tick::micros,
};

const EVENTS: usize = 80;

/// How long after its sending each event came.
async fn delays(mut client: Client) -> Vec<Duration> {
    let mut body = client.open(get("/events")).await.unwrap().into_body();
    let (mut delays, mut text) = (Vec::new(), String::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.expect("an unbroken stream").into_data() else { continue };
        text.push_str(std::str::from_utf8(&data).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let sent: u64 = event.strip_prefix("data: ").unwrap().parse().unwrap();
            delays.push(Duration::from_micros(micros() - sent));
            text = rest.to_owned();
        }
    }
    delays
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_within_fifty_milliseconds_of_its_sending() {
    let upstream = Upstream::start().await;
    upstream.on("/events", [Step::Read, Step::Events(EVENTS, Duration::from_millis(20))]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let (mut direct, mut h1, mut h2) = tokio::join!(
        delays(Client::h1(upstream.address()).await),
        delays(Client::h1(gateway.address()).await),
        delays(Client::h2c(gateway.address()).await),
    );
    let noise = percentile(&mut direct, 100.0);
    println!("direct: median {:?}, worst {noise:?}", percentile(&mut direct, 50.0));
    for (name, delays) in [("HTTP/1.1", &mut h1), ("HTTP/2", &mut h2)] {
        assert_eq!(delays.len(), EVENTS);
        let (median, worst) = (percentile(delays, 50.0), percentile(delays, 100.0));
        println!("{name}: median {median:?}, worst {worst:?}");
        // What the machine itself adds shows on the direct stream of the same moment.
        assert!(worst <= Duration::from_millis(50) + noise, "{name}: {worst:?}, direct {noise:?}");
    }
}
