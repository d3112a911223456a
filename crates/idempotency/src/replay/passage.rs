//! The way of one keyed request past the replay layer.
//!
//! | step | leaves it by |
//! |---|---|
//! | deriving | the body has come: its key is known; or there is none |
//! | looking | nothing is there, or the store is lost on an open route: *calling*; something is: *gathering*; lost: refused |
//! | gathering, printing | the fingerprint is known: *judging* |
//! | judging | an attempt may begin: *calling*; a stored answer; a refusal; waits in between |
//! | calling | an answer; a refusal; the request comes back, since another was faster: *looking* |
//!
//! A request comes back with its body, nothing of it having been sent. That is repeated until
//! the route's `wait` is over.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_body::{Gather, GatherError, Gathered, Gathering};
use sluicegate_core::{BoxError, Facts, Refusal, Tenant};
use sluicegate_store::{
    accepted,
    fingerprint::{Fingerprint, has_content_digest},
    keyed::{Keyed, Returned},
};
use tokio::time::Instant;
use tower_service::Service;

use super::{body::ReplayBody, unkeyed};
use crate::{
    answer,
    home::{Blind, Case, Found, Home, Verdict},
    key::{self, IDEMPOTENCY_KEY, Key},
    plan::IdempotencyPlan,
    printing::Printing,
    refuse,
};

/// What a request's way hangs on.
pub(super) struct Context<S> {
    pub(super) home: Arc<Home>,
    pub(super) plan: IdempotencyPlan,
    pub(super) facts: Facts,
    pub(super) service: S,
}

