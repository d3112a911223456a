//! What the tests of this crate share: a store that fails on command, an upstream that does
//! what it is told, and a stack of the two layers between a client and it.

use std::{
    collections::{HashMap, VecDeque},
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, channel::Channel, combinators::UnsyncBoxBody};
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::Value;
use sluicegate_body::Gathered;
use sluicegate_core::{
    Access, BoxError, Chance, Classified, Clock, Code, Facts, Lane, Refusal, RespondLayer, RoutePlan, Tenant,
};
use sluicegate_store::{
    Answered, Append, Appended, Bounds, Caps, Change, Changed, Engine, Entry, EntryId, EntryState, Expect,
    Health, Page, Put, Queue, Record, RecordKey, Records, Store, StoreError, Swapped, Tag, Tally,
    memory::Memory,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::{
    FenceLayer, Fences, FencesOptions, FencesSettings, IdempotencyPlan, IdempotencySettings, ReplayLayer,
    UpstreamPromises,
};

/// How a store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It does not.
    #[default]
    No,
    /// It does nothing and says so.
    Unheard,
    /// It does what it is asked, and its answer is lost.
    Unanswered,
}

/// A store in memory that fails on command.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    pub(crate) memory: Arc<Memory>,
    failing: Arc<Mutex<Failing>>,
    /// Writes fail so, one after the other, before `failing` counts.
    script: Arc<Mutex<VecDeque<Failing>>>,
    /// Writes are not even made while this is so.
    stopped: Arc<watch::Sender<bool>>,
    lease: Option<Duration>,
    pub(crate) beats: Arc<AtomicUsize>,
    lapsed: Arc<Mutex<bool>>,
}

impl Faulty {
    pub(crate) fn new(lease: Option<Duration>) -> Self {
        Self {
            memory: Arc::new(Memory::new(clock())),
            failing: Arc::default(),
            script: Arc::default(),
            stopped: Arc::new(watch::Sender::new(false)),
            lease,
            beats: Arc::default(),
            lapsed: Arc::default(),
        }
    }

    pub(crate) fn fail(&self, failing: Failing) {
        *self.failing.lock() = failing;
    }

    /// From here on it makes no write, and answers none, until this is taken back.
    pub(crate) fn stop_writes(&self, stopped: bool) {
        self.stopped.send_replace(stopped);
    }

    /// It does what it is asked again.
    pub(crate) fn heal(&self) {
        self.fail(Failing::No);
        self.script.lock().clear();
    }

    /// The next writes fail so.
    pub(crate) fn fail_writes(&self, script: impl IntoIterator<Item = Failing>) {
        self.script.lock().extend(script);
    }

    /// From here on every beat is told that nothing is held.
    pub(crate) fn lapse(&self) {
        *self.lapsed.lock() = true;
        self.memory.lose_holders();
    }

    fn lost<T: Send + 'static>() -> Answered<T> {
        Box::pin(ready(Err(StoreError::new("the store was told to fail"))))
    }

    fn read<T: Send + 'static>(&self, work: impl FnOnce(&Memory) -> Answered<T>) -> Answered<T> {
        let failing = *self.failing.lock();
        if failing == Failing::No { work(&self.memory) } else { Self::lost() }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Memory) -> Answered<T> + Send + 'static,
    ) -> Answered<T> {
        let mut stopped = self.stopped.subscribe();
        if *stopped.borrow() {
            let memory = self.memory.clone();
            return Box::pin(async move {
                drop(stopped.wait_for(|stopped| !stopped).await);
                work(&memory).await
            });
        }
        let scripted = self.script.lock().pop_front();
        match scripted.unwrap_or(*self.failing.lock()) {
            Failing::No => work(&self.memory),
            Failing::Unheard => Self::lost(),
            Failing::Unanswered => {
                drop(work(&self.memory));
                Self::lost()
            }
        }
    }
}

impl Records for Faulty {
    fn get(&self, key: RecordKey) -> Answered<Option<Record>> {
        self.read(|memory| memory.get(key))
    }

    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped> {
        self.write(move |memory| memory.swap(key, expect, put))
    }

    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>> {
        self.beats.fetch_add(held.len(), Ordering::Relaxed);
        if *self.lapsed.lock() {
            return Box::pin(ready(Ok(vec![false; held.len()])));
        }
        self.read(|memory| memory.beat(held))
    }

