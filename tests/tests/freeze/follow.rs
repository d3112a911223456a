//! Job schedulers follow the freeze: by long poll or by events.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use sluicegate_tests::{Client, Gateway, LIMIT, Upstream, client::full, config};
use tokio::time::timeout;

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    (upstream, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_is_answered_at_the_next_change_or_when_its_time_is_up() {
    let (_upstream, gateway) = start().await;
    let now = gateway.admin_get("/freeze").await;
    assert_eq!((&now["active"], &now["freezes"]), (&false.into(), &json!([])));
    let version = now["version"].as_u64().unwrap();

    let begin = Instant::now();
    let same = gateway.admin_get(&format!("/freeze?wait=300ms&since={version}")).await;
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    assert_eq!(same["version"], version);

    let poll = format!("/freeze?wait=30s&since={version}");
    let begin = Instant::now();
    let order = json!({ "reason": "r" });
    let (changed, _) = tokio::join!(gateway.admin_get(&poll), gateway.freeze("x", &order));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(changed["version"].as_u64().unwrap() > version, "{changed}");
    assert_eq!((&changed["active"], &changed["freezes"][0]["id"]), (&true.into(), &"x".into()), "{changed}");

    let behind = gateway.admin_get(&format!("/freeze?wait=30s&since={version}")).await;
    assert_eq!(behind["active"], true, "a poll that is behind is answered at once");
}

/// The next event's data.
async fn event(body: &mut Incoming, text: &mut String) -> Value {
    loop {
        if let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let data: String = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            if !data.is_empty() {
                return serde_json::from_str(&data).unwrap();
            }
            continue;
        }
        let frame = timeout(LIMIT, body.frame()).await.expect("an event in time").expect("an open stream");
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_every_change() {
    let (_upstream, gateway) = start().await;
    let request = Request::get("/freeze").header("accept", "text/event-stream").body(full("")).unwrap();
    let response = Client::h1(gateway.admin_address()).await.open(request).await.unwrap();
    assert!(response.headers()["content-type"].as_bytes().starts_with(b"text/event-stream"));
    let (mut body, mut text) = (response.into_body(), String::new());
    let first = event(&mut body, &mut text).await;
    assert_eq!(first["active"], false, "{first}");
    let mut version = first["version"].as_u64().unwrap();
    for round in 0..5 {
        let id = format!("round-{round}");
        gateway.freeze(&id, &json!({})).await;
        loop {
            let on = event(&mut body, &mut text).await;
            assert!(on["version"].as_u64().unwrap() > version, "{on}");
            version = on["version"].as_u64().unwrap();
            // Going on and being drained are changes of their own.
            if on["freezes"][0]["drained_at"].is_string() {
                assert_eq!(on["freezes"][0]["id"], id);
                break;
            }
        }
        gateway.thaw(&id).await;
        loop {
            let off = event(&mut body, &mut text).await;
            assert!(off["version"].as_u64().unwrap() > version, "{off}");
            version = off["version"].as_u64().unwrap();
            if off["active"] == false {
                break;
            }
            // Of its drain more may have been told before.
            assert_eq!(off["freezes"][0]["id"], id);
        }
    }
}
