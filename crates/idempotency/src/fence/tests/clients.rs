//! Clients that leave, and clients that are slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use sluicegate_core::{Access, Facts};

use crate::{
    FencesSettings, IdempotencySettings,
    testing::{Rig, RigOptions, answer, post, stream, until, when_told},
};

/// A guard of a layer further out.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn detached(rig: &Rig) -> usize {
    rig.metric("sluicegate_fence_detached")
}

/// Sends a write whose client hangs up once the upstream has it, and gives its facts.
async fn hang_up(rig: &Rig, key: &str) -> Facts {
    let facts = rig.facts(Access::Write, Some("acme"));
    let mut request = post(key, "{}");
    request.extensions_mut().insert(facts.clone());
    let calls = rig.upstream.calls();
    let client = tokio::spawn(rig.ask(request));
    until(|| rig.upstream.calls() == calls + 1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    facts
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_end_its_write() {
    let rig = Rig::new();
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let facts = hang_up(&rig, "k").await;
    let dropped = Arc::new(AtomicBool::new(false));
    facts.keep(Guard(dropped.clone()));
    until(|| detached(&rig) == 1).await;
    assert!(!dropped.load(Ordering::SeqCst), "what a layer further out guards still runs");
    let idle = tokio::spawn({
        let fences = rig.fences.clone();
        async move { fences.idle().await }
    });
    let retry = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.metric("sluicegate_fence_waiters") == 1).await;
    assert!(!idle.is_finished());
    go.send(()).unwrap();
    let got = retry.await.unwrap();
    assert_eq!((got.text(), got.is_replay()), ("made", true));
    idle.await.unwrap();
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!((rig.upstream.effects(), detached(&rig)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_midway_of_its_answer_finds_all_of_it_later() {
    let rig = Rig::new();
    let (mut sender, act) = stream(200);
    rig.upstream.then(act);
    let mut body = rig.send(post("k", "{}")).await.into_body();
    sender.send_data(Bytes::from_static(b"first ")).await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    until(|| detached(&rig) == 1).await;
    sender.send_data(Bytes::from_static(b"second")).await.unwrap();
    drop(sender);
    until(|| detached(&rig) == 0).await;
    assert_eq!(rig.ask(post("k", "{}")).await.text(), "first second");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_body_has_come_has_begun_nothing() {
    let rig = Rig::new();
    let (mut sender, act) = http_body_util::channel::Channel::<Bytes, sluicegate_core::BoxError>::new(1);
    let client = tokio::spawn(rig.ask(post("k", "").map(|_| crate::testing::Body::new(act))));
    sender.send_data(Bytes::from_static(b"{")).await.unwrap();
    until(|| rig.fences.budget().taken() == 1).await;
    client.abort();
    drop(client.await);
    assert_eq!(rig.fences.budget().taken(), 0);
    assert_eq!((rig.ask(post("k", "{}")).await.text(), rig.upstream.calls()), ("answer 1", 1));
}

#[tokio::test(start_paused = true)]
async fn without_its_client_a_write_has_a_limit() {
    let settings = IdempotencySettings {
        detached_limit: Some(Duration::from_secs(5)),
        ..IdempotencySettings::default()
    };
    let rig = Rig::under(settings);
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    hang_up(&rig, "k").await;
    until(|| detached(&rig) == 1).await;
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert_eq!(detached(&rig), 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    until(|| detached(&rig) == 0).await;
    let got = rig.ask(post("k", "{}")).await;
    assert_eq!(got.code(), "idempotency_outcome_unknown");
    assert!(got.json()["detail"].as_str().unwrap().contains("within the limit"));
    assert!(go.send(()).is_err(), "the upstream's connection was let go");

    // With its client it may take as long as it takes.
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let client = tokio::spawn(rig.ask(post("slow", "{}")));
    tokio::time::sleep(Duration::from_secs(50)).await;
    go.send(()).unwrap();
    assert_eq!(client.await.unwrap().status, 201);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_writes_go_on_without_their_clients() {
    let bounds = FencesSettings { max_detached: 1, ..FencesSettings::default() };
    let rig = Rig::with(RigOptions { bounds, ..RigOptions::default() });
    let mut told = Vec::new();
    for key in ["a", "b"] {
        let (go, act) = when_told(answer(201, "made"));
        told.push(go);
        rig.upstream.then(act);
        hang_up(&rig, key).await;
    }
    until(|| rig.metric("sluicegate_fence_running") == 1).await;
    let code = rig.ask(post("b", "{}")).await.code();
    assert_eq!(code, "idempotency_outcome_unknown");
    told.remove(0).send(()).unwrap();
    assert!(rig.ask(post("a", "{}")).await.is_replay());
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_stream_a_freeze_has_cut_ends_with_its_client() {
    let rig = Rig::new();
    let (_sender, act) = stream(200);
    rig.upstream.then(act);
    let facts = rig.facts(Access::Write, Some("acme"));
    let mut request = post("k", "{}");
    request.extensions_mut().insert(facts.clone());
    let response = rig.send(request).await;
    facts.cut();
    drop(response);
    until(|| rig.metric("sluicegate_fence_running") == 0).await;
    assert_eq!(rig.ask(post("k", "{}")).await.code(), "idempotency_outcome_unknown");
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_does_not_hold_the_end_back() {
    let rig = Rig::new();
    let (mut sender, act) = stream(200);
    rig.upstream.then(act);
    let unread = rig.send(post("k", "{}")).await;
    for _ in 0..40 {
        sender.send_data(Bytes::from(vec![b'x'; 16 * 1024])).await.unwrap();
    }
    drop(sender);
    let again = rig.ask(post("k", "{}")).await;
    assert_eq!((again.text().len(), again.is_replay()), (40 * 16 * 1024, true));
    assert_eq!(unread.into_body().collect().await.unwrap().to_bytes().len(), 40 * 16 * 1024);
    assert_eq!(rig.fences.budget().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_flows_at_its_clients_pace_and_one_that_takes_nothing_is_given_up() {
    let settings = IdempotencySettings {
        max_answer: 1024,
        detached_limit: Some(Duration::from_secs(5)),
        ..IdempotencySettings::default()
    };
    let rig = Rig::under(settings);
    let (mut sender, act) = stream(200);
    rig.upstream.then(act);
    let mut body = rig.send(post("k", "{}")).await.into_body();
    let feed = tokio::spawn(async move {
        for _ in 0..200 {
            sender.send_data(Bytes::from(vec![b'x'; 16 * 1024])).await.unwrap();
        }
    });
    // It takes something every four seconds: slow, but there.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(body.frame().await.unwrap().is_ok());
    }
    assert!(!feed.is_finished(), "it is not read ahead without end");
    tokio::time::sleep(Duration::from_secs(6)).await;
    feed.await.unwrap();
    let mut left = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => left += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(left, 0);
    assert!(error.to_string().contains("took nothing"), "{error}");
    let again = rig.ask(post("k", "{}")).await;
    assert_eq!((again.status, again.headers["sluicegate-replay"].as_bytes()), (200, &b"without-body"[..]));
}
