//! The layer as a whole, around a service that shows what it was given.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use sluicegate_core::{
    Access, Claims, Code, Facts, PresetName, Refusal, RoutePlan, claims::VerifyTokens, facts::Lane,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

use self::peeking::{call_of, posted, rpc_rules};
use crate::{
    ByPreset, Classify, ClassifyLayer, Cost, Pattern, PeekedBody, Preset, RouteEntry, RouteMatch, Router,
    Rules, Table, TenantFrom,
};

mod peeking;

/// What the service inside was given.
struct Seen {
    uri: String,
    headers: HeaderMap,
    facts: Facts,
    body: Result<(Bytes, Option<HeaderMap>), String>,
}

impl Seen {
    fn settled(&self) -> &sluicegate_core::Classified {
        self.facts.classified().unwrap()
    }
}

/// Reads a body as the service would.
async fn read<B>(mut body: PeekedBody<B>) -> Result<(Bytes, Option<HeaderMap>), String>
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let (mut data, mut trailers) = (Vec::new(), None);
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        match frame.map_err(|error| error.to_string())?.into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((data.into(), trailers))
}

async fn through<B>(table: impl Table, request: Request<B>) -> Result<Seen, Refusal>
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let show = service_fn(|request: Request<PeekedBody<B>>| async move {
        let (parts, body) = request.into_parts();
        let facts = parts.extensions.get::<Facts>().cloned().unwrap();
        let seen = Seen { uri: parts.uri.to_string(), headers: parts.headers, facts, body: read(body).await };
        Ok::<_, Refusal>(Response::new(seen))
    });
    ClassifyLayer::new(table).layer(show).oneshot(request).await.map(Response::into_body)
}

fn entry(name: &str) -> RouteEntry {
    RouteEntry::new(Arc::new(RoutePlan::new(name, "stable")))
}

