use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use sluicegate_core::{Access, Arm, BoxError, Code, Facts, Refusal, Role, Slot, facts::BodyFault};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{JudgeLayer, Judged, JudgedBody, JudgedFuture};
use crate::testing::{Rig, begun, classified, route, settle, view};

type Answer = Result<Response<Answered>, Refusal>;

/// A body of these frames.
struct Answered(VecDeque<Result<Frame<Bytes>, BoxError>>);

impl Body for Answered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as a service and a body give it")]
fn data() -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(b"data")))
}

fn broken() -> Result<Frame<Bytes>, BoxError> {
    Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

#[expect(clippy::unnecessary_wraps, reason = "as a service and a body give it")]
fn trailers(status: &'static str) -> Result<Frame<Bytes>, BoxError> {
    let name = HeaderName::from_static("grpc-status");
    Ok(Frame::trailers(HeaderMap::from_iter([(name, HeaderValue::from_static(status))])))
}

#[expect(clippy::unnecessary_wraps, reason = "as a service and a body give it")]
fn answer(status: u16, frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Answer {
    Ok(Response::builder().status(status).body(Answered(frames.into())).unwrap())
}

const CANDIDATE: Arm = Arm { slot: Slot::Second, role: Role::Candidate, is_sample: true };

struct Bench {
    rig: Rig,
    facts: Facts,
}

impl Bench {
    fn with(arm: Arm, grpc: bool, access: Access) -> Self {
        let rig = Rig::new(view(50));
        let facts = begun(None, grpc);
        settle(&facts, route().with(rig.by_user()), access, None);
        facts.choose_arm(arm);
        Self { rig, facts }
    }

    fn new() -> Self {
        Self::with(CANDIDATE, false, Access::Read)
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(self.facts.clone());
        request
    }

    /// Sends the request to a service that gives this answer.
    async fn send(&self, answer: Answer) -> Result<Response<JudgedBody<Answered>>, Refusal> {
        let mut answer = Some(answer);
        let inner = service_fn(move |_: Request<()>| ready(answer.take().unwrap()));
        JudgeLayer::new().layer(inner).oneshot(self.request()).await
    }

    /// Sends it and reads the answer to its end.
    async fn exchange(&self, answer: Answer) {
        if let Ok(response) = self.send(answer).await {
            drop(response.into_body().collect().await);
        }
    }

    /// What was recorded: requests, errors and good ones, of the first upstream and the second.
    fn drain(&self) -> [(u64, u64, u64); 2] {
        self.rig.shared.recorder().drain().map(|block| (block.requests, block.errors, block.latency.count()))
    }

    fn total(&self, series: &str) -> f64 {
        self.rig.series(&series.replace('{', r#"{rollout="retriever",arm="candidate""#)).unwrap_or(f64::NAN)
    }
}

const NOTHING: (u64, u64, u64) = (0, 0, 0);
const GOOD: (u64, u64, u64) = (1, 0, 1);
const FAILED: (u64, u64, u64) = (1, 1, 0);
const BROKE_OFF: (u64, u64, u64) = (2, 1, 1);

#[tokio::test]
async fn an_answer_is_good_unless_the_upstream_says_that_it_failed() {
    for (status, counted) in [
        (101, GOOD),
        (200, GOOD),
        (304, GOOD),
        (400, GOOD),
        (404, GOOD),
        (429, GOOD),
        (499, GOOD),
        (500, FAILED),
        (503, FAILED),
        (599, FAILED),
    ] {
        let bench = Bench::new();
        bench.exchange(answer(status, vec![data()])).await;
        assert_eq!(bench.drain(), [NOTHING, counted], "{status}");
        let errors = bench.total(r#"sluicegate_rollout_errors_total{,kind="status"}"#);
        assert!((errors - counted.1 as f64).abs() < 0.5);
    }
}

#[tokio::test]
async fn a_refusal_counts_where_it_speaks_of_the_upstream() {
    let of_the_upstream = [
        Code::UpstreamUnreachable,
        Code::UpstreamReset,
        Code::UpstreamTimeout,
        Code::DeadlineExceeded,
        Code::IndexMismatch,
        Code::Overloaded,
    ];
    for code in Code::ALL {
        let bench = Bench::new();
        bench.exchange(Err(Refusal::new(*code, "no"))).await;
        let counted = if of_the_upstream.contains(code) { FAILED } else { NOTHING };
        assert_eq!(bench.drain(), [NOTHING, counted], "{code:?}");
        assert!(bench.total("sluicegate_rollout_abandoned_total{}").abs() < 0.5, "nobody went away");
    }
}

#[tokio::test]
async fn each_slot_has_its_own_counts_and_only_samples_are_counted() {
    let active = Arm { slot: Slot::First, role: Role::Active, is_sample: true };
    let bench = Bench::with(active, false, Access::Read);
    bench.exchange(answer(200, vec![data()])).await;
    assert_eq!(bench.drain(), [GOOD, NOTHING]);
    let bench = Bench::with(Arm { is_sample: false, ..CANDIDATE }, false, Access::Read);
    bench.exchange(answer(200, vec![data(), broken()])).await;
    bench.exchange(answer(500, vec![])).await;
    assert_eq!(bench.drain(), [NOTHING; 2]);
    let total = |series| bench.total(series);
    assert_eq!(total("sluicegate_rollout_latency_seconds_count{}").to_string(), "1");
    assert_eq!(total(r#"sluicegate_rollout_errors_total{,kind="status"}"#).to_string(), "1");
    assert_eq!(total(r#"sluicegate_rollout_errors_total{,kind="broke_off"}"#).to_string(), "1");
}

#[tokio::test(start_paused = true)]
async fn the_time_is_that_to_the_head() {
    let bench = Bench::new();
    let slow = service_fn(|_: Request<()>| async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        answer(200, vec![data()])
    });
    let response = JudgeLayer::new().layer(slow).oneshot(bench.request()).await.unwrap();
    assert_eq!(bench.drain(), [NOTHING, GOOD], "it counts when the head has come");
    tokio::time::sleep(Duration::from_secs(30)).await;
    drop(response.into_body().collect().await);
    assert_eq!(bench.drain(), [NOTHING; 2], "and the body adds nothing");
    let sum = bench.total("sluicegate_rollout_latency_seconds_sum{}");
    assert!((0.25..0.26).contains(&sum), "{sum}");
}

#[tokio::test]
async fn a_body_that_breaks_off_counts_once_more() {
    let bench = Bench::new();
    let response = bench.send(answer(200, vec![data(), broken(), broken(), broken()])).await.unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(bench.drain(), [NOTHING, GOOD]);
    for _ in 0..3 {
        assert!(body.frame().await.unwrap().is_err());
    }
    drop(body);
    assert_eq!(bench.drain(), [NOTHING, FAILED], "never more errors than requests, in any drain");
    assert_eq!(bench.total(r#"sluicegate_rollout_errors_total{,kind="broke_off"}"#).to_string(), "1");
}

#[tokio::test]
async fn a_failed_answer_that_also_breaks_off_counts_once() {
    let bench = Bench::new();
    bench.exchange(answer(500, vec![data(), broken()])).await;
    assert_eq!(bench.drain(), [NOTHING, FAILED]);
}

#[tokio::test]
async fn what_the_client_breaks_off_is_no_error() {
    // It leaves within the answer.
    let bench = Bench::new();
    let mut body = bench.send(answer(200, vec![data(), data(), broken()])).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(bench.drain(), [NOTHING, GOOD]);
    // Its own body breaks off, and the answer with it.
    let bench = Bench::new();
    let body = bench.send(answer(200, vec![broken()])).await.unwrap().into_body();
    bench.facts.body_failed(BodyFault::Broken);
    drop(body.collect().await);
    assert_eq!(bench.drain(), [NOTHING, GOOD]);
    // It leaves before the head.
    let bench = Bench::new();
    let hangs = service_fn(|_: Request<()>| std::future::pending::<Answer>());
    drop(JudgeLayer::new().layer(hangs).call(bench.request()));
    assert_eq!(bench.drain(), [NOTHING; 2]);
    assert_eq!(bench.total("sluicegate_rollout_abandoned_total{}").to_string(), "1");
}

#[tokio::test]
async fn a_read_that_fell_back_failed_on_the_candidate_and_is_no_sample_of_the_other() {
    for outcome in [answer(200, vec![data()]), answer(500, vec![]), Err(Refusal::new(Code::BadRequest, "no"))]
    {
        let bench = Bench::new();
        bench.facts.fall_back();
        bench.exchange(outcome).await;
        assert_eq!(bench.drain(), [NOTHING, FAILED]);
        assert_eq!(bench.total(r#"sluicegate_rollout_errors_total{,kind="fell_back"}"#).to_string(), "1");
        assert_eq!(bench.total("sluicegate_rollout_latency_seconds_count{}").to_string(), "0");
    }
    let bench = Bench::new();
    bench.facts.fall_back();
    bench.exchange(answer(200, vec![data(), broken()])).await;
    assert_eq!(bench.drain(), [NOTHING, FAILED], "what the active arm breaks off is not the candidate's");
}

#[tokio::test]
async fn grpc_is_judged_by_its_status() {
    for (status, fails) in [
        ("0", false),
        ("1", false),
        ("2", true),
        ("3", false),
        ("4", true),
        ("5", false),
        ("8", false),
        ("9", false),
        ("12", false),
        ("13", true),
        ("14", true),
        ("15", true),
        ("16", false),
        ("17", true),
        ("x", false),
    ] {
        let bench = Bench::with(CANDIDATE, true, Access::Read);
        bench.exchange(answer(200, vec![data(), trailers(status)])).await;
        assert_eq!(bench.drain(), [NOTHING, if fails { BROKE_OFF } else { GOOD }], "trailers, {status}");
        // An answer that has nothing but trailers.
        let mut only = answer(200, vec![]).unwrap();
        only.headers_mut().insert("grpc-status", HeaderValue::from_static(status));
        bench.exchange(Ok(only)).await;
        assert_eq!(bench.drain(), [NOTHING, if fails { FAILED } else { GOOD }], "head, {status}");
        // Where it is not gRPC, the field says nothing.
        let bench = Bench::new();
        bench.exchange(answer(200, vec![data(), trailers(status)])).await;
        assert_eq!(bench.drain(), [NOTHING, GOOD]);
    }
}

#[tokio::test]
async fn without_a_rollout_or_a_chosen_arm_nothing_is_counted() {
    let rig = Rig::new(view(50));
    let unchosen = classified(route().with(rig.by_user()), Access::Read);
    let elsewhere = classified(route(), Access::Read);
    elsewhere.choose_arm(CANDIDATE);
    for facts in [Some(unchosen), Some(elsewhere), None] {
        let mut request = Request::new(());
        if let Some(facts) = facts {
            request.extensions_mut().insert(facts);
        }
        let inner = service_fn(|_: Request<()>| ready(answer(500, vec![data(), broken()])));
        let response = JudgeLayer::new().layer(inner).oneshot(request).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "it passes as it is");
    }
    assert_eq!(rig.shared.recorder().drain().map(|block| block.requests), [0, 0]);
}

#[tokio::test]
async fn answers_pass_unchanged() {
    let bench = Bench::new();
    let response = bench.send(answer(203, vec![data(), trailers("0")])).await.unwrap();
    assert_eq!(response.status(), StatusCode::NON_AUTHORITATIVE_INFORMATION);
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "data");
    let sized = service_fn(|_: Request<()>| ready(Ok::<_, Refusal>(Response::new("four".to_owned()))));
    let body = JudgeLayer::new().layer(sized).oneshot(bench.request()).await.unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
    let empty = service_fn(|_: Request<()>| ready(Ok::<_, Refusal>(Response::new(Empty::<Bytes>::new()))));
    let body = JudgeLayer::new().layer(empty).oneshot(bench.request()).await.unwrap().into_body();
    assert!(body.is_end_stream());
}

/// A fence carries a write to its end when its client has left: then there is an answer to judge.
#[tokio::test]
async fn an_exchange_that_outlives_its_client_counts() {
    let bench = Bench::with(CANDIDATE, false, Access::Write);
    let inner = service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        answer(500, vec![])
    });
    let exchange = tokio::spawn(JudgeLayer::new().layer(inner).oneshot(bench.request()));
    assert!(exchange.await.unwrap().is_ok());
    assert_eq!(bench.drain(), [NOTHING, FAILED]);
}

#[test]
fn the_layer_holds_only_what_may_be_shared_and_its_future_is_small() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<JudgeLayer>();
    shared::<Judged<Router>>();
    sent::<JudgedFuture<std::future::Ready<Result<(), Infallible>>>>();
    sent::<JudgedBody<Answered>>();
    assert!(size_of::<JudgedFuture<()>>() <= 32, "{}", size_of::<JudgedFuture<()>>());
    assert!(size_of::<JudgedBody<()>>() <= 16, "{}", size_of::<JudgedBody<()>>());
}
