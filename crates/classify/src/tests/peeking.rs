//! Bodies that are read for their JSON-RPC id, and bodies that are not.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Full, StreamBody};
use serde_json::json;
use sluicegate_body::Budget;
use sluicegate_core::{Access, Code, Doubt, Facts, PresetName, Refusal, facts::RpcId};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::{distrusting, entry, read, rules, through};
use crate::{ByPreset, ClassifyLayer, PeekedBody, Preset, RouteEntry, RpcForm, Rules, peek};

pub(super) fn rpc_rules() -> Arc<Rules> {
    rules([
        ("/mcp", RouteEntry { rpc: Some(RpcForm { always_ok: true }), ..entry("mcp") }),
        (
            "/timed",
            RouteEntry {
                rpc: Some(RpcForm::default()),
                deadline: Some(Duration::from_secs(2)),
                ..entry("timed")
            },
        ),
        ("/{*rest}", entry("rest")),
    ])
}

pub(super) fn posted<B>(path: &str, body: B) -> Request<B> {
    Request::post(path).header(CONTENT_TYPE, "application/json").body(body).unwrap()
}

type Step = Result<Frame<Bytes>, String>;

#[expect(clippy::unnecessary_wraps, reason = "it is one of a body's steps, which may fail")]
fn data(text: impl Into<Bytes>) -> Step {
    Ok(Frame::data(text.into()))
}

/// A body of these steps, never read past its end.
fn steps(steps: Vec<Step>) -> impl Body<Data = Bytes, Error = String> + Unpin {
    StreamBody::new(stream::iter(steps))
}

