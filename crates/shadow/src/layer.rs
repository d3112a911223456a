//! The copying as a tower layer.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use sluicegate_body::Teed;
use sluicegate_core::{Access, Chance, Facts, Refusal, Slot};
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    answered::{AnswerTap, Waiting},
    head::CopyHead,
    home::{Place, Shadows},
    outcome::Outcome,
    plan::{ShadowPlan, Shadowing},
    sample::{Known, Turns, is_in},
    tap::{CopyTap, Copying, Ticket},
};

mod future;
#[cfg(test)]
mod tests;

pub use future::ShadowFuture;

/// Copies a share of the requests whose route has a [`ShadowPlan`].
///
/// What is copied is what goes out to the route's own upstream: the layer stands below everything
/// that refuses, waits or charges. The body is kept as it streams, and the copy is sent when its
/// last byte has passed; nothing waits for that. A request that asks for an upgrade is not copied,
/// nor is a write, unless the shadow takes writes.
///
/// A route without the part costs one branch.
#[derive(Clone, Debug)]
pub struct ShadowLayer {
    shadows: Shadows,
    chance: Arc<Chance>,
    turns: Arc<Turns>,
    own: Option<ShadowPlan>,
}

impl ShadowLayer {
    /// The layer; one per worker. New cookies are drawn from `chance`.
    #[must_use]
    pub fn new(shadows: Shadows, chance: Chance) -> Self {
        let turns = Arc::new(Turns::new(&chance));
        Self { shadows, chance: Arc::new(chance), turns, own: None }
    }

    /// The shadows of requests that nobody has classified: for a service without a gateway.
    #[must_use]
    pub fn with_plan(mut self, plan: ShadowPlan) -> Self {
        self.own = Some(plan);
        self
    }

    /// What is to be done for the request; nothing where it has no part in any shadow.
    fn begin<B>(&self, request: &Request<B>) -> Begun
    where
        B: Body<Data = Bytes>,
    {
        let facts = request.extensions().get::<Facts>();
        let settled = facts.and_then(Facts::classified);
        let plan = match settled {
            Some(settled) => settled.route.part::<ShadowPlan>(),
            None => self.own.as_ref(),
        };
        let Some(plan) = plan else { return Begun::default() };
        if request.headers().contains_key(header::UPGRADE) {
            return Begun::default();
        }
        let access = settled.map_or_else(|| Access::of_method(request.method()), |it| it.access);
        let known = Known {
            headers: request.headers(),
            tenant: settled.and_then(|settled| settled.tenant.as_ref()),
            claims: facts.and_then(Facts::claims).map(AsRef::as_ref),
            client: facts.and_then(Facts::client),
        };
        let slot = facts.and_then(Facts::chosen_arm).map_or(Slot::First, |arm| arm.slot);
        let upstream = settled.map(|settled| settled.route.upstream_at(slot));
        let mut begun = Begun::default();
        let (mut tickets, mut copies, mut cap) = (Vec::new(), Vec::new(), 0);
        for shadowing in &plan.0 {
            if access == Access::Write && !shadowing.settings.writes {
                continue;
            }
            if upstream == Some(&*shadowing.settings.to) {
                shadowing.state.counts.add(Outcome::SameUpstream);
                continue;
            }
            let (sampled, cookie) = is_in(shadowing, known, (&self.chance, &self.turns));
            begun.cookies.extend(cookie);
            match admit(shadowing, sampled, request.body().size_hint().lower()) {
                Err(why) => shadowing.state.counts.add(why),
                Ok(place) => {
                    let primary = shadowing.settings.compare.as_ref().map(|compare| {
                        let (tell, told) = oneshot::channel();
                        copies.push(tell);
                        cap = cap.max(compare.max_answer);
                        told
                    });
                    tickets.push(Ticket { shadowing: shadowing.clone(), place, primary });
                }
            }
        }
        if tickets.is_empty() {
            return begun;
        }
        let room = &self.shadows.home().room;
        if !copies.is_empty() {
            begun.waiting = Some(Box::new(Waiting { copies, cap, taken: Some(room.hold()) }));
        }
        begun.tap = Some(CopyTap::new(Copying {
            shadows: self.shadows.clone(),
            head: CopyHead {
                method: request.method().clone(),
                uri: request.uri().clone(),
                headers: request.headers().clone(),
                writes: access == Access::Write,
            },
            slot,
            gathered: BytesMut::new(),
            taken: Some(room.hold()),
            tickets,
        }));
        begun
    }
}

/// What a request's shadows come to.
#[derive(Default)]
struct Begun {
    tap: Option<CopyTap>,
    waiting: Option<Box<Waiting>>,
    cookies: Vec<HeaderValue>,
}

/// Whether there will be a copy.
fn admit(shadowing: &Arc<Shadowing>, sampled: bool, length: u64) -> Result<Place, Outcome> {
    let (state, settings) = (&shadowing.state, &shadowing.settings);
    if !sampled {
        return Err(Outcome::SampledOut);
    }
    if length > settings.max_body as u64 {
        return Err(Outcome::BodyTooLarge);
    }
    let place = state.place(settings.max_in_flight).ok_or(Outcome::InFlight)?;
    if state.admits(settings.max_rps) { Ok(place) } else { Err(Outcome::Rate) }
}

impl<S> Layer<S> for ShadowLayer {
    type Service = Shadow<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Shadow { inner, layer: self.clone() }
    }
}

/// The service of [`ShadowLayer`].
#[derive(Clone, Debug)]
pub struct Shadow<S> {
    inner: S,
    layer: ShadowLayer,
}

impl<S, B, R> Service<Request<B>> for Shadow<S>
where
    S: Service<Request<Teed<B, CopyTap>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes>,
    R: Body<Data = Bytes>,
{
    type Response = Response<Teed<R, AnswerTap>>;
    type Error = Refusal;
    type Future = ShadowFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Begun { tap, waiting, cookies } = self.layer.begin(&request);
        let request = request.map(|body| Teed::new(body, tap));
        ShadowFuture::new(self.inner.call(request), waiting, cookies)
    }
}
