use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use sluicegate_body::Teed;
use sluicegate_core::{Chance, Code, Refusal};
use tokio::sync::mpsc;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{Shadow, ShadowLayer};
use crate::{
    CopyTap, ShadowPlan, Shadowing, Targets,
    testing::{Rig, upstream},
};

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, &'static str>;

fn layer(rig: &Rig, shadowing: &Arc<Shadowing>) -> ShadowLayer {
    let plan = ShadowPlan([shadowing.clone()].into());
    ShadowLayer::new(rig.shadows.clone(), Chance::seeded(3)).with_plan(plan)
}

/// Reads the whole request and says how much it was.
async fn primary(request: Request<Teed<Body, CopyTap>>) -> Result<Response<Full<Bytes>>, Refusal> {
    match request.into_body().collect().await {
        Ok(body) => Ok(Response::new(Full::new(body.to_bytes()))),
        Err(_) => Err(Refusal::new(Code::BadRequest, "broken off")),
    }
}

fn get() -> http::request::Builder {
    Request::get("/v1/search?q=x")
}

fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn frames(frames: Vec<Result<&'static [u8], &'static str>>) -> Body {
    let frames: Vec<_> =
        frames.into_iter().map(|it| it.map(|data| Frame::data(Bytes::from_static(data)))).collect();
    StreamBody::new(tokio_stream::iter(frames)).boxed_unsync()
}

/// What the shadow of a rig is asked.
type Asked = (Method, String, HeaderMap, Bytes);

/// A shadow that answers all alike, and what it is asked.
async fn lab(answer: &'static str) -> (Targets, mpsc::UnboundedReceiver<Asked>) {
    let (tell, told) = mpsc::unbounded_channel();
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let tell = tell.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            drop(tell.send((head.method, head.uri.to_string(), head.headers, body)));
            answer
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (
        Targets {
            shadow: upstream(&format!("http://{address}")),
            own: [None, None],
            version: String::new(),
            rewrite: None,
        },
        told,
    )
}