pub(super) fn call_of(length: usize) -> String {
    let frame = r#"{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":""}"#;
    let filler = "x".repeat(length - frame.len());
    frame.replace(r#""params":"""#, &format!(r#""params":"{filler}""#))
}

#[tokio::test]
async fn a_json_rpc_id_is_learnt_and_the_body_given_back() {
    let small = call_of(100);
    let largest = call_of(peek::CAP);
    let too_large = call_of(peek::CAP + 1);
    let id = Some(RpcId::One(json!("a-1")));
    let table = [
        ("/mcp", small.as_str(), id.clone()),
        ("/mcp", &largest, id),
        ("/mcp", &too_large, None),
        ("/mcp", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, None),
        ("/mcp", "[]", None),
        ("/mcp", "", None),
        ("/other", &small, None),
    ];
    for (path, body, id) in table {
        let whole = Full::new(Bytes::from(body.to_owned()));
        let chunks: Vec<Step> = body.as_bytes().chunks(1000).map(|chunk| data(chunk.to_vec())).collect();
        for seen in [
            through(rpc_rules(), posted(path, whole)).await.unwrap(),
            through(rpc_rules(), posted(path, steps(chunks))).await.unwrap(),
        ] {
            assert_eq!(seen.settled().rpc.as_ref().map(|rpc| &rpc.id), id.as_ref(), "{path} {}", body.len());
            assert!(seen.settled().rpc.as_ref().is_none_or(|rpc| rpc.always_ok));
            assert_eq!(seen.body.unwrap().0, body);
        }
    }
}

#[tokio::test]
async fn trailers_and_errors_of_a_peeked_body_keep_their_place() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-digest", HeaderValue::from_static("abc"));
    let body =
        vec![data("{\"id\":1,"), data(""), data("\"method\":\"x\"}"), Ok(Frame::trailers(trailers.clone()))];
    let seen = through(rpc_rules(), posted("/mcp", steps(body))).await.unwrap();
    assert_eq!(seen.settled().rpc.as_ref().unwrap().id, RpcId::One(json!(1)));
    assert_eq!(seen.body.unwrap(), (Bytes::from(r#"{"id":1,"method":"x"}"#), Some(trailers)));

    let body = vec![data(r#"{"id":1,"method":"x"}"#), Err("broken".to_owned())];
    let seen = through(rpc_rules(), posted("/mcp", steps(body))).await.unwrap();
    assert!(seen.settled().rpc.is_none(), "what broke off may not have been the whole");
    assert_eq!(seen.body.unwrap_err(), "broken");
}

#[tokio::test]
async fn a_peeked_body_still_says_its_length() {
    let text = call_of(200);
    let check = service_fn(|request: Request<PeekedBody<Full<Bytes>>>| async move {
        Ok::<_, Refusal>(Response::new(request.into_body().size_hint().exact()))
    });
    let service = ClassifyLayer::new(rpc_rules()).layer(check);
    let request = posted("/mcp", Full::new(Bytes::from(text)));
    assert_eq!(service.oneshot(request).await.unwrap().into_body(), Some(200));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up_at_the_deadline() {
    let hangs = || {
        let start = stream::iter([data("{"), data("\"id\":1,")]);
        // The rest comes, but after the deadline.
        let late = stream::once(Box::pin(async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            data(r#""method":"x"}"#)
        }));
        StreamBody::new(Box::pin(start.chain(late)))
    };
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = reached.clone();
    let began = Instant::now();
    let service = ClassifyLayer::new(rpc_rules()).layer(service_fn(move |request: Request<_>| {
        counted.store(usize::try_from(began.elapsed().as_secs()).unwrap(), Ordering::Relaxed);
        async move { Ok::<_, Refusal>(Response::new(read(request.into_body()).await)) }
    }));
    let body = service.clone().oneshot(posted("/timed", hangs())).await.unwrap().into_body();
    assert_eq!(reached.load(Ordering::Relaxed), 2, "handed on at the deadline");
    assert_eq!(body.unwrap().0, r#"{"id":1,"method":"x"}"#);
}

#[tokio::test]
async fn other_bodies_are_handed_on_unread() {
    // Never yields, and would hang whoever read it; its length alone is known.
    struct Unread(u64);
    impl Body for Unread {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("read")
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }
    let service = ClassifyLayer::new(rpc_rules())
        .layer(service_fn(|_: Request<PeekedBody<Unread>>| async { Ok::<_, Refusal>(Response::new(())) }));
    let plain_text = Request::post("/mcp").body(Unread(10)).unwrap();
    let too_long = posted("/mcp", Unread(peek::CAP as u64 + 1));
    for request in [posted("/other", Unread(10)), plain_text, too_long] {
        assert!(service.clone().oneshot(request).await.is_ok());
    }
}

/// A route whose bodies tell what is a write, with a cap of 1,000 bytes and a deadline of 2 s. A guard
/// of it goes by a claim, of tokens that [`distrusting`] refuses.
fn told_by_body() -> Arc<Rules> {
    let preset = ByPreset::new(Preset::known(PresetName::Mcp).unwrap(), ["search"]);
    let entry = RouteEntry {
        preset: Some(Arc::new(preset)),
        rpc: Some(RpcForm::default()),
        peek: 1000,
        deadline: Some(Duration::from_secs(2)),
        claims: true,
        ..entry("mcp")
    };
    let open = RouteEntry { access: Some(Access::Read), ..entry.clone() };
    rules([("/open", open), ("/{*rest}", entry)])
}

fn tool(name: &str) -> Bytes {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": name } })
        .to_string()
        .into()
}

#[tokio::test]
async fn the_body_tells_what_is_a_write_and_comes_back_as_it_was() {
    let long = Bytes::from(call_of(1001));
    let table = [
        ("/mcp", tool("search"), Access::Read, None),
        ("/mcp", tool("delete"), Access::Write, None),
        ("/mcp", "{".into(), Access::Write, Some(Doubt::Form)),
        ("/mcp", long.clone(), Access::Write, Some(Doubt::Large)),
        ("/open", tool("delete"), Access::Read, None),
        ("/open", long, Access::Read, None),
    ];
    for (path, body, access, doubt) in table {
        let chunks: Vec<Step> = body.chunks(100).map(|chunk| data(chunk.to_vec())).collect();
        for seen in [
            through(told_by_body(), posted(path, Full::new(body.clone()))).await.unwrap(),
            through(told_by_body(), posted(path, steps(chunks))).await.unwrap(),
        ] {
            assert_eq!((seen.settled().access, seen.facts.doubt()), (access, doubt), "{path} {body:?}");
            assert_eq!(seen.body.unwrap().0, body);
        }
    }
}

#[tokio::test]
async fn what_is_not_read_is_a_write() {
    let mut waits = posted("/mcp", Full::new(tool("search")));
    waits.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
    let mut plain = posted("/mcp", Full::new(tool("search")));
    plain.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    for (request, doubt) in [(waits, Doubt::Waits), (plain, Doubt::Form)] {
        let seen = through(told_by_body(), request).await.unwrap();
        assert_eq!((seen.settled().access, seen.facts.doubt()), (Access::Write, Some(doubt)));
    }
    let broken = vec![data(tool("search")), Err("broken".to_owned())];
    let seen = through(told_by_body(), posted("/mcp", steps(broken))).await.unwrap();
    assert_eq!((seen.settled().access, seen.facts.doubt()), (Access::Write, Some(Doubt::Broken)));
    assert_eq!(seen.body.unwrap_err(), "broken");
    let get = Request::get("/mcp").body(Full::default()).unwrap();
    let seen = through(told_by_body(), get).await.unwrap();
    assert_eq!((seen.settled().access, seen.facts.doubt()), (Access::Read, None));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_time_is_a_write() {
    let late = stream::once(Box::pin(async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        data(tool("search"))
    }));
    let began = Instant::now();
    let seen = through(told_by_body(), posted("/mcp", StreamBody::new(Box::pin(late)))).await.unwrap();
    assert_eq!((seen.settled().access, seen.facts.doubt()), (Access::Write, Some(Doubt::Broken)));
    assert_eq!((seen.body.unwrap().0, began.elapsed()), (tool("search"), Duration::from_secs(10)));
}

/// Sends a request with a token, and says what became known of it and how long its refusal took.
async fn refused<B>(mut request: Request<B>, budget: &Budget) -> (Facts, Duration)
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let inner = service_fn(|_: Request<PeekedBody<B>>| async { Ok(Response::new(())) });
    let service = ClassifyLayer::new(distrusting(&told_by_body())).holding(budget.clone()).layer(inner);
    let facts = Facts::of(&HeaderMap::new(), request.extensions_mut());
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
    let began = Instant::now();
    assert_eq!(service.oneshot(request).await.unwrap_err().code(), Code::TokenInvalid);
    (facts, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_head_has_the_form_that_the_body_asks_for() {
    let budget = Budget::new(4096);
    let rpc = |facts: &Facts| facts.classified().unwrap().rpc.clone().map(|rpc| rpc.id);
    let (facts, _) = refused(posted("/mcp", Full::new(tool("search"))), &budget).await;
    assert_eq!(rpc(&facts), Some(RpcId::One(json!(7))));
    // What it would have done is not told: it counts as a write, and nothing is in doubt.
    assert_eq!((facts.classified().unwrap().access, facts.doubt()), (Access::Write, None));
    for body in ["{", "", "[]"] {
        let (facts, waited) = refused(posted("/mcp", Full::new(Bytes::from(body))), &budget).await;
        assert_eq!((rpc(&facts), facts.doubt(), waited), (None, None, Duration::ZERO), "{body}");
    }
    let (facts, _) = refused(posted("/mcp", Full::new(call_of(1001).into())), &budget).await;
    assert_eq!((rpc(&facts), facts.doubt()), (None, None), "past the cap nothing is read");
    // Its body is not waited for as long as that of a request that is served.
    let hangs = StreamBody::new(stream::iter([data("{\"id\":1,")]).chain(stream::pending()));
    let (facts, waited) = refused(posted("/mcp", hangs), &budget).await;
    assert_eq!((rpc(&facts), waited), (None, Duration::from_secs(1)));
    assert_eq!(budget.taken(), 0, "nothing of it is held");
}

#[tokio::test]
async fn a_json_rpc_request_is_told_by_what_its_head_says_of_json() {
    let with = |lines: &[&'static str]| {
        let mut request = posted("/mcp", Full::new(tool("search")));
        request.headers_mut().remove(CONTENT_TYPE);
        for line in lines {
            request.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static(line));
        }
        request
    };
    for good in ["application/json", "Application/JSON ; charset=utf-8", "application/vnd.mcp+json"] {
        let seen = through(told_by_body(), with(&[good])).await.unwrap();
        assert_eq!(seen.settled().rpc.as_ref().map(|rpc| &rpc.id), Some(&RpcId::One(json!(7))), "{good}");
        assert_eq!(seen.settled().access, Access::Read, "{good}");
    }
    let two = ["application/json", "text/plain"];
    for bad in [&["application/jsonl"][..], &["application/json; charset=utf-16"], &two, &[]] {
        let seen = through(told_by_body(), with(bad)).await.unwrap();
        assert_eq!((&seen.settled().rpc, seen.settled().access), (&None, Access::Write), "{bad:?}");
    }
    let mut put = with(&["application/json"]);
    *put.method_mut() = http::Method::PUT;
    assert_eq!(through(told_by_body(), put).await.unwrap().settled().rpc, None, "messages are posted");
}

#[tokio::test]
async fn what_is_read_counts_until_it_has_gone_on() {
    let budget = Budget::new(150);
    let taken = budget.clone();
    let service = ClassifyLayer::new(told_by_body()).holding(budget.clone()).layer(service_fn(
        move |request: Request<PeekedBody<Full<Bytes>>>| {
            let held = taken.taken();
            async move {
                let facts = request.extensions().get::<sluicegate_core::Facts>().cloned().unwrap();
                let body = read(request.into_body()).await.unwrap().0;
                Ok::<_, Refusal>(Response::new((held, facts.doubt(), body)))
            }
        },
    ));
    let small = tool("search");
    let (held, doubt, body) =
        service.clone().oneshot(posted("/mcp", Full::new(small.clone()))).await.unwrap().into_body();
    assert!((small.len()..150).contains(&held), "{held} bytes are held");
    assert_eq!((doubt, body), (None, small));
    assert_eq!(budget.taken(), 0, "it has been given back");
    let large = Bytes::from(call_of(200));
    let (held, doubt, body) =
        service.oneshot(posted("/mcp", Full::new(large.clone()))).await.unwrap().into_body();
    assert_eq!((held, doubt, body), (0, Some(Doubt::NoRoom), large));
}
