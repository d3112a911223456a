//! A gateway's innermost service over real sockets, and upstreams that do as they are told.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod service;

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use sluicegate_core::{Access, Chance, Classified, Facts, Lane, Outcome, Repeat, RoutePlan, arm::Arm};
use sluicegate_upstream::{
    Proxy, Retries, RouteTimeouts, UpstreamMetrics, UpstreamPlan, UpstreamSettings, Upstreams,
    input::{RetriesInput, UpstreamInput},
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{runtime, time::Instant};
use tower_service::Service;

/// Nothing takes longer than this, however busy the machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Runs a worker.
pub(crate) fn worker<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build_local(runtime::LocalOptions::default());
    runtime.unwrap().block_on(async { tokio::time::timeout(LIMIT, work).await.expect("it takes too long") })
}

/// Waits until something has come true.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "{what}: not in {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What an upstream does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes; the connection stays.
    Bytes(String),
    /// These bytes, and the end of the connection.
    Last(String),
    /// The connection is reset.
    Reset,
    /// Nothing, until the other side leaves.
    Hang,
}

/// An answer of this status, with header lines.
pub(crate) fn status(status: u16, fields: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status} It\r\n{fields}content-length: 2\r\n\r\nok"))
}

/// A request that came to an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: std::time::Instant,
    pub(crate) method: String,
    pub(crate) body: Vec<u8>,
}

/// An upstream on a thread of its own, which asks `script` about each request.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Script = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

impl Upstream {
    /// `script` gets the number of the request, from 0 on.
    pub(crate) fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (noted, script): (_, Script) = (seen.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, script) = (noted.clone(), script.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &noted, &script));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }
}

fn serve(mut stream: &TcpStream, noted: &Mutex<Vec<Seen>>, script: &Script) {
    let mut buffer = Vec::new();
    while let Some(seen) = read(stream, &mut buffer) {
        let number = {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push(seen);
            noted.len() - 1
        };
        match script(number) {
            Reply::Bytes(bytes) => {
                if stream.write_all(bytes.as_bytes()).is_err() {
                    return;
                }
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(bytes.as_bytes());
                return;
            }
            Reply::Reset => return reset(stream),
            Reply::Hang => {
                let _ = stream.read(&mut [0; 1]);
                return;
            }
        }
    }
}

/// The connection ends in a reset when it is dropped.
pub(crate) fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A whole request, its body told by its length; none at the end of the connection.
pub(crate) fn read(mut stream: &TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    loop {
        let head = buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
            let length = text
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap_or_default().parse::<usize>().unwrap());
            if buffer.len() >= head + length {
                let whole: Vec<u8> = buffer.drain(..head + length).collect();
                let method = text.split(' ').next().unwrap_or_default().to_uppercase();
                return Some(Seen { at: std::time::Instant::now(), method, body: whole[head..].to_vec() });
            }
        }
        let mut more = [0; 16 * 1024];
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(len) => buffer.extend_from_slice(&more[..len]),
        }
    }
}

/// An address that is taken and at which nobody listens until [`Silent::listen`].
pub(crate) struct Silent(Socket);

impl Silent {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }

    pub(crate) fn listen(self) -> TcpListener {
        self.0.listen(64).unwrap();
        self.0.into()
    }
}

/// What the client sends.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) body: &'static [u8],
    pub(crate) repeat: Option<Repeat>,
    pub(crate) deadline: Option<Duration>,
    /// The arm that it is on, where there are two.
    pub(crate) arm: Option<Arm>,
}

pub(crate) fn read_of() -> Ask {
    Ask { method: Method::GET, body: b"", repeat: None, deadline: None, arm: None }
}

pub(crate) fn write(repeat: Option<Repeat>) -> Ask {
    Ask { method: Method::POST, body: b"hello", repeat, deadline: None, arm: None }
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The refusal's code; empty where the upstream answered.
    pub(crate) code: &'static str,
    pub(crate) retry_after: Option<String>,
    /// What is known of what the upstream did.
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// The refusal in full.
    pub(crate) problem: serde_json::Value,
    /// Whether the other arm answered in place of the candidate.
    pub(crate) fell_back: bool,
}

fn checked(endpoints: &str, settings: &str) -> UpstreamSettings {
    let input = format!("{{ \"endpoints\": [{endpoints}] {settings} }}");
    let input: UpstreamInput = serde_json::from_str(&input).unwrap();
    UpstreamSettings::check("main", &input, &Path::to_owned).unwrap()
}