async fn ask<S>(service: &mut S, request: Request<Body>) -> Result<Bytes, Refusal>
where
    S: Service<Request<Body>, Error = Refusal>,
    S::Response: Into<Response<Teed<Full<Bytes>, crate::AnswerTap>>>,
{
    let response = service.ready().await?.call(request).await?.into();
    Ok(response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_request_without_a_key_is_copied_in_exact_shares() {
    for (percent, expected) in [(1.0, 1000), (10.0, 10_000), (50.0, 50_000)] {
        let rig = Rig::new();
        let settings = format!(r#"{{ "percent": {percent}, "max_in_flight": 10000 }}"#);
        let shadowing = rig.shadowing("search", "lab", &settings);
        let mut service = layer(&rig, &shadowing).layer(service_fn(primary));
        for _ in 0..100_000 {
            ask(&mut service, get().body(empty()).unwrap()).await.unwrap();
        }
        // Nobody sends: there is no thread before the plan is applied.
        let copied = shadowing.state.counts.of(crate::outcome::Outcome::QueueFull);
        assert!(copied.abs_diff(expected) <= 5, "{copied} of 100,000 at {percent} %");
        assert_eq!(shadowing.state.counts.of(crate::outcome::Outcome::SampledOut), 100_000 - copied);
    }
}

#[tokio::test]
async fn a_session_is_copied_whole_or_not_at_all() {
    let rig = Rig::new();
    let settings = r#"{ "percent": 10, "max_in_flight": 10000, "sample_by": { "header": "x-user" } }"#;
    let shadowing = rig.shadowing("search", "lab", settings);
    let mut service = layer(&rig, &shadowing).layer(service_fn(primary));
    let mut whole = 0_u64;
    for user in 0..10_000 {
        let before = shadowing.state.counts.of(crate::outcome::Outcome::QueueFull);
        for _ in 0..5 {
            let request = get().header("x-user", format!("u{user}")).body(empty()).unwrap();
            ask(&mut service, request).await.unwrap();
        }
        let copied = shadowing.state.counts.of(crate::outcome::Outcome::QueueFull) - before;
        assert!(copied == 0 || copied == 5, "{copied} of 5 of one user");
        whole += copied / 5;
    }
    // 1,000 expected; 99.9 % of binomials lie within 99.
    assert!((900..=1100).contains(&whole), "{whole} of 10,000 users");
}

#[tokio::test]
async fn a_cookie_is_set_once_and_keeps_a_browser_in_or_out() {
    let rig = Rig::new();
    let settings = r#"{ "percent": 50, "max_in_flight": 10000, "sample_by": { "cookie": "lab" } }"#;
    let shadowing = rig.shadowing("search", "lab", settings);
    let mut service = layer(&rig, &shadowing).layer(service_fn(primary));
    let copied = || shadowing.state.counts.of(crate::outcome::Outcome::QueueFull);
    let mut keys = HashMap::new();
    for _ in 0..200 {
        let before = copied();
        let response = service.ready().await.unwrap().call(get().body(empty()).unwrap()).await.unwrap();
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("lab=") && cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
        keys.insert(cookie.split(';').next().unwrap().to_owned(), copied() - before);
    }
    assert_eq!(keys.len(), 200, "a key of its own for each");
    for (cookie, before) in keys {
        let now = copied();
        let request = get().header("cookie", cookie).body(empty()).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert!(!response.headers().contains_key("set-cookie"));
        assert_eq!(copied() - now, before);
    }
}

#[tokio::test]
async fn a_copy_is_what_the_primary_got() {
    let rig = Rig::new();
    let (targets, mut asked) = lab("other").await;
    let shadowing = rig.leading("search", "lab", r#"{ "percent": 100 }"#, targets);
    rig.shadows.apply(std::slice::from_ref(&shadowing));
    let mut service = layer(&rig, &shadowing).layer(service_fn(primary));
    let answered = ask(&mut service, get().header("cookie", "a=b").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answered, "", "the answer is the primary's");
    let (method, uri, headers, body) = asked.recv().await.unwrap();
    assert_eq!((method, &*uri, body.len()), (Method::GET, "/v1/search?q=x", 0));
    assert!(headers["x-sluicegate-shadow"] == "1" && !headers.contains_key("cookie"));
}

#[tokio::test]
async fn a_body_is_copied_whole_and_a_broken_or_large_one_is_not() {
    let rig = Rig::new();
    let (targets, mut asked) = lab("other").await;
    // Posts are writes where nobody has said otherwise.
    let settings = r#"{ "percent": 100, "writes": true, "max_body": "8B" }"#;
    let shadowing = rig.leading("search", "lab", settings, targets);
    rig.shadows.apply(std::slice::from_ref(&shadowing));
    let mut service = layer(&rig, &shadowing).layer(service_fn(primary));
    let post = |body| Request::post("/v1/search").body(body).unwrap();
    let answered = ask(&mut service, post(frames(vec![Ok(b"one "), Ok(b"two")]))).await.unwrap();
    assert_eq!(answered, "one two");
    assert_eq!(asked.recv().await.unwrap().3, "one two");

    let counts = &shadowing.state.counts;
    let large = ask(&mut service, post(frames(vec![Ok(b"one "), Ok(b"two "), Ok(b"three")]))).await.unwrap();
    assert_eq!(large, "one two three", "it streams on");
    assert_eq!(counts.of(crate::outcome::Outcome::BodyTooLarge), 1);
    ask(&mut service, post(frames(vec![Ok(b"one "), Err("left")]))).await.unwrap_err();
    assert_eq!(counts.of(crate::outcome::Outcome::Unsent), 1);
    assert!(asked.try_recv().is_err());
    while shadowing.state.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_write_and_an_upgrade_are_not_copied() {
    let rig = Rig::new();
    let shadowing = rig.shadowing("search", "lab", r#"{ "percent": 100 }"#);
    let mut service = layer(&rig, &shadowing).layer(service_fn(primary));
    ask(&mut service, Request::put("/v1/documents/1").body(frames(vec![Ok(b"x")])).unwrap()).await.unwrap();
    ask(&mut service, get().header("upgrade", "websocket").body(empty()).unwrap()).await.unwrap();
    let counts = rig.shadows.status();
    assert!(counts.is_empty(), "nothing has been applied");
    let all = crate::outcome::Outcome::ALL.map(|outcome| shadowing.state.counts.of(outcome));
    assert_eq!(all.iter().sum::<u64>(), 0, "{all:?}");
}

#[tokio::test]
async fn pairs_are_compared_and_kept() {
    let rig = Rig::new();
    let (targets, _asked) = lab(r#"{"answer":"two"}"#).await;
    let shadowing = rig.leading("search", "lab", r#"{ "percent": 100, "compare": {} }"#, targets);
    rig.shadows.apply(std::slice::from_ref(&shadowing));
    let answer = |_: Request<Teed<Body, CopyTap>>| async {
        let body = Full::new(Bytes::from_static(br#"{"answer":"one"}"#));
        Ok::<_, Refusal>(Response::builder().status(StatusCode::OK).body(body).unwrap())
    };
    let mut service = layer(&rig, &shadowing).layer(service_fn(answer));
    ask(&mut service, get().body(empty()).unwrap()).await.unwrap();
    while shadowing.state.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    let pairs = rig.shadows.pairs("search", "lab").unwrap();
    let classes: HashSet<_> = pairs.iter().flat_map(|pair| &pair.classes).map(|it| &**it).collect();
    assert!(
        classes.contains("body") || classes.contains("/answer") || classes.contains("format"),
        "{pairs:?}"
    );
    assert!(!serde_json::to_string(&pairs).unwrap().contains("two"), "no value is kept");
    assert!(rig.scrape().contains(r#"result="differs"} 1"#), "{}", rig.scrape());
}

#[test]
fn the_layer_can_be_shared_between_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ShadowLayer>();
    is_send_and_sync::<Shadow<()>>();
}
