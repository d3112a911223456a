//! What it costs to tell what a request is: the classification alone, over a service that answers
//! at once. With `-- --test` each runs once, which proves that it can.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Method, Request, Response};
use http_body_util::Full;
use sluicegate_body::Budget;
use sluicegate_classify::{
    ByPreset, Classify, ClassifyLayer, Pattern, PeekedBody, Preset, RouteEntry, RouteMatch, Router, RpcForm,
    Rules,
};
use sluicegate_core::{Access, Facts, PresetName, Refusal, RoutePlan};
use tokio::runtime::Builder;
use tower_layer::Layer;
use tower_service::Service;

type Body = PeekedBody<Full<Bytes>>;

/// Says what it was told of a request.
#[derive(Clone)]
struct Shown;

impl Service<Request<Body>> for Shown {
    type Response = Response<Access>;
    type Error = Refusal;
    type Future = std::future::Ready<Result<Response<Access>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let settled = request.extensions().get::<Facts>().and_then(Facts::classified);
        let access = settled.map_or(Access::Write, |settled| settled.access);
        std::future::ready(Ok(Response::new(access)))
    }
}

/// A classification with one route for everything.
fn one(entry: impl FnOnce(RouteEntry) -> RouteEntry) -> Classify<Shown, Arc<Rules>> {
    let plan = Arc::new(RoutePlan::new("all", "api"));
    let entry = entry(RouteEntry { deadline: Some(Duration::from_secs(60)), ..RouteEntry::new(plan) });
    let all = RouteMatch::path(Pattern::parse("/{*rest}").unwrap());
    let rules =
        Rules { router: Router::new([(all, Arc::new(entry))]), tenant: None, lane: None, tokens: None };
    ClassifyLayer::new(Arc::new(rules)).holding(Budget::new(64 << 20)).layer(Shown)
}

fn preset(name: PresetName) -> impl FnOnce(RouteEntry) -> RouteEntry {
    move |entry| {
        let by = ByPreset::new(Preset::known(name).unwrap(), ["search_documents"]);
        let rpc = by.preset().is_json_rpc().then(RpcForm::default);
        RouteEntry { preset: Some(Arc::new(by)), rpc, ..entry }
    }
}

/// A call of a tool that reads, of this length.
fn call_of(length: usize) -> Bytes {
    let of = |text: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"search_documents","arguments":{{"query":"{text}","k":10}}}}}}"#
        )
    };
    of(&"word ".repeat(length)[..length - of("").len()]).into()
}

fn request(method: &Method, path: &str, body: &Bytes) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(path).header("content-type", "application/json");
    builder.header("x-request-id", "bench").body(Full::new(body.clone())).unwrap()
}

/// What a future that is ready at once comes to.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the body is here, so nothing is waited for"),
    }
}

fn classify(criterion: &mut Criterion) {
    // For the timer of a request's deadline.
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let chroma = "/api/v2/tenants/t/databases/d/collections/0c2f7f1e/query";
    let cases = [
        ("no preset", one(|entry| entry), chroma, Bytes::new(), Access::Write),
        (
            "access on the route",
            one(|entry| RouteEntry { access: Some(Access::Read), ..entry }),
            chroma,
            Bytes::new(),
            Access::Read,
        ),
        ("preset of 32 routes", one(preset(PresetName::Chroma)), chroma, Bytes::new(), Access::Read),
        ("preset of 77 routes", one(preset(PresetName::Weaviate)), "/v1/graphql", Bytes::new(), Access::Read),
        (
            "preset of 852 routes",
            one(preset(PresetName::Elasticsearch)),
            "/documents/_search",
            Bytes::new(),
            Access::Read,
        ),
        (
            "preset of 852 routes, not listed",
            one(preset(PresetName::Elasticsearch)),
            "/documents/_unheard/of",
            Bytes::new(),
            Access::Write,
        ),
        ("JSON-RPC body of 200 B", one(preset(PresetName::Mcp)), "/mcp", call_of(200), Access::Read),
        ("JSON-RPC body of 4 KiB", one(preset(PresetName::Mcp)), "/mcp", call_of(4096), Access::Read),
        ("JSON-RPC body of 64 KiB", one(preset(PresetName::Mcp)), "/mcp", call_of(64 * 1024), Access::Read),
    ];
    let mut group = criterion.benchmark_group("classify");
    for (name, service, path, body, access) in cases {
        let request = || request(&Method::POST, path, &body);
        let settled = now(service.clone().call(request())).unwrap().into_body();
        assert_eq!(settled, access, "{name}");
        group.bench_function(name, |bench| {
            bench.iter_batched(
                request,
                |request| black_box(now(service.clone().call(request))),
                BatchSize::NumIterations(256),
            );
        });
    }
    group.finish();
}

criterion_group!(benches, classify);
criterion_main!(benches);