/// A worker's proxy in front of endpoints.
pub(crate) struct Gateway {
    proxy: Proxy<Full<Bytes>>,
    pub(crate) plan: UpstreamPlan,
    upstreams: Upstreams,
    endpoints: String,
    settings: UpstreamSettings,
    registry: Registry,
}

impl Gateway {
    /// `settings` go into the upstream's object, after its endpoints.
    pub(crate) fn new(endpoints: &[SocketAddr], settings: &str, retries: RetriesInput) -> Self {
        let urls: Vec<_> = endpoints.iter().map(|address| format!("\"http://{address}\"")).collect();
        let endpoints = urls.join(", ");
        let settings = checked(&endpoints, settings);
        let mut registry = Registry::default();
        let metrics = UpstreamMetrics::register(&mut registry);
        let upstreams = Upstreams::new(metrics, tokio::runtime::Handle::current());
        let prepared = upstreams.prepare(vec![settings.clone()]);
        upstreams.commit(&prepared);
        let timeouts = RouteTimeouts {
            connect: Duration::from_secs(5),
            per_try: None,
            deadline: LIMIT,
            stream_idle: Duration::from_secs(5),
        };
        let plan = UpstreamPlan {
            upstream: prepared.get("main").unwrap().clone(),
            timeouts,
            retries: Retries::check(&retries).unwrap(),
            preserve_host: false,
            rewrite: None,
            whole: false,
            second: None,
        };
        Self { proxy: Proxy::new(Chance::seeded(1)), plan, upstreams, endpoints, settings, registry }
    }

    /// Loads a document with other settings of the same endpoints.
    pub(crate) fn load(&mut self, settings: &str) {
        self.settings = checked(&self.endpoints, settings);
        self.reload();
    }

    /// Loads the same document again.
    pub(crate) fn reload(&mut self) {
        let prepared = self.upstreams.prepare(vec![self.settings.clone()]);
        self.upstreams.commit(&prepared);
        self.plan.upstream = prepared.get("main").unwrap().clone();
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let began = Instant::now();
        let facts =
            Facts::new(HeaderValue::from_static("id"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), began, false);
        ask.arm.inspect(|arm| facts.choose_arm(*arm));
        facts.classify(Classified {
            route: Arc::new(RoutePlan::new("all", "main").with(self.plan.clone())),
            access: Access::of_method(&ask.method),
            tenant: None,
            lane: Lane::Interactive,
            cost: 1,
            deadline: ask.deadline.map(|deadline| began + deadline),
            rpc: None,
        });
        let body = Full::new(Bytes::from_static(ask.body));
        let mut request = Request::builder().method(ask.method).uri("/").body(body).unwrap();
        request.extensions_mut().insert(facts.clone());
        ask.repeat.and_then(|repeat| request.extensions_mut().insert(repeat));
        let result = self.proxy.clone().call(request).await;
        let took = began.elapsed();
        let retry_after =
            |headers: &http::HeaderMap| Some(headers.get("retry-after")?.to_str().unwrap().to_owned());
        match result {
            Ok(response) => {
                let status = response.status().as_u16();
                let retry_after = retry_after(response.headers());
                response.into_body().collect().await.unwrap();
                let (outcome, fell_back) = (facts.attempt().outcome(), facts.fell_back());
                let problem = serde_json::Value::Null;
                Answer { status, code: "", retry_after, outcome, took, problem, fell_back }
            }
            Err(refusal) => {
                let (code, outcome) = (refusal.code().as_str(), facts.attempt().outcome());
                let response = refusal.into_response(&facts);
                let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let problem = serde_json::from_slice(&body).unwrap();
                Answer { status, code, retry_after, outcome, took, problem, fell_back: facts.fell_back() }
            }
        }
    }

    /// The sum of the series whose line begins so.
    pub(crate) fn metric(&self, begin: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .filter(|line| line.starts_with(begin))
            .map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<f64>().unwrap())
            .sum()
    }

    /// Whether there is a series whose line begins so.
    pub(crate) fn has_metric(&self, begin: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().any(|line| line.starts_with(begin))
    }

    /// What is told of its only endpoint.
    pub(crate) fn state(&self) -> &'static str {
        self.plan.upstream.endpoints().next().unwrap().1
    }
}
