use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use sluicegate_core::{Access, BoxError, Facts, Outcome, Refusal};
use tower::{Layer, ServiceExt, service_fn};

use super::{Cut, FreezeBody};
use crate::{
    FreezeLayer, FreezeOrder, Freezes,
    testing::{advance, facts, freezes, request, routes},
};

/// Gives its frames and then, as told, ends, breaks off, or goes on without a word.
struct Script {
    frames: VecDeque<Frame<Bytes>>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Break,
    Silence,
}

impl Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match (self.frames.pop_front(), self.then) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Break) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            (None, Then::Silence) => Poll::Pending,
        }
    }
}

fn script(texts: &[&'static str], then: Then) -> Script {
    Script {
        frames: texts.iter().map(|text| Frame::data(Bytes::from_static(text.as_bytes()))).collect(),
        then,
    }
}

fn a_write() -> Facts {
    facts("ingest", "stable", None, Access::Write)
}

/// The answer with this body to a write that was let through, moved on as a proxy would.
async fn answer<B>(freezes: &Freezes, facts: &Facts, status: StatusCode, body: B) -> Response<FreezeBody<B>>
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    facts.attempt().sent();
    let mut body = Some(body);
    let inner = service_fn(|_| {
        facts.attempt().answering();
        let mut response = Response::new(body.take().unwrap());
        *response.status_mut() = status;
        async move { Ok::<_, Refusal>(response) }
    });
    FreezeLayer::new(freezes.clone()).layer(inner).oneshot(request("POST", facts)).await.unwrap()
}

/// The error that comes next; a body that stays silent fails the test.
async fn failure<B>(body: &mut FreezeBody<B>) -> BoxError
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let frame = tokio::time::timeout(Duration::from_secs(60), body.frame()).await;
    frame.expect("it stays silent").expect("it has ended").unwrap_err()
}

