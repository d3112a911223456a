//! `/v1/answer`: the order of its events, their pace, and their breaking off.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;
use sluicegate_demo_rag::Reset;
use tokio::time::{Instant, timeout};

use crate::client::{Client, instance, request};

const ASK: &str = r#"{"question":"Why does a freeze wait for running writes?","k":4}"#;

/// The events of a stream, read strictly: each has an event, an id and one line of data.
fn events(body: &[u8]) -> Vec<(String, u64, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let read = |block: &str| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start().to_owned()
        };
        (field("event:"), field("id:").parse().unwrap(), serde_json::from_str(&field("data:")).unwrap())
    };
    text.split("\n\n").filter(|block| !block.is_empty()).map(read).collect()
}

#[tokio::test]
async fn retrieval_then_tokens_then_done() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let answer = client.send("POST", "/v1/answer", ASK).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let events = events(&answer.body);
    let last = events.len() - 1;
    assert!(events.iter().zip(1..).all(|((_, id, _), place)| *id == place));
    assert_eq!(events[0].0, "retrieval");
    assert!(events[1..last].iter().all(|(name, _, _)| name == "token"));
    assert_eq!(events[last].0, "done");

    let citations = events[0].2["citations"].as_array().unwrap();
    assert_eq!(citations.len(), 4);
    let text = events[1..last].iter().map(|(_, _, data)| data["text"].as_str().unwrap()).collect::<String>();
    assert!(text.contains("[1]"), "{text}");
    for mark in text.split('[').skip(1) {
        let mark: usize = mark.split(']').next().unwrap().parse().unwrap();
        assert!((1..=citations.len()).contains(&mark), "{text}");
    }
    let done = &events[last].2;
    assert_eq!(done["model"], "m-1");
    assert_eq!(done["finish_reason"], "stop");
    assert_eq!(done["usage"]["completion_tokens"], last - 1);
    let hash = events[0].2["index_hash"].as_str().unwrap();
    assert!(answer.header("x-wfgy").contains(hash));
    instance.stop().await;
}

#[tokio::test]
async fn the_get_form_gives_the_same_answer() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let posted = client.send("POST", "/v1/answer", ASK).await;
    let got = client.get("/v1/answer?q=Why+does+a+freeze+wait+for+running+writes%3F&k=4").await;
    assert_eq!(got.body, posted.body);
    let bad = client.get("/v1/answer").await;
    assert_eq!((bad.status.as_u16(), bad.problem().as_str()), (400, "bad_request"));
    instance.stop().await;
}

#[tokio::test]
async fn tokens_come_one_by_one_and_the_stream_counts_as_in_flight() {
    let instance = instance().await;
    instance.switches().update(|s| s.slow_tokens_ms = 30).unwrap();
    let mut client = Client::connect(instance.address()).await;
    let start = Instant::now();
    let mut response = client.begin(request("POST", "/v1/answer", ASK)).await.unwrap();
    let mut next = async || response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    let mut got = Vec::new();
    while got.len() < 4 {
        got.extend(events(&next().await));
    }
    assert_eq!(got[0].0, "retrieval");
    assert!(start.elapsed() >= Duration::from_millis(90), "three tokens were paced: {:?}", start.elapsed());
    assert_eq!(instance.requests().in_flight, 1);

    // The switch is read for each token: the rest comes at once.
    instance.switches().update(|s| s.slow_tokens_ms = 0).unwrap();
    let rest = timeout(Duration::from_secs(5), response.into_body().collect()).await.unwrap().unwrap();
    got.extend(events(&rest.to_bytes()));
    assert_eq!(got[got.len() - 1].0, "done");
    let other = Client::connect(instance.address()).await.get("/debug/requests").await.json();
    assert_eq!((&other["in_flight"], &other["total"]), (&0.into(), &1.into()));
    instance.stop().await;
}

#[tokio::test]
async fn midway_breaks_a_stream_in_its_middle() {
    let instance = instance().await;
    instance.switches().update(|s| s.reset = Reset::Midway).unwrap();
    for mut client in
        [Client::connect(instance.address()).await, Client::connect_h2(instance.address()).await]
    {
        let mut response = client.begin(request("POST", "/v1/answer", ASK)).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut got = Vec::new();
        let broken = loop {
            match response.body_mut().frame().await {
                Some(Ok(frame)) => got.extend(events(&frame.into_data().unwrap())),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert!(broken, "an end that looks whole");
        assert!(got.len() > 2 && got.iter().all(|(name, _, _)| name != "done"));
    }
    instance.stop().await;
}