    fn lease(&self) -> Option<Duration> {
        self.lease
    }

    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        self.read(|memory| memory.page(after, limit))
    }

    fn bound(&self, bounds: Bounds) {
        self.memory.bound(bounds);
    }

    fn usage(&self) -> Answered<(u64, u64)> {
        self.read(Memory::usage)
    }
}

impl Queue for Faulty {
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended> {
        self.memory.append(append, caps)
    }

    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>> {
        self.memory.claim(tags)
    }

    fn change(&self, id: EntryId, change: Change) -> Answered<Changed> {
        self.memory.change(id, change)
    }

    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>> {
        self.memory.beat_entries(held)
    }

    fn entry(&self, id: EntryId) -> Answered<Option<Entry>> {
        self.memory.entry(id)
    }

    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>> {
        self.memory.entries(state, after, limit)
    }

    fn tally(&self) -> Answered<Tally> {
        self.memory.tally()
    }
}

impl Engine for Faulty {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.memory.health()
    }

    fn not_durable(&self) -> Option<String> {
        self.memory.not_durable()
    }
}

/// A clock that begins at 2030-01-05T02:00:00Z and moves with the runtime's time.
pub(crate) fn clock() -> Clock {
    Clock::simulated(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_808_800))
}

/// What the upstream does with one request.
pub(crate) enum Act {
    /// It does what it was asked and answers so.
    Answer(Response<Body>),
    /// It refuses before anything was sent.
    Unreachable,
    /// It does what it was asked and breaks off before it answers.
    Reset,
    /// It waits for this, and then acts.
    Wait(oneshot::Receiver<()>, Box<Act>),
    /// It panics.
    Panic,
}

/// Any body. A type of its own, since the compiler cannot follow a boxed error through the
/// futures of a whole stack.
pub(crate) struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl Body {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Act {
    /// Whether it ends in an answer that promises that nothing was done.
    fn does_nothing(&self) -> bool {
        match self {
            Self::Wait(_, next) => next.does_nothing(),
            Self::Answer(response) => response.status() == StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable | Self::Reset | Self::Panic => false,
        }
    }
}

pub(crate) fn answer(status: u16, body: &'static str) -> Act {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("x-made-by", HeaderValue::from_static("upstream"));
    Act::Answer(response)
}

/// An answer whose body is sent through a channel.
pub(crate) fn stream(status: u16) -> (http_body_util::channel::Sender<Bytes, BoxError>, Act) {
    let (sender, channel) = Channel::new(64);
    let mut response = Response::new(Body::new(channel));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    (sender, Act::Answer(response))
}

/// An act that waits until the sender says so.
pub(crate) fn when_told(act: Act) -> (oneshot::Sender<()>, Act) {
    let (sender, told) = oneshot::channel();
    (sender, Act::Wait(told, Box::new(act)))
}

/// What the upstream has seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An upstream that does what it is told; when it is told nothing it answers 201 with the
/// number of the request.
#[derive(Clone, Default)]
pub(crate) struct Upstream(Arc<UpstreamState>);

#[derive(Default)]
struct UpstreamState {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
    /// By the key as it came.
    effects: Mutex<HashMap<String, usize>>,
}

impl Upstream {
    pub(crate) fn then(&self, act: Act) -> &Self {
        self.0.acts.lock().push_back(act);
        self
    }

    /// How many requests reached it.
    pub(crate) fn calls(&self) -> usize {
        self.0.seen.lock().len()
    }

    /// How many it did.
    pub(crate) fn effects(&self) -> usize {
        self.0.effects.lock().values().sum()
    }

    /// The most it did under one key.
    pub(crate) fn most_effects(&self) -> usize {
        self.0.effects.lock().values().copied().max().unwrap_or_default()
    }

    pub(crate) fn last_seen(&self) -> Seen {
        self.0.seen.lock().last().unwrap().clone()
    }

    async fn serve(self, request: Request<Gathered<Body>>) -> Result<Response<Body>, Refusal> {
        let (mut head, body) = request.into_parts();
        let facts = Facts::of(&head.headers, &mut head.extensions);
        let act = self.0.acts.lock().pop_front();
        if let Some(Act::Unreachable) = act {
            return Err(Refusal::new(Code::UpstreamUnreachable, "nobody is there"));
        }
        facts.attempt().sent();
        let body =
            body.collect().await.map_err(|error| Refusal::new(Code::UpstreamReset, error.to_string()))?;
        let count = {
            let mut seen = self.0.seen.lock();
            seen.push(Seen { headers: head.headers.clone(), body: body.to_bytes() });
            seen.len()
        };
        let mut act = act;
        // What it does is done before it is told to answer: the worst that can happen.
        if !act.as_ref().is_some_and(Act::does_nothing) {
            let key = head.headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
            *self.0.effects.lock().entry(key.unwrap_or_default()).or_default() += 1;
        }
        while let Some(Act::Wait(told, next)) = act {
            // Dropped: it is told no more and goes on.
            drop(told.await);
            act = Some(*next);
        }
        let response = match act {
            Some(Act::Answer(response)) => response,
            Some(Act::Panic) => panic!("the upstream was told to panic"),
            Some(Act::Reset) => return Err(Refusal::new(Code::UpstreamReset, "it broke off")),
            _ => Response::builder().status(201).body(full(format!("answer {count}"))).unwrap(),
        };
        facts.attempt().answering();
        Ok(response.map(|body| Body::new(Moving { body, facts })))
    }
}

/// A body that tells the attempt when it has ended, as the gateway's own do.
struct Moving {
    body: Body,
    facts: Facts,
}

impl http_body::Body for Moving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if self.body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            self.facts.attempt().ended();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Service<Request<Gathered<Body>>> for Upstream {
    type Response = Response<Body>;
    type Error = Refusal;
    type Future = BoxFuture<'static, Result<Response<Body>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Gathered<Body>>) -> Self::Future {
        Box::pin(self.clone().serve(request))
    }
}

