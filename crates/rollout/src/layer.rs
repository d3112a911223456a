//! The choice of the arm as a tower layer.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response};
use sluicegate_core::{Access, Chance, Facts, Pins, Refusal, headers::came_over_tls};
use tower_layer::Layer;
use tower_service::Service;

use self::asked::Asked;
use crate::{
    choice::{Wish, decide},
    plan::{Pinned, RolloutPlan, Writes},
    sticky::Known,
    traffic::{PinsRefused, Traffic},
};

mod asked;
mod future;
mod refuse;

pub use asked::ARM;
pub use future::ResponseFuture;

/// Settles the arm of requests whose route has a [`RolloutPlan`], and checks the pins that
/// clients ask for, there and where the route has [`Pinned`].
///
/// The arm is noted in the request's [`Facts`], where the proxy and the guards find it; it holds
/// for all tries. [`ARM`] is taken off every request, whether or not the route lets it count.
///
/// A cookie that has to be set goes with the answer that comes through from inside, whatever its
/// status. What is refused, here or further in, sets none: the client comes back, and the arm it
/// was on has done nothing for it.
///
/// A route with neither part costs one branch, and a look for that header.
///
/// # In an axum service
///
/// Two versions of a handler in one service, one client in twenty on the new one, each on the
/// same one every time; [`JudgeLayer`](crate::JudgeLayer) keeps the record by which they are
/// compared.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
///
/// use axum::{Extension, Router, routing::get};
/// use sluicegate_core::{Chance, Facts, Refusal, RespondLayer, Role, Slot};
/// use sluicegate_rollout::{
///     JudgeLayer, RolloutLayer, RolloutPlan, Shared, Sticky, KeySource, Traffic, View, Writes,
/// };
/// use tower::{ServiceBuilder, util::MapErrLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// async fn search(Extension(facts): Extension<Facts>) -> &'static str {
///     match facts.arm().map(|arm| arm.role) {
///         Some(Role::Candidate) => "found by the new ranking",
///         _ => "found",
///     }
/// }
///
/// let traffic = Traffic::register(&mut prometheus_client::registry::Registry::default());
/// let view = View {
///     weight: 5,
///     active: Slot::First,
///     epoch: 1,
///     open: true,
///     killed: false,
///     secret: [7; 32], // drawn at random, and kept
/// };
/// let shared = Shared::new("ranking", view.clone(), 1, &traffic);
/// let plan = RolloutPlan {
///     shared: shared.clone(),
///     sticky: Sticky::new(KeySource::Header("x-user-id".parse()?), "ranking"),
///     arm_pins: Default::default(),
///     writes: Writes::Active,
///     allow_header: false,
/// };
/// let app: Router = Router::new().route("/search", get(search)).layer(
///     ServiceBuilder::new()
///         .layer(RespondLayer)
///         .layer(RolloutLayer::new(traffic, Chance::from_system()).with_plan(plan.clone()))
///         .layer(JudgeLayer::new().with_plan(plan))
///         .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
/// );
///
/// // Everybody on the new one.
/// shared.set(View { weight: 100, ..view });
/// # use http_body_util::BodyExt;
/// # use tower::ServiceExt;
/// # let request = axum::http::Request::get("/search").header("x-user-id", "7");
/// # let answer = app.oneshot(request.body(axum::body::Body::empty())?).await?;
/// # assert_eq!(answer.into_body().collect().await?.to_bytes(), "found by the new ranking");
/// let [_, new] = shared.recorder().drain();
/// assert_eq!((new.requests, new.errors), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RolloutLayer {
    traffic: Traffic,
    chance: Arc<Chance>,
    own: Own,
}

/// What holds for requests that nobody has classified.
#[derive(Clone, Debug)]
enum Own {
    Nothing,
    Rollout(RolloutPlan),
    Pinned(Pinned),
}

impl RolloutLayer {
    /// The layer. Requests without a key are spread by `chance`; one per worker.
    #[must_use]
    pub fn new(traffic: Traffic, chance: Chance) -> Self {
        Self { traffic, chance: Arc::new(chance), own: Own::Nothing }
    }

    /// The rollout of requests that nobody has classified: for a service without a gateway.
    #[must_use]
    pub fn with_plan(mut self, plan: RolloutPlan) -> Self {
        self.own = Own::Rollout(plan);
        self
    }

    /// The pins of a service without a gateway.
    #[must_use]
    pub fn with_pins(mut self, pinned: Pinned) -> Self {
        self.own = Own::Pinned(pinned);
        self
    }

