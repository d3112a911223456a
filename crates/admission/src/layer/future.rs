//! From a request at the door to its answer's head.
//!
//! | step | leaves it by |
//! |---|---|
//! | passing | the answer: the route limits nothing |
//! | reading | the request's body is at hand, for its tokens to be estimated; then *waiting* |
//! | waiting | a permit, then *calling*; a refusal, then over |
//! | calling | the answer's head; the body holds the rest |

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, header, request};
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_body::{Gather, GatherError, Gathered, Gathering};
use sluicegate_core::{BoxError, Code, Facts, Outcome, Refusal, facts::BodyFault};
use tokio::time::Instant;
use tower_service::Service;

use super::{body::AdmissionBody, held::Holding};
use crate::{
    budget::{Ask, Dialect, limit_accept_encoding, may_change_body},
    home::Admission,
    plan::AdmissionPlan,
    queue::{Ended, Entry, Verdict, Waiting},
    refuse,
};

/// A request is read for its token budget up to here; of a longer one the length is known, which
/// is what the estimate goes by.
const READ: usize = 4 << 20;

pin_project! {
    /// The future of [`Admit`](crate::Admit).
    pub struct AdmissionFuture<S, B>
    where
        S: Service<Request<Gathered<B>>>,
    {
        #[pin]
        step: Step<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<S, F, B> {
        Passing { #[pin] call: F },
        Reading { reading: Option<Box<Reading<S, B>>> },
        Waiting { waiting: Option<Box<InLine<S, B>>> },
        Calling { #[pin] call: F, holding: Option<Box<Holding>> },
        Refused { refusal: Option<Refusal> },
        Over,
    }
}

/// A request whose body is being read.
struct Reading<S, B> {
    gathering: Gathering<B>,
    length: Option<u64>,
    dialect: Dialect,
    head: request::Parts,
    service: S,
    holding: Box<Holding>,
}

/// A request in the queue.
struct InLine<S, B> {
    waiting: Waiting,
    request: Request<Gathered<B>>,
    service: S,
    holding: Box<Holding>,
}

impl<S, B, R> AdmissionFuture<S, B>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) const fn passing(call: S::Future) -> Self {
        Self { step: Step::Passing { call } }
    }

    pub(super) fn begin(
        plan: AdmissionPlan,
        admission: &Admission,
        service: S,
        request: Request<Gathered<B>>,
    ) -> Self {
        let (mut head, body) = request.into_parts();
        let facts = Facts::of(&head.headers, &mut head.extensions);
        let now = Instant::now();
        let mut holding = match Holding::charge(plan, facts, now) {
            Ok(holding) => Box::new(holding),
            Err(refusal) => return Self { step: Step::refused(refusal) },
        };
        let metered = holding.plan.0.budget.is_some();
        let step = match Dialect::of(&head.method, head.uri.path()).filter(|_| metered) {
            None => Step::enter(service, Request::from_parts(head, body), holding, 0, now),
            Some(dialect) => {
                limit_accept_encoding(&mut head.headers);
                holding.dialect = Some(dialect);
                let length = body.size_hint().exact();
                let gathering = body.gather(READ, &admission.0.bodies);
                Step::Reading {
                    reading: Some(Box::new(Reading { gathering, length, dialect, head, service, holding })),
                }
            }
        };
        Self { step }
    }
}

impl<S, B, R> Step<S, S::Future, B>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    const fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal: Some(refusal) }
    }

    /// Asks for a place.
    fn enter(
        service: S,
        request: Request<Gathered<B>>,
        holding: Box<Holding>,
        bytes: u64,
        now: Instant,
    ) -> Self {
        match holding.enter(bytes, now) {
            Entry::Settled(verdict) => Self::settled(verdict, service, request, holding),
            Entry::Waits(waiting) => {
                Self::Waiting { waiting: Some(Box::new(InLine { waiting, request, service, holding })) }
            }
        }
    }

    fn settled(
        verdict: Verdict,
        mut service: S,
        mut request: Request<Gathered<B>>,
        mut holding: Box<Holding>,
    ) -> Self {
        match verdict {
            Verdict::Admitted(permit, _) => {
                holding.permit = Some(permit);
                holding.send(&mut request);
                Self::Calling { call: service.call(request), holding: Some(holding) }
            }
            Verdict::Refused(refused) => Self::refused(refuse::queue(refused)),
        }
    }

    /// The body is at hand, or as much of it as may be held.
    fn read(
        read: Result<Gather<B>, GatherError>,
        reading: Reading<S, B>,
        now: Instant,
    ) -> Result<Self, Refusal> {
        let Reading { length, dialect, mut head, service, mut holding, .. } = reading;
        let default = holding.plan.0.budget.as_ref().map_or(0, |budget| budget.default_max_tokens);
        let (ask, body, bytes) = match read {
            Ok(Gather::Whole(mut whole)) => {
                let ask = Ask::read(dialect, &whole.bytes, default);
                if ask.must_ask_for_usage() && may_change_body(&head.headers) {
                    whole.bytes = ask.asking_for_usage(&whole.bytes);
                    holding.strip = true;
                    if head.headers.contains_key(header::CONTENT_LENGTH) {
                        head.headers.insert(header::CONTENT_LENGTH, whole.bytes.len().into());
                    }
                }
                let bytes = whole.bytes.len() as u64;
                (ask, Gathered::whole(whole), bytes)
            }
            Ok(Gather::Past(body)) => {
                let length = length.unwrap_or(READ as u64);
                (Ask::unread(dialect, length, default), body, READ as u64)
            }
            Err(error) => return Err(not_read(&error, &holding.facts)),
        };
        holding.reserve(&ask, now)?;
        Ok(Self::enter(service, Request::from_parts(head, body), holding, bytes, now))
    }
}

