//! The stack on a stand: the gateway's own way in and guards, without sockets.
//!
//! The ingress takes bodies that only hyper can make, so requests come from a real hyper
//! server that is fed bytes in memory ([`Requests`]). Below the guards stands a service of
//! the bench's own: one that answers at once ([`Immediate`]), so that what is measured is
//! what the guards add, or the real proxy.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    path::Path,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use sluicegate::{
    RequestMetrics,
    ingress::Ingress,
    own::Own,
    snapshot::{Homes, Snapshot},
};
use sluicegate_admission::{Admission, AdmissionLayer, AdmissionOptions, Admit};
use sluicegate_classify::{Classify, ClassifyLayer};
use sluicegate_config::{Source, parse};
use sluicegate_core::{Chance, Clock, Refusal};
use sluicegate_freeze::{Freeze, FreezeLayer, FreezeOrder, Freezes, OpenOptions, Scope};
use sluicegate_idempotency::{Fence, FenceLayer, Fences, FencesOptions, FencesSettings, Replay, ReplayLayer};
use sluicegate_intents::{Intents, IntentsLayer, IntentsQueue};
use sluicegate_rollout::{Checked, Checks, JudgeLayer, Judged, Rollout, RolloutLayer, Rollouts, Traffic};
use sluicegate_server::{Conn, Handler};
use sluicegate_shadow::{Shadow, ShadowLayer, Shadows, ShadowsOptions};
use sluicegate_store::{Store, memory::Memory};
use sluicegate_tokens::Tokens;
use sluicegate_upstream::{LocalExec, UpstreamMetrics, Upstreams};
use tokio::{
    io::AsyncWriteExt,
    runtime::{Builder, Handle, Runtime},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::Failure;

/// The guards around `S`, as the gateway stacks them.
pub type Guards<S> = Own<
    Classify<
        Replay<Freeze<IntentsQueue<Rollout<Admit<Fence<Shadow<Judged<S>>, LocalExec>>>>>>,
        Arc<ArcSwap<Snapshot>>,
    >,
>;

/// A service that has its answer ready: 200 with the usual three fields and no body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Immediate;

impl<B> Service<Request<B>> for Immediate {
    type Response = Response<Full<Bytes>>;
    type Error = Refusal;
    type Future = Ready<Result<Self::Response, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        headers.insert(header::DATE, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
        ready(Ok(response))
    }
}

/// Upstreams that are always ready: nothing is rolled out here.
struct AlwaysReady;

impl Checks for AlwaysReady {
    fn arms_ready(&self, _: Vec<Box<str>>) -> Checked<'_> {
        Box::pin(ready(Ok(())))
    }
}

/// What the guards of a worker need, made of a document.
pub struct Stand {
    snapshot: Arc<ArcSwap<Snapshot>>,
    homes: Homes,
    freezes: Freezes,
    conn: Arc<Conn>,
}

impl Stand {
    /// Takes the document `text`.
    ///
    /// # Errors
    ///
    /// The document cannot be run.
    pub fn new(text: &str, side: &Handle) -> Result<Self, Failure> {
        let mut registry = Registry::default();
        let freezes = Freezes::open(
            OpenOptions {
                path: None,
                clock: Clock::system(),
                chance: Arc::new(Chance::seeded(1)),
                shards: 1,
            },
            &mut registry,
        )?;
        let store = Store::new(Memory::new(Clock::system()));
        let chance = Arc::new(Chance::seeded(2));
        let options = FencesOptions {
            store: store.clone(),
            clock: Clock::system(),
            chance: chance.clone(),
            settings: FencesSettings::default(),
        };
        let fences = Fences::open(options, &mut registry);
        let rollouts = sluicegate_rollout::OpenOptions {
            store: store.clone(),
            clock: Clock::system(),
            chance: chance.clone(),
            gateway: "bench".to_owned(),
            checks: Arc::new(AlwaysReady),
            traffic: Traffic::register(&mut registry),
            shards: 1,
        };
        let shadows = ShadowsOptions {
            bodies: fences.budget().clone(),
            clock: Clock::system(),
            chance: chance.clone(),
        };
        let options =
            sluicegate_intents::OpenOptions { store, clock: Clock::system(), chance, accept_loss: true };
        let admission = AdmissionOptions { bodies: fences.budget().clone(), chance: Chance::seeded(3) };
        let homes = Homes {
            admission: Admission::open(admission, &mut registry),
            upstreams: Arc::new(Upstreams::new(UpstreamMetrics::register(&mut registry), side.clone())),
            fences,
            intents: Intents::open(options, &mut registry),
            rollouts: Rollouts::open(rollouts, &mut registry),
            shadows: Shadows::open(shadows, &mut registry),
            tokens: Tokens::open(Clock::system(), side.clone(), &mut registry),
            metrics: RequestMetrics::register(&mut registry),
        };
        let loaded = parse(text, &Source::sent(Path::new("."))).map_err(|it| it.to_string())?;
        let snapshot = Snapshot::detached(&loaded, &homes).map_err(|it| it.to_string())?;
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let conn = Conn::detached(address, address);
        Ok(Self { snapshot: Arc::new(ArcSwap::from_pointee(snapshot)), homes, freezes, conn })
    }

