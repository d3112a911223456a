//! One keyed exchange with the upstream, from its begin on record to its end on record.
//!
//! It belongs to the fence and runs as a task of its own: the client listens to it, and may
//! leave, without which it goes on.
//!
//! | step | leaves it by |
//! |---|---|
//! | beginning | the store's word: on record, then *calling*; taken, full or lost, then over |
//! | calling | the answer's head, then *streaming*; a refusal, then *settling* |
//! | streaming | the answer's end, or its breaking off, then *settling* |
//! | settling | the store's word; only then is the client given the end of its answer |
//!
//! So a client that has a whole answer always gets it replayed, and one that retries before
//! the end is on record finds the attempt running. While calling and streaming the exchange
//! may be *ended early*: its limit without a client has passed, there are too many of its
//! kind, a freeze has cut it, or its client takes nothing of an answer that is too large to
//! be kept. What is then known of the attempt is written down as for any other end.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_body::{Gathered, Held};
use sluicegate_core::{Attempt, BoxError, Facts, Refusal};
use sluicegate_store::{Tag, fence::FenceState, fingerprint::Fingerprint, keyed::Keyed};
use tower_service::Service;

use super::{line::Speaker, work::Work};
use crate::{
    home::{Beginning, Begun, End, Home},
    plan::IdempotencyPlan,
};

pin_project! {
    /// A keyed exchange, for an executor to run. It is `Send` where the service and the
    /// bodies are.
    #[must_use = "an exchange must be run"]
    pub struct Exchange<S, B, R>
    where
        S: Service<Request<Gathered<B>>>,
    {
        #[pin]
        step: Step<S, S::Future, B, R>,
        work: Work,
    }

    impl<S, B, R> PinnedDrop for Exchange<S, B, R>
    where
        S: Service<Request<Gathered<B>>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What is inside may yet learn how its attempt ended.
            this.step.set(Step::Over);
            this.work.dropped();
        }
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<S, F, B, R> {
        Beginning { beginning: Beginning, next: Next<S, B> },
        Calling { next: Next<S, B>, #[pin] call: Option<F> },
        Streaming { #[pin] body: R, last: Last },
        Settling { settling: Pin<Box<dyn Future<Output = ()> + Send>>, last: Last },
        Over,
    }
}

/// The service, and what it will be called with.
pub(super) type Next<S, B> = Option<Box<(S, Request<Gathered<B>>)>>;

/// What the client is given only when the end is on record.
#[derive(Default)]
struct Last {
    /// The head, where nothing but the end can follow it.
    head: Option<Box<Parts>>,
    /// The frames after which nothing but the end can come.
    frames: Vec<Frame<Bytes>>,
    /// Why there is no whole answer.
    broken: Option<Broken>,
}

enum Broken {
    /// There is this refusal instead.
    Refused(Refusal),
    /// It broke off.
    Off(BoxError),
}

/// A keyed request that is ready to be begun.
pub(super) struct Start<S, B> {
    pub(super) home: Arc<Home>,
    pub(super) plan: IdempotencyPlan,
    pub(super) facts: Facts,
    pub(super) keyed: Keyed,
    /// Nobody below moves the attempt: the exchange does.
    pub(super) own: bool,
    pub(super) print: Fingerprint,
    pub(super) service: S,
    pub(super) request: Request<Gathered<B>>,
}

impl<S, B, R> Exchange<S, B, R>
where
    S: Service<Request<Gathered<B>>>,
{
    pub(super) fn new(start: Start<S, B>, line: Speaker) -> Self {
        let Start { home, plan, facts, keyed, own, print, service, request } = start;
        let fence = keyed.fence(&facts, request.method(), print, FenceState::Running, &home.clock);
        let tag = Tag::draw(&home.chance);
        let beginning = home.clone().begin(plan.clone(), keyed.clone(), fence.clone(), tag);
        let begun = Begun { id: keyed.id, tag, fence, doubt: None, ttl: plan.settings().ttl, doubtful: true };
        Self {
            step: Step::Beginning {
                beginning: Box::pin(beginning),
                next: Some(Box::new((service, request))),
            },
            work: Work::new(home, plan, facts, keyed, own, line, begun),
        }
    }
}

impl<S, B, R> Future for Exchange<S, B, R>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let work = this.work;
        loop {
            let under_way = matches!(*this.step, Step::Calling { .. } | Step::Streaming { .. });
            if under_way && let Some(why) = work.must_end(cx) {
                // What is inside may yet learn how its attempt ended.
                this.step.set(Step::Over);
                let end = work.broken(why);
                this.step.set(work.settle(&end, None, Last::default()));
            }
            match this.step.as_mut().project() {
                StepProjection::Beginning { beginning, next } => {
                    let began = ready!(beginning.as_mut().poll(cx));
                    let mut next = next.take();
                    if work.began(began, &mut next) {
                        this.step.set(Step::Calling { next, call: None });
                    } else {
                        this.step.set(Step::Over);
                    }
                }
                StepProjection::Calling { next, mut call } => {
                    let answered = match next {
                        Some(pair) => match ready!(pair.0.poll_ready(cx)) {
                            Ok(()) => {
                                if let Some(pair) = next.take() {
                                    let (mut service, request) = *pair;
                                    work.moved(Attempt::sent);
                                    call.set(Some(service.call(request)));
                                }
                                continue;
                            }
                            Err(refusal) => Err(refusal),
                        },
                        None => match call.as_pin_mut() {
                            Some(call) => ready!(call.poll(cx)),
                            None => return Poll::Ready(()),
                        },
                    };
                    let step = work.answered(answered);
                    this.step.set(step);
                }
                StepProjection::Streaming { mut body, last } => {
                    if !work.may_read(cx) {
                        return Poll::Pending;
                    }
                    let polled = ready!(body.as_mut().poll_frame(cx));
                    let left = Left { over: body.is_end_stream(), hint: body.size_hint() };
                    if let Some((end, held)) = work.frame(polled, &left, last) {
                        let last = std::mem::take(last);
                        // The body is let go before the end is written: by then it has said
                        // all it knows.
                        this.step.set(Step::Over);
                        this.step.set(work.settle(&end, held, last));
                    }
                }
                StepProjection::Settling { settling, last } => {
                    ready!(settling.as_mut().poll(cx));
                    work.settled(std::mem::take(last));
                    this.step.set(Step::Over);
                }
                StepProjection::Over => return Poll::Ready(()),
            }
        }
    }
}

