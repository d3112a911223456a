//! How attempts end, and what is kept of them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use sluicegate_core::{Access, BoxError, Facts};
use tokio::time::Instant;

use crate::{
    FencesSettings, IdempotencySettings, KeyFilter, KeyRecord, KeyState,
    testing::{Act, Body, Rig, RigOptions, answer, full, post, read, stream, until, when_told},
};

async fn only_key(rig: &Rig) -> Option<KeyRecord> {
    rig.fences.list(&KeyFilter::default(), None, 10).await.unwrap().keys.pop()
}

#[tokio::test(start_paused = true)]
async fn each_end_is_written_as_what_is_known() {
    use KeyState::{Sealed, Unknown};
    let table: [(Act, u16, Option<KeyState>); 9] = [
        (answer(201, "made"), 201, Some(Sealed)),
        (answer(303, ""), 303, Some(Sealed)),
        (answer(404, "no"), 404, Some(Sealed)),
        (answer(409, "no"), 409, Some(Sealed)),
        (answer(429, "later"), 429, None),
        (answer(500, "oops"), 500, Some(Unknown)),
        (answer(503, "busy"), 503, Some(Unknown)),
        (Act::Unreachable, 502, None),
        (Act::Reset, 502, Some(Unknown)),
    ];
    for (act, status, state) in table {
        let rig = Rig::new();
        rig.upstream.then(act);
        assert_eq!(rig.ask(post("k", "{}")).await.status, status);
        assert_eq!(only_key(&rig).await.map(|key| key.state), state, "after {status}");
        let again = rig.ask(post("k", "{}")).await;
        match state {
            Some(Sealed) => assert_eq!((again.status, again.is_replay()), (status, true)),
            Some(_) => assert_eq!(again.code(), "idempotency_outcome_unknown"),
            None => assert_eq!((again.status, again.is_replay()), (201, false), "the retry runs"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_has_the_whole_answer_only_when_it_is_sealed() {
    let frames = |chunks: &[&'static str]| {
        let frames: Vec<Result<_, BoxError>> =
            chunks.iter().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).collect();
        Act::Answer(Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames)))))
    };
    for act in [answer(201, "made"), answer(204, ""), frames(&["a", "b"]), frames(&[])] {
        let rig = Rig::new();
        let (go, act) = when_told(act);
        rig.upstream.then(act);
        let client = tokio::spawn(rig.ask(post("k", "{}")));
        until(|| rig.upstream.calls() == 1).await;
        rig.store.stop_writes(true);
        go.send(()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!client.is_finished(), "the end is not on record yet");
        assert_eq!(only_key(&rig).await.unwrap().state, KeyState::Running);
        rig.store.stop_writes(false);
        client.await.unwrap();
        assert_eq!(only_key(&rig).await.unwrap().state, KeyState::Sealed);
    }
}