fn rules(routes: impl IntoIterator<Item = (&'static str, RouteEntry)>) -> Arc<Rules> {
    let routes = routes
        .into_iter()
        .map(|(pattern, entry)| (RouteMatch::path(Pattern::parse(pattern).unwrap()), Arc::new(entry)));
    Arc::new(Rules {
        router: Router::new(routes),
        tenant: Some(TenantFrom::Header(HeaderName::from_static("x-tenant-id"))),
        lane: None,
        tokens: None,
    })
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn what_was_matched_is_what_is_forwarded() {
    let rules = rules([("/a/b", entry("exact")), ("/a/{*rest}", entry("below"))]);
    // What was asked; the route taken and what it was given, or the refusal.
    let table = [
        ("/a/b", Ok(("exact", "/a/b"))),
        ("/a/b?c=%2e./d&e", Ok(("exact", "/a/b?c=%2e./d&e"))),
        ("//a///b", Ok(("exact", "/a/b"))),
        ("/%61/%62?q={}", Ok(("exact", "/a/b?q=%7B%7D"))),
        ("/a/b/", Ok(("below", "/a/b/"))),
        ("/a/B", Ok(("below", "/a/B"))),
        ("/a/caf\u{e9}", Ok(("below", "/a/caf%C3%A9"))),
        ("/a/%e9", Ok(("below", "/a/%E9"))),
        ("/a;x=1/b", Err(Code::NoRoute)),
        ("/a/b;x=1", Ok(("below", "/a/b;x=1"))),
        ("http://h.test/a//b?x", Ok(("exact", "http://h.test/a/b?x"))),
        ("/A/b", Err(Code::NoRoute)),
        ("/a", Err(Code::NoRoute)),
        ("/a/x/../b", Err(Code::BadRequest)),
        ("/a/%2e%2e/b", Err(Code::BadRequest)),
        ("/a%2fb", Err(Code::BadRequest)),
        ("/a\\b", Err(Code::BadRequest)),
        ("/a/%00", Err(Code::BadRequest)),
        ("/a/%zz", Err(Code::BadRequest)),
        ("*", Err(Code::BadRequest)),
    ];
    for (uri, expected) in table {
        let got = through(rules.clone(), get(uri)).await;
        let got = got.as_ref().map(|seen| (seen.settled().route.name(), &*seen.uri)).map_err(Refusal::code);
        assert_eq!(got, expected, "{uri}");
    }
    let request = Request::connect("h.test:443").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(through(rules.clone(), request).await.err().unwrap().code(), Code::BadRequest);
    let request = Request::options("*").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(through(rules, request).await.err().unwrap().code(), Code::NoRoute);
}

#[tokio::test]
async fn no_route_names_what_was_asked_and_no_more_of_it_than_fits() {
    let rules = rules([("/a", entry("a"))]);
    let text = through(rules.clone(), get("/caf%c3%a9")).await.err().unwrap().to_string();
    assert!(text.starts_with("no_route: no route takes GET /caf%C3%A9;"), "{text}");
    let long = format!("/{}", "x".repeat(5000));
    let text = through(rules, get(&long)).await.err().unwrap().to_string();
    assert!(text.contains("GET /xxx") && text.len() < 300, "{text}");
}

#[tokio::test]
async fn access_is_the_route_s_else_the_method_s() {
    let reads = RouteEntry { access: Some(Access::Read), ..entry("reads") };
    let overrides = RouteEntry { allow_method_override: true, ..entry("overrides") };
    let both = RouteEntry { access: Some(Access::Read), ..overrides.clone() };
    let rules =
        rules([("/reads", reads), ("/overrides", overrides), ("/both", both), ("/{*rest}", entry("rest"))]);
    let over = "x-http-method-override";
    let table = [
        (Method::POST, "/reads", None, Access::Read),
        (Method::POST, "/x", None, Access::Write),
        (Method::GET, "/x", None, Access::Read),
        (Method::GET, "/x", Some(over), Access::Read),
        (Method::GET, "/overrides", None, Access::Read),
        (Method::GET, "/overrides", Some(over), Access::Write),
        (Method::GET, "/overrides", Some("x-http-method"), Access::Write),
        (Method::GET, "/overrides", Some("x-method-override"), Access::Write),
        (Method::GET, "/overrides", Some("x_http_method-override"), Access::Write),
        (Method::GET, "/overrides", Some("x-http-methods"), Access::Read),
        (Method::GET, "/both", Some(over), Access::Read),
    ];
    for (method, path, header, access) in table {
        let mut request = get(path);
        *request.method_mut() = method.clone();
        request
            .headers_mut()
            .extend(header.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("DELETE"))));
        let seen = through(rules.clone(), request).await.unwrap();
        assert_eq!(seen.settled().access, access, "{method} {path} {header:?}");
        assert_eq!((seen.settled().lane, seen.settled().cost), (Lane::Interactive, 1));
    }
}