    /// Freezes these routes.
    ///
    /// # Errors
    ///
    /// The freeze is not taken.
    pub async fn freeze(&self, routes: &[&str]) -> Result<(), Failure> {
        let scope =
            Scope { routes: Some(routes.iter().map(|it| (*it).to_owned()).collect()), ..Scope::default() };
        let order = FreezeOrder { reason: Some("reindex".into()), until: None, scope, by: None };
        self.freezes.put("bench", order).await?;
        Ok(())
    }

    /// The way in, with the guards around `inner`.
    pub fn ingress<S>(&self, inner: S) -> Ingress<Guards<S>> {
        let Homes { fences, intents, admission, rollouts, shadows, metrics, .. } = &self.homes;
        let judged = JudgeLayer::new().layer(inner);
        let shadow = ShadowLayer::new(shadows.clone(), Chance::seeded(5)).layer(judged);
        let fence = FenceLayer::new(fences.clone(), LocalExec).layer(shadow);
        let admit = AdmissionLayer::new(admission.clone()).layer(fence);
        let rollout = RolloutLayer::new(rollouts.traffic().clone(), Chance::seeded(4)).layer(admit);
        let queue = IntentsLayer::new(intents.clone(), fences.budget().clone()).layer(rollout);
        let freeze = FreezeLayer::new(self.freezes.clone()).layer(queue);
        let replay = ReplayLayer::new(fences.clone()).layer(freeze);
        let classify =
            ClassifyLayer::new(self.snapshot.clone()).holding(fences.budget().clone()).layer(replay);
        let own = Own::new(classify, self.snapshot.clone(), intents.clone(), self.freezes.clone());
        Ingress::new(own, self.snapshot.clone(), metrics.clone(), Chance::seeded(1))
    }

    /// The connection that requests come on.
    #[must_use]
    pub const fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }
}

/// Takes the request through a handler whose inner service answers at once, reads the body
/// of the answer and drops it: the whole life of a request.
///
/// # Panics
///
/// The handler is not ready at once.
pub fn through<H: Handler>(handler: &H, conn: &Arc<Conn>, request: Request<Incoming>) -> http::StatusCode {
    let answer = pin!(handler.call(conn, request));
    let Poll::Ready(answer) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("an inner service that answers at once leaves nothing to wait for")
    };
    let status = answer.status();
    drain(answer.into_body());
    status
}

/// The same for the inner service alone, which is what the guards are measured against.
///
/// # Panics
///
/// Never: its answer is there.
pub fn alone(request: Request<Incoming>) -> http::StatusCode {
    let answer = Immediate.call(request).into_inner();
    let status = answer.as_ref().map_or(http::StatusCode::IM_A_TEAPOT, Response::status);
    if let Ok(answer) = answer {
        drain(answer.into_body());
    }
    status
}

fn drain(body: impl Body<Data = Bytes>) {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        drop(frame);
    }
}

/// Requests without a body, as hyper's server hands them out.
pub struct Requests {
    runtime: Runtime,
    head: Vec<u8>,
    ready: Rc<RefCell<Vec<Request<Incoming>>>>,
}

/// How many are made at a time.
const BATCH: usize = 512;

impl Requests {
    /// Requests of this method and target with the header fields of a usual client.
    ///
    /// # Errors
    ///
    /// There is no runtime to be had.
    pub fn new(method: &Method, target: &str) -> Result<Self, Failure> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: retriever.svc\r\nuser-agent: bench/1\r\naccept: */*\r\n\
             accept-encoding: gzip\r\n{}\r\n",
            if method == Method::GET { "" } else { "content-length: 0\r\n" }
        );
        let runtime = Builder::new_current_thread().build()?;
        Ok(Self { runtime, head: head.into_bytes(), ready: Rc::default() })
    }

    /// The next one.
    ///
    /// # Errors
    ///
    /// hyper does not take its own kind of request.
    pub fn next(&self) -> Result<Request<Incoming>, Failure> {
        if self.ready.borrow().is_empty() {
            self.runtime.block_on(self.make())?;
        }
        let next = self.ready.borrow_mut().pop();
        next.ok_or_else(|| "hyper refused the bench's own request".into())
    }

    async fn make(&self) -> Result<(), Failure> {
        let (mut client, server) = tokio::io::duplex(BATCH * 1024);
        client.write_all(&self.head.repeat(BATCH)).await?;
        client.shutdown().await?;
        let ready = self.ready.clone();
        let service = service_fn(move |request| {
            ready.borrow_mut().push(request);
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        });
        http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(server), service)
            .await?;
        Ok(())
    }
}

/// A boxed future's own size, looked at as it passes: the proxy's future is boxed, so the
/// futures around it do not show it.
pub struct Weighing<S> {
    inner: S,
    seen: Rc<std::cell::Cell<usize>>,
}

impl<S> Weighing<S> {
    /// Weighs the futures of `inner` into `seen`.
    pub const fn new(inner: S, seen: Rc<std::cell::Cell<usize>>) -> Self {
        Self { inner, seen }
    }
}

impl<S: Clone> Clone for Weighing<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), seen: self.seen.clone() }
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>>>>;

impl<S, B> Service<Request<B>> for Weighing<S>
where
    S: Service<Request<B>, Error = Refusal, Future = Boxed<<S as Service<Request<B>>>::Response>>,
{
    type Response = S::Response;
    type Error = Refusal;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let future = self.inner.call(request);
        self.seen.set(std::mem::size_of_val(&*future));
        future
    }
}