#[tokio::test(start_paused = true)]
async fn of_an_answer_with_a_known_length_the_last_byte_waits_for_the_record() {
    let rig = Rig::new();
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let sent = tokio::spawn(rig.send(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    rig.store.stop_writes(true);
    go.send(()).unwrap();
    let mut body = sent.await.unwrap().into_body();
    let mut frame = std::pin::pin!(http_body_util::BodyExt::frame(&mut body));
    assert!(tokio::time::timeout(Duration::from_secs(1), frame.as_mut()).await.is_err());
    rig.store.stop_writes(false);
    assert_eq!(frame.await.unwrap().unwrap().into_data().unwrap(), "made");
}

#[tokio::test(start_paused = true)]
async fn a_stream_passes_frame_by_frame_and_is_replayed_whole() {
    let rig = Rig::new();
    let (mut sender, act) = stream(200);
    rig.upstream.then(act);
    let response = rig.send(post("k", "{}")).await;
    let mut body = response.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send_data(Bytes::from_static(event.as_bytes())).await.unwrap();
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    assert_eq!(only_key(&rig).await.unwrap().state, KeyState::Running);
    drop(sender);
    assert!(http_body_util::BodyExt::frame(&mut body).await.is_none());
    let again = rig.ask(post("k", "{}")).await;
    assert_eq!((again.text(), again.is_replay()), ("data: 1\n\ndata: 2\n\n", true));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_unknown_unless_its_status_promised_that_nothing_was_done() {
    for (status, code) in [(200, Some("idempotency_outcome_unknown")), (429, None)] {
        let rig = Rig::new();
        let (mut sender, act) = stream(status);
        rig.upstream.then(act);
        let response = rig.send(post("k", "{}")).await;
        sender.send_data(Bytes::from_static(b"half")).await.unwrap();
        sender.abort("cut".into());
        let got = read(response).await;
        assert!(got.body.is_err(), "the client must see that it is not whole");
        let again = rig.ask(post("k", "{}")).await;
        match code {
            Some(code) => assert_eq!(again.code(), code),
            None => assert_eq!(again.status, 201),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_past_the_cap_is_sealed_without_its_body() {
    let rig = Rig::under(IdempotencySettings { max_answer: 4, ..IdempotencySettings::default() });
    rig.upstream.then(answer(201, "five!"));
    assert_eq!(rig.ask(post("k", "{}")).await.text(), "five!");
    let again = rig.ask(post("k", "{}")).await;
    assert_eq!((again.status, again.text(), again.is_replay()), (201, "", true));
    assert_eq!(again.headers["sluicegate-replay"], "without-body");
    assert_eq!(again.headers["x-made-by"], "upstream");
    rig.upstream.then(answer(201, "four"));
    rig.ask(post("other", "{}")).await;
    assert_eq!(rig.ask(post("other", "{}")).await.text(), "four");
    let outcome = |name: &str| {
        rig.metric(&format!("sluicegate_fence_settles_total{{route=\"ingest\",outcome=\"{name}\"}}"))
    };
    assert_eq!((outcome("sealed"), outcome("sealed_without_body")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_which_there_is_no_room_is_sealed_without_its_body() {
    let bounds = FencesSettings { max_buffered: 4, ..FencesSettings::default() };
    let rig = Rig::with(RigOptions { bounds, ..RigOptions::default() });
    rig.upstream.then(answer(201, "five!"));
    assert_eq!(rig.ask(post("k", "{}")).await.text(), "five!");
    assert_eq!(rig.ask(post("k", "{}")).await.headers["sluicegate-replay"], "without-body");
    assert_eq!(rig.fences.budget().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn trailers_are_kept_and_say_how_a_grpc_call_ended() {
    let grpc_status = HeaderName::from_static("grpc-status");
    for (code, effects, state) in [
        ("0", 1, Some(KeyState::Sealed)),
        ("3", 1, Some(KeyState::Sealed)),
        ("8", 2, None),
        ("14", 1, Some(KeyState::Unknown)),
    ] {
        let rig = Rig::new();
        let request = || {
            let facts = Facts::new(HeaderValue::from_static("r"), None, Instant::now(), true);
            facts.classify(rig.classified(Access::Write, None));
            let mut request = post("k", "message");
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            request.extensions_mut().insert(facts);
            request
        };
        let (mut sender, act) = stream(200);
        rig.upstream.then(act);
        let trailers = HeaderMap::from_iter([(grpc_status.clone(), HeaderValue::from_static(code))]);
        sender.send_data(Bytes::from_static(b"reply")).await.unwrap();
        sender.send_trailers(trailers.clone()).await.unwrap();
        drop(sender);
        let got = rig.ask(request()).await;
        assert_eq!(got.trailers.as_ref(), Some(&trailers));
        assert_eq!(only_key(&rig).await.map(|key| key.state), state, "grpc-status {code}");
        let again = rig.ask(request()).await;
        if state == Some(KeyState::Sealed) {
            assert_eq!((again.text(), again.is_replay()), ("reply", true));
            assert_eq!(again.trailers, Some(trailers));
        }
        assert_eq!(rig.upstream.effects(), effects);
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_length_reaches_the_client() {
    let rig = Rig::new();
    rig.upstream.then(answer(201, "made"));
    let response = rig.send(post("k", "{}")).await;
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(4));
    assert_eq!(read(response).await.text(), "made");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_leaves_the_fate_unknown_and_the_client_is_told() {
    let rig = Rig::new();
    let keeper = tokio::spawn(rig.fences.run());
    rig.upstream.then(Act::Panic);
    let got = rig.ask(post("k", "{}")).await;
    assert_eq!((got.status, got.code().as_str()), (502, "upstream_reset"));
    tokio::time::timeout(Duration::from_secs(10), rig.fences.idle()).await.unwrap();
    assert_eq!(rig.ask(post("k", "{}")).await.code(), "idempotency_outcome_unknown");
    assert_eq!(rig.metric("sluicegate_fence_running"), 0);
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_new_keys_and_keeps_the_old_ones() {
    let mut bounds = FencesSettings::default();
    bounds.bounds.max_keys = 2;
    bounds.bounds.share = 0.5;
    let rig = Rig::with(RigOptions { bounds: bounds.clone(), ..RigOptions::default() });
    let of = |tenant: &str, key: &str| {
        let mut request = post(key, "{}");
        request.extensions_mut().insert(rig.facts(Access::Write, Some(tenant)));
        request
    };
    assert_eq!(rig.ask(of("a", "1")).await.status, 201);
    let got = rig.ask(of("a", "2")).await;
    assert_eq!((got.status, got.code().as_str()), (503, "store_unavailable"));
    assert!(got.json()["detail"].as_str().unwrap().contains("tenant's share"));
    assert_eq!(got.headers["retry-after"], "1");
    assert_eq!(rig.ask(of("b", "1")).await.status, 201);
    let got = rig.ask(of("c", "1")).await;
    assert!(got.json()["detail"].as_str().unwrap().contains("is full"));
    assert!(rig.ask(of("a", "1")).await.is_replay());
    assert_eq!((rig.results("full"), rig.upstream.calls()), (2, 2));
    bounds.bounds.max_keys = 10;
    rig.fences.apply(&bounds);
    assert_eq!(rig.ask(of("c", "1")).await.status, 201, "new bounds hold at once");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_written_in_short_where_the_store_has_no_room_for_more() {
    let mut bounds = FencesSettings::default();
    bounds.bounds.max_bytes = 400;
    let rig = Rig::with(RigOptions { bounds, ..RigOptions::default() });
    rig.upstream.then(Act::Answer(Response::new(full("x".repeat(1000)))));
    assert_eq!(rig.ask(post("k", "{}")).await.text().len(), 1000);
    let again = rig.ask(post("k", "{}")).await;
    assert_eq!((again.status, again.text(), again.is_replay()), (200, "", true));
    until(|| rig.metric("sluicegate_fence_settles_waiting") == 0).await;
}