fn is_cut(error: &BoxError) -> bool {
    error.downcast_ref::<Cut>().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_cut_after_its_grace_and_the_reader_is_woken() {
    let freezes = freezes();
    let _timekeeper = tokio::spawn(freezes.run());
    let facts = a_write();
    let mut body = answer(&freezes, &facts, StatusCode::OK, script(&["a"], Then::Silence)).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    // The reader sleeps inside the body when the freeze begins.
    let reader = tokio::spawn(async move { failure(&mut body).await });
    advance(10_000).await;
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    let begin = tokio::time::Instant::now();
    assert!(is_cut(&reader.await.unwrap()));
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(4990) && took < Duration::from_millis(5010), "{took:?}");
    let report = freezes.wait_drained("x", Duration::from_secs(1)).await.unwrap();
    assert_eq!(
        (report.drained, report.unsettled, report.waited_for),
        (true, 1, 1),
        "a cut stream is unsettled"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_pauses_is_cut_too() {
    let freezes = freezes();
    let _timekeeper = tokio::spawn(freezes.run());
    let facts = a_write();
    let many = script(&["x"; 100], Then::End);
    let mut body = answer(&freezes, &facts, StatusCode::OK, many).await.into_body();
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    let mut given = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => given += 1,
            Err(error) => break error,
        }
        advance(1000).await;
    };
    assert!(is_cut(&error));
    assert!((5..=6).contains(&given), "{given} frames in 5 s");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_begins_after_the_freeze_has_its_own_grace() {
    let freezes = freezes();
    let _timekeeper = tokio::spawn(freezes.run());
    let facts = a_write();
    facts.attempt().sent();
    let answering = facts.clone();
    let inner = service_fn(move |_| {
        let facts = answering.clone();
        async move {
            advance(20_000).await;
            facts.attempt().answering();
            Ok::<_, Refusal>(Response::new(script(&["slow"], Then::Silence)))
        }
    });
    let service = FreezeLayer::new(freezes.clone()).layer(inner);
    let call = tokio::spawn(service.oneshot(request("POST", &facts)));
    tokio::task::yield_now().await;
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    let mut body = call.await.unwrap().unwrap().into_body();
    let begin = tokio::time::Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "slow", "its answer is delivered");
    assert!(is_cut(&failure(&mut body).await));
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_millis(5010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_outlived_one_freeze_has_the_whole_grace_of_the_next() {
    let freezes = freezes();
    let _timekeeper = tokio::spawn(freezes.run());
    let facts = a_write();
    let mut body = answer(&freezes, &facts, StatusCode::OK, script(&[], Then::Silence)).await.into_body();
    freezes.put("first", FreezeOrder::default()).await.unwrap();
    advance(4000).await;
    freezes.remove("first", None).await.unwrap();
    advance(60_000).await;
    freezes.put("second", FreezeOrder::default()).await.unwrap();
    let begin = tokio::time::Instant::now();
    assert!(is_cut(&failure(&mut body).await));
    assert!(begin.elapsed() >= Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn only_what_the_freeze_covers_is_cut() {
    let freezes = freezes();
    let _timekeeper = tokio::spawn(freezes.run());
    let facts = a_write();
    let mut body = answer(&freezes, &facts, StatusCode::OK, script(&[], Then::Silence)).await.into_body();
    freezes.put("x", FreezeOrder { scope: routes(&["other"]), ..FreezeOrder::default() }).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(60), body.frame()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_stays_until_it_is_cut_and_is_settled_when_both_sides_closed() {
    let freezes = freezes();
    let _timekeeper = tokio::spawn(freezes.run());
    for closed in [false, true] {
        let facts = a_write();
        let answer = answer(&freezes, &facts, StatusCode::SWITCHING_PROTOCOLS, Empty::<Bytes>::new()).await;
        let mut body = answer.into_body();
        assert!(!body.is_end_stream());
        assert!(
            tokio::time::timeout(Duration::from_secs(60), body.frame()).await.is_err(),
            "it does not end"
        );
        freezes.put("x", FreezeOrder::default()).await.unwrap();
        if closed {
            facts.attempt().ended();
            assert!(tokio::time::timeout(Duration::from_secs(60), body.frame()).await.is_err());
        } else {
            assert!(is_cut(&failure(&mut body).await));
        }
        drop(body);
        let report = freezes.wait_drained("x", Duration::from_secs(1)).await.unwrap();
        assert_eq!((report.drained, report.unsettled), (true, usize::from(!closed)));
        freezes.remove("x", None).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_body_is_the_end_of_the_write() {
    let freezes = freezes();
    let facts = a_write();
    let answer = answer(&freezes, &facts, StatusCode::OK, script(&["a", "b"], Then::End)).await;
    let mut body = answer.into_body();
    assert_eq!(freezes.0.in_flight(), 1);
    body.frame().await.unwrap().unwrap();
    assert_eq!(freezes.0.in_flight(), 1);
    facts.attempt().ended();
    body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.is_none());
    assert_eq!(freezes.0.in_flight(), 0, "before the body is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_or_is_dropped_midway_is_unsettled() {
    let freezes = freezes();
    for (then, drops) in [(Then::Break, false), (Then::Silence, true)] {
        let facts = a_write();
        let answer = answer(&freezes, &facts, StatusCode::OK, script(&["a"], then)).await;
        let mut body = answer.into_body();
        body.frame().await.unwrap().unwrap();
        if !drops {
            assert!(!is_cut(&failure(&mut body).await));
        }
        drop(body);
        assert_eq!(facts.attempt().outcome(), Outcome::Unknown);
    }
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    assert_eq!(freezes.status().freezes[0].unsettled, 2);
}

#[tokio::test]
async fn hints_and_trailers_pass() {
    let freezes = freezes();
    let answered = answer(&freezes, &a_write(), StatusCode::OK, Full::new(Bytes::from_static(b"four"))).await;
    let body = answered.into_body();
    assert_eq!(body.size_hint().exact(), SizeHint::with_exact(4).exact());
    assert!(!body.is_end_stream());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let mut whole = script(&["a"], Then::End);
    whole.frames.push_back(Frame::trailers(trailers.clone()));
    let collected =
        answer(&freezes, &a_write(), StatusCode::OK, whole).await.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert!(answer(&freezes, &a_write(), StatusCode::OK, Empty::<Bytes>::new()).await.body().is_end_stream());
}