/// What is left of a body.
struct Left {
    over: bool,
    hint: SizeHint,
}

impl Left {
    /// Whether nothing but the end, or trailers, can follow.
    fn is_nothing(&self) -> bool {
        self.over || self.hint.exact() == Some(0)
    }
}

impl Work {
    /// The next step, now that the service has answered.
    fn answered<S, F, B, R>(&mut self, answered: Result<Response<R>, Refusal>) -> Step<S, F, B, R>
    where
        R: Body<Data = Bytes>,
    {
        let response = match answered {
            Ok(response) => response,
            Err(refusal) => {
                self.moved(Attempt::not_applied);
                let end = self.broken(refusal.code().as_str());
                let last = Last { broken: Some(Broken::Refused(refusal)), ..Last::default() };
                return self.settle(&end, None, last);
            }
        };
        self.moved(Attempt::answering);
        let (head, body) = response.into_parts();
        self.keep(&head);
        let left = Left { over: body.is_end_stream(), hint: body.size_hint() };
        let mut last = Last::default();
        if left.is_nothing() {
            last.head = Some(Box::new(head));
        } else {
            self.line.head(head, left.hint);
        }
        if !left.over {
            return Step::Streaming { body, last };
        }
        drop(body);
        let (end, room) = self.whole();
        self.settle(&end, room, last)
    }

    /// Passes a frame on, or says how the answer ended.
    fn frame<E: Into<BoxError>>(
        &mut self,
        polled: Option<Result<Frame<Bytes>, E>>,
        left: &Left,
        last: &mut Last,
    ) -> Option<(End, Option<Held>)> {
        match polled {
            Some(Ok(frame)) => {
                self.keep_frame(&frame);
                if left.is_nothing() || last.head.is_some() || !last.frames.is_empty() {
                    last.frames.push(frame);
                } else {
                    self.line.frame(frame);
                }
                left.over.then(|| self.whole())
            }
            Some(Err(error)) => {
                let error = error.into();
                let end = self.broken(&format!("the answer broke off midway: {error}"));
                last.broken = Some(Broken::Off(error));
                Some((end, None))
            }
            None => Some(self.whole()),
        }
    }

    fn settle<S, F, B, R>(&mut self, end: &End, held: Option<Held>, last: Last) -> Step<S, F, B, R> {
        let settling: Pin<Box<dyn Future<Output = ()> + Send>> = match self.write(end) {
            Some(settle) => Box::pin(self.home.clone().settle(settle, held)),
            None => Box::pin(std::future::ready(())),
        };
        Step::Settling { settling, last }
    }

    /// The end is on record, or the keeper sees to it: the client may have the rest.
    fn settled(&mut self, last: Last) {
        self.done();
        let Last { head, frames, broken } = last;
        if let Some(head) = head {
            let bytes = frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
            self.line.head(*head, SizeHint::with_exact(bytes));
        }
        for frame in frames {
            self.line.frame(frame);
        }
        match broken {
            None => self.line.end(Ok(())),
            Some(Broken::Off(error)) => self.line.end(Err(error)),
            Some(Broken::Refused(refusal)) => self.line.refuse(refusal),
        }
    }
}
