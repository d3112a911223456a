//! The layer as a whole, over a service in memory.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use prometheus_client::registry::Registry;
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Chance, Code, Refusal};
use tokio::sync::oneshot;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{AdmissionBody, AdmissionLayer, Admit};
use crate::{
    buckets::{RATE_LIMIT, RATE_LIMIT_POLICY, Rate},
    budget::BudgetInput,
    home::{Admission, AdmissionOptions, AdmissionStatus},
    plan::{RouteLimits, SharedLimits},
    queue::PRESSURE,
};

type Asked = Request<Gathered<Full<Bytes>>>;

fn nothing() -> RouteLimits {
    RouteLimits { queue: 16, ..RouteLimits::default() }
}

struct Rig {
    admission: Admission,
    layer: AdmissionLayer,
}

impl Rig {
    fn new(limits: &RouteLimits) -> Self {
        let options = AdmissionOptions { bodies: Budget::new(1 << 20), chance: Chance::seeded(7) };
        let admission = Admission::open(options, &mut Registry::default());
        let shared = admission.shared(&SharedLimits::default());
        let plan = admission.plan("ask", &[("model", Some(100))], limits, &shared).unwrap().unwrap();
        admission.apply(std::slice::from_ref(&plan));
        let layer = AdmissionLayer::new(admission.clone()).with_plan(plan);
        Self { admission, layer }
    }

    fn over<S>(&self, service: S) -> Admit<S> {
        self.layer.layer(service)
    }

    fn status(&self) -> AdmissionStatus {
        self.admission.status()
    }

    fn in_use(&self) -> (u32, u32, u64) {
        let status = self.status();
        let line = &status.queues[0];
        (line.in_use, status.upstreams[0].in_use, line.waiting_interactive)
    }
}

fn post(path: &str, body: &'static str) -> Asked {
    let request = Request::builder().method(Method::POST).uri(path).header("content-length", body.len());
    request.body(Gathered::untouched(Full::from(body))).unwrap()
}

fn answer(body: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::from(body))
}

