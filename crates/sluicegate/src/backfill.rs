//! How intents get to the workers.
//!
//! The backfill decides on the side runtime what is applied and when; the connections to the
//! upstreams belong to the workers. So each worker has an inbox, and a stack of its own that
//! begins below the layer that looks keys up. An intent that is sent is judged by the
//! snapshot of that moment, and counts as a request of the batch lane.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use sluicegate_body::{Gathered, Whole};
use sluicegate_classify::RouteEntry;
use sluicegate_core::{Access, BoxError, Classified, Facts, Lane, Outcome, Refusal, Tenant, facts::is_grpc};
use sluicegate_freeze::Freezes;
use sluicegate_intents::{Freezer, Prepared, RunOutcome, Runner};
use sluicegate_store::fence::StoredBody;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
    time::Instant,
};
use tower_service::Service;

use crate::snapshot::Snapshot;

/// The workers' inboxes.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    inboxes: Mutex<Vec<mpsc::UnboundedSender<Job>>>,
    next: AtomicUsize,
}

/// An intent on its way to a worker. There are never more than the backfill runs at one time.
#[derive(Debug)]
struct Job {
    prepared: Prepared,
    facts: Facts,
    reply: oneshot::Sender<RunOutcome>,
}

impl Workers {
    /// Has this worker take part, with `stack`. Called on the worker.
    pub(crate) fn join<S, B, R>(&self, stack: S, snapshot: Arc<ArcSwap<Snapshot>>)
    where
        S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal> + Clone + 'static,
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + 'static,
        R::Error: Into<BoxError>,
    {
        let (inbox, mut jobs) = mpsc::unbounded_channel::<Job>();
        self.inboxes.lock().push(inbox);
        spawn_local(async move {
            while let Some(job) = jobs.recv().await {
                spawn_local(work(stack.clone(), snapshot.clone(), job));
            }
        });
    }

    fn inbox(&self) -> Option<mpsc::UnboundedSender<Job>> {
        let inboxes = self.inboxes.lock();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        inboxes.get(turn.checked_rem(inboxes.len())?).cloned()
    }
}

/// Sends intents by the workers.
#[derive(Clone, Debug)]
pub(crate) struct ByWorkers(pub(crate) Arc<Workers>);

impl Runner for ByWorkers {
    async fn run(&self, prepared: Prepared) -> RunOutcome {
        let headers = prepared.request.headers();
        let id =
            HeaderValue::from_str(&prepared.request_id).unwrap_or_else(|_| HeaderValue::from_static("-"));
        let facts = Facts::new(id, None, Instant::now(), is_grpc(headers));
        let (reply, outcome) = oneshot::channel();
        let job = Job { prepared, facts: facts.clone(), reply };
        let sent = self.0.inbox().is_some_and(|inbox| inbox.send(job).is_ok());
        match (sent, outcome.await) {
            (true, Ok(outcome)) => outcome,
            // The worker has ended, or the stack has panicked; how far it got is on record.
            _ => match facts.attempt().outcome() {
                Outcome::NotApplied | Outcome::Deferred => {
                    RunOutcome::Refused("the gateway is stopping".into())
                }
                Outcome::Final | Outcome::Unknown => {
                    RunOutcome::Unknown("the gateway stopped before the answer had come".into())
                }
            },
        }
    }
}

async fn work<S, B, R>(stack: S, snapshot: Arc<ArcSwap<Snapshot>>, job: Job)
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let Job { prepared, facts, reply } = job;
    let entry = snapshot.load().route(&prepared.route).cloned();
    let outcome = match entry {
        Some(entry) => send(stack, &entry, prepared, &facts).await,
        None => RunOutcome::NoRoute,
    };
    // Nobody waits for it when the backfill has been dropped, at the end of the process.
    drop(reply.send(outcome));
}

async fn send<S, B, R>(mut stack: S, entry: &RouteEntry, prepared: Prepared, facts: &Facts) -> RunOutcome
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let tenant = prepared.tenant.as_deref().and_then(|name| HeaderValue::from_str(name).ok());
    facts.classify(Classified {
        route: entry.plan.clone(),
        access: Access::Write,
        tenant: tenant.as_ref().and_then(Tenant::from_header),
        lane: Lane::Batch,
        // It pays by the backfill's rate.
        cost: 0,
        deadline: entry.deadline.map(|limit| facts.received() + limit),
        rpc: None,
    });
    let mut request = prepared.request.map(|body| Gathered::whole(Whole::new(body, None)));
    request.extensions_mut().insert(facts.clone());
    let ready = std::future::poll_fn(|cx: &mut Context<'_>| -> Poll<_> { stack.poll_ready(cx) }).await;
    let answered = match ready {
        Ok(()) => stack.call(request).await,
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(response) => {
            let (head, body) = response.into_parts();
            match kept(body, prepared.max_answer).await {
                Ok(body) => RunOutcome::Answered(Response::from_parts(head, body)),
                Err(error) => RunOutcome::Unknown(format!("the answer broke off: {error}").into()),
            }
        }
        Err(refusal) => RunOutcome::refused(&refusal, facts.attempt().outcome()),
    }
}

/// Reads the answer to its end, and keeps it where it is small enough.
async fn kept<R>(body: R, max: usize) -> Result<StoredBody, BoxError>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let mut body = Box::pin(body);
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Into::into)?.into_data() else { continue };
        length += data.len();
        if length <= max {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(if length <= max {
        StoredBody::Whole(bytes.freeze())
    } else {
        StoredBody::NotKept(format!("it has {length} bytes, more than the {max} that are kept").into())
    })
}

/// Tells the backfill which writes go through.
#[derive(Clone, Debug)]
pub(crate) struct ByFreezes {
    pub(crate) freezes: Freezes,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Freezer for ByFreezes {
    fn open_since(&self, route: &str, upstream: &str, tenant: Option<&str>) -> Option<Instant> {
        let snapshot = self.snapshot.load();
        // A route with a rollout may lead elsewhere by now: its freezes hold for it as it is.
        let leads = snapshot.route(route).map_or(upstream.into(), |entry| entry.plan.leads());
        self.freezes.open_since(route, leads, tenant)
    }

    fn earliest(&self) -> Option<Instant> {
        self.freezes.opens_earliest()
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        let mut version = self.freezes.subscribe();
        async move {
            // The freezes live for as long as the process.
            drop(version.changed().await);
        }
    }
}
