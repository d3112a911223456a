//! The service of [`ClassifyLayer`](crate::ClassifyLayer).
//!
//! A request takes one of three ways, which are the states of its future: *refused* by its
//! head; *inner*, handed on at once; or *peeking*, where its body is to tell something and is
//! read first and then handed on, or refused in the form that the body asks for. The last alone
//! allocates.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_body::Budget;
use sluicegate_core::{Doubt, Facts, Refusal};
use tower_service::Service;

use crate::{
    body::PeekedBody,
    peek::Peek,
    rules::Table,
    settle::{Settled, settle},
};

/// Settles what each request is: see the [crate's own page](crate).
#[derive(Clone, Debug)]
pub struct Classify<S, T> {
    inner: S,
    table: T,
    bodies: Option<Budget>,
}

impl<S, T> Classify<S, T> {
    pub(crate) const fn new(inner: S, table: T, bodies: Option<Budget>) -> Self {
        Self { inner, table, bodies }
    }
}

impl<S, B, T> Service<Request<B>> for Classify<S, T>
where
    S: Service<Request<PeekedBody<B>>, Error = Refusal> + Clone,
    B: Body<Data = Bytes>,
    T: Table,
{
    type Response = S::Response;
    type Error = Refusal;
    type Future = ClassifyFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let facts = Facts::of(&parts.headers, &mut parts.extensions);
        let Settled { classified, wanted, refusal } =
            match settle(&self.table, &mut parts, body.size_hint().exact(), &facts) {
                Ok(settled) => settled,
                Err(refusal) => return State::Refused { refusal: Some(refusal) }.into(),
            };
        if let Some(wanted) = wanted {
            match unreadable(&parts.headers, &body, wanted.cap) {
                None => {
                    let next = if let Some(refusal) = refusal {
                        Err(refusal)
                    } else {
                        // The service that was made ready goes with the request; its clone stays.
                        let clone = self.inner.clone();
                        Ok(std::mem::replace(&mut self.inner, clone))
                    };
                    let held = self.bodies.as_ref().map(Budget::hold);
                    let peek = Peek::new(next, (parts, body), (facts, classified), wanted, held);
                    return State::Peeking { peek: Some(Box::new(peek)) }.into();
                }
                Some(doubt) if wanted.access.is_some() => facts.set_doubt(doubt),
                Some(_) => {}
            }
        }
        facts.classify(classified);
        if refusal.is_some() {
            return State::Refused { refusal }.into();
        }
        let request = Request::from_parts(parts, PeekedBody::untouched(body));
        State::Inner { future: self.inner.call(request) }.into()
    }
}

/// Why the body is not read here at all: its announced length leaves no hope to read it whole,
/// or its client waits for the guards to decide before it sends it.
fn unreadable(headers: &HeaderMap, body: &impl Body, cap: usize) -> Option<Doubt> {
    if headers.contains_key(header::EXPECT) {
        return Some(Doubt::Waits);
    }
    let fits = usize::try_from(body.size_hint().lower()).is_ok_and(|length| length <= cap);
    (!fits).then_some(Doubt::Large)
}

pin_project! {
    /// The future of [`Classify`].
    pub struct ClassifyFuture<S, B>
    where
        S: Service<Request<PeekedBody<B>>>,
        B: Body,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<PeekedBody<B>>>,
        B: Body,
    {
        Refused { refusal: Option<Refusal> },
        Peeking { peek: Option<Box<Peek<S, B>>> },
        Inner { #[pin] future: S::Future },
    }
}

impl<S, B> From<State<S, B>> for ClassifyFuture<S, B>
where
    S: Service<Request<PeekedBody<B>>>,
    B: Body,
{
    fn from(state: State<S, B>) -> Self {
        Self { state }
    }
}

impl<S, B> Future for ClassifyFuture<S, B>
where
    S: Service<Request<PeekedBody<B>>, Error = Refusal>,
    B: Body<Data = Bytes>,
{
    type Output = Result<S::Response, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                // Inner from the start, or since the body was read.
                StateProj::Inner { future } => return future.poll(cx),
                // Refused: the answer is there. A future that has answered stays pending.
                StateProj::Refused { refusal } => {
                    return refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(Err(refusal)));
                }
                // Peeking until enough is read; then inner, or refused.
                StateProj::Peeking { peek } => {
                    if let Some(reading) = peek {
                        ready!(reading.poll_read(cx));
                    }
                    let Some(read) = peek.take() else { return Poll::Pending };
                    state.set(match read.finish() {
                        Ok((mut service, request)) => State::Inner { future: service.call(request) },
                        Err(refusal) => State::Refused { refusal: Some(refusal) },
                    });
                }
            }
        }
    }
}