fn at_once() -> impl Service<Asked, Response = Response<Full<Bytes>>, Error = Refusal, Future: Send> + Clone {
    service_fn(|_: Asked| ready(Ok(answer("done"))))
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_fast_is_refused_and_let_in_when_it_was_told_to_come_back() {
    let limits = RouteLimits { rate: Some(Rate::new(2.0, 2).unwrap()), ..nothing() };
    let rig = Rig::new(&limits);
    let service = rig.over(at_once());
    for left in ["r=1", "r=0"] {
        let response = service.clone().oneshot(post("/", "")).await.unwrap();
        assert_eq!(response.headers()[RATE_LIMIT_POLICY], "\"route\";q=2;w=1");
        assert!(response.headers()[RATE_LIMIT].to_str().unwrap().contains(left), "{:?}", response.headers());
    }
    let refusal = service.clone().oneshot(post("/", "")).await.err().unwrap();
    assert_eq!(refusal.code(), Code::RateLimited);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert!(service.oneshot(post("/", "")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_until_the_answer_has_been_read_or_dropped() {
    let rig = Rig::new(&RouteLimits { concurrent: Some(1), ..nothing() });
    let service = rig.over(at_once());
    let first = service.clone().oneshot(post("/", "")).await.unwrap();
    assert_eq!(rig.in_use(), (1, 1, 0));
    let mut second = std::pin::pin!(service.clone().oneshot(post("/", "")));
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    assert_eq!(rig.in_use(), (1, 1, 1));
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "done");
    let second = second.await.unwrap();
    assert_eq!(rig.in_use(), (1, 1, 0));
    drop(second);
    assert_eq!(rig.in_use(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_the_queue_costs_nothing() {
    let limits = RouteLimits { rate: Some(Rate::new(0.001, 2).unwrap()), concurrent: Some(1), ..nothing() };
    let rig = Rig::new(&limits);
    let service = rig.over(at_once());
    let first = service.clone().oneshot(post("/", "")).await.unwrap();
    {
        let mut leaves = std::pin::pin!(service.clone().oneshot(post("/", "")));
        assert!(futures_util::poll!(leaves.as_mut()).is_pending());
        assert_eq!(rig.status().buckets[0].remaining, Some(0));
    }
    assert_eq!((rig.in_use(), rig.status().buckets[0].remaining), ((1, 1, 0), Some(1)));
    drop(first);
    assert!(service.oneshot(post("/", "")).await.is_ok());
}

fn broken() -> Result<Response<Full<Bytes>>, Refusal> {
    panic!("as it is meant to")
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_dropped_or_panics_leaves_nothing_behind() {
    let rig = Rig::new(&RouteLimits { concurrent: Some(1), ..nothing() });
    let hangs = rig.over(service_fn(|_: Asked| pending::<Result<Response<Full<Bytes>>, Refusal>>()));
    {
        let mut call = std::pin::pin!(hangs.oneshot(post("/", "")));
        assert!(futures_util::poll!(call.as_mut()).is_pending());
        assert_eq!(rig.in_use(), (1, 1, 0));
    }
    assert_eq!(rig.in_use(), (0, 0, 0));
    let panics = rig.over(service_fn(|_: Asked| async {
        tokio::task::yield_now().await;
        broken()
    }));
    assert!(tokio::spawn(panics.oneshot(post("/", ""))).await.is_err());
    assert_eq!(rig.in_use(), (0, 0, 0));
}

fn budget(tokens: u64) -> RouteLimits {
    let input: BudgetInput =
        serde_json::from_str(&format!(r#"{{ "tokens": {tokens}, "per": "1h", "default_max_tokens": 10 }}"#))
            .unwrap();
    RouteLimits { budget: Some(input.check().unwrap()), ..nothing() }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reserved_by_estimate_and_settled_by_what_the_answer_tells() {
    let rig = Rig::new(&budget(1000));
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":15,"total_tokens":20}}"#;
    let service = rig.over(service_fn(move |_: Asked| {
        let mut response = answer(usage);
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        ready(Ok::<_, Refusal>(response))
    }));
    let ask = r#"{"messages":[],"max_tokens":900}"#;
    // Each asks for 900 and uses 20: only after the first is settled is there room again.
    let first = service.clone().oneshot(post("/v1/chat/completions", ask)).await.unwrap();
    let refusal = service.clone().oneshot(post("/v1/chat/completions", ask)).await.err().unwrap();
    assert_eq!(refusal.code(), Code::RateLimited);
    first.into_body().collect().await.unwrap();
    assert!(service.clone().oneshot(post("/v1/chat/completions", ask)).await.is_ok());
    let large = service.oneshot(post("/v1/chat/completions", r#"{"max_tokens":9000}"#)).await.err().unwrap();
    assert_eq!(large.code(), Code::BodyTooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_for_its_usage_and_the_client_does_not_see_it() {
    let rig = Rig::new(&budget(1000));
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let service = rig.over(service_fn(move |request: Asked| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            let length = request.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
            let body = request.into_body().collect().await.map_err(|_| Refusal::new(Code::BadRequest, ""))?;
            tell.send((length, body.to_bytes())).unwrap();
            let chunks = [
                "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n",
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1,\"total_tokens\":6}}\n\n",
                "data: [DONE]\n\n",
            ];
            let frames = chunks.map(|chunk| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(chunk))));
            let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            Ok::<_, Refusal>(response)
        }
    }));
    let ask = r#"{"messages":[],"stream":true}"#;
    let response = service.oneshot(post("/v1/chat/completions", ask)).await.unwrap();
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    let (length, sent) = told.await.unwrap();
    let sent_json: serde_json::Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!((length, &sent_json["stream_options"]["include_usage"]), (sent.len(), &true.into()));
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    assert!(seen.contains("hi") && seen.contains("[DONE]") && !seen.contains("prompt_tokens"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn under_pressure_the_upstream_is_told() {
    let rig = Rig::new(&RouteLimits { concurrent: Some(1), queue: 2, ..nothing() });
    let service = rig.over(service_fn(|request: Asked| {
        let pressure = request.headers().get(PRESSURE).cloned();
        let mut response = answer("");
        if let Some(pressure) = pressure {
            response.headers_mut().insert("seen", pressure);
        }
        ready(Ok::<_, Refusal>(response))
    }));
    let first = service.clone().oneshot(post("/", "")).await.unwrap();
    // Each gives its permit on as soon as it has its answer.
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let call = service.clone().oneshot(post("/", ""));
            tokio::spawn(async { call.await.map(|response| response.headers().get("seen").cloned()) })
        })
        .collect();
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_millis(300)).await;
    drop(first);
    let mut seen = Vec::new();
    for waiting in waiting {
        seen.extend(waiting.await.unwrap().ok().flatten());
    }
    assert!(!seen.is_empty(), "nobody was told");
    let pressure: f32 = seen[0].to_str().unwrap().parse().unwrap();
    assert!(pressure > 0.0 && pressure <= 1.0, "{pressure}");
}

#[test]
fn the_layer_works_where_futures_must_be_send() {
    fn send<T: Send>(_: &T) {}
    let rig = Rig::new(&nothing());
    send(&rig.over(at_once()));
    send(&rig.over(at_once()).oneshot(post("/", "")));
    let _: fn(AdmissionBody<Full<Bytes>>) = |body| send(&body);
}
