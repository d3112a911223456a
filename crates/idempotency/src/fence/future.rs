//! From a request at the fence to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use sluicegate_body::{Gather, Gathered, Gathering};
use sluicegate_core::{BoxError, Facts, Refusal, Repeat};
use sluicegate_store::{fence::OnUnknown, fingerprint::has_content_digest, keyed::Keyed};
use tower_service::Service;

use super::{
    body::FenceBody,
    exchange::{Exchange, Start},
    line::{Heard, Listener, line},
};
use crate::{home::Home, plan::IdempotencyPlan, printing::Printing, refuse};

pin_project! {
    /// The future of [`Fence`](crate::Fence).
    pub struct FenceFuture<S, E, B, R>
    where
        S: Service<Request<Gathered<B>>>,
    {
        #[pin]
        state: State<S::Future, Entry<S, E, B, R>>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, T> {
        Passing { #[pin] inner: F },
        // In a box, so that a request without a key pays no room for it.
        Keyed { entry: Box<T> },
    }
}

/// A keyed request that has come to the fence.
pub(super) struct Arrival<S, E> {
    pub(super) home: Arc<Home>,
    pub(super) plan: IdempotencyPlan,
    pub(super) facts: Facts,
    pub(super) keyed: Keyed,
    pub(super) own: bool,
    pub(super) service: S,
    pub(super) executor: E,
    pub(super) head: Parts,
}

/// A keyed request on its way into an exchange.
struct Entry<S, E, B, R> {
    arrival: Option<Arrival<S, E>>,
    step: EntryStep<B>,
    exchange: std::marker::PhantomData<fn(R)>,
}

enum EntryStep<B> {
    /// The body is read: it is asked for only now that every guard has let it pass.
    Gathering(Gathering<B>),
    Printing(Gathered<B>, Printing),
    Listening(Option<Listener>),
}

impl<S, E, B, R> FenceFuture<S, E, B, R>
where
    S: Service<Request<Gathered<B>>>,
{
    pub(super) fn passing(inner: S::Future) -> Self {
        Self { state: State::Passing { inner } }
    }

    pub(super) fn keyed(arrival: Arrival<S, E>, body: Gathered<B>) -> Self {
        let gathering = body.gather(arrival.plan.settings().max_body, &arrival.home.budget);
        let entry = Entry {
            arrival: Some(arrival),
            step: EntryStep::Gathering(gathering),
            exchange: std::marker::PhantomData,
        };
        Self { state: State::Keyed { entry: Box::new(entry) } }
    }
}

impl<S, E, B, R> Future for FenceFuture<S, E, B, R>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    E: Executor<Exchange<S, B, R>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<FenceBody<R>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passing { inner } => {
                inner.poll(cx).map_ok(|response| response.map(FenceBody::passed))
            }
            StateProjection::Keyed { entry } => entry.poll(cx),
        }
    }
}

/// How far a key of this route carries, once its body is in memory.
fn repeat(plan: &IdempotencyPlan) -> Repeat {
    match plan.on_unknown() {
        OnUnknown::Refuse => Repeat::NotApplied,
        OnUnknown::Retry => Repeat::Always,
    }
}

impl<S, E, B, R> Entry<S, E, B, R>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    E: Executor<Exchange<S, B, R>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<FenceBody<R>>, Refusal>> {
        loop {
            match &mut self.step {
                EntryStep::Gathering(gathering) => {
                    let gathered = ready!(Pin::new(gathering).poll(cx));
                    let Some(arrival) = &self.arrival else { return Poll::Pending };
                    let (body, bytes) = match gathered {
                        Ok(Gather::Whole(whole)) => {
                            let bytes = whole.bytes.clone();
                            (Gathered::whole(whole), Some(bytes))
                        }
                        Ok(Gather::Past(body)) if has_content_digest(&arrival.head.headers) => (body, None),
                        Ok(Gather::Past(_)) => {
                            return Poll::Ready(Err(refuse::too_large(arrival.plan.settings().max_body)));
                        }
                        Err(error) => return Poll::Ready(Err(refuse::not_gathered(&error, &arrival.facts))),
                    };
                    let printing = Printing::of(&arrival.head, bytes.as_ref(), &arrival.keyed.rules);
                    self.step = EntryStep::Printing(body, printing);
                }
                EntryStep::Printing(_, printing) => {
                    let print = ready!(Pin::new(printing).poll(cx))?;
                    let step = std::mem::replace(&mut self.step, EntryStep::Listening(None));
                    let (EntryStep::Printing(body, _), Some(arrival)) = (step, self.arrival.take()) else {
                        return Poll::Pending;
                    };
                    let Arrival { home, plan, facts, keyed, own, service, executor, head } = arrival;
                    let mut request = Request::from_parts(head, body);
                    if request.body().is_whole() {
                        request.extensions_mut().insert(repeat(&plan));
                    }
                    let (speaker, listener) = line();
                    let start = Start { home, plan, facts, keyed, own, print, service, request };
                    executor.execute(Exchange::new(start, speaker));
                    self.step = EntryStep::Listening(Some(listener));
                }
                EntryStep::Listening(listener) => {
                    let Some(hearing) = listener else { return Poll::Pending };
                    let (head, hint) = ready!(hearing.poll_answer(cx))?;
                    let Some(listener) = listener.take() else { return Poll::Pending };
                    let response = Heard::response(listener, head, hint);
                    return Poll::Ready(Ok(response.map(FenceBody::heard)));
                }
            }
        }
    }
}