pin_project! {
    pub(super) struct Passage<S, F, B, R> {
        context: Context<S>,
        #[pin]
        step: Step<F, B>,
        keyed: Option<Keyed>,
        print: Option<Fingerprint>,
        // When the client has waited long enough; set when it begins to wait.
        until: Option<Instant>,
        answer: std::marker::PhantomData<fn() -> R>,
    }
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    #[project = StepProjection]
    #[project_replace = StepTaken]
    enum Step<F, B> {
        Deriving { head: Box<Parts>, gathering: Gathering<B> },
        Looking { looking: Later<Result<Option<Found>, Blind>>, request: Request<Gathered<B>> },
        Gathering { found: Box<Found>, head: Box<Parts>, gathering: Gathering<B> },
        Printing { found: Box<Found>, printing: Printing, request: Request<Gathered<B>> },
        Judging { judging: Later<Verdict>, request: Request<Gathered<B>> },
        Readying { request: Request<Gathered<B>> },
        Calling { #[pin] call: F },
        Over,
    }
}

impl<S, F, B, R> Passage<S, F, B, R> {
    /// A request whose key is known.
    pub(super) fn keyed(context: Context<S>, key: &Key, head: Parts, body: Gathered<B>) -> Self {
        let (keyed, step) = context.named(key, head, body);
        Self::new(context, step, Some(keyed))
    }

    /// A request whose key stands in its body.
    pub(super) fn deriving(context: Context<S>, head: Parts, body: Gathered<B>) -> Self {
        let gathering = body.gather(context.plan.settings().max_body, &context.home.budget);
        Self::new(context, Step::Deriving { head: Box::new(head), gathering }, None)
    }

    fn new(context: Context<S>, step: Step<F, B>, keyed: Option<Keyed>) -> Self {
        Self { context, step, keyed, print: None, until: None, answer: std::marker::PhantomData }
    }
}

impl<S, B, R> Future for Passage<S, S::Future, B, R>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ReplayBody<R>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let context = this.context;
        loop {
            // What the present step waits for; what it holds is taken once that has come.
            let come = match this.step.as_mut().project() {
                StepProjection::Deriving { gathering, .. } | StepProjection::Gathering { gathering, .. } => {
                    Come::Body(ready!(Pin::new(gathering).poll(cx)))
                }
                StepProjection::Looking { looking, .. } => {
                    Come::Found(ready!(looking.as_mut().poll(cx)).map(|found| found.map(Box::new)))
                }
                StepProjection::Printing { printing, .. } => {
                    Come::Print(ready!(Pin::new(printing).poll(cx))?)
                }
                StepProjection::Judging { judging, .. } => Come::Verdict(ready!(judging.as_mut().poll(cx))),
                StepProjection::Readying { .. } => {
                    ready!(context.service.poll_ready(cx))?;
                    Come::Ready
                }
                StepProjection::Calling { call } => match ready!(call.poll(cx)) {
                    Ok(response) => return Poll::Ready(Ok(response.map(ReplayBody::passed))),
                    Err(refusal) => Come::Refused(refusal),
                },
                // Polled again after it was done, which no executor does.
                StepProjection::Over => return Poll::Pending,
            };
            let next = match (this.step.as_mut().project_replace(Step::Over), come) {
                (StepTaken::Deriving { head, .. }, Come::Body(body)) => {
                    context.derived(this.keyed, *head, body)?
                }
                (StepTaken::Looking { request, .. }, Come::Found(found)) => context.found(found, request)?,
                (StepTaken::Gathering { found, head, .. }, Come::Body(body)) => {
                    context.gathered(this.print.take(), found, *head, body)?
                }
                (StepTaken::Printing { found, request, .. }, Come::Print(print)) => {
                    let Some(keyed) = this.keyed.as_ref() else { return Poll::Pending };
                    *this.print = Some(print.clone());
                    let until = *this.until.get_or_insert_with(|| context.until());
                    let case = Case { plan: context.plan.clone(), id: keyed.id, print, until };
                    Step::Judging { judging: Box::pin(context.home.clone().judge(case, *found)), request }
                }
                (StepTaken::Judging { request, .. }, Come::Verdict(verdict)) => {
                    let stored = match verdict {
                        Verdict::Pass => {
                            this.step.set(Step::Readying { request });
                            continue;
                        }
                        Verdict::Refuse(refusal) => return Poll::Ready(Err(refusal)),
                        Verdict::Replay(stored) => answer::replay(stored),
                        Verdict::Deferred(intent) => answer::deferred(accepted(intent)),
                    };
                    return Poll::Ready(Ok(stored.map(ReplayBody::stored)));
                }
                (StepTaken::Readying { request }, Come::Ready) => {
                    Step::Calling { call: context.service.call(request) }
                }
                (_, Come::Refused(refusal)) => context.again(this.keyed.as_ref(), this.until, refusal)?,
                _ => return Poll::Pending,
            };
            this.step.set(next);
        }
    }
}

/// What a step has waited for.
enum Come<B> {
    Body(Result<Gather<B>, GatherError>),
    Found(Result<Option<Box<Found>>, Blind>),
    Print(Fingerprint),
    Verdict(Verdict),
    Ready,
    Refused(Refusal),
}

impl<S> Context<S> {
    /// The key and its fence's place, and the look at it.
    fn named<F, B>(&self, key: &Key, mut head: Parts, body: Gathered<B>) -> (Keyed, Step<F, B>) {
        let Self { plan, facts, .. } = self;
        let settled = facts.classified();
        let tenant = settled.and_then(|settled| settled.tenant.as_ref()).map(Tenant::as_str);
        let route = settled.map_or("", |settled| settled.route.name());
        let known = (&head.headers, facts.claims().map(AsRef::as_ref));
        let id = key.place(tenant, &head.method, route, &plan.settings().scope, known);
        if key.derived
            && let Some(field) = key.field()
        {
            // So that an upstream that honours keys knows it too.
            head.headers.insert(IDEMPOTENCY_KEY.clone(), field);
        }
        let keyed = Keyed::new(id, (*key.text).into(), tenant.map(Into::into), plan.settings().rules.clone());
        head.extensions.insert(plan.clone());
        let step = self.look(&keyed, head, body);
        (keyed, step)
    }