fn not_read(error: &GatherError, facts: &Facts) -> Refusal {
    match error {
        GatherError::NoRoom => {
            Refusal::new(Code::Overloaded, error.to_string()).retry_after(std::time::Duration::from_secs(1))
        }
        GatherError::Body(_) => match facts.body_fault() {
            Some(BodyFault::TooLarge) => {
                Refusal::new(Code::BodyTooLarge, "the body is larger than this route takes")
            }
            Some(BodyFault::Idle) => {
                Refusal::new(Code::RequestTimeout, "the request's body stopped coming; send it again").close()
            }
            Some(BodyFault::Broken) | None => {
                Refusal::new(Code::BadRequest, "the request's body broke off; send it again").close()
            }
        },
    }
}

impl<S, B, R> Future for AdmissionFuture<S, B>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<AdmissionBody<R>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let next = match step.as_mut().project() {
                StepProjection::Passing { call } => {
                    let answered = ready!(call.poll(cx));
                    step.set(Step::Over);
                    return Poll::Ready(answered.map(|response| response.map(AdmissionBody::passed)));
                }
                StepProjection::Reading { reading } => {
                    let Some(under_way) = reading.as_mut() else { return Poll::Pending };
                    let read = ready!(Pin::new(&mut under_way.gathering).poll(cx));
                    let Some(whole) = reading.take() else { return Poll::Pending };
                    Step::read(read, *whole, Instant::now()).unwrap_or_else(Step::refused)
                }
                StepProjection::Waiting { waiting } => {
                    let Some(in_line) = waiting.as_mut() else { return Poll::Pending };
                    let verdict = ready!(Pin::new(&mut in_line.waiting).poll(cx));
                    let Some(in_line) = waiting.take() else { return Poll::Pending };
                    let InLine { request, service, holding, .. } = *in_line;
                    Step::settled(verdict, service, request, holding)
                }
                StepProjection::Calling { call, holding } => {
                    let answered = ready!(call.poll(cx));
                    let holding = holding.take();
                    step.set(Step::Over);
                    return Poll::Ready(match (answered, holding) {
                        (Ok(response), Some(holding)) => {
                            let (mut head, body) = response.into_parts();
                            let body = AdmissionBody::held(&mut head, body, holding);
                            Ok(Response::from_parts(head, body))
                        }
                        (Ok(response), None) => Ok(response.map(AdmissionBody::passed)),
                        (Err(refusal), holding) => {
                            if let Some(holding) = holding {
                                refused(&refusal, *holding);
                            }
                            Err(refusal)
                        }
                    });
                }
                StepProjection::Refused { refusal } => {
                    let Some(refusal) = refusal.take() else { return Poll::Pending };
                    step.set(Step::Over);
                    return Poll::Ready(Err(refusal));
                }
                StepProjection::Over => return Poll::Pending,
            };
            step.set(next);
        }
    }
}

/// There is no answer: what is known of the upstream is noted, and of the tokens.
fn refused(refusal: &Refusal, mut holding: Holding) {
    let upstream = matches!(
        refusal.code(),
        Code::UpstreamUnreachable | Code::UpstreamReset | Code::UpstreamTimeout | Code::DeadlineExceeded
    );
    if let Some(permit) = holding.permit.as_ref().filter(|_| upstream) {
        permit.note(Ended::Failed);
    }
    if holding.facts.attempt().outcome() == Outcome::NotApplied
        && let Some(reservation) = holding.reservation.take()
    {
        reservation.release(Instant::now());
    }
}