/// A client, the two layers, an upstream, and the store below.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) fences: Fences,
    pub(crate) store: Faulty,
    pub(crate) upstream: Upstream,
    pub(crate) registry: Arc<Registry>,
    plan: IdempotencyPlan,
    between: Arc<Mutex<VecDeque<Gate>>>,
}

/// What stands between the two layers for one request.
pub(crate) enum Gate {
    /// It waits there until it is told.
    Wait(oneshot::Receiver<()>),
    /// It is refused there.
    Refuse,
}

/// An answer as the client has it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, String>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }
}

#[derive(Default)]
pub(crate) struct RigOptions {
    pub(crate) settings: IdempotencySettings,
    pub(crate) bounds: FencesSettings,
    pub(crate) promises: UpstreamPromises,
    pub(crate) lease: Option<Duration>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(RigOptions::default())
    }

    pub(crate) fn under(settings: IdempotencySettings) -> Self {
        Self::with(RigOptions { settings, ..RigOptions::default() })
    }

    pub(crate) fn with(options: RigOptions) -> Self {
        let store = Faulty::new(options.lease);
        let mut registry = Registry::default();
        let fences = Fences::open(
            FencesOptions {
                store: Store::new(store.clone()),
                clock: clock(),
                chance: Arc::new(Chance::seeded(7)),
                settings: options.bounds,
            },
            &mut registry,
        );
        let plan = fences.plan("ingest", &options.settings, &options.promises);
        Self {
            fences,
            store,
            upstream: Upstream::default(),
            registry: Arc::new(registry),
            plan,
            between: Arc::default(),
        }
    }

    /// Another gateway over the same store, with the same upstream.
    pub(crate) fn neighbour(&self, settings: &IdempotencySettings) -> Self {
        let mut registry = Registry::default();
        let fences = Fences::open(
            FencesOptions {
                store: Store::new(self.store.clone()),
                clock: clock(),
                chance: Arc::new(Chance::seeded(8)),
                settings: FencesSettings::default(),
            },
            &mut registry,
        );
        let plan = fences.plan("ingest", settings, &UpstreamPromises::default());
        Self { fences, plan, registry: Arc::new(registry), between: Arc::default(), ..self.clone() }
    }

    /// The next request meets this between the layers.
    pub(crate) fn between(&self, gate: Gate) {
        self.between.lock().push_back(gate);
    }

    pub(crate) fn plan(&self) -> IdempotencyPlan {
        self.plan.clone()
    }

    /// Sends a request; the future is the client, and dropping it hangs up.
    pub(crate) fn send(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<> {
        let gates = self.between.clone();
        let stack = ServiceBuilder::new()
            .layer(RespondLayer)
            .layer(ReplayLayer::new(self.fences.clone()))
            .layer(tower::layer::layer_fn(move |inner| Between { inner, gates: gates.clone() }))
            .layer(FenceLayer::new(self.fences.clone(), TokioExecutor::new()))
            .service(self.upstream.clone());
        let facts = self.facts(Access::Write, Some("acme"));
        let mut request = request;
        if request.extensions().get::<Facts>().is_none() {
            request.extensions_mut().insert(facts);
        }
        async move {
            let response = stack.oneshot(request).await.unwrap();
            response.map(Body::new)
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn ask(&self, request: Request<Body>) -> impl Future<Output = Got> + Send + use<> {
        let sent = self.send(request);
        async move { read(sent.await).await }
    }

    pub(crate) fn facts(&self, access: Access, tenant: Option<&str>) -> Facts {
        let facts = Facts::new(HeaderValue::from_static("req-1"), None, Instant::now(), false);
        facts.classify(self.classified(access, tenant));
        facts
    }

    pub(crate) fn classified(&self, access: Access, tenant: Option<&str>) -> Classified {
        Classified {
            route: Arc::new(RoutePlan::new("ingest", "stable").with(self.plan.clone())),
            access,
            tenant: tenant.and_then(|name| Tenant::from_header(&HeaderValue::try_from(name).unwrap())),
            lane: Lane::Interactive,
            cost: 1,
            deadline: None,
            rpc: None,
        }
    }

    /// One line of what a scrape shows.
    pub(crate) fn metric(&self, name: &str) -> usize {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// How many requests had this result.
    pub(crate) fn results(&self, result: &str) -> usize {
        let name = format!("sluicegate_fence_requests_total{{route=\"ingest\",result=\"{result}\"}}");
        self.metric(&name)
    }
}

pub(crate) async fn read(response: Response<Body>) -> Got {
    let (head, body) = response.into_parts();
    let collected = body.collect().await;
    let trailers = collected.as_ref().ok().and_then(|collected| collected.trailers().cloned());
    Got {
        status: head.status.as_u16(),
        headers: head.headers,
        body: collected.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string()),
        trailers,
    }
}

pub(crate) fn full(body: impl Into<Bytes>) -> Body {
    Body::new(Full::new(body.into()))
}

/// A JSON write under a key.
pub(crate) fn post(key: &str, body: &str) -> Request<Body> {
    Request::post("/v1/documents/7")
        .header("idempotency-key", key)
        .header("content-type", "application/json")
        .body(full(body.to_owned()))
        .unwrap()
}

/// What stands between the two layers: other guards.
#[derive(Clone)]
struct Between<S> {
    inner: S,
    gates: Arc<Mutex<VecDeque<Gate>>>,
}

impl<S, R> Service<Request<Gathered<Body>>> for Between<S>
where
    S: Service<Request<Gathered<Body>>, Response = Response<R>, Error = Refusal> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = Refusal;
    type Future = BoxFuture<'static, Result<Response<R>, Refusal>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Gathered<Body>>) -> Self::Future {
        let gate = self.gates.lock().pop_front();
        let mut inner = self.inner.clone();
        Box::pin(async move {
            match gate {
                Some(Gate::Refuse) => return Err(Refusal::new(Code::ReadOnly, "it is frozen")),
                Some(Gate::Wait(told)) => drop(told.await),
                None => {}
            }
            inner.call(request).await
        })
    }
}

/// Lets the tasks run until something is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to be");
}