    fn look<F, B>(&self, keyed: &Keyed, mut head: Parts, body: Gathered<B>) -> Step<F, B> {
        head.extensions.insert(keyed.clone());
        let looking = Box::pin(self.home.clone().look(keyed.id));
        Step::Looking { looking, request: Request::from_parts(head, body) }
    }

    /// The body has come in which the key stands.
    fn derived<F, B>(
        &self,
        keyed: &mut Option<Keyed>,
        head: Parts,
        body: Result<Gather<B>, GatherError>,
    ) -> Result<Step<F, B>, Refusal> {
        let (key, body) = match body {
            Ok(Gather::Whole(whole)) => {
                let parts = &self.plan.settings().key_from;
                (key::derived(parts, &head.headers, Some(&whole.bytes)), Gathered::whole(whole))
            }
            // Past the cap nobody can know its key.
            Ok(Gather::Past(body)) => (None, body),
            Err(error) => return Err(refuse::not_gathered(&error, &self.facts)),
        };
        match key {
            Some(key) => {
                let (named, step) = self.named(&key, head, body);
                *keyed = Some(named);
                Ok(step)
            }
            None => match unkeyed(&self.plan) {
                Some(refusal) => Err(refusal),
                None => Ok(Step::Readying { request: Request::from_parts(head, body) }),
            },
        }
    }

    /// The store has said what stands under the key.
    fn found<F, B>(
        &self,
        found: Result<Option<Box<Found>>, Blind>,
        request: Request<Gathered<B>>,
    ) -> Result<Step<F, B>, Refusal> {
        match found {
            Ok(None) => Ok(Step::Readying { request }),
            Ok(Some(found)) => {
                let (head, body) = request.into_parts();
                let gathering = body.gather(self.plan.settings().max_body, &self.home.budget);
                Ok(Step::Gathering { found, head: Box::new(head), gathering })
            }
            Err(blind) => match Home::blind(&blind, &self.plan) {
                Verdict::Refuse(refusal) => Err(refusal),
                _ => Ok(Step::Readying { request }),
            },
        }
    }

    /// The body has come that is to be compared.
    fn gathered<F, B>(
        &self,
        known: Option<Fingerprint>,
        found: Box<Found>,
        head: Parts,
        body: Result<Gather<B>, GatherError>,
    ) -> Result<Step<F, B>, Refusal> {
        let (body, bytes) = match body {
            Ok(Gather::Whole(whole)) => {
                let bytes = whole.bytes.clone();
                (Gathered::whole(whole), Some(bytes))
            }
            Ok(Gather::Past(body)) if has_content_digest(&head.headers) => (body, None),
            Ok(Gather::Past(_)) => return Err(refuse::too_large(self.plan.settings().max_body)),
            Err(error) => return Err(refuse::not_gathered(&error, &self.facts)),
        };
        let printing = match known {
            Some(print) => Printing::Done(Some(Box::new(print))),
            None => Printing::of(&head, bytes.as_ref(), &self.plan.settings().rules),
        };
        Ok(Step::Printing { found, printing, request: Request::from_parts(head, body) })
    }

    /// It was refused further in. If it was given back, since another was faster, it looks
    /// again for as long as it may wait.
    fn again<F, B>(
        &self,
        keyed: Option<&Keyed>,
        until: &mut Option<Instant>,
        refusal: Refusal,
    ) -> Result<Step<F, B>, Refusal> {
        let returned = keyed.and_then(Keyed::take_back);
        let (Some(Returned { head, body }), Some(keyed)) = (returned, keyed) else { return Err(refusal) };
        if Instant::now() >= *until.get_or_insert_with(|| self.until()) {
            self.plan.metrics().results.in_flight.inc();
            return Err(refusal);
        }
        Ok(self.look(keyed, head, Gathered::whole(body)))
    }

    /// When a wait that begins now is over: the route's limit, and the request's own deadline.
    fn until(&self) -> Instant {
        let wait = Instant::now() + self.plan.settings().wait;
        let deadline = self.facts.classified().and_then(|settled| settled.deadline);
        deadline.map_or(wait, |deadline| deadline.min(wait))
    }
}