    /// Settles what is to be settled; gives the cookie that the answer must set, if one.
    fn settle<B>(&self, request: &mut Request<B>) -> Result<Option<HeaderValue>, Refusal> {
        let asked = Asked::take(request.headers_mut());
        if !matches!(self.own, Own::Nothing) {
            // Where no ingress has begun the facts, those further in must find the same ones.
            let headers = std::mem::take(request.headers_mut());
            drop(Facts::of(&headers, request.extensions_mut()));
            *request.headers_mut() = headers;
        }
        let Some(facts) = request.extensions().get::<Facts>() else { return Ok(None) };
        let (rollout, pinned) = match (facts.classified(), &self.own) {
            (Some(settled), _) => match settled.route.part::<RolloutPlan>() {
                Some(plan) => (Some(plan), None),
                None => (None, settled.route.part::<Pinned>()),
            },
            (None, Own::Rollout(plan)) => (Some(plan), None),
            (None, Own::Pinned(pinned)) => (None, Some(pinned)),
            (None, Own::Nothing) => (None, None),
        };
        match (rollout, pinned) {
            (Some(plan), _) => self.choose(plan, asked, facts, request),
            (None, Some(pinned)) => self.check(pinned, facts, request).map(|()| None),
            (None, None) => Ok(None),
        }
    }

    /// Settles the arm.
    fn choose<B>(
        &self,
        plan: &RolloutPlan,
        asked: Asked,
        facts: &Facts,
        request: &Request<B>,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let forced = if plan.allow_header { asked.forced()? } else { None };
        let pins = self.pins(facts, request)?;
        let matching =
            pins.as_ref().map(|pins| plan.arm_pins.each_ref().map(|arm| arm.unmet(pins).is_empty()));
        let settled = facts.classified();
        let access = settled.map_or_else(|| Access::of_method(request.method()), |settled| settled.access);
        let stays = access == Access::Write && plan.writes == Writes::Active;
        let now = plan.shared.load();
        let mut cookie = None;
        let point = || {
            let known = Known {
                headers: request.headers(),
                tenant: settled.and_then(|settled| settled.tenant.as_ref()),
                claims: facts.claims().map(AsRef::as_ref),
                client: facts.client(),
                secure: came_over_tls(request.headers()),
            };
            let (point, set) = plan.sticky.point(known, &now.signer, &self.chance);
            cookie = set;
            point
        };
        match decide(&now, Wish { forced, matching, stays }, point) {
            Ok(choice) => {
                facts.choose_arm(choice.arm);
                plan.shared.recorder().chosen(choice.arm.role, choice.how);
                Ok(cookie)
            }
            Err(unmet) => {
                self.traffic.refused(route_of(facts), PinsRefused::Mismatch);
                // Only pins that were asked for are unmet.
                let pins = pins.unwrap_or_default();
                Err(refuse::arm(&plan.arm_pins[unmet.slot.index()], &pins, unmet.role))
            }
        }
    }

    /// Compares a client's pins with those of the only upstream.
    fn check<B>(&self, pinned: &Pinned, facts: &Facts, request: &Request<B>) -> Result<(), Refusal> {
        let Some(pins) = self.pins(facts, request)? else { return Ok(()) };
        if pinned.pins.unmet(&pins).is_empty() {
            return Ok(());
        }
        self.traffic.refused(route_of(facts), PinsRefused::Mismatch);
        Err(refuse::upstream(&pinned.pins, &pins))
    }

    /// The pins that a client asks for.
    fn pins<B>(&self, facts: &Facts, request: &Request<B>) -> Result<Option<Pins>, Refusal> {
        Pins::of(request.headers()).map_err(|fault| {
            self.traffic.refused(route_of(facts), PinsRefused::Malformed);
            refuse::malformed(fault)
        })
    }
}

/// The route's name; empty in a service without routes.
fn route_of(facts: &Facts) -> &str {
    facts.classified().map_or("", |settled| settled.route.name())
}

impl<S> Layer<S> for RolloutLayer {
    type Service = Rollout<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rollout { inner, layer: self.clone() }
    }
}

/// The service of [`RolloutLayer`].
#[derive(Clone, Debug)]
pub struct Rollout<S> {
    inner: S,
    layer: RolloutLayer,
}

impl<S, B, R> Service<Request<B>> for Rollout<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Refusal>,
{
    type Response = Response<R>;
    type Error = Refusal;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.settle(&mut request) {
            Ok(cookie) => ResponseFuture::through(self.inner.call(request), cookie),
            Err(refusal) => ResponseFuture::refused(refusal),
        }
    }
}

#[cfg(test)]
mod tests;