#[tokio::test]
async fn method_overrides_are_stripped_unless_allowed() {
    let allowed = RouteEntry { allow_method_override: true, ..entry("allowed") };
    let rules = rules([("/allowed", allowed), ("/{*rest}", entry("rest"))]);
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X-HTTP_Method",
    ] {
        let request = |path| Request::get(path).header(name, "PUT").header(name, "DELETE");
        let seen = through(rules.clone(), request("/x").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert!(!seen.headers.contains_key(name), "{name}");
        let request = request("/allowed").body(Empty::<Bytes>::new()).unwrap();
        let seen = through(rules.clone(), request).await.unwrap();
        assert_eq!(seen.headers.get_all(name).iter().count(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_preset_knows_of_no_tunnel() {
    let preset = || Some(Arc::new(ByPreset::new(Preset::known(PresetName::Openai).unwrap(), [])));
    let known = RouteEntry { preset: preset(), ..entry("known") };
    let told = RouteEntry { preset: preset(), access: Some(Access::Read), ..entry("told") };
    let rules = rules([("/v1/realtime", known), ("/told", told), ("/{*rest}", entry("rest"))]);
    let table = [
        ("/v1/realtime", "websocket", Access::Write),
        ("/v1/realtime", "h2c, WebSocket/13", Access::Write),
        // Never passed on: some clients ask for it by default.
        ("/v1/realtime", "h2c", Access::Read),
        ("/told", "websocket", Access::Read),
        ("/x", "websocket", Access::Read),
    ];
    for (path, upgrade, access) in table {
        let request = Request::get(path).header("connection", "upgrade").header("upgrade", upgrade);
        let seen = through(rules.clone(), request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(seen.settled().access, access, "{path} {upgrade}");
    }
    let seen = through(rules, get("/v1/realtime")).await.unwrap();
    assert_eq!(seen.settled().access, Access::Read, "without one it is a look-up");
}

#[tokio::test]
async fn a_tenant_is_named_once_or_not_at_all() {
    let rules = rules([("/{*rest}", entry("rest"))]);
    let tenant = |values: &[&'static str]| {
        let mut request = get("/");
        for value in values {
            request.headers_mut().append("x-tenant-id", HeaderValue::from_static(value));
        }
        through(rules.clone(), request).map(|seen| {
            let seen = seen.map_err(|refusal| refusal.code())?;
            Ok::<_, Code>(seen.settled().tenant.as_ref().map(|tenant| tenant.as_str().to_owned()))
        })
    };
    assert_eq!(tenant(&["acme"]).await, Ok(Some("acme".to_owned())));
    assert_eq!(tenant(&[]).await, Ok(None));
    assert_eq!(tenant(&["acme", "acme"]).await, Err(Code::BadRequest));
}

/// Of a token that it does not like.
#[derive(Debug)]
struct Distrust;

impl VerifyTokens for Distrust {
    fn claims(&self, headers: &HeaderMap) -> Result<Option<Arc<Claims>>, Refusal> {
        match headers.get("authorization") {
            Some(_) => Err(Refusal::new(Code::TokenInvalid, "the token cannot be read")),
            None => Ok(None),
        }
    }
}

/// These rules, where a guard of each route goes by a claim.
fn distrusting(rules: &Rules) -> Arc<Rules> {
    Arc::new(Rules { tokens: Some(Arc::new(Distrust)), ..rules.clone() })
}

#[tokio::test]
async fn what_is_refused_for_its_head_is_told_under_the_route_that_took_it() {
    let all = RouteEntry {
        claims: true,
        access: Some(Access::Read),
        lane: Some(Lane::Batch),
        cost: Cost::Header(HeaderName::from_static("x-cost")),
        ..entry("all")
    };
    let rules = distrusting(&rules([("/all", all)]));
    // What is sent; why it is refused, and the tenant that was known by then.
    let table: [(&[_], _, _); 4] = [
        (&[("x-tenant-id", "acme"), ("authorization", "Bearer x")], Code::TokenInvalid, None),
        (&[("x-tenant-id", "acme"), ("x-tenant-id", "acme")], Code::BadRequest, None),
        (&[("x-tenant-id", "acme"), ("x-request-deadline", "soon")], Code::BadRequest, Some("acme")),
        (&[("x-tenant-id", "acme"), ("x-cost", "0")], Code::BadRequest, Some("acme")),
    ];
    for (fields, code, tenant) in table {
        let mut request = get("/all");
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let facts = Facts::of(&HeaderMap::new(), request.extensions_mut());
        assert_eq!(through(rules.clone(), request).await.err().unwrap().code(), code, "{fields:?}");
        let settled = facts.classified().expect("a route took it");
        assert_eq!((settled.route.name(), settled.access, settled.lane), ("all", Access::Read, Lane::Batch));
        assert_eq!(settled.tenant.as_ref().map(sluicegate_core::Tenant::as_str), tenant, "{fields:?}");
    }
    let mut request = get("/other");
    let facts = Facts::of(&HeaderMap::new(), request.extensions_mut());
    assert_eq!(through(rules, request).await.err().unwrap().code(), Code::NoRoute);
    assert!(facts.classified().is_none(), "no route took it");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_when_the_head_was_read() {
    let rules = rules([
        ("/bounded", RouteEntry { deadline: Some(Duration::from_millis(800)), ..entry("bounded") }),
        ("/{*rest}", entry("rest")),
    ]);
    let received = Instant::now();
    tokio::time::advance(Duration::from_millis(100)).await;
    let deadline = |path: &str, header: Option<&'static str>| {
        let facts = Facts::new(HeaderValue::from_static("id"), None, received, false);
        let mut request = get(path);
        request.extensions_mut().insert(facts);
        let name = HeaderName::from_static("x-request-deadline");
        request.headers_mut().extend(header.map(|value| (name, HeaderValue::from_static(value))));
        through(rules.clone(), request).map(move |seen| {
            let seen = seen.map_err(|refusal| refusal.code())?;
            assert_eq!(seen.facts.request_id(), "id");
            Ok::<_, Code>(seen.settled().deadline.map(|deadline| (deadline - received).as_millis()))
        })
    };
    assert_eq!(deadline("/bounded", None).await, Ok(Some(800)));
    assert_eq!(deadline("/bounded", Some("300")).await, Ok(Some(300)));
    assert_eq!(deadline("/bounded", Some("3000")).await, Ok(Some(800)));
    assert_eq!(deadline("/", None).await, Ok(None));
    assert_eq!(deadline("/", Some("300")).await, Ok(Some(300)));
    assert_eq!(deadline("/", Some("18446744073709551615")).await, Ok(Some(u128::from(u64::MAX))));
    assert_eq!(deadline("/bounded", Some("soon")).await, Err(Code::BadRequest));
}

#[tokio::test]
async fn facts_are_made_where_no_ingress_did() {
    let rules = rules([("/{*rest}", entry("rest"))]);
    let seen = through(rules.clone(), get("/")).await.unwrap();
    assert_eq!(seen.facts.request_id().len(), 16);
    let request = Request::post("/").header("x-request-id", "mine").header(CONTENT_TYPE, "application/grpc");
    let seen = through(rules, request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(seen.facts.request_id(), "mine");
    assert!(seen.facts.is_grpc());
}

/// A snapshot that has more in it than rules, as a gateway's has.
struct Snapshot(Rules);

impl AsRef<Rules> for Snapshot {
    fn as_ref(&self) -> &Rules {
        &self.0
    }
}

#[tokio::test]
async fn a_request_is_judged_by_the_snapshot_it_met() {
    let snapshot = |name| Snapshot(Rules::clone(&rules([("/{*rest}", entry(name))])));
    let present = Arc::new(ArcSwap::from_pointee(snapshot("old")));
    let old = Arc::downgrade(&present.load_full());
    let held = through(present.clone(), get("/")).await.unwrap();
    present.store(Arc::new(snapshot("new")));
    assert!(old.upgrade().is_none(), "a request holds its route's plan, never the snapshot");
    assert_eq!(held.settled().route.name(), "old");
    assert_eq!(through(present, get("/")).await.unwrap().settled().route.name(), "new");
}

#[tokio::test]
async fn the_table_is_read_once_per_request() {
    #[derive(Clone)]
    struct Counted(Arc<Rules>, Arc<AtomicUsize>);
    impl Table for Counted {
        fn with<R>(&self, read: impl FnOnce(&Rules) -> R) -> R {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.with(read)
        }
    }
    let table = Counted(rpc_rules(), Arc::default());
    let request = posted("/mcp", Full::new(Bytes::from(call_of(100))));
    through(table.clone(), request).await.unwrap();
    through(table.clone(), get("//x")).await.unwrap();
    assert_eq!(table.1.load(Ordering::Relaxed), 2);
}

#[test]
fn it_works_under_any_server() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: &T) {}
    let layer = ClassifyLayer::new(rpc_rules());
    shared(&layer);
    shared(&ClassifyLayer::new(Arc::new(ArcSwap::from_pointee(Rules::clone(&rpc_rules())))));
    let mut service: Classify<_, Arc<Rules>> =
        layer.layer(service_fn(|_: Request<PeekedBody<Full<Bytes>>>| async {
            Ok::<_, Refusal>(Response::new(()))
        }));
    shared(&service);
    let future = service.call(posted("/mcp", Full::default()));
    sent(&future);
    assert!(size_of_val(&future) <= 64, "{} bytes", size_of_val(&future));
}
